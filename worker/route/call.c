/* call.c - commands in flight: order of replies, tokens of the frames that are awaited, and what
 * becomes of them when a shard dies. */
#include "worker/route/gather.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"

#include <stdio.h>

enum {
    FREE_CALLS_MAX = 8192,      /* recycled, with small buffers */
    FREE_BUFFER_BYTES = 4096,   /* a bigger one is given back */
    KEPT_BYTES_MAX = 64 * 1024, /* a longer read is not sent again */
};

/* ---- pipeline ---- */

void pipeline_init(struct pipeline *p, void *client, void (*wake)(struct pipeline *)) {
    *p = (struct pipeline){.client = client, .wake = wake, .window = PIPELINE_DEPTH_FIRST};
    list_init(&p->calls);
    list_init(&p->stalled_link);
    list_init(&p->monitor_link);
}

struct buf *pipeline_tail(struct pipeline *p) {
    if (list_empty(&p->calls))
        return &p->out;
    return &LIST_ENTRY(p->calls.prev, struct call, link)->after;
}

/* ---- the slab of awaited parts ---- */

static void slab_grow(struct router *r) {
    uint32_t size = r->slab_size ? r->slab_size * 2 : 256;
    r->slab = mem_realloc(r->slab, size * sizeof(*r->slab));
    r->slab_free = mem_realloc(r->slab_free, size * sizeof(*r->slab_free));
    for (uint32_t i = size; i > r->slab_size; i--) {
        r->slab[i - 1] = NULL;
        r->slab_free[r->slab_free_count++] = i - 1;
    }
    r->slab_size = size;
}

uint64_t part_await(struct router *r, struct part *part, uint32_t peer) {
    if (r->slab_free_count == 0)
        slab_grow(r);
    part->slot = r->slab_free[--r->slab_free_count];
    if (++r->next_sequence == 0) /* token 0 is none */
        r->next_sequence = 1;
    part->sequence = r->next_sequence;
    part->peer = (uint16_t)peer;
    part->awaited = true;
    part->type = 0; /* no frame: what part_send() sets otherwise */
    r->slab[part->slot] = part;
    return (uint64_t)part->sequence << 32 | part->slot;
}

struct part *part_find(struct router *r, uint64_t token) {
    uint32_t slot = (uint32_t)token;
    struct part *part = slot < r->slab_size ? r->slab[slot] : NULL;
    return part && part->sequence == token >> 32 ? part : NULL;
}

uint64_t part_token(const struct part *part) {
    return (uint64_t)part->sequence << 32 | part->slot;
}

void part_release(struct router *r, struct part *part) {
    if (!part->awaited)
        return;
    part->awaited = false;
    r->waiting_parts -= part->waits;
    part->waits = false;
    r->slab[part->slot] = NULL;
    r->slab_free[r->slab_free_count++] = part->slot;
}

void part_send(struct router *r, struct part *part, uint32_t peer, struct relay_frame frame,
               const struct bytes *argv, struct bytes body) {
    frame.token = part_await(r, part, peer);
    part->type = frame.type;
    part->command = frame.command;
    part->flags = frame.flags;
    part->argc = frame.argc;
    part->db = frame.db;
    r->requests_sent++;
    if (peer == r->self) {
        part->published = true;
        buf_clear(&r->body_scratch);
        if (argv) {
            frame_append(&r->body_scratch, frame.argc, argv);
            body = buf_bytes(&r->body_scratch);
        }
        router_deliver(r, peer, frame, body);
        return;
    }
    part->published = link_send(r->links, peer, frame, argv, body) == LINK_PUBLISHED;
    buf_clear(&part->kept);
    if (part->type == RELAY_REQUEST && (command_rows[part->command].flags & CMD_READONLY)) {
        if (argv)
            frame_append(&part->kept, frame.argc, argv);
        else
            buf_append_bytes(&part->kept, body);
        if (part->kept.len > KEPT_BYTES_MAX)
            buf_free(&part->kept);
    }
}

/* ---- calls ---- */

struct call *call_begin(struct router *r, struct pipeline *p, struct session *session,
                        const struct command *cmd, uint32_t parts) {
    struct call *call;
    if (!list_empty(&r->free_calls)) {
        call = LIST_ENTRY(r->free_calls.next, struct call, link);
        list_remove(&call->link);
        r->free_calls_count--;
    } else {
        call = mem_calloc(1, sizeof(*call));
        list_init(&call->link);
    }
    call->pipeline = p;
    call->session = session;
    call->cmd = cmd;
    call->done = call->barrier = call->waits = call->served = false;
    call->silent =
        session->reply_mode == SESSION_REPLY_OFF || session->reply_mode == SESSION_REPLY_SKIP;
    call->resp = session->resp;
    call->parts_count = call->parts_left = parts;
    call->parts = parts > 1 ? mem_calloc(parts, sizeof(struct part)) : &call->single;
    for (uint32_t i = 0; i < parts; i++) {
        call->parts[i].call = call;
        call->parts[i].peer = r->self;
    }
    call->started_ms = clock_mono_ms();
    if (p) {
        list_push_back(&p->calls, &call->link);
        p->in_flight++;
    }
    return call;
}

