/* router_private.h - what the files of route/ share. */
#ifndef REMUDA_ROUTE_ROUTER_PRIVATE_H
#define REMUDA_ROUTE_ROUTER_PRIVATE_H
#include "worker/command/blocked.h"
#include "worker/persist/persist.h"
#include "worker/replication/propagate.h"
#include "worker/route/link.h"
#include "worker/route/router.h"

struct call;

/* One frame whose answer is awaited, found by its token through the router's slab. */
struct part {
    struct call *call;
    uint32_t slot;     /* in the slab */
    uint32_t sequence; /* upper half of the token: a slot is used again, a token never */
    uint16_t peer;
    uint8_t type; /* enum relay_type of the request */
    bool awaited;
    bool published; /* it may have run */
    bool waits;     /* at its shard, for a key */
    uint16_t command;
    uint8_t flags;
    uint32_t argc, db;
    struct buf reply;
    struct buf kept; /* body of a read, to be sent again if the owner dies */
};

/* A command in flight. */
struct call {
    struct list link;          /* in pipeline->calls */
    struct pipeline *pipeline; /* NULL: the client is gone */
    const struct command *cmd;
    struct buf after; /* replies to the commands after this one */
    bool done;
    bool silent;  /* CLIENT REPLY OFF: the reply is dropped */
    bool barrier; /* the client's next command waits for this one */
    bool waits;   /* in a blocking command, for a key */
    bool served;  /* in a blocking command of several parts: one of them has something */
    uint8_t resp;
    uint32_t argc;
    uint32_t parts_count, parts_left;
    struct part *parts; /* &single, or an array */
    struct part single;
    uint64_t started_ms;
    uint16_t *owners; /* MGET: part index of each of argc keys */
    struct gather *gather;
    struct session *session; /* of the client, while pipeline is set */
    struct buf args;         /* for spans that run a handler at the end: argc times {u32, bytes} */
};

/* A reply to another shard that waits for a sync of our log. */
struct held {
    struct list link;
    uint64_t gate;
    uint32_t peer;
    struct relay_frame frame;
    size_t len;
    char body[];
};

/* A frame that waits for the shard's lock to open, or for its sender to take what it is owed. */
struct parked {
    struct list link;
    uint32_t peer; /* may be this shard itself */
    struct relay_frame frame;
    size_t len;
    char body[];
};

struct lock_state {
    bool held;
    uint32_t by, generation;
    uint64_t token;
    struct list parked;
};

struct router {
    struct command_env *env;
    struct keyspace *ks;
    const struct slot_map *slots;
    uint32_t self, shards;
    struct links *links;

    struct part **slab; /* by slot; NULL: free */
    uint32_t slab_size, *slab_free, slab_free_count, next_sequence;
    uint32_t numbers[2]; /* given to commands over several shards, by enum parts_kind */
    struct list free_calls;
    uint32_t free_calls_count;

    const _Atomic uint32_t *failover; /* of the segment */
    struct lock_state lock;
    struct list stalled;  /* struct pipeline */
    bool full[SHARD_MAX]; /* some stalled because too much waits for this shard */
    bool any_full;
    struct list held;         /* struct held */
    struct list loopback;     /* struct parked: gather's messages to this shard itself */
    struct blocked *blocked;  /* who waits for keys of this shard */
    uint32_t waiting;         /* clients of ours that wait, for keys of any shard */
    uint32_t waiting_parts;   /* of their calls, each at a shard */
    uint64_t pause_until_ms;  /* CLIENT PAUSE, monotonic; 0: none */
    bool pause_all;           /* reads too */
    bool failover_seen;       /* the pause of a failover was on when it was last looked at */
    struct list monitors;     /* struct pipeline: clients of ours that watch */
    bool fed[SHARD_MAX];      /* shards with clients that watch the pool */
    bool monitored;           /* any of both */
    struct keyspace *scratch; /* gather's operands */
    struct gather *scratch_user;

    struct session remote;   /* relayed commands run with it */
    struct session internal; /* gather */
    struct buf reply_scratch, body_scratch;
    struct bytes *argv_scratch;
    uint32_t argv_cap;
    uint32_t positions_cap, *positions;

    uint64_t processed, relayed, served, requests_sent, failed, gathers;
    uint64_t serving_since_us; /* when the turn's first command of others ended; 0: none yet */
    uint64_t handled_before;   /* processed and served when last asked whether a turn was short */
};

/* ---- call.c: commands in flight ---- */
/* A new call at the pipeline's end (NULL: of no client), with this many parts. */
struct call *call_begin(struct router *r, struct pipeline *p, struct session *session,
                        const struct command *cmd, uint32_t parts);
/* Give the part a token and send its request; the peer may be this shard itself (gather). argv or
 * body as in link_send(). frame.flags, command, argc, db are the caller's. */
