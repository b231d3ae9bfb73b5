/* 67_resume.c - a pool whose links deal over all its shards is stopped in order and started again: it goes on
 * with a partial resynchronisation, under load, and the data are equal. Whatever makes it doubtful that a
 * shard holds what the links' places say begins with a snapshot, and the data are equal, too. */
#include "tests/interop/following.h"

#include <signal.h>

enum { FILL = 300 };

static const char *const log_on[] = {"--appendonly", "yes", "--save", ""}, *const log_off[] = {
                                                                               "--appendonly", "no",
                                                                               "--save", "3600 1"};

static struct pool *start(unsigned workers, const char *const files[4], int following) {
    static char target[8][32];
    static unsigned next;
    char *text = target[next++ % 8];
    snprintf(text, sizeof target[0], "127.0.0.1 %d", following);
    struct pool_options options = {
        .workers = workers,
        .deaths = true,
        .options = {files[0], files[1], files[2], files[3], "--repl-backlog-size", "16mb"}};
    if (following) {
        options.options[6] = "--replicaof";
        options.options[7] = text;
    }
    return pool_start(&options);
}

static unsigned continued(const struct pool *pool) {
    return log_lines(pool->dir, "Successful partial resynchronization with master");
}

/* A redis-server with some data, and a pool of three that has them. */
struct pair {
    struct oracle *redis;
    struct pool *pool;
    unsigned full, partial; /* so far */
};

static void note(struct pair *p) {
    p->full = full_resyncs(p->pool);
    p->partial = continued(p->pool);
}

static struct pair pair_begin(const char *const files[4]) {
    oracle_needed();
    struct pair p = {
        .redis = oracle_start(NULL, (const char *const[]){"--repl-backlog-size", "16mb", NULL})};
    dataset_fill(p.redis->port, random_seed(), FILL);
    p.pool = start(3, files, p.redis->port);
    await_equal(p.redis->port, p.pool->port);
    note(&p);
    return p;
}

static void pair_end(struct pair *p) {
    pool_end(&p->pool);
    oracle_end(&p->redis);
}

static void assert_went_on(struct pair *p) {
    await_equal(p->redis->port, p->pool->port);
    assert_int_equal(full_resyncs(p->pool), p->full);
    assert_in_range(continued(p->pool), p->partial + 1, p->partial + 1);
    note(p);
}

static void assert_began_anew(struct pair *p) {
    await_equal(p->redis->port, p->pool->port);
    assert_in_range(full_resyncs(p->pool), p->full + 1, 1000);
    note(p);
}

static void shard_path(const struct pool *pool, unsigned shard, char path_r[128]) {
    snprintf(path_r, 128, "%s/shard-%04u", pool->data, shard);
}

static void shell(const char *format, const char *a, const char *b) {
    int code;
    char *said = run_shell(&code, format, a, b);
    if (code != 0)
        fail_msg("%s", said);
    free(said);
}

/* ---- it goes on ---- */
static void restart_under_load(const char *const files[4]) {
    struct pair p = pair_begin(files);
    struct writer w;
    writer_begin(&w, p.redis->port, random_seed());
    for (unsigned i = 0; i < 3; i++) {
        writer_more(&w, 100);
        assert_int_equal(pool_stop(p.pool), 0);
        assert_true(path_exists("%s/resume.json", p.pool->data));
        writer_more(&w, 100);
        pool_start_again(p.pool);
        assert_false(path_exists("%s/resume.json", p.pool->data));
        AWAIT(link_is_up(p.pool->port));
        assert_int_equal(pool_sum(p.pool, "primary_full_syncs"), 0);
        AWAIT(pool_sum(p.pool, "primary_partial_syncs") == 1);
        writer_more(&w, 50);
    }
    writer_end(&w);
    await_equal(p.redis->port, p.pool->port);
    assert_int_equal(full_resyncs(p.pool), 1);
    assert_int_equal(log_lines(p.redis->dir, "Partial resynchronization request from"), 3);
    pair_end(&p);
}

static void test_with_a_log(void **state) {
    restart_under_load(log_on);
}
static void test_with_snapshots(void **state) {
    restart_under_load(log_off);
}

