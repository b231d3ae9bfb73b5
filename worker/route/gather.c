/* gather.c - see gather.h for the protocol. */
#include "worker/route/gather.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/command/sort_keys.h"
#include "worker/persist/rdb_value.h"

#include <stdio.h>
#include <stdlib.h>

enum { LOCK_PATIENCE_MIN_MS = 1000, CUT_PATIENCE_MS = 1000, FORKS_PATIENCE_MS = 10000 };

void gather_free(struct gather **gather) {
    struct gather *g = *gather;
    if (!g)
        return;
    for (uint32_t i = 0; i < g->shard_count; i++) {
        mem_free(g->shards[i].positions);
        mem_free(g->shards[i].derived);
        buf_free(&g->shards[i].operands);
        buf_free(&g->shards[i].fetched);
        buf_free(&g->shards[i].stores);
        buf_free(&g->shards[i].deletes);
    }
    for (uint32_t i = 0; i < g->changed_count; i++)
        mem_free((void *)(uintptr_t)g->changed[i].key.ptr);
    mem_free(g->changed);
    mem_free(g->derived);
    buf_free(&g->derived_text);
    mem_free(g->shards);
    buf_free(&g->reply);
    mem_free(g);
    *gather = NULL;
}

/* ---- coordinator ---- */

static void send_lock(struct router *r, struct call *call, uint32_t i) {
    struct gather *g = call->gather;
    struct gather_shard *shard = &g->shards[i];
    const struct bytes *argv = frame_arguments(r, g->argc, buf_bytes(&call->args));
    struct bytes *keys = mem_alloc((shard->keys + 1) * sizeof(*keys));
    for (uint32_t k = 0; k < shard->keys; k++)
        keys[k] = argv[shard->positions[k]];
    struct relay_frame frame = {
        .type = RELAY_LOCK, .command = command_index(call->cmd), .argc = shard->keys, .db = g->db};
    if (g->upstream)
        frame.flags |= RELAY_UPSTREAM;
    g->awaited = 1;
    part_send(r, &call->parts[i], shard->shard, frame, keys, (struct bytes){0});
    shard->lock = part_token(&call->parts[i]);
    mem_free(keys);
}

void gather_begin(struct router *r, struct pipeline *p, struct session *session,
                  const struct command *cmd, const struct bytes *argv, uint32_t argc,
                  const uint32_t *positions, uint32_t keys, bool derives) {
    uint32_t count[SHARD_MAX] = {0}, shards = 0;
    for (uint32_t i = 0; i < keys; i++) {
        if (count[r->slots->owner[slot_of_key(argv[positions[i]])]]++ == 0)
            shards++;
    }
    if (derives)
        shards = r->shards;
    struct call *call = call_begin(r, p, session, cmd, shards);
    call_barrier(call);
    frame_append(&call->args, argc, argv);
    struct gather *g = call->gather = mem_calloc(1, sizeof(*g));
    g->r = r;
    g->argc = argc;
    g->db = session->db;
    g->no_touch = session->no_touch;
    g->upstream = session->upstream;
    g->derives = derives;
    g->shards = mem_calloc(shards, sizeof(*g->shards));
    for (uint32_t s = 0; s < r->shards; s++) {
        if (count[s] == 0 && !derives)
            continue;
        struct gather_shard *shard = &g->shards[g->shard_count++];
        shard->shard = s;
        shard->positions = mem_alloc((count[s] + 1) * sizeof(*shard->positions));
        for (uint32_t i = 0; i < keys; i++) {
            if (r->slots->owner[slot_of_key(argv[positions[i]])] == s)
                shard->positions[shard->keys++] = positions[i];
        }
    }
    r->relayed++;
    gather_lock(r, call);
}

void gather_lock(struct router *r, struct call *call) {
    r->gathers++;
    call->gather->phase = GATHER_LOCKING;
    send_lock(r, call, 0);
}

/* The pause is that of the shard which was locked first. An error line is "-ERR why". */
static void tell_cut_end(struct router *r, const struct gather *g, struct bytes error) {
    char text[400] = "";
    uint64_t pause_us = clock_mono_us() - g->locking_since_us;
    if (error.len > 5)
        snprintf(text, sizeof(text), "%.*s", (int)strcspn(error.ptr + 5, "\r"), error.ptr + 5);
    r->env->cut_locked(r->env->upper, &g->cut, pause_us, error.len > 0 ? text : NULL);
}

