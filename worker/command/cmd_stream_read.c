/* cmd_stream_read.c - XREAD and XREADGROUP: entries behind an id, of several streams.
 *
 *   XREADGROUP >    new entries: the group's last id moves on, they become pending at the consumer
 *   XREADGROUP id   what is pending at the consumer behind id: delivered once more
 *
 * A stream without anything to give has no part in the reply. What was delivered goes to the log as
 * XCLAIM, and how far the group has come as XGROUP SETID. */
#include "worker/command/blocked.h"
#include "worker/command/stream_handler.h"

#include "shared/base/mem.h"
#include "worker/command/server_private.h"

/* ">": what no consumer has been given. Redis takes the largest id for the same. */
#define ID_NEW stream_id_max

struct read {
    struct command_ctx *ctx;
    bool of_group, noack, blocks;
    struct bytes group, consumer;
    int64_t count; /* of each stream; 0: all */
    int64_t block_ms;
    uint32_t first, streams; /* arguments: keys, then as many ids */
    struct stream_id *after; /* each stream's */
    size_t mark, served;
};

/* ---- arguments ---- */

static bool fails(struct read *r, const char *error) {
    reply_error(&r->ctx->reply, error);
    return false;
}

static bool parse_streams(struct read *r, uint32_t first) {
    struct command_ctx *ctx = r->ctx;
    r->first = first;
    r->streams = (ctx->argc - first) / 2;
    if ((ctx->argc - first) % 2 == 0)
        return true;
    reply_error_format(
        &ctx->reply,
        "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' must "
        "be specified.",
        ctx->cmd->name, r->of_group ? '>' : '$');
    return false;
}

static bool parse_block(struct read *r, uint32_t index) {
    r->blocks = true;
    return block_milliseconds(r->ctx, index, &r->block_ms);
}

/* An option of one word or more at *at, which moves to its last argument. */
static bool parse_option(struct read *r, uint32_t *at) {
    struct command_ctx *ctx = r->ctx;
    uint32_t more = ctx->argc - 1 - *at;
    if (more > 0 && handler_arg_is(ctx, *at, "BLOCK"))
        return parse_block(r, ++*at);
    if (more > 0 && handler_arg_is(ctx, *at, "COUNT")) {
        bool right = handler_i64(ctx, ++*at, &r->count);
        r->count = r->count < 0 ? 0 : r->count;
        return right;
    }
    if (more > 1 && handler_arg_is(ctx, *at, "GROUP")) {
        if (!r->of_group)
            return fails(r,
                         "ERR The GROUP option is only supported by XREADGROUP. You called XREAD "
                         "instead.");
        r->group = ctx->argv[*at + 1];
        r->consumer = ctx->argv[*at + 2];
        *at += 2;
        return true;
    }
    if (handler_arg_is(ctx, *at, "NOACK")) {
        r->noack = true;
        return r->of_group || fails(r, "ERR The NOACK option is only supported by XREADGROUP. You "
                                       "called XREAD instead.");
    }
    return fails(r, reply_err_syntax);
}

static bool parse(struct read *r) {
    struct command_ctx *ctx = r->ctx;
    for (uint32_t at = 1; at < ctx->argc && r->first == 0; at++) {
        bool is_streams = at + 1 < ctx->argc && handler_arg_is(ctx, at, "STREAMS");
        if (!(is_streams ? parse_streams(r, at + 1) : parse_option(r, &at)))
            return false;
    }
    if (r->first == 0)
        return fails(r, reply_err_syntax);
    return !r->of_group || r->group.ptr != NULL ||
           fails(r, "ERR Missing GROUP option for XREADGROUP");
}

/* ---- where each stream is read from ---- */

static bool find_group(struct read *r, uint32_t i, const struct stream *s) {
    struct bytes key = r->ctx->argv[r->first + i];
    if (s != NULL && stream_group_find(s, r->group) != NULL)
        return true;
    reply_error_format(
        &r->ctx->reply,
        "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP "
        "option",
        SHOWN(key), SHOWN(r->group));
    return false;
}

