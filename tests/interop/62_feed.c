/* 62_feed.c - a real redis-server follows the public port of a pool of several workers: the merged stream, under
 * load, with cut connections and killed workers; and what redis-cli takes from it. */
#include "tests/interop/following.h"

#include <signal.h>

enum { WORKERS = 3 };

static const char *const no_save[] = {"--save", "", NULL};

static void assert_equal(const struct pool *pool, const struct oracle *redis) {
    await_last_words(pool->port, redis->port);
    dataset_assert_equal("pool", pool->port, "redis-server", redis->port, EXPIRY_EXACT);
}

static unsigned runs_begun(const struct pool *pool) {
    return log_lines(pool->dir, "Merging the streams");
}

static struct oracle *redis_following(const struct pool *pool, const char *const *options) {
    struct oracle *redis = oracle_start(NULL, options);
    follow(redis->port, "127.0.0.1", pool->port);
    AWAIT(link_is_up(redis->port));
    return redis;
}

static void test_under_load(void **state) {
    oracle_needed();
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    dataset_fill(pool->port, seed, 600);
    writer_begin(&w, pool->port, seed);
    struct oracle *redis = redis_following(pool, no_save);
    writer_more(&w, 1500);
    writer_end(&w);
    say_more(pool->port, 1, 200);
    assert_equal(pool, redis);
    /* It sees a primary whose replicas are counted. */
    AWAIT(offset_of(pool->port, "connected_slaves") == 1);
    assert_int_equal(runs_begun(pool), 1);
    oracle_end(&redis);
    pool_end(&pool);
}

/* Each shard says them, the stream but once: what was written behind them on one shard stays. */
static void test_whole_databases(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *redis = redis_following(pool, no_save);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 12; i++) {
        static const char *const whole[] = {"FLUSHALL", "SELECT 5", "FLUSHDB", "SELECT 0"};
        say_more(pool->port, i, 60);
        freeReplyObject(expect_reply(c, whole[i % 4]));
        expect_text(c, "OK", "SET behind:%u yes", i);
    }
    say_more(pool->port, 50, 60);
    assert_equal(pool, redis);
    assert_int_equal(runs_begun(pool), 1);
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

struct mover {
    pthread_t thread;
    int port;
    uint64_t random;
    atomic_bool stop;
};
enum { PURSES = 12, COINS = 60 };

/* Coins go from one list to another, mostly on another shard: none is ever made or lost. */
static void *move_coins(void *arg) {
    struct mover *m = arg;
    redisContext *c = client_try_connect(m->port);
    while (c && !atomic_load(&m->stop))
        freeReplyObject(redisCommand(c, "LMOVE purse:%u purse:%u LEFT RIGHT",
                                     random_below(&m->random, PURSES),
                                     random_below(&m->random, PURSES)));
    redisFree(c);
    return NULL;
}

static int64_t count_coins(redisContext *c) {
    int64_t sum = 0;
    expect_text(c, "OK", "MULTI");
    for (unsigned i = 0; i < PURSES; i++)
        expect_text(c, "QUEUED", "LLEN purse:%u", i);
    redisReply *reply = expect_reply(c, "EXEC");
    for (size_t i = 0; i < reply->elements; i++)
        sum += reply->element[i]->integer;
    freeReplyObject(reply);
    return sum;
}

/* A command over several shards is seen whole or not at all. */
static void test_several_shards(void **state) {
    oracle_needed();
    enum { MOVERS = 4 };
    uint64_t seed = random_seed();
    struct mover movers[MOVERS];
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    redisContext *p = pool_connect(pool);
    for (unsigned i = 0; i < COINS; i++)
        freeReplyObject(expect_reply(p, "RPUSH purse:%u coin:%u", i % PURSES, i));
    struct oracle *redis = redis_following(pool, no_save);
    redisContext *c = client_connect(redis->port);
    for (unsigned i = 0; i < MOVERS; i++) {
        movers[i] = (struct mover){.port = pool->port, .random = seed + i};
        assert_int_equal(pthread_create(&movers[i].thread, NULL, move_coins, &movers[i]), 0);
    }
    await_last_words(pool->port, redis->port);
    int64_t began = offset_of(redis->port, "slave_repl_offset");
    do
        assert_int_equal(count_coins(c), COINS);
    while (offset_of(redis->port, "slave_repl_offset") < began + 400000);
    for (unsigned i = 0; i < MOVERS; i++) {
        atomic_store(&movers[i].stop, true);
        pthread_join(movers[i].thread, NULL);
    }
    assert_equal(pool, redis);
    redisFree(c);
    redisFree(p);
    oracle_end(&redis);
    pool_end(&pool);
}

