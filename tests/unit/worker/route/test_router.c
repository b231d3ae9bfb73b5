/* test_router.c - three shards in one process: every span, order of replies, lock and gather, shards
 * that die at every awkward moment. */
#include "tests/unit/worker/route/route_fixture.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

struct setting {
    struct pool_fixture *pool;
    struct route_client *client;
    char key[3][64]; /* one of each shard */
};

static int set_up_with(void **state, uint32_t ring_bytes) {
    struct setting *s = mem_calloc(1, sizeof(*s));
    s->pool = pool_create(3, ring_bytes);
    s->client = client_create(s->pool, 0, SESSION_PUBLIC);
    for (uint32_t i = 0; i < 3; i++)
        key_of_shard(s->pool, i, "k", s->key[i], sizeof(s->key[i]));
    *state = s;
    return 0;
}

static int set_up(void **state) {
    return set_up_with(state, 64 * 1024);
}

static int tear_down(void **state) {
    struct setting *s = *state;
    client_free(&s->client);
    pool_free(&s->pool);
    mem_free(s);
    return 0;
}

#define FORMAT(line, format)                                                                       \
    char line[1024];                                                                               \
    va_list args;                                                                                  \
    va_start(args, format);                                                                        \
    vsnprintf(line, sizeof(line), format, args);                                                   \
    va_end(args)

static const char *ask(struct setting *s, const char *format, ...) {
    FORMAT(line, format);
    return client_ask(s->client, line);
}

static void send(struct setting *s, const char *format, ...) {
    FORMAT(line, format);
    assert_true(client_send(s->client, line));
}

static void kill_and_tell(struct setting *s, uint32_t shard) {
    pool_kill(s->pool, shard);
    pool_tell_down(s->pool, shard);
}

#define K0 s->key[0]
#define K1 s->key[1]
#define K2 s->key[2]

static void single_keys_go_to_their_owner(void **state) {
    struct setting *s = *state;
    for (int i = 0; i < 3; i++) {
        assert_string_equal(ask(s, "SET %s v%d", s->key[i], i), "+OK\r\n");
        assert_int_equal(keyspace_count(s->pool->shard[i].ks, 0), 1);
    }
    assert_string_equal(ask(s, "GET %s", K1), "$2\r\nv1\r\n");
    assert_string_equal(ask(s, "GET"), "-ERR wrong number of arguments for 'get' command\r\n");
    assert_string_equal(ask(s, "SELECT 3"), "+OK\r\n");
    assert_string_equal(ask(s, "GET %s", K1), "$-1\r\n");
}

static void replies_keep_the_order_of_commands(void **state) {
    struct setting *s = *state;
    struct buf want = {0};
    char line[100];
    s->client->pipeline.window = PIPELINE_DEPTH_MAX;
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof(line), "SET %s-%d %d", s->key[i % 3], i, i);
        assert_true(client_send(s->client, line));
        snprintf(line, sizeof(line), "GET %s-%d", s->key[i % 3], i);
        assert_true(client_send(s->client, line));
        assert_true(client_send(s->client, "PING"));
        char digits[16];
        snprintf(digits, sizeof(digits), "%d", i);
        buf_printf(&want, "+OK\r\n$%zu\r\n%s\r\n+PONG\r\n", strlen(digits), digits);
    }
    /* The others answer in the reverse order of asking. */
    pool_turn(s->pool, 0);
    for (int i = 0; i < 10; i++) {
        pool_turn(s->pool, 2);
        pool_turn(s->pool, 0);
        pool_turn(s->pool, 1);
        pool_turn(s->pool, 0);
    }
    assert_int_equal(s->client->pipeline.in_flight, 0);
    buf_append(&want, "", 1);
    assert_string_equal(client_take(s->client), want.data);
    buf_free(&want);
}

/* Small replies let more commands be in flight, big ones fewer, so that their sum is bounded. */
static void the_window_follows_the_size_of_replies(void **state) {
    struct setting *s = *state;
    const struct pipeline *p = &s->client->pipeline;
    uint32_t before = p->window;
    for (int i = 0; i < 10; i++)
        ask(s, "SET %s v", K1);
    assert_int_equal(p->window, before + 10);
    assert_string_equal(ask(s, "SETRANGE %s %d x", K1, 1 << 20), ":1048577\r\n");
    ask(s, "GET %s", K1);
    assert_int_equal(p->window, PIPELINE_REPLY_BYTES / (1 << 20) - 1);
    assert_string_equal(ask(s, "SETRANGE %s %d x", K1, 8 << 20), ":8388609\r\n");
    ask(s, "GET %s", K1);
    assert_int_equal(p->window, PIPELINE_DEPTH_FEW);
    for (int i = 0; i < PIPELINE_DEPTH_MAX * 2; i++)
        ask(s, "GET %s", K2);
    assert_int_equal(p->window, PIPELINE_DEPTH_MAX);
}

