/* 64_replica_stories.c - processes that die or sleep while pools replicate under load: workers, fronts and
 * supervisors of both sides, in the snapshot and in the stream; primaries that go away and come back; the
 * middle of a chain. Without help the data are equal in the end, the snapshots are few, and nothing that was
 * loaded in part is shown as if it were whole. SEED=n has the same commands and victims again. */
#include "tests/interop/following.h"

#include <signal.h>

enum { FILL = 300 };

/* following: the port that its configuration says, so that it outlasts a supervisor; 0: none. */
static struct pool *start(unsigned workers, const char *appendonly, int following) {
    static char target[4][32];
    static unsigned next;
    struct pool_options options = {
        .workers = workers,
        .deaths = true,
        .options = {"--appendonly", appendonly, "--repl-backlog-size", "16mb"}};
    if (following) {
        options.options[4] = "--replicaof";
        options.options[5] = target[next];
        snprintf(target[next++ % 4], sizeof target[0], "127.0.0.1 %d", following);
        next %= 4;
    }
    return pool_start(&options);
}

/* ---- deaths ---- */
static void kill_worker(struct pool *pool, unsigned worker) {
    pid_t pid;
    AWAIT((pid = pool_worker_pid(pool, worker)) > 0);
    kill(pid, SIGKILL);
}

static void kill_front(struct pool *pool) {
    pid_t pid;
    AWAIT((pid = pool_front_pid(pool)) > 0);
    kill(pid, SIGKILL);
}

enum victim { A_WORKER, THE_FRONT, THE_SUPERVISOR, VICTIMS };

static void kill_one(struct pool *pool, enum victim victim, uint64_t *random) {
    switch (victim) {
    case A_WORKER: kill_worker(pool, random_below(random, pool->workers)); break;
    case THE_FRONT: kill_front(pool); break;
    default: pool_kill_supervisor(pool);
    }
}

/* Each kind of victim of each pool once, in an order of the seed's; the first while the snapshot comes in. */
static unsigned kill_all_kinds(struct pool *const *pools, unsigned count, struct writer *w,
                               uint64_t *random) {
    unsigned order[2 * VICTIMS], deaths = count * VICTIMS;
    for (unsigned i = 0; i < deaths; i++)
        order[i] = i;
    for (unsigned i = 0; i < deaths; i++) {
        unsigned other = i + random_below(random, deaths - i), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
        usleep(random_below(random, 300) * 1000);
        kill_one(pools[order[i] / VICTIMS], order[i] % VICTIMS, random);
        writer_more(w, 20);
    }
    return deaths;
}

static void kill_under_load(unsigned primary_workers, unsigned workers) {
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed(), random = seed;
    struct pool *primary = start(primary_workers, "yes", 0);
    dataset_fill(primary->port, seed, FILL);
    fill_much(primary->port, 4000, 500);
    writer_begin(&w, primary->port, seed);
    struct pool *replica = start(workers, "yes", primary->port), *both[] = {replica, primary};
    unsigned deaths = kill_all_kinds(both, 2, &w, &random);
    writer_more(&w, 100);
    writer_end(&w);
    pool_await_ready(primary);
    pool_await_ready(replica);
    await_equal(primary->port, replica->port);
    assert_in_range(full_resyncs(replica), 1, primary_workers * (deaths + 1));
    pool_end(&replica);
    pool_end(&primary);
}

static void test_deaths_between_equal_pools(void **state) {
    kill_under_load(2, 2);
}
static void test_deaths_between_other_pools(void **state) {
    kill_under_load(1, 2);
}

/* ---- a death while a snapshot is loaded ---- */
/* All processes of a pool sleep, the supervisor first, or go on, it last: it takes no one for dead. */
static void pool_sleep(const struct pool *pool) {
    pid_t pids[POOL_WORKERS_MAX + 2];
    kill(pool->pid, SIGSTOP);
    for (unsigned i = 0, count = pool_pids(pool, pids); i < count; i++)
        kill(pids[i], SIGSTOP);
}
static void pool_wake(const struct pool *pool) {
    pid_t pids[POOL_WORKERS_MAX + 2];
    for (unsigned i = 0, count = pool_pids(pool, pids); i < count; i++)
        kill(pids[i], SIGCONT);
    usleep(50000); /* for a heartbeat each */
    kill(pool->pid, SIGCONT);
}

