/* buf.h - a growable byte buffer. Zero-initialised is empty and valid. */
#ifndef REMUDA_BASE_BUF_H
#define REMUDA_BASE_BUF_H
#include <stddef.h>
#include <stdint.h>
#include "shared/base/bytes.h"

struct buf {
    char *data;
    size_t len; /* bytes in use */
    size_t cap; /* bytes allocated */
};

/* Slow path of buf_reserve: grows by at least half. */
void buf_grow(struct buf *b, size_t more);
/* Room for `more` bytes at the end; returns where to write them. Commit by adding to b->len. */
static inline char *buf_reserve(struct buf *b, size_t more) {
    if (b->cap - b->len < more)
        buf_grow(b, more);
    return b->data + b->len;
}
static inline void buf_append(struct buf *b, const void *data, size_t len) {
    if (len == 0)
        return;
    char *to = buf_reserve(b, len);
    memcpy(to, data, len);
    b->len += len;
}
static inline void buf_append_bytes(struct buf *b, struct bytes data) {
    buf_append(b, data.ptr, data.len);
}
static inline void buf_append_text(struct buf *b, const char *text) {
    buf_append(b, text, strlen(text));
}
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Insert bytes at an offset, moving what follows. */
void buf_insert(struct buf *b, size_t at, const void *data, size_t len);
/* Drop the first `len` bytes (memmove). */
void buf_consume(struct buf *b, size_t len);
static inline void buf_clear(struct buf *b) {
    b->len = 0;
}
/* Give memory back if the buffer holds more than keep_bytes and uses little of it. */
void buf_shrink(struct buf *b, size_t keep_bytes);
void buf_free(struct buf *b);
static inline struct bytes buf_bytes(const struct buf *b) {
    return bytes_of(b->data, b->len);
}

#endif
