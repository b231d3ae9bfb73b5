/* buf.c - see buf.h. Sizes that would overflow are our own bug and panic: limits on what clients
 * send are kept by the callers. */
#include "shared/base/buf.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <stdarg.h>
#include <stdio.h>

enum { FIRST_BYTES = 64, PRINTF_GUESS = 128 };

void buf_grow(struct buf *b, size_t more) {
    size_t wanted;
    if (__builtin_add_overflow(b->len, more, &wanted) || wanted > SIZE_MAX / 4)
        PANIC("buffer of %zu bytes cannot grow by %zu", b->len, more);
    size_t cap = b->cap + b->cap / 2;
    if (cap < wanted)
        cap = wanted;
    if (cap < FIRST_BYTES)
        cap = FIRST_BYTES;
    b->data = mem_realloc(b->data, cap);
    b->cap = mem_usable(b->data);
}

void buf_printf(struct buf *b, const char *format, ...) {
    size_t room = PRINTF_GUESS;
    for (;;) {
        char *to = buf_reserve(b, room);
        va_list args;
        va_start(args, format);
        int len = vsnprintf(to, room, format, args);
        va_end(args);
        ASSERT(len >= 0);
        if ((size_t)len < room) {
            b->len += (size_t)len;
            return;
        }
        room = (size_t)len + 1;
    }
}

void buf_insert(struct buf *b, size_t at, const void *data, size_t len) {
    ASSERT(at <= b->len);
    if (len == 0)
        return;
    buf_reserve(b, len);
    memmove(b->data + at + len, b->data + at, b->len - at);
    memcpy(b->data + at, data, len);
    b->len += len;
}

void buf_consume(struct buf *b, size_t len) {
    ASSERT(len <= b->len);
    if (len == 0)
        return;
    b->len -= len;
    memmove(b->data, b->data + len, b->len);
}

void buf_shrink(struct buf *b, size_t keep_bytes) {
    if (b->cap <= keep_bytes || b->len > b->cap / 4)
        return;
    size_t cap = b->len > keep_bytes ? b->len : keep_bytes;
    if (cap == 0) {
        buf_free(b);
        return;
    }
    b->data = mem_realloc(b->data, cap);
    b->cap = mem_usable(b->data);
}

void buf_free(struct buf *b) {
    mem_free(b->data);
    *b = (struct buf){0};
}