static bool is_marked(const struct pool *pool, unsigned shard) {
    return path_exists("%s/shard-%04u/sync-in-progress", pool->data, shard);
}

/* When it has begun to load. If it was so quick that this was not seen: when it is through. */
static void await_mark(const struct pool *pool, unsigned shard) {
    uint64_t until_ms = clock_mono_ms() + POOL_WAIT_S * 1000;
    for (unsigned looks = 1; !is_marked(pool, shard); looks++) {
        if (looks % 10000 == 0 && pool_log_has(pool, "sync: Finished with success"))
            return;
        assert_true(clock_mono_ms() < until_ms);
    }
}

/* Never shown: a key of this shard, whoever is asked. */
static void assert_loading(const struct pool *pool, unsigned shard) {
    for (unsigned i = 0; i < pool->workers; i++) {
        redisContext *c = pool_connect_worker(pool, i);
        redisReply *reply = redisCommand(c, "GET %s", pool_key(pool, shard, 0));
        if (!reply || reply->type != REDIS_REPLY_ERROR ||
            (strncmp(reply->str, "LOADING", 7) != 0 && strncmp(reply->str, "MOVED", 5) != 0))
            fail_msg("shard %u is shown: %s", shard, reply && reply->str ? reply->str : "nil");
        freeReplyObject(reply);
        redisFree(c);
    }
    redisContext *c = pool_connect(pool);
    expect_error(c, "LOADING", "GET %s", pool_key(pool, shard, 0));
    redisFree(c);
}

enum loading_victim { THE_LOADER, ANOTHER, ALL };

/* False: it was through with loading before. */
static bool die_once(const struct pool *primary, struct pool *replica, enum loading_victim victim) {
    bool whole_pool = primary->workers != replica->workers;
    pid_t pid = pool_worker_pid(replica, victim == ANOTHER);
    pool_wake(primary);
    await_mark(replica, 0);
    if (victim == ALL)
        pool_crash(replica);
    else
        kill(pid, SIGKILL);
    bool hit = is_marked(replica, 0);
    pool_sleep(primary); /* what is shown from here on is what the dead have left */
    if (victim == ALL)
        pool_start_again(replica);
    else
        pool_await_worker(replica, victim == ANOTHER, pid);
    hit = hit && is_marked(replica, 0); /* it may be the loader that has not died */
    for (unsigned shard = 0; hit && shard < (whole_pool ? replica->workers : 1); shard++)
        assert_loading(replica, shard);
    pool_wake(primary);
    await_equal(primary->port, replica->port);
    assert_false(is_marked(replica, 0));
    return hit;
}

static void die_loading(unsigned primary_workers, unsigned workers, enum loading_victim victim) {
    struct pool *primary = start(primary_workers, "no", 0);
    bool hit = false;
    fill_much(primary->port, 6000, 800);
    for (unsigned tries = 0; tries < 5 && !hit; tries++) {
        pool_sleep(primary);
        struct pool *replica = start(workers, "no", primary->port);
        hit = die_once(primary, replica, victim);
        pool_end(&replica);
    }
    assert_true(hit);
    pool_end(&primary);
}

static void test_loader_dies(void **state) {
    die_loading(2, 2, THE_LOADER);
}
static void test_all_die_loading(void **state) {
    die_loading(2, 2, ALL);
}
static void test_loader_of_a_pool_dies(void **state) {
    die_loading(1, 2, THE_LOADER);
}
static void test_another_dies(void **state) {
    die_loading(1, 2, ANOTHER);
}
static void test_all_of_a_pool_die_loading(void **state) {
    die_loading(1, 2, ALL);
}

/* Just after: what it has then is all of the new, although its log has not begun anew. */
static void test_all_die_just_loaded(void **state) {
    enum { KEYS = 2000 };
    struct pool *primary = start(2, "no", 0);
    fill_much(primary->port, KEYS, 500);
    pool_sleep(primary);
    struct pool *replica = start(2, "yes", 0);
    say_more(replica->port, 1, 500);
    follow(replica->port, "127.0.0.1", primary->port);
    pool_wake(primary);
    AWAIT(log_lines(replica->dir, "sync: Finished with success") == 2);
    pool_crash(replica);
    pool_start_again(replica); /* alone: it has forgotten REPLICAOF */
    dataset_assert_equal("primary", primary->port, "replica", replica->port, EXPIRY_EXACT);
    pool_end(&replica);
    pool_end(&primary);
}

