/* rdb_stream.c - streams in RDB form: written as a Redis 7.0 does, read in all three generations.
 *
 *   nodes { master id:16 BE as a string, listpack as a string }  length  last id
 *   [19, 21: first id, largest deleted id, entries added]
 *   groups { name, last id, [entries read],
 *            pending { id:16 BE, delivered:8 LE, deliveries },
 *            consumers { name, seen:8 LE, [21: active:8 LE], pending { id:16 BE } } }
 *
 *   listpack: live, deleted, fields, name ..., 0,
 *             { flags, ms, seq, [fields, field, value ... | value ...], elements } ...
 *
 * ms and seq are differences to the master id. Hostile input: ids must grow, counts must be true, and
 * what is pending in a group must be so at one of its consumers. Fails with a text. */
#include "worker/persist/rdb_private.h"

#include "shared/base/mem.h"
#include "worker/types/listpack.h"
#include "worker/types/stream_group.h"

#include <endian.h>

enum { ID_BYTES = 16, FLAG_DELETED = 1, FLAG_SAME_FIELDS = 2 };

/* ---- writing ---- */

static void id_to_bytes(char *to, struct stream_id id) {
    uint64_t be[2] = {htobe64(id.ms), htobe64(id.seq)};
    memcpy(to, be, ID_BYTES);
}

static void put_id(struct rdb_out *out, struct stream_id id) {
    rdb_put_length(out, id.ms);
    rdb_put_length(out, id.seq);
}

static void put_raw_id(struct rdb_out *out, struct stream_id id) {
    char raw[ID_BYTES];
    id_to_bytes(raw, id);
    buf_append(out->buf, raw, ID_BYTES);
}

static uint64_t put_entry(struct buf *lp, struct stream_id master, struct stream_entry *e) {
    struct bytes field, value;
    bool same = stream_entry_has_block_fields(e);
    uint64_t elements = 3 + (same ? 0 : 1) + (uint64_t)e->pairs * (same ? 1 : 2);
    listpack_put_integer(lp, (e->deleted ? FLAG_DELETED : 0) | (same ? FLAG_SAME_FIELDS : 0));
    listpack_put_integer(lp, (int64_t)(e->id.ms - master.ms));
    listpack_put_integer(lp, (int64_t)(e->id.seq - master.seq));
    if (!same)
        listpack_put_integer(lp, e->pairs);
    for (uint32_t i = 0; i < e->pairs; i++) {
        stream_entry_pair(e, &field, &value);
        if (!same)
            listpack_put(lp, field);
        listpack_put(lp, value);
    }
    listpack_put_integer(lp, (int64_t)elements);
    return elements + 1;
}

static void put_node(struct rdb_out *out, struct buf *lp, struct stream_id master,
                     const struct stream_block *b) {
    struct stream_block_cursor c = stream_block_first(b, master);
    struct stream_entry e;
    char key[ID_BYTES];
    buf_clear(lp);
    size_t begin = listpack_begin(lp);
    uint64_t elements = 4 + (uint64_t)b->names;
    listpack_put_integer(lp, b->live);
    listpack_put_integer(lp, b->deleted);
    listpack_put_integer(lp, b->names);
    bool more = stream_block_next(&c, &e);
    struct stream_entry first = e;
    for (uint32_t i = 0; i < b->names; i++) {
        struct bytes field, value;
        stream_entry_pair(&first, &field, &value);
        listpack_put(lp, field);
    }
    listpack_put_integer(lp, 0);
    for (; more; more = stream_block_next(&c, &e))
        elements += put_entry(lp, master, &e);
    listpack_end(lp, begin, elements);
    id_to_bytes(key, master);
    rdb_put_string(out, bytes_of(key, ID_BYTES));
    rdb_put_string(out, buf_bytes(lp));
    rdb_out_breathe(out);
}

