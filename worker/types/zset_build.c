/* zset_build.c - a sorted set made at one go, see zset.h: elements gather in a table while their
 * scores still change, are sorted once, and go into the tree in order, which fills its leaves. */
#include "worker/types/zset_private.h"

#include "shared/base/mem.h"
#include "worker/types/packed.h"

#include <stdlib.h>

void zset_builder_init(struct zset_builder *b) {
    *b = (struct zset_builder){0};
    table_init(&b->elements, &zset_element_type);
}

struct ordered_element *zset_builder_element(struct zset_builder *b, struct bytes member,
                                             bool *new_r) {
    uint64_t hash = table_hash(member);
    struct ordered_element *element = table_find(&b->elements, hash, member);
    *new_r = element == NULL;
    if (element == NULL) {
        element = ordered_element_create(0, member);
        table_insert(&b->elements, hash, element);
    }
    return element;
}

void zset_builder_remove(struct zset_builder *b, struct bytes member) {
    mem_free(table_remove(&b->elements, table_hash(member), member));
}

static int compare_elements(const void *a, const void *b) {
    return ordered_element_compare(*(struct ordered_element *const *)a,
                                   *(struct ordered_element *const *)b);
}

struct ordered_element *const *zset_builder_sort(struct zset_builder *b) {
    if (b->sorted != NULL)
        return b->sorted;
    uint64_t count = zset_builder_count(b), i = 0;
    b->sorted = mem_calloc(count + 1, sizeof(*b->sorted));
    struct table_iterator it = table_iterate(&b->elements);
    struct ordered_element *element;
    while ((element = table_next(&it)) != NULL)
        b->sorted[i++] = element;
    qsort(b->sorted, count, sizeof(*b->sorted), compare_elements);
    return b->sorted;
}

static struct value finish_packed(const struct zset_builder *b, uint64_t count) {
    struct value zset = zset_create();
    for (uint64_t i = 0; i < count; i++)
        zset_packed_append(value_scratch(), ordered_element_member(b->sorted[i]),
                           b->sorted[i]->score);
    zset.packed = buf_bytes(value_scratch());
    return zset;
}

static bool fits_packed(const struct zset_builder *b, uint64_t count,
                        const struct zset_limits *limits) {
    enum { PAIR_OVERHEAD = 32 }; /* no less than a pair takes besides its member */
    uint64_t longest = 0, bytes = 0;
    if (count > limits->packed_entries)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t len = ordered_element_member(b->sorted[i]).len;
        bytes += len + PAIR_OVERHEAD;
        longest = len > longest ? len : longest;
    }
    return zset_fits_packed(count, longest, bytes, limits);
}

struct value zset_builder_finish(struct zset_builder *b, const struct zset_limits *limits) {
    uint64_t count = zset_builder_count(b);
    struct value zset;
    zset_builder_sort(b);
    if (fits_packed(b, count, limits)) {
        zset = finish_packed(b, count);
        table_clear(&b->elements);
    } else {
        zset = zset_object_create(0);
        struct zset_object *object = zset_object_of(&zset);
        object->table = b->elements;
        for (uint64_t i = 0; i < count; i++)
            ordered_insert(&object->order, b->sorted[i]);
    }
    mem_free(b->sorted);
    zset_builder_init(b);
    return zset;
}

void zset_builder_free(struct zset_builder *b) {
    mem_free(b->sorted);
    b->sorted = NULL;
    table_clear(&b->elements);
}
