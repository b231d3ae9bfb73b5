/* table.c - buckets of one cache line, found by multiply-shift, in chunks.
 *
 *   bucket (64 bytes)  [ meta: tag 0..6, state ][ lane 0 ]...[ lane 6 ]
 *   tag                0: free lane; else 7 bits of the hash, and SPILLED if the entry's home is
 *                      the bucket before this one
 *   state              low bits: how many entries of this home are spilled into the next bucket;
 *                      CHAINED: lane 6 is no entry but a further bucket of this home
 *   lane               address of the entry (48 bits), hint (16 more bits of the hash)
 *
 *   hash     [ 7 | hint 16 | tag 7 | 18 | 16 ]   all but the last 16: its position
 *
 * An entry is in its home bucket, else in the one after it, else in the home's chain; so that at 92%
 * load one line, or two side by side, answer a lookup. Home is (position * buckets) >> 48: any number
 * of buckets will do, and homes have the order of positions, whatever the size. Home, hint and tag
 * together tell nearly always where an entry belongs in a table of another size, so that resizing
 * does not look into entries. Homes below `moved` are in part[1], the others in part[0]. Buckets come
 * in chunks, allocated when first written and freed when moved; nothing spills into the next one. */
#include "worker/types/table.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#define XXH_INLINE_ALL
#include <xxhash.h>