static void put_consumer(struct rdb_out *out, const struct stream_consumer *c) {
    struct idtree_cursor at = idtree_seek(&c->pending, stream_id_min);
    struct stream_id id;
    rdb_put_string(out, stream_consumer_name(c));
    rdb_put_u64le(out, (uint64_t)c->seen_ms);
    rdb_put_length(out, c->pending.count);
    while (idtree_next(&at, &id) != NULL) {
        put_raw_id(out, id);
        rdb_out_breathe(out);
    }
}

static void put_group(struct rdb_out *out, const struct stream_group *g) {
    struct idtree_cursor at = idtree_seek(&g->pending, stream_id_min);
    struct stream_id id;
    rdb_put_string(out, stream_group_name(g));
    put_id(out, g->last_id);
    rdb_put_length(out, (uint64_t)g->entries_read);
    rdb_put_length(out, g->pending.count);
    for (const struct stream_pending *p; (p = idtree_next(&at, &id)) != NULL;) {
        put_raw_id(out, id);
        rdb_put_u64le(out, (uint64_t)p->delivered_ms);
        rdb_put_length(out, p->deliveries);
        rdb_out_breathe(out);
    }
    uint64_t consumers;
    struct stream_consumer **sorted = stream_consumers_sorted(g, &consumers);
    rdb_put_length(out, consumers);
    for (uint64_t i = 0; i < consumers; i++)
        put_consumer(out, sorted[i]);
    mem_free(sorted);
}

void rdb_put_stream(struct rdb_out *out, const struct value *value) {
    const struct stream *s = stream_of(value);
    struct idtree_cursor blocks = idtree_seek(&s->blocks, stream_id_min);
    struct buf lp = {0};
    struct stream_id master;
    rdb_put_length(out, s->blocks.count);
    for (const void *record; (record = idtree_next(&blocks, &master)) != NULL;) {
        const struct stream_block *b;
        memcpy(&b, record, sizeof b);
        put_node(out, &lp, master, b);
    }
    buf_free(&lp);
    rdb_put_length(out, s->length);
    put_id(out, s->last_id);
    put_id(out, s->first_id);
    put_id(out, s->max_deleted_id);
    rdb_put_length(out, s->entries_added);
    uint64_t groups;
    struct stream_group **sorted = stream_groups_sorted(s, &groups);
    rdb_put_length(out, groups);
    for (uint64_t i = 0; i < groups; i++)
        put_group(out, sorted[i]);
    mem_free(sorted);
}

/* ---- reading: entries ---- */

/* Texts out of a listpack, with room for the digits of those that are integers there. */
struct texts {
    struct bytes *text;
    char (*digits)[BYTES_I64_MAX];
    uint64_t room;
};

struct reader {
    struct rdb_in *in;
    struct stream *s;
    struct compact c;
    struct texts names, entry;
    struct stream_id last; /* of all entries read */
    uint64_t names_count, live, deleted;
};

static int damaged(struct reader *r, const char *what) {
    return rdb_fail(r->in, "a node of a stream %s", what);
}

static int texts_room(struct reader *r, struct texts *t, uint64_t count) {
    if (count <= t->room)
        return 0;
    mem_free(t->text);
    mem_free(t->digits);
    t->text = mem_try_alloc(count * sizeof(*t->text));
    t->digits = mem_try_alloc(count * sizeof(*t->digits));
    t->room = t->text != NULL && t->digits != NULL ? count : 0;
    return t->room > 0 ? 0 : damaged(r, "has more fields than there is memory for");
}

static void texts_free(struct texts *t) {
    mem_free(t->text);
    mem_free(t->digits);
}

static int next_text(struct reader *r, struct texts *t, uint64_t index) {
    if (compact_next(&r->c, t->digits[index], &t->text[index]) == COMPACT_ELEMENT)
        return 0;
    return damaged(r, "ends in the middle");
}

static int next_integer(struct reader *r, int64_t *number_r) {
    char digits[BYTES_I64_MAX];
    struct bytes text;
    if (compact_next(&r->c, digits, &text) != COMPACT_ELEMENT || !bytes_to_i64(text, number_r))
        return damaged(r, "has no number where one belongs");
    return 0;
}

