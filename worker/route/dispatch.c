/* dispatch.c - which shard or shards a client's command goes to. One short path, top to bottom; how a
 * command meets several shards is the span of its row. */
#include "worker/command/error_stats.h"
#include "worker/command/sort_keys.h"
#include "worker/route/router_private.h"

#include "shared/base/mem.h"

struct request {
    struct router *r;
    struct pipeline *p;
    struct session *session;
    struct command_ctx *ctx;
    size_t out_start; /* of the reply in ctx->reply.out */
    bool not_begun;   /* too much waits for a shard: offer the command again */
    bool derives;     /* more keys follow from what its keys hold */
    /* Of several shards that run it each for itself; of none: they need not be told. */
    struct propagate_part part;
};

/* ---- here ---- */

static void run_here(struct request *q) {
    execute(q->ctx);
    router_made_here(q->r, q->p);
    if (q->ctx->waiter)
        wait_here(q->r, q->ctx);
}

/* An error of the router's own, written in place of running the command, counts like any other. */
static void count_refusal(struct request *q) {
    const struct buf *out = q->ctx->reply.out;
    error_stats_count(bytes_of(out->data + q->out_start, out->len - q->out_start));
    status_add(q->r->env->status, METRIC_error_replies, 1);
}

/* ---- at one other shard ---- */

/* May a frame go to this shard's ring or backlog? If not, writes the error; or, as a shard that lives
 * will take what waits for it soon, stalls the client and the command is not begun. */
static bool shard_takes(struct request *q, uint32_t shard) {
    struct router *r = q->r;
    if (serve_is_congested(r, shard)) {
        if (link_is_up(r->links, shard)) {
            router_stall(r, q->p, shard);
            r->full[shard] = r->any_full = q->not_begun = true;
            return false;
        }
        reply_error_format(&q->ctx->reply,
                           "ERR relay-backlog-limit reached for shard %u; not executed", shard);
        r->failed++;
        count_refusal(q);
        return false;
    }
    if (link_is_up(r->links, shard))
        return true;
    bool failed = atomic_load(&segment_status(r->env->segment, shard)->state) == CHILD_FAILED;
    if (!failed && r->env->config->relay_wait > 0)
        return true;
    down_error(r, shard,
               failed ? "is marked failed: the command was not executed"
                      : "is down: the command was not executed",
               q->ctx->reply.out);
    count_refusal(q);
    return false;
}

static struct relay_frame request_frame(const struct request *q) {
    const struct session *s = q->session;
    return (struct relay_frame){.type = RELAY_REQUEST,
                                .flags = (uint8_t)((s->resp == 3 ? RELAY_RESP3 : 0) |
                                                   (s->no_touch ? RELAY_NOTOUCH : 0) |
                                                   (s->upstream ? RELAY_UPSTREAM : 0)),
                                .command = command_index(q->ctx->cmd),
                                .argc = q->ctx->argc,
                                .db = s->db};
}

static void send_part(struct request *q, struct part *part, uint32_t shard,
                      const struct bytes *argv, uint32_t argc) {
    struct relay_frame frame = request_frame(q);
    frame.argc = argc;
    if (propagate_part_is_any(&q->part))
        frame.flags |= RELAY_PART;
    part_send(q->r, part, shard, frame, argv, (struct bytes){0});
    /* The ring is full: no more from this client until there is room again. */
    if (!part->published && link_is_up(q->r->links, shard))
        router_stall(q->r, q->p, shard);
}

static void run_there(struct request *q, uint32_t shard) {
    if (!shard_takes(q, shard))
        return;
    struct call *call = call_begin(q->r, q->p, q->session, q->ctx->cmd, 1);
    if (q->ctx->cmd->flags & CMD_BLOCKING)
        call_barrier(call); /* it may wait, and what follows must not overtake it */
    q->r->relayed++;
    send_part(q, &call->single, shard, q->ctx->argv, q->ctx->argc);
}

static void run_at(struct request *q, uint32_t shard) {
    if (shard == q->r->self)
        run_here(q);
    else
        run_there(q, shard);
}

/* ---- at all shards ---- */

/* This shard's share of a call runs now, into its part. */
static void run_own_part(struct request *q, struct part *part, const struct bytes *argv,
                         uint32_t argc) {
    struct command_ctx ctx =
        router_context(q->r, q->session, q->ctx->cmd, argv, argc, &part->reply);
    ctx.may_block = true;
    buf_clear(&part->reply);
    parts_execute(q->r, &ctx, &q->part);
    router_made_here(q->r, q->p);
    if (ctx.waiter)
        wait_part_here(q->r, part, &ctx);
    else
        part_done(q->r, part);
}

