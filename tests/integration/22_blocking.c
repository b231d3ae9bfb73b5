/* 22_blocking.c - commands that wait for a key: real clients at all workers, timeouts, clients and
 * workers that go, the log; and producers and consumers, each of whose elements arrives just once. */
#include "tests/integration/pool_fixture.h"
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>

static struct pool *pool;
static redisContext *c;

static int start(void **state) {
    static const struct pool_options options = {
        .options = {"--appendonly", "yes", "--appendfsync", "always", "--restart-limit", "100"},
        .deaths = true};
    pool = pool_start(&options);
    c = pool_connect(pool);
    return 0;
}

static int end(void **state) {
    redisFree(c);
    pool_end(&pool);
    return 0;
}

static int empty(void **state) {
    expect_text(c, "OK", "FLUSHALL");
    return 0;
}

static long blocked(void) {
    return atol(info_field(c, "clients", "blocked_clients"));
}

/* Send, and wait until it blocks. */
static void block(redisContext *who, const char *format, ...) {
    long before = blocked();
    va_list args;
    va_start(args, format);
    assert_int_equal(redisvAppendCommand(who, format, args), REDIS_OK);
    va_end(args);
    int done = 0;
    while (!done)
        assert_int_equal(redisBufferWrite(who, &done), REDIS_OK);
    AWAIT(blocked() == before + 1);
}

static redisReply *reply_of(redisContext *who) {
    void *reply;
    assert_int_equal(redisGetReply(who, &reply), REDIS_OK);
    return reply;
}

static void expect_element(redisContext *who, const char *key, const char *element) {
    redisReply *reply = reply_of(who);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_string_equal(reply->element[0]->str, key);
    assert_string_equal(reply->element[1]->str, element);
    freeReplyObject(reply);
}

static void expect_error_reply(redisContext *who, const char *text) {
    redisReply *reply = reply_of(who);
    assert_int_equal(reply->type, REDIS_REPLY_ERROR);
    assert_non_null(strstr(reply->str, text));
    freeReplyObject(reply);
}

/* A client of the public port that this worker has: where it went is asked at the worker's own port,
 * for the front does not wait for a first command that is late. */
static redisContext *client_of(unsigned worker) {
    redisContext *node = pool_connect_worker(pool, worker);
    for (;;) {
        redisContext *own = pool_connect(pool);
        expect_nil(own, "GET %s", pool_key(pool, worker, 5));
        redisReply *list =
            expect_reply(node, "CLIENT LIST ID %lld", (long long)ask_integer(own, "CLIENT ID"));
        bool there = list->len > 0;
        freeReplyObject(list);
        if (there) {
            redisFree(node);
            return own;
        }
        redisFree(own);
    }
}

static void test_clients_of_all_workers_in_order(void **state) {
    enum { WAITERS = 9 };
    redisContext *waiter[WAITERS];
    for (unsigned shard = 0; shard < 3; shard++) {
        const char *key = pool_key(pool, shard, 1);
        for (unsigned i = 0; i < WAITERS; i++) {
            waiter[i] = client_of(i % 3);
            block(waiter[i], "BLPOP %s 0", key);
        }
        for (unsigned i = 0; i < WAITERS; i++) {
            char element[16];
            snprintf(element, sizeof(element), "%u", i);
            expect_integer(c, 1, "RPUSH %s %s", key, element);
            expect_element(waiter[i], key, element);
            redisFree(waiter[i]);
        }
    }
    assert_int_equal(blocked(), 0);
}

static void test_keys_of_several_shards(void **state) {
    redisContext *waiter = pool_connect(pool);
    for (unsigned shard = 0; shard < 3; shard++) {
        block(waiter, "BLPOP %s %s %s 0", pool_key(pool, 0, 1), pool_key(pool, 1, 1),
              pool_key(pool, 2, 1));
        expect_integer(c, 1, "RPUSH %s x", pool_key(pool, shard, 1));
        expect_element(waiter, pool_key(pool, shard, 1), "x");
        block(waiter, "BLMOVE %s %s LEFT LEFT 0", pool_key(pool, shard, 1),
              pool_key(pool, (shard + 1) % 3, 2));
        expect_integer(c, 1, "RPUSH %s y", pool_key(pool, shard, 1));
        freeReplyObject(reply_of(waiter));
        expect_text(c, "y", "LPOP %s", pool_key(pool, (shard + 1) % 3, 2));
        expect_nil(waiter, "BZPOPMAX %s %s 0.01", pool_key(pool, shard, 1),
                   pool_key(pool, (shard + 1) % 3, 1));
    }
    expect_integer(c, 0, "DBSIZE");
    redisFree(waiter);
}

