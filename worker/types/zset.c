/* zset.c - see zset.h. Both forms behind one set of functions.
 *
 * A packed set is changed in value_scratch(), where it is copied first unless it is there already. */
#include "worker/types/zset_private.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/packed.h"

#include <math.h>

enum { PAIR = 2 }; /* packed elements of a member */

static struct bytes element_key(const void *element) {
    return ordered_element_member(element);
}

const struct table_type zset_element_type = {.key = element_key, .free = mem_free};
/* The same elements, owned by another table. */
static const struct table_type borrowed_element_type = {.key = element_key};

struct zset_object *zset_object_of(const struct value *zset) {
    ASSERT(zset->type == VALUE_ZSET && zset->encoding == ENCODING_SKIPLIST);
    return zset->object;
}

static bool is_packed(const struct value *zset) {
    ASSERT(zset->type == VALUE_ZSET);
    return zset->encoding == ENCODING_LISTPACK;
}

struct value zset_object_create(uint64_t reserve) {
    struct zset_object *object = mem_calloc(1, sizeof(*object));
    table_init(&object->table, &zset_element_type);
    table_reserve(&object->table, reserve);
    return (struct value){.type = VALUE_ZSET, .encoding = ENCODING_SKIPLIST, .object = object};
}

static void object_insert(struct zset_object *object, struct bytes member, uint64_t hash,
                          double score) {
    struct ordered_element *element = ordered_element_create(score, member);
    table_insert(&object->table, hash, element);
    ordered_insert(&object->order, element);
}

struct value zset_create(void) {
    packed_init(value_scratch());
    return (struct value){
        .type = VALUE_ZSET, .encoding = ENCODING_LISTPACK, .packed = buf_bytes(value_scratch())};
}

static struct buf *in_scratch(const struct value *zset) {
    struct buf *scratch = value_scratch();
    if (zset->packed.ptr != scratch->data) {
        buf_clear(scratch);
        buf_append_bytes(scratch, zset->packed);
    }
    return scratch;
}

static void make_big(struct value *zset, uint64_t pairs) {
    struct zset_iterator it;
    struct bytes member;
    double score;
    struct value big = zset_object_create(pairs);
    zset_iterate(zset, 0, false, &it);
    while (zset_next(&it, &member, &score))
        object_insert(big.object, member, table_hash(member), score);
    *zset = big;
}

void zset_expect(struct value *zset, uint64_t pairs, const struct zset_limits *limits) {
    if (is_packed(zset) && pairs > limits->packed_entries)
        make_big(zset, pairs);
}

/* ---- one member ---- */

uint64_t zset_count(const struct value *zset) {
    return is_packed(zset) ? packed_count(zset->packed) / PAIR
                           : table_count(&zset_object_of(zset)->table);
}

static struct ordered_element *find_element(const struct value *zset, struct bytes member) {
    return table_find(&zset_object_of(zset)->table, table_hash(member), member);
}

bool zset_score(const struct value *zset, struct bytes member, double *score_r) {
    if (!is_packed(zset)) {
        const struct ordered_element *element = find_element(zset, member);
        if (element != NULL)
            *score_r = element->score;
        return element != NULL;
    }
    size_t at = zset_packed_find(zset->packed, member);
    if (at == zset->packed.len)
        return false;
    *score_r = zset_packed_score(zset->packed, at);
    return true;
}

static struct ordered_place place_of(struct bytes member, double score) {
    return (struct ordered_place){
        .by_score = true, .by_member = true, .score = score, .member = member};
}

bool zset_rank(const struct value *zset, struct bytes member, uint64_t *rank_r, double *score_r) {
    if (!zset_score(zset, member, score_r))
        return false;
    struct ordered_place place = place_of(member, *score_r);
    if (is_packed(zset)) {
        size_t at = packed_first(zset->packed);
        *rank_r = zset_packed_pass(zset->packed, &at, &place);
    } else {
        *rank_r = ordered_rank(&zset_object_of(zset)->order, &place);
    }
    return true;
}

/* What becomes of a member that has a score already. */
static enum zset_outcome decide(double old, double *score, uint32_t flags) {
    if (flags & ZSET_NX)
        return ZSET_REFUSED;
    double new = flags &ZSET_INCR ? old + *score : *score;
    if (isnan(new))
        return ZSET_NAN;
    if ((flags & ZSET_LT && new >= old) || (flags & ZSET_GT && new <= old))
        return ZSET_REFUSED;
    *score = new;
    return new == old ? ZSET_SAME : ZSET_UPDATED;
}

static enum zset_outcome object_add(struct value *zset, struct bytes member, double *score,
                                    uint32_t flags) {
    struct zset_object *object = zset_object_of(zset);
    uint64_t hash = table_hash(member);
    struct ordered_element *element = table_find(&object->table, hash, member);
    if (element == NULL) {
        if (flags & ZSET_XX)
            return ZSET_REFUSED;
        object_insert(object, member, hash, *score);
        return ZSET_ADDED;
    }
    enum zset_outcome outcome = decide(element->score, score, flags);
    if (outcome == ZSET_UPDATED)
        ordered_rescore(&object->order, element, *score);
    return outcome;
}

