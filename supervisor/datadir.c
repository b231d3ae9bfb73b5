/* datadir.c - see the header. Runs before the loop, so it may wait. */
#include "supervisor/datadir.h"
#include "shared/base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* flock() cannot wait with a limit and a blocking one cannot be left, so ask again and again. */
static int lock_within(int fd, unsigned wait_ms) {
    const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    uint64_t until_ms = clock_mono_ms() + wait_ms;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -1;
        if (clock_mono_ms() >= until_ms) {
            errno = EWOULDBLOCK;
            return -1;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

int datadir_open(const char *path, uid_t owner, gid_t group, unsigned wait_ms, char *error_r,
                 size_t error_bytes) {
    int fd = -1;
    const char *step = "make";
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        goto err;
    step = "open";
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        goto err;
    step = "change the owner of";
    if (owner != (uid_t)-1 && fchown(fd, owner, group) != 0)
        goto err;
    step = "lock";
    if (lock_within(fd, wait_ms) != 0)
        goto err;
    return fd;
err:
    if (errno == EWOULDBLOCK)
        snprintf(error_r, error_bytes, "the data directory %s is in use by another pool", path);
    else
        snprintf(error_r, error_bytes, "cannot %s the data directory %s: %s", step, path,
                 strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

int datadir_lock(const char *path, bool alone, char *error_r, size_t error_bytes) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
        return fd;
    int error = errno;
    if (fd >= 0 && error == EWOULDBLOCK)
        snprintf(error_r, error_bytes, "a pool runs on %s", path);
    else
        snprintf(error_r, error_bytes, "cannot %s %s: %s", fd < 0 ? "open" : "lock", path,
                 strerror(error));
    if (fd >= 0)
        close(fd);
    errno = error;
    return -1;
}
