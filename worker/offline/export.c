/* export.c - all shards of a pool into one RDB file that a stock server loads. */
#include "worker/offline/offline_private.h"

#include "shared/base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

int export_run(struct offline *o, char **argv) {
    const char *dir = argv[0], *out = argv[2], *name = argv[3];
    struct slot_map *owners = offline_slots(argv[1]);
    struct pool_files pool = {0};
    struct targets targets = {0};
    struct copy copy = {.offline = o, .targets = &targets, .owners = owners};
    bool replace = strcmp(argv[4], "replace") == 0;
    int result = pool_files_find(&pool, dir, owners, true, o);
    if (result == 0)
        result = copy_check_room(pool.shards, pool.count, out, o->error, sizeof o->error);
    if (result == 0)
        result = targets_open(&targets, o->config, out, name, NULL, o->error, sizeof o->error);
    if (result == 0)
        result = pool_files_copy(&pool, &copy);
    if (result == 0)
        result = targets_commit(&targets, replace, o->error, sizeof o->error);
    if (result == 0) {
        offline_progress_end(o);
        offline_say(o, "%s/%s: %" PRIu64 " keys of %u shards, %" PRIu64 " bytes", out, name,
                    targets.saved[0].keys, pool.count, targets.saved[0].bytes);
        targets_say_databases(&targets, o);
        if (targets.saved[0].version > RDB_VERSION_PLAIN)
            offline_say(o,
                        "  written as RDB version %d, for fields of hashes expire: Redis 7.4 and "
                        "later load it",
                        targets.saved[0].version);
        copy_say_skipped(&copy);
    }
    targets_free(&targets);
    pool_files_free(&pool);
    mem_free(owners);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
