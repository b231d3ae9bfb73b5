/* 62_wait.c - WAIT counts who follows the public port of a pool of several workers, by the merged stream: real
 * redis-servers, alone, two of them, and beside a pool that follows shard by shard. */
#include "tests/interop/following.h"

#include <signal.h>

enum { WORKERS = 3, TIMES = 1000 };

static struct oracle *redis_following(const struct pool *pool) {
    struct oracle *redis = oracle_start(NULL, (const char *const[]){"--save", "", NULL});
    follow(redis->port, "127.0.0.1", pool->port);
    AWAIT(link_is_up(redis->port));
    return redis;
}

static void write_everywhere(redisContext *c, struct pool *pool, unsigned round) {
    for (unsigned i = 0; i < WORKERS; i++)
        expect_text(c, "OK", "SET %s %u", pool_key(pool, i, 0), round);
}

/* Whoever is counted has the write. */
static void test_counted_has_the_write(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *redis = redis_following(pool);
    redisContext *c = pool_connect(pool), *r = client_connect(redis->port);
    uint64_t began_ms = clock_mono_ms();
    for (unsigned i = 0; i < TIMES; i++) {
        expect_text(c, "OK", i % 3 ? "SET key:%u %u" : "MSET key:%u %u other:%u 1 more:%u 2", i, i,
                    i, i);
        expect_integer(c, 1, "WAIT 1 20000");
        char number[20];
        snprintf(number, sizeof number, "%u", i);
        expect_text(r, number, "GET key:%u", i);
    }
    print_message("%.2f ms each\n", (double)(clock_mono_ms() - began_ms) / TIMES);
    redisFree(r);
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

static void test_one_that_stands_still(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *one = redis_following(pool), *other = redis_following(pool);
    redisContext *c = pool_connect(pool);
    write_everywhere(c, pool, 1);
    expect_integer(c, 2, "WAIT 2 20000");
    AWAIT(pool_number(pool, "workers.0.metrics.merged_runs") == 2);
    kill(other->pid, SIGSTOP);
    write_everywhere(c, pool, 2);
    expect_integer(c, 1, "WAIT 1 20000");
    expect_integer(c, 1, "WAIT 2 300");
    kill(one->pid, SIGSTOP);
    expect_text(c, "OK", "SET %s 3", pool_key(pool, WORKERS - 1, 0));
    expect_integer(c, 0, "WAIT 1 300");
    kill(one->pid, SIGCONT);
    kill(other->pid, SIGCONT);
    expect_integer(c, 2, "WAIT 2 20000");
    /* Who is gone is not counted. */
    oracle_end(&other);
    write_everywhere(c, pool, 4);
    expect_integer(c, 1, "WAIT 2 300");
    oracle_end(&one);
    AWAIT(pool_number(pool, "workers.0.metrics.merged_replicas") == 0);
    expect_integer(c, 0, "WAIT 1 300");
    redisFree(c);
    pool_end(&pool);
}

/* Both came to the same snapshot, and to the same stream. */
static void test_two_of_one_run(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    fill_much(pool->port, 20000, 200);
    struct oracle *of[2];
    for (unsigned i = 0; i < 2; i++)
        of[i] = oracle_start(NULL, (const char *const[]){"--save", "", NULL});
    for (unsigned i = 0; i < 2; i++)
        follow(of[i]->port, "127.0.0.1", pool->port);
    redisContext *c = pool_connect(pool);
    write_everywhere(c, pool, 1);
    expect_integer(c, 2, "WAIT 2 30000");
    for (unsigned i = 0; i < 2; i++) {
        redisContext *r = client_connect(of[i]->port);
        for (unsigned k = 0; k < WORKERS; k++)
            expect_text(r, "1", "GET %s", pool_key(pool, k, 0));
        redisFree(r);
        oracle_end(&of[i]);
    }
    redisFree(c);
    pool_end(&pool);
}

static void test_beside_a_pool(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS}),
                *replica = pool_start(&(struct pool_options){.workers = WORKERS});
    follow(replica->port, "127.0.0.1", pool->port);
    AWAIT(link_is_up(replica->port));
    struct oracle *redis = redis_following(pool);
    redisContext *c = pool_connect(pool);
    write_everywhere(c, pool, 1);
    expect_integer(c, 2, "WAIT 2 20000");
    kill(redis->pid, SIGSTOP);
    write_everywhere(c, pool, 2);
    expect_integer(c, 1, "WAIT 2 300");
    kill(redis->pid, SIGCONT);
    expect_integer(c, 2, "WAIT 2 20000");
    redisFree(c);
    oracle_end(&redis);
    pool_end(&replica);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_counted_has_the_write, pools_cleanup),
        cmocka_unit_test_teardown(test_one_that_stands_still, pools_cleanup),
        cmocka_unit_test_teardown(test_two_of_one_run, pools_cleanup),
        cmocka_unit_test_teardown(test_beside_a_pool, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
