/* restore.c - see the header. */
#include "supervisor/restore.h"
#include "shared/base/publish.h"
#include "supervisor/datadir.h"
#include "supervisor/snapshot_dir.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RESTORE_LOCK_WAIT_MS = 0 };

struct restoring {
    const char *snapshot, *data;
    struct snapshot_file file;
    struct pool_file pool;
    uid_t owner; /* of what is made, if we are root: the snapshot's; -1: leave it */
    gid_t group;
    char *error;
    size_t error_bytes;
};

static int fail(struct restoring *r, const char *step, const char *path) {
    snprintf(r->error, r->error_bytes, "cannot %s %.300s: %s", step, path, strerror(errno));
    return -1;
}

/* ---- one file ---- */

static int copy_by_reading(int from, int to) {
    static char block[256 * 1024];
    ssize_t got;
    while ((got = read(from, block, sizeof(block))) > 0) {
        for (ssize_t done = 0; done < got;) {
            ssize_t wrote = write(to, block + done, (size_t)(got - done));
            if (wrote < 0)
                return -1;
            done += wrote;
        }
    }
    return got < 0 ? -1 : 0;
}

/* Shared blocks, else a copy within the kernel, else by hand: the positions of both files stay right
 * when one way gives up in the middle. */
static int copy_bytes(int from, int to, uint64_t bytes) {
    if (ioctl(to, FICLONE, from) == 0)
        return 0;
    while (bytes > 0) {
        ssize_t copied = copy_file_range(from, NULL, to, NULL, bytes, 0);
        if (copied <= 0)
            return copy_by_reading(from, to);
        bytes -= (uint64_t)copied;
    }
    return 0;
}

