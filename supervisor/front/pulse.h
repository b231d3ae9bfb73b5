/* pulse.h - how long ago each process's heartbeat last moved, as the front sees it. */
#ifndef REMUDA_PULSE_H
#define REMUDA_PULSE_H
#include "shared/ipc/segment.h"

struct pulse {
    uint64_t beat[SHARD_MAX + 2], moved_ms[SHARD_MAX + 2]; /* by process index */
};

/* Look at all heartbeats. now_ms: monotonic. The first look counts as a movement of all. */
void pulse_look(struct pulse *pulse, const struct segment *segment, uint64_t now_ms);
static inline uint64_t pulse_age_ms(const struct pulse *pulse, uint32_t process, uint64_t now_ms) {
    return now_ms > pulse->moved_ms[process] ? now_ms - pulse->moved_ms[process] : 0;
}

#endif
