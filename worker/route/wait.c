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

void wait_mark(struct router *r, struct part *part) {
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
    wait_mark(r, part);
}

void wait_here(struct router *r, struct command_ctx *ctx) {
    struct call *call = call_begin(r, ctx->client, ctx->session, ctx->cmd, 1);
    call_barrier(call);
    wait_part_here(r, &call->single, ctx);
}

void wait_cancel(struct router *r, const struct part *part, uint8_t type, enum unblock_how how) {
    struct waiter_id id = {r->self, part_token(part)};
    if (part->peer == r->self)
        blocked_end(r->blocked, id, how);
    else if (!link_withdraw(r->links, part->peer, id.token, type) &&
             link_is_up(r->links, part->peer))
        router_deliver(r, part->peer,
                       (struct relay_frame){.type = RELAY_CANCEL, .argc = how, .token = id.token},
                       (struct bytes){0});
}

static void cancel_waiting(struct router *r, struct call *call, enum unblock_how how) {
    for (uint32_t i = 0; i < call->parts_count; i++)
        if (call->parts[i].waits)
            wait_cancel(r, &call->parts[i], RELAY_REQUEST, how);
}

void wait_told(struct router *r, struct part *part) {
    struct call *call = part->call;
    bool first = !call->waits;
    if (!(call->cmd->flags & CMD_BLOCKING) || part->waits || !call->session)
        return;
    wait_mark(r, part);
    if (call->served)
        wait_cancel(r, part, RELAY_REQUEST, UNBLOCK_TIMEOUT);
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
    wait_unmark(r, call);
    if (!(call->cmd->flags & CMD_BLOCKING) || call->done || call->gather)
        return false;
    for (uint32_t i = 0; i < call->parts_count; i++)
        if (call->parts[i].awaited)
            wait_cancel(r, &call->parts[i], RELAY_REQUEST, UNBLOCK_FORGET);
    return true;
}

bool router_unblock(struct router *r, struct session *session, bool with_error) {
    struct part *part = session->blocked_token ? part_find(r, session->blocked_token) : NULL;
    if (!part)
        return false;
    struct call *call = part->call;
    enum unblock_how how = with_error ? UNBLOCK_ERROR : UNBLOCK_TIMEOUT;
    wait_unmark(r, call);
    if (call->gather)
        wait_cancel(r, part, RELAY_REQUEST, how);
    else
        cancel_waiting(r, call, how);
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

void wait_serve_await(struct router *r, uint32_t peer, const struct relay_frame *frame,
                      struct bytes body) {
    const struct bytes *argv = frame_arguments(r, frame->argc, body);
    struct await_what what;
    if (!argv || frame->db >= keyspace_databases(r->ks) || argv[0].len != sizeof(what))
        return;
    memcpy(&what, argv[0].ptr, sizeof(what));
    blocked_await(r->blocked, frame->db, what, frame->argc - 1, argv + 1,
                  (struct waiter_id){peer, frame->token});
}

/* A call of this shard has its answer, or a part of it; or, over several shards, it is told of a key. */
static void answer_here(struct router *r, struct part *part, struct bytes reply) {
    struct relay_frame told = {.token = part_token(part)};
    if (part->call->gather && part->type == RELAY_AWAIT) {
        serve_answer(r, r->self, &told, RELAY_REPLY, 0, reply);
    } else if (part->call->gather) {
        gather_time_is_up(r, part->call, reply);
    } else if (part->call->parts_count > 1) {
        buf_clear(&part->reply);
        buf_append_bytes(&part->reply, reply);
        part_done(r, part);
    } else {
        router_answer(r, told.token, reply);
    }
}

void wait_answer(void *arg, struct waiter_id id, struct bytes reply, bool failed) {
    struct router *r = arg;
    struct part *part = id.peer == r->self ? part_find(r, id.token) : NULL;
    if (part)
        answer_here(r, part, reply);
    else if (id.peer != r->self)
        serve_answer(r, id.peer, &(struct relay_frame){.token = id.token}, RELAY_REPLY,
                     failed ? RELAY_ERROR : 0, reply);
}
