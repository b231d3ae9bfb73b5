/* zset_private.h - the big form of a sorted set, for zset*.c. */
#ifndef REMUDA_TYPES_ZSET_PRIVATE_H
#define REMUDA_TYPES_ZSET_PRIVATE_H
#include "worker/types/zset.h"

/* Both hold the same elements; the table frees them. */
struct zset_object {
    struct table table;
    struct ordered order;
};
extern const struct table_type zset_element_type;

struct value zset_object_create(uint64_t reserve);
struct zset_object *zset_object_of(const struct value *zset);
/* Bytes no packed set may grow to, whatever the limits say: it is copied whole with each change. */
enum { ZSET_PACKED_BYTES_MAX = 1 << 30 };
static inline bool zset_fits_packed(uint64_t pairs, uint64_t member_bytes, uint64_t packed_bytes,
                                    const struct zset_limits *limits) {
    return pairs <= limits->packed_entries && member_bytes <= limits->packed_bytes &&
           member_bytes <= ZSET_PACKED_BYTES_MAX && packed_bytes <= ZSET_PACKED_BYTES_MAX;
}

/* ---- zset_packed.c: member, score, member, score ... in order ----
 * A score is an integer, or a text of nine bytes: a mark that no digit is, and the double, little
 * endian. Positions are those of members. */
double zset_packed_score(struct bytes packed, size_t member_at);
/* packed.len if absent. */
size_t zset_packed_find(struct bytes packed, struct bytes member);
/* The pair of a rank, or packed.len. */
size_t zset_packed_seek(struct bytes packed, uint64_t rank);
void zset_packed_append(struct buf *packed, struct bytes member, double score);
/* In its place in the order; the member must be absent. */
void zset_packed_insert(struct buf *packed, struct bytes member, double score);
/* Pairs from the one of `rank` at *at on that stand before a place; *at goes to the first that does
 * not. */
uint64_t zset_packed_pass(struct bytes packed, size_t *at, const struct ordered_place *place);

#endif
