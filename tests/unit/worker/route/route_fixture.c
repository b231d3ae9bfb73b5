/* route_fixture.c - see route_fixture.h. */
#include "tests/unit/worker/route/route_fixture.h"

#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/ipc/inherit.h"
#include "worker/command/slowlog.h"
#include "worker/resp/parse.h"

#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void no_removal(void *arg, uint32_t db, struct bytes key) {
}

static void refresh(void *upper) {
    struct route_shard *s = upper;
    uint64_t keys = 0;
    for (uint32_t db = 0; db < keyspace_databases(s->ks); db++)
        keys += keyspace_count(s->ks, db);
    status_set(s->env.status, METRIC_keys, keys);
}

static bool unblock(void *upper, struct session *session, bool with_error) {
    struct route_shard *s = upper;
    return router_unblock(s->router, session, with_error);
}

static void slow(void *upper, const struct session *session, struct bytes body) {
    struct route_shard *s = upper;
    router_slow(s->router, session, body);
}

static void pause_clients(void *upper, uint64_t until_ms, bool all) {
    struct route_shard *s = upper;
    router_pause(s->router, until_ms, all);
}

static void monitor(void *upper, struct command_ctx *ctx, bool on) {
    struct route_shard *s = upper;
    router_monitor(s->router, ctx->client, on, ctx->session->port == SESSION_PUBLIC);
}

static int cut_mark(void *upper, const struct cut_mark *mark, char *error_r, size_t error_bytes) {
    struct route_shard *s = upper;
    if (s->refuse_mark) {
        snprintf(error_r, error_bytes, "%s", s->refuse_mark);
        return -1;
    }
    s->marked_kind = mark->kind;
    s->marked_cut = mark->id;
    s->marked_try = mark->try;
    s->marks++;
    if (s->on_mark)
        s->on_mark(s);
    return 0;
}

static void cut_locked(void *upper, const struct cut_mark *mark, uint64_t pause_us,
                       const char *error) {
    struct route_shard *s = upper;
    s->ended_cut = mark->id;
    s->ended_try = mark->try;
    s->ends++;
    snprintf(s->cut_error, sizeof(s->cut_error), "%s", error ? error : "");
}

static void shard_open(struct pool_fixture *pool, uint32_t i) {
    struct route_shard *s = &pool->shard[i];
    struct keyspace_hooks hooks = {.expired = no_removal, .evicted = no_removal};
    s->ks = keyspace_create(16, pool->segment.header->hash_seed, &hooks);
    keyspace_configure(s->ks, s->config);
    keyspace_set_now(s->ks, 1700000000000);
    s->generation++;
    s->down = false;
    s->env = (struct command_env){.config = s->config,
                                  .segment = &pool->segment,
                                  .shard = i,
                                  .generation = s->generation,
                                  .status = segment_status(&pool->segment, i),
                                  .sessions = &s->sessions,
                                  .primaries = &s->primaries,
                                  .upper = s,
                                  .unblock_session = unblock,
                                  .slowlog = slowlog_create(&pool->segment.header->next_slowlog_id),
                                  .slow = slow,
                                  .pause = pause_clients,
                                  .monitor = monitor,
                                  .refresh_status = refresh,
                                  .cut_mark = cut_mark,
                                  .cut_locked = cut_locked};
    s->pool = pool;
    atomic_store(&s->env.status->generation, s->generation);
    atomic_store(&s->env.status->state, CHILD_UP);
    s->router = router_create(&s->env, s->ks);
}

struct pool_fixture *pool_create(uint32_t shards, uint32_t ring_bytes) {
    char error[200];
    struct pool_fixture *pool = mem_calloc(1, sizeof(*pool));
    pool->shards = shards;
    int fd = segment_create(&pool->segment, shards, ring_bytes, error, sizeof(error));
    if (fd < 0)
        PANIC("%s", error);
    close(fd);
    slot_map_deal(pool->segment.slots, shards);
    snprintf(pool->segment.slots->announce_host, 64, "127.0.0.1");
    for (uint32_t i = 0; i < shards; i++) {
        pool->segment.slots->port[i] = (uint16_t)(6400 + i);
        int bell = eventfd(0, EFD_NONBLOCK);
        dup2(bell, inherit_fd_doorbell(i));
        if (bell != inherit_fd_doorbell(i))
            close(bell);
        pool->shard[i].config = config_create();
        list_init(&pool->shard[i].sessions);
        list_init(&pool->shard[i].primaries);
        /* Not before all are up may anyone look: the first generations are all 1. */
        atomic_store(&segment_status(&pool->segment, i)->generation, 1);
        atomic_store(&segment_status(&pool->segment, i)->state, CHILD_UP);
    }
    for (uint32_t i = 0; i < shards; i++)
        shard_open(pool, i);
    return pool;
}

static void shard_close(struct route_shard *s) {
    router_free(&s->router);
    slowlog_free(&s->env.slowlog);
    keyspace_free(&s->ks);
}