static void several_keys_are_split_and_merged(void **state) {
    struct setting *s = *state;
    assert_string_equal(ask(s, "MSET %s a %s b %s c %s d", K2, K0, K1, K2), "+OK\r\n");
    assert_string_equal(ask(s, "MGET %s %s nokey %s %s", K1, K0, K2, K1),
                        "*5\r\n$1\r\nc\r\n$1\r\nb\r\n$-1\r\n$1\r\nd\r\n$1\r\nc\r\n");
    assert_string_equal(ask(s, "EXISTS %s %s %s %s", K0, K1, K2, K2), ":4\r\n");
    assert_string_equal(ask(s, "TOUCH %s %s x", K0, K1), ":2\r\n");
    assert_string_equal(ask(s, "DEL %s %s %s", K0, K1, K1), ":2\r\n");
    assert_string_equal(ask(s, "UNLINK %s %s", K0, K2), ":1\r\n");
    assert_string_equal(ask(s, "MSET %s a %s", K0, K1),
                        "-ERR wrong number of arguments for 'mset' command\r\n");
}

static void all_shards_answer_as_one(void **state) {
    struct setting *s = *state;
    assert_string_equal(ask(s, "RANDOMKEY"), "$-1\r\n");
    assert_string_equal(ask(s, "KEYS *"), "*0\r\n");
    for (int i = 0; i < 300; i++)
        ask(s, "SET key:%d %d", i, i);
    assert_string_equal(ask(s, "DBSIZE"), ":300\r\n");
    assert_memory_equal(ask(s, "KEYS *"), "*300\r\n", 6);
    assert_memory_equal(ask(s, "RANDOMKEY"), "$", 1);
    assert_string_equal(ask(s, "FLUSHALL"), "+OK\r\n");
    assert_string_equal(ask(s, "DBSIZE"), ":0\r\n");
}

/* Cursor of a SCAN reply. */
static unsigned long long cursor_of(const char *reply) {
    const char *at = strchr(strchr(reply, '$'), '\n');
    return strtoull(at + 1, NULL, 10);
}

static void scan_walks_all_shards_with_one_cursor(void **state) {
    struct setting *s = *state;
    enum { KEYS = 500 };
    bool seen[KEYS] = {0};
    for (int i = 0; i < KEYS; i++)
        ask(s, "SET key:%d %d", i, i);
    unsigned long long cursor = 0;
    int calls = 0;
    do {
        const char *reply = ask(s, "SCAN %llu COUNT 17", cursor);
        cursor = cursor_of(reply);
        for (const char *at = strstr(reply, "key:"); at; at = strstr(at + 1, "key:"))
            seen[atoi(at + 4)] = true;
        assert_true(++calls < 2000);
    } while (cursor != 0);
    for (int i = 0; i < KEYS; i++)
        assert_true(seen[i]);
    assert_string_equal(ask(s, "SCAN x"), "-ERR invalid cursor\r\n");
    assert_memory_equal(ask(s, "SCAN 127"), "*2\r\n$1\r\n0\r\n", 11);
    assert_string_equal(ask(s, "SCAN 1 COUNT x"),
                        "-ERR value is not an integer or out of range\r\n");
}

