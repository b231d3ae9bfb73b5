/* aof.h - the append-only log's buffer, as propagation sees it. Files, fsync and the rest are private
 * to worker/persist. */
#ifndef REMUDA_PERSIST_AOF_H
#define REMUDA_PERSIST_AOF_H
#include "shared/base/bytes.h"
#include "shared/base/buf.h"

struct aof;

/* Append one command in protocol form to the buffer. Cheap: no system call. */
void aof_append_command(struct aof *aof, uint32_t argc, const struct bytes *argv);
void aof_append_raw(struct aof *aof, struct bytes commands);
/* One command in protocol form, for anyone who builds log bytes. */
void aof_format_command(struct buf *out, uint32_t argc, const struct bytes *argv);
void aof_format_select(struct buf *out, uint32_t db);

#endif
