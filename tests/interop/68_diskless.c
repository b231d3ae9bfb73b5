/* 68_diskless: full syncs without a file between real redis-servers, redis-cli and pools, either way: who shares
 * one, what a slow reader does to the others, children that are killed; the data are equal in the end. */
#include "tests/interop/following.h"

#include <signal.h>
#include <sys/socket.h>

static bool has_dump(const struct pool *pool) {
    char path[600];
    snprintf(path, sizeof path, "%s/shard-0000/dump.rdb", pool->data);
    return access(path, F_OK) == 0;
}

static void set(const struct pool *pool, const char *option, const char *value) {
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET %s %s", option, value);
    redisFree(c);
}

/* All that was said is there, and nothing else. */
static void assert_equal(int primary, int follower) {
    static unsigned round;
    char key[32];
    redisContext *c = client_connect(primary);
    snprintf(key, sizeof key, "word:%u", round++);
    expect_text(c, "OK", "SET %s last", key);
    redisFree(c);
    AWAIT(has_word(follower, key));
    dataset_assert_equal("primary", primary, "follower", follower, EXPIRY_EXACT);
}

static struct pool *primary_pool(const char *delay, const char *enough) {
    return pool_start(&(struct pool_options){
        .workers = 1,
        .options = {"--save", "", "--rdbcompression", "no", "--repl-diskless-sync-delay", delay,
                    "--repl-diskless-sync-max-replicas", enough}});
}

/* Three that load it each in its own way, one with data of its own before. */
static void test_one_for_three_servers(void **state) {
    static const char *const to_disk[] = {"--repl-diskless-load", "disabled", NULL};
    static const char *const in_memory[] = {"--repl-diskless-load", "swapdb", NULL};
    static const char *const if_empty[] = {"--repl-diskless-load", "on-empty-db", NULL};
    oracle_needed();
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *pool = primary_pool("3600", "3");
    struct oracle *redis[] = {oracle_start(NULL, to_disk), oracle_start(NULL, if_empty),
                              oracle_start(NULL, in_memory)};
    dataset_fill(pool->port, seed, 600);
    dataset_fill(redis[2]->port, seed + 1, 100);
    writer_begin(&w, pool->port, seed);
    for (unsigned i = 0; i < 3; i++)
        follow(redis[i]->port, "127.0.0.1", pool->worker_port);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(link_is_up(redis[i]->port));
    writer_more(&w, 500);
    writer_end(&w);
    for (unsigned i = 0; i < 3; i++)
        assert_equal(pool->port, redis[i]->port);
    assert_int_equal(log_lines(pool->dir, "Background RDB transfer started"), 1);
    assert_int_equal(log_lines(pool->dir, "Background saving started"), 0);
    assert_false(has_dump(pool));
    for (unsigned i = 0; i < 3; i++)
        oracle_end(&redis[i]);
    pool_end(&pool);
}

/* ---- a replica that reads nothing, and a server that waits for it ---- */
struct stuck {
    struct pool *pool;
    struct oracle *redis;
    int fd; /* of the one that reads nothing */
};

static bool is_held_up(const struct stuck *s) {
    redisContext *c = client_connect(s->redis->port);
    bool receives = atoll(info_field(c, "replication", "master_sync_read_bytes")) > 0;
    redisFree(c);
    return receives;
}