enum {
    LANES = 7,
    TAG_SHIFT = 34, /* of the hash */
    TAG_MASK = 0x7f,
    TAG_UNSURE = 0x7f, /* stands for 0 too */
    HINT_SHIFT = 41,
    HINT_MASK = 0xffff,
    ADDRESS_BITS = 48,
    KNOWN_BITS = 41, /* of a position: those from UNKNOWN_BITS to here are in hint and tag */
    UNKNOWN_BITS = 18,
    HINTED_BUCKETS_MIN = 256, /* from here on the home tells the bits above */
    CHUNK_SHIFT = 10,
    CHUNK_BUCKETS = 1 << CHUNK_SHIFT,
    SPILLED = 0x80,     /* in a tag */
    CHAINED = 0x80,     /* in the state */
    SPILL_COUNT = 0x07, /* in the state */
    SPILL_MAX = LANES - 1,
    SHIFT_MAX = 8, /* buckets looked at for room before a chain is made */
    STATE_SHIFT = 56,
    POSITION_BITS = 48,
    LOAD_MAX_PERCENT = 92,
    LOAD_MAX_PAUSED_PERCENT = 150,
    LOAD_MIN_PERCENT = 30,
    LOAD_AFTER_PERCENT = 75, /* what a shrink or a reservation aims at */
    BUCKETS_DOUBLING = 4096, /* below it tables double, above it they grow by a fifth */
    MOVES_PER_WRITE = 2,
    RANDOM_TRIES = 128,
    GATHER_STACK = 64
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

struct table_bucket {
    uint64_t meta;
    uint64_t lane[LANES];
};

/* ---- hashing ---- */

static struct {
    bool set;
    uint64_t random;
    unsigned char secret[XXH3_SECRET_SIZE_MIN];
} seed;

void table_set_seed(const uint64_t key[2]) {
    if (seed.set)
        return;
    if (XXH3_generateSecret(seed.secret, sizeof seed.secret, key, 2 * sizeof key[0]) != XXH_OK)
        PANIC("no secret can be made from the hash seed");
    seed.set = true;
}

uint64_t table_hash(struct bytes key) {
    if (__builtin_expect(!seed.set, 0))
        table_set_seed((const uint64_t[2]){clock_mono_us(), (uint64_t)clock_wall_us()});
    return XXH3_64bits_withSecret(key.ptr, key.len, seed.secret, sizeof seed.secret);
}

uint64_t table_random_number(void) {
    if (seed.random == 0)
        seed.random = clock_mono_us() ^ ((uint64_t)clock_wall_us() << 20);
    uint64_t z = seed.random += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static uint64_t random_below(uint64_t limit) {
    return (uint64_t)(((unsigned __int128)table_random_number() * limit) >> 64);
}

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
static uint64_t first_position(uint64_t bucket, uint64_t buckets) {
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

/* ---- parts and chunks ---- */

static inline bool is_resizing(const struct table *t) {
    return t->part[1].buckets != 0;
}

static uint64_t chunk_buckets(const struct table_part *p, uint64_t chunk) {
    uint64_t left = p->buckets - (chunk << CHUNK_SHIFT);
    return left < CHUNK_BUCKETS ? left : CHUNK_BUCKETS;
}

static uint64_t chunk_count(const struct table_part *p) {
    return (p->buckets + CHUNK_BUCKETS - 1) >> CHUNK_SHIFT;
}

static inline struct table_bucket *bucket_at(const struct table_part *p, uint64_t i) {
    struct table_bucket *chunk = p->chunks[i >> CHUNK_SHIFT];
    return chunk ? chunk + (i & (CHUNK_BUCKETS - 1)) : NULL;
}

/* The bucket that bucket i spills into, or NULL: none spills out of its chunk. */
static inline struct table_bucket *spill_of(const struct table_part *p, uint64_t i,
                                            struct table_bucket *b) {
    return ((i + 1) & (CHUNK_BUCKETS - 1)) != 0 && i + 1 < p->buckets ? b + 1 : NULL;
}

static struct table_bucket *bucket_make(struct table *t, struct table_part *p, uint64_t i) {
    uint64_t chunk = i >> CHUNK_SHIFT;
    if (!p->chunks[chunk]) {
        size_t bytes = chunk_buckets(p, chunk) * sizeof(struct table_bucket);
        p->chunks[chunk] = mem_calloc(1, bytes);
        t->bytes += bytes;
    }
    return p->chunks[chunk] + (i & (CHUNK_BUCKETS - 1));
}

static void chunk_free(struct table *t, struct table_part *p, uint64_t chunk) {
    if (!p->chunks[chunk])
        return;
    t->bytes -= chunk_buckets(p, chunk) * sizeof(struct table_bucket);
    mem_free(p->chunks[chunk]);
    p->chunks[chunk] = NULL;
}

static void part_open(struct table *t, struct table_part *p, uint64_t buckets) {
    p->buckets = buckets;
    p->chunks = mem_calloc(chunk_count(p), sizeof *p->chunks);
    t->bytes += chunk_count(p) * sizeof *p->chunks;
}

/* The chunks are free already. */
static void part_close(struct table *t, struct table_part *p) {
    t->bytes -= chunk_count(p) * sizeof *p->chunks;
    mem_free(p->chunks);
    *p = (struct table_part){0};
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

/* ---- placing and taking ---- */

static void chain_insert(struct table *t, struct table_bucket *b, uint64_t tag, uint64_t word) {
    uint64_t lanes;
    while ((lanes = lanes_free(b)) == 0 && is_chained(b))
        b = chain_of(b);
    if (lanes) {
        lane_put(b, lane_first(lanes), tag, word);
        return;
    }
    struct table_bucket *more = mem_calloc(1, sizeof *more);
    t->bytes += sizeof *more;
    /* The last lane becomes the link. What moves out must be a native: guests are looked for in the
     * bucket itself only. There is one, since no home spills as many as a bucket holds. */
    uint32_t last = LANES - 1, native = last;
    if (lane_tag(b, last) & SPILLED)
        native = lane_first(ALL_LANES & ~lanes_spilled(b));
    lane_put(more, 0, lane_tag(b, native), b->lane[native]);
    lane_put(more, 1, tag, word);
    lane_clear(b, native);
    if (native != last)
        lane_put(b, native, lane_tag(b, last), b->lane[last]);
    lane_clear(b, last);
    b->lane[last] = word_of(0, more);
    state_add(b, CHAINED);
}

static inline uint64_t lanes_native(const struct table_bucket *b) {
    return lanes_used(b) & ~lanes_spilled(b);
}

static inline bool may_spill(const struct table_bucket *b) {
    return (state_of(b->meta) & SPILL_COUNT) < SPILL_MAX;
}

/* Put a guest into a bucket with a free lane, on behalf of the one before it. */
static void spill_into(struct table_bucket *b, uint64_t tag, uint64_t word) {
    lane_put(b, lane_first(lanes_free(b)), tag | SPILLED, word);
    state_add(b - 1, 1);
}

/* Place an entry in the bucket after its full home; if that is full too, make room by spilling one of
 * its natives into the next, and so on for a few buckets. Only these lines are touched. */
static bool spill(const struct table_part *p, uint64_t i, struct table_bucket *home, uint64_t tag,
                  uint64_t word) {
    struct table_bucket *to = home;
    do {
        if (to - home == SHIFT_MAX || !may_spill(to) || (to != home && !lanes_native(to)))
            return false;
        to = spill_of(p, i + (uint64_t)(to - home), to);
        if (!to)
            return false;
    } while (!lanes_free(to));
    for (; to - 1 != home; to--) {
        uint32_t lane = lane_first(lanes_native(to - 1));
        spill_into(to, lane_tag(to - 1, lane), to[-1].lane[lane]);
        lane_clear(to - 1, lane);
    }
    spill_into(to, tag, word);
    return true;
}

static void place(struct table *t, struct table_part *p, uint64_t hash, void *entry) {
    uint64_t i = home_of(hash, p->buckets), tag = tag_of(hash), word = word_of(hash, entry);
    struct table_bucket *b = bucket_make(t, p, i);
    uint64_t lanes = lanes_free(b);
    if (lanes)
        lane_put(b, lane_first(lanes), tag, word);
    else if (!spill(p, i, b, tag, word))
        chain_insert(t, b, tag, word);
}

/* Where an entry was found. */
struct spot {
    struct table_bucket *bucket, *home, *parent; /* parent: the bucket this one is chained to */
    uint32_t lane;
};

/* What is looked for: an entry, or if NULL, a key. */
struct wanted {
    uint64_t hash;
    const void *entry;
    struct bytes key;
};

static inline bool bucket_find(const struct table *t, struct table_bucket *b, uint64_t tag,
                               const struct wanted *w, uint32_t *lane_r) {
    for (uint64_t m = lanes_matching(b->meta, tag); m; m &= m - 1) {
        uint32_t lane = lane_first(m);
        void *entry = lane_entry(b, lane);
        if (w->entry ? entry == w->entry
                     : b->lane[lane] == word_of(w->hash, entry) &&
                           bytes_equal(t->type->key(entry), w->key)) {
            *lane_r = lane;
            return true;
        }
    }
    return false;
}

static __attribute__((noinline)) bool find_beyond_home(const struct table *t,
                                                       const struct wanted *w, struct spot *s) {
    struct table_bucket *b = s->home;
    uint64_t tag = tag_of(w->hash);
    if (state_of(b->meta) & SPILL_COUNT) {
        s->bucket = b + 1;
        if (bucket_find(t, s->bucket, tag | SPILLED, w, &s->lane))
            return true;
    }
    for (s->parent = b; (s->bucket = chain_of(s->parent)) != NULL; s->parent = s->bucket)
        if (bucket_find(t, s->bucket, tag, w, &s->lane))
            return true;
    return false;
}

static inline bool find_spot(const struct table *t, const struct wanted *w, struct spot *s) {
    if (t->count == 0)
        return false;
    uint64_t i;
    const struct table_part *p = home_part(t, w->hash, &i);
    s->home = s->bucket = bucket_at(p, i);
    s->parent = NULL;
    if (!s->home)
        return false;
    if (bucket_find(t, s->home, tag_of(w->hash), w, &s->lane))
        return true;
    if (state_of(s->home->meta) == 0)
        return false;
    return find_beyond_home(t, w, s);
}

/* Unlink the bucket chained to `parent` if nothing is left in it. */
static void chain_trim(struct table *t, struct table_bucket *parent) {
    struct table_bucket *b = chain_of(parent);
    if (lanes_used(b))
        return;
    struct table_bucket *after = chain_of(b);
    parent->lane[LANES - 1] = word_of(0, after);
    if (!after)
        state_add(parent, -CHAINED);
    t->bytes -= sizeof *b;
    mem_free(b);
}

static void spot_clear(struct table *t, const struct spot *s) {
    lane_clear(s->bucket, s->lane);
    if (s->parent) {
        chain_trim(t, s->parent);
    } else if (s->bucket != s->home) {
        state_add(s->home, -1);
    } else if (is_chained(s->home)) { /* refill from the chain, which thus stays short */
        struct table_bucket *from = chain_of(s->home);
        uint32_t lane = lane_first(lanes_used(from));
        lane_put(s->home, s->lane, lane_tag(from, lane), from->lane[lane]);
        lane_clear(from, lane);
        chain_trim(t, s->home);
    }
}

/* ---- resizing ---- */

/* Fill whole size classes of the allocator: nothing smaller is given out. */
static uint64_t buckets_rounded(uint64_t buckets) {
    uint64_t step = 1;
    if (buckets >= 8 * CHUNK_BUCKETS)
        step = CHUNK_BUCKETS;
    else if (buckets > CHUNK_BUCKETS)
        step = CHUNK_BUCKETS / 4;
    else
        while (buckets > 8 * step)
            step *= 2;
    return (buckets + step - 1) / step * step;
}

static uint64_t buckets_for(uint64_t count) {
    return buckets_rounded(count / LANES * 100 / LOAD_AFTER_PERCENT + 1);
}

static bool is_crowded(const struct table *t, uint64_t buckets, uint32_t percent) {
    return t->count * 100 > buckets * LANES * percent;
}

static void resize_start(struct table *t, uint64_t buckets) {
    if (t->part[0].buckets == 0)
        part_open(t, &t->part[0], buckets);
    else if (buckets != t->part[0].buckets)
        part_open(t, &t->part[1], buckets);
}

static void resize_finish(struct table *t) {
    part_close(t, &t->part[0]);
    t->part[0] = t->part[1];
    t->part[1] = (struct table_part){0};
    t->moved = 0;
}

/* An entry on its way out of a bucket. */
struct leaving {
    uint64_t tag, word;
    uint64_t first; /* position of its home */
};

/* Take the entries whose home is bucket i of a part out of it. Returns false if there were none. */
static bool bucket_drain(struct table *t, struct table_part *p, uint64_t i,
                         void (*take)(struct table *t, const struct leaving *l)) {
    struct table_bucket *b = bucket_at(p, i);
    if (!b || b->meta == 0)
        return false;
    struct leaving l = {.first = first_position(i, p->buckets)};
    if (state_of(b->meta) & SPILL_COUNT) {
        for (uint64_t m = lanes_spilled(b + 1); m; m &= m - 1) {
            uint32_t lane = lane_first(m);
            l.tag = lane_tag(b + 1, lane) & TAG_MASK;
            l.word = b[1].lane[lane];
            take(t, &l);
            lane_clear(b + 1, lane);
        }
    }
    struct table_bucket *next;
    for (struct table_bucket *from = b; from; from = next) {
        next = chain_of(from);
        for (uint64_t m = lanes_used(from); m; m &= m - 1) {
            l.tag = lane_tag(from, lane_first(m));
            l.word = from->lane[lane_first(m)];
            take(t, &l);
        }
        if (from != b) {
            t->bytes -= sizeof *from;
            mem_free(from);
        }
    }
    *b = (struct table_bucket){0};
    return true;
}

/* What home, hint and tag tell of a hash: enough to place the entry in part[1]? */
static bool hash_from_hints(const struct table *t, const struct leaving *l, uint64_t *hash_r) {
    if (!HINTS || l->tag == TAG_UNSURE || t->part[0].buckets < HINTED_BUCKETS_MIN)
        return false;
    uint64_t known = l->word >> ADDRESS_BITS << (HINT_SHIFT - 16) | l->tag << UNKNOWN_BITS;
    uint64_t unknown = ((uint64_t)1 << UNKNOWN_BITS) - 1;
    uint64_t position = (l->first >> KNOWN_BITS << KNOWN_BITS) + known;
    if ((position | unknown) < l->first)
        position += (uint64_t)1 << KNOWN_BITS;
    *hash_r = position << 16;
    return home_of(*hash_r, t->part[1].buckets) ==
           home_of((position | unknown) << 16, t->part[1].buckets);
}

static void move_entry(struct table *t, const struct leaving *l) {
    void *entry = word_entry(l->word);
    uint64_t hash;
    if (!hash_from_hints(t, l, &hash))
        hash = entry_hash(t, entry);
    place(t, &t->part[1], hash, entry);
}

static void bucket_prefetch_entries(const struct table_part *p, uint64_t i) {
    const struct table_bucket *b = i < p->buckets ? bucket_at(p, i) : NULL;
    if (b)
        for (uint64_t m = lanes_used(b); m; m &= m - 1)
            __builtin_prefetch(lane_entry(b, lane_first(m)));
}

/* Move up to `buckets` full ones, and pass by some more of empty ones. */
static void resize_step(struct table *t, uint32_t buckets) {
    struct table_part *from = &t->part[0];
    for (uint32_t looked = 0; is_resizing(t) && buckets && looked < 16 * (buckets + 1); looked++) {
        if (bucket_drain(t, from, t->moved, move_entry))
            buckets--;
        t->moved++;
        if ((t->moved & (CHUNK_BUCKETS - 1)) == 0 || t->moved == from->buckets)
            chunk_free(t, from, (t->moved - 1) >> CHUNK_SHIFT);
        if (t->moved == from->buckets)
            resize_finish(t);
    }
}

static void grow_if_crowded(struct table *t) {
    uint64_t now = t->part[0].buckets;
    if (now == 0) {
        resize_start(t, 1);
    } else if (is_crowded(t, now, t->paused ? LOAD_MAX_PAUSED_PERCENT : LOAD_MAX_PERCENT)) {
        uint64_t least = buckets_rounded(now < BUCKETS_DOUBLING ? 2 * now : now + now / 5);
        uint64_t fitting = buckets_for(t->count);
        resize_start(t, least > fitting ? least : fitting);
    }
}

static void before_insert(struct table *t) {
    if (!is_resizing(t))
        grow_if_crowded(t);
    else if (!t->paused || is_crowded(t, t->part[1].buckets, LOAD_MAX_PAUSED_PERCENT))
        resize_step(t, MOVES_PER_WRITE);
}

static void shrink_if_sparse(struct table *t) {
    uint64_t now = t->part[0].buckets;
    if (now > 1 && !t->paused && t->count * 100 < now * LANES * LOAD_MIN_PERCENT)
        resize_start(t, buckets_for(t->count));
}

static void after_remove(struct table *t) {
    if (t->count == 0)
        table_clear(t);
    else if (!is_resizing(t))
        shrink_if_sparse(t);
    else if (!t->paused)
        resize_step(t, MOVES_PER_WRITE);
}

bool table_step(struct table *t, uint32_t buckets) {
    if (t->paused)
        return false;
    if (!is_resizing(t) && t->count)
        shrink_if_sparse(t);
    resize_step(t, buckets);
    return is_resizing(t);
}

void table_set_paused(struct table *t, bool paused) {
    t->paused = paused;
}

void table_reserve(struct table *t, uint64_t count) {
    uint64_t buckets = buckets_for(count);
    if (is_resizing(t) || buckets <= t->part[0].buckets)
        return;
    resize_start(t, buckets);
}

/* ---- one entry ---- */

void table_init(struct table *t, const struct table_type *type) {
    *t = (struct table){.type = type};
}

static void free_entry(struct table *t, const struct leaving *l) {
    if (t->type->free)
        t->type->free(word_entry(l->word));
}

void table_clear(struct table *t) {
    for (struct table_part *p = t->part; p < t->part + 2; p++) {
        for (uint64_t i = 0; i < p->buckets; i++) {
            if (!p->chunks[i >> CHUNK_SHIFT]) {
                i |= CHUNK_BUCKETS - 1;
                continue;
            }
            if (t->count)
                bucket_drain(t, p, i, free_entry);
            if ((i & (CHUNK_BUCKETS - 1)) == CHUNK_BUCKETS - 1 || i + 1 == p->buckets)
                chunk_free(t, p, i >> CHUNK_SHIFT);
        }
        if (p->buckets)
            part_close(t, p);
    }
    t->moved = t->count = 0;
}

void table_prefetch(const struct table *t, uint64_t hash) {
    uint64_t i;
    if (t->count == 0)
        return;
    const struct table_part *p = home_part(t, hash, &i);
    const struct table_bucket *b = bucket_at(p, i);
    __builtin_prefetch(b);
}

void *table_find(const struct table *t, uint64_t hash, struct bytes key) {
    struct spot s;
    struct wanted w = {hash, NULL, key};
    return find_spot(t, &w, &s) ? lane_entry(s.bucket, s.lane) : NULL;
}

void table_insert(struct table *t, uint64_t hash, void *entry) {
    uint64_t i;
    before_insert(t);
    const struct table_part *p = home_part(t, hash, &i);
    place(t, &t->part[p - t->part], hash, entry);
    t->count++;
}

void table_replace(struct table *t, uint64_t hash, const void *old, void *entry) {
    struct spot s;
    struct wanted w = {.hash = hash, .entry = old};
    bool found = find_spot(t, &w, &s);
    ASSERT(found);
    s.bucket->lane[s.lane] = word_of(hash, entry);
}

void *table_remove(struct table *t, uint64_t hash, struct bytes key) {
    struct spot s;
    struct wanted w = {hash, NULL, key};
    if (!find_spot(t, &w, &s))
        return NULL;
    void *entry = lane_entry(s.bucket, s.lane);
    spot_clear(t, &s);
    t->count--;
    after_remove(t);
    return entry;
}

bool table_remove_entry(struct table *t, uint64_t hash, const void *entry) {
    struct spot s;
    struct wanted w = {.hash = hash, .entry = entry};
    if (!find_spot(t, &w, &s))
        return false;
    spot_clear(t, &s);
    t->count--;
    after_remove(t);
    return true;
}

bool table_holds(const struct table *t, uint64_t hash, const void *entry) {
    struct spot s;
    struct wanted w = {.hash = hash, .entry = entry};
    return find_spot(t, &w, &s);
}

/* ---- random ---- */

/* Buckets that can hold something, as one row: the rest of part[0], then part[1]. */
static uint64_t live_buckets(const struct table *t) {
    return t->part[0].buckets - t->moved + t->part[1].buckets;
}

static struct table_bucket *live_bucket(const struct table *t, uint64_t i) {
    uint64_t left = t->part[0].buckets - t->moved;
    return i < left ? bucket_at(&t->part[0], t->moved + i) : bucket_at(&t->part[1], i - left);
}

static void *chain_random(const struct table_bucket *chain) {
    uint32_t count = 0, pick;
    for (const struct table_bucket *b = chain; b; b = chain_of(b))
        count += (uint32_t)__builtin_popcountll(lanes_used(b));
    pick = (uint32_t)random_below(count);
    for (const struct table_bucket *b = chain; b; b = chain_of(b))
        for (uint64_t m = lanes_used(b); m; m &= m - 1)
            if (pick-- == 0)
                return lane_entry(b, lane_first(m));
    return NULL;
}

void *table_random(const struct table *t) {
    if (t->count == 0)
        return NULL;
    uint64_t live = live_buckets(t);
    for (uint32_t tries = 0; tries < RANDOM_TRIES; tries++) {
        struct table_bucket *b = live_bucket(t, random_below(live));
        uint32_t lane = (uint32_t)random_below(LANES);
        if (!b)
            continue;
        if (lane_tag(b, lane))
            return lane_entry(b, lane);
        if (lane == LANES - 1 && is_chained(b))
            return chain_random(chain_of(b));
    }
    void *entry = NULL;
    table_sample(t, &entry, 1);
    return entry;
}

uint32_t table_sample(const struct table *t, void **entries_r, uint32_t max) {
    uint64_t live = live_buckets(t);
    uint32_t found = 0;
    if (t->count == 0)
        return 0;
    uint64_t start = random_below(live);
    for (uint64_t i = 0; i < live && found < max; i++) {
        uint64_t at = start + i < live ? start + i : start + i - live;
        for (const struct table_bucket *b = live_bucket(t, at); b; b = chain_of(b))
            for (uint64_t m = lanes_used(b); m && found < max; m &= m - 1)
                entries_r[found++] = lane_entry(b, lane_first(m));
    }
    return found;
}

/* ---- scan and iteration ---- */

/* Entries gathered before any is reported, since a report may change the buckets. */
struct gathered {
    void **entries;
    uint32_t count, room;
    void *stack[GATHER_STACK];
};

static void gather(struct gathered *g, const struct table_bucket *b, uint64_t lanes) {
    if (g->count + LANES > g->room) {
        uint32_t room = 2 * g->room;
        void **more = mem_alloc(room * sizeof *more);
        memcpy(more, g->entries, g->count * sizeof *more);
        if (g->entries != g->stack)
            mem_free(g->entries);
        g->entries = more;
        g->room = room;
    }
    for (; lanes; lanes &= lanes - 1) {
        void *entry = lane_entry(b, lane_first(lanes));
        __builtin_prefetch(entry);
        g->entries[g->count++] = entry;
    }
}

static void gather_home(struct gathered *g, const struct table_part *p, uint64_t home) {
    const struct table_bucket *b = bucket_at(p, home);
    if (!b)
        return;
    gather(g, b, lanes_used(b) & ~lanes_spilled(b));
    if (state_of(b->meta) & SPILL_COUNT)
        gather(g, b + 1, lanes_spilled(b + 1));
    for (const struct table_bucket *c = chain_of(b); c; c = chain_of(c))
        gather(g, c, lanes_used(c));
}

uint64_t table_scan(struct table *t, uint64_t cursor, void (*found)(void *arg, void *entry),
                    void *arg) {
    if (t->count == 0 || cursor >> POSITION_BITS)
        return 0;
    uint64_t home, end;
    const struct table_part *p = home_part(t, cursor << 16, &home);
    end = first_position(home + 1, p->buckets);
    if (p == &t->part[1]) { /* from `moved` on the entries are in part[0] */
        uint64_t border = first_position(t->moved, t->part[0].buckets);
        end = end < border ? end : border;
    }
    bool from_middle = cursor > first_position(home, p->buckets);
    struct gathered g = {.room = GATHER_STACK};
    g.entries = g.stack;
    gather_home(&g, p, home);
    for (uint32_t i = 0; i < g.count; i++)
        if (!from_middle || entry_hash(t, g.entries[i]) >> 16 >= cursor)
            found(arg, g.entries[i]);
    if (g.entries != g.stack)
        mem_free(g.entries);
    return end >> POSITION_BITS ? 0 : end;
}

static bool iterator_next_bucket(struct table_iterator *it) {
    for (; it->part < 2; it->part++, it->bucket = 0) {
        const struct table_part *p = &it->table->part[it->part];
        while (it->bucket < p->buckets) {
            it->at = bucket_at(p, it->bucket);
            if (it->at) {
                bucket_prefetch_entries(p, ++it->bucket);
                return true;
            }
            it->bucket = (it->bucket | (CHUNK_BUCKETS - 1)) + 1;
        }
    }
    return false;
}

void *table_next(struct table_iterator *it) {
    for (;;) {
        for (; it->at && it->lane < LANES; it->lane++)
            if (lane_tag(it->at, it->lane))
                return lane_entry(it->at, it->lane++);
        it->lane = 0;
        it->at = it->at ? chain_of(it->at) : NULL;
        if (!it->at && !iterator_next_bucket(it))
            return NULL;
    }
}
