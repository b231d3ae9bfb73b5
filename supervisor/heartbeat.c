/* heartbeat.c - see the header. Nothing here can fail. */
#include "supervisor/heartbeat.h"

void heartbeat_begin(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms) {
    *heartbeat = (struct heartbeat){.seen = counter, .looked_ms = now_ms};
}

/* In the kernel for a disk, or ready to run and given less than a quarter of a processor. */
static bool is_held_up(const struct heartbeat_sign *sign, uint64_t used_ms, uint64_t gap_ms) {
    return sign->state == 'D' || (sign->state == 'R' && used_ms * 4 < gap_ms);
}

bool heartbeat_look(struct heartbeat *heartbeat, const struct heartbeat_sign *sign, uint64_t now_ms,
                    uint64_t timeout_ms) {
    uint64_t gap_ms = now_ms - heartbeat->looked_ms, used_ms = sign->cpu_ms - heartbeat->cpu_ms;
    heartbeat->looked_ms = now_ms;
    heartbeat->cpu_ms = sign->cpu_ms;
    if (sign->counter != heartbeat->seen) {
        heartbeat->seen = sign->counter;
        heartbeat->still_ms = heartbeat->held_up_ms = 0;
        heartbeat->moved = true;
        return true;
    }
    if (is_held_up(sign, used_ms, gap_ms) && heartbeat->held_up_ms < HEARTBEAT_HELD_UP_MAX_MS) {
        heartbeat->held_up_ms += gap_ms;
        return true;
    }
    heartbeat->still_ms += gap_ms < HEARTBEAT_GAP_MAX_MS ? gap_ms : HEARTBEAT_GAP_MAX_MS;
    uint64_t limit_ms = timeout_ms;
    if (!heartbeat->moved && limit_ms < HEARTBEAT_START_MIN_MS)
        limit_ms = HEARTBEAT_START_MIN_MS;
    return heartbeat->still_ms < limit_ms;
}
