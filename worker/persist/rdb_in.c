/* rdb_in.c - the primitives of RDB on their way in, from a file or from memory.
 *
 * Everything read is hostile: a length is believed only if so many bytes are left, an LZF string only
 * if its claimed size can come from so few bytes. Fails by rdb_fail(): the text names the offset. */
#include "worker/persist/rdb_private.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"

#include <endian.h>
#include <errno.h>
#include <liblzf/lzf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    WINDOW_BYTES = 256 * 1024,
    LZF_RATIO_MAX = 264, /* one reference of 2 or 3 bytes stands for at most 264 */
    LEN_SPECIAL = 3,
    SPECIAL_INT8 = 0,
    SPECIAL_INT16 = 1,
    SPECIAL_INT32 = 2,
    SPECIAL_LZF = 3
};

void rdb_in_memory(struct rdb_in *in, struct bytes data, char *error_r, size_t error_bytes) {
    *in = (struct rdb_in){.fd = -1,
                          .data = data.ptr,
                          .end = data.len,
                          .total = data.len,
                          .error = error_r,
                          .error_bytes = error_bytes};
}

void rdb_in_file(struct rdb_in *in, int fd, uint64_t total, char *error_r, size_t error_bytes) {
    *in = (struct rdb_in){.fd = fd, .total = total, .error = error_r, .error_bytes = error_bytes};
}

void rdb_in_free(struct rdb_in *in) {
    mem_free(in->window);
    buf_free(&in->text[0]);
    buf_free(&in->text[1]);
    in->window = NULL;
}

int rdb_fail(struct rdb_in *in, const char *format, ...) {
    if (in->failed)
        return -1;
    in->failed = true;
    int used =
        snprintf(in->error, in->error_bytes, "at byte %llu: ", (unsigned long long)rdb_offset(in));
    if (used < 0 || (size_t)used >= in->error_bytes)
        return -1;
    va_list args;
    va_start(args, format);
    vsnprintf(in->error + used, in->error_bytes - (size_t)used, format, args);
    va_end(args);
    return -1;
}

uint64_t rdb_in_crc(struct rdb_in *in) {
    in->crc = crc64(in->crc, in->data + in->crc_pos, in->pos - in->crc_pos);
    in->crc_pos = in->pos;
    return in->crc;
}

/* Move what is not consumed to the front of a window that holds `need` bytes. */
static int make_room(struct rdb_in *in, size_t need) {
    size_t rest = in->end - in->pos;
    if (in->pos > 0 || in->window == NULL)
        rdb_in_crc(in);
    if (need > in->window_cap) {
        size_t cap = need < WINDOW_BYTES ? WINDOW_BYTES : need;
        char *bigger = mem_try_alloc(cap);
        if (bigger == NULL)
            return rdb_fail(in, "no memory for a run of %zu bytes", need);
        if (rest > 0)
            memcpy(bigger, in->data + in->pos, rest);
        mem_free(in->window);
        in->window = bigger;
        in->window_cap = cap;
    } else if (rest > 0) {
        memmove(in->window, in->data + in->pos, rest);
    }
    in->window_offset += in->pos;
    in->data = in->window;
    in->pos = in->crc_pos = 0;
    in->end = rest;
    return 0;
}

static int fill(struct rdb_in *in, size_t need) {
    if (make_room(in, need) != 0)
        return -1;
    while (in->end < need) {
        ssize_t n = read(in->fd, in->window + in->end, in->window_cap - in->end);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return rdb_fail(in, "read failed: %s", strerror(errno));
        if (n == 0)
            return rdb_fail(in, "the file became shorter while it was read");
        in->end += (size_t)n;
    }
    if (in->refilled != NULL)
        in->refilled(in->arg, in->window_offset);
    return 0;
}

const char *rdb_get(struct rdb_in *in, uint64_t bytes) {
    if (in->failed)
        return NULL;
    if (in->end - in->pos < bytes) {
        if (bytes > rdb_left(in)) {
            rdb_fail(in, "%llu bytes are announced, %llu are left", (unsigned long long)bytes,
                     (unsigned long long)rdb_left(in));
            return NULL;
        }
        if (fill(in, (size_t)bytes) != 0)
            return NULL;
    }
    const char *at = in->data + in->pos;
    in->pos += (size_t)bytes;
    return at;
}

int rdb_get_byte(struct rdb_in *in, uint8_t *byte_r) {
    const char *at = rdb_get(in, 1);
    if (at == NULL)
        return -1;
    *byte_r = (uint8_t)*at;
    return 0;
}

int rdb_get_u64le(struct rdb_in *in, uint64_t *value_r) {
    const char *at = rdb_get(in, 8);
    if (at == NULL)
        return -1;
    uint64_t le;
    memcpy(&le, at, sizeof le);
    *value_r = le64toh(le);
    return 0;
}

