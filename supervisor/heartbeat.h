/* heartbeat.h - has a process moved lately? Pure: the caller looks at the status page, /proc and the clock.
 *
 * Time that the child could not use is not held against it: time in which the watcher itself did not
 * look (it was stopped, or the machine slept; one look adds at most HEARTBEAT_GAP_MAX_MS), and, for a
 * while, time in which the child waited for a disk or was ready to run but got no processor. */
#ifndef REMUDA_SUPERVISOR_HEARTBEAT_H
#define REMUDA_SUPERVISOR_HEARTBEAT_H
#include <stdbool.h>
#include <stdint.h>

enum {
    HEARTBEAT_LOOK_MS = 250,
    HEARTBEAT_GAP_MAX_MS = 2 * HEARTBEAT_LOOK_MS,
    HEARTBEAT_START_MIN_MS = 3000,   /* at least so long for exec and the first turn of its loop */
    HEARTBEAT_HELD_UP_MAX_MS = 30000 /* without a move, so much is forgiven and no more */
};

/* What the watcher sees of a child. */
struct heartbeat_sign {
    uint64_t counter;
    char state;      /* of the process as in /proc/PID/stat: R, S, D, T ...; 0: unknown */
    uint64_t cpu_ms; /* it has used so far */
};

struct heartbeat {
    uint64_t seen; /* the counter when it last moved */
    uint64_t looked_ms;
    uint64_t cpu_ms;     /* used at the last look */
    uint64_t still_ms;   /* not moved for this long, although it could have */
    uint64_t held_up_ms; /* since the last move, forgiven */
    bool moved;          /* at all, since the start */
};

/* A child was spawned; its counter stands at `counter`. */
void heartbeat_begin(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms);
/* Look again. True while the child is alive; false when it has not moved for timeout_ms. */
bool heartbeat_look(struct heartbeat *heartbeat, const struct heartbeat_sign *sign, uint64_t now_ms,
                    uint64_t timeout_ms);

#endif
