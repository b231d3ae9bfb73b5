/* rdb_part.h - an RDB file written key by key, wherever the keys come from: out of other RDB files, out
 * of several keyspaces. Plain encodings; version 10, what Redis 7.0 loads, unless fields of a hash expire. */
#ifndef REMUDA_PERSIST_RDB_PART_H
#define REMUDA_PERSIST_RDB_PART_H
#include "config/config.h"
#include "worker/keyspace/keyspace.h"

/* A key as a file holds it. Everything is borrowed. */
struct rdb_entry {
    uint32_t db;
    struct bytes key;
    const struct value *value;
    int64_t expire_ms; /* KEY_NO_EXPIRY: none */
    int64_t idle_ms;   /* -1: not told */
    int32_t frequency; /* -1: not told */
};
/* Where in a stream of replication the data of a file stand. */
struct rdb_origin {
    char id[41];     /* of the stream's history, 40 hex digits; "": unknown */
    uint64_t offset; /* bytes of it that are in the data */
    uint32_t db;     /* the database its reader is in there */
};
/* Room for all that may come in the life of a stream: an offset past it is damage. */
#define RDB_ORIGIN_OFFSET_MAX ((uint64_t)INT64_MAX / 2)
enum { RDB_VERSION_PLAIN = 10 }; /* Redis 7.0 and later */
struct rdb_saved {
    uint64_t bytes, crc, keys;
    int version; /* of a part; 10, or 12 if a hash has fields that expire */
};

/* A key of a keyspace as it is saved: idle time or frequency are told if maxmemory-policy counts them. */
struct rdb_entry rdb_entry_of(const struct keyref *ref, const struct value *value,
                              const struct config *config);

/* The database that the reader of the stream behind this snapshot is in, as the fields at its beginning say (as
 * Redis 5 and later); 0 if they do not. */
uint32_t rdb_stream_db(const char *path);

struct rdb_part;

/* Begin dir/name under a temporary name; config (compression, checksum) must live as long. NULL with a
 * text. */
struct rdb_part *rdb_part_begin(const char *dir, const char *name, const struct config *config,
                                char *error_r, size_t error_bytes);
/* The database may be another each time. 0, or -1 with a text if the file could not be written, now or
 * before. */
int rdb_part_put(struct rdb_part *part, const struct rdb_entry *entry, char *error_r,
                 size_t error_bytes);
/* Keys in it so far. */
uint64_t rdb_part_keys(const struct rdb_part *part);
/* Finish and publish it, and free *part in any case. replace: over a file of that name; else one that
 * is there is an error. 0, or -1 with a text: then nothing is left. */
int rdb_part_commit(struct rdb_part **part, bool replace, struct rdb_saved *saved_r, char *error_r,
                    size_t error_bytes);
/* Leave nothing. *part may be NULL. */
void rdb_part_abort(struct rdb_part **part);

#endif
