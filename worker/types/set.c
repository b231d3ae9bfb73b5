/* set.c - see set.h. All forms behind one set of functions.
 *
 *   INTSET     intset.h
 *   LISTPACK   packed.h: members in the order of their coming
 *   HASHTABLE  table of set_member.h
 *
 * The first two are changed in value_scratch(), where they are copied first unless they are there. */
#include "worker/types/set.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/intset.h"
#include "worker/types/packed.h"
#include "worker/types/set_member.h"

enum {
    PACKED_BYTES_MAX = 1 << 30, /* whatever the limits say: packed sets are copied whole */
    INTSET_ENTRIES_MAX = 1 << 30
};

struct set_object {
    struct table table;
};

static const struct table_type member_type = {.key = set_member_text, .free = set_member_free};
/* The same members, owned by another table. */
static const struct table_type borrowed_member_type = {.key = set_member_text};

static struct table *table_of(const struct value *set) {
    ASSERT(set->type == VALUE_SET && set->encoding == ENCODING_HASHTABLE);
    return &((struct set_object *)set->object)->table;
}

static struct value table_create(uint64_t reserve) {
    struct set_object *object = mem_alloc(sizeof(*object));
    table_init(&object->table, &member_type);
    table_reserve(&object->table, reserve);
    return (struct value){.type = VALUE_SET, .encoding = ENCODING_HASHTABLE, .object = object};
}

struct value set_create(enum value_encoding encoding) {
    if (encoding == ENCODING_HASHTABLE)
        return table_create(0);
    if (encoding == ENCODING_INTSET)
        intset_init(value_scratch());
    else
        packed_init(value_scratch());
    return (struct value){
        .type = VALUE_SET, .encoding = encoding, .packed = buf_bytes(value_scratch())};
}

static uint64_t intset_entries(const struct set_limits *limits) {
    return limits->intset_entries < INTSET_ENTRIES_MAX ? limits->intset_entries
                                                       : INTSET_ENTRIES_MAX;
}

static bool is_integer(struct bytes member, int64_t *number_r) {
    return member.len < BYTES_I64_MAX && bytes_to_i64(member, number_r);
}

struct value set_create_for(struct bytes first, uint64_t expected,
                            const struct set_limits *limits) {
    int64_t number;
    if (is_integer(first, &number) && expected <= limits->intset_entries)
        return set_create(ENCODING_INTSET);
    if (expected <= limits->packed_entries)
        return set_create(ENCODING_LISTPACK);
    return table_create(expected);
}

static struct buf *in_scratch(const struct value *set) {
    struct buf *scratch = value_scratch();
    if (set->packed.ptr != scratch->data) {
        buf_clear(scratch);
        buf_append_bytes(scratch, set->packed);
    }
    return scratch;
}

/* ---- from one form to another ---- */

static void convert_to_table(struct value *set, uint64_t reserve) {
    struct bytes member;
    struct set_iterator it;
    struct value table = table_create(reserve > set_count(set) ? reserve : set_count(set));
    set_iterate(set, &it);
    while (set_next(&it, &member))
        table_insert(table_of(&table), table_hash(member), set_member_create(member));
    *set = table;
}

/* From an INTSET, which may lie in the scratch buffer itself. */
static void convert_to_packed(struct value *set) {
    struct buf numbers = {0};
    struct bytes member;
    struct set_iterator it;
    buf_append_bytes(&numbers, set->packed);
    struct value old = *set;
    old.packed = buf_bytes(&numbers);
    packed_init(value_scratch());
    set_iterate(&old, &it);
    while (set_next(&it, &member))
        packed_append(value_scratch(), member);
    set->encoding = ENCODING_LISTPACK;
    set->packed = buf_bytes(value_scratch());
    buf_free(&numbers);
}

void set_expect(struct value *set, uint64_t members, const struct set_limits *limits) {
    if ((set->encoding == ENCODING_LISTPACK && members > limits->packed_entries) ||
        (set->encoding == ENCODING_INTSET && members > limits->intset_entries))
        convert_to_table(set, members);
}

void set_prefer_integers(struct value *set, const struct set_limits *limits) {
    struct set_iterator it;
    struct bytes member;
    struct buf numbers = {0};
    int64_t number;
    uint64_t index;
    if (set->encoding == ENCODING_INTSET || set_count(set) > intset_entries(limits))
        return;
    intset_init(&numbers);
    set_iterate(set, &it);
    while (set_next(&it, &member)) {
        if (!is_integer(member, &number)) {
            buf_free(&numbers);
            return;
        }
        intset_find(buf_bytes(&numbers), number, &index);
        intset_insert(&numbers, index, number);
    }
    set_free(set);
    buf_clear(value_scratch());
    buf_append_bytes(value_scratch(), buf_bytes(&numbers));
    buf_free(&numbers);
    *set = (struct value){
        .type = VALUE_SET, .encoding = ENCODING_INTSET, .packed = buf_bytes(value_scratch())};
}

