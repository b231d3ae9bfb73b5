/* entry_private.h - one key with what it holds, in one allocation.
 *
 *   head (4)  access 24 | type 3 | encoding 4      access: LRU seconds, or LFU minutes 16 | counter 8
 *   flags (1) form of what follows
 *   [key length 1|2|4] [value length 0|1|2] [expiry 0|8] [key] [value]
 *
 *   value by place: EMBEDDED its bytes (up to ENTRY_EMBED_MAX), NUMBER 8 bytes, LONG a pointer to a
 *   struct long_value, OBJECT a pointer to the type's own. Nothing in it is aligned.
 *
 * Functions that may need another allocation return the entry's new address; the old one is freed
 * then. Blocks are asked for in whole size classes of the allocator, so that a value may change in
 * place as long as its class does. */
#ifndef REMUDA_KEYSPACE_ENTRY_PRIVATE_H
#define REMUDA_KEYSPACE_ENTRY_PRIVATE_H
#include "worker/types/value.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ENTRY_EMBED_MAX = 1024, ENTRY_ACCESS_BITS = 24, ENTRY_ACCESS_MASK = (1 << 24) - 1 };

enum entry_place { PLACE_EMBEDDED, PLACE_NUMBER, PLACE_LONG, PLACE_OBJECT };
enum entry_flags {
    ENTRY_KEY_LENGTH = 0x03, /* 0, 1, 2: in 1, 2, 4 bytes */
    ENTRY_VALUE_WIDE = 0x04, /* value length in 2 bytes */
    ENTRY_EXPIRY = 0x08,     /* the flag is also the number of bytes an expiry takes */
    ENTRY_PLACE_SHIFT = 4,
    ENTRY_PLACE_MASK = 3,
    ENTRY_TIMED =
        0x40 /* a hash some of whose fields expire; kept by keyspace.c, lost by a change */
};

struct entry {
    uint32_t head;
    uint8_t flags;
    char rest[];
};
enum { ENTRY_HEADER = offsetof(struct entry, rest) };

struct long_value {
    uint64_t len, cap;
    char data[];
};

static inline enum entry_place entry_place(const struct entry *e) {
    return (enum entry_place)(e->flags >> ENTRY_PLACE_SHIFT & ENTRY_PLACE_MASK);
}
static inline bool entry_has_expiry(const struct entry *e) {
    return e->flags & ENTRY_EXPIRY;
}
static inline bool entry_is_timed(const struct entry *e) {
    return e->flags & ENTRY_TIMED;
}
static inline uint32_t entry_length_bytes(uint8_t flags) {
    bool embedded = (flags >> ENTRY_PLACE_SHIFT & ENTRY_PLACE_MASK) == PLACE_EMBEDDED;
    return (1u << (flags & ENTRY_KEY_LENGTH)) +
           (embedded ? 1u + ((flags & ENTRY_VALUE_WIDE) != 0) : 0);
}
static inline struct bytes entry_key(const struct entry *e) {
    const char *at = e->rest + entry_length_bytes(e->flags) + (e->flags & ENTRY_EXPIRY);
    if (__builtin_expect((e->flags & ENTRY_KEY_LENGTH) == 0, 1))
        return bytes_of(at, (uint8_t)e->rest[0]);
    uint32_t len = 0;
    memcpy(&len, e->rest, 1u << (e->flags & ENTRY_KEY_LENGTH));
    return bytes_of(at, len);
}
/* Only of an entry that has one. */
static inline int64_t entry_expiry(const struct entry *e) {
    int64_t at;
    memcpy(&at, e->rest + entry_length_bytes(e->flags), sizeof at);
    return at;
}
static inline enum value_type entry_type(const struct entry *e) {
    return (enum value_type)(e->head >> ENTRY_ACCESS_BITS & 7);
}
static inline uint32_t entry_access(const struct entry *e) {
    return e->head & ENTRY_ACCESS_MASK;
}
static inline void entry_set_access(struct entry *e, uint32_t access) {
    e->head = (e->head & ~(uint32_t)ENTRY_ACCESS_MASK) | (access & ENTRY_ACCESS_MASK);
}

struct entry *entry_create(struct bytes key, const struct value *value, uint32_t access);
/* Packed bytes are borrowed from the entry. */
struct value entry_value(const struct entry *e);
/* Replace the value; the old one is freed unless it is the same object. */
struct entry *entry_store(struct entry *e, const struct value *value);
/* Make the string `len` bytes, zeros where new; *data_r is where they are. */
struct entry *entry_resize_string(struct entry *e, size_t len, char **data_r);
/* Set, change or (KEY_NO_EXPIRY) remove the expiry. */
struct entry *entry_set_expiry(struct entry *e, int64_t at_ms);
/* With its value. */
void entry_free(void *entry);
/* Without the object it holds, which has got another owner. */
void entry_free_shell(struct entry *e);
/* Bytes of the entry's own allocations. */
size_t entry_bytes(const struct entry *e);

#endif
