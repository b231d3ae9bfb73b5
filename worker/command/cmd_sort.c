/* cmd_sort.c - SORT, SORT_RO: the elements of a list, set or sorted set in order of their values, or of
 * what other keys hold.
 *
 *   load the elements -> weights (numbers or texts, of the elements or of BY) -> sort -> LIMIT
 *   -> for each, itself or what GET names -> reply or STORE
 *
 * Texts are compared byte by byte, as in the C locale. Elements are copied out first: packed ones have
 * no bytes that last, and looking a key up may delete it. */
#include "worker/command/handler.h"
#include "worker/command/sort_keys.h"

#include "shared/base/mem.h"
#include "worker/types/hash.h"
#include "worker/types/list.h"
#include "worker/types/set.h"
#include "worker/types/zset.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

/* ---- patterns ---- */

/* "weight_*", "object_*->field", "#" */
struct pattern {
    enum { PATTERN_NOTHING, PATTERN_ELEMENT, PATTERN_KEY } kind;
    struct bytes before, after; /* the star */
    bool has_field;
    struct bytes field;
};

static struct pattern pattern_parse(struct bytes text) {
    struct pattern p = {0};
    const char *star = text.len > 0 ? memchr(text.ptr, '*', text.len) : NULL;
    if (star == NULL) {
        p.kind = bytes_equal(text, BYTES_LITERAL("#")) ? PATTERN_ELEMENT : PATTERN_NOTHING;
        return p;
    }
    p.kind = PATTERN_KEY;
    p.before = bytes_of(text.ptr, (size_t)(star - text.ptr));
    p.after = bytes_of(star + 1, text.len - p.before.len - 1);
    const char *arrow = memmem(p.after.ptr, p.after.len, "->", 2);
    size_t to_field = arrow != NULL ? (size_t)(arrow + 2 - p.after.ptr) : p.after.len;
    if (to_field < p.after.len) {
        p.has_field = true;
        p.field = bytes_of(arrow + 2, p.after.len - to_field);
        p.after.len = to_field - 2;
    }
    return p;
}

static struct bytes pattern_key(const struct pattern *p, struct bytes element, struct buf *key) {
    buf_clear(key);
    buf_append_bytes(key, p->before);
    buf_append_bytes(key, element);
    buf_append_bytes(key, p->after);
    return buf_bytes(key);
}

/* ---- arguments ---- */

struct element {
    size_t text_at, text_len; /* in sort.texts */
    size_t weight_at, weight_len;
    double number;
    bool has_weight;
};

struct sort {
    bool descending, alphabetic, by_given, unsorted;
    int64_t offset, limit; /* a negative limit is none */
    struct pattern by;
    uint32_t store;      /* argument; 0: reply */
    uint32_t get_count;  /* GET options, from their arguments */
    struct pattern *get; /* room for as many as there are arguments */
    struct element *elements;
    uint64_t count, first, end; /* of the elements; those that LIMIT leaves */
    struct buf texts, key;
};

static struct bytes text_of(const struct sort *s, const struct element *e) {
    return bytes_of(s->texts.data + e->text_at, e->text_len);
}

static const char *parse_by(const struct command_ctx *ctx, uint32_t index, struct sort *s) {
    s->by_given = true;
    s->by = pattern_parse(ctx->argv[index]);
    s->unsorted |= s->by.kind != PATTERN_KEY;
    if (s->by.kind == PATTERN_KEY && ctx->session->port == SESSION_NODE)
        return "ERR BY option of SORT denied in Cluster mode.";
    return NULL;
}

static const char *parse_get(const struct command_ctx *ctx, uint32_t index, struct sort *s) {
    s->get[s->get_count++] = pattern_parse(ctx->argv[index]);
    if (ctx->session->port == SESSION_NODE)
        return "ERR GET option of SORT denied in Cluster mode.";
    return NULL;
}

