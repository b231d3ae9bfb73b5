/* restart_policy.h - when a dead child is started again, and when it is not. Pure: no clock, no
 * fork, no random numbers; all of them are arguments.
 *
 *   crash 1      2         3                  4 ...          (ran healthy long enough: back to min)
 *         | min  | 2 min   | 4 min  ... max   |
 *
 * `limit` crashes within `window_ms` and the answer is RESTART_GIVE_UP. */
#ifndef REMUDA_SUPERVISOR_RESTART_POLICY_H
#define REMUDA_SUPERVISOR_RESTART_POLICY_H
#include <stdbool.h>
#include <stdint.h>

enum { RESTART_LIMIT_MAX = 1000, RESTART_JITTER_ONE = 65536 };

struct restart_rules {
    uint64_t delay_min_ms, delay_max_ms;
    uint64_t healthy_after_ms; /* a run at least this long forgets the delay reached before */
    uint64_t window_ms;
    uint32_t limit;      /* 1..RESTART_LIMIT_MAX crashes in the window */
    bool first_at_once;  /* the first restart has no delay */
    bool never_gives_up; /* `limit` does not apply */
};

/* What the policy remembers of one child. Zero-initialised: never crashed. */
struct restart_history {
    uint64_t crash_ms[RESTART_LIMIT_MAX]; /* ring of the latest crashes */
    uint32_t crashes;                     /* in the ring, at most RESTART_LIMIT_MAX */
    uint32_t next;                        /* where the next one goes */
    uint32_t doublings;                   /* restarts since the last healthy run */
};

enum restart_verdict { RESTART_AFTER_DELAY, RESTART_GIVE_UP };

struct restart_decision {
    enum restart_verdict verdict;
    uint64_t delay_ms;
    uint32_t crashes_in_window; /* this one included */
};

/* A child died at now_ms (any monotonic clock) after running for ran_ms. jitter (0..RESTART_JITTER_ONE)
 * stretches the delay by up to a quarter, so that children that died together do not start
 * together; the delay never exceeds delay_max_ms. */
struct restart_decision restart_decide(struct restart_history *history,
                                       const struct restart_rules *rules, uint64_t now_ms,
                                       uint64_t ran_ms, uint32_t jitter);

#endif
