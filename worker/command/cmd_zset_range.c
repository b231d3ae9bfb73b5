/* cmd_zset_range.c - commands on ranges of sorted sets: by rank, by score, by member; read, counted,
 * stored, removed.
 *
 * Every range becomes a rank and a number of members first. */
#include "worker/command/zset_handler.h"

#include <math.h>
#include <stdlib.h>

/* ---- ends of ranges ---- */

enum range_by { BY_ANY, BY_RANK, BY_SCORE, BY_LEX };

/* As lenient as strtod(), which also stops at a NUL: clients have come to rely on it. */
static bool parse_lenient(struct bytes text, double *value_r) {
    char room[BYTES_LONG_DOUBLE_MAX], *end;
    if (text.len >= sizeof(room))
        return false;
    if (text.len > 0)
        memcpy(room, text.ptr, text.len);
    room[text.len] = '\0';
    *value_r = strtod(room, &end);
    return *end == '\0' && !isnan(*value_r);
}

/* "5" includes, "(5" excludes. */
static bool parse_score_end(struct bytes text, bool is_max, struct ordered_place *place_r) {
    bool exclusive = text.len > 0 && text.ptr[0] == '(';
    struct bytes number = bytes_of(text.ptr + exclusive, text.len - exclusive);
    *place_r = (struct ordered_place){.by_score = true, .after = is_max != exclusive};
    return parse_lenient(number, &place_r->score);
}

/* "[a" includes, "(a" excludes, "-" and "+" are before and after all. */
static bool parse_lex_end(struct bytes text, bool is_max, struct ordered_place *place_r) {
    char first = text.len > 0 ? text.ptr[0] : '\0';
    *place_r = (struct ordered_place){.after = first == '+'};
    if (first == '-' || first == '+')
        return text.len == 1;
    if (first != '(' && first != '[')
        return false;
    place_r->by_member = true;
    place_r->member = bytes_of(text.ptr + 1, text.len - 1);
    place_r->after = is_max != (first == '(');
    return true;
}

static bool parse_ends(struct command_ctx *ctx, enum range_by by, uint32_t min, uint32_t max,
                       struct zset_range *range_r) {
    bool (*const parse)(struct bytes, bool, struct ordered_place *) =
        by == BY_SCORE ? parse_score_end : parse_lex_end;
    if (parse(ctx->argv[min], false, &range_r->from) && parse(ctx->argv[max], true, &range_r->to))
        return true;
    reply_error(&ctx->reply, by == BY_SCORE ? "ERR min or max is not a float"
                                            : "ERR min or max not valid string range item");
    return false;
}

/* ---- which members ---- */

struct range {
    enum range_by by;
    int64_t start, stop;    /* BY_RANK; from the high end if reverse */
    struct zset_range ends; /* BY_SCORE, BY_LEX */
    bool reverse;           /* from the high end down */
    int64_t offset, limit;  /* BY_SCORE, BY_LEX; a negative limit is none */
    bool with_scores;
};

/* The members a range is made of: ranks first .. first + count - 1 from the low end. */
static void resolve(const struct value *zset, const struct range *range, uint64_t *first_r,
                    uint64_t *count_r) {
    int64_t all = (int64_t)zset_count(zset), start = range->start, stop = range->stop;
    if (range->by != BY_RANK) {
        zset_find_range(zset, &range->ends, first_r, count_r);
        start = range->offset;
        stop = -1;
        all = (int64_t)*count_r;
        if (start < 0 || range->limit == 0)
            start = all;
        else if (range->limit > 0 && start < all && range->limit < all - start)
            stop = start + range->limit - 1;
    } else {
        *first_r = 0;
    }
    *count_r = 0;
    if (stop < -all || start >= all || !handler_range(&start, &stop, all))
        return;
    *count_r = (uint64_t)(stop - start + 1);
    *first_r += (uint64_t)(range->reverse ? all - 1 - stop : start);
}

static bool parse_ranks(struct command_ctx *ctx, uint32_t start, struct range *range) {
    return handler_i64(ctx, start, &range->start) && handler_i64(ctx, start + 1, &range->stop);
}

/* ---- reading and storing ---- */

static bool parse_limit(struct command_ctx *ctx, uint32_t at, struct range *range) {
    return handler_i64(ctx, at + 1, &range->offset) && handler_i64(ctx, at + 2, &range->limit);
}

