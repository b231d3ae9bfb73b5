/* test_wait.c - blocking commands over three shards in one process: local and relayed waits, what ends
 * them, and shards and clients that go at every awkward moment. */
#include "tests/unit/worker/route/route_fixture.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CLIENTS = 6 }; /* two of each shard */

struct setting {
    struct pool_fixture *pool;
    struct route_client *client[CLIENTS];
    char key[3][64], other[64]; /* one of each shard; another of shard 0 */
};

static int set_up(void **state) {
    struct setting *s = mem_calloc(1, sizeof(*s));
    s->pool = pool_create(3, 64 * 1024);
    for (uint32_t i = 0; i < CLIENTS; i++)
        s->client[i] = client_create(s->pool, i % 3, SESSION_PUBLIC);
    for (uint32_t i = 0; i < 3; i++)
        key_of_shard(s->pool, i, "k", s->key[i], sizeof(s->key[i]));
    key_of_shard(s->pool, 0, "other", s->other, sizeof(s->other));
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct setting *s = *state;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        if (s->client[i])
            client_free(&s->client[i]);
    }
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

static const char *ask(struct setting *s, int client, const char *format, ...) {
    FORMAT(line, format);
    return client_ask(s->client[client], line);
}

static void send(struct setting *s, int client, const char *format, ...) {
    FORMAT(line, format);
    assert_true(client_send(s->client[client], line));
    pool_turns(s->pool, 2);
}

static const char *take(struct setting *s, int client) {
    pool_turns(s->pool, 3);
    return client_take(s->client[client]);
}

static uint32_t waiting_at(struct setting *s, uint32_t shard) {
    return blocked_count(s->pool->shard[shard].router->blocked);
}

static bool is_blocked(struct setting *s, int client) {
    return s->client[client]->session.blocked_token != 0;
}

#define K0 s->key[0]
#define K1 s->key[1]

static void expect_popped(const char *reply, const char *key, const char *element) {
    char want[200];
    snprintf(want, sizeof(want), "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(key), key,
             strlen(element), element);
    assert_string_equal(reply, want);
}

static void a_key_of_any_shard_is_awaited(void **state) {
    struct setting *s = *state;
    for (int client = 0; client < 3; client++) {
        send(s, client, "BLPOP %s 0", K0);
        assert_true(is_blocked(s, client));
    }
    assert_int_equal(waiting_at(s, 0), 3);
    ask(s, 4, "RPUSH %s a b", K0);
    expect_popped(take(s, 0), K0, "a");
    expect_popped(take(s, 1), K0, "b");
    assert_string_equal(take(s, 2), "");
    assert_false(is_blocked(s, 0));
    assert_false(is_blocked(s, 1));
    assert_true(is_blocked(s, 2));
    ask(s, 5, "RPUSH %s c", K0);
    expect_popped(take(s, 2), K0, "c");
    assert_string_equal(ask(s, 0, "EXISTS %s", K0), ":0\r\n");
}

static void what_follows_waits_too(void **state) {
    struct setting *s = *state;
    for (int client = 0; client < 2; client++) {
        send(s, client, "BLPOP %s 0", K0);
        assert_false(client_send(s->client[client], "PING"));
        ask(s, 3, "RPUSH %s x", K0);
        pool_turns(s->pool, 2);
        assert_true(client_send(s->client[client], "PING"));
        take(s, client);
    }
}

static void replies_before_it_leave(void **state) {
    struct setting *s = *state;
    assert_true(client_send(s->client[1], "PING"));
    assert_true(client_send(s->client[1], "DBSIZE"));
    send(s, 1, "BLPOP %s 0", K0);
    assert_string_equal(take(s, 1), "+PONG\r\n:0\r\n");
    ask(s, 0, "RPUSH %s x", K0);
    expect_popped(take(s, 1), K0, "x");
}

static void resp3_has_its_own_null(void **state) {
    struct setting *s = *state;
    ask(s, 1, "HELLO 3");
    send(s, 1, "BLPOP %s 0.001", K0);
    for (int i = 0; is_blocked(s, 1); i++)
        pool_turns(s->pool, 1);
    assert_string_equal(take(s, 1), "_\r\n");
}

