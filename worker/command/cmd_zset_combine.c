/* cmd_zset_combine.c - union, intersection and difference of sorted sets, and of sets, whose members
 * all have the score 1.
 *
 * Sums of fractions depend on the order of adding. It is Redis's: operands from the smallest to the
 * largest, those of one size as they are named. */
#include "worker/command/zset_handler.h"

#include "shared/base/mem.h"

#include <math.h>
#include <stdlib.h>

enum combine_kind { UNION, INTERSECTION, DIFFERENCE };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

/* A key to be combined; an absent one has no members. */
struct operand {
    struct value value;
    uint64_t count;
    double weight;
    uint32_t place; /* among the keys named */
};

struct combination {
    enum combine_kind kind;
    bool store;       /* argument 1 is the destination */
    bool count_only;  /* ZINTERCARD */
    uint32_t numkeys; /* the argument that holds it */
    uint32_t count;   /* of operands */
    struct operand *operands;
    enum aggregate aggregate;
    uint64_t limit; /* of ZINTERCARD; 0: none */
    bool with_scores;
    struct zset_builder result;
};

/* ---- operands ---- */

static bool operand_score(const struct operand *o, struct bytes member, double *score_r) {
    return o->count > 0 && zset_score(&o->value, member, score_r);
}

struct operand_iterator {
    struct zset_iterator zset;
    bool empty;
};

static void operand_iterate(const struct operand *o, struct operand_iterator *it) {
    it->empty = o->count == 0;
    if (!it->empty)
        zset_iterate(&o->value, 0, false, &it->zset);
}

static bool operand_next(struct operand_iterator *it, struct bytes *member_r, double *score_r) {
    return !it->empty && zset_next(&it->zset, member_r, score_r);
}

static bool find_operand(struct command_ctx *ctx, uint32_t index, struct operand *o) {
    bool found;
    o->weight = 1;
    o->count = 0;
    if (!zset_find(ctx, index, &o->value, &found))
        return false;
    if (found)
        o->count = zset_count(&o->value);
    return true;
}

static bool find_operands(struct command_ctx *ctx, struct combination *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        c->operands[i].place = i;
        if (!find_operand(ctx, c->numkeys + 1 + i, &c->operands[i]))
            return false;
    }
    return true;
}

static int smaller_first(const void *a, const void *b) {
    const struct operand *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? -1 : 1;
    return x->place < y->place ? -1 : x->place > y->place;
}

/* ---- options ---- */

static bool parse_numkeys(struct command_ctx *ctx, struct combination *c) {
    int64_t count;
    if (!handler_i64(ctx, c->numkeys, &count))
        return false;
    if (count < 1) {
        reply_error_format(&ctx->reply, "ERR at least 1 input key is needed for '%s' command",
                           ctx->cmd->name);
        return false;
    }
    if (count > (int64_t)(ctx->argc - c->numkeys - 1)) {
        reply_error(&ctx->reply, reply_err_syntax);
        return false;
    }
    c->count = (uint32_t)count;
    return true;
}

static bool parse_weights(struct command_ctx *ctx, uint32_t first, struct combination *c) {
    for (uint32_t i = 0; i < c->count; i++)
        if (!bytes_to_double(ctx->argv[first + i], &c->operands[i].weight)) {
            reply_error(&ctx->reply, "ERR weight value is not a float");
            return false;
        }
    return true;
}