static void test_client_list_and_unblock(void **state) {
    for (unsigned shard = 0; shard < 3; shard++) {
        redisContext *waiter = pool_connect(pool);
        int64_t id = ask_integer(waiter, "CLIENT ID");
        for (int with_error = 0; with_error < 2; with_error++) {
            block(waiter, "BZPOPMIN %s 0", pool_key(pool, shard, 1));
            redisReply *list = expect_reply(c, "CLIENT LIST ID %lld", (long long)id);
            assert_non_null(strstr(list->str, " flags=b "));
            assert_non_null(strstr(list->str, " cmd=bzpopmin "));
            freeReplyObject(list);
            expect_integer(c, 1, "CLIENT UNBLOCK %lld %s", (long long)id,
                           with_error ? "ERROR" : "TIMEOUT");
            if (with_error) {
                expect_error_reply(waiter, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
            } else {
                redisReply *reply = reply_of(waiter);
                assert_int_equal(reply->type, REDIS_REPLY_NIL);
                freeReplyObject(reply);
            }
            expect_integer(c, 0, "CLIENT UNBLOCK %lld", (long long)id);
        }
        expect_text(waiter, "PONG", "PING");
        redisFree(waiter);
    }
}

static void test_timeouts(void **state) {
    for (unsigned shard = 0; shard < 3; shard++) {
        uint64_t start_ms = clock_mono_ms();
        expect_nil(c, "BLPOP %s 0.15", pool_key(pool, shard, 1));
        uint64_t took_ms = clock_mono_ms() - start_ms;
        assert_true(took_ms >= 150);
        assert_true(took_ms < 20000);
        expect_nil(c, "BLMOVE %s %s LEFT LEFT 0.001", pool_key(pool, shard, 1),
                   pool_key(pool, shard, 2));
    }
}

/* However it goes, what is pushed afterwards stays. */
static void test_clients_that_go(void **state) {
    for (unsigned how = 0; how < 4; how++) {
        for (unsigned shard = 0; shard < 3; shard++) {
            const char *key = pool_key(pool, shard, 1);
            redisContext *waiter = pool_connect(pool);
            int64_t id = ask_integer(waiter, "CLIENT ID");
            if (how == 3) /* what it sends behind is not run, nor is it in the way */
                assert_int_equal(redisAppendCommand(waiter, "BLPOP %s 0", key), REDIS_OK);
            block(waiter, how == 3 ? "RPUSH %s never" : "BLPOP %s 0", key);
            if (how == 1)
                expect_integer(c, 1, "CLIENT KILL ID %lld", (long long)id);
            else if (how == 2)
                assert_int_equal(shutdown(waiter->fd, SHUT_WR), 0);
            if (how == 0 || how == 3)
                redisFree(waiter);
            AWAIT(blocked() == 0);
            expect_integer(c, 1, "RPUSH %s x", key);
            expect_text(c, "x", "LPOP %s", key);
            if (how == 1 || how == 2) {
                struct pollfd end_of = {.fd = waiter->fd, .events = POLLIN};
                assert_int_equal(poll(&end_of, 1, 60000), 1);
                redisFree(waiter);
            }
        }
    }
}

static void test_the_log_holds_what_happened(void **state) {
    redisContext *waiter = pool_connect(pool);
    for (unsigned shard = 0; shard < 3; shard++) {
        const char *a = pool_key(pool, shard, 1), *b = pool_key(pool, shard, 2);
        block(waiter, "BLPOP %s 0", a);
        expect_integer(c, 3, "RPUSH %s x y z", a);
        expect_element(waiter, a, "x");
        expect_text(c, "y", "LPOP %s", a);
        expect_text(c, "z", "LPOP %s", a);
        block(waiter, "BLMOVE %s %s LEFT RIGHT 0", a, b);
        expect_integer(c, 2, "RPUSH %s 1 2", a);
        freeReplyObject(reply_of(waiter));
    }
    redisFree(waiter);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    for (unsigned shard = 0; shard < 3; shard++) {
        const char *a = pool_key(pool, shard, 1), *b = pool_key(pool, shard, 2);
        expect_text(c, "2", "LPOP %s", a);
        expect_text(c, "1", "LPOP %s", b);
        expect_integer(c, 0, "EXISTS %s %s", a, b);
    }
}

/* The owner dies: its waiters are told. A worker dies: its clients go with it, and get nothing. */
static void test_workers_that_die(void **state) {
    for (unsigned dead = 0; dead < 3; dead++) {
        const char *key = pool_key(pool, dead, 1);
        redisContext *other = client_of((dead + 1) % 3), *own = client_of(dead);
        redisFree(c);
        c = client_of((dead + 1) % 3);
        const char *elsewhere = pool_key(pool, (dead + 2) % 3, 1);
        block(other, "BLPOP %s 0", key);
        block(own, "BLPOP %s 0", elsewhere);
        pool_kill_worker(pool, dead, SIGKILL);
        expect_error_reply(other, "went down while it ran this command");
        AWAIT(blocked() == 0);
        expect_integer(c, 1, "RPUSH %s x", elsewhere);
        expect_text(c, "x", "LPOP %s", elsewhere);
        block(other, "BLPOP %s 0", key);
        expect_integer(c, 1, "RPUSH %s y", key);
        expect_element(other, key, "y");
        redisFree(other);
        redisFree(own);
    }
}

/* ---- each element once ---- */

enum { PRODUCERS = 4, CONSUMERS = 8, EACH = 3000, QUEUES = 6 };

struct party {
    pthread_t thread;
    unsigned number, seed, got;
};
static _Atomic unsigned char seen[PRODUCERS * EACH];
static _Atomic unsigned delivered;

static void queue_name(char name[32], unsigned queue) {
    snprintf(name, 32, "queue:%u", queue);
}

static void *produce(void *arg) {
    struct party *party = arg;
    redisContext *own = client_connect(pool->port);
    for (unsigned i = 0; i < EACH;) {
        unsigned burst = 1 + (unsigned)rand_r(&party->seed) % 20;
        char name[32];
        unsigned sent = 0;
        for (; sent < burst && i < EACH; sent++, i++) {
            queue_name(name, (unsigned)rand_r(&party->seed) % QUEUES);
            redisAppendCommand(own, "%s %s %u", rand_r(&party->seed) % 2 ? "LPUSH" : "RPUSH", name,
                               party->number * EACH + i);
        }
        for (; sent > 0; sent--)
            freeReplyObject(reply_of(own));
    }
    redisFree(own);
    return NULL;
}

static void note(const char *text) {
    unsigned number = (unsigned)strtoul(text, NULL, 10);
    assert_in_range(number, 0, PRODUCERS * EACH - 1);
    assert_int_equal(atomic_fetch_add(&seen[number], 1), 0);
    atomic_fetch_add(&delivered, 1);
}

/* Some wait for ever, some for a moment; some leave and come again, but never while they wait. */
static void *consume(void *arg) {
    static const char *const words[] = {"BLPOP", "BRPOP"};
    struct party *party = arg;
    redisContext *own = client_connect(pool->port);
    while (atomic_load(&delivered) < PRODUCERS * EACH) {
        char name[32], second[32];
        queue_name(name, (unsigned)rand_r(&party->seed) % QUEUES);
        queue_name(second, (unsigned)rand_r(&party->seed) % QUEUES);
        unsigned draw = (unsigned)rand_r(&party->seed);
        redisReply *reply;
        if (draw % 8 == 0)
            reply = expect_reply(own, "BLMPOP 0.01 1 %s LEFT COUNT 3", name);
        else if (draw % 8 < 3)
            reply = expect_reply(own, "%s %s %s 0.01", words[draw % 2], name, second);
        else
            reply =
                expect_reply(own, "%s %s %s", words[draw % 2], name, draw % 3 ? "0.005" : "0.02");
        if (reply->type == REDIS_REPLY_ARRAY && reply->element[1]->type == REDIS_REPLY_ARRAY) {
            for (size_t i = 0; i < reply->element[1]->elements; i++)
                note(reply->element[1]->element[i]->str);
        } else if (reply->type == REDIS_REPLY_ARRAY) {
            note(reply->element[1]->str);
        }
        freeReplyObject(reply);
        if (draw % 64 == 1) {
            redisFree(own);
            own = client_connect(pool->port);
        }
    }
    redisFree(own);
    return NULL;
}

static void test_each_element_once(void **state) {
    struct party party[PRODUCERS + CONSUMERS];
    unsigned seed = (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    for (unsigned i = 0; i < PRODUCERS + CONSUMERS; i++) {
        party[i] = (struct party){.number = i, .seed = seed + i};
        pthread_create(&party[i].thread, NULL, i < PRODUCERS ? produce : consume, &party[i]);
    }
    for (unsigned i = 0; i < PRODUCERS + CONSUMERS; i++)
        pthread_join(party[i].thread, NULL);
    for (unsigned i = 0; i < PRODUCERS * EACH; i++)
        assert_int_equal(seen[i], 1);
    expect_integer(c, 0, "DBSIZE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_clients_of_all_workers_in_order, empty),
        cmocka_unit_test_setup(test_keys_of_several_shards, empty),
        cmocka_unit_test_setup(test_client_list_and_unblock, empty),
        cmocka_unit_test_setup(test_timeouts, empty),
        cmocka_unit_test_setup(test_clients_that_go, empty),
        cmocka_unit_test_setup(test_the_log_holds_what_happened, empty),
        cmocka_unit_test_setup(test_workers_that_die, empty),
        cmocka_unit_test_setup(test_each_element_once, empty),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