void gather_unlock(struct router *r, struct call *call) {
    struct gather *g = call->gather;
    for (uint32_t i = 0; i < g->shard_count && g->shards[i].lock != 0; i++) {
        struct gather_shard *shard = &g->shards[i];
        bool here = shard->shard == r->self;
        if (!here && link_withdraw(r->links, shard->shard, shard->lock, RELAY_LOCK))
            continue;
        if (here || link_is_up(r->links, shard->shard))
            router_deliver(r, shard->shard,
                           (struct relay_frame){.type = RELAY_UNLOCK, .token = shard->lock},
                           (struct bytes){0});
    }
    for (uint32_t i = 0; i < g->shard_count; i++) {
        g->shards[i].lock = 0;
        g->shards[i].locked = false;
    }
}

/* Give back every lock that is held or asked for, then end the call. */
void gather_end(struct router *r, struct call *call, struct bytes reply) {
    struct gather *g = call->gather;
    if (g->waited)
        gather_wait_end(r, call);
    for (uint32_t i = 0; i < g->shard_count; i++)
        part_release(r, &call->parts[i]);
    gather_unlock(r, call);
    if (g->cut.id != 0)
        tell_cut_end(r, g, reply);
    struct buf out = {0};
    buf_append_bytes(&out, reply);
    call_finish(r, call, buf_bytes(&out));
    buf_free(&out);
}

void gather_failed(struct router *r, struct call *call, uint32_t shard, const char *what) {
    struct buf out = {0};
    down_error(r, shard, what, &out);
    gather_end(r, call, buf_bytes(&out));
    buf_free(&out);
}

void gather_lock_refused(struct router *r, struct call *call, uint32_t shard) {
    struct buf out = {0};
    struct reply reply = {.out = &out, .version = 2};
    reply_error_format(&reply, "ERR shard %u is busy and did not give its lock in time: %s", shard,
                       call->gather->cut.id != 0 ? "the pool goes on"
                                                 : "the command was not executed");
    r->failed++;
    gather_end(r, call, buf_bytes(&out));
    buf_free(&out);
}

void gather_shard_lost(struct router *r, struct call *call, uint32_t shard) {
    enum gather_phase phase = call->gather->phase;
    gather_failed(r, call, shard,
                  phase <= GATHER_FETCHING || phase == GATHER_WAITING
                      ? "went down: the command was not executed"
                      : "went down while it ran this command, which may or may not have been "
                        "executed");
}

bool gather_needs(const struct gather *g, uint32_t shard) {
    for (uint32_t i = 0; i < g->shard_count; i++) {
        if (g->shards[i].shard == shard)
            return g->shards[i].locked;
    }
    return false;
}

bool gather_is_locking(const struct gather *g) {
    return g->phase == GATHER_LOCKING;
}

uint64_t gather_patience_ms(const struct gather *g) {
    if (g->cut.id != 0 && g->phase == GATHER_MARKING && g->cut.kind == CUT_OF_FORKS)
        return FORKS_PATIENCE_MS;
    if (g->cut.id != 0)
        return CUT_PATIENCE_MS;
    if (g->phase != GATHER_LOCKING)
        return 0;
    uint64_t wait_ms = (uint64_t)g->r->env->config->relay_wait;
    return wait_ms < LOCK_PATIENCE_MIN_MS ? LOCK_PATIENCE_MIN_MS : wait_ms;
}

/* ---- the scratch keyspace ---- */

static void scratch_changed(void *arg, uint32_t db, struct bytes key) {
    struct router *r = arg;
    struct gather *g = r->scratch_user;
    if (!g || g->filling)
        return;
    if (g->changed_count == g->changed_cap) {
        g->changed_cap = g->changed_cap ? g->changed_cap * 2 : 8;
        g->changed = mem_realloc(g->changed, g->changed_cap * sizeof(*g->changed));
    }
    char *copy = mem_alloc(key.len + 1);
    if (key.len > 0)
        memcpy(copy, key.ptr, key.len);
    g->changed[g->changed_count++] = (struct changed_key){db, bytes_of(copy, key.len)};
}

static void scratch_forget(void *arg, uint32_t db, struct bytes key) {
}

