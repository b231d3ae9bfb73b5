/* list_block.c - see list_private.h. What is moved within a block is at most the block; a block holds
 * one element longer than its limit, or elements within it. */
#include "worker/types/list_private.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

/* ---- limits ---- */

struct list_limit list_limit_of(int64_t fill) {
    enum { LEVELS = 5, LEVEL_BYTES_MIN = 4096, COUNTED_BYTES_MAX = 8192 };
    if (fill >= 0)
        return (struct list_limit){COUNTED_BYTES_MAX, fill == 0 ? 1 : (uint64_t)fill};
    int64_t level = fill < -LEVELS ? LEVELS : -fill;
    return (struct list_limit){(uint64_t)LEVEL_BYTES_MIN << (level - 1), UINT64_MAX};
}

/* Listpack, as Redis 7 writes it: head, characters, and the length of both in 7-bit groups. */
static size_t listpack_element_bytes(const struct packed_element *e) {
    int64_t n = e->number;
    size_t body, back;
    if (!e->is_integer)
        body = e->text.len + (e->text.len < 64 ? 1 : e->text.len < 4096 ? 2 : 5);
    else if (n >= 0 && n <= 127)
        body = 1;
    else if (n >= -4096 && n <= 4095)
        body = 2;
    else if (n == (int16_t)n)
        body = 3;
    else if (n >= -(1 << 23) && n < 1 << 23)
        body = 4;
    else
        body = n == (int32_t)n ? 5 : 9;
    back = body < 128 ? 1 : body < 16383 ? 2 : body < 2097151 ? 3 : body < 268435455 ? 4 : 5;
    return body + back;
}

size_t list_listpack_bytes(struct bytes run, size_t from, size_t to, uint64_t *count_r) {
    size_t bytes = 0;
    uint64_t count = 0;
    for (size_t at = from; at < to; at = packed_next(run, at), count++) {
        struct packed_element e;
        packed_get(run, at, &e);
        bytes += listpack_element_bytes(&e);
    }
    if (count_r != NULL)
        *count_r = count;
    return bytes;
}

/* ---- runs ---- */

static void run_set_count(char *run, uint64_t count) {
    uint64_t stored = count < PACKED_COUNT_UNKNOWN ? count : PACKED_COUNT_UNKNOWN;
    run[0] = (char)stored;
    run[1] = (char)(stored >> 8);
}

uint64_t list_run_count_equal(struct bytes run, struct bytes text) {
    uint64_t count = 0;
    size_t at = packed_find(run, packed_first(run), text, 1);
    for (; at < run.len; count++)
        at = packed_find(run, packed_next(run, at), text, 1);
    return count;
}

uint64_t list_run_delete_equal(char *run, size_t *len, struct bytes text, uint64_t skip,
                               uint64_t max) {
    struct bytes whole = bytes_of(run, *len);
    uint64_t before = packed_count(whole), taken = 0;
    size_t kept_end = packed_first(whole), rest = kept_end, at = kept_end;
    while (taken < max) {
        at = packed_find(whole, at, text, 1);
        if (at == whole.len)
            break;
        size_t behind = packed_next(whole, at);
        if (skip > 0) {
            skip--;
        } else {
            memmove(run + kept_end, run + rest, at - rest);
            kept_end += at - rest;
            rest = behind;
            taken++;
        }
        at = behind;
    }
    memmove(run + kept_end, run + rest, whole.len - rest);
    *len = kept_end + whole.len - rest;
    run_set_count(run, before - taken);
    return taken;
}

/* ---- a block's memory ---- */

static void block_move(struct list_block *b, char *data, size_t gap) {
    memmove(data + gap, b->data + b->gap, b->len);
    if (data != b->data)
        mem_free(b->data);
    b->data = data;
    b->gap = (uint32_t)gap;
}

/* Make room for `more` bytes on one side of the run. */
static void block_reserve(struct list_block *b, enum list_end end, size_t more) {
    size_t usable = mem_usable(b->data);
    if (end == LIST_FRONT ? b->gap >= more : usable - b->gap - b->len >= more)
        return;
    char *data = b->data;
    if (usable - b->len < more) {
        data = mem_alloc(b->len + more);
        usable = mem_usable(data);
    }
    block_move(b, data, end == LIST_FRONT ? usable - b->len : 0);
}

