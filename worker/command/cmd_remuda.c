/* cmd_remuda.c - REMUDA: commands about the pool as a whole, which Redis has no word for. */
#include "worker/command/server_private.h"

/* [name] [KEEP count]. The supervisor judges the name. */
void cmd_remuda_snapshot(struct command_ctx *ctx) {
    struct bytes name = BYTES_LITERAL("");
    uint32_t at = 2;
    int32_t keep = -1;
    if (at < ctx->argc && !bytes_equal_nocase(ctx->argv[at], "keep"))
        name = ctx->argv[at++];
    if (at + 1 < ctx->argc && bytes_equal_nocase(ctx->argv[at], "keep")) {
        if (!ctx_int_argument(ctx, ctx->argv[at + 1], &keep))
            return;
        if (keep < 1) {
            reply_error(&ctx->reply, "ERR KEEP must be 1 or more");
            return;
        }
        at += 2;
    }
    if (at != ctx->argc || (ctx->argc > 2 && at == 3 && name.len == 0)) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    ctx->deferred_reply = true;
    ctx->env->snapshot(ctx->env->upper, ctx, keep > 0 ? (uint64_t)keep + 1 : 0, name);
}

void cmd_remuda_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "SNAPSHOT [<name>] [KEEP <count>]",
        "    Take a snapshot of all shards at one moment; return its folder. Keep the newest",
        "    <count> of them (default: snapshot-keep). The name defaults to the time in UTC.",
        NULL,
    };
    reply_help(ctx, "REMUDA", lines);
}
