/* shard_repair.c - see shard_repair.h. */
#include "worker/persist/shard_repair.h"

#include "worker/persist/persist_private.h"
#include "worker/persist/quarantine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int shard_repair_tail(const char *dir, const struct shard_file *file,
                      const struct shard_file_found *found, char *kept_r, size_t kept_bytes,
                      char *error_r, size_t error_bytes) {
    const char *name = strrchr(file->path, '/');
    int fd = open(file->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error_r, error_bytes, "%s: %s", file->path, strerror(errno));
        return -1;
    }
    int result = quarantine_tail(dir, fd, name != NULL ? name + 1 : file->path, found->end,
                                 file->bytes, kept_r, kept_bytes, error_r, error_bytes);
    if (result == 0 && (ftruncate(fd, (off_t)found->end) != 0 || fsync(fd) != 0)) {
        snprintf(error_r, error_bytes, "cannot cut %s: %s", file->path, strerror(errno));
        result = -1;
    }
    close(fd);
    return result;
}

int shard_repair_history(const char *aof_dir, const char *manifest_name, char *error_r,
                         size_t error_bytes) {
    struct aof_manifest manifest = {0};
    if (shard_manifest_read(&manifest, aof_dir, manifest_name, error_r, error_bytes) != 0)
        return -1;
    int result = rewrite_drop_history(aof_dir, manifest_name, &manifest, error_r, error_bytes);
    aof_manifest_free(&manifest);
    return result;
}

int shard_repair_temp(const char *path, char *error_r, size_t error_bytes) {
    if (unlink(path) == 0)
        return 0;
    if (errno == EISDIR)
        log_remove_folder(path);
    if (access(path, F_OK) != 0)
        return 0;
    snprintf(error_r, error_bytes, "%s cannot be deleted", path);
    return -1;
}
