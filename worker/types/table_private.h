/* table_private.h - how a table is laid out.
 *
 *   bucket (64 bytes)  [ meta: tag 0..6, state ][ lane 0 ]...[ lane 6 ]
 *   tag                0: free lane; else 7 bits of the hash, and SPILLED if the entry's home is
 *                      the bucket before this one
 *   state              low bits: how many entries of this home are spilled into the next bucket;
 *                      CHAINED: lane 6 is no entry but a further bucket of this home
 *   lane               address of the entry (48 bits), hint (16 more bits of the hash)
 *
 *   hash               [ 7 | hint 16 | tag 7 | 18 | 16 ]   all but the last 16: its position */
#ifndef REMUDA_TYPES_TABLE_PRIVATE_H
#define REMUDA_TYPES_TABLE_PRIVATE_H
#include "worker/types/table.h"

enum {
    LANES = 7,
    TAG_SHIFT = 34, /* of the hash */
    TAG_MASK = 0x7f,
    TAG_UNSURE = 0x7f, /* stands for 0 too */
    HINT_SHIFT = 41,
    HINT_MASK = 0xffff,
    ADDRESS_BITS = 48,
    POSITION_BITS = 48,
    CHUNK_SHIFT = 10,
    CHUNK_BUCKETS = 1 << CHUNK_SHIFT,
    SPILLED = 0x80,     /* in a tag */
    CHAINED = 0x80,     /* in the state */
    SPILL_COUNT = 0x07, /* in the state */
    STATE_SHIFT = 56
};
#define ALL_LANES 0x0080808080808080ull
#define LOW_BITS  0x7f7f7f7f7f7f7f7full
#define EACH_BYTE 0x0101010101010101ull
/* Leak checkers know an address only if it stands alone. */
#ifdef REMUDA_SANITIZE
enum { HINTS = 0 };
#else
enum { HINTS = HINT_MASK };
#endif

/* An entry is in its home bucket, else in the one after it, else in the home's chain; so that at
 * 92% load one line, or two side by side, answer a lookup. Home is (position * buckets) >> 48: any
 * number of buckets will do, and homes have the order of positions, whatever the size. Home, hint
 * and tag together tell nearly always where an entry belongs in a table of another size, so that
 * resizing does not look into entries. Homes below `moved` are in part[1], the others in part[0].
 * Buckets come in chunks, allocated when first written and freed when moved; nothing spills into
 * the next chunk. */
struct table_bucket {
    uint64_t meta;
    uint64_t lane[LANES];
};

/* ---- hash, tag, lane, home ---- */

static inline uint64_t tag_of(uint64_t hash) {
    uint64_t tag = (hash >> TAG_SHIFT) & TAG_MASK;
    return tag ? tag : TAG_UNSURE;
}

static inline uint64_t word_of(uint64_t hash, const void *entry) {
    return (uint64_t)(uintptr_t)entry | ((hash >> HINT_SHIFT) & HINTS) << ADDRESS_BITS;
}
static inline void *word_entry(uint64_t word) {
    return (void *)(uintptr_t)(word & (((uint64_t)1 << ADDRESS_BITS) - 1));
}

static inline uint64_t home_of(uint64_t hash, uint64_t buckets) {
    uint64_t position = hash & ~(uint64_t)0xffff;
    return (uint64_t)(((unsigned __int128)position * buckets) >> 64);
}

/* The first position whose home is `bucket`. */
static inline uint64_t first_position(uint64_t bucket, uint64_t buckets) {
    unsigned __int128 scaled = (unsigned __int128)bucket << POSITION_BITS;
    return (uint64_t)((scaled + buckets - 1) / buckets);
}

static inline uint64_t entry_hash(const struct table *t, const void *entry) {
    return t->type->hash ? t->type->hash(entry) : table_hash(t->type->key(entry));
}

/* ---- one bucket ---- */

/* Lanes come as a mask with the top bit of each lane's byte. */
static inline uint64_t lanes_matching(uint64_t meta, uint64_t tag) {
    uint64_t x = meta ^ (tag * EACH_BYTE);
    return ~(((x & LOW_BITS) + LOW_BITS) | x | LOW_BITS) & ALL_LANES;
}
static inline uint32_t lane_first(uint64_t lanes) {
    return (uint32_t)__builtin_ctzll(lanes) >> 3;
}
static inline uint64_t state_of(uint64_t meta) {
    return meta >> STATE_SHIFT;
}
static inline bool is_chained(const struct table_bucket *b) {
    return state_of(b->meta) & CHAINED;
}
static inline struct table_bucket *chain_of(const struct table_bucket *b) {
    return is_chained(b) ? word_entry(b->lane[LANES - 1]) : NULL;
}
static inline uint64_t lanes_used(const struct table_bucket *b) {
    return ALL_LANES & ~lanes_matching(b->meta, 0);
}
static inline uint64_t lanes_spilled(const struct table_bucket *b) {
    return b->meta & ALL_LANES;
}
static inline uint64_t lanes_free(const struct table_bucket *b) {
    uint64_t lanes = lanes_matching(b->meta, 0);
    return is_chained(b) ? lanes & ~((uint64_t)0x80 << (8 * (LANES - 1))) : lanes;
}
static inline uint64_t lane_tag(const struct table_bucket *b, uint32_t lane) {
    return (b->meta >> (8 * lane)) & 0xff;
}
static inline void *lane_entry(const struct table_bucket *b, uint32_t lane) {
    return word_entry(b->lane[lane]);
}
static inline void lane_put(struct table_bucket *b, uint32_t lane, uint64_t tag, uint64_t word) {
    b->meta |= tag << (8 * lane);
    b->lane[lane] = word;
}
static inline void lane_clear(struct table_bucket *b, uint32_t lane) {
    b->meta &= ~((uint64_t)0xff << (8 * lane));
    b->lane[lane] = 0;
}
static inline void state_add(struct table_bucket *b, int64_t change) {
    b->meta += (uint64_t)change << STATE_SHIFT;
}
static inline uint64_t lanes_native(const struct table_bucket *b) {
    return lanes_used(b) & ~lanes_spilled(b);
}

/* ---- part, bucket ---- */

static inline bool is_resizing(const struct table *t) {
    return t->part[1].buckets != 0;
}

static inline struct table_bucket *bucket_at(const struct table_part *p, uint64_t i) {
    struct table_bucket *chunk = p->chunks[i >> CHUNK_SHIFT];
    return chunk ? chunk + (i & (CHUNK_BUCKETS - 1)) : NULL;
}

/* Part and number of the home bucket of a hash. The table is not empty. */
static inline const struct table_part *home_part(const struct table *t, uint64_t hash,
                                                 uint64_t *home_r) {
    const struct table_part *p = &t->part[0];
    uint64_t home = home_of(hash, p->buckets);
    if (__builtin_expect(home < t->moved, 0)) {
        p = &t->part[1];
        home = home_of(hash, p->buckets);
    }
    *home_r = home;
    return p;
}

#endif