static void gather_runs_commands_over_shards(void **state) {
    struct setting *s = *state;
    ask(s, "SET %s hello EX 100", K0);
    assert_string_equal(ask(s, "RENAME %s %s", K0, K1), "+OK\r\n");
    assert_string_equal(ask(s, "GET %s", K1), "$5\r\nhello\r\n");
    assert_string_equal(ask(s, "TTL %s", K1), ":100\r\n");
    assert_string_equal(ask(s, "EXISTS %s", K0), ":0\r\n");
    assert_string_equal(ask(s, "RENAME %s %s", K0, K1), "-ERR no such key\r\n");
    assert_string_equal(ask(s, "COPY %s %s", K1, K2), ":1\r\n");
    assert_string_equal(ask(s, "COPY %s %s DB 5", K1, K0), ":1\r\n");
    assert_string_equal(ask(s, "EXISTS %s %s", K0, K2), ":1\r\n");
    assert_int_equal(keyspace_count(s->pool->shard[0].ks, 5), 1);
    assert_string_equal(ask(s, "MSETNX %s 1 %s 2", K0, K1), ":0\r\n");
    assert_string_equal(ask(s, "EXISTS %s", K0), ":0\r\n");
    assert_string_equal(ask(s, "DEL %s %s", K1, K2), ":2\r\n");
    assert_string_equal(ask(s, "MSETNX %s abc %s abd %s x", K0, K1, K2), ":1\r\n");
    assert_string_equal(ask(s, "BITOP XOR %s %s %s", K2, K0, K1), ":3\r\n");
    assert_string_equal(ask(s, "BITCOUNT %s", K2), ":3\r\n");
    assert_string_equal(ask(s, "LCS %s %s", K0, K1), "$2\r\nab\r\n");
    ask(s, "DEL %s", K2);
    ask(s, "HSET %s f v", K2);
    assert_string_equal(ask(s, "RENAME %s %s", K2, K0), "+OK\r\n");
    assert_string_equal(ask(s, "HGETALL %s", K0), "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    for (int i = 0; i < 3; i++)
        assert_false(s->pool->shard[i].router->lock.held);
}

/* Many clients on all shards move units between keys of different shards, some by RENAME: nothing
 * appears or disappears, whatever the order of turns. */
static void gathers_are_atomic_in_any_order_of_turns(void **state) {
    struct setting *s = *state;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    struct route_client *clients[9];
    for (int i = 0; i < 9; i++)
        clients[i] = client_create(s->pool, (uint32_t)i % 3, SESSION_PUBLIC);
    for (int i = 0; i < 10; i++)
        ask(s, "SET token:%d t", i);
    for (int step = 0; step < 6000; step++) {
        char line[100];
        snprintf(line, sizeof(line), "RENAMENX token:%d token:%d", rand() % 40, rand() % 40);
        client_send(clients[rand() % 9], line);
        pool_turn(s->pool, (uint32_t)rand() % 3);
    }
    pool_turns(s->pool, 500);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(clients[i]->pipeline.in_flight, 0);
        client_free(&clients[i]);
    }
    assert_string_equal(ask(s, "DBSIZE"), ":10\r\n");
    for (int i = 0; i < 3; i++) {
        assert_false(s->pool->shard[i].router->lock.held);
        assert_true(router_idle(s->pool->shard[i].router));
    }
}

static void a_locked_shard_makes_its_clients_wait(void **state) {
    struct setting *s = *state;
    struct route_client *other = client_create(s->pool, 1, SESSION_PUBLIC);
    ask(s, "SET %s x", K1);
    char line[200];
    send(s, "RENAME %s %s", K1, K2);
    pool_turn(s->pool, 0); /* LOCK is on its way to 1 */
    pool_turn(s->pool, 1); /* and taken */
    assert_true(s->pool->shard[1].router->lock.held);
    snprintf(line, sizeof(line), "EXISTS %s", K1);
    assert_false(client_send(other, line));
    assert_true(other->pipeline.stalled);
    assert_false(client_send(other, "PING")); /* in order behind the other one */
    pool_turns(s->pool, 6);
    assert_string_equal(client_take(s->client), "+OK\r\n");
    assert_false(other->pipeline.stalled);
    assert_string_equal(client_ask(other, line), ":0\r\n");
    client_free(&other);
}

static void a_dead_lock_holder_frees_the_shard(void **state) {
    struct setting *s = *state;
    struct route_client *victim = client_create(s->pool, 1, SESSION_PUBLIC);
    ask(s, "SET %s x", K0);
    char line[200];
    snprintf(line, sizeof(line), "RENAME %s %s", K0, K2);
    assert_true(client_send(victim, line));
    pool_turn(s->pool, 1);
    pool_turn(s->pool, 0);
    assert_true(s->pool->shard[0].router->lock.held);
    client_free(&victim);
    kill_and_tell(s, 1);
    assert_false(s->pool->shard[0].router->lock.held);
    assert_string_equal(ask(s, "GET %s", K0), "$1\r\nx\r\n");
}