static int get_big_endian(struct rdb_in *in, size_t bytes, uint64_t *value_r) {
    const unsigned char *at = (const unsigned char *)rdb_get(in, bytes);
    if (at == NULL)
        return -1;
    *value_r = 0;
    for (size_t i = 0; i < bytes; i++)
        *value_r = *value_r << 8 | at[i];
    return 0;
}

/* A length, or the number of a special string form (then *special_r is true). */
static int get_length_or_special(struct rdb_in *in, uint64_t *length_r, bool *special_r) {
    uint8_t first, second;
    *special_r = false;
    if (rdb_get_byte(in, &first) != 0)
        return -1;
    switch (first >> 6) {
    case 0: *length_r = first; return 0;
    case 1:
        if (rdb_get_byte(in, &second) != 0)
            return -1;
        *length_r = (uint64_t)(first & 63) << 8 | second;
        return 0;
    case LEN_SPECIAL:
        *special_r = true;
        *length_r = first & 63;
        return 0;
    }
    if (first != 0x80 && first != 0x81)
        return rdb_fail(in, "0x%02x does not begin a length", first);
    return get_big_endian(in, first == 0x80 ? 4 : 8, length_r);
}

int rdb_get_length(struct rdb_in *in, uint64_t *length_r) {
    bool special;
    if (get_length_or_special(in, length_r, &special) != 0)
        return -1;
    return special ? rdb_fail(in, "a string form stands where a length belongs") : 0;
}

static int get_integer_text(struct rdb_in *in, uint64_t form, uint32_t slot, struct bytes *text_r) {
    size_t bytes = (size_t)1 << form;
    const unsigned char *at = (const unsigned char *)rdb_get(in, bytes);
    if (at == NULL)
        return -1;
    uint32_t raw = 0;
    for (size_t i = 0; i < bytes; i++)
        raw |= (uint32_t)at[i] << (8 * i);
    int64_t number = form == SPECIAL_INT8    ? (int8_t)raw
                     : form == SPECIAL_INT16 ? (int16_t)raw
                                             : (int32_t)raw;
    *text_r = bytes_of(in->digits[slot], bytes_from_i64(in->digits[slot], number));
    return 0;
}

/* A buffer of a size that came from the file: no memory for it is the file's fault, not ours. */
static int text_room(struct rdb_in *in, struct buf *text, uint64_t bytes) {
    buf_clear(text);
    if (text->cap >= bytes)
        return 0;
    char *data = mem_try_alloc((size_t)bytes);
    if (data == NULL)
        return rdb_fail(in, "no memory for a string of %llu bytes", (unsigned long long)bytes);
    buf_free(text);
    text->data = data;
    text->cap = (size_t)bytes;
    return 0;
}

static int get_lzf(struct rdb_in *in, uint32_t slot, struct bytes *text_r) {
    uint64_t packed_len, len;
    if (rdb_get_length(in, &packed_len) != 0 || rdb_get_length(in, &len) != 0)
        return -1;
    const char *packed = rdb_get(in, packed_len);
    if (packed == NULL)
        return -1;
    if (packed_len == 0 || len == 0 || packed_len > UINT32_MAX || len > UINT32_MAX ||
        len / LZF_RATIO_MAX > packed_len)
        return rdb_fail(in, "compressed string of %llu bytes claims to hold %llu",
                        (unsigned long long)packed_len, (unsigned long long)len);
    struct buf *text = &in->text[slot];
    if (text_room(in, text, len) != 0)
        return -1;
    unsigned int got =
        lzf_decompress(packed, (unsigned int)packed_len, text->data, (unsigned int)len);
    if (got != len)
        return rdb_fail(in, "compressed string does not unpack to %llu bytes",
                        (unsigned long long)len);
    text->len = len;
    *text_r = buf_bytes(text);
    return 0;
}

int rdb_get_string(struct rdb_in *in, uint32_t slot, struct bytes *text_r) {
    uint64_t length;
    bool special;
    if (get_length_or_special(in, &length, &special) != 0)
        return -1;
    if (special && length <= SPECIAL_INT32)
        return get_integer_text(in, length, slot, text_r);
    if (special && length == SPECIAL_LZF)
        return get_lzf(in, slot, text_r);
    if (special)
        return rdb_fail(in, "unknown string form %llu", (unsigned long long)length);
    const char *at = rdb_get(in, length);
    if (at == NULL)
        return -1;
    *text_r = bytes_of(at, (size_t)length);
    return 0;
}

int rdb_get_kept_string(struct rdb_in *in, struct bytes *text_r) {
    if (rdb_get_string(in, 0, text_r) != 0)
        return -1;
    struct buf *aside = &in->text[0];
    if (text_r->ptr != aside->data && text_r->ptr != in->digits[0]) {
        buf_clear(aside);
        buf_append_bytes(aside, *text_r);
        *text_r = buf_bytes(aside);
    }
    return 0;
}

int rdb_skip_string(struct rdb_in *in) {
    struct bytes text;
    return rdb_get_string(in, 0, &text);
}