static void run_everywhere(struct request *q) {
    struct router *r = q->r;
    for (uint32_t i = 0; i < r->shards; i++) {
        if (i != r->self && q->ctx->cmd->span != SPAN_REFRESH && !shard_takes(q, i))
            return;
    }
    struct call *call = call_begin(r, q->p, q->session, q->ctx->cmd, r->shards);
    r->relayed++;
    if (q->ctx->cmd->span == SPAN_REFRESH || (q->ctx->cmd->flags & CMD_BLOCKING))
        call_barrier(call);
    if (q->ctx->cmd->span == SPAN_REFRESH || q->ctx->cmd->span == SPAN_ALL_NEWEST) {
        call->argc = q->ctx->argc;
        frame_append(&call->args, q->ctx->argc, q->ctx->argv);
    }
    for (uint32_t i = 0; i < r->shards; i++) {
        if (i == r->self)
            continue;
        /* Status does not wait for a shard that is down. */
        if (q->ctx->cmd->span == SPAN_REFRESH && !link_is_up(r->links, i))
            call->parts_left--;
        else
            send_part(q, &call->parts[i], i, q->ctx->argv, q->ctx->argc);
    }
    if (q->ctx->cmd->span == SPAN_REFRESH)
        part_done(r, &call->parts[r->self]);
    else
        run_own_part(q, &call->parts[r->self], q->ctx->argv, q->ctx->argc);
}

/* SCAN: the shard is in the cursor. */
static void run_scan(struct request *q) {
    struct router *r = q->r;
    uint64_t local;
    uint32_t shard;
    if (!scan_cursor_split(q->ctx->argv[1], &local, &shard)) {
        run_here(q); /* the handler knows what to say to a bad cursor */
        return;
    }
    if (shard >= r->shards) { /* none of ours, but a number: it is past the end */
        shard = r->shards - 1;
        local = SCAN_LOCAL_END;
    }
    struct bytes *argv = mem_alloc(q->ctx->argc * sizeof(*argv));
    memcpy(argv, q->ctx->argv, q->ctx->argc * sizeof(*argv));
    char digits[BYTES_I64_MAX];
    argv[1] = bytes_of(digits, bytes_from_i64(digits, (int64_t)local));
    if (shard == r->self) {
        struct command_ctx ctx =
            router_context(r, q->session, q->ctx->cmd, argv, q->ctx->argc, &r->reply_scratch);
        buf_clear(&r->reply_scratch);
        execute(&ctx);
        router_made_here(r, q->p);
        scan_cursor_rewrite(r, buf_bytes(&r->reply_scratch), shard, q->ctx->reply.out);
    } else if (shard_takes(q, shard)) {
        struct call *call = call_begin(r, q->p, q->session, q->ctx->cmd, 1);
        r->relayed++;
        send_part(q, &call->single, shard, argv, q->ctx->argc);
    }
    mem_free(argv);
}

/* Could it be sent to another shard, whatever its keys are, and so many bytes with it? */
static bool may_travel(const struct command_ctx *ctx, uint64_t more) {
    uint64_t bytes = more;
    for (uint32_t i = 0; i < ctx->argc; i++)
        bytes += sizeof(uint32_t) + ctx->argv[i].len;
    return bytes <= LINK_BODY_MAX;
}

/* ---- keys of several shards ---- */

/* How keys and what belongs to them lie in the arguments, from the first key on. */
struct split {
    uint32_t keys;
    uint32_t step;  /* arguments of each key, with it */
    uint32_t apart; /* from one of them to the next: 1, or the number of keys */
};

/* The command with the keys of one shard only, in order; returns the number of arguments. */
static uint32_t share_of(const struct request *q, const struct split *split, const uint16_t *owners,
                         uint32_t shard, struct bytes *argv_r) {
    const uint32_t *positions = q->r->positions;
    uint32_t n = positions[0];
    memcpy(argv_r, q->ctx->argv, n * sizeof(*argv_r));
    uint32_t outer = split->apart > 1 ? split->step : 1, inner = split->step / outer;
    for (uint32_t k = 0; k < outer; k++)
        for (uint32_t i = 0; i < split->keys; i++)
            for (uint32_t j = 0; j < inner && owners[i] == shard; j++)
                argv_r[n++] = q->ctx->argv[positions[i] + k * split->apart + j];
    return n;
}

/* Each shard's part of a write says of what it is one. One that waits is not: its parts are run when each has
 * found something. */
