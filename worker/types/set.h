/* set.h - members without order. INTSET: integers, sorted; LISTPACK: packed texts; HASHTABLE: a table
 * of members. A set begins as the first and goes on to the others at Redis 7.2's limits, never back. */
#ifndef REMUDA_TYPES_SET_H
#define REMUDA_TYPES_SET_H
#include "worker/types/table.h"
#include "worker/types/value.h"

struct set_limits {
    uint64_t intset_entries; /* set-max-intset-entries */
    uint64_t packed_entries; /* set-max-listpack-entries */
    uint64_t packed_bytes;   /* set-max-listpack-value */
};

/* An empty set, in the scratch buffer if it is packed: INTSET, LISTPACK or HASHTABLE. */
struct value set_create(enum value_encoding encoding);
/* One for members of which `first` is one and of which there may be as many as `expected`. */
struct value set_create_for(struct bytes first, uint64_t expected, const struct set_limits *limits);
/* So many members may come at once: more than a small set may have make it a table beforehand. */
void set_expect(struct value *set, uint64_t members, const struct set_limits *limits);
uint64_t set_count(const struct value *set);
bool set_has(const struct value *set, struct bytes member);
/* Returns true if the member is new. May change the encoding. */
bool set_add(struct value *set, struct bytes member, const struct set_limits *limits);
/* Returns true if the member was there. */
bool set_remove(struct value *set, struct bytes member);
/* A set whose members are all integers, of any encoding, becomes an INTSET if they are few enough. The
 * set must be a new one, stored nowhere. */
void set_prefer_integers(struct value *set, const struct set_limits *limits);

/* Walk all members: of an INTSET in ascending order, of a LISTPACK in the order of their coming. */
struct set_iterator {
    enum value_encoding encoding;
    struct bytes packed; /* INTSET, LISTPACK */
    size_t at;
    struct table_iterator entries; /* HASHTABLE */
    char digits[BYTES_I64_MAX];
};
void set_iterate(const struct value *set, struct set_iterator *it);
/* The member is borrowed until the next call or change; false at the end. */
bool set_next(struct set_iterator *it, struct bytes *member_r);
/* As SSCAN: calls found for some members, returns the next cursor, 0 at the end. A small set is walked
 * whole. */
uint64_t set_scan(const struct value *set, uint64_t cursor, uint64_t count,
                  void (*found)(void *arg, struct bytes member), void *arg);
/* A random member; the set must not be empty. digits: BYTES_I64_MAX. */
struct bytes set_random(const struct value *set, char *digits);
/* `count` different members, every choice as likely as another; all of them if there are no more. */
void set_random_distinct(const struct value *set, uint64_t count,
                         void (*found)(void *arg, struct bytes member), void *arg);

void set_free(struct value *set);
size_t set_object_bytes(const struct value *set, uint32_t samples);
struct value set_copy(const struct value *set);

#endif
