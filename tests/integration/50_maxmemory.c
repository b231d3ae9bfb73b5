/* 50_maxmemory.c - one limit for the pool as a whole, and the eight ways to keep it. */
#include "tests/integration/pool_fixture.h"

enum { VALUE_BYTES = 1000, ROOM_BYTES = 12 << 20, FILL_KEYS = 30000, BATCH = 500 };

static char value[VALUE_BYTES + 1];

static int64_t used(const struct pool *pool) {
    return pool_number(pool, "pool.memory.used_bytes");
}

static int64_t evicted(const struct pool *pool) {
    int64_t sum = 0;
    for (unsigned i = 0; i < pool->workers; i++)
        sum += pool_number(pool, "workers.%u.metrics.evicted_keys", i);
    return sum;
}

/* A pool with a policy and some room beyond what it uses now; the limit in *limit_r. */
static struct pool *start(const char *policy, int64_t *limit_r) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    memset(value, 'v', VALUE_BYTES);
    *limit_r = used(pool) + ROOM_BYTES;
    expect_text(c, "OK", "CONFIG SET maxmemory-policy %s maxmemory %d", policy, (int)*limit_r);
    redisFree(c);
    return pool;
}

/* What became of so many writes. */
struct outcome {
    unsigned stored, refused;
};

static void read_outcome(redisContext *c, struct outcome *outcome) {
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
    if (reply->type == REDIS_REPLY_ERROR) {
        assert_string_equal(reply->str, "OOM command not allowed when used memory > 'maxmemory'.");
        outcome->refused++;
    } else {
        assert_string_equal(reply->str, "OK");
        outcome->stored++;
    }
    freeReplyObject(reply);
}

/* SET prefix:from .. prefix:to-1, with seconds to live unless 0. Keys of one shard if tag is given. */
static struct outcome fill(redisContext *c, const char *prefix, unsigned from, unsigned to,
                           unsigned ttl) {
    struct outcome outcome = {0};
    for (unsigned i = from; i < to; i += BATCH) {
        for (unsigned k = i; k < i + BATCH && k < to; k++) {
            if (ttl)
                redisAppendCommand(c, "SET %s:%u %s EX %u", prefix, k, value, ttl);
            else
                redisAppendCommand(c, "SET %s:%u %s", prefix, k, value);
        }
        for (unsigned k = i; k < i + BATCH && k < to; k++)
            read_outcome(c, &outcome);
    }
    return outcome;
}

/* How many of the keys prefix:from .. prefix:to-1 the command says 1 of. */
static unsigned count_with(redisContext *c, const char *command, const char *prefix, unsigned from,
                           unsigned to) {
    unsigned count = 0;
    for (unsigned i = from; i < to; i += BATCH) {
        for (unsigned k = i; k < i + BATCH && k < to; k++)
            redisAppendCommand(c, "%s %s:%u", command, prefix, k);
        for (unsigned k = i; k < i + BATCH && k < to; k++) {
            redisReply *reply = NULL;
            assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
            assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
            count += reply->integer == 1;
            freeReplyObject(reply);
        }
    }
    return count;
}

static unsigned still_there(redisContext *c, const char *prefix, unsigned from, unsigned to) {
    return count_with(c, "EXISTS", prefix, from, to);
}

/* Looking takes memory, too: nothing shall go while we count. */
static void lift_limit(redisContext *c) {
    expect_text(c, "OK", "CONFIG SET maxmemory 0");
}

/* The pool may be over for as long as its workers read each other's figures late. */
static void expect_within(const struct pool *pool, int64_t limit) {
    AWAIT(used(pool) <= limit);
}

/* ---- nobody is evicted ---- */

static void test_noeviction(void **state) {
    int64_t limit;
    struct pool *pool = start("noeviction", &limit);
    redisContext *c = pool_connect(pool);
    struct outcome outcome = fill(c, "k", 0, FILL_KEYS, 0);
    assert_true(outcome.stored > 5000 && outcome.refused > 5000);
    /* What is refused are writes that may take memory, on every shard and every port. */
    for (unsigned i = 0; i < 3; i++) {
        redisContext *node = pool_connect_worker(pool, i);
        expect_error(node, "OOM ", "SET %s %s", pool_key(pool, i, 0), value);
        expect_nil(node, "GET %s", pool_key(pool, i, 0));
        redisFree(node);
    }
    expect_text(c, value, "GET k:0");
    assert_int_equal(ask_integer(c, "DBSIZE"), outcome.stored);
    assert_int_equal(evicted(pool), 0);
    assert_true(used(pool) < limit + limit / 20);
    for (unsigned k = 0; k < 3000; k++)
        expect_integer(c, 1, "DEL k:%u", k);
    AWAIT(used(pool) < limit);
    expect_text(c, "OK", "SET again %s", value);
    redisFree(c);
    pool_end(&pool);
}

