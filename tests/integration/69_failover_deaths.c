/* 69_failover_deaths.c - FAILOVER while processes of either pool are killed or hang, at each of its steps: never
 * are there two primaries that take writes, and nothing acknowledged is lost.
 *
 * A step is held by stopping what it waits for: a worker of the target for WAIT, the target's front for the first
 * question, its supervisor for the promotion, our supervisor for our turning. */
#include "tests/integration/failover_pair.h"

#include <signal.h>

enum step { WAITS, ASKS, PROMOTES, TURNS };

/* What holds a failover of pool[0] to pool[1] at a step. */
static pid_t holder_of(struct pool *pool[2], enum step step) {
    switch (step) {
    case WAITS: return pool_worker_pid(pool[1], 1);
    case ASKS: return pool_front_pid(pool[1]);
    case PROMOTES: return pool[1]->pid;
    default: return pool[0]->pid;
    }
}

static bool is_noted(const struct pool *pool) {
    return path_exists("%s/failover", pool->data);
}

static bool is_at(struct pool *pool[2], enum step step) {
    if (step == WAITS)
        return pair_failover_is(pool[0], "waiting-for-sync");
    if (!pair_failover_is(pool[0], "failover-in-progress"))
        return false;
    if (step == ASKS)
        return !is_noted(pool[0]);
    return is_noted(pool[0]) && (step == PROMOTES || pair_role_is(pool[1], "master"));
}

