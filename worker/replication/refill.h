/* refill.h - the backlog out of the log, at a start: replicas that lack a little go on where they were.
 *
 *     base (origin)  commands  PING repl:<id>:<offset>:<db>:<crc>  commands  PING repl:...
 *                    '------ the stream's bytes, as they were ------'
 *
 * Between two marks the log holds what the stream held (propagate.h says what is in one only). That it does is
 * believed if length and checksum fit; otherwise, and where an older version wrote the marks, the
 * backlog begins anew at the later one. It is looked for where the end of a long log is near, so that the rest
 * loads as fast as without replicas. Never more is kept than repl-backlog-size and what the next mark
 * must vouch for, which is no more than that again. */
#ifndef REMUDA_REPLICATION_REFILL_H
#define REMUDA_REPLICATION_REFILL_H
#include "worker/persist/rdb_part.h"
#include "worker/replication/backlog.h"

struct refill;

/* databases: so many there are here; a reader that is in another stands nowhere. */
struct refill *refill_create(uint64_t keep_bytes, uint32_t databases);
void refill_free(struct refill **r);
/* A snapshot was loaded that stands there. */
void refill_begin(struct refill *r, const struct rdb_origin *origin);
/* The next command of the log, and its bytes; not those of the log's checksums. left: from it on the log has so
 * many bytes. */
void refill_command(struct refill *r, uint32_t argc, const struct bytes *argv, struct bytes raw,
                    uint64_t left);
/* All is loaded. Does anybody know where in a stream it stands? Then that and the bytes before it are in
 * backlog, where nothing may be kept. */
bool refill_end(struct refill *r, struct backlog *backlog);

#endif