static const char *parse_option(const struct command_ctx *ctx, uint32_t *index, struct sort *s) {
    uint32_t rest = ctx->argc - *index - 1, at = *index;
    if (handler_arg_is(ctx, at, "ASC") || handler_arg_is(ctx, at, "DESC")) {
        s->descending = handler_arg_is(ctx, at, "DESC");
    } else if (handler_arg_is(ctx, at, "ALPHA")) {
        s->alphabetic = true;
    } else if (rest > 1 && handler_arg_is(ctx, at, "LIMIT")) {
        *index += 2;
        if (!bytes_to_i64(ctx->argv[at + 1], &s->offset) ||
            !bytes_to_i64(ctx->argv[at + 2], &s->limit))
            return reply_err_not_integer;
    } else if (rest > 0 && (ctx->cmd->flags & CMD_WRITE) && handler_arg_is(ctx, at, "STORE")) {
        s->store = ++*index;
    } else if (rest > 0 && handler_arg_is(ctx, at, "BY")) {
        return parse_by(ctx, ++*index, s);
    } else if (rest > 0 && handler_arg_is(ctx, at, "GET")) {
        return parse_get(ctx, ++*index, s);
    } else {
        return reply_err_syntax;
    }
    return NULL;
}

/* Returns the error, or NULL. To be closed in any case. */
static const char *sort_open(const struct command_ctx *ctx, struct sort *s) {
    const char *error = NULL;
    *s = (struct sort){.limit = -1};
    s->get = mem_alloc(ctx->argc * sizeof(*s->get));
    for (uint32_t i = 2; i < ctx->argc && error == NULL; i++)
        error = parse_option(ctx, &i, s);
    return error;
}

static void sort_close(struct sort *s) {
    mem_free(s->get);
    mem_free(s->elements);
    buf_free(&s->texts);
    buf_free(&s->key);
}

/* ---- elements ---- */

static void add_element(struct sort *s, struct bytes text) {
    struct element *e = &s->elements[s->count++];
    *e = (struct element){.text_at = s->texts.len, .text_len = text.len};
    buf_append_bytes(&s->texts, text);
}

static void limit(struct sort *s) {
    uint64_t offset = s->offset < 0 ? 0 : (uint64_t)s->offset;
    s->first = offset < s->count ? offset : s->count;
    uint64_t left = s->count - s->first;
    s->end = s->first + (s->limit < 0 || (uint64_t)s->limit > left ? left : (uint64_t)s->limit);
}

/* Room for the elements. What is not sorted has its order already: only what LIMIT leaves is loaded,
 * *take_r from the index returned on, which is from the far end if they come backward. */
static uint64_t plan(struct sort *s, uint64_t all, bool backward, uint64_t *take_r) {
    uint64_t skip = 0;
    *take_r = all;
    if (s->unsorted) {
        s->count = all;
        limit(s);
        skip = s->first;
        *take_r = s->end - s->first;
        s->count = 0;
        s->offset = 0;
        s->limit = -1;
    }
    s->elements = mem_alloc((*take_r + 1) * sizeof(*s->elements));
    return backward ? all - 1 - skip : skip;
}

static void load_list(struct sort *s, const struct value *list, bool backward) {
    struct list_iterator it;
    struct bytes text;
    uint64_t take, from = plan(s, list_count(list), backward, &take);
    if (take == 0)
        return;
    list_iterate(list, from, backward, &it);
    while (s->count < take && list_next(&it, &text))
        add_element(s, text);
}

static void load_set(struct sort *s, const struct value *set) {
    struct set_iterator it;
    struct bytes text;
    s->elements = mem_alloc((set_count(set) + 1) * sizeof(*s->elements));
    set_iterate(set, &it);
    while (set_next(&it, &text))
        add_element(s, text);
}

static void load_zset(struct sort *s, const struct value *zset, bool backward) {
    struct zset_iterator it;
    struct bytes text;
    double score;
    uint64_t take, from = plan(s, zset_count(zset), backward, &take);
    if (take == 0)
        return;
    zset_iterate(zset, from, backward, &it);
    while (s->count < take && zset_next(&it, &text, &score))
        add_element(s, text);
}

/* What is not sorted stays in the order it has, or the reverse of it. A set has none: where that would
 * be stored, it is sorted after all. */
