/* ordered.c - see ordered.h. A leaf is 512 bytes, a branch 1 KB.
 *
 * A branch repeats the first element below each child with its score, so that a search looks into an
 * element only where scores are equal. `first` and `count` of a slot are exact at all times: each
 * change mends them on its way back up. A full node that grows at the end of the whole is not halved
 * but left full, so that elements which come in order fill the leaves. A node that has become sparse
 * shares with its neighbour, or is joined to it. */
#include "worker/types/ordered.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

enum {
    LEAF_ITEMS = 61,
    BRANCH_SLOTS = 31,
    SPARSE_PART = 4, /* below a quarter a node shares or is joined */
    LENGTH_BYTES_MAX = 10
};

struct slot {
    double score; /* of first */
    struct ordered_element *first;
    void *child;
    uint64_t count;
};
/* What leaves and branches have in common. */
struct node {
    uint32_t used;
};
struct ordered_leaf {
    struct node node;
    struct ordered_leaf *prev, *next;
    struct ordered_element *items[LEAF_ITEMS];
};
struct branch {
    struct node node;
    struct slot slots[BRANCH_SLOTS];
};
_Static_assert(sizeof(struct ordered_leaf) == 512, "a leaf fills its size class");
_Static_assert(sizeof(struct branch) <= 1024, "a branch fits its size class");

/* ---- elements ---- */

struct ordered_element *ordered_element_create(double score, struct bytes member) {
    unsigned char length[LENGTH_BYTES_MAX];
    size_t head = 0, rest = member.len;
    for (; rest > 0x7F; rest >>= 7)
        length[head++] = (unsigned char)(rest | 0x80);
    length[head++] = (unsigned char)rest;
    struct ordered_element *e = mem_alloc(sizeof(*e) + head + member.len);
    e->score = score;
    memcpy(e->text, length, head);
    if (member.len > 0)
        memcpy(e->text + head, member.ptr, member.len);
    return e;
}

