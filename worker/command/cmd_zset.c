/* cmd_zset.c - commands on sorted sets: adding, removing, single members, chance, ZSCAN.
 *
 * A change takes the value out of its key, changes it, and stores it again: a packed set is copied
 * both ways, a big one stays where it is. A sorted set without members is no key. */
#include "worker/command/random_options.h"
#include "worker/command/scan_options.h"
#include "worker/command/zset_handler.h"

#include "shared/base/mem.h"

#include <stdio.h>

/* ---- ZADD, ZINCRBY ---- */

struct addition {
    uint32_t flags;     /* enum zset_flag */
    bool count_changed; /* CH */
    uint32_t first;     /* argument: score, member, score, member ... */
    uint64_t added, changed;
    enum zset_outcome last; /* of the only pair of an INCR */
    double last_score;
};

static void parse_flags(const struct command_ctx *ctx, struct addition *a) {
    static const struct {
        const char *word;
        uint32_t flag;
    } words[] = {
        {"NX", ZSET_NX}, {"XX", ZSET_XX}, {"GT", ZSET_GT}, {"LT", ZSET_LT}, {"INCR", ZSET_INCR}};
    for (a->first = 2; a->first < ctx->argc; a->first++) {
        uint32_t flag = 0;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (handler_arg_is(ctx, a->first, words[i].word))
                flag = words[i].flag;
        if (flag == 0 && !handler_arg_is(ctx, a->first, "CH"))
            break;
        a->flags |= flag;
        a->count_changed |= flag == 0;
    }
}

static const char *flags_error(const struct command_ctx *ctx, const struct addition *a) {
    uint32_t arguments = ctx->argc - a->first;
    if (arguments == 0 || arguments % 2 != 0)
        return reply_err_syntax;
    if (a->flags & ZSET_NX && a->flags & ZSET_XX)
        return "ERR XX and NX options at the same time are not compatible";
    bool gt = a->flags & ZSET_GT, lt = a->flags & ZSET_LT, nx = a->flags & ZSET_NX;
    if (gt + lt + nx > 1)
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    if (a->flags & ZSET_INCR && arguments > 2)
        return "ERR INCR option supports a single increment-element pair";
    return NULL;
}

static bool parse_scores(struct command_ctx *ctx, const struct addition *a, double *scores) {
    for (uint32_t i = a->first; i < ctx->argc; i += 2)
        if (!bytes_to_double(ctx->argv[i], &scores[(i - a->first) / 2])) {
            reply_error(&ctx->reply, reply_err_not_float);
            return false;
        }
    return true;
}

static void add_pairs(struct command_ctx *ctx, struct addition *a, struct value *zset,
                      double *scores) {
    struct zset_limits limits = zset_limits_of(ctx);
    zset_expect(zset, (ctx->argc - a->first) / 2, &limits);
    for (uint32_t i = a->first; i < ctx->argc; i += 2) {
        double *score = &scores[(i - a->first) / 2];
        a->last = zset_add(zset, ctx->argv[i + 1], score, a->flags, &limits);
        a->last_score = *score;
        a->added += a->last == ZSET_ADDED;
        a->changed += a->last == ZSET_ADDED || a->last == ZSET_UPDATED;
    }
}

static void reply_addition(struct command_ctx *ctx, const struct addition *a) {
    if (!(a->flags & ZSET_INCR))
        reply_integer(&ctx->reply, (int64_t)(a->count_changed ? a->changed : a->added));
    else if (a->last == ZSET_NAN)
        reply_error(&ctx->reply, "ERR resulting score is not a number (NaN)");
    else if (a->last == ZSET_REFUSED)
        reply_null(&ctx->reply);
    else
        reply_double(&ctx->reply, a->last_score);
}

