/* stream_id.h - the id of a stream's entry: milliseconds, and a number among those of one. */
#ifndef REMUDA_TYPES_STREAM_ID_H
#define REMUDA_TYPES_STREAM_ID_H
#include <stdbool.h>
#include <stdint.h>

struct stream_id {
    uint64_t ms, seq;
};
static const struct stream_id stream_id_min = {0, 0};
static const struct stream_id stream_id_max = {UINT64_MAX, UINT64_MAX};

static inline bool stream_id_before(struct stream_id a, struct stream_id b) {
    return a.ms != b.ms ? a.ms < b.ms : a.seq < b.seq;
}
static inline bool stream_id_equal(struct stream_id a, struct stream_id b) {
    return a.ms == b.ms && a.seq == b.seq;
}
static inline bool stream_id_is_zero(struct stream_id id) {
    return (id.ms | id.seq) == 0;
}
/* To the next or previous id; false, and nothing changed, if there is none. */
static inline bool stream_id_up(struct stream_id *id) {
    if (stream_id_equal(*id, stream_id_max))
        return false;
    id->ms += ++id->seq == 0;
    return true;
}
static inline bool stream_id_down(struct stream_id *id) {
    if (stream_id_is_zero(*id))
        return false;
    id->ms -= id->seq-- == 0;
    return true;
}

#endif
