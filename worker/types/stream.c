/* stream.c - see stream.h. The entries; groups are in stream_group.c. */
#include "worker/types/stream.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/stream_group.h"

/* Entries of one block, whatever the options say: a block is looked through from its beginning. */
enum { BLOCK_ENTRIES_MAX = 16384, BLOCK_BYTES_MAX = 1 << 30 };

struct stream *stream_of(const struct value *value) {
    ASSERT(value->type == VALUE_STREAM && value->encoding == ENCODING_STREAM);
    return value->object;
}

static struct value value_of(struct stream *s) {
    return (struct value){.type = VALUE_STREAM, .encoding = ENCODING_STREAM, .object = s};
}

struct value stream_create(void) {
    struct stream *s = mem_calloc(1, sizeof(*s));
    idtree_init(&s->blocks, sizeof(struct stream_block *));
    return value_of(s);
}

/* ---- blocks ---- */

static struct stream_block *block_of(const void *record) {
    struct stream_block *b = NULL;
    if (record != NULL)
        memcpy(&b, record, sizeof b);
    return b;
}

/* The block that holds this id if any does, and the id of its first entry. */
static struct stream_block *block_for(const struct stream *s, struct stream_id id,
                                      struct stream_id *first_r) {
    struct idtree_cursor c = idtree_seek_back(&s->blocks, id);
    return block_of(idtree_prev(&c, first_r));
}

static struct stream_block *last_block(const struct stream *s, struct stream_id *first_r) {
    return block_for(s, stream_id_max, first_r);
}

static void add_block(struct stream *s, struct stream_id first, struct stream_block *b) {
    memcpy(idtree_insert(&s->blocks, first), &b, sizeof b);
    s->block_bytes += mem_usable(b);
}

/* A change may have left the block at another address, and of another size. */
static void keep_block(struct stream *s, struct stream_id first, const struct stream_block *old,
                       size_t old_bytes, struct stream_block *b) {
    if (b != old)
        memcpy(idtree_find(&s->blocks, first), &b, sizeof b);
    s->block_bytes += mem_usable(b) - old_bytes;
}

static void drop_block(struct stream *s, struct stream_id first, struct stream_block *b) {
    idtree_remove(&s->blocks, first);
    s->block_bytes -= mem_usable(b);
    mem_free(b);
}

static bool block_is_full(const struct stream_block *b, uint64_t more_bytes,
                          const struct stream_limits *limits) {
    uint64_t bytes_max = limits->block_bytes;
    if (bytes_max == 0 || bytes_max > BLOCK_BYTES_MAX)
        bytes_max = BLOCK_BYTES_MAX;
    uint64_t entries_max = limits->block_entries;
    if (entries_max == 0 || entries_max > BLOCK_ENTRIES_MAX)
        entries_max = BLOCK_ENTRIES_MAX;
    return stream_block_listpack_bytes(b) + more_bytes >= bytes_max ||
           (uint64_t)b->live + b->deleted >= entries_max;
}

static void append(struct stream *s, struct stream_id id, const struct bytes *argv, uint32_t pairs,
                   bool deleted, struct stream_block *b, struct stream_id first) {
    s->length += !deleted;
    if (b == NULL) {
        b = stream_block_create(argv, pairs);
        add_block(s, id, stream_block_append(b, id, id, argv, pairs, deleted));
        return;
    }
    size_t old_bytes = mem_usable(b);
    keep_block(s, first, b, old_bytes, stream_block_append(b, first, id, argv, pairs, deleted));
}

static void seal(struct stream *s, struct stream_id first, struct stream_block *b) {
    size_t old_bytes = mem_usable(b);
    keep_block(s, first, b, old_bytes, stream_block_seal(b));
}

void stream_append(struct stream *s, struct stream_id id, const struct bytes *argv, uint32_t pairs,
                   const struct stream_limits *limits) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < 2 * pairs; i++)
        bytes += argv[i].len;
    struct stream_id first;
    struct stream_block *b = last_block(s, &first);
    if (b != NULL && block_is_full(b, bytes, limits)) {
        seal(s, first, b);
        b = NULL;
    }
    append(s, id, argv, pairs, false, b, first);
    s->entries_added++;
    s->last_id = id;
    if (s->length == 1)
        s->first_id = id;
}

