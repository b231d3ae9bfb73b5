/* publish.c - see publish.h. Each step has a name, and an error reads
 * "cannot STEP DIR/NAME: reason". */
#include "shared/base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(char *error_r, size_t error_bytes, const char *step, const char *dir,
                const char *name) {
    int error = errno;
    snprintf(error_r, error_bytes, "cannot %s %s/%s: %s", step, dir, name, strerror(error));
    errno = error;
    return -1;
}

static int open_dir(const char *dir) {
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void close_keeping_errno(int fd) {
    int error = errno;
    close(fd);
    errno = error;
}

static int sync_dir_fd(int dir_fd, const char *dir, char *error_r, size_t error_bytes) {
    if (fsync(dir_fd) < 0)
        return fail(error_r, error_bytes, "sync directory", dir, "");
    return 0;
}

int publish_sync_dir(const char *dir, char *error_r, size_t error_bytes) {
    int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return fail(error_r, error_bytes, "open directory", dir, "");
    int result = sync_dir_fd(dir_fd, dir, error_r, error_bytes);
    close_keeping_errno(dir_fd);
    return result;
}

int publish_begin(const char *dir, const char *temp_name, char *error_r, size_t error_bytes) {
    int dir_fd = open_dir(dir);
    if (dir_fd < 0)
        return fail(error_r, error_bytes, "open directory", dir, "");
    int fd = -1;
    if (unlinkat(dir_fd, temp_name, 0) < 0 && errno != ENOENT)
        fail(error_r, error_bytes, "remove stale", dir, temp_name);
    else if ((fd = openat(dir_fd, temp_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)) < 0)
        fail(error_r, error_bytes, "create", dir, temp_name);
    close_keeping_errno(dir_fd);
    return fd;
}

static int rename_and_sync(int dir_fd, const char *dir, const char *temp_name, const char *name,
                           unsigned flags, char *error_r, size_t error_bytes) {
    if (renameat2(dir_fd, temp_name, dir_fd, name, flags) < 0) {
        fail(error_r, error_bytes, "rename to", dir, name);
        int error = errno;
        unlinkat(dir_fd, temp_name, 0);
        errno = error;
        return -1;
    }
    return sync_dir_fd(dir_fd, dir, error_r, error_bytes);
}

static int commit(int fd, const char *dir, const char *temp_name, const char *name, unsigned flags,
                  char *error_r, size_t error_bytes) {
    int result = -1;
    int dir_fd = open_dir(dir);
    if (dir_fd < 0) {
        fail(error_r, error_bytes, "open directory", dir, "");
        close_keeping_errno(fd);
        return -1;
    }
    if (fsync(fd) < 0) {
        fail(error_r, error_bytes, "sync", dir, temp_name);
        int error = errno;
        unlinkat(dir_fd, temp_name, 0);
        errno = error;
    } else {
        result = rename_and_sync(dir_fd, dir, temp_name, name, flags, error_r, error_bytes);
    }
    close_keeping_errno(fd);
    close_keeping_errno(dir_fd);
    return result;
}

int publish_commit(int fd, const char *dir, const char *temp_name, const char *name, char *error_r,
                   size_t error_bytes) {
    return commit(fd, dir, temp_name, name, 0, error_r, error_bytes);
}

int publish_commit_new(int fd, const char *dir, const char *temp_name, const char *name,
                       char *error_r, size_t error_bytes) {
    return commit(fd, dir, temp_name, name, RENAME_NOREPLACE, error_r, error_bytes);
}

static int write_all(int fd, struct bytes content) {
    while (content.len > 0) {
        ssize_t written = write(fd, content.ptr, content.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        content.ptr += written;
        content.len -= (size_t)written;
    }
    return 0;
}

static void discard(int fd, const char *dir, const char *temp_name) {
    int error = errno;
    int dir_fd = open_dir(dir);
    if (dir_fd >= 0) {
        unlinkat(dir_fd, temp_name, 0);
        close(dir_fd);
    }
    close(fd);
    errno = error;
}

int publish(const char *dir, const char *name, struct bytes content, char *error_r,
            size_t error_bytes) {
    char temp_name[256];
    int len = snprintf(temp_name, sizeof temp_name, "temp-%s", name);
    if (len < 0 || (size_t)len >= sizeof temp_name) {
        errno = ENAMETOOLONG;
        return fail(error_r, error_bytes, "name a temporary file for", dir, name);
    }
    int fd = publish_begin(dir, temp_name, error_r, error_bytes);
    if (fd < 0)
        return -1;
    if (write_all(fd, content) < 0) {
        fail(error_r, error_bytes, "write", dir, temp_name);
        discard(fd, dir, temp_name);
        return -1;
    }
    return publish_commit(fd, dir, temp_name, name, error_r, error_bytes);
}
