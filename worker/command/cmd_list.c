/* cmd_list.c - commands on lists.
 *
 * A change takes the value out of its key, changes it, and stores it again: a packed list is copied
 * both ways, blocks stay where they are. A list without elements is no key. */
#include "worker/command/list_handler.h"

/* ---- shared by those that read ---- */

/* A list for reading; *found_r false if the key is absent. False: wrong type. */
static bool find_list(struct command_ctx *ctx, struct value *list_r, bool *found_r) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_READ, VALUE_LIST, &ref))
        return false;
    *found_r = keyref_found(&ref);
    if (*found_r)
        *list_r = keyref_value(&ref);
    return true;
}

void cmd_llen(struct command_ctx *ctx) {
    struct value list;
    bool found;
    if (find_list(ctx, &list, &found))
        reply_integer(&ctx->reply, found ? (int64_t)list_count(&list) : 0);
}

/* An index as commands give it, negative from the end; false if nothing is there. */
static bool place_of(const struct value *list, int64_t index, uint64_t *place_r) {
    int64_t count = (int64_t)list_count(list);
    if (index < 0)
        index += count;
    *place_r = (uint64_t)index;
    return index >= 0 && index < count;
}

void cmd_lindex(struct command_ctx *ctx) {
    struct value list;
    struct list_iterator it;
    struct bytes text;
    int64_t index;
    uint64_t place;
    bool found;
    if (!find_list(ctx, &list, &found) || (found && !handler_i64(ctx, 2, &index)))
        return;
    if (!found || !place_of(&list, index, &place)) {
        reply_null(&ctx->reply);
        return;
    }
    list_iterate(&list, place, false, &it);
    list_next(&it, &text);
    reply_bulk(&ctx->reply, text);
}

/* Arguments 2 and 3 as the first and last index of a range. */
static bool range_arguments(struct command_ctx *ctx, int64_t *start_r, int64_t *end_r) {
    return handler_i64(ctx, 2, start_r) && handler_i64(ctx, 3, end_r);
}

/* Within 0..count-1; false: nothing is in the range. */
static bool range_within(int64_t count, int64_t *start, int64_t *end) {
    if (*start < 0)
        *start += count;
    if (*end < 0)
        *end += count;
    if (*start < 0)
        *start = 0;
    if (*end >= count)
        *end = count - 1;
    return *start <= *end;
}

void cmd_lrange(struct command_ctx *ctx) {
    struct value list;
    int64_t start, end;
    bool found;
    if (!range_arguments(ctx, &start, &end) || !find_list(ctx, &list, &found))
        return;
    if (found && range_within((int64_t)list_count(&list), &start, &end))
        list_reply_elements(ctx, &list, (uint64_t)start, (uint64_t)(end - start + 1), false);
    else
        reply_array(&ctx->reply, 0);
}

/* ---- LPOS ---- */

struct search {
    int64_t rank;       /* of the first match told of; negative: from the back */
    int64_t count;      /* matches wanted; 0: all. NO_COUNT: one, not as an array */
    int64_t length_max; /* elements looked at; 0: all */
};
enum { NO_COUNT = -1 };

static bool parse_rank(struct command_ctx *ctx, uint32_t index, int64_t *rank_r) {
    if (!handler_i64_negatable(ctx, index, rank_r))
        return false;
    if (*rank_r != 0)
        return true;
    reply_error(&ctx->reply, "ERR RANK can't be zero: use 1 to start from the first match, 2 from "
                             "the second ... or use negative to start from the end of the list");
    return false;
}

