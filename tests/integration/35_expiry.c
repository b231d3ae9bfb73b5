/* 35_expiry.c - keys end when they should, looked at or not, on every shard, and stay ended over a
 * restart. */
#include "tests/integration/pool_fixture.h"
#include <signal.h>

static void set_many(redisContext *c, int count, const char *format) {
    for (int i = 0; i < count; i++)
        redisAppendCommand(c, format, i);
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
        freeReplyObject(reply);
    }
}

/* Nobody looks at the keys: they go all the same, and are counted. */
static void test_active(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    set_many(c, 3000, "SET gone:%d v PX 50");
    set_many(c, 100, "SET stays:%d v EX 1000");
    set_many(c, 100, "SET forever:%d v");
    AWAIT(ask_integer(c, "DBSIZE") == 200);
    AWAIT(atoi(info_field(c, "stats", "expired_keys")) == 3000);
    AWAIT(strncmp(info_field(c, "keyspace", "db0"), "keys=200,expires=100,", 21) == 0);
    redisFree(c);
    pool_end(&pool);
}

/* With the cycle switched off only looking removes a key, and a key that has ended is never shown. */
static void test_lazy(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    for (unsigned w = 0; w < 3; w++) {
        const char *key = pool_key(pool, w, 1);
        expect_text(c, "OK", "SET %s v PX 30", key);
        AWAIT(ask_integer(c, "PTTL %s", key) == -2);
        expect_nil(c, "GET %s", key);
        expect_integer(c, 0, "EXISTS %s", key);
        expect_integer(c, -2, "TTL %s", key);
        expect_integer(c, 0, "DEL %s", key);
        expect_integer(c, 1, "INCR %s", key);
        expect_integer(c, -1, "TTL %s", key);
    }
    expect_text(c, "OK", "FLUSHALL");
    expect_text(c, "OK", "DEBUG SET-ACTIVE-EXPIRE 0");
    set_many(c, 90, "SET lazy:%d v PX 20");
    expect_text(c, "OK", "SET clock v PX 40");
    AWAIT(ask_integer(c, "EXISTS clock") == 0);
    redisReply *reply = expect_reply(c, "KEYS lazy:*");
    assert_int_equal(reply->elements, 0);
    freeReplyObject(reply);
    reply = expect_reply(c, "MGET lazy:1 lazy:2 lazy:3");
    for (int i = 0; i < 3; i++)
        assert_int_equal(reply->element[i]->type, REDIS_REPLY_NIL);
    freeReplyObject(reply);
    expect_nil(c, "RANDOMKEY");
    redisFree(c);
    pool_end(&pool);
}

/* A deadline is a time of day: it passes while the pool is down, and is not prolonged by a restart. */
static void test_over_a_restart(struct pool *pool) {
    redisContext *c = pool_connect(pool);
    set_many(c, 60, "SET soon:%d v PX 300");
    set_many(c, 60, "SET late:%d v EX 1000");
    int64_t deadline = ask_integer(c, "PEXPIRETIME late:7");
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    int64_t until_ms = clock_wall_ms() + 350;
    AWAIT(clock_wall_ms() > until_ms);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_integer(c, 0, "EXISTS soon:1 soon:2 soon:3");
    AWAIT(ask_integer(c, "DBSIZE") == 60);
    expect_integer(c, deadline, "PEXPIRETIME late:7");
    redisFree(c);
    pool_end(&pool);
}

static void test_over_a_restart_rdb(void **state) {
    test_over_a_restart(pool_start(NULL));
}

static void test_over_a_restart_aof(void **state) {
    test_over_a_restart(pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_active, pools_cleanup),
        cmocka_unit_test_teardown(test_lazy, pools_cleanup),
        cmocka_unit_test_teardown(test_over_a_restart_rdb, pools_cleanup),
        cmocka_unit_test_teardown(test_over_a_restart_aof, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
