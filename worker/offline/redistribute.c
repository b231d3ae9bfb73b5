/* redistribute.c - the shards of a pool dealt anew, complete and safe on disk, into a folder from which
 * the supervisor puts them in place. The old ones are only read. */
#include "worker/offline/offline_private.h"

#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Keys that were not served where they lay are not served now either, but they are kept. */
static int settle_strays(const struct copy *copy, const char *shard, struct offline *o) {
    if (copy->strays == 0)
        return 0;
    offline_say(o,
                "%" PRIu64 " keys lay in the folder of a shard that does not own them, where no "
                "client could see them: kept in shard-0000/quarantine/stray-keys-of-shard-*.rdb",
                copy->strays);
    return publish_sync_dir(shard, o->error, sizeof o->error);
}

int redistribute_run(struct offline *o, char **argv) {
    const char *dir = argv[0], *out = argv[2];
    char shard[SHARD_PATH_BYTES], strays[SHARD_PATH_BYTES + 16];
    struct slot_map *owners = offline_slots(argv[1]), *slots = offline_slots(argv[3]);
    struct pool_files pool = {0};
    struct targets targets = {0};
    snprintf(shard, sizeof shard, "%s/shard-0000", out);
    snprintf(strays, sizeof strays, "%s/quarantine", shard);
    struct copy copy = {.offline = o, .targets = &targets, .owners = owners, .strays_dir = strays};
    int result = slots == NULL ? -1 : pool_files_find(&pool, dir, owners, false, o);
    if (result == 0)
        result = copy_check_room(pool.shards, pool.count, out, o->error, sizeof o->error);
    if (result == 0)
        result = targets_open(&targets, o->config, out, o->config->dbfilename, slots, o->error,
                              sizeof o->error);
    if (result == 0)
        result = pool_files_copy(&pool, &copy);
    if (result == 0)
        result = targets_commit(&targets, true, o->error, sizeof o->error);
    if (result == 0)
        result = settle_strays(&copy, shard, o);
    if (result == 0) {
        offline_progress_end(o);
        targets_say_shards(&targets, o);
        copy_say_skipped(&copy);
    }
    targets_free(&targets);
    pool_files_free(&pool);
    mem_free(owners);
    mem_free(slots);
    return result == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
