/* router.h - from a client's arguments to its reply, wherever in the pool the keys live.
 *
 *   router_command -> admit -> slot of each key -> mine: execute
 *                                              -> another's: frame -> ring -> its execute -> reply
 *                                              -> several: by the span of the command's row
 *
 * Everything happens in loop turns: router_turn_begin() reads the rings and serves, router_turn_end()
 * sends. The router never blocks and never touches a socket. */
#ifndef REMUDA_ROUTE_ROUTER_H
#define REMUDA_ROUTE_ROUTER_H
#include "worker/command/command.h"
#include "worker/route/pipeline.h"

struct router;

/* env and ks are the worker's and outlive the router. */
struct router *router_create(struct command_env *env, struct keyspace *ks);
void router_free(struct router **router);

/* One command of a client. The arguments are borrowed for the call. Any outcome ends in the pipeline:
 * a reply now, or a call in flight. Call only if pipeline_may_begin(); after it returns false the
 * command was not begun (the shard is locked, or too much waits for another): offer it again after
 * wake(). */
bool router_command(struct router *router, struct pipeline *pipeline, struct session *session,
                    const struct bytes *argv, uint32_t argc);
/* Commands that belong together, of any number of keys and shards. Nobody sees some of them done and others
 * not: at one shard they run in one piece, at several under their locks. */
struct router_batch {
    struct buf of[SHARD_MAX]; /* by shard: the body of a WRITE_BACK (gather.h) */
    uint32_t count[SHARD_MAX];
};
/* Copies the command. False: it can't be in a batch, as its keys are on several shards and it can't be taken
 * apart, or as it is not one of keys at all. */
bool router_batch_add(struct router *router, struct router_batch *batch, uint32_t db,
                      const struct bytes *argv, uint32_t argc);
/* As router_command(), for what a primary said, which nobody may refuse; errors of the commands are the only
 * replies. */
bool router_batch_run(struct router *router, struct pipeline *pipeline, struct session *session,
                      struct router_batch *batch);
void router_batch_clear(struct router_batch *batch);
/* So many commands of a client, at most ROUTER_AHEAD, come soon; these may be their keys. */
enum { ROUTER_AHEAD = 16 };
void router_prefetch(struct router *router, const struct session *session, const struct bytes *keys,
                     uint32_t count);
/* The client is gone: its calls in flight finish without it. */
void router_forget(struct router *router, struct pipeline *pipeline);

/* A reply that comes from outside (CONFIG SET, SHUTDOWN): the handler deferred it. Returns the token
 * by which router_answer() finds the call, 0 if the command did not come from a client. */
uint64_t router_defer(struct router *router, struct command_ctx *ctx);
void router_answer(struct router *router, uint64_t token, struct bytes resp);

/* CLIENT UNBLOCK: end the wait of a blocked client of this worker, as its timeout would or with an error.
 * false: it is not blocked. */
bool router_unblock(struct router *router, struct session *session, bool with_error);

/* A command run for another worker's client was slow: tell that worker (env->slow). */
void router_slow(struct router *router, const struct session *session, struct bytes body);

/* CLIENT PAUSE until then, monotonic, of writes or of all commands; 0: it ends. */
void router_pause(struct router *router, uint64_t until_mono_ms, bool all);
bool router_is_paused(const struct router *router);
/* MONITOR: this client is told of the commands of all clients, of the pool or of this worker; or no more. */
void router_monitor(struct router *router, struct pipeline *pipeline, bool on, bool whole_pool);

void router_peer_up(struct router *router, uint32_t peer, uint32_t generation);
void router_peer_down(struct router *router, uint32_t peer, uint32_t generation);

/* Read rings, serve requests, complete calls. true: there is more, do not sleep. */
bool router_turn_begin(struct router *router);
/* Send what was produced. Call after the log was written. */
void router_turn_end(struct router *router);
/* Release replies to other shards that waited for a sync. */
void router_synced(struct router *router);
/* Answers of other shards are awaited, and few commands were handled since the last call. */
bool router_turn_was_short(struct router *router);
/* Replicas, or the disk, acknowledged more: WAIT and WAITAOF look again. */
void router_acknowledged(struct router *router);
/* When a client's time to wait is up, monotonic: be awake then. 0: never. */
uint64_t router_next_ms(const struct router *router);
/* About to sleep: true if there is work after all. Awake again. */
bool router_sleep(struct router *router);
void router_awake(struct router *router);
/* Ten times a second: commands that have waited too long for a shard that is down. */
void router_cron(struct router *router);
void router_refresh_status(struct router *router);
/* Lock all shards, let each mark the cut (env->cut_mark), unlock them. env->cut_locked() is told the end:
 * within a second or so, whatever happens; ten of them where the marks are forks. */
void router_cut(struct router *router, const struct cut_mark *mark);
/* Nothing is in flight to or from other shards. */
bool router_idle(const struct router *router);

#endif
