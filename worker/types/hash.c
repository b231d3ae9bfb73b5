/* hash.c - see hash.h. Both forms behind one set of functions.
 *
 *   LISTPACK   packed.h: field, value, field, value ... in the order of their coming
 *   HASHTABLE  table of entries, each one allocation:
 *
 *              | length of field | length of value | field | value |      lengths: 7 bits a byte
 *
 * A packed hash is changed in value_scratch(), where it is copied first unless it is there already. */
#include "worker/types/hash.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/hash_timers.h"
#include "worker/types/packed.h"

enum {
    LENGTH_BYTES_MAX = 10,
    PAIR = 2,                  /* packed elements of a field */
    PACKED_BYTES_MAX = 1 << 30 /* whatever the limits say: packed hashes are copied whole */
};

struct hash_object {
    struct table table;
    struct hash_timers *timers; /* NULL: no field ever expired */
};

/* ---- entries ---- */

static size_t length_write(char *to, size_t length) {
    size_t bytes = 0;
    for (; length > 0x7F; length >>= 7)
        to[bytes++] = (char)(length | 0x80);
    to[bytes++] = (char)length;
    return bytes;
}

static size_t length_read(const char **from) {
    size_t length = 0;
    uint32_t shift = 0;
    uint8_t byte;
    do {
        byte = (uint8_t) * (*from)++;
        length |= (size_t)(byte & 0x7F) << shift;
        shift += 7;
    } while (byte & 0x80);
    return length;
}

static void entry_read(const void *entry, struct bytes *field_r, struct bytes *value_r) {
    const char *at = entry;
    field_r->len = length_read(&at);
    value_r->len = length_read(&at);
    field_r->ptr = at;
    value_r->ptr = at + field_r->len;
}

static void *entry_create(struct bytes field, struct bytes value) {
    char lengths[2 * LENGTH_BYTES_MAX];
    size_t head = length_write(lengths, field.len);
    head += length_write(lengths + head, value.len);
    char *entry = mem_alloc(head + field.len + value.len);
    memcpy(entry, lengths, head);
    if (field.len > 0)
        memcpy(entry + head, field.ptr, field.len);
    if (value.len > 0)
        memcpy(entry + head + field.len, value.ptr, value.len);
    return entry;
}

static struct bytes entry_field(const void *entry) {
    struct bytes field, value;
    entry_read(entry, &field, &value);
    return field;
}

static const struct table_type entry_type = {.key = entry_field, .free = mem_free};
/* The same entries, owned by another table. */
static const struct table_type borrowed_entry_type = {.key = entry_field};

static struct hash_object *object_of(const struct value *hash) {
    ASSERT(hash->type == VALUE_HASH &&
           (hash->encoding == ENCODING_HASHTABLE || hash->encoding == ENCODING_LISTPACK_EX));
    return hash->object;
}

static struct table *table_of(const struct value *hash) {
    return &object_of(hash)->table;
}

static bool is_packed(const struct value *hash) {
    ASSERT(hash->type == VALUE_HASH);
    return hash->encoding == ENCODING_LISTPACK;
}

static struct value object_create(uint64_t reserve) {
    struct hash_object *object = mem_alloc(sizeof(*object));
    object->timers = NULL;
    table_init(&object->table, &entry_type);
    table_reserve(&object->table, reserve);
    return (struct value){.type = VALUE_HASH, .encoding = ENCODING_HASHTABLE, .object = object};
}

static void object_insert(struct value *hash, struct bytes field, struct bytes value) {
    table_insert(table_of(hash), table_hash(field), entry_create(field, value));
}

/* ---- packed ---- */

struct value hash_create(void) {
    packed_init(value_scratch());
    return (struct value){
        .type = VALUE_HASH, .encoding = ENCODING_LISTPACK, .packed = buf_bytes(value_scratch())};
}

static struct buf *in_scratch(const struct value *hash) {
    struct buf *scratch = value_scratch();
    if (hash->packed.ptr != scratch->data) {
        buf_clear(scratch);
        buf_append_bytes(scratch, hash->packed);
    }
    return scratch;
}