/* ---- any key may go ---- */

/* The pool keeps its limit and takes every write. */
static struct pool *overfill(const char *policy, int64_t *limit_r, redisContext **c_r) {
    struct pool *pool = start(policy, limit_r);
    *c_r = pool_connect(pool);
    struct outcome outcome = fill(*c_r, "k", 0, FILL_KEYS, 0);
    assert_int_equal(outcome.refused, 0);
    expect_within(pool, *limit_r);
    lift_limit(*c_r);
    int64_t keys = ask_integer(*c_r, "DBSIZE");
    assert_true(keys > 5000 && keys < FILL_KEYS - 5000);
    AWAIT(evicted(pool) == FILL_KEYS - keys);
    assert_int_equal(still_there(*c_r, "k", 0, FILL_KEYS), keys);
    return pool;
}

static void test_allkeys_random(void **state) {
    int64_t limit;
    redisContext *c;
    struct pool *pool = overfill("allkeys-random", &limit, &c);
    redisFree(c);
    pool_end(&pool);
}

/* The clock of LRU ticks once a second, so what is old must be some ticks old. */
static void test_allkeys_lru_keeps_the_recent(void **state) {
    enum { OLD = 9000, RECENT = 1000 };
    int64_t limit;
    struct pool *pool = start("allkeys-lru", &limit);
    redisContext *c = pool_connect(pool);
    assert_int_equal(fill(c, "k", 0, OLD, 0).refused, 0);
    AWAIT(ask_integer(c, "OBJECT IDLETIME k:%d", OLD - 1) >= 3);
    assert_int_equal(count_with(c, "TOUCH", "k", 0, RECENT), RECENT);
    assert_int_equal(fill(c, "new", 0, 5000, 0).refused, 0);
    expect_within(pool, limit);
    lift_limit(c);
    unsigned recent = still_there(c, "k", 0, RECENT), old = still_there(c, "k", RECENT, OLD);
    if (recent < RECENT * 9 / 10 || old > OLD - RECENT - 2000)
        fail_msg("%u of %u recent and %u of %u old keys are there", recent, RECENT, old,
                 OLD - RECENT);
    redisFree(c);
    pool_end(&pool);
}

static void test_allkeys_lfu_keeps_the_frequent(void **state) {
    enum { HOT = 300 };
    int64_t limit;
    struct pool *pool = start("allkeys-lfu", &limit);
    redisContext *c = pool_connect(pool);
    fill(c, "hot", 0, HOT, 0);
    for (unsigned round = 0; round < 60; round++)
        assert_int_equal(count_with(c, "TOUCH", "hot", 0, HOT), HOT);
    assert_int_equal(fill(c, "k", 0, FILL_KEYS, 0).refused, 0);
    expect_within(pool, limit);
    lift_limit(c);
    unsigned hot = still_there(c, "hot", 0, HOT);
    if (hot < HOT * 9 / 10)
        fail_msg("%u of %u frequent keys are there", hot, HOT);
    redisFree(c);
    pool_end(&pool);
}

/* ---- only keys that would expire may go ---- */

static void volatile_policy(const char *policy) {
    enum { KEPT = 4000 };
    int64_t limit;
    struct pool *pool = start(policy, &limit);
    redisContext *c = pool_connect(pool);
    assert_int_equal(fill(c, "kept", 0, KEPT, 0).refused, 0);
    assert_int_equal(fill(c, "k", 0, FILL_KEYS, 100000).refused, 0);
    expect_within(pool, limit);
    AWAIT(evicted(pool) > 5000);
    assert_int_equal(still_there(c, "kept", 0, KEPT), KEPT);
    /* With none left that may go, it is as with noeviction. */
    struct outcome outcome = fill(c, "more", 0, FILL_KEYS, 0);
    assert_true(outcome.refused > 5000);
    lift_limit(c);
    assert_int_equal(still_there(c, "kept", 0, KEPT), KEPT);
    assert_int_equal(still_there(c, "more", 0, FILL_KEYS), outcome.stored);
    redisFree(c);
    pool_end(&pool);
}

