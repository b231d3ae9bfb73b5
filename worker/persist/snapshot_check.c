/* snapshot_check.c - see the header. */
#include "worker/persist/snapshot_check.h"

#include "shared/base/crc.h"

#include <endian.h>
#include <string.h>

enum { RDB_EOF = 0xff };

/* What is in `end` is not counted until more comes behind it. */
void snapshot_check_add(struct snapshot_check *c, const void *data, size_t len) {
    const unsigned char *bytes = data;
    size_t keep = len < SNAPSHOT_END_BYTES ? len : SNAPSHOT_END_BYTES;
    size_t room = SNAPSHOT_END_BYTES - keep;
    size_t old = c->end_len > room ? c->end_len - room : 0;
    c->crc = crc64(c->crc, c->end, old);
    c->crc = crc64(c->crc, bytes, len - keep);
    memmove(c->end, c->end + old, c->end_len - old);
    c->end_len -= (uint32_t)old;
    memcpy(c->end + c->end_len, bytes + (len - keep), keep);
    c->end_len += (uint32_t)keep;
}

bool snapshot_check_is_whole(const struct snapshot_check *c) {
    uint64_t sent;
    if (c->end_len < SNAPSHOT_END_BYTES || c->end[0] != RDB_EOF)
        return false;
    memcpy(&sent, c->end + 1, sizeof sent);
    return sent == 0 || le64toh(sent) == crc64(c->crc, c->end, 1);
}
