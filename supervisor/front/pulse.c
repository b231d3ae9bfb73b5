/* pulse.c - watches heartbeats; a process that hangs shows here before anyone acts on it. */
#include "supervisor/front/pulse.h"

void pulse_look(struct pulse *pulse, const struct segment *segment, uint64_t now_ms) {
    for (uint32_t i = 0; i < segment->workers + 2; i++) {
        uint64_t beat =
            atomic_load_explicit(&segment_status(segment, i)->heartbeat, memory_order_relaxed);
        if (beat != pulse->beat[i] || pulse->moved_ms[i] == 0) {
            pulse->beat[i] = beat;
            pulse->moved_ms[i] = now_ms;
        }
    }
}
