/* 61_follow.c - who follows whom: a real redis-server follows a shard, a pool follows a real redis-server, a
 * pool follows a pool of its own size and of another, and a replica of a replica; with data of all types in
 * several databases, more of it coming in meanwhile, and everything compared at the end. */
#include "tests/interop/following.h"

#include <signal.h>

/* Commands whose keys lie on several shards of the follower, in transactions and out of them. */
static void say_over_shards(int port) {
    redisContext *c = client_connect(port);
    for (int i = 0; i < 200; i++) {
        expect_text(c, "OK", "SET from:%d %d", i, i);
        expect_text(c, "OK", "RENAME from:%d to:%d", i, i);
        freeReplyObject(expect_reply(c, "SADD s:%d a b c", i));
        freeReplyObject(expect_reply(c, "SUNIONSTORE all:%d s:%d s:%d", i, i, i / 2));
        expect_text(c, "OK", "MULTI");
        expect_text(c, "QUEUED", "INCR counter");
        expect_text(c, "QUEUED", "LPUSH list:%d x", i % 7);
        freeReplyObject(expect_reply(c, "EXEC"));
    }
    redisFree(c);
}

static void test_redis_follows_a_shard(void **state) {
    oracle_needed();
    struct pool *pool = pool_start(&(struct pool_options){.workers = 1});
    struct oracle *redis = oracle_start(NULL, (const char *const[]){"--save", "", NULL});
    fill_and_follow(pool->port, redis->port, pool->worker_port, random_seed());
    dataset_assert_equal("pool", pool->port, "redis-server", redis->port, EXPIRY_EXACT);
    /* It goes away and comes back: the backlog has what it missed. */
    kill(redis->pid, SIGSTOP);
    redisContext *c = pool_connect_worker(pool, 0);
    expect_integer(c, 1, "CLIENT KILL TYPE slave");
    say_more(pool->port, 10, 20);
    kill(redis->pid, SIGCONT);
    await_caught_up(pool->port, redis->port);
    dataset_assert_equal("pool", pool->port, "redis-server", redis->port, EXPIRY_EXACT);
    assert_true(pool_log_has(pool, "Partial resynchronization request from"));
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

static void a_pool_follows_redis(unsigned workers) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, (const char *const[]){"--save", "", NULL});
    struct pool *pool = pool_start(&(struct pool_options){.workers = workers});
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "SET of-before yes");
    fill_and_follow(redis->port, pool->port, redis->port, random_seed());
    say_over_shards(redis->port);
    await_caught_up(redis->port, pool->port);
    dataset_assert_equal("redis-server", redis->port, "pool", pool->port, EXPIRY_EXACT);
    expect_error(c, "READONLY", "SET a b");
    expect_nil(c, "GET of-before");
    stop_following(pool->port);
    dataset_assert_equal("redis-server", redis->port, "pool", pool->port, EXPIRY_EXACT);
    redisFree(c);
    pool_end(&pool);
    oracle_end(&redis);
}

static void test_a_pool_of_1_follows_redis(void **state) {
    a_pool_follows_redis(1);
}
static void test_a_pool_of_3_follows_redis(void **state) {
    a_pool_follows_redis(3);
}

enum { PURSES = 12, COINS = 3000 };

struct mover {
    pthread_t thread;
    int port;
    uint64_t random;
    atomic_bool stop;
};

/* In each transaction all coins go to other purses: so many that not all can be in flight at once. */
static void *move_coins(void *arg) {
    struct mover *m = arg;
    unsigned purse[COINS];
    redisContext *c = client_try_connect(m->port);
    for (unsigned i = 0; i < COINS; i++)
        purse[i] = i % PURSES;
    while (c && !atomic_load(&m->stop)) {
        unsigned said = 3;
        redisAppendCommand(c, "MULTI");
        for (unsigned i = 0; i < COINS; i++, said += 2) {
            redisAppendCommand(c, "ZREM purse:%u coin:%u", purse[i], i);
            purse[i] = random_below(&m->random, PURSES);
            redisAppendCommand(c, "ZADD purse:%u 1 coin:%u", purse[i], i);
        }
        redisAppendCommand(c, "MSET last:%u x last:%u y", purse[0], purse[1] + 1);
        redisAppendCommand(c, "EXEC");
        redisReply *reply = NULL;
        while (said-- > 0 && redisGetReply(c, (void **)&reply) == REDIS_OK)
            freeReplyObject(reply);
        /* One of a single shard. */
        freeReplyObject(redisCommand(c, "MULTI"));
        freeReplyObject(redisCommand(c, "INCR {one}a"));
        freeReplyObject(redisCommand(c, "INCR {one}b"));
        freeReplyObject(redisCommand(c, "EXEC"));
    }
    redisFree(c);
    return NULL;
}