struct bytes ordered_element_member(const struct ordered_element *e) {
    const unsigned char *at = e->text;
    size_t length = 0;
    uint32_t shift = 0;
    unsigned char byte;
    do {
        byte = *at++;
        length |= (size_t)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    return bytes_of((const char *)at, length);
}

int ordered_element_compare(const struct ordered_element *a, const struct ordered_element *b) {
    if (a->score != b->score)
        return a->score < b->score ? -1 : 1;
    return bytes_compare(ordered_element_member(a), ordered_element_member(b));
}

bool ordered_stands_before(double score, struct bytes member, const struct ordered_place *place) {
    if (place->by_score && score != place->score)
        return score < place->score;
    if (place->by_member) {
        int order = bytes_compare(member, place->member);
        if (order != 0)
            return order < 0;
    }
    return place->after;
}

/* The same, without a look at the element where the score decides. */
static inline bool stands_before(double score, const struct ordered_element *e,
                                 const struct ordered_place *place) {
    if (place->by_score && score != place->score)
        return score < place->score;
    return place->by_member ? ordered_stands_before(score, ordered_element_member(e), place)
                            : place->after;
}

static struct ordered_place place_of(const struct ordered_element *e) {
    return (struct ordered_place){.by_score = true,
                                  .by_member = true,
                                  .score = e->score,
                                  .member = ordered_element_member(e)};
}

/* ---- nodes, whatever their height ---- */

static void *node_create(struct ordered *t, uint32_t height) {
    size_t bytes = height == 0 ? sizeof(struct ordered_leaf) : sizeof(struct branch);
    struct node *node = mem_alloc(bytes);
    node->used = 0;
    t->bytes += mem_usable(node);
    return node;
}

static void node_free(struct ordered *t, struct node *node, uint32_t height) {
    if (height == 0) {
        struct ordered_leaf *leaf = (struct ordered_leaf *)node;
        if (leaf->prev != NULL)
            leaf->prev->next = leaf->next;
        if (leaf->next != NULL)
            leaf->next->prev = leaf->prev;
    }
    t->bytes -= mem_usable(node);
    mem_free(node);
}

static uint32_t node_room(uint32_t height) {
    return height == 0 ? LEAF_ITEMS : BRANCH_SLOTS;
}

static size_t item_bytes(uint32_t height) {
    return height == 0 ? sizeof(struct ordered_element *) : sizeof(struct slot);
}

static char *item_at(struct node *node, uint32_t height, uint32_t at) {
    char *items = height == 0 ? (char *)((struct ordered_leaf *)node)->items
                              : (char *)((struct branch *)node)->slots;
    return items + at * item_bytes(height);
}

static void item_insert(struct node *node, uint32_t height, uint32_t at, const void *item) {
    size_t size = item_bytes(height);
    char *to = item_at(node, height, at);
    memmove(to + size, to, (node->used - at) * size);
    memcpy(to, item, size);
    node->used++;
}

static void items_delete(struct node *node, uint32_t height, uint32_t at, uint32_t count) {
    size_t size = item_bytes(height);
    char *to = item_at(node, height, at);
    memmove(to, to + count * size, (node->used - at - count) * size);
    node->used -= count;
}

/* The last `count` items of the left node become the first of the right one. */
static void shift_right(struct node *left, struct node *right, uint32_t height, uint32_t count) {
    size_t size = item_bytes(height);
    char *to = item_at(right, height, 0);
    memmove(to + count * size, to, right->used * size);
    memcpy(to, item_at(left, height, left->used - count), count * size);
    left->used -= count;
    right->used += count;
}

/* The first `count` items of the right node become the last of the left one. */
static void shift_left(struct node *left, struct node *right, uint32_t height, uint32_t count) {
    memcpy(item_at(left, height, left->used), item_at(right, height, 0),
           count * item_bytes(height));
    left->used += count;
    items_delete(right, height, 0, count);
}

static uint64_t node_count(const struct node *node, uint32_t height) {
    if (height == 0)
        return node->used;
    uint64_t count = 0;
    for (uint32_t i = 0; i < node->used; i++)
        count += ((const struct branch *)node)->slots[i].count;
    return count;
}

static void refresh_first(struct slot *slot, uint32_t height) {
    struct node *child = slot->child;
    slot->first = height == 0 ? ((struct ordered_leaf *)child)->items[0]
                              : ((struct branch *)child)->slots[0].first;
    slot->score = slot->first->score;
}

/* height: of the child. */
static void refresh(struct slot *slot, uint32_t height) {
    refresh_first(slot, height);
    slot->count = node_count(slot->child, height);
}

static void free_below(struct ordered *t, struct node *node, uint32_t height) {
    if (height > 0)
        for (uint32_t i = 0; i < node->used; i++)
            free_below(t, ((struct branch *)node)->slots[i].child, height - 1);
    t->bytes -= mem_usable(node);
    mem_free(node);
}

void ordered_clear(struct ordered *t) {
    if (t->root != NULL)
        free_below(t, t->root, t->height);
    *t = (struct ordered){0};
}

/* ---- searching ---- */

/* How many items of the leaf stand before the place. */
static uint32_t leaf_find(const struct ordered_leaf *leaf, const struct ordered_place *place) {
    uint32_t low = 0, high = leaf->node.used;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (stands_before(leaf->items[middle]->score, leaf->items[middle], place))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The child that the place is in, or at the end of. */
static uint32_t branch_find(const struct branch *b, const struct ordered_place *place) {
    uint32_t low = 1, high = b->node.used;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (stands_before(b->slots[middle].score, b->slots[middle].first, place))
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

uint64_t ordered_rank(const struct ordered *t, const struct ordered_place *place) {
    if (t->root == NULL)
        return 0;
    uint64_t rank = 0;
    const void *node = t->root;
    for (uint32_t height = t->height; height > 0; height--) {
        const struct branch *b = node;
        uint32_t at = branch_find(b, place);
        for (uint32_t i = 0; i < at; i++)
            rank += b->slots[i].count;
        node = b->slots[at].child;
    }
    return rank + leaf_find(node, place);
}

/* The child that holds the element of a rank, which becomes the rank within that child. */
static uint32_t branch_seek(const struct branch *b, uint64_t *rank) {
    uint32_t at = 0;
    for (; *rank >= b->slots[at].count; at++)
        *rank -= b->slots[at].count;
    return at;
}

struct ordered_cursor ordered_seek(const struct ordered *t, uint64_t rank) {
    ASSERT(rank < t->count);
    const void *node = t->root;
    for (uint32_t height = t->height; height > 0; height--) {
        const struct branch *b = node;
        node = b->slots[branch_seek(b, &rank)].child;
    }
    return (struct ordered_cursor){.leaf = node, .at = (uint32_t)rank};
}

struct ordered_element *ordered_next(struct ordered_cursor *c) {
    if (c->leaf == NULL)
        return NULL;
    struct ordered_element *e = c->leaf->items[c->at++];
    if (c->at == c->leaf->node.used)
        *c = (struct ordered_cursor){.leaf = c->leaf->next};
    return e;
}

struct ordered_element *ordered_prev(struct ordered_cursor *c) {
    if (c->leaf == NULL)
        return NULL;
    struct ordered_element *e = c->leaf->items[c->at];
    if (c->at-- == 0) {
        c->leaf = c->leaf->prev;
        c->at = c->leaf == NULL ? 0 : c->leaf->node.used - 1;
    }
    return e;
}

/* ---- inserting ---- */

/* Where a full node is cut in which an item is to be put at `at`: all that stays left of the cut. */
static uint32_t cut_of(const struct node *node, uint32_t height, uint32_t at) {
    const struct ordered_leaf *leaf = (const struct ordered_leaf *)node;
    if (height > 0)
        return at == BRANCH_SLOTS ? at : at == 1 ? 1 : BRANCH_SLOTS / 2;
    if (at == LEAF_ITEMS && leaf->next == NULL)
        return LEAF_ITEMS;
    return at == 0 && leaf->prev == NULL ? 0 : LEAF_ITEMS / 2;
}

static struct node *split(struct ordered *t, struct node *node, uint32_t height, uint32_t cut) {
    struct node *right = node_create(t, height);
    if (height == 0) {
        struct ordered_leaf *a = (struct ordered_leaf *)node, *b = (struct ordered_leaf *)right;
        b->prev = a;
        b->next = a->next;
        if (b->next != NULL)
            b->next->prev = b;
        a->next = b;
    }
    shift_right(node, right, height, node->used - cut);
    return right;
}

/* Put an item into a node. True: it was split, and right_r is the slot of its new right half. */
static bool put(struct ordered *t, struct node *node, uint32_t height, uint32_t at,
                const void *item, struct slot *right_r) {
    if (node->used < node_room(height)) {
        item_insert(node, height, at, item);
        return false;
    }
    uint32_t cut = cut_of(node, height, at);
    struct node *right = split(t, node, height, cut);
    if (at > cut || right->used == 0 || (at == cut && cut > 0))
        item_insert(right, height, at - cut, item);
    else
        item_insert(node, height, at, item);
    right_r->child = right;
    refresh(right_r, height);
    return true;
}

static bool insert_below(struct ordered *t, void *node, uint32_t height, struct ordered_element *e,
                         const struct ordered_place *place, struct slot *right_r) {
    if (height == 0)
        return put(t, node, 0, leaf_find(node, place), &e, right_r);
    struct branch *b = node;
    struct slot right;
    uint32_t at = branch_find(b, place);
    struct slot *slot = &b->slots[at];
    bool is_split = insert_below(t, slot->child, height - 1, e, place, &right);
    slot->count++;
    refresh_first(slot, height - 1);
    if (!is_split)
        return false;
    slot->count -= right.count;
    return put(t, node, height, at + 1, &right, right_r);
}

void ordered_insert(struct ordered *t, struct ordered_element *e) {
    struct ordered_place place = place_of(e);
    struct slot right;
    if (t->root == NULL) {
        struct ordered_leaf *leaf = node_create(t, 0);
        leaf->prev = leaf->next = NULL;
        t->root = leaf;
    }
    if (insert_below(t, t->root, t->height, e, &place, &right)) {
        struct slot left = {.child = t->root};
        struct branch *root = node_create(t, t->height + 1);
        refresh(&left, t->height);
        root->slots[0] = left;
        root->slots[1] = right;
        root->node.used = 2;
        t->root = root;
        t->height++;
    }
    t->count++;
}

/* ---- removing ---- */

/* Of two neighbours one has become sparse: join them, or share alike. */
static void join_or_share(struct ordered *t, struct branch *b, uint32_t at, uint32_t height) {
    struct node *left = b->slots[at].child, *right = b->slots[at + 1].child;
    uint32_t total = left->used + right->used;
    if (total <= node_room(height)) {
        shift_left(left, right, height, right->used);
        node_free(t, right, height);
        items_delete(&b->node, height + 1, at + 1, 1);
    } else {
        if (left->used < total / 2)
            shift_left(left, right, height, total / 2 - left->used);
        else
            shift_right(left, right, height, left->used - total / 2);
        refresh(&b->slots[at + 1], height);
    }
    refresh(&b->slots[at], height);
}

/* The child at `at`, of this height, has lost elements. */
static void mend(struct ordered *t, struct branch *b, uint32_t at, uint32_t height) {
    struct node *child = b->slots[at].child;
    if (child->used == 0) {
        node_free(t, child, height);
        items_delete(&b->node, height + 1, at, 1);
        return;
    }
    refresh_first(&b->slots[at], height);
    if (child->used < node_room(height) / SPARSE_PART && b->node.used > 1)
        join_or_share(t, b, at > 0 ? at - 1 : 0, height);
}

struct removal {
    struct ordered *tree;
    void (*taken)(void *arg, struct ordered_element *e);
    void *arg;
};

/* Removes from one leaf only; returns how many. */
static uint64_t remove_below(const struct removal *r, void *node, uint32_t height, uint64_t rank,
                             uint64_t count) {
    if (height == 0) {
        struct ordered_leaf *leaf = node;
        uint64_t there = leaf->node.used - rank;
        count = count < there ? count : there;
        for (uint64_t i = 0; i < count; i++)
            r->taken(r->arg, leaf->items[rank + i]);
        items_delete(&leaf->node, 0, (uint32_t)rank, (uint32_t)count);
        return count;
    }
    struct branch *b = node;
    uint32_t at = branch_seek(b, &rank);
    uint64_t removed = remove_below(r, b->slots[at].child, height - 1, rank, count);
    b->slots[at].count -= removed;
    mend(r->tree, b, at, height - 1);
    return removed;
}

static void lower_root(struct ordered *t) {
    while (t->height > 0 && ((struct branch *)t->root)->node.used == 1) {
        void *child = ((struct branch *)t->root)->slots[0].child;
        node_free(t, t->root, t->height--);
        t->root = child;
    }
    if (t->count == 0)
        ordered_clear(t);
}

void ordered_remove(struct ordered *t, uint64_t first, uint64_t count,
                    void (*taken)(void *arg, struct ordered_element *e), void *arg) {
    ASSERT(first <= t->count && count <= t->count - first);
    struct removal r = {.tree = t, .taken = taken, .arg = arg};
    while (count > 0) {
        uint64_t removed = remove_below(&r, t->root, t->height, first, count);
        t->count -= removed;
        count -= removed;
        lower_root(t);
    }
}

/* ---- another score ---- */

/* May the item at `at` have this score where it stands? */
static bool fits_here(const struct ordered_leaf *leaf, uint32_t at,
                      const struct ordered_place *place) {
    const struct ordered_element *before = NULL, *behind = NULL;
    if (at > 0)
        before = leaf->items[at - 1];
    else if (leaf->prev != NULL)
        before = leaf->prev->items[leaf->prev->node.used - 1];
    if (at + 1 < leaf->node.used)
        behind = leaf->items[at + 1];
    else if (leaf->next != NULL)
        behind = leaf->next->items[0];
    return (before == NULL || stands_before(before->score, before, place)) &&
           (behind == NULL || !stands_before(behind->score, behind, place));
}

/* Give the element just before `from` the score of `to` if it can stay where it is. */
static bool rescore_below(void *node, uint32_t height, const struct ordered_place *from,
                          const struct ordered_place *to) {
    if (height == 0) {
        struct ordered_leaf *leaf = node;
        uint32_t at = leaf_find(leaf, from) - 1;
        bool fits = fits_here(leaf, at, to);
        if (fits)
            leaf->items[at]->score = to->score;
        return fits;
    }
    struct branch *b = node;
    struct slot *slot = &b->slots[branch_find(b, from)];
    bool done = rescore_below(slot->child, height - 1, from, to);
    if (done)
        refresh_first(slot, height - 1);
    return done;
}

static void taken_for_rescoring(void *arg, struct ordered_element *e) {
    ASSERT(e == arg);
}

void ordered_rescore(struct ordered *t, struct ordered_element *e, double score) {
    struct ordered_place from = place_of(e), to = from;
    to.score = score;
    from.after = true;
    if (rescore_below(t->root, t->height, &from, &to))
        return;
    ordered_remove(t, ordered_rank(t, &from) - 1, 1, taken_for_rescoring, e);
    e->score = score;
    ordered_insert(t, e);
}
