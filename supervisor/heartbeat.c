/* heartbeat.c - see the header. Nothing here can fail. */
#include "supervisor/heartbeat.h"

void heartbeat_begin(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms) {
    *heartbeat = (struct heartbeat){.seen = counter, .looked_ms = now_ms};
}

bool heartbeat_look(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms,
                    uint64_t timeout_ms) {
    uint64_t gap_ms = now_ms - heartbeat->looked_ms;
    heartbeat->looked_ms = now_ms;
    if (counter != heartbeat->seen) {
        heartbeat->seen = counter;
        heartbeat->still_ms = 0;
        heartbeat->moved = true;
        return true;
    }
    heartbeat->still_ms += gap_ms < HEARTBEAT_GAP_MAX_MS ? gap_ms : HEARTBEAT_GAP_MAX_MS;
    uint64_t limit_ms = timeout_ms;
    if (!heartbeat->moved && limit_ms < HEARTBEAT_START_MIN_MS)
        limit_ms = HEARTBEAT_START_MIN_MS;
    return heartbeat->still_ms < limit_ms;
}
