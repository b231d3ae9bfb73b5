/* list.h - an intrusive doubly linked ring; the head is a node of its own. */
#ifndef REMUDA_BASE_LIST_H
#define REMUDA_BASE_LIST_H
#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *l) {
    l->next = l->prev = l;
}
static inline bool list_empty(const struct list *l) {
    return l->next == l;
}
static inline void list_insert(struct list *prev, struct list *node) {
    node->next = prev->next;
    node->prev = prev;
    prev->next->prev = node;
    prev->next = node;
}
static inline void list_push_front(struct list *head, struct list *node) {
    list_insert(head, node);
}
static inline void list_push_back(struct list *head, struct list *node) {
    list_insert(head->prev, node);
}
/* Takes the node out and makes it a ring of its own, so that removing twice is harmless. */
static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
#define LIST_ENTRY(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))
/* The body may remove the current node. */
#define LIST_EACH(cursor, head)                                                                    \
    for (struct list *cursor = (head)->next, *cursor##_next = cursor->next; cursor != (head);      \
         cursor = cursor##_next, cursor##_next = cursor->next)

#endif
