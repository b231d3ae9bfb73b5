/* hash_timers.h - when the fields of a hash expire: a table by field and a heap by time, apart from the
 * fields themselves, so that a hash without expiring fields pays nothing.
 *
 *   fields: table of timers by field name      heap: the earliest first; each timer knows its place */
#ifndef REMUDA_TYPES_HASH_TIMERS_H
#define REMUDA_TYPES_HASH_TIMERS_H
#include "worker/types/table.h"

struct field_timer;
struct hash_timers {
    struct table fields; /* of struct field_timer */
    struct field_timer **heap;
    uint64_t heap_cap;
};

struct hash_timers *hash_timers_create(void);
void hash_timers_free(struct hash_timers **timers);
static inline uint64_t hash_timers_count(const struct hash_timers *timers) {
    return table_count(&timers->fields);
}
/* false: the field has none. */
bool hash_timers_get(const struct hash_timers *timers, struct bytes field, int64_t *at_ms_r);
/* O(log n), as are the others that write. */
void hash_timers_set(struct hash_timers *timers, struct bytes field, int64_t at_ms);
bool hash_timers_remove(struct hash_timers *timers, struct bytes field);
/* The earliest; false if there is none. The name is borrowed until the next write. */
bool hash_timers_first(const struct hash_timers *timers, struct bytes *field_r, int64_t *at_ms_r);
/* Bytes of memory it owns, about. */
size_t hash_timers_bytes(const struct hash_timers *timers);
struct hash_timers *hash_timers_copy(const struct hash_timers *timers);

#endif