static void test_volatile_random(void **state) {
    volatile_policy("volatile-random");
}

static void test_volatile_lru(void **state) {
    volatile_policy("volatile-lru");
}

static void test_volatile_lfu(void **state) {
    volatile_policy("volatile-lfu");
}

static void test_volatile_ttl_takes_the_nearest_end(void **state) {
    enum { EACH = 6000 };
    volatile_policy("volatile-ttl");
    int64_t limit;
    struct pool *pool = start("volatile-ttl", &limit);
    redisContext *c = pool_connect(pool);
    unsigned late = 0, soon = 0;
    for (unsigned k = 0; k < EACH; k += BATCH) {
        assert_int_equal(fill(c, "late", k, k + BATCH, 500000).refused, 0);
        assert_int_equal(fill(c, "soon", k, k + BATCH, 5000).refused, 0);
    }
    assert_int_equal(fill(c, "k", 0, 2000, 500000).refused, 0);
    expect_within(pool, limit);
    lift_limit(c);
    late = still_there(c, "late", 0, EACH);
    soon = still_there(c, "soon", 0, EACH);
    if (late < EACH * 19 / 20 || soon > EACH * 3 / 4)
        fail_msg("of %u each, %u with a late and %u with a near end are there", EACH, late, soon);
    redisFree(c);
    pool_end(&pool);
}

/* ---- the pool as a whole ---- */

/* One shard may use what the others do not, and gives it back when they come. */
static void test_skew(void **state) {
    char one[48], other[48];
    int64_t limit;
    struct pool *pool = start("allkeys-lru", &limit);
    redisContext *c = pool_connect(pool);
    snprintf(one, sizeof(one), "{%s}", pool_key(pool, 0, 0));
    snprintf(other, sizeof(other), "{%s}", pool_key(pool, 1, 0));
    assert_int_equal(fill(c, one, 0, FILL_KEYS, 0).refused, 0);
    expect_within(pool, limit);
    int64_t alone = pool_number(pool, "workers.0.memory.used_bytes");
    if (alone < limit / 2)
        fail_msg("alone, a shard uses %lld of %lld bytes", (long long)alone, (long long)limit);
    assert_int_equal(fill(c, other, 0, FILL_KEYS, 0).refused, 0);
    expect_within(pool, limit);
    /* What /status says is a moment old. */
    AWAIT(pool_number(pool, "workers.1.memory.used_bytes") >= limit / 4);
    AWAIT(pool_number(pool, "workers.0.memory.used_bytes") < alone * 3 / 4);
    redisFree(c);
    pool_end(&pool);
}

/* A limit that comes down is kept without anyone writing. */
static void test_lower_limit(void **state) {
    int64_t limit;
    struct pool *pool = start("allkeys-lru", &limit);
    redisContext *c = pool_connect(pool);
    assert_int_equal(fill(c, "k", 0, 8000, 0).refused, 0);
    assert_int_equal(evicted(pool), 0);
    int64_t lower = limit - ROOM_BYTES / 2;
    expect_text(c, "OK", "CONFIG SET maxmemory %d", (int)lower);
    expect_within(pool, lower);
    assert_true(ask_integer(c, "DBSIZE") > 2000);
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_noeviction, pools_cleanup),
        cmocka_unit_test_teardown(test_allkeys_random, pools_cleanup),
        cmocka_unit_test_teardown(test_allkeys_lru_keeps_the_recent, pools_cleanup),
        cmocka_unit_test_teardown(test_allkeys_lfu_keeps_the_frequent, pools_cleanup),
        cmocka_unit_test_teardown(test_volatile_random, pools_cleanup),
        cmocka_unit_test_teardown(test_volatile_lru, pools_cleanup),
        cmocka_unit_test_teardown(test_volatile_lfu, pools_cleanup),
        cmocka_unit_test_teardown(test_volatile_ttl_takes_the_nearest_end, pools_cleanup),
        cmocka_unit_test_teardown(test_skew, pools_cleanup),
        cmocka_unit_test_teardown(test_lower_limit, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
