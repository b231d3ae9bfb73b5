/* expire.c - active expiry: walk through the keys that have an expiry, a few at a time.
 *
 * Each database is walked by a cursor of its own, so that every volatile key has its turn; while many
 * of those seen are past their time the walk goes on, within the time budget. */
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/clock.h"

enum {
    KEYS_PER_ROUND = 20, /* plus a quarter for each point of effort above 1 */
    STEPS_PER_ROUND = 20,
    STALE_PERCENT = 10, /* go on above it; less one for each point of effort */
    FIELDS_PER_VISIT = 1000,
    TTL_SAMPLES = 64,
    TTL_WEIGHT_PERCENT = 2
};

struct expire_round {
    struct keyspace *ks;
    uint32_t db;
    uint64_t seen, expired, ttl_sum_ms, ttl_count;
};

static void look_at(void *arg, void *entry) {
    struct expire_round *round = arg;
    round->seen++;
    if (entry_is_past(round->ks, entry)) {
        struct keyref ref = keyref_of_entry(round->ks, round->db, entry);
        keyspace_remove(&ref, REMOVAL_EXPIRED);
        round->expired++;
    } else {
        round->ttl_sum_ms += (uint64_t)(entry_expiry(entry) - round->ks->now_ms);
        round->ttl_count++;
    }
}

static void note_ttl(struct database *d, const struct expire_round *round) {
    if (round->ttl_count == 0)
        return;
    uint64_t seen = round->ttl_sum_ms / round->ttl_count, old = d->avg_ttl_ms;
    d->avg_ttl_ms =
        old ? old / 100 * (100 - TTL_WEIGHT_PERCENT) + seen / 100 * TTL_WEIGHT_PERCENT : seen;
}

/* One round in one database. Returns true if it is worth another. */
static bool expire_some(struct keyspace *ks, uint32_t db, uint32_t effort, uint64_t *expired_io) {
    struct database *d = &ks->databases[db];
    struct expire_round round = {.ks = ks, .db = db};
    uint64_t keys = KEYS_PER_ROUND + KEYS_PER_ROUND / 4 * (effort - 1);
    for (uint32_t step = 0; step < STEPS_PER_ROUND * effort && round.seen < keys; step++) {
        d->expire_cursor = table_scan(&d->expires, d->expire_cursor, look_at, &round);
        if (d->expire_cursor == 0)
            break;
    }
    note_ttl(d, &round);
    *expired_io += round.expired;
    uint64_t stale = STALE_PERCENT - (effort < STALE_PERCENT ? effort - 1 : STALE_PERCENT - 1);
    return table_count(&d->expires) && round.expired * 100 > round.seen * stale;
}

/* ---- fields of hashes ---- */

static void look_at_fields(void *arg, void *entry) {
    struct expire_round *round = arg;
    struct keyref ref = keyref_of_entry(round->ks, round->db, entry);
    uint64_t gone = keyspace_expire_fields(&ref, FIELDS_PER_VISIT);
    round->seen++;
    round->expired += gone > 0;
}

/* One round over hashes with expiring fields. Returns true if it is worth another. */
static bool expire_some_fields(struct keyspace *ks, uint32_t db, uint32_t effort) {
    struct database *d = &ks->databases[db];
    struct expire_round round = {.ks = ks, .db = db};
    for (uint32_t step = 0; step < STEPS_PER_ROUND * effort && round.seen < KEYS_PER_ROUND * effort;
         step++) {
        d->timed_cursor = table_scan(&d->timed, d->timed_cursor, look_at_fields, &round);
        if (d->timed_cursor == 0)
            break;
    }
    return table_count(&d->timed) && round.expired * 100 > round.seen * STALE_PERCENT;
}

static void expire_fields(struct keyspace *ks, uint64_t end, uint32_t effort) {
    for (uint32_t db = 0; db < ks->database_count; db++) {
        bool more = table_count(&ks->databases[db].timed) != 0;
        while (more) {
            more = expire_some_fields(ks, db, effort);
            if (clock_mono_us() >= end)
                return;
        }
    }
}

uint64_t keyspace_expire_cycle(struct keyspace *ks, uint64_t budget_us, uint32_t effort) {
    uint64_t end = clock_mono_us() + budget_us, expired = 0;
    if (ks->expiry_passive || ks->replica)
        return 0;
    /* Half of the time at most, whatever there is to do. */
    expire_fields(ks, end - budget_us / 2, effort);
    for (uint32_t i = 0; i < ks->database_count; i++) {
        uint32_t db = ks->expire_db;
        bool more = table_count(&ks->databases[db].expires) != 0;
        while (more) {
            more = expire_some(ks, db, effort, &expired);
            if (more && clock_mono_us() >= end)
                return expired; /* the next cycle goes on here */
        }
        ks->expire_db = (db + 1) % ks->database_count;
    }
    return expired;
}

uint64_t keyspace_avg_ttl_ms(const struct keyspace *ks, uint32_t db) {
    const struct database *d = &ks->databases[db];
    void *entries[TTL_SAMPLES];
    if (table_count(&d->expires) == 0)
        return 0;
    if (d->avg_ttl_ms)
        return d->avg_ttl_ms;
    uint32_t count = table_sample(&d->expires, entries, TTL_SAMPLES);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        if (!entry_is_past(ks, entries[i]))
            sum += (uint64_t)(entry_expiry(entries[i]) - ks->now_ms);
    return sum / count;
}
