/* snapshot_dir.c - see the header. A snapshot is complete when it has its final name: everything in it
 * is synced before. One that goes is renamed first, so that none is ever half there. */
#include "supervisor/snapshot_dir.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PARTIAL ".partial"
#define LATEST  "latest"
enum { REMOVE_FDS = 16, REMOVE_TRIES = 100, REMOVE_PAUSE_US = 10000 };

/* ---- names ---- */

static bool ends_in(struct bytes name, struct bytes end) {
    return name.len >= end.len && memcmp(name.ptr + name.len - end.len, end.ptr, end.len) == 0;
}

static bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool snapshot_name_ok(struct bytes name) {
    if (name.len == 0 || name.len > SNAPSHOT_NAME_MAX || name.ptr[0] == '.' || name.ptr[0] == '-' ||
        bytes_equal(name, BYTES_LITERAL(LATEST)) || ends_in(name, BYTES_LITERAL(PARTIAL)))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        if (!is_name_character(name.ptr[i]))
            return false;
    }
    return true;
}

void snapshot_name_of_time(int64_t wall_ms, char name_r[SNAPSHOT_NAME_MAX + 1]) {
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y%m%dT%H%M%S", &tm);
    snprintf(name_r, SNAPSHOT_NAME_MAX + 1, "%s.%03dZ", text, (int)(wall_ms % 1000));
}

void snapshot_path(const char *data, const char *name, char path_r[SNAPSHOT_DIR_BYTES]) {
    snprintf(path_r, SNAPSHOT_DIR_BYTES, "%s/snapshots/%s", data, name);
}

static void partial_path(const char *data, const char *name, char path_r[SNAPSHOT_DIR_BYTES]) {
    snprintf(path_r, SNAPSHOT_DIR_BYTES, "%s/snapshots/%s" PARTIAL, data, name);
}

void snapshot_partial_path(const char *data, const char *name, uint32_t shard,
                           char path_r[SNAPSHOT_DIR_BYTES]) {
    snprintf(path_r, SNAPSHOT_DIR_BYTES, "%s/snapshots/%s" PARTIAL "/shard-%04u", data, name,
             shard);
}

/* ---- small services ---- */

/* Keeps errno. */
static int fail(char *error_r, size_t error_bytes, const char *step, const char *path) {
    int error = errno;
    snprintf(error_r, error_bytes, "cannot %s %.300s: %s", step, path, strerror(error));
    errno = error;
    return -1;
}

char *read_whole_file(const char *path, size_t max, size_t *len_r) {
    struct stat st;
    char *text = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size >= 0 && (size_t)st.st_size <= max)
        text = mem_try_alloc((size_t)st.st_size + 1);
    size_t have = 0;
    while (text && have < (size_t)st.st_size) {
        ssize_t got = read(fd, text + have, (size_t)st.st_size - have);
        if (got <= 0 && errno != EINTR)
            break;
        have += got > 0 ? (size_t)got : 0;
    }
    int error = text ? errno : EFBIG;
    close(fd);
    if (text && have == (size_t)st.st_size) {
        *len_r = have;
        return text;
    }
    mem_free(text);
    errno = error;
    return NULL;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where) {
    return remove(path);
}

