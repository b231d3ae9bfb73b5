/* blocked.c - who waits for which keys, and the serving of them. See blocked.h.
 *
 *   key { db, "jobs" } -> wait -> wait -> wait     in the order of blocking
 *                          |       |
 *   waiter { command,  [ wait, wait ] }            found by its id, too; those with a timeout in a heap
 */
#include "worker/command/blocked.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/types/table.h"

#include <math.h>

enum { INDEX_FIRST_BUCKETS = 64, REPLY_KEEP_BYTES = 64 * 1024 };

/* A hash table of nodes that are part of what they find. */
struct node {
    struct list link;
    uint64_t hash;
};
struct index {
    struct list *buckets;
    uint32_t size, count;
};

struct awaited {
    struct node node;
    struct list link; /* of all awaited keys, the longest awaited first */
    struct list ready;
    struct list waits;
    uint32_t on_absence; /* of its waiters */
    uint32_t db;
    bool pinned; /* being served: it stays though nobody waits any more */
    struct bytes key;
    char text[];
};

struct wait {
    struct list link;
    struct waiter *waiter;
    struct awaited *awaited; /* NULL: the same key was named before */
};

struct waiter {
    struct node node;
    struct list link;            /* of all */
    struct list acknowledgement; /* of those that wait for one */
    struct waiter_id id;
    const struct command *cmd; /* NULL: only told of a key (blocked_await) */
    uint32_t db;
    uint8_t resp;
    bool no_touch, on_absence, for_acknowledgement;
    enum value_type type;
    uint64_t until_ms; /* monotonic; 0: for ever */
    uint64_t sequence;
    uint32_t heap_at;   /* if until_ms */
    struct bytes ready; /* the key that woke it, while it is served */
    uint32_t argc, first, count;
    struct bytes *argv;
    struct wait *waits; /* of `count` keys, once it is registered */
};

struct blocked {
    struct command_env *env;
    struct keyspace *ks;
    struct blocked_hooks hooks;
    struct index keys, waiters;
    struct list awaited, all, ready, for_acknowledgement;
    struct waiter **heap;
    uint32_t heap_len, heap_cap;
    uint64_t next_sequence;
    bool held, serving;
    struct session session; /* what is run again is run with it */
    struct buf reply;
};

/* ---- for handlers ---- */

/* With copies of these arguments. */
static struct waiter *waiter_alloc(uint32_t argc, const struct bytes *argv) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < argc; i++)
        bytes += argv[i].len;
    struct waiter *w = mem_alloc(sizeof(*w) + argc * sizeof(*w->argv) + bytes);
    *w = (struct waiter){.resp = 2, .argc = argc};
    w->argv = (struct bytes *)(w + 1);
    char *text = (char *)(w->argv + argc);
    for (uint32_t i = 0; i < argc; i++) {
        w->argv[i] = bytes_of(text, argv[i].len);
        if (argv[i].len > 0)
            memcpy(text, argv[i].ptr, argv[i].len);
        text += argv[i].len;
    }
    return w;
}

static struct waiter *waiter_create(const struct command_ctx *ctx, const struct block *block) {
    struct waiter *w =
        waiter_alloc(block->argv ? block->argc : ctx->argc, block->argv ? block->argv : ctx->argv);
    w->cmd = ctx->cmd;
    w->db = ctx_db(ctx);
    w->resp = (uint8_t)ctx->reply.version;
    w->no_touch = ctx->session->no_touch;
    w->on_absence = block->on_absence;
    w->for_acknowledgement = block->acknowledgement;
    w->type = block->type;
    w->first = block->first;
    w->count = block->count;
    if (block->timeout_ms > 0)
        w->until_ms = clock_mono_ms() + (uint64_t)block->timeout_ms;
    return w;
}

void waiter_free(struct waiter **waiter) {
    if (*waiter)
        mem_free((*waiter)->waits);
    mem_free(*waiter);
    *waiter = NULL;
}

void block_on(struct command_ctx *ctx, const struct block *block) {
    if (ctx->again)
        ctx->waiter = ctx->again;
    else if (ctx->may_block)
        ctx->waiter = waiter_create(ctx, block);
    else if (block->null_bulk)
        reply_null(&ctx->reply);
    else
        reply_null_array(&ctx->reply);
}

