/* cmd_list_pop.c - commands that take elements out of lists, and those that wait for one.
 *
 * What a command waited for, or which of its keys had elements, is no matter for the log: it holds the
 * LPOP, RPOP, LMOVE or RPOPLPUSH that it came to. */
#include "worker/command/blocked.h"
#include "worker/command/list_handler.h"

/* ---- LPOP, RPOP ---- */

/* Reply up to `count` elements of an end as an array, and take them out. */
static uint64_t pop_elements(struct command_ctx *ctx, struct keyref *ref, struct value *list,
                             enum list_end end, int64_t count) {
    uint64_t all = list_count(list), taken = (uint64_t)count < all ? (uint64_t)count : all;
    list_reply_elements(ctx, list, end == LIST_FRONT ? 0 : all - 1, taken, end == LIST_BACK);
    list_delete(list, end == LIST_FRONT ? 0 : all - taken, taken);
    ctx->dirty += taken;
    list_store_rest(ctx, ref, list);
    return taken;
}

/* The element at an end; borrowed from the list. */
static struct bytes look_at(const struct value *list, enum list_end end, struct list_iterator *it) {
    struct bytes text;
    list_iterate(list, end == LIST_FRONT ? 0 : list_count(list) - 1, false, it);
    list_next(it, &text);
    return text;
}

static void take_out(struct value *list, enum list_end end) {
    list_delete(list, end == LIST_FRONT ? 0 : list_count(list) - 1, 1);
}

/* The only element wanted of a list that is there, as a reply of its own. */
static void pop_one(struct command_ctx *ctx, struct keyref *ref, enum list_end end) {
    struct value list = keyref_value(ref);
    struct list_iterator it;
    reply_bulk(&ctx->reply, look_at(&list, end, &it));
    take_out(&list, end);
    ctx->dirty++;
    list_store_rest(ctx, ref, &list);
}

static void pop(struct command_ctx *ctx, enum list_end end) {
    struct keyref ref;
    struct value list;
    int64_t count;
    bool counted = ctx->argc > 2;
    if (ctx->argc > 3) {
        reply_error_format(&ctx->reply, "ERR wrong number of arguments for '%s' command",
                           ctx->cmd->name);
        return;
    }
    if (counted &&
        !handler_i64_least(ctx, 2, 0, "ERR value is out of range, must be positive", &count))
        return;
    if (!list_open(ctx, 1, &ref, &list, counted ? list_absent_null_array : list_absent_null))
        return;
    if (counted && count == 0) {
        reply_array(&ctx->reply, 0);
    } else if (counted) {
        pop_elements(ctx, &ref, &list, end, count);
    } else {
        pop_one(ctx, &ref, end);
    }
}

void cmd_lpop(struct command_ctx *ctx) {
    pop(ctx, LIST_FRONT);
}
void cmd_rpop(struct command_ctx *ctx) {
    pop(ctx, LIST_BACK);
}

