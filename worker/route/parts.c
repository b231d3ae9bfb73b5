/* parts.c - the parts of a command over several shards bear a number in the shards' streams, so that who reads
 * all of them can put it together again (worker/replication/feed_hold.c).
 *
 * Only while somebody reads them so: else a stream would be longer for nothing. Who coordinates the command
 * decides, so that all its parts are marked or none. */
#include "worker/route/router_private.h"

#include "worker/replication/feed.h"

bool parts_are_wanted(const struct router *r) {
    return status_get(segment_status(r->env->segment, FEED_SHARD), METRIC_merged_runs) > 0;
}

struct propagate_part parts_number(struct router *r, enum parts_kind kind) {
    uint64_t generation = r->env->generation & 0x7fffff;
    return (struct propagate_part){.number = (uint64_t)r->self << 56 | (uint64_t)kind << 55 |
                                             generation << 32 | ++r->numbers[kind]};
}

struct bytes parts_argument(const struct propagate_part *part) {
    return bytes_of((const char *)part, sizeof *part);
}

bool parts_take(const struct relay_frame *frame, const struct bytes *argv, uint32_t *argc,
                struct propagate_part *part_r) {
    *part_r = (struct propagate_part){0};
    if (!(frame->flags & RELAY_PART))
        return true;
    if (argv == NULL || *argc < 2 || argv[*argc - 1].len != sizeof *part_r)
        return false;
    memcpy(part_r, argv[--*argc].ptr, sizeof *part_r);
    return true;
}

void parts_execute(struct router *r, struct command_ctx *ctx, const struct propagate_part *part) {
    bool is_part = propagate_part_is_any(part) && r->env->propagate != NULL;
    if (is_part)
        propagate_part(r->env->propagate, part);
    execute(ctx);
    if (is_part)
        propagate_part_end(r->env->propagate);
}
