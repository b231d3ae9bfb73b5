/* 65_chains.c - replicas of replicas over a bad network, the links before and behind the middle one cut again
 * and again, in turn, while the first is written to; the middle one promoted meanwhile; snapshots cut on their way by
 * every kind of link. In the end the data are equal, and no cut of a stream cost a snapshot. SEED=n has a run
 * again. */
#include "tests/integration/proxy.h"
#include "tests/interop/following.h"

enum { KEYS = 300, CUTS = 6, SNAPSHOT_CUTS = 3, STREAM_CUT_MOST = 5000, SNAPSHOT_CUT_MOST = 30000 };

/* One server of a chain and the bad network before it. */
struct place {
    struct pool *pool;
    struct oracle *redis;
    struct proxy *proxy;
    const char *dir;
    int port;
};

/* workers = 0: a real redis-server. */
static struct place place_begin(unsigned workers) {
    static const char *const redis_options[] = {
        "--bind", "127.0.0.1", "--repl-backlog-size", "16mb", "--repl-diskless-sync-delay",
        "0",      NULL};
    struct place s = {0};
    if (workers) {
        s.pool = pool_start(&(struct pool_options){
            .workers = workers, .options = {"--bind", "127.0.0.1", "--repl-backlog-size", "16mb"}});
        s.port = s.pool->port;
        s.dir = s.pool->dir;
    } else {
        oracle_needed();
        s.redis = oracle_start(NULL, redis_options);
        s.port = s.redis->port;
        s.dir = s.redis->dir;
    }
    s.proxy = proxy_start(s.port, workers ? 2 + workers : 1);
    return s;
}

static void place_end(struct place *s) {
    proxy_end(&s->proxy);
    if (s->pool)
        pool_end(&s->pool);
    else
        oracle_end(&s->redis);
}

static void follow_through(const struct place *follower, const struct place *primary) {
    follow(follower->port, PROXY_HOST, primary->port);
}

static unsigned full_syncs_at(const struct place *s) {
    return log_lines(s->dir, "Full resync from master");
}

static void await_cuts(const struct place *s, unsigned more) {
    unsigned until = proxy_cuts(s->proxy) + more;
    AWAIT(proxy_cuts(s->proxy) >= until);
}

/* Its replica hears it when this is over. */
static void end_cuts(const struct place *s) {
    proxy_cut_within(s->proxy, 0, 0);
}

/* ---- streams ---- */

static void cut_a_chain(unsigned first, unsigned middle, unsigned last) {
    enum { LENGTH = 3 };
    struct place s[LENGTH] = {place_begin(first), place_begin(middle), place_begin(last)};
    unsigned full[LENGTH];
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    dataset_fill(s[0].port, seed, KEYS);
    for (unsigned i = 1; i < LENGTH; i++) {
        follow_through(&s[i], &s[i - 1]);
        AWAIT(link_is_up(s[i].port));
    }
    await_last_words(s[0].port, s[2].port);
    for (unsigned i = 1; i < LENGTH; i++)
        full[i] = full_syncs_at(&s[i]);
    writer_begin(&w, s[0].port, seed);
    /* In turn: behind a link that is down nobody may continue. */
    for (unsigned i = 0; i < LENGTH - 1; i++) {
        proxy_cut_within(s[i].proxy, seed + i, STREAM_CUT_MOST);
        await_cuts(&s[i], CUTS);
        end_cuts(&s[i]);
        AWAIT(link_is_up(s[i + 1].port));
    }
    say_more(s[0].port, 1, 100);
    writer_end(&w);
    for (unsigned i = 1; i < LENGTH; i++) {
        await_equal(s[0].port, s[i].port);
        assert_int_equal(full_syncs_at(&s[i]), full[i]);
    }
    for (unsigned i = LENGTH; i-- > 0;)
        place_end(&s[i]);
}

static void test_pools_of_one_size(void **state) {
    cut_a_chain(2, 2, 2);
}
static void test_from_redis_to_pools(void **state) {
    cut_a_chain(0, 2, 2);
}
static void test_pools_of_other_sizes(void **state) {
    cut_a_chain(3, 2, 1);
}
/* The last follows the merged stream of a pool that is a replica. */
static void test_from_pools_to_redis(void **state) {
    cut_a_chain(2, 2, 0);
}

/* ---- promotion ---- */

