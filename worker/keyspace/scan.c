/* scan.c - walking over the keys of a database, in steps or all at once. */
#include "worker/keyspace/keyspace_private.h"

enum { STEPS_PER_KEY = 10 }; /* nearly empty tables: how much looking a step of SCAN may cost */

struct scan {
    struct keyspace *ks;
    uint32_t db;
    uint64_t reported;
    void (*found)(void *arg, struct keyref *ref);
    void *arg;
};

static void scan_entry(void *arg, void *entry) {
    struct scan *scan = arg;
    if (entry_is_gone(scan->ks, entry))
        return;
    struct keyref ref = keyref_of_entry(scan->ks, scan->db, entry);
    scan->reported++;
    scan->found(scan->arg, &ref);
}

uint64_t keyspace_scan(struct keyspace *ks, uint32_t db, uint64_t cursor, uint64_t count,
                       void (*found)(void *arg, struct keyref *ref), void *arg) {
    struct scan scan = {.ks = ks, .db = db, .found = found, .arg = arg};
    struct table *keys = &ks->databases[db].keys;
    uint64_t steps = count > UINT64_MAX / STEPS_PER_KEY ? UINT64_MAX : count * STEPS_PER_KEY;
    do {
        cursor = table_scan(keys, cursor, scan_entry, &scan);
    } while (cursor && scan.reported < count && --steps);
    return cursor;
}

bool keyspace_each(const struct keyspace *ks, uint32_t db,
                   bool (*found)(void *arg, const struct keyref *ref), void *arg) {
    struct table_iterator it = table_iterate(&ks->databases[db].keys);
    struct keyspace *lent = (struct keyspace *)(uintptr_t)ks; /* refs are const, so is it */
    for (struct entry *e; (e = table_next(&it)) != NULL;) {
        struct keyref ref = keyref_of_entry(lent, db, e);
        if (!found(arg, &ref))
            return false;
    }
    return true;
}
