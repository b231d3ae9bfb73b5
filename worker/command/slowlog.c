/* slowlog.c - see slowlog.h. */
#include "worker/command/slowlog.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "worker/command/server_private.h"

#include <stdio.h>

enum {
    ARGUMENTS_MAX = 32,       /* shown of a command; the last one then says how many more */
    ARGUMENT_BYTES_MAX = 128, /* shown of an argument; then it says how many more */
    DEFAULT_COUNT = 10
};

struct entry {
    struct list link;
    uint64_t id;
    char peer[64];
    char *name;
    size_t len;
    char body[];
};

struct slowlog {
    struct list entries; /* newest first */
    uint64_t count, own_ids;
    _Atomic uint64_t *next_id;
};

struct slowlog *slowlog_create(_Atomic uint64_t *next_id) {
    struct slowlog *log = mem_calloc(1, sizeof(*log));
    log->next_id = next_id;
    list_init(&log->entries);
    return log;
}

static void trim(struct slowlog *log, uint64_t max_len) {
    while (log->count > max_len) {
        struct entry *oldest = LIST_ENTRY(log->entries.prev, struct entry, link);
        list_remove(&oldest->link);
        mem_free(oldest->name);
        mem_free(oldest);
        log->count--;
    }
}

void slowlog_free(struct slowlog **slowlog) {
    if (*slowlog)
        trim(*slowlog, 0);
    mem_free(*slowlog);
    *slowlog = NULL;
}

/* ---- bodies ---- */

struct body {
    int64_t time_s;
    uint64_t duration_us;
    uint32_t argc;
    struct bytes rest;
};

static bool body_open(struct bytes bytes, struct body *body_r) {
    enum { HEADER = 8 + 8 + 4 };
    *body_r = (struct body){0};
    if (bytes.len < HEADER)
        return false;
    memcpy(&body_r->time_s, bytes.ptr, 8);
    memcpy(&body_r->duration_us, bytes.ptr + 8, 8);
    memcpy(&body_r->argc, bytes.ptr + 16, 4);
    body_r->rest = bytes_of(bytes.ptr + HEADER, bytes.len - HEADER);
    return body_r->argc <= ARGUMENTS_MAX;
}

static bool body_next(struct body *body, struct bytes *argument_r) {
    uint32_t len;
    if (body->rest.len < sizeof(len))
        return false;
    memcpy(&len, body->rest.ptr, sizeof(len));
    if (len > body->rest.len - sizeof(len))
        return false;
    *argument_r = bytes_of(body->rest.ptr + sizeof(len), len);
    body->rest.ptr += sizeof(len) + len;
    body->rest.len -= sizeof(len) + len;
    return true;
}

static bool body_valid(struct bytes bytes) {
    struct body body;
    struct bytes argument;
    if (!body_open(bytes, &body))
        return false;
    for (uint32_t i = 0; i < body.argc; i++)
        if (!body_next(&body, &argument))
            return false;
    return body.rest.len == 0;
}

static void append_argument(struct buf *out, struct bytes argument) {
    char more[48];
    int more_len = 0;
    uint32_t shown = (uint32_t)argument.len;
    if (argument.len > ARGUMENT_BYTES_MAX) {
        shown = ARGUMENT_BYTES_MAX;
        more_len = snprintf(more, sizeof(more), "... (%zu more bytes)", argument.len - shown);
    }
    uint32_t len = shown + (uint32_t)more_len;
    buf_append(out, &len, sizeof(len));
    buf_append(out, argument.ptr, shown);
    buf_append(out, more, (size_t)more_len);
}

static void body_write(struct buf *out, const struct command_ctx *ctx, uint64_t duration_us) {
    int64_t time_s = clock_wall_ms() / 1000;
    uint32_t argc = ctx->argc <= ARGUMENTS_MAX ? ctx->argc : ARGUMENTS_MAX;
    buf_append(out, &time_s, sizeof(time_s));
    buf_append(out, &duration_us, sizeof(duration_us));
    buf_append(out, &argc, sizeof(argc));
    for (uint32_t i = 0; i < argc; i++) {
        char text[48];
        if (i == ARGUMENTS_MAX - 1 && ctx->argc > ARGUMENTS_MAX) {
            snprintf(text, sizeof(text), "... (%u more arguments)", ctx->argc - i);
            append_argument(out, bytes_of_text(text));
        } else {
            append_argument(out, ctx_shown(ctx, i));
        }
    }
}

