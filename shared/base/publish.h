/* publish.h - the only way to replace a file.
 *
 * Temporary name in the same directory (O_EXCL), write, fsync, rename, fsync the directory: only
 * then is it true. If a step fails nothing is deleted but the temporary file, and the error names
 * the step. */
#ifndef REMUDA_BASE_PUBLISH_H
#define REMUDA_BASE_PUBLISH_H
#include "shared/base/bytes.h"

/* All at once. error_r gets a one-line text. Returns 0, or -1 with errno kept. */
int publish(const char *dir, const char *name, struct bytes content, char *error_r,
            size_t error_bytes);
/* In two parts, for a writer that streams: the temporary file is dir/temp_name, opened O_EXCL
 * (a stale one of a dead process is removed first); publish_commit() syncs, renames, syncs the
 * directory and closes fd. */
int publish_begin(const char *dir, const char *temp_name, char *error_r, size_t error_bytes);
int publish_commit(int fd, const char *dir, const char *temp_name, const char *name, char *error_r,
                   size_t error_bytes);
/* The same, but a file of that name that is there already is an error (EEXIST). */
int publish_commit_new(int fd, const char *dir, const char *temp_name, const char *name,
                       char *error_r, size_t error_bytes);
int publish_sync_dir(const char *dir, char *error_r, size_t error_bytes);

#endif
