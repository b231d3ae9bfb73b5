/* gather_wait.c - blocking commands over keys of several shards.
 *
 *   all shards locked, the handler finds nothing
 *     AWAIT, keys          --------------------->  notes who wants to be told, while still locked
 *     UNLOCK               --------------------->
 *                          <---------------------  REPLY: one of the keys is ready; noted no more
 *     CANCEL to the others, and all over again: LOCK ...
 *
 * The call's own timeout, and CLIENT UNBLOCK, act on a waiter without keys at the coordinator. Who waits
 * here only learns that a key is ready: one who waits for that key alone may be there first. */
#include "worker/route/gather.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"

static void send_await(struct router *r, struct call *call, uint32_t i,
                       const struct waiter *waiter) {
    struct gather_shard *shard = &call->gather->shards[i];
    struct bytes *argv = mem_alloc((1 + (size_t)waiter_keys(waiter)) * sizeof(*argv));
    struct await_what what = waiter_what(waiter);
    uint32_t argc = 0;
    argv[argc++] = bytes_of((const char *)&what, sizeof(what));
    for (uint32_t k = 0; k < waiter_keys(waiter); k++) {
        if (r->slots->owner[slot_of_key(waiter_key(waiter, k))] == shard->shard)
            argv[argc++] = waiter_key(waiter, k);
    }
    struct relay_frame frame = {.type = RELAY_AWAIT,
                                .command = command_index(call->cmd),
                                .argc = argc,
                                .db = call->gather->db};
    if (argc > 1)
        part_send(r, &call->parts[i], shard->shard, frame, argv, (struct bytes){0});
    mem_free(argv);
}

void gather_wait(struct router *r, struct call *call, struct command_ctx *ctx) {
    struct gather *g = call->gather;
    for (uint32_t i = 0; i < g->shard_count; i++)
        send_await(r, call, i, ctx->waiter);
    gather_unlock(r, call);
    g->phase = GATHER_WAITING;
    if (!g->waited)
        g->until_ms = waiter_until(ctx->waiter);
    g->waited = true;
    call->single.call = call;
    struct waiter_id id = {r->self, part_await(r, &call->single, r->self)};
    blocked_add_keyless(r->blocked, ctx, id, g->until_ms);
    wait_mark(r, &call->single);
}

/* Nobody is to tell of these keys any more. */
static void cancel_awaits(struct router *r, struct call *call) {
    for (uint32_t i = 0; i < call->gather->shard_count; i++) {
        struct part *part = &call->parts[i];
        if (!part->awaited)
            continue;
        wait_cancel(r, part, RELAY_AWAIT, UNBLOCK_FORGET);
        part_release(r, part);
    }
}

/* One of the keys is ready: all over again. */
static void begin_again(struct router *r, struct call *call) {
    struct gather *g = call->gather;
    g->told = false;
    cancel_awaits(r, call);
    for (uint32_t i = 0; i < g->shard_count; i++)
        buf_clear(&g->shards[i].operands);
    call->started_ms = clock_mono_ms();
    gather_lock(r, call);
}

void gather_wait_told(struct router *r, struct call *call) {
    call->gather->told = true;
    if (!pause_is_on(r) || !pause_holds(r, &r->internal, call->cmd))
        begin_again(r, call);
}

void gather_wait_pause(struct router *r, struct call *call) {
    wait_unmark(r, call);
    if (!call->single.awaited)
        return;
    blocked_end(r->blocked, (struct waiter_id){r->self, part_token(&call->single)}, UNBLOCK_FORGET);
    part_release(r, &call->single);
}

void gather_wait_end(struct router *r, struct call *call) {
    if (call->gather->phase == GATHER_WAITING)
        cancel_awaits(r, call);
    gather_wait_pause(r, call);
}

void gather_time_is_up(struct router *r, struct call *call, struct bytes reply) {
    gather_end(r, call, reply);
}

bool gather_abandon(struct router *r, struct call *call) {
    enum gather_phase phase = call->gather->phase;
    if (phase != GATHER_WAITING && phase != GATHER_LOCKING)
        return false;
    gather_end(r, call, (struct bytes){0});
    return true;
}
