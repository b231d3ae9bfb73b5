/* heartbeat.h - has a process moved lately? Pure: the caller looks at the status page and the clock.
 *
 * Time in which the watcher itself did not look (it was stopped, or the machine slept) is not held
 * against the child: one look adds at most HEARTBEAT_GAP_MAX_MS. */
#ifndef REMUDA_SUPERVISOR_HEARTBEAT_H
#define REMUDA_SUPERVISOR_HEARTBEAT_H
#include <stdbool.h>
#include <stdint.h>

enum {
    HEARTBEAT_LOOK_MS = 250,
    HEARTBEAT_GAP_MAX_MS = 2 * HEARTBEAT_LOOK_MS,
    HEARTBEAT_START_MIN_MS = 3000 /* at least so long for exec and the first turn of its loop */
};

struct heartbeat {
    uint64_t seen; /* the counter when it last moved */
    uint64_t looked_ms;
    uint64_t still_ms; /* not moved for this long */
    bool moved;        /* at all, since the start */
};

/* A child was spawned; its counter stands at `counter`. */
void heartbeat_begin(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms);
/* Look again. True while the child is alive; false when it has not moved for timeout_ms. */
bool heartbeat_look(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms,
                    uint64_t timeout_ms);

#endif
