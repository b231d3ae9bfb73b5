/* datadir.h - the data directory and the lock on it.
 *
 * The lock is an flock() on the directory itself. Children inherit the descriptor, so that it is
 * held until the last process of the pool is gone, whatever happened to the supervisor. */
#ifndef REMUDA_SUPERVISOR_DATADIR_H
#define REMUDA_SUPERVISOR_DATADIR_H
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { DATADIR_LOCK_WAIT_MS = 3000 };

/* Make the directory if it is not there (mode 0700; its parent must exist), give it to owner (-1:
 * leave it), lock it, waiting up to wait_ms for the processes of a dead pool to end. Returns the
 * descriptor, or -1 with a one-line text. */
int datadir_open(const char *path, uid_t owner, gid_t group, unsigned wait_ms, char *error_r,
                 size_t error_bytes);
/* Lock a directory that must be there, at once or not at all: with other readers, or alone. Returns the
 * descriptor, or -1 with a one-line text and errno (EWOULDBLOCK: a pool runs on it). */
int datadir_lock(const char *path, bool alone, char *error_r, size_t error_bytes);

#endif
