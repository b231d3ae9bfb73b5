/* 56_log_switch.c - the log is switched on and off while the pool serves, and pool.ini is edited between
 * starts: nothing that was kept is lost. And the turns to fork, as clients and operators see them. */
#include "tests/integration/load.h"
#include "tests/integration/pool_fixture.h"
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

enum { SHARDS = 3 };

static bool info_is(redisContext *c, const char *field, const char *value) {
    return strcmp(info_field(c, "persistence", field), value) == 0;
}

static bool log_is_on(redisContext *c) {
    return info_is(c, "aof_enabled", "1") && info_is(c, "aof_rewrite_scheduled", "0") &&
           info_is(c, "aof_rewrite_in_progress", "0");
}

static bool file_is_there(const struct pool *pool, unsigned shard, const char *name) {
    char path[256];
    snprintf(path, sizeof(path), "%s/shard-%04u/%s", pool->data, shard, name);
    return access(path, F_OK) == 0;
}

static bool anywhere(const struct pool *pool, const char *name) {
    bool any = false;
    for (unsigned i = 0; i < SHARDS; i++)
        any |= file_is_there(pool, i, name);
    return any;
}

static void start_with(struct pool *pool, const char *appendonly) {
    int at = 0;
    while (pool->options.options[at] && strcmp(pool->options.options[at], "--appendonly") != 0)
        at++;
    pool->options.options[at] = "--appendonly";
    pool->options.options[at + 1] = appendonly;
    pool_start_again(pool);
}

static int64_t value_of(redisContext *c, const char *key) {
    return ask_integer(c, "INCRBY %s 0", key);
}

static void count_up(redisContext *c, const struct pool *pool, int64_t value[SHARDS]) {
    for (unsigned i = 0; i < SHARDS; i++)
        value[i] = ask_integer(c, "INCR %s", pool_key(pool, i, 0));
}

static void expect_between(redisContext *c, const struct pool *pool, const int64_t least[SHARDS],
                           const int64_t most[SHARDS]) {
    for (unsigned i = 0; i < SHARDS; i++) {
        int64_t value = value_of(c, pool_key(pool, i, 0));
        if (value < least[i] || value > most[i])
            fail_msg("shard %u has %lld, not %lld to %lld", i, (long long)value,
                     (long long)least[i], (long long)most[i]);
    }
}

/* ---- on ---- */

/* Killed at a random moment after the switch: what SAVE answered is there; and once all logs were on,
 * all that was answered. The next start has the switch in pool.ini, or not. */
static void test_killed_while_it_begins(void **state) {
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    print_message("seed %u\n", seed);
    struct pool *pool =
        pool_start(&(struct pool_options){.deaths = true, .options = {"--save", ""}});
    for (unsigned round = 0; round < 8; round++) {
        redisContext *c = pool_connect(pool);
        int64_t saved[SHARDS], now[SHARDS], sure[SHARDS];
        count_up(c, pool, saved);
        expect_text(c, "OK", "SAVE");
        expect_text(c, "OK", "CONFIG SET appendonly yes");
        memcpy(sure, saved, sizeof(sure));
        memcpy(now, saved, sizeof(now));
        uint64_t until_us = clock_mono_us() + (uint64_t)(rand_r(&seed) % 60000);
        bool on = false;
        while (clock_mono_us() < until_us) {
            on = on || log_is_on(c);
            count_up(c, pool, now);
            if (on)
                memcpy(sure, now, sizeof(sure));
        }
        redisFree(c);
        pool_crash(pool);
        start_with(pool, rand_r(&seed) % 2 ? "yes" : "no");
        c = pool_connect(pool);
        expect_between(c, pool, sure, now);
        expect_text(c, "OK", "CONFIG SET appendonly no");
        AWAIT(!anywhere(pool, "appendonlydir"));
        expect_text(c, "OK", "SAVE");
        AWAIT(!anywhere(pool, "appendonlydir.retired"));
        assert_false(anywhere(pool, "temp-appendonlydir"));
        redisFree(c);
    }
    pool_end(&pool);
}

