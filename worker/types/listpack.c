/* listpack.c - see listpack.h. Facts of the format: Redis 7.0.
 *
 *   0xxxxxxx          0..127            10xxxxxx        text of up to 63 bytes
 *   110xxxxx + 1      13 bits           1110xxxx + 1    text of up to 4095 bytes
 *   F1 F2 F3 F4       2, 3, 4, 8 bytes  F0 + 4          longer text */
#include "worker/types/listpack.h"

#include <string.h>

enum {
    TEXT6 = 0x80,
    INT13 = 0xC0,
    TEXT12 = 0xE0,
    TEXT32 = 0xF0,
    INT16 = 0xF1,
    INT24 = 0xF2,
    INT32 = 0xF3,
    INT64 = 0xF4,
    END = 0xFF,
    COUNT_UNKNOWN = 0xFFFF
};

static size_t put_le(uint8_t *to, uint64_t value, uint32_t bytes) {
    for (uint32_t i = 0; i < bytes; i++)
        to[i] = (uint8_t)(value >> (8 * i));
    return bytes;
}

static bool fits(int64_t number, uint32_t bits) {
    int64_t limit = INT64_C(1) << (bits - 1);
    return number >= -limit && number < limit;
}

/* Returns the length; at most 9 bytes. */
static size_t encode_integer(uint8_t *to, int64_t number) {
    if (number >= 0 && number <= 127) {
        to[0] = (uint8_t)number;
        return 1;
    }
    if (fits(number, 13)) {
        to[0] = (uint8_t)(INT13 | ((uint64_t)number >> 8 & 0x1F));
        to[1] = (uint8_t)number;
        return 2;
    }
    to[0] = fits(number, 16) ? INT16 : fits(number, 24) ? INT24 : fits(number, 32) ? INT32 : INT64;
    return 1 + put_le(to + 1, (uint64_t)number, to[0] == INT64 ? 8 : (uint32_t)(to[0] - INT16) + 2);
}

static size_t encode_text_head(uint8_t *to, size_t len) {
    if (len <= 63) {
        to[0] = (uint8_t)(TEXT6 | len);
        return 1;
    }
    if (len <= 4095) {
        to[0] = (uint8_t)(TEXT12 | len >> 8);
        to[1] = (uint8_t)len;
        return 2;
    }
    to[0] = TEXT32;
    return 1 + put_le(to + 1, len, 4);
}

/* The boundaries are Redis's; the largest numbers of two to four bytes are not used. */
static size_t size_bytes(size_t size) {
    return size <= 127 ? 1 : size < 16383 ? 2 : size < 2097151 ? 3 : size < 268435455 ? 4 : 5;
}

static void put_size(struct buf *out, size_t size) {
    uint8_t back[5];
    size_t bytes = size_bytes(size);
    for (size_t i = bytes; i-- > 0; size >>= 7)
        back[i] = (uint8_t)((size & 0x7F) | (i > 0 ? 0x80 : 0));
    buf_append(out, back, bytes);
}

size_t listpack_integer_bytes(int64_t number) {
    uint8_t encoded[LISTPACK_ELEMENT_MAX];
    size_t len = encode_integer(encoded, number);
    return len + size_bytes(len);
}

size_t listpack_bytes(struct bytes text) {
    int64_t number;
    if (text.len < BYTES_I64_MAX && bytes_to_i64(text, &number))
        return listpack_integer_bytes(number);
    uint8_t head[LISTPACK_ELEMENT_MAX];
    size_t len = encode_text_head(head, text.len) + text.len;
    return len + size_bytes(len);
}

size_t listpack_begin(struct buf *out) {
    static const char header[LISTPACK_FRAME_BYTES - 1];
    size_t begin = out->len;
    buf_append(out, header, sizeof header);
    return begin;
}

void listpack_put_integer(struct buf *out, int64_t number) {
    uint8_t encoded[LISTPACK_ELEMENT_MAX];
    size_t len = encode_integer(encoded, number);
    buf_append(out, encoded, len);
    put_size(out, len);
}

void listpack_put(struct buf *out, struct bytes text) {
    int64_t number;
    if (text.len < BYTES_I64_MAX && bytes_to_i64(text, &number)) {
        listpack_put_integer(out, number);
        return;
    }
    uint8_t head[LISTPACK_ELEMENT_MAX];
    size_t len = encode_text_head(head, text.len);
    buf_append(out, head, len);
    buf_append_bytes(out, text);
    put_size(out, len + text.len);
}

void listpack_end(struct buf *out, size_t begin, uint64_t elements) {
    uint8_t end = END;
    buf_append(out, &end, 1);
    uint8_t *header = (uint8_t *)out->data + begin;
    put_le(header, out->len - begin, 4);
    put_le(header + 4, elements < COUNT_UNKNOWN ? elements : COUNT_UNKNOWN, 2);
}
