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

struct follower {
    int port;
    const struct pool *pool; /* or the folder of a redis-server's log */
    const char *dir;
};

static int64_t follower_full_syncs(const struct follower *f) {
    return f->pool ? pool_sum(f->pool, "primary_full_syncs")
                   : log_lines(f->dir, "Full resync from");
}

static int64_t partial_syncs(const struct follower *f) {
    return f->pool ? pool_sum(f->pool, "primary_partial_syncs")
                   : log_lines(f->dir, "Successful partial resync");
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
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    dataset_fill(primary, seed, KEYS);
    writer_begin(&w, primary, seed);
    follow(f->port, PROXY_HOST, primary_port);
    AWAIT(link_is_up(f->port));
    int64_t full = follower_full_syncs(f), partial = partial_syncs(f);
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
    assert_int_equal(follower_full_syncs(f), full);
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
    static struct writer w; /* outlives a failed test */
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
    assert_in_range(follower_full_syncs(&f), 2, 2 + proxy_cuts(proxy));
    proxy_end(&proxy);
    pool_end(&pool);
    pool_end(&primary);
}

/* ---- slow links ---- */

/* Overwrites a few keys with large values, so that the stream grows and the data do not. The longest that one
 * of them took, in milliseconds. */
static uint64_t write_much(int port, unsigned round, unsigned megabytes) {
    enum { VALUE = 16384, VALUE_KEYS = 64 };
    static char value[VALUE];
    uint64_t longest_ms = 0;
    redisContext *c = client_connect(port);
    memset(value, 'a' + (int)(round % 26), sizeof value);
    for (unsigned i = 0; i < megabytes * 1048576 / VALUE; i++) {
        uint64_t began_ms = clock_mono_ms(), took_ms;
        freeReplyObject(expect_reply(c, "SET large:%u %b", i % VALUE_KEYS, value, sizeof value));
        took_ms = clock_mono_ms() - began_ms;
        longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
    }
    redisFree(c);
    return longest_ms;
}

static struct pool *pool_of_limited_output(void) {
    return pool_start(&(struct pool_options){
        .workers = 2,
        .options = {"--bind", "127.0.0.1", "--client-output-buffer-limit", "slave 4mb 4mb 60"}});
}

/* It is let go when it owes more than the limit, costs no more than that, and comes again when it can. links: that
 * it has to the primary. */
static void slow_follower(struct pool *primary, const struct follower *f, unsigned links) {
    enum { HARD = 4 << 20, SPARE = 8 << 20, LONGEST_MS = 5000 };
    struct proxy *proxy = proxy_of(primary);
    uint64_t longest_ms = 0, took_ms;
    write_much(primary->port, 0, 1);
    follow(f->port, PROXY_HOST, primary->port);
    AWAIT(link_is_up(f->port));
    int64_t before = pool_sum(primary, "used_memory_bytes");
    proxy_throttle(proxy, 20000);
    for (unsigned round = 1; round <= 12; round++) {
        if (round == 7)
            proxy_stall_after(proxy, 0);
        took_ms = write_much(primary->port, round, 4);
        longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
        assert_true(pool_sum(primary, "used_memory_bytes") < before + 2 * HARD + SPARE);
    }
    assert_true(log_lines(primary->dir, "it is slower than client-output-buffer-limit allows") > 0);
    assert_true(longest_ms < LONGEST_MS);
    proxy_throttle(proxy, 0);
    proxy_stall_after(proxy, PROXY_ALL);
    proxy_cut(proxy); /* what a follower would find out by repl-timeout */
    AWAIT(follower_full_syncs(f) >= 2 * links);
    await_last_words(primary->port, f->port);
    AWAIT(link_is_up(f->port));
    int64_t full = follower_full_syncs(f);
    say_more(primary->port, 1, 200);
    assert_follows("follower", primary->port, f);
    assert_int_equal(follower_full_syncs(f), full);
    assert_in_range(full, 2, 6 * links);
    proxy_end(&proxy);
}

static void test_slow_replica(void **state) {
    struct pool *primary = pool_of_limited_output(), *pool = pool_of(2);
    slow_follower(primary, &(struct follower){.port = pool->port, .pool = pool}, 2);
    pool_end(&pool);
    pool_end(&primary);
}