static bool parse_search(struct command_ctx *ctx, struct search *search_r) {
    *search_r = (struct search){.rank = 1, .count = NO_COUNT};
    for (uint32_t i = 3; i < ctx->argc; i += 2) {
        bool has_value = i + 1 < ctx->argc, ok;
        if (has_value && handler_arg_is(ctx, i, "RANK")) {
            ok = parse_rank(ctx, i + 1, &search_r->rank);
        } else if (has_value && handler_arg_is(ctx, i, "COUNT")) {
            ok = handler_i64_least(ctx, i + 1, 0, "ERR COUNT can't be negative", &search_r->count);
        } else if (has_value && handler_arg_is(ctx, i, "MAXLEN")) {
            ok = handler_i64_least(ctx, i + 1, 0, "ERR MAXLEN can't be negative",
                                   &search_r->length_max);
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            ok = false;
        }
        if (!ok)
            return false;
    }
    return true;
}

/* Writes the index of each match that is wanted; returns how many. */
static uint64_t search_list(struct command_ctx *ctx, const struct value *list,
                            const struct search *search) {
    struct list_iterator it;
    struct bytes text;
    bool backward = search->rank < 0;
    uint64_t all = list_count(list), told = 0, matches = 0;
    uint64_t rank = (uint64_t)(backward ? -search->rank : search->rank);
    uint64_t wanted = search->count == NO_COUNT ? 1 : (uint64_t)search->count;
    uint64_t looks = search->length_max == 0 ? all : (uint64_t)search->length_max;
    list_iterate(list, backward ? all - 1 : 0, backward, &it);
    for (uint64_t i = 0; i < looks && list_next(&it, &text); i++) {
        if (!bytes_equal(text, ctx->argv[2]) || ++matches < rank)
            continue;
        reply_integer(&ctx->reply, (int64_t)(backward ? all - i - 1 : i));
        if (++told == wanted)
            break;
    }
    return told;
}

void cmd_lpos(struct command_ctx *ctx) {
    struct search search;
    struct value list;
    bool found;
    if (!parse_search(ctx, &search) || !find_list(ctx, &list, &found))
        return;
    bool as_array = search.count != NO_COUNT;
    size_t mark = as_array ? reply_mark(&ctx->reply) : 0;
    uint64_t told = found ? search_list(ctx, &list, &search) : 0;
    if (as_array)
        reply_close_array(&ctx->reply, mark, told);
    else if (told == 0)
        reply_null(&ctx->reply);
}

/* ---- shared by those that write ---- */

static void absent_zero(struct command_ctx *ctx) {
    reply_integer(&ctx->reply, 0);
}
static void absent_ok(struct command_ctx *ctx) {
    reply_ok(&ctx->reply);
}
static void absent_error(struct command_ctx *ctx) {
    reply_error(&ctx->reply, reply_err_no_key);
}

/* Arguments from `first` to `last` may be elements; *characters_r: of all of them. */
static bool elements_ok(struct command_ctx *ctx, uint32_t first, uint32_t last,
                        uint64_t *characters_r) {
    *characters_r = 0;
    for (uint32_t i = first; i <= last; i++) {
        if (ctx->argv[i].len > LIST_ELEMENT_MAX) {
            reply_error(&ctx->reply, "ERR Element too large");
            return false;
        }
        *characters_r += ctx->argv[i].len;
    }
    return true;
}

/* ---- push ---- */

static void push(struct command_ctx *ctx, enum list_end end, bool only_existing) {
    struct keyref ref;
    uint64_t characters;
    if (!elements_ok(ctx, 2, ctx->argc - 1, &characters) ||
        !handler_find(ctx, 1, KEY_WRITE, VALUE_LIST, &ref))
        return;
    if (!keyref_found(&ref) && only_existing) {
        reply_integer(&ctx->reply, 0);
        return;
    }
    struct value list = keyref_found(&ref) ? keyref_value(&ref) : list_create();
    list_expect(&list, ctx->argc - 2, characters, list_fill_of(ctx));
    for (uint32_t i = 2; i < ctx->argc; i++)
        list_push(&list, end, ctx->argv[i], list_fill_of(ctx));
    ctx->dirty += ctx->argc - 2;
    keyspace_store(&ref, &list);
    reply_integer(&ctx->reply, (int64_t)list_count(&list));
}

