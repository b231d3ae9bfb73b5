/* cmd_server.c - DBSIZE, FLUSHDB, FLUSHALL, SWAPDB, TIME, SAVE and its kin, SHUTDOWN.
 *
 * A handler acts on this shard; that a command reaches all shards is a matter of its row's span. */
#include "worker/command/server_private.h"

#include "shared/base/clock.h"
#include "worker/persist/persist.h"

enum { ERROR_TEXT_BYTES = 1024 };

void reply_usage(struct command_ctx *ctx, const char *container) {
    reply_error_format(&ctx->reply,
                       "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s "
                       "HELP.",
                       SHOWN(ctx->argv[1]), container);
}

void reply_help(struct command_ctx *ctx, const char *container, const char *const *lines) {
    struct reply *r = &ctx->reply;
    struct buf title = {0};
    size_t mark = reply_mark(r), count = 3;
    buf_printf(&title, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:%c", container,
               '\0');
    reply_status(r, title.data);
    buf_free(&title);
    for (; *lines != NULL; lines++, count++)
        reply_status(r, *lines);
    reply_status(r, "HELP");
    reply_status(r, "    Prints this help.");
    reply_close_array(r, mark, count);
}

void cmd_dbsize(struct command_ctx *ctx) {
    reply_integer(&ctx->reply, (int64_t)keyspace_count(ctx->ks, ctx_db(ctx)));
}