static struct keyspace *scratch_open(struct router *r, struct gather *g) {
    if (!r->scratch) {
        struct keyspace_hooks hooks = {.arg = r,
                                       .expired = scratch_forget,
                                       .evicted = scratch_forget,
                                       .changed = scratch_changed};
        r->scratch =
            keyspace_create(keyspace_databases(r->ks), r->env->segment->header->hash_seed, &hooks);
    }
    keyspace_configure(r->scratch, r->env->config);
    keyspace_set_now(r->scratch, keyspace_now_ms(r->ks));
    r->scratch_user = g;
    return r->scratch;
}

static void scratch_close(struct router *r) {
    r->scratch_user = NULL;
    keyspace_flush_all(r->scratch, false);
}

struct operand {
    uint32_t argument, db;
    int64_t expire_ms;
    struct bytes payload;
};

/* The next value of a LOCKED body; false at the end or if the rest makes no sense. */
static bool operand_next(struct bytes *body, struct operand *operand_r) {
    enum { HEADER = 4 + 4 + 8 + 4 };
    uint32_t len;
    if (body->len < HEADER)
        return false;
    memcpy(&operand_r->argument, body->ptr, 4);
    memcpy(&operand_r->db, body->ptr + 4, 4);
    memcpy(&operand_r->expire_ms, body->ptr + 8, 8);
    memcpy(&len, body->ptr + 16, 4);
    if (len > body->len - HEADER)
        return false;
    operand_r->payload = bytes_of(body->ptr + HEADER, len);
    body->ptr += HEADER + len;
    body->len -= HEADER + len;
    return true;
}

/* Store the values of a LOCKED body. keys: what its arguments are, of which there are `count`. */
static bool scratch_fill_from(struct router *r, struct bytes body, const struct bytes *keys,
                              uint32_t count) {
    struct operand operand;
    while (operand_next(&body, &operand)) {
        struct value value;
        struct keyref ref;
        char error[128];
        if (operand.argument >= count || operand.db >= keyspace_databases(r->scratch) ||
            rdb_restore(operand.payload, r->env->config, &value, error, sizeof(error)) != 0)
            return false;
        keyspace_find(r->scratch, operand.db, keys[operand.argument], KEY_PEEK, &ref);
        keyspace_store(&ref, &value);
        if (operand.expire_ms != KEY_NO_EXPIRY)
            keyspace_set_expire(&ref, operand.expire_ms);
    }
    return body.len == 0;
}

static bool scratch_fill_shard(struct router *r, struct gather_shard *shard,
                               const struct bytes *argv) {
    struct bytes *keys = mem_alloc((shard->keys + 1) * sizeof(*keys));
    for (uint32_t k = 0; k < shard->keys; k++)
        keys[k] = argv[shard->positions[k]];
    bool ok = scratch_fill_from(r, buf_bytes(&shard->operands), keys, shard->keys);
    mem_free(keys);
    return ok &&
           scratch_fill_from(r, buf_bytes(&shard->fetched), shard->derived, shard->derived_count);
}

static bool scratch_fill(struct router *r, struct gather *g, const struct bytes *argv) {
    bool ok = true;
    g->filling = true;
    for (uint32_t i = 0; i < g->shard_count && ok; i++)
        ok = scratch_fill_shard(r, &g->shards[i], argv);
    g->filling = false;
    return ok;
}

/* ---- what the handler changed goes back to the owners ---- */

/* A string as SET, any other type as RESTORE: both can be replayed by any server from the log. */
static void store_command(struct router *r, struct gather_shard *shard, struct keyref *ref) {
    struct value value = keyref_value(ref);
    int64_t expire_ms = keyref_expire_ms(ref);
    char digits[BYTES_I64_MAX], expire[BYTES_I64_MAX];
    struct bytes expire_text =
        bytes_of(expire, bytes_from_i64(expire, expire_ms == KEY_NO_EXPIRY ? 0 : expire_ms));
    if (value.type == VALUE_STRING) {
        struct bytes argv[5] = {BYTES_LITERAL("SET"), ref->key, value_string_bytes(&value, digits),
                                BYTES_LITERAL("PXAT"), expire_text};
        write_back_command(&shard->stores, ref->db, expire_ms == KEY_NO_EXPIRY ? 3 : 5, argv);
    } else {
        struct buf payload = {0};
        rdb_dump(&payload, &value);
        struct bytes argv[6] = {BYTES_LITERAL("RESTORE"),
                                ref->key,
                                expire_text,
                                buf_bytes(&payload),
                                BYTES_LITERAL("REPLACE"),
                                BYTES_LITERAL("ABSTTL")};
        write_back_command(&shard->stores, ref->db, 6, argv);
        buf_free(&payload);
    }
    shard->store_count++;
}

