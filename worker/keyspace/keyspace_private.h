/* keyspace_private.h - what the files of this folder know of a keyspace. */
#ifndef REMUDA_KEYSPACE_PRIVATE_H
#define REMUDA_KEYSPACE_PRIVATE_H
#include "worker/keyspace/entry_private.h"
#include "worker/keyspace/keyspace.h"
#include "worker/types/table.h"

struct database {
    struct table keys;
    struct table expires; /* the entries of keys that have an expiry, again */
    struct table timed;   /* those of hashes some of whose fields expire */
    uint32_t *in_slot;    /* keys by slot; NULL while the database is empty */
    uint64_t avg_ttl_ms;
    uint64_t expire_cursor, timed_cursor;
};

struct evict_pool;

struct keyspace {
    struct database *databases;
    uint32_t database_count;
    struct keyspace_hooks hooks;
    void *changed_arg; /* of hooks.changed */
    bool watched;      /* it is keyspace_watch()'s */
    struct keyspace_stats stats;
    int64_t now_ms;
    uint32_t access_clock; /* what an entry touched now gets: LRU seconds */
    bool lfu;
    uint32_t lfu_log_factor, lfu_decay_minutes;
    bool expiry_passive, replica; /* see the setters */
    bool child_alive;
    uint32_t expire_db; /* where the next expire cycle begins */
    uint32_t evict_db;  /* where the next random eviction looks */
    struct evict_pool *evict_pool;
};

static inline bool entry_is_past(const struct keyspace *ks, const struct entry *e) {
    return entry_has_expiry(e) && entry_expiry(e) < ks->now_ms;
}
/* Past its time, and to be treated so. */
static inline bool entry_is_gone(const struct keyspace *ks, const struct entry *e) {
    return !ks->expiry_passive && entry_is_past(ks, e);
}

/* A ref to an entry found otherwise than by its key. */
struct keyref keyref_of_entry(struct keyspace *ks, uint32_t db, struct entry *e);
enum removal { REMOVAL_EXPIRED, REMOVAL_EVICTED };
/* Remove the fields of a hash that are past their time, at most `max`; without fields the key goes, and
 * ref->entry is NULL. Returns how many went. */
uint64_t keyspace_expire_fields(struct keyref *ref, uint64_t max);
/* Remove a key for a reason of our own: counts, and calls the hook. ref->entry is NULL afterwards. */
void keyspace_remove(struct keyref *ref, enum removal why);

/* ---- access.c ---- */
/* The access bits of a new key. */
uint32_t access_initial(const struct keyspace *ks);
void access_touch(struct keyspace *ks, struct entry *e);
uint64_t access_idle_ms(const struct keyspace *ks, const struct entry *e);
uint32_t access_frequency(const struct keyspace *ks, const struct entry *e);

/* ---- lazyfree.c ---- */
/* The entries of a database are freed on the thread; its tables are empty afterwards. */
void lazyfree_tables(struct database *d);
void lazyfree_entry(struct entry *e);
/* The value's object alone; its key lives on with another. */
void lazyfree_value(const struct value *value);
/* Is this value to be freed in the background, as asked for or because it would stall the loop? */
bool lazyfree_wants(const struct value *value, bool lazy);
/* Keys, of the whole process. */
uint64_t lazyfree_pending(void);
uint64_t lazyfree_done(void);

/* ---- evict.c ---- */
struct evict_pool *evict_pool_create(void);

#endif
