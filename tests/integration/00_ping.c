/* 00_ping.c - a pool starts, answers and stops: the first thing to look at when anything fails. */
#include "tests/integration/pool_fixture.h"

static void test_ping(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_text(c, "PONG", "PING");
    expect_text(c, "hello", "PING hello");
    expect_text(c, "hello", "ECHO hello");
    expect_text(c, "OK", "SET a 1");
    expect_text(c, "1", "GET a");
    redisFree(c);
    pool_end(&pool);
}

static void test_every_worker_answers_on_its_own_port(void **state) {
    struct pool *pool = pool_start(NULL);
    for (unsigned i = 0; i < pool->workers; i++) {
        redisContext *c = pool_connect_worker(pool, i);
        const char *key = pool_key(pool, i, 0);
        expect_text(c, "PONG", "PING");
        expect_text(c, "OK", "SET %s %u", key, i);
        redisFree(c);
        c = pool_connect(pool);
        char digit[2] = {(char)('0' + i), 0};
        expect_text(c, digit, "GET %s", key);
        redisFree(c);
    }
    pool_end(&pool);
}

/* The shapes of pool a newcomer may ask for. */
static void test_pools_of_1_and_8(void **state) {
    static const unsigned sizes[] = {1, 8};
    for (unsigned i = 0; i < 2; i++) {
        struct pool *pool = pool_start(&(struct pool_options){.workers = sizes[i]});
        redisContext *c = pool_connect(pool);
        for (int k = 0; k < 100; k++)
            expect_text(c, "OK", "SET k%d %d", k, k);
        expect_integer(c, 100, "DBSIZE");
        redisFree(c);
        assert_int_equal(pool_number(pool, "pool.workers"), sizes[i]);
        pool_end(&pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_ping, pools_cleanup),
        cmocka_unit_test_teardown(test_every_worker_answers_on_its_own_port, pools_cleanup),
        cmocka_unit_test_teardown(test_pools_of_1_and_8, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