static void add_to_key(struct command_ctx *ctx, struct addition *a, double *scores) {
    struct keyref ref;
    if (!parse_scores(ctx, a, scores) || !handler_find(ctx, 1, KEY_WRITE, VALUE_ZSET, &ref))
        return;
    if (!keyref_found(&ref) && a->flags & ZSET_XX) {
        a->last = ZSET_REFUSED;
    } else {
        struct value zset = keyref_found(&ref) ? keyref_value(&ref) : zset_create();
        enum value_encoding before = zset.encoding;
        add_pairs(ctx, a, &zset, scores);
        if (a->changed > 0 || zset.encoding != before)
            keyspace_store(&ref, &zset);
    }
    ctx->dirty += a->changed;
    reply_addition(ctx, a);
}

static void add(struct command_ctx *ctx, struct addition *a) {
    enum { FEW = 32 };
    double few[FEW];
    uint32_t pairs = (ctx->argc - a->first) / 2;
    double *scores = pairs <= FEW ? few : mem_alloc(pairs * sizeof(*scores));
    add_to_key(ctx, a, scores);
    if (scores != few)
        mem_free(scores);
}

void cmd_zadd(struct command_ctx *ctx) {
    struct addition a = {0};
    parse_flags(ctx, &a);
    const char *error = flags_error(ctx, &a);
    if (error != NULL)
        reply_error(&ctx->reply, error);
    else
        add(ctx, &a);
}

void cmd_zincrby(struct command_ctx *ctx) {
    struct addition a = {.flags = ZSET_INCR, .first = 2};
    add(ctx, &a);
}

/* ---- single members ---- */

void cmd_zrem(struct command_ctx *ctx) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_ZSET, &ref))
        return;
    if (keyref_found(&ref)) {
        struct value zset = keyref_value(&ref);
        for (uint32_t i = 2; i < ctx->argc && zset_count(&zset) > 0; i++)
            ctx->dirty += zset_remove(&zset, ctx->argv[i]);
        if (ctx->dirty > 0)
            zset_store_rest(&ref, &zset);
    }
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

void cmd_zcard(struct command_ctx *ctx) {
    struct value zset;
    bool found;
    if (zset_find(ctx, 1, &zset, &found))
        reply_integer(&ctx->reply, found ? (int64_t)zset_count(&zset) : 0);
}

static void reply_score(struct command_ctx *ctx, const struct value *zset, bool found,
                        struct bytes member) {
    double score;
    if (found && zset_score(zset, member, &score))
        reply_double(&ctx->reply, score);
    else
        reply_null(&ctx->reply);
}

void cmd_zscore(struct command_ctx *ctx) {
    struct value zset;
    bool found;
    if (zset_find(ctx, 1, &zset, &found))
        reply_score(ctx, &zset, found, ctx->argv[2]);
}

void cmd_zmscore(struct command_ctx *ctx) {
    struct value zset;
    bool found;
    if (!zset_find(ctx, 1, &zset, &found))
        return;
    reply_array(&ctx->reply, ctx->argc - 2);
    for (uint32_t i = 2; i < ctx->argc; i++)
        reply_score(ctx, &zset, found, ctx->argv[i]);
}

static bool parse_with_score(struct command_ctx *ctx, bool *with_score_r) {
    *with_score_r = ctx->argc > 3;
    if (ctx->argc > 4)
        reply_error_format(&ctx->reply, "ERR wrong number of arguments for '%s' command",
                           ctx->cmd->name);
    else if (*with_score_r && !handler_arg_is(ctx, 3, "WITHSCORE"))
        reply_error(&ctx->reply, reply_err_syntax);
    else
        return true;
    return false;
}

static void reply_rank(struct command_ctx *ctx, bool reverse) {
    struct value zset;
    uint64_t rank;
    double score;
    bool found, with_score;
    if (!parse_with_score(ctx, &with_score) || !zset_find(ctx, 1, &zset, &found))
        return;
    if (!found || !zset_rank(&zset, ctx->argv[2], &rank, &score)) {
        if (with_score)
            reply_null_array(&ctx->reply);
        else
            reply_null(&ctx->reply);
        return;
    }
    if (with_score)
        reply_array(&ctx->reply, 2);
    reply_integer(&ctx->reply, (int64_t)(reverse ? zset_count(&zset) - 1 - rank : rank));
    if (with_score)
        reply_double(&ctx->reply, score);
}