static bool load(struct command_ctx *ctx, struct sort *s) {
    struct keyref ref;
    if (!ctx_find(ctx, ctx->argv[1], KEY_READ, &ref))
        return true;
    struct value value = keyref_value(&ref);
    bool backward = s->unsorted && s->descending;
    if (value.type == VALUE_LIST) {
        load_list(s, &value, backward);
    } else if (value.type == VALUE_ZSET) {
        load_zset(s, &value, backward);
    } else if (value.type == VALUE_SET) {
        load_set(s, &value);
        if (s->unsorted && s->store > 0) {
            s->unsorted = s->by_given = false;
            s->alphabetic = true;
        }
    } else {
        reply_error(&ctx->reply, reply_err_wrong_type);
        return false;
    }
    return true;
}

/* ---- weights ---- */

/* What a pattern names for an element; false: nothing. Borrowed until the next look-up. */
static bool look_up(struct command_ctx *ctx, struct sort *s, const struct pattern *p,
                    struct bytes element, char *digits, struct bytes *value_r) {
    struct keyref ref;
    *value_r = element;
    if (p->kind != PATTERN_KEY)
        return p->kind == PATTERN_ELEMENT;
    if (!ctx_find(ctx, pattern_key(p, element, &s->key), KEY_READ, &ref))
        return false;
    struct value value = keyref_value(&ref);
    if (p->has_field)
        return value.type == VALUE_HASH && hash_get(&value, p->field, digits, value_r);
    if (value.type == VALUE_STRING)
        *value_r = value_string_bytes(&value, digits);
    return value.type == VALUE_STRING;
}

/* As strtod() reads it, which stops at a NUL. */
static bool weight_number(struct bytes text, double *number_r) {
    char room[BYTES_LONG_DOUBLE_MAX], *end;
    if (text.len >= sizeof(room))
        return false;
    if (text.len > 0)
        memcpy(room, text.ptr, text.len);
    room[text.len] = '\0';
    errno = 0;
    *number_r = strtod(room, &end);
    return *end == '\0' && errno != ERANGE && !isnan(*number_r);
}

/* false: some weight is no number. An absent one counts as 0. */
static bool weigh(struct command_ctx *ctx, struct sort *s) {
    char digits[BYTES_I64_MAX];
    bool all_numbers = true;
    for (uint64_t i = 0; i < s->count; i++) {
        struct element *e = &s->elements[i];
        struct bytes weight = text_of(s, e);
        e->has_weight = !s->by_given || look_up(ctx, s, &s->by, weight, digits, &weight);
        if (!e->has_weight)
            continue;
        if (!s->alphabetic) {
            all_numbers &= weight_number(weight, &e->number);
        } else if (s->by_given) {
            e->weight_at = s->texts.len;
            e->weight_len = weight.len;
            buf_append_bytes(&s->texts, weight);
        } else {
            e->weight_at = e->text_at;
            e->weight_len = e->text_len;
        }
    }
    return all_numbers;
}

/* ---- order ---- */

static int compare_texts(const struct sort *s, const struct element *a, const struct element *b) {
    if (!a->has_weight || !b->has_weight)
        return a->has_weight - b->has_weight;
    return bytes_compare(bytes_of(s->texts.data + a->weight_at, a->weight_len),
                         bytes_of(s->texts.data + b->weight_at, b->weight_len));
}

static int compare_numbers(const struct sort *s, const struct element *a, const struct element *b) {
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return bytes_compare(text_of(s, a), text_of(s, b));
}

/* Equal ones stay as they came. */
static int compare(const void *a, const void *b, void *arg) {
    const struct sort *s = arg;
    const struct element *x = a, *y = b;
    int order = s->alphabetic ? compare_texts(s, x, y) : compare_numbers(s, x, y);
    if (order != 0)
        return s->descending ? -order : order;
    return x->text_at < y->text_at ? -1 : x->text_at > y->text_at;
}

/* ---- result ---- */

/* Calls out() for every value of the result, with found false where GET found nothing. */
static void each_result(struct command_ctx *ctx, struct sort *s,
                        void (*out)(void *arg, bool found, struct bytes value), void *arg) {
    char digits[BYTES_I64_MAX];
    for (uint64_t i = s->first; i < s->end; i++) {
        struct bytes element = text_of(s, &s->elements[i]), value;
        if (s->get_count == 0)
            out(arg, true, element);
        for (uint32_t g = 0; g < s->get_count; g++) {
            bool found = look_up(ctx, s, &s->get[g], element, digits, &value);
            out(arg, found, value);
        }
    }
}

