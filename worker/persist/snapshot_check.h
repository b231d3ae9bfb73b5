/* snapshot_check.h - does a snapshot that goes by piece by piece end as one does? Known without reading it again,
 * before anything makes room for it.
 *
 *   REDIS0011 ... 0xFF <CRC-64 of all before, little endian; 0: its writer made none>
 *
 * The format is the RDB's of version 5 and later: whoever speaks PSYNC sends no older one. */
#ifndef REMUDA_PERSIST_SNAPSHOT_CHECK_H
#define REMUDA_PERSIST_SNAPSHOT_CHECK_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SNAPSHOT_END_BYTES = 9 };

/* Zero-initialised is a snapshot of which nothing has come. */
struct snapshot_check {
    uint64_t crc;                          /* of all bytes but those in end */
    unsigned char end[SNAPSHOT_END_BYTES]; /* the last ones */
    uint32_t end_len;
};

void snapshot_check_add(struct snapshot_check *check, const void *data, size_t len);
/* Have all bytes come, and are they those that were sent? */
bool snapshot_check_is_whole(const struct snapshot_check *check);

#endif