static bool parse_aggregate(struct command_ctx *ctx, uint32_t index, struct combination *c) {
    static const char *const words[] = {
        [AGGREGATE_SUM] = "SUM", [AGGREGATE_MIN] = "MIN", [AGGREGATE_MAX] = "MAX"};
    for (uint32_t i = 0; i < sizeof words / sizeof *words; i++)
        if (handler_arg_is(ctx, index, words[i])) {
            c->aggregate = i;
            return true;
        }
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

static bool parse_limit(struct command_ctx *ctx, uint32_t index, struct combination *c) {
    int64_t limit;
    if (!handler_i64_least(ctx, index, 0, "ERR LIMIT can't be negative", &limit))
        return false;
    c->limit = (uint64_t)limit;
    return true;
}

static bool parse_options(struct command_ctx *ctx, struct combination *c) {
    bool scored = c->kind != DIFFERENCE && !c->count_only;
    for (uint32_t i = c->numkeys + 1 + c->count; i < ctx->argc; i++) {
        uint32_t behind = ctx->argc - i - 1;
        if (scored && behind >= c->count && handler_arg_is(ctx, i, "WEIGHTS")) {
            if (!parse_weights(ctx, i + 1, c))
                return false;
            i += c->count;
        } else if (scored && behind >= 1 && handler_arg_is(ctx, i, "AGGREGATE")) {
            if (!parse_aggregate(ctx, ++i, c))
                return false;
        } else if (!c->store && !c->count_only && handler_arg_is(ctx, i, "WITHSCORES")) {
            c->with_scores = true;
        } else if (c->count_only && behind >= 1 && handler_arg_is(ctx, i, "LIMIT")) {
            if (!parse_limit(ctx, ++i, c))
                return false;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    return true;
}

/* ---- combining ---- */

/* inf - inf and 0 * inf count as 0. */
static double number_or_zero(double value) {
    return isnan(value) ? 0 : value;
}

static double combine(enum aggregate how, double a, double b) {
    switch (how) {
    case AGGREGATE_SUM: return number_or_zero(a + b);
    case AGGREGATE_MIN: return b < a ? b : a;
    case AGGREGATE_MAX: return b > a ? b : a;
    }
    return a;
}

static void unite(struct combination *c) {
    struct operand_iterator it;
    struct bytes member;
    double score;
    bool new;
    for (uint32_t i = 0; i < c->count; i++) {
        operand_iterate(&c->operands[i], &it);
        while (operand_next(&it, &member, &score)) {
            struct ordered_element *e = zset_builder_element(&c->result, member, &new);
            score = number_or_zero(score * c->operands[i].weight);
            e->score = new ? score : combine(c->aggregate, e->score, score);
        }
    }
}

/* Is the member in all operands but the first? *score_r, its score there, becomes that of all. */
static bool in_all_others(const struct combination *c, struct bytes member, double *score_r) {
    double score = number_or_zero(*score_r * c->operands[0].weight), other;
    for (uint32_t i = 1; i < c->count; i++) {
        if (!operand_score(&c->operands[i], member, &other))
            return false;
        score = combine(c->aggregate, score, other * c->operands[i].weight);
    }
    *score_r = score;
    return true;
}

/* Returns how many members are common to all, up to the limit. */
static uint64_t intersect(struct combination *c) {
    struct operand_iterator it;
    struct bytes member;
    double score;
    bool new;
    uint64_t common = 0;
    operand_iterate(&c->operands[0], &it);
    while ((c->limit == 0 || common < c->limit) && operand_next(&it, &member, &score)) {
        if (!in_all_others(c, member, &score))
            continue;
        common++;
        if (!c->count_only)
            zset_builder_element(&c->result, member, &new)->score = score;
    }
    return common;
}

static bool in_any_other(const struct combination *c, struct bytes member) {
    double score;
    for (uint32_t i = 1; i < c->count; i++)
        if (operand_score(&c->operands[i], member, &score))
            return true;
    return false;
}

/* Either each member of the first is sought in all others, or all that the others hold is taken out
 * of a copy of the first: whichever takes fewer steps. */
static void subtract(struct combination *c) {
    struct operand_iterator it;
    struct bytes member;
    double score;
    bool new;
    uint64_t seeking = c->operands[0].count * (c->count - 1), taking_out = 0;
    for (uint32_t i = 0; i < c->count; i++)
        taking_out += c->operands[i].count;
    bool seek = seeking <= taking_out;
    operand_iterate(&c->operands[0], &it);
    while (operand_next(&it, &member, &score))
        if (!seek || !in_any_other(c, member))
            zset_builder_element(&c->result, member, &new)->score = score;
    for (uint32_t i = 1; !seek && i < c->count; i++) {
        operand_iterate(&c->operands[i], &it);
        while (zset_builder_count(&c->result) > 0 && operand_next(&it, &member, &score))
            zset_builder_remove(&c->result, member);
    }
}

/* ---- replies ---- */

static void reply_result(struct command_ctx *ctx, struct combination *c) {
    uint64_t count = zset_builder_count(&c->result);
    struct ordered_element *const *sorted = zset_builder_sort(&c->result);
    zset_reply_header(ctx, count, c->with_scores);
    for (uint64_t i = 0; i < count; i++)
        zset_reply_member(ctx, ordered_element_member(sorted[i]), sorted[i]->score, c->with_scores);
    zset_builder_free(&c->result);
}

static void combine_and_reply(struct command_ctx *ctx, struct combination *c) {
    uint64_t common = 0;
    zset_builder_init(&c->result);
    if (c->kind != DIFFERENCE)
        qsort(c->operands, c->count, sizeof(*c->operands), smaller_first);
    switch (c->kind) {
    case UNION: unite(c); break;
    case INTERSECTION: common = intersect(c); break;
    case DIFFERENCE: subtract(c); break;
    }
    if (c->count_only) {
        zset_builder_free(&c->result);
        reply_integer(&ctx->reply, (int64_t)common);
    } else if (c->store) {
        zset_store_built(ctx, 1, &c->result);
    } else {
        reply_result(ctx, c);
    }
}

static void run(struct command_ctx *ctx, struct combination c) {
    c.numkeys = c.store ? 2 : 1;
    if (!parse_numkeys(ctx, &c))
        return;
    c.operands = mem_calloc(c.count, sizeof(*c.operands));
    if (find_operands(ctx, &c) && parse_options(ctx, &c))
        combine_and_reply(ctx, &c);
    mem_free(c.operands);
}

void cmd_zunion(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = UNION});
}

void cmd_zunionstore(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = UNION, .store = true});
}

void cmd_zinter(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = INTERSECTION});
}

void cmd_zinterstore(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = INTERSECTION, .store = true});
}

void cmd_zintercard(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = INTERSECTION, .count_only = true});
}

void cmd_zdiff(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = DIFFERENCE});
}

void cmd_zdiffstore(struct command_ctx *ctx) {
    run(ctx, (struct combination){.kind = DIFFERENCE, .store = true});
}
