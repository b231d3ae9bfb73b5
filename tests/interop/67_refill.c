/* 67_refill: who was away for a moment goes on where it was, also when its primary has died or was stopped
 * meanwhile: what it lacks is in the primary's log. Followed by a pool, by a redis-server and in a chain; all
 * data are compared after each round, and no round costs a snapshot. SEED=n has the same commands again. */
#include "tests/interop/following.h"

#include <glob.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILL = 300, ROUNDS = 4, ROUND = 300 };

/* following: the port that its configuration says, so that it outlasts a stop; 0: none. */
static struct pool *start(unsigned workers, int following) {
    static char targets[2][32]; /* of a chain */
    static unsigned next;
    struct pool_options options = {
        .workers = workers, .deaths = true, .options = {"--appendonly", "yes", "--save", ""}};
    if (following) {
        options.options[4] = "--replicaof";
        options.options[5] = targets[next % 2];
        snprintf(targets[next++ % 2], sizeof targets[0], "127.0.0.1 %d", following);
    }
    return pool_start(&options);
}

static void load(int port, uint64_t seed, unsigned count) {
    static struct writer w;
    writer_begin(&w, port, seed);
    writer_more(&w, count);
    writer_end(&w);
}

/* The log begins anew, with a base that says where it stands. */
static void rewrite_logs(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    unsigned before = log_lines(pool->dir, "Background AOF rewrite finished successfully");
    freeReplyObject(redisCommand(c, "BGREWRITEAOF"));
    redisFree(c);
    AWAIT(log_lines(pool->dir, "Background AOF rewrite finished successfully") >=
          before + pool->workers);
}

enum end { KILLED, ABANDONED, STOPPED };

/* The primary ends in the middle of a load, and goes on with it. */
static void end_and_go_on(struct pool *pool, enum end how, uint64_t seed) {
    static struct writer w; /* outlives a failed test */
    writer_begin(&w, pool->port, seed);
    writer_more(&w, ROUND);
    if (how != STOPPED) {
        if (how == KILLED)
            pool_kill_worker(pool, (unsigned)seed % pool->workers, SIGKILL);
        else
            pool_kill_supervisor(pool);
        writer_more(&w, ROUND);
        writer_end(&w);
    } else {
        writer_end(&w);
        assert_int_equal(pool_stop(pool), 0);
        pool_start_again(pool);
        load(pool->port, seed + 1, ROUND);
    }
}

static void run_pools(enum end how) {
    uint64_t seed = random_seed();
    struct pool *primary = start(2, 0), *replica = start(2, primary->port);
    dataset_fill(primary->port, seed, FILL);
    await_equal(primary->port, replica->port);
    unsigned before = full_resyncs(replica);
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == 1)
            rewrite_logs(primary);
        assert_int_equal(pool_stop(replica), 0);
        end_and_go_on(primary, how, seed + 10 * i);
        pool_start_again(replica);
        await_equal(primary->port, replica->port);
        assert_int_equal(full_resyncs(replica), before);
    }
    pool_end(&replica);
    pool_end(&primary);
}

static void test_pool_whose_primary_is_killed(void **state) {
    run_pools(KILLED);
}
static void test_pool_whose_primary_is_left_alone(void **state) {
    run_pools(ABANDONED);
}
static void test_pool_whose_primary_is_stopped(void **state) {
    run_pools(STOPPED);
}

/* Its link is cut while it sleeps, so that it does not come again too soon; what asks it for an
 * acknowledgement is in the stream before that. */
static void cut_link(const struct pool *primary, const struct oracle *redis) {
    redisContext *c = pool_connect(primary);
    expect_text(c, "OK", "SET awaited yes");
    expect_integer(c, 1, "WAIT 1 10000");
    kill(redis->pid, SIGSTOP);
    assert_true(ask_integer(c, "CLIENT KILL TYPE replica") > 0);
    redisFree(c);
}

/* A real server loads the log with all that it says of the stream. */
static void assert_notes_are_harmless(const struct pool *pool, const struct oracle *equal) {
    char directory[128];
    snprintf(directory, sizeof directory, "%s/shard-0000", pool->data);
    int code;
    char *said = run_shell(&code, "grep -ac 'sent:' %s/appendonlydir/*.incr.aof", directory);
    assert_true(atoi(said) > 0);
    free(said);
    struct oracle *loader = oracle_start(directory, (const char *[]){"--appendonly", "yes", NULL});
    redisContext *c = client_connect(loader->port);
    AWAIT(strcmp(info_field(c, "persistence", "loading"), "0") == 0);
    redisFree(c);
    dataset_assert_equal("loader", loader->port, "replica", equal->port, EXPIRY_EXACT);
    oracle_end(&loader);
}