static void test_on_under_load(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true, .options = {"--save", "", "--appendfsync", "always"}});
    static struct load load;
    redisContext *c = pool_connect(pool);
    load_start(&load, pool, pool->port, 3);
    for (unsigned i = 0; i < SHARDS; i++)
        load_await(&load, i, 50);
    expect_text(c, "OK", "CONFIG SET appendonly yes");
    AWAIT(log_is_on(c));
    for (unsigned i = 0; i < SHARDS; i++)
        load_await(&load, i, 50);
    redisFree(c);
    pool_crash(pool);
    start_with(pool, "yes");
    load_stop(&load);
    load_check(&load, pool);
    pool_end(&pool);
}

/* CONFIG REWRITE keeps the switch. */
static void test_the_switch_is_kept_in_the_file(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.deaths = true, .ini = "[persistence]\nsave =\n"});
    redisContext *c = pool_connect(pool);
    int64_t value[SHARDS];
    expect_text(c, "OK", "CONFIG SET appendonly yes");
    expect_text(c, "OK", "CONFIG REWRITE");
    AWAIT(log_is_on(c));
    count_up(c, pool, value);
    redisFree(c);
    pool_crash(pool);
    pool_start_again(pool);
    c = pool_connect(pool);
    assert_true(log_is_on(c));
    expect_between(c, pool, value, value);
    redisFree(c);
    pool_end(&pool);
}

/* One shard that cannot: no shard does, and the client hears why. */
static void test_all_or_none(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    char path[256];
    snprintf(path, sizeof(path), "%s/shard-0001/appendonlydir", pool->data);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof(path), "%s/shard-0001/appendonlydir/notes", pool->data);
    assert_int_equal(mkdir(path, 0755), 0);
    expect_error(
        c,
        "ERR CONFIG SET failed (possibly related to argument 'appendonly') - Unable to turn "
        "on AOF: ",
        "CONFIG SET appendonly yes");
    assert_true(info_is(c, "aof_enabled", "0"));
    AWAIT(!anywhere(pool, "temp-appendonlydir") && !file_is_there(pool, 0, "appendonlydir"));
    assert_int_equal(rmdir(path), 0);
    expect_text(c, "OK", "CONFIG SET appendonly yes");
    AWAIT(log_is_on(c));
    redisFree(c);
    pool_end(&pool);
}

/* ---- off ---- */

static void test_off_under_load(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true, .options = {"--appendonly", "yes", "--appendfsync", "always"}});
    static struct load load;
    redisContext *c = pool_connect(pool);
    load_start(&load, pool, pool->port, 3);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < SHARDS; i++)
            load_await(&load, i, 10);
        expect_text(c, "OK", "CONFIG SET appendonly %s", round % 2 ? "yes" : "no");
    }
    AWAIT(log_is_on(c));
    expect_text(c, "OK", "CONFIG SET appendonly no");
    for (unsigned i = 0; i < SHARDS; i++)
        load_await(&load, i, 10);
    load_stop(&load);
    /* Save points are set, so snapshots make up for the logs at once. */
    AWAIT(!anywhere(pool, "appendonlydir") && !anywhere(pool, "appendonlydir.retired"));
    assert_true(info_is(c, "aof_enabled", "0"));
    expect_text(c, "OK", "SAVE");
    redisFree(c);
    pool_crash(pool);
    start_with(pool, "no");
    load_check(&load, pool);
    pool_end(&pool);
}

