/* stream_group.h - consumer groups of a stream.
 *
 *   group --> pending: id -> struct stream_pending { consumer, when, how often }
 *         \-> consumers: name -> consumer --> pending: the ids that are its own
 *
 * An id is pending at one consumer of its group. */
#ifndef REMUDA_TYPES_STREAM_GROUP_H
#define REMUDA_TYPES_STREAM_GROUP_H
#include "worker/types/stream.h"
#include "worker/types/table.h"

struct stream_group {
    struct stream_id last_id; /* the last one delivered */
    int64_t entries_read;     /* up to last_id; STREAM_UNKNOWN */
    struct idtree pending;    /* records: struct stream_pending */
    struct table consumers;   /* struct stream_consumer */
    uint32_t name_len;
    char name[];
};
struct stream_consumer {
    int64_t seen_ms;       /* when it last asked for anything */
    int64_t active_ms;     /* when it last got something; STREAM_UNKNOWN: never */
    struct idtree pending; /* ids alone */
    uint32_t name_len;
    char name[];
};
struct stream_pending {
    struct stream_consumer *consumer;
    int64_t delivered_ms;
    uint64_t deliveries;
};
enum { STREAM_UNKNOWN = -1 };

static inline struct bytes stream_group_name(const struct stream_group *g) {
    return bytes_of(g->name, g->name_len);
}
static inline struct bytes stream_consumer_name(const struct stream_consumer *c) {
    return bytes_of(c->name, c->name_len);
}

struct stream_group *stream_group_find(const struct stream *s, struct bytes name);
/* NULL: there is one of this name already. */
struct stream_group *stream_group_create(struct stream *s, struct bytes name,
                                         struct stream_id last_id, int64_t entries_read);
/* false: there is none. */
bool stream_group_destroy(struct stream *s, struct bytes name);
uint64_t stream_group_count(const struct stream *s);
/* Entries that the group has not been given yet; false: that cannot be known. Negative if the group was
 * told that it has read more than there were. */
bool stream_group_lag(const struct stream *s, const struct stream_group *g, int64_t *lag_r);
/* An entry was delivered to the group that is the first of its kind: count on. */
void stream_group_advance(const struct stream *s, struct stream_group *g, struct stream_id id);

struct stream_consumer *stream_consumer_find(const struct stream_group *g, struct bytes name);
/* NULL: there is one of this name already. */
struct stream_consumer *stream_consumer_create(struct stream_group *g, struct bytes name,
                                               int64_t now_ms);
/* false: there is none. Its pending entries go with it; *pending_r gets how many. */
bool stream_consumer_delete(struct stream_group *g, struct bytes name, uint64_t *pending_r);

struct stream_pending *stream_pending_find(const struct stream_group *g, struct stream_id id);
/* Make an entry pending at a consumer, or move it there. The record's other fields are the caller's to
 * set; a new one has been delivered once, at no time. */
struct stream_pending *stream_pending_give(struct stream_group *g, struct stream_id id,
                                           struct stream_consumer *consumer);
/* No longer pending. false: it was not. */
bool stream_pending_end(struct stream_group *g, struct stream_id id);

/* All groups, or consumers, in the order of their names. The array is the caller's to free; *count_r
 * elements, NULL if there are none. */
struct stream_group **stream_groups_sorted(const struct stream *s, uint64_t *count_r);
struct stream_consumer **stream_consumers_sorted(const struct stream_group *g, uint64_t *count_r);

/* For stream.c. */
void stream_groups_free(struct stream *s);
void stream_groups_copy(const struct stream *from, struct stream *to);
uint64_t stream_groups_cost(const struct stream *s);
size_t stream_groups_bytes(const struct stream *s);

#endif
