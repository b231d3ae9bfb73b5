/* serve.c - commands of other workers' clients, run on this shard. */
#include "worker/route/router_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"

void serve_answer(struct router *r, uint32_t peer, const struct relay_frame *request, uint8_t type,
                  uint8_t flags, struct bytes body) {
    struct relay_frame frame = {.type = type, .flags = flags, .token = request->token};
    if (body.len > LINK_BODY_MAX) {
        frame.flags |= RELAY_ERROR;
        body = BYTES_LITERAL("-ERR the reply is longer than what may pass between shards, "
                             "2147483647 bytes\r\n");
    }
    uint64_t gate = r->env->persist ? persist_reply_gate(r->env->persist) : 0;
    if (gate == 0) {
        router_deliver(r, peer, frame, body);
        return;
    }
    struct held *held = mem_alloc(sizeof(*held) + body.len);
    held->gate = gate;
    held->peer = peer;
    held->frame = frame;
    held->len = body.len;
    if (body.len)
        memcpy(held->body, body.ptr, body.len);
    list_push_back(&r->held, &held->link);
}

static void serve_request(struct router *r, uint32_t peer, const struct relay_frame *frame,
                          struct bytes body) {
    struct session *s = &r->remote;
    struct buf *out = &r->reply_scratch;
    buf_clear(out);
    const struct command *cmd =
        frame->command < command_count ? &command_rows[frame->command] : NULL;
    const struct bytes *argv = frame_arguments(r, frame->argc, body);
    struct propagate_part part;
    uint32_t argc = frame->argc;
    bool whole = parts_take(frame, argv, &argc, &part);
    s->resp = frame->flags & RELAY_RESP3 ? 3 : 2;
    s->no_touch = frame->flags & RELAY_NOTOUCH;
    s->upstream = frame->flags & RELAY_UPSTREAM;
    s->db = frame->db;
    s->of_peer = peer;
    s->of_token = frame->token;
    struct command_ctx ctx = router_context(r, s, cmd, argv, argc, out);
    ctx.may_block = true;
    if (!cmd || !cmd->handler || !argv || !whole || !command_arity_ok(cmd, argc) ||
        frame->db >= keyspace_databases(r->ks)) {
        log_warning("Relay frame from shard %u refused: it makes no command", peer);
        reply_error(&ctx.reply, "ERR malformed relay frame");
    } else if (r->env->syncing && !s->upstream && !(cmd->flags & CMD_LOADING)) {
        reply_error(&ctx.reply, reply_err_loading);
    } else if (cmd->span == SPAN_REFRESH) {
        r->env->refresh_status(r->env->upper);
    } else {
        parts_execute(r, &ctx, &part);
        r->served++;
    }
    if (ctx.waiter)
        wait_for_peer(r, &ctx, peer, frame);
    else
        serve_answer(r, peer, frame, RELAY_REPLY, ctx.reply.errors ? RELAY_ERROR : 0,
                     buf_bytes(out));
    buf_shrink(out, 64 * 1024);
}

static bool is_lock_holder(const struct router *r, uint32_t peer, const struct relay_frame *frame) {
    return r->lock.held && r->lock.by == peer && r->lock.generation == frame->from_generation;
}

/* Run what is new, or what comes out of the parking place. */
static void serve_now(struct router *r, uint32_t peer, const struct relay_frame *frame,
                      struct bytes body) {
    if ((frame->flags & RELAY_UPSTREAM) && r->env->look_at_primary != NULL)
        r->env->look_at_primary(r->env->upper);
    if (frame->type == RELAY_REQUEST)
        serve_request(r, peer, frame, body);
    else if (frame->type == RELAY_BATCH)
        gather_serve_write_back(r, peer, frame, body);
    else
        gather_serve_lock(r, peer, frame, body);
}

bool serve_is_congested(const struct router *r, uint32_t peer) {
    return peer != r->self &&
           link_backlog_bytes(r->links, peer) > (uint64_t)r->env->config->relay_backlog_limit;
}

bool serve_may_go_on(const struct router *r) {
    return !r->lock.held && !list_empty(&r->lock.parked) &&
           !serve_is_congested(r, LIST_ENTRY(r->lock.parked.next, struct parked, link)->peer);
}

bool serve_unpark(struct router *r, uint32_t peer, uint8_t type, uint64_t token) {
    LIST_EACH(node, &r->lock.parked) {
        struct parked *parked = LIST_ENTRY(node, struct parked, link);
        if (parked->frame.type == type && parked->peer == peer && parked->frame.token == token) {
            list_remove(&parked->link);
            mem_free(parked);
            return true;
        }
    }
    return false;
}

void serve_frame(struct router *r, uint32_t peer, const struct relay_frame *frame,
                 struct bytes body) {
    switch (frame->type) {
    case RELAY_REQUEST:
    case RELAY_BATCH:
    case RELAY_LOCK:
        /* Also behind others that are parked already: per-key order is the order of arrival. */
        if (r->lock.held || !list_empty(&r->lock.parked) || serve_is_congested(r, peer))
            park_frame(&r->lock.parked, peer, frame, body);
        else
            serve_now(r, peer, frame, body);
        break;
    case RELAY_WRITE_BACK:
        if (is_lock_holder(r, peer, frame))
            gather_serve_write_back(r, peer, frame, body);
        else
            serve_answer(r, peer, frame, RELAY_WRITTEN, RELAY_ERROR,
                         BYTES_LITERAL("-ERR the lock of a shard was lost; the command may or may "
                                       "not have been executed in part\r\n"));
        break;
    case RELAY_FETCH:
        if (is_lock_holder(r, peer, frame))
            gather_serve_fetch(r, peer, frame, body);
        else
            serve_answer(r, peer, frame, RELAY_LOCKED, RELAY_ERROR,
                         BYTES_LITERAL("-ERR the lock of a shard was lost; the command was not "
                                       "executed\r\n"));
        break;
    case RELAY_MARK:
        if (is_lock_holder(r, peer, frame))
            gather_serve_mark(r, peer, frame, body);
        break; /* else it has given up already */
    case RELAY_UNLOCK:
        if (is_lock_holder(r, peer, frame) && r->lock.token == frame->token)
            serve_unlock(r);
        else /* its coordinator gave up before the lock's turn came */
            serve_unpark(r, peer, RELAY_LOCK, frame->token);
        break;
    case RELAY_AWAIT: wait_serve_await(r, peer, frame, body); break;
    case RELAY_CANCEL: wait_serve_cancel(r, peer, frame); break;
    default: log_warning("Relay frame of unknown type %u from shard %u dropped", frame->type, peer);
    }
}

void serve_unlock(struct router *r) {
    r->lock.held = false;
    blocked_hold(r->blocked, false);
    router_wake_stalled(r, r->self);
}

/* In order of arrival, up to the next lock; that one is taken in a turn of its own, so that this
 * shard's clients, who stalled too, get theirs in between. */
void serve_parked(struct router *r) {
    bool first = true;
    while (serve_may_go_on(r)) {
        struct parked *parked = LIST_ENTRY(r->lock.parked.next, struct parked, link);
        if (parked->frame.type == RELAY_LOCK && !first)
            return;
        first = false;
        list_remove(&parked->link);
        serve_now(r, parked->peer, &parked->frame, bytes_of(parked->body, parked->len));
        mem_free(parked);
    }
}
