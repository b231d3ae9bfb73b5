/* list.c - see list.h. Both forms behind one set of functions.
 *
 *   LISTPACK   one packed.h run, changed in value_scratch(), where it is copied first
 *   QUICKLIST  the blocks of list_private.h
 *
 * Blocks are split and joined where Redis splits and joins its nodes. */
#include "worker/types/list.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/list_private.h"

static struct list_object *object_of(const struct value *list) {
    ASSERT(list->type == VALUE_LIST && list->encoding == ENCODING_QUICKLIST);
    return list->object;
}

static bool is_packed(const struct value *list) {
    ASSERT(list->type == VALUE_LIST);
    return list->encoding == ENCODING_LISTPACK;
}

struct value list_create(void) {
    packed_init(value_scratch());
    return (struct value){
        .type = VALUE_LIST, .encoding = ENCODING_LISTPACK, .packed = buf_bytes(value_scratch())};
}

static struct buf *in_scratch(const struct value *list) {
    struct buf *scratch = value_scratch();
    if (list->packed.ptr != scratch->data) {
        buf_clear(scratch);
        buf_append_bytes(scratch, list->packed);
    }
    return scratch;
}

uint64_t list_count(const struct value *list) {
    return is_packed(list) ? packed_count(list->packed) : object_of(list)->count;
}

/* ---- from one form to the other ---- */

/* Would the run, as a listpack, be past the limit with so much more in it? An element takes here between
 * two thirds and one and a half of what it takes there; only in between each must be looked at. */
static bool packed_exceeds(struct bytes run, const struct list_limit *limit, uint64_t characters,
                           uint64_t elements) {
    uint64_t more = LISTPACK_FRAME + characters, here = run.len - PACKED_HEADER;
    if (list_exceeds(limit, here * 2 / 3 + more, packed_count(run) + elements))
        return true;
    if (!list_exceeds(limit, here * 3 / 2 + more, 0))
        return false;
    return list_exceeds(limit, list_listpack_bytes(run, packed_first(run), run.len, NULL) + more,
                        0);
}

static struct value object_create(void) {
    return (struct value){.type = VALUE_LIST,
                          .encoding = ENCODING_QUICKLIST,
                          .object = mem_calloc(1, sizeof(struct list_object))};
}

void list_expect(struct value *list, uint64_t elements, uint64_t characters, int64_t fill) {
    struct list_limit limit = list_limit_of(fill);
    if (!is_packed(list) || !packed_exceeds(list->packed, &limit, characters, elements))
        return;
    struct value big = object_create();
    struct bytes run = list->packed;
    if (packed_count(run) > 0)
        block_add(object_of(&big), NULL, run, packed_first(run), run.len);
    *list = big;
}

void list_settle(struct value *list, int64_t fill) {
    struct list_limit limit = list_limit_of(fill);
    if (is_packed(list) || object_of(list)->blocks != 1)
        return;
    if (fill < 0)
        limit.bytes /= 2;
    limit.elements /= 2;
    const struct list_block *only = object_of(list)->first;
    if (list_exceeds(&limit, only->listpack_bytes, only->count))
        return;
    struct buf *scratch = value_scratch();
    buf_clear(scratch);
    buf_append_bytes(scratch, block_run(only));
    list->encoding = ENCODING_LISTPACK;
    list->packed = buf_bytes(scratch);
}

/* ---- one element ---- */

static size_t packed_place(struct bytes run, uint64_t index) {
    uint64_t count = packed_count(run);
    int64_t from_end = (int64_t)index - (int64_t)count;
    return packed_index(run, index <= count / 2 ? (int64_t)index : from_end);
}

