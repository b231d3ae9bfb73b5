/* stream_group.c - see stream_group.h. */
#include "worker/types/stream_group.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <stdlib.h>

static struct bytes group_key(const void *entry) {
    return stream_group_name(entry);
}
static struct bytes consumer_key(const void *entry) {
    return stream_consumer_name(entry);
}

static void consumer_free(void *entry) {
    struct stream_consumer *c = entry;
    idtree_clear(&c->pending);
    mem_free(c);
}
static void group_free(void *entry) {
    struct stream_group *g = entry;
    idtree_clear(&g->pending);
    table_clear(&g->consumers);
    mem_free(g);
}

static const struct table_type group_type = {.key = group_key, .free = group_free};
static const struct table_type consumer_type = {.key = consumer_key, .free = consumer_free};

/* ---- groups ---- */

uint64_t stream_group_count(const struct stream *s) {
    return s->groups != NULL ? table_count(s->groups) : 0;
}

struct stream_group *stream_group_find(const struct stream *s, struct bytes name) {
    return s->groups != NULL ? table_find(s->groups, table_hash(name), name) : NULL;
}

struct stream_group *stream_group_create(struct stream *s, struct bytes name,
                                         struct stream_id last_id, int64_t entries_read) {
    if (stream_group_find(s, name) != NULL)
        return NULL;
    if (s->groups == NULL) {
        s->groups = mem_alloc(sizeof(*s->groups));
        table_init(s->groups, &group_type);
    }
    struct stream_group *g = mem_alloc(sizeof(*g) + name.len);
    *g = (struct stream_group){
        .last_id = last_id, .entries_read = entries_read, .name_len = (uint32_t)name.len};
    if (name.len > 0)
        memcpy(g->name, name.ptr, name.len);
    idtree_init(&g->pending, sizeof(struct stream_pending));
    table_init(&g->consumers, &consumer_type);
    table_insert(s->groups, table_hash(name), g);
    return g;
}

bool stream_group_destroy(struct stream *s, struct bytes name) {
    struct stream_group *g =
        s->groups != NULL ? table_remove(s->groups, table_hash(name), name) : NULL;
    if (g == NULL)
        return false;
    group_free(g);
    if (table_count(s->groups) == 0)
        stream_groups_free(s);
    return true;
}

bool stream_group_lag(const struct stream *s, const struct stream_group *g, int64_t *lag_r) {
    int64_t read = g->entries_read;
    if (s->entries_added == 0)
        read = 0;
    else if (read == STREAM_UNKNOWN || stream_has_gap(s, g->last_id))
        read = stream_entries_before(s, g->last_id);
    *lag_r = (int64_t)(s->entries_added - (uint64_t)read);
    return read != STREAM_UNKNOWN;
}

void stream_group_advance(const struct stream *s, struct stream_group *g, struct stream_id id) {
    if (g->entries_read != STREAM_UNKNOWN && !stream_has_gap(s, id))
        g->entries_read += g->entries_read < INT64_MAX;
    else if (s->entries_added > 0)
        g->entries_read = stream_entries_before(s, id);
    g->last_id = id;
}

/* ---- consumers ---- */

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct bytes name) {
    return table_find(&g->consumers, table_hash(name), name);
}

struct stream_consumer *stream_consumer_create(struct stream_group *g, struct bytes name,
                                               int64_t now_ms) {
    uint64_t hash = table_hash(name);
    if (table_find(&g->consumers, hash, name) != NULL)
        return NULL;
    struct stream_consumer *c = mem_alloc(sizeof(*c) + name.len);
    *c = (struct stream_consumer){
        .seen_ms = now_ms, .active_ms = STREAM_UNKNOWN, .name_len = (uint32_t)name.len};
    if (name.len > 0)
        memcpy(c->name, name.ptr, name.len);
    idtree_init(&c->pending, 0);
    table_insert(&g->consumers, hash, c);
    return c;
}

bool stream_consumer_delete(struct stream_group *g, struct bytes name, uint64_t *pending_r) {
    struct stream_consumer *c = table_remove(&g->consumers, table_hash(name), name);
    *pending_r = 0;
    if (c == NULL)
        return false;
    *pending_r = c->pending.count;
    struct idtree_cursor at = idtree_seek(&c->pending, stream_id_min);
    for (struct stream_id id; idtree_next(&at, &id) != NULL;)
        idtree_remove(&g->pending, id);
    consumer_free(c);
    return true;
}

/* ---- pending entries ---- */

struct stream_pending *stream_pending_find(const struct stream_group *g, struct stream_id id) {
    return idtree_find(&g->pending, id);
}

