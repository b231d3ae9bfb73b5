/* entry.c - building and changing entries. The layout is drawn in entry_private.h. */
#include "worker/keyspace/entry_private.h"
#include "worker/keyspace/keyspace_private.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"

enum { LONG_DOUBLING_MAX = 1 << 20, WASTE_IGNORED_BYTES = 64 };

/* What decides an entry's layout. */
struct shape {
    enum entry_place place;
    size_t key_len, value_len; /* value_len: of embedded bytes */
    bool expiry;
};

/* The size the allocator would give: its classes are 8, multiples of 16 to 128, then four to each
 * doubling. */
static size_t size_class(size_t bytes) {
    size_t step = 16;
    if (bytes > 128)
        step = (size_t)1 << (61 - __builtin_clzll(bytes - 1));
    return (bytes + step - 1) & ~(step - 1);
}

static uint8_t shape_flags(const struct shape *s) {
    unsigned flags = (unsigned)s->place << ENTRY_PLACE_SHIFT;
    flags |= s->key_len <= UINT8_MAX ? 0 : s->key_len <= UINT16_MAX ? 1 : 2;
    if (s->place == PLACE_EMBEDDED && s->value_len > UINT8_MAX)
        flags |= ENTRY_VALUE_WIDE;
    return (uint8_t)(flags | (s->expiry ? ENTRY_EXPIRY : 0));
}

static size_t shape_bytes(const struct shape *s) {
    size_t value = s->place == PLACE_EMBEDDED ? s->value_len : sizeof(uint64_t);
    return ENTRY_HEADER + entry_length_bytes(shape_flags(s)) + (s->expiry ? sizeof(int64_t) : 0) +
           s->key_len + value;
}

static uint32_t value_length(const struct entry *e) {
    const char *at = e->rest + (1u << (e->flags & ENTRY_KEY_LENGTH));
    uint16_t wide;
    if (!(e->flags & ENTRY_VALUE_WIDE))
        return (uint8_t)*at;
    memcpy(&wide, at, sizeof wide);
    return wide;
}

static struct shape entry_shape(const struct entry *e) {
    struct shape s = {.place = entry_place(e), .expiry = entry_has_expiry(e)};
    s.key_len = entry_key(e).len;
    s.value_len = s.place == PLACE_EMBEDDED ? value_length(e) : 0;
    return s;
}

/* Where the value is, whatever its place. */
static char *value_at(struct entry *e) {
    return e->rest + entry_length_bytes(e->flags) + (e->flags & ENTRY_EXPIRY) + entry_key(e).len;
}
static const char *value_at_const(const struct entry *e) {
    struct bytes key = entry_key(e);
    return key.ptr + key.len;
}

static void put_word(struct entry *e, uint64_t word) {
    memcpy(value_at(e), &word, sizeof word);
}
static uint64_t get_word(const struct entry *e) {
    uint64_t word;
    memcpy(&word, value_at_const(e), sizeof word);
    return word;
}
static void put_pointer(struct entry *e, void *pointer) {
    put_word(e, (uint64_t)(uintptr_t)pointer);
}
static void *get_pointer(const struct entry *e) {
    return (void *)(uintptr_t)get_word(e);
}
static struct long_value *get_long(const struct entry *e) {
    return get_pointer(e);
}

/* Write flags and lengths (little-endian, as all supported machines are). */
static void put_shape(struct entry *e, const struct shape *s) {
    e->flags = shape_flags(s);
    uint32_t key_len = (uint32_t)s->key_len, key_bytes = 1u << (e->flags & ENTRY_KEY_LENGTH);
    memcpy(e->rest, &key_len, key_bytes);
    if (s->place == PLACE_EMBEDDED) {
        uint16_t value_len = (uint16_t)s->value_len;
        memcpy(e->rest + key_bytes, &value_len, e->flags & ENTRY_VALUE_WIDE ? 2 : 1);
    }
}

static void put_kind(struct entry *e, enum value_type type, enum value_encoding encoding) {
    e->head = (e->head & ENTRY_ACCESS_MASK) | (uint32_t)type << ENTRY_ACCESS_BITS |
              (uint32_t)encoding << (ENTRY_ACCESS_BITS + 3);
}
static enum value_encoding get_encoding(const struct entry *e) {
    return (enum value_encoding)(e->head >> (ENTRY_ACCESS_BITS + 3) & 15);
}

static bool fits_in_place(const struct shape *from, const struct shape *to) {
    size_t have = size_class(shape_bytes(from)), need = size_class(shape_bytes(to));
    return need <= have && have - need <= have / 2 + WASTE_IGNORED_BYTES;
}

