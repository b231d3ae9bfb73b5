/* cmd_stream_group.c - consumer groups: XGROUP, XACK, XPENDING. */
#include "worker/command/stream_handler.h"

#include "shared/base/mem.h"
#include "worker/command/server_private.h"

/* ---- XGROUP ---- */

/* The key must be there, but for CREATE with MKSTREAM. */
static bool find_stream(struct command_ctx *ctx, bool make, struct keyref *ref_r,
                        struct stream **stream_r) {
    if (!stream_find(ctx, 2, KEY_WRITE, ref_r, stream_r))
        return false;
    if (*stream_r != NULL || make)
        return true;
    reply_error(&ctx->reply, "ERR The XGROUP subcommand requires the key to exist. Note that for "
                             "CREATE you may want to use the MKSTREAM option to create an empty "
                             "stream automatically.");
    return false;
}

static bool find_group(struct command_ctx *ctx, struct keyref *ref_r, struct stream **stream_r,
                       struct stream_group **group_r) {
    if (!find_stream(ctx, false, ref_r, stream_r))
        return false;
    *group_r = stream_group_find(*stream_r, ctx->argv[3]);
    if (*group_r != NULL)
        return true;
    reply_error_format(&ctx->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                       SHOWN(ctx->argv[3]), SHOWN(ctx->argv[2]));
    return false;
}

