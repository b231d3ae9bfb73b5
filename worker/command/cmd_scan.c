/* cmd_scan.c - going through keys: SCAN and KEYS. Cursors are this shard's own; which shard a
 * client's cursor means is the router's affair. */
#include "worker/command/handler.h"
#include "worker/command/scan_options.h"

struct collector {
    const struct scan_options *options;
    struct reply found;
    size_t count;
};

static void collect(void *arg, struct keyref *ref) {
    struct collector *c = arg;
    if (!scan_options_match(c->options, ref->key))
        return;
    if (c->options->has_type &&
        !bytes_equal_nocase(c->options->type, value_type_name(keyref_value(ref).type)))
        return;
    reply_bulk(&c->found, ref->key);
    c->count++;
}

void cmd_scan(struct command_ctx *ctx) {
    struct scan_options options;
    uint64_t cursor;
    if (!scan_cursor_parse(ctx, 1, &cursor) || !scan_options_parse(ctx, 2, true, &options))
        return;
    struct buf out = {0};
    struct collector c = {.options = &options, .found = {.out = &out, .version = 2}};
    cursor = keyspace_scan(ctx->ks, ctx_db(ctx), cursor, options.count, collect, &c);
    scan_reply(ctx, cursor, c.count, buf_bytes(&out));
    buf_free(&out);
}

/* ---- KEYS ---- */

struct listing {
    struct command_ctx *ctx;
    struct bytes pattern;
    bool all;
    size_t count;
};

static bool list_key(void *arg, const struct keyref *ref) {
    struct listing *l = arg;
    int64_t expire_ms = keyref_expire_ms(ref);
    if (expire_ms != KEY_NO_EXPIRY && ctx_now_ms(l->ctx) > expire_ms)
        return true;
    if (l->all || bytes_glob(l->pattern, ref->key, false)) {
        reply_bulk(&l->ctx->reply, ref->key);
        l->count++;
    }
    return true;
}

void cmd_keys(struct command_ctx *ctx) {
    struct listing l = {.ctx = ctx, .pattern = ctx->argv[1]};
    l.all = bytes_equal(l.pattern, BYTES_LITERAL("*"));
    size_t mark = reply_mark(&ctx->reply);
    keyspace_each(ctx->ks, ctx_db(ctx), list_key, &l);
    reply_close_array(&ctx->reply, mark, l.count);
}
