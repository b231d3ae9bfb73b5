/* idtree.c - see idtree.h. Leaves and branches are of 1 KB, but for the leaf of a small tree.
 *
 * `first` of a slot is not after any id below its child, and after all ids of the child before: an id
 * goes to the last child whose first is not after it. A full node that grows at the end of the whole is
 * not halved but left full. A node that has become sparse is joined to its neighbour if both fit. */
#include "worker/types/idtree.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <string.h>

enum { NODE_BYTES = 1024, SMALL_RECORDS = 2, BRANCH_SLOTS = 42, SPARSE_PART = 4 };

struct slot {
    struct stream_id first;
    void *child;
};
/* What leaves and branches have in common. */
struct node {
    uint32_t used, room;
};
struct idtree_leaf {
    struct node node;
    struct idtree_leaf *prev, *next;
    char items[]; /* id, record, id, record ... */
};
struct branch {
    struct node node;
    struct slot slots[BRANCH_SLOTS];
};
_Static_assert(sizeof(struct branch) <= NODE_BYTES, "a branch fits its size class");

/* ---- nodes, whatever their height ---- */

static uint32_t item_bytes(const struct idtree *t, uint32_t height) {
    return height > 0 ? sizeof(struct slot) : sizeof(struct stream_id) + t->record_bytes;
}

static char *item_at(const struct idtree *t, struct node *node, uint32_t height, uint32_t at) {
    char *items =
        height > 0 ? (char *)((struct branch *)node)->slots : ((struct idtree_leaf *)node)->items;
    return items + (size_t)at * item_bytes(t, height);
}

static struct stream_id id_at(const struct idtree *t, struct node *node, uint32_t height,
                              uint32_t at) {
    struct stream_id id;
    memcpy(&id, item_at(t, node, height, at), sizeof id);
    return id;
}

static uint32_t leaf_room(const struct idtree *t) {
    return (NODE_BYTES - sizeof(struct idtree_leaf)) / item_bytes(t, 0);
}

static size_t leaf_bytes(const struct idtree *t, uint32_t room) {
    return sizeof(struct idtree_leaf) + (size_t)room * item_bytes(t, 0);
}

static void *node_create(struct idtree *t, uint32_t height, uint32_t room) {
    struct node *node = mem_alloc(height > 0 ? sizeof(struct branch) : leaf_bytes(t, room));
    *node = (struct node){.room = room};
    if (height == 0)
        ((struct idtree_leaf *)node)->prev = ((struct idtree_leaf *)node)->next = NULL;
    t->bytes += mem_usable(node);
    t->nodes++;
    return node;
}

static void node_free(struct idtree *t, struct node *node) {
    t->bytes -= mem_usable(node);
    t->nodes--;
    mem_free(node);
}

static void leaf_unlink(struct idtree_leaf *leaf) {
    if (leaf->prev != NULL)
        leaf->prev->next = leaf->next;
    if (leaf->next != NULL)
        leaf->next->prev = leaf->prev;
}

static void items_delete(const struct idtree *t, struct node *node, uint32_t height, uint32_t at) {
    char *to = item_at(t, node, height, at);
    memmove(to, to + item_bytes(t, height), (size_t)(node->used - at - 1) * item_bytes(t, height));
    node->used--;
}

static char *item_insert(const struct idtree *t, struct node *node, uint32_t height, uint32_t at) {
    char *to = item_at(t, node, height, at);
    memmove(to + item_bytes(t, height), to, (size_t)(node->used - at) * item_bytes(t, height));
    node->used++;
    return to;
}

static void free_below(struct idtree *t, struct node *node, uint32_t height) {
    for (uint32_t i = 0; height > 0 && i < node->used; i++)
        free_below(t, ((struct branch *)node)->slots[i].child, height - 1);
    node_free(t, node);
}

void idtree_clear(struct idtree *t) {
    if (t->root != NULL)
        free_below(t, t->root, t->height);
    idtree_init(t, t->record_bytes);
}

/* ---- searching ---- */