/* The middle one is promoted while the links to it are cut. Its replica and its sibling go on behind it. */
static void test_promoted_meanwhile(void **state) {
    struct place first = place_begin(2), middle = place_begin(2), last = place_begin(2),
                 sibling = place_begin(2);
    const struct place *behind[] = {&last, &sibling};
    unsigned full[2];
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    dataset_fill(first.port, seed, KEYS);
    follow_through(&middle, &first);
    AWAIT(link_is_up(middle.port));
    follow_through(&last, &middle);
    follow_through(&sibling, &first);
    for (unsigned i = 0; i < 2; i++) {
        await_equal(first.port, behind[i]->port);
        full[i] = full_syncs_at(behind[i]);
    }
    writer_begin(&w, first.port, seed);
    proxy_cut_within(middle.proxy, seed, STREAM_CUT_MOST);
    await_cuts(&middle, CUTS);
    writer_end(&w); /* who is promoted has all that its siblings have */
    await_last_words(first.port, middle.port);
    stop_following(middle.port);
    follow_through(&sibling, &middle);
    writer_begin(&w, middle.port, seed + 1);
    await_cuts(&middle, CUTS);
    end_cuts(&middle);
    writer_end(&w);
    for (unsigned i = 0; i < 2; i++) {
        await_equal(middle.port, behind[i]->port);
        assert_int_equal(full_syncs_at(behind[i]), full[i]);
    }
    place_end(&sibling);
    place_end(&last);
    place_end(&middle);
    place_end(&first);
}

/* ---- snapshots ---- */

/* Each cut costs a snapshot of one link at most, and the last one is the last. */
static void cut_snapshots(unsigned primary_workers, unsigned workers) {
    struct place primary = place_begin(primary_workers), replica = place_begin(workers);
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    dataset_fill(primary.port, seed, 3 * KEYS);
    writer_begin(&w, primary.port, seed);
    proxy_cut_within(primary.proxy, seed, SNAPSHOT_CUT_MOST);
    follow_through(&replica, &primary);
    await_cuts(&primary, SNAPSHOT_CUTS);
    end_cuts(&primary);
    AWAIT(link_is_up(replica.port));
    unsigned full = full_syncs_at(&replica), cuts = proxy_cuts(primary.proxy);
    assert_in_range(full, 1, (primary_workers ? primary_workers : 1) + cuts);
    writer_more(&w, 100);
    writer_end(&w);
    await_equal(primary.port, replica.port);
    assert_int_equal(full_syncs_at(&replica), full);
    place_end(&replica);
    place_end(&primary);
}

static void test_snapshots_from_redis(void **state) {
    cut_snapshots(0, 2);
}
static void test_snapshots_to_a_smaller_pool(void **state) {
    cut_snapshots(3, 2);
}
static void test_merged_snapshots_to_redis(void **state) {
    cut_snapshots(2, 0);
}

/* ---- refused ---- */

/* How often a shard of this pool has refused a password. */
static unsigned refusals(redisContext *const *shards, unsigned count) {
    unsigned sum = 0, n;
    for (unsigned i = 0; i < count; i++)
        if (sscanf(info_field(shards[i], "errorstats", "errorstat_WRONGPASS"), "count=%u", &n) == 1)
            sum += n;
    return sum;
}

/* One that is refused says why, and does not ask more often than once a second and link: the attempts are
 * counted first, the time is taken after. */
static void test_refused_at_leisure(void **state) {
    enum { WORKERS = 2, ATTEMPTS = 4 };
    struct pool *primary = pool_start(&(struct pool_options){.workers = WORKERS}),
                *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    redisContext *c = pool_connect(pool), *shards[WORKERS];
    unsigned refused;
    for (unsigned i = 0; i < WORKERS; i++)
        shards[i] = pool_connect_worker(primary, i);
    expect_text(shards[0], "OK", "CONFIG SET requirepass secret");
    for (unsigned i = 0; i < WORKERS; i++)
        expect_text(shards[i], "OK", "AUTH secret");
    expect_text(c, "OK", "CONFIG SET masterauth wrong");
    uint64_t began_ms = clock_mono_ms();
    follow(pool->port, "127.0.0.1", primary->port);
    AWAIT((refused = refusals(shards, WORKERS)) >= ATTEMPTS);
    uint64_t took_s = (clock_mono_ms() - began_ms) / 1000;
    assert_in_range(refused, ATTEMPTS, (took_s + 1) * WORKERS);
    assert_true(
        pool_log_has(pool, "-WRONGPASS invalid username-password pair or user is disabled."));
    assert_false(link_is_up(pool->port));
    expect_text(c, "OK", "CONFIG SET masterauth secret");
    AWAIT(link_is_up(pool->port));
    for (unsigned i = 0; i < WORKERS; i++)
        redisFree(shards[i]);
    redisFree(c);
    pool_end(&pool);
    pool_end(&primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pools_of_one_size, pools_cleanup),
        cmocka_unit_test_teardown(test_from_redis_to_pools, pools_cleanup),
        cmocka_unit_test_teardown(test_pools_of_other_sizes, pools_cleanup),
        cmocka_unit_test_teardown(test_from_pools_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_promoted_meanwhile, pools_cleanup),
        cmocka_unit_test_teardown(test_snapshots_from_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_snapshots_to_a_smaller_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_merged_snapshots_to_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_refused_at_leisure, pools_cleanup),
    };
    cmocka_set_test_filter(getenv("CASE"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