static int compare_changed(const void *a, const void *b) {
    const struct changed_key *x = a, *y = b;
    if (x->db != y->db)
        return x->db < y->db ? -1 : 1;
    return bytes_compare(x->key, y->key);
}

static struct gather_shard *shard_of_key(struct router *r, struct gather *g, struct bytes key) {
    uint32_t owner = r->slots->owner[slot_of_key(key)];
    for (uint32_t i = 0; i < g->shard_count; i++) {
        if (g->shards[i].shard == owner)
            return &g->shards[i];
    }
    PANIC("a command changed a key that is not among its key arguments");
}

/* Every shard's part says of what it is one, so that who reads all their streams can put it together. */
static void number_parts(struct router *r, struct gather *g) {
    struct propagate_part part = parts_number(r, PARTS_LOCKED);
    uint32_t parts = 0;
    for (uint32_t i = 0; i < g->shard_count; i++) {
        const struct gather_shard *shard = &g->shards[i];
        parts += (shard->store_count > 0) + (shard->delete_count > 0);
        if (shard->store_count + shard->delete_count > 0)
            propagate_part_add(&part, shard->shard);
    }
    for (uint32_t i = 0; i < g->shard_count && parts > 1; i++) {
        struct gather_shard *shard = &g->shards[i];
        part.more = shard->delete_count > 0;
        if (shard->store_count > 0)
            memcpy(shard->stores.data, &part, sizeof(part));
        part.more = false;
        if (shard->delete_count > 0)
            memcpy(shard->deletes.data, &part, sizeof(part));
    }
}

static void collect_changes(struct router *r, struct gather *g) {
    if (g->changed_count == 0)
        return;
    qsort(g->changed, g->changed_count, sizeof(*g->changed), compare_changed);
    for (uint32_t i = 0; i < g->changed_count; i++) {
        if (i > 0 && compare_changed(&g->changed[i], &g->changed[i - 1]) == 0)
            continue;
        struct bytes key = g->changed[i].key;
        struct gather_shard *shard = shard_of_key(r, g, key);
        struct keyref ref;
        if (keyspace_find(r->scratch, g->changed[i].db, key, KEY_PEEK, &ref)) {
            store_command(r, shard, &ref);
        } else {
            struct bytes argv[2] = {BYTES_LITERAL("DEL"), key};
            write_back_command(&shard->deletes, g->changed[i].db, 2, argv);
            shard->delete_count++;
        }
    }
    number_parts(r, g);
}

/* Before anything is written: can all of it be? */
static bool changes_may_travel(const struct gather *g) {
    for (uint32_t i = 0; i < g->shard_count; i++) {
        if (g->shards[i].stores.len > LINK_BODY_MAX || g->shards[i].deletes.len > LINK_BODY_MAX)
            return false;
    }
    return true;
}

static void send_phase(struct router *r, struct call *call, enum gather_phase phase) {
    struct gather *g = call->gather;
    g->phase = phase;
    g->awaited = 0;
    for (uint32_t i = 0; i < g->shard_count; i++) {
        struct gather_shard *shard = &g->shards[i];
        bool storing = phase == GATHER_STORING;
        uint32_t count = storing ? shard->store_count : shard->delete_count;
        if (count == 0)
            continue;
        g->awaited++;
        struct relay_frame frame = {.type = RELAY_WRITE_BACK,
                                    .command = command_index(call->cmd),
                                    .flags = g->batch ? RELAY_UPSTREAM : 0,
                                    .argc = count,
                                    .db = g->db};
        part_send(r, &call->parts[i], shard->shard, frame, NULL,
                  buf_bytes(storing ? &shard->stores : &shard->deletes));
    }
}

/* The next phase that has something to send, or the end. */
static void gather_advance(struct router *r, struct call *call) {
    struct gather *g = call->gather;
    if (g->phase < GATHER_FETCHING)
        g->phase = GATHER_FETCHING; /* nothing was asked for, or all of it is here */
    while (g->awaited == 0 && g->phase < GATHER_DELETING)
        send_phase(r, call, g->phase + 1);
    if (g->awaited == 0)
        gather_end(r, call, buf_bytes(&g->reply));
}