/* A link for each worker of the primary. */
static void test_a_pool_of_another_size(void **state) {
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *primary = start(2, log_on, 0), *replica = start(3, log_on, primary->port);
    dataset_fill(primary->port, seed, FILL);
    await_equal(primary->port, replica->port);
    unsigned full = full_resyncs(replica);
    writer_begin(&w, primary->port, seed);
    for (unsigned i = 0; i < 3; i++) {
        struct pool *one = i == 1 ? primary : replica;
        unsigned partial = continued(replica);
        writer_more(&w, 100);
        assert_int_equal(pool_stop(one), 0);
        pool_start_again(one);
        AWAIT(continued(replica) == partial + 2);
    }
    writer_end(&w);
    await_equal(primary->port, replica->port);
    assert_int_equal(full_resyncs(replica), full);
    pool_end(&replica);
    pool_end(&primary);
}

/* Its snapshot says where it was. */
static void test_redis_restarts(void **state) {
    struct pair p = pair_begin(log_on);
    say_more(p.redis->port, 1, 100);
    oracle_stop(p.redis);
    oracle_start_again(p.redis);
    AWAIT(continued(p.pool) > p.partial);
    say_more(p.redis->port, 2, 100);
    assert_went_on(&p);
    /* The pool is away meanwhile, too; then it is stopped while its link is down. */
    oracle_stop(p.redis);
    AWAIT(!link_is_up(p.pool->port));
    assert_int_equal(pool_stop(p.pool), 0);
    oracle_start_again(p.redis);
    say_more(p.redis->port, 3, 100);
    pool_start_again(p.pool);
    assert_went_on(&p);
    pair_end(&p);
}

static void test_shutdown(void **state) {
    struct pair p = pair_begin(log_on);
    redisContext *c = pool_connect(p.pool);
    freeReplyObject(redisCommand(c, "SHUTDOWN"));
    redisFree(c);
    assert_int_equal(pool_await_exit(p.pool), 0);
    say_more(p.redis->port, 1, 100);
    pool_start_again(p.pool);
    assert_went_on(&p);
    pair_end(&p);
}

/* What was written here although it follows stays, as in Redis. */
static void test_own_writes(void **state) {
    struct pair p = pair_begin(log_on);
    redisContext *c = pool_connect(p.pool);
    expect_text(c, "OK", "CONFIG SET replica-read-only no");
    expect_text(c, "OK", "SET own yes");
    redisFree(c);
    assert_int_equal(pool_stop(p.pool), 0);
    pool_start_again(p.pool);
    AWAIT(link_is_up(p.pool->port));
    c = pool_connect(p.pool);
    expect_text(c, "yes", "GET own");
    redisFree(c);
    redisContext *r = client_connect(p.redis->port);
    expect_text(r, "OK", "SET own yes");
    redisFree(r);
    assert_went_on(&p);
    pair_end(&p);
}

/* Who follows it goes on, too, each time. */
static void test_the_middle_of_a_chain(void **state) {
    struct pair p = pair_begin(log_on);
    struct pool *last = start(3, log_on, p.pool->port);
    await_equal(p.redis->port, last->port);
    unsigned full = full_resyncs(last);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pool_stop(p.pool), 0);
        say_more(p.redis->port, i, 50);
        pool_start_again(p.pool);
        assert_went_on(&p);
        await_equal(p.redis->port, last->port);
    }
    assert_int_equal(full_resyncs(last), full);
    pool_end(&last);
    pair_end(&p);
}

/* Its data end as its primary's history does, but what it says from now on is its own. */
static void test_promoted_while_the_primary_is_away(void **state) {
    struct pool *primary = start(2, log_on, 0), *replica = start(2, log_on, primary->port);
    await_equal(primary->port, replica->port);
    char id[64];
    redisContext *c = pool_connect_worker(primary, 0);
    snprintf(id, sizeof id, "%s", info_field(c, "replication", "master_replid"));
    redisFree(c);
    assert_int_equal(pool_stop(replica), 0);
    assert_int_equal(pool_stop(primary), 0);
    pool_start_again(replica);
    stop_following(replica->port);
    c = pool_connect_worker(replica, 0);
    assert_string_not_equal(info_field(c, "replication", "master_replid"), id);
    assert_string_equal(info_field(c, "replication", "master_replid2"), id);
    redisFree(c);
    pool_end(&replica);
    pool_end(&primary);
}

/* ---- the links among the clients ---- */
static unsigned links_shown(redisContext *c) {
    unsigned count = 0;
    redisReply *reply = expect_reply(c, "CLIENT LIST");
    for (const char *at = reply->str; (at = strstr(at, " flags=M ")) != NULL; at++)
        count++;
    freeReplyObject(reply);
    return count;
}

