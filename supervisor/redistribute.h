/* redistribute.h - another number of workers than the pool has shards: the keys are dealt anew, at start,
 * before any worker runs. Memory of one shard at most, disk for all files once more. */
#ifndef REMUDA_SUPERVISOR_REDISTRIBUTE_H
#define REMUDA_SUPERVISOR_REDISTRIBUTE_H
#include "config/config.h"
#include "supervisor/pool_file.h"

struct redistribution {
    const struct config *config;
    const char *worker_path;
    int lock_fd;
    uint32_t shards; /* how many there are to be */
};

/* pool: what is there, and on success what is there then. Returns 0; 1 if SIGTERM or SIGINT came (the
 * pool is as it was, or done); -1 with a one-line text: the pool is as it was, or the next start goes on. */
int redistribute(const struct redistribution *job, struct pool_file *pool, char *error_r,
                 size_t error_bytes);

#endif
