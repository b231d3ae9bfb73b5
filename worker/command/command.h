/* command.h - a command, and the one way to run it.
 *
 * execute() runs any command from anywhere: clients, relays, log replay, gather, unit tests. A
 * handler sees its context only: keyspace, session, arguments, reply. Never a socket. */
#ifndef REMUDA_COMMAND_H
#define REMUDA_COMMAND_H
#include "config/config.h"
#include "shared/ipc/segment.h"
#include "worker/command/session.h"
#include "worker/keyspace/keyspace.h"
#include "worker/resp/reply.h"

/* Flags of a row; the names COMMAND INFO prints are in command_flag_names. */
enum command_flag {
    CMD_WRITE = 1 << 0,
    CMD_READONLY = 1 << 1,
    CMD_DENYOOM = 1 << 2,
    CMD_ADMIN = 1 << 3,
    CMD_FAST = 1 << 4,
    CMD_LOADING = 1 << 5, /* allowed while loading */
    CMD_STALE = 1 << 6,
    CMD_NO_AUTH = 1 << 7, /* allowed before AUTH */
    CMD_NOSCRIPT = 1 << 8,
    CMD_BLOCKING = 1 << 9,
    CMD_MOVABLEKEYS = 1 << 10,
    CMD_SKIP_MONITOR = 1 << 11,
    CMD_SKIP_SLOWLOG = 1 << 12,
    CMD_NO_MULTI = 1 << 13,
    CMD_ALLOW_BUSY = 1 << 14,
    CMD_PUBSUB = 1 << 15,
    CMD_NO_ASYNC_LOADING = 1 << 16,
    CMD_NO_MANDATORY_KEYS = 1 << 17,
    CMD_PROTECTED = 1 << 18, /* needs enable-debug-command */
    CMD_CONTAINER = 1 << 19  /* has subcommands, which are rows of their own */
};

/* How a command meets several shards: a flag of its row, never code of its handler.
 *                     keys of one shard     keys of several, or no key
 * SPAN_KEYED          relay to the owner    lock and gather
 * SPAN_SUM            relay                 split by key, add up the integers      DEL EXISTS TOUCH UNLINK
 * SPAN_MGET           relay                 split by key, weave the arrays         MGET
 * SPAN_MSET           relay                 split by key-value pair, one OK        MSET
 * SPAN_DERIVED        as KEYED, but its options may name keys that follow from what the first one holds:
 *                     then lock all shards and gather those too                    SORT SORT_RO
 * SPAN_STREAMS        relay                 split by key, one answer for each that has any  XREAD XREADGROUP
 *                       (the keys end the command, followed by as many arguments that belong to them)
 * SPAN_LOCAL          –                     answered by the client's own worker    PING TIME CLIENT ...
 * SPAN_ALL_SUM        –                     all shards, add up                     DBSIZE
 *                       (if a reply is no integer: the first that is no error, else the first; CLIENT KILL)
 * SPAN_ALL_OK         –                     all shards, first error or one OK      FLUSHALL SAVE ...
 * SPAN_ALL_FIRST      –                     all shards, the reply of shard 0 if none failed  BGSAVE
 * SPAN_ALL_MAX        –                     all shards, the largest integer
 * SPAN_ALL_MIN        –                     all shards, the smallest integer       LASTSAVE WAIT
 *                       (of arrays of integers the smallest of each place; WAITAOF)
 * SPAN_ALL_CONCAT     –                     all shards, one array of all           KEYS
 * SPAN_ALL_TEXT       –                     all shards, texts joined               CLIENT LIST
 * SPAN_ALL_NEWEST     –                     all shards, one array of all, the highest ids first  SLOWLOG GET
 * SPAN_REFRESH        –                     all shards bring their status page up to date, then local  INFO
 * SPAN_SCAN           –                     the shard named by the cursor          SCAN
 * SPAN_RANDOM         –                     a shard drawn by its number of keys    RANDOMKEY
 * On a node port only SPAN_KEYED..DERIVED look at slots (MOVED, CROSSSLOT); the rest is this shard's. */