static struct stuck get_stuck(void) {
    struct stuck s = {.pool = primary_pool("3600", "2"), .redis = oracle_start(NULL, NULL)};
    int room = 4096;
    redisContext *c = pool_connect(s.pool);
    for (unsigned i = 0; i < 200; i++)
        freeReplyObject(expect_reply(c, "SETRANGE key:%u 199999 x", i));
    redisFree(c);
    s.fd = raw_connect(s.pool->worker_port);
    setsockopt(s.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    raw_send_text(s.fd, "REPLCONF capa eof\r\n");
    free(raw_read_replies(s.fd, 1).data);
    raw_send_text(s.fd, "PSYNC ? -1\r\n");
    follow(s.redis->port, "127.0.0.1", s.pool->worker_port);
    AWAIT(pool_log_has(s.pool, "Background RDB transfer started"));
    AWAIT(is_held_up(&s));
    assert_false(link_is_up(s.redis->port));
    set(s.pool, "repl-diskless-sync-delay", "0");
    return s;
}

static void go_on(struct stuck *s, unsigned transfers) {
    AWAIT(link_is_up(s->redis->port));
    assert_equal(s->pool->port, s->redis->port);
    assert_int_equal(log_lines(s->pool->dir, "Background RDB transfer started"), transfers);
    close(s->fd);
    oracle_end(&s->redis);
    pool_end(&s->pool);
}

/* It is let go in time for the other to get its snapshot whole. */
static void test_slow_one_is_let_go(void **state) {
    oracle_needed();
    struct stuck s = get_stuck();
    set(s.pool, "repl-timeout", "4");
    AWAIT(pool_log_has(s.pool, "it has read nothing for repl-timeout"));
    go_on(&s, 1);
}

static void test_child_is_killed(void **state) {
    oracle_needed();
    struct stuck s = get_stuck();
    int code;
    int worker = (int)pool_worker_pid(s.pool, 0);
    free(run_shell(&code, "kill -KILL $(cat /proc/%d/task/%d/children)", worker, worker));
    assert_int_equal(code, 0);
    AWAIT(pool_log_has(s.pool, "the snapshot on its way to it failed"));
    go_on(&s, 2);
}

static void test_flushed(void **state) {
    oracle_needed();
    struct stuck s = get_stuck();
    redisContext *c = pool_connect(s.pool);
    expect_text(c, "OK", "FLUSHALL");
    redisFree(c);
    AWAIT(pool_log_has(s.pool, "the snapshot on its way to it was given up"));
    go_on(&s, 2);
}

/* The worker is killed in the middle: whoever was half way begins anew. */
static void test_worker_is_killed(void **state) {
    oracle_needed();
    struct stuck s = get_stuck();
    s.pool->options.deaths = true;
    pool_kill_worker(s.pool, 0, SIGKILL);
    pool_await_ready(s.pool);
    say_more(s.pool->port, 1, 50);
    AWAIT(link_is_up(s.redis->port));
    assert_equal(s.pool->port, s.redis->port);
    close(s.fd);
    oracle_end(&s.redis);
    pool_end(&s.pool);
}

/* ---- pools that follow ---- */
static void expect_streamed(const struct pool *pool, unsigned links) {
    assert_int_equal(log_lines(pool->dir, "receiving streamed RDB from master with EOF"), links);
}

/* A server that streams without a file, to pools of one and of three. */
static void follow_server(unsigned workers) {
    oracle_needed();
    struct writer w;
    uint64_t seed = random_seed();
    struct oracle *redis = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(&(struct pool_options){.workers = workers});
    dataset_fill(redis->port, seed, 900);
    writer_begin(&w, redis->port, seed);
    follow(pool->port, "127.0.0.1", redis->port);
    AWAIT(link_is_up(pool->port));
    writer_more(&w, 500);
    writer_end(&w);
    assert_equal(redis->port, pool->port);
    expect_streamed(pool, 1);
    oracle_end(&redis);
    pool_end(&pool);
}
static void test_pool_of_one_follows(void **state) {
    follow_server(1);
}
static void test_pool_of_three_follows(void **state) {
    follow_server(3);
}

/* Shard by shard, and of another size through the router. */
static void test_pools_follow_a_pool(void **state) {
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *primary = pool_start(&(struct pool_options){.workers = 2});
    struct pool *same = pool_start(&(struct pool_options){.workers = 2});
    struct pool *other = pool_start(&(struct pool_options){.workers = 3});
    dataset_fill(primary->port, seed, 600);
    writer_begin(&w, primary->port, seed);
    follow(same->port, "127.0.0.1", primary->port);
    follow(other->port, "127.0.0.1", primary->port);
    AWAIT(link_is_up(same->port));
    AWAIT(link_is_up(other->port));
    writer_more(&w, 500);
    writer_end(&w);
    for (unsigned i = 0; i < 2; i++) {
        redisContext *c = pool_connect(primary);
        expect_text(c, "OK", "SET %s last", pool_key(primary, i, 0));
        redisFree(c);
        AWAIT(has_word(same->port, pool_key(primary, i, 0)));
        AWAIT(has_word(other->port, pool_key(primary, i, 0)));
    }
    dataset_assert_equal("pool", primary->port, "same size", same->port, EXPIRY_EXACT);
    dataset_assert_equal("pool", primary->port, "other size", other->port, EXPIRY_EXACT);
    expect_streamed(same, 2);
    expect_streamed(other, 2);
    pool_end(&other);
    pool_end(&same);
    pool_end(&primary);
}

/* ---- redis-cli ---- */
static bool file_has(const char *path, const char *text) {
    int code;
    free(run_shell(&code, "grep -qF '%s' %s", text, path));
    return code == 0;
}

static void test_redis_cli(void **state) {
    oracle_needed();
    struct pool *pool = primary_pool("0", "0");
    static const char *const how[] = {"yes", "no"};
    dataset_fill(pool->port, random_seed(), 200);
    for (unsigned i = 0; i < 2; i++) {
        char path[600];
        int code;
        set(pool, "repl-diskless-sync", how[i]);
        char *said = run_shell(&code,
                               "redis-cli -p %d --rdb %s/taken.rdb 2>&1 && redis-check-rdb "
                               "%s/taken.rdb",
                               pool->worker_port, pool->dir, pool->dir);
        if (code != 0)
            fail_msg("%s", said);
        free(said);
        snprintf(path, sizeof path, "%s/stream.%u", pool->dir, i);
        said = run_shell(&code, "redis-cli -p %d --replica >%s 2>&1 & echo $!", pool->worker_port,
                         path);
        pid_t pid = (pid_t)atoi(said);
        free(said);
        assert_true(pid > 1);
        redisContext *c = pool_connect(pool);
        AWAIT(strstr(info_field(c, "replication", "slave0"), "state=online"));
        expect_text(c, "OK", "SET followed %u", i);
        AWAIT(file_has(path, "\"SET\",\"followed\""));
        kill(pid, SIGKILL);
        AWAIT(strcmp(info_field(c, "replication", "connected_slaves"), "0") == 0);
        redisFree(c);
    }
    assert_true(has_dump(pool)); /* of the second */
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_one_for_three_servers, pools_cleanup),
        cmocka_unit_test_teardown(test_slow_one_is_let_go, pools_cleanup),
        cmocka_unit_test_teardown(test_child_is_killed, pools_cleanup),
        cmocka_unit_test_teardown(test_flushed, pools_cleanup),
        cmocka_unit_test_teardown(test_worker_is_killed, pools_cleanup),
        cmocka_unit_test_teardown(test_pool_of_one_follows, pools_cleanup),
        cmocka_unit_test_teardown(test_pool_of_three_follows, pools_cleanup),
        cmocka_unit_test_teardown(test_pools_follow_a_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_redis_cli, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