static void number_parts(struct request *q, const uint32_t count[SHARD_MAX]) {
    uint32_t flags = q->ctx->cmd->flags;
    if (!(flags & CMD_WRITE) || (flags & CMD_BLOCKING) || !parts_are_wanted(q->r) ||
        !may_travel(q->ctx, sizeof(uint32_t) + sizeof(q->part)))
        return;
    q->part = parts_number(q->r, PARTS_SPLIT);
    for (uint32_t i = 0; i < q->r->shards; i++)
        if (count[i] > 0)
            propagate_part_add(&q->part, i);
}

/* argv has room for one more. */
static void send_share(struct request *q, struct part *part, uint32_t shard, struct bytes *argv,
                       uint32_t argc) {
    if (propagate_part_is_any(&q->part))
        argv[argc++] = parts_argument(&q->part);
    send_part(q, part, shard, argv, argc);
}

/* Split by key: each shard gets the command with its own keys. */
static void run_split(struct request *q, const struct split *split) {
    uint32_t keys = split->keys;
    struct router *r = q->r;
    const struct bytes *argv = q->ctx->argv;
    uint16_t *owners = mem_alloc(keys * sizeof(*owners));
    uint32_t count[SHARD_MAX] = {0}, parts = 0;
    uint16_t part_of[SHARD_MAX];
    for (uint32_t i = 0; i < keys; i++) {
        uint32_t shard = r->slots->owner[slot_of_key(argv[r->positions[i]])];
        if (count[shard]++ == 0) {
            if (shard != r->self && !shard_takes(q, shard)) {
                mem_free(owners);
                return;
            }
            part_of[shard] = (uint16_t)parts++;
        }
        owners[i] = (uint16_t)shard;
    }
    struct call *call = call_begin(r, q->p, q->session, q->ctx->cmd, parts);
    r->relayed++;
    if (q->ctx->cmd->flags & CMD_BLOCKING)
        call_barrier(call);
    if (q->ctx->cmd->span == SPAN_STREAMS)
        frame_append(&call->args, keys, argv + r->positions[0]);
    number_parts(q, count);
    struct bytes *sub = mem_alloc((q->ctx->argc + 1) * sizeof(*sub));
    int32_t own = -1;
    for (int32_t shard = 0; shard < (int32_t)r->shards + 1; shard++) {
        /* Our own share comes last, so that the others work meanwhile. */
        uint32_t target = shard == (int32_t)r->shards ? r->self : (uint32_t)shard;
        if (count[target] == 0 || (target == r->self && shard != (int32_t)r->shards))
            continue;
        uint32_t n = share_of(q, split, owners, target, sub);
        if (target != r->self)
            send_share(q, &call->parts[part_of[target]], target, sub, n);
        else
            own = (int32_t)n;
    }
    for (uint32_t i = 0; i < keys; i++)
        owners[i] = part_of[owners[i]];
    call->owners = owners;
    call->argc = keys;
    if (own > 0)
        run_own_part(q, &call->parts[part_of[r->self]], sub, (uint32_t)own);
    mem_free(sub);
}

static void run_several(struct request *q, uint32_t keys) {
    uint32_t rest = q->ctx->argc - q->r->positions[0];
    switch (q->ctx->cmd->span) {
    case SPAN_SUM:
    case SPAN_MGET: run_split(q, &(struct split){keys, 1, 1}); break;
    case SPAN_MSET:
    case SPAN_STREAMS:
        if (rest != 2 * keys)
            run_here(q); /* wrong number of arguments: the handler says it */
        else if (q->ctx->cmd->span == SPAN_MSET)
            run_split(q, &(struct split){keys, 2, 1});
        else
            run_split(q, &(struct split){keys, 2, keys});
        break;
    default:
        gather_begin(q->r, q->p, q->session, q->ctx->cmd, q->ctx->argv, q->ctx->argc,
                     q->r->positions, keys, q->derives);
    }
}

/* ---- by key ---- */

static void refuse_moved(struct request *q, uint32_t slot) {
    const struct slot_map *slots = q->r->slots;
    uint32_t owner = slots->owner[slot];
    reply_error_format(&q->ctx->reply, "MOVED %u %s:%u", slot, slots->announce_host,
                       slots->port[owner]);
    count_refusal(q);
}

/* A cluster node: all keys in one slot, and that slot ours. */
static void run_keyed_node(struct request *q, int32_t keys) {
    uint32_t slot = slot_of_key(q->ctx->argv[q->r->positions[0]]);
    for (int32_t i = 1; i < keys; i++) {
        if (slot_of_key(q->ctx->argv[q->r->positions[i]]) != slot) {
            reply_error(&q->ctx->reply, "CROSSSLOT Keys in request don't hash to the same slot");
            count_refusal(q);
            return;
        }
    }
    if (q->r->slots->owner[slot] != q->r->self)
        refuse_moved(q, slot);
    else
        run_here(q);
}