void list_push(struct value *list, enum list_end end, struct bytes text, int64_t fill) {
    if (is_packed(list)) {
        struct buf *scratch = in_scratch(list);
        packed_insert(scratch, end == LIST_FRONT ? PACKED_HEADER : scratch->len, text);
        list->packed = buf_bytes(scratch);
        return;
    }
    struct list_object *o = object_of(list);
    struct list_limit limit = list_limit_of(fill);
    struct list_block *b = end == LIST_FRONT ? o->first : o->last;
    if (block_takes(b, &limit, text.len))
        block_push(o, b, end, text);
    else
        block_add_text(o, end == LIST_FRONT ? NULL : b, text);
}

/* Give an element that is too long to be among others a block of its own. */
static void insert_alone(struct list_object *o, uint64_t index, struct bytes text) {
    if (index == o->count) {
        block_add_text(o, o->last, text);
        return;
    }
    struct list_block *b = block_at(o, &index);
    if (index > 0)
        block_split(o, b, block_place(b, index));
    block_add_text(o, index > 0 ? b : b->prev, text);
}

/* The block is full: its neighbour takes the element, or one between them, or the block is split. */
static void insert_at_full(struct list_object *o, struct list_block *b, uint64_t index, bool after,
                           struct bytes text, const struct list_limit *limit) {
    bool at_end = after ? index == b->count - 1 : index == 0;
    struct list_block *neighbour = after ? b->next : b->prev;
    if (at_end && block_takes(neighbour, limit, text.len)) {
        block_push(o, neighbour, after ? LIST_FRONT : LIST_BACK, text);
    } else if (at_end) {
        block_add_text(o, after ? b : b->prev, text);
    } else {
        struct list_block *behind = block_split(o, b, block_place(b, after ? index + 1 : index));
        block_push(o, after ? behind : b, after ? LIST_FRONT : LIST_BACK, text);
        block_merge_around(o, after ? b : behind, limit);
    }
}

static bool is_too_long(const struct list_limit *limit, struct bytes text) {
    return list_exceeds(limit, text.len, 0);
}

void list_insert_at(struct value *list, uint64_t index, bool after, struct bytes text,
                    int64_t fill) {
    struct list_limit limit = list_limit_of(fill);
    if (is_packed(list)) {
        struct buf *scratch = in_scratch(list);
        size_t at = packed_place(buf_bytes(scratch), index);
        packed_insert(scratch, after ? packed_next(buf_bytes(scratch), at) : at, text);
        list->packed = buf_bytes(scratch);
        return;
    }
    struct list_object *o = object_of(list);
    if (is_too_long(&limit, text)) {
        insert_alone(o, index + after, text);
        return;
    }
    struct list_block *b = block_at(o, &index);
    if (!block_takes(b, &limit, text.len)) {
        insert_at_full(o, b, index, after, text, &limit);
        return;
    }
    size_t at = block_place(b, index);
    block_insert(o, b, after ? packed_next(block_run(b), at) : at, text);
}

void list_set(struct value *list, uint64_t index, struct bytes text, int64_t fill) {
    if (is_packed(list)) {
        struct buf *scratch = in_scratch(list);
        packed_replace(scratch, packed_place(buf_bytes(scratch), index), text);
        list->packed = buf_bytes(scratch);
        return;
    }
    struct list_object *o = object_of(list);
    struct list_limit limit = list_limit_of(fill);
    uint64_t place = index;
    struct list_block *b = block_at(o, &place);
    if (is_too_long(&limit, text) && b->count > 1) {
        block_delete(o, b, place, 1);
        insert_alone(o, index, text);
    } else {
        block_replace(b, block_place(b, place), text);
    }
}

/* ---- taking out ---- */

void list_delete(struct value *list, uint64_t index, uint64_t count) {
    if (count == 0)
        return;
    if (is_packed(list)) {
        struct buf *scratch = in_scratch(list);
        packed_delete(scratch, packed_place(buf_bytes(scratch), index), count);
        list->packed = buf_bytes(scratch);
        return;
    }
    struct list_object *o = object_of(list);
    struct list_block *b = block_at(o, &index), *next;
    for (; count > 0; b = next, index = 0) {
        uint64_t here = b->count - index < count ? b->count - index : count;
        next = b->next;
        block_delete(o, b, index, here);
        count -= here;
    }
}

