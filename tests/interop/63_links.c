/* 63_links.c - replication over a bad network: links that are cut after any number of bytes, are slow, stand still,
 * come by another protocol or with the wrong password; pools and a real redis-server on either side. In the
 * end the data are equal, by themselves, and a short cut costs no snapshot. SEED=n has a run again. */
#include "tests/integration/proxy.h"
#include "tests/interop/following.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { KEYS = 300, CUTS = 6, STREAM_CUT_MOST = 20000 };

static const char *const redis_options[] = {"--bind", "127.0.0.1", "--repl-backlog-size", "16mb",
                                            NULL};

/* Pools whose ports the proxy may have on its own address. */
static struct pool *pool_of(unsigned workers) {
    return pool_start(&(struct pool_options){
        .workers = workers, .options = {"--bind", "127.0.0.1", "--repl-backlog-size", "16mb"}});
}

static struct proxy *proxy_of(const struct pool *pool) {
    return proxy_start(pool->port, 2 + pool->workers);
}

/* ---- what it cost ---- */

static int64_t sum_of(const struct pool *pool, const char *metric) {
    int64_t sum = 0;
    for (unsigned i = 0; i < pool->workers; i++) {
        int64_t value = pool_number(pool, "workers.%u.metrics.%s", i, metric);
        assert_true(value > -1);
        sum += value;
    }
    return sum;
}

static unsigned lines_in(const char *dir, const char *text) {
    int code;
    char *said = run_shell(&code, "grep -ac '%s' %s/log", text, dir);
    unsigned count = (unsigned)atoi(said);
    free(said);
    return count;
}

struct follower {
    int port;
    const struct pool *pool; /* or the folder of a redis-server's log */
    const char *dir;
};

static int64_t full_syncs(const struct follower *f) {
    return f->pool ? sum_of(f->pool, "primary_full_syncs") : lines_in(f->dir, "Full resync from");
}

static int64_t partial_syncs(const struct follower *f) {
    return f->pool ? sum_of(f->pool, "primary_partial_syncs")
                   : lines_in(f->dir, "Successful partial resync");
}

/* ---- cut links ---- */

static void assert_follows(const char *what, int primary, const struct follower *f) {
    await_last_words(primary, f->port);
    dataset_assert_equal("primary", primary, what, f->port, EXPIRY_EXACT);
}

static void await_cuts(struct proxy *proxy, unsigned more) {
    unsigned until = proxy_cuts(proxy) + more;
    AWAIT(proxy_cuts(proxy) >= until);
}

/* The stream is cut again and again, and goes on where it stopped. primary_port is the one that is followed. */
static void cut_stream(struct proxy *proxy, int primary, int primary_port, struct follower *f) {
    struct writer w;
    uint64_t seed = random_seed();
    dataset_fill(primary, seed, KEYS);
    writer_begin(&w, primary, seed);
    follow(f->port, PROXY_HOST, primary_port);
    AWAIT(link_is_up(f->port));
    int64_t full = full_syncs(f), partial = partial_syncs(f);
    assert_true(full > 0);
    proxy_cut_within(proxy, seed, STREAM_CUT_MOST);
    await_cuts(proxy, CUTS);
    proxy_throttle(proxy, 50000);
    await_cuts(proxy, 2);
    proxy_cut_within(proxy, seed, 0);
    proxy_throttle(proxy, 0);
    say_more(primary, 1, 100);
    writer_end(&w);
    AWAIT(link_is_up(f->port));
    assert_follows("follower", primary, f);
    assert_int_equal(full_syncs(f), full);
    assert_true(partial_syncs(f) > partial);
}

static void cut_pools(unsigned primary_workers, unsigned workers) {
    struct pool *primary = pool_of(primary_workers), *pool = pool_of(workers);
    struct proxy *proxy = proxy_of(primary);
    cut_stream(proxy, primary->port, primary->port,
               &(struct follower){.port = pool->port, .pool = pool});
    proxy_end(&proxy);
    pool_end(&pool);
    pool_end(&primary);
}

static void test_cut_equal_pools(void **state) {
    cut_pools(2, 2);
}
static void test_cut_to_a_smaller_pool(void **state) {
    cut_pools(3, 2);
}

static void test_cut_from_redis(void **state) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, redis_options);
    struct pool *pool = pool_of(2);
    struct proxy *proxy = proxy_start(redis->port, 1);
    cut_stream(proxy, redis->port, redis->port,
               &(struct follower){.port = pool->port, .pool = pool});
    proxy_end(&proxy);
    pool_end(&pool);
    oracle_end(&redis);
}

/* By the merged stream of the public port, and by a shard's own. */
static void cut_to_redis(unsigned workers) {
    oracle_needed();
    struct pool *primary = pool_of(workers);
    struct oracle *redis = oracle_start(NULL, NULL);
    struct proxy *proxy = proxy_of(primary);
    cut_stream(proxy, primary->port, workers == 1 ? primary->worker_port : primary->port,
               &(struct follower){.port = redis->port, .dir = redis->dir});
    proxy_end(&proxy);
    oracle_end(&redis);
    pool_end(&primary);
}

static void test_cut_merged_to_redis(void **state) {
    cut_to_redis(3);
}
static void test_cut_shard_to_redis(void **state) {
    cut_to_redis(1);
}

/* In the middle of the snapshot, which then comes anew, but not more often than it was cut. */
static void test_cut_snapshots(void **state) {
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *primary = pool_of(2), *pool = pool_of(2);
    struct follower f = {.port = pool->port, .pool = pool};
    struct proxy *proxy = proxy_of(primary);
    dataset_fill(primary->port, seed, 3 * KEYS);
    writer_begin(&w, primary->port, seed);
    proxy_cut_within(proxy, seed, 30000);
    follow(pool->port, PROXY_HOST, primary->port);
    await_cuts(proxy, CUTS);
    proxy_cut_within(proxy, seed, 0);
    writer_more(&w, 100);
    writer_end(&w);
    AWAIT(link_is_up(pool->port));
    assert_follows("follower", primary->port, &f);
    assert_in_range(full_syncs(&f), 2, 2 + proxy_cuts(proxy));
    proxy_end(&proxy);
    pool_end(&pool);
    pool_end(&primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cut_equal_pools, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_to_a_smaller_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_from_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_merged_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_shard_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_snapshots, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
