/* slowlog.h - the commands that took long, newest first, of the clients of this worker.
 *
 * A command is timed where it runs and kept where its client is: what ran for another worker's client
 * is sent there as an entry's body (env->slow). Bodies: { i64 time_s, u64 duration_us, u32 argc, argc times
 * { u32 len, bytes } }, arguments cut as Redis cuts them. */
#ifndef REMUDA_COMMAND_SLOWLOG_H
#define REMUDA_COMMAND_SLOWLOG_H
#include "worker/command/command.h"

struct slowlog;

/* next_id: the pool's sequence of entry ids; NULL: one of its own. */
struct slowlog *slowlog_create(_Atomic uint64_t *next_id);
void slowlog_free(struct slowlog **slowlog);
/* Keep an entry, the oldest past max_len go. A body that makes no sense is not kept. */
void slowlog_add(struct slowlog *slowlog, struct bytes body, const char *peer, const char *name,
                 int64_t max_len);
/* How many entries SLOWLOG GET asks for; false: its argument makes no sense. */
bool slowlog_count(const struct bytes *argv, uint32_t argc, uint64_t *count_r);
/* ctx was run and took that long, which is enough: keep it, or send it to where its client is. */
void slowlog_note(struct command_ctx *ctx, uint64_t duration_us);

#endif