void part_send(struct router *r, struct part *part, uint32_t peer, struct relay_frame frame,
               const struct bytes *argv, struct bytes body);
/* A part that waits for an answer that no frame asks for (router_defer). Returns its token. */
uint64_t part_await(struct router *r, struct part *part, uint32_t peer);
/* The part of a token, if it is awaited. */
struct part *part_find(struct router *r, uint64_t token);
uint64_t part_token(const struct part *part);
/* The answer is there: nothing is awaited any more. */
void part_release(struct router *r, struct part *part);
/* The part's reply is stored in part->reply (or an error is): when it was the last, merge. */
void part_done(struct router *r, struct part *part);
/* The call's reply is `resp`: put it in order and let it go. Frees the call. */
/* A reply of this client's was made by this shard: it waits for our log. */
void router_made_here(const struct router *r, struct pipeline *p);
void call_finish(struct router *r, struct call *call, struct bytes resp);
void call_barrier(struct call *call);
void calls_free(struct router *r);
/* Write "-ERR shard N <what> (why its process ended)" as a reply. */
void down_error(struct router *r, uint32_t shard, const char *what, struct buf *out);
/* A peer's generation is gone: its parts run again or fail. Parts whose wait is over fail. */
void calls_peer_lost(struct router *r, uint32_t peer);
void calls_check_waiting(struct router *r);
void part_fail(struct router *r, struct part *part, const char *what);

/* ---- router.c ---- */
/* A context for a command of this session, its reply going to `out`. */
struct command_ctx router_context(struct router *r, struct session *session,
                                  const struct command *cmd, const struct bytes *argv,
                                  uint32_t argc, struct buf *out);
/* Arguments out of a frame's body, as many as are promised; NULL if they are not whole. The array is
 * the router's scratch, valid until the next call. */
const struct bytes *frame_arguments(struct router *r, uint32_t argc, struct bytes body);
/* Append arguments in a frame's form. */
void frame_append(struct buf *out, uint32_t argc, const struct bytes *argv);
/* Send a frame to a peer or, through the loopback, to this shard itself. */
void router_deliver(struct router *r, uint32_t peer, struct relay_frame frame, struct bytes body);
void router_stall(struct router *r, struct pipeline *p, uint32_t waits_for);
void router_wake_stalled(struct router *r, uint32_t waits_for);
/* Positions of all keys of a call, in the router's scratch; -1 if the arguments are malformed. */
int32_t router_key_positions(struct router *r, const struct command *cmd, const struct bytes *argv,
                             uint32_t argc);

/* ---- parts.c ---- */
/* Does anybody put the shards' streams together? Else no part need bear a number. */
bool parts_are_wanted(const struct router *r);
/* A part with the next number, of no shard yet. Numbers of one kind and coordinator come to each shard in
 * ascending order: what a shard has not said of an older command, it will not say any more. */
enum parts_kind { PARTS_SPLIT, PARTS_LOCKED };
struct propagate_part parts_number(struct router *r, enum parts_kind kind);
/* In a request with RELAY_PART it is the last argument. */
struct bytes parts_argument(const struct propagate_part *part);
/* Take it from there, if there is one; false: it makes no sense. */
bool parts_take(const struct relay_frame *frame, const struct bytes *argv, uint32_t *argc,
                struct propagate_part *part_r);
/* execute(), as this part (of no shard: of none). */
void parts_execute(struct router *r, struct command_ctx *ctx, const struct propagate_part *part);

/* ---- prefetch.c ---- */
/* A link's hook: these records come next. */
void prefetch_records(void *arg, struct ring_reader ahead);

/* ---- serve.c ---- */
void serve_frame(struct router *r, uint32_t peer, const struct relay_frame *frame,
                 struct bytes body);
/* Send an answer to a peer (or to ourselves), held back while our log is not synced. */
void serve_answer(struct router *r, uint32_t peer, const struct relay_frame *request, uint8_t type,
                  uint8_t flags, struct bytes body);
/* Frames that were parked while the shard was locked, or their peer had too much waiting for it. */
void serve_parked(struct router *r);
/* Take a frame out of the parking place; false: it is not there. */
bool serve_unpark(struct router *r, uint32_t peer, uint8_t type, uint64_t token);
/* So much waits for this peer that it must take some of it before it gets more. It reads its ring whatever
 * happens, so this passes, or the peer dies. Never true of this shard. */
bool serve_is_congested(const struct router *r, uint32_t peer);
/* Is there one whose turn has come? */
bool serve_may_go_on(const struct router *r);
void serve_unlock(struct router *r);
/* Put a frame aside: copy of frame and body at the end of a list. */
void park_frame(struct list *where, uint32_t peer, const struct relay_frame *frame,
                struct bytes body);