static struct oracle *start_redis_behind(const struct pool *primary, uint64_t seed) {
    struct oracle *redis = oracle_start(NULL, (const char *[]){NULL});
    dataset_fill(primary->port, seed, FILL);
    follow(redis->port, "127.0.0.1", primary->port);
    await_equal(primary->port, redis->port);
    return redis;
}

static void run_redis(enum end how) {
    uint64_t seed = random_seed();
    struct pool *primary = start(1, 0);
    struct oracle *redis = start_redis_behind(primary, seed);
    unsigned before = log_lines(redis->dir, "Full resync from master");
    for (unsigned i = 0; i < ROUNDS; i++) {
        if (i == 1)
            rewrite_logs(primary);
        cut_link(primary, redis);
        end_and_go_on(primary, how, seed + 10 * i);
        kill(redis->pid, SIGCONT);
        await_equal(primary->port, redis->port);
        assert_int_equal(log_lines(redis->dir, "Full resync from master"), before);
    }
    assert_int_equal(pool_stop(primary), 0);
    assert_notes_are_harmless(primary, redis);
    pool_end(&primary);
    oracle_end(&redis);
}

static void test_redis_whose_primary_is_killed(void **state) {
    oracle_needed();
    run_redis(KILLED);
}
static void test_redis_whose_primary_is_stopped(void **state) {
    oracle_needed();
    run_redis(STOPPED);
}

/* The middle of a chain has its primary's bytes in its log, transactions and pings and all. Once the primary
 * is away when it comes up, and what it has is all that there is. */
static void test_chain(void **state) {
    uint64_t seed = random_seed();
    struct pool *first = start(2, 0), *middle = start(2, first->port),
                *last = start(2, middle->port);
    dataset_fill(first->port, seed, FILL);
    await_equal(first->port, last->port);
    unsigned of_middle = full_resyncs(middle), of_last = full_resyncs(last);
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(pool_stop(last), 0);
        load(first->port, seed + 10 * i, ROUND);
        await_last_words(first->port, middle->port);
        if (i == 1)
            assert_int_equal(pool_stop(first), 0);
        if (i % 2 == 0)
            pool_kill_worker(middle, (unsigned)(seed + i) % 2, SIGKILL);
        else
            assert_int_equal(pool_stop(middle), 0);
        if (i % 2 != 0)
            pool_start_again(middle);
        pool_start_again(last);
        if (i == 1)
            pool_start_again(first);
        await_equal(first->port, last->port);
        assert_int_equal(full_resyncs(middle), of_middle);
        assert_int_equal(full_resyncs(last), of_last);
    }
    pool_end(&last);
    pool_end(&middle);
    pool_end(&first);
}

/* As after a power cut under appendfsync everysec: the end of shard 0's log is gone, its last mark with it. */
static void lose_the_end(const struct pool *pool, uint64_t seed) {
    enum { MARK = 60, MOST = 3000 };
    char pattern[256];
    glob_t files;
    struct stat st;
    snprintf(pattern, sizeof pattern, "%s/shard-0000/appendonlydir/*.incr.aof", pool->data);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_int_equal(files.gl_pathc, 1);
    assert_int_equal(stat(files.gl_pathv[0], &st), 0);
    assert_true(st.st_size > MOST);
    off_t lost = MARK + (off_t)(seed % (MOST - MARK));
    assert_int_equal(truncate(files.gl_pathv[0], st.st_size - lost), 0);
    globfree(&files);
}

/* Who has what the log lacks begins anew, and has nothing then that was lost: also when as much and more was said
 * since, at the same places of the stream. Who is behind another shard goes on. */
static void test_log_that_lost_its_end(void **state) {
    uint64_t seed = random_seed();
    struct pool *primary = start(2, 0), *replica = start(2, primary->port);
    dataset_fill(primary->port, seed, FILL);
    await_equal(primary->port, replica->port);
    for (unsigned i = 0; i < ROUNDS; i++) {
        load(primary->port, seed + 10 * i, ROUND);
        await_last_words(primary->port, replica->port);
        unsigned before = full_resyncs(replica);
        assert_int_equal(pool_stop(replica), 0);
        assert_int_equal(pool_stop(primary), 0);
        lose_the_end(primary, seed + 77 * i);
        pool_start_again(primary);
        load(primary->port, seed + 10 * i + 1, i % 2 == 0 ? ROUND : 2);
        pool_start_again(replica);
        await_equal(primary->port, replica->port);
        assert_int_equal(full_resyncs(replica), before + 1);
    }
    pool_end(&replica);
    pool_end(&primary);
}

