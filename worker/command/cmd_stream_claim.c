/* cmd_stream_claim.c - XCLAIM and XAUTOCLAIM: pending entries change their consumer. */
#include "worker/command/stream_handler.h"

#include "shared/base/mem.h"
#include "worker/command/server_private.h"

struct claim {
    struct command_ctx *ctx;
    struct bytes key;
    struct keyref ref;
    const struct stream *s;
    struct stream_group *group;
    struct stream_consumer *consumer;
    struct stream_claims log;
    int64_t idle_ms;      /* entries that are pending for less stay where they are */
    int64_t delivered_ms; /* what is noted as their delivery */
    int64_t deliveries;   /* -1: one more */
    bool force, just_id;
    bool moves; /* LASTID has changed the group's */
    struct stream_id last_id;
    uint32_t first, ids; /* XCLAIM: arguments */
};

static bool fails(struct claim *c, const char *error) {
    reply_error(&c->ctx->reply, error);
    return false;
}

static bool begin(struct claim *c) {
    struct command_ctx *ctx = c->ctx;
    if (!stream_find_group(ctx, 1, "", &c->ref, &c->group))
        return false;
    struct value value = keyref_value(&c->ref);
    c->s = stream_of(&value);
    c->key = ctx->argv[1];
    return true;
}

static bool parse_idle(struct claim *c, const char *error) {
    if (!handler_i64_or(c->ctx, 4, error, &c->idle_ms))
        return false;
    if (c->idle_ms < 0)
        c->idle_ms = 0;
    return true;
}

static void find_consumer(struct claim *c) {
    c->consumer = stream_consumer_seen(c->ctx, c->key, c->group, c->ctx->argv[3]);
    c->log = (struct stream_claims){
        .ctx = c->ctx, .key = c->key, .group = c->group, .consumer = c->consumer};
}

static bool too_fresh(const struct claim *c, const struct stream_pending *p) {
    return c->idle_ms > 0 && ctx_now_ms(c->ctx) - p->delivered_ms < c->idle_ms;
}

/* The entry is no longer in the stream: it is not pending either. */
static void forget(struct claim *c, struct stream_id id) {
    char text[STREAM_ID_TEXT_MAX];
    if (!stream_pending_end(c->group, id))
        return;
    handler_log(c->ctx, BYTES_LITERAL("XACK"), c->key, stream_group_name(c->group),
                stream_id_text(text, id));
    c->ctx->dirty++;
}

/* An entry that is in the stream goes to the consumer. */
static void take(struct claim *c, struct stream_id id) {
    struct stream_pending *p = stream_pending_give(c->group, id, c->consumer);
    p->delivered_ms = c->delivered_ms;
    if (c->deliveries >= 0)
        p->deliveries = (uint64_t)c->deliveries;
    else if (!c->just_id)
        p->deliveries += p->deliveries < INT64_MAX;
    c->consumer->active_ms = ctx_now_ms(c->ctx);
    stream_claims_add(&c->log, id, p);
    c->ctx->dirty++;
    if (c->just_id)
        stream_reply_id(&c->ctx->reply, id);
    else
        stream_reply_entry_of(&c->ctx->reply, c->s, id);
}

static void end(struct claim *c) {
    stream_claims_end(&c->log);
    if (c->moves) {
        stream_log_group(c->ctx, c->key, c->group);
        c->ctx->dirty++;
    }
    if (c->ctx->dirty > 0)
        keyspace_touch_inside(&c->ref);
}

/* ---- XCLAIM ---- */

static bool parse_number(struct claim *c, uint32_t index, const char *option, int64_t *number_r) {
    if (bytes_to_i64(c->ctx->argv[index], number_r))
        return true;
    reply_error_format(&c->ctx->reply, "ERR Invalid %s option argument for XCLAIM", option);
    return false;
}

static bool parse_option(struct claim *c, uint32_t *at) {
    struct command_ctx *ctx = c->ctx;
    bool more = *at + 1 < ctx->argc;
    if (handler_arg_is(ctx, *at, "FORCE"))
        return c->force = true;
    if (handler_arg_is(ctx, *at, "JUSTID"))
        return c->just_id = true;
    if (more && handler_arg_is(ctx, *at, "IDLE")) {
        int64_t idle_ms;
        if (!parse_number(c, ++*at, "IDLE", &idle_ms))
            return false;
        c->delivered_ms = (int64_t)((uint64_t)ctx_now_ms(ctx) - (uint64_t)idle_ms);
        return true;
    }
    if (more && handler_arg_is(ctx, *at, "TIME"))
        return parse_number(c, ++*at, "TIME", &c->delivered_ms);
    if (more && handler_arg_is(ctx, *at, "RETRYCOUNT"))
        return parse_number(c, ++*at, "RETRYCOUNT", &c->deliveries);
    if (more && handler_arg_is(ctx, *at, "LASTID"))
        return stream_id_argument(ctx, ++*at, 0, &c->last_id);
    reply_error_format(&ctx->reply, "ERR Unrecognized XCLAIM option '%.*s'", SHOWN(ctx->argv[*at]));
    return false;
}