static bool parse_end(struct command_ctx *ctx, uint32_t index, enum list_end *end_r) {
    bool front = handler_arg_is(ctx, index, "LEFT");
    *end_r = front ? LIST_FRONT : LIST_BACK;
    if (front || handler_arg_is(ctx, index, "RIGHT"))
        return true;
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

/* ---- the first of several keys that has elements: LMPOP, BLMPOP, BLPOP, BRPOP ---- */

/* false: there is none, and no reply; or, with *failed_r, one of another type came before it. */
static bool find_first(struct command_ctx *ctx, uint32_t first, uint32_t count,
                       struct keyref *ref_r, bool *failed_r) {
    for (uint32_t i = first; i < first + count; i++) {
        if (!ctx_awaits(ctx, ctx->argv[i]))
            continue;
        *failed_r = !handler_find(ctx, i, KEY_WRITE, VALUE_LIST, ref_r);
        if (*failed_r || keyref_found(ref_r))
            return !*failed_r;
    }
    return false;
}

struct multiple_pop {
    uint32_t first, keys;
    enum list_end end;
    int64_t count;
};

/* numkeys key... LEFT|RIGHT [COUNT n], from argument `at` on. */
static bool parse_multiple_pop(struct command_ctx *ctx, uint32_t at, struct multiple_pop *p) {
    int64_t keys;
    if (!handler_i64_least(ctx, at, 1, "ERR numkeys should be greater than 0", &keys))
        return false;
    uint32_t end_at = keys >= ctx->argc - at - 1 ? ctx->argc : at + 1 + (uint32_t)keys;
    if (end_at >= ctx->argc) {
        reply_error(&ctx->reply, reply_err_syntax);
        return false;
    }
    *p = (struct multiple_pop){.first = at + 1, .keys = (uint32_t)keys, .count = 1};
    if (!parse_end(ctx, end_at, &p->end))
        return false;
    if (ctx->argc == end_at + 1)
        return true;
    if (ctx->argc >= end_at + 3 && handler_arg_is(ctx, end_at + 1, "COUNT")) {
        if (!handler_i64_least(ctx, end_at + 2, 1, "ERR count should be greater than 0", &p->count))
            return false;
        if (ctx->argc == end_at + 3)
            return true;
    }
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

/* false: no list has elements, and there is no reply yet. */
static bool pop_multiple(struct command_ctx *ctx, const struct multiple_pop *p) {
    struct keyref ref;
    char digits[BYTES_I64_MAX];
    bool failed = false;
    if (!find_first(ctx, p->first, p->keys, &ref, &failed))
        return failed;
    struct value list = keyref_value(&ref);
    struct bytes key = ref.key;
    reply_array(&ctx->reply, 2);
    reply_bulk(&ctx->reply, key);
    uint64_t taken = pop_elements(ctx, &ref, &list, p->end, p->count);
    handler_log(ctx, p->end == LIST_FRONT ? BYTES_LITERAL("LPOP") : BYTES_LITERAL("RPOP"), key,
                bytes_of(digits, bytes_from_i64(digits, (int64_t)taken)));
    return true;
}

void cmd_lmpop(struct command_ctx *ctx) {
    struct multiple_pop p;
    if (parse_multiple_pop(ctx, 1, &p) && !pop_multiple(ctx, &p))
        reply_null_array(&ctx->reply);
}

void cmd_blmpop(struct command_ctx *ctx) {
    struct multiple_pop p;
    struct block block = {.type = VALUE_LIST};
    if (!parse_multiple_pop(ctx, 2, &p) || !block_seconds(ctx, 1, &block.timeout_ms) ||
        pop_multiple(ctx, &p))
        return;
    block.first = p.first;
    block.count = p.keys;
    block_on(ctx, &block);
}

static void pop_or_wait(struct command_ctx *ctx, enum list_end end) {
    struct block block = {.type = VALUE_LIST, .first = 1, .count = ctx->argc - 2};
    struct keyref ref;
    bool failed = false;
    if (!block_seconds(ctx, ctx->argc - 1, &block.timeout_ms))
        return;
    if (!find_first(ctx, block.first, block.count, &ref, &failed)) {
        if (!failed)
            block_on(ctx, &block);
        return;
    }
    struct bytes key = ref.key;
    reply_array(&ctx->reply, 2);
    reply_bulk(&ctx->reply, key);
    pop_one(ctx, &ref, end);
    handler_log(ctx, end == LIST_FRONT ? BYTES_LITERAL("LPOP") : BYTES_LITERAL("RPOP"), key);
}

void cmd_blpop(struct command_ctx *ctx) {
    pop_or_wait(ctx, LIST_FRONT);
}
void cmd_brpop(struct command_ctx *ctx) {
    pop_or_wait(ctx, LIST_BACK);
}

/* ---- LMOVE, RPOPLPUSH, BLMOVE, BRPOPLPUSH ---- */

static void push_moved(struct command_ctx *ctx, struct value *list, enum list_end end,
                       struct bytes text) {
    list_expect(list, 1, text.len, list_fill_of(ctx));
    list_push(list, end, text, list_fill_of(ctx));
}

/* The element is copied: what it is borrowed from changes before it is stored anew. */
static void move_element(struct command_ctx *ctx, enum list_end from, enum list_end to,
                         void (*absent)(struct command_ctx *ctx)) {
    struct keyref source, destination;
    struct value list;
    struct list_iterator it;
    struct buf text = {0};
    if (!list_open(ctx, 1, &source, &list, absent) ||
        !handler_find(ctx, 2, KEY_WRITE, VALUE_LIST, &destination))
        return;
    buf_append_bytes(&text, look_at(&list, from, &it));
    reply_bulk(&ctx->reply, buf_bytes(&text));
    take_out(&list, from);
    if (bytes_equal(ctx->argv[1], ctx->argv[2])) {
        push_moved(ctx, &list, to, buf_bytes(&text));
        list_store_rest(ctx, &source, &list);
    } else {
        list_store_rest(ctx, &source, &list);
        ctx_find(ctx, ctx->argv[2], KEY_WRITE, &destination);
        list = keyref_found(&destination) ? keyref_value(&destination) : list_create();
        push_moved(ctx, &list, to, buf_bytes(&text));
        keyspace_store(&destination, &list);
    }
    ctx->dirty++;
    buf_free(&text);
}

void cmd_lmove(struct command_ctx *ctx) {
    enum list_end from, to;
    if (parse_end(ctx, 3, &from) && parse_end(ctx, 4, &to))
        move_element(ctx, from, to, list_absent_null);
}

void cmd_rpoplpush(struct command_ctx *ctx) {
    move_element(ctx, LIST_BACK, LIST_FRONT, list_absent_null);
}

/* The timeout is the last argument, and was looked at. */
static void wait_for_source(struct command_ctx *ctx) {
    struct block block = {.type = VALUE_LIST, .first = 1, .count = 1, .null_bulk = true};
    if (block_seconds(ctx, ctx->argc - 1, &block.timeout_ms))
        block_on(ctx, &block);
}

void cmd_blmove(struct command_ctx *ctx) {
    enum list_end from, to;
    int64_t timeout_ms;
    if (!parse_end(ctx, 3, &from) || !parse_end(ctx, 4, &to) || !block_seconds(ctx, 5, &timeout_ms))
        return;
    move_element(ctx, from, to, wait_for_source);
    if (ctx->dirty > 0)
        handler_log(ctx, BYTES_LITERAL("LMOVE"), ctx->argv[1], ctx->argv[2], ctx->argv[3],
                    ctx->argv[4]);
}

void cmd_brpoplpush(struct command_ctx *ctx) {
    int64_t timeout_ms;
    if (!block_seconds(ctx, 3, &timeout_ms))
        return;
    move_element(ctx, LIST_BACK, LIST_FRONT, wait_for_source);
    if (ctx->dirty > 0)
        handler_log(ctx, BYTES_LITERAL("RPOPLPUSH"), ctx->argv[1], ctx->argv[2]);
}