/* Nothing was saved since: the retired log is all there is. */
static void test_killed_after_off(void **state) {
    struct pool *pool = pool_start(
        &(struct pool_options){.deaths = true, .options = {"--save", "", "--appendonly", "yes"}});
    redisContext *c = pool_connect(pool);
    int64_t logged[SHARDS], now[SHARDS];
    expect_text(c, "OK", "SAVE");
    count_up(c, pool, logged);
    expect_text(c, "OK", "CONFIG SET appendonly no");
    count_up(c, pool, now);
    AWAIT(!anywhere(pool, "appendonlydir"));
    assert_true(file_is_there(pool, 0, "appendonlydir.retired"));
    redisFree(c);
    pool_crash(pool);
    start_with(pool, "no");
    c = pool_connect(pool);
    expect_between(c, pool, logged, now);
    AWAIT(!anywhere(pool, "appendonlydir.retired"));
    redisFree(c);
    pool_end(&pool);
}

/* ---- pool.ini was edited ---- */

static void test_edited_between_starts(void **state) {
    static const char *const settings[] = {"no", "yes", "yes", "no", "no", "yes"};
    struct pool *pool = pool_start(
        &(struct pool_options){.deaths = true, .options = {"--save", "", "--appendonly", "yes"}});
    int64_t value[SHARDS];
    redisContext *c = pool_connect(pool);
    count_up(c, pool, value);
    for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        redisFree(c);
        pool_crash(pool);
        start_with(pool, settings[i]);
        c = pool_connect(pool);
        expect_between(c, pool, value, value);
        if (strcmp(settings[i], "no") == 0) {
            AWAIT(!anywhere(pool, "appendonlydir") && !anywhere(pool, "appendonlydir.retired"));
            if (i == 0)
                assert_true(pool_log_has(pool, "appendonly is no, but there is a log"));
        }
        count_up(c, pool, value);
        if (strcmp(settings[i], "no") == 0)
            expect_text(c, "OK", "SAVE");
    }
    redisFree(c);
    pool_end(&pool);
}

static void test_save_points_at_once(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--save", ""}});
    redisContext *c = pool_connect(pool);
    int64_t value[SHARDS];
    count_up(c, pool, value);
    expect_text(c, "OK", "CONFIG SET save %s", "1 1");
    for (unsigned i = 0; i < SHARDS; i++)
        AWAIT(pool_number(pool, "workers.%u.metrics.snapshots", i) == 1);
    expect_text(c, "OK", "CONFIG SET save %s", "");
    count_up(c, pool, value);
    /* Nothing asks for a snapshot, not even the end. */
    AWAIT(pool_number(pool, "workers.0.metrics.dirty") == 1);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    for (unsigned i = 0; i < SHARDS; i++)
        assert_int_equal(value_of(c, pool_key(pool, i, 0)), value[i] - 1);
    redisFree(c);
    pool_end(&pool);
}

/* ---- turns to fork ---- */

/* No memory is enough: the save waits, says so everywhere, and goes on when it may. */
static void test_a_save_waits_for_memory(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--snapshot-memory-percent", "1000000000"}});
    redisContext *c = pool_connect(pool);
    expect_text(c, "Background saving started", "BGSAVE");
    AWAIT(info_is(c, "fork_wait", "memory"));
    assert_true(info_is(c, "rdb_bgsave_in_progress", "1"));
    assert_true(atoll(info_field(c, "persistence", "fork_needed_bytes")) > 0);
    expect_error(c, "ERR Background save already in progress", "BGSAVE");
    for (unsigned i = 0; i < SHARDS; i++) {
        AWAIT(strcmp(pool_text(pool, "workers.%u.fork_wait.reason", i), "memory") == 0);
        assert_true(pool_number(pool, "workers.%u.fork_wait.needed_bytes", i) >
                    pool_number(pool, "workers.%u.fork_wait.free_bytes", i));
        assert_non_null(
            strstr(pool_text(pool, "workers.%u.trouble", i), "a save waits for memory"));
    }
    struct http_reply metrics = http_get(pool->status_port, "/metrics");
    assert_non_null(strstr(metrics.body, "remuda_fork_wait{shard=\"1\"} 2\n"));
    http_free(&metrics);
    assert_true(pool_log_has(pool, "waits for memory before it forks"));
    expect_text(c, "OK", "SET still served");
    expect_text(c, "OK", "CONFIG SET snapshot-memory-percent 100");
    AWAIT(info_is(c, "rdb_bgsave_in_progress", "0"));
    for (unsigned i = 0; i < SHARDS; i++)
        assert_int_equal(pool_number(pool, "workers.%u.metrics.snapshots", i), 1);
    assert_true(info_is(c, "fork_wait", "no"));
    redisFree(c);
    pool_end(&pool);
}