enum command_span {
    SPAN_KEYED,
    SPAN_SUM,
    SPAN_MGET,
    SPAN_MSET,
    SPAN_STREAMS,
    SPAN_DERIVED,
    SPAN_LOCAL,
    SPAN_ALL_SUM,
    SPAN_ALL_OK,
    SPAN_ALL_FIRST,
    SPAN_ALL_MAX,
    SPAN_ALL_MIN,
    SPAN_ALL_CONCAT,
    SPAN_ALL_TEXT,
    SPAN_ALL_NEWEST,
    SPAN_REFRESH,
    SPAN_SCAN,
    SPAN_RANDOM
};

struct command_ctx;
struct blocked;
struct slowlog;
struct waiter;
typedef void command_handler(struct command_ctx *ctx);

struct command {
    const char *name;         /* lower case; subcommands "client|id" */
    command_handler *handler; /* NULL for a container */
    int32_t arity;            /* as COMMAND INFO: counts the name, negative = at least */
    uint32_t flags;
    enum command_span span;
    /* Key positions as COMMAND INFO prints them: first, last (negative from the end), step; 0 none.
     * numkeys_at > 0: argument that holds the number of keys, which follow it (movablekeys).
     * numkeys_at < 0: the keys stand behind a word, which is looked for from argument -numkeys_at on:
     * half of what follows it. The word is the one that the syntax gives to the key argument. Options of the
     * syntax may name a key as well if it is 0 (STORE@destination:key). */
    int16_t first_key, last_key, key_step, numkeys_at;
    const char *group, *since, *complexity, *summary;
    const char *syntax;     /* arguments, in the notation of commands.def, for COMMAND DOCS */
    const char *categories; /* ACL categories besides those that follow from flags and group */
};
extern const struct command command_rows[];
extern const uint32_t command_count;
static inline uint16_t command_index(const struct command *c) {
    return (uint16_t)(c - command_rows);
}
/* By name, any case; container commands resolve to the subcommand's row through argv[1].
 * NULL: unknown; *container_r (may be NULL) then gets the container if it was its subcommand that
 * is unknown. O(1). */
const struct command *command_lookup(const struct bytes *argv, uint32_t argc,
                                     const struct command **container_r);
const struct command *command_by_name(struct bytes name); /* "get", "client", "client|id" */
/* The container of a subcommand, NULL for any other row. Its subcommands follow it directly. */
const struct command *command_container(const struct command *c);
bool command_arity_ok(const struct command *c, uint32_t argc);
/* The word that the keys of a row stand behind (numkeys_at < 0); empty: there is none. */
struct bytes command_keys_word(const struct command *c);
/* Key positions of a call: calls key(arg, index of the argument) for each. Returns how many, or -1
 * if the arguments are malformed (a bad numkeys). Commands with key_step 2 (MSET) give keys only. */
int32_t command_keys(const struct command *c, const struct bytes *argv, uint32_t argc,
                     void (*key)(void *arg, uint32_t index), void *arg);
/* The same into an array: up to max positions are stored, the total is returned. */
int32_t command_key_positions(const struct command *c, const struct bytes *argv, uint32_t argc,
                              uint32_t *positions, uint32_t max);