/* ---- both sides go away and come back ---- */
/* Each of its links has had no snapshot, but continued, since its worker started or was told whom to follow. */
static void assert_continued(const struct pool *replica) {
    for (unsigned i = 0; i < replica->workers; i++) {
        AWAIT(pool_number(replica, "workers.%u.metrics.primary_partial_syncs", i) > 0);
        assert_int_equal(pool_number(replica, "workers.%u.metrics.primary_full_syncs", i), 0);
    }
}

static void test_primary_restarts_during_the_snapshot(void **state) {
    struct pool *primary = start(2, "yes", 0);
    pid_t pids[2];
    fill_much(primary->port, 2000, 10000);
    pool_sleep(primary);
    struct pool *replica = pool_start(&(struct pool_options){
        .workers = 2, .deaths = true, .options = {"--heartbeat-timeout", "60000"}});
    follow(replica->port, "127.0.0.1", primary->port);
    pool_wake(primary);
    /* Halfway, and no further: those who receive it sleep. */
    AWAIT(full_resyncs(replica) > 0);
    for (unsigned i = 0; i < 2; i++)
        kill(pids[i] = pool_worker_pid(replica, i), SIGSTOP);
    assert_int_equal(pool_stop(primary), 0);
    for (unsigned i = 0; i < 2; i++)
        kill(pids[i], SIGCONT);
    pool_start_again(primary);
    say_more(primary->port, 1, 100);
    await_equal(primary->port, replica->port);
    assert_in_range(full_resyncs(replica), 2, 4);
    pool_end(&replica);
    pool_end(&primary);
}

static void test_orderly_restarts_continue(void **state) {
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *primary = start(2, "yes", 0);
    dataset_fill(primary->port, seed, FILL);
    struct pool *replica = start(2, "yes", primary->port);
    AWAIT(link_is_up(replica->port));
    writer_begin(&w, primary->port, seed);
    for (unsigned i = 0; i < 2; i++) {
        struct pool *one = i ? primary : replica;
        writer_more(&w, 100);
        assert_int_equal(pool_stop(one), 0);
        pool_start_again(one);
        writer_more(&w, 100);
        AWAIT(link_is_up(replica->port));
        assert_continued(replica);
    }
    writer_end(&w);
    await_equal(primary->port, replica->port);
    assert_int_equal(full_resyncs(replica), 2);
    pool_end(&replica);
    pool_end(&primary);
}

/* ---- those who sleep ---- */
/* Shorter than its supervisor bears, and longer: then it is killed, and its successor goes on. */
static void test_a_worker_sleeps(void **state) {
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *primary = start(2, "yes", 0), *replica = start(2, "yes", primary->port);
    AWAIT(link_is_up(replica->port));
    writer_begin(&w, primary->port, seed);
    pid_t pid = pool_worker_pid(replica, 0);
    kill(pid, SIGSTOP);
    writer_more(&w, 100);
    kill(pid, SIGCONT);
    writer_more(&w, 100);
    pid = pool_worker_pid(replica, 1);
    kill(pid, SIGSTOP);
    pool_await_worker(replica, 1, pid);
    writer_more(&w, 100);
    writer_end(&w);
    await_equal(primary->port, replica->port);
    assert_in_range(full_resyncs(replica), 2, 4);
    pool_end(&replica);
    pool_end(&primary);
}

/* More than the backlog and what a replica may be owed: it is let go, the primary has its memory back. */
static void test_a_pool_sleeps(void **state) {
    struct pool *primary = pool_start(
        &(struct pool_options){.workers = 2,
                               .options = {"--repl-backlog-size", "64kb",
                                           "--client-output-buffer-limit", "replica 1mb 256kb 1"}});
    struct pool *replica = start(2, "no", primary->port);
    AWAIT(link_is_up(replica->port));
    pool_sleep(replica);
    fill_much(primary->port, 3000, 10000);
    for (unsigned i = 0; i < 2; i++)
        AWAIT(pool_number(primary, "workers.%u.metrics.connected_replicas", i) == 0);
    say_more(primary->port, 1, 100);
    pool_wake(replica);
    await_equal(primary->port, replica->port);
    assert_in_range(full_resyncs(replica), 4, 6);
    pool_end(&replica);
    pool_end(&primary);
}

