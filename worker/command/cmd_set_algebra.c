/* cmd_set_algebra.c - SINTER, SUNION, SDIFF and their kin.
 *
 * The operands are looked up first and stay as they are; the result is built aside, and replied, counted
 * or stored, over whatever the destination holds. An absent key is an empty set. */
#include "worker/command/cmd_set_private.h"

#include "shared/base/mem.h"

#include <stdlib.h>

struct operands {
    struct value *sets; /* those that are there, in the order of the arguments */
    uint32_t count;
    uint32_t absent;
    bool first_absent;
};

/* The keys from argument `first` on. False: one is no set. */
static bool open_operands(struct command_ctx *ctx, uint32_t first, uint32_t keys,
                          struct operands *o) {
    *o = (struct operands){.sets = mem_alloc(keys * sizeof(*o->sets))};
    for (uint32_t i = 0; i < keys; i++) {
        struct keyref ref;
        if (!handler_find(ctx, first + i, KEY_READ, VALUE_SET, &ref)) {
            mem_free(o->sets);
            return false;
        }
        if (keyref_found(&ref)) {
            o->sets[o->count++] = keyref_value(&ref);
        } else {
            o->absent++;
            o->first_absent |= i == 0;
        }
    }
    return true;
}

static void close_operands(struct operands *o) {
    mem_free(o->sets);
}

/* Store the result at argument 1; nothing, if it is empty. */
static void store_result(struct command_ctx *ctx, struct value *result) {
    struct keyref ref;
    uint64_t count = set_count(result);
    ctx_find(ctx, ctx->argv[1], KEY_WRITE, &ref);
    if (count > 0) {
        handler_overwrite(&ref, result);
        ctx->dirty++;
    } else {
        set_free(result);
        ctx->dirty += keyspace_delete(&ref, false);
    }
    reply_integer(&ctx->reply, (int64_t)count);
}

static void reply_result(struct command_ctx *ctx, struct value *result) {
    set_reply_members(ctx, result);
    set_free(result);
}

/* ---- intersection ---- */

static int compare_counts(const void *a, const void *b) {
    uint64_t x = set_count(a), y = set_count(b);
    return (x > y) - (x < y);
}

static int compare_counts_down(const void *a, const void *b) {
    return compare_counts(b, a);
}

static bool in_all(const struct operands *o, struct bytes member) {
    for (uint32_t i = 1; i < o->count; i++) {
        if (!set_has(&o->sets[i], member))
            return false;
    }
    return true;
}

/* Calls found for each member of all sets, up to `max`; returns how many. */
static uint64_t intersect(struct operands *o, uint64_t max,
                          void (*found)(void *arg, struct bytes member), void *arg) {
    struct set_iterator it;
    struct bytes member;
    uint64_t count = 0;
    if (o->absent > 0)
        return 0;
    qsort(o->sets, o->count, sizeof(*o->sets), compare_counts);
    set_iterate(&o->sets[0], &it);
    while (count < max && set_next(&it, &member)) {
        if (!in_all(o, member))
            continue;
        found(arg, member);
        count++;
    }
    return count;
}

static void write_member(void *arg, struct bytes member) {
    struct reply *reply = arg;
    reply_bulk(reply, member);
}

static void count_only(void *arg, struct bytes member) {
}

struct builder {
    struct value result;
    struct set_limits limits;
};

static void add_member(void *arg, struct bytes member) {
    struct builder *b = arg;
    set_add(&b->result, member, &b->limits);
}

void cmd_sinter(struct command_ctx *ctx) {
    struct operands o;
    if (!open_operands(ctx, 1, ctx->argc - 1, &o))
        return;
    size_t mark = reply_mark(&ctx->reply);
    uint64_t count = intersect(&o, UINT64_MAX, write_member, &ctx->reply);
    reply_close_set(&ctx->reply, mark, count);
    close_operands(&o);
}

static enum value_encoding encoding_of_smallest(const struct operands *o) {
    if (o->absent > 0)
        return ENCODING_INTSET;
    const struct value *smallest = &o->sets[0];
    for (uint32_t i = 1; i < o->count; i++) {
        if (set_count(&o->sets[i]) < set_count(smallest))
            smallest = &o->sets[i];
    }
    return smallest->encoding;
}

/* The result has the form of the smallest operand, or that of integers. */
void cmd_sinterstore(struct command_ctx *ctx) {
    struct operands o;
    if (!open_operands(ctx, 2, ctx->argc - 2, &o))
        return;
    struct builder b = {set_create(encoding_of_smallest(&o)), set_limits_of(ctx)};
    if (intersect(&o, UINT64_MAX, add_member, &b) > 0)
        set_prefer_integers(&b.result, &b.limits);
    store_result(ctx, &b.result);
    close_operands(&o);
}

