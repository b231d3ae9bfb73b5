/* pool_files.c - the files of all shards of a pool, found at once (for the room they need and for the
 * progress), read one shard after the other. */
#include "worker/offline/offline_private.h"

#include "shared/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

void offline_shard_dir(const char *dir, uint32_t shard, char path[SHARD_PATH_BYTES]) {
    snprintf(path, SHARD_PATH_BYTES, "%s/shard-%04u", dir, shard);
}

int pool_files_find(struct pool_files *pool, const char *dir, const struct slot_map *owners,
                    bool must_exist, struct offline *o) {
    if (owners == NULL) {
        snprintf(o->error, sizeof o->error, "the slots of the shards make no sense");
        return -1;
    }
    pool->shards = mem_calloc(owners->shards, sizeof *pool->shards);
    for (pool->count = 0; pool->count < owners->shards; pool->count++) {
        char path[SHARD_PATH_BYTES];
        struct shard_files *files = &pool->shards[pool->count];
        offline_shard_dir(dir, pool->count, path);
        if (access(path, F_OK) != 0 && must_exist) {
            snprintf(o->error, sizeof o->error, "%s: %s; `remuda check` says more", path,
                     strerror(errno));
            return -1;
        }
        if (shard_files_find(files, path, o->config, o->error, sizeof o->error) != 0)
            return -1;
    }
    return 0;
}

int pool_files_copy(const struct pool_files *pool, struct copy *copy) {
    offline_progress_begin(copy->offline, pool->shards, pool->count);
    for (copy->shard = 0; copy->shard < pool->count; copy->shard++) {
        if (copy_files(copy, &pool->shards[copy->shard]) != 0)
            return -1;
    }
    return 0;
}

void pool_files_free(struct pool_files *pool) {
    for (uint32_t i = 0; i < pool->count; i++)
        shard_files_free(&pool->shards[i]);
    mem_free(pool->shards);
    *pool = (struct pool_files){0};
}