/* For SLOWLOG: whose command it is. */
static void borrow_names(struct session *s, const struct session *client) {
    memcpy(s->peer, client ? client->peer : (char[sizeof(s->peer)]){0}, sizeof(s->peer));
    s->name = client ? client->name : NULL;
}

/* ---- all shards are locked ---- */

static const char unreadable[] =
    "ERR a shard sent a value that could not be read; nothing was changed";

/* The call as a command over the scratch keyspace, in an env that logs nothing. */
static struct command_ctx scratch_context(struct router *r, struct call *call,
                                          struct command_env *env, struct buf *reply) {
    struct gather *g = call->gather;
    const struct bytes *argv = frame_arguments(r, g->argc, buf_bytes(&call->args));
    struct session *s = &r->internal;
    s->db = g->db;
    s->resp = call->resp;
    s->no_touch = g->no_touch;
    *env = *r->env;
    env->propagate = NULL;
    env->persist = NULL;
    env->blocked = NULL;
    env->keys_ready = false;
    struct command_ctx ctx = router_context(r, s, call->cmd, argv, g->argc, reply);
    ctx.ks = scratch_open(r, g);
    ctx.env = env;
    ctx.accepted = true;
    return ctx;
}

/* Run the handler over the operands. */
static void gather_run(struct router *r, struct call *call) {
    struct gather *g = call->gather;
    struct command_env env;
    struct command_ctx ctx = scratch_context(r, call, &env, &g->reply);
    g->awaited = 0;
    /* The limit is the pool's, and what may be evicted is this shard's: never an operand. */
    struct command_ctx admission =
        router_context(r, &r->internal, call->cmd, ctx.argv, g->argc, &g->reply);
    bool room = g->upstream || !(call->cmd->flags & CMD_DENYOOM) ||
                r->env->config->maxmemory == 0 || memory_admit(&admission);
    if (!room) {
        reply_error(&ctx.reply, reply_err_oom);
    } else if (!scratch_fill(r, g, ctx.argv)) {
        reply_error(&ctx.reply, unreadable);
    } else {
        if (g->waited)
            gather_wait_pause(r, call);
        ctx.may_block = call->pipeline != NULL;
        borrow_names(&r->internal, call->session);
        execute(&ctx);
        borrow_names(&r->internal, NULL);
        collect_changes(r, g);
    }
    scratch_close(r);
    if (ctx.waiter)
        gather_wait(r, call, &ctx);
    else if (changes_may_travel(g))
        gather_advance(r, call);
    else
        gather_end(r, call,
                   BYTES_LITERAL("-ERR the result is longer than what may pass between shards; "
                                 "nothing was changed\r\n"));
}

static void note_derived(void *arg, struct bytes key) {
    struct gather *g = arg;
    if (g->derived_count == g->derived_cap) {
        g->derived_cap = g->derived_cap ? g->derived_cap * 2 : 64;
        g->derived = mem_realloc(g->derived, g->derived_cap * sizeof(*g->derived));
    }
    g->derived[g->derived_count++] = (struct derived_key){g->derived_text.len, key.len};
    buf_append_bytes(&g->derived_text, key);
}

static int compare_derived(const void *a, const void *b, void *arg) {
    const struct gather *g = arg;
    const struct derived_key *x = a, *y = b;
    return bytes_compare(bytes_of(g->derived_text.data + x->at, x->len),
                         bytes_of(g->derived_text.data + y->at, y->len));
}

/* Give each shard the keys that are its own, each once. All shards are there, in order. */
static void distribute_derived(struct router *r, struct gather *g) {
    if (g->derived_count > 0)
        qsort_r(g->derived, g->derived_count, sizeof(*g->derived), compare_derived, g);
    for (uint32_t i = 0; i < g->shard_count; i++)
        g->shards[i].derived = mem_alloc((g->derived_count + 1) * sizeof(struct bytes));
    for (uint32_t i = 0; i < g->derived_count; i++) {
        if (i > 0 && compare_derived(&g->derived[i], &g->derived[i - 1], g) == 0)
            continue;
        struct bytes key = bytes_of(g->derived_text.data + g->derived[i].at, g->derived[i].len);
        struct gather_shard *shard = shard_of_key(r, g, key);
        shard->derived[shard->derived_count++] = key;
    }
}