/* ---- keeping ---- */

void slowlog_add(struct slowlog *log, struct bytes body, const char *peer, const char *name,
                 int64_t max_len) {
    if (!body_valid(body))
        return;
    struct entry *entry = mem_alloc(sizeof(*entry) + body.len);
    entry->id = log->next_id ? atomic_fetch_add(log->next_id, 1) : log->own_ids++;
    snprintf(entry->peer, sizeof(entry->peer), "%s", peer);
    entry->name = name ? mem_strndup(name, strlen(name)) : NULL;
    entry->len = body.len;
    memcpy(entry->body, body.ptr, body.len);
    list_push_front(&log->entries, &entry->link);
    log->count++;
    trim(log, (uint64_t)max_len);
}

void slowlog_note(struct command_ctx *ctx, uint64_t duration_us) {
    struct command_env *env = ctx->env;
    const struct session *s = ctx->session;
    if ((ctx->cmd->flags & CMD_SKIP_SLOWLOG) || env->loading || ctx->waiter || !env->slowlog)
        return;
    struct buf body = {0};
    body_write(&body, ctx, duration_us);
    if (s->peer[0] != '\0')
        slowlog_add(env->slowlog, buf_bytes(&body), s->peer, s->name,
                    ctx_config(ctx)->slowlog_max_len);
    else if (s->of_token != 0)
        env->slow(env->upper, s, buf_bytes(&body));
    buf_free(&body);
}

/* ---- commands ---- */

static void reply_entry(struct reply *r, const struct entry *entry) {
    struct body body;
    struct bytes argument;
    body_open(bytes_of(entry->body, entry->len), &body);
    reply_array(r, 6);
    reply_integer(r, (int64_t)entry->id);
    reply_integer(r, body.time_s);
    reply_integer(r, (int64_t)body.duration_us);
    reply_array(r, body.argc);
    for (uint32_t i = 0; i < body.argc && body_next(&body, &argument); i++)
        reply_bulk(r, argument);
    reply_bulk_text(r, entry->peer);
    reply_bulk_text(r, entry->name ? entry->name : "");
}

bool slowlog_count(const struct bytes *argv, uint32_t argc, uint64_t *count_r) {
    int64_t count = DEFAULT_COUNT;
    if (argc > 2 && (!bytes_to_i64(argv[2], &count) || count < -1))
        return false;
    *count_r = count < 0 ? UINT64_MAX : (uint64_t)count;
    return true;
}

void cmd_slowlog_get(struct command_ctx *ctx) {
    struct slowlog *log = ctx->env->slowlog;
    uint64_t count;
    if (ctx->argc > 3) {
        reply_usage(ctx, "SLOWLOG");
        return;
    }
    if (!slowlog_count(ctx->argv, ctx->argc, &count)) {
        reply_error(&ctx->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    if (count > log->count)
        count = log->count;
    reply_array(&ctx->reply, count);
    LIST_EACH(node, &log->entries) {
        if (count-- == 0)
            return;
        reply_entry(&ctx->reply, LIST_ENTRY(node, struct entry, link));
    }
}

void cmd_slowlog_len(struct command_ctx *ctx) {
    reply_integer(&ctx->reply, (int64_t)ctx->env->slowlog->count);
}

void cmd_slowlog_reset(struct command_ctx *ctx) {
    trim(ctx->env->slowlog, 0);
    reply_ok(&ctx->reply);
}

void cmd_slowlog_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return top <count> entries from the slowlog (default: 10, -1 mean all).",
        "    Entries are made of:",
        "    id, timestamp, time in microseconds, arguments array, client IP and port,",
        "    client name",
        "LEN",
        "    Return the length of the slowlog.",
        "RESET",
        "    Reset the slowlog.",
        NULL,
    };
    reply_help(ctx, "SLOWLOG", lines);
}