void call_barrier(struct call *call) {
    call->barrier = true;
    call->pipeline->barrier = true;
}

static void buf_recycle(struct buf *b) {
    buf_clear(b);
    if (b->cap > FREE_BUFFER_BYTES)
        buf_free(b);
}

static void call_free(struct router *r, struct call *call) {
    for (uint32_t i = 0; i < call->parts_count; i++)
        part_release(r, &call->parts[i]);
    part_release(r, &call->single); /* a gather's, while it waits */
    if (call->parts != &call->single) {
        for (uint32_t i = 0; i < call->parts_count; i++) {
            buf_free(&call->parts[i].reply);
            buf_free(&call->parts[i].kept);
        }
        mem_free(call->parts);
    }
    call->parts = &call->single;
    mem_free(call->owners);
    call->owners = NULL;
    gather_free(&call->gather);
    buf_recycle(&call->after);
    buf_recycle(&call->single.reply);
    buf_recycle(&call->single.kept);
    buf_recycle(&call->args);
    list_remove(&call->link);
    if (r->free_calls_count < FREE_CALLS_MAX) {
        list_push_front(&r->free_calls, &call->link);
        r->free_calls_count++;
        return;
    }
    buf_free(&call->after);
    buf_free(&call->single.reply);
    buf_free(&call->single.kept);
    buf_free(&call->args);
    mem_free(call);
}

/* Move what is ready at the head of the pipeline into its output. */
static void pipeline_advance(struct router *r, struct pipeline *p) {
    while (!list_empty(&p->calls)) {
        struct call *call = LIST_ENTRY(p->calls.next, struct call, link);
        if (!call->done)
            break;
        buf_append(&p->out, call->single.reply.data, call->single.reply.len);
        buf_append(&p->out, call->after.data, call->after.len);
        p->queued_bytes -= call->single.reply.len + call->after.len;
        p->in_flight--;
        p->finished++;
        call_free(r, call);
    }
    p->wake(p);
}

/* Replies come whether the client reads them or not: the bigger they are, the fewer are asked for. */
static void window_adapt(struct pipeline *p, size_t reply_bytes) {
    uint32_t fit = PIPELINE_DEPTH_MAX;
    if (reply_bytes > PIPELINE_REPLY_BYTES / PIPELINE_DEPTH_MAX)
        fit = (uint32_t)(PIPELINE_REPLY_BYTES / reply_bytes);
    if (p->window < fit)
        p->window++;
    else if (p->window > fit)
        p->window = fit > PIPELINE_DEPTH_FEW ? fit : PIPELINE_DEPTH_FEW;
}

void router_made_here(const struct router *r, struct pipeline *p) {
    if (r->env->persist)
        p->made_here_at = persist_executed(r->env->persist);
}

void call_finish(struct router *r, struct call *call, struct bytes resp) {
    struct pipeline *p = call->pipeline;
    ASSERT(!call->done);
    call->done = true;
    wait_unmark(r, call);
    if (!p) {
        call_free(r, call);
        return;
    }
    bool made_there = call->parts_count == 1 && call->parts[0].peer != r->self && !call->gather;
    if (!made_there)
        router_made_here(r, p);
    window_adapt(p, resp.len);
    if (call->barrier)
        p->barrier = false;
    if (call->silent)
        resp.len = 0;
    if (p->calls.next == &call->link) {
        /* The first in line: no need to store the reply. It may lie in a buffer of the call's. */
        buf_append_bytes(&p->out, resp);
        buf_clear(&call->single.reply);
    } else if (resp.ptr != call->single.reply.data) {
        buf_clear(&call->single.reply);
        buf_append_bytes(&call->single.reply, resp);
    } else {
        call->single.reply.len = resp.len;
    }
    p->queued_bytes += call->single.reply.len;
    pipeline_advance(r, p);
}

void part_done(struct router *r, struct part *part) {
    struct call *call = part->call;
    part_release(r, part);
    if (call->parts_count > 1)
        wait_part_done(r, part);
    ASSERT(call->parts_left > 0);
    if (--call->parts_left == 0)
        merge_parts(r, call);
}

void router_forget(struct router *r, struct pipeline *p) {
    list_remove(&p->stalled_link);
    if (p->monitors)
        router_monitor(r, p, false, false);
    LIST_EACH(node, &p->calls) {
        struct call *call = LIST_ENTRY(node, struct call, link);
        bool forgotten = wait_forget(r, call);
        list_remove(&call->link);
        call->pipeline = NULL;
        call->session = NULL;
        if (call->done || forgotten)
            call_free(r, call);
        else if (call->gather && (call->cmd->flags & CMD_BLOCKING))
            gather_abandon(r, call);
    }
    buf_free(&p->out);
}