/* The keys named are here: ask for those that follow from them. */
static void gather_fetch(struct router *r, struct call *call) {
    struct gather *g = call->gather;
    struct command_env env;
    struct buf unused = {0};
    struct command_ctx ctx = scratch_context(r, call, &env, &unused);
    bool ok = scratch_fill(r, g, ctx.argv);
    if (ok)
        sort_derived_keys(&ctx, note_derived, g);
    scratch_close(r);
    buf_free(&unused);
    if (!ok) {
        struct reply reply = {.out = &g->reply, .version = 2};
        reply_error(&reply, unreadable);
        gather_end(r, call, buf_bytes(&g->reply));
        return;
    }
    distribute_derived(r, g);
    g->phase = GATHER_FETCHING;
    g->awaited = 0;
    for (uint32_t i = 0; i < g->shard_count; i++)
        g->awaited += g->shards[i].derived_count > 0;
    for (uint32_t i = 0; i < g->shard_count; i++) {
        struct gather_shard *shard = &g->shards[i];
        struct relay_frame frame = {.type = RELAY_FETCH,
                                    .command = command_index(call->cmd),
                                    .argc = shard->derived_count,
                                    .db = g->db};
        if (shard->derived_count > 0)
            part_send(r, &call->parts[i], shard->shard, frame, shard->derived, (struct bytes){0});
    }
    if (g->awaited == 0)
        gather_run(r, call);
}

/* ---- a consistent cut ---- */

void router_cut(struct router *r, const struct cut_mark *mark) {
    static const struct bytes row[] = {{"REMUDA", 6}, {"SNAPSHOT", 8}};
    struct call *call = call_begin(r, NULL, &r->internal, command_lookup(row, 2, NULL), r->shards);
    struct gather *g = call->gather = mem_calloc(1, sizeof(*g));
    g->r = r;
    g->cut = *mark;
    g->locking_since_us = clock_mono_us();
    g->shards = mem_calloc(r->shards, sizeof(*g->shards));
    g->shard_count = r->shards;
    for (uint32_t i = 0; i < r->shards; i++)
        g->shards[i].shard = i;
    send_lock(r, call, 0);
}

/* All are locked: this is the moment. */
static void send_marks(struct router *r, struct call *call) {
    struct gather *g = call->gather;
    struct relay_frame frame = {.type = RELAY_MARK, .command = command_index(call->cmd)};
    g->phase = GATHER_MARKING;
    g->awaited = g->shard_count;
    for (uint32_t i = 0; i < g->shard_count; i++)
        part_send(r, &call->parts[i], i, frame, NULL,
                  bytes_of((const char *)&g->cut, sizeof(g->cut)));
}

void gather_serve_mark(struct router *r, uint32_t peer, const struct relay_frame *request,
                       struct bytes body) {
    struct relay_frame frame = {.type = RELAY_MARKED, .token = request->token};
    struct cut_mark mark;
    struct buf out = {0};
    char why[300] = "malformed relay frame", line[340];
    bool whole = body.len == sizeof(mark);
    if (whole)
        memcpy(&mark, body.ptr, sizeof(mark));
    if (!whole || r->env->cut_mark(r->env->upper, &mark, why, sizeof(why)) != 0) {
        snprintf(line, sizeof(line), "-ERR shard %u: %s\r\n", r->self, why);
        buf_append_text(&out, line);
        frame.flags = RELAY_ERROR;
    }
    /* Not held back for a sync: everybody waits for this. */
    router_deliver(r, peer, frame, buf_bytes(&out));
    buf_free(&out);
}

static void all_locked(struct router *r, struct call *call) {
    if (call->gather->cut.id != 0) {
        send_marks(r, call);
    } else if (call->gather->batch) {
        call->gather->awaited = 0;
        number_parts(r, call->gather);
        gather_advance(r, call);
    } else if (call->gather->derives)
        gather_fetch(r, call);
    else
        gather_run(r, call);
}

