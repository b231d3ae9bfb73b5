/* stream_block.c - see stream_block.h. What is in a block was written here, so that reading trusts it. */
#include "worker/types/stream_block.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/listpack.h"
#include "worker/types/packed.h"

enum entry_head { DELETED = 1, SAME_FIELDS = 2, SAME_MS = 4, USUAL_SEQ = 8 };
enum { VARINT_MAX = 10, HEAD_MAX = 1 + 3 * VARINT_MAX, BACK_MAX = 5 };

/* ---- numbers ---- */

static size_t put_varint(char *to, uint64_t value) {
    size_t len = 0;
    for (; value > 0x7F; value >>= 7)
        to[len++] = (char)(value | 0x80);
    to[len++] = (char)value;
    return len;
}

static uint64_t get_varint(const char **at) {
    uint64_t value = 0;
    for (uint32_t shift = 0;; shift += 7) {
        unsigned char byte = (unsigned char)*(*at)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return value;
    }
}

static uint64_t zigzag(uint64_t difference) {
    return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}
static uint64_t unzigzag(uint64_t value) {
    return value >> 1 ^ (~(value & 1) + 1);
}

static size_t put_back(char *to, size_t length) {
    size_t bytes = 1;
    for (size_t rest = length; rest >>= 7;)
        bytes++;
    for (size_t i = bytes; i-- > 0; length >>= 7)
        to[i] = (char)((length & 0x7F) | (i > 0 ? 0x80 : 0));
    return bytes;
}

/* The back length that ends at `end`: length of the entry, itself included. */
static size_t get_back(const char *end) {
    size_t length = 0, bytes = 0;
    unsigned char byte;
    do {
        byte = (unsigned char)end[-1 - (ptrdiff_t)bytes];
        length |= (size_t)(byte & 0x7F) << (7 * bytes++);
    } while (byte & 0x80);
    return length + bytes;
}

/* ---- reading ---- */

static struct bytes element(const char **at, char *digits) {
    struct packed_element e;
    *at += packed_body_read(*at, &e);
    return e.is_integer ? bytes_of(digits, bytes_from_i64(digits, e.number)) : e.text;
}

static void skip_elements(const char **at, uint64_t count) {
    struct packed_element e;
    while (count-- > 0)
        *at += packed_body_read(*at, &e);
}

void stream_entry_pair(struct stream_entry *e, struct bytes *field_r, struct bytes *value_r) {
    *field_r = element(e->names != NULL ? &e->names : &e->elements, e->digits[0]);
    *value_r = element(&e->elements, e->digits[1]);
}

/* The head of the entry at `at`, and how its id differs from the one before. */
static void read_head(const struct stream_block *b, size_t at, struct stream_entry *e,
                      struct stream_id *step_r) {
    const char *from = b->data + at;
    unsigned char head = (unsigned char)*from++;
    *step_r = (struct stream_id){0, head & SAME_MS ? 1 : 0};
    if (!(head & SAME_MS))
        step_r->ms = get_varint(&from);
    if (!(head & USUAL_SEQ))
        step_r->seq = unzigzag(get_varint(&from));
    e->at = at;
    e->deleted = head & DELETED;
    e->pairs = head & SAME_FIELDS ? b->names : (uint32_t)get_varint(&from);
    e->names = head & SAME_FIELDS ? b->data : NULL;
    e->elements = from;
}

struct stream_block_cursor stream_block_first(const struct stream_block *b,
                                              struct stream_id first) {
    return (struct stream_block_cursor){b, b->entries_at, {first.ms, first.seq - 1}};
}

struct stream_block_cursor stream_block_last(const struct stream_block *b) {
    return (struct stream_block_cursor){b, b->used, b->last};
}

bool stream_block_next(struct stream_block_cursor *c, struct stream_entry *e) {
    if (c->block == NULL || c->at >= c->block->used)
        return false;
    struct stream_id step;
    read_head(c->block, c->at, e, &step);
    c->id = e->id = (struct stream_id){c->id.ms + step.ms, c->id.seq + step.seq};
    const char *end = e->elements;
    skip_elements(&end, e->names != NULL ? e->pairs : 2 * (uint64_t)e->pairs);
    char back[BACK_MAX];
    size_t length = (size_t)(end - (c->block->data + c->at));
    c->at += length + put_back(back, length);
    return true;
}

bool stream_block_prev(struct stream_block_cursor *c, struct stream_entry *e) {
    if (c->block == NULL || c->at <= c->block->entries_at)
        return false;
    struct stream_id step;
    c->at -= get_back(c->block->data + c->at);
    read_head(c->block, c->at, e, &step);
    e->id = c->id;
    c->id = (struct stream_id){c->id.ms - step.ms, c->id.seq - step.seq};
    return true;
}

/* ---- writing ---- */

static struct stream_block *resize(struct stream_block *b, size_t room) {
    b = mem_realloc(b, sizeof(*b) + room);
    b->room = (uint32_t)(mem_usable(b) - sizeof(*b));
    return b;
}

