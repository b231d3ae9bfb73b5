/* history.h - the last minutes of each shard's throughput, so that a dashboard opened now can show
 * what was before. One sample a second; forgotten when the front restarts. */
#ifndef REMUDA_HISTORY_H
#define REMUDA_HISTORY_H
#include "shared/base/buf.h"
#include "shared/ipc/segment.h"

enum { HISTORY_SAMPLES = 300, HISTORY_EVERY_MS = 1000 };

struct history {
    uint32_t count, next; /* a ring */
    uint64_t sampled_ms;
    int64_t wall_ms[HISTORY_SAMPLES];
    uint32_t ops[HISTORY_SAMPLES][SHARD_MAX]; /* commands a second */
};

/* Call a few times a second; takes a sample when one is due. */
void history_look(struct history *history, const struct segment *segment, uint64_t now_mono_ms,
                  int64_t now_wall_ms);
/* {"rows":[[unix ms, ops of shard 0, ...], ...]}, oldest first. */
void history_json_write(const struct history *history, uint32_t workers, struct buf *out);

#endif