bool ctx_awaits(const struct command_ctx *ctx, struct bytes key) {
    return !ctx->again || bytes_equal(ctx->again->ready, key);
}

/* So far away that its end cannot be told: Redis draws the line where the wall clock would overflow. */
static bool timeout_ok(struct command_ctx *ctx, long double ms, int64_t *timeout_ms_r) {
    if (ms <= -1) {
        reply_error(&ctx->reply, "ERR timeout is negative");
    } else if (ms >= (long double)INT64_MAX || (int64_t)ms > INT64_MAX - ctx_now_ms(ctx)) {
        reply_error(&ctx->reply, "ERR timeout is out of range");
    } else {
        *timeout_ms_r = (int64_t)ms;
        return true;
    }
    return false;
}

bool block_seconds(struct command_ctx *ctx, uint32_t index, int64_t *timeout_ms_r) {
    long double seconds;
    if (bytes_to_long_double(ctx->argv[index], &seconds))
        return timeout_ok(ctx, ceill(seconds * 1000), timeout_ms_r);
    reply_error(&ctx->reply, "ERR timeout is not a float or out of range");
    return false;
}

bool block_milliseconds(struct command_ctx *ctx, uint32_t index, int64_t *timeout_ms_r) {
    int64_t ms;
    if (bytes_to_i64(ctx->argv[index], &ms))
        return timeout_ok(ctx, (long double)ms, timeout_ms_r);
    reply_error(&ctx->reply, "ERR timeout is not an integer or out of range");
    return false;
}

/* ---- index ---- */

static struct list *index_bucket(const struct index *index, uint64_t hash) {
    return &index->buckets[hash & (index->size - 1)];
}

static void index_resize(struct index *index, uint32_t size) {
    struct index larger = {.buckets = mem_alloc(size * sizeof(struct list)), .size = size};
    for (uint32_t i = 0; i < size; i++)
        list_init(&larger.buckets[i]);
    for (uint32_t i = 0; i < index->size; i++) {
        LIST_EACH(at, &index->buckets[i]) {
            list_remove(at);
            list_push_back(index_bucket(&larger, LIST_ENTRY(at, struct node, link)->hash), at);
        }
    }
    mem_free(index->buckets);
    index->buckets = larger.buckets;
    index->size = size;
}

static void index_add(struct index *index, struct node *node, uint64_t hash) {
    if (index->count == index->size)
        index_resize(index, index->size ? index->size * 2 : INDEX_FIRST_BUCKETS);
    index->count++;
    node->hash = hash;
    list_push_back(index_bucket(index, hash), &node->link);
}

static void index_remove(struct index *index, struct node *node) {
    list_remove(&node->link);
    index->count--;
}

static uint64_t id_hash(struct waiter_id id) {
    /* The token's halves are a slot and a running number: both spread over the low bits. */
    return (id.token ^ id.token >> 32) * UINT64_C(0x9e3779b97f4a7c15) >> 32 ^ id.peer;
}

static struct waiter *find_waiter(const struct blocked *b, struct waiter_id id) {
    if (b->waiters.count == 0)
        return NULL;
    LIST_EACH(at, index_bucket(&b->waiters, id_hash(id))) {
        struct waiter *w = LIST_ENTRY(at, struct waiter, node.link);
        if (w->id.token == id.token && w->id.peer == id.peer)
            return w;
    }
    return NULL;
}

static struct awaited *find_awaited(const struct blocked *b, uint32_t db, struct bytes key) {
    if (b->keys.count == 0)
        return NULL;
    LIST_EACH(at, index_bucket(&b->keys, table_hash(key) + db)) {
        struct awaited *a = LIST_ENTRY(at, struct awaited, node.link);
        if (a->db == db && bytes_equal(a->key, key))
            return a;
    }
    return NULL;
}

/* ---- the heap of those whose time will be up, the next one first ---- */

static bool ends_before(const struct waiter *a, const struct waiter *b) {
    return a->until_ms != b->until_ms ? a->until_ms < b->until_ms : a->sequence < b->sequence;
}