static void unblock_ends_a_wait_anywhere(void **state) {
    struct setting *s = *state;
    for (int client = 0; client < 2; client++) {
        unsigned id = (unsigned)s->client[client]->session.id;
        send(s, client, "BLPOP %s 0", K0);
        assert_string_equal(ask(s, 2, "CLIENT UNBLOCK %u", id), ":1\r\n");
        assert_string_equal(take(s, client), "*-1\r\n");
        send(s, client, "BLMOVE %s %s LEFT LEFT 0", K0, s->other);
        assert_string_equal(ask(s, 2, "CLIENT UNBLOCK %u TIMEOUT", id), ":1\r\n");
        assert_string_equal(take(s, client), "*-1\r\n");
        send(s, client, "BZPOPMIN %s 0", K0);
        assert_string_equal(ask(s, 2, "CLIENT UNBLOCK %u error", id), ":1\r\n");
        assert_string_equal(take(s, client), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
        assert_string_equal(ask(s, 2, "CLIENT UNBLOCK %u", id), ":0\r\n");
        assert_int_equal(waiting_at(s, 0), 0);
    }
    assert_string_equal(ask(s, 2, "CLIENT UNBLOCK 1 x"),
                        "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR\r\n");
    assert_string_equal(ask(s, 2, "CLIENT UNBLOCK x"),
                        "-ERR value is not an integer or out of range\r\n");
}

/* Served just before: the reply that is on its way is the client's, not a timeout. */
static void an_unblock_that_comes_too_late_takes_nothing(void **state) {
    struct setting *s = *state;
    unsigned id = (unsigned)s->client[1]->session.id;
    char line[100];
    send(s, 1, "BLPOP %s 0", K0);
    send(s, 4, "PING");
    client_take(s->client[4]);
    snprintf(line, sizeof(line), "RPUSH %s x", K0);
    assert_true(client_send(s->client[0], line));
    snprintf(line, sizeof(line), "CLIENT UNBLOCK %u", id);
    assert_true(client_send(s->client[4], line));
    pool_turn(s->pool, 1); /* the CANCEL passes the REPLY */
    pool_turn(s->pool, 0);
    expect_popped(take(s, 1), K0, "x");
    assert_string_equal(take(s, 4), ":1\r\n");
    assert_string_equal(ask(s, 1, "PING"), "+PONG\r\n");
}

static void a_client_that_leaves_is_served_nothing(void **state) {
    struct setting *s = *state;
    for (int client = 0; client < 2; client++) {
        send(s, client, "BLPOP %s 0", K0);
        client_free(&s->client[client]);
        pool_turns(s->pool, 2);
        assert_int_equal(waiting_at(s, 0), 0);
        assert_int_equal(s->pool->shard[client].router->waiting, 0);
        assert_true(router_idle(s->pool->shard[client].router));
    }
    assert_string_equal(ask(s, 2, "RPUSH %s x", K0), ":1\r\n");
    assert_string_equal(ask(s, 2, "LPOP %s", K0), "$1\r\nx\r\n");
}

/* It leaves when its request is sent, and the owner has not yet looked. */
static void a_client_that_leaves_at_once_is_served_nothing(void **state) {
    struct setting *s = *state;
    char line[100];
    snprintf(line, sizeof(line), "BLPOP %s 0", K0);
    assert_true(client_send(s->client[1], line));
    client_free(&s->client[1]);
    pool_turns(s->pool, 3);
    assert_int_equal(waiting_at(s, 0), 0);
    assert_true(router_idle(s->pool->shard[1].router));
}

static void the_owners_death_is_told(void **state) {
    struct setting *s = *state;
    send(s, 1, "BLPOP %s 0", K0);
    pool_kill(s->pool, 0);
    pool_tell_down(s->pool, 0);
    assert_string_equal(take(s, 1),
                        "-ERR shard 0 went down while it ran this command, which may or may not "
                        "have been executed (killed by the test)\r\n");
    assert_false(is_blocked(s, 1));
    assert_int_equal(s->pool->shard[1].router->waiting, 0);
}

/* The owner is down: the command waits for it, and then for the key. */
static void a_wait_may_begin_when_the_owner_is_back(void **state) {
    struct setting *s = *state;
    pool_kill(s->pool, 2);
    pool_tell_down(s->pool, 2);
    send(s, 1, "BLPOP %s 0", s->key[2]);
    assert_false(is_blocked(s, 1));
    pool_revive(s->pool, 2);
    pool_turns(s->pool, 3);
    assert_true(is_blocked(s, 1));
    ask(s, 0, "RPUSH %s x", s->key[2]);
    expect_popped(take(s, 1), s->key[2], "x");
}

static void a_client_that_leaves_while_the_owner_is_down_is_forgotten(void **state) {
    struct setting *s = *state;
    pool_kill(s->pool, 2);
    pool_tell_down(s->pool, 2);
    send(s, 1, "BLPOP %s 0", s->key[2]);
    client_free(&s->client[1]);
    pool_revive(s->pool, 2);
    pool_turns(s->pool, 3);
    assert_int_equal(waiting_at(s, 2), 0);
}

static void clients_of_a_dead_worker_are_served_nothing(void **state) {
    struct setting *s = *state;
    send(s, 1, "BLPOP %s 0", K0);
    send(s, 2, "BLPOP %s 0", K0);
    pool_kill(s->pool, 1);
    pool_tell_down(s->pool, 1);
    assert_int_equal(waiting_at(s, 0), 1);
    ask(s, 0, "RPUSH %s x", K0);
    expect_popped(take(s, 2), K0, "x");
}

/* A command over several shards writes here: waiters are served after the shard is unlocked. */
static void a_write_back_serves_after_the_unlock(void **state) {
    struct setting *s = *state;
    ask(s, 0, "RPUSH %s x y", K1);
    send(s, 2, "BLPOP %s 0", K0);
    assert_string_equal(ask(s, 0, "LMOVE %s %s LEFT LEFT", K1, K0), "$1\r\nx\r\n");
    expect_popped(take(s, 2), K0, "x");
    send(s, 1, "BLPOP %s 0", K0);
    assert_string_equal(ask(s, 0, "RENAME %s %s", K1, K0), "+OK\r\n");
    expect_popped(take(s, 1), K0, "y");
}

static void nodes_take_keys_of_one_slot(void **state) {
    struct setting *s = *state;
    struct route_client *node = client_create(s->pool, 0, SESSION_NODE);
    char line[200];
    snprintf(line, sizeof(line), "BLPOP %s %s 0", K0, s->other);
    assert_string_equal(client_ask(node, line),
                        "-CROSSSLOT Keys in request don't hash to the same slot\r\n");
    snprintf(line, sizeof(line), "BLPOP %s 0", K1);
    assert_non_null(strstr(client_ask(node, line), "-MOVED "));
    snprintf(line, sizeof(line), "BLPOP %s 0", K0);
    assert_true(client_send(node, line));
    ask(s, 1, "RPUSH %s x", K0);
    expect_popped(client_take(node), K0, "x");
    client_free(&node);
}

#define WAIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    log_open("test", LOG_WARNING + 1, NULL);
    const struct CMUnitTest tests[] = {
        WAIT_TEST(a_key_of_any_shard_is_awaited),
        WAIT_TEST(what_follows_waits_too),
        WAIT_TEST(replies_before_it_leave),
        WAIT_TEST(resp3_has_its_own_null),
        WAIT_TEST(unblock_ends_a_wait_anywhere),
        WAIT_TEST(an_unblock_that_comes_too_late_takes_nothing),
        WAIT_TEST(a_client_that_leaves_is_served_nothing),
        WAIT_TEST(a_client_that_leaves_at_once_is_served_nothing),
        WAIT_TEST(the_owners_death_is_told),
        WAIT_TEST(a_wait_may_begin_when_the_owner_is_back),
        WAIT_TEST(a_client_that_leaves_while_the_owner_is_down_is_forgotten),
        WAIT_TEST(clients_of_a_dead_worker_are_served_nothing),
        WAIT_TEST(a_write_back_serves_after_the_unlock),
        WAIT_TEST(nodes_take_keys_of_one_slot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
