/* link.h - this worker's links to all others: one ring each way, a backlog, a doorbell.
 *
 * Nothing here blocks. A message goes straight into the ring if it fits one record and nothing waits
 * before it; else it waits in the peer's backlog, in order, cut into records as room appears. While a
 * peer is down its backlog keeps what was meant for it; the generation is written at the last moment.
 * Frames that come in are handed whole to `receive`; those of a dead generation are dropped. */
#ifndef REMUDA_ROUTE_LINK_H
#define REMUDA_ROUTE_LINK_H
#include "shared/base/buf.h"
#include "shared/ipc/relay_frame.h"
#include "shared/ipc/segment.h"

struct links;

/* Longest body of a message. A longer one is never sent (ask before), and taken for garbage. */
enum { LINK_BODY_MAX = INT32_MAX };
enum { LINK_AHEAD = 16 };

struct link_hooks {
    void *arg;
    /* A whole message of a living generation; body is valid during the call. */
    void (*receive)(void *arg, uint32_t peer, const struct relay_frame *frame, struct bytes body);
    /* LINK_AHEAD records, if there are so many, will be received next; `ahead`, a copy of the
     * reader, is the hook's to walk. */
    void (*ahead)(void *arg, struct ring_reader ahead);
    /* A generation of a peer is seen to be gone (an order said so, or its successor's frame came). */
    void (*peer_lost)(void *arg, uint32_t peer, uint32_t generation);
    /* A message that had waited is wholly in the ring now: it may run. */
    void (*published)(void *arg, uint64_t token);
    /* The peer's ring held garbage and was skipped: answers may be among what is lost. */
    void (*garbled)(void *arg, uint32_t peer);
    /* Asked after each record: does the rest wait for the next turn? */
    bool (*enough)(void *arg);
    /* A backlog that was not empty has drained. */
    void (*drained)(void *arg, uint32_t peer);
};

/* How far a sent message got, for who must decide whether it may have run. */
enum link_sent {
    LINK_PUBLISHED, /* all of it is in the ring: it may run */
    LINK_WAITING    /* in the backlog: it has surely not run */
};

struct links *links_create(const struct segment *segment, uint32_t self, uint32_t generation,
                           const struct link_hooks *hooks);
void links_free(struct links **links);

/* Send a message: header fields type, flags, command, argc, token, db are the caller's; the rest is
 * filled in. The body is argc times {u32 length, bytes} of argv, or `body` if argv is NULL.
 * peer is not self. */
enum link_sent link_send(struct links *links, uint32_t peer, struct relay_frame frame,
                         const struct bytes *argv, struct bytes body);
/* Take a waiting message out of the backlog. true if it was there (so it never runs). */
bool link_withdraw(struct links *links, uint32_t peer, uint64_t token, uint8_t type);
uint64_t link_backlog_bytes(const struct links *links, uint32_t peer);
uint64_t links_backlog_bytes(const struct links *links); /* of all peers */

bool link_is_up(const struct links *links, uint32_t peer);
/* The supervisor's word. */
void link_peer_up(struct links *links, uint32_t peer, uint32_t generation);
void link_peer_down(struct links *links, uint32_t peer, uint32_t generation);

/* Read all rings, a bounded number of records each. Returns true if anything may be left. */
bool links_receive(struct links *links);
/* Push backlogs into the rings, publish what was sent, ring the doorbells. Once a turn. */
void links_flush(struct links *links);
/* Before sleeping: arm our doorbell and look once more. Returns true if there is something to do, and
 * then the bell is disarmed again. */
bool links_sleep(struct links *links);
void links_awake(struct links *links);

struct link_stats {
    uint64_t stale_dropped, doorbells_rung, corrupt;
};
const struct link_stats *links_stats(const struct links *links);

#endif
