/* stream_block.h - a run of a stream's entries in one allocation, packed.
 *
 *   | header | names of the first entry's fields | entry | entry | ... |
 *   entry = | head | ms | seq | pairs | elements ... | back |
 *
 *   head      bits, see enum in the .c: deleted; fields as the names above; which of the next are left out
 *   ms        milliseconds since the entry before, varint; left out if 0
 *   seq       difference to that of the entry before, zigzag varint; left out if it is 1 within one
 *             millisecond, or 0 in another
 *   pairs     number of fields, varint; left out if they are the first entry's: then the elements are
 *             values alone, else field, value, field, value ...
 *   elements  as in packed.h, without their back lengths
 *   back      length of all that, seven bits a byte, to be read from its end
 *
 * Blocks are known by the id of their first entry, which is not in them. Deleted entries stay, marked,
 * until none is left. Where one block ends and the next begins is where Redis ends its nodes, since
 * clients see that in XINFO and XTRIM ~: `listpack_bytes` counts along what Redis would need. */
#ifndef REMUDA_TYPES_STREAM_BLOCK_H
#define REMUDA_TYPES_STREAM_BLOCK_H
#include "shared/base/bytes.h"
#include "worker/types/stream_id.h"

struct stream_block {
    struct stream_id last;   /* of the last entry, a deleted one too */
    uint64_t listpack_bytes; /* without frame and counts */
    uint32_t live, deleted;
    uint32_t used, room; /* bytes of data */
    uint32_t entries_at;
    uint32_t names; /* of fields */
    char data[];
};

/* An entry in hand. */
struct stream_entry {
    struct stream_id id;
    bool deleted;
    uint32_t pairs;
    /* private */
    size_t at; /* in the block's data */
    const char *names, *elements;
    char digits[2][BYTES_I64_MAX];
};
/* Its next field and value, valid until the next call; to be called `pairs` times at most. */
void stream_entry_pair(struct stream_entry *e, struct bytes *field_r, struct bytes *value_r);

/* Its fields are those of the block's first entry. */
static inline bool stream_entry_has_block_fields(const struct stream_entry *e) {
    return e->names != NULL;
}

/* A walk in either direction. */
struct stream_block_cursor {
    const struct stream_block *block;
    size_t at;
    struct stream_id
        id; /* forward: of the entry before `at`; backward: of the one that ends there */
};
struct stream_block_cursor stream_block_first(const struct stream_block *b, struct stream_id first);
struct stream_block_cursor stream_block_last(const struct stream_block *b);
bool stream_block_next(struct stream_block_cursor *c, struct stream_entry *entry_r);
bool stream_block_prev(struct stream_block_cursor *c, struct stream_entry *entry_r);

/* A block whose first entry will have these fields; argv is field, value, field, value ... */
struct stream_block *stream_block_create(const struct bytes *argv, uint32_t pairs);
/* An entry behind the last one; of a new block `first` is its own id. Returns the block's new address. */
struct stream_block *stream_block_append(struct stream_block *b, struct stream_id first,
                                         struct stream_id id, const struct bytes *argv,
                                         uint32_t pairs, bool deleted);
/* Mark as deleted. */
void stream_block_delete(struct stream_block *b, const struct stream_entry *entry);
/* Nothing will be appended any more: give back what is not used. */
struct stream_block *stream_block_seal(struct stream_block *b);
struct stream_block *stream_block_copy(const struct stream_block *b);
/* Bytes of the listpack that Redis would hold. */
uint64_t stream_block_listpack_bytes(const struct stream_block *b);

#endif