/* Give the entry another shape, keeping key and head; and the expiry's value if it had and keeps one.
 * The value's bytes are undefined afterwards, but for a shape that differs in its expiry only. */
static struct entry *reshape(struct entry *e, const struct shape *to) {
    struct shape from = entry_shape(e);
    struct bytes key = entry_key(e);
    size_t tail = key.len;
    if (from.place == to->place && from.value_len == to->value_len)
        tail += from.place == PLACE_EMBEDDED ? from.value_len : sizeof(uint64_t);
    int64_t expiry = from.expiry ? entry_expiry(e) : KEY_NO_EXPIRY;
    struct entry *into = e;
    if (!fits_in_place(&from, to)) {
        into = mem_alloc(size_class(shape_bytes(to)));
        into->head = e->head;
    }
    size_t at = entry_length_bytes(shape_flags(to)) + (to->expiry ? sizeof expiry : 0);
    memmove(into->rest + at, key.ptr, tail);
    put_shape(into, to);
    if (to->expiry)
        memcpy(into->rest + entry_length_bytes(into->flags), &expiry, sizeof expiry);
    if (into != e)
        mem_free(e);
    return into;
}

/* ---- long values ---- */

static struct long_value *long_create(size_t len, size_t room) {
    size_t bytes = size_class(sizeof(struct long_value) + room);
    struct long_value *l = mem_alloc(bytes);
    l->len = len;
    l->cap = bytes - sizeof *l;
    return l;
}

static size_t room_for_growth(size_t len) {
    return len < LONG_DOUBLING_MAX ? 2 * len : len + len / 4;
}

static struct long_value *long_resize(struct long_value *l, size_t len) {
    if (len > l->cap) {
        size_t bytes = size_class(sizeof *l + room_for_growth(len));
        l = mem_realloc(l, bytes);
        l->cap = bytes - sizeof *l;
    }
    if (len > l->len)
        memset(l->data + l->len, 0, len - l->len);
    l->len = len;
    return l;
}

/* ---- values ---- */

static enum entry_place place_for(const struct value *value) {
    if (value->encoding == ENCODING_INT)
        return PLACE_NUMBER;
    if (!value_is_packed(value->encoding))
        return PLACE_OBJECT;
    return value->packed.len <= ENTRY_EMBED_MAX ? PLACE_EMBEDDED : PLACE_LONG;
}

/* Fill in the value of an entry that has the right shape. */
static void put_value(struct entry *e, const struct value *value) {
    put_kind(e, value->type, value->encoding);
    switch (entry_place(e)) {
    case PLACE_EMBEDDED:
        if (value->packed.len)
            memcpy(value_at(e), value->packed.ptr, value->packed.len);
        break;
    case PLACE_NUMBER: put_word(e, (uint64_t)value->number); break;
    case PLACE_OBJECT: put_pointer(e, value->object); break;
    case PLACE_LONG: {
        struct long_value *l = long_create(value->packed.len, value->packed.len);
        memcpy(l->data, value->packed.ptr, value->packed.len);
        put_pointer(e, l);
        break;
    }
    }
}

static struct shape shape_for(size_t key_len, const struct value *value, bool expiry) {
    struct shape s = {.place = place_for(value), .key_len = key_len, .expiry = expiry};
    s.value_len = s.place == PLACE_EMBEDDED ? value->packed.len : 0;
    return s;
}

struct entry *entry_create(struct bytes key, const struct value *value, uint32_t access) {
    ASSERT(key.len <= UINT32_MAX);
    struct shape s = shape_for(key.len, value, false);
    struct entry *e = mem_alloc(size_class(shape_bytes(&s)));
    e->head = access & ENTRY_ACCESS_MASK;
    put_shape(e, &s);
    if (key.len)
        memcpy(e->rest + entry_length_bytes(e->flags), key.ptr, key.len);
    put_value(e, value);
    return e;
}

struct value entry_value(const struct entry *e) {
    struct value value = {.type = entry_type(e), .encoding = get_encoding(e)};
    switch (entry_place(e)) {
    case PLACE_EMBEDDED: value.packed = bytes_of(value_at_const(e), value_length(e)); break;
    case PLACE_NUMBER: value.number = (int64_t)get_word(e); break;
    case PLACE_OBJECT: value.object = get_pointer(e); break;
    case PLACE_LONG: value.packed = bytes_of(get_long(e)->data, get_long(e)->len); break;
    }
    return value;
}

/* Free what lies outside of the entry. */
static void free_outside(struct entry *e, const void *kept_object) {
    struct value value = entry_value(e);
    if (entry_place(e) == PLACE_LONG)
        mem_free(get_pointer(e));
    else if (entry_place(e) == PLACE_OBJECT && value.object != kept_object)
        value_free(&value);
}

