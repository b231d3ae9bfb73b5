/* keyspace.c - one key: find, store, expire, delete.
 *
 * Every path that makes, changes or removes an entry keeps five things in step: the table of keys,
 * the table of expiries, that of hashes with expiring fields, the count by slot, and the hooks. */
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/ipc/slot_map.h"
#include "worker/types/hash.h"

enum { PREFETCH_GROUP = 16 };

static inline struct database *ref_database(const struct keyref *ref) {
    return &ref->ks->databases[ref->db];
}

static inline void report_changed(const struct keyref *ref) {
    const struct keyspace_hooks *hooks = &ref->ks->hooks;
    if (hooks->changed)
        hooks->changed(ref->ks->changed_arg, ref->db, ref->key);
}

static void slot_add(struct database *d, struct bytes key, uint32_t change) {
    if (!d->in_slot)
        d->in_slot = mem_calloc(SLOT_COUNT, sizeof *d->in_slot);
    d->in_slot[slot_of_key(key)] += change;
}

struct keyref keyref_of_entry(struct keyspace *ks, uint32_t db, struct entry *e) {
    struct bytes key = entry_key(e);
    return (struct keyref){ks, db, key, table_hash(key), e};
}

/* ---- finding ---- */

static void count_access(struct keyspace *ks, enum key_access access, bool found) {
    if (access != KEY_READ && access != KEY_NOTOUCH)
        return;
    if (found)
        ks->stats.hits++;
    else
        ks->stats.misses++;
}

bool keyspace_find(struct keyspace *ks, uint32_t db, struct bytes key, enum key_access access,
                   struct keyref *ref_r) {
    uint64_t hash = table_hash(key);
    struct entry *e = table_find(&ks->databases[db].keys, hash, key);
    *ref_r = (struct keyref){ks, db, key, hash, e};
    if (e && __builtin_expect(entry_is_gone(ks, e), 0)) {
        if (!ks->replica)
            keyspace_remove(ref_r, REMOVAL_EXPIRED);
        else if (access != KEY_WRITE)
            ref_r->entry = NULL;
        e = ref_r->entry;
    }
    if (e && __builtin_expect(entry_is_timed(e), 0) && !ks->expiry_passive) {
        keyspace_expire_fields(ref_r, UINT64_MAX);
        e = ref_r->entry;
    }
    count_access(ks, access, e != NULL);
    if (e && (access == KEY_READ || access == KEY_WRITE))
        access_touch(ks, e);
    return e != NULL;
}

void keyspace_prefetch(const struct keyspace *ks, uint32_t db, const struct bytes *keys,
                       uint32_t count) {
    const struct table *table = &ks->databases[db].keys;
    uint64_t hashes[PREFETCH_GROUP];
    for (uint32_t done = 0; done < count; done += PREFETCH_GROUP) {
        uint32_t group = count - done < PREFETCH_GROUP ? count - done : PREFETCH_GROUP;
        for (uint32_t i = 0; i < group; i++) {
            hashes[i] = table_hash(keys[done + i]);
            table_prefetch(table, hashes[i]);
        }
        for (uint32_t i = 0; i < group; i++)
            table_prefetch_entry(table, hashes[i]);
    }
}

struct value keyref_value(const struct keyref *ref) {
    return entry_value(ref->entry);
}

/* ---- storing ---- */

/* What an entry is in, and what the ref borrows from it: to be looked at before it changes. */
struct links {
    bool own_key; /* the ref's key is the entry's, which may move */
    bool expiry, timed;
};

static struct links links_of(const struct keyref *ref) {
    const struct entry *e = ref->entry;
    return (struct links){ref->key.ptr == entry_key(e).ptr, entry_has_expiry(e), entry_is_timed(e)};
}

static bool wants_timers(const struct entry *e) {
    if (entry_type(e) != VALUE_HASH || entry_place(e) != PLACE_OBJECT)
        return false;
    struct value hash = entry_value(e);
    return hash_timed_count(&hash) > 0;
}

/* The entry, which was `old`, is among the timed ones if it should be. */
static void link_timed(struct database *d, uint64_t hash, const struct entry *old, bool was,
                       struct entry *e) {
    bool is = wants_timers(e);
    if (is && !was)
        table_insert(&d->timed, hash, e);
    else if (is && e != old)
        table_replace(&d->timed, hash, old, e);
    else if (was && !is)
        table_remove_entry(&d->timed, hash, old);
    e->flags = (uint8_t)((e->flags & ~ENTRY_TIMED) | (is ? ENTRY_TIMED : 0));
}

static void link_entry(struct keyref *ref, struct entry *e) {
    struct database *d = ref_database(ref);
    table_insert(&d->keys, ref->hash, e);
    slot_add(d, ref->key, 1);
    link_timed(d, ref->hash, NULL, false, e);
    ref->entry = e;
}

/* The entry has changed to e, maybe at another address. */
static void relink_entry(struct keyref *ref, struct entry *e, struct links before) {
    struct database *d = ref_database(ref);
    const struct entry *old = ref->entry;
    if (e != old) {
        table_replace(&d->keys, ref->hash, old, e);
        if (before.expiry)
            table_replace(&d->expires, ref->hash, old, e);
        ref->entry = e;
    }
    link_timed(d, ref->hash, old, before.timed, e);
    if (before.own_key)
        ref->key = entry_key(e);
}