/* What is named by the command itself (by, reverse) is no option any more. */
static bool parse_options(struct command_ctx *ctx, uint32_t first, bool store,
                          struct range *range) {
    bool any_direction = range->by == BY_ANY, any_kind = any_direction;
    for (uint32_t i = first; i < ctx->argc; i++) {
        if (!store && handler_arg_is(ctx, i, "WITHSCORES")) {
            range->with_scores = true;
        } else if (handler_arg_is(ctx, i, "LIMIT") && ctx->argc - i > 2) {
            if (!parse_limit(ctx, i, range))
                return false;
            i += 2;
        } else if (any_direction && handler_arg_is(ctx, i, "REV")) {
            any_direction = false;
            range->reverse = true;
        } else if (any_kind && handler_arg_is(ctx, i, "BYLEX")) {
            any_kind = false;
            range->by = BY_LEX;
        } else if (any_kind && handler_arg_is(ctx, i, "BYSCORE")) {
            any_kind = false;
            range->by = BY_SCORE;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    if (range->by == BY_ANY)
        range->by = BY_RANK;
    return true;
}

static bool options_agree(struct command_ctx *ctx, const struct range *range) {
    const char *error = NULL;
    if (range->limit != -1 && range->by == BY_RANK)
        error = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or "
                "BYLEX";
    else if (range->with_scores && range->by == BY_LEX)
        error = "ERR syntax error, WITHSCORES not supported in combination with BYLEX";
    if (error != NULL)
        reply_error(&ctx->reply, error);
    return error == NULL;
}

/* key start stop [options], the key being argument `key`. */
static bool parse_range(struct command_ctx *ctx, uint32_t key, bool store, struct range *range) {
    range->limit = -1;
    if (!parse_options(ctx, key + 3, store, range) || !options_agree(ctx, range))
        return false;
    if (range->by == BY_RANK)
        return parse_ranks(ctx, key + 1, range);
    uint32_t min = range->reverse ? key + 2 : key + 1, max = range->reverse ? key + 1 : key + 2;
    return parse_ends(ctx, range->by, min, max, &range->ends);
}

static void reply_range(struct command_ctx *ctx, struct range range) {
    struct value zset;
    struct zset_iterator it;
    struct bytes member;
    double score;
    uint64_t first, count = 0;
    bool found;
    if (!parse_range(ctx, 1, false, &range) || !zset_find(ctx, 1, &zset, &found))
        return;
    if (found)
        resolve(&zset, &range, &first, &count);
    zset_reply_header(ctx, count, range.with_scores);
    if (count == 0)
        return;
    zset_iterate(&zset, range.reverse ? first + count - 1 : first, range.reverse, &it);
    for (uint64_t i = 0; i < count && zset_next(&it, &member, &score); i++)
        zset_reply_member(ctx, member, score, range.with_scores);
}

void cmd_zrange(struct command_ctx *ctx) {
    reply_range(ctx, (struct range){.by = BY_ANY});
}

void cmd_zrevrange(struct command_ctx *ctx) {
    reply_range(ctx, (struct range){.by = BY_RANK, .reverse = true});
}

void cmd_zrangebyscore(struct command_ctx *ctx) {
    reply_range(ctx, (struct range){.by = BY_SCORE});
}

void cmd_zrevrangebyscore(struct command_ctx *ctx) {
    reply_range(ctx, (struct range){.by = BY_SCORE, .reverse = true});
}

void cmd_zrangebylex(struct command_ctx *ctx) {
    reply_range(ctx, (struct range){.by = BY_LEX});
}

void cmd_zrevrangebylex(struct command_ctx *ctx) {
    reply_range(ctx, (struct range){.by = BY_LEX, .reverse = true});
}

static void build_range(const struct value *zset, const struct range *range,
                        struct zset_builder *b) {
    struct zset_iterator it;
    struct bytes member;
    double score;
    uint64_t first, count;
    bool new;
    resolve(zset, range, &first, &count);
    zset_iterate(zset, first, false, &it);
    for (uint64_t i = 0; i < count && zset_next(&it, &member, &score); i++)
        zset_builder_element(b, member, &new)->score = score;
}

void cmd_zrangestore(struct command_ctx *ctx) {
    struct range range = {.by = BY_ANY};
    struct zset_builder b;
    struct value zset;
    bool found;
    if (!parse_range(ctx, 2, true, &range) || !zset_find(ctx, 2, &zset, &found))
        return;
    zset_builder_init(&b);
    if (found)
        build_range(&zset, &range, &b);
    zset_store_built(ctx, 1, &b);
}

/* ---- counting ---- */

static void reply_count(struct command_ctx *ctx, enum range_by by) {
    struct zset_range ends;
    struct value zset;
    uint64_t first, count = 0;
    bool found;
    if (!parse_ends(ctx, by, 2, 3, &ends) || !zset_find(ctx, 1, &zset, &found))
        return;
    if (found)
        zset_find_range(&zset, &ends, &first, &count);
    reply_integer(&ctx->reply, (int64_t)count);
}

void cmd_zcount(struct command_ctx *ctx) {
    reply_count(ctx, BY_SCORE);
}

void cmd_zlexcount(struct command_ctx *ctx) {
    reply_count(ctx, BY_LEX);
}

/* ---- removing ---- */

static void remove_range(struct command_ctx *ctx, enum range_by by) {
    struct range range = {.by = by, .limit = -1};
    struct keyref ref;
    uint64_t first, count = 0;
    if (by == BY_RANK ? !parse_ranks(ctx, 2, &range) : !parse_ends(ctx, by, 2, 3, &range.ends))
        return;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_ZSET, &ref))
        return;
    if (keyref_found(&ref)) {
        struct value zset = keyref_value(&ref);
        resolve(&zset, &range, &first, &count);
        if (count == zset_count(&zset)) {
            keyspace_delete(&ref, false);
        } else if (count > 0) {
            zset_remove_ranks(&zset, first, count);
            keyspace_store(&ref, &zset);
        }
    }
    ctx->dirty += count;
    reply_integer(&ctx->reply, (int64_t)count);
}

void cmd_zremrangebyrank(struct command_ctx *ctx) {
    remove_range(ctx, BY_RANK);
}

void cmd_zremrangebyscore(struct command_ctx *ctx) {
    remove_range(ctx, BY_SCORE);
}

void cmd_zremrangebylex(struct command_ctx *ctx) {
    remove_range(ctx, BY_LEX);
}