static void a_shard_lost_during_gather_unlocks_the_others(void **state) {
    struct setting *s = *state;
    ask(s, "SET %s x", K1);
    send(s, "RENAME %s %s", K1, K2);
    pool_turn(s->pool, 0);
    pool_turn(s->pool, 1);
    pool_turn(s->pool, 0); /* LOCK goes to 2, which dies */
    kill_and_tell(s, 2);
    pool_turns(s->pool, 3);
    assert_string_equal(client_take(s->client),
                        "-ERR shard 2 went down: the command was not executed (killed by the "
                        "test)\r\n");
    assert_false(s->pool->shard[1].router->lock.held);
    assert_string_equal(ask(s, "GET %s", K1), "$1\r\nx\r\n");
}

/* A lock that dies with its shard while another is still asked for: the values that came with it are
 * a dead shard's, and the next generation of it never gave a lock. */
static void a_locked_shard_that_dies_ends_the_gather(void **state) {
    struct setting *s = *state;
    char line[200];
    for (int told = 0; told < 2; told++) {
        ask(s, "SET %s x", K2);
        snprintf(line, sizeof(line), "RENAME %s %s", K2, K1);
        assert_true(client_send(s->client, line));
        pool_turn(s->pool, 0);
        pool_turn(s->pool, 1);
        pool_turn(s->pool, 0); /* shard 1 is locked; LOCK goes to 2 */
        pool_kill(s->pool, 1);
        if (told)
            pool_tell_down(s->pool, 1);
        pool_revive(s->pool, 1);
        for (int i = 0; s->client->pipeline.in_flight > 0 && i < 100; i++)
            pool_turns(s->pool, 1);
        pool_turns(s->pool, 3);
        assert_string_equal(client_take(s->client),
                            "-ERR shard 1 went down: the command was not executed (killed by the "
                            "test)\r\n");
        for (int i = 0; i < 3; i++)
            assert_false(s->pool->shard[i].router->lock.held);
        assert_string_equal(ask(s, "GET %s", K2), "$1\r\nx\r\n");
        assert_string_equal(ask(s, "EXISTS %s", K1), ":0\r\n");
    }
}

/* What was to be written back waits for room when its shard dies: it is nobody's business any more. */
static void a_write_back_that_waits_dies_with_its_shard(void **state) {
    struct setting *s = *state;
    char value[2001], line[2200];
    memset(value, 'x', 2000);
    value[2000] = 0;
    snprintf(line, sizeof(line), "SET %s %s", K2, value);
    assert_string_equal(client_ask(s->client, line), "+OK\r\n");
    snprintf(line, sizeof(line), "RENAME %s %s", K2, K1);
    assert_true(client_send(s->client, line));
    for (int i = 0; link_backlog_bytes(s->pool->shard[0].router->links, 1) == 0; i++) {
        assert_true(i < 1000);
        for (uint32_t shard = 1; shard < 3; shard++)
            pool_turn(s->pool, shard);
        router_turn_begin(s->pool->shard[0].router);
        if (link_backlog_bytes(s->pool->shard[0].router->links, 1) == 0)
            router_turn_end(s->pool->shard[0].router);
    }
    pool_kill(s->pool, 1);
    pool_tell_down(s->pool, 1);
    pool_revive(s->pool, 1);
    pool_turns(s->pool, 10);
    assert_string_equal(client_take(s->client),
                        "-ERR shard 1 went down while it ran this command, which may or may not "
                        "have been executed (killed by the test)\r\n");
    assert_int_equal(s->client->pipeline.in_flight, 0);
    for (int i = 0; i < 3; i++)
        assert_false(s->pool->shard[i].router->lock.held);
    assert_string_equal(ask(s, "EXISTS %s", K1), ":0\r\n");
    assert_string_equal(ask(s, "STRLEN %s", K2), ":2000\r\n");
}