static void run_keyed(struct request *q) {
    struct router *r = q->r;
    const struct command *cmd = q->ctx->cmd;
    bool node = q->session->port == SESSION_NODE;
    if (cmd->first_key == 1 && cmd->last_key == 1 && cmd->numkeys_at == 0 &&
        !(cmd->flags & CMD_MOVABLEKEYS) && !node) {
        run_at(q, r->slots->owner[slot_of_key(q->ctx->argv[1])]);
        return;
    }
    int32_t keys = router_key_positions(r, cmd, q->ctx->argv, q->ctx->argc);
    if (keys <= 0) {
        run_here(q); /* no key, or arguments the handler will refuse */
        return;
    }
    if (node) {
        run_keyed_node(q, keys);
        return;
    }
    uint32_t shard = r->slots->owner[slot_of_key(q->ctx->argv[r->positions[0]])];
    q->derives = cmd->span == SPAN_DERIVED && r->shards > 1 && sort_derives_keys(q->ctx);
    if (q->derives) {
        run_several(q, (uint32_t)keys);
        return;
    }
    for (int32_t i = 1; i < keys; i++) {
        if (r->slots->owner[slot_of_key(q->ctx->argv[r->positions[i]])] != shard) {
            run_several(q, (uint32_t)keys);
            return;
        }
    }
    run_at(q, shard);
}

static void run(struct request *q) {
    enum command_span span = q->ctx->cmd->span;
    if (q->r->shards > 1 && q->session->port != SESSION_NODE && !may_travel(q->ctx, 0)) {
        reply_error_format(&q->ctx->reply,
                           "ERR the command is longer than what may pass between shards, %d bytes",
                           LINK_BODY_MAX);
        count_refusal(q);
    } else if (span < SPAN_LOCAL)
        run_keyed(q);
    else if (span == SPAN_LOCAL || q->r->shards == 1 || q->session->port == SESSION_NODE)
        run_here(q);
    else if (span == SPAN_SCAN)
        run_scan(q);
    else
        run_everywhere(q);
}

/* CLIENT REPLY: drop what was written, except the answer to CLIENT REPLY ON itself. */
static void apply_reply_mode(struct request *q, enum session_reply_mode before) {
    struct session *s = q->session;
    bool hidden = before == SESSION_REPLY_OFF || before == SESSION_REPLY_SKIP;
    if (hidden && (s->reply_mode != SESSION_REPLY_ON || before == SESSION_REPLY_SKIP))
        q->ctx->reply.out->len = q->out_start;
    if (before == SESSION_REPLY_SKIP && s->reply_mode == SESSION_REPLY_SKIP)
        s->reply_mode = SESSION_REPLY_ON;
    else if (s->reply_mode == SESSION_REPLY_SKIP_NEXT)
        s->reply_mode = SESSION_REPLY_SKIP;
}

bool router_command(struct router *r, struct pipeline *p, struct session *session,
                    const struct bytes *argv, uint32_t argc) {
    struct buf *out = pipeline_tail(p);
    struct command_ctx ctx = router_context(r, session, NULL, argv, argc, out);
    ctx.client = p;
    ctx.may_block = true;
    struct request q = {.r = r, .p = p, .session = session, .ctx = &ctx, .out_start = out->len};
    enum session_reply_mode mode = session->reply_mode;
    bool admitted = admit(&ctx) == ADMIT_OK;
    if (admitted && r->lock.held && ctx.cmd->span != SPAN_LOCAL) {
        router_stall(r, p, r->self);
        return false;
    }
    if (__builtin_expect(pause_is_on(r), 0) && admitted && pause_holds(r, session, ctx.cmd)) {
        pause_stall(r, p);
        return false;
    }
    session->last_command = ctx.cmd;
    if (admitted)
        run(&q);
    if (q.not_begun)
        return false;
    r->processed++;
    if (__builtin_expect(r->monitored, 0) && admitted)
        monitor_feed(r, &ctx);
    if (mode != SESSION_REPLY_ON || session->reply_mode != SESSION_REPLY_ON)
        apply_reply_mode(&q, mode);
    if (out != &p->out)
        p->queued_bytes += out->len - q.out_start;
    return true;
}

uint64_t router_defer(struct router *r, struct command_ctx *ctx) {
    if (!ctx->client)
        return 0;
    struct call *call = call_begin(r, ctx->client, ctx->session, ctx->cmd, 1);
    call_barrier(call);
    return part_await(r, &call->single, r->self);
}

void router_answer(struct router *r, uint64_t token, struct bytes resp) {
    struct part *part = part_find(r, token);
    if (!part || part->type != 0)
        return;
    struct call *call = part->call;
    part_release(r, part);
    call_finish(r, call, resp);
}