static bool parse_limit(struct command_ctx *ctx, uint32_t from, int64_t *limit_r) {
    *limit_r = 0;
    for (uint32_t i = from; i < ctx->argc; i += 2) {
        if (i + 1 == ctx->argc || !handler_arg_is(ctx, i, "LIMIT")) {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
        if (!handler_i64_least(ctx, i + 1, 0, "ERR LIMIT can't be negative", limit_r))
            return false;
    }
    return true;
}

void cmd_sintercard(struct command_ctx *ctx) {
    struct operands o;
    int64_t keys, limit;
    if (!handler_i64_least(ctx, 1, 1, "ERR numkeys should be greater than 0", &keys))
        return;
    if (keys > ctx->argc - 2) {
        reply_error(&ctx->reply, "ERR Number of keys can't be greater than number of args");
        return;
    }
    if (!parse_limit(ctx, 2 + (uint32_t)keys, &limit) || !open_operands(ctx, 2, (uint32_t)keys, &o))
        return;
    uint64_t count = intersect(&o, limit == 0 ? UINT64_MAX : (uint64_t)limit, count_only, NULL);
    reply_integer(&ctx->reply, (int64_t)count);
    close_operands(&o);
}

/* ---- union and difference ---- */

static void add_all(struct builder *b, const struct value *set) {
    struct set_iterator it;
    struct bytes member;
    set_iterate(set, &it);
    while (set_next(&it, &member))
        set_add(&b->result, member, &b->limits);
}

static void unite(struct builder *b, struct operands *o) {
    for (uint32_t i = 0; i < o->count; i++)
        add_all(b, &o->sets[i]);
}

static bool in_any_other(const struct operands *o, struct bytes member) {
    for (uint32_t i = 1; i < o->count; i++) {
        if (set_has(&o->sets[i], member))
            return true;
    }
    return false;
}

/* Look each member of the first set up in the others, those first where it is likeliest found. */
static void subtract_by_lookup(struct builder *b, struct operands *o) {
    struct set_iterator it;
    struct bytes member;
    qsort(o->sets + 1, o->count - 1, sizeof(*o->sets), compare_counts_down);
    set_iterate(&o->sets[0], &it);
    while (set_next(&it, &member)) {
        if (!in_any_other(o, member))
            set_add(&b->result, member, &b->limits);
    }
}

/* Take the members of the other sets out of a copy of the first. */
static void subtract_by_removal(struct builder *b, const struct operands *o) {
    add_all(b, &o->sets[0]);
    for (uint32_t i = 1; i < o->count && set_count(&b->result) > 0; i++) {
        struct set_iterator it;
        struct bytes member;
        set_iterate(&o->sets[i], &it);
        while (set_next(&it, &member))
            set_remove(&b->result, member);
    }
}

/* Either way takes the size of the first set for each of the others, or the sizes of all; the first is
 * the better one by half, since most lookups end early. */
static void subtract(struct builder *b, struct operands *o) {
    uint64_t first = o->count > 0 ? set_count(&o->sets[0]) : 0, all = 0;
    if (o->first_absent || o->count == 0)
        return;
    for (uint32_t i = 0; i < o->count; i++)
        all += set_count(&o->sets[i]);
    if (first * o->count / 2 <= all)
        subtract_by_lookup(b, o);
    else
        subtract_by_removal(b, o);
}

static void combine(struct command_ctx *ctx, uint32_t first,
                    void (*how)(struct builder *b, struct operands *o),
                    void (*then)(struct command_ctx *ctx, struct value *result)) {
    struct operands o;
    if (!open_operands(ctx, first, ctx->argc - first, &o))
        return;
    struct builder b = {set_create(ENCODING_INTSET), set_limits_of(ctx)};
    how(&b, &o);
    then(ctx, &b.result);
    close_operands(&o);
}

void cmd_sunion(struct command_ctx *ctx) {
    combine(ctx, 1, unite, reply_result);
}
void cmd_sunionstore(struct command_ctx *ctx) {
    combine(ctx, 2, unite, store_result);
}
void cmd_sdiff(struct command_ctx *ctx) {
    combine(ctx, 1, subtract, reply_result);
}
void cmd_sdiffstore(struct command_ctx *ctx) {
    combine(ctx, 2, subtract, store_result);
}
