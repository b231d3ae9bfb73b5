/* packed.c - see packed.h for the layout. Functions that read trust the bytes; packed_valid() is what
 * makes bytes from outside trustworthy, and reads nothing that it has not checked. */
#include "worker/types/packed.h"

#include "shared/base/panic.h"

enum {
    HEAD_TEXT6_MAX = 0x3F,
    HEAD_TEXT14 = 0x40,
    HEAD_TEXT14_MAX = 0x7F,
    HEAD_TEXT32 = 0x80,
    HEAD_INT8 = 0x81,
    HEAD_INT64 = 0x84,
    HEAD_SMALL = 0x90,
    SMALL_MIN = -1,
    SMALL_MAX = SMALL_MIN + (0xFF - HEAD_SMALL),
    BACK_BYTES_MAX = 5
};

static uint8_t byte_at(struct bytes packed, size_t at) {
    return (uint8_t)packed.ptr[at];
}

static uint64_t read_le(const char *from, uint32_t bytes) {
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint64_t)(uint8_t)from[i] << (8 * i);
    return value;
}

static void write_le(uint8_t *to, uint64_t value, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
}

static void encode_integer(int64_t number, struct packed_encoded *e) {
    e->text = bytes_of(NULL, 0);
    if (number >= SMALL_MIN && number <= SMALL_MAX) {
        e->head[0] = (uint8_t)(HEAD_SMALL + (number - SMALL_MIN));
        e->head_bytes = 1;
        return;
    }
    uint32_t log2_bytes = number == (int8_t)number    ? 0
                          : number == (int16_t)number ? 1
                          : number == (int32_t)number ? 2
                                                      : 3;
    e->head[0] = (uint8_t)(HEAD_INT8 + log2_bytes);
    write_le(e->head + 1, (uint64_t)number, 1u << log2_bytes);
    e->head_bytes = (uint8_t)(1 + (1u << log2_bytes));
}

void packed_encode(struct bytes text, struct packed_encoded *e) {
    int64_t number;
    if (text.len < BYTES_I64_MAX && bytes_to_i64(text, &number)) {
        encode_integer(number, e);
        return;
    }
    ASSERT(text.len <= UINT32_MAX);
    e->text = text;
    if (text.len <= HEAD_TEXT6_MAX) {
        e->head[0] = (uint8_t)text.len;
        e->head_bytes = 1;
    } else if (text.len < 1 << 14) {
        e->head[0] = (uint8_t)(HEAD_TEXT14 | (text.len >> 8));
        e->head[1] = (uint8_t)text.len;
        e->head_bytes = 2;
    } else {
        e->head[0] = HEAD_TEXT32;
        write_le(e->head + 1, text.len, 4);
        e->head_bytes = 5;
    }
}

/* Bytes the head takes, and how many characters follow it. */
static uint32_t head_bytes_of(uint8_t head) {
    if (head <= HEAD_TEXT6_MAX || head >= HEAD_SMALL)
        return 1;
    if (head <= HEAD_TEXT14_MAX)
        return 2;
    return head == HEAD_TEXT32 ? 5 : 1 + (1u << (head - HEAD_INT8));
}

static size_t text_bytes_of(struct bytes packed, size_t at) {
    uint8_t head = byte_at(packed, at);
    if (head <= HEAD_TEXT6_MAX)
        return head;
    if (head <= HEAD_TEXT14_MAX)
        return (size_t)(head & 0x3F) << 8 | byte_at(packed, at + 1);
    return head == HEAD_TEXT32 ? read_le(packed.ptr + at + 1, 4) : 0;
}

static uint32_t back_bytes_of(size_t length) {
    uint32_t bytes = 1;
    while (length >>= 7)
        bytes++;
    return bytes;
}

static void write_back(uint8_t *to, size_t length, uint32_t bytes) {
    for (uint32_t i = bytes; i-- > 0; length >>= 7)
        to[i] = (uint8_t)((length & 0x7F) | (i > 0 ? 0x80 : 0));
}

size_t packed_encoded_bytes(const struct packed_encoded *e) {
    size_t body = packed_body_bytes(e);
    return body + back_bytes_of(body);
}

