/* memory.h - maxmemory for the pool as a whole: who must give room. Folder-private; what others may
 * call is in command.h.
 *
 * Every shard is due an equal share. While the pool is over its limit, the shards above their share
 * evict, each in proportion to what it has too much, so that together they free what is needed and
 * no more. A shard within its share goes on, on credit of a twentieth of the limit; past that, it
 * pays for each write with keys of its own. */
#ifndef REMUDA_COMMAND_MEMORY_H
#define REMUDA_COMMAND_MEMORY_H
#include <stdbool.h>
#include <stdint.h>

struct memory_view {
    uint64_t limit_bytes;  /* maxmemory; 0: none */
    uint64_t own_bytes;    /* this worker's */
    uint64_t total_bytes;  /* of all workers, this one included */
    uint64_t excess_bytes; /* what all workers have above their shares, added up */
    uint32_t workers;
    bool may_evict; /* the policy is not noeviction */
};
enum memory_verdict {
    MEMORY_GO,    /* within the limit, or on credit */
    MEMORY_EVICT, /* this shard is to free *evict_bytes_r */
    MEMORY_REFUSE /* no room, and what there is to free is not this shard's */
};
enum { MEMORY_CREDIT_FRACTION = 20 };

enum memory_verdict memory_decide(const struct memory_view *view, uint64_t *evict_bytes_r);

#endif