/* [ASYNC|SYNC]; false: replied. */
static bool parse_flush(struct command_ctx *ctx, bool *lazy_r) {
    if (ctx->argc == 1) {
        *lazy_r = ctx_config(ctx)->lazyfree_lazy_user_flush;
        return true;
    }
    bool sync = bytes_equal_nocase(ctx->argv[1], "sync");
    *lazy_r = bytes_equal_nocase(ctx->argv[1], "async");
    if (ctx->argc == 2 && (sync || *lazy_r))
        return true;
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

/* Logged even if there was nothing to remove, as a replica or a log may know more. */
void cmd_flushdb(struct command_ctx *ctx) {
    bool lazy;
    if (!parse_flush(ctx, &lazy))
        return;
    uint64_t keys = keyspace_count(ctx->ks, ctx_db(ctx));
    keyspace_flush(ctx->ks, ctx_db(ctx), lazy);
    ctx->dirty = keys > 0 ? keys : 1;
    reply_ok(&ctx->reply);
}

void cmd_flushall(struct command_ctx *ctx) {
    bool lazy;
    if (!parse_flush(ctx, &lazy))
        return;
    uint64_t keys = keyspace_count_all(ctx->ks);
    keyspace_flush_all(ctx->ks, lazy);
    if (ctx->env->persist != NULL && !ctx->env->loading)
        persist_flushed_all(ctx->env->persist);
    ctx->dirty = keys + 1;
    reply_ok(&ctx->reply);
}

void cmd_swapdb(struct command_ctx *ctx) {
    int64_t index[2];
    static const char *const names[] = {"first", "second"};
    if (ctx_is_node(ctx)) {
        reply_error(&ctx->reply, "ERR SWAPDB is not allowed in cluster mode");
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (bytes_to_i64(ctx->argv[1 + i], &index[i]) && index[i] >= INT32_MIN &&
            index[i] <= INT32_MAX)
            continue;
        reply_error_format(&ctx->reply, "ERR invalid %s DB index", names[i]);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (index[i] >= 0 && index[i] < keyspace_databases(ctx->ks))
            continue;
        reply_error(&ctx->reply, "ERR DB index is out of range");
        return;
    }
    keyspace_swap(ctx->ks, (uint32_t)index[0], (uint32_t)index[1]);
    ctx->dirty = 1;
    reply_ok(&ctx->reply);
}

void cmd_time(struct command_ctx *ctx) {
    int64_t now_us = clock_wall_us();
    reply_array(&ctx->reply, 2);
    reply_bulk_integer(&ctx->reply, now_us / 1000000);
    reply_bulk_integer(&ctx->reply, now_us % 1000000);
}

/* ---- files ---- */

static bool has_files(struct command_ctx *ctx) {
    if (ctx->env->persist != NULL)
        return true;
    reply_error(&ctx->reply, "ERR This shard keeps no files");
    return false;
}

void cmd_lastsave(struct command_ctx *ctx) {
    if (has_files(ctx))
        reply_integer(&ctx->reply, persist_lastsave_seconds(ctx->env->persist));
}

void cmd_save(struct command_ctx *ctx) {
    char error[ERROR_TEXT_BYTES];
    if (!has_files(ctx))
        return;
    if (persist_save(ctx->env->persist, error, sizeof(error)) == 0)
        reply_ok(&ctx->reply);
    else
        reply_error(&ctx->reply, error);
}

void cmd_bgsave(struct command_ctx *ctx) {
    bool schedule = ctx->argc == 2 && bytes_equal_nocase(ctx->argv[1], "schedule");
    if (ctx->argc > 1 && !schedule) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (!has_files(ctx))
        return;
    switch (persist_bgsave(ctx->env->persist, schedule)) {
    case BGSAVE_STARTED: reply_status(&ctx->reply, "Background saving started"); return;
    case BGSAVE_SCHEDULED: reply_status(&ctx->reply, "Background saving scheduled"); return;
    case BGSAVE_BUSY: reply_error(&ctx->reply, "ERR Background save already in progress"); return;
    case BGSAVE_BUSY_REWRITE:
        reply_error(&ctx->reply,
                    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use "
                    "BGSAVE SCHEDULE in order to schedule a BGSAVE whenever possible.");
        return;
    }
}

void cmd_bgrewriteaof(struct command_ctx *ctx) {
    if (!has_files(ctx))
        return;
    switch (persist_bgrewriteaof(ctx->env->persist)) {
    case REWRITE_STARTED:
        reply_status(&ctx->reply, "Background append only file rewriting started");
        return;
    case REWRITE_SCHEDULED:
        reply_status(&ctx->reply, "Background append only file rewriting scheduled");
        return;
    case REWRITE_BUSY:
        reply_error(&ctx->reply, "ERR Background append only file rewriting already in progress");
        return;
    case REWRITE_FAILED:
        reply_error(&ctx->reply, "ERR Can't execute an AOF background rewriting. Please check the "
                                 "server logs for more information.");
        return;
    }
}

/* ---- SHUTDOWN ---- */

struct shutdown_words {
    bool save, nosave, now, force, abort;
};

static bool parse_shutdown(struct command_ctx *ctx, struct shutdown_words *words) {
    const struct {
        const char *word;
        bool *seen;
    } table[] = {{"nosave", &words->nosave},
                 {"save", &words->save},
                 {"now", &words->now},
                 {"force", &words->force},
                 {"abort", &words->abort}};
    for (uint32_t i = 1; i < ctx->argc; i++) {
        bool known = false;
        for (size_t w = 0; w < sizeof(table) / sizeof(table[0]) && !known; w++) {
            known = bytes_equal_nocase(ctx->argv[i], table[w].word);
            *table[w].seen |= known;
        }
        if (!known)
            return false;
    }
    return !(words->save && words->nosave) &&
           !(words->abort && (words->save || words->nosave || words->now || words->force));
}

/* NOW and FORCE change nothing: there are no replicas to wait for, and the supervisor's stop has a
 * time limit of its own. A stop under way cannot be called off: the pool has let its clients go. */
void cmd_shutdown(struct command_ctx *ctx) {
    struct shutdown_words words = {0};
    if (!parse_shutdown(ctx, &words)) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (words.abort) {
        reply_error(&ctx->reply, "ERR No shutdown in progress.");
        return;
    }
    enum shutdown_save save = words.save     ? SHUTDOWN_SAVE
                              : words.nosave ? SHUTDOWN_NOSAVE
                                             : SHUTDOWN_SAVE_DEFAULT;
    ctx->deferred_reply = true;
    ctx->env->shutdown(ctx->env->upper, ctx, save);
}
