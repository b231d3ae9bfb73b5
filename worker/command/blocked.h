/* blocked.h - commands that wait for a key, at the shard that owns it; or for acknowledgements (WAIT).
 *
 *   handler finds nothing -> block_on() -> ctx->waiter -> the route registers it: blocked_add()
 *   a key changes         -> its waiters are marked; after the command that changed it, in execute():
 *                            blocked_serve() runs each one's command again, oldest first, key by key
 *   served, timed out, unblocked -> hooks.answer(), with the reply
 *
 * The command is run again like any other, by the same handler, which looks only at the key that woke
 * it: ctx_awaits(). While nobody waits the keyspace is not even asked to report its changes. */
#ifndef REMUDA_COMMAND_BLOCKED_H
#define REMUDA_COMMAND_BLOCKED_H
#include "worker/command/command.h"

/* ---- for handlers ---- */
/* The keys are arguments first .. first + count - 1 of those given, or of `argv` if it is set: then
 * that is what will be run again (XREAD's $ made a number). All is copied. */
struct block {
    uint32_t first, count;
    enum value_type type; /* what wakes: a key that holds this */
    bool on_absence;      /* and one that no longer does */
    bool null_bulk;       /* the reply where it may not wait is a null, not a null array */
    /* Not for keys (count 0): run again whenever more was acknowledged, and when the time is up, with
     * ctx->time_up: then it must reply. Where it may not wait the handler knows it: ctx_may_wait(). */
    bool acknowledgement;
    int64_t timeout_ms; /* 0: for ever */
    uint32_t argc;
    const struct bytes *argv; /* NULL: the arguments given */
};
/* Nothing is there: wait. Write no reply, and return. Where a command may not wait (in the log, in a
 * transaction) this writes the reply; that of a wait whose time is up is always a null array. */
void block_on(struct command_ctx *ctx, const struct block *block);
/* May the command wait, or does it already? */
static inline bool ctx_may_wait(const struct command_ctx *ctx) {
    return ctx->may_block || (ctx->again != NULL && !ctx->time_up);
}
/* May this key serve the command? Any at first; when it is run again the one that woke it. */
bool ctx_awaits(const struct command_ctx *ctx, struct bytes key);
/* Argument `index` as a timeout in seconds, a double. False: replied. */
bool block_seconds(struct command_ctx *ctx, uint32_t index, int64_t *timeout_ms_r);
/* The same in milliseconds, an integer (XREAD BLOCK). */
bool block_milliseconds(struct command_ctx *ctx, uint32_t index, int64_t *timeout_ms_r);

/* ---- for the route ---- */
/* Who waits, as the route knows it: the shard whose client it is, and the token of its call. */
struct waiter_id {
    uint32_t peer;
    uint64_t token;
};
enum unblock_how { UNBLOCK_TIMEOUT, UNBLOCK_ERROR, UNBLOCK_FORGET, UNBLOCK_NEW_ROLE };

struct blocked_hooks {
    void *arg;
    /* The wait is over; reply is borrowed. failed: it is an error. */
    void (*answer)(void *arg, struct waiter_id id, struct bytes reply, bool failed);
};
struct blocked *blocked_create(struct command_env *env, struct keyspace *ks,
                               const struct blocked_hooks *hooks);
void blocked_free(struct blocked **blocked);
/* Take over ctx->waiter of a command that was run. */
void blocked_add(struct blocked *blocked, struct command_ctx *ctx, struct waiter_id id);
void waiter_free(struct waiter **waiter);
/* The same without its keys, which others watch: it ends by its time (given anew), or by blocked_end(). */
void blocked_add_keyless(struct blocked *blocked, struct command_ctx *ctx, struct waiter_id id,
                         uint64_t until_mono_ms);
/* What wakes a waiter, and its keys. */
struct await_what {
    uint32_t type, on_absence;
};
struct await_what waiter_what(const struct waiter *waiter);
uint32_t waiter_keys(const struct waiter *waiter);
struct bytes waiter_key(const struct waiter *waiter, uint32_t i);
uint64_t waiter_until(const struct waiter *waiter);
/* Answer once, with nothing, when one of these keys is ready. */
void blocked_await(struct blocked *blocked, uint32_t db, struct await_what what, uint32_t count,
                   const struct bytes *keys, struct waiter_id id);
/* End a wait: with the reply of a timeout, with -UNBLOCKED, or without a word. false: there is none
 * of this id, it has been answered. */
bool blocked_end(struct blocked *blocked, struct waiter_id id, enum unblock_how how);
/* The same for all clients of a shard. */
void blocked_end_peer(struct blocked *blocked, uint32_t peer, enum unblock_how how);
/* The shard is a replica from now on: what its clients wait for is not for them to take. */
void blocked_end_all(struct blocked *blocked);
/* While held (the shard is locked) nobody is served; what became ready waits for the release. */
void blocked_hold(struct blocked *blocked, bool hold);
/* Serve all whose keys are ready. Cheap if none is: but ask env->keys_ready first. */
void blocked_serve(struct blocked *blocked);
/* Replicas, or the disk, have more than before: those who wait for that look again. */
void blocked_acknowledged(struct blocked *blocked);
/* Answer those whose time is up. */
void blocked_expire(struct blocked *blocked, uint64_t now_mono_ms);
/* When the next one's time is up, monotonic; 0: never. */
uint64_t blocked_next_ms(const struct blocked *blocked);
uint32_t blocked_count(const struct blocked *blocked);

#endif
