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

/* ---- keys of several shards ---- */

static uint32_t waiting_anywhere(struct setting *s) {
    return waiting_at(s, 0) + waiting_at(s, 1) + waiting_at(s, 2);
}

static void keys_of_several_shards_are_awaited(void **state) {
    struct setting *s = *state;
    for (int client = 0; client < 3; client++) {
        for (int from = 0; from < 3; from++) {
            send(s, client, "BLPOP %s %s %s 0", K0, K1, s->key[2]);
            pool_turns(s->pool, 4);
            assert_true(is_blocked(s, client));
            assert_string_equal(client_take(s->client[client]), "");
            ask(s, 3 + (client + from) % 3, "RPUSH %s x", s->key[from]);
            pool_turns(s->pool, 8);
            expect_popped(take(s, client), s->key[from], "x");
            assert_false(is_blocked(s, client));
            assert_int_equal(waiting_anywhere(s), 0);
        }
    }
    assert_string_equal(ask(s, 0, "DBSIZE"), ":0\r\n");
    assert_true(router_idle(s->pool->shard[0].router));
}

static void a_move_across_shards_waits_for_its_source(void **state) {
    struct setting *s = *state;
    send(s, 2, "BLMOVE %s %s LEFT RIGHT 0", K0, K1);
    pool_turns(s->pool, 4);
    send(s, 1, "BLPOP %s 0", K1);
    ask(s, 0, "RPUSH %s x y", K0);
    pool_turns(s->pool, 8);
    assert_string_equal(take(s, 2), "$1\r\nx\r\n");
    expect_popped(take(s, 1), K1, "x");
    assert_string_equal(ask(s, 0, "LRANGE %s 0 -1", K0), "*1\r\n$1\r\ny\r\n");
    send(s, 2, "BRPOPLPUSH %s %s 0", K1, K0);
    pool_turns(s->pool, 4);
    ask(s, 0, "LMOVE %s %s LEFT LEFT", K0, K1);
    pool_turns(s->pool, 8);
    assert_string_equal(take(s, 2), "$1\r\ny\r\n");
    assert_string_equal(ask(s, 0, "LPOP %s", K0), "$1\r\ny\r\n");
}

static void who_comes_first_takes_it_and_the_others_wait_on(void **state) {
    struct setting *s = *state;
    for (int client = 0; client < 3; client++) {
        send(s, client, "BZPOPMIN %s %s 0", K0, K1);
        pool_turns(s->pool, 4);
    }
    for (int served = 1; served <= 3; served++) {
        ask(s, 3, "ZADD %s %d m", served % 2 ? K1 : K0, served);
        pool_turns(s->pool, 20);
        int still = 0;
        for (int client = 0; client < 3; client++)
            still += is_blocked(s, client);
        assert_int_equal(still, 3 - served);
    }
    for (int client = 0; client < 3; client++)
        assert_memory_equal(take(s, client), "*3\r\n", 4);
    assert_string_equal(ask(s, 0, "DBSIZE"), ":0\r\n");
    assert_int_equal(waiting_anywhere(s), 0);
}

