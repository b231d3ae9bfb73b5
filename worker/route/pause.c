/* pause.c - CLIENT PAUSE, and the pause of a FAILOVER: for a while no command of this worker's clients is begun,
 * or no write. Every worker of the pool pauses its own; who must wait is stalled, as for a full ring.
 *
 * A failover's is not told to the workers but lies in the segment: who begins anew knows of it. What comes
 * from a primary is held by none. */
#include "worker/route/router_private.h"

#include "shared/base/clock.h"

enum { WAITS_FOR_PAUSE = SHARD_MAX }; /* no shard */

bool pause_holds(const struct router *r, const struct session *session, const struct command *cmd) {
    return !session->upstream && (r->pause_all || (cmd->flags & CMD_WRITE) != 0);
}

void pause_stall(struct router *r, struct pipeline *p) {
    router_stall(r, p, WAITS_FOR_PAUSE);
}

void router_pause(struct router *r, uint64_t until_ms, bool all) {
    if (until_ms == 0) {
        r->pause_until_ms = 0;
        r->pause_all = false;
        router_wake_stalled(r, WAITS_FOR_PAUSE);
        return;
    }
    /* A pause is made longer and stricter, never the other way round: that is what UNPAUSE is for. */
    r->pause_until_ms = until_ms > r->pause_until_ms ? until_ms : r->pause_until_ms;
    r->pause_all |= all;
}

void pause_check(struct router *r) {
    bool failover = atomic_load(r->failover) != FAILOVER_IS_OFF;
    if (r->failover_seen && !failover)
        router_wake_stalled(r, WAITS_FOR_PAUSE);
    r->failover_seen = failover;
    if (r->pause_until_ms != 0 && clock_mono_ms() >= r->pause_until_ms)
        router_pause(r, 0, false);
}

bool router_is_paused(const struct router *r) {
    return pause_is_on(r);
}
