/* ordered.h - the order of a big sorted set: a B+ tree that knows how many elements lie below each
 * branch, so that rank and position are as cheap as a search.
 *
 *   branch   | first, count, child | first, count, child | ...
 *                          |                      |
 *   leaf     <-> | e e e e ... | <->   | e e e ... | <->      e -> | score | length | member |
 *
 * Elements are ordered by score, then by the bytes of the member; one is never there twice. The tree
 * does not own them. Scores are never NaN. Every call but the walk is O(log n). */
#ifndef REMUDA_TYPES_ORDERED_H
#define REMUDA_TYPES_ORDERED_H
#include "shared/base/bytes.h"

/* One allocation: mem_free() frees it. */
struct ordered_element {
    double score;         /* of an element in a tree: changed by ordered_rescore() only */
    unsigned char text[]; /* length, seven bits a byte; member */
};
struct ordered_element *ordered_element_create(double score, struct bytes member);
struct bytes ordered_element_member(const struct ordered_element *e);
/* < 0, 0, > 0: their order in a tree. */
int ordered_element_compare(const struct ordered_element *a, const struct ordered_element *b);

/* A place between elements. By score and member: just before or after where such an element stands.
 * By one of the two: before or after all that agree in it. By neither: before or after all. */
struct ordered_place {
    bool by_score, by_member, after;
    double score;
    struct bytes member;
};
/* Does such an element stand before the place? */
bool ordered_stands_before(double score, struct bytes member, const struct ordered_place *place);

struct ordered_leaf;
/* All zero is empty. */
struct ordered {
    void *root; /* a leaf if the height is 0 */
    uint32_t height;
    uint64_t count;
    uint64_t bytes; /* of leaves and branches */
};
/* Gives back the nodes; the tree is empty and usable afterwards. */
void ordered_clear(struct ordered *t);
/* Equal elements must not be there. */
void ordered_insert(struct ordered *t, struct ordered_element *e);
/* Give an element of the tree another score. */
void ordered_rescore(struct ordered *t, struct ordered_element *e, double score);
/* Take out the elements of ranks first .. first + count - 1, which must exist; each is given to
 * taken(), which may free it. */
void ordered_remove(struct ordered *t, uint64_t first, uint64_t count,
                    void (*taken)(void *arg, struct ordered_element *e), void *arg);
/* How many elements stand before a place. By member alone this means something only where all
 * scores are equal. */
uint64_t ordered_rank(const struct ordered *t, const struct ordered_place *place);

/* A walk, in either direction; the tree must not change meanwhile. */
struct ordered_cursor {
    const struct ordered_leaf *leaf;
    uint32_t at;
};
/* At the element of this rank, which must exist. */
struct ordered_cursor ordered_seek(const struct ordered *t, uint64_t rank);
/* The element the cursor is at, NULL past either end; the cursor moves on. */
struct ordered_element *ordered_next(struct ordered_cursor *c);
struct ordered_element *ordered_prev(struct ordered_cursor *c);

#endif
