/* 62_feed_cut.c - the snapshot of the merged stream is one moment of the pool: pulled again and again under clients
 * that know what may be in it, with other children at work, and with workers that die, stop or cannot fork. */
#include "tests/interop/following.h"

#include <signal.h>
#include <sys/resource.h>

enum { WORKERS = 3, PULLS = 8, MUCH = 3000, MUCH_BYTES = 6000 };

static const char *const no_save[] = {"--save", "", NULL};
static const char at_one_moment[] = "All shards forked at one moment";

/* ---- clients ---- */
struct client {
    pthread_t thread;
    const struct pool *pool;
    uint64_t random;
    unsigned number;
    atomic_bool stop;
    atomic_uint said;
};
enum { CHAINS = 4, MOVERS = 3, PURSES = 12, COINS = 60 };

/* A counter on each shard, one after the other: each is raised when the one before has answered. Half of the
 * clients go up the shards, half go down. */
static const char *link_of_chain(const struct pool *pool, unsigned chain, unsigned nth) {
    return pool_key(pool, chain % 2 == 0 ? nth : WORKERS - 1 - nth, chain);
}

static void *count(void *arg) {
    struct client *me = arg;
    char key[WORKERS][64];
    redisContext *c = client_try_connect(me->pool->port);
    for (unsigned i = 0; i < WORKERS; i++)
        snprintf(key[i], sizeof key[i], "%s", link_of_chain(me->pool, me->number, i));
    for (unsigned i = 0; c != NULL && !atomic_load(&me->stop); i++) {
        redisReply *reply = redisCommand(c, "INCR %s", key[i % WORKERS]);
        if (reply == NULL || reply->type != REDIS_REPLY_INTEGER)
            break;
        freeReplyObject(reply);
        atomic_fetch_add(&me->said, 1);
    }
    redisFree(c);
    return NULL;
}

/* Coins go from one list to another, mostly on another shard: none is ever made or lost. */
static void *move_coins(void *arg) {
    struct client *me = arg;
    redisContext *c = client_try_connect(me->pool->port);
    while (c != NULL && !atomic_load(&me->stop)) {
        redisReply *reply =
            redisCommand(c, "LMOVE purse:%u purse:%u LEFT RIGHT", random_below(&me->random, PURSES),
                         random_below(&me->random, PURSES));
        if (reply == NULL)
            break;
        freeReplyObject(reply);
        atomic_fetch_add(&me->said, 1);
    }
    redisFree(c);
    return NULL;
}

struct crowd {
    struct client client[CHAINS + MOVERS];
};

static void crowd_begin(struct crowd *crowd, const struct pool *pool) {
    uint64_t seed = random_seed();
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < COINS; i++)
        freeReplyObject(expect_reply(c, "RPUSH purse:%u coin:%u", i % PURSES, i));
    redisFree(c);
    for (unsigned i = 0; i < CHAINS + MOVERS; i++) {
        struct client *client = &crowd->client[i];
        *client = (struct client){.pool = pool, .random = seed + i, .number = i};
        assert_int_equal(
            pthread_create(&client->thread, NULL, i < CHAINS ? count : move_coins, client), 0);
    }
}

/* Each has been answered so often since. */
static void crowd_more(struct crowd *crowd, unsigned more) {
    for (unsigned i = 0; i < CHAINS + MOVERS; i++) {
        unsigned now = atomic_load(&crowd->client[i].said);
        AWAIT(atomic_load(&crowd->client[i].said) - now >= more);
    }
}

static void crowd_end(struct crowd *crowd) {
    for (unsigned i = 0; i < CHAINS + MOVERS; i++) {
        atomic_store(&crowd->client[i].stop, true);
        pthread_join(crowd->client[i].thread, NULL);
    }
}

/* ---- snapshots ---- */
static int64_t number_of(redisContext *c, const char *key) {
    redisReply *reply = expect_reply(c, "GET %s", key);
    int64_t number = reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
    freeReplyObject(reply);
    return number;
}