/* The same for a value that another takes the place of. */
static void drop_outside(struct entry *e, const void *kept_object) {
    struct value value = entry_value(e);
    bool goes = entry_place(e) == PLACE_OBJECT && value.object != kept_object;
    if (goes && lazyfree_wants(&value, false))
        lazyfree_value(&value);
    else
        free_outside(e, kept_object);
}

static bool is_within(const struct entry *e, const struct value *value) {
    uintptr_t start = (uintptr_t)e, at = (uintptr_t)value->packed.ptr;
    struct shape s = entry_shape(e);
    return place_for(value) == PLACE_EMBEDDED && at >= start && at < start + shape_bytes(&s);
}

/* Overwrite a long value by one of about its size. */
static bool store_long_in_place(struct entry *e, const struct value *value) {
    if (entry_place(e) != PLACE_LONG || place_for(value) != PLACE_LONG)
        return false;
    struct long_value *l = get_long(e);
    if (value->packed.len > l->cap || value->packed.len < l->cap / 2)
        return false;
    memmove(l->data, value->packed.ptr, value->packed.len);
    l->len = value->packed.len;
    put_kind(e, value->type, value->encoding);
    return true;
}

struct entry *entry_store(struct entry *e, const struct value *value) {
    char own[ENTRY_EMBED_MAX];
    struct value given = *value;
    if (store_long_in_place(e, value))
        return e;
    struct shape to = shape_for(entry_key(e).len, value, entry_has_expiry(e));
    bool embedded = to.place == PLACE_EMBEDDED && entry_place(e) == PLACE_EMBEDDED;
    if (embedded && value_length(e) == to.value_len) {
        if (to.value_len)
            memmove(value_at(e), value->packed.ptr, to.value_len);
        put_kind(e, value->type, value->encoding);
        return e;
    }
    if (is_within(e, value)) {
        memcpy(own, value->packed.ptr, value->packed.len);
        given.packed.ptr = own;
    }
    struct long_value *old_long = entry_place(e) == PLACE_LONG ? get_long(e) : NULL;
    if (!old_long)
        drop_outside(e, to.place == PLACE_OBJECT ? value->object : NULL);
    e = reshape(e, &to);
    put_value(e, &given);
    mem_free(old_long); /* last: the new bytes may have been part of it */
    return e;
}

struct entry *entry_resize_string(struct entry *e, size_t len, char **data_r) {
    char digits[BYTES_I64_MAX], own[ENTRY_EMBED_MAX];
    struct shape to = entry_shape(e);
    struct value value = entry_value(e);
    struct bytes old = value_string_bytes(&value, digits);
    if (to.place == PLACE_LONG) {
        struct long_value *l = long_resize(get_long(e), len);
        put_pointer(e, l);
        put_kind(e, VALUE_STRING, ENCODING_RAW);
        *data_r = l->data;
        return e;
    }
    size_t kept = old.len < len ? old.len : len;
    memcpy(own, old.ptr, kept);
    to.place = len <= ENTRY_EMBED_MAX ? PLACE_EMBEDDED : PLACE_LONG;
    to.value_len = to.place == PLACE_EMBEDDED ? len : 0;
    e = reshape(e, &to);
    put_kind(e, VALUE_STRING, ENCODING_RAW);
    if (to.place == PLACE_LONG) {
        struct long_value *l = long_create(len, kept ? room_for_growth(len) : len);
        put_pointer(e, l);
        *data_r = l->data;
    } else {
        *data_r = value_at(e);
    }
    memcpy(*data_r, own, kept);
    memset(*data_r + kept, 0, len - kept);
    return e;
}

struct entry *entry_set_expiry(struct entry *e, int64_t at_ms) {
    struct shape to = entry_shape(e);
    bool wanted = at_ms != KEY_NO_EXPIRY;
    if (to.expiry != wanted) {
        to.expiry = wanted;
        e = reshape(e, &to);
    }
    if (wanted)
        memcpy(e->rest + entry_length_bytes(e->flags), &at_ms, sizeof at_ms);
    return e;
}

void entry_free(void *entry) {
    struct entry *e = entry;
    free_outside(e, NULL);
    mem_free(e);
}

void entry_free_shell(struct entry *e) {
    if (entry_place(e) == PLACE_LONG)
        mem_free(get_pointer(e));
    mem_free(e);
}

size_t entry_bytes(const struct entry *e) {
    size_t bytes = mem_usable(e);
    if (entry_place(e) == PLACE_LONG)
        bytes += mem_usable(get_pointer(e));
    return bytes;
}