/* Give back what is mostly unused. */
static void block_trim(struct list_block *b) {
    enum { IGNORED_BYTES = 64, WASTE_FACTOR = 3 };
    if (mem_usable(b->data) > WASTE_FACTOR * b->len + IGNORED_BYTES)
        block_move(b, mem_alloc(b->len), 0);
}

/* ---- blocks of a list ---- */

static struct list_block *block_link(struct list_object *o, struct list_block *prev, size_t len) {
    struct list_block *b = mem_calloc(1, sizeof(*b));
    b->data = mem_alloc(len);
    b->len = len;
    b->prev = prev;
    b->next = prev != NULL ? prev->next : o->first;
    *(b->next != NULL ? &b->next->prev : &o->last) = b;
    *(prev != NULL ? &prev->next : &o->first) = b;
    o->blocks++;
    return b;
}

/* Find out what the run of a new block holds, and count it. */
static void block_measure(struct list_object *o, struct list_block *b) {
    uint64_t count;
    struct bytes run = block_run(b);
    b->listpack_bytes =
        LISTPACK_FRAME + list_listpack_bytes(run, packed_first(run), run.len, &count);
    b->count = (uint32_t)count;
    run_set_count(b->data + b->gap, count);
    o->count += count;
}

struct list_block *block_add(struct list_object *o, struct list_block *prev, struct bytes run,
                             size_t from, size_t to) {
    struct list_block *b = block_link(o, prev, PACKED_HEADER + to - from);
    memcpy(b->data + PACKED_HEADER, run.ptr + from, to - from);
    block_measure(o, b);
    return b;
}

struct list_block *block_add_text(struct list_object *o, struct list_block *prev,
                                  struct bytes text) {
    struct packed_encoded e;
    packed_encode(text, &e);
    struct list_block *b = block_link(o, prev, PACKED_HEADER + packed_encoded_bytes(&e));
    packed_encoded_write(&e, b->data + PACKED_HEADER);
    block_measure(o, b);
    return b;
}

void block_drop(struct list_object *o, struct list_block *b) {
    *(b->prev != NULL ? &b->prev->next : &o->first) = b->next;
    *(b->next != NULL ? &b->next->prev : &o->last) = b->prev;
    o->count -= b->count;
    o->blocks--;
    mem_free(b->data);
    mem_free(b);
}

struct list_block *block_at(const struct list_object *o, uint64_t *index) {
    ASSERT(*index < o->count);
    struct list_block *b;
    if (*index < o->count / 2) {
        for (b = o->first; *index >= b->count; b = b->next)
            *index -= b->count;
        return b;
    }
    uint64_t begin = o->count;
    for (b = o->last; (begin -= b->count) > *index; b = b->prev)
        ;
    *index -= begin;
    return b;
}

size_t block_place(const struct list_block *b, uint64_t index) {
    int64_t from_end = (int64_t)index - (int64_t)b->count;
    return packed_index(block_run(b), index <= b->count / 2 ? (int64_t)index : from_end);
}

bool block_takes(const struct list_block *b, const struct list_limit *limit, size_t characters) {
    enum { ESTIMATED_HEAD = 8 };
    return b != NULL &&
           !list_exceeds(limit, b->listpack_bytes + characters + ESTIMATED_HEAD, b->count + 1);
}

/* ---- changing a block ---- */

/* An element has come at `at`. */
static void block_count_new(struct list_object *o, struct list_block *b, size_t at) {
    struct bytes run = block_run(b);
    b->listpack_bytes += list_listpack_bytes(run, at, packed_next(run, at), NULL);
    b->count++;
    o->count++;
    run_set_count(b->data + b->gap, b->count);
}

void block_insert(struct list_object *o, struct list_block *b, size_t at, struct bytes text) {
    struct packed_encoded e;
    packed_encode(text, &e);
    size_t bytes = packed_encoded_bytes(&e);
    block_reserve(b, LIST_BACK, bytes);
    char *to = b->data + b->gap + at;
    memmove(to + bytes, to, b->len - at);
    packed_encoded_write(&e, to);
    b->len += bytes;
    block_count_new(o, b, at);
}