void calls_free(struct router *r) {
    for (uint32_t slot = 0; slot < r->slab_size; slot++) {
        if (r->slab[slot])
            call_free(r, r->slab[slot]->call);
    }
    LIST_EACH(node, &r->free_calls) {
        struct call *call = LIST_ENTRY(node, struct call, link);
        list_remove(&call->link);
        buf_free(&call->after);
        buf_free(&call->single.reply);
        buf_free(&call->single.kept);
        buf_free(&call->args);
        mem_free(call);
    }
    mem_free(r->slab);
    mem_free(r->slab_free);
}

/* ---- when a shard is down ---- */

void down_error(struct router *r, uint32_t shard, const char *what, struct buf *out) {
    char why[STATUS_TEXT_BYTES];
    memcpy(why, segment_status(r->env->segment, shard)->last_exit, sizeof(why));
    why[sizeof(why) - 1] = 0;
    struct reply reply = {.out = out, .version = 2};
    reply_error_format(&reply, "ERR shard %u %s (%s)", shard, what,
                       why[0] ? why : "not started yet");
    r->failed++;
}

void part_fail(struct router *r, struct part *part, const char *what) {
    struct call *call = part->call;
    if (call->gather) {
        gather_failed(r, call, part->peer, what);
        return;
    }
    buf_clear(&part->reply);
    if (call->cmd->span != SPAN_REFRESH)
        down_error(r, part->peer, what, &part->reply);
    part_done(r, part);
}

/* A read runs again at the owner's next generation; anything else may have run and must not. */
static void part_lost(struct router *r, struct part *part) {
    if (part->call->gather) {
        /* A LOCK that waits will lock the next generation; anything later needs this one. */
        if (part->published || !gather_is_locking(part->call->gather))
            gather_shard_lost(r, part->call, part->peer);
        return;
    }
    if (!part->published)
        return;
    if (part->kept.len == 0 || part->call->cmd->span == SPAN_REFRESH) {
        part_fail(r, part,
                  "went down while it ran this command, which may or may not have been executed");
        return;
    }
    part_release(r, part);
    struct buf body = part->kept;
    part->kept = (struct buf){0};
    struct relay_frame frame = {.type = part->type,
                                .flags = part->flags,
                                .command = part->command,
                                .argc = part->argc,
                                .db = part->db};
    part_send(r, part, part->peer, frame, NULL, buf_bytes(&body));
    buf_free(&body);
}

/* The slab may grow and parts may come and go while we walk: each slot is looked at afresh. Sequence
 * numbers wrap. */
static struct part *part_at(struct router *r, uint32_t slot, uint32_t before_sequence) {
    struct part *part = r->slab[slot];
    return part && part->type != 0 && (int32_t)(before_sequence - part->sequence) >= 0 ? part
                                                                                       : NULL;
}

void calls_peer_lost(struct router *r, uint32_t peer) {
    uint32_t newest = r->next_sequence;
    for (uint32_t slot = 0; slot < r->slab_size; slot++) {
        struct part *part = part_at(r, slot, newest);
        if (part && part->peer == peer)
            part_lost(r, part);
        else if (part && part->call->gather && gather_needs(part->call->gather, peer))
            gather_shard_lost(r, part->call, peer);
    }
}

static void part_timeout(struct router *r, struct part *part) {
    uint64_t waited_ms = clock_mono_ms() - part->call->started_ms;
    bool failed = atomic_load(&segment_status(r->env->segment, part->peer)->state) == CHILD_FAILED;
    uint64_t wait_ms = (uint64_t)r->env->config->relay_wait;
    uint64_t patience_ms = part->call->gather ? gather_patience_ms(part->call->gather) : 0;
    if (patience_ms > 0 && patience_ms < wait_ms)
        wait_ms = patience_ms;
    if (!failed && waited_ms < wait_ms)
        return;
    char what[96];
    if (link_withdraw(r->links, part->peer, part_token(part), part->type))
        snprintf(what, sizeof(what), "is %s: the command waited %llu ms and was not executed",
                 failed ? "marked failed" : "down", (unsigned long long)waited_ms);
    else
        snprintf(what, sizeof(what), "is down: the command may or may not have been executed");
    part_fail(r, part, what);
}

/* A lock that does not come must not keep those that are held already for ever. */
static void look_at_gather(struct router *r, struct call *call, uint32_t shard) {
    if (call->gather->told) {
        gather_wait_told(r, call);
        return;
    }
    uint64_t patience_ms = gather_patience_ms(call->gather);
    if (patience_ms > 0 && clock_mono_ms() - call->started_ms >= patience_ms)
        gather_lock_refused(r, call, shard);
}

void calls_check_waiting(struct router *r) {
    uint32_t newest = r->next_sequence;
    for (uint32_t slot = 0; slot < r->slab_size; slot++) {
        struct part *part = part_at(r, slot, newest);
        if (!part)
            continue;
        if (part->peer != r->self && !link_is_up(r->links, part->peer))
            part_timeout(r, part);
        else if (part->call->gather)
            look_at_gather(r, part->call, part->peer);
    }
}