void cmd_zrank(struct command_ctx *ctx) {
    reply_rank(ctx, false);
}

void cmd_zrevrank(struct command_ctx *ctx) {
    reply_rank(ctx, true);
}

/* ---- ZSCAN ---- */

struct collector {
    const struct scan_options *options;
    struct reply found;
    bool packed;
    size_t pairs;
};

/* Clients see the digits a real server keeps: of a big set it prints 17 always, of a packed one as
 * many as the score needs. */
static void collect(void *arg, struct bytes member, double score) {
    struct collector *c = arg;
    char text[BYTES_DOUBLE_MAX];
    if (!scan_options_match(c->options, member))
        return;
    size_t len = c->packed ? bytes_from_double(text, score)
                           : (size_t)snprintf(text, sizeof(text), "%.17g", score);
    reply_bulk(&c->found, member);
    reply_bulk(&c->found, bytes_of(text, len));
    c->pairs++;
}

void cmd_zscan(struct command_ctx *ctx) {
    struct scan_options options;
    struct value zset;
    uint64_t cursor;
    bool found;
    if (!scan_cursor_parse(ctx, 2, &cursor) || !zset_find(ctx, 1, &zset, &found))
        return;
    if (!found) {
        scan_reply(ctx, 0, 0, BYTES_LITERAL(""));
        return;
    }
    if (!scan_options_parse(ctx, 3, false, &options))
        return;
    struct buf out = {0};
    struct collector c = {.options = &options,
                          .found = {.out = &out, .version = 2},
                          .packed = zset.encoding == ENCODING_LISTPACK};
    cursor = zset_scan(&zset, cursor, options.count, collect, &c);
    scan_reply(ctx, cursor, c.pairs * 2, buf_bytes(&out));
    buf_free(&out);
}

/* ---- ZRANDMEMBER ---- */

struct random_writer {
    struct command_ctx *ctx;
    bool with_scores;
};

static void write_random(void *arg, struct bytes member, double score) {
    const struct random_writer *w = arg;
    zset_reply_member(w->ctx, member, score, w->with_scores);
}

/* As many as the client asks for, though there be but one member. */
static void reply_random_repeating(const struct value *zset, uint64_t count,
                                   struct random_writer *w) {
    char digits[BYTES_I64_MAX];
    struct bytes member;
    double score;
    size_t mark = w->ctx->reply.out->len;
    zset_reply_header(w->ctx, count, w->with_scores);
    for (uint64_t i = 0; i < count; i++) {
        if (!random_repeating_ok(&w->ctx->reply, mark, count, "members"))
            return;
        zset_random(zset, digits, &member, &score);
        write_random(w, member, score);
    }
}

static void random_one(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct value zset;
    struct bytes member;
    double score;
    bool found;
    if (!zset_find(ctx, 1, &zset, &found))
        return;
    if (!found) {
        reply_null(&ctx->reply);
        return;
    }
    zset_random(&zset, digits, &member, &score);
    reply_bulk(&ctx->reply, member);
}

void cmd_zrandmember(struct command_ctx *ctx) {
    struct random_writer w = {.ctx = ctx};
    struct random_options options;
    struct value zset;
    bool found;
    if (ctx->argc == 2) {
        random_one(ctx);
        return;
    }
    if (!random_options_parse(ctx, "WITHSCORES", &options) || !zset_find(ctx, 1, &zset, &found))
        return;
    w.with_scores = options.with_word;
    if (!found || options.count == 0) {
        reply_array(&ctx->reply, 0);
    } else if (options.count < 0) {
        reply_random_repeating(&zset, (uint64_t)-options.count, &w);
    } else {
        uint64_t all = zset_count(&zset), wanted = (uint64_t)options.count;
        wanted = wanted < all ? wanted : all;
        zset_reply_header(ctx, wanted, w.with_scores);
        zset_random_distinct(&zset, wanted, write_random, &w);
    }
}