static uint64_t result_count(const struct sort *s) {
    return (s->end - s->first) * (s->get_count > 0 ? s->get_count : 1);
}

static void reply_result(void *arg, bool found, struct bytes value) {
    struct reply *r = arg;
    if (found)
        reply_bulk(r, value);
    else
        reply_null(r);
}

/* The values to be stored, each behind its length: what they are taken from may be overwritten. */
static void keep_result(void *arg, bool found, struct bytes value) {
    struct buf *kept = arg;
    uint64_t len = found ? value.len : 0;
    buf_append(kept, &len, sizeof(len));
    if (found)
        buf_append_bytes(kept, value);
}

static void store_result(struct command_ctx *ctx, struct sort *s) {
    struct buf kept = {0};
    struct keyref ref;
    uint64_t count = result_count(s), len;
    int64_t fill = ctx_config(ctx)->list_max_listpack_size;
    each_result(ctx, s, keep_result, &kept);
    ctx_find(ctx, ctx->argv[s->store], KEY_WRITE, &ref);
    if (count > 0) {
        struct value list = list_create();
        list_expect(&list, count, kept.len - count * sizeof(len), fill);
        for (size_t at = 0; at < kept.len; at += sizeof(len) + len) {
            memcpy(&len, kept.data + at, sizeof(len));
            list_push(&list, LIST_BACK, bytes_of(kept.data + at + sizeof(len), len), fill);
        }
        handler_overwrite(&ref, &list);
        ctx->dirty += count;
    } else if (keyref_found(&ref)) {
        keyspace_delete(&ref, false);
        ctx->dirty++;
    }
    buf_free(&kept);
    reply_integer(&ctx->reply, (int64_t)count);
}

static void sort_elements(struct command_ctx *ctx, struct sort *s) {
    if (!s->unsorted && !weigh(ctx, s)) {
        reply_error(&ctx->reply, "ERR One or more scores can't be converted into double");
        return;
    }
    if (!s->unsorted && s->count > 1)
        qsort_r(s->elements, s->count, sizeof(*s->elements), compare, s);
    limit(s);
    if (s->store > 0) {
        store_result(ctx, s);
    } else {
        reply_array(&ctx->reply, result_count(s));
        each_result(ctx, s, reply_result, &ctx->reply);
    }
}

void cmd_sort(struct command_ctx *ctx) {
    struct sort s;
    const char *error = sort_open(ctx, &s);
    if (error != NULL)
        reply_error(&ctx->reply, error);
    else if (load(ctx, &s))
        sort_elements(ctx, &s);
    sort_close(&s);
}

void cmd_sort_ro(struct command_ctx *ctx) {
    cmd_sort(ctx);
}

/* ---- the keys it reads ---- */

static bool reads_weights(const struct sort *s) {
    return s->by.kind == PATTERN_KEY && !s->unsorted;
}

bool sort_derives_keys(const struct command_ctx *ctx) {
    struct sort s;
    bool derives = sort_open(ctx, &s) == NULL;
    if (derives) {
        derives = reads_weights(&s);
        for (uint32_t g = 0; g < s.get_count; g++)
            derives |= s.get[g].kind == PATTERN_KEY;
    }
    sort_close(&s);
    return derives;
}

void sort_derived_keys(struct command_ctx *ctx, void (*key)(void *arg, struct bytes key),
                       void *arg) {
    struct sort s;
    if (sort_open(ctx, &s) == NULL && load(ctx, &s)) {
        for (uint64_t i = 0; i < s.count; i++) {
            struct bytes element = text_of(&s, &s.elements[i]);
            if (reads_weights(&s))
                key(arg, pattern_key(&s.by, element, &s.key));
            for (uint32_t g = 0; g < s.get_count; g++)
                if (s.get[g].kind == PATTERN_KEY)
                    key(arg, pattern_key(&s.get[g], element, &s.key));
        }
    }
    sort_close(&s);
}