/* Each is shown where it is, and may be killed: it comes back, and goes on. */
static void kill_links(unsigned primary_workers, unsigned workers, unsigned links) {
    struct pool *primary = start(primary_workers, log_off, 0),
                *replica = start(workers, log_off, primary->port);
    say_more(primary->port, 1, 100);
    await_equal(primary->port, replica->port);
    redisContext *c = pool_connect(replica), *w = pool_connect_worker(replica, 0);
    assert_int_equal(links_shown(c), links);
    assert_int_equal(links_shown(w), 1);
    redisFree(w);
    expect_integer(c, 0, "CLIENT KILL USER default TYPE master");
    unsigned full = full_resyncs(replica), partial = continued(replica);
    expect_integer(c, links, "CLIENT KILL TYPE master");
    AWAIT(continued(replica) == partial + links);
    say_more(primary->port, 2, 100);
    await_equal(primary->port, replica->port);
    assert_int_equal(links_shown(c), links);
    assert_int_equal(full_resyncs(replica), full);
    expect_text(c, "OK", "REPLICAOF NO ONE");
    assert_int_equal(links_shown(c), 0);
    redisFree(c);
    pool_end(&replica);
    pool_end(&primary);
}

static void test_kill_links_by_shard(void **state) {
    kill_links(2, 2, 2);
}
static void test_kill_links_of_a_pool(void **state) {
    kill_links(2, 3, 2);
}

/* ---- it begins anew ---- */
static void test_deaths(void **state) {
    struct pair p = pair_begin(log_on);
    pool_crash(p.pool);
    say_more(p.redis->port, 1, 50);
    pool_start_again(p.pool);
    assert_began_anew(&p);
    pool_kill_supervisor(p.pool);
    assert_began_anew(&p);
    pool_kill_worker(p.pool, 1, SIGKILL);
    assert_began_anew(&p);
    /* What was put right by a snapshot since is worth going on from. */
    assert_int_equal(pool_stop(p.pool), 0);
    say_more(p.redis->port, 2, 50);
    pool_start_again(p.pool);
    assert_went_on(&p);
    /* The front has no data. */
    pid_t front = pool_front_pid(p.pool);
    kill(front, SIGKILL);
    AWAIT(pool_front_pid(p.pool) > 0 && pool_front_pid(p.pool) != front);
    await_equal(p.redis->port, p.pool->port);
    assert_int_equal(full_resyncs(p.pool), p.full);
    pair_end(&p);
}

/* While the link is down, and while the pool stops. */
static void test_a_death_unseen_by_the_link(void **state) {
    struct pair p = pair_begin(log_off);
    oracle_stop(p.redis);
    AWAIT(!link_is_up(p.pool->port));
    pool_kill_worker(p.pool, 2, SIGKILL); /* and nothing of it was saved */
    oracle_start_again(p.redis);
    assert_began_anew(&p);
    pid_t pid = pool_worker_pid(p.pool, 1);
    kill(pid, SIGSTOP);
    pool_signal(p.pool, SIGTERM);
    kill(pid, SIGKILL);
    assert_int_not_equal(pool_await_exit(p.pool), 0);
    pool_start_again(p.pool);
    assert_began_anew(&p);
    pair_end(&p);
}

static void test_nothing_was_saved(void **state) {
    struct pair p = pair_begin(log_off);
    assert_int_equal(pool_stop(p.pool), 0);
    pool_start_again(p.pool);
    assert_went_on(&p);
    say_more(p.redis->port, 1, 50);
    await_equal(p.redis->port, p.pool->port);
    redisContext *c = pool_connect(p.pool);
    freeReplyObject(redisCommand(c, "SHUTDOWN NOSAVE"));
    redisFree(c);
    assert_int_equal(pool_await_exit(p.pool), 0);
    pool_start_again(p.pool);
    assert_began_anew(&p);
    pair_end(&p);
}

/* One shard cannot write its snapshot: the pool stays, and goes on; told to stop all the same, it is stale. */
static void test_a_save_fails(void **state) {
    struct pair p = pair_begin(log_off);
    char shard[128];
    shard_path(p.pool, 1, shard);
    shell("rm -f %s/dump.rdb && mkdir -p %s/dump.rdb/x", shard, shard);
    pool_signal(p.pool, SIGTERM);
    AWAIT(pool_log_has(p.pool, "The pool goes on"));
    pool_await_ready(p.pool);
    say_more(p.redis->port, 1, 50);
    await_equal(p.redis->port, p.pool->port);
    pool_signal(p.pool, SIGTERM);
    pool_await_exit(p.pool);
    shell("rm -r %s/dump.rdb%s", shard, "");
    note(&p);
    pool_start_again(p.pool);
    assert_began_anew(&p);
    pair_end(&p);
}

