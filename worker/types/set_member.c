/* set_member.c - see set_member.h. */
#include "worker/types/set_member.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"

enum { UNIT = 16, PADDED_MAX = 128, LENGTH_BYTES = sizeof(uint64_t) };

static size_t pad_of(const void *member) {
    return (uintptr_t)member % UNIT;
}

static const char *block_of(const void *member) {
    return (const char *)member - pad_of(member);
}

/* In whole units: some allocators count what lies between two blocks. */
static size_t units_bytes(const char *block) {
    return mem_usable(block) / UNIT * UNIT;
}

void *set_member_create(struct bytes text) {
    bool padded = text.len > 0 && text.len <= PADDED_MAX;
    size_t bytes = (text.len + UNIT - 1) / UNIT * UNIT;
    if (!padded)
        bytes = LENGTH_BYTES + (text.len > PADDED_MAX ? text.len : PADDED_MAX + UNIT);
    char *block = mem_alloc(bytes);
    ASSERT((uintptr_t)block % UNIT == 0);
    char *at = block + (padded ? bytes - text.len : LENGTH_BYTES);
    uint64_t len = text.len;
    if (!padded)
        memcpy(block, &len, LENGTH_BYTES);
    if (text.len > 0)
        memcpy(at, text.ptr, text.len);
    return padded ? at : block;
}

struct bytes set_member_text(const void *member) {
    const char *block = block_of(member);
    size_t bytes = units_bytes(block);
    uint64_t len;
    if (bytes <= PADDED_MAX)
        return bytes_of(member, bytes - pad_of(member));
    memcpy(&len, block, LENGTH_BYTES);
    return bytes_of(block + LENGTH_BYTES, len);
}

void set_member_free(void *member) {
    mem_free((char *)member - pad_of(member));
}

size_t set_member_bytes(const void *member) {
    return mem_usable(block_of(member));
}