static bool resolve_id(struct read *r, uint32_t i, const struct stream *s) {
    uint32_t index = r->first + r->streams + i;
    struct bytes text = r->ctx->argv[index];
    if (bytes_equal(text, BYTES_LITERAL("$"))) {
        if (r->of_group)
            return fails(r, "ERR The $ ID is meaningless in the context of XREADGROUP: you want to "
                            "read the history of this consumer by specifying a proper ID, or use "
                            "the > ID to get new messages. The $ ID would just return an empty "
                            "result set.");
        r->after[i] = s != NULL ? s->last_id : stream_id_min;
        return true;
    }
    if (bytes_equal(text, BYTES_LITERAL(">"))) {
        r->after[i] = ID_NEW;
        return r->of_group || fails(r, "ERR The > ID can be specified only when calling XREADGROUP "
                                       "using the GROUP <group> <consumer> option.");
    }
    return stream_id_argument(r->ctx, index, 0, &r->after[i]);
}

static bool resolve(struct read *r) {
    for (uint32_t i = 0; i < r->streams; i++) {
        struct keyref ref;
        struct stream *s;
        if (!stream_find(r->ctx, r->first + i, KEY_READ, &ref, &s) ||
            (r->of_group && !find_group(r, i, s)) || !resolve_id(r, i, s))
            return false;
    }
    return true;
}

/* ---- serving ---- */

/* The stream has something: its key, before its entries. */
static void begin_stream(struct read *r, struct bytes key) {
    if (r->served++ == 0)
        r->mark = reply_mark(&r->ctx->reply);
    if (r->ctx->reply.version < 3)
        reply_array(&r->ctx->reply, 2);
    reply_bulk(&r->ctx->reply, key);
}

static void end_reply(struct read *r) {
    if (r->served == 0)
        reply_null_array(&r->ctx->reply);
    else if (r->ctx->reply.version < 3)
        reply_close_array(&r->ctx->reply, r->mark, r->served);
    else
        reply_close_map(&r->ctx->reply, r->mark, r->served);
}

static bool has_entries_after(const struct stream *s, struct stream_id after) {
    struct stream_id last;
    return stream_last_entry_id(s, &last) && stream_id_before(after, last);
}

static bool enough(const struct read *r, size_t found) {
    return r->count > 0 && found >= (uint64_t)r->count;
}

/* To a consumer's pending entries, whoever had it before. */
static void deliver(struct read *r, struct stream_group *group, struct stream_consumer *consumer,
                    struct stream_id id, struct stream_claims *claims) {
    struct stream_pending *p = stream_pending_give(group, id, consumer);
    p->delivered_ms = consumer->active_ms = ctx_now_ms(r->ctx);
    p->deliveries = 1;
    stream_claims_add(claims, id, p);
}

/* Entries behind `after`; to a consumer if group is not NULL. */
static void reply_entries(struct read *r, const struct stream *s, struct stream_id after,
                          struct stream_group *group, struct stream_consumer *consumer,
                          struct stream_claims *claims) {
    struct stream_iterator it;
    struct stream_entry entry;
    size_t mark = reply_mark(&r->ctx->reply), found = 0;
    stream_id_up(&after);
    stream_iterate(s, after, stream_id_max, false, &it);
    for (; !enough(r, found) && stream_next(&it, &entry); found++) {
        stream_reply_entry(&r->ctx->reply, &entry);
        if (group != NULL && stream_id_before(group->last_id, entry.id))
            stream_group_advance(s, group, entry.id);
        if (group != NULL && !r->noack)
            deliver(r, group, consumer, entry.id, claims);
    }
    reply_close_array(&r->ctx->reply, mark, found);
}