/* Wherever the connection comes in again, it continues. */
static void test_cut_connections(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *redis = redis_following(pool, no_save);
    redisContext *c = client_connect(redis->port);
    for (unsigned i = 0; i < 6; i++) {
        kill(redis->pid, SIGSTOP);
        for (unsigned worker = 0; worker < WORKERS; worker++) {
            redisContext *w = pool_connect_worker(pool, worker);
            freeReplyObject(expect_reply(w, "CLIENT KILL TYPE replica"));
            redisFree(w);
        }
        say_more(pool->port, i, 30);
        kill(redis->pid, SIGCONT);
        AWAIT(link_is_up(redis->port));
        assert_equal(pool, redis);
    }
    assert_int_equal(runs_begun(pool), 1);
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

static void test_killed_workers(void **state) {
    oracle_needed();
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = WORKERS, .options = {"--appendonly", "yes"}, .deaths = true});
    dataset_fill(pool->port, seed, 300);
    struct oracle *redis = redis_following(pool, no_save);
    writer_begin(&w, pool->port, seed);
    for (unsigned i = 0; i < WORKERS; i++) {
        pool_kill_worker(pool, WORKERS - 1 - i, SIGKILL); /* the one that merges comes last */
        AWAIT(link_is_up(redis->port));
        writer_more(&w, 100);
    }
    writer_end(&w);
    assert_equal(pool, redis);
    oracle_end(&redis);
    pool_end(&pool);
}

/* Those that wait together share a run, one that comes later has its own, and none but the last outlives its
 * replicas. */
static void test_many(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *first = redis_following(pool, no_save), *second = redis_following(pool, no_save);
    say_more(pool->port, 1, 100);
    AWAIT(pool_number(pool, "workers.0.metrics.merged_replicas") == 2);
    assert_equal(pool, first);
    assert_equal(pool, second);
    oracle_end(&first);
    say_more(pool->port, 2, 100);
    assert_equal(pool, second);
    oracle_end(&second);
    AWAIT(pool_number(pool, "workers.0.metrics.merged_replicas") == 0);
    pool_end(&pool);
}

static void test_password(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 100; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    expect_text(c, "OK", "CONFIG SET requirepass secret masterauth other");
    struct oracle *redis =
        redis_following(pool, (const char *const[]){"--save", "", "--masterauth", "secret", NULL});
    redisContext *r = client_connect(redis->port);
    expect_integer(r, 100, "DBSIZE");
    redisFree(r);
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

/* A hash tag whose keys are the last shard's. */
static unsigned tag_of_last_shard(redisContext *c) {
    for (unsigned tag = 0;; tag++) {
        redisReply *reply = expect_reply(c, "CLUSTER KEYSLOT {%u}", tag);
        bool found = reply->integer >= 16384 - 16384 / WORKERS;
        freeReplyObject(reply);
        if (found)
            return tag;
    }
}

/* What was acknowledged before an orderly stop is at the replica, even if the worker that merges had none of it
 * when the stop began. */
static void test_orderly_stop(void **state) {
    oracle_needed();
    enum { KEYS = 20000 };
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *redis = redis_following(pool, no_save);
    redisContext *r = client_connect(redis->port), *c = pool_connect_worker(pool, WORKERS - 1);
    unsigned tag = tag_of_last_shard(c);
    pid_t merger = pool_worker_pid(pool, 0);
    kill(merger, SIGSTOP);
    for (unsigned i = 0; i < KEYS; i++)
        redisAppendCommand(c, "SET {%u}%u %0100u", tag, i, i);
    for (unsigned i = 0; i < KEYS; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        assert_string_equal(reply->str, "OK");
        freeReplyObject(reply);
    }
    kill(pool->pid, SIGTERM);
    kill(merger, SIGCONT);
    assert_int_equal(pool_await_exit(pool), 0);
    AWAIT(!link_is_up(redis->port)); /* it has taken all that it was sent */
    expect_integer(r, KEYS, "DBSIZE");
    redisFree(c);
    redisFree(r);
    oracle_end(&redis);
    pool_end(&pool);
}

static void test_redis_cli(void **state) {
    oracle_needed();
    int code;
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    dataset_fill(pool->port, random_seed(), 500);
    char *said = run_shell(&code,
                           "redis-cli -p %d --rdb %s/taken.rdb 2>&1 && redis-check-rdb "
                           "%s/taken.rdb && test -z \"$(ls %s/*/shard-*/temp-* 2>/dev/null)\"",
                           pool->port, pool->dir, pool->dir, pool->dir);
    if (code != 0)
        fail_msg("%s", said);
    free(said);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_under_load, pools_cleanup),
        cmocka_unit_test_teardown(test_whole_databases, pools_cleanup),
        cmocka_unit_test_teardown(test_several_shards, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_connections, pools_cleanup),
        cmocka_unit_test_teardown(test_killed_workers, pools_cleanup),
        cmocka_unit_test_teardown(test_many, pools_cleanup),
        cmocka_unit_test_teardown(test_password, pools_cleanup),
        cmocka_unit_test_teardown(test_orderly_stop, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_cli, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
