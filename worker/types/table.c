/* table.c - placing, finding and taking out entries, and resizing. Memory running out is a panic.
 * table_private.h has the layout. */
#include "worker/types/table_private.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"

#define RESERVE_MAX ((uint64_t)1 << 32)

enum {
    KNOWN_BITS = 41, /* of a position: those from UNKNOWN_BITS to here are in hint and tag */
    UNKNOWN_BITS = 18,
    HINTED_BUCKETS_MIN = 256, /* from here on the home tells the bits above */
    SPILL_MAX = LANES - 1,
    SHIFT_MAX = 8, /* buckets looked at for room before a chain is made */
    LOAD_MAX_PERCENT = 92,
    LOAD_MAX_PAUSED_PERCENT = 150,
    LOAD_MIN_PERCENT = 30,
    LOAD_AFTER_PERCENT = 75, /* what a shrink or a reservation aims at */
    BUCKETS_DOUBLING = 4096, /* below it tables double, above it they grow by a fifth */
    MOVES_PER_WRITE = 2
};

/* ---- parts and chunks ---- */

static uint64_t chunk_buckets(const struct table_part *p, uint64_t chunk) {
    uint64_t left = p->buckets - (chunk << CHUNK_SHIFT);
    return left < CHUNK_BUCKETS ? left : CHUNK_BUCKETS;
}

static uint64_t chunk_count(const struct table_part *p) {
    return (p->buckets + CHUNK_BUCKETS - 1) >> CHUNK_SHIFT;
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

static inline bool may_spill(const struct table_bucket *b) {
    return (state_of(b->meta) & SPILL_COUNT) < SPILL_MAX;
}

/* Put a guest into a bucket with a free lane, on behalf of the one before it. */
static void spill_into(struct table_bucket *b, uint64_t tag, uint64_t word) {
    lane_put(b, lane_first(lanes_free(b)), tag | SPILLED, word);
    state_add(b - 1, 1);
}

/* Place an entry in the bucket after its full home; if that is full too, make room by spilling one
 * of its natives into the next, and so on for a few buckets. Only these lines are touched. */
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
    uint64_t buckets = buckets_for(count < RESERVE_MAX ? count : RESERVE_MAX);
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

static struct table_bucket *home_bucket(const struct table *t, uint64_t hash) {
    uint64_t i;
    if (t->count == 0)
        return NULL;
    const struct table_part *p = home_part(t, hash, &i);
    return bucket_at(p, i);
}

void table_prefetch(const struct table *t, uint64_t hash) {
    __builtin_prefetch(home_bucket(t, hash));
}

void table_prefetch_entry(const struct table *t, uint64_t hash) {
    const struct table_bucket *b = home_bucket(t, hash);
    if (!b)
        return;
    for (uint64_t m = lanes_matching(b->meta, tag_of(hash)); m; m &= m - 1)
        __builtin_prefetch(lane_entry(b, lane_first(m)));
    if (state_of(b->meta) & SPILL_COUNT)
        for (uint64_t m = lanes_matching(b[1].meta, tag_of(hash) | SPILLED); m; m &= m - 1)
            __builtin_prefetch(lane_entry(b + 1, lane_first(m)));
}

void *table_find(const struct table *t, uint64_t hash, struct bytes key) {
    struct spot s;
    struct wanted w = {hash, NULL, key};
    return find_spot(t, &w, &s) ? lane_entry(s.bucket, s.lane) : NULL;
}

void table_insert(struct table *t, uint64_t hash, void *entry) {
    uint64_t i;
    ASSERT((uintptr_t)entry >> ADDRESS_BITS == 0);
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