/* The files of one shard, of all, or what says where the links stood, are of another time. */
static void test_old_files(void **state) {
    struct pair p = pair_begin(log_on);
    char shard[128];
    shard_path(p.pool, 1, shard);
    assert_int_equal(pool_stop(p.pool), 0);
    shell("cp -a %s %s/old", shard, p.pool->dir);
    shell("cp %s/resume.json %s/old.json", p.pool->data, p.pool->dir);
    pool_start_again(p.pool);
    assert_went_on(&p);
    say_more(p.redis->port, 1, 100);
    await_equal(p.redis->port, p.pool->port);
    assert_int_equal(pool_stop(p.pool), 0);
    shell("mv %s %s/new", shard, p.pool->dir);
    shell("mv %s/old %s", p.pool->dir, shard);
    pool_start_again(p.pool);
    assert_began_anew(&p);
    say_more(p.redis->port, 2, 100);
    await_equal(p.redis->port, p.pool->port);
    pool_crash(p.pool);
    shell("cp %s/old.json %s/resume.json", p.pool->dir, p.pool->data);
    pool_start_again(p.pool);
    assert_began_anew(&p);
    assert_int_equal(pool_stop(p.pool), 0);
    shell("printf x >> %s/resume.json%s", p.pool->data, "");
    pool_start_again(p.pool);
    assert_began_anew(&p);
    pair_end(&p);
}

static void test_another_size(void **state) {
    struct pair p = pair_begin(log_on);
    assert_int_equal(pool_stop(p.pool), 0);
    p.pool->options.workers = p.pool->workers = 2;
    pool_start_again(p.pool);
    assert_began_anew(&p);
    pair_end(&p);
}

static void test_another_primary(void **state) {
    struct pair p = pair_begin(log_on);
    struct oracle *other = oracle_start(NULL, NULL), *first = p.redis;
    char target[32];
    snprintf(target, sizeof target, "127.0.0.1 %d", other->port);
    assert_int_equal(pool_stop(p.pool), 0);
    /* It has the same history, and would let the pool go on. */
    follow(other->port, "127.0.0.1", first->port);
    await_caught_up(first->port, other->port);
    stop_following(other->port);
    const char *before = p.pool->options.options[7];
    p.pool->options.options[7] = target;
    pool_start_again(p.pool);
    p.redis = other;
    assert_began_anew(&p);
    /* There and back in one life: nothing of before is left. */
    assert_int_equal(pool_stop(p.pool), 0);
    pool_start_again(p.pool);
    stop_following(p.pool->port);
    say_more(p.pool->port, 3, 20);
    note(&p);
    follow(p.pool->port, "127.0.0.1", other->port);
    assert_began_anew(&p);
    assert_int_equal(pool_stop(p.pool), 0);
    p.pool->options.options[7] = before;
    p.redis = first;
    pool_start_again(p.pool);
    assert_began_anew(&p);
    oracle_end(&other);
    pair_end(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_with_a_log, pools_cleanup),
        cmocka_unit_test_teardown(test_with_snapshots, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_of_another_size, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_restarts, pools_cleanup),
        cmocka_unit_test_teardown(test_shutdown, pools_cleanup),
        cmocka_unit_test_teardown(test_own_writes, pools_cleanup),
        cmocka_unit_test_teardown(test_the_middle_of_a_chain, pools_cleanup),
        cmocka_unit_test_teardown(test_promoted_while_the_primary_is_away, pools_cleanup),
        cmocka_unit_test_teardown(test_kill_links_by_shard, pools_cleanup),
        cmocka_unit_test_teardown(test_kill_links_of_a_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_deaths, pools_cleanup),
        cmocka_unit_test_teardown(test_a_death_unseen_by_the_link, pools_cleanup),
        cmocka_unit_test_teardown(test_nothing_was_saved, pools_cleanup),
        cmocka_unit_test_teardown(test_a_save_fails, pools_cleanup),
        cmocka_unit_test_teardown(test_old_files, pools_cleanup),
        cmocka_unit_test_teardown(test_another_size, pools_cleanup),
        cmocka_unit_test_teardown(test_another_primary, pools_cleanup),
    };
    cmocka_set_test_filter(getenv("CASE"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
