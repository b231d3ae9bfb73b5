/* database.c - the databases as a whole: making, counting, flushing, swapping, slots. */
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/ipc/slot_map.h"

enum { STEP_BUCKETS = 64 };

static struct bytes key_of(const void *entry) {
    return entry_key(entry);
}
static const struct table_type keys_type = {.key = key_of, .free = entry_free};
static const struct table_type expires_type = {.key = key_of};

struct keyspace *keyspace_create(uint32_t databases, const uint64_t hash_seed[2],
                                 const struct keyspace_hooks *hooks) {
    struct keyspace *ks = mem_calloc(1, sizeof *ks);
    if (hash_seed)
        table_set_seed(hash_seed);
    ks->databases = mem_calloc(databases, sizeof *ks->databases);
    ks->database_count = databases;
    if (hooks)
        ks->hooks = *hooks;
    ks->changed_arg = ks->hooks.arg;
    for (uint32_t i = 0; i < databases; i++) {
        table_init(&ks->databases[i].keys, &keys_type);
        table_init(&ks->databases[i].expires, &expires_type);
        table_init(&ks->databases[i].timed, &expires_type);
    }
    ks->lfu_log_factor = 10;
    ks->lfu_decay_minutes = 1;
    ks->evict_pool = evict_pool_create();
    keyspace_set_now(ks, clock_wall_ms());
    return ks;
}

void keyspace_free(struct keyspace **ks_io) {
    struct keyspace *ks = *ks_io;
    if (!ks)
        return;
    keyspace_flush_all(ks, false);
    mem_free(ks->evict_pool);
    mem_free(ks->databases);
    mem_free(ks);
    *ks_io = NULL;
}

struct keyspace_stats *keyspace_stats(struct keyspace *ks) {
    return &ks->stats;
}

int64_t keyspace_now_ms(const struct keyspace *ks) {
    return ks->now_ms;
}

void keyspace_set_replica(struct keyspace *ks, bool replica) {
    ks->replica = replica;
}

void keyspace_set_expiry_passive(struct keyspace *ks, bool passive) {
    ks->expiry_passive = passive;
}

void keyspace_set_child_alive(struct keyspace *ks, bool alive) {
    ks->child_alive = alive;
    for (uint32_t i = 0; i < ks->database_count; i++) {
        table_set_paused(&ks->databases[i].keys, alive);
        table_set_paused(&ks->databases[i].expires, alive);
        table_set_paused(&ks->databases[i].timed, alive);
    }
}

void keyspace_watch(struct keyspace *ks, void (*changed)(void *arg, uint32_t db, struct bytes key),
                    void *arg) {
    ks->hooks.changed = changed;
    ks->changed_arg = arg;
    ks->watched = changed != NULL;
}

uint32_t keyspace_databases(const struct keyspace *ks) {
    return ks->database_count;
}

uint64_t keyspace_count(const struct keyspace *ks, uint32_t db) {
    return table_count(&ks->databases[db].keys);
}

uint64_t keyspace_count_all(const struct keyspace *ks) {
    uint64_t keys = 0;
    for (uint32_t db = 0; db < keyspace_databases(ks); db++)
        keys += keyspace_count(ks, db);
    return keys;
}

uint64_t keyspace_expires_count(const struct keyspace *ks, uint32_t db) {
    return table_count(&ks->databases[db].expires);
}

uint64_t keyspace_timed_count(const struct keyspace *ks, uint32_t db) {
    return table_count(&ks->databases[db].timed);
}

void keyspace_reserve(struct keyspace *ks, uint32_t db, uint64_t keys) {
    table_reserve(&ks->databases[db].keys, keys);
}

static void report_all_changed(struct keyspace *ks, uint32_t db) {
    if (table_count(&ks->databases[db].keys) && ks->hooks.changed)
        ks->hooks.changed(ks->changed_arg, db, bytes_of(NULL, 0));
}

/* More keys than this would stall the loop: the thread frees them, whatever was asked for. */
enum { FLUSH_AT_ONCE_MAX = 100000 };

void keyspace_flush(struct keyspace *ks, uint32_t db, bool lazy) {
    struct database *d = &ks->databases[db];
    report_all_changed(ks, db);
    if (lazy || table_count(&d->keys) > FLUSH_AT_ONCE_MAX)
        lazyfree_tables(d);
    table_clear(&d->timed);
    table_clear(&d->expires);
    table_clear(&d->keys);
    mem_free(d->in_slot);
    d->in_slot = NULL;
    d->avg_ttl_ms = d->expire_cursor = d->timed_cursor = 0;
}

void keyspace_flush_all(struct keyspace *ks, bool lazy) {
    for (uint32_t db = 0; db < ks->database_count; db++)
        keyspace_flush(ks, db, lazy);
}

void keyspace_swap(struct keyspace *ks, uint32_t a, uint32_t b) {
    struct database held = ks->databases[a];
    report_all_changed(ks, a);
    report_all_changed(ks, b);
    ks->databases[a] = ks->databases[b];
    ks->databases[b] = held;
    report_all_changed(ks, a);
    report_all_changed(ks, b);
}

bool keyspace_random(struct keyspace *ks, uint32_t db, struct keyref *ref_r) {
    struct table *keys = &ks->databases[db].keys;
    struct entry *e;
    while ((e = table_random(keys)) != NULL) {
        *ref_r = keyref_of_entry(ks, db, e);
        if (!entry_is_gone(ks, e))
            return true;
        keyspace_remove(ref_r, REMOVAL_EXPIRED);
    }
    return false;
}

void keyspace_background(struct keyspace *ks, uint64_t budget_us) {
    uint64_t end = clock_mono_us() + budget_us;
    for (uint32_t i = 0; i < ks->database_count; i++) {
        struct database *d = &ks->databases[i];
        while (table_step(&d->keys, STEP_BUCKETS) | table_step(&d->expires, STEP_BUCKETS) |
               table_step(&d->timed, STEP_BUCKETS))
            if (clock_mono_us() >= end)
                return;
    }
}

uint64_t keyspace_lazyfree_pending(const struct keyspace *ks) {
    return lazyfree_pending();
}

uint64_t keyspace_lazyfreed(const struct keyspace *ks) {
    return lazyfree_done();
}

/* ---- slots ---- */

uint64_t keyspace_count_in_slot(const struct keyspace *ks, uint32_t slot) {
    ASSERT(slot < SLOT_COUNT);
    const struct database *d = &ks->databases[0];
    return d->in_slot ? d->in_slot[slot] : 0;
}

void keyspace_keys_in_slot(struct keyspace *ks, uint32_t slot, uint64_t max,
                           void (*found)(void *arg, struct bytes key), void *arg) {
    struct table_iterator it = table_iterate(&ks->databases[0].keys);
    uint64_t wanted = keyspace_count_in_slot(ks, slot);
    wanted = wanted < max ? wanted : max;
    for (const struct entry *e; wanted && (e = table_next(&it)) != NULL;) {
        if (slot_of_key(entry_key(e)) != slot)
            continue;
        found(arg, entry_key(e));
        wanted--;
    }
}
