/* rdb_value.c - one value in RDB form. The two tables are all there is to a type: how it is written
 * (one row a value type) and how each form found in files is read (one row a type byte).
 *
 * Fails with a text; a value half read is freed. */
#include "worker/persist/rdb_value.h"
#include "worker/persist/rdb_private.h"

#include "shared/base/crc.h"
#include "shared/base/panic.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

enum { TYPE_STRING = 0, TYPE_LIST = 1, TYPE_SET = 2, DUMP_TRAILER_BYTES = 10 };

/* ---- writing ---- */
static void put_string_value(struct rdb_out *out, const struct value *value) {
    char digits[BYTES_I64_MAX];
    rdb_put_string(out, value_string_bytes(value, digits));
}

struct rdb_written_type {
    uint8_t type;
    void (*put)(struct rdb_out *out, const struct value *value);
};
static const struct rdb_written_type written_types[VALUE_TYPE_COUNT] = {
    [VALUE_STRING] = {TYPE_STRING, put_string_value},
    [VALUE_LIST] = {TYPE_LIST, rdb_put_list},
    [VALUE_SET] = {TYPE_SET, rdb_put_set},
    [VALUE_ZSET] = {RDB_TYPE_ZSET_2, rdb_put_zset},
    [VALUE_HASH] = {RDB_TYPE_HASH, rdb_put_hash},
    [VALUE_STREAM] = {RDB_TYPE_STREAM_2, rdb_put_stream},
};

uint8_t rdb_type_of(const struct value *value) {
    ASSERT(written_types[value->type].put != NULL);
    if (rdb_needs_field_expiry(value))
        return RDB_TYPE_HASH_METADATA;
    return written_types[value->type].type;
}

void rdb_put_value(struct rdb_out *out, const struct value *value) {
    written_types[value->type].put(out, value);
    rdb_out_breathe(out);
}

/* ---- reading ---- */
static enum rdb_value_result get_string_value(struct rdb_in *in, const struct config *config,
                                              struct value *value_r) {
    struct bytes text;
    if (rdb_get_string(in, 0, &text) != 0)
        return RDB_VALUE_BAD;
    *value_r = value_string(text);
    return RDB_VALUE_OK;
}

struct rdb_read_type {
    const char *name;
    enum rdb_value_result (*get)(struct rdb_in *in, const struct config *config,
                                 struct value *value_r);
};
/* A row without a function is a form that is known and not supported. */
static const struct rdb_read_type read_types[] = {
    [TYPE_STRING] = {"string", get_string_value},
    [TYPE_LIST] = {"list", rdb_get_list},
    [TYPE_SET] = {"set", rdb_get_set},
    [3] = {"zset (scores as text)", rdb_get_zset_text},
    [RDB_TYPE_HASH] = {"hash", rdb_get_hash},
    [RDB_TYPE_ZSET_2] = {"zset", rdb_get_zset},
    [6] = {"module value (old form)", NULL},
    [7] = {"module value", NULL},
    [9] = {"hash (zipmap)", rdb_get_hash_zipmap},
    [10] = {"list (ziplist)", rdb_get_list_ziplist},
    [11] = {"set (intset)", rdb_get_set_intset},
    [12] = {"zset (ziplist)", rdb_get_zset_ziplist},
    [13] = {"hash (ziplist)", rdb_get_hash_ziplist},
    [14] = {"list (quicklist)", rdb_get_list_ziplists},
    [15] = {"stream (Redis 5)", rdb_get_stream},
    [16] = {"hash (listpack)", rdb_get_hash_listpack},
    [17] = {"zset (listpack)", rdb_get_zset_listpack},
    [18] = {"list (quicklist of listpacks)", rdb_get_list_nodes},
    [RDB_TYPE_STREAM_2] = {"stream", rdb_get_stream_2},
    [20] = {"set (listpack)", rdb_get_set_listpack},
    [21] = {"stream (Redis 7.2)", rdb_get_stream_3},
    [22] = {"hash with expiring fields (7.4 RC)", rdb_get_hash_timed_rc},
    [23] = {"hash with expiring fields (listpack, 7.4 RC)", rdb_get_hash_triples_rc},
    [RDB_TYPE_HASH_METADATA] = {"hash with expiring fields", rdb_get_hash_timed},
    [25] = {"hash with expiring fields (listpack)", rdb_get_hash_triples},
};