/* Polled as clients do: it is in progress from the answer to the end of the last shard's. */
static void test_bgsave_is_in_progress_without_a_gap(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--save", ""}});
    redisContext *c = pool_connect(pool);
    for (int round = 1; round <= 10; round++) {
        expect_text(c, "Background saving started", "BGSAVE");
        AWAIT(info_is(c, "rdb_bgsave_in_progress", "0"));
        char saves[16];
        snprintf(saves, sizeof(saves), "%d", round * SHARDS);
        assert_string_equal(info_field(c, "persistence", "rdb_saves"), saves);
    }
    redisFree(c);
    pool_end(&pool);
}

/* ---- INFO ---- */

/* The names before the first colon of each line, one behind the other. */
static void names_of(const char *text, char *names_r, size_t bytes) {
    size_t len = 0;
    names_r[0] = '\0';
    for (const char *at = text; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        size_t name = strcspn(at, ":\r\n");
        if (at[name] == ':' && len + name + 2 < bytes)
            len += (size_t)snprintf(names_r + len, bytes - len, "%.*s\n", (int)name, at);
    }
}

/* Redis's fields in Redis's order; ours come behind. */
static void test_info_is_that_of_redis(void **state) {
    oracle_needed();
    static const char *const modes[] = {"no", "yes"};
    for (int i = 0; i < 2; i++) {
        static char theirs[4096], ours[4096];
        const char *options[] = {"--appendonly", modes[i], NULL};
        struct oracle *oracle = oracle_start(NULL, options);
        struct pool *pool =
            pool_start(&(struct pool_options){.options = {"--appendonly", modes[i]}});
        redisContext *c[3] = {client_connect(oracle->port), pool_connect(pool),
                              pool_connect_worker(pool, 1)};
        for (int k = 0; k < 3; k++) {
            redisReply *reply = expect_reply(c[k], "INFO persistence");
            names_of(reply->str, k == 0 ? theirs : ours, sizeof(theirs));
            freeReplyObject(reply);
            if (k > 0 && strncmp(ours, theirs, strlen(theirs)) != 0)
                fail_msg("not the same fields:\n%s\n%s", theirs, ours);
        }
        for (int k = 0; k < 3; k++)
            redisFree(c[k]);
        pool_end(&pool);
        oracle_end(&oracle);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_killed_while_it_begins, pools_cleanup),
        cmocka_unit_test_teardown(test_on_under_load, pools_cleanup),
        cmocka_unit_test_teardown(test_the_switch_is_kept_in_the_file, pools_cleanup),
        cmocka_unit_test_teardown(test_all_or_none, pools_cleanup),
        cmocka_unit_test_teardown(test_off_under_load, pools_cleanup),
        cmocka_unit_test_teardown(test_killed_after_off, pools_cleanup),
        cmocka_unit_test_teardown(test_edited_between_starts, pools_cleanup),
        cmocka_unit_test_teardown(test_save_points_at_once, pools_cleanup),
        cmocka_unit_test_teardown(test_a_save_waits_for_memory, pools_cleanup),
        cmocka_unit_test_teardown(test_bgsave_is_in_progress_without_a_gap, pools_cleanup),
        cmocka_unit_test_teardown(test_info_is_that_of_redis, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