/* What is pending at the consumer behind `after`. Entries that are gone have no fields. */
static void reply_history(struct read *r, const struct stream *s, struct stream_id after,
                          struct stream_group *group, struct stream_consumer *consumer,
                          struct stream_claims *claims) {
    struct reply *reply = &r->ctx->reply;
    size_t mark = reply_mark(reply), found = 0;
    struct stream_id id;
    stream_id_up(&after);
    struct idtree_cursor at = idtree_seek(&consumer->pending, after);
    for (; !enough(r, found) && idtree_next(&at, &id) != NULL; found++) {
        if (!stream_reply_entry_of(reply, s, id)) {
            reply_array(reply, 2);
            stream_reply_id(reply, id);
            reply_null_array(reply);
            continue;
        }
        struct stream_pending *p = stream_pending_find(group, id);
        p->delivered_ms = ctx_now_ms(r->ctx);
        p->deliveries += p->deliveries < INT64_MAX;
        stream_claims_add(claims, id, p);
    }
    reply_close_array(reply, mark, found);
}

static void serve_group(struct read *r, struct bytes key, struct keyref *ref, struct stream *s,
                        struct stream_id after) {
    struct stream_group *group = stream_group_find(s, r->group);
    struct stream_consumer *consumer = stream_consumer_seen(r->ctx, key, group, r->consumer);
    struct stream_claims claims = {.ctx = r->ctx, .key = key, .group = group, .consumer = consumer};
    bool moves = false;
    if (!stream_id_equal(after, ID_NEW)) {
        begin_stream(r, key);
        reply_history(r, s, after, group, consumer, &claims);
    } else if (has_entries_after(s, group->last_id)) {
        begin_stream(r, key);
        reply_entries(r, s, group->last_id, group, consumer, &claims);
        moves = true;
    }
    if (claims.room > 0 || moves) {
        r->ctx->dirty++;
        keyspace_touch_inside(ref);
    }
    stream_claims_end(&claims);
    if (moves)
        stream_log_group(r->ctx, key, group);
}

static void serve(struct read *r) {
    for (uint32_t i = 0; i < r->streams; i++) {
        struct bytes key = r->ctx->argv[r->first + i];
        struct keyref ref;
        struct stream *s;
        if (!stream_find(r->ctx, r->first + i, KEY_PEEK, &ref, &s) || s == NULL)
            continue;
        if (r->of_group) {
            serve_group(r, key, &ref, s, r->after[i]);
        } else if (has_entries_after(s, r->after[i])) {
            begin_stream(r, key);
            reply_entries(r, s, r->after[i], NULL, NULL, NULL);
        }
    }
}

/* Until one of the streams has something; of a group also until one of the keys or groups is gone. */
static void wait_for_entries(struct read *r) {
    struct command_ctx *ctx = r->ctx;
    struct block block = {.first = r->first,
                          .count = r->streams,
                          .type = VALUE_STREAM,
                          .on_absence = r->of_group,
                          .timeout_ms = r->block_ms,
                          .argc = ctx->argc};
    struct bytes *argv = mem_alloc(ctx->argc * sizeof(*argv));
    char(*texts)[STREAM_ID_TEXT_MAX] = mem_alloc(r->streams * sizeof(*texts));
    memcpy(argv, ctx->argv, ctx->argc * sizeof(*argv));
    for (uint32_t i = 0; i < r->streams; i++) {
        struct bytes *id = &argv[r->first + r->streams + i];
        if (bytes_equal(*id, BYTES_LITERAL("$")))
            *id = stream_id_text(texts[i], r->after[i]);
    }
    block.argv = argv;
    block_on(ctx, &block);
    mem_free(texts);
    mem_free(argv);
}

static void read_streams(struct command_ctx *ctx, bool of_group) {
    struct read r = {.ctx = ctx, .of_group = of_group};
    if (!parse(&r))
        return;
    r.after = mem_alloc(r.streams * sizeof(*r.after));
    if (resolve(&r)) {
        serve(&r);
        if (r.served == 0 && r.blocks)
            wait_for_entries(&r);
        else
            end_reply(&r);
    }
    mem_free(r.after);
}

void cmd_xread(struct command_ctx *ctx) {
    read_streams(ctx, false);
}

void cmd_xreadgroup(struct command_ctx *ctx) {
    read_streams(ctx, true);
}
