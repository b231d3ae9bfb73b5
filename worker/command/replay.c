/* replay.c - see replay.h. */
#include "worker/command/replay.h"

#include "shared/ipc/segment.h"

#include <stdio.h>

enum { SHOWN_MAX = 64, REPLY_SHOWN_MAX = 200 };

static int shown(size_t len, size_t max) {
    return (int)(len < max ? len : max);
}

/* The log of another shard, put in place of ours, would bring keys that nobody finds. */
static int check_keys_are_ours(const struct command_ctx *ctx, char *error_r, size_t error_bytes) {
    enum { POSITIONS = 16 };
    const struct segment *pool = ctx->env->segment;
    uint32_t at[POSITIONS];
    if (pool == NULL || pool->workers == 1)
        return 0;
    int32_t keys = command_key_positions(ctx->cmd, ctx->argv, ctx->argc, at, POSITIONS);
    for (int32_t i = 0; i < keys && i < POSITIONS; i++) {
        struct bytes key = ctx->argv[at[i]];
        uint16_t slot = slot_of_key(key);
        if (pool->slots->owner[slot] == ctx->env->shard)
            continue;
        snprintf(error_r, error_bytes,
                 "slot %u is not this shard's: the file is another's, or damaged (key \"%.*s\")",
                 slot, shown(key.len, SHOWN_MAX), key.ptr);
        return -1;
    }
    return 0;
}

int replay_command(struct keyspace *ks, struct session *session, struct command_env *env,
                   uint32_t argc, const struct bytes *argv, char *error_r, size_t error_bytes) {
    const struct command *cmd = command_lookup(argv, argc, NULL);
    if (!cmd || !cmd->handler || !command_arity_ok(cmd, argc)) {
        snprintf(error_r, error_bytes, "%s '%.*s' with %u arguments",
                 cmd ? "wrong number of arguments for" : "unknown command",
                 shown(argv[0].len, SHOWN_MAX), argv[0].ptr, argc - 1);
        return -1;
    }
    static struct buf reply;
    buf_clear(&reply);
    struct command_ctx ctx = {.ks = ks,
                              .session = session,
                              .env = env,
                              .cmd = cmd,
                              .argv = argv,
                              .argc = argc,
                              .reply = {.out = &reply, .version = 2}};
    if (check_keys_are_ours(&ctx, error_r, error_bytes) != 0)
        return -1;
    execute(&ctx);
    if (ctx.reply.errors == 0)
        return 0;
    snprintf(error_r, error_bytes, "'%.*s' was answered with %.*s", shown(argv[0].len, SHOWN_MAX),
             argv[0].ptr, shown(reply.len, REPLY_SHOWN_MAX), reply.data);
    return -1;
}