/* The union is made under the locks of all its shards: it sees a moment. A coin that is in two purses counts
 * twice. */
static int64_t count_coins(redisContext *c) {
    char command[400];
    snprintf(command, sizeof command, "ZUNION %u", PURSES);
    for (unsigned i = 0; i < PURSES; i++)
        snprintf(command + strlen(command), sizeof command - strlen(command), " purse:%u", i);
    strcat(command, " WITHSCORES");
    redisReply *reply = expect_reply(c, command);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    int64_t count = 0;
    for (size_t i = 1; i < reply->elements; i += 2)
        count += atoll(reply->element[i]->str);
    freeReplyObject(reply);
    return count;
}

/* A transaction of the primary's is seen whole or not at all, on however many shards its keys are; and what is
 * acknowledged has been run. */
static void test_transactions_are_whole(void **state) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, (const char *const[]){"--save", "", NULL});
    struct pool *pool = pool_start(&(struct pool_options){.workers = 3});
    redisContext *theirs = client_connect(redis->port), *ours = pool_connect(pool);
    for (unsigned i = 0; i < COINS; i++)
        expect_integer(theirs, 1, "ZADD purse:%u 1 coin:%u", i % PURSES, i);
    follow(pool->port, "127.0.0.1", redis->port);
    AWAIT(link_is_up(pool->port));
    static struct mover m; /* outlives a failed test */
    m = (struct mover){.port = redis->port, .random = random_seed()};
    assert_int_equal(pthread_create(&m.thread, NULL, move_coins, &m), 0);
    int64_t began = offset_of(pool->port, "slave_repl_offset");
    unsigned looks = 0;
    while (looks < 100 || offset_of(pool->port, "slave_repl_offset") < began + 10000000) {
        assert_int_equal(count_coins(ours), COINS);
        looks++;
    }
    for (unsigned i = 0; i < 20; i++) {
        expect_text(theirs, "OK", "MSET a:%u %u b:%u %u c:%u %u", i, i, i, i, i, i);
        expect_integer(theirs, 1, "WAIT 1 20000");
        expect_integer(ours, 3, "EXISTS a:%u b:%u c:%u", i, i, i);
    }
    atomic_store(&m.stop, true);
    pthread_join(m.thread, NULL);
    await_caught_up(redis->port, pool->port);
    dataset_assert_equal("redis-server", redis->port, "pool", pool->port, EXPIRY_EXACT);
    redisFree(ours);
    redisFree(theirs);
    pool_end(&pool);
    oracle_end(&redis);
}

static void a_pool_follows_a_pool(unsigned primary_workers, unsigned workers) {
    struct pool *primary = pool_start(&(struct pool_options){.workers = primary_workers});
    struct pool *pool = pool_start(&(struct pool_options){.workers = workers});
    fill_and_follow(primary->port, pool->port, primary->port, random_seed());
    await_caught_up(primary->port, pool->port);
    dataset_assert_equal("primary", primary->port, "follower", pool->port, EXPIRY_EXACT);
    pool_end(&pool);
    pool_end(&primary);
}

static void test_equal_pools(void **state) {
    a_pool_follows_a_pool(2, 2);
}
static void test_a_smaller_pool_follows(void **state) {
    a_pool_follows_a_pool(3, 2);
}
static void test_a_larger_pool_follows(void **state) {
    a_pool_follows_a_pool(1, 3);
}