int remove_tree(const char *path, char *error_r, size_t error_bytes) {
    if (nftw(path, remove_one, REMOVE_FDS, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT ||
        errno == ENOTDIR)
        return 0;
    return fail(error_r, error_bytes, "remove", path);
}

/* ---- made ---- */

int snapshot_begin(const char *data, const char *name, char *error_r, size_t error_bytes) {
    char path[SNAPSHOT_DIR_BYTES];
    struct stat st;
    snprintf(path, sizeof(path), "%s/snapshots", data);
    if (mkdir(path, 0700) == 0) {
        if (publish_sync_dir(data, error_r, error_bytes) != 0)
            return -1;
    } else if (errno != EEXIST) {
        return fail(error_r, error_bytes, "make", path);
    }
    snapshot_path(data, name, path);
    if (lstat(path, &st) == 0) {
        snprintf(error_r, error_bytes, "a snapshot '%s' exists already", name);
        return -1;
    }
    partial_path(data, name, path);
    if (mkdir(path, 0700) != 0)
        return fail(error_r, error_bytes, "make", path);
    return 0;
}

/* `latest` is replaced at once, never missing. */
static int point_latest(const char *data, const char *name, char *error_r, size_t error_bytes) {
    char path[SNAPSHOT_DIR_BYTES], temp[SNAPSHOT_DIR_BYTES];
    snapshot_path(data, LATEST, path);
    partial_path(data, LATEST, temp);
    if (unlink(temp) != 0 && errno != ENOENT)
        return fail(error_r, error_bytes, "remove", temp);
    if (symlink(name, temp) != 0 || rename(temp, path) != 0)
        return fail(error_r, error_bytes, "replace", path);
    snprintf(path, sizeof(path), "%s/snapshots", data);
    return publish_sync_dir(path, error_r, error_bytes);
}

static int fill(const char *partial, struct snapshot_file *file, const struct pool_file *pool,
                char *error_r, size_t error_bytes) {
    char path[SNAPSHOT_DIR_BYTES + 32];
    for (uint32_t i = 0; i < file->shards; i++) {
        snprintf(path, sizeof(path), "%s/shard-%04u", partial, i);
        if (publish_sync_dir(path, error_r, error_bytes) != 0)
            return -1;
    }
    if (pool_file_publish(partial, pool, error_r, error_bytes) != 0)
        return -1;
    char *text = snapshot_file_text(file);
    int result = publish(partial, SNAPSHOT_FILE_NAME, bytes_of_text(text), error_r, error_bytes);
    free(text);
    return result;
}

/* ---- the oldest go ---- */

struct found {
    int64_t taken_ms;
    char name[SNAPSHOT_NAME_MAX + 1];
};

static int newest_first(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    if (x->taken_ms != y->taken_ms)
        return x->taken_ms < y->taken_ms ? 1 : -1;
    return strcmp(y->name, x->name);
}

/* What is no snapshot of ours is not counted and never touched. */
static bool look_at(const char *data, const char *name, struct found *found_r) {
    char path[SNAPSHOT_DIR_BYTES], error[128];
    struct snapshot_file file;
    size_t len;
    if (!snapshot_name_ok(bytes_of_text(name)))
        return false;
    snapshot_path(data, name, path);
    strncat(path, "/" SNAPSHOT_FILE_NAME, sizeof(path) - strlen(path) - 1);
    char *text = read_whole_file(path, SNAPSHOT_FILE_BYTES_MAX, &len);
    if (!text)
        return false;
    bool ok = snapshot_file_parse(bytes_of(text, len), &file, error, sizeof(error)) == 0;
    mem_free(text);
    if (!ok)
        return false;
    found_r->taken_ms = file.taken_ms;
    strcpy(found_r->name, name);
    snapshot_file_free(&file);
    return true;
}

static uint32_t find_all(const char *data, struct found **found_r) {
    char path[SNAPSHOT_DIR_BYTES];
    uint32_t count = 0, cap = 0;
    struct dirent *entry;
    *found_r = NULL;
    snprintf(path, sizeof(path), "%s/snapshots", data);
    DIR *stream = opendir(path);
    while (stream && (entry = readdir(stream)) != NULL) {
        struct found found;
        if (!look_at(data, entry->d_name, &found))
            continue;
        if (count == cap) {
            cap = cap ? cap * 2 : 16;
            *found_r = mem_realloc(*found_r, cap * sizeof(**found_r));
        }
        (*found_r)[count++] = found;
    }
    if (stream)
        closedir(stream);
    if (count > 0)
        qsort(*found_r, count, sizeof(**found_r), newest_first);
    return count;
}

static int remove_snapshot(const char *data, const char *name, char *error_r, size_t error_bytes) {
    char path[SNAPSHOT_DIR_BYTES], partial[SNAPSHOT_DIR_BYTES];
    snapshot_path(data, name, path);
    partial_path(data, name, partial);
    if (rename(path, partial) != 0)
        return fail(error_r, error_bytes, "rename", path);
    return remove_tree(partial, error_r, error_bytes);
}

static int remove_oldest(const char *data, const char *but, uint32_t keep, char *error_r,
                         size_t error_bytes) {
    struct found *all;
    uint32_t count = find_all(data, &all);
    int result = 0;
    for (uint32_t i = keep; i < count && result == 0; i++) {
        if (strcmp(all[i].name, but) != 0)
            result = remove_snapshot(data, all[i].name, error_r, error_bytes);
    }
    mem_free(all);
    return result;
}

int snapshot_commit(const char *data, const char *name, struct snapshot_file *file,
                    const struct pool_file *pool, uint32_t keep, char *error_r,
                    size_t error_bytes) {
    char partial[SNAPSHOT_DIR_BYTES], final[SNAPSHOT_DIR_BYTES], why[512];
    partial_path(data, name, partial);
    snapshot_path(data, name, final);
    if (fill(partial, file, pool, error_r, error_bytes) != 0)
        return -1;
    if (rename(partial, final) != 0)
        return fail(error_r, error_bytes, "rename to", final);
    /* latest is in the same folder: one sync for both names. */
    if (point_latest(data, name, why, sizeof(why)) == 0 &&
        (keep == 0 || remove_oldest(data, name, keep, why, sizeof(why)) == 0))
        return 0;
    snprintf(error_r, error_bytes, "snapshot '%s' is complete, but: %s", name, why);
    return -1;
}

/* ---- removed ---- */

/* A shard may still be linking: once the folder has another name its links fail, all but one that is
 * under way. */
int snapshot_drop(const char *data, const char *name, char *error_r, size_t error_bytes) {
    char path[SNAPSHOT_DIR_BYTES], gone[SNAPSHOT_DIR_BYTES];
    partial_path(data, name, path);
    snprintf(gone, sizeof(gone), "%s/snapshots/%s.gone" PARTIAL, data, name);
    if (remove_tree(gone, error_r, error_bytes) != 0)
        return -1;
    if (rename(path, gone) != 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : fail(error_r, error_bytes, "rename", path);
    for (int tries = 1; remove_tree(gone, error_r, error_bytes) != 0; tries++) {
        if (errno != ENOTEMPTY || tries == REMOVE_TRIES)
            return -1;
        usleep(REMOVE_PAUSE_US);
    }
    return 0;
}

int snapshots_clean(const char *data, char *error_r, size_t error_bytes) {
    char path[SNAPSHOT_DIR_BYTES];
    int result = 0;
    struct dirent *entry;
    snprintf(path, sizeof(path), "%s/snapshots", data);
    DIR *stream = opendir(path);
    while (stream && result == 0 && (entry = readdir(stream)) != NULL) {
        if (!ends_in(bytes_of_text(entry->d_name), BYTES_LITERAL(PARTIAL)))
            continue;
        snapshot_path(data, entry->d_name, path);
        result = remove_tree(path, error_r, error_bytes);
    }
    if (stream)
        closedir(stream);
    return result;
}

/* ---- read ---- */

static int check_entry(const char *path, const struct snapshot_entry *entry, char *error_r,
                       size_t error_bytes) {
    char file[SNAPSHOT_DIR_BYTES];
    struct stat st;
    snprintf(file, sizeof(file), "%s/shard-%04u/%s", path, entry->shard, entry->name);
    if (lstat(file, &st) != 0)
        return fail(error_r, error_bytes, "find", file);
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size == entry->bytes)
        return 0;
    snprintf(error_r, error_bytes,
             "%.300s is not as " SNAPSHOT_FILE_NAME " says: %lld bytes instead of %llu", file,
             (long long)st.st_size, (unsigned long long)entry->bytes);
    return -1;
}

static int check(const char *path, const struct snapshot_file *file, const struct pool_file *pool,
                 char *error_r, size_t error_bytes) {
    if (pool->shards != file->shards || strcmp(pool->pool_id, file->pool_id) != 0) {
        snprintf(error_r, error_bytes,
                 "%.300s: " POOL_FILE_NAME " and " SNAPSHOT_FILE_NAME " are not of the same pool",
                 path);
        return -1;
    }
    for (uint32_t i = 0; i < file->count; i++) {
        if (check_entry(path, &file->entries[i], error_r, error_bytes) != 0)
            return -1;
    }
    return 0;
}

int snapshot_open(const char *path, struct snapshot_file *file_r, struct pool_file *pool_r,
                  char *error_r, size_t error_bytes) {
    char name[SNAPSHOT_DIR_BYTES], why[256];
    size_t len;
    *file_r = (struct snapshot_file){0};
    snprintf(name, sizeof(name), "%s/" SNAPSHOT_FILE_NAME, path);
    char *text = read_whole_file(name, SNAPSHOT_FILE_BYTES_MAX, &len);
    if (!text)
        return fail(error_r, error_bytes, "read", name);
    int result = snapshot_file_parse(bytes_of(text, len), file_r, why, sizeof(why));
    mem_free(text);
    if (result != 0) {
        snprintf(error_r, error_bytes, "%.300s is not usable: %s", name, why);
        return -1;
    }
    result = pool_file_read(path, pool_r, error_r, error_bytes);
    if (result == 1)
        snprintf(error_r, error_bytes, "%.300s has no " POOL_FILE_NAME, path);
    if (result == 0 && check(path, file_r, pool_r, error_r, error_bytes) == 0)
        return 0;
    snapshot_file_free(file_r);
    return -1;
}
