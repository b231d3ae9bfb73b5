/* value.h - a value in hand: what a key holds, taken out of its storage for reading or changing.
 *
 * Small values live packed in one run of bytes (a string's characters, a small collection's packed
 * entries), which the keyspace stores inside the key's own allocation; big ones are objects of their
 * type's own. A function of a type that changes a packed value works in a scratch copy (see
 * value_scratch) and leaves the result in *value; the caller then stores it with keyspace_store(). */
#ifndef REMUDA_TYPES_VALUE_H
#define REMUDA_TYPES_VALUE_H
#include "shared/base/buf.h"
#include "shared/base/bytes.h"
#include <stdbool.h>
#include <stdint.h>

/* TYPE(type, name, rdb) - names as TYPE and SCAN TYPE know them. */
#define VALUE_TYPES(X)                                                                             \
    X(STRING, "string")                                                                            \
    X(LIST, "list") X(SET, "set") X(ZSET, "zset") X(HASH, "hash") X(STREAM, "stream")
enum value_type {
#define X(type, name) VALUE_##type,
    VALUE_TYPES(X)
#undef X
        VALUE_TYPE_COUNT
};
const char *value_type_name(enum value_type type);

/* Encodings, with the names OBJECT ENCODING prints, at Redis's thresholds. */
#define VALUE_ENCODINGS(X)                                                                         \
    X(INT, "int")                                                                                  \
    X(EMBSTR, "embstr")                                                                            \
    X(RAW, "raw")                                                                                  \
    X(LISTPACK, "listpack")                                                                        \
    X(LISTPACK_EX, "listpackex")                                                                   \
    X(HASHTABLE, "hashtable")                                                                      \
    X(INTSET, "intset") X(SKIPLIST, "skiplist") X(QUICKLIST, "quicklist") X(STREAM, "stream")
enum value_encoding {
#define X(encoding, name) ENCODING_##encoding,
    VALUE_ENCODINGS(X)
#undef X
        ENCODING_COUNT
};
const char *value_encoding_name(enum value_encoding encoding);
/* INT: .number. EMBSTR, RAW, LISTPACK, INTSET: .packed. The others: .object. */
static inline bool value_is_packed(enum value_encoding encoding) {
    return encoding == ENCODING_EMBSTR || encoding == ENCODING_RAW ||
           encoding == ENCODING_LISTPACK || encoding == ENCODING_INTSET;
}

struct value {
    enum value_type type;
    enum value_encoding encoding;
    union {
        int64_t number;
        struct bytes packed;
        void *object; /* owned by the keyspace once stored, by the holder before */
    };
};

enum { STRING_EMBSTR_MAX = 44 };

/* A string value from bytes, in the encoding that Redis's SET would choose: INT if they are a
 * canonical 64-bit integer, EMBSTR up to 44 bytes, else RAW. The bytes are borrowed. */
struct value value_string(struct bytes text);
struct value value_integer(int64_t number);
/* The characters of a string value. digits: BYTES_I64_MAX bytes of the caller's for an INT. */
struct bytes value_string_bytes(const struct value *value, char *digits);
/* Free what a value owns: the object of a big collection, nothing otherwise. */
void value_free(struct value *value);
/* Elements a value holds; how costly freeing it is. 1 for strings. */
uint64_t value_cost(const struct value *value);
/* Bytes of memory its object owns, for MEMORY USAGE; samples as there. 0 for packed ones. */
size_t value_object_bytes(const struct value *value, uint32_t samples);
/* Deep copy; packed bytes are borrowed from the source. */
struct value value_copy(const struct value *value);
/* A buffer for building packed values: valid until the next value is stored. One per process. */
struct buf *value_scratch(void);

#endif
