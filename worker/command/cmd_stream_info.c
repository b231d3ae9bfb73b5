/* cmd_stream_info.c - XINFO: a stream, its groups, their consumers. */
#include "worker/command/stream_handler.h"

#include "shared/base/mem.h"
#include "worker/command/server_private.h"

enum { FULL_COUNT = 10 };

static void reply_name(struct reply *r, const char *name, struct bytes value) {
    reply_bulk_text(r, name);
    reply_bulk(r, value);
}
static void reply_number(struct reply *r, const char *name, int64_t value) {
    reply_bulk_text(r, name);
    reply_integer(r, value);
}
static void reply_known_number(struct reply *r, const char *name, bool known, int64_t value) {
    reply_bulk_text(r, name);
    if (known)
        reply_integer(r, value);
    else
        reply_null(r);
}
static void reply_id(struct reply *r, const char *name, struct stream_id id) {
    reply_bulk_text(r, name);
    stream_reply_id(r, id);
}

/* How far a group has come. */
enum { PROGRESS_PAIRS = 3 };
static void reply_progress(struct reply *r, const struct stream *s, const struct stream_group *g) {
    int64_t lag;
    bool lag_known = stream_group_lag(s, g, &lag);
    reply_id(r, "last-delivered-id", g->last_id);
    reply_known_number(r, "entries-read", g->entries_read != STREAM_UNKNOWN, g->entries_read);
    reply_known_number(r, "lag", lag_known, lag);
}

static bool find_stream(struct command_ctx *ctx, struct stream **stream_r) {
    struct keyref ref;
    if (!stream_find(ctx, 2, KEY_READ, &ref, stream_r))
        return false;
    if (*stream_r == NULL)
        reply_error(&ctx->reply, reply_err_no_key);
    return *stream_r != NULL;
}

/* ---- STREAM ---- */

/* What STREAM and STREAM FULL have in common. The numbers of the radix tree are those of the blocks. */
static void reply_state(struct reply *r, const struct stream *s) {
    uint64_t nodes = s->blocks.nodes + s->blocks.count;
    reply_number(r, "length", (int64_t)s->length);
    reply_number(r, "radix-tree-keys", (int64_t)s->blocks.count);
    reply_number(r, "radix-tree-nodes", nodes > 0 ? (int64_t)nodes : 1);
    reply_id(r, "last-generated-id", s->last_id);
    reply_id(r, "max-deleted-entry-id", s->max_deleted_id);
    reply_number(r, "entries-added", (int64_t)s->entries_added);
    reply_id(r, "recorded-first-entry-id", s->first_id);
}
enum { STATE_PAIRS = 7 };

static void reply_edge_entry(struct reply *r, const struct stream *s, const char *name,
                             bool reverse) {
    struct stream_iterator it;
    struct stream_entry entry;
    reply_bulk_text(r, name);
    stream_iterate(s, stream_id_min, stream_id_max, reverse, &it);
    if (stream_next(&it, &entry))
        stream_reply_entry(r, &entry);
    else
        reply_null(r);
}

/* At most `count` ids of a tree, and of those of a group what is noted; count 0: all. */
static void reply_pending(struct command_ctx *ctx, const struct stream_group *group,
                          const struct idtree *pending, bool of_group, uint64_t count) {
    struct reply *r = &ctx->reply;
    struct idtree_cursor at = idtree_seek(pending, stream_id_min);
    struct stream_id id;
    size_t mark = reply_mark(r), shown = 0;
    for (; (count == 0 || shown < count) && idtree_next(&at, &id) != NULL; shown++) {
        const struct stream_pending *p = stream_pending_find(group, id);
        reply_array(r, of_group ? 4 : 3);
        stream_reply_id(r, id);
        if (of_group)
            reply_bulk(r, stream_consumer_name(p->consumer));
        reply_integer(r, p->delivered_ms);
        reply_integer(r, (int64_t)p->deliveries);
    }
    reply_close_array(r, mark, shown);
}

static void reply_full_consumers(struct command_ctx *ctx, const struct stream_group *group,
                                 uint64_t count) {
    struct reply *r = &ctx->reply;
    uint64_t consumers;
    struct stream_consumer **sorted = stream_consumers_sorted(group, &consumers);
    reply_bulk_text(r, "consumers");
    reply_array(r, consumers);
    for (uint64_t i = 0; i < consumers; i++) {
        const struct stream_consumer *c = sorted[i];
        reply_map(r, 5);
        reply_name(r, "name", stream_consumer_name(c));
        reply_number(r, "seen-time", c->seen_ms);
        reply_number(r, "active-time", c->active_ms);
        reply_number(r, "pel-count", (int64_t)c->pending.count);
        reply_bulk_text(r, "pending");
        reply_pending(ctx, group, &c->pending, false, count);
    }
    mem_free(sorted);
}