/* A replica of a replica; the one in the middle is promoted and its replica continues; all restart. */
static void test_a_chain(void **state) {
    static const struct pool_options options = {.workers = 2, .options = {"--appendonly", "yes"}};
    struct pool *first = pool_start(&options), *second = pool_start(&options),
                *third = pool_start(&options);
    follow(third->port, "127.0.0.1", second->port);
    fill_and_follow(first->port, second->port, first->port, random_seed());
    await_caught_up(first->port, third->port);
    dataset_assert_equal("first", first->port, "third", third->port, EXPIRY_EXACT);
    int64_t snapshots = pool_number(third, "workers.0.metrics.primary_full_syncs");
    assert_true(snapshots > 0);
    stop_following(second->port);
    say_more(second->port, 70, 50);
    await_caught_up(second->port, third->port);
    dataset_assert_equal("second", second->port, "third", third->port, EXPIRY_EXACT);
    assert_int_equal(pool_number(third, "workers.0.metrics.primary_full_syncs"), snapshots);
    assert_int_equal(pool_stop(second), 0);
    pool_start_again(second);
    AWAIT(link_is_up(third->port));
    say_more(second->port, 80, 50);
    await_caught_up(second->port, third->port);
    dataset_assert_equal("second", second->port, "third", third->port, EXPIRY_EXACT);
    assert_int_equal(pool_number(third, "workers.0.metrics.primary_full_syncs"), snapshots);
    pool_end(&third);
    pool_end(&second);
    pool_end(&first);
}

/* What a replica hands on is in the database that its primary was in last: only its snapshot says which. */
static void hand_on(int first, int middle, int last) {
    AWAIT(link_is_up(middle));
    redisContext *c = client_connect(first);
    expect_text(c, "OK", "SELECT 9");
    for (unsigned i = 0; i < 16; i++) /* on every shard */
        expect_text(c, "OK", "SET before:%u x", i);
    await_caught_up(first, middle);
    follow(last, "127.0.0.1", middle);
    AWAIT(link_is_up(last));
    for (unsigned i = 0; i < 16; i++)
        expect_text(c, "OK", "SET behind:%u x", i);
    await_last_words(first, last);
    dataset_assert_equal("first", first, "last", last, EXPIRY_EXACT);
    redisFree(c);
}

static void test_redis_hands_on_to_a_pool(void **state) {
    oracle_needed();
    struct oracle *first = oracle_start(NULL, NULL), *middle = oracle_start(NULL, NULL);
    struct pool *last = pool_start(NULL);
    follow(middle->port, "127.0.0.1", first->port);
    hand_on(first->port, middle->port, last->port);
    pool_end(&last);
    oracle_end(&middle);
    oracle_end(&first);
}

static void test_a_pool_hands_on(void **state) {
    oracle_needed();
    static const struct pool_options two = {.workers = 2};
    struct pool *first = pool_start(&two), *middle = pool_start(&two), *last = pool_start(NULL);
    follow(middle->port, "127.0.0.1", first->port);
    hand_on(first->port, middle->port, last->port);
    struct oracle *redis = oracle_start(NULL, NULL);
    hand_on(first->port, middle->port, redis->port);
    oracle_end(&redis);
    pool_end(&last);
    pool_end(&middle);
    pool_end(&first);
}

/* Killed workers of either side cost a synchronization at most, never data. */
static void test_killed_workers(void **state) {
    struct pool_options options = {
        .workers = 2, .options = {"--appendonly", "yes"}, .deaths = true};
    struct pool *primary = pool_start(&options), *pool = pool_start(&options);
    fill_and_follow(primary->port, pool->port, primary->port, random_seed());
    for (unsigned i = 0; i < 4; i++) {
        pool_kill_worker(i % 2 ? primary : pool, i / 2, SIGKILL);
        say_more(primary->port, 100 + i, 50);
        await_caught_up(primary->port, pool->port);
        dataset_assert_equal("primary", primary->port, "follower", pool->port, EXPIRY_EXACT);
    }
    pool_end(&pool);
    pool_end(&primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_redis_follows_a_shard, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_of_1_follows_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_of_3_follows_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_transactions_are_whole, pools_cleanup),
        cmocka_unit_test_teardown(test_equal_pools, pools_cleanup),
        cmocka_unit_test_teardown(test_a_smaller_pool_follows, pools_cleanup),
        cmocka_unit_test_teardown(test_a_larger_pool_follows, pools_cleanup),
        cmocka_unit_test_teardown(test_a_chain, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_hands_on_to_a_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_hands_on, pools_cleanup),
        cmocka_unit_test_teardown(test_killed_workers, pools_cleanup),
    };
    cmocka_set_test_filter(getenv("CASE"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