/* ---- what a handler may ask of the layers above it: callbacks, so that includes point down ---- */
enum { FAILOVER_SHARD = 0 }; /* does what FAILOVER says */
enum failover_progress { FAILOVER_IS_OFF, FAILOVER_WAITS_FOR_SYNC, FAILOVER_IS_ON };
struct failover_order {
    char host[256];
    uint32_t port;     /* of the target pool, the public one */
    uint32_t replicas; /* that every shard waits for */
    uint64_t timeout_ms;
    bool force; /* promote the target even if it has not got everything */
};
/* A moment of the whole pool: what each shard does while all are locked. */
enum cut_kind {
    CUT_OF_LOGS,
    CUT_OF_FORKS
}; /* of files (persist.h); of the merged stream (feed.h) */
struct cut_mark {
    uint64_t kind, id, try; /* id: not 0 */
};
enum shutdown_save { SHUTDOWN_SAVE_DEFAULT = 0, SHUTDOWN_SAVE = 1, SHUTDOWN_NOSAVE = 2 };
struct command_env {
    struct config *config;   /* live values; read only for handlers */
    struct segment *segment; /* status pages, slot map */
    uint32_t shard;          /* this worker's index */
    uint32_t generation;
    struct status_page *status;   /* this worker's page */
    struct list *sessions;        /* of all connected clients of this worker */
    struct list *primaries;       /* of its links to a primary that are up */
    struct persist *persist;      /* worker/persist/persist.h; NULL in unit tests */
    struct propagate *propagate;  /* worker/replication/propagate.h; NULL: nothing is logged */
    struct primary *primary;      /* worker/replication/primary.h; NULL in unit tests */
    struct feed *feed;            /* worker/replication/feed.h; NULL: another worker has it */
    struct blocked *blocked;      /* worker/command/blocked.h; NULL: nobody waits here for keys */
    bool keys_ready;              /* and a key that somebody waits for has changed */
    struct latency_page *latency; /* of the segment; NULL: nothing is counted */
    struct slowlog *slowlog;      /* worker/command/slowlog.h; may be NULL */
    void *upper;                  /* argument of the calls below */
    /* CONFIG SET of the whole pool: the `name value` lines go to the supervisor. The reply to the
     * client comes later: the handler writes none and returns after this call. */
    void (*config_set)(void *upper, struct command_ctx *ctx, struct bytes lines);
    void (*config_rewrite)(void *upper, struct command_ctx *ctx);
    /* REMUDA SNAPSHOT: keep as in CONTROL_REPORT_REQUEST_SNAPSHOT. Replied later, as CONFIG SET is. */
    void (*snapshot)(void *upper, struct command_ctx *ctx, uint64_t keep, struct bytes name);
    /* All shards are locked: this is the moment of the cut. Memory and at most one write(2), or a fork. 0, or
     * -1 with a text. */
    int (*cut_mark)(void *upper, const struct cut_mark *mark, char *error_r, size_t error_bytes);
    /* The barrier that this worker ran is over; error NULL: all have marked. */
    void (*cut_locked)(void *upper, const struct cut_mark *mark, uint64_t pause_us,
                       const char *error);
    void (*shutdown)(void *upper, struct command_ctx *ctx, enum shutdown_save save);
    /* Close the connection of a session (CLIENT KILL); replies already written to it are sent first
     * if it is the caller's own. */
    void (*kill_session)(void *upper, struct session *session, bool own);
    /* Give a client to another worker, see clients_hand_over(). */
    bool (*hand_over)(void *upper, struct session *session, uint32_t shard, struct bytes pending);
    /* CLIENT UNBLOCK: false if this session does not wait in a blocking command. */
    bool (*unblock_session)(void *upper, struct session *session, bool with_error);
    /* CLIENT PAUSE until then, monotonic; 0: UNPAUSE. */
    void (*pause)(void *upper, uint64_t until_mono_ms, bool all);
    /* FAILOVER, at FAILOVER_SHARD: NULL if it has begun, or the error. / ABORT: false if there is none that can
     * be. */
    const char *(*failover)(void *upper, const struct failover_order *order);
    bool (*failover_abort)(void *upper);
    /* MONITOR, and its end (RESET). */
    void (*monitor)(void *upper, struct command_ctx *ctx, bool on);
    /* A command run for a client of elsewhere was slow: the body of its entry (slowlog.h). */
    void (*slow)(void *upper, const struct session *session, struct bytes body);
    /* Bring the figures of this worker's status page up to date. */
    void (*refresh_status)(void *upper);
    void (*crash)(void *upper, const char *how); /* DEBUG SEGFAULT, DEBUG PANIC */
    int64_t loaded_wall_ms;                      /* when this worker began to serve */
    bool loading;
    bool syncing; /* a primary's snapshot comes in, here or at another worker: nothing is shown */
    bool primary_is_up; /* of a replica: all links that should be there are */
    /* Bring syncing up to date: a command of a link is about to run. */
    void (*look_at_primary)(void *upper);
    bool active_expiry_paused; /* DEBUG SET-ACTIVE-EXPIRE 0: the loop leaves expired keys alone */
};

struct command_stats { /* one a row of command_rows */
    uint64_t calls, usec, rejected_calls, failed_calls;
};

