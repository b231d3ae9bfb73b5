/* list.h - elements in order. LISTPACK: one packed run; QUICKLIST: blocks of packed runs, linked both
 * ways, so that the ends cost O(1) and an index the walk over the blocks from the nearer end.
 *
 * `fill` is list-max-listpack-size: the most elements of a block (positive), or the most bytes (-1: 4 KB,
 * -2: 8 KB ... -5: 64 KB), counted as Redis's listpack would, so that encodings change where Redis's
 * do. No element may be longer than LIST_ELEMENT_MAX. */
#ifndef REMUDA_TYPES_LIST_H
#define REMUDA_TYPES_LIST_H
#include "worker/types/value.h"

#define LIST_ELEMENT_MAX ((UINT64_C(1) << 32) - 1024)

enum list_end { LIST_FRONT, LIST_BACK };

/* An empty packed list, in the scratch buffer. */
struct value list_create(void);
uint64_t list_count(const struct value *list);
/* So many elements of so many characters in all will come: a packed list that they would take past
 * its limit becomes a quicklist. To be said before list_push(), list_insert_at() and list_set(). */
void list_expect(struct value *list, uint64_t elements, uint64_t characters, int64_t fill);
/* Elements have gone, or shrunk: a quicklist of one block that is at most half full becomes packed, in
 * the scratch buffer. Its object is not freed: storing the value over it does that. */
void list_settle(struct value *list, int64_t fill);

void list_push(struct value *list, enum list_end end, struct bytes text, int64_t fill);
/* Before the element at `index`, which is there, or after it. */
void list_insert_at(struct value *list, uint64_t index, bool after, struct bytes text,
                    int64_t fill);
/* Replace the element at `index`, which is there. */
void list_set(struct value *list, uint64_t index, struct bytes text, int64_t fill);
/* Take out `count` elements from `index` on; they are there. */
void list_delete(struct value *list, uint64_t index, uint64_t count);
/* Take out up to `max` elements equal to text, the first ones from an end; returns how many. */
uint64_t list_delete_equal(struct value *list, struct bytes text, uint64_t max, enum list_end from);

/* Walk from the element at `index` (or nothing, if there is none) to the other end. */
struct list_block;
struct list_iterator {
    const struct list_block *block; /* NULL: packed */
    struct bytes run;
    size_t at;
    bool backward;
    char digits[BYTES_I64_MAX];
};
void list_iterate(const struct value *list, uint64_t index, bool backward,
                  struct list_iterator *it);
/* The element is borrowed until the next call or change; false at the end. */
bool list_next(struct list_iterator *it, struct bytes *text_r);

void list_free(struct value *list);
size_t list_object_bytes(const struct value *list, uint32_t samples);
struct value list_copy(const struct value *list);

#endif
