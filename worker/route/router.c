/* router.c - the router's life, its loop turns, and what comes in over the links. */
#include "worker/command/slowlog.h"
#include "worker/route/router_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

enum {
    SHORT_TURN_COMMANDS = 32,
    SERVE_US = 20 * 1000 /* after this long the commands of others wait for the next turn */
};

/* ---- small services of the folder ---- */

struct command_ctx router_context(struct router *r, struct session *session,
                                  const struct command *cmd, const struct bytes *argv,
                                  uint32_t argc, struct buf *out) {
    return (struct command_ctx){.ks = r->ks,
                                .session = session,
                                .env = r->env,
                                .cmd = cmd,
                                .argv = argv,
                                .argc = argc,
                                .reply = {.out = out, .version = session->resp}};
}

static void argv_reserve(struct router *r, uint32_t argc) {
    if (argc <= r->argv_cap)
        return;
    r->argv_cap = argc + argc / 2 + 16;
    r->argv_scratch = mem_realloc(r->argv_scratch, r->argv_cap * sizeof(struct bytes));
}

const struct bytes *frame_arguments(struct router *r, uint32_t argc, struct bytes body) {
    /* Each argument takes at least its length word: this bounds argc by what really came. */
    if (argc == 0 || argc > body.len / sizeof(uint32_t))
        return NULL;
    argv_reserve(r, argc);
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len;
        if (body.len < sizeof(len))
            return NULL;
        memcpy(&len, body.ptr, sizeof(len));
        if (len > body.len - sizeof(len))
            return NULL;
        r->argv_scratch[i] = bytes_of(body.ptr + sizeof(len), len);
        body.ptr += sizeof(len) + len;
        body.len -= sizeof(len) + len;
    }
    return body.len == 0 ? r->argv_scratch : NULL;
}

void frame_append(struct buf *out, uint32_t argc, const struct bytes *argv) {
    for (uint32_t i = 0; i < argc; i++) {
        uint32_t len = (uint32_t)argv[i].len;
        buf_append(out, &len, sizeof(len));
        buf_append_bytes(out, argv[i]);
    }
}

void park_frame(struct list *where, uint32_t peer, const struct relay_frame *frame,
                struct bytes body) {
    struct parked *parked = mem_alloc(sizeof(*parked) + body.len);
    parked->peer = peer;
    parked->frame = *frame;
    parked->len = body.len;
    if (body.len)
        memcpy(parked->body, body.ptr, body.len);
    list_push_back(where, &parked->link);
}

void router_deliver(struct router *r, uint32_t peer, struct relay_frame frame, struct bytes body) {
    if (peer != r->self) {
        link_send(r->links, peer, frame, NULL, body);
        return;
    }
    frame.from_generation = frame.to_generation = r->env->generation;
    frame.body_bytes = (uint32_t)body.len;
    park_frame(&r->loopback, peer, &frame, body);
}

void router_stall(struct router *r, struct pipeline *p, uint32_t waits_for) {
    p->stalled = true;
    p->waits_for = waits_for;
    list_remove(&p->stalled_link);
    list_push_back(&r->stalled, &p->stalled_link);
}

static void unstall(struct pipeline *p) {
    list_remove(&p->stalled_link);
    p->stalled = false;
    p->wake(p);
}

void router_wake_stalled(struct router *r, uint32_t waits_for) {
    LIST_EACH(node, &r->stalled) {
        struct pipeline *p = LIST_ENTRY(node, struct pipeline, stalled_link);
        if (p->waits_for == waits_for)
            unstall(p);
    }
}

/* Who found too much waiting goes on when half of it is gone. */
static void wake_from_full(struct router *r) {
    uint64_t low = (uint64_t)r->env->config->relay_backlog_limit / 2;
    r->any_full = false;
    for (uint32_t shard = 0; shard < r->shards; shard++) {
        if (r->full[shard] && link_backlog_bytes(r->links, shard) <= low) {
            r->full[shard] = false;
            router_wake_stalled(r, shard);
        }
        r->any_full |= r->full[shard];
    }
}

int32_t router_key_positions(struct router *r, const struct command *cmd, const struct bytes *argv,
                             uint32_t argc) {
    int32_t count = command_key_positions(cmd, argv, argc, r->positions, r->positions_cap);
    if (count > 0 && (uint32_t)count > r->positions_cap) {
        r->positions_cap = (uint32_t)count;
        r->positions = mem_realloc(r->positions, r->positions_cap * sizeof(*r->positions));
        command_key_positions(cmd, argv, argc, r->positions, r->positions_cap);
    }
    return count;
}

/* A slow command of a client of ours, unless it has left meanwhile. */
static void keep_slow(struct router *r, uint64_t token, struct bytes body) {
    const struct part *part = part_find(r, token);
    const struct session *s = part ? part->call->session : NULL;
    if (s && r->env->slowlog)
        slowlog_add(r->env->slowlog, body, s->peer, s->name, r->env->config->slowlog_max_len);
}

void router_slow(struct router *r, const struct session *session, struct bytes body) {
    struct relay_frame frame = {.type = RELAY_SLOW, .token = session->of_token};
    if (session->of_peer != r->self)
        link_send(r->links, session->of_peer, frame, NULL, body);
    else
        keep_slow(r, session->of_token, body);
}