struct command_ctx {
    struct keyspace *ks;
    struct session *session;
    struct command_env *env;
    const struct command *cmd;
    const struct bytes *argv;
    uint32_t argc;
    struct reply reply;
    uint64_t secret;     /* bit i: argument i is shown to nobody; bit 63: from there on all */
    uint64_t dirty;      /* changes made; > 0 of a write command: propagated */
    bool deferred_reply; /* the reply comes later through env (CONFIG SET) */
    /* What to log instead of the arguments, if the handler said so; see propagate_instead(). */
    struct buf *instead;
    uint32_t instead_commands;
    bool propagate_never;
    bool accepted;  /* let in elsewhere (a gather's write-back): execute() refuses it nothing */
    bool may_block; /* a handler that finds nothing may wait: block_on() */
    struct waiter *waiter; /* it does; whoever ran the command takes this over */
    struct waiter *again;  /* set when a command that waited is run again */
    bool time_up;          /* and for the last time (WAIT) */
    void *client;          /* the layer above's own pointer, for deferred replies */
};

static inline struct config *ctx_config(const struct command_ctx *ctx) {
    return ctx->env->config;
}
/* Argument i may be a password: MONITOR and SLOWLOG do not show it. */
static inline void ctx_hide(struct command_ctx *ctx, uint32_t i) {
    ctx->secret |= UINT64_C(1) << (i < 63 ? i : 63);
}
static inline struct bytes ctx_shown(const struct command_ctx *ctx, uint32_t i) {
    bool hidden = ctx->secret >> (i < 63 ? i : 63) & 1;
    return hidden ? BYTES_LITERAL("(redacted)") : ctx->argv[i];
}
static inline uint32_t ctx_db(const struct command_ctx *ctx) {
    return ctx->session->db;
}
static inline int64_t ctx_now_ms(const struct command_ctx *ctx) {
    return keyspace_now_ms(ctx->ks);
}
/* Look up with the session's access mode: READ honours CLIENT NO-TOUCH. */
static inline bool ctx_find(struct command_ctx *ctx, struct bytes key, enum key_access access,
                            struct keyref *ref_r) {
    if (access == KEY_READ && ctx->session->no_touch)
        access = KEY_NOTOUCH;
    return keyspace_find(ctx->ks, ctx->session->db, key, access, ref_r);
}

/* ---- admit.c: may this command run at all? ---- */
enum admit_result { ADMIT_OK, ADMIT_REFUSED };
/* For a client's own command: row, arity, auth, loading, DEBUG permission; fills ctx->cmd. On
 * ADMIT_REFUSED the error has been written to ctx->reply (NOAUTH, ERR unknown command ..., ERR wrong
 * number of arguments for ..., LOADING ...). */
enum admit_result admit(struct command_ctx *ctx);

/* ---- execute.c ---- */
/* Run ctx->cmd (set by admit, a frame or command_lookup; keys are this shard's): maxmemory and
 * persistence-error checks for writes, the handler, statistics, propagation. The only way to run a
 * command. */
void execute(struct command_ctx *ctx);
/* A command's time is counted from the end of the one before it, so that it costs one look at the
 * clock. Say here when the time since then was not a command's: after a sleep, a read, a write. */
void execute_pause(void);
/* When the last command since then ended, monotonic; 0 if there was none. */
uint64_t execute_ended_us(void);
struct command_stats *execute_stats(void); /* array of command_count */
void execute_reset_stats(void);            /* CONFIG RESETSTAT, error_stats included */
/* maxmemory for the pool as a whole: true if a write that needs memory may go on. Evicts by policy. */
bool memory_admit(struct command_ctx *ctx);
/* The same from the worker's loop, a bounded step; true while the pool is over its limit. */
bool memory_relieve(struct command_env *env, struct keyspace *ks);

/* ---- what a handler says about propagation ---- */
/* Log this command instead of the one given; several calls log several commands in order.
 * EXPIRE -> PEXPIREAT, INCRBYFLOAT -> SET, GETEX -> PEXPIREAT or PERSIST ... */
void propagate_instead(struct command_ctx *ctx, uint32_t argc, const struct bytes *argv);
/* The handler's change is not to be logged (it logged elsewhere, or it is none). */
void propagate_nothing(struct command_ctx *ctx);

/* ---- the handlers, declared from the table; a container's is NULL, here a name like any other ---- */
#pragma push_macro("NULL")
#undef NULL
#define COMMAND(name, handler, ...) command_handler handler;
#include "worker/command/commands.def"
#undef COMMAND
#pragma pop_macro("NULL")

#endif