/* Returns who holds it, to be continued. timeout "": none. */
static pid_t begin(struct pool *pool[2], enum step step, const char *timeout) {
    pid_t holder = holder_of(pool, step);
    redisContext *c = pool_connect(pool[0]);
    kill(holder, SIGSTOP);
    for (unsigned i = 0; i < 50; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    if (timeout[0] != '\0')
        expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT %s", pool[1]->port, timeout);
    else
        expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d", pool[1]->port);
    redisFree(c);
    AWAIT(is_at(pool, step));
    return holder;
}

static void start(struct pool *pool[2]) {
    pair_start(pool);
    pool[0]->options.deaths = pool[1]->options.deaths = true;
    counters_start(pool[0]);
}

/* It came to nothing: the old primary takes writes, the replica follows. */
static void expect_nothing_came(struct pool *pool[2]) {
    AWAIT(pair_failover_is(pool[0], "no-failover"));
    assert_false(is_noted(pool[0]));
    counters_stop();
    assert_true(pair_role_is(pool[0], "master"));
    AWAIT(pair_link_is_up(pool[1]) && pair_has_replicas(pool[0]));
    counters_check(pool[0], false);
}

static void expect_places_changed(struct pool *pool[2]) {
    counters_join();
    AWAIT(pair_failover_is(pool[0], "no-failover") && pair_link_is_up(pool[0]));
    assert_true(pair_role_is(pool[1], "master"));
    counters_check(pool[1], false);
    redisContext *c = pool_connect(pool[0]);
    expect_error(c, "READONLY", "SET key value");
    redisFree(c);
}

/* ---- before the promotion: it comes to nothing ---- */
static void end_after_death(void (*die)(struct pool *pool)) {
    struct pool *pool[2];
    start(pool);
    for (enum step step = WAITS; step <= ASKS; step++) {
        pid_t holder = begin(pool, step, "");
        die(pool[0]);
        AWAIT(pair_failover_is(pool[0], "no-failover"));
        kill(holder, SIGCONT);
        AWAIT(pair_link_is_up(pool[1]) && pair_has_replicas(pool[0]));
    }
    expect_nothing_came(pool);
    pair_end(pool);
}

static void kill_first_worker(struct pool *pool) {
    pool_kill_worker(pool, 0, SIGKILL);
}

static void kill_other_worker(struct pool *pool) {
    pool_kill_worker(pool, 1, SIGKILL);
}

static void stop_and_start(struct pool *pool) {
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
}

static void test_first_worker_dies_early(void **state) {
    end_after_death(kill_first_worker);
}
static void test_supervisor_dies_early(void **state) {
    end_after_death(pool_kill_supervisor);
}

static void test_target_does_not_answer(void **state) {
    struct pool *pool[2];
    start(pool);
    pid_t holder = begin(pool, ASKS, "1000");
    AWAIT(pair_failover_is(pool[0], "no-failover"));
    kill(holder, SIGCONT);
    holder = begin(pool, ASKS, "");
    redisContext *c = pool_connect(pool[0]);
    expect_text(c, "OK", "FAILOVER ABORT");
    redisFree(c);
    kill(holder, SIGCONT);
    expect_nothing_came(pool);
    pair_end(pool);
}

/* ---- from the promotion on: no write until the target has answered ---- */
/* A write that nobody may answer yet. */
static redisContext *begin_write(const struct pool *pool, unsigned worker) {
    redisContext *c = pool_connect_worker(pool, worker);
    int written = 0;
    redisAppendCommand(c, "SET %s held", pool_key(pool, worker, 0));
    while (!written)
        assert_int_equal(redisBufferWrite(c, &written), REDIS_OK);
    return c;
}

/* What became of it: refused (READONLY; LOADING if a shard begins with a snapshot), or its worker died. */
static void expect_refused(redisContext *c) {
    redisReply *reply = NULL;
    if (redisGetReply(c, (void **)&reply) == REDIS_OK) {
        if (reply->type != REDIS_REPLY_ERROR)
            fail_msg("a held write was answered with %s", reply->str);
        freeReplyObject(reply);
    }
    redisFree(c);
}

static void begin_writes(const struct pool *pool, redisContext *writer[PAIR_WORKERS]) {
    for (unsigned i = 0; i < PAIR_WORKERS; i++)
        writer[i] = begin_write(pool, i);
}

static void expect_all_refused(redisContext *writer[PAIR_WORKERS]) {
    for (unsigned i = 0; i < PAIR_WORKERS; i++)
        expect_refused(writer[i]);
}

static void go_on_after_death(void (*die)(struct pool *pool)) {
    struct pool *pool[2];
    redisContext *writer[PAIR_WORKERS];
    start(pool);
    pid_t holder = begin(pool, PROMOTES, "500");
    begin_writes(pool[0], writer);
    die(pool[0]);
    assert_true(is_at(pool, PROMOTES));
    kill(holder, SIGCONT);
    expect_all_refused(writer);
    expect_places_changed(pool);
    pair_end(pool);
}

static void test_first_worker_dies_late(void **state) {
    go_on_after_death(kill_first_worker);
}
static void test_other_worker_dies_late(void **state) {
    go_on_after_death(kill_other_worker);
}
static void test_supervisor_dies_late(void **state) {
    go_on_after_death(pool_kill_supervisor);
}
static void test_stop_and_start_late(void **state) {
    go_on_after_death(stop_and_start);
}

/* The target is the primary, and the worker that knows dies; the supervisor then starts the next. */
static void test_first_worker_dies_turning(void **state) {
    struct pool *pool[2];
    redisContext *writer[PAIR_WORKERS];
    start(pool);
    pid_t pid = pool_worker_pid(pool[0], 0), holder = begin(pool, TURNS, "");
    begin_writes(pool[0], writer);
    kill(pid, SIGKILL);
    kill(holder, SIGCONT);
    pool_await_worker(pool[0], 0, pid);
    expect_all_refused(writer);
    expect_places_changed(pool);
    pair_end(pool);
}

/* The target is the primary, and nobody here knows but the note. */
static void test_supervisor_dies_turning(void **state) {
    struct pool *pool[2];
    start(pool);
    begin(pool, TURNS, "");
    pool_kill_supervisor(pool[0]);
    expect_places_changed(pool);
    pair_end(pool);
}

/* A worker of ours that hangs while the others turn takes no write when it wakes. */
static void test_worker_hangs_turning(void **state) {
    struct pool *pool[2];
    start(pool);
    pid_t holder = begin(pool, PROMOTES, ""), sleeper = pool_worker_pid(pool[0], 2);
    kill(sleeper, SIGSTOP);
    redisContext *writer = begin_write(pool[0], 2);
    kill(holder, SIGCONT);
    AWAIT(pool_log_has(pool[0], "has not yet applied revision"));
    assert_int_equal(pool_number(pool[0], "workers.0.metrics.failover_state"), 2);
    kill(sleeper, SIGCONT);
    expect_refused(writer);
    expect_places_changed(pool);
    pair_end(pool);
}

/* ---- the target dies ---- */
/* All of it, told to be a primary or about to be: writes go on when the operator says so. */
static void test_target_is_lost(void **state) {
    struct pool *pool[2];
    start(pool);
    for (enum step step = WAITS; step <= PROMOTES; step++) {
        begin(pool, step, "");
        pool_crash(pool[1]);
        assert_true(is_at(pool, step));
        redisContext *c = pool_connect(pool[0]);
        expect_error(c, "ERR REPLICAOF not allowed while failing over.", "REPLICAOF NO ONE");
        expect_text(c, "OK", "FAILOVER ABORT");
        redisFree(c);
        AWAIT(pair_failover_is(pool[0], "no-failover"));
        pool_start_again(pool[1]);
        pair_follow(pool[1], pool[0]);
    }
    expect_nothing_came(pool);
    pair_end(pool);
}

/* Started again as a primary by its configuration: what it has is not known, and it is not followed until the
 * operator says so. */
static void test_target_begins_anew(void **state) {
    struct pool *pool[2];
    char target[40];
    start(pool);
    snprintf(target, sizeof(target), "127.0.0.1 %d", pool[1]->port);
    begin(pool, PROMOTES, "");
    pool_kill_supervisor(pool[1]);
    assert_true(pair_role_is(pool[1], "master"));
    AWAIT(pool_log_has(pool[0], "was started anew"));
    assert_true(is_at(pool, PROMOTES));
    redisContext *c = pool_connect(pool[0]);
    expect_text(c, "OK", "FAILOVER ABORT");
    redisFree(c);
    AWAIT(pair_failover_is(pool[0], "no-failover"));
    pair_follow(pool[1], pool[0]);
    begin(pool, PROMOTES, "");
    pool_kill_supervisor(pool[1]);
    c = pool_connect(pool[0]);
    expect_text(c, "OK", "CONFIG SET replicaof %s", target);
    expect_text(c, "OK", "FAILOVER ABORT");
    redisFree(c);
    expect_places_changed(pool);
    pair_end(pool);
}

/* One of its workers, at each step: the failover ends, or goes on when that worker has everything again. */
static void test_worker_of_target_dies(void **state) {
    struct pool *pool[2];
    start(pool);
    pid_t pid = pool_worker_pid(pool[1], 1), holder = begin(pool, ASKS, "");
    kill(holder, SIGCONT);
    kill(pid, SIGKILL);
    expect_places_changed(pool);
    AWAIT(pair_has_replicas(pool[1]));
    struct pool *back[2] = {pool[1], pool[0]};
    counters_start(back[0]);
    pid = pool_worker_pid(back[1], 0);
    holder = begin(back, PROMOTES, "");
    kill(pid, SIGKILL);
    AWAIT(process_gone(pid));
    kill(holder, SIGCONT);
    expect_places_changed(back);
    pair_end(pool);
}

/* ---- afterwards ---- */
/* The configuration of the old primary says nothing of a replica; a start does not make it a primary again. */
static void test_restart_afterwards(void **state) {
    struct pool *pool[2];
    start(pool);
    redisContext *c = pool_connect(pool[0]);
    expect_text(c, "OK", "FAILOVER");
    redisFree(c);
    expect_places_changed(pool);
    pool_kill_supervisor(pool[0]);
    assert_true(pair_role_is(pool[0], "slave"));
    AWAIT(pair_link_is_up(pool[0]));
    pool_signal(pool[0], SIGHUP);
    c = pool_connect(pool[0]);
    expect_text(c, "OK", "CONFIG SET maxclients 5000");
    assert_true(pair_role_is(pool[0], "slave"));
    expect_text(c, "OK", "REPLICAOF NO ONE");
    redisFree(c);
    assert_false(is_noted(pool[0]));
    pool_kill_supervisor(pool[0]);
    assert_true(pair_role_is(pool[0], "master"));
    pair_end(pool);
}

#define TEST(name) cmocka_unit_test_teardown(test_##name, pools_cleanup)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(first_worker_dies_early), TEST(supervisor_dies_early),
        TEST(target_does_not_answer),  TEST(first_worker_dies_late),
        TEST(other_worker_dies_late),  TEST(supervisor_dies_late),
        TEST(stop_and_start_late),     TEST(first_worker_dies_turning),
        TEST(supervisor_dies_turning), TEST(worker_hangs_turning),
        TEST(target_is_lost),          TEST(target_begins_anew),
        TEST(worker_of_target_dies),   TEST(restart_afterwards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
