/* rdb_value.c - one value in RDB form. The two tables are all there is to a type: how it is written
 * (one row a value type) and how each form found in files is read (one row a type byte).
 *
 * Fails with a text; a value half read is freed. */
#include "worker/persist/rdb_value.h"
#include "worker/persist/rdb_private.h"

#include "shared/base/crc.h"
#include "shared/base/panic.h"
#include "worker/types/hash.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

enum { TYPE_STRING = 0, TYPE_LIST = 1, TYPE_SET = 2, TYPE_HASH = 4, DUMP_TRAILER_BYTES = 10 };

/* ---- writing ---- */
static void put_string_value(struct rdb_out *out, const struct value *value) {
    char digits[BYTES_I64_MAX];
    rdb_put_string(out, value_string_bytes(value, digits));
}

static void put_hash_value(struct rdb_out *out, const struct value *value) {
    struct hash_iterator it;
    struct bytes field, content;
    rdb_put_length(out, hash_count(value));
    hash_iterate(value, &it);
    while (hash_next(&it, &field, &content)) {
        rdb_put_string(out, field);
        rdb_put_string(out, content);
        rdb_out_breathe(out);
    }
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
    [VALUE_HASH] = {TYPE_HASH, put_hash_value},
    [VALUE_STREAM] = {RDB_TYPE_STREAM_2, rdb_put_stream},
};

uint8_t rdb_type_of(const struct value *value) {
    ASSERT(written_types[value->type].put != NULL);
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

static struct hash_limits limits_of(const struct config *config) {
    return (struct hash_limits){.packed_entries = (uint64_t)config->hash_max_listpack_entries,
                                .packed_bytes = (uint64_t)config->hash_max_listpack_value};
}

static int get_pair(struct rdb_in *in, struct value *hash, const struct hash_limits *limits) {
    struct bytes field, content;
    if (rdb_get_kept_string(in, &field) != 0 || rdb_get_string(in, 1, &content) != 0)
        return -1;
    return hash_set(hash, field, content, limits) ? 0 : rdb_fail(in, "a hash holds a field twice");
}

static enum rdb_value_result finish_hash(int error, struct value *hash, struct value *value_r) {
    if (error == 0 && hash_count(hash) > 0) {
        *value_r = *hash;
        return RDB_VALUE_OK;
    }
    hash_free(hash);
    return error == 0 ? RDB_VALUE_EMPTY : RDB_VALUE_BAD;
}

static enum rdb_value_result get_hash_pairs(struct rdb_in *in, const struct config *config,
                                            struct value *value_r) {
    uint64_t pairs;
    if (rdb_get_length(in, &pairs) != 0)
        return RDB_VALUE_BAD;
    if (pairs > rdb_left(in) / 2)
        return rdb_fail(in, "a hash of %llu fields does not fit what is left",
                        (unsigned long long)pairs);
    struct hash_limits limits = limits_of(config);
    struct value hash = hash_create();
    int error = 0;
    for (uint64_t i = 0; i < pairs && error == 0; i++)
        error = get_pair(in, &hash, &limits);
    return finish_hash(error, &hash, value_r);
}

/* The run itself may lie in the window: nothing is read from the file while it is walked. */
static int get_compact_pairs(struct rdb_in *in, struct compact *c, struct value *hash,
                             const struct hash_limits *limits) {
    struct bytes field, content;
    enum compact_result result;
    while ((result = compact_next(c, in->digits[0], &field)) == COMPACT_ELEMENT) {
        if (compact_next(c, in->digits[1], &content) != COMPACT_ELEMENT)
            return rdb_fail(in, "a packed hash is damaged");
        if (!hash_set(hash, field, content, limits))
            return rdb_fail(in, "a hash holds a field twice");
    }
    return result == COMPACT_END ? 0 : rdb_fail(in, "a packed hash is damaged");
}

static enum rdb_value_result get_hash_compact(struct rdb_in *in, const struct config *config,
                                              struct value *value_r, enum compact_form form) {
    struct bytes run;
    struct compact c;
    if (rdb_get_string(in, 0, &run) != 0)
        return RDB_VALUE_BAD;
    if (!compact_open(&c, form, run))
        return rdb_fail(in, "a packed hash has a wrong frame");
    struct hash_limits limits = limits_of(config);
    struct value hash = hash_create();
    return finish_hash(get_compact_pairs(in, &c, &hash, &limits), &hash, value_r);
}
static enum rdb_value_result get_hash_zipmap(struct rdb_in *in, const struct config *config,
                                             struct value *value_r) {
    return get_hash_compact(in, config, value_r, COMPACT_ZIPMAP);
}
static enum rdb_value_result get_hash_ziplist(struct rdb_in *in, const struct config *config,
                                              struct value *value_r) {
    return get_hash_compact(in, config, value_r, COMPACT_ZIPLIST);
}
static enum rdb_value_result get_hash_listpack(struct rdb_in *in, const struct config *config,
                                               struct value *value_r) {
    return get_hash_compact(in, config, value_r, COMPACT_LISTPACK);
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
    [TYPE_HASH] = {"hash", get_hash_pairs},
    [RDB_TYPE_ZSET_2] = {"zset", rdb_get_zset},
    [6] = {"module value (old form)", NULL},
    [7] = {"module value", NULL},
    [9] = {"hash (zipmap)", get_hash_zipmap},
    [10] = {"list (ziplist)", rdb_get_list_ziplist},
    [11] = {"set (intset)", rdb_get_set_intset},
    [12] = {"zset (ziplist)", rdb_get_zset_ziplist},
    [13] = {"hash (ziplist)", get_hash_ziplist},
    [14] = {"list (quicklist)", rdb_get_list_ziplists},
    [15] = {"stream (Redis 5)", rdb_get_stream},
    [16] = {"hash (listpack)", get_hash_listpack},
    [17] = {"zset (listpack)", rdb_get_zset_listpack},
    [18] = {"list (quicklist of listpacks)", rdb_get_list_nodes},
    [RDB_TYPE_STREAM_2] = {"stream", rdb_get_stream_2},
    [20] = {"set (listpack)", rdb_get_set_listpack},
    [21] = {"stream (Redis 7.2)", rdb_get_stream_3},
    [22] = {"hash with expiring fields", NULL},
    [23] = {"hash with expiring fields (listpack)", NULL},
    [24] = {"hash with expiring fields", NULL},
    [25] = {"hash with expiring fields (listpack)", NULL},
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
    rdb_put_byte(&to, RDB_VERSION_WRITTEN & 0xFF);
    rdb_put_byte(&to, RDB_VERSION_WRITTEN >> 8);
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