/* ---- chains ---- */
static void test_the_middle_dies(void **state) {
    uint64_t seed = random_seed();
    struct pool *first = start(2, "yes", 0), *middle = start(2, "yes", first->port),
                *last = start(2, "yes", middle->port);
    dataset_fill(first->port, seed, FILL);
    for (unsigned i = 0; i < 2; i++) {
        await_equal(first->port, last->port);
        pool_crash(middle);
        say_more(first->port, i, 100);
        pool_start_again(middle);
    }
    await_equal(first->port, last->port);
    dataset_assert_equal("first", first->port, "middle", middle->port, EXPIRY_EXACT);
    assert_in_range(full_resyncs(last), 2, 6);
    pool_end(&last);
    pool_end(&middle);
    pool_end(&first);
}

/* It has nothing that is a history of its own, and says so, until its primary is back. */
static void test_the_middle_has_no_primary(void **state) {
    struct pool *first = start(2, "no", 0), *middle = start(2, "no", first->port),
                *last = start(2, "no", middle->port);
    say_more(first->port, 1, 100);
    await_equal(first->port, last->port);
    unsigned before = log_lines(last->dir, "NOMASTERLINK");
    assert_int_equal(pool_stop(first), 0);
    pool_crash(middle);
    pool_start_again(middle);
    AWAIT(log_lines(last->dir, "NOMASTERLINK") > before);
    pool_start_again(first);
    AWAIT(link_is_up(middle->port));
    AWAIT_WITHIN(10, link_is_up(last->port)); /* it asks each second */
    say_more(first->port, 2, 100);
    await_equal(first->port, last->port);
    pool_end(&last);
    pool_end(&middle);
    pool_end(&first);
}

/* Its replica and its sibling go on behind it, without a snapshot. */
static void test_the_middle_is_promoted(void **state) {
    uint64_t seed = random_seed();
    struct pool *first = start(2, "no", 0), *middle = start(2, "no", 0), *last = start(2, "no", 0),
                *sibling = start(2, "no", 0);
    dataset_fill(first->port, seed, FILL);
    follow(middle->port, "127.0.0.1", first->port);
    follow(sibling->port, "127.0.0.1", first->port);
    AWAIT(link_is_up(middle->port));
    follow(last->port, "127.0.0.1", middle->port);
    say_more(first->port, 1, 100);
    await_equal(first->port, last->port);
    await_equal(first->port, sibling->port);
    unsigned before = full_resyncs(last);
    stop_following(middle->port);
    follow(sibling->port, "127.0.0.1", middle->port);
    say_more(middle->port, 2, 100);
    await_equal(middle->port, last->port);
    await_equal(middle->port, sibling->port);
    assert_continued(sibling);
    assert_int_equal(full_resyncs(sibling), 2);
    assert_int_equal(full_resyncs(last), before);
    pool_end(&sibling);
    pool_end(&last);
    pool_end(&middle);
    pool_end(&first);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_loader_dies, pools_cleanup),
        cmocka_unit_test_teardown(test_all_die_loading, pools_cleanup),
        cmocka_unit_test_teardown(test_loader_of_a_pool_dies, pools_cleanup),
        cmocka_unit_test_teardown(test_another_dies, pools_cleanup),
        cmocka_unit_test_teardown(test_all_of_a_pool_die_loading, pools_cleanup),
        cmocka_unit_test_teardown(test_all_die_just_loaded, pools_cleanup),
        cmocka_unit_test_teardown(test_primary_restarts_during_the_snapshot, pools_cleanup),
        cmocka_unit_test_teardown(test_orderly_restarts_continue, pools_cleanup),
        cmocka_unit_test_teardown(test_a_worker_sleeps, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_sleeps, pools_cleanup),
        cmocka_unit_test_teardown(test_the_middle_dies, pools_cleanup),
        cmocka_unit_test_teardown(test_the_middle_has_no_primary, pools_cleanup),
        cmocka_unit_test_teardown(test_the_middle_is_promoted, pools_cleanup),
        cmocka_unit_test_teardown(test_deaths_between_equal_pools, pools_cleanup),
        cmocka_unit_test_teardown(test_deaths_between_other_pools, pools_cleanup),
    };
    cmocka_set_test_filter(getenv("CASE"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
