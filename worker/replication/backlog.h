/* backlog.h - the replication stream of a shard: all its changes in client protocol, one sequence of bytes
 * counted from 0, of which the last part is kept.
 *
 *   blocks   [ . . . . ][ . . . . ][ . . ]
 *              ^ begin        ^ cursor  ^ end            the backlog: at least the last `keep` bytes
 *
 * Bytes are stored once, however many replicas read them: each has a cursor. A block goes when it is older
 * than the backlog and no cursor is in it or before it. */
#ifndef REMUDA_REPLICATION_BACKLOG_H
#define REMUDA_REPLICATION_BACKLOG_H
#include "shared/base/bytes.h"
#include "shared/base/list.h"
#include "shared/base/random_id.h"
#include <stdbool.h>
#include <stdint.h>

enum { BACKLOG_NO_DB = -1 };
enum { REPLICATION_ID_BYTES = RANDOM_ID_BYTES };

struct backlog_block;

struct backlog {
    char id[REPLICATION_ID_BYTES]; /* names the history that `end` counts */
    /* The history before this server was promoted: shared with others up to previous_end. "" if none. */
    char previous_id[REPLICATION_ID_BYTES];
    uint64_t previous_end;
    uint64_t end; /* bytes produced so far: master_repl_offset */
    int64_t db;   /* the database a reader is in at the end, BACKLOG_NO_DB: it must be told */
    struct list blocks;
    bool kept; /* there is a backlog; without one nothing is stored or counted */
};

struct backlog_cursor {
    struct backlog *backlog; /* NULL: closed */
    struct backlog_block *block;
    uint64_t offset; /* bytes before it were read */
};

/* A new history with a random id, nothing kept. */
void backlog_init(struct backlog *s);
void backlog_free(struct backlog *s);
/* Another's history from here on: nothing is kept, the next byte is `offset`. No cursor may be open. */
void backlog_become(struct backlog *s, const char *id, uint64_t offset);
/* The history has another name from here on; readers that know the old one may go on. */
void backlog_rename(struct backlog *s, const char *id);
/* A history of our own goes on where the other's ends; readers of that one may go on here. */
void backlog_branch_off(struct backlog *s);
/* Begin to keep what is appended; the offset goes on from where it is. */
void backlog_keep(struct backlog *s);
/* Forget all bytes. What is not kept is not counted, so it is another history from here on. No cursor may be
 * open. */
void backlog_forget(struct backlog *s);
/* Nothing if there is no backlog. */
void backlog_append(struct backlog *s, struct bytes data);
/* What `from` keeps becomes to's, with all that is known of it; from is as after backlog_init(). No cursor may
 * be open in either. */
void backlog_take(struct backlog *to, struct backlog *from);
/* CRC-64 of the bytes from an offset on, which must be within backlog_begin() .. end. */
uint64_t backlog_crc(const struct backlog *s, uint64_t since);
/* Drop blocks that are not needed to keep the last keep_bytes, nor by a cursor. */
void backlog_trim(struct backlog *s, uint64_t keep_bytes);
/* Offset of the first byte that is still there (= end if none is). */
uint64_t backlog_begin(const struct backlog *s);
/* Can a reader that has `offset` bytes of the history `id` go on from here? */
bool backlog_continues(const struct backlog *s, struct bytes id, uint64_t offset);

/* offset must be within backlog_begin() .. end, and the stream kept. */
void backlog_cursor_open(struct backlog_cursor *c, struct backlog *s, uint64_t offset);
/* Nothing if it is closed. */
void backlog_cursor_close(struct backlog_cursor *c);
/* The bytes at the cursor that lie in one piece; empty at the end. */
struct bytes backlog_cursor_peek(struct backlog_cursor *c);
void backlog_cursor_advance(struct backlog_cursor *c, uint64_t bytes);

#endif