/* [MKSTREAM] [ENTRIESREAD n] from argument 5 on; make_r NULL: no MKSTREAM. */
static bool parse_options(struct command_ctx *ctx, bool *make_r, int64_t *entries_read_r) {
    *entries_read_r = STREAM_UNKNOWN;
    for (uint32_t i = 5; i < ctx->argc; i++) {
        if (make_r != NULL && handler_arg_is(ctx, i, "MKSTREAM")) {
            *make_r = true;
        } else if (handler_arg_is(ctx, i, "ENTRIESREAD") && i + 1 < ctx->argc) {
            if (!handler_i64(ctx, ++i, entries_read_r))
                return false;
            if (*entries_read_r < STREAM_UNKNOWN) {
                reply_error(&ctx->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_usage(ctx, "XGROUP");
            return false;
        }
    }
    return true;
}

/* An id, or "$" for the stream's last one. */
static bool parse_start(struct command_ctx *ctx, const struct stream *s, struct stream_id *id_r) {
    if (!bytes_equal(ctx->argv[4], BYTES_LITERAL("$")))
        return stream_id_argument(ctx, 4, 0, id_r);
    *id_r = s != NULL ? s->last_id : stream_id_min;
    return true;
}

/* "$" is logged as what it meant. */
static void log_start(struct command_ctx *ctx, struct stream_id id) {
    char text[STREAM_ID_TEXT_MAX];
    struct bytes argv[8];
    if (!bytes_equal(ctx->argv[4], BYTES_LITERAL("$")))
        return;
    memcpy(argv, ctx->argv, ctx->argc * sizeof(*argv));
    argv[4] = stream_id_text(text, id);
    propagate_instead(ctx, ctx->argc, argv);
}

void cmd_xgroup_create(struct command_ctx *ctx) {
    bool make = false;
    int64_t entries_read;
    struct keyref ref;
    struct stream *s;
    struct stream_id id;
    if (!parse_options(ctx, &make, &entries_read))
        return;
    if (ctx->argc > 8) {
        reply_usage(ctx, "XGROUP");
        return;
    }
    if (!find_stream(ctx, make, &ref, &s) || !parse_start(ctx, s, &id))
        return;
    struct value made = {0};
    if (s == NULL) {
        made = stream_create();
        s = stream_of(&made);
    }
    if (stream_group_create(s, ctx->argv[3], id, entries_read) == NULL) {
        reply_error(&ctx->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    if (made.object != NULL)
        keyspace_store(&ref, &made);
    else
        keyspace_touch_inside(&ref);
    ctx->dirty++;
    log_start(ctx, id);
    reply_ok(&ctx->reply);
}

void cmd_xgroup_setid(struct command_ctx *ctx) {
    int64_t entries_read;
    struct keyref ref;
    struct stream *s;
    struct stream_group *group;
    struct stream_id id;
    if (!parse_options(ctx, NULL, &entries_read))
        return;
    if (ctx->argc > 7) {
        reply_usage(ctx, "XGROUP");
        return;
    }
    if (!find_group(ctx, &ref, &s, &group) || !parse_start(ctx, s, &id))
        return;
    group->last_id = id;
    group->entries_read = entries_read;
    keyspace_touch_inside(&ref);
    ctx->dirty++;
    log_start(ctx, id);
    reply_ok(&ctx->reply);
}

void cmd_xgroup_destroy(struct command_ctx *ctx) {
    struct keyref ref;
    struct stream *s;
    if (!find_stream(ctx, false, &ref, &s))
        return;
    ctx->dirty = stream_group_destroy(s, ctx->argv[3]);
    if (ctx->dirty > 0)
        keyspace_touch_changed(&ref);
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

void cmd_xgroup_createconsumer(struct command_ctx *ctx) {
    struct keyref ref;
    struct stream *s;
    struct stream_group *group;
    if (!find_group(ctx, &ref, &s, &group))
        return;
    ctx->dirty = stream_consumer_create(group, ctx->argv[4], ctx_now_ms(ctx)) != NULL;
    if (ctx->dirty > 0)
        keyspace_touch_inside(&ref);
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

void cmd_xgroup_delconsumer(struct command_ctx *ctx) {
    struct keyref ref;
    struct stream *s;
    struct stream_group *group;
    uint64_t pending;
    if (!find_group(ctx, &ref, &s, &group))
        return;
    ctx->dirty = stream_consumer_delete(group, ctx->argv[4], &pending);
    if (ctx->dirty > 0)
        keyspace_touch_inside(&ref);
    reply_integer(&ctx->reply, (int64_t)pending);
}

void cmd_xgroup_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        NULL,
    };
    reply_help(ctx, "XGROUP", lines);
}

/* ---- XACK ---- */

void cmd_xack(struct command_ctx *ctx) {
    struct keyref ref;
    struct stream *s;
    if (!stream_find(ctx, 1, KEY_READ, &ref, &s))
        return;
    struct stream_group *group = s != NULL ? stream_group_find(s, ctx->argv[2]) : NULL;
    if (group != NULL) {
        struct stream_id *ids = stream_id_arguments(ctx, 3);
        if (ids == NULL)
            return;
        for (uint32_t i = 0; i < ctx->argc - 3; i++)
            ctx->dirty += stream_pending_end(group, ids[i]);
        mem_free(ids);
        if (ctx->dirty > 0)
            keyspace_touch_inside(&ref);
    }
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

/* ---- XPENDING ---- */

static void reply_edge(struct reply *r, struct idtree_cursor at) {
    struct stream_id id;
    idtree_next(&at, &id);
    stream_reply_id(r, id);
}

static void reply_summary(struct reply *r, const struct stream_group *group) {
    reply_array(r, 4);
    reply_integer(r, (int64_t)group->pending.count);
    if (group->pending.count == 0) {
        reply_null(r);
        reply_null(r);
        reply_null_array(r);
        return;
    }
    reply_edge(r, idtree_seek(&group->pending, stream_id_min));
    reply_edge(r, idtree_seek_back(&group->pending, stream_id_max));
    uint64_t consumers;
    size_t mark = reply_mark(r), shown = 0;
    struct stream_consumer **sorted = stream_consumers_sorted(group, &consumers);
    for (uint64_t i = 0; i < consumers; i++) {
        if (sorted[i]->pending.count == 0)
            continue;
        reply_array(r, 2);
        reply_bulk(r, stream_consumer_name(sorted[i]));
        reply_bulk_integer(r, (int64_t)sorted[i]->pending.count);
        shown++;
    }
    reply_close_array(r, mark, shown);
    mem_free(sorted);
}

struct pending_query {
    int64_t idle_ms, count;
    struct stream_id start, end;
    struct bytes consumer; /* ptr NULL: of all */
};

/* [IDLE ms] start end count [consumer] from argument 3 on. */
static bool parse_query(struct command_ctx *ctx, struct pending_query *q) {
    uint32_t at = 3;
    *q = (struct pending_query){0};
    if (handler_arg_is(ctx, at, "IDLE")) {
        if (!handler_i64(ctx, at + 1, &q->idle_ms))
            return false;
        if (ctx->argc < 8) {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
        at += 2;
    }
    if (!handler_i64(ctx, at + 2, &q->count) || !stream_start_argument(ctx, at, &q->start) ||
        !stream_end_argument(ctx, at + 1, &q->end))
        return false;
    if (at + 3 < ctx->argc)
        q->consumer = ctx->argv[at + 3];
    return true;
}

static void reply_pending(struct command_ctx *ctx, const struct stream_group *group,
                          const struct pending_query *q) {
    struct reply *r = &ctx->reply;
    const struct stream_consumer *only = NULL;
    if (q->consumer.ptr != NULL) {
        only = stream_consumer_find(group, q->consumer);
        if (only == NULL) {
            reply_array(r, 0);
            return;
        }
    }
    size_t mark = reply_mark(r), found = 0;
    struct stream_id id;
    struct idtree_cursor at =
        idtree_seek(only != NULL ? &only->pending : &group->pending, q->start);
    while ((int64_t)found < q->count && idtree_next(&at, &id) != NULL &&
           !stream_id_before(q->end, id)) {
        const struct stream_pending *p = stream_pending_find(group, id);
        int64_t idle_ms = ctx_now_ms(ctx) - p->delivered_ms;
        if (q->idle_ms != 0 && idle_ms < q->idle_ms)
            continue;
        reply_array(r, 4);
        stream_reply_id(r, id);
        reply_bulk(r, stream_consumer_name(p->consumer));
        reply_integer(r, idle_ms < 0 ? 0 : idle_ms);
        reply_integer(r, (int64_t)p->deliveries);
        found++;
    }
    reply_close_array(r, mark, found);
}

void cmd_xpending(struct command_ctx *ctx) {
    struct pending_query query = {0};
    struct keyref ref;
    struct stream_group *group;
    bool summary = ctx->argc == 3;
    if (!summary && (ctx->argc < 6 || ctx->argc > 9)) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if ((!summary && !parse_query(ctx, &query)) || !stream_find_group(ctx, 1, "", &ref, &group))
        return;
    if (summary)
        reply_summary(&ctx->reply, group);
    else
        reply_pending(ctx, group, &query);
}