static size_t packed_field(struct bytes packed, struct bytes field) {
    return packed_find(packed, packed_first(packed), field, PAIR);
}

static bool packed_set(struct value *hash, struct bytes field, struct bytes value) {
    struct buf *scratch = in_scratch(hash);
    struct bytes packed = buf_bytes(scratch);
    size_t at = packed_field(packed, field);
    bool new = at == packed.len;
    if (new) {
        packed_append(scratch, field);
        packed_append(scratch, value);
    } else {
        packed_replace(scratch, packed_next(packed, at), value);
    }
    hash->packed = buf_bytes(scratch);
    return new;
}

static void convert_to_table(struct value *hash) {
    struct bytes field, value;
    struct hash_iterator it;
    struct value table = object_create(hash_count(hash));
    hash_iterate(hash, &it);
    while (hash_next(&it, &field, &value))
        object_insert(&table, field, value);
    *hash = table;
}

/* ---- one field ---- */

uint64_t hash_count(const struct value *hash) {
    return is_packed(hash) ? packed_count(hash->packed) / PAIR : table_count(table_of(hash));
}

bool hash_get(const struct value *hash, struct bytes field, char *digits, struct bytes *value_r) {
    if (!is_packed(hash)) {
        struct bytes same_field;
        const void *entry = table_find(table_of(hash), table_hash(field), field);
        if (entry != NULL)
            entry_read(entry, &same_field, value_r);
        return entry != NULL;
    }
    size_t at = packed_field(hash->packed, field);
    if (at == hash->packed.len)
        return false;
    *value_r = packed_text(hash->packed, packed_next(hash->packed, at), digits);
    return true;
}

static bool object_set(struct value *hash, struct bytes field, struct bytes value) {
    struct table *table = table_of(hash);
    uint64_t field_hash = table_hash(field);
    void *old = table_find(table, field_hash, field);
    if (old == NULL) {
        table_insert(table, field_hash, entry_create(field, value));
        return true;
    }
    struct bytes old_field, old_value;
    entry_read(old, &old_field, &old_value);
    if (old_value.len == value.len) {
        if (value.len > 0)
            memmove((char *)old + (old_value.ptr - (const char *)old), value.ptr, value.len);
        return false;
    }
    table_replace(table, field_hash, old, entry_create(field, value));
    mem_free(old);
    return false;
}

/* A small hash with timers is called a big one from the limits on. */
static void outgrow(struct value *hash, struct bytes field, struct bytes value,
                    const struct hash_limits *limits) {
    if (hash->encoding == ENCODING_LISTPACK_EX &&
        (field.len > limits->packed_bytes || value.len > limits->packed_bytes ||
         hash_count(hash) > limits->packed_entries))
        hash->encoding = ENCODING_HASHTABLE;
}

static void forget_expiry(struct value *hash, struct bytes field) {
    struct hash_timers *timers = object_of(hash)->timers;
    if (timers != NULL)
        hash_timers_remove(timers, field);
}

bool hash_set(struct value *hash, struct bytes field, struct bytes value,
              const struct hash_limits *limits) {
    if (!is_packed(hash))
        forget_expiry(hash, field);
    return hash_set_keeping(hash, field, value, limits);
}

bool hash_set_keeping(struct value *hash, struct bytes field, struct bytes value,
                      const struct hash_limits *limits) {
    if (is_packed(hash) && (field.len > limits->packed_bytes || value.len > limits->packed_bytes ||
                            field.len > PACKED_BYTES_MAX || value.len > PACKED_BYTES_MAX ||
                            hash->packed.len > PACKED_BYTES_MAX))
        convert_to_table(hash);
    if (!is_packed(hash)) {
        bool added = object_set(hash, field, value);
        outgrow(hash, field, value, limits);
        return added;
    }
    bool new = packed_set(hash, field, value);
    if (new &&hash_count(hash) > limits->packed_entries)
        convert_to_table(hash);
    return new;
}