uint64_t list_delete_equal(struct value *list, struct bytes text, uint64_t max,
                           enum list_end from) {
    if (is_packed(list)) {
        uint64_t found = list_run_count_equal(list->packed, text);
        uint64_t skip = from == LIST_BACK && found > max ? found - max : 0;
        if (found == 0)
            return 0;
        struct buf *scratch = in_scratch(list);
        uint64_t taken = list_run_delete_equal(scratch->data, &scratch->len, text, skip, max);
        list->packed = buf_bytes(scratch);
        return taken;
    }
    struct list_object *o = object_of(list);
    struct list_block *b = from == LIST_FRONT ? o->first : o->last, *next;
    uint64_t taken = 0;
    for (; b != NULL && taken < max; b = next) {
        next = from == LIST_FRONT ? b->next : b->prev;
        taken += block_delete_equal(o, b, text, max - taken, from);
    }
    return taken;
}

/* ---- walking ---- */

void list_iterate(const struct value *list, uint64_t index, bool backward,
                  struct list_iterator *it) {
    it->block = NULL;
    it->run = bytes_of(NULL, 0);
    it->at = 0;
    it->backward = backward;
    if (index >= list_count(list))
        return;
    if (is_packed(list)) {
        it->run = list->packed;
        it->at = packed_place(it->run, index);
    } else {
        it->block = block_at(object_of(list), &index);
        it->run = block_run(it->block);
        it->at = block_place(it->block, index);
    }
    if (backward)
        it->at = packed_next(it->run, it->at);
}

/* Go on to the next block. */
static bool next_run(struct list_iterator *it) {
    if (it->block != NULL)
        it->block = it->backward ? it->block->prev : it->block->next;
    if (it->block == NULL) {
        it->run = bytes_of(NULL, 0);
        it->at = 0;
        return false;
    }
    it->run = block_run(it->block);
    it->at = it->backward ? it->run.len : packed_first(it->run);
    return true;
}

bool list_next(struct list_iterator *it, struct bytes *text_r) {
    bool at_end = it->backward ? it->at <= PACKED_HEADER : it->at >= it->run.len;
    if (at_end && !next_run(it))
        return false;
    if (it->backward) {
        it->at = packed_prev(it->run, it->at);
        *text_r = packed_text(it->run, it->at, it->digits);
    } else {
        *text_r = packed_text(it->run, it->at, it->digits);
        it->at = packed_next(it->run, it->at);
    }
    return true;
}

/* ---- the whole ---- */

void list_free(struct value *list) {
    if (is_packed(list) || list->object == NULL)
        return;
    struct list_object *o = object_of(list);
    while (o->first != NULL)
        block_drop(o, o->first);
    mem_free(o);
    list->object = NULL;
}

size_t list_object_bytes(const struct value *list, uint32_t samples) {
    if (is_packed(list))
        return 0;
    const struct list_object *o = object_of(list);
    size_t bytes = 0;
    uint64_t looked_at = 0;
    for (const struct list_block *b = o->first; b != NULL && (samples == 0 || looked_at < samples);
         b = b->next, looked_at++)
        bytes += mem_usable(b) + mem_usable(b->data);
    if (looked_at > 0)
        bytes = (size_t)((double)bytes / (double)looked_at * (double)o->blocks);
    return bytes + mem_usable(o);
}

struct value list_copy(const struct value *list) {
    if (is_packed(list))
        return *list;
    struct value copy = object_create();
    const struct list_block *b = object_of(list)->first;
    for (; b != NULL; b = b->next) {
        struct bytes run = block_run(b);
        block_add(object_of(&copy), object_of(&copy)->last, run, packed_first(run), run.len);
    }
    return copy;
}
