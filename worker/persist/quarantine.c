/* quarantine.c - copies a run of bytes out of a file into one of its own, through publish.
 *
 * Fails with a text; then the source must be left as it is. */
#include "worker/persist/quarantine.h"

#include "shared/base/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_BYTES = 64 * 1024, SAME_NAME_MAX = 10000, DIR_BYTES = 2048, NAME_BYTES = 512 };

static int copy_range(int to_fd, int from_fd, uint64_t from, uint64_t to) {
    static char block[COPY_BYTES];
    while (from < to) {
        uint64_t want = to - from < COPY_BYTES ? to - from : COPY_BYTES;
        ssize_t n = pread(from_fd, block, (size_t)want, (off_t)from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? EIO : errno;
            return -1;
        }
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(to_fd, block + done, (size_t)(n - done));
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0)
                return -1;
            done += w;
        }
        from += (uint64_t)n;
    }
    return 0;
}

/* A name that is not taken: what is in quarantine stays there. */
static int choose_name(const char *dir, const char *origin, uint64_t from, char *name,
                       size_t name_bytes) {
    char path[4096];
    for (int i = 1; i <= SAME_NAME_MAX; i++) {
        char again[16] = "";
        if (i > 1)
            snprintf(again, sizeof again, "-%d", i);
        snprintf(name, name_bytes, "%s.at-%" PRIu64 "%s", origin, from, again);
        snprintf(path, sizeof path, "%s/%s", dir, name);
        if (access(path, F_OK) != 0 && errno == ENOENT)
            return 0;
    }
    errno = EEXIST;
    return -1;
}

/* The folder, made if it is missing, and a name in it. */
static int open_quarantine(const char *shard_dir, const char *origin, uint64_t from,
                           char dir[DIR_BYTES], char name[NAME_BYTES], char *error_r,
                           size_t error_bytes) {
    snprintf(dir, DIR_BYTES, "%s/quarantine", shard_dir);
    if ((mkdir(dir, 0755) != 0 && errno != EEXIST) ||
        choose_name(dir, origin, from, name, NAME_BYTES) != 0) {
        snprintf(error_r, error_bytes, "cannot use %s: %s", dir, strerror(errno));
        return -1;
    }
    return publish_sync_dir(shard_dir, error_r, error_bytes);
}

int quarantine_tail(const char *shard_dir, int fd, const char *origin, uint64_t from, uint64_t to,
                    char *name_r, size_t name_bytes, char *error_r, size_t error_bytes) {
    char dir[DIR_BYTES], name[NAME_BYTES], temp[64], temp_path[DIR_BYTES + 64];
    if (open_quarantine(shard_dir, origin, from, dir, name, error_r, error_bytes) != 0)
        return -1;
    snprintf(temp, sizeof temp, "temp-%d.quarantine", (int)getpid());
    int copy = publish_begin(dir, temp, error_r, error_bytes);
    if (copy < 0)
        return -1;
    if (copy_range(copy, fd, from, to) != 0) {
        snprintf(error_r, error_bytes, "cannot copy the cut tail into %s: %s", dir,
                 strerror(errno));
        close(copy);
        snprintf(temp_path, sizeof temp_path, "%s/%s", dir, temp);
        unlink(temp_path);
        return -1;
    }
    snprintf(name_r, name_bytes, "quarantine/%s", name);
    return publish_commit(copy, dir, temp, name, error_r, error_bytes);
}

int quarantine_file(const char *shard_dir, const char *path, const char *origin, char *name_r,
                    size_t name_bytes, char *error_r, size_t error_bytes) {
    char dir[DIR_BYTES], name[NAME_BYTES], to[DIR_BYTES + NAME_BYTES + 2];
    if (open_quarantine(shard_dir, origin, 0, dir, name, error_r, error_bytes) != 0)
        return -1;
    snprintf(to, sizeof to, "%s/%s", dir, name);
    if (rename(path, to) != 0) {
        snprintf(error_r, error_bytes, "cannot move %s into quarantine: %s", path, strerror(errno));
        return -1;
    }
    snprintf(name_r, name_bytes, "quarantine/%s", name);
    return publish_sync_dir(dir, error_r, error_bytes);
}
