/* cmd_zset_pop.c - commands that take members off an end of a sorted set, and those that wait for one.
 *
 * What a command waited for, or which of its keys had members, is no matter for the log: it holds the
 * ZPOPMIN or ZPOPMAX that it came to. */
#include "worker/command/blocked.h"
#include "worker/command/zset_handler.h"

/* ---- ZPOPMIN, ZPOPMAX ---- */

/* Write `count` members from one end, in pairs that lie flat or nested, and remove them. */
static void pop_members(struct command_ctx *ctx, struct keyref *ref, bool highest, uint64_t count,
                        bool nested) {
    struct value zset = keyref_value(ref);
    struct zset_iterator it;
    struct bytes member;
    double score;
    uint64_t all = zset_count(&zset);
    zset_iterate(&zset, highest ? all - 1 : 0, highest, &it);
    for (uint64_t i = 0; i < count && zset_next(&it, &member, &score); i++) {
        if (nested)
            reply_array(&ctx->reply, 2);
        reply_bulk(&ctx->reply, member);
        reply_double(&ctx->reply, score);
    }
    if (count < all) {
        zset_remove_ranks(&zset, highest ? all - count : 0, count);
        keyspace_store(ref, &zset);
    } else {
        keyspace_delete(ref, false);
    }
    ctx->dirty += count;
}

/* The same as an array of them. */
static void pop(struct command_ctx *ctx, struct keyref *ref, bool highest, uint64_t count,
                bool nested) {
    reply_array(&ctx->reply, nested ? count : count * 2);
    pop_members(ctx, ref, highest, count, nested);
}

static uint64_t at_most(const struct keyref *ref, int64_t count) {
    struct value zset = keyref_value(ref);
    uint64_t all = zset_count(&zset);
    return (uint64_t)count < all ? (uint64_t)count : all;
}

static void pop_from_one(struct command_ctx *ctx, bool highest) {
    struct keyref ref;
    int64_t count = 1;
    bool given = ctx->argc > 2;
    if (ctx->argc > 3) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (given &&
        !handler_i64_least(ctx, 2, 0, "ERR value is out of range, must be positive", &count))
        return;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_ZSET, &ref))
        return;
    if (!keyref_found(&ref) || count == 0)
        reply_array(&ctx->reply, 0);
    else
        pop(ctx, &ref, highest, at_most(&ref, count), given && ctx->reply.version > 2);
}

void cmd_zpopmin(struct command_ctx *ctx) {
    pop_from_one(ctx, false);
}

void cmd_zpopmax(struct command_ctx *ctx) {
    pop_from_one(ctx, true);
}

/* ---- the first of several keys that has members: ZMPOP, BZMPOP, BZPOPMIN, BZPOPMAX ---- */

/* false: there is none, and no reply; or, with *failed_r, a key of another type came before it. */
static bool find_first(struct command_ctx *ctx, uint32_t first, uint32_t count,
                       struct keyref *ref_r, bool *failed_r) {
    for (uint32_t i = first; i < first + count; i++) {
        if (!ctx_awaits(ctx, ctx->argv[i]))
            continue;
        *failed_r = !handler_find(ctx, i, KEY_WRITE, VALUE_ZSET, ref_r);
        if (*failed_r || keyref_found(ref_r))
            return !*failed_r;
    }
    return false;
}

struct multiple_pop {
    uint32_t first, keys;
    bool highest;
    int64_t count;
};

/* numkeys key... MIN|MAX [COUNT n], from argument `from` on. */
static bool parse_multiple_pop(struct command_ctx *ctx, uint32_t from, struct multiple_pop *p) {
    int64_t keys;
    if (!handler_i64_least(ctx, from, 1, "ERR numkeys should be greater than 0", &keys))
        return false;
    bool ok = keys < (int64_t)ctx->argc - from - 1;
    uint32_t at = ok ? (uint32_t)keys + from + 1 : 0;
    *p = (struct multiple_pop){.first = from + 1, .keys = (uint32_t)keys, .count = 1};
    p->highest = ok && handler_arg_is(ctx, at, "MAX");
    ok = ok && (p->highest || handler_arg_is(ctx, at, "MIN"));
    if (ok && ctx->argc > at + 1) {
        ok = handler_arg_is(ctx, at + 1, "COUNT") && ctx->argc > at + 2;
        if (ok &&
            !handler_i64_least(ctx, at + 2, 1, "ERR count should be greater than 0", &p->count))
            return false;
        ok = ok && ctx->argc == at + 3;
    }
    if (!ok)
        reply_error(&ctx->reply, reply_err_syntax);
    return ok;
}

/* false: no set has members, and there is no reply yet. */
static bool pop_multiple(struct command_ctx *ctx, const struct multiple_pop *p) {
    struct keyref ref;
    char digits[BYTES_I64_MAX];
    bool failed = false;
    if (!find_first(ctx, p->first, p->keys, &ref, &failed))
        return failed;
    uint64_t count = at_most(&ref, p->count);
    reply_array(&ctx->reply, 2);
    reply_bulk(&ctx->reply, ref.key);
    pop(ctx, &ref, p->highest, count, true);
    handler_log(ctx, p->highest ? BYTES_LITERAL("ZPOPMAX") : BYTES_LITERAL("ZPOPMIN"), ref.key,
                bytes_of(digits, bytes_from_i64(digits, (int64_t)count)));
    return true;
}

void cmd_zmpop(struct command_ctx *ctx) {
    struct multiple_pop p;
    if (parse_multiple_pop(ctx, 1, &p) && !pop_multiple(ctx, &p))
        reply_null_array(&ctx->reply);
}

void cmd_bzmpop(struct command_ctx *ctx) {
    struct multiple_pop p;
    struct block block = {.type = VALUE_ZSET};
    if (!parse_multiple_pop(ctx, 2, &p) || !block_seconds(ctx, 1, &block.timeout_ms) ||
        pop_multiple(ctx, &p))
        return;
    block.first = p.first;
    block.count = p.keys;
    block_on(ctx, &block);
}

static void pop_or_wait(struct command_ctx *ctx, bool highest) {
    struct block block = {.type = VALUE_ZSET, .first = 1, .count = ctx->argc - 2};
    struct keyref ref;
    bool failed = false;
    if (!block_seconds(ctx, ctx->argc - 1, &block.timeout_ms))
        return;
    if (!find_first(ctx, block.first, block.count, &ref, &failed)) {
        if (!failed)
            block_on(ctx, &block);
        return;
    }
    reply_array(&ctx->reply, 3);
    reply_bulk(&ctx->reply, ref.key);
    pop_members(ctx, &ref, highest, 1, false);
    handler_log(ctx, highest ? BYTES_LITERAL("ZPOPMAX") : BYTES_LITERAL("ZPOPMIN"), ref.key);
}

void cmd_bzpopmin(struct command_ctx *ctx) {
    pop_or_wait(ctx, false);
}
void cmd_bzpopmax(struct command_ctx *ctx) {
    pop_or_wait(ctx, true);
}
