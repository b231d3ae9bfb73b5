/* packed.h - small collections in one run of bytes: a count, then elements end to end.
 *
 *   | count: 2 bytes LE | element | element | ...
 *   element = | head, payload | back |
 *
 *   head 0x00..0x3F            text of 0..63 bytes, which follow
 *        0x40..0x7F + 1 byte   text of up to 16383 bytes (high six bits in the head)
 *        0x80 + 4 bytes LE     longer text
 *        0x81 0x82 0x83 0x84   an integer of 1, 2, 4, 8 bytes LE, two's complement
 *        0x90..0xFF            the integers -1..110
 *   back: length of head and payload in 7-bit groups, lowest group in the last byte; a byte with its
 *        high bit set has another to its left. So the bytes are walked backward as cheaply as forward.
 *
 * Texts that are canonical 64-bit integers are stored as integers. A count of 65535 means "walk and
 * see". Positions are byte offsets; the end is the length of the whole. Bytes that came from outside
 * must pass packed_valid() before anything else here sees them. */
#ifndef REMUDA_TYPES_PACKED_H
#define REMUDA_TYPES_PACKED_H
#include "shared/base/buf.h"
#include "shared/base/bytes.h"

enum { PACKED_HEADER = 2, PACKED_COUNT_UNKNOWN = 65535 };

struct packed_element {
    bool is_integer;
    int64_t number;    /* if is_integer */
    struct bytes text; /* if not; borrowed */
};

/* Make out an empty collection. */
void packed_init(struct buf *out);
uint64_t packed_count(struct bytes packed);

/* ---- reading; at is the position of an element ---- */
static inline size_t packed_first(struct bytes packed) {
    return PACKED_HEADER;
}
/* The element after `at`; packed.len behind the last one. */
size_t packed_next(struct bytes packed, size_t at);
/* The element before `at`, which may be the end; 0 if there is none. */
size_t packed_prev(struct bytes packed, size_t at);
/* The element of an index; negative indexes count from the end. packed.len if there is none. */
size_t packed_index(struct bytes packed, int64_t index);
void packed_get(struct bytes packed, size_t at, struct packed_element *element_r);
/* The element as characters; digits: BYTES_I64_MAX bytes for an integer. */
struct bytes packed_text(struct bytes packed, size_t at, char *digits);
/* Position of the first element equal to text among every stride-th one, starting at `from`;
 * packed.len if none. */
size_t packed_find(struct bytes packed, size_t from, struct bytes text, uint32_t stride);

/* ---- one element by itself ---- */
/* Made ready for storing or comparing: its head (of an integer all of it) and its characters. */
struct packed_encoded {
    uint8_t head[9];
    uint8_t head_bytes;
    struct bytes text; /* borrowed */
};
void packed_encode(struct bytes text, struct packed_encoded *e_r);
/* Bytes it takes, and writing them. */
size_t packed_encoded_bytes(const struct packed_encoded *e);
void packed_encoded_write(const struct packed_encoded *e, char *to);
/* The same without its back length, for runs that are only walked forward: head, then characters. */
static inline size_t packed_body_bytes(const struct packed_encoded *e) {
    return e->head_bytes + e->text.len;
}
void packed_body_write(const struct packed_encoded *e, char *to);
/* Read one; returns how long it is. */
size_t packed_body_read(const char *from, struct packed_element *element_r);

/* ---- changing ---- */
void packed_append(struct buf *packed, struct bytes text);
/* Before the element at `at` (or at the end). */
void packed_insert(struct buf *packed, size_t at, struct bytes text);
void packed_replace(struct buf *packed, size_t at, struct bytes text);
/* Take out `count` elements from `at` on; fewer if the end comes first. */
void packed_delete(struct buf *packed, size_t at, uint64_t count);

/* Every length within bounds, every back length true, the count right. count_r may be NULL. */
bool packed_valid(struct bytes packed, uint64_t *count_r);

#endif