void pool_free(struct pool_fixture **ref) {
    struct pool_fixture *pool = *ref;
    for (uint32_t i = 0; i < pool->shards; i++) {
        if (!pool->shard[i].down)
            shard_close(&pool->shard[i]);
        config_free(&pool->shard[i].config);
        close(inherit_fd_doorbell(i));
    }
    segment_detach(&pool->segment);
    mem_free(pool);
    *ref = NULL;
}

void pool_configure(struct pool_fixture *pool, const char *name, const char *value) {
    char error[CONFIG_ERROR_BYTES];
    for (uint32_t i = 0; i < pool->shards; i++) {
        if (config_set(pool->shard[i].config, option_find(bytes_of_text(name)),
                       bytes_of_text(value), error) != 0)
            PANIC("%s %s: %s", name, value, error);
    }
}

void pool_turn(struct pool_fixture *pool, uint32_t shard) {
    struct route_shard *s = &pool->shard[shard];
    if (s->down)
        return;
    router_turn_begin(s->router);
    router_turn_end(s->router);
}

void pool_turns(struct pool_fixture *pool, uint32_t times) {
    for (uint32_t t = 0; t < times; t++) {
        for (uint32_t i = 0; i < pool->shards; i++)
            pool_turn(pool, i);
    }
}

void pool_kill(struct pool_fixture *pool, uint32_t shard) {
    struct route_shard *s = &pool->shard[shard];
    atomic_store(&s->env.status->state, CHILD_WAITING);
    status_set_text(s->env.status->last_exit, "killed by the test");
    shard_close(s);
    s->down = true;
}

void pool_tell_down(struct pool_fixture *pool, uint32_t shard) {
    for (uint32_t i = 0; i < pool->shards; i++) {
        if (i != shard && !pool->shard[i].down)
            router_peer_down(pool->shard[i].router, shard, pool->shard[shard].generation);
    }
}

void pool_revive(struct pool_fixture *pool, uint32_t shard) {
    shard_open(pool, shard);
    for (uint32_t i = 0; i < pool->shards; i++) {
        if (i != shard && !pool->shard[i].down)
            router_peer_up(pool->shard[i].router, shard, pool->shard[shard].generation);
    }
}

/* ---- clients ---- */

static void no_wake(struct pipeline *pipeline) {
}

struct route_client *client_create(struct pool_fixture *pool, uint32_t at, enum session_port port) {
    struct route_client *c = mem_calloc(1, sizeof(*c));
    c->pool = pool;
    c->at = at;
    session_init(&c->session, port);
    c->session.authenticated = true;
    c->session.id = ++pool->last_client_id;
    snprintf(c->session.peer, sizeof(c->session.peer), "10.0.0.%u:1", (unsigned)c->session.id);
    list_push_back(&pool->shard[at].sessions, &c->session.link);
    pipeline_init(&c->pipeline, c, no_wake);
    return c;
}

void client_free(struct route_client **ref) {
    struct route_client *c = *ref;
    if (!c->pool->shard[c->at].down)
        router_forget(c->pool->shard[c->at].router, &c->pipeline);
    session_free(&c->session);
    mem_free(c->text);
    mem_free(c);
    *ref = NULL;
}

bool client_send(struct route_client *c, const char *inline_command) {
    if (!pipeline_may_begin(&c->pipeline))
        return false;
    struct resp_parser parser;
    struct buf line = {0};
    size_t used;
    resp_parser_init(&parser);
    parser.bulk_max = 512 * 1024 * 1024;
    buf_append_text(&line, inline_command);
    buf_append_text(&line, "\r\n");
    if (strlen(inline_command) > 60000 ||
        resp_parse(&parser, line.data, line.len, &used) != RESP_COMMAND)
        PANIC("not a command: %.60s", inline_command);
    bool begun = router_command(c->pool->shard[c->at].router, &c->pipeline, &c->session,
                                parser.argv, parser.argc);
    resp_parser_free(&parser);
    buf_free(&line);
    return begun;
}

const char *client_take(struct route_client *c) {
    struct buf *out = &c->pipeline.out;
    mem_free(c->text);
    c->text = mem_strndup(out->len ? out->data : "", out->len);
    buf_clear(out);
    return c->text;
}

const char *client_ask(struct route_client *c, const char *inline_command) {
    for (int i = 0; !client_send(c, inline_command); i++) {
        if (i > 1000)
            PANIC("'%s' may not begin", inline_command);
        pool_turns(c->pool, 1);
    }
    for (int i = 0; c->pipeline.in_flight > 0 && i < 1000; i++)
        pool_turns(c->pool, 1);
    /* What follows an answer, such as an unlock, is on its way now. */
    pool_turns(c->pool, 2);
    return client_take(c);
}

void key_of_shard(const struct pool_fixture *pool, uint32_t shard, const char *prefix, char *key_r,
                  size_t bytes) {
    for (int i = 0;; i++) {
        snprintf(key_r, bytes, "%s%d", prefix, i);
        if (pool->segment.slots->owner[slot_of_key(bytes_of_text(key_r))] == shard)
            return;
    }
}