void stream_load(struct stream *s, struct stream_id id, const struct bytes *argv, uint32_t pairs,
                 bool deleted, bool begins) {
    struct stream_id first;
    struct stream_block *b = last_block(s, &first);
    if (b != NULL && begins) {
        seal(s, first, b);
        b = NULL;
    }
    append(s, id, argv, pairs, deleted, b, first);
}

/* ---- deleting ---- */

void stream_find_first(struct stream *s) {
    struct stream_iterator it;
    struct stream_entry entry;
    stream_iterate(s, stream_id_min, stream_id_max, false, &it);
    s->first_id = stream_next(&it, &entry) ? entry.id : stream_id_min;
}

/* The entry of an id in the block that would hold it. */
static bool find_entry(const struct stream_block *b, struct stream_id first, struct stream_id id,
                       struct stream_entry *entry_r) {
    if (b == NULL || stream_id_before(b->last, id))
        return false;
    struct stream_block_cursor c = stream_block_first(b, first);
    while (stream_block_next(&c, entry_r) && !stream_id_before(id, entry_r->id))
        if (stream_id_equal(id, entry_r->id))
            return !entry_r->deleted;
    return false;
}

static void delete_entry(struct stream *s, struct stream_id first, struct stream_block *b,
                         const struct stream_entry *entry) {
    stream_block_delete(b, entry);
    s->length--;
    if (b->live == 0)
        drop_block(s, first, b);
}

bool stream_delete(struct stream *s, struct stream_id id) {
    struct stream_entry entry;
    struct stream_id first;
    struct stream_block *b = block_for(s, id, &first);
    if (!find_entry(b, first, id, &entry))
        return false;
    delete_entry(s, first, b, &entry);
    if (stream_id_before(s->max_deleted_id, id))
        s->max_deleted_id = id;
    if (stream_id_equal(id, s->first_id))
        stream_find_first(s);
    return true;
}

bool stream_has(const struct stream *s, struct stream_id id) {
    struct stream_entry entry;
    struct stream_id first;
    struct stream_block *b = block_for(s, id, &first);
    return find_entry(b, first, id, &entry);
}

/* ---- trimming ---- */

/* Does all of the block go? */
static bool trims_block(const struct stream *s, const struct stream_trim *trim,
                        const struct stream_block *b) {
    return trim->by_id ? stream_id_before(b->last, trim->min_id)
                       : s->length - b->live >= trim->max_length;
}

static bool trims_entry(const struct stream *s, const struct stream_trim *trim,
                        struct stream_id id) {
    return trim->by_id ? stream_id_before(id, trim->min_id) : s->length > trim->max_length;
}

/* Entries at the beginning of a block, of which some stay. */
static uint64_t trim_entries(struct stream *s, const struct stream_trim *trim,
                             struct stream_id first, struct stream_block *b) {
    struct stream_block_cursor c = stream_block_first(b, first);
    struct stream_entry entry;
    uint64_t removed = 0;
    for (uint32_t left = b->live; left > 0 && stream_block_next(&c, &entry);) {
        if (entry.deleted)
            continue;
        if (!trims_entry(s, trim, entry.id))
            break;
        delete_entry(s, first, b, &entry);
        removed++;
        left--;
    }
    return removed;
}

uint64_t stream_trim(struct stream *s, const struct stream_trim *trim) {
    uint64_t removed = 0;
    while (s->length > 0 && (trim->by_id || s->length > trim->max_length)) {
        struct stream_id first;
        struct idtree_cursor c = idtree_seek(&s->blocks, stream_id_min);
        struct stream_block *b = block_of(idtree_next(&c, &first));
        if (trim->limit > 0 && removed + b->live > trim->limit)
            break;
        if (!trims_block(s, trim, b)) {
            if (!trim->approximate)
                removed += trim_entries(s, trim, first, b);
            break;
        }
        removed += b->live;
        s->length -= b->live;
        drop_block(s, first, b);
    }
    if (removed > 0)
        stream_find_first(s);
    return removed;
}

/* ---- reading ---- */

static void enter_block(struct stream_iterator *it) {
    struct stream_id first;
    const struct stream_block *b =
        block_of(it->reverse ? idtree_prev(&it->blocks, &first) : idtree_next(&it->blocks, &first));
    it->entries = (struct stream_block_cursor){0};
    if (b != NULL)
        it->entries = it->reverse ? stream_block_last(b) : stream_block_first(b, first);
}