/* The coordinator gives up while its LOCK is parked behind another's: it must not come true later. */
static void a_lock_given_up_is_not_taken_later(void **state) {
    struct setting *s = *state;
    struct route_client *other = client_create(s->pool, 0, SESSION_PUBLIC);
    char line[200];
    ask(s, "SET %s x", K1);
    ask(s, "SET %s y", K0);
    snprintf(line, sizeof(line), "RENAME %s %s", K1, K2); /* locks 1, then 2 */
    assert_true(client_send(s->client, line));
    pool_turn(s->pool, 0);
    pool_turn(s->pool, 1);
    snprintf(line, sizeof(line), "RENAME %s %s", K0, K1); /* locks 0, is parked at 1 */
    assert_true(client_send(other, line));
    pool_turn(s->pool, 0);
    pool_turn(s->pool, 0);
    pool_turn(s->pool, 1);
    assert_true(s->pool->shard[1].router->lock.held);
    struct call *call = LIST_ENTRY(other->pipeline.calls.next, struct call, link);
    call->started_ms = 0; /* it has waited since the clock began */
    router_cron(s->pool->shard[0].router);
    pool_turns(s->pool, 10);
    assert_non_null(strstr(client_take(other), "did not give its lock in time"));
    client_take(s->client);
    for (int i = 0; i < 3; i++)
        assert_false(s->pool->shard[i].router->lock.held);
    assert_string_equal(ask(s, "GET %s", K0), "$1\r\ny\r\n");
    client_free(&other);
}

static void a_write_lost_with_its_owner_is_not_run_again(void **state) {
    struct setting *s = *state;
    send(s, "INCR %s", K1);
    pool_turn(s->pool, 0);
    kill_and_tell(s, 1);
    assert_string_equal(
        client_take(s->client),
        "-ERR shard 1 went down while it ran this command, which may or may not have been "
        "executed (killed by the test)\r\n");
    pool_revive(s->pool, 1);
    pool_turns(s->pool, 5);
    assert_string_equal(ask(s, "GET %s", K1), "$-1\r\n");
}

static void a_read_lost_with_its_owner_runs_again(void **state) {
    struct setting *s = *state;
    send(s, "GET %s", K1);
    pool_turn(s->pool, 0);
    kill_and_tell(s, 1);
    assert_int_equal(s->client->pipeline.in_flight, 1);
    pool_revive(s->pool, 1);
    pool_turns(s->pool, 5);
    assert_string_equal(client_take(s->client), "$-1\r\n");
}

static void commands_wait_for_an_owner_that_is_down(void **state) {
    struct setting *s = *state;
    kill_and_tell(s, 1);
    char line[200];
    for (int i = 0; i < 3; i++) {
        snprintf(line, sizeof(line), "INCR %s", K1);
        assert_true(client_send(s->client, line));
    }
    pool_turns(s->pool, 3);
    assert_int_equal(s->client->pipeline.in_flight, 3);
    pool_revive(s->pool, 1);
    pool_turns(s->pool, 3);
    assert_string_equal(client_take(s->client), ":1\r\n:2\r\n:3\r\n");
}

static void waiting_is_bounded_and_what_timed_out_never_runs(void **state) {
    struct setting *s = *state;
    kill_and_tell(s, 1);
    send(s, "INCR %s", K1);
    pool_configure(s->pool, "relay-wait", "0"); /* any wait is over now */
    router_cron(s->pool->shard[0].router);
    assert_non_null(
        strstr(client_take(s->client), "ms and was not executed (killed by the test)\r\n"));
    send(s, "INCR %s", K1);
    assert_non_null(strstr(client_take(s->client),
                           "is down: the command was not executed (killed by the test)\r\n"));
    pool_revive(s->pool, 1);
    pool_turns(s->pool, 3);
    assert_string_equal(ask(s, "GET %s", K1), "$-1\r\n");
}

static void a_new_generation_is_noticed_by_its_first_frame(void **state) {
    struct setting *s = *state;
    send(s, "INCR %s", K1);
    pool_turn(s->pool, 0);
    pool_kill(s->pool, 1);
    pool_revive(s->pool, 1); /* its PEER_UP overtakes the PEER_DOWN of the old one */
    pool_turns(s->pool, 3);
    assert_non_null(strstr(client_take(s->client), "may or may not have been executed"));
    router_peer_down(s->pool->shard[0].router, 1, s->pool->shard[1].generation - 1);
    assert_string_equal(ask(s, "INCR %s", K1), ":1\r\n");
}

static int set_up_small(void **state) {
    return set_up_with(state, 4096);
}