static void reply_full_groups(struct command_ctx *ctx, const struct stream *s, uint64_t count) {
    struct reply *r = &ctx->reply;
    uint64_t groups;
    struct stream_group **sorted = stream_groups_sorted(s, &groups);
    reply_bulk_text(r, "groups");
    reply_array(r, groups);
    for (uint64_t i = 0; i < groups; i++) {
        const struct stream_group *g = sorted[i];
        reply_map(r, PROGRESS_PAIRS + 4);
        reply_name(r, "name", stream_group_name(g));
        reply_progress(r, s, g);
        reply_number(r, "pel-count", (int64_t)g->pending.count);
        reply_bulk_text(r, "pending");
        reply_pending(ctx, g, &g->pending, true, count);
        reply_full_consumers(ctx, g, count);
    }
    mem_free(sorted);
}

static void reply_full(struct command_ctx *ctx, const struct stream *s, uint64_t count) {
    struct reply *r = &ctx->reply;
    struct stream_iterator it;
    struct stream_entry entry;
    reply_map(r, STATE_PAIRS + 2);
    reply_state(r, s);
    reply_bulk_text(r, "entries");
    size_t mark = reply_mark(r), shown = 0;
    stream_iterate(s, stream_id_min, stream_id_max, false, &it);
    for (; (count == 0 || shown < count) && stream_next(&it, &entry); shown++)
        stream_reply_entry(r, &entry);
    reply_close_array(r, mark, shown);
    reply_full_groups(ctx, s, count);
}

/* [FULL [COUNT n]] behind the key. */
static bool parse_full(struct command_ctx *ctx, bool *full_r, int64_t *count_r) {
    *count_r = FULL_COUNT;
    *full_r = ctx->argc > 3;
    bool right =
        ctx->argc == 3 || ((ctx->argc == 4 || ctx->argc == 6) && handler_arg_is(ctx, 3, "FULL"));
    if (right && ctx->argc == 6) {
        right = handler_arg_is(ctx, 4, "COUNT");
        if (right && !handler_i64(ctx, 5, count_r))
            return false;
        if (*count_r < 0)
            *count_r = FULL_COUNT;
    }
    if (!right)
        reply_usage(ctx, "XINFO");
    return right;
}

void cmd_xinfo_stream(struct command_ctx *ctx) {
    struct stream *s;
    bool full;
    int64_t count;
    if (!find_stream(ctx, &s) || !parse_full(ctx, &full, &count))
        return;
    if (full) {
        reply_full(ctx, s, (uint64_t)count);
        return;
    }
    struct reply *r = &ctx->reply;
    reply_map(r, STATE_PAIRS + 3);
    reply_state(r, s);
    reply_number(r, "groups", (int64_t)stream_group_count(s));
    reply_edge_entry(r, s, "first-entry", false);
    reply_edge_entry(r, s, "last-entry", true);
}

/* ---- GROUPS, CONSUMERS ---- */

void cmd_xinfo_groups(struct command_ctx *ctx) {
    struct reply *r = &ctx->reply;
    struct stream *s;
    uint64_t groups;
    if (!find_stream(ctx, &s))
        return;
    struct stream_group **sorted = stream_groups_sorted(s, &groups);
    reply_array(r, groups);
    for (uint64_t i = 0; i < groups; i++) {
        const struct stream_group *g = sorted[i];
        reply_map(r, PROGRESS_PAIRS + 3);
        reply_name(r, "name", stream_group_name(g));
        reply_number(r, "consumers", (int64_t)table_count(&g->consumers));
        reply_number(r, "pending", (int64_t)g->pending.count);
        reply_progress(r, s, g);
    }
    mem_free(sorted);
}

static int64_t since_ms(const struct command_ctx *ctx, int64_t then_ms) {
    int64_t ago_ms = ctx_now_ms(ctx) - then_ms;
    return ago_ms < 0 ? 0 : ago_ms;
}

void cmd_xinfo_consumers(struct command_ctx *ctx) {
    struct reply *r = &ctx->reply;
    struct stream *s;
    uint64_t consumers;
    if (!find_stream(ctx, &s))
        return;
    const struct stream_group *group = stream_group_find(s, ctx->argv[3]);
    if (group == NULL) {
        reply_error_format(r, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                           SHOWN(ctx->argv[3]), SHOWN(ctx->argv[2]));
        return;
    }
    struct stream_consumer **sorted = stream_consumers_sorted(group, &consumers);
    reply_array(r, consumers);
    for (uint64_t i = 0; i < consumers; i++) {
        const struct stream_consumer *c = sorted[i];
        reply_map(r, 4);
        reply_name(r, "name", stream_consumer_name(c));
        reply_number(r, "pending", (int64_t)c->pending.count);
        reply_number(r, "idle", since_ms(ctx, c->seen_ms));
        reply_number(r, "inactive",
                     c->active_ms == STREAM_UNKNOWN ? -1 : since_ms(ctx, c->active_ms));
    }
    mem_free(sorted);
}

void cmd_xinfo_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        NULL,
    };
    reply_help(ctx, "XINFO", lines);
}
