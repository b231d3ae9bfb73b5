/* stream.h - the replication stream of a shard: all its changes in client protocol, one sequence of bytes
 * counted from 0, of which the last part is kept.
 *
 *   blocks   [ . . . . ][ . . . . ][ . . ]
 *              ^ begin        ^ cursor  ^ end            the backlog: at least the last `keep` bytes
 *
 * Bytes are stored once, however many replicas read them: each has a cursor. A block goes when it is older
 * than the backlog and no cursor is in it or before it. */
#ifndef REMUDA_REPLICATION_STREAM_H
#define REMUDA_REPLICATION_STREAM_H
#include "shared/base/bytes.h"
#include "shared/base/list.h"
#include <stdbool.h>
#include <stdint.h>

enum { REPLICATION_ID_BYTES = 41 }; /* 40 hex digits and a NUL */

struct stream_block;

struct stream {
    char id[REPLICATION_ID_BYTES]; /* names the history that `end` counts */
    /* The history before this server was promoted: shared with others up to previous_end. "" if none. */
    char previous_id[REPLICATION_ID_BYTES];
    uint64_t previous_end;
    uint64_t end; /* bytes produced so far: master_repl_offset */
    struct list blocks;
    bool kept; /* there is a backlog; without one nothing is stored or counted */
};

struct stream_cursor {
    struct stream *stream; /* NULL: closed */
    struct stream_block *block;
    uint64_t offset; /* bytes before it were read */
};

/* A new history with a random id, nothing kept. */
void stream_init(struct stream *s);
void stream_free(struct stream *s);
/* Another's history from here on: nothing is kept, the next byte is `offset`. No cursor may be open. */
void stream_become(struct stream *s, const char *id, uint64_t offset);
/* A history of our own goes on where the other's ends; readers of that one may go on here. */
void stream_branch_off(struct stream *s);
/* Begin to keep what is appended; the offset goes on from where it is. */
void stream_keep(struct stream *s);
/* Forget all bytes. No cursor may be open. */
void stream_forget(struct stream *s);
/* Nothing if there is no backlog. */
void stream_append(struct stream *s, struct bytes data);
/* Drop blocks that are not needed to keep the last keep_bytes, nor by a cursor. */
void stream_trim(struct stream *s, uint64_t keep_bytes);
/* Offset of the first byte that is still there (= end if none is). */
uint64_t stream_begin(const struct stream *s);
/* Can a reader that has `offset` bytes of the history `id` go on from here? */
bool stream_continues(const struct stream *s, struct bytes id, uint64_t offset);

/* offset must be within stream_begin() .. end, and the stream kept. */
void stream_cursor_open(struct stream_cursor *c, struct stream *s, uint64_t offset);
/* Nothing if it is closed. */
void stream_cursor_close(struct stream_cursor *c);
/* The bytes at the cursor that lie in one piece; empty at the end. */
struct bytes stream_cursor_peek(struct stream_cursor *c);
void stream_cursor_advance(struct stream_cursor *c, uint64_t bytes);

#endif
