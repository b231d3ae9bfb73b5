/* 67_failover.c - FAILOVER between a pool and a redis-server: a pool of one hands over to it; it does not hand over
 * to a pool, and says so without a loss. */
#include "tests/interop/following.h"

#include <signal.h>

static bool field_is(int port, const char *field, const char *value) {
    redisContext *c = client_connect(port);
    bool is = strcmp(info_field(c, "replication", field), value) == 0;
    redisFree(c);
    return is;
}

static void test_to_redis(void **state) {
    oracle_needed();
    struct writer w;
    struct pool *pool = pool_start(&(struct pool_options){.workers = 1});
    struct oracle *oracle = oracle_start(NULL, NULL);
    fill_and_follow(pool->port, oracle->port, pool->port, random_seed());
    AWAIT(link_is_up(oracle->port));
    writer_begin(&w, pool->port, 1);
    writer_more(&w, 1000);
    writer_end(&w);
    redisContext *c = client_connect(pool->port);
    assert_true(field_is(pool->port, "master_failover_state", "no-failover"));
    assert_true(field_is(oracle->port, "master_failover_state", "no-failover"));
    kill(oracle->pid, SIGSTOP);
    expect_text(c, "OK", "SET last word");
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT 60000", oracle->port);
    AWAIT(field_is(pool->port, "master_failover_state", "waiting-for-sync"));
    kill(oracle->pid, SIGCONT);
    AWAIT(link_is_up(pool->port));
    AWAIT(field_is(pool->port, "master_failover_state", "no-failover"));
    assert_true(field_is(pool->port, "role", "slave"));
    assert_true(field_is(oracle->port, "role", "master"));
    redisFree(c);
    c = client_connect(oracle->port);
    expect_text(c, "word", "GET last");
    expect_text(c, "OK", "SET last here");
    redisFree(c);
    await_equal(oracle->port, pool->port);
    oracle_end(&oracle);
    pool_end(&pool);
}

/* Who follows several shards as one stream is told why it cannot be the target. */
static void test_merged_stream(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = 3});
    struct oracle *oracle = oracle_start(NULL, NULL);
    follow(oracle->port, "127.0.0.1", pool->port);
    AWAIT(link_is_up(oracle->port) && pool_sum(pool, "merged_replicas") == 1);
    redisContext *c = client_connect(pool->port);
    expect_error(c, "ERR FAILOVER target follows the merged stream of the pool",
                 "FAILOVER TO 127.0.0.1 %d", oracle->port);
    expect_error(c, "ERR FAILOVER finds no replica that follows every shard", "FAILOVER");
    assert_true(field_is(pool->port, "role", "master"));
    expect_text(c, "OK", "SET last word");
    redisFree(c);
    oracle_end(&oracle);
    pool_end(&pool);
}

static void test_from_redis(void **state) {
    oracle_needed();
    for (unsigned workers = 1; workers <= 3; workers += 2) {
        struct oracle *oracle = oracle_start(NULL, NULL);
        struct pool *pool = pool_start(&(struct pool_options){.workers = workers});
        fill_and_follow(oracle->port, pool->port, oracle->port, random_seed());
        AWAIT(link_is_up(pool->port));
        redisContext *c = client_connect(oracle->port);
        expect_text(c, "OK", "FAILOVER");
        AWAIT(log_lines(oracle->dir, "PSYNC FAILOVER is not supported") > 0);
        AWAIT(field_is(oracle->port, "role", "master"));
        expect_text(c, "OK", "SET last %u", workers);
        redisFree(c);
        assert_true(field_is(pool->port, "role", "slave"));
        await_equal(oracle->port, pool->port);
        pool_end(&pool);
        oracle_end(&oracle);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_merged_stream, pools_cleanup),
        cmocka_unit_test_teardown(test_from_redis, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