static int copy_file(struct restoring *r, const struct snapshot_entry *entry) {
    char from_path[SNAPSHOT_DIR_BYTES], to_path[SNAPSHOT_DIR_BYTES];
    struct stat st;
    int from = -1, to = -1, result = -1;
    snprintf(from_path, sizeof(from_path), "%s/shard-%04u/%s", r->snapshot, entry->shard,
             entry->name);
    snprintf(to_path, sizeof(to_path), "%s/shard-%04u/%s", r->data, entry->shard, entry->name);
    from = open(from_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (from < 0) {
        fail(r, "open", from_path);
        goto err;
    }
    to = open(to_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (to < 0 || fchown(to, r->owner, r->group) != 0 || copy_bytes(from, to, entry->bytes) != 0 ||
        fsync(to) != 0 || fstat(to, &st) != 0) {
        fail(r, "write", to_path);
        goto err;
    }
    if ((uint64_t)st.st_size == entry->bytes)
        result = 0;
    else
        snprintf(r->error, r->error_bytes, "%.300s changed while it was copied", from_path);
err:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return result;
}

/* ---- folders ---- */

static int make_folder(struct restoring *r, const char *path) {
    if ((mkdir(path, 0755) == 0 || errno == EEXIST) && chown(path, r->owner, r->group) == 0)
        return 0;
    return fail(r, "make", path);
}

/* DATA/shard-0000, and below it the folder of an entry if there is one. */
static void folder_of(const struct restoring *r, uint32_t shard, const char *name,
                      char path_r[SNAPSHOT_DIR_BYTES]) {
    int folder = name ? (int)strcspn(name, "/") : 0;
    snprintf(path_r, SNAPSHOT_DIR_BYTES, "%s/shard-%04u%s%.*s", r->data, shard, name ? "/" : "",
             folder, name ? name : "");
}

static int make_folders(struct restoring *r) {
    char path[SNAPSHOT_DIR_BYTES];
    for (uint32_t i = 0; i < r->file.count; i++) {
        const struct snapshot_entry *entry = &r->file.entries[i];
        folder_of(r, entry->shard, NULL, path);
        if (make_folder(r, path) != 0)
            return -1;
        folder_of(r, entry->shard, entry->name, path);
        if (make_folder(r, path) != 0)
            return -1;
    }
    return 0;
}

static int sync_folders(struct restoring *r) {
    char path[SNAPSHOT_DIR_BYTES], before[SNAPSHOT_DIR_BYTES] = "";
    for (uint32_t i = 0; i < r->file.count; i++) {
        const struct snapshot_entry *entry = &r->file.entries[i];
        folder_of(r, entry->shard, entry->name, path);
        if (strcmp(path, before) == 0)
            continue;
        if (publish_sync_dir(path, r->error, r->error_bytes) != 0)
            return -1;
        strcpy(before, path);
        folder_of(r, entry->shard, NULL, path);
        if (publish_sync_dir(path, r->error, r->error_bytes) != 0)
            return -1;
    }
    return publish_sync_dir(r->data, r->error, r->error_bytes);
}

/* ---- the data directory ---- */

/* What a killed restore has left. */
static int remove_shards(struct restoring *r) {
    char path[SNAPSHOT_DIR_BYTES];
    struct dirent *entry;
    int result = 0;
    DIR *stream = opendir(r->data);
    if (!stream)
        return fail(r, "read", r->data);
    while (result == 0 && (entry = readdir(stream)) != NULL) {
        if (strncmp(entry->d_name, "shard-", 6) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", r->data, entry->d_name);
        result = remove_tree(path, r->error, r->error_bytes);
    }
    closedir(stream);
    return result;
}

/* No pool is there; what a killed restore has left is gone; the mark says that we are at it. */
static int take_place(struct restoring *r) {
    char path[SNAPSHOT_DIR_BYTES];
    snprintf(path, sizeof(path), "%s/" POOL_FILE_NAME, r->data);
    if (access(path, F_OK) == 0) {
        snprintf(r->error, r->error_bytes, "%.300s holds a pool already", r->data);
        return -1;
    }
    snprintf(path, sizeof(path), "%s/" RESTORE_MARK, r->data);
    if (access(path, F_OK) == 0)
        return remove_shards(r);
    if (pool_file_has_shards(r->data)) {
        snprintf(r->error, r->error_bytes,
                 "%.300s holds shard folders that no restore has made; choose another dir",
                 r->data);
        return -1;
    }
    return publish(r->data, RESTORE_MARK, bytes_of_text(r->snapshot), r->error, r->error_bytes);
}

static int finish(struct restoring *r) {
    char path[SNAPSHOT_DIR_BYTES];
    if (pool_file_publish(r->data, &r->pool, r->error, r->error_bytes) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/" RESTORE_MARK, r->data);
    return unlink(path) == 0 ? 0 : fail(r, "remove", path);
}

static int copy_all(struct restoring *r) {
    if (make_folders(r) != 0)
        return -1;
    for (uint32_t i = 0; i < r->file.count; i++) {
        if (copy_file(r, &r->file.entries[i]) != 0)
            return -1;
    }
    return sync_folders(r);
}

/* The pool may run as a user of its own, who must be able to write there. */
static void find_owner(struct restoring *r) {
    struct stat st;
    bool root = geteuid() == 0 && stat(r->snapshot, &st) == 0;
    r->owner = root ? st.st_uid : (uid_t)-1;
    r->group = root ? st.st_gid : (gid_t)-1;
}

int restore(const char *snapshot, const char *data, struct restored *restored_r, char *error_r,
            size_t error_bytes) {
    static struct restoring restoring; /* too big for the stack */
    struct restoring *r = &restoring;
    *r = (struct restoring){
        .snapshot = snapshot, .data = data, .error = error_r, .error_bytes = error_bytes};
    if (snapshot_open(snapshot, &r->file, &r->pool, error_r, error_bytes) != 0)
        return -1;
    find_owner(r);
    int lock = datadir_open(data, r->owner, r->group, RESTORE_LOCK_WAIT_MS, error_r, error_bytes);
    int result = -1;
    if (lock >= 0 && take_place(r) == 0 && copy_all(r) == 0)
        result = finish(r);
    if (lock >= 0)
        close(lock);
    *restored_r = (struct restored){.shards = r->file.shards};
    for (uint32_t i = 0; i < r->file.shards; i++)
        restored_r->keys += r->file.keys[i];
    snapshot_file_free(&r->file);
    return result;
}
