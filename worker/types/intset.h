/* intset.h - different integers in ascending order, in one run of bytes:
 *
 *   | width: 1 byte | number | number | ...      little-endian; 2, 4 or 8 bytes each, as the widest
 *                                                that ever came needs
 * Finding is O(log n), changing O(n). */
#ifndef REMUDA_TYPES_INTSET_H
#define REMUDA_TYPES_INTSET_H
#include "shared/base/buf.h"
#include "shared/base/bytes.h"

enum { INTSET_HEADER = 1 };

/* Make out an empty one. */
void intset_init(struct buf *out);
static inline uint64_t intset_count(struct bytes set) {
    return (set.len - INTSET_HEADER) / (uint8_t)set.ptr[0];
}
int64_t intset_get(struct bytes set, uint64_t index);
/* Where the number is; if it is not, where it would be. */
bool intset_find(struct bytes set, int64_t number, uint64_t *index_r);
/* The number must be absent, and index what intset_find() said. */
void intset_insert(struct buf *set, uint64_t index, int64_t number);
void intset_delete(struct buf *set, uint64_t index);

#endif
