/* pipeline.h - the replies a client is owed, always in the order of its commands.
 *
 *   out: [ bytes that may go to the socket ]   calls: [ A ? |bytes after A ] [ B done |bytes after B ] ...
 *
 * A command that is answered at once writes to the end: into `out` if nothing is in flight, else into
 * the bytes that follow the last call. A call that becomes the first and is done moves its reply and
 * the bytes after it into `out`. */
#ifndef REMUDA_ROUTE_PIPELINE_H
#define REMUDA_ROUTE_PIPELINE_H
#include "shared/base/buf.h"
#include "shared/base/list.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    PIPELINE_DEPTH_FIRST = 64,               /* commands in flight: of a new client, */
    PIPELINE_DEPTH_MAX = 4096,               /* at most, */
    PIPELINE_DEPTH_FEW = 4,                  /* and at least */
    PIPELINE_REPLY_BYTES = 16 * 1024 * 1024, /* what the replies in flight should not exceed */
    PIPELINE_QUEUED_MAX = 8 * 1024 * 1024    /* of queued_bytes */
};

enum pipeline_monitors { MONITOR_NOTHING, MONITOR_WORKER, MONITOR_POOL };

struct pipeline {
    struct buf out;
    struct list calls; /* struct call, oldest first */
    uint32_t in_flight;
    uint64_t finished;   /* calls that were in flight, so far */
    uint32_t window;     /* as many may be in flight: grows with each small reply */
    size_t queued_bytes; /* replies in calls: an earlier command's is still to come */
    bool barrier;        /* the last command must end before another may begin */
    bool stalled;        /* a ring is full or the shard is locked: begin no command */
    uint32_t waits_for;  /* while stalled: the peer, or this shard for the lock */
    /* Log offset when this shard last made a reply of this client's: what another shard made has
     * waited for that shard's log, and need not wait for ours. */
    uint64_t made_here_at;
    struct list stalled_link;
    enum pipeline_monitors monitors;
    struct list monitor_link;
    void *client;
    /* More of `out` may be sent, or commands may begin again. Called outside of router_command(). */
    void (*wake)(struct pipeline *pipeline);
};

void pipeline_init(struct pipeline *pipeline, void *client, void (*wake)(struct pipeline *));
/* May another command begin now? */
static inline bool pipeline_may_begin(const struct pipeline *p) {
    return !p->barrier && !p->stalled && p->in_flight < p->window &&
           p->queued_bytes < PIPELINE_QUEUED_MAX;
}
/* Where a reply written now belongs. */
struct buf *pipeline_tail(struct pipeline *pipeline);

#endif