/* What a client did is there only with what it did before, and each coin is there once. */
static void check_moment(const struct pool *pool, redisContext *c) {
    for (unsigned chain = 0; chain < CHAINS; chain++) {
        int64_t first = number_of(c, link_of_chain(pool, chain, 0)), before = first;
        for (unsigned i = 1; i < WORKERS; i++) {
            int64_t next = number_of(c, link_of_chain(pool, chain, i));
            if (next > before || next < first - 1)
                fail_msg("chain %u: link %u is at %ld, the one before at %ld, the first at %ld",
                         chain, i, (long)next, (long)before, (long)first);
            before = next;
        }
    }
    bool seen[COINS] = {0};
    unsigned coins = 0;
    for (unsigned purse = 0; purse < PURSES; purse++) {
        redisReply *reply = expect_reply(c, "LRANGE purse:%u 0 -1", purse);
        for (size_t i = 0; i < reply->elements; i++) {
            unsigned coin = (unsigned)atoi(reply->element[i]->str + strlen("coin:"));
            if (coin >= COINS || seen[coin])
                fail_msg("coin %u is there twice", coin);
            seen[coin] = true;
            coins++;
        }
        freeReplyObject(reply);
    }
    assert_int_equal(coins, COINS);
}

/* As a real server sees it, before anything of the stream. */
static void load_and_check(const struct pool *pool, const char *dir) {
    struct oracle *redis = oracle_start(dir, no_save);
    redisContext *c = client_connect(redis->port);
    check_moment(pool, c);
    redisFree(c);
    oracle_end(&redis);
}

static int pull(const struct pool *pool, const char *dir) {
    int code;
    free(run_shell(&code, "redis-cli -p %d --rdb %s/dump.rdb 2>&1", pool->port, dir));
    return code;
}

struct puller {
    pthread_t thread;
    const struct pool *pool;
    char dir[64];
    int code;
};

static void *pull_once(void *arg) {
    struct puller *p = arg;
    p->code = pull(p->pool, p->dir);
    return NULL;
}

static void pull_begin(struct puller *p, const struct pool *pool) {
    *p = (struct puller){.pool = pool};
    make_directory(p->dir);
    assert_int_equal(pthread_create(&p->thread, NULL, pull_once, p), 0);
}

/* It came, and is one moment. */
static void pull_end(struct puller *p) {
    pthread_join(p->thread, NULL);
    assert_int_equal(p->code, 0);
    load_and_check(p->pool, p->dir);
    remove_directory(p->dir);
}

/* ---- children ---- */
static pid_t child_of(pid_t pid) {
    char path[64];
    long child = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *file = fopen(path, "r");
    if (file != NULL && fscanf(file, "%ld", &child) != 1)
        child = 0;
    if (file != NULL)
        fclose(file);
    return (pid_t)child;
}

/* Stopped before it has ended; 0: it was not to be caught within a second. */
static pid_t catch_child(pid_t worker) {
    uint64_t until_ms = clock_mono_ms() + 1000;
    pid_t child = 0;
    while ((child = child_of(worker)) == 0 && clock_mono_ms() < until_ms)
        continue;
    if (child == 0 || kill(child, SIGSTOP) != 0)
        return 0;
    AWAIT(process_gone(child) || process_stopped(child));
    return process_gone(child) ? 0 : child;
}

/* A BGSAVE of this shard, which goes on at SIGCONT: until then no other child gets its turn. */
static pid_t hold_turn(const struct pool *pool, unsigned shard) {
    pid_t child = 0;
    redisContext *c = pool_connect_worker(pool, shard);
    for (unsigned i = 0; child == 0 && i < 20; i++) {
        AWAIT(strcmp(info_field(c, "persistence", "rdb_bgsave_in_progress"), "0") == 0);
        freeReplyObject(expect_reply(c, "BGSAVE"));
        child = catch_child(pool_worker_pid(pool, shard));
    }
    assert_true(child > 0);
    redisFree(c);
    return child;
}

/* All links have been heard, and nothing but a turn is missing. */
static bool waits_for_turn(const struct pool *pool) {
    return strcmp(pool_text(pool, "workers.0.fork_wait.reason"), "turn") == 0;
}

static struct pool *start(bool deaths) {
    return pool_start(&(struct pool_options){
        .workers = WORKERS,
        .options = {"--save", "", "--heartbeat-timeout", deaths ? "1000" : "3600000"},
        .deaths = deaths});
}