/* ---- wait.c ---- */
/* A client's own command that was run here waits: it becomes a call. */
void wait_here(struct router *r, struct command_ctx *ctx);
/* The same for one of several parts. */
void wait_part_here(struct router *r, struct part *part, struct command_ctx *ctx);
/* One of several parts has its reply: if it has something, the others need not wait. */
void wait_part_done(struct router *r, struct part *part);
/* Its owner says so of one that was relayed. */
void wait_told(struct router *r, struct part *part);
/* CLIENT LIST shows it from now on. */
void wait_mark(struct router *r, struct part *part);
/* It ends. Does nothing to one that does not wait. */
void wait_unmark(struct router *r, struct call *call);
/* The client is gone: nobody awaits the call any more. false: it must run to its end. */
bool wait_forget(struct router *r, struct call *call);
/* Serving side: what a peer asked for waits; a peer ends a wait. */
void wait_for_peer(struct router *r, struct command_ctx *ctx, uint32_t peer,
                   const struct relay_frame *request);
/* End what a frame of this type began at the part's peer. */
void wait_cancel(struct router *r, const struct part *part, uint8_t type, enum unblock_how how);
/* A call over several shards wants to be told when one of these keys is ready. */
void wait_serve_await(struct router *r, uint32_t peer, const struct relay_frame *frame,
                      struct bytes body);
void wait_serve_cancel(struct router *r, uint32_t peer, const struct relay_frame *frame);
/* A hook of blocked.h. */
void wait_answer(void *arg, struct waiter_id id, struct bytes reply, bool failed);

/* ---- monitor.c ---- */
/* A client's command was run or sent on: tell who watches. Only while r->monitored. */
void monitor_feed(struct router *r, const struct command_ctx *ctx);
/* A line of another worker's. */
void monitor_fed(struct router *r, struct bytes line);
/* A peer begins anew, or says whether it wants to be told. */
void monitor_peer_up(struct router *r, uint32_t peer);
void monitor_peer_wants(struct router *r, uint32_t peer, bool on);

/* ---- pause.c ---- */
static inline bool pause_is_on(const struct router *r) {
    return r->pause_until_ms != 0 ||
           atomic_load_explicit(r->failover, memory_order_acquire) != FAILOVER_IS_OFF;
}
/* Must this client's command wait for the end of the pause? Only while it is on. */
bool pause_holds(const struct router *r, const struct session *session, const struct command *cmd);
void pause_stall(struct router *r, struct pipeline *p);
/* End it when its time has come, or the failover is over. */
void pause_check(struct router *r);

/* ---- merge.c ---- */
/* All parts of a call have their replies: build the client's and finish the call. */
void merge_parts(struct router *r, struct call *call);
/* SCAN's cursor on the public port: shard in the low 7 bits, the shard's own cursor above. */
enum { SCAN_SHARD_BITS = 7 };
#define SCAN_LOCAL_END ((1ULL << 48) - 1)
bool scan_cursor_split(struct bytes text, uint64_t *local_r, uint32_t *shard_r);
void scan_cursor_rewrite(struct router *r, struct bytes reply, uint32_t shard, struct buf *out);

/* ---- gather.c ---- */
/* Gather the keys at these positions and, if `derives`, those that follow from what they hold. */
void gather_begin(struct router *r, struct pipeline *p, struct session *session,
                  const struct command *cmd, const struct bytes *argv, uint32_t argc,
                  const uint32_t *positions, uint32_t keys, bool derives);
void gather_answer(struct router *r, struct part *part, const struct relay_frame *frame,
                   struct bytes body);
/* End the call with an error that names a shard, and give back what locks it has. */
void gather_failed(struct router *r, struct call *call, uint32_t shard, const char *what);
/* The same, for a shard that died. */
void gather_shard_lost(struct router *r, struct call *call, uint32_t shard);
/* The same, for one that lives and is locked by others for too long. */
void gather_lock_refused(struct router *r, struct call *call, uint32_t shard);
/* Its wait is over, and this is the reply. */
void gather_time_is_up(struct router *r, struct call *call, struct bytes reply);
/* Its client is gone: end it if nothing was executed; false if it must go on. */
bool gather_abandon(struct router *r, struct call *call);
/* Does it hold this shard's lock? Is it still collecting locks? */
bool gather_needs(const struct gather *gather, uint32_t shard);
bool gather_is_locking(const struct gather *gather);
/* How long it may wait for others while they wait for it; 0: as long as they live. */
uint64_t gather_patience_ms(const struct gather *gather);
void gather_free(struct gather **gather);
/* Serving side. */
void gather_serve_fetch(struct router *r, uint32_t peer, const struct relay_frame *frame,
                        struct bytes body);
void gather_serve_lock(struct router *r, uint32_t peer, const struct relay_frame *frame,
                       struct bytes body);
void gather_serve_write_back(struct router *r, uint32_t peer, const struct relay_frame *frame,
                             struct bytes body);
void gather_serve_mark(struct router *r, uint32_t peer, const struct relay_frame *frame,
                       struct bytes body);

#endif