void block_push(struct list_object *o, struct list_block *b, enum list_end end, struct bytes text) {
    if (end == LIST_BACK) {
        block_insert(o, b, b->len, text);
        return;
    }
    struct packed_encoded e;
    packed_encode(text, &e);
    size_t bytes = packed_encoded_bytes(&e);
    block_reserve(b, LIST_FRONT, bytes);
    b->gap -= (uint32_t)bytes;
    b->len += bytes;
    packed_encoded_write(&e, b->data + b->gap + PACKED_HEADER);
    block_count_new(o, b, PACKED_HEADER);
}

void block_replace(struct list_block *b, size_t at, struct bytes text) {
    struct packed_encoded e;
    packed_encode(text, &e);
    struct bytes run = block_run(b);
    size_t behind = packed_next(run, at), old = behind - at, new = packed_encoded_bytes(&e);
    b->listpack_bytes -= list_listpack_bytes(run, at, behind, NULL);
    if (new > old)
        block_reserve(b, LIST_BACK, new - old);
    char *to = b->data + b->gap + at;
    memmove(to + new, to + old, b->len - behind);
    packed_encoded_write(&e, to);
    b->len = b->len - old + new;
    run = block_run(b);
    b->listpack_bytes += list_listpack_bytes(run, at, at + new, NULL);
    block_trim(b);
}

void block_delete(struct list_object *o, struct list_block *b, uint64_t index, uint64_t count) {
    if (count == b->count) {
        block_drop(o, b);
        return;
    }
    struct bytes run = block_run(b);
    size_t from = block_place(b, index), to = from;
    if (index + count == b->count)
        to = run.len;
    for (uint64_t i = 0; i < count && to < run.len; i++)
        to = packed_next(run, to);
    b->listpack_bytes -= list_listpack_bytes(run, from, to, NULL);
    if (index == 0)
        b->gap += (uint32_t)(to - from);
    else
        memmove(b->data + b->gap + from, b->data + b->gap + to, run.len - to);
    b->len -= to - from;
    b->count -= (uint32_t)count;
    o->count -= count;
    run_set_count(b->data + b->gap, b->count);
    block_trim(b);
}

uint64_t block_delete_equal(struct list_object *o, struct list_block *b, struct bytes text,
                            uint64_t max, enum list_end from) {
    uint64_t found = max == UINT64_MAX ? max : list_run_count_equal(block_run(b), text);
    uint64_t skip = from == LIST_BACK && found > max ? found - max : 0;
    uint64_t taken = list_run_delete_equal(b->data + b->gap, &b->len, text, skip, max);
    if (taken == 0)
        return 0;
    o->count -= b->count;
    block_measure(o, b);
    if (b->count == 0)
        block_drop(o, b);
    else
        block_trim(b);
    return taken;
}

struct list_block *block_split(struct list_object *o, struct list_block *b, size_t at) {
    struct bytes run = block_run(b);
    struct list_block *behind = block_add(o, b, run, at, run.len);
    b->len = at;
    b->count -= behind->count;
    b->listpack_bytes -= behind->listpack_bytes - LISTPACK_FRAME;
    o->count -= behind->count;
    run_set_count(b->data + b->gap, b->count);
    block_trim(b);
    return behind;
}

/* ---- joining ---- */

/* Append the elements of the block after b to it, if they fit. */
static bool block_join_next(struct list_object *o, struct list_block *b,
                            const struct list_limit *limit) {
    struct list_block *next = b != NULL ? b->next : NULL;
    if (next == NULL ||
        list_exceeds(limit, b->listpack_bytes + next->listpack_bytes - LISTPACK_FRAME,
                     (uint64_t)b->count + next->count))
        return false;
    size_t more = next->len - PACKED_HEADER;
    block_reserve(b, LIST_BACK, more);
    memcpy(b->data + b->gap + b->len, next->data + next->gap + PACKED_HEADER, more);
    b->len += more;
    b->count += next->count;
    b->listpack_bytes += next->listpack_bytes - LISTPACK_FRAME;
    o->count += next->count; /* counted in b from here on */
    run_set_count(b->data + b->gap, b->count);
    block_drop(o, next);
    return true;
}

void block_merge_around(struct list_object *o, struct list_block *b,
                        const struct list_limit *limit) {
    struct list_block *prev = b->prev;
    if (prev != NULL && prev->prev != NULL && block_join_next(o, prev->prev, limit))
        prev = b->prev;
    block_join_next(o, b->next, limit);
    if (block_join_next(o, prev, limit))
        b = prev;
    block_join_next(o, b, limit);
}