bool hash_delete(struct value *hash, struct bytes field) {
    if (!is_packed(hash)) {
        forget_expiry(hash, field);
        void *entry = table_remove(table_of(hash), table_hash(field), field);
        mem_free(entry);
        return entry != NULL;
    }
    size_t at = packed_field(hash->packed, field);
    if (at == hash->packed.len)
        return false;
    struct buf *scratch = in_scratch(hash);
    packed_delete(scratch, at, PAIR);
    hash->packed = buf_bytes(scratch);
    return true;
}

/* ---- fields that expire ---- */

int64_t hash_field_expiry(const struct value *hash, struct bytes field) {
    int64_t at_ms;
    const struct hash_timers *timers = is_packed(hash) ? NULL : object_of(hash)->timers;
    return timers != NULL && hash_timers_get(timers, field, &at_ms) ? at_ms : HASH_NO_EXPIRY;
}

void hash_set_field_expiry(struct value *hash, struct bytes field, int64_t at_ms,
                           const struct hash_limits *limits) {
    if (at_ms == HASH_NO_EXPIRY) {
        if (!is_packed(hash))
            forget_expiry(hash, field);
        return;
    }
    if (is_packed(hash)) {
        convert_to_table(hash);
        hash->encoding = ENCODING_LISTPACK_EX;
        outgrow(hash, bytes_of(NULL, 0), bytes_of(NULL, 0), limits);
    }
    struct hash_object *object = object_of(hash);
    if (object->timers == NULL)
        object->timers = hash_timers_create();
    hash_timers_set(object->timers, field, at_ms);
}

uint64_t hash_timed_count(const struct value *hash) {
    const struct hash_timers *timers = is_packed(hash) ? NULL : object_of(hash)->timers;
    return timers != NULL ? hash_timers_count(timers) : 0;
}

bool hash_first_to_go(const struct value *hash, struct bytes *field_r, int64_t *at_ms_r) {
    const struct hash_timers *timers = is_packed(hash) ? NULL : object_of(hash)->timers;
    return timers != NULL && hash_timers_first(timers, field_r, at_ms_r);
}

/* ---- many fields ---- */

void hash_iterate(const struct value *hash, struct hash_iterator *it) {
    it->packed = bytes_of(NULL, 0);
    it->at = 0;
    if (is_packed(hash)) {
        it->packed = hash->packed;
        it->at = packed_first(hash->packed);
    } else {
        it->entries = table_iterate(table_of(hash));
    }
}

bool hash_next(struct hash_iterator *it, struct bytes *field_r, struct bytes *value_r) {
    if (it->packed.ptr == NULL) {
        const void *entry = table_next(&it->entries);
        if (entry != NULL)
            entry_read(entry, field_r, value_r);
        return entry != NULL;
    }
    if (it->at >= it->packed.len)
        return false;
    *field_r = packed_text(it->packed, it->at, it->digits[0]);
    it->at = packed_next(it->packed, it->at);
    *value_r = packed_text(it->packed, it->at, it->digits[1]);
    it->at = packed_next(it->packed, it->at);
    return true;
}

/* Hands the entries of a table on as pairs. */
struct pair_reporter {
    void (*found)(void *arg, struct bytes field, struct bytes value);
    void *arg;
    uint64_t count;
};

static void report_entry(void *arg, void *entry) {
    struct pair_reporter *r = arg;
    struct bytes field, value;
    entry_read(entry, &field, &value);
    r->found(r->arg, field, value);
    r->count++;
}

uint64_t hash_scan(const struct value *hash, uint64_t cursor, uint64_t count,
                   void (*found)(void *arg, struct bytes field, struct bytes value), void *arg) {
    enum { EMPTY_STEPS = 10 }; /* steps a wanted element, in a table that is nearly empty */
    if (is_packed(hash)) {
        struct hash_iterator it;
        struct bytes field, value;
        hash_iterate(hash, &it);
        while (hash_next(&it, &field, &value))
            found(arg, field, value);
        return 0;
    }
    struct pair_reporter r = {.found = found, .arg = arg};
    uint64_t steps = count > UINT64_MAX / EMPTY_STEPS ? UINT64_MAX : count * EMPTY_STEPS;
    do {
        cursor = table_scan(table_of(hash), cursor, report_entry, &r);
    } while (cursor != 0 && r.count < count && --steps > 0);
    return cursor;
}