struct stream_pending *stream_pending_give(struct stream_group *g, struct stream_id id,
                                           struct stream_consumer *consumer) {
    struct stream_pending *p = idtree_find(&g->pending, id);
    if (p == NULL) {
        p = idtree_insert(&g->pending, id);
        *p = (struct stream_pending){.deliveries = 1};
    }
    if (p->consumer != consumer) {
        if (p->consumer != NULL)
            idtree_remove(&p->consumer->pending, id);
        idtree_insert(&consumer->pending, id);
        p->consumer = consumer;
    }
    return p;
}

bool stream_pending_end(struct stream_group *g, struct stream_id id) {
    const struct stream_pending *p = idtree_find(&g->pending, id);
    if (p == NULL)
        return false;
    idtree_remove(&p->consumer->pending, id);
    idtree_remove(&g->pending, id);
    return true;
}

/* ---- in order ---- */

static int compare_groups(const void *a, const void *b) {
    return bytes_compare(stream_group_name(*(struct stream_group *const *)a),
                         stream_group_name(*(struct stream_group *const *)b));
}
static int compare_consumers(const void *a, const void *b) {
    return bytes_compare(stream_consumer_name(*(struct stream_consumer *const *)a),
                         stream_consumer_name(*(struct stream_consumer *const *)b));
}

static void *sorted(const struct table *t, uint64_t *count_r,
                    int (*compare)(const void *a, const void *b)) {
    *count_r = t != NULL ? table_count(t) : 0;
    if (*count_r == 0)
        return NULL;
    void **all = mem_alloc(*count_r * sizeof(*all)), **to = all;
    struct table_iterator it = table_iterate(t);
    for (void *entry; (entry = table_next(&it)) != NULL;)
        *to++ = entry;
    qsort(all, *count_r, sizeof(*all), compare);
    return all;
}

struct stream_group **stream_groups_sorted(const struct stream *s, uint64_t *count_r) {
    return sorted(s->groups, count_r, compare_groups);
}

struct stream_consumer **stream_consumers_sorted(const struct stream_group *g, uint64_t *count_r) {
    return sorted(&g->consumers, count_r, compare_consumers);
}

/* ---- the whole ---- */

void stream_groups_free(struct stream *s) {
    if (s->groups == NULL)
        return;
    table_clear(s->groups);
    mem_free(s->groups);
    s->groups = NULL;
}

static void copy_pending(const struct stream_group *from, struct stream_group *to) {
    struct idtree_cursor at = idtree_seek(&from->pending, stream_id_min);
    struct stream_id id;
    for (const struct stream_pending *p; (p = idtree_next(&at, &id)) != NULL;) {
        struct stream_consumer *consumer =
            stream_consumer_find(to, stream_consumer_name(p->consumer));
        struct stream_pending *copy = stream_pending_give(to, id, consumer);
        copy->delivered_ms = p->delivered_ms;
        copy->deliveries = p->deliveries;
    }
}

void stream_groups_copy(const struct stream *from, struct stream *to) {
    if (from->groups == NULL)
        return;
    struct table_iterator groups = table_iterate(from->groups);
    for (const struct stream_group *g; (g = table_next(&groups)) != NULL;) {
        struct stream_group *copy =
            stream_group_create(to, stream_group_name(g), g->last_id, g->entries_read);
        struct table_iterator consumers = table_iterate(&g->consumers);
        for (const struct stream_consumer *c; (c = table_next(&consumers)) != NULL;)
            stream_consumer_create(copy, stream_consumer_name(c), c->seen_ms)->active_ms =
                c->active_ms;
        copy_pending(g, copy);
    }
}

uint64_t stream_groups_cost(const struct stream *s) {
    if (s->groups == NULL)
        return 0;
    uint64_t cost = 0;
    struct table_iterator groups = table_iterate(s->groups);
    for (const struct stream_group *g; (g = table_next(&groups)) != NULL;)
        cost += 1 + g->pending.nodes + table_count(&g->consumers);
    return cost;
}

size_t stream_groups_bytes(const struct stream *s) {
    if (s->groups == NULL)
        return 0;
    size_t bytes = mem_usable(s->groups) + table_bytes(s->groups);
    struct table_iterator groups = table_iterate(s->groups);
    for (const struct stream_group *g; (g = table_next(&groups)) != NULL;) {
        bytes += mem_usable(g) + g->pending.bytes + table_bytes(&g->consumers);
        struct table_iterator consumers = table_iterate(&g->consumers);
        for (const struct stream_consumer *c; (c = table_next(&consumers)) != NULL;)
            bytes += mem_usable(c) + c->pending.bytes;
    }
    return bytes;
}