static void a_full_ring_stalls_the_client_and_loses_nothing(void **state) {
    struct setting *s = *state;
    char value[2001], line[2200];
    memset(value, 'x', 2000);
    value[2000] = 0;
    int sent = 0;
    for (; sent < 1000; sent++) {
        snprintf(line, sizeof(line), "APPEND %s %s", K1, value);
        if (!client_send(s->client, line))
            break;
    }
    assert_true(sent > 0 && sent < 10); /* far larger than a record, so it waits at once */
    assert_true(s->client->pipeline.stalled);
    pool_turns(s->pool, 200);
    assert_false(s->client->pipeline.stalled);
    char want[64];
    client_take(s->client);
    snprintf(want, sizeof(want), ":%d\r\n", sent * 2000);
    assert_string_equal(ask(s, "STRLEN %s", K1), want);
    const char *reply = ask(s, "GET %s", K1);
    assert_int_equal(strlen(reply), (size_t)sent * 2000 + strlen(want) + 2);
}

/* One message of each of many clients: who comes when the limit is passed waits, and gets no error. */
static void past_the_backlog_limit_a_command_is_not_begun(void **state) {
    struct setting *s = *state;
    enum { CLIENTS = 60 };
    struct route_client *clients[CLIENTS];
    char value[2001], line[2200];
    memset(value, 'x', 2000);
    value[2000] = 0;
    snprintf(line, sizeof(line), "APPEND %s %s", K1, value);
    pool_configure(s->pool, "relay-backlog-limit", "65536");
    int begun = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_create(s->pool, 0, SESSION_PUBLIC);
        begun += client_send(clients[i], line);
    }
    assert_in_range(begun, 30, 40);
    for (int i = 0; i < CLIENTS; i++) {
        const char *reply = begun > i ? (pool_turns(s->pool, i ? 0 : 500), client_take(clients[i]))
                                      : client_ask(clients[i], line);
        char want[32];
        snprintf(want, sizeof(want), ":%d\r\n", (i + 1) * 2000);
        assert_string_equal(reply, want);
        client_free(&clients[i]);
    }
    /* A shard that is down takes no more than that either; there is no knowing until when. */
    pool_kill(s->pool, 1);
    pool_tell_down(s->pool, 1);
    int refused = 0;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = client_create(s->pool, 0, SESSION_PUBLIC);
        assert_true(client_send(clients[i], line));
        refused += strstr(client_take(clients[i]), "relay-backlog-limit reached") != NULL;
    }
    assert_in_range(refused, 20, 30);
    for (int i = 0; i < CLIENTS; i++)
        client_free(&clients[i]);
}

/* Small commands with big answers: those that come when too much waits are run later. */
static void big_answers_do_not_pile_up(void **state) {
    struct setting *s = *state;
    char value[2001], line[2200];
    memset(value, 'x', 2000);
    value[2000] = 0;
    snprintf(line, sizeof(line), "SET %s %s", K1, value);
    assert_string_equal(client_ask(s->client, line), "+OK\r\n");
    pool_configure(s->pool, "relay-backlog-limit", "65536");
    snprintf(line, sizeof(line), "GET %s", K1);
    int sent = 0;
    uint64_t most = 0;
    for (int turn = 0; turn < 3000 && (sent < 300 || s->client->pipeline.in_flight > 0); turn++) {
        while (sent < 300 && client_send(s->client, line))
            sent++;
        pool_turn(s->pool, 0);
        for (int i = 0; i < 20 && turn < 20; i++) /* shard 0 is slow at first */
            pool_turn(s->pool, 1);
        pool_turn(s->pool, 1);
        uint64_t waits = link_backlog_bytes(s->pool->shard[1].router->links, 0);
        most = waits > most ? waits : most;
    }
    assert_in_range(most, 60000, 65536 + 2100);
    assert_int_equal(strlen(client_take(s->client)), 300 * (2000 + 9));
}