void cmd_lpush(struct command_ctx *ctx) {
    push(ctx, LIST_FRONT, false);
}
void cmd_rpush(struct command_ctx *ctx) {
    push(ctx, LIST_BACK, false);
}
void cmd_lpushx(struct command_ctx *ctx) {
    push(ctx, LIST_FRONT, true);
}
void cmd_rpushx(struct command_ctx *ctx) {
    push(ctx, LIST_BACK, true);
}

/* ---- change in the middle ---- */

static bool find_pivot(const struct value *list, struct bytes pivot, uint64_t *index_r) {
    struct list_iterator it;
    struct bytes text;
    list_iterate(list, 0, false, &it);
    for (*index_r = 0; list_next(&it, &text); ++*index_r)
        if (bytes_equal(text, pivot))
            return true;
    return false;
}

void cmd_linsert(struct command_ctx *ctx) {
    struct keyref ref;
    struct value list;
    uint64_t index, characters;
    bool after = handler_arg_is(ctx, 2, "AFTER");
    if (!after && !handler_arg_is(ctx, 2, "BEFORE")) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (!elements_ok(ctx, 4, 4, &characters) || !list_open(ctx, 1, &ref, &list, absent_zero))
        return;
    if (!find_pivot(&list, ctx->argv[3], &index)) {
        reply_integer(&ctx->reply, -1);
        return;
    }
    list_expect(&list, 1, characters, list_fill_of(ctx));
    list_insert_at(&list, index, after, ctx->argv[4], list_fill_of(ctx));
    ctx->dirty++;
    keyspace_store(&ref, &list);
    reply_integer(&ctx->reply, (int64_t)list_count(&list));
}

void cmd_lset(struct command_ctx *ctx) {
    struct keyref ref;
    struct value list;
    uint64_t place, characters;
    int64_t index;
    if (!elements_ok(ctx, 3, 3, &characters) || !list_open(ctx, 1, &ref, &list, absent_error) ||
        !handler_i64(ctx, 2, &index))
        return;
    if (!place_of(&list, index, &place)) {
        reply_error(&ctx->reply, reply_err_out_of_range);
        return;
    }
    list_expect(&list, 1, characters, list_fill_of(ctx));
    list_set(&list, place, ctx->argv[3], list_fill_of(ctx));
    list_settle(&list, list_fill_of(ctx));
    ctx->dirty++;
    keyspace_store(&ref, &list);
    reply_ok(&ctx->reply);
}

void cmd_lrem(struct command_ctx *ctx) {
    struct keyref ref;
    struct value list;
    int64_t count;
    if (!handler_i64_negatable(ctx, 2, &count) || !list_open(ctx, 1, &ref, &list, absent_zero))
        return;
    enum list_end from = count < 0 ? LIST_BACK : LIST_FRONT;
    uint64_t max = count == 0 ? UINT64_MAX : (uint64_t)(count < 0 ? -count : count);
    ctx->dirty += list_delete_equal(&list, ctx->argv[3], max, from);
    if (ctx->dirty > 0)
        list_store_rest(ctx, &ref, &list);
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

void cmd_ltrim(struct command_ctx *ctx) {
    struct keyref ref;
    struct value list;
    int64_t start, end;
    if (!range_arguments(ctx, &start, &end) || !list_open(ctx, 1, &ref, &list, absent_ok))
        return;
    uint64_t count = list_count(&list), kept = 0;
    if (range_within((int64_t)count, &start, &end))
        kept = (uint64_t)(end - start + 1);
    ctx->dirty += count - kept;
    if (kept == 0) {
        keyspace_delete(&ref, false);
    } else if (kept < count) {
        list_delete(&list, 0, (uint64_t)start);
        list_delete(&list, kept, count - kept - (uint64_t)start);
        list_store_rest(ctx, &ref, &list);
    }
    reply_ok(&ctx->reply);
}