void keyspace_store(struct keyref *ref, const struct value *value) {
    if (!ref->entry) {
        link_entry(ref, entry_create(ref->key, value, access_initial(ref->ks)));
    } else {
        struct links before = links_of(ref);
        relink_entry(ref, entry_store(ref->entry, value), before);
    }
    report_changed(ref);
}

void keyspace_touch_changed(struct keyref *ref) {
    report_changed(ref);
}

void keyspace_touch_inside(struct keyref *ref) {
    if (!ref->ks->watched)
        report_changed(ref);
}

char *keyspace_string_resize(struct keyref *ref, size_t len) {
    char *data;
    if (!ref->entry) {
        struct value empty = value_string(bytes_of("", 0));
        link_entry(ref, entry_create(ref->key, &empty, access_initial(ref->ks)));
    }
    struct links before = links_of(ref);
    relink_entry(ref, entry_resize_string(ref->entry, len, &data), before);
    report_changed(ref);
    return data;
}

int64_t keyref_expire_ms(const struct keyref *ref) {
    return entry_has_expiry(ref->entry) ? entry_expiry(ref->entry) : KEY_NO_EXPIRY;
}

void keyspace_set_expire(struct keyref *ref, int64_t at_ms) {
    struct database *d = ref_database(ref);
    struct links before = links_of(ref);
    bool had = before.expiry, wanted = at_ms != KEY_NO_EXPIRY;
    if (!had && !wanted)
        return;
    if (had && !wanted)
        table_remove_entry(&d->expires, ref->hash, ref->entry);
    before.expiry = had && wanted;
    relink_entry(ref, entry_set_expiry(ref->entry, at_ms), before);
    if (!had && wanted)
        table_insert(&d->expires, ref->hash, ref->entry);
    report_changed(ref);
}

/* ---- removing ---- */

/* Take the entry out of all that knows it. The caller frees it. */
static struct entry *unlink_entry(struct keyref *ref) {
    struct database *d = ref_database(ref);
    struct entry *e = ref->entry;
    bool known = table_remove_entry(&d->keys, ref->hash, e);
    ASSERT(known);
    if (entry_has_expiry(e))
        table_remove_entry(&d->expires, ref->hash, e);
    if (entry_is_timed(e))
        table_remove_entry(&d->timed, ref->hash, e);
    slot_add(d, ref->key, (uint32_t)-1);
    ref->entry = NULL;
    return e;
}

static void free_entry(struct entry *e, bool lazy) {
    struct value value = entry_value(e);
    if (lazyfree_wants(&value, lazy))
        lazyfree_entry(e);
    else
        entry_free(e);
}

bool keyspace_delete(struct keyref *ref, bool lazy) {
    if (!ref->entry)
        return false;
    struct entry *e = unlink_entry(ref);
    report_changed(ref);
    free_entry(e, lazy);
    return true;
}

void keyspace_remove(struct keyref *ref, enum removal why) {
    struct keyspace *ks = ref->ks;
    struct entry *e = unlink_entry(ref);
    bool expired = why == REMOVAL_EXPIRED;
    uint64_t *counter = expired ? &ks->stats.expired : &ks->stats.evicted;
    void (*hook)(void *, uint32_t, struct bytes) = expired ? ks->hooks.expired : ks->hooks.evicted;
    ++*counter;
    report_changed(ref);
    if (hook)
        hook(ks->hooks.arg, ref->db, ref->key);
    free_entry(e, true);
}

uint64_t keyspace_expire_fields(struct keyref *ref, uint64_t max) {
    struct keyspace *ks = ref->ks;
    struct value hash = entry_value(ref->entry);
    struct buf name = {0}; /* outlives the field */
    struct bytes field;
    int64_t at_ms;
    uint64_t gone = 0;
    for (; gone < max && hash_first_to_go(&hash, &field, &at_ms) && at_ms < ks->now_ms; gone++) {
        buf_clear(&name);
        buf_append_bytes(&name, field);
        hash_delete(&hash, buf_bytes(&name));
        if (ks->hooks.field_expired)
            ks->hooks.field_expired(ks->hooks.arg, ref->db, ref->key, buf_bytes(&name));
    }
    buf_free(&name);
    ks->stats.expired_fields += gone;
    if (hash_count(&hash) == 0)
        keyspace_delete(ref, true);
    else if (gone > 0)
        keyspace_store(ref, &hash);
    return gone;
}

struct value keyspace_take(struct keyref *ref, int64_t *expire_ms_r) {
    *expire_ms_r = keyref_expire_ms(ref);
    struct value value = entry_value(ref->entry);
    if (value_is_packed(value.encoding)) {
        struct buf *scratch = value_scratch();
        buf_clear(scratch);
        buf_append_bytes(scratch, value.packed);
        value.packed = buf_bytes(scratch);
    }
    struct entry *e = unlink_entry(ref);
    report_changed(ref);
    entry_free_shell(e);
    return value;
}

/* ---- memory of one key ---- */

size_t keyref_memory(const struct keyref *ref, uint32_t samples) {
    const struct database *d = ref_database(ref);
    struct value value = entry_value(ref->entry);
    size_t bytes = entry_bytes(ref->entry) + value_object_bytes(&value, samples);
    bytes += table_bytes(&d->keys) / table_count(&d->keys);
    if (entry_is_timed(ref->entry))
        bytes += table_bytes(&d->timed) / table_count(&d->timed);
    if (entry_has_expiry(ref->entry))
        bytes += table_bytes(&d->expires) / table_count(&d->expires);
    return bytes;
}