static unsigned moments(const struct pool *pool) {
    return log_lines(pool->dir, at_one_moment);
}

static unsigned saves(const struct pool *pool) {
    return log_lines(pool->dir, "Background saving terminated with success");
}

/* ---- the tests ---- */
static void test_causes_and_wholes(void **state) {
    oracle_needed();
    static struct crowd crowd;
    struct pool *pool = start(false);
    fill_much(pool->port, MUCH, MUCH_BYTES);
    crowd_begin(&crowd, pool);
    for (unsigned i = 0; i < PULLS; i++) {
        char dir[64];
        make_directory(dir);
        crowd_more(&crowd, 30);
        assert_int_equal(pull(pool, dir), 0);
        load_and_check(pool, dir);
        remove_directory(dir);
    }
    assert_int_equal(moments(pool), PULLS);
    crowd_end(&crowd);
    pool_end(&pool);
}

/* A shard's own snapshot is at work: the merged one waits, nobody else does, and all who ask share it. */
static void test_save_is_running(void **state) {
    oracle_needed();
    static struct crowd crowd; /* its threads outlive a test that fails */
    static struct puller pullers[2];
    struct pool *pool = start(false);
    fill_much(pool->port, MUCH, MUCH_BYTES);
    crowd_begin(&crowd, pool);
    pid_t child = hold_turn(pool, 1);
    unsigned before = saves(pool); /* that were not to be caught */
    struct oracle *redis = oracle_start(NULL, no_save);
    follow(redis->port, "127.0.0.1", pool->port);
    for (unsigned i = 0; i < 2; i++)
        pull_begin(&pullers[i], pool);
    AWAIT(waits_for_turn(pool));
    AWAIT(pool_number(pool, "workers.0.metrics.merged_replicas") == 3);
    crowd_more(&crowd, 30);
    assert_int_equal(moments(pool), 0);
    /* Others that want to fork come behind it. */
    redisContext *c = pool_connect_worker(pool, 2);
    freeReplyObject(expect_reply(c, "BGSAVE"));
    kill(child, SIGCONT);
    for (unsigned i = 0; i < 2; i++)
        pull_end(&pullers[i]);
    AWAIT(link_is_up(redis->port));
    assert_int_equal(moments(pool), 1);
    AWAIT(strcmp(info_field(c, "persistence", "rdb_bgsave_in_progress"), "0") == 0);
    assert_int_equal(saves(pool), before + 2);
    crowd_end(&crowd);
    await_equal(pool->port, redis->port);
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

/* A server that follows, and the child of a shard, stopped while it writes its part. */
static struct oracle *follow_and_catch(const struct pool *pool, unsigned shard, pid_t *child_r) {
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = moments(pool);
        struct oracle *redis = oracle_start(NULL, no_save);
        follow(redis->port, "127.0.0.1", pool->port);
        *child_r = catch_child(pool_worker_pid(pool, shard));
        AWAIT(moments(pool) == before + 1);
        if (*child_r > 0)
            return redis;
        oracle_end(&redis);
    }
    fail_msg("no child was to be caught");
    return NULL;
}

/* A worker dies while its child writes: the sync is begun again, and nothing of the first is left. */
static void test_death_of_a_worker(void **state) {
    oracle_needed();
    pid_t child;
    struct pool *pool = start(true);
    fill_much(pool->port, MUCH, MUCH_BYTES);
    struct oracle *redis = follow_and_catch(pool, 2, &child);
    unsigned before = moments(pool);
    pool_kill_worker(pool, 2, SIGKILL);
    AWAIT(process_gone(child));
    AWAIT(link_is_up(redis->port));
    assert_int_equal(log_lines(pool->dir, "begin anew: a shard was lost while it wrote its part"),
                     1);
    assert_int_equal(moments(pool), before + 1);
    say_more(pool->port, 1, 100);
    await_equal(pool->port, redis->port);
    AWAIT(pool_sum(pool, "save_kind") == 0);
    oracle_end(&redis);
    pool_end(&pool);
}