void packed_body_write(const struct packed_encoded *e, char *to) {
    memcpy(to, e->head, e->head_bytes);
    if (e->text.len > 0)
        memcpy(to + e->head_bytes, e->text.ptr, e->text.len);
}

void packed_encoded_write(const struct packed_encoded *e, char *to) {
    size_t body = packed_body_bytes(e);
    packed_body_write(e, to);
    write_back((uint8_t *)to + body, body, back_bytes_of(body));
}

/* ---- the count ---- */

static uint32_t stored_count(struct bytes packed) {
    return (uint32_t)read_le(packed.ptr, PACKED_HEADER);
}

static void store_count(struct buf *packed, uint64_t count) {
    uint64_t stored = count < PACKED_COUNT_UNKNOWN ? count : PACKED_COUNT_UNKNOWN;
    write_le((uint8_t *)packed->data, stored, PACKED_HEADER);
}

void packed_init(struct buf *out) {
    buf_clear(out);
    buf_append(out, "\0\0", PACKED_HEADER);
}

uint64_t packed_count(struct bytes packed) {
    uint64_t count = stored_count(packed);
    if (count < PACKED_COUNT_UNKNOWN)
        return count;
    count = 0;
    for (size_t at = packed_first(packed); at < packed.len; at = packed_next(packed, at))
        count++;
    return count;
}

/* ---- reading ---- */

/* Short texts and small integers, which is nearly all there is, without a look at anything else. */
static inline size_t next(struct bytes packed, size_t at) {
    uint8_t head = byte_at(packed, at);
    if (head <= HEAD_TEXT6_MAX)
        return at + 1 + head + 1;
    if (head >= HEAD_SMALL)
        return at + 1 + 1;
    size_t body = head_bytes_of(head) + text_bytes_of(packed, at);
    return at + body + back_bytes_of(body);
}

size_t packed_next(struct bytes packed, size_t at) {
    return next(packed, at);
}

