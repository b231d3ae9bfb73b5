/* table.h - the hash table under everything: keys of a database, fields of a big hash, ...
 *
 * It holds pointers to entries it knows nothing of but their key. It grows and shrinks a few
 * buckets at a time, with every write; no call pauses for a whole table, and the old array is given back
 * while the new one fills, so that both never stand side by side.
 *
 * Scan cursors are positions in hash space, not in the table: they stay good through any resize.
 * A call that writes makes slots and iterators invalid; entries themselves are never moved. */
#ifndef REMUDA_TYPES_TABLE_H
#define REMUDA_TYPES_TABLE_H
#include "shared/base/bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_type {
    struct bytes (*key)(const void *entry);
    uint64_t (*hash)(const void *entry); /* NULL: table_hash() of the key */
    void (*free)(void *entry);           /* for table_clear(); NULL: entries belong to another */
};

struct table_bucket;
struct table_part {
    struct table_bucket **chunks; /* a NULL chunk is all empty */
    uint64_t buckets;
};
/* All zero but the type is an empty table. May be copied and moved as a struct. */
struct table {
    const struct table_type *type;
    struct table_part part[2]; /* [1] is filled from [0] while a resize goes on */
    uint64_t moved;            /* buckets of part[0] that are in part[1] already */
    uint64_t count;
    uint64_t bytes; /* of buckets and chunk lists */
    bool paused;
};

/* The key of all hashing in this process. The first call decides: entries and cursors pass between
 * tables, which therefore must agree. */
void table_set_seed(const uint64_t seed[2]);
uint64_t table_hash(struct bytes key);
/* Uniform random 64 bits, not for secrets. */
uint64_t table_random_number(void);
/* The same below a limit, which is not 0, without the bias of a remainder. */
uint64_t table_random_below(uint64_t limit);

void table_init(struct table *t, const struct table_type *type);
/* Frees the entries (type->free) and the arrays; the table is empty and usable afterwards. */
void table_clear(struct table *t);
static inline uint64_t table_count(const struct table *t) {
    return t->count;
}
/* Memory of the table itself, without entries. */
static inline uint64_t table_bytes(const struct table *t) {
    return t->bytes;
}

/* Looking up many keys: first fetch the bucket of each, then each entry, then look them up. */
void table_prefetch(const struct table *t, uint64_t hash);
void table_prefetch_entry(const struct table *t, uint64_t hash);
/* hash is table_hash(key) here and below. NULL: absent. */
void *table_find(const struct table *t, uint64_t hash, struct bytes key);
/* The key must be absent. */
void table_insert(struct table *t, uint64_t hash, void *entry);
/* Put `entry`, of the same key, where `old` is; `old` is not looked into, it may be freed already. */
void table_replace(struct table *t, uint64_t hash, const void *old, void *entry);
/* Take out the entry of a key, or NULL; the caller owns it then. */
void *table_remove(struct table *t, uint64_t hash, struct bytes key);
/* Take out this very entry, without looking into it. false if it is not there. */
bool table_remove_entry(struct table *t, uint64_t hash, const void *entry);
/* Is this pointer in the table? It is not looked into. */
bool table_holds(const struct table *t, uint64_t hash, const void *entry);

/* A random entry, each as likely as any other but for a small skew of crowded buckets; NULL if the
 * table is empty. */
void *table_random(const struct table *t);
/* Up to `max` entries that lie side by side somewhere at random; for sampling. */
uint32_t table_sample(const struct table *t, void **entries_r, uint32_t max);

/* One step of a scan: reports the entries of one bucket's range of hashes, returns the next cursor
 * (below 2^48), 0 at the end. An entry present from the first call to the last is reported at least
 * once. found may remove the entry it is given. */
uint64_t table_scan(struct table *t, uint64_t cursor, void (*found)(void *arg, void *entry),
                    void *arg);
/* All entries; nothing may be written meanwhile. Zero but for the table to begin. */
struct table_iterator {
    const struct table *table;
    const struct table_bucket *at;
    uint64_t bucket;
    uint32_t part, lane;
};
static inline struct table_iterator table_iterate(const struct table *t) {
    return (struct table_iterator){.table = t};
}
void *table_next(struct table_iterator *it);

/* Make room for so many entries in all, before they come. The count is a hint and may be wrong. */
void table_reserve(struct table *t, uint64_t count);
/* While paused the table resizes only when it is really crowded. */
void table_set_paused(struct table *t, bool paused);
/* Resize work for spare time: moves up to so many buckets. Returns true if there is more. */
bool table_step(struct table *t, uint32_t buckets);

#endif
