/* evict.c - which keys go when memory is short.
 *
 * As in Redis: a pool of the best candidates seen so far, refilled from samples, best last. A
 * candidate is remembered by its hash and address only; one that has gone or moved meanwhile is not
 * found any more, and dropped. */
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"

enum { POOL_SIZE = 16, SAMPLES_MAX = 64, CHECK_TIME_EACH = 16, SIZE_SAMPLES = 5 };

struct candidate {
    uint64_t score; /* the higher, the sooner it goes */
    uint64_t hash;
    struct entry *entry;
    uint32_t db;
};

struct evict_pool {
    uint32_t count;
    enum maxmemory_policy policy; /* that the scores are of */
    struct candidate best[POOL_SIZE];
};

static uint64_t score_lru(const struct keyspace *ks, const struct entry *e) {
    return access_idle_ms(ks, e);
}
static uint64_t score_lfu(const struct keyspace *ks, const struct entry *e) {
    return UINT8_MAX - access_frequency(ks, e);
}
static uint64_t score_ttl(const struct keyspace *ks, const struct entry *e) {
    return UINT64_MAX - (uint64_t)entry_expiry(e);
}
static const struct policy_row {
    bool evicts, volatile_only;
    uint64_t (*score)(const struct keyspace *ks, const struct entry *e); /* NULL: at random */
} policies[] = {
    [MAXMEMORY_VOLATILE_LRU] = {true, true, score_lru},
    [MAXMEMORY_VOLATILE_LFU] = {true, true, score_lfu},
    [MAXMEMORY_VOLATILE_RANDOM] = {true, true, NULL},
    [MAXMEMORY_VOLATILE_TTL] = {true, true, score_ttl},
    [MAXMEMORY_ALLKEYS_LRU] = {true, false, score_lru},
    [MAXMEMORY_ALLKEYS_LFU] = {true, false, score_lfu},
    [MAXMEMORY_ALLKEYS_RANDOM] = {true, false, NULL},
    [MAXMEMORY_NOEVICTION] = {false, false, NULL},
};

struct evict_pool *evict_pool_create(void) {
    return mem_calloc(1, sizeof(struct evict_pool));
}

static const struct table *table_of(const struct keyspace *ks, uint32_t db,
                                    const struct policy_row *policy) {
    const struct database *d = &ks->databases[db];
    return policy->volatile_only ? &d->expires : &d->keys;
}

static bool pool_has(const struct evict_pool *pool, const struct entry *e) {
    for (uint32_t i = 0; i < pool->count; i++)
        if (pool->best[i].entry == e)
            return true;
    return false;
}

/* Keep the pool sorted, the best candidate last; a full one loses its worst. */
static void pool_offer(struct evict_pool *pool, const struct candidate *offer) {
    uint32_t at = pool->count;
    while (at > 0 && pool->best[at - 1].score > offer->score)
        at--;
    if (pool->count < POOL_SIZE) {
        memmove(pool->best + at + 1, pool->best + at, (pool->count - at) * sizeof *pool->best);
        pool->count++;
    } else {
        if (at == 0)
            return;
        at--;
        memmove(pool->best, pool->best + 1, at * sizeof *pool->best);
    }
    pool->best[at] = *offer;
}

static void pool_fill(struct keyspace *ks, const struct policy_row *policy, uint32_t samples) {
    struct evict_pool *pool = ks->evict_pool;
    void *entries[SAMPLES_MAX];
    samples = samples < SAMPLES_MAX ? samples : SAMPLES_MAX;
    for (uint32_t db = 0; db < ks->database_count; db++) {
        uint32_t count = table_sample(table_of(ks, db, policy), entries, samples);
        for (uint32_t i = 0; i < count; i++) {
            struct entry *e = entries[i];
            struct candidate offer = {policy->score(ks, e), 0, e, db};
            if (pool_has(pool, e))
                continue;
            offer.hash = table_hash(entry_key(e));
            pool_offer(pool, &offer);
        }
    }
}

/* The best candidate that still is what it was. */
static bool pool_take(struct keyspace *ks, const struct policy_row *policy, struct keyref *ref_r) {
    struct evict_pool *pool = ks->evict_pool;
    while (pool->count) {
        struct candidate c = pool->best[--pool->count];
        if (table_holds(table_of(ks, c.db, policy), c.hash, c.entry)) {
            *ref_r = keyref_of_entry(ks, c.db, c.entry);
            return true;
        }
    }
    return false;
}

static bool choose_random(struct keyspace *ks, const struct policy_row *policy,
                          struct keyref *ref_r) {
    for (uint32_t i = 0; i < ks->database_count; i++) {
        ks->evict_db = (ks->evict_db + 1) % ks->database_count;
        struct entry *e = table_random(table_of(ks, ks->evict_db, policy));
        if (e) {
            *ref_r = keyref_of_entry(ks, ks->evict_db, e);
            return true;
        }
    }
    return false;
}

static bool choose(struct keyspace *ks, const struct policy_row *policy, uint32_t samples,
                   struct keyref *ref_r) {
    if (!policy->score)
        return choose_random(ks, policy, ref_r);
    pool_fill(ks, policy, samples);
    return pool_take(ks, policy, ref_r);
}

bool keyspace_evict(struct keyspace *ks, enum maxmemory_policy policy, uint32_t samples,
                    uint64_t bytes, uint64_t budget_us) {
    const struct policy_row *row = &policies[policy];
    uint64_t end = clock_mono_us() + budget_us, freed = 0;
    struct keyref ref;
    if (!row->evicts)
        return false;
    if (ks->evict_pool->policy != policy) {
        ks->evict_pool->count = 0;
        ks->evict_pool->policy = policy;
    }
    /* Counted key by key: what is freed in the background, or taken by the hooks, shows later. */
    for (uint32_t removed = 1; freed < bytes; removed++) {
        if (!choose(ks, row, samples, &ref))
            return false;
        freed += keyref_memory(&ref, SIZE_SAMPLES);
        keyspace_remove(&ref, REMOVAL_EVICTED);
        if (removed % CHECK_TIME_EACH == 0 && clock_mono_us() >= end)
            break;
    }
    return true;
}