static void heap_put(struct blocked *b, uint32_t at, struct waiter *w) {
    b->heap[at] = w;
    w->heap_at = at;
}

/* A place is free: let it wander to where w belongs. */
static void heap_settle(struct blocked *b, uint32_t at, struct waiter *w) {
    for (; at > 0 && ends_before(w, b->heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap_put(b, at, b->heap[(at - 1) / 2]);
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child + 1 < b->heap_len && ends_before(b->heap[child + 1], b->heap[child]))
            child++;
        if (child >= b->heap_len || !ends_before(b->heap[child], w))
            break;
        heap_put(b, at, b->heap[child]);
        at = child;
    }
    heap_put(b, at, w);
}

static void heap_add(struct blocked *b, struct waiter *w) {
    if (b->heap_len == b->heap_cap) {
        b->heap_cap = b->heap_cap ? b->heap_cap * 2 : 16;
        b->heap = mem_realloc(b->heap, b->heap_cap * sizeof(struct waiter *));
    }
    b->heap_len++;
    heap_settle(b, b->heap_len - 1, w);
}

static void heap_remove(struct blocked *b, const struct waiter *w) {
    struct waiter *last = b->heap[--b->heap_len];
    if (last != w)
        heap_settle(b, w->heap_at, last);
}

/* ---- keys ---- */

static void mark_ready(struct blocked *b, struct awaited *a) {
    if (list_empty(&a->ready))
        list_push_back(&b->ready, &a->ready);
    b->env->keys_ready = true;
}

/* The keyspace's word of a change, asked for while somebody waits. */
static void on_changed(void *arg, uint32_t db, struct bytes key) {
    struct blocked *b = arg;
    if (key.ptr != NULL) {
        struct awaited *a = find_awaited(b, db, key);
        if (a)
            mark_ready(b, a);
        return;
    }
    LIST_EACH(at, &b->awaited) {
        struct awaited *a = LIST_ENTRY(at, struct awaited, link);
        if (a->db == db)
            mark_ready(b, a);
    }
}

static struct awaited *open_awaited(struct blocked *b, uint32_t db, struct bytes key) {
    struct awaited *a = find_awaited(b, db, key);
    if (a)
        return a;
    if (b->keys.count == 0)
        keyspace_watch(b->ks, on_changed, b);
    a = mem_alloc(sizeof(*a) + key.len);
    *a = (struct awaited){.db = db, .key = bytes_of(a->text, key.len)};
    if (key.len > 0)
        memcpy(a->text, key.ptr, key.len);
    list_init(&a->waits);
    list_init(&a->ready);
    list_push_back(&b->awaited, &a->link);
    index_add(&b->keys, &a->node, table_hash(key) + db);
    return a;
}

static void close_if_unused(struct blocked *b, struct awaited *a) {
    if (a->pinned || !list_empty(&a->waits))
        return;
    index_remove(&b->keys, &a->node);
    list_remove(&a->link);
    list_remove(&a->ready);
    mem_free(a);
    if (b->keys.count == 0)
        keyspace_watch(b->ks, NULL, NULL);
}

/* ---- waiters ---- */

struct await_what waiter_what(const struct waiter *w) {
    return (struct await_what){(uint32_t)w->type, w->on_absence};
}
uint32_t waiter_keys(const struct waiter *w) {
    return w->count;
}
struct bytes waiter_key(const struct waiter *w, uint32_t i) {
    return w->argv[w->first + i];
}
uint64_t waiter_until(const struct waiter *w) {
    return w->until_ms;
}

static void add(struct blocked *b, struct waiter *w, struct waiter_id id) {
    w->id = id;
    w->sequence = b->next_sequence++;
    w->waits = mem_calloc(w->count, sizeof(*w->waits));
    for (uint32_t i = 0; i < w->count; i++) {
        struct wait *wait = &w->waits[i];
        struct awaited *a = open_awaited(b, w->db, w->argv[w->first + i]);
        list_init(&wait->link);
        if (!list_empty(&a->waits) && LIST_ENTRY(a->waits.prev, struct wait, link)->waiter == w)
            continue;
        wait->waiter = w;
        wait->awaited = a;
        a->on_absence += w->on_absence;
        list_push_back(&a->waits, &wait->link);
    }
    list_push_back(&b->all, &w->link);
    list_init(&w->acknowledgement);
    if (w->for_acknowledgement)
        list_push_back(&b->for_acknowledgement, &w->acknowledgement);
    index_add(&b->waiters, &w->node, id_hash(id));
    if (w->until_ms)
        heap_add(b, w);
}