size_t packed_prev(struct bytes packed, size_t at) {
    if (at <= PACKED_HEADER)
        return 0;
    size_t body = 0, end = at;
    uint32_t shift = 0;
    uint8_t byte;
    do {
        byte = byte_at(packed, --end);
        body |= (size_t)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    return end - body;
}

size_t packed_index(struct bytes packed, int64_t index) {
    if (index < 0) {
        size_t back = packed_prev(packed, packed.len);
        while (back != 0 && ++index < 0)
            back = packed_prev(packed, back);
        return back == 0 ? packed.len : back;
    }
    size_t at = packed_first(packed);
    while (at < packed.len && index-- > 0)
        at = packed_next(packed, at);
    return at;
}

void packed_get(struct bytes packed, size_t at, struct packed_element *element_r) {
    uint8_t head = byte_at(packed, at);
    element_r->is_integer = head > HEAD_TEXT32;
    if (!element_r->is_integer) {
        size_t head_bytes = head_bytes_of(head);
        element_r->text = bytes_of(packed.ptr + at + head_bytes, text_bytes_of(packed, at));
    } else if (head >= HEAD_SMALL) {
        element_r->number = head - HEAD_SMALL + SMALL_MIN;
    } else {
        uint32_t bytes = 1u << (head - HEAD_INT8), unused_bits = 64 - 8 * bytes;
        uint64_t raw = read_le(packed.ptr + at + 1, bytes) << unused_bits;
        element_r->number = (int64_t)raw >> unused_bits;
    }
}

size_t packed_body_read(const char *from, struct packed_element *element_r) {
    struct bytes body = bytes_of(from, SIZE_MAX);
    packed_get(body, 0, element_r);
    return head_bytes_of(byte_at(body, 0)) + text_bytes_of(body, 0);
}

struct bytes packed_text(struct bytes packed, size_t at, char *digits) {
    struct packed_element element;
    packed_get(packed, at, &element);
    if (!element.is_integer)
        return element.text;
    return bytes_of(digits, bytes_from_i64(digits, element.number));
}

/* Equal texts have equal heads, so a comparison of the bytes as stored is enough. Fields of one
 * collection are often of one length and differ at the end: the last byte is looked at first. */
static inline bool element_is(struct bytes packed, size_t at, const struct packed_encoded *needle) {
    if (byte_at(packed, at) != needle->head[0])
        return false;
    size_t text_len = needle->text.len;
    if (text_len > 0 && needle->head_bytes == 1 &&
        packed.ptr[at + text_len] != needle->text.ptr[text_len - 1])
        return false;
    return memcmp(packed.ptr + at, needle->head, needle->head_bytes) == 0 &&
           (needle->text.len == 0 ||
            memcmp(packed.ptr + at + needle->head_bytes, needle->text.ptr, needle->text.len) == 0);
}

size_t packed_find(struct bytes packed, size_t from, struct bytes text, uint32_t stride) {
    struct packed_encoded needle;
    if (text.len > UINT32_MAX)
        return packed.len;
    packed_encode(text, &needle);
    size_t at = from;
    while (at < packed.len) {
        if (element_is(packed, at, &needle))
            return at;
        for (uint32_t i = 0; i < stride && at < packed.len; i++)
            at = next(packed, at);
    }
    return packed.len;
}

/* ---- changing ---- */

/* Make the `old` bytes at `at` give way to `new` bytes; returns where to write them. */
static char *make_room(struct buf *packed, size_t at, size_t old, size_t new) {
    if (new > old)
        buf_reserve(packed, new - old);
    memmove(packed->data + at + new, packed->data + at + old, packed->len - at - old);
    packed->len = packed->len - old + new;
    return packed->data + at;
}

static void count_add(struct buf *packed, int64_t change) {
    uint64_t count = stored_count(buf_bytes(packed));
    if (count < PACKED_COUNT_UNKNOWN)
        store_count(packed, count + (uint64_t)change);
}

void packed_insert(struct buf *packed, size_t at, struct bytes text) {
    struct packed_encoded e;
    packed_encode(text, &e);
    packed_encoded_write(&e, make_room(packed, at, 0, packed_encoded_bytes(&e)));
    count_add(packed, 1);
}

void packed_append(struct buf *packed, struct bytes text) {
    packed_insert(packed, packed->len, text);
}

void packed_replace(struct buf *packed, size_t at, struct bytes text) {
    struct packed_encoded e;
    packed_encode(text, &e);
    size_t old = packed_next(buf_bytes(packed), at) - at;
    packed_encoded_write(&e, make_room(packed, at, old, packed_encoded_bytes(&e)));
}

void packed_delete(struct buf *packed, size_t at, uint64_t count) {
    size_t end = at;
    int64_t taken = 0;
    for (; count > 0 && end < packed->len; count--, taken++)
        end = packed_next(buf_bytes(packed), end);
    make_room(packed, at, end - at, 0);
    count_add(packed, -taken);
}

/* ---- checking ---- */

/* Length of the element at `at`, or 0 if it is not whole and right. */
static size_t valid_element(struct bytes packed, size_t at) {
    size_t room = packed.len - at;
    uint8_t head = byte_at(packed, at);
    if (head > HEAD_INT64 && head < HEAD_SMALL)
        return 0;
    size_t head_bytes = head_bytes_of(head);
    if (head_bytes > room)
        return 0;
    size_t text_bytes = text_bytes_of(packed, at);
    if (text_bytes > room - head_bytes)
        return 0;
    size_t body = head_bytes + text_bytes;
    uint32_t back_bytes = back_bytes_of(body);
    if (back_bytes > room - body)
        return 0;
    uint8_t back[BACK_BYTES_MAX];
    write_back(back, body, back_bytes);
    return memcmp(packed.ptr + at + body, back, back_bytes) == 0 ? body + back_bytes : 0;
}

bool packed_valid(struct bytes packed, uint64_t *count_r) {
    if (packed.len < PACKED_HEADER)
        return false;
    uint64_t count = 0;
    for (size_t at = PACKED_HEADER; at < packed.len; count++) {
        size_t bytes = valid_element(packed, at);
        if (bytes == 0)
            return false;
        at += bytes;
    }
    if (count_r != NULL)
        *count_r = count;
    uint64_t stored = stored_count(packed);
    return stored == PACKED_COUNT_UNKNOWN || stored == count;
}
