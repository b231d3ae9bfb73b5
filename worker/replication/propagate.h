/* propagate.h - where a change goes after it was executed: the append-only log's buffer, later the
 * replication backlog too. In client protocol, with SELECT put in where the database changes. */
#ifndef REMUDA_REPLICATION_PROPAGATE_H
#define REMUDA_REPLICATION_PROPAGATE_H
#include "shared/base/bytes.h"
#include <stdint.h>

struct propagate;
struct aof;

/* aof may be NULL: counts only. */
struct propagate *propagate_create(struct aof *aof);
void propagate_free(struct propagate **p);
/* One command of database db. */
void propagate_command(struct propagate *p, uint32_t db, uint32_t argc, const struct bytes *argv);
/* Commands already in protocol form (from propagate_instead). */
void propagate_raw(struct propagate *p, uint32_t db, struct bytes commands);
/* DEL of a key that expired or was evicted (UNLINK if lazy). */
void propagate_delete(struct propagate *p, uint32_t db, struct bytes key);
/* A new log file begins, or (NULL) none takes anything: the next command repeats SELECT. */
void propagate_to(struct propagate *p, struct aof *aof);

#endif