void blocked_add(struct blocked *b, struct command_ctx *ctx, struct waiter_id id) {
    add(b, ctx->waiter, id);
    ctx->waiter = NULL;
}

void blocked_add_keyless(struct blocked *b, struct command_ctx *ctx, struct waiter_id id,
                         uint64_t until_ms) {
    ctx->waiter->count = 0;
    ctx->waiter->until_ms = until_ms;
    blocked_add(b, ctx, id);
}

void blocked_await(struct blocked *b, uint32_t db, struct await_what what, uint32_t count,
                   const struct bytes *keys, struct waiter_id id) {
    struct waiter *w = waiter_alloc(count, keys);
    w->db = db;
    w->type = (enum value_type)what.type;
    w->on_absence = what.on_absence != 0;
    w->count = count;
    add(b, w, id);
}

static void take_out(struct blocked *b, struct waiter *w) {
    for (uint32_t i = 0; i < w->count; i++) {
        struct awaited *a = w->waits[i].awaited;
        if (!a)
            continue;
        list_remove(&w->waits[i].link);
        a->on_absence -= w->on_absence;
        close_if_unused(b, a);
    }
    list_remove(&w->link);
    list_remove(&w->acknowledgement);
    index_remove(&b->waiters, &w->node);
    if (w->until_ms)
        heap_remove(b, w);
}

/* Its wait is over: out of everything first, so that the answer finds it gone. */
static void answer(struct blocked *b, struct waiter *w, const struct reply *reply) {
    take_out(b, w);
    b->hooks.answer(b->hooks.arg, w->id, buf_bytes(reply->out), reply->errors > 0);
    waiter_free(&w);
}

static void run_again(struct blocked *b, struct waiter *w, struct bytes key, bool time_up);