const char *rdb_type_name(uint8_t type) {
    return type < sizeof read_types / sizeof *read_types ? read_types[type].name : NULL;
}

enum rdb_value_result rdb_get_value(struct rdb_in *in, uint8_t type, const struct config *config,
                                    struct value *value_r) {
    const char *name = rdb_type_name(type);
    if (name == NULL)
        return rdb_fail(in, "0x%02x is no type of value", type);
    if (read_types[type].get == NULL)
        return rdb_fail(in, "values of type %s are not supported", name);
    return read_types[type].get(in, config, value_r);
}

/* ---- one value in memory ---- */
void rdb_value_write(struct buf *out, const struct value *value, bool compress) {
    struct rdb_out to = {.buf = out, .compress = compress, .fd = -1};
    rdb_put_byte(&to, rdb_type_of(value));
    rdb_put_value(&to, value);
}

static void string_into_scratch(struct value *value) {
    if (value->type != VALUE_STRING || !value_is_packed(value->encoding))
        return;
    struct buf *scratch = value_scratch();
    buf_clear(scratch);
    buf_append_bytes(scratch, value->packed);
    value->packed = buf_bytes(scratch);
}

static int read_whole(struct rdb_in *in, const struct config *config, struct value *value_r) {
    uint8_t type;
    if (rdb_get_byte(in, &type) != 0)
        return -1;
    enum rdb_value_result result = rdb_get_value(in, type, config, value_r);
    if (result == RDB_VALUE_EMPTY)
        return rdb_fail(in, "a %s without elements", rdb_type_name(type));
    if (result == RDB_VALUE_BAD)
        return -1;
    if (rdb_left(in) > 0) {
        value_free(value_r);
        return rdb_fail(in, "%llu bytes too many", (unsigned long long)rdb_left(in));
    }
    string_into_scratch(value_r);
    return 0;
}

int rdb_value_read(struct bytes data, const struct config *config, struct value *value_r,
                   char *error_r, size_t error_bytes) {
    struct rdb_in in;
    rdb_in_memory(&in, data, error_r, error_bytes);
    int result = read_whole(&in, config, value_r);
    rdb_in_free(&in);
    return result;
}

void rdb_dump(struct buf *out, const struct value *value) {
    size_t start = out->len;
    struct rdb_out to = {.buf = out, .compress = true, .fd = -1};
    rdb_value_write(out, value, true);
    unsigned version =
        rdb_needs_field_expiry(value) ? RDB_VERSION_FIELD_EXPIRY : RDB_VERSION_WRITTEN;
    rdb_put_byte(&to, version & 0xFF);
    rdb_put_byte(&to, (uint8_t)(version >> 8));
    rdb_put_u64le(&to, crc64(0, out->data + start, out->len - start));
}

int rdb_restore(struct bytes payload, const struct config *config, struct value *value_r,
                char *error_r, size_t error_bytes) {
    if (payload.len <= DUMP_TRAILER_BYTES) {
        snprintf(error_r, error_bytes, "payload of %zu bytes is too short", payload.len);
        return RDB_RESTORE_BAD_PAYLOAD;
    }
    size_t body = payload.len - DUMP_TRAILER_BYTES;
    const unsigned char *trailer = (const unsigned char *)payload.ptr + body;
    uint32_t version = trailer[0] | (uint32_t)trailer[1] << 8;
    uint64_t checksum;
    memcpy(&checksum, trailer + 2, sizeof checksum);
    if (version > RDB_VERSION_MAX || le64toh(checksum) != crc64(0, payload.ptr, body + 2)) {
        snprintf(error_r, error_bytes, "payload version %u or checksum are wrong", version);
        return RDB_RESTORE_BAD_PAYLOAD;
    }
    return rdb_value_read(bytes_of(payload.ptr, body), config, value_r, error_r, error_bytes);
}
