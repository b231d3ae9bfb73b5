/* wait.c - blocking commands on their way: who waits is a call of the client's worker, where it waits is
 * the shard that owns its keys (worker/command/blocked.h).
 *
 *   client's worker                          owner of the keys
 *     REQUEST           ----------------->   nothing there: registered
 *                       <-----------------   BLOCKED            from now on CLIENT LIST shows it
 *                       <-----------------   REPLY              served, or its time is up
 *     CANCEL, argc how  ----------------->   CLIENT UNBLOCK; or the client is gone (no answer then)
 *
 * Of keys of several shards (XREAD) each part of the call waits at its owner, and the first that has
 * anything ends the others as if their time was up: they say that they have nothing, or what they were
 * served meanwhile, so that all that was given away is in the reply.
 *
 * Only the owner ends a wait, so that what was served is never called a timeout: a CANCEL that comes
 * too late finds nothing, and the REPLY that is on its way is the client's. */
#include "worker/route/router_private.h"

#include "worker/command/blocked.h"

/* ---- at the client's worker ---- */

/* A part of the call waits: it is registered. */
static void mark(struct router *r, struct part *part) {
    struct call *call = part->call;
    part->waits = true;
    r->waiting_parts++;
    r->waiting += !call->waits;
    call->waits = true;
    call->session->blocked_token = part_token(part);
}

void wait_unmark(struct router *r, struct call *call) {
    if (!call->waits)
        return;
    call->waits = false;
    r->waiting--;
    if (call->session)
        call->session->blocked_token = 0;
}

void wait_part_here(struct router *r, struct part *part, struct command_ctx *ctx) {
    struct waiter_id id = {r->self, part_await(r, part, r->self)};
    blocked_add(r->blocked, ctx, id);
    mark(r, part);
}

void wait_here(struct router *r, struct command_ctx *ctx) {
    struct call *call = call_begin(r, ctx->client, ctx->session, ctx->cmd, 1);
    call_barrier(call);
    wait_part_here(r, &call->single, ctx);
}

static void cancel(struct router *r, const struct part *part, enum unblock_how how) {
    struct waiter_id id = {r->self, part_token(part)};
    if (part->peer == r->self)
        blocked_end(r->blocked, id, how);
    else if (!link_withdraw(r->links, part->peer, id.token, RELAY_REQUEST) &&
             link_is_up(r->links, part->peer))
        router_deliver(r, part->peer,
                       (struct relay_frame){.type = RELAY_CANCEL, .argc = how, .token = id.token},
                       (struct bytes){0});
}

static void cancel_waiting(struct router *r, struct call *call, enum unblock_how how) {
    for (uint32_t i = 0; i < call->parts_count; i++)
        if (call->parts[i].waits)
            cancel(r, &call->parts[i], how);
}

void wait_told(struct router *r, struct part *part) {
    struct call *call = part->call;
    bool first = !call->waits;
    if (!(call->cmd->flags & CMD_BLOCKING) || part->waits || !call->session)
        return;
    mark(r, part);
    if (call->served)
        cancel(r, part, UNBLOCK_TIMEOUT);
    else if (first)
        call->pipeline->wake(call->pipeline); /* to be read again: it may leave */
}

/* What a shard says that has nothing until the time is up. */
static bool is_nothing(const struct buf *reply) {
    struct bytes text = buf_bytes(reply);
    return bytes_equal(text, BYTES_LITERAL("*-1\r\n")) || bytes_equal(text, BYTES_LITERAL("_\r\n"));
}

/* WAIT: every shard is waited for, unless one has an error. CLIENT UNBLOCK finds the call by a part that still waits. */
static void name_another(struct call *call) {
    for (uint32_t i = 0; i < call->parts_count && call->session; i++)
        if (call->parts[i].waits)
            call->session->blocked_token = part_token(&call->parts[i]);
}

void wait_part_done(struct router *r, struct part *part) {
    struct call *call = part->call;
    if (!(call->cmd->flags & CMD_BLOCKING) || call->served || is_nothing(&part->reply))
        return;
    if (call->cmd->span != SPAN_STREAMS && !(part->reply.len > 0 && part->reply.data[0] == '-')) {
        name_another(call);
        return;
    }
    call->served = true;
    cancel_waiting(r, call, UNBLOCK_TIMEOUT);
}

bool wait_forget(struct router *r, struct call *call) {
    if (!(call->cmd->flags & CMD_BLOCKING) || call->done || call->gather)
        return false;
    wait_unmark(r, call);
    for (uint32_t i = 0; i < call->parts_count; i++)
        if (call->parts[i].awaited)
            cancel(r, &call->parts[i], UNBLOCK_FORGET);
    return true;
}

bool router_unblock(struct router *r, struct session *session, bool with_error) {
    struct part *part = session->blocked_token ? part_find(r, session->blocked_token) : NULL;
    if (!part)
        return false;
    struct call *call = part->call;
    wait_unmark(r, call);
    cancel_waiting(r, call, with_error ? UNBLOCK_ERROR : UNBLOCK_TIMEOUT);
    return true;
}

/* ---- at the owner ---- */

void wait_for_peer(struct router *r, struct command_ctx *ctx, uint32_t peer,
                   const struct relay_frame *request) {
    blocked_add(r->blocked, ctx, (struct waiter_id){peer, request->token});
    router_deliver(r, peer, (struct relay_frame){.type = RELAY_BLOCKED, .token = request->token},
                   (struct bytes){0});
}

void wait_serve_cancel(struct router *r, uint32_t peer, const struct relay_frame *frame) {
    if (frame->argc <= UNBLOCK_FORGET && !serve_unpark(r, peer, RELAY_REQUEST, frame->token))
        blocked_end(r->blocked, (struct waiter_id){peer, frame->token},
                    (enum unblock_how)frame->argc);
}

void wait_answer(void *arg, struct waiter_id id, struct bytes reply, bool failed) {
    struct router *r = arg;
    struct part *part = id.peer == r->self ? part_find(r, id.token) : NULL;
    if (part && part->call->parts_count > 1) {
        buf_clear(&part->reply);
        buf_append_bytes(&part->reply, reply);
        part_done(r, part);
    } else if (id.peer == r->self)
        router_answer(r, id.token, reply);
    else
        serve_answer(r, id.peer, &(struct relay_frame){.token = id.token}, RELAY_REPLY,
                     failed ? RELAY_ERROR : 0, reply);
}