static enum zset_outcome packed_update(struct value *zset, size_t at, struct bytes member,
                                       double *score, uint32_t flags) {
    enum zset_outcome outcome = decide(zset_packed_score(zset->packed, at), score, flags);
    if (outcome == ZSET_UPDATED) {
        struct buf *scratch = in_scratch(zset);
        packed_delete(scratch, at, PAIR);
        zset_packed_insert(scratch, member, *score);
        zset->packed = buf_bytes(scratch);
    }
    return outcome;
}

enum zset_outcome zset_add(struct value *zset, struct bytes member, double *score, uint32_t flags,
                           const struct zset_limits *limits) {
    if (!is_packed(zset))
        return object_add(zset, member, score, flags);
    size_t at = zset_packed_find(zset->packed, member);
    if (at < zset->packed.len)
        return packed_update(zset, at, member, score, flags);
    if (flags & ZSET_XX)
        return ZSET_REFUSED;
    if (!zset_fits_packed(zset_count(zset) + 1, member.len, zset->packed.len, limits)) {
        make_big(zset, zset_count(zset) + 1);
        return object_add(zset, member, score, flags);
    }
    struct buf *scratch = in_scratch(zset);
    zset_packed_insert(scratch, member, *score);
    zset->packed = buf_bytes(scratch);
    return ZSET_ADDED;
}

/* ---- taking out ---- */

/* The element is in the tree no more; its table is in arg. */
static void drop_element(void *arg, struct ordered_element *element) {
    struct bytes member = ordered_element_member(element);
    table_remove_entry(arg, table_hash(member), element);
    mem_free(element);
}

static void packed_remove(struct value *zset, size_t at, uint64_t pairs) {
    struct buf *scratch = in_scratch(zset);
    packed_delete(scratch, at, pairs * PAIR);
    zset->packed = buf_bytes(scratch);
}

bool zset_remove(struct value *zset, struct bytes member) {
    if (is_packed(zset)) {
        size_t at = zset_packed_find(zset->packed, member);
        if (at == zset->packed.len)
            return false;
        packed_remove(zset, at, 1);
        return true;
    }
    const struct ordered_element *element = find_element(zset, member);
    if (element == NULL)
        return false;
    struct zset_object *object = zset_object_of(zset);
    struct ordered_place place = place_of(member, element->score);
    ordered_remove(&object->order, ordered_rank(&object->order, &place), 1, drop_element,
                   &object->table);
    return true;
}

void zset_remove_ranks(struct value *zset, uint64_t first, uint64_t count) {
    if (count == 0)
        return;
    if (is_packed(zset)) {
        packed_remove(zset, zset_packed_seek(zset->packed, first), count);
        return;
    }
    struct zset_object *object = zset_object_of(zset);
    ordered_remove(&object->order, first, count, drop_element, &object->table);
}

/* ---- in order ---- */

void zset_find_range(const struct value *zset, const struct zset_range *range, uint64_t *first_r,
                     uint64_t *count_r) {
    if (is_packed(zset)) {
        size_t at = packed_first(zset->packed);
        *first_r = zset_packed_pass(zset->packed, &at, &range->from);
        *count_r = zset_packed_pass(zset->packed, &at, &range->to);
        return;
    }
    const struct ordered *order = &zset_object_of(zset)->order;
    *first_r = ordered_rank(order, &range->from);
    uint64_t end = ordered_rank(order, &range->to);
    *count_r = end > *first_r ? end - *first_r : 0;
}

void zset_iterate(const struct value *zset, uint64_t rank, bool reverse, struct zset_iterator *it) {
    it->reverse = reverse;
    it->packed = bytes_of(NULL, 0);
    it->cursor = (struct ordered_cursor){0};
    bool beyond = rank >= zset_count(zset);
    if (is_packed(zset)) {
        it->packed = zset->packed;
        it->at = beyond ? 0 : zset_packed_seek(zset->packed, rank);
    } else if (!beyond) {
        it->cursor = ordered_seek(&zset_object_of(zset)->order, rank);
    }
}

static bool packed_step(struct zset_iterator *it, struct bytes *member_r, double *score_r) {
    if (it->at == 0 || it->at >= it->packed.len)
        return false;
    *member_r = packed_text(it->packed, it->at, it->digits);
    *score_r = zset_packed_score(it->packed, it->at);
    if (!it->reverse) {
        it->at = packed_next(it->packed, packed_next(it->packed, it->at));
        return true;
    }
    size_t score_at = packed_prev(it->packed, it->at);
    it->at = score_at == 0 ? 0 : packed_prev(it->packed, score_at);
    return true;
}

bool zset_next(struct zset_iterator *it, struct bytes *member_r, double *score_r) {
    if (it->packed.ptr != NULL)
        return packed_step(it, member_r, score_r);
    const struct ordered_element *element =
        it->reverse ? ordered_prev(&it->cursor) : ordered_next(&it->cursor);
    if (element == NULL)
        return false;
    *member_r = ordered_element_member(element);
    *score_r = element->score;
    return true;
}

