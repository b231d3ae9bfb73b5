/* propagate.h - where a change goes after it was executed: the append-only log's buffer, and the
 * replication stream. In client protocol, with SELECT put in where the database changes. */
#ifndef REMUDA_REPLICATION_PROPAGATE_H
#define REMUDA_REPLICATION_PROPAGATE_H
#include "shared/base/bytes.h"
#include "worker/persist/rdb_part.h"
#include <stdbool.h>
#include <stdint.h>

struct propagate;
struct aof;
struct backlog;

/* aof may be NULL: there is no log. stream may be NULL: there are no replicas. */
struct propagate *propagate_create(struct aof *aof, struct backlog *backlog);
void propagate_free(struct propagate **p);
/* One command of database db. */
void propagate_command(struct propagate *p, uint32_t db, uint32_t argc, const struct bytes *argv);
/* Commands already in protocol form (from propagate_instead). */
void propagate_raw(struct propagate *p, uint32_t db, struct bytes commands);
/* DEL of a key that expired or was evicted (UNLINK if lazy). */
void propagate_delete(struct propagate *p, uint32_t db, struct bytes key);
/* A new log file begins, or (NULL) none takes anything: the next command repeats SELECT. */
void propagate_to(struct propagate *p, struct aof *aof);

/* ---- notes in the log about the stream, each a PING with a text ---- */
struct propagate_mark {
    struct rdb_origin origin; /* without id if it makes no sense */
    bool has_crc;             /* of the stream's bytes since the mark before, CRC-64: */
    uint64_t crc;
};
/* Say in the log that what it holds up to here is the stream up to its end; since: where the last mark
 * said so. "PING repl:<id>:<offset>:<db>[:<crc>]". */
void propagate_mark(struct propagate *p, const struct backlog *backlog, uint64_t since);
/* Is this command of a log such a mark? */
bool propagate_mark_parse(uint32_t argc, const struct bytes *argv, struct propagate_mark *mark_r);
/* "PING sent:<bytes>": these are the stream's, and no command of the log. */
bool propagate_sent_parse(uint32_t argc, const struct bytes *argv, struct bytes *sent_r);
/* "PING apart:<number>": so many bytes of commands that follow are the log's, and none of the stream. */
bool propagate_apart_parse(uint32_t argc, const struct bytes *argv, uint64_t *bytes_r);

/* ---- of a replica: its primary's bytes make the stream, not what it executes ---- */
void propagate_follow(struct propagate *p, bool follows);
/* Before one of its commands is run (or not) here; it must be there until propagate_received(). */
void propagate_receive(struct propagate *p, struct bytes command);
/* It was run, and is in the stream now, whose reader is in db. selects: it was a SELECT that changed that. */
void propagate_received(struct propagate *p, bool selects, uint32_t db);

/* Is what is executed here what makes this stream? */
bool propagate_makes(const struct propagate *p, const struct backlog *backlog);
/* One shard's part of a command over several shards. */
struct propagate_part {
    uint64_t number;    /* all parts of a command bear the same; see worker/route/parts.c */
    uint64_t shards[2]; /* one bit each, those that say a part, even one without changes */
    bool more;          /* this shard will say another */
};
/* What is propagated up to propagate_part_end() is such a part. For who merges the streams of all shards;
 * others see a PING. */
void propagate_part(struct propagate *p, const struct propagate_part *part);
void propagate_part_end(struct propagate *p);
static inline bool propagate_part_is_any(const struct propagate_part *part) {
    return (part->shards[0] | part->shards[1]) != 0;
}
static inline void propagate_part_add(struct propagate_part *part, uint32_t shard) {
    part->shards[shard / 64] |= UINT64_C(1) << shard % 64;
}
static inline bool propagate_part_has(const struct propagate_part *part, uint32_t shard) {
    return part->shards[shard / 64] >> shard % 64 & 1;
}
/* Is this command of a stream one of the two? The end is a part of no shard. */
bool propagate_part_parse(uint32_t argc, const struct bytes *argv, struct propagate_part *part_r);
/* For replicas only: PING, REPLCONF GETACK. The log has a note of it. */
void propagate_to_replicas(struct propagate *p, uint32_t argc, const struct bytes *argv);

#endif