static void test_redis_knows_more_than_the_log(void **state) {
    oracle_needed();
    uint64_t seed = random_seed();
    struct pool *primary = start(1, 0);
    struct oracle *redis = start_redis_behind(primary, seed);
    for (unsigned i = 0; i < ROUNDS; i++) {
        load(primary->port, seed + 10 * i, ROUND);
        unsigned before = log_lines(redis->dir, "Full resync from master");
        cut_link(primary, redis);
        assert_int_equal(pool_stop(primary), 0);
        lose_the_end(primary, seed + 77 * i);
        pool_start_again(primary);
        load(primary->port, seed + 10 * i + 1, i % 2 == 0 ? ROUND : 2);
        kill(redis->pid, SIGCONT);
        await_equal(primary->port, redis->port);
        assert_int_equal(log_lines(redis->dir, "Full resync from master"), before + 1);
    }
    pool_end(&primary);
    oracle_end(&redis);
}

static void set_appendonly(const struct pool *pool, bool on) {
    const char *done = on ? "The append-only log is on" : "The append-only log is off";
    unsigned before = log_lines(pool->dir, done);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET appendonly %s", on ? "yes" : "no");
    redisFree(c);
    AWAIT(log_lines(pool->dir, done) == before + pool->workers);
}

/* What a log does not hold that was off for a while, its next life does not claim to know. */
static void test_log_off_and_on(void **state) {
    uint64_t seed = random_seed();
    struct pool *primary = start(2, 0), *replica = start(2, primary->port);
    dataset_fill(primary->port, seed, FILL);
    await_equal(primary->port, replica->port);
    unsigned before = full_resyncs(replica);
    for (unsigned i = 0; i < 2; i++) {
        set_appendonly(primary, false);
        load(primary->port, seed + 10 * i, ROUND);
        await_last_words(primary->port, replica->port);
        if (i == 0) { /* back to where the log ended */
            pool_kill_worker(primary, 1, SIGKILL);
            await_equal(primary->port, replica->port);
            assert_int_equal(full_resyncs(replica), ++before);
        }
        load(primary->port, seed + 10 * i + 1, ROUND);
        set_appendonly(primary, true);
        load(primary->port, seed + 10 * i + 2, ROUND);
        await_last_words(primary->port, replica->port);
        assert_int_equal(pool_stop(replica), 0);
        end_and_go_on(primary, KILLED, seed + 10 * i + 3);
        pool_start_again(replica);
        await_equal(primary->port, replica->port);
        assert_int_equal(full_resyncs(replica), before);
    }
    pool_end(&replica);
    pool_end(&primary);
}

static const char *id_of(const struct pool *pool, unsigned worker, const char *field) {
    static char id[64];
    redisContext *c = pool_connect_worker(pool, worker);
    snprintf(id, sizeof id, "%s", info_field(c, "replication", field));
    redisFree(c);
    return id;
}

/* A replica that came up while its primary was away has the primary's id; promoted then, it writes under one of
 * its own: the primary may come back and go on, too. */
static void test_promoted_while_the_primary_is_away(void **state) {
    char before[64];
    uint64_t seed = random_seed();
    struct pool *primary = start(2, 0), *replica = start(2, primary->port);
    dataset_fill(primary->port, seed, FILL);
    await_equal(primary->port, replica->port);
    assert_int_equal(pool_stop(primary), 0);
    assert_int_equal(pool_stop(replica), 0);
    pool_start_again(replica);
    snprintf(before, sizeof before, "%s", id_of(replica, 1, "master_replid"));
    stop_following(replica->port);
    assert_string_not_equal(id_of(replica, 1, "master_replid"), before);
    assert_string_equal(id_of(replica, 1, "master_replid2"), before);
    pool_end(&replica);
    pool_end(&primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pool_whose_primary_is_killed, pools_cleanup),
        cmocka_unit_test_teardown(test_pool_whose_primary_is_left_alone, pools_cleanup),
        cmocka_unit_test_teardown(test_pool_whose_primary_is_stopped, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_whose_primary_is_killed, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_whose_primary_is_stopped, pools_cleanup),
        cmocka_unit_test_teardown(test_chain, pools_cleanup),
        cmocka_unit_test_teardown(test_log_that_lost_its_end, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_knows_more_than_the_log, pools_cleanup),
        cmocka_unit_test_teardown(test_log_off_and_on, pools_cleanup),
        cmocka_unit_test_teardown(test_promoted_while_the_primary_is_away, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
