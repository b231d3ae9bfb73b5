/* keyspace.h - the databases of a shard: keys, their values, expiry, access times.
 *
 * A key, its expiry and a small value share one allocation (struct entry), found through a hash
 * table of cache-line buckets (worker/types/table.h) that grows without a pause. */
#ifndef REMUDA_KEYSPACE_H
#define REMUDA_KEYSPACE_H
#include "config/config.h"
#include "worker/types/value.h"

struct keyspace;
struct entry;

struct keyspace_hooks {
    void *arg;
    /* A key was removed by the clock or for want of memory: log and replicate a DEL/UNLINK. */
    void (*expired)(void *arg, uint32_t db, struct bytes key);
    void (*evicted)(void *arg, uint32_t db, struct bytes key);
    /* A field of a hash was removed by the clock: log and replicate an HDEL. */
    void (*field_expired)(void *arg, uint32_t db, struct bytes key, struct bytes field);
    /* Any change of a key's value, expiry or existence (WATCH, gather's write-back). May be NULL.
     * A key with ptr NULL stands for all keys of the database: it was flushed or swapped. */
    void (*changed)(void *arg, uint32_t db, struct bytes key);
};

struct keyspace_stats {
    uint64_t hits, misses, expired, evicted, expired_fields;
};

/* hash_seed may be NULL. The first seed a process is given holds for all its keyspaces. hooks may be
 * NULL, and so may each hook. */
struct keyspace *keyspace_create(uint32_t databases, const uint64_t hash_seed[2],
                                 const struct keyspace_hooks *hooks);
void keyspace_free(struct keyspace **ks);
/* From now on changes are told to this one instead of hooks.changed; NULL: to nobody. */
void keyspace_watch(struct keyspace *ks, void (*changed)(void *arg, uint32_t db, struct bytes key),
                    void *arg);
struct keyspace_stats *keyspace_stats(struct keyspace *ks);
/* The time all expiry is judged by, set once a loop turn (and by the loader). */
void keyspace_set_now(struct keyspace *ks, int64_t now_ms);
int64_t keyspace_now_ms(const struct keyspace *ks);
/* LRU clock or LFU counters, from maxmemory-policy and the lfu-* options. */
void keyspace_configure(struct keyspace *ks, const struct config *config);
/* Replaying a log or what a primary sends: keys past their time are kept and seen until deleted. */
void keyspace_set_expiry_passive(struct keyspace *ks, bool passive);
/* Of a replica: keys past their time are kept until the primary deletes them, and hidden from readers. */
void keyspace_set_replica(struct keyspace *ks, bool replica);

/* ---- one key ---- */
struct keyref {
    struct keyspace *ks;
    uint32_t db;
    struct bytes key;
    uint64_t hash;
    struct entry *entry; /* NULL: absent */
};
enum key_access {
    KEY_READ,    /* counts hit or miss, touches LRU/LFU */
    KEY_WRITE,   /* touches, counts nothing */
    KEY_NOTOUCH, /* counts, does not touch (OBJECT, CLIENT NO-TOUCH) */
    KEY_PEEK     /* neither */
};
/* Look a key up. One past its time is removed first (hooks.expired) and is absent; so are fields of a
 * hash past theirs (hooks.field_expired), and a hash whose last field that was. The key's bytes
 * are borrowed for the life of the ref. Returns true if present. A ref is valid until any other key
 * of the keyspace is written. */
bool keyspace_find(struct keyspace *ks, uint32_t db, struct bytes key, enum key_access access,
                   struct keyref *ref_r);
/* Several keys will be looked up soon (MGET, a pipeline): start fetching them from memory. */
void keyspace_prefetch(const struct keyspace *ks, uint32_t db, const struct bytes *keys,
                       uint32_t count);
struct value keyref_value(const struct keyref *ref); /* entry must not be NULL */
static inline bool keyref_found(const struct keyref *ref) {
    return ref->entry != NULL;
}
/* Store a value: creates the key or replaces its value (the old one is freed, unless it is the same
 * object). Expiry and access time stay; a new key has none. Packed bytes are copied, an object's
 * ownership passes to the keyspace. */
void keyspace_store(struct keyref *ref, const struct value *value);
/* An object was changed in place: report it. */
void keyspace_touch_changed(struct keyref *ref);
/* The same for a change that serves nobody who waits for the key: to what is pending in a stream's
 * group, or entries that went. Not told to keyspace_watch(). */
void keyspace_touch_inside(struct keyref *ref);
/* Make the string of this key `len` bytes long (created if absent, zero-filled where new) and return
 * its writable bytes: for APPEND, SETRANGE, SETBIT, BITFIELD. Amortised O(1) a byte. The encoding
 * becomes RAW. The caller has checked that it is a string, and len against the limit. */