/* Who wanted it has gone: the child is killed, and others get their turns. */
static void test_asker_leaves(void **state) {
    oracle_needed();
    pid_t child;
    struct pool *pool = start(false);
    fill_much(pool->port, MUCH, MUCH_BYTES);
    struct oracle *redis = follow_and_catch(pool, 1, &child);
    oracle_end(&redis);
    AWAIT(process_gone(child));
    redisContext *c = pool_connect_worker(pool, 2);
    freeReplyObject(expect_reply(c, "BGSAVE"));
    AWAIT(saves(pool) == 1);
    char *said = NULL;
    int code = 1;
    AWAIT(
        (free(said), said = run_shell(&code, "ls %s/shard-*/temp-* 2>&1", pool->data), code != 0));
    free(said);
    redisFree(c);
    pool_end(&pool);
}

/* One does not answer when it is to be locked: the others are let go, and it is tried again. */
static void test_a_shard_that_does_not_answer(void **state) {
    oracle_needed();
    static struct puller puller;
    struct pool *pool = start(false);
    fill_much(pool->port, MUCH, MUCH_BYTES);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < COINS; i++)
        freeReplyObject(expect_reply(c, "RPUSH purse:%u coin:%u", i % PURSES, i));
    pid_t child = hold_turn(pool, 1), sleeper = pool_worker_pid(pool, 2);
    pull_begin(&puller, pool);
    AWAIT(waits_for_turn(pool));
    kill(sleeper, SIGSTOP);
    kill(child, SIGCONT);
    AWAIT(log_lines(pool->dir, "could not fork at one moment") > 0);
    for (unsigned shard = 0; shard < WORKERS - 1; shard++) {
        redisContext *w = pool_connect_worker(pool, shard);
        expect_text(w, "OK", "SET %s answered", pool_key(pool, shard, 50));
        redisFree(w);
    }
    assert_int_equal(moments(pool), 0);
    kill(sleeper, SIGCONT);
    pull_end(&puller);
    assert_int_equal(moments(pool), 1);
    redisFree(c);
    pool_end(&pool);
}

/* The same of one that can't fork, and of one that dies when it is to be locked. */
static void test_no_fork_and_death(void **state) {
    oracle_needed();
    struct rlimit usual, none;
    struct oracle *redis = oracle_start(NULL, no_save);
    struct pool *pool = start(true);
    fill_much(pool->port, MUCH, MUCH_BYTES);
    pid_t child = hold_turn(pool, 1), worker = pool_worker_pid(pool, 2);
    follow(redis->port, "127.0.0.1", pool->port);
    AWAIT(waits_for_turn(pool));
    assert_int_equal(prlimit(worker, RLIMIT_NOFILE, NULL, &usual), 0);
    none = usual;
    none.rlim_cur = 1;
    assert_int_equal(prlimit(worker, RLIMIT_NOFILE, &none, NULL), 0);
    kill(child, SIGCONT);
    AWAIT(log_lines(pool->dir, "could not fork at one moment for a merged snapshot: shard 2: "
                               "Can") > 0);
    assert_int_equal(prlimit(worker, RLIMIT_NOFILE, &usual, NULL), 0);
    AWAIT(link_is_up(redis->port));
    await_equal(pool->port, redis->port);
    oracle_end(&redis);
    redis = oracle_start(NULL, no_save);
    child = hold_turn(pool, 1);
    follow(redis->port, "127.0.0.1", pool->port);
    AWAIT(waits_for_turn(pool));
    kill(worker, SIGSTOP);
    kill(child, SIGCONT);
    pool_await_worker(pool, 2, worker); /* killed, as it does not move */
    AWAIT(link_is_up(redis->port));
    await_equal(pool->port, redis->port);
    oracle_end(&redis);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_causes_and_wholes, pools_cleanup),
        cmocka_unit_test_teardown(test_save_is_running, pools_cleanup),
        cmocka_unit_test_teardown(test_death_of_a_worker, pools_cleanup),
        cmocka_unit_test_teardown(test_asker_leaves, pools_cleanup),
        cmocka_unit_test_teardown(test_a_shard_that_does_not_answer, pools_cleanup),
        cmocka_unit_test_teardown(test_no_fork_and_death, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
