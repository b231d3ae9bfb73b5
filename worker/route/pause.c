/* pause.c - CLIENT PAUSE: for a while no command of this worker's clients is begun, or no write. Every
 * worker of the pool pauses its own; who must wait is stalled, as for a full ring. */
#include "worker/route/router_private.h"

enum { WAITS_FOR_PAUSE = SHARD_MAX }; /* no shard */

bool pause_holds(const struct router *r, const struct command *cmd) {
    return r->pause_all || (cmd->flags & CMD_WRITE) != 0;
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

void pause_check(struct router *r, uint64_t now_ms) {
    if (r->pause_until_ms != 0 && now_ms >= r->pause_until_ms)
        router_pause(r, 0, false);
}

bool router_is_paused(const struct router *r) {
    return r->pause_until_ms != 0;
}
