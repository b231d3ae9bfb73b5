/* write_path.c - how far the bytes of the log have come, and what waits for that. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"

static uint64_t age(uint64_t since_us, uint64_t now_us) {
    return since_us != 0 && now_us > since_us ? now_us - since_us : 0;
}

void persist_write_path(const struct persist *p, struct write_path *path_r) {
    const struct aof *aof = &p->aof;
    uint64_t now_us = clock_mono_us();
    *path_r = (struct write_path){
        .executed = aof->executed,
        .written = aof->written,
        .synced = aof->synced,
        .written_age_us = age(aof->pending.len > 0 ? aof->pending_since_us : 0, now_us),
        .synced_age_us = age(aof->executed > aof->synced ? aof->unsynced_since_us : 0, now_us)};
}

/* Under `always` a reply waits for the sync. Under the others it has waited for write(2) when the turn
 * ends, unless the log is held between two files: then it waits for the new one. */
static bool waits_for_sync(const struct persist *p) {
    return p->config->appendfsync == APPENDFSYNC_ALWAYS;
}

uint64_t persist_executed(const struct persist *p) {
    return p->aof.executed;
}

uint64_t persist_reply_gate(const struct persist *p) {
    const struct aof *aof = &p->aof;
    if (!persist_log_is_truth(p) || (aof->trouble != AOF_FINE && !p->turn_has_writes))
        return 0;
    if (waits_for_sync(p))
        return aof->synced < aof->executed ? aof->executed : 0;
    return aof->held && aof->written < aof->executed ? aof->executed : 0;
}

uint64_t persist_reply_released(const struct persist *p) {
    if (!persist_log_is_truth(p))
        return p->aof.executed;
    return waits_for_sync(p) ? p->aof.synced : p->aof.written;
}
