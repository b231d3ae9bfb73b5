/* list_private.h - the blocks of a big list.
 *
 *   object -> block <-> block <-> block
 *             | gap | packed run | spare |      one allocation; what is free may lie on either side,
 *                                               so that both ends give and take in O(1)
 *
 * A block's run is a packed.h run of `count` elements; its own count saturates and is not looked at.
 * Where a block is full, and whether two fit into one, is judged by `listpack_bytes`. */
#ifndef REMUDA_TYPES_LIST_PRIVATE_H
#define REMUDA_TYPES_LIST_PRIVATE_H
#include "worker/types/list.h"
#include "worker/types/packed.h"

struct list_block {
    struct list_block *prev, *next;
    char *data;
    size_t len;            /* of the run */
    size_t listpack_bytes; /* that its elements would take as Redis's listpack, frame included */
    uint32_t gap;
    uint32_t count;
};

struct list_object {
    struct list_block *first, *last;
    uint64_t count, blocks;
};

enum { LISTPACK_FRAME = 7 };

/* What a block may hold. */
struct list_limit {
    uint64_t bytes, elements;
};
struct list_limit list_limit_of(int64_t fill);
static inline bool list_exceeds(const struct list_limit *limit, uint64_t bytes, uint64_t elements) {
    return bytes > limit->bytes || elements > limit->elements;
}
/* Bytes of the elements of a run from `from` to `to`, in a listpack; *count_r (may be NULL) of them. */
size_t list_listpack_bytes(struct bytes run, size_t from, size_t to, uint64_t *count_r);
/* Take the elements equal to text out of a run; the first `skip` stay, and all after `max` more.
 * Returns how many went. */
uint64_t list_run_delete_equal(char *run, size_t *len, struct bytes text, uint64_t skip,
                               uint64_t max);
uint64_t list_run_count_equal(struct bytes run, struct bytes text);

static inline struct bytes block_run(const struct list_block *b) {
    return bytes_of(b->data + b->gap, b->len);
}
/* Add a block of some elements of a run, after `prev` (NULL: first of all). The source may be the
 * run of another block. */
struct list_block *block_add(struct list_object *o, struct list_block *prev, struct bytes run,
                             size_t from, size_t to);
struct list_block *block_add_text(struct list_object *o, struct list_block *prev,
                                  struct bytes text);
void block_drop(struct list_object *o, struct list_block *b);
/* The block of an element that is there; *index becomes its place in the block. */
struct list_block *block_at(const struct list_object *o, uint64_t *index);
/* Where in its run the element of an index is. */
size_t block_place(const struct list_block *b, uint64_t index);
bool block_takes(const struct list_block *b, const struct list_limit *limit, size_t characters);
void block_push(struct list_object *o, struct list_block *b, enum list_end end, struct bytes text);
/* Put text before the element at a place of the run (its end included). */
void block_insert(struct list_object *o, struct list_block *b, size_t at, struct bytes text);
void block_replace(struct list_block *b, size_t at, struct bytes text);
/* The block goes with its last element. */
void block_delete(struct list_object *o, struct list_block *b, uint64_t index, uint64_t count);
uint64_t block_delete_equal(struct list_object *o, struct list_block *b, struct bytes text,
                            uint64_t max, enum list_end from);
/* Move the elements from `at` on into a new block, which is returned. */
struct list_block *block_split(struct list_object *o, struct list_block *b, size_t at);
/* Join blocks around b that fit into one. */
void block_merge_around(struct list_object *o, struct list_block *b,
                        const struct list_limit *limit);

#endif
