/* upstream.h - a link to a primary: connects, shakes hands, takes in its snapshot, then its stream, and
 * begins again whenever something is lost.
 *
 *   IDLE -> CONNECTING -> HANDSHAKE -> (PSYNC) -> continues --------------------------> STREAMING
 *                                              -> TRANSFER -> LOADING (the owner's) ------^
 *       any failure: WAITING, and again after a second; longer with each snapshot that came to nothing
 *
 * What becomes of the data is the owner's affair: the snapshot is handed over as a file, each command of the
 * stream with its bytes. Everything that comes in is hostile input. Nothing here blocks. */
#ifndef REMUDA_REPLICATION_UPSTREAM_H
#define REMUDA_REPLICATION_UPSTREAM_H
#include "config/config.h"
#include "shared/base/bytes.h"
#include "worker/persist/rdb_part.h"
#include "worker/replication/backlog.h"

struct upstream;

/* UPSTREAM_STATE(state, text): the text is what a status page shows. */
#define UPSTREAM_STATES(X)                                                                         \
    X(IDLE, "none")                                                                                \
    X(WAITING, "waiting")                                                                          \
    X(CONNECTING, "connecting")                                                                    \
    X(HANDSHAKE, "handshake")                                                                      \
    X(SYNCING, "waiting for the snapshot")                                                         \
    X(TRANSFER, "receiving the snapshot")                                                          \
    X(LOADING, "loading the snapshot")                                                             \
    X(STREAMING, "connected")
enum upstream_state {
#define X(state, text) UPSTREAM_##state,
    UPSTREAM_STATES(X)
#undef X
};
const char *upstream_state_name(enum upstream_state state);
/* FLUSHALL, FLUSHDB, SWAPDB: who reads several streams can't run what one of them says. */
bool upstream_is_of_whole_databases(struct bytes command);

enum upstream_taken { UPSTREAM_TAKEN, UPSTREAM_NOT_NOW, UPSTREAM_ONE_BY_ONE };
enum { UPSTREAM_AHEAD = 16 };

struct upstream_hooks {
    void *arg;
    /* The whole snapshot is in dir/file, the owner's from here on. Load it and call upstream_loaded() or
     * upstream_fail(), at once or later. */
    void (*snapshot)(void *arg, const char *file);
    /* PSYNC was answered with +CONTINUE: under this id from here on. */
    void (*continued)(void *arg);
    /* One command of the stream, and the bytes it is made of; a transaction's only when its EXEC is there,
     * MULTI and EXEC included. False: not now; call upstream_go_on() when it may be offered again. argv
     * is valid during the call. */
    bool (*command)(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw);
    /* A whole transaction, MULTI and EXEC included; or, when it is to be had so, its commands one by one.
     * NOT_NOW as above. May be NULL: one by one. */
    enum upstream_taken (*transaction)(void *arg, struct bytes raw);
    /* So many commands, at most UPSTREAM_AHEAD, come next; these may be their keys. May be NULL. */
    void (*ahead)(void *arg, const struct bytes *keys, uint32_t count);
    /* The answer to a probe: how many workers a pool has and the first one's port; 0 and 0: it is a
     * server by itself. The link is IDLE again. NULL unless where.probe is set. */
    void (*probed)(void *arg, uint32_t workers, uint32_t worker_port);
    /* With where.promote: the server is a primary or a replica, of this run id ("": not told). True: say to it
     * that it be a primary; false: the link is IDLE. / It was said, and answered: error NULL, or its words.
     * IDLE. A link that fails between the two begins again, and asks again. */
    bool (*asked)(void *arg, bool is_primary, const char *run_id);
    void (*promoted)(void *arg, const char *error);
    /* upstream_check() finds that it is something else now. The link fails. May be NULL. */
    void (*is_another)(void *arg, uint32_t workers, uint32_t worker_port);
    /* The link is lost, or up. May be NULL. */
    void (*changed)(void *arg);
    /* A connected socket to a primary that asks for no password, instead of host and port: owned by the
     * link. -1 with errno. Such a one may write the snapshot to dir/temp-sync-TAG.rdb itself. NULL: connect. */
    int (*open)(void *arg);
};