/* A number of elements that are still to come in the listpack, each of two bytes or more. */
static int next_count(struct reader *r, uint64_t *count_r) {
    int64_t number;
    if (next_integer(r, &number) != 0)
        return -1;
    *count_r = (uint64_t)number;
    if (number < 0 || *count_r > (uint64_t)(r->c.end - r->c.at) / 2)
        return damaged(r, "has fewer fields than it says");
    return 0;
}

static int get_master_entry(struct reader *r) {
    int64_t live, deleted, zero;
    if (next_integer(r, &live) != 0 || next_integer(r, &deleted) != 0 ||
        next_count(r, &r->names_count) != 0 || texts_room(r, &r->names, r->names_count) != 0)
        return -1;
    for (uint64_t i = 0; i < r->names_count; i++)
        if (next_text(r, &r->names, i) != 0)
            return -1;
    if (next_integer(r, &zero) != 0)
        return -1;
    if (live < 1 || deleted < 0 || zero != 0)
        return damaged(r, "has a wrong master entry");
    r->live = (uint64_t)live;
    r->deleted = (uint64_t)deleted;
    return 0;
}

/* Fields and values into r->entry; *elements_r: how many elements the entry has in all. */
static int get_pairs(struct reader *r, bool same, uint64_t *pairs_r, uint64_t *elements_r) {
    *pairs_r = r->names_count;
    if (!same && next_count(r, pairs_r) != 0)
        return -1;
    if (*pairs_r > UINT32_MAX / 2)
        return damaged(r, "has an entry of too many fields");
    if (texts_room(r, &r->entry, 2 * *pairs_r) != 0)
        return -1;
    for (uint64_t i = 0; i < *pairs_r; i++) {
        if (same)
            r->entry.text[2 * i] = r->names.text[i];
        else if (next_text(r, &r->entry, 2 * i) != 0)
            return -1;
        if (next_text(r, &r->entry, 2 * i + 1) != 0)
            return -1;
    }
    *elements_r = 3 + *pairs_r + (same ? 0 : 1 + *pairs_r);
    return 0;
}

static int get_entry(struct reader *r, struct stream_id master, int64_t flags, bool begins) {
    int64_t ms, seq, elements;
    uint64_t pairs = 0, elements_found = 0;
    if ((flags & ~(FLAG_DELETED | FLAG_SAME_FIELDS)) != 0)
        return damaged(r, "has an entry of a kind unknown");
    if (next_integer(r, &ms) != 0 || next_integer(r, &seq) != 0 ||
        get_pairs(r, flags & FLAG_SAME_FIELDS, &pairs, &elements_found) != 0 ||
        next_integer(r, &elements) != 0)
        return -1;
    struct stream_id id = {master.ms + (uint64_t)ms, master.seq + (uint64_t)seq};
    if (elements < 0 || (uint64_t)elements != elements_found)
        return damaged(r, "has an entry of a wrong size");
    if (!stream_id_before(r->last, id))
        return damaged(r, "has entries out of order");
    bool deleted = flags & FLAG_DELETED;
    if ((deleted ? r->deleted : r->live) == 0)
        return damaged(r, "has more entries than it says");
    r->deleted -= deleted;
    r->live -= !deleted;
    r->last = id;
    stream_load(r->s, id, r->entry.text, (uint32_t)pairs, deleted, begins);
    return 0;
}

static int get_node_entries(struct reader *r, struct stream_id master) {
    if (get_master_entry(r) != 0)
        return -1;
    for (bool begins = true;; begins = false) {
        char digits[BYTES_I64_MAX];
        struct bytes text;
        int64_t flags;
        enum compact_result result = compact_next(&r->c, digits, &text);
        if (result == COMPACT_END)
            break;
        if (result == COMPACT_BAD || !bytes_to_i64(text, &flags))
            return damaged(r, "is damaged");
        if (get_entry(r, master, flags, begins) != 0)
            return -1;
    }
    return r->live == 0 && r->deleted == 0 ? 0 : damaged(r, "has fewer entries than it says");
}

