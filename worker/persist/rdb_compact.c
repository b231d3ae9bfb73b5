/* rdb_compact.c - elements out of the packed runs that Redis writes small collections as.
 *
 *   ziplist   total:4 tail:4 count:2 { previous-size:1|5 encoding data } FF       (2.6 .. 6.2)
 *   listpack  total:4 count:2        { encoding data own-size:1..5 } FF           (7.0 ..)
 *   zipmap    count:1 { length:1|5 key  length:1|5 free:1 value unused } FF       (before 2.6)
 *
 * Hostile input: every redundant field must agree with what is found. Fails with COMPACT_BAD. */
#include "worker/persist/rdb_private.h"

enum { RUN_END = 0xFF, COUNT_UNKNOWN = 0xFFFF, ZIPMAP_LONG = 254 };

static uint64_t little_endian(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}
static uint64_t big_endian(const unsigned char *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}
static int64_t sign_extend(uint64_t value, uint32_t bits) {
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return (int64_t)((value ^ sign) - sign);
}

/* Bytes that may be used for elements: all but the end mark. */
static size_t room(const struct compact *c) {
    return (size_t)(c->end - c->at);
}

bool compact_open(struct compact *c, enum compact_form form, struct bytes data) {
    static const uint32_t header_bytes[] = {
        [COMPACT_ZIPLIST] = 10, [COMPACT_LISTPACK] = 6, [COMPACT_ZIPMAP] = 1};
    const unsigned char *begin = (const unsigned char *)data.ptr;
    uint32_t header = header_bytes[form];
    if (data.len < header + 1 || begin[data.len - 1] != RUN_END)
        return false;
    if (form != COMPACT_ZIPMAP && little_endian(begin, 4) != data.len)
        return false;
    *c = (struct compact){
        .form = form, .begin = begin, .at = begin + header, .end = begin + data.len - 1};
    return true;
}

/* The encoding of one element, taken apart: a string of `len` bytes at `data`, or an integer. */
struct element {
    bool is_integer;
    int64_t number;
    const unsigned char *data;
    uint64_t len;
    uint64_t bytes; /* encoding and data together */
};

static bool set_string(struct element *e, const unsigned char *at, size_t left, size_t header,
                       uint64_t len) {
    if (header > left || len > left - header)
        return false;
    *e = (struct element){.data = at + header, .len = len, .bytes = header + len};
    return true;
}
static bool set_integer(struct element *e, size_t left, uint64_t bytes, int64_t number) {
    *e = (struct element){.is_integer = true, .number = number, .bytes = bytes};
    return bytes <= left;
}
static bool set_wide_integer(struct element *e, const unsigned char *at, size_t left,
                             size_t width) {
    if (left < 1 + width)
        return false;
    return set_integer(e, left, 1 + width,
                       sign_extend(little_endian(at + 1, width), 8 * (uint32_t)width));
}

static bool ziplist_element(struct element *e, const unsigned char *at, size_t left) {
    uint8_t first = at[0];
    if (first < 0x40)
        return set_string(e, at, left, 1, first & 63);
    if (first < 0x80)
        return left >= 2 && set_string(e, at, left, 2, big_endian(at, 2) & 0x3FFF);
    if (first == 0x80)
        return left >= 5 && set_string(e, at, left, 5, big_endian(at + 1, 4));
    if (first >= 0xF1 && first <= 0xFD)
        return set_integer(e, left, 1, (first & 15) - 1);
    switch (first) {
    case 0xC0: return set_wide_integer(e, at, left, 2);
    case 0xD0: return set_wide_integer(e, at, left, 4);
    case 0xE0: return set_wide_integer(e, at, left, 8);
    case 0xF0: return set_wide_integer(e, at, left, 3);
    case 0xFE: return set_wide_integer(e, at, left, 1);
    }
    return false;
}

static bool listpack_element(struct element *e, const unsigned char *at, size_t left) {
    uint8_t first = at[0];
    if (first < 0x80)
        return set_integer(e, left, 1, first);
    if (first < 0xC0)
        return set_string(e, at, left, 1, first & 63);
    if (first < 0xE0)
        return left >= 2 && set_integer(e, left, 2, sign_extend(big_endian(at, 2) & 0x1FFF, 13));
    if (first < 0xF0)
        return left >= 2 && set_string(e, at, left, 2, big_endian(at, 2) & 0xFFF);
    switch (first) {
    case 0xF0: return left >= 5 && set_string(e, at, left, 5, little_endian(at + 1, 4));
    case 0xF1: return set_wide_integer(e, at, left, 2);
    case 0xF2: return set_wide_integer(e, at, left, 3);
    case 0xF3: return set_wide_integer(e, at, left, 4);
    case 0xF4: return set_wide_integer(e, at, left, 8);
    }
    return false;
}