/* ---- one member ---- */

uint64_t set_count(const struct value *set) {
    ASSERT(set->type == VALUE_SET);
    switch (set->encoding) {
    case ENCODING_INTSET: return intset_count(set->packed);
    case ENCODING_LISTPACK: return packed_count(set->packed);
    default: return table_count(table_of(set));
    }
}

static size_t packed_member(const struct value *set, struct bytes member) {
    return packed_find(set->packed, packed_first(set->packed), member, 1);
}

bool set_has(const struct value *set, struct bytes member) {
    int64_t number;
    uint64_t index;
    switch (set->encoding) {
    case ENCODING_INTSET:
        return is_integer(member, &number) && intset_find(set->packed, number, &index);
    case ENCODING_LISTPACK: return packed_member(set, member) < set->packed.len;
    default: return table_find(table_of(set), table_hash(member), member) != NULL;
    }
}

static bool table_add(struct value *set, struct bytes member) {
    struct table *table = table_of(set);
    uint64_t hash = table_hash(member);
    if (table_find(table, hash, member) != NULL)
        return false;
    table_insert(table, hash, set_member_create(member));
    return true;
}

/* May one more member, of this length, be packed with so many others? */
static bool may_be_packed(const struct value *set, size_t len, const struct set_limits *limits) {
    return set_count(set) < limits->packed_entries && len <= limits->packed_bytes &&
           len <= PACKED_BYTES_MAX && set->packed.len <= PACKED_BYTES_MAX;
}

static bool packed_add(struct value *set, struct bytes member, const struct set_limits *limits) {
    if (packed_member(set, member) < set->packed.len)
        return false;
    if (!may_be_packed(set, member.len, limits)) {
        convert_to_table(set, set_count(set) + 1);
        return table_add(set, member);
    }
    struct buf *scratch = in_scratch(set);
    packed_append(scratch, member);
    set->packed = buf_bytes(scratch);
    return true;
}

/* Digits of the longest number: the least or the greatest. */
static size_t intset_longest(struct bytes numbers) {
    char digits[BYTES_I64_MAX];
    uint64_t count = intset_count(numbers);
    if (count == 0)
        return 0;
    size_t least = bytes_from_i64(digits, intset_get(numbers, 0));
    size_t greatest = bytes_from_i64(digits, intset_get(numbers, count - 1));
    return least > greatest ? least : greatest;
}

static bool intset_add(struct value *set, struct bytes member, const struct set_limits *limits) {
    int64_t number;
    uint64_t index;
    if (!is_integer(member, &number)) {
        size_t longest = intset_longest(set->packed);
        if (may_be_packed(set, member.len > longest ? member.len : longest, limits)) {
            convert_to_packed(set);
            return packed_add(set, member, limits);
        }
        convert_to_table(set, set_count(set) + 1);
        return table_add(set, member);
    }
    if (intset_find(set->packed, number, &index))
        return false;
    struct buf *scratch = in_scratch(set);
    intset_insert(scratch, index, number);
    set->packed = buf_bytes(scratch);
    if (set_count(set) > intset_entries(limits))
        convert_to_table(set, 0);
    return true;
}

bool set_add(struct value *set, struct bytes member, const struct set_limits *limits) {
    switch (set->encoding) {
    case ENCODING_INTSET: return intset_add(set, member, limits);
    case ENCODING_LISTPACK: return packed_add(set, member, limits);
    default: return table_add(set, member);
    }
}

static bool packed_remove(struct value *set, struct bytes member) {
    int64_t number;
    uint64_t index;
    size_t at;
    if (set->encoding == ENCODING_INTSET) {
        if (!is_integer(member, &number) || !intset_find(set->packed, number, &index))
            return false;
        intset_delete(in_scratch(set), index);
    } else {
        if ((at = packed_member(set, member)) == set->packed.len)
            return false;
        packed_delete(in_scratch(set), at, 1);
    }
    set->packed = buf_bytes(value_scratch());
    return true;
}

bool set_remove(struct value *set, struct bytes member) {
    if (set->encoding != ENCODING_HASHTABLE)
        return packed_remove(set, member);
    void *entry = table_remove(table_of(set), table_hash(member), member);
    if (entry == NULL)
        return false;
    set_member_free(entry);
    return true;
}

/* ---- many members ---- */

void set_iterate(const struct value *set, struct set_iterator *it) {
    it->encoding = set->encoding;
    it->at = 0;
    if (set->encoding == ENCODING_HASHTABLE)
        it->entries = table_iterate(table_of(set));
    else
        it->packed = set->packed;
    if (set->encoding == ENCODING_LISTPACK)
        it->at = packed_first(set->packed);
}