/* ---- scanning ---- */

struct reporter {
    zset_found *found;
    void *arg;
    uint64_t count;
};

static void report_element(void *arg, void *entry) {
    struct reporter *r = arg;
    const struct ordered_element *element = entry;
    r->found(r->arg, ordered_element_member(element), element->score);
    r->count++;
}

uint64_t zset_scan(const struct value *zset, uint64_t cursor, uint64_t count, zset_found *found,
                   void *arg) {
    enum { EMPTY_STEPS = 10 }; /* steps a wanted member, in a table that is nearly empty */
    if (is_packed(zset)) {
        struct zset_iterator it;
        struct bytes member;
        double score;
        zset_iterate(zset, 0, false, &it);
        while (zset_next(&it, &member, &score))
            found(arg, member, score);
        return 0;
    }
    struct reporter r = {.found = found, .arg = arg};
    uint64_t steps = count > UINT64_MAX / EMPTY_STEPS ? UINT64_MAX : count * EMPTY_STEPS;
    do {
        cursor = table_scan(&zset_object_of(zset)->table, cursor, report_element, &r);
    } while (cursor != 0 && r.count < count && --steps > 0);
    return cursor;
}

/* ---- by chance ---- */

static struct ordered_element *random_element(const struct zset_object *object) {
    struct ordered_cursor at =
        ordered_seek(&object->order, table_random_below(object->order.count));
    return ordered_next(&at);
}

void zset_random(const struct value *zset, char *digits, struct bytes *member_r, double *score_r) {
    ASSERT(zset_count(zset) > 0);
    if (is_packed(zset)) {
        size_t at = zset_packed_seek(zset->packed, table_random_below(zset_count(zset)));
        *member_r = packed_text(zset->packed, at, digits);
        *score_r = zset_packed_score(zset->packed, at);
        return;
    }
    const struct ordered_element *element = random_element(zset_object_of(zset));
    *member_r = ordered_element_member(element);
    *score_r = element->score;
}

/* One pass: each pair is taken with the chance (still wanted) / (still to come). */
static void choose_in_order(const struct value *zset, uint64_t wanted, zset_found *found,
                            void *arg) {
    struct zset_iterator it;
    struct bytes member;
    double score;
    uint64_t left = zset_count(zset);
    zset_iterate(zset, 0, false, &it);
    for (; wanted > 0 && zset_next(&it, &member, &score); left--) {
        if (table_random_below(left) < wanted) {
            found(arg, member, score);
            wanted--;
        }
    }
}

/* Few out of many: draw, and draw again what was drawn before. */
static void choose_by_drawing(const struct value *zset, uint64_t wanted, zset_found *found,
                              void *arg) {
    struct table drawn;
    table_init(&drawn, &borrowed_element_type);
    table_reserve(&drawn, wanted);
    while (table_count(&drawn) < wanted) {
        struct ordered_element *element = random_element(zset_object_of(zset));
        struct bytes member = ordered_element_member(element);
        uint64_t hash = table_hash(member);
        if (table_find(&drawn, hash, member) != NULL)
            continue;
        table_insert(&drawn, hash, element);
        found(arg, member, element->score);
    }
    table_clear(&drawn);
}

void zset_random_distinct(const struct value *zset, uint64_t count, zset_found *found, void *arg) {
    enum { DRAW_BELOW = 3 }; /* draw while a third of all is enough: few draws are in vain */
    uint64_t all = zset_count(zset);
    uint64_t wanted = count < all ? count : all;
    if (is_packed(zset) || wanted > all / DRAW_BELOW)
        choose_in_order(zset, wanted, found, arg);
    else
        choose_by_drawing(zset, wanted, found, arg);
}

/* ---- the whole ---- */

void zset_free(struct value *zset) {
    if (is_packed(zset) || zset->object == NULL)
        return;
    struct zset_object *object = zset_object_of(zset);
    ordered_clear(&object->order);
    table_clear(&object->table);
    mem_free(object);
    zset->object = NULL;
}

size_t zset_object_bytes(const struct value *zset, uint32_t samples) {
    if (is_packed(zset))
        return 0;
    const struct zset_object *object = zset_object_of(zset);
    uint64_t looked_at = 0, element_bytes = 0;
    struct table_iterator it = table_iterate(&object->table);
    const void *element;
    while ((samples == 0 || looked_at < samples) && (element = table_next(&it)) != NULL) {
        element_bytes += mem_usable(element);
        looked_at++;
    }
    size_t bytes = mem_usable(object) + table_bytes(&object->table) + (size_t)object->order.bytes;
    return looked_at == 0 ? bytes
                          : bytes + (size_t)((double)element_bytes / (double)looked_at *
                                             (double)object->order.count);
}

struct value zset_copy(const struct value *zset) {
    if (is_packed(zset))
        return *zset;
    struct zset_iterator it;
    struct bytes member;
    double score;
    struct value copy = zset_object_create(zset_count(zset));
    zset_iterate(zset, 0, false, &it);
    while (zset_next(&it, &member, &score))
        object_insert(copy.object, member, table_hash(member), score);
    return copy;
}