static void give(struct compact *c, const struct element *e, char *digits,
                 struct bytes *element_r) {
    c->elements++;
    *element_r = e->is_integer ? bytes_of(digits, bytes_from_i64(digits, e->number))
                               : bytes_of((const char *)e->data, (size_t)e->len);
}

static enum compact_result ziplist_end(const struct compact *c) {
    uint64_t count = little_endian(c->begin + 8, 2);
    uint64_t tail = little_endian(c->begin + 4, 4);
    uint64_t last = (uint64_t)(c->at - c->begin) - c->previous_bytes;
    bool count_ok = count == c->elements || (count == COUNT_UNKNOWN && c->elements >= count);
    return count_ok && tail == last ? COMPACT_END : COMPACT_BAD;
}

static enum compact_result ziplist_next(struct compact *c, char *digits, struct bytes *element_r) {
    if (c->at == c->end)
        return ziplist_end(c);
    size_t header = c->at[0] < 254 ? 1 : 5;
    if (c->at[0] == RUN_END || room(c) <= header)
        return COMPACT_BAD;
    uint64_t previous = header == 1 ? c->at[0] : little_endian(c->at + 1, 4);
    struct element e;
    if (previous != c->previous_bytes || !ziplist_element(&e, c->at + header, room(c) - header))
        return COMPACT_BAD;
    give(c, &e, digits, element_r);
    c->previous_bytes = (uint32_t)(header + e.bytes);
    c->at += header + e.bytes;
    return COMPACT_ELEMENT;
}

/* An element's size stands behind it, seven bits a byte, to be read from its end. */
static size_t listpack_size_bytes(uint64_t size) {
    return size <= 127 ? 1 : size < 16383 ? 2 : size < 2097151 ? 3 : size < 268435455 ? 4 : 5;
}
static bool listpack_size_matches(const unsigned char *at, size_t bytes, uint64_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (i > 0 && !(at[i] & 0x80))
            return false;
        value = value << 7 | (at[i] & 0x7F);
    }
    return value == size && !(at[0] & 0x80);
}

static enum compact_result listpack_next(struct compact *c, char *digits, struct bytes *element_r) {
    if (c->at == c->end) {
        uint64_t count = little_endian(c->begin + 4, 2);
        return count == c->elements || count == COUNT_UNKNOWN ? COMPACT_END : COMPACT_BAD;
    }
    struct element e;
    if (!listpack_element(&e, c->at, room(c)))
        return COMPACT_BAD;
    size_t behind = listpack_size_bytes(e.bytes);
    if (room(c) - e.bytes < behind || !listpack_size_matches(c->at + e.bytes, behind, e.bytes))
        return COMPACT_BAD;
    give(c, &e, digits, element_r);
    c->at += e.bytes + behind;
    return COMPACT_ELEMENT;
}

static enum compact_result zipmap_next(struct compact *c, char *digits, struct bytes *element_r) {
    (void)digits;
    if (c->at == c->end) {
        uint64_t pairs = c->begin[0];
        bool known = pairs < ZIPMAP_LONG;
        return !c->is_value && (!known || pairs * 2 == c->elements) ? COMPACT_END : COMPACT_BAD;
    }
    size_t header = c->at[0] < ZIPMAP_LONG ? 1 : 5;
    size_t free_byte = c->is_value ? 1 : 0;
    if (c->at[0] == RUN_END || room(c) < header + free_byte)
        return COMPACT_BAD;
    uint64_t len = header == 1 ? c->at[0] : little_endian(c->at + 1, 4);
    uint64_t unused = c->is_value ? c->at[header] : 0;
    if (len + unused > room(c) - header - free_byte)
        return COMPACT_BAD;
    *element_r = bytes_of((const char *)c->at + header + free_byte, (size_t)len);
    c->at += header + free_byte + len + unused;
    c->is_value = !c->is_value;
    c->elements++;
    return COMPACT_ELEMENT;
}

enum compact_result compact_next(struct compact *c, char *digits, struct bytes *element_r) {
    static enum compact_result (*const next[])(struct compact *, char *, struct bytes *) = {
        [COMPACT_ZIPLIST] = ziplist_next,
        [COMPACT_LISTPACK] = listpack_next,
        [COMPACT_ZIPMAP] = zipmap_next};
    return next[c->form](c, digits, element_r);
}
