/* cmd_config.c - CONFIG: the rows of options.def, read here, changed for the whole pool at once.
 *
 * SET is tried on a copy first, so that a mistake is answered here and nothing changes anywhere;
 * then the lines go to the supervisor, who has every process apply them or none. The reply comes
 * when it has answered. */
#include "worker/command/latency.h"
#include "worker/command/server_private.h"

#include "shared/base/mem.h"

static bool has_glob(struct bytes pattern) {
    return memchr(pattern.ptr, '*', pattern.len) || memchr(pattern.ptr, '?', pattern.len) ||
           memchr(pattern.ptr, '[', pattern.len);
}

void cmd_config_get(struct command_ctx *ctx) {
    struct reply *r = &ctx->reply;
    struct buf value = {0};
    size_t mark = reply_mark(r), found = 0;
    for (uint32_t row = 0; row < option_count; row++) {
        struct bytes name = bytes_of_text(option_rows[row].name);
        uint32_t i = 2;
        while (i < ctx->argc && !bytes_glob(ctx->argv[i], name, true))
            i++;
        if (i == ctx->argc)
            continue;
        if (ctx->argv[i].len == name.len && !has_glob(ctx->argv[i]))
            name = ctx->argv[i]; /* a name is given back as it was written */
        buf_clear(&value);
        config_get(ctx_config(ctx), &option_rows[row], &value);
        reply_bulk(r, name);
        reply_bulk(r, buf_bytes(&value));
        found++;
    }
    reply_close_map(r, mark, found);
    buf_free(&value);
}

static void reply_set_failed(struct command_ctx *ctx, const char *option, const char *why) {
    reply_error_format(
        &ctx->reply, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", option, why);
}

/* Checks of the names alone, in the order of the arguments. */
static bool set_names_valid(struct command_ctx *ctx, const struct option_row **rows) {
    uint32_t count = (ctx->argc - 2) / 2;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes name = ctx->argv[2 + 2 * i];
        rows[i] = option_find(name);
        if (bytes_equal_nocase(name, "requirepass"))
            ctx_hide(ctx, 3 + 2 * i);
        if (rows[i] == NULL) {
            reply_error_format(&ctx->reply,
                               "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                               SHOWN(name));
            return false;
        }
        if (rows[i]->when == OPTION_START) {
            reply_set_failed(ctx, rows[i]->name, "can't set immutable config");
            return false;
        }
        for (uint32_t before = 0; before < i; before++) {
            if (rows[before] != rows[i])
                continue;
            reply_set_failed(ctx, rows[i]->name, "duplicate parameter");
            return false;
        }
    }
    return true;
}

/* Sets the values in a copy of the configuration. */
static bool set_values_valid(struct command_ctx *ctx, const struct option_row *const *rows) {
    char error[CONFIG_ERROR_BYTES];
    struct config *trial = config_copy(ctx_config(ctx));
    uint32_t count = (ctx->argc - 2) / 2, failed = UINT32_MAX;
    for (uint32_t i = 0; i < count && failed == UINT32_MAX; i++)
        if (config_set(trial, rows[i], ctx->argv[3 + 2 * i], error) != 0)
            failed = i;
    if (failed == UINT32_MAX && config_check(trial, error) != 0)
        failed = count - 1;
    config_free(&trial);
    if (failed != UINT32_MAX)
        reply_set_failed(ctx, rows[failed]->name, error);
    return failed == UINT32_MAX;
}

void cmd_config_set(struct command_ctx *ctx) {
    if (ctx->argc % 2 != 0) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    uint32_t count = (ctx->argc - 2) / 2;
    if (count > option_count) {
        reply_error(&ctx->reply, "ERR CONFIG SET failed - more parameters than there are options");
        return;
    }
    const struct option_row **rows = mem_calloc(count, sizeof(*rows));
    if (set_names_valid(ctx, rows) && set_values_valid(ctx, rows)) {
        struct buf lines = {0};
        for (uint32_t i = 0; i < count; i++)
            config_line(&lines, bytes_of_text(rows[i]->name), ctx->argv[3 + 2 * i]);
        ctx->deferred_reply = true;
        ctx->env->config_set(ctx->env->upper, ctx, buf_bytes(&lines));
        buf_free(&lines);
    }
    mem_free(rows);
}

void cmd_config_rewrite(struct command_ctx *ctx) {
    ctx->deferred_reply = true;
    ctx->env->config_rewrite(ctx->env->upper, ctx);
}

void cmd_config_resetstat(struct command_ctx *ctx) {
    struct command_env *env = ctx->env;
    execute_reset_stats();
    latency_forget_commands(ctx->env);
    if (env->refresh_status != NULL)
        env->refresh_status(env->upper);
    if (env->status != NULL)
        status_count_from_now(env->status);
    reply_ok(&ctx->reply);
}

void cmd_config_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    reply_help(ctx, "CONFIG", lines);
}