void gather_answer(struct router *r, struct part *part, const struct relay_frame *frame,
                   struct bytes body) {
    struct call *call = part->call;
    struct gather *g = call->gather;
    uint32_t index = (uint32_t)(part - call->parts);
    bool locking = g->phase == GATHER_LOCKING, fetching = g->phase == GATHER_FETCHING;
    if (g->phase == GATHER_WAITING && frame->type == RELAY_REPLY) {
        gather_wait_told(r, call);
        return;
    }
    if (frame->type != (locking || fetching          ? RELAY_LOCKED
                        : g->phase == GATHER_MARKING ? RELAY_MARKED
                                                     : RELAY_WRITTEN))
        return;
    part_release(r, part);
    if (locking)
        g->shards[index].locked = true;
    if (frame->flags & RELAY_ERROR) {
        gather_end(r, call, body);
        return;
    }
    if (locking) {
        buf_append_bytes(&g->shards[index].operands, body);
        if (index + 1 < g->shard_count)
            send_lock(r, call, index + 1);
        else
            all_locked(r, call);
        return;
    }
    g->awaited--;
    if (!fetching) {
        gather_advance(r, call);
        return;
    }
    buf_append_bytes(&g->shards[index].fetched, body);
    if (g->awaited == 0)
        gather_run(r, call);
}

/* ---- serving side ---- */

static void operand_append(struct buf *out, uint32_t argument, const struct keyref *ref) {
    struct value value = keyref_value(ref);
    int64_t expire_ms = keyref_expire_ms(ref);
    buf_append(out, &argument, sizeof(argument));
    buf_append(out, &ref->db, sizeof(ref->db));
    buf_append(out, &expire_ms, sizeof(expire_ms));
    size_t len_at = out->len;
    uint32_t len = 0;
    buf_append(out, &len, sizeof(len));
    rdb_dump(out, &value);
    len = (uint32_t)(out->len - len_at - sizeof(len));
    memcpy(out->data + len_at, &len, sizeof(len));
}

void gather_serve_lock(struct router *r, uint32_t peer, const struct relay_frame *frame,
                       struct bytes body) {
    struct buf *out = &r->reply_scratch;
    buf_clear(out);
    r->lock.held = true;
    blocked_hold(r->blocked, true);
    r->lock.by = peer;
    r->lock.generation = frame->from_generation;
    r->lock.token = frame->token;
    const struct bytes *keys = frame_arguments(r, frame->argc, body);
    const char *refusal = NULL;
    if ((!keys && frame->argc > 0) || frame->command >= command_count)
        refusal = "ERR malformed relay frame";
    else if ((command_rows[frame->command].flags & CMD_WRITE) && r->env->persist &&
             !(frame->flags & RELAY_UPSTREAM))
        refusal = persist_write_refusal(r->env->persist);
    if (refusal) {
        struct reply reply = {.out = out, .version = 2};
        reply_error(&reply, refusal);
        serve_answer(r, peer, frame, RELAY_LOCKED, RELAY_ERROR, buf_bytes(out));
        return;
    }
    /* A command may name a key in another database (COPY ... DB): send it from wherever it is. */
    for (uint32_t i = 0; i < frame->argc; i++) {
        for (uint32_t db = 0; db < keyspace_databases(r->ks); db++) {
            struct keyref ref;
            if (keyspace_count(r->ks, db) > 0 && keyspace_find(r->ks, db, keys[i], KEY_PEEK, &ref))
                operand_append(out, i, &ref);
        }
    }
    serve_answer(r, peer, frame, RELAY_LOCKED, 0, buf_bytes(out));
    buf_shrink(out, 64 * 1024);
}

void gather_serve_fetch(struct router *r, uint32_t peer, const struct relay_frame *frame,
                        struct bytes body) {
    struct buf *out = &r->reply_scratch;
    buf_clear(out);
    const struct bytes *keys = frame_arguments(r, frame->argc, body);
    if (!keys || frame->db >= keyspace_databases(r->ks)) {
        serve_answer(r, peer, frame, RELAY_LOCKED, RELAY_ERROR,
                     BYTES_LITERAL("-ERR malformed relay frame\r\n"));
        return;
    }
    for (uint32_t i = 0; i < frame->argc; i++) {
        struct keyref ref;
        if (keyspace_find(r->ks, frame->db, keys[i], KEY_PEEK, &ref))
            operand_append(out, i, &ref);
    }
    serve_answer(r, peer, frame, RELAY_LOCKED, 0, buf_bytes(out));
    buf_shrink(out, 64 * 1024);
}
