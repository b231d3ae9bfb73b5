/* 69_moving.c - how a user moves: from a redis-server that is in use to a pool, which follows until it has
 * everything; then back, to a redis-server that follows the pool's public port. Data in all 16 databases, with
 * transactions and expiry, under load; every key is compared at each change. */
#include "tests/interop/following.h"

enum { DATABASES = 16 };

/* In each database keys of its own that stay, that expire later, and that are gone soon. */
static void say_in_all_databases(int port, unsigned round) {
    redisContext *c = client_connect(port);
    for (int db = 0; db < DATABASES; db++) {
        expect_text(c, "OK", "SELECT %d", db);
        for (int i = 0; i < 10; i++) {
            expect_text(c, "OK", "SET db:%u:%d in:%d", round, i, db);
            expect_text(c, "OK", "SET later:%u:%d x EX %d", round, i, 10000 + db);
            expect_text(c, "OK", "SET gone:%u:%d x PX %d", round, i, 1 + 40 * i);
        }
    }
    redisFree(c);
}

/* Over several shards of a follower. */
static void say_transactions(int port, unsigned count) {
    redisContext *c = client_connect(port);
    for (unsigned i = 0; i < count; i++) {
        expect_text(c, "OK", "SELECT %d", (int)i % DATABASES);
        expect_text(c, "OK", "MULTI");
        expect_text(c, "QUEUED", "INCRBY sum:a %u", i);
        expect_text(c, "QUEUED", "DECRBY sum:b %u", i);
        expect_text(c, "QUEUED", "HSET h:%u i %u", i, i);
        freeReplyObject(expect_reply(c, "EXEC"));
    }
    redisFree(c);
}

static void await_expired(int port, unsigned round) {
    redisContext *c = client_connect(port);
    for (int db = 0; db < DATABASES; db++) {
        expect_text(c, "OK", "SELECT %d", db);
        for (int i = 0; i < 10; i++)
            AWAIT(ask_integer(c, "EXISTS gone:%u:%d", round, i) == 0);
    }
    redisFree(c);
}

static void test_there_and_back(void **state) {
    oracle_needed();
    struct writer w;
    uint64_t seed = random_seed();
    struct oracle *old = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(&(struct pool_options){.workers = 3});
    /* There. */
    dataset_fill(old->port, seed, 500);
    say_in_all_databases(old->port, 1);
    writer_begin(&w, old->port, seed);
    follow(pool->port, "127.0.0.1", old->port);
    AWAIT(link_is_up(pool->port));
    writer_more(&w, 1000);
    say_in_all_databases(old->port, 2);
    say_transactions(old->port, 200);
    writer_end(&w); /* the clients go to the pool */
    await_expired(old->port, 1);
    await_expired(old->port, 2);
    await_caught_up(old->port, pool->port);
    dataset_assert_equal("redis-server", old->port, "pool", pool->port, EXPIRY_EXACT);
    stop_following(pool->port);
    dataset_assert_equal("redis-server", old->port, "pool", pool->port, EXPIRY_EXACT);
    oracle_end(&old);
    /* Life on the pool, and back. */
    say_in_all_databases(pool->port, 3);
    writer_begin(&w, pool->port, seed + 1);
    struct oracle *new = oracle_start(NULL, NULL);
    follow(new->port, "127.0.0.1", pool->port);
    AWAIT(link_is_up(new->port));
    writer_more(&w, 1000);
    say_in_all_databases(pool->port, 4);
    writer_end(&w);
    await_expired(pool->port, 3);
    await_expired(pool->port, 4);
    await_equal(pool->port, new->port);
    stop_following(new->port);
    dataset_assert_equal("pool", pool->port, "redis-server", new->port, EXPIRY_EXACT);
    oracle_end(&new);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_there_and_back, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
