/* hash.h - fields and values. LISTPACK: packed pairs; HASHTABLE: a table of field entries. A hash some
 * of whose fields expire is a table with timers; LISTPACK_EX is Redis's name for it while it is small. */
#ifndef REMUDA_TYPES_HASH_H
#define REMUDA_TYPES_HASH_H
#include "worker/types/table.h"
#include "worker/types/value.h"

struct hash_limits {
    uint64_t packed_entries; /* hash-max-listpack-entries */
    uint64_t packed_bytes;   /* hash-max-listpack-value */
};

/* An empty packed hash, in the scratch buffer. */
struct value hash_create(void);
uint64_t hash_count(const struct value *hash);
/* The value of a field; borrowed until the hash changes. digits (BYTES_I64_MAX) holds packed
 * integers. false if absent. */
bool hash_get(const struct value *hash, struct bytes field, char *digits, struct bytes *value_r);
/* Returns true if the field is new. May turn a packed hash into a table at the limits. The field does
 * not expire any more. */
bool hash_set(struct value *hash, struct bytes field, struct bytes value,
              const struct hash_limits *limits);
/* The same, but a field that expires goes on to do so. */
bool hash_set_keeping(struct value *hash, struct bytes field, struct bytes value,
                      const struct hash_limits *limits);
/* Returns true if the field was there. */
bool hash_delete(struct value *hash, struct bytes field);

/* ---- fields that expire ---- */
enum { HASH_NO_EXPIRY = -1 };
#define HASH_EXPIRY_MAX ((UINT64_C(1) << 46) - 1) /* milliseconds since 1970, Redis's limit */
/* When a field goes, absolute milliseconds; HASH_NO_EXPIRY also if it is absent. */
int64_t hash_field_expiry(const struct value *hash, struct bytes field);
/* Set, change or (HASH_NO_EXPIRY) remove the expiry of a field, which is there. */
void hash_set_field_expiry(struct value *hash, struct bytes field, int64_t at_ms,
                           const struct hash_limits *limits);
/* How many fields expire. */
uint64_t hash_timed_count(const struct value *hash);
/* The field that goes first, and when; false if none does. The name is borrowed until the hash changes. */
bool hash_first_to_go(const struct value *hash, struct bytes *field_r, int64_t *at_ms_r);

/* Walk all pairs in the order HGETALL replies. */
struct hash_iterator {
    struct bytes packed; /* LISTPACK */
    size_t at;
    struct table_iterator entries; /* HASHTABLE */
    char digits[2][BYTES_I64_MAX];
};
void hash_iterate(const struct value *hash, struct hash_iterator *it);
/* The pair is borrowed until the next call or change; false at the end. */
bool hash_next(struct hash_iterator *it, struct bytes *field_r, struct bytes *value_r);
/* As HSCAN: calls found for some pairs, returns the next cursor, 0 at the end. A packed hash is
 * walked whole. */
uint64_t hash_scan(const struct value *hash, uint64_t cursor, uint64_t count,
                   void (*found)(void *arg, struct bytes field, struct bytes value), void *arg);
/* `count` different pairs, every choice as likely as another; all of them if there are no more. */
void hash_random_distinct(const struct value *hash, uint64_t count,
                          void (*found)(void *arg, struct bytes field, struct bytes value),
                          void *arg);
/* A random pair; hash must not be empty. digits: two times BYTES_I64_MAX. */
void hash_random(const struct value *hash, char *digits, struct bytes *field_r,
                 struct bytes *value_r);
void hash_free(struct value *hash);
size_t hash_object_bytes(const struct value *hash, uint32_t samples);
struct value hash_copy(const struct value *hash);

#endif