static void test_slow_merged_replica(void **state) {
    oracle_needed();
    struct pool *primary = pool_of_limited_output();
    struct oracle *redis = oracle_start(NULL, NULL);
    slow_follower(primary, &(struct follower){.port = redis->port, .dir = redis->dir}, 1);
    oracle_end(&redis);
    pool_end(&primary);
}

/* A snapshot that does not go on coming is given up, and asked for again. */
static void test_stalled_snapshot(void **state) {
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *primary = pool_of(2);
    struct pool *pool =
        pool_start(&(struct pool_options){.workers = 2, .options = {"--repl-timeout", "2"}});
    struct follower f = {.port = pool->port, .pool = pool};
    struct proxy *proxy = proxy_of(primary);
    redisContext *c = pool_connect(primary);
    expect_text(c, "OK", "CONFIG SET repl-ping-replica-period 1");
    dataset_fill(primary->port, seed, KEYS);
    writer_begin(&w, primary->port, seed);
    proxy_stall_after(proxy, 10000);
    follow(pool->port, PROXY_HOST, primary->port);
    AWAIT(proxy_stalled(proxy) >= 2);
    AWAIT(pool_log_has(pool, "nothing heard for repl-timeout"));
    assert_false(link_is_up(pool->port));
    AWAIT(proxy_stalled(proxy) >= 4);
    proxy_stall_after(proxy, PROXY_ALL);
    AWAIT(link_is_up(pool->port));
    writer_end(&w);
    assert_follows("follower", primary->port, &f);
    assert_true(follower_full_syncs(&f) >= 4);
    redisFree(c);
    proxy_end(&proxy);
    pool_end(&pool);
    pool_end(&primary);
}

/* ---- addresses and passwords ---- */

static bool has_ipv6(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return has;
}

static void test_ipv6(void **state) {
    if (!has_ipv6()) {
        print_message("skipped, there is no ::1\n");
        skip();
    }
    struct pool_options options = {.workers = 2, .options = {"--bind", "::1 127.0.0.1"}};
    struct pool *primary = pool_start(&options);
    for (unsigned workers = 2; workers <= 3; workers++) {
        options.workers = workers;
        struct pool *pool = pool_start(&options);
        struct follower f = {.port = pool->port, .pool = pool};
        say_more(primary->port, workers, 100);
        follow(pool->port, "::1", primary->port);
        AWAIT(link_is_up(pool->port));
        redisContext *c = pool_connect(pool);
        assert_string_equal(info_field(c, "replication", "master_host"), "::1");
        redisFree(c);
        assert_follows("follower", primary->port, &f);
        pool_end(&pool);
    }
    redisContext *c = pool_connect(primary);
    assert_non_null(strstr(info_field(c, "replication", "role"), "master"));
    redisFree(c);
    pool_end(&primary);
}

static bool has_trouble(const struct pool *pool, const char *text) {
    return strstr(pool_text(pool, "workers.1.replication.primaries.0.trouble"), text) != NULL;
}

static void test_passwords(void **state) {
    struct pool *primary = pool_of(2), *pool = pool_of(2);
    struct follower f = {.port = pool->port, .pool = pool};
    redisContext *p = pool_connect(primary), *c = pool_connect(pool);
    say_more(primary->port, 1, 100);
    expect_text(c, "OK", "SET of-before yes");
    expect_text(p, "OK", "CONFIG SET requirepass secret");
    follow(pool->port, "127.0.0.1", primary->port);
    AWAIT(has_trouble(pool, "-NOAUTH Authentication required."));
    expect_text(c, "OK", "CONFIG SET masterauth wrong");
    AWAIT(has_trouble(pool, "-WRONGPASS invalid username-password pair or user is disabled."));
    assert_false(link_is_up(pool->port));
    expect_text(c, "yes", "GET of-before");
    expect_text(c, "OK", "CONFIG SET masterauth secret");
    AWAIT(link_is_up(pool->port));
    /* With the password changed, the next connection is refused, the data stay. */
    expect_text(p, "OK", "CONFIG SET requirepass other");
    for (unsigned i = 0; i < 2; i++) {
        redisContext *w = pool_connect_worker(primary, i);
        expect_text(w, "OK", "AUTH other");
        freeReplyObject(expect_reply(w, "CLIENT KILL TYPE replica"));
        redisFree(w);
    }
    AWAIT(!link_is_up(pool->port));
    expect_text(c, "OK", "CONFIG SET masterauth other");
    AWAIT(pool_sum(pool, "primary_partial_syncs") ==
          2); /* not every worker's INFO is of this moment */
    expect_text(p, "OK", "CONFIG SET requirepass %s", "");
    assert_follows("follower", primary->port, &f);
    assert_int_equal(follower_full_syncs(&f), 2);
    redisFree(c);
    redisFree(p);
    pool_end(&pool);
    pool_end(&primary);
}

