/* stream.h - streams: entries in the order of their ids, in packed blocks, and consumer groups.
 *
 *   struct stream --> blocks (idtree.h): first id -> block (stream_block.h), ...
 *                 \-> groups (stream_group.h): name -> last id, pending entries, consumers
 *
 * A stream is always an object; one without entries is a value like any other. Adding is O(1), a range
 * O(log n) to its beginning; deleting looks through one block. */
#ifndef REMUDA_TYPES_STREAM_H
#define REMUDA_TYPES_STREAM_H
#include "worker/types/idtree.h"
#include "worker/types/stream_block.h"
#include "worker/types/value.h"

struct table;
struct stream {
    struct idtree blocks; /* records: struct stream_block * */
    struct table *groups; /* NULL: none */
    uint64_t length;      /* entries that are not deleted */
    uint64_t block_bytes; /* memory of all blocks */
    uint64_t entries_added;
    struct stream_id last_id;        /* the last one given to an entry */
    struct stream_id first_id;       /* of the first entry, 0-0 if there is none */
    struct stream_id max_deleted_id; /* the largest that XDEL has taken out */
};
struct stream_limits {
    uint64_t block_bytes, block_entries; /* 0: none */
};
/* Redis refuses entries whose fields and values together are longer. */
enum { STREAM_ENTRY_BYTES_MAX = 1 << 30 };

struct value stream_create(void);
struct stream *stream_of(const struct value *value);
/* The functions every type has: see value.h. */
void stream_free(struct value *value);
uint64_t stream_cost(const struct value *value);
size_t stream_object_bytes(const struct value *value, uint32_t samples);
struct value stream_copy(const struct value *value);

/* An entry behind all others: `pairs` times field, value. Its id is after last_id, which it becomes.
 * The texts together are within STREAM_ENTRY_BYTES_MAX. */
void stream_append(struct stream *s, struct stream_id id, const struct bytes *argv, uint32_t pairs,
                   const struct stream_limits *limits);
/* The same for a loader: nothing but length and blocks changes. begins: the entry begins a block. */
void stream_load(struct stream *s, struct stream_id id, const struct bytes *argv, uint32_t pairs,
                 bool deleted, bool begins);
/* false: there is no such entry. max_deleted_id follows. */
bool stream_delete(struct stream *s, struct stream_id id);

struct stream_trim {
    bool by_id; /* entries before min_id go, else the first ones beyond max_length */
    struct stream_id min_id;
    uint64_t max_length;
    bool approximate; /* whole blocks only */
    uint64_t limit;   /* of entries removed; 0: none. Only whole blocks are within it */
};
/* Returns how many entries went. */
uint64_t stream_trim(struct stream *s, const struct stream_trim *trim);
/* Set first_id to what it is. */
void stream_find_first(struct stream *s);

/* ---- reading ---- */
bool stream_has(const struct stream *s, struct stream_id id);
/* Id of the last entry; false if there is none. */
bool stream_last_entry_id(const struct stream *s, struct stream_id *id_r);
/* XDEL has taken out an entry from this id on: those behind it cannot be counted. */
bool stream_has_gap(const struct stream *s, struct stream_id from);
/* How many entries were added up to this id, or -1 if that cannot be known. */
int64_t stream_entries_before(const struct stream *s, struct stream_id id);

/* A walk over the entries of a range, both ends included; nothing may change meanwhile. */
struct stream_iterator {
    struct idtree_cursor blocks;
    struct stream_block_cursor entries;
    struct stream_id start, end;
    bool reverse;
};
void stream_iterate(const struct stream *s, struct stream_id start, struct stream_id end,
                    bool reverse, struct stream_iterator *it_r);
/* Entries that are not deleted. false at the end. */
bool stream_next(struct stream_iterator *it, struct stream_entry *entry_r);

#endif