static struct stream_block *reserve(struct stream_block *b, size_t more) {
    if (b->room - b->used >= more)
        return b;
    size_t need = b->used + more, half_more = b->used + b->used / 2;
    return resize(b, need > half_more ? need : half_more);
}

static struct stream_block *put_element(struct stream_block *b, struct bytes text) {
    struct packed_encoded e;
    packed_encode(text, &e);
    size_t bytes = packed_body_bytes(&e);
    b = reserve(b, bytes + BACK_MAX);
    packed_body_write(&e, b->data + b->used);
    b->used += (uint32_t)bytes;
    return b;
}

struct stream_block *stream_block_create(const struct bytes *argv, uint32_t pairs) {
    struct stream_block *b = mem_alloc(sizeof(*b));
    *b = (struct stream_block){.names = pairs};
    b->listpack_bytes = listpack_integer_bytes(pairs) + listpack_integer_bytes(0);
    for (uint32_t i = 0; i < pairs; i++) {
        b = put_element(b, argv[2 * i]);
        b->listpack_bytes += listpack_bytes(argv[2 * i]);
    }
    b->entries_at = b->used;
    return b;
}

static bool fields_are_names(const struct stream_block *b, const struct bytes *argv,
                             uint32_t pairs) {
    const char *at = b->data;
    char digits[BYTES_I64_MAX];
    if (pairs != b->names)
        return false;
    for (uint32_t i = 0; i < pairs; i++)
        if (!bytes_equal(element(&at, digits), argv[2 * i]))
            return false;
    return true;
}

/* What Redis's listpack would grow by: flags, two differences to the first id, the number of fields
 * and the fields unless they are the first entry's, the values, and how many elements all that is. */
static uint64_t listpack_growth(struct stream_id first, struct stream_id id,
                                const struct bytes *argv, uint32_t pairs, bool same) {
    uint64_t bytes = listpack_integer_bytes(0) +
                     listpack_integer_bytes((int64_t)(id.ms - first.ms)) +
                     listpack_integer_bytes((int64_t)(id.seq - first.seq));
    bytes += same ? listpack_integer_bytes(pairs + (int64_t)3)
                  : listpack_integer_bytes(pairs) + listpack_integer_bytes(2 * (int64_t)pairs + 4);
    for (uint32_t i = 0; i < pairs; i++)
        bytes += listpack_bytes(argv[2 * i + 1]) + (same ? 0 : listpack_bytes(argv[2 * i]));
    return bytes;
}

static struct stream_block *put_head(struct stream_block *b, struct stream_id before,
                                     struct stream_id id, uint32_t pairs, uint32_t head) {
    struct stream_id step = {id.ms - before.ms, id.seq - before.seq};
    head |= (step.ms == 0 ? SAME_MS : 0) | (step.seq == (step.ms == 0) ? USUAL_SEQ : 0);
    b = reserve(b, HEAD_MAX + BACK_MAX);
    char *to = b->data + b->used;
    *to++ = (char)head;
    if (!(head & SAME_MS))
        to += put_varint(to, step.ms);
    if (!(head & USUAL_SEQ))
        to += put_varint(to, zigzag(step.seq));
    if (!(head & SAME_FIELDS))
        to += put_varint(to, pairs);
    b->used = (uint32_t)(to - b->data);
    return b;
}

struct stream_block *stream_block_append(struct stream_block *b, struct stream_id first,
                                         struct stream_id id, const struct bytes *argv,
                                         uint32_t pairs, bool deleted) {
    bool is_first = b->used == b->entries_at;
    bool same = is_first || fields_are_names(b, argv, pairs);
    uint32_t start = b->used;
    struct stream_id before = is_first ? (struct stream_id){id.ms, id.seq - 1} : b->last;
    b->listpack_bytes += listpack_growth(first, id, argv, pairs, same);
    b = put_head(b, before, id, pairs, (deleted ? DELETED : 0) | (same ? SAME_FIELDS : 0));
    for (uint32_t i = 0; i < pairs; i++) {
        if (!same)
            b = put_element(b, argv[2 * i]);
        b = put_element(b, argv[2 * i + 1]);
    }
    b->used += (uint32_t)put_back(b->data + b->used, b->used - start);
    b->last = id;
    b->live += !deleted;
    b->deleted += deleted;
    return b;
}

void stream_block_delete(struct stream_block *b, const struct stream_entry *entry) {
    ASSERT(!(b->data[entry->at] & DELETED));
    b->data[entry->at] |= DELETED;
    b->live--;
    b->deleted++;
}

/* ---- the whole ---- */

struct stream_block *stream_block_seal(struct stream_block *b) {
    return resize(b, b->used);
}

struct stream_block *stream_block_copy(const struct stream_block *b) {
    size_t bytes = sizeof(*b) + b->used;
    struct stream_block *copy = mem_alloc(bytes);
    memcpy(copy, b, bytes);
    copy->room = (uint32_t)(mem_usable(copy) - sizeof(*b));
    return copy;
}

uint64_t stream_block_listpack_bytes(const struct stream_block *b) {
    return LISTPACK_FRAME_BYTES + listpack_integer_bytes(b->live) +
           listpack_integer_bytes(b->deleted) + b->listpack_bytes;
}