/* The user that Redis's documentation gives to replicas may say nothing but what they need. */
static void test_replica_user(void **state) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = 2, .options = {"--masteruser", "replica", "--masterauth", "secret"}});
    redisContext *c = client_connect(redis->port);
    expect_text(c, "OK", "ACL SETUSER replica on >secret +psync +replconf +ping");
    say_more(redis->port, 1, 100);
    follow(pool->port, "127.0.0.1", redis->port);
    AWAIT(link_is_up(pool->port));
    assert_follows("follower", redis->port, &(struct follower){.port = pool->port, .pool = pool});
    redisFree(c);
    pool_end(&pool);
    oracle_end(&redis);
}

/* Its shards are others than those that were followed: it is followed as what it is now, without help, and so
 * is who follows it. */
static void resize(unsigned workers, const unsigned *sizes, unsigned count) {
    struct pool *primary = pool_of(sizes[0]), *pool = pool_of(workers), *last = pool_of(workers);
    follow(pool->port, "127.0.0.1", primary->port);
    follow(last->port, "127.0.0.1", pool->port);
    for (unsigned i = 0; i < count; i++) {
        say_more(primary->port, i, 100);
        await_equal(primary->port, pool->port);
        await_equal(primary->port, last->port);
        /* Worker to worker, or not. */
        int64_t links = sizes[i] == workers ? workers : sizes[i] > 1 ? sizes[i] : 1;
        assert_int_equal(pool_sum(pool, "primary_links"), links);
        assert_int_equal(pool_stop(primary), 0);
        primary->workers = i + 1 < count ? sizes[i + 1] : 1;
        pool_start_again(primary);
    }
    await_equal(primary->port, pool->port);
    pool_end(&last);
    pool_end(&pool);
    pool_end(&primary);
}

static void test_primary_of_another_size(void **state) {
    resize(2, (const unsigned[]){2, 3, 2, 1}, 4);
}
/* One of its workers has no link, then all have. */
static void test_primary_grows_to_our_size(void **state) {
    resize(3, (const unsigned[]){2, 3}, 2);
}

/* In the place of a pool there is a redis-server. */
static void test_primary_becomes_redis(void **state) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, NULL);
    struct pool *primary = pool_of(2), *pool = pool_of(2);
    follow(pool->port, "127.0.0.1", primary->port);
    say_more(primary->port, 1, 100);
    await_equal(primary->port, pool->port);
    say_more(redis->port, 2, 100);
    assert_int_equal(pool_stop(primary), 0);
    redisContext *c = client_connect(redis->port);
    expect_text(c, "OK", "CONFIG SET port %d", primary->port);
    redisFree(c);
    redis->port = primary->port;
    await_equal(redis->port, pool->port);
    pool_end(&pool);
    pool_end(&primary);
    oracle_end(&redis);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cut_equal_pools, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_to_a_smaller_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_from_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_merged_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_shard_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_snapshots, pools_cleanup),
        cmocka_unit_test_teardown(test_slow_replica, pools_cleanup),
        cmocka_unit_test_teardown(test_slow_merged_replica, pools_cleanup),
        cmocka_unit_test_teardown(test_stalled_snapshot, pools_cleanup),
        cmocka_unit_test_teardown(test_ipv6, pools_cleanup),
        cmocka_unit_test_teardown(test_passwords, pools_cleanup),
        cmocka_unit_test_teardown(test_replica_user, pools_cleanup),
        cmocka_unit_test_teardown(test_primary_of_another_size, pools_cleanup),
        cmocka_unit_test_teardown(test_primary_grows_to_our_size, pools_cleanup),
        cmocka_unit_test_teardown(test_primary_becomes_redis, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