static void a_node_port_redirects(void **state) {
    struct setting *s = *state;
    struct route_client *node = client_create(s->pool, 1, SESSION_NODE);
    char line[200], want[100];
    snprintf(line, sizeof(line), "SET %s x", K1);
    assert_string_equal(client_ask(node, line), "+OK\r\n");
    snprintf(line, sizeof(line), "GET %s", K2);
    snprintf(want, sizeof(want), "-MOVED %u 127.0.0.1:6402\r\n", slot_of_key(bytes_of_text(K2)));
    assert_string_equal(client_ask(node, line), want);
    snprintf(line, sizeof(line), "MGET %s %s", K1, K2);
    assert_string_equal(client_ask(node, line),
                        "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    assert_string_equal(client_ask(node, "DBSIZE"), ":1\r\n");
    client_free(&node);
}

static void client_reply_modes_hide_replies_of_any_shard(void **state) {
    struct setting *s = *state;
    assert_string_equal(ask(s, "CLIENT REPLY OFF"), "");
    assert_string_equal(ask(s, "SET %s 1", K0), "");
    assert_string_equal(ask(s, "SET %s 1", K1), "");
    assert_string_equal(ask(s, "CLIENT REPLY ON"), "+OK\r\n");
    assert_string_equal(ask(s, "CLIENT REPLY SKIP"), "");
    assert_string_equal(ask(s, "GET %s", K1), "");
    assert_string_equal(ask(s, "GET %s", K1), "$1\r\n1\r\n");
    assert_string_equal(ask(s, "CLIENT REPLY SKIP"), "");
    assert_string_equal(ask(s, "GET %s", K0), "");
    assert_string_equal(ask(s, "GET %s", K0), "$1\r\n1\r\n");
}

static void clients_may_leave_with_commands_in_flight(void **state) {
    struct setting *s = *state;
    char line[200];
    for (int i = 0; i < 50; i++) {
        struct route_client *c = client_create(s->pool, 0, SESSION_PUBLIC);
        snprintf(line, sizeof(line), "INCR %s", K1);
        while (!client_send(c, line))
            pool_turns(s->pool, 1);
        snprintf(line, sizeof(line), "RENAME %s %s-%d", K0, K2, i);
        client_send(c, line);
        if (i % 2)
            pool_turns(s->pool, 1);
        client_free(&c);
    }
    pool_turns(s->pool, 300);
    assert_string_equal(ask(s, "GET %s", K1), "$2\r\n50\r\n");
    assert_true(router_idle(s->pool->shard[0].router));
}

/* Elements in one shard, weights and names in all three. */
static void fill_for_sort(struct setting *s) {
    ask(s, "RPUSH %s 1 2 3 4 5 6 7 8 9", K0);
    for (int i = 1; i <= 9; i++)
        ask(s, "MSET w_%d %d n_%d name%d", i, (i * 7) % 10, i, i);
    ask(s, "HSET h_3 f three");
}

static void sort_brings_the_keys_it_derives(void **state) {
    struct setting *s = *state;
    fill_for_sort(s);
    assert_string_equal(ask(s, "SORT %s BY w_* LIMIT 0 3 GET # GET n_*", K0),
                        "*6\r\n$1\r\n3\r\n$5\r\nname3\r\n$1\r\n6\r\n$5\r\nname6\r\n$1\r\n9\r\n$5"
                        "\r\nname9\r\n");
    assert_string_equal(ask(s, "SORT_RO %s LIMIT 2 1 GET h_*->f", K0), "*1\r\n$5\r\nthree\r\n");
    assert_string_equal(ask(s, "SORT %s BY w_* DESC LIMIT 0 2 STORE %s", K0, K2), ":2\r\n");
    assert_string_equal(ask(s, "LRANGE %s 0 -1", K2), "*2\r\n$1\r\n7\r\n$1\r\n4\r\n");
    assert_string_equal(ask(s, "SORT %s DESC LIMIT 0 1 STORE %s", K0, K1), ":1\r\n");
    assert_string_equal(ask(s, "LRANGE %s 0 -1", K1), "*1\r\n$1\r\n9\r\n");
    assert_string_equal(ask(s, "SORT none BY w_* STORE %s", K1), ":0\r\n");
    assert_string_equal(ask(s, "EXISTS %s", K1), ":0\r\n");
    ask(s, "SET %s text", K1);
    assert_string_equal(ask(s, "SORT %s BY w_*", K1),
                        "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    for (int i = 0; i < 3; i++)
        assert_false(s->pool->shard[i].router->lock.held);
}

/* However far a SORT has come when a shard dies: it is answered, and nobody stays locked. */
static void a_sort_survives_the_death_of_a_shard(void **state) {
    struct setting *s = *state;
    enum { TURNS_MAX = 40 };
    unsigned failed = 0, done = 0;
    for (uint32_t turns = 0; turns < TURNS_MAX; turns++) {
        ask(s, "FLUSHALL");
        fill_for_sort(s);
        send(s, "SORT %s BY w_* GET n_* STORE %s", K0, K1);
        for (uint32_t turn = 0; turn < turns; turn++)
            pool_turn(s->pool, turn % 3);
        kill_and_tell(s, 2);
        pool_turns(s->pool, 5);
        pool_revive(s->pool, 2); /* a lock that waited goes on with it */
        pool_turns(s->pool, 10);
        const char *answer = client_take(s->client);
        bool ok = strcmp(answer, ":9\r\n") == 0;
        if (!ok && memcmp(answer, "-ERR shard 2 ", strlen("-ERR shard 2 ")) != 0)
            fail_msg("after %u turns: %s", turns, answer);
        failed += !ok;
        done += ok;
        for (int i = 0; i < 3; i++)
            assert_false(s->pool->shard[i].router->lock.held);
    }
    assert_in_range(failed, 1, TURNS_MAX);
    assert_in_range(done, 1, TURNS_MAX);
}

static void garbage_in_a_ring_does_no_harm(void **state) {
    struct setting *s = *state;
    struct ring_writer w;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    ask(s, "SET %s 1", K1);
    segment_ring_writer(&s->pool->segment, 2, 0, &w);
    for (int i = 0; i < 2000; i++) {
        uint32_t bytes = (uint32_t)rand() % 200;
        unsigned char *record = ring_reserve(&w, bytes);
        if (!record)
            break;
        for (uint32_t k = 0; k < bytes; k++)
            record[k] = (unsigned char)rand();
        struct relay_frame frame = {.type = (uint8_t)(rand() % 9),
                                    .flags = (uint8_t)(rand() % 4 ? 0 : rand()),
                                    .command = (uint16_t)(rand() % 300),
                                    .argc = (uint32_t)rand() % 4,
                                    .from_generation = 1,
                                    .to_generation = 1,
                                    .token = (uint64_t)rand(),
                                    .db = (uint32_t)rand() % 20,
                                    .body_bytes = (uint32_t)rand() % 200};
        if (bytes >= sizeof(frame))
            memcpy(record, &frame, sizeof(frame));
        ring_commit(&w, bytes);
        ring_publish(&w);
        pool_turn(s->pool, 0);
    }
    /* Its sender dies, and with it whatever lock the garbage took. */
    kill_and_tell(s, 2);
    pool_turns(s->pool, 5);
    assert_string_equal(ask(s, "GET %s", K1), "$1\r\n1\r\n");
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(single_keys_go_to_their_owner),
        T(replies_keep_the_order_of_commands),
        T(the_window_follows_the_size_of_replies),
        T(several_keys_are_split_and_merged),
        T(all_shards_answer_as_one),
        T(scan_walks_all_shards_with_one_cursor),
        T(gather_runs_commands_over_shards),
        T(gathers_are_atomic_in_any_order_of_turns),
        T(sort_brings_the_keys_it_derives),
        T(a_sort_survives_the_death_of_a_shard),
        T(a_locked_shard_makes_its_clients_wait),
        T(a_dead_lock_holder_frees_the_shard),
        T(a_shard_lost_during_gather_unlocks_the_others),
        T(a_locked_shard_that_dies_ends_the_gather),
        cmocka_unit_test_setup_teardown(a_write_back_that_waits_dies_with_its_shard, set_up_small,
                                        tear_down),
        T(a_lock_given_up_is_not_taken_later),
        cmocka_unit_test_setup_teardown(big_answers_do_not_pile_up, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(past_the_backlog_limit_a_command_is_not_begun, set_up_small,
                                        tear_down),
        T(a_write_lost_with_its_owner_is_not_run_again),
        T(a_read_lost_with_its_owner_runs_again),
        T(commands_wait_for_an_owner_that_is_down),
        T(waiting_is_bounded_and_what_timed_out_never_runs),
        T(a_new_generation_is_noticed_by_its_first_frame),
        cmocka_unit_test_setup_teardown(a_full_ring_stalls_the_client_and_loses_nothing,
                                        set_up_small, tear_down),
        T(a_node_port_redirects),
        T(client_reply_modes_hide_replies_of_any_shard),
        T(clients_may_leave_with_commands_in_flight),
        T(garbage_in_a_ring_does_no_harm),
    };
    log_set_level(LOG_WARNING + 1); /* what garbage makes the router say would fill the screen */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