/* Ids from argument 5 on; options from the first that is none. */
static bool parse_claim(struct claim *c) {
    struct command_ctx *ctx = c->ctx;
    struct stream_id id;
    c->first = 5;
    c->deliveries = -1;
    c->delivered_ms = -1;
    if (!parse_idle(c, "ERR Invalid min-idle-time argument for XCLAIM"))
        return false;
    uint32_t at = c->first;
    while (at < ctx->argc && stream_id_of(ctx->argv[at], 0, &id))
        at++;
    c->ids = at - c->first;
    for (; at < ctx->argc; at++)
        if (!parse_option(c, &at))
            return false;
    if (c->delivered_ms < 0 || c->delivered_ms > ctx_now_ms(ctx))
        c->delivered_ms = ctx_now_ms(ctx);
    return true;
}

/* Is it for the taking? */
static bool may_take(struct claim *c, struct stream_id id) {
    const struct stream_pending *p = stream_pending_find(c->group, id);
    if (!stream_has(c->s, id)) {
        forget(c, id);
        return false;
    }
    return p != NULL ? !too_fresh(c, p) : c->force;
}

void cmd_xclaim(struct command_ctx *ctx) {
    struct claim c = {.ctx = ctx};
    if (!begin(&c) || !parse_claim(&c))
        return;
    if (stream_id_before(c.group->last_id, c.last_id)) {
        c.group->last_id = c.last_id;
        c.moves = true;
    }
    find_consumer(&c);
    size_t mark = reply_mark(&ctx->reply), taken = 0;
    for (uint32_t i = 0; i < c.ids; i++) {
        struct stream_id id;
        stream_id_of(ctx->argv[c.first + i], 0, &id);
        if (!may_take(&c, id))
            continue;
        take(&c, id);
        taken++;
    }
    reply_close_array(&ctx->reply, mark, taken);
    end(&c);
}

/* ---- XAUTOCLAIM ---- */

enum { AUTOCLAIM_COUNT = 100, AUTOCLAIM_LOOKS = 10 /* at entries, for each that is wanted */ };

struct scan {
    struct claim claim;
    struct stream_id start;
    int64_t count;
    struct stream_id *gone; /* entries no longer in the stream */
    size_t gone_count;
};

static bool parse_scan(struct scan *scan) {
    struct claim *c = &scan->claim;
    struct command_ctx *ctx = c->ctx;
    scan->count = AUTOCLAIM_COUNT;
    c->deliveries = -1;
    c->delivered_ms = ctx_now_ms(ctx);
    if (!parse_idle(c, "ERR Invalid min-idle-time argument for XAUTOCLAIM") ||
        !stream_start_argument(ctx, 5, &scan->start))
        return false;
    for (uint32_t i = 6; i < ctx->argc; i++) {
        if (handler_arg_is(ctx, i, "COUNT") && i + 1 < ctx->argc) {
            const int64_t most = INT64_MAX / (int64_t)sizeof(struct stream_id);
            if (!handler_i64_least(ctx, ++i, 1, "ERR COUNT must be > 0", &scan->count))
                return false;
            if (scan->count > most)
                return fails(c, "ERR COUNT must be > 0");
        } else if (handler_arg_is(ctx, i, "JUSTID")) {
            c->just_id = true;
        } else {
            return fails(c, reply_err_syntax);
        }
    }
    return true;
}

static void note_gone(struct scan *scan, struct stream_id id) {
    enum { STEP = 64 };
    if (scan->gone_count % STEP == 0)
        scan->gone = mem_realloc(scan->gone, (scan->gone_count + STEP) * sizeof(*scan->gone));
    scan->gone[scan->gone_count++] = id;
}

/* The first id that is pending from `start` on, looked up anew as the tree changes. */
static bool next_pending(const struct scan *scan, struct stream_id start, struct stream_id *id_r) {
    struct idtree_cursor at = idtree_seek(&scan->claim.group->pending, start);
    return idtree_next(&at, id_r) != NULL;
}

/* Returns where to go on; 0-0 at the end. */
static struct stream_id scan_pending(struct scan *scan, size_t *taken_r) {
    struct claim *c = &scan->claim;
    struct stream_id id, from = scan->start;
    int64_t looks = scan->count * AUTOCLAIM_LOOKS, left = scan->count;
    for (; looks > 0 && left > 0 && next_pending(scan, from, &id); looks--) {
        from = id;
        bool last = !stream_id_up(&from);
        if (!stream_has(c->s, id)) {
            forget(c, id);
            note_gone(scan, id);
            left--;
        } else if (!too_fresh(c, stream_pending_find(c->group, id))) {
            take(c, id);
            ++*taken_r;
            left--;
        }
        if (last)
            return stream_id_min;
    }
    return next_pending(scan, from, &id) ? id : stream_id_min;
}

void cmd_xautoclaim(struct command_ctx *ctx) {
    struct scan scan = {.claim = {.ctx = ctx}};
    if (!parse_scan(&scan) || !begin(&scan.claim))
        return;
    find_consumer(&scan.claim);
    struct reply *r = &ctx->reply;
    struct buf *out = r->out, claimed = {0};
    size_t taken = 0;
    /* The cursor comes first in the reply, and is known last. */
    r->out = &claimed;
    struct stream_id cursor = scan_pending(&scan, &taken);
    r->out = out;
    reply_array(r, 3);
    stream_reply_id(r, cursor);
    reply_array(r, taken);
    reply_raw(r, buf_bytes(&claimed));
    reply_array(r, scan.gone_count);
    for (size_t i = 0; i < scan.gone_count; i++)
        stream_reply_id(r, scan.gone[i]);
    buf_free(&claimed);
    mem_free(scan.gone);
    end(&scan.claim);
}