char *keyspace_string_resize(struct keyref *ref, size_t len);
/* Remove the key; its value is freed: a big one in the background if `lazy`, one that would stall the loop
 * always. false if absent. */
bool keyspace_delete(struct keyref *ref, bool lazy);
/* Take the value out without freeing it (RENAME, GETDEL). Packed bytes end up in value_scratch().
 * The key is gone afterwards. */
struct value keyspace_take(struct keyref *ref, int64_t *expire_ms_r);
enum { KEY_NO_EXPIRY = -1 };
int64_t keyref_expire_ms(const struct keyref *ref);          /* absolute, or KEY_NO_EXPIRY */
void keyspace_set_expire(struct keyref *ref, int64_t at_ms); /* or KEY_NO_EXPIRY to remove */
uint64_t keyref_idle_ms(const struct keyref *ref);
uint32_t keyref_frequency(const struct keyref *ref); /* LFU counter, decayed */
void keyspace_set_access(struct keyref *ref, int64_t idle_ms, int32_t frequency); /* -1: leave */
void keyspace_touch(struct keyref *ref);
size_t keyref_memory(const struct keyref *ref, uint32_t samples); /* MEMORY USAGE */

/* ---- a database ---- */
uint32_t keyspace_databases(const struct keyspace *ks);
uint64_t keyspace_count(const struct keyspace *ks, uint32_t db);
uint64_t keyspace_count_all(const struct keyspace *ks); /* of all databases */
uint64_t keyspace_expires_count(const struct keyspace *ks, uint32_t db);
/* Hashes some of whose fields expire. */
uint64_t keyspace_timed_count(const struct keyspace *ks, uint32_t db);
uint64_t keyspace_avg_ttl_ms(const struct keyspace *ks, uint32_t db);
void keyspace_reserve(struct keyspace *ks, uint32_t db, uint64_t keys); /* before a load */
/* Freed in the background if `lazy`, or if there is very much. */
void keyspace_flush(struct keyspace *ks, uint32_t db, bool lazy);
void keyspace_flush_all(struct keyspace *ks, bool lazy);
void keyspace_swap(struct keyspace *ks, uint32_t a, uint32_t b); /* SWAPDB */
/* A random key that is not past its time; false if there is none. */
bool keyspace_random(struct keyspace *ks, uint32_t db, struct keyref *ref_r);
uint64_t keyspace_count_in_slot(const struct keyspace *ks, uint32_t slot); /* of database 0 */
/* Up to `max` keys of a slot of database 0; found is called for each. */
void keyspace_keys_in_slot(struct keyspace *ks, uint32_t slot, uint64_t max,
                           void (*found)(void *arg, struct bytes key), void *arg);

/* ---- scan.c ---- */
/* One step of SCAN: reports about `count` keys through `found`, which gets a ref valid during the
 * call. A key present from the first call to the last is reported at least once, whatever the table
 * does in between. Cursors fit 48 bits; returns the next, 0 at the end. Keys past their time are
 * skipped. found may delete the key it was given. */
uint64_t keyspace_scan(struct keyspace *ks, uint32_t db, uint64_t cursor, uint64_t count,
                       void (*found)(void *arg, struct keyref *ref), void *arg);
/* Every key of a database, for KEYS and snapshots; nothing may change meanwhile. Stops and returns
 * false when found returns false. Keys past their time are included. */
bool keyspace_each(const struct keyspace *ks, uint32_t db,
                   bool (*found)(void *arg, const struct keyref *ref), void *arg);

/* ---- expire.c ---- */
/* Active expiry: look for keys past their time for at most budget_us. Returns how many went. Call hz
 * times a second; effort 1..10. */
uint64_t keyspace_expire_cycle(struct keyspace *ks, uint64_t budget_us, uint32_t effort);
/* Resizing and other small background work, at most budget_us. */
void keyspace_background(struct keyspace *ks, uint64_t budget_us);
/* While a snapshot child lives: do not move pages without need. */
void keyspace_set_child_alive(struct keyspace *ks, bool alive);
/* Keys given to the background thread and not freed yet, and freed; of the whole process. */
uint64_t keyspace_lazyfree_pending(const struct keyspace *ks);
uint64_t keyspace_lazyfreed(const struct keyspace *ks);

/* ---- evict.c ---- */
/* Remove keys by policy until about `bytes` are freed or budget_us is over. Returns false if nothing
 * is left that the policy may remove. */
bool keyspace_evict(struct keyspace *ks, enum maxmemory_policy policy, uint32_t samples,
                    uint64_t bytes, uint64_t budget_us);

#endif
