/* cmd_wait.c - WAIT, WAITAOF: until replicas, or this shard's disk, have what was written before.
 *
 * What is waited for is the shard's whole stream and log as they are now, which holds all that this client has
 * written. It is kept in arguments that no client can give: the command is run again with them. On the
 * public port every shard waits for its own, and the smallest counts are the answer. */
#include "worker/command/blocked.h"
#include "worker/command/handler.h"

#include "worker/persist/persist.h"
#include "worker/replication/primary.h"

enum { WAIT_ARGC = 3, WAITAOF_ARGC = 4, ARGC_MAX = 6 };

static bool refuse_on_replica(struct command_ctx *ctx, const char *error) {
    if (ctx_config(ctx)->replicaof[0] == '\0')
        return false;
    reply_error(&ctx->reply, error);
    return true;
}

/* Wait for these numbers: the command's own arguments, followed by them. */
static void wait_for(struct command_ctx *ctx, uint32_t argc, int64_t timeout_ms,
                     const uint64_t *numbers, uint32_t count) {
    struct bytes argv[ARGC_MAX];
    char digits[ARGC_MAX][BYTES_I64_MAX];
    struct block block = {.timeout_ms = timeout_ms, .acknowledgement = true, .argv = argv};
    memcpy(argv, ctx->argv, argc * sizeof *argv);
    for (uint32_t i = 0; i < count; i++)
        argv[argc + i] = bytes_of(digits[i], bytes_from_i64(digits[i], (int64_t)numbers[i]));
    block.argc = argc + count;
    if (ctx->again == NULL && ctx->env->primary != NULL)
        primary_ask_acknowledge(ctx->env->primary);
    block_on(ctx, &block);
}

/* Where the stream ends: when the command came, if it is run again. */
static uint64_t stream_end(const struct command_ctx *ctx, uint32_t index) {
    uint64_t offset = 0;
    if (ctx->argc > index)
        (void)bytes_to_u64(ctx->argv[index], &offset);
    else if (ctx->env->primary != NULL)
        offset = primary_backlog_of(ctx->env->primary)->end;
    return offset;
}

static uint32_t acknowledged(const struct command_ctx *ctx, uint64_t offset, bool on_disk) {
    return ctx->env->primary ? primary_acknowledged(ctx->env->primary, offset, on_disk) : 0;
}

void cmd_wait(struct command_ctx *ctx) {
    int64_t wanted, timeout_ms;
    if (refuse_on_replica(ctx,
                          "ERR WAIT cannot be used with replica instances. Please also note that "
                          "since Redis 4.0 if a replica is configured to be writable (which is "
                          "not the default) writes to replicas are just local and are not "
                          "propagated.") ||
        !handler_i64(ctx, 1, &wanted) || !block_milliseconds(ctx, 2, &timeout_ms))
        return;
    uint64_t offset = stream_end(ctx, WAIT_ARGC);
    int64_t replicas = acknowledged(ctx, offset, false);
    if (replicas >= wanted || !ctx_may_wait(ctx))
        reply_integer(&ctx->reply, replicas);
    else
        wait_for(ctx, WAIT_ARGC, timeout_ms, &offset, 1);
}

/* Is the log's beginning up to this offset on the disk? 0: up to where it is now, which is stored. */
static bool log_is_synced(const struct command_ctx *ctx, uint64_t *offset) {
    struct write_path path;
    if (ctx->env->persist == NULL || persist_aof(ctx->env->persist) == NULL)
        return false;
    persist_write_path(ctx->env->persist, &path);
    if (ctx->argc > WAITAOF_ARGC + 1)
        (void)bytes_to_u64(ctx->argv[WAITAOF_ARGC + 1], offset);
    else
        *offset = path.executed;
    return path.synced >= *offset;
}

static bool waitaof_arguments(struct command_ctx *ctx, int64_t *local_r, int64_t *replicas_r,
                              int64_t *timeout_ms_r) {
    if (!handler_i64(ctx, 1, local_r))
        return false;
    if (*local_r < 0 || *local_r > 1) {
        reply_error(&ctx->reply, "ERR value is out of range, value must between 0 and 1");
        return false;
    }
    return handler_i64_least(ctx, 2, 0, "ERR value is out of range, must be positive",
                             replicas_r) &&
           block_milliseconds(ctx, 3, timeout_ms_r);
}

void cmd_waitaof(struct command_ctx *ctx) {
    int64_t want_local, want_replicas, timeout_ms;
    if (!waitaof_arguments(ctx, &want_local, &want_replicas, &timeout_ms) ||
        refuse_on_replica(ctx, "ERR WAITAOF cannot be used with replica instances. Please also "
                               "note that writes to replicas are just local and are not "
                               "propagated."))
        return;
    if (want_local > 0 && !ctx_config(ctx)->appendonly) {
        reply_error(&ctx->reply, "ERR WAITAOF cannot be used when numlocal is set but appendonly "
                                 "is disabled.");
        return;
    }
    uint64_t until[2] = {stream_end(ctx, WAITAOF_ARGC), 0};
    int64_t local = log_is_synced(ctx, &until[1]);
    int64_t replicas = acknowledged(ctx, until[0], true);
    if ((local < want_local || replicas < want_replicas) && ctx_may_wait(ctx)) {
        wait_for(ctx, WAITAOF_ARGC, timeout_ms, until, 2);
        return;
    }
    reply_array(&ctx->reply, 2);
    reply_integer(&ctx->reply, local);
    reply_integer(&ctx->reply, replicas);
}
