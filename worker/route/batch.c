/* batch.c - commands that belong together: the transactions of a primary that the pool follows.
 *
 * At one shard they are one frame; at several the shards are locked first, as for any command over several
 * shards, but nothing is gathered: each shard runs its own commands. */
#include "worker/route/gather.h"

#include "shared/base/mem.h"

static uint32_t owner_of(const struct router *r, struct bytes key) {
    return r->slots->owner[slot_of_key(key)];
}

static void add(struct router *r, struct router_batch *b, uint32_t shard, uint32_t db,
                const struct bytes *argv, uint32_t argc) {
    write_back_command(&b->of[shard], db, argc, argv);
    b->count[shard]++;
}

/* One command for each of its keys. */
static void add_apart(struct router *r, struct router_batch *b, uint32_t db,
                      const struct bytes *argv, uint32_t keys, uint32_t step) {
    for (uint32_t i = 0; i < keys; i++) {
        const struct bytes *key = &argv[r->positions[i]];
        const struct bytes one[] = {argv[0], key[0], key[step - 1]};
        add(r, b, owner_of(r, *key), db, one, 1 + step);
    }
}

bool router_batch_add(struct router *r, struct router_batch *b, uint32_t db,
                      const struct bytes *argv, uint32_t argc) {
    const struct command *cmd = command_lookup(argv, argc, NULL);
    if (cmd == NULL || cmd->handler == NULL || !command_arity_ok(cmd, argc) ||
        cmd->span >= SPAN_DERIVED)
        return false;
    int32_t keys = router_key_positions(r, cmd, argv, argc);
    if (keys <= 0)
        return false;
    uint32_t shard = owner_of(r, argv[r->positions[0]]);
    bool together = true;
    for (int32_t i = 1; i < keys; i++)
        together = together && owner_of(r, argv[r->positions[i]]) == shard;
    if (together)
        add(r, b, shard, db, argv, argc);
    else if (cmd->span == SPAN_SUM && argc == (uint32_t)keys + 1)
        add_apart(r, b, db, argv, (uint32_t)keys, 1);
    else if (cmd->span == SPAN_MSET && argc == 2 * (uint32_t)keys + 1)
        add_apart(r, b, db, argv, (uint32_t)keys, 2);
    else
        return false;
    return true;
}

/* False, and the pipeline stalls, while too much waits for a shard of it or this one is locked. */
static bool may_begin(struct router *r, struct pipeline *p, const struct router_batch *b) {
    for (uint32_t i = 0; i < r->shards; i++) {
        if (b->count[i] == 0)
            continue;
        if (i == r->self ? r->lock.held : serve_is_congested(r, i)) {
            r->full[i] = i != r->self;
            r->any_full = r->any_full || i != r->self;
            router_stall(r, p, i);
            return false;
        }
    }
    return true;
}

/* A row for the call that no write can be refused by: what a primary said has happened. */
static const struct command *row(void) {
    return command_by_name(BYTES_LITERAL("ping"));
}

static void run_at(struct router *r, struct pipeline *p, struct session *session,
                   struct router_batch *b, uint32_t shard) {
    if (shard == r->self) {
        write_back_run(r, buf_bytes(&b->of[shard]), b->count[shard], true, pipeline_tail(p));
        router_made_here(r, p);
        return;
    }
    struct call *call = call_begin(r, p, session, row(), 1);
    struct relay_frame frame = {.type = RELAY_BATCH,
                                .flags = RELAY_UPSTREAM,
                                .command = command_index(call->cmd),
                                .argc = b->count[shard]};
    r->relayed++;
    part_send(r, &call->single, shard, frame, NULL, buf_bytes(&b->of[shard]));
    if (!call->single.published && link_is_up(r->links, shard))
        router_stall(r, p, shard);
}

static void run_locked(struct router *r, struct pipeline *p, struct session *session,
                       struct router_batch *b, uint32_t shards) {
    struct call *call = call_begin(r, p, session, row(), shards);
    call_barrier(call);
    struct gather *g = call->gather = mem_calloc(1, sizeof(*g));
    g->r = r;
    g->batch = true;
    g->shards = mem_calloc(shards, sizeof(*g->shards));
    for (uint32_t i = 0; i < r->shards; i++) {
        if (b->count[i] == 0)
            continue;
        struct gather_shard *shard = &g->shards[g->shard_count++];
        shard->shard = i;
        shard->stores = b->of[i];
        shard->store_count = b->count[i];
        b->of[i] = (struct buf){0};
    }
    r->relayed++;
    gather_lock(r, call);
}

bool router_batch_run(struct router *r, struct pipeline *p, struct session *session,
                      struct router_batch *b) {
    uint32_t shards = 0, shard = 0;
    if (!may_begin(r, p, b))
        return false;
    for (uint32_t i = 0; i < r->shards; i++) {
        shards += b->count[i] > 0;
        shard = b->count[i] > 0 ? i : shard;
    }
    if (shards == 1)
        run_at(r, p, session, b, shard);
    else if (shards > 1)
        run_locked(r, p, session, b, shards);
    r->processed += shards > 0;
    return true;
}

void router_batch_clear(struct router_batch *b) {
    for (uint32_t i = 0; i < SHARD_MAX; i++) {
        if (b->count[i] > 0)
            buf_free(&b->of[i]);
        b->count[i] = 0;
    }
}
