/* hash_timers.c - see hash_timers.h. */
#include "worker/types/hash_timers.h"

#include "shared/base/mem.h"

struct field_timer {
    int64_t at_ms;
    uint64_t place; /* in the heap */
    size_t len;
    char field[];
};

static struct bytes timer_field(const void *entry) {
    const struct field_timer *t = entry;
    return bytes_of(t->field, t->len);
}

static const struct table_type timer_type = {.key = timer_field, .free = mem_free};

struct hash_timers *hash_timers_create(void) {
    struct hash_timers *timers = mem_calloc(1, sizeof(*timers));
    table_init(&timers->fields, &timer_type);
    return timers;
}

void hash_timers_free(struct hash_timers **timers) {
    if (*timers == NULL)
        return;
    table_clear(&(*timers)->fields);
    mem_free((*timers)->heap);
    mem_free(*timers);
    *timers = NULL;
}

static struct field_timer *find(const struct hash_timers *timers, struct bytes field) {
    return table_find(&timers->fields, table_hash(field), field);
}

bool hash_timers_get(const struct hash_timers *timers, struct bytes field, int64_t *at_ms_r) {
    const struct field_timer *t = find(timers, field);
    if (t != NULL)
        *at_ms_r = t->at_ms;
    return t != NULL;
}

bool hash_timers_first(const struct hash_timers *timers, struct bytes *field_r, int64_t *at_ms_r) {
    if (hash_timers_count(timers) == 0)
        return false;
    *field_r = timer_field(timers->heap[0]);
    *at_ms_r = timers->heap[0]->at_ms;
    return true;
}

/* ---- the heap ---- */

static void put(struct hash_timers *timers, uint64_t place, struct field_timer *t) {
    timers->heap[place] = t;
    t->place = place;
}

static void move_up(struct hash_timers *timers, struct field_timer *t) {
    uint64_t place = t->place;
    for (; place > 0; place = (place - 1) / 2) {
        struct field_timer *parent = timers->heap[(place - 1) / 2];
        if (parent->at_ms <= t->at_ms)
            break;
        put(timers, place, parent);
    }
    put(timers, place, t);
}

static void move_down(struct hash_timers *timers, struct field_timer *t, uint64_t count) {
    uint64_t place = t->place;
    for (;;) {
        uint64_t child = 2 * place + 1;
        if (child >= count)
            break;
        if (child + 1 < count && timers->heap[child + 1]->at_ms < timers->heap[child]->at_ms)
            child++;
        if (timers->heap[child]->at_ms >= t->at_ms)
            break;
        put(timers, place, timers->heap[child]);
        place = child;
    }
    put(timers, place, t);
}

/* Its time has changed. */
static void settle(struct hash_timers *timers, struct field_timer *t, uint64_t count) {
    move_up(timers, t);
    move_down(timers, t, count);
}

void hash_timers_set(struct hash_timers *timers, struct bytes field, int64_t at_ms) {
    struct field_timer *t = find(timers, field);
    uint64_t count = hash_timers_count(timers);
    if (t == NULL) {
        t = mem_alloc(sizeof(*t) + field.len);
        t->len = field.len;
        if (field.len > 0)
            memcpy(t->field, field.ptr, field.len);
        if (count == timers->heap_cap) {
            timers->heap_cap = timers->heap_cap ? timers->heap_cap * 2 : 4;
            timers->heap =
                mem_realloc(timers->heap, timers->heap_cap * sizeof(struct field_timer *));
        }
        put(timers, count, t);
        table_insert(&timers->fields, table_hash(field), t);
        count++;
    }
    t->at_ms = at_ms;
    settle(timers, t, count);
}

bool hash_timers_remove(struct hash_timers *timers, struct bytes field) {
    struct field_timer *t = table_remove(&timers->fields, table_hash(field), field);
    if (t == NULL)
        return false;
    uint64_t left = hash_timers_count(timers);
    struct field_timer *last = timers->heap[left];
    if (last != t) {
        put(timers, t->place, last);
        settle(timers, last, left);
    }
    mem_free(t);
    return true;
}

/* ---- the whole ---- */

size_t hash_timers_bytes(const struct hash_timers *timers) {
    size_t bytes = mem_usable(timers) + table_bytes(&timers->fields);
    if (timers->heap != NULL)
        bytes += mem_usable(timers->heap);
    if (hash_timers_count(timers) > 0)
        bytes += mem_usable(timers->heap[0]) * hash_timers_count(timers);
    return bytes;
}

struct hash_timers *hash_timers_copy(const struct hash_timers *timers) {
    struct hash_timers *copy = hash_timers_create();
    for (uint64_t i = 0; i < hash_timers_count(timers); i++)
        hash_timers_set(copy, timer_field(timers->heap[i]), timers->heap[i]->at_ms);
    return copy;
}