bool set_next(struct set_iterator *it, struct bytes *member_r) {
    const void *entry;
    switch (it->encoding) {
    case ENCODING_INTSET:
        if (it->at >= intset_count(it->packed))
            return false;
        *member_r =
            bytes_of(it->digits, bytes_from_i64(it->digits, intset_get(it->packed, it->at)));
        it->at++;
        return true;
    case ENCODING_LISTPACK:
        if (it->at >= it->packed.len)
            return false;
        *member_r = packed_text(it->packed, it->at, it->digits);
        it->at = packed_next(it->packed, it->at);
        return true;
    default:
        if ((entry = table_next(&it->entries)) == NULL)
            return false;
        *member_r = set_member_text(entry);
        return true;
    }
}

/* Hands the entries of a table on as members. */
struct reporter {
    void (*found)(void *arg, struct bytes member);
    void *arg;
    uint64_t count;
};

static void report_entry(void *arg, void *entry) {
    struct reporter *r = arg;
    r->found(r->arg, set_member_text(entry));
    r->count++;
}

uint64_t set_scan(const struct value *set, uint64_t cursor, uint64_t count,
                  void (*found)(void *arg, struct bytes member), void *arg) {
    enum { EMPTY_STEPS = 10 }; /* steps a wanted member, in a table that is nearly empty */
    if (set->encoding != ENCODING_HASHTABLE) {
        struct set_iterator it;
        struct bytes member;
        set_iterate(set, &it);
        while (set_next(&it, &member))
            found(arg, member);
        return 0;
    }
    struct reporter r = {.found = found, .arg = arg};
    uint64_t steps = count > UINT64_MAX / EMPTY_STEPS ? UINT64_MAX : count * EMPTY_STEPS;
    do {
        cursor = table_scan(table_of(set), cursor, report_entry, &r);
    } while (cursor != 0 && r.count < count && --steps > 0);
    return cursor;
}

/* ---- by chance ---- */

struct bytes set_random(const struct value *set, char *digits) {
    ASSERT(set_count(set) > 0);
    if (set->encoding == ENCODING_HASHTABLE)
        return set_member_text(table_random(table_of(set)));
    uint64_t index = table_random_below(set_count(set));
    if (set->encoding == ENCODING_INTSET)
        return bytes_of(digits, bytes_from_i64(digits, intset_get(set->packed, index)));
    return packed_text(set->packed, packed_index(set->packed, (int64_t)index), digits);
}

/* One pass: each member is taken with the chance (still wanted) / (still to come). */
static void choose_in_order(const struct value *set, uint64_t wanted,
                            const struct reporter *report) {
    struct set_iterator it;
    struct bytes member;
    uint64_t left = set_count(set);
    set_iterate(set, &it);
    for (; wanted > 0 && set_next(&it, &member); left--) {
        if (table_random_below(left) < wanted) {
            report->found(report->arg, member);
            wanted--;
        }
    }
}

/* Few out of many: draw, and draw again what was drawn before. */
static void choose_by_drawing(const struct value *set, uint64_t wanted, struct reporter *report) {
    struct table drawn;
    table_init(&drawn, &borrowed_member_type);
    table_reserve(&drawn, wanted);
    while (table_count(&drawn) < wanted) {
        void *entry = table_random(table_of(set));
        struct bytes member = set_member_text(entry);
        uint64_t hash = table_hash(member);
        if (table_find(&drawn, hash, member) != NULL)
            continue;
        table_insert(&drawn, hash, entry);
        report_entry(report, entry);
    }
    table_clear(&drawn);
}

void set_random_distinct(const struct value *set, uint64_t count,
                         void (*found)(void *arg, struct bytes member), void *arg) {
    enum { DRAW_BELOW = 3 }; /* draw while a third of all is enough: few draws are in vain */
    struct reporter report = {.found = found, .arg = arg};
    uint64_t all = set_count(set);
    uint64_t wanted = count < all ? count : all;
    if (set->encoding != ENCODING_HASHTABLE || wanted > all / DRAW_BELOW)
        choose_in_order(set, wanted, &report);
    else
        choose_by_drawing(set, wanted, &report);
}

/* ---- the whole ---- */

void set_free(struct value *set) {
    if (set->encoding != ENCODING_HASHTABLE || set->object == NULL)
        return;
    table_clear(table_of(set));
    mem_free(set->object);
    set->object = NULL;
}

size_t set_object_bytes(const struct value *set, uint32_t samples) {
    if (set->encoding != ENCODING_HASHTABLE)
        return 0;
    struct table *table = table_of(set);
    struct table_iterator it = table_iterate(table);
    uint64_t looked_at = 0, member_bytes = 0;
    const void *entry;
    while ((samples == 0 || looked_at < samples) && (entry = table_next(&it)) != NULL) {
        member_bytes += set_member_bytes(entry);
        looked_at++;
    }
    size_t bytes = mem_usable(set->object) + table_bytes(table);
    if (looked_at > 0)
        bytes += (size_t)((double)member_bytes / (double)looked_at * (double)table_count(table));
    return bytes;
}

struct value set_copy(const struct value *set) {
    struct value copy = *set;
    if (set->encoding == ENCODING_HASHTABLE)
        convert_to_table(&copy, 0);
    return copy;
}