struct upstream_where {
    const char *host; /* name or address */
    uint32_t port;
    uint32_t own_port; /* what the primary is told where we listen */
    /* And where the whole pool does, which follows shard by shard; 0: not told. */
    uint32_t public_port;
    /* Temporary files go to dir/temp-sync-TAG.rdb */
    const char *dir, *tag;
    bool probe;   /* only ask what the primary is; asked again until it answers */
    bool promote; /* a probe that asks for the role, and may say REPLICAOF NO ONE */
};

/* loop: struct ev_loop. config is live. The texts of where are copied. Nothing happens before
 * upstream_start(). */
struct upstream *upstream_create(void *loop, const struct config *config,
                                 const struct upstream_where *where,
                                 const struct upstream_hooks *hooks);
void upstream_free(struct upstream **upstream);
/* Before each synchronization: is the primary still a pool of so many workers, from this port on (0 and 0: a
 * server by itself)? Its shards would not be those that are followed. */
void upstream_check(struct upstream *upstream, uint32_t workers, uint32_t worker_port);
/* Connect. id "" or what the data at hand is a prefix of: `offset` bytes of that history. */
void upstream_start(struct upstream *upstream, const char *id, uint64_t offset);
/* Is what the hook was handed what the primary sent, as far as its end and its checksum tell? Nothing should
 * make room for it if not. */
bool upstream_snapshot_is_whole(const struct upstream *upstream);
/* The snapshot is in memory: its stream may come. If the link was lost meanwhile, it goes on from there. */
void upstream_loaded(struct upstream *upstream);
/* Begin again after a moment; full: with a snapshot, what is in memory is of no use. */
void upstream_fail(struct upstream *upstream, bool full, const char *why);
/* So much of the stream is on our disk: acknowledged with the rest. Nothing is said while it is 0. */
void upstream_synced(struct upstream *upstream, uint64_t offset);
/* The owner runs commands later than it takes them: so much of the stream has been run, and no more than that
 * is acknowledged. Once said, it has to be said again as it grows. */
void upstream_executed(struct upstream *upstream, uint64_t offset);
/* REPLCONF name value, behind PSYNC. False: the stream does not come in. */
bool upstream_tell(struct upstream *upstream, const char *name, struct bytes value);
/* Offer the command that was refused again, and go on. */
void upstream_go_on(struct upstream *upstream);
/* Offer nothing more of the stream, but for the rest of a transaction, until it may go on. */
void upstream_hold(struct upstream *upstream, bool on);
/* Where in a stream the data are that it was offered; db is not told. False: in none, only a snapshot helps;
 * or in the middle of a transaction. */
bool upstream_place(const struct upstream *upstream, struct rdb_origin *place_r);
/* For stopping, when no loop turns any more: take what has come in. */
void upstream_pull(struct upstream *upstream);
/* Ten times a second: time-outs, acknowledgements, the next try. */
void upstream_cron(struct upstream *upstream);

/* ---- what is told ---- */
struct upstream_view {
    enum upstream_state state;
    bool awaits_snapshot; /* PSYNC was heard, and the snapshot it needs is still to be made */
    const char *host;
    uint32_t port;
    const char *id;                             /* of the history that is followed, "" before */
    uint64_t offset;                            /* bytes of it that were applied */
    uint64_t read_offset;                       /* bytes of it that came in */
    uint64_t sync_total_bytes, sync_done_bytes; /* of the snapshot */
    int64_t last_heard_s;                       /* seconds since anything came, -1: never */
    int64_t down_since_s; /* seconds since the link was last up, -1: it is up or never was */
    uint64_t full_syncs, partial_syncs;
    const char *trouble; /* why the last try failed, or "" */
};
void upstream_view(const struct upstream *upstream, struct upstream_view *view_r);
/* The oldest thing known: what a promotion takes over. */
const char *upstream_id(const struct upstream *upstream);
uint64_t upstream_offset(const struct upstream *upstream);
bool upstream_is_up(const struct upstream *upstream);
int upstream_fd(const struct upstream *upstream); /* -1: it has none */

#endif