static struct stream_id id_from_bytes(const char *from) {
    uint64_t be[2];
    memcpy(be, from, ID_BYTES);
    return (struct stream_id){be64toh(be[0]), be64toh(be[1])};
}

/* The listpack may lie in the window: nothing is read from the file while it is walked. */
static int get_node(struct reader *r) {
    struct bytes key, run;
    if (rdb_get_string(r->in, 0, &key) != 0)
        return -1;
    if (key.len != ID_BYTES)
        return damaged(r, "has a key that is no id");
    struct stream_id master = id_from_bytes(key.ptr);
    if (rdb_get_string(r->in, 0, &run) != 0)
        return -1;
    if (!compact_open(&r->c, COMPACT_LISTPACK, run))
        return damaged(r, "has a wrong frame");
    return get_node_entries(r, master);
}

static int get_id(struct rdb_in *in, struct stream_id *id_r) {
    return rdb_get_length(in, &id_r->ms) != 0 ? -1 : rdb_get_length(in, &id_r->seq);
}

/* What stands behind the nodes; `first_form`: no more than length and last id. */
static int get_state(struct reader *r, bool first_form) {
    struct rdb_in *in = r->in;
    struct stream *s = r->s;
    struct stream_id first_id;
    uint64_t length;
    if (rdb_get_length(in, &length) != 0 || get_id(in, &s->last_id) != 0)
        return -1;
    if (length != s->length)
        return rdb_fail(in, "a stream of %llu entries says it has %llu",
                        (unsigned long long)s->length, (unsigned long long)length);
    if (stream_id_before(s->last_id, r->last))
        return rdb_fail(in, "a stream has entries behind its last id");
    stream_find_first(s);
    s->entries_added = length;
    if (first_form)
        return 0;
    if (get_id(in, &first_id) != 0 || get_id(in, &s->max_deleted_id) != 0)
        return -1;
    return rdb_get_length(in, &s->entries_added);
}

static int get_entries(struct rdb_in *in, struct stream *s, bool first_form) {
    struct reader r = {.in = in, .s = s};
    uint64_t nodes;
    int error = rdb_get_length(in, &nodes);
    for (uint64_t i = 0; i < nodes && error == 0; i++)
        error = get_node(&r);
    if (error == 0)
        error = get_state(&r, first_form);
    texts_free(&r.names);
    texts_free(&r.entry);
    return error;
}

/* ---- reading: groups ---- */

static int get_raw_id(struct rdb_in *in, struct stream_id *id_r) {
    const char *raw = rdb_get(in, ID_BYTES);
    if (raw == NULL)
        return -1;
    *id_r = id_from_bytes(raw);
    return 0;
}

static int get_time(struct rdb_in *in, int64_t least, int64_t *time_r) {
    uint64_t raw;
    if (rdb_get_u64le(in, &raw) != 0)
        return -1;
    *time_r = (int64_t)raw;
    return *time_r >= least ? 0 : rdb_fail(in, "a time in a stream's group is negative");
}

static int get_pending(struct rdb_in *in, struct stream_group *g) {
    uint64_t count;
    if (rdb_get_length(in, &count) != 0)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        struct stream_id id;
        struct stream_pending p = {0};
        if (get_raw_id(in, &id) != 0 || get_time(in, 0, &p.delivered_ms) != 0 ||
            rdb_get_length(in, &p.deliveries) != 0)
            return -1;
        if (p.deliveries > INT64_MAX)
            p.deliveries = INT64_MAX;
        if (stream_pending_find(g, id) != NULL)
            return rdb_fail(in, "an entry is pending twice in a group");
        *(struct stream_pending *)idtree_insert(&g->pending, id) = p;
    }
    return 0;
}

