/* targets.c - the files that keys are dealt to by slot: one for each shard, or one for all. */
#include "worker/offline/offline_private.h"

#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

static struct rdb_part *open_shard(struct targets *t, uint32_t shard, const char *name,
                                   char *error_r, size_t error_bytes) {
    char path[SHARD_PATH_BYTES];
    offline_shard_dir(t->dir, shard, path);
    if (mkdir(path, 0755) != 0) {
        snprintf(error_r, error_bytes, "cannot create %s: %s", path, strerror(errno));
        return NULL;
    }
    return rdb_part_begin(path, name, t->config, error_r, error_bytes);
}

int targets_open(struct targets *t, const struct config *config, const char *dir, const char *name,
                 const struct slot_map *slots, char *error_r, size_t error_bytes) {
    *t = (struct targets){.config = config, .slots = slots, .dir = dir};
    t->db_keys = mem_calloc((size_t)config->databases, sizeof *t->db_keys);
    for (uint32_t i = 0; i < (slots != NULL ? slots->shards : 1); i++) {
        t->parts[i] = slots != NULL ? open_shard(t, i, name, error_r, error_bytes)
                                    : rdb_part_begin(dir, name, config, error_r, error_bytes);
        if (t->parts[i] == NULL)
            return -1;
        t->count = i + 1;
    }
    return 0;
}

struct rdb_part *targets_part(struct targets *t, uint32_t db, struct bytes key) {
    t->db_keys[db]++;
    return t->parts[t->slots != NULL ? t->slots->owner[slot_of_key(key)] : 0];
}

int targets_commit(struct targets *t, bool replace, char *error_r, size_t error_bytes) {
    for (uint32_t i = 0; i < t->count; i++) {
        if (rdb_part_commit(&t->parts[i], replace, &t->saved[i], error_r, error_bytes) != 0)
            return -1;
    }
    return t->slots != NULL ? publish_sync_dir(t->dir, error_r, error_bytes) : 0;
}

void targets_free(struct targets *t) {
    for (uint32_t i = 0; i < t->count; i++)
        rdb_part_abort(&t->parts[i]);
    mem_free(t->db_keys);
    t->db_keys = NULL;
}

void targets_say_shards(const struct targets *t, const struct offline *o) {
    for (uint32_t i = 0; i < t->count; i++)
        offline_say(o, "  shard-%04u: %" PRIu64 " keys, %" PRIu64 " bytes", i, t->saved[i].keys,
                    t->saved[i].bytes);
}

void targets_say_databases(const struct targets *t, const struct offline *o) {
    for (int64_t db = 0; db < t->config->databases; db++) {
        if (t->db_keys[db] > 0)
            offline_say(o, "  database %" PRId64 ": %" PRIu64 " keys", db, t->db_keys[db]);
    }
}