/* ---- what comes in ---- */

static void receive_answer(struct router *r, uint32_t peer, const struct relay_frame *frame,
                           struct bytes body) {
    struct part *part = part_find(r, frame->token);
    if (!part || part->peer != peer || part->type == 0)
        return; /* its call gave up waiting */
    struct call *call = part->call;
    if (call->gather) {
        gather_answer(r, part, frame, body);
        return;
    }
    if (frame->type == RELAY_BLOCKED)
        wait_told(r, part);
    if (frame->type != RELAY_REPLY)
        return;
    if (call->parts_count == 1 && call->cmd->span < SPAN_LOCAL) {
        part_release(r, part);
        call_finish(r, call, body);
        return;
    }
    buf_clear(&part->reply);
    buf_append_bytes(&part->reply, body);
    part_done(r, part);
}

static void receive_frame(void *arg, uint32_t peer, const struct relay_frame *frame,
                          struct bytes body) {
    struct router *r = arg;
    switch (frame->type) {
    case RELAY_REPLY:
    case RELAY_BLOCKED:
    case RELAY_LOCKED:
    case RELAY_WRITTEN:
    case RELAY_MARKED: receive_answer(r, peer, frame, body); break;
    case RELAY_SLOW: keep_slow(r, frame->token, body); break;
    case RELAY_MONITOR: monitor_peer_wants(r, peer, frame->argc != 0); break;
    case RELAY_FED: monitor_fed(r, body); break;
    default: serve_frame(r, peer, frame, body);
    }
}

static void peer_lost(void *arg, uint32_t peer, uint32_t generation) {
    struct router *r = arg;
    LIST_EACH(node, &r->lock.parked) {
        struct parked *parked = LIST_ENTRY(node, struct parked, link);
        if (parked->peer == peer) {
            list_remove(&parked->link);
            mem_free(parked);
        }
    }
    if (r->lock.held && r->lock.by == peer && r->lock.generation == generation)
        serve_unlock(r);
    blocked_end_peer(r->blocked, peer, UNBLOCK_FORGET);
    monitor_peer_wants(r, peer, false);
    LIST_EACH(node, &r->held) {
        struct held *held = LIST_ENTRY(node, struct held, link);
        if (held->peer == peer) {
            list_remove(&held->link);
            mem_free(held);
        }
    }
    calls_peer_lost(r, peer);
}

/* What is lost cannot be told: whatever may have been among it ends as if the peer had died. */
static void ring_garbled(void *arg, uint32_t peer) {
    struct router *r = arg;
    if (r->lock.held && r->lock.by == peer)
        serve_unlock(r);
    blocked_end_peer(r->blocked, peer, UNBLOCK_ERROR);
    calls_peer_lost(r, peer);
}

static bool served_enough(void *arg) {
    struct router *r = arg;
    uint64_t now_us = execute_ended_us();
    if (r->serving_since_us == 0)
        r->serving_since_us = now_us;
    return now_us - r->serving_since_us > SERVE_US;
}

/* Its client has waited for just this: others' messages may fill the backlog for ever. */
static void message_published(void *arg, uint64_t token) {
    struct part *part = part_find(arg, token);
    if (!part)
        return;
    part->published = true;
    struct pipeline *p = part->call->pipeline;
    if (p && p->stalled && p->waits_for == part->peer)
        unstall(p);
}

static void backlog_drained(void *arg, uint32_t peer) {
    router_wake_stalled(arg, peer);
}

void router_peer_up(struct router *r, uint32_t peer, uint32_t generation) {
    link_peer_up(r->links, peer, generation);
    if (peer < r->shards && peer != r->self)
        monitor_peer_up(r, peer);
}

void router_peer_down(struct router *r, uint32_t peer, uint32_t generation) {
    link_peer_down(r->links, peer, generation);
    /* Who stalled for room in its ring now waits as for any shard that is down. */
    if (peer < r->shards && peer != r->self)
        router_wake_stalled(r, peer);
}

/* ---- turns ---- */

bool router_turn_begin(struct router *r) {
    r->serving_since_us = 0;
    if (r->env->keys_ready)
        blocked_serve(r->blocked);
    if (router_next_ms(r) != 0)
        blocked_expire(r->blocked, clock_mono_ms());
    pause_check(r);
    serve_parked(r);
    bool more = links_receive(r->links);
    /* What gather says to this shard itself; answers may produce more, bounded by its steps. */
    while (!list_empty(&r->loopback)) {
        struct parked *parked = LIST_ENTRY(r->loopback.next, struct parked, link);
        list_remove(&parked->link);
        receive_frame(r, parked->peer, &parked->frame, bytes_of(parked->body, parked->len));
        mem_free(parked);
    }
    return more || serve_may_go_on(r);
}

void router_synced(struct router *r) {
    uint64_t synced = persist_reply_released(r->env->persist);
    while (!list_empty(&r->held)) {
        struct held *held = LIST_ENTRY(r->held.next, struct held, link);
        if (held->gate > synced)
            break;
        list_remove(&held->link);
        router_deliver(r, held->peer, held->frame, bytes_of(held->body, held->len));
        mem_free(held);
    }
}