/* Ids that are pending in the group, and at no other consumer. */
static int get_consumer_pending(struct rdb_in *in, struct stream_group *g,
                                struct stream_consumer *c) {
    uint64_t count;
    if (rdb_get_length(in, &count) != 0)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        struct stream_id id;
        if (get_raw_id(in, &id) != 0)
            return -1;
        struct stream_pending *p = stream_pending_find(g, id);
        if (p == NULL || p->consumer != NULL)
            return rdb_fail(in, "what is pending at a consumer is not so in its group");
        p->consumer = c;
        idtree_insert(&c->pending, id);
    }
    return 0;
}

static int get_consumer(struct rdb_in *in, struct stream_group *g, bool with_active) {
    struct bytes name;
    int64_t seen_ms, active_ms;
    if (rdb_get_kept_string(in, &name) != 0 || get_time(in, 0, &seen_ms) != 0)
        return -1;
    active_ms = seen_ms;
    if (with_active && get_time(in, STREAM_UNKNOWN, &active_ms) != 0)
        return -1;
    struct stream_consumer *c = stream_consumer_create(g, name, seen_ms);
    if (c == NULL)
        return rdb_fail(in, "a consumer is twice in a group");
    c->active_ms = active_ms;
    return get_consumer_pending(in, g, c);
}

static int get_consumers(struct rdb_in *in, struct stream_group *g, bool with_active) {
    uint64_t count, pending = 0;
    if (rdb_get_length(in, &count) != 0)
        return -1;
    for (uint64_t i = 0; i < count; i++)
        if (get_consumer(in, g, with_active) != 0)
            return -1;
    struct table_iterator it = table_iterate(&g->consumers);
    for (const struct stream_consumer *c; (c = table_next(&it)) != NULL;)
        pending += c->pending.count;
    return pending == g->pending.count
               ? 0
               : rdb_fail(in, "what is pending in a group is so at no consumer");
}

enum generation { FIRST = 15, SECOND = 19, THIRD = 21 };

static int get_group(struct rdb_in *in, struct stream *s, enum generation generation) {
    struct bytes name;
    struct stream_id last_id;
    uint64_t entries_read;
    if (rdb_get_kept_string(in, &name) != 0 || get_id(in, &last_id) != 0)
        return -1;
    if (generation == FIRST)
        entries_read = (uint64_t)stream_entries_before(s, last_id);
    else if (rdb_get_length(in, &entries_read) != 0)
        return -1;
    bool known = entries_read <= INT64_MAX;
    struct stream_group *g =
        stream_group_create(s, name, last_id, known ? (int64_t)entries_read : STREAM_UNKNOWN);
    if (g == NULL)
        return rdb_fail(in, "a stream has a group twice");
    return get_pending(in, g) != 0 ? -1 : get_consumers(in, g, generation == THIRD);
}

static enum rdb_value_result get_stream(struct rdb_in *in, enum generation generation,
                                        struct value *value_r) {
    *value_r = stream_create();
    struct stream *s = stream_of(value_r);
    uint64_t groups = 0;
    int error = get_entries(in, s, generation == FIRST);
    if (error == 0)
        error = rdb_get_length(in, &groups);
    for (uint64_t i = 0; i < groups && error == 0; i++)
        error = get_group(in, s, generation);
    if (error == 0)
        return RDB_VALUE_OK;
    stream_free(value_r);
    return RDB_VALUE_BAD;
}

enum rdb_value_result rdb_get_stream(struct rdb_in *in, const struct config *config,
                                     struct value *value_r) {
    return get_stream(in, FIRST, value_r);
}

enum rdb_value_result rdb_get_stream_2(struct rdb_in *in, const struct config *config,
                                       struct value *value_r) {
    return get_stream(in, SECOND, value_r);
}

enum rdb_value_result rdb_get_stream_3(struct rdb_in *in, const struct config *config,
                                       struct value *value_r) {
    return get_stream(in, THIRD, value_r);
}