void stream_iterate(const struct stream *s, struct stream_id start, struct stream_id end,
                    bool reverse, struct stream_iterator *it) {
    *it = (struct stream_iterator){.start = start, .end = end, .reverse = reverse};
    it->blocks = idtree_seek_back(&s->blocks, reverse ? end : start);
    if (!reverse && it->blocks.leaf == NULL)
        it->blocks = idtree_seek(&s->blocks, start);
    enter_block(it);
}

static bool past_range(const struct stream_iterator *it, struct stream_id id) {
    return it->reverse ? stream_id_before(id, it->start) : stream_id_before(it->end, id);
}
static bool before_range(const struct stream_iterator *it, struct stream_id id) {
    return it->reverse ? stream_id_before(it->end, id) : stream_id_before(id, it->start);
}

bool stream_next(struct stream_iterator *it, struct stream_entry *entry_r) {
    while (it->entries.block != NULL) {
        bool found = it->reverse ? stream_block_prev(&it->entries, entry_r)
                                 : stream_block_next(&it->entries, entry_r);
        if (!found) {
            enter_block(it);
            continue;
        }
        if (past_range(it, entry_r->id)) {
            it->entries.block = NULL;
            return false;
        }
        if (!entry_r->deleted && !before_range(it, entry_r->id))
            return true;
    }
    return false;
}

bool stream_last_entry_id(const struct stream *s, struct stream_id *id_r) {
    struct stream_iterator it;
    struct stream_entry entry;
    stream_iterate(s, stream_id_min, stream_id_max, true, &it);
    if (!stream_next(&it, &entry))
        return false;
    *id_r = entry.id;
    return true;
}

/* XDEL has taken out an entry that is not before the first one there is. */
static bool gap_behind_first(const struct stream *s) {
    return !stream_id_is_zero(s->max_deleted_id) &&
           !stream_id_before(s->max_deleted_id, s->first_id);
}

bool stream_has_gap(const struct stream *s, struct stream_id from) {
    return gap_behind_first(s) && s->length > 0 && !stream_id_before(s->max_deleted_id, from);
}

/* Known at the ends: up to the last id all were added; before the first entry, if XDEL has left no gap
 * behind it, all but those that are there. */
int64_t stream_entries_before(const struct stream *s, struct stream_id id) {
    if (s->entries_added == 0)
        return 0;
    bool after_last = stream_id_before(s->last_id, id);
    if (s->length == 0 && !after_last)
        return (int64_t)s->entries_added;
    if (stream_id_equal(id, s->last_id))
        return (int64_t)s->entries_added;
    if (after_last || gap_behind_first(s) || stream_id_before(s->first_id, id))
        return -1;
    return (int64_t)(s->entries_added - s->length) + stream_id_equal(id, s->first_id);
}

/* ---- the whole ---- */

void stream_free(struct value *value) {
    struct stream *s = stream_of(value);
    struct idtree_cursor c = idtree_seek(&s->blocks, stream_id_min);
    for (struct stream_block *b; (b = block_of(idtree_next(&c, NULL))) != NULL;)
        mem_free(b);
    idtree_clear(&s->blocks);
    stream_groups_free(s);
    mem_free(s);
    value->object = NULL;
}

uint64_t stream_cost(const struct value *value) {
    const struct stream *s = stream_of(value);
    return s->blocks.count + stream_groups_cost(s);
}

size_t stream_object_bytes(const struct value *value, uint32_t samples) {
    const struct stream *s = stream_of(value);
    return mem_usable(s) + s->block_bytes + s->blocks.bytes + stream_groups_bytes(s);
}

struct value stream_copy(const struct value *value) {
    const struct stream *s = stream_of(value);
    struct stream *copy = mem_alloc(sizeof(*copy));
    *copy = *s;
    copy->block_bytes = 0;
    copy->groups = NULL;
    idtree_init(&copy->blocks, s->blocks.record_bytes);
    struct idtree_cursor c = idtree_seek(&s->blocks, stream_id_min);
    struct stream_id first;
    for (struct stream_block *b; (b = block_of(idtree_next(&c, &first))) != NULL;)
        add_block(copy, first, stream_block_copy(b));
    stream_groups_copy(s, copy);
    return value_of(copy);
}
