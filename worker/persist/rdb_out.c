/* rdb_out.c - the primitives of RDB on their way out: lengths, integers, strings.
 *
 *   buf --(a block is full)--> CRC-64 --> write(2) --(every few MB)--> writeback started
 *
 * Fails by keeping the first errno in out->error; the caller looks once, at the end. */
#include "worker/persist/rdb_private.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <liblzf/lzf.h>
#include <unistd.h>

enum {
    LEN_14BIT = 0x40,
    LEN_32BIT = 0x80,
    LEN_64BIT = 0x81,
    STRING_INT8 = 0xC0,
    STRING_INT16 = 0xC1,
    STRING_INT32 = 0xC2,
    STRING_LZF = 0xC3,
    INTEGER_TEXT_MAX = 11, /* "-2147483648" */
    LZF_MIN = 20           /* shorter strings do not shrink */
};

static void write_all(struct rdb_out *out, const char *data, size_t len) {
    out->crc = crc64(out->crc, data, len);
    while (len > 0 && out->error == 0) {
        ssize_t n = write(out->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            out->error = n < 0 ? errno : ENOSPC;
            return;
        }
        data += n;
        len -= (size_t)n;
        out->written += (uint64_t)n;
    }
}

/* Keeps the amount of dirty pages small, so that the fsync at the end is short and other writers of
 * the disk are not held up by it. Errors show in that fsync. */
static void start_writeback(struct rdb_out *out) {
    if (out->written - out->synced_to < RDB_OUT_SYNC_STEP)
        return;
    if (out->synced_to >= RDB_OUT_SYNC_STEP)
        (void)sync_file_range(
            out->fd, (off_t)(out->synced_to - RDB_OUT_SYNC_STEP), RDB_OUT_SYNC_STEP,
            SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    (void)sync_file_range(out->fd, (off_t)out->synced_to, (off_t)(out->written - out->synced_to),
                          SYNC_FILE_RANGE_WRITE);
    out->synced_to = out->written;
}

static void after_write(struct rdb_out *out) {
    start_writeback(out);
    if (out->drained != NULL)
        out->drained(out->arg, out->written);
}

void rdb_out_drain(struct rdb_out *out) {
    if (out->fd < 0 || out->buf->len == 0)
        return;
    write_all(out, out->buf->data, out->buf->len);
    buf_clear(out->buf);
    after_write(out);
}

/* A long run goes past the buffer, in steps that keep the progress callback going. */
static void put_bytes(struct rdb_out *out, struct bytes data) {
    if (out->fd < 0 || data.len < RDB_OUT_BLOCK) {
        buf_append_bytes(out->buf, data);
        return;
    }
    rdb_out_drain(out);
    while (data.len > 0) {
        size_t step = data.len < RDB_OUT_SYNC_STEP ? data.len : RDB_OUT_SYNC_STEP;
        write_all(out, data.ptr, step);
        after_write(out);
        data = bytes_of(data.ptr + step, data.len - step);
    }
}

void rdb_put_byte(struct rdb_out *out, uint8_t byte) {
    buf_append(out->buf, &byte, 1);
}

void rdb_put_u64le(struct rdb_out *out, uint64_t value) {
    uint64_t le = htole64(value);
    buf_append(out->buf, &le, sizeof le);
}

void rdb_put_length(struct rdb_out *out, uint64_t length) {
    if (length < 64) {
        rdb_put_byte(out, (uint8_t)length);
    } else if (length < 16384) {
        uint8_t two[2] = {(uint8_t)(LEN_14BIT | (length >> 8)), (uint8_t)length};
        buf_append(out->buf, two, sizeof two);
    } else if (length <= UINT32_MAX) {
        uint32_t be = htobe32((uint32_t)length);
        rdb_put_byte(out, LEN_32BIT);
        buf_append(out->buf, &be, sizeof be);
    } else {
        uint64_t be = htobe64(length);
        rdb_put_byte(out, LEN_64BIT);
        buf_append(out->buf, &be, sizeof be);
    }
}

static bool put_as_integer(struct rdb_out *out, int64_t number) {
    if (number < INT32_MIN || number > INT32_MAX)
        return false;
    uint32_t le = htole32((uint32_t)(int32_t)number);
    size_t bytes = number >= INT8_MIN && number <= INT8_MAX     ? 1
                   : number >= INT16_MIN && number <= INT16_MAX ? 2
                                                                : 4;
    rdb_put_byte(out, bytes == 1 ? STRING_INT8 : bytes == 2 ? STRING_INT16 : STRING_INT32);
    buf_append(out->buf, &le, bytes);
    return true;
}

static bool put_compressed(struct rdb_out *out, struct bytes text) {
    if (text.len > UINT32_MAX)
        return false;
    size_t room = text.len - 4;
    char *packed = mem_try_alloc(room);
    if (packed == NULL)
        return false;
    unsigned int len = lzf_compress(text.ptr, (unsigned int)text.len, packed, (unsigned int)room);
    if (len > 0) {
        rdb_put_byte(out, STRING_LZF);
        rdb_put_length(out, len);
        rdb_put_length(out, text.len);
        put_bytes(out, bytes_of(packed, len));
    }
    mem_free(packed);
    return len > 0;
}

void rdb_put_string(struct rdb_out *out, struct bytes text) {
    int64_t number;
    if (text.len <= INTEGER_TEXT_MAX && bytes_to_i64(text, &number) && put_as_integer(out, number))
        return;
    if (out->compress && text.len > LZF_MIN && put_compressed(out, text))
        return;
    rdb_put_length(out, text.len);
    put_bytes(out, text);
}

void rdb_put_integer(struct rdb_out *out, int64_t number) {
    if (put_as_integer(out, number))
        return;
    char digits[BYTES_I64_MAX];
    size_t len = bytes_from_i64(digits, number);
    rdb_put_length(out, len);
    buf_append(out->buf, digits, len);
}