void router_acknowledged(struct router *r) {
    blocked_acknowledged(r->blocked);
}

void router_turn_end(struct router *r) {
    links_flush(r->links);
    if (r->any_full)
        wake_from_full(r);
}

bool router_turn_was_short(struct router *r) {
    uint64_t handled = r->processed + r->served, commands = handled - r->handled_before;
    r->handled_before = handled;
    return commands < SHORT_TURN_COMMANDS && r->slab_size - r->slab_free_count > r->waiting_parts;
}

uint64_t router_next_ms(const struct router *r) {
    uint64_t next_ms = blocked_next_ms(r->blocked), pause_ms = r->pause_until_ms;
    return pause_ms != 0 && (next_ms == 0 || pause_ms < next_ms) ? pause_ms : next_ms;
}

bool router_sleep(struct router *r) {
    if (!list_empty(&r->loopback) || serve_may_go_on(r) || (r->env->keys_ready && !r->lock.held))
        return true;
    return links_sleep(r->links);
}

void router_awake(struct router *r) {
    links_awake(r->links);
}

void router_cron(struct router *r) {
    calls_check_waiting(r);
}

bool router_idle(const struct router *r) {
    return r->slab_free_count == r->slab_size && list_empty(&r->held) && list_empty(&r->loopback) &&
           !r->lock.held && links_backlog_bytes(r->links) == 0;
}

void router_refresh_status(struct router *r) {
    struct status_page *page = r->env->status;
    const struct link_stats *stats = links_stats(r->links);
    uint64_t waiting = 0, writes = 0;
    for (uint32_t slot = 0; slot < r->slab_size; slot++) {
        const struct part *part = r->slab[slot];
        if (part && part->peer != r->self && !link_is_up(r->links, part->peer))
            waiting++;
        writes += part && !part->waits && part->type != RELAY_AWAIT && part->call->cmd &&
                  part->call->cmd->flags & CMD_WRITE;
    }
    status_set(page, METRIC_commands_processed, r->processed);
    status_set(page, METRIC_commands_relayed, r->relayed);
    status_set(page, METRIC_relay_requests_sent, r->requests_sent);
    status_set(page, METRIC_relay_requests_served, r->served);
    status_set(page, METRIC_relay_backlog_bytes, links_backlog_bytes(r->links));
    status_set(page, METRIC_relay_waiting, waiting);
    status_set(page, METRIC_writes_in_flight, writes);
    status_set(page, METRIC_relay_failed, r->failed);
    status_set(page, METRIC_relay_stale_dropped, stats->stale_dropped + stats->corrupt);
    status_set(page, METRIC_gathers, r->gathers);
    status_set(page, METRIC_blocked_clients, r->waiting);
    status_set(page, METRIC_doorbells_rung, stats->doorbells_rung);
}

/* ---- life ---- */

struct router *router_create(struct command_env *env, struct keyspace *ks) {
    struct router *r = mem_calloc(1, sizeof(*r));
    r->env = env;
    r->ks = ks;
    r->slots = env->segment->slots;
    r->self = env->shard;
    r->shards = env->segment->workers;
    r->failover = &env->segment->header->failover;
    list_init(&r->free_calls);
    list_init(&r->lock.parked);
    list_init(&r->stalled);
    list_init(&r->held);
    list_init(&r->monitors);
    list_init(&r->loopback);
    session_init(&r->remote, SESSION_RELAYED);
    session_init(&r->internal, SESSION_INTERNAL);
    r->remote.authenticated = r->internal.authenticated = true;
    struct link_hooks hooks = {.arg = r,
                               .receive = receive_frame,
                               .ahead = prefetch_records,
                               .peer_lost = peer_lost,
                               .published = message_published,
                               .garbled = ring_garbled,
                               .enough = served_enough,
                               .drained = backlog_drained};
    r->links = links_create(env->segment, env->shard, env->generation, &hooks);
    r->blocked = blocked_create(env, ks, &(struct blocked_hooks){.arg = r, .answer = wait_answer});
    env->blocked = r->blocked;
    return r;
}

static void parked_free_all(struct list *parked) {
    LIST_EACH(node, parked) {
        list_remove(node);
        mem_free(LIST_ENTRY(node, struct parked, link));
    }
}

void router_free(struct router **router) {
    struct router *r = *router;
    if (!r)
        return;
    links_free(&r->links);
    parked_free_all(&r->lock.parked);
    parked_free_all(&r->loopback);
    LIST_EACH(node, &r->held) {
        list_remove(node);
        mem_free(LIST_ENTRY(node, struct held, link));
    }
    calls_free(r);
    r->env->blocked = NULL;
    blocked_free(&r->blocked);
    keyspace_free(&r->scratch);
    session_free(&r->remote);
    session_free(&r->internal);
    buf_free(&r->reply_scratch);
    buf_free(&r->body_scratch);
    mem_free(r->argv_scratch);
    mem_free(r->positions);
    mem_free(r);
    *router = NULL;
}
