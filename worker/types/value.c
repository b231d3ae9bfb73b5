/* value.c - what all types of values have in common. What differs is one row a type. */
#include "worker/types/value.h"
#include "shared/base/panic.h"
#include "worker/types/hash.h"
#include "worker/types/list.h"
#include "worker/types/set.h"
#include "worker/types/stream.h"
#include "worker/types/zset.h"

static const char *const type_names[VALUE_TYPE_COUNT] = {
#define X(type, name) [VALUE_##type] = name,
    VALUE_TYPES(X)
#undef X
};

static const char *const encoding_names[ENCODING_COUNT] = {
#define X(encoding, name) [ENCODING_##encoding] = name,
    VALUE_ENCODINGS(X)
#undef X
};

/* For the values of a type that are objects. A type without a row has none. */
static const struct {
    void (*free)(struct value *value);
    uint64_t (*count)(const struct value *value);
    size_t (*object_bytes)(const struct value *value, uint32_t samples);
    struct value (*copy)(const struct value *value);
} type_rows[VALUE_TYPE_COUNT] = {
    [VALUE_LIST] = {list_free, list_count, list_object_bytes, list_copy},
    [VALUE_SET] = {set_free, set_count, set_object_bytes, set_copy},
    [VALUE_ZSET] = {zset_free, zset_count, zset_object_bytes, zset_copy},
    [VALUE_HASH] = {hash_free, hash_count, hash_object_bytes, hash_copy},
    [VALUE_STREAM] = {stream_free, stream_cost, stream_object_bytes, stream_copy},
};

const char *value_type_name(enum value_type type) {
    return type_names[type];
}

const char *value_encoding_name(enum value_encoding encoding) {
    return encoding_names[encoding];
}

struct value value_integer(int64_t number) {
    return (struct value){.type = VALUE_STRING, .encoding = ENCODING_INT, .number = number};
}

struct value value_string(struct bytes text) {
    int64_t number;
    if (text.len < BYTES_I64_MAX && bytes_to_i64(text, &number))
        return value_integer(number);
    return (struct value){.type = VALUE_STRING,
                          .encoding =
                              text.len <= STRING_EMBSTR_MAX ? ENCODING_EMBSTR : ENCODING_RAW,
                          .packed = text};
}

struct bytes value_string_bytes(const struct value *value, char *digits) {
    ASSERT(value->type == VALUE_STRING);
    if (value->encoding == ENCODING_INT)
        return bytes_of(digits, bytes_from_i64(digits, value->number));
    return value->packed;
}

static bool is_object(const struct value *value) {
    return value->encoding != ENCODING_INT && !value_is_packed(value->encoding);
}

void value_free(struct value *value) {
    if (!is_object(value))
        return;
    ASSERT(type_rows[value->type].free);
    type_rows[value->type].free(value);
}

uint64_t value_cost(const struct value *value) {
    return is_object(value) ? type_rows[value->type].count(value) : 1;
}

size_t value_object_bytes(const struct value *value, uint32_t samples) {
    return is_object(value) ? type_rows[value->type].object_bytes(value, samples) : 0;
}

struct value value_copy(const struct value *value) {
    return is_object(value) ? type_rows[value->type].copy(value) : *value;
}

struct buf *value_scratch(void) {
    static struct buf scratch;
    return &scratch;
}
