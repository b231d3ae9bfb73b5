/* execute.c - the one way to run a command, and what is said about its propagation.
 *
 *   refused for want of memory or of a working disk?  ->  handler  ->  statistics  ->  log
 *
 * The hot path: no allocation, one look at the clock. A refusal is an error reply, as is any
 * failure of the handler; execute() itself cannot fail. */
#include "worker/command/blocked.h"
#include "worker/command/error_stats.h"
#include "worker/command/latency.h"
#include "worker/command/slowlog.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/persist/aof.h"
#include "worker/persist/persist.h"
#include "worker/replication/primary.h"
#include "worker/replication/propagate.h"

/* A handler may run commands itself; each level has its own buffer for what is logged instead. */
enum { DEPTH_MAX = 4, INSTEAD_KEEP_BYTES = 64 * 1024 };
static struct buf instead_buffers[DEPTH_MAX + 1];
static uint32_t depth;

static struct command_stats *stats;
static uint64_t last_end_us; /* 0: the clock must be read for the next start */

struct command_stats *execute_stats(void) {
    if (stats == NULL)
        stats = mem_calloc(command_count, sizeof(*stats));
    return stats;
}

void execute_reset_stats(void) {
    memset(execute_stats(), 0, command_count * sizeof(*stats));
    error_stats_reset();
}

void execute_pause(void) {
    last_end_us = 0;
}

uint64_t execute_ended_us(void) {
    return last_end_us;
}

static bool lacks_replicas(const struct command_ctx *ctx) {
    const struct config *config = ctx_config(ctx);
    return config->min_replicas_to_write > 0 && config->min_replicas_max_lag > 0 &&
           ctx->env->primary != NULL &&
           primary_good_replicas(ctx->env->primary) < (uint64_t)config->min_replicas_to_write;
}

/* What was accepted once, as the commands of a log being loaded were, is never refused. */
static bool refuse(struct command_ctx *ctx) {
    uint32_t flags = ctx->cmd->flags;
    if (!(flags & (CMD_WRITE | CMD_DENYOOM)) || ctx->accepted || ctx->session->upstream ||
        ctx->env->loading)
        return false;
    if ((flags & CMD_DENYOOM) && ctx_config(ctx)->maxmemory > 0 && !memory_admit(ctx)) {
        reply_error(&ctx->reply, reply_err_oom);
        return true;
    }
    if (!(flags & CMD_WRITE) || ctx->env->persist == NULL)
        return false;
    const char *refusal = persist_write_refusal(ctx->env->persist);
    if (refusal == NULL && lacks_replicas(ctx))
        refusal = "NOREPLICAS Not enough good replicas to write.";
    if (refusal == NULL)
        return false;
    reply_error(&ctx->reply, refusal);
    return true;
}

static void count_errors(struct command_ctx *ctx, uint32_t errors, size_t mark) {
    const struct buf *out = ctx->reply.out;
    if (out->len > mark)
        error_stats_count(bytes_of(out->data + mark, out->len - mark));
    if (ctx->env->status != NULL)
        status_add(ctx->env->status, METRIC_error_replies, errors);
}

static void propagate(struct command_ctx *ctx) {
    struct command_env *env = ctx->env;
    if (env->persist != NULL)
        persist_note_write(env->persist, ctx->dirty);
    if (env->propagate == NULL || ctx->propagate_never)
        return;
    if (ctx->instead != NULL)
        propagate_raw(env->propagate, ctx_db(ctx), buf_bytes(ctx->instead));
    else
        propagate_command(env->propagate, ctx_db(ctx), ctx->argc, ctx->argv);
}

/* What a primary sends sees the keys that only the primary may find past their time. */
static void call_handler(struct command_ctx *ctx) {
    if (__builtin_expect(ctx->session->upstream, 0)) {
        keyspace_set_expiry_passive(ctx->ks, true);
        ctx->cmd->handler(ctx);
        keyspace_set_expiry_passive(ctx->ks, false);
    } else {
        ctx->cmd->handler(ctx);
    }
}

static void run(struct command_ctx *ctx, struct command_stats *row) {
    uint64_t start_us = last_end_us != 0 ? last_end_us : clock_mono_us();
    uint32_t errors = ctx->reply.errors;
    ASSERT(depth < DEPTH_MAX);
    depth++;
    call_handler(ctx);
    depth--;
    last_end_us = clock_mono_us();
    row->calls += ctx->waiter == NULL; /* one that waits counts when it is served */
    row->usec += last_end_us - start_us;
    if (ctx->env->latency)
        latency_count(ctx->env->latency, command_index(ctx->cmd), last_end_us - start_us);
    if (__builtin_expect(ctx_config(ctx)->latency_monitor_threshold > 0, 0))
        latency_event(ctx->env, ctx->cmd->flags & CMD_FAST ? LATENCY_FAST_COMMAND : LATENCY_COMMAND,
                      last_end_us - start_us);
    /* -1 is longer than anything. */
    if (__builtin_expect(
            last_end_us - start_us >= (uint64_t)ctx_config(ctx)->slowlog_log_slower_than, 0))
        slowlog_note(ctx, last_end_us - start_us);
    if (__builtin_expect(ctx->reply.errors != errors, 0))
        row->failed_calls++;
    if (ctx->dirty > 0 && (ctx->cmd->flags & CMD_WRITE) && !ctx->env->loading)
        propagate(ctx);
}

void execute(struct command_ctx *ctx) {
    struct command_stats *row = &execute_stats()[command_index(ctx->cmd)];
    uint32_t errors = ctx->reply.errors;
    size_t mark = ctx->reply.out->len;
    ctx->dirty = 0;
    ctx->deferred_reply = false;
    ctx->instead = NULL;
    ctx->instead_commands = 0;
    ctx->propagate_never = false;
    ctx->waiter = NULL;
    if (__builtin_expect(refuse(ctx), 0))
        row->rejected_calls++;
    else
        run(ctx, row);
    if (ctx->env->status != NULL)
        status_add(ctx->env->status, METRIC_commands_executed, 1);
    if (__builtin_expect(ctx->reply.errors != errors, 0))
        count_errors(ctx, ctx->reply.errors - errors, mark);
    if (__builtin_expect(ctx->env->keys_ready, 0) && depth == 0)
        blocked_serve(ctx->env->blocked);
}

void propagate_instead(struct command_ctx *ctx, uint32_t argc, const struct bytes *argv) {
    if (ctx->instead == NULL) {
        ctx->instead = &instead_buffers[depth];
        buf_clear(ctx->instead);
        buf_shrink(ctx->instead, INSTEAD_KEEP_BYTES);
    }
    aof_format_command(ctx->instead, argc, argv);
    ctx->instead_commands++;
}

void propagate_nothing(struct command_ctx *ctx) {
    ctx->propagate_never = true;
}