static void end_wait(struct blocked *b, struct waiter *w, enum unblock_how how) {
    struct reply reply = {.out = &b->reply, .version = w->resp};
    buf_clear(&b->reply);
    if (how == UNBLOCK_FORGET) {
        take_out(b, w);
        waiter_free(&w);
        return;
    }
    if (how == UNBLOCK_TIMEOUT && w->for_acknowledgement) {
        run_again(b, w, (struct bytes){0}, true);
        return;
    }
    if (how == UNBLOCK_TIMEOUT)
        reply_null_array(&reply);
    else if (how == UNBLOCK_NEW_ROLE)
        reply_error(&reply, "UNBLOCKED force unblock from blocking operation, instance state "
                            "changed (master -> replica?)");
    else
        reply_error(&reply, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    answer(b, w, &reply);
}

bool blocked_end(struct blocked *b, struct waiter_id id, enum unblock_how how) {
    struct waiter *w = find_waiter(b, id);
    if (w)
        end_wait(b, w, how);
    return w != NULL;
}

/* Who is only told of a key is the call of a client that ends elsewhere. */
static struct waiter *first_client(const struct blocked *b) {
    LIST_EACH(at, &b->all) {
        struct waiter *w = LIST_ENTRY(at, struct waiter, link);
        if (w->cmd != NULL)
            return w;
    }
    return NULL;
}

void blocked_end_all(struct blocked *b) {
    struct waiter *w;
    while ((w = first_client(b)) != NULL) /* the end of one may take others with it */
        end_wait(b, w, UNBLOCK_NEW_ROLE);
}

void blocked_end_peer(struct blocked *b, uint32_t peer, enum unblock_how how) {
    LIST_EACH(at, &b->all) {
        struct waiter *w = LIST_ENTRY(at, struct waiter, link);
        if (w->id.peer == peer)
            end_wait(b, w, how);
    }
}

void blocked_expire(struct blocked *b, uint64_t now_ms) {
    while (b->heap_len > 0 && b->heap[0]->until_ms <= now_ms)
        end_wait(b, b->heap[0], UNBLOCK_TIMEOUT);
}

uint64_t blocked_next_ms(const struct blocked *b) {
    return b->heap_len > 0 ? b->heap[0]->until_ms : 0;
}

uint32_t blocked_count(const struct blocked *b) {
    return b->waiters.count;
}

/* ---- serving ---- */

/* Run its command again; it goes, or stays where it was in the line. One without a command is told. */
static void run_again(struct blocked *b, struct waiter *w, struct bytes key, bool time_up) {
    if (!w->cmd) {
        buf_clear(&b->reply);
        answer(b, w, &(struct reply){.out = &b->reply, .version = 2});
        return;
    }
    struct session *s = &b->session;
    s->db = w->db;
    s->resp = w->resp;
    s->no_touch = w->no_touch;
    s->of_peer = w->id.peer;
    s->of_token = w->id.token;
    w->ready = key;
    buf_clear(&b->reply);
    buf_shrink(&b->reply, REPLY_KEEP_BYTES);
    struct command_ctx ctx = {.ks = b->ks,
                              .session = s,
                              .env = b->env,
                              .cmd = w->cmd,
                              .argv = w->argv,
                              .argc = w->argc,
                              .reply = {.out = &b->reply, .version = w->resp},
                              .again = w,
                              .time_up = time_up};
    execute(&ctx);
    ASSERT(!time_up || !ctx.waiter);
    if (!ctx.waiter)
        answer(b, w, &ctx.reply);
}

static void serve_key(struct blocked *b, struct awaited *a) {
    a->pinned = true;
    LIST_EACH(at, &a->waits) {
        struct keyref ref;
        bool found = keyspace_find(b->ks, a->db, a->key, KEY_PEEK, &ref);
        if (!found && a->on_absence == 0)
            break; /* taken by those before: the others wait on */
        struct waiter *w = LIST_ENTRY(at, struct wait, link)->waiter;
        if (w->on_absence || (found && keyref_value(&ref).type == w->type))
            run_again(b, w, a->key, false);
    }
    a->pinned = false;
    close_if_unused(b, a);
}

void blocked_serve(struct blocked *b) {
    if (b->serving || b->held)
        return;
    b->serving = true;
    /* Who is served may make another key ready (BLMOVE): it comes after those that are ready now. */
    while (!list_empty(&b->ready)) {
        struct awaited *a = LIST_ENTRY(b->ready.next, struct awaited, ready);
        list_remove(&a->ready);
        serve_key(b, a);
    }
    b->env->keys_ready = false;
    b->serving = false;
}

void blocked_acknowledged(struct blocked *b) {
    LIST_EACH(at, &b->for_acknowledgement)
    run_again(b, LIST_ENTRY(at, struct waiter, acknowledgement), (struct bytes){0}, false);
}

void blocked_hold(struct blocked *b, bool hold) {
    b->held = hold;
    if (!hold && b->env->keys_ready)
        blocked_serve(b);
}

/* ---- life ---- */

struct blocked *blocked_create(struct command_env *env, struct keyspace *ks,
                               const struct blocked_hooks *hooks) {
    struct blocked *b = mem_calloc(1, sizeof(*b));
    b->env = env;
    b->ks = ks;
    b->hooks = *hooks;
    list_init(&b->awaited);
    list_init(&b->all);
    list_init(&b->ready);
    list_init(&b->for_acknowledgement);
    session_init(&b->session, SESSION_RELAYED);
    b->session.authenticated = true;
    return b;
}

void blocked_free(struct blocked **blocked) {
    struct blocked *b = *blocked;
    if (!b)
        return;
    LIST_EACH(at, &b->all)
    end_wait(b, LIST_ENTRY(at, struct waiter, link), UNBLOCK_FORGET);
    b->env->keys_ready = false;
    session_free(&b->session);
    mem_free(b->keys.buckets);
    mem_free(b->waiters.buckets);
    mem_free(b->heap);
    buf_free(&b->reply);
    mem_free(b);
    *blocked = NULL;
}
