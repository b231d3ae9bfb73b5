/* idtree.h - a map from stream ids to records of one size: a B+ tree whose leaves hold the records
 * themselves. A stream's blocks, a group's pending entries and those of a consumer are such maps.
 *
 *   branch   | first, child | first, child | ...
 *                    |              |
 *   leaf     <-> | id record | id record | ... | <-> ...
 *
 * A tree of few records is one small leaf. Records that come in order fill the leaves. Every call but
 * the walk is O(log n). A call that writes makes records and cursors invalid. */
#ifndef REMUDA_TYPES_IDTREE_H
#define REMUDA_TYPES_IDTREE_H
#include "worker/types/stream_id.h"
#include <stddef.h>

/* All zero but the record's size is empty. May be moved as a struct. */
struct idtree {
    void *root;
    uint32_t height;
    uint32_t record_bytes; /* a multiple of 8; 0: the ids are all there is */
    uint64_t count;
    uint64_t bytes; /* of leaves and branches */
    uint64_t nodes;
};
static inline void idtree_init(struct idtree *t, uint32_t record_bytes) {
    *t = (struct idtree){.record_bytes = record_bytes};
}
/* Gives back the nodes; the tree is empty and usable afterwards. */
void idtree_clear(struct idtree *t);
/* The record of an id; NULL if absent. */
void *idtree_find(const struct idtree *t, struct stream_id id);
/* The id must be absent. The record is the caller's to fill. */
void *idtree_insert(struct idtree *t, struct stream_id id);
/* false: it was not there. */
bool idtree_remove(struct idtree *t, struct stream_id id);

/* A walk, in either direction. */
struct idtree_leaf;
struct idtree_cursor {
    const struct idtree *tree;
    struct idtree_leaf *leaf;
    uint32_t at;
};
/* At the first record whose id is not before `id`; past the end if there is none. */
struct idtree_cursor idtree_seek(const struct idtree *t, struct stream_id id);
/* At the last record whose id is not after `id`; past the beginning if there is none. */
struct idtree_cursor idtree_seek_back(const struct idtree *t, struct stream_id id);
/* The record the cursor is at, and its id (id_r may be NULL); the cursor moves on. NULL past either
 * end. */
void *idtree_next(struct idtree_cursor *c, struct stream_id *id_r);
void *idtree_prev(struct idtree_cursor *c, struct stream_id *id_r);

#endif
