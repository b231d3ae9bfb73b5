/* ring.h - a one-writer, one-reader queue of records in shared memory; one per ordered pair of workers.
 *
 *   data  [ len|pad ][ payload ... ][ len ][ payload ]....free....[ len ][ ...
 *                     ^ head (reader)                   ^ tail (writer, published)
 *
 * Positions only grow; the offset is position & (size-1). A record never wraps: a pad record fills
 * the end, so the reader gets one contiguous pointer. A record becomes visible when the tail is
 * published, as a whole: a writer killed in the middle leaves nothing half-written behind, a new
 * writer goes on from the published tail, a new reader from the published head. Everything read from
 * the segment is hostile: a reader masks indexes and checks lengths, and answers RING_CORRUPT. */
#ifndef REMUDA_IPC_RING_H
#define REMUDA_IPC_RING_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In the segment, followed by the data. Writer's and reader's words on cache lines of their own. */
struct ring_shared {
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
};

struct ring_writer {
    struct ring_shared *shared;
    char *data;
    uint32_t size;        /* power of two */
    uint64_t tail;        /* committed here, maybe not yet published */
    uint64_t head_cached; /* the reader's head when last looked at */
};

struct ring_reader {
    struct ring_shared *shared;
    const char *data;
    uint32_t size;
    uint64_t head; /* consumed here, maybe not yet released */
    uint64_t tail_cached;
};

enum ring_result { RING_OK, RING_EMPTY, RING_CORRUPT };

/* Attach to a ring; the writer goes on at the published tail, the reader at the published head. */
void ring_writer_attach(struct ring_writer *w, struct ring_shared *shared, char *data,
                        uint32_t size);
void ring_reader_attach(struct ring_reader *r, struct ring_shared *shared, const char *data,
                        uint32_t size);
/* Largest payload of one record: an eighth of the ring. */
uint32_t ring_record_max(uint32_t ring_size);
/* Room for a record of `bytes` payload (8-aligned), or NULL while the ring is full.
 * bytes <= ring_record_max(). Nothing is visible before commit and publish. */
void *ring_reserve(struct ring_writer *w, uint32_t bytes);
/* Make the reserved record part of the next publish; bytes may be less than reserved. */
void ring_commit(struct ring_writer *w, uint32_t bytes);
/* Publish all committed records. Returns true if there was anything new. */
bool ring_publish(struct ring_writer *w);
/* The next record, without a copy; valid until ring_release(). Consumes it. */
enum ring_result ring_next(struct ring_reader *r, const void **payload_r, uint32_t *bytes_r);
/* Give the space of all consumed records back to the writer. */
void ring_release(struct ring_reader *r);
/* Anything published and not consumed? */
bool ring_has_data(const struct ring_reader *r);
/* After RING_CORRUPT: skip all that is published now. */
void ring_skip_all(struct ring_reader *r);

#endif
