/* restore.h - a data directory from a snapshot.
 *
 * Files are copied (sharing blocks where the file system can), never linked: a pool appends to its own.
 * pool.json comes last, so that a directory half restored is never started; run again, it is finished.
 * Run by root, it gives what it makes to the snapshot's owner.
 * While it works, and after it was killed, DATA holds the file `restore-unfinished`. */
#ifndef REMUDA_SUPERVISOR_RESTORE_H
#define REMUDA_SUPERVISOR_RESTORE_H
#include <stddef.h>
#include <stdint.h>

#define RESTORE_MARK "restore-unfinished"

struct restored {
    uint32_t shards;
    uint64_t keys;
};

/* Check the snapshot and copy it to data, which is made if it is not there and must hold no pool.
 * 0, or -1 with a one-line text. */
int restore(const char *snapshot, const char *data, struct restored *restored_r, char *error_r,
            size_t error_bytes);

#endif
