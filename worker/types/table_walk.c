/* table_walk.c - going over a table's entries: at random, by cursor, or all. */
#include "worker/types/table_private.h"
#include "shared/base/mem.h"

enum { RANDOM_TRIES = 128, GATHER_STACK = 64 };

/* ---- random ---- */

static uint64_t random_below(uint64_t limit) {
    return (uint64_t)(((unsigned __int128)table_random_number() * limit) >> 64);
}

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

static void bucket_prefetch_entries(const struct table_part *p, uint64_t i) {
    const struct table_bucket *b = i < p->buckets ? bucket_at(p, i) : NULL;
    if (b)
        for (uint64_t m = lanes_used(b); m; m &= m - 1)
            __builtin_prefetch(lane_entry(b, lane_first(m)));
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
