/* zset.h - members with scores, in order. LISTPACK: packed pairs, sorted; SKIPLIST: Redis's name for
 * the big form, here a table of elements by member and an ordered tree of the same elements.
 *
 * Order is by score, then by the bytes of the member; ranks count from 0 at the low end. A score is
 * never NaN: callers see to that. */
#ifndef REMUDA_TYPES_ZSET_H
#define REMUDA_TYPES_ZSET_H
#include "worker/types/ordered.h"
#include "worker/types/table.h"
#include "worker/types/value.h"

struct zset_limits {
    uint64_t packed_entries; /* zset-max-listpack-entries */
    uint64_t packed_bytes;   /* zset-max-listpack-value */
};

/* An empty packed sorted set, in the scratch buffer. */
struct value zset_create(void);
/* So many pairs are about to be added: past the limit a packed set becomes a big one at once. */
void zset_expect(struct value *zset, uint64_t pairs, const struct zset_limits *limits);
uint64_t zset_count(const struct value *zset);
/* false if absent. */
bool zset_score(const struct value *zset, struct bytes member, double *score_r);
/* Score and rank from the low end; false if absent. */
bool zset_rank(const struct value *zset, struct bytes member, uint64_t *rank_r, double *score_r);

/* The conditions of ZADD. */
enum zset_flag {
    ZSET_NX = 1 << 0,
    ZSET_XX = 1 << 1,
    ZSET_GT = 1 << 2,
    ZSET_LT = 1 << 3,
    ZSET_INCR = 1 << 4 /* add to the score there is */
};
enum zset_outcome {
    ZSET_ADDED,
    ZSET_UPDATED,
    ZSET_SAME,    /* it has this score already */
    ZSET_REFUSED, /* by the flags */
    ZSET_NAN      /* the sum would be no number; nothing is changed */
};
/* *score becomes the score the member has then (unless REFUSED or NAN). May turn a packed set into a
 * big one at the limits. */
enum zset_outcome zset_add(struct value *zset, struct bytes member, double *score, uint32_t flags,
                           const struct zset_limits *limits);
/* Returns true if the member was there. */
bool zset_remove(struct value *zset, struct bytes member);
/* Take out the members of ranks first .. first + count - 1, which exist. */
void zset_remove_ranks(struct value *zset, uint64_t first, uint64_t count);

/* From one place to another, up to which nothing may be: what lies between them. By member alone it
 * means something only where all scores are equal. */
struct zset_range {
    struct ordered_place from, to;
};
/* Rank of the first, and how many. */
void zset_find_range(const struct value *zset, const struct zset_range *range, uint64_t *first_r,
                     uint64_t *count_r);

/* Walk in order, from a rank on: up, or down if `reverse`. No pairs past either end. */
struct zset_iterator {
    struct bytes packed; /* LISTPACK */
    size_t at;           /* 0: past the low end */
    struct ordered_cursor cursor;
    bool reverse;
    char digits[BYTES_I64_MAX];
};
void zset_iterate(const struct value *zset, uint64_t rank, bool reverse, struct zset_iterator *it);
/* The member is borrowed until the next call or change; false at the end. */
bool zset_next(struct zset_iterator *it, struct bytes *member_r, double *score_r);

typedef void zset_found(void *arg, struct bytes member, double score);
/* As ZSCAN: calls found for some pairs, returns the next cursor, 0 at the end. A packed set is walked
 * whole. */
uint64_t zset_scan(const struct value *zset, uint64_t cursor, uint64_t count, zset_found *found,
                   void *arg);
/* A random pair, each as likely as another; the set must not be empty. digits: BYTES_I64_MAX. */
void zset_random(const struct value *zset, char *digits, struct bytes *member_r, double *score_r);
/* `count` different pairs, every choice as likely as another; all of them if there are no more. */
void zset_random_distinct(const struct value *zset, uint64_t count, zset_found *found, void *arg);

void zset_free(struct value *zset);
size_t zset_object_bytes(const struct value *zset, uint32_t samples);
struct value zset_copy(const struct value *zset);

/* ---- zset_build.c: many pairs first, their order at the end ---- */
/* Scores can be changed for as long as nothing is in order. All zero but for zset_builder_init(). */
struct zset_builder {
    struct table elements; /* of struct ordered_element */
    struct ordered_element **sorted;
};
void zset_builder_init(struct zset_builder *b);
/* The element of a member, made if it is absent; its score may be written. */
struct ordered_element *zset_builder_element(struct zset_builder *b, struct bytes member,
                                             bool *new_r);
void zset_builder_remove(struct zset_builder *b, struct bytes member);
static inline uint64_t zset_builder_count(const struct zset_builder *b) {
    return table_count(&b->elements);
}
/* The elements in order; the builder may only be finished or freed from here on. */
struct ordered_element *const *zset_builder_sort(struct zset_builder *b);
/* A sorted set of all elements, in the form the limits ask for; the builder is empty again. Its
 * members must not lie in value_scratch(). */
struct value zset_builder_finish(struct zset_builder *b, const struct zset_limits *limits);
void zset_builder_free(struct zset_builder *b);

#endif