/* How many items of a node have ids that are before `id`, or (`through`) not after it. */
static uint32_t node_rank(const struct idtree *t, struct node *node, uint32_t height,
                          struct stream_id id, bool through) {
    uint32_t low = 0, high = node->used;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        struct stream_id there = id_at(t, node, height, middle);
        if (through ? !stream_id_before(id, there) : stream_id_before(there, id))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t child_of(const struct idtree *t, struct branch *b, uint32_t height,
                         struct stream_id id) {
    uint32_t rank = node_rank(t, &b->node, height, id, true);
    return rank > 0 ? rank - 1 : 0;
}

static struct idtree_leaf *leaf_of(const struct idtree *t, struct stream_id id) {
    void *node = t->root;
    for (uint32_t height = t->height; height > 0; height--)
        node = ((struct branch *)node)->slots[child_of(t, node, height, id)].child;
    return node;
}

void *idtree_find(const struct idtree *t, struct stream_id id) {
    if (t->root == NULL)
        return NULL;
    struct idtree_leaf *leaf = leaf_of(t, id);
    uint32_t at = node_rank(t, &leaf->node, 0, id, false);
    if (at == leaf->node.used || !stream_id_equal(id_at(t, &leaf->node, 0, at), id))
        return NULL;
    return item_at(t, &leaf->node, 0, at) + sizeof(id);
}

struct idtree_cursor idtree_seek(const struct idtree *t, struct stream_id id) {
    struct idtree_cursor c = {.tree = t};
    if (t->root == NULL)
        return c;
    c.leaf = leaf_of(t, id);
    c.at = node_rank(t, &c.leaf->node, 0, id, false);
    if (c.at == c.leaf->node.used)
        c = (struct idtree_cursor){.tree = t, .leaf = c.leaf->next};
    return c;
}

struct idtree_cursor idtree_seek_back(const struct idtree *t, struct stream_id id) {
    struct idtree_cursor c = {.tree = t};
    if (t->root == NULL)
        return c;
    c.leaf = leaf_of(t, id);
    c.at = node_rank(t, &c.leaf->node, 0, id, true);
    if (c.at == 0) {
        c.leaf = c.leaf->prev;
        c.at = c.leaf != NULL ? c.leaf->node.used : 1;
    }
    c.at--;
    return c;
}

static void *cursor_record(const struct idtree_cursor *c, struct stream_id *id_r) {
    if (id_r != NULL)
        *id_r = id_at(c->tree, &c->leaf->node, 0, c->at);
    return item_at(c->tree, &c->leaf->node, 0, c->at) + sizeof(*id_r);
}

void *idtree_next(struct idtree_cursor *c, struct stream_id *id_r) {
    if (c->leaf == NULL)
        return NULL;
    void *record = cursor_record(c, id_r);
    if (++c->at == c->leaf->node.used)
        *c = (struct idtree_cursor){.tree = c->tree, .leaf = c->leaf->next};
    return record;
}

void *idtree_prev(struct idtree_cursor *c, struct stream_id *id_r) {
    if (c->leaf == NULL)
        return NULL;
    void *record = cursor_record(c, id_r);
    if (c->at-- == 0) {
        c->leaf = c->leaf->prev;
        c->at = c->leaf != NULL ? c->leaf->node.used - 1 : 0;
    }
    return record;
}

/* ---- inserting ---- */

/* The new right neighbour of a full node, with what of it stands from `cut` on. */
static struct node *split(struct idtree *t, struct node *node, uint32_t height, uint32_t cut) {
    struct node *right = node_create(t, height, node->room);
    right->used = node->used - cut;
    memcpy(item_at(t, right, height, 0), item_at(t, node, height, cut),
           (size_t)right->used * item_bytes(t, height));
    node->used = cut;
    if (height == 0) {
        struct idtree_leaf *a = (struct idtree_leaf *)node, *b = (struct idtree_leaf *)right;
        b->prev = a;
        b->next = a->next;
        if (b->next != NULL)
            b->next->prev = b;
        a->next = b;
    }
    return right;
}

/* Room for an item at `at` of a node; *right_r gets the node's new right half if it was split. */
static char *put(struct idtree *t, struct node *node, uint32_t height, uint32_t at,
                 struct node **right_r) {
    *right_r = NULL;
    if (node->used < node->room)
        return item_insert(t, node, height, at);
    uint32_t cut = at == node->used ? at : node->used / 2;
    *right_r = split(t, node, height, cut);
    if (at >= cut)
        return item_insert(t, *right_r, height, at - cut);
    return item_insert(t, node, height, at);
}

static void *insert_below(struct idtree *t, struct node *node, uint32_t height, struct stream_id id,
                          struct node **right_r) {
    if (height == 0) {
        char *item = put(t, node, 0, node_rank(t, node, 0, id, false), right_r);
        memcpy(item, &id, sizeof id);
        return item + sizeof id;
    }
    struct branch *b = (struct branch *)node;
    uint32_t at = child_of(t, b, height, id);
    struct node *right;
    if (stream_id_before(id, b->slots[at].first))
        b->slots[at].first = id;
    void *record = insert_below(t, b->slots[at].child, height - 1, id, &right);
    *right_r = NULL;
    if (right != NULL) {
        struct slot slot = {.first = id_at(t, right, height - 1, 0), .child = right};
        memcpy(put(t, node, height, at + 1, right_r), &slot, sizeof slot);
    }
    return record;
}

/* The only leaf is full and smaller than it may be. */
static void grow_root(struct idtree *t) {
    struct idtree_leaf *leaf = t->root;
    uint32_t room = leaf->node.room * 2 < leaf_room(t) ? leaf->node.room * 2 : leaf_room(t);
    t->bytes -= mem_usable(leaf);
    leaf = mem_realloc(leaf, leaf_bytes(t, room));
    t->bytes += mem_usable(leaf);
    leaf->node.room = room;
    t->root = leaf;
}

void *idtree_insert(struct idtree *t, struct stream_id id) {
    if (t->root == NULL)
        t->root = node_create(t, 0, SMALL_RECORDS);
    struct node *root = t->root, *right;
    if (t->height == 0 && root->used == root->room && root->room < leaf_room(t))
        grow_root(t);
    void *record = insert_below(t, t->root, t->height, id, &right);
    if (right != NULL) {
        struct branch *b = node_create(t, t->height + 1, BRANCH_SLOTS);
        b->slots[0] = (struct slot){.first = id_at(t, t->root, t->height, 0), .child = t->root};
        b->slots[1] = (struct slot){.first = id_at(t, right, t->height, 0), .child = right};
        b->node.used = 2;
        t->root = b;
        t->height++;
    }
    t->count++;
    return record;
}

/* ---- removing ---- */

/* Join the child at `at` and the one behind it if both fit into the first. */
static bool join(struct idtree *t, struct branch *b, uint32_t at, uint32_t height) {
    if (at + 1 >= b->node.used)
        return false;
    struct node *left = b->slots[at].child, *right = b->slots[at + 1].child;
    if (left->used + right->used > left->room)
        return false;
    if (height > 0)
        ((struct branch *)right)->slots[0].first = b->slots[at + 1].first;
    memcpy(item_at(t, left, height, left->used), item_at(t, right, height, 0),
           (size_t)right->used * item_bytes(t, height));
    left->used += right->used;
    if (height == 0)
        leaf_unlink((struct idtree_leaf *)right);
    node_free(t, right);
    items_delete(t, &b->node, height + 1, at + 1);
    return true;
}

/* The child at `at`, of this height, has lost an item. */
static void mend(struct idtree *t, struct branch *b, uint32_t at, uint32_t height) {
    struct node *child = b->slots[at].child;
    if (child->used == 0) {
        if (height == 0)
            leaf_unlink((struct idtree_leaf *)child);
        node_free(t, child);
        items_delete(t, &b->node, height + 1, at);
    } else if (child->used < child->room / SPARSE_PART) {
        if (!join(t, b, at, height) && at > 0)
            join(t, b, at - 1, height);
    }
}

static bool remove_below(struct idtree *t, struct node *node, uint32_t height,
                         struct stream_id id) {
    if (height == 0) {
        uint32_t at = node_rank(t, node, 0, id, false);
        if (at == node->used || !stream_id_equal(id_at(t, node, 0, at), id))
            return false;
        items_delete(t, node, 0, at);
        return true;
    }
    struct branch *b = (struct branch *)node;
    uint32_t at = child_of(t, b, height, id);
    bool removed = remove_below(t, b->slots[at].child, height - 1, id);
    if (removed)
        mend(t, b, at, height - 1);
    return removed;
}

bool idtree_remove(struct idtree *t, struct stream_id id) {
    if (t->root == NULL || !remove_below(t, t->root, t->height, id))
        return false;
    if (--t->count == 0) {
        idtree_clear(t);
        return true;
    }
    while (t->height > 0 && ((struct node *)t->root)->used == 1) {
        struct branch *b = t->root;
        t->root = b->slots[0].child;
        node_free(t, &b->node);
        t->height--;
    }
    return true;
}