/* ---- by chance ---- */

void hash_random(const struct value *hash, char *digits, struct bytes *field_r,
                 struct bytes *value_r) {
    ASSERT(hash_count(hash) > 0);
    if (!is_packed(hash)) {
        entry_read(table_random(table_of(hash)), field_r, value_r);
        return;
    }
    int64_t pair = (int64_t)table_random_below(hash_count(hash));
    size_t at = packed_index(hash->packed, pair * PAIR);
    *field_r = packed_text(hash->packed, at, digits);
    *value_r = packed_text(hash->packed, packed_next(hash->packed, at), digits + BYTES_I64_MAX);
}

/* One pass: each pair is taken with the chance (still wanted) / (still to come). */
static void choose_in_order(const struct value *hash, uint64_t wanted,
                            struct pair_reporter *report) {
    struct hash_iterator it;
    struct bytes field, value;
    uint64_t left = hash_count(hash);
    hash_iterate(hash, &it);
    for (; wanted > 0 && hash_next(&it, &field, &value); left--) {
        if (table_random_below(left) < wanted) {
            report->found(report->arg, field, value);
            wanted--;
        }
    }
}

/* Few out of many: draw, and draw again what was drawn before. */
static void choose_by_drawing(const struct value *hash, uint64_t wanted,
                              struct pair_reporter *report) {
    struct table drawn;
    table_init(&drawn, &borrowed_entry_type);
    table_reserve(&drawn, wanted);
    while (table_count(&drawn) < wanted) {
        void *entry = table_random(table_of(hash));
        struct bytes field = entry_field(entry);
        uint64_t field_hash = table_hash(field);
        if (table_find(&drawn, field_hash, field) != NULL)
            continue;
        table_insert(&drawn, field_hash, entry);
        report_entry(report, entry);
    }
    table_clear(&drawn);
}

void hash_random_distinct(const struct value *hash, uint64_t count,
                          void (*found)(void *arg, struct bytes field, struct bytes value),
                          void *arg) {
    enum { DRAW_BELOW = 3 }; /* draw while a third of all is enough: few draws are in vain */
    struct pair_reporter report = {.found = found, .arg = arg};
    uint64_t all = hash_count(hash);
    uint64_t wanted = count < all ? count : all;
    if (is_packed(hash) || wanted > all / DRAW_BELOW)
        choose_in_order(hash, wanted, &report);
    else
        choose_by_drawing(hash, wanted, &report);
}

/* ---- the whole ---- */

void hash_free(struct value *hash) {
    if (is_packed(hash) || hash->object == NULL)
        return;
    hash_timers_free(&object_of(hash)->timers);
    table_clear(table_of(hash));
    mem_free(hash->object);
    hash->object = NULL;
}

size_t hash_object_bytes(const struct value *hash, uint32_t samples) {
    if (is_packed(hash))
        return 0;
    struct table *table = table_of(hash);
    uint64_t count = table_count(table), looked_at = 0, entry_bytes = 0;
    struct table_iterator it = table_iterate(table);
    void *entry;
    while ((samples == 0 || looked_at < samples) && (entry = table_next(&it)) != NULL) {
        entry_bytes += mem_usable(entry);
        looked_at++;
    }
    size_t bytes = mem_usable(hash->object) + table_bytes(table);
    if (object_of(hash)->timers != NULL)
        bytes += hash_timers_bytes(object_of(hash)->timers);
    return looked_at == 0
               ? bytes
               : bytes + (size_t)((double)entry_bytes / (double)looked_at * (double)count);
}

struct value hash_copy(const struct value *hash) {
    if (is_packed(hash))
        return *hash;
    struct bytes field, value;
    struct hash_iterator it;
    struct value copy = object_create(hash_count(hash));
    hash_iterate(hash, &it);
    while (hash_next(&it, &field, &value))
        object_insert(&copy, field, value);
    copy.encoding = hash->encoding;
    if (object_of(hash)->timers != NULL)
        object_of(&copy)->timers = hash_timers_copy(object_of(hash)->timers);
    return copy;
}
