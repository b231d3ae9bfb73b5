/* 60_replication: real redis-servers on either end: one follows a worker, redis-cli takes a snapshot, and a
 * server under load moves into a pool, which is then promoted; all keys are compared. */
#include "tests/interop/following.h"

static void test_server_follows_a_worker(void **state) {
    oracle_needed();
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = 1});
    dataset_fill(pool->port, seed, 600);
    writer_begin(&w, pool->port, seed);
    struct oracle *oracle = oracle_start(NULL, NULL);
    redisContext *c = client_connect(oracle->port);
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 %d", pool->worker_port);
    AWAIT(link_is_up(oracle->port));
    writer_more(&w, 500);
    redisContext *p = pool_connect(pool);
    freeReplyObject(redisCommand(p, "CLIENT KILL TYPE replica"));
    writer_more(&w, 200);
    writer_end(&w);
    expect_text(p, "OK", "SET word last");
    AWAIT(has_word(oracle->port, "word"));
    dataset_assert_equal("pool", pool->port, "redis-server", oracle->port, EXPIRY_EXACT);
    int code;
    char *said =
        run_shell(&code, "redis-cli -p %d --rdb %s/taken.rdb && redis-check-rdb %s/taken.rdb",
                  pool->worker_port, pool->dir, pool->dir);
    if (code != 0)
        fail_msg("%s", said);
    free(said);
    redisFree(p);
    redisFree(c);
    oracle_end(&oracle);
    pool_end(&pool);
}

static void move(unsigned workers) {
    struct writer w;
    uint64_t seed = random_seed();
    struct oracle *oracle = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(&(struct pool_options){.workers = workers});
    dataset_fill(oracle->port, seed, 900);
    redisContext *theirs = client_connect(oracle->port), *ours = pool_connect(pool);
    writer_begin(&w, oracle->port, seed);
    expect_text(ours, "OK", "REPLICAOF localhost %d", oracle->port);
    AWAIT(link_is_up(pool->port));
    writer_more(&w, 1000);
    writer_end(&w);
    for (unsigned i = 0; i < workers; i++)
        expect_text(theirs, "OK", "SET %s last", pool_key(pool, i, 0));
    for (unsigned i = 0; i < workers; i++)
        AWAIT(has_word(pool->port, pool_key(pool, i, 0)));
    expect_text(ours, "OK", "REPLICAOF NO ONE");
    dataset_assert_equal("redis-server", oracle->port, "pool", pool->port, EXPIRY_EXACT);
    expect_text(ours, "OK", "SET now ours");
    redisFree(theirs);
    redisFree(ours);
    pool_end(&pool);
    oracle_end(&oracle);
}

static void test_move_to_one(void **state) {
    oracle_needed();
    move(1);
}
static void test_move_to_three(void **state) {
    oracle_needed();
    move(3);
}

/* A password that is wrong is said so; with the right one the link comes up by itself. */
static void test_masterauth(void **state) {
    oracle_needed();
    struct oracle *oracle = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(NULL);
    redisContext *theirs = client_connect(oracle->port), *ours = pool_connect(pool);
    expect_text(theirs, "OK", "SET key last");
    expect_text(theirs, "OK", "CONFIG SET requirepass secret");
    expect_text(ours, "OK", "CONFIG SET masterauth wrong");
    expect_text(ours, "OK", "REPLICAOF 127.0.0.1 %d", oracle->port);
    AWAIT(pool_log_has(pool, "AUTH was answered with"));
    assert_string_equal(info_field(ours, "replication", "master_link_status"), "down");
    expect_text(ours, "OK", "CONFIG SET masterauth secret");
    AWAIT(link_is_up(pool->port));
    assert_true(has_word(pool->port, "key"));
    redisFree(theirs);
    redisFree(ours);
    pool_end(&pool);
    oracle_end(&oracle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_server_follows_a_worker, pools_cleanup),
        cmocka_unit_test_teardown(test_move_to_one, pools_cleanup),
        cmocka_unit_test_teardown(test_move_to_three, pools_cleanup),
        cmocka_unit_test_teardown(test_masterauth, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
