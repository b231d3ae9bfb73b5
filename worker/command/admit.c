/* admit.c - may this command run at all? The checks that need no key, in Redis's order.
 *
 * Runs for commands of clients only; relayed and replayed ones were admitted where they came in.
 * A refusal is an error reply and a count: of the row's rejected calls and of the error's code. */
#include "worker/command/command.h"
#include "shared/base/log.h"
#include "worker/command/error_stats.h"
#include "worker/command/server_private.h"

#include <ctype.h>

enum { QUOTED_MAX = 128 };

/* What printf's %.Ns shows of an argument: cut at N bytes or at a NUL. */
static struct bytes shown(struct bytes text, size_t max) {
    return bytes_of(text.ptr, strnlen(text.ptr, text.len < max ? text.len : max));
}

static void quote_argument(struct buf *out, struct bytes argument, size_t max) {
    buf_append_text(out, "'");
    buf_append_bytes(out, shown(argument, max));
    buf_append_text(out, "' ");
}

static void refuse_unknown(struct command_ctx *ctx) {
    struct buf args = {0};
    for (uint32_t i = 1; i < ctx->argc && args.len < QUOTED_MAX; i++)
        quote_argument(&args, ctx->argv[i], QUOTED_MAX - args.len);
    struct bytes name = shown(ctx->argv[0], QUOTED_MAX);
    reply_error_format(&ctx->reply, "ERR unknown command '%.*s', with args beginning with: %.*s",
                       (int)name.len, name.ptr, (int)args.len, args.len ? args.data : "");
    buf_free(&args);
}

static bool debug_allowed(const struct command_ctx *ctx) {
    int allowed = ctx_config(ctx)->enable_debug_command;
    return allowed == DEBUG_COMMAND_YES ||
           (allowed == DEBUG_COMMAND_LOCAL && ctx->session->local_peer);
}

static void refuse_debug(struct command_ctx *ctx) {
    reply_error(&ctx->reply,
                "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                "\"local\", you can run it from a local connection, otherwise you need to set "
                "this option in the configuration file, and then restart the server.");
}

/* A protected container (DEBUG) is one command to a client: a wrong number of arguments is said in
 * the same words as an unknown subcommand. */
static void refuse_subcommand(struct command_ctx *ctx, const struct command *container) {
    if ((container->flags & CMD_PROTECTED) && !debug_allowed(ctx)) {
        refuse_debug(ctx);
        return;
    }
    char upper[64];
    size_t len = 0;
    for (; container->name[len] != '\0' && len < sizeof(upper) - 1; len++)
        upper[len] = (char)toupper((unsigned char)container->name[len]);
    upper[len] = '\0';
    struct bytes name = shown(ctx->argv[1], QUOTED_MAX);
    reply_error_format(&ctx->reply, "ERR unknown subcommand%s '%.*s'. Try %s HELP.",
                       container->flags & CMD_PROTECTED ? " or wrong number of arguments for" : "",
                       (int)name.len, name.ptr, upper);
}

static void refuse_arity(struct command_ctx *ctx) {
    const struct command *container = command_container(ctx->cmd);
    if (container != NULL && (container->flags & CMD_PROTECTED))
        refuse_subcommand(ctx, container);
    else
        reply_error_format(&ctx->reply, "ERR wrong number of arguments for '%s' command",
                           ctx->cmd->name);
}

/* What a replica does not do for its clients. */
static bool refuse_on_replica(struct command_ctx *ctx) {
    const struct config *config = ctx_config(ctx);
    const char *refusal = NULL;
    if (ctx->session->upstream)
        return false;
    if ((ctx->cmd->flags & CMD_WRITE) && config->replica_read_only)
        refusal = "READONLY You can't write against a read only replica.";
    else if (!ctx->env->primary_is_up && !config->replica_serve_stale_data &&
             !(ctx->cmd->flags & CMD_STALE))
        refusal = "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to "
                  "'no'.";
    if (refusal == NULL)
        return false;
    reply_error(&ctx->reply, refusal);
    execute_stats()[command_index(ctx->cmd)].rejected_calls++;
    return true;
}

/* Writes the refusal and returns true, or returns false if the command may run. */
static bool refuse(struct command_ctx *ctx) {
    const struct command *c = ctx->cmd;
    if (!command_arity_ok(c, ctx->argc))
        refuse_arity(ctx);
    else if ((c->flags & CMD_PROTECTED) && !debug_allowed(ctx))
        refuse_debug(ctx);
    else if (!(c->flags & CMD_NO_AUTH) && ctx_needs_auth(ctx))
        reply_error(&ctx->reply, "NOAUTH Authentication required.");
    else if ((ctx->env->loading || ctx->env->syncing) && !(c->flags & CMD_LOADING) &&
             !ctx->session->upstream)
        reply_error(&ctx->reply, reply_err_loading);
    else if (ctx_config(ctx)->replicaof[0] != '\0' && refuse_on_replica(ctx))
        return true;
    else
        return false;
    execute_stats()[command_index(c)].rejected_calls++;
    return true;
}

/* A browser that was made to send a request here: what its body holds must not be run. */
static bool is_http(struct bytes name) {
    return bytes_equal_nocase(name, "POST") || bytes_equal_nocase(name, "Host:");
}

static void drop_http(struct command_ctx *ctx) {
    struct session *s = ctx->session;
    log_warning(
        "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: "
        "commands to Redis. This is likely due to an attacker attempting to use Cross "
        "Protocol Scripting to compromise your instance. Connection from %s aborted.",
        s->peer);
    ctx->env->kill_session(ctx->env->upper, s, false);
}

enum admit_result admit(struct command_ctx *ctx) {
    const struct command *container;
    size_t mark = ctx->reply.out->len;
    ctx->cmd = command_lookup(ctx->argv, ctx->argc, &container);
    if (ctx->cmd != NULL) {
        ctx->session->last_command = ctx->cmd;
        if (!refuse(ctx))
            return ADMIT_OK;
    } else if (container != NULL) {
        refuse_subcommand(ctx, container);
    } else if (is_http(ctx->argv[0])) {
        drop_http(ctx);
        return ADMIT_REFUSED;
    } else {
        refuse_unknown(ctx);
    }
    struct buf *out = ctx->reply.out;
    error_stats_count(bytes_of(out->data + mark, out->len - mark));
    if (ctx->env->status != NULL)
        status_add(ctx->env->status, METRIC_error_replies, 1);
    return ADMIT_REFUSED;
}