static void waits_over_several_shards_end_in_every_way(void **state) {
    struct setting *s = *state;
    unsigned id = (unsigned)s->client[1]->session.id;
    send(s, 1, "BLPOP %s %s 0.02", K0, K1);
    for (int i = 0; s->client[1]->pipeline.in_flight > 0; i++)
        pool_turns(s->pool, 1);
    assert_string_equal(take(s, 1), "*-1\r\n");
    send(s, 1, "BLPOP %s %s 0", K0, K1);
    pool_turns(s->pool, 4);
    assert_string_equal(ask(s, 2, "CLIENT UNBLOCK %u ERROR", id), ":1\r\n");
    assert_string_equal(take(s, 1), "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_int_equal(waiting_anywhere(s), 0);
    send(s, 1, "BLPOP %s %s 0", K0, K1);
    pool_turns(s->pool, 4);
    pool_kill(s->pool, 0);
    pool_tell_down(s->pool, 0);
    assert_string_equal(take(s, 1), "-ERR shard 0 went down: the command was not executed (killed "
                                    "by the test)\r\n");
    assert_int_equal(waiting_at(s, 1), 0);
    pool_revive(s->pool, 0);
    send(s, 1, "BLPOP %s %s 0", K0, K1);
    pool_turns(s->pool, 4);
    client_free(&s->client[1]);
    pool_turns(s->pool, 3);
    assert_int_equal(waiting_anywhere(s), 0);
    assert_int_equal(s->pool->shard[1].router->waiting, 0);
    assert_true(router_idle(s->pool->shard[1].router));
}

/* It leaves at every step of its way: no lock stays, nobody is noted, nothing is taken. */
static void a_client_may_leave_at_any_step(void **state) {
    struct setting *s = *state;
    char line[200];
    snprintf(line, sizeof(line), "BLPOP %s %s 0", K0, K1);
    for (uint32_t steps = 0; steps < 24; steps++) {
        struct route_client *own = client_create(s->pool, 2, SESSION_PUBLIC);
        assert_true(client_send(own, line));
        for (uint32_t i = 0; i < steps; i++) {
            if (i == 12)
                client_send(s->client[0], steps % 2 ? "PING" : "DBSIZE");
            pool_turn(s->pool, i % 3);
        }
        client_free(&own);
        pool_turns(s->pool, 4);
        assert_int_equal(waiting_anywhere(s), 0);
        for (int i = 0; i < 3; i++)
            assert_false(s->pool->shard[i].router->lock.held);
        client_take(s->client[0]);
    }
}

/* ---- at random ---- */

enum { RANDOM_STEPS = 6000 };

/* Producers and consumers at all workers, random turns; every element arrives once, or is still there. */
static void each_element_arrives_once(void **state) {
    struct setting *s = *state;
    unsigned seed = (unsigned)clock_mono_us();
    struct buf all = {0};
    uint32_t pushed = 0;
    char line[300];
    print_message("seed %u\n", seed);
    srand(seed);
    for (int step = 0; step < RANDOM_STEPS; step++) {
        unsigned a = (unsigned)rand() % 3, b = (unsigned)rand() % 3;
        struct route_client *c = s->client[(unsigned)rand() % CLIENTS];
        switch (rand() % 6) {
        case 0:
        case 1: snprintf(line, sizeof(line), "RPUSH %s e%u.", s->key[a], pushed + 1); break;
        case 2: snprintf(line, sizeof(line), "BLPOP %s 0", s->key[a]); break;
        case 3: snprintf(line, sizeof(line), "BRPOP %s %s 0.001", s->key[a], s->key[b]); break;
        case 4: snprintf(line, sizeof(line), "BLPOP %s %s 0", s->key[a], s->key[b]); break;
        default:
            snprintf(line, sizeof(line), "CLIENT UNBLOCK %u",
                     (unsigned)s->client[(unsigned)rand() % CLIENTS]->session.id);
        }
        if (client_send(c, line) && line[0] == 'R')
            pushed++;
        pool_turn(s->pool, (unsigned)rand() % 3);
        if (rand() % 8 == 0)
            pool_turns(s->pool, 3);
    }
    /* Enough for all who still wait, so that they end. */
    struct route_client *last = client_create(s->pool, 0, SESSION_PUBLIC);
    for (int i = 0; i < 60; i++) {
        snprintf(line, sizeof(line), "RPUSH %s e%u.", s->key[i % 3], ++pushed);
        client_ask(last, line);
        pool_turns(s->pool, 8);
    }
    client_free(&last);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(s->client[i]->pipeline.in_flight, 0);
        buf_append_text(&all, client_take(s->client[i]));
    }
    for (int i = 0; i < 3; i++)
        buf_append_text(&all, ask(s, 0, "LRANGE %s 0 -1", s->key[i]));
    buf_append(&all, "", 1);
    uint8_t *seen = mem_calloc(pushed + 1, 1);
    uint32_t found = 0;
    for (const char *at = all.data; (at = strstr(at, "\r\ne")) != NULL; at += 3) {
        unsigned long number = strtoul(at + 3, NULL, 10);
        assert_in_range(number, 1, pushed);
        assert_int_equal(seen[number]++, 0);
        found++;
    }
    assert_int_equal(found, pushed);
    mem_free(seen);
    buf_free(&all);
    assert_int_equal(waiting_anywhere(s), 0);
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
        WAIT_TEST(keys_of_several_shards_are_awaited),
        WAIT_TEST(a_move_across_shards_waits_for_its_source),
        WAIT_TEST(who_comes_first_takes_it_and_the_others_wait_on),
        WAIT_TEST(waits_over_several_shards_end_in_every_way),
        WAIT_TEST(a_client_may_leave_at_any_step),
        WAIT_TEST(each_element_arrives_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
