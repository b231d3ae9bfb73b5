/* 40_config.c - one configuration for the whole pool: CONFIG, SIGHUP and the file. */
#include "tests/integration/pool_fixture.h"
#include <signal.h>

/* ---- small helpers ---- */

/* The value as the server behind c has it; "" if there is none. Good until the next call. */
static const char *value_of(redisContext *c, const char *name) {
    static char value[1024];
    redisReply *reply = expect_reply(c, "CONFIG GET %s", name);
    snprintf(value, sizeof(value), "%s", reply_field(reply, name));
    freeReplyObject(reply);
    return value;
}

static bool worker_has(struct pool *pool, unsigned worker, const char *name, const char *value) {
    redisContext *c = pool_connect_worker(pool, worker);
    bool has = strcmp(value_of(c, name), value) == 0;
    redisFree(c);
    return has;
}

static void expect_everywhere(struct pool *pool, const char *name, const char *value) {
    for (unsigned i = 0; i < pool->workers; i++) {
        redisContext *c = pool_connect_worker(pool, i);
        assert_string_equal(value_of(c, name), value);
        redisFree(c);
    }
}

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Freed by the caller. */
static char *read_file(const char *path) {
    int code;
    char *text = run_shell(&code, "cat '%s'", path);
    assert_int_equal(code, 0);
    return text;
}

/* ---- GET and SET ---- */

static void test_get(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    assert_string_equal(value_of(c, "maxmemory-samples"), "5");
    assert_string_equal(value_of(c, "MAXMEMORY-samples"), "5"); /* named as it was asked for */
    assert_string_equal(value_of(c, "no-such-option"), "");
    redisReply *reply = expect_reply(c, "CONFIG GET maxmemory*");
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 6);
    assert_string_equal(reply_field(reply, "maxmemory"), "0");
    assert_string_equal(reply_field(reply, "maxmemory-policy"), "noeviction");
    freeReplyObject(reply);
    reply = expect_reply(c, "CONFIG GET timeout hash-max-listpack-* timeout");
    assert_int_equal(reply->elements, 6);
    freeReplyObject(reply);
    redisFree(c);
    pool_end(&pool);
}

static void test_set_reaches_every_process(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET maxmemory 200mb maxmemory-policy allkeys-lru timeout 77");
    expect_everywhere(pool, "maxmemory", "209715200");
    expect_everywhere(pool, "maxmemory-policy", "allkeys-lru");
    expect_everywhere(pool, "timeout", "77");
    assert_int_equal(pool_number(pool, "pool.memory.limit_bytes"), 209715200);
    redisFree(c);
    /* From a worker's port it is the same order to the same pool. */
    c = pool_connect_worker(pool, 2);
    expect_text(c, "OK", "CONFIG SET maxmemory 0 timeout 0");
    expect_everywhere(pool, "timeout", "0");
    redisFree(c);
    pool_end(&pool);
}

/* The reply of the oracle to the same words is the reply of the pool. */
static const char *const refused[] = {
    "maxmemory-samples 9 timeout x",
    "maxmemory-samples 9 timeout -1",
    "maxmemory-samples 9 maxmemory-samples 10",
    "maxmemory-samples 9 databases 4",
    "maxmemory-samples 9 appendfsync sometimes",
    "maxmemory-samples 9 rdbcompression maybe",
    "maxmemory-samples 9 maxmemory 12zb",
    "maxmemory-samples 9 hz",
    "maxmemory-samples 9 no-such-option 1",
    "maxmemory-samples 9 maxmemory-policy x",
    "maxmemory-samples 9 lfu-log-factor -1",
    "hz 11 active-expire-effort 11",
};

static char *error_of(redisContext *c, const char *words) {
    char command[256];
    snprintf(command, sizeof(command), "CONFIG SET %s", words);
    redisReply *reply = redisCommand(c, command);
    assert_non_null(reply);
    if (reply->type != REDIS_REPLY_ERROR)
        fail_msg("%s was not refused", command);
    char *text = strdup(reply->str);
    freeReplyObject(reply);
    return text;
}

static void test_all_or_nothing(void **state) {
    oracle_needed();
    struct oracle *oracle = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(NULL);
    redisContext *theirs = client_connect(oracle->port), *ours = pool_connect(pool);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *expected = error_of(theirs, refused[i]), *got = error_of(ours, refused[i]);
        assert_string_equal(got, expected);
        free(expected);
        free(got);
        expect_everywhere(pool, "maxmemory-samples", "5");
        expect_everywhere(pool, "hz", "10");
    }
    redisFree(theirs);
    redisFree(ours);
    oracle_end(&oracle);
    pool_end(&pool);
}

static void test_what_needs_a_restart_is_refused(void **state) {
    static const char *const names[] = {"workers",     "dir",       "worker-port-base",
                                        "status-port", "databases", "relay-ring-size"};
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char expected[160];
        snprintf(expected, sizeof(expected),
                 "ERR CONFIG SET failed (possibly related to argument '%s') - can't set immutable "
                 "config",
                 names[i]);
        expect_error(c, expected, "CONFIG SET %s 5", names[i]);
    }
    redisFree(c);
    pool_end(&pool);
}

/* Two clients at different workers set a pair of options: whoever comes last wins both. */
static void test_concurrent_sets_do_not_mix(void **state) {
    enum { ROUNDS = 60 };
    struct pool *pool = pool_start(NULL);
    redisContext *c[3];
    for (unsigned i = 0; i < 3; i++)
        c[i] = pool_connect_worker(pool, i);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 3; i++)
            redisAppendCommand(c[i], "CONFIG SET maxmemory-samples %u lfu-log-factor %u",
                               1 + (round + i) % 60, 1 + (round + i) % 60);
        for (unsigned i = 0; i < 3; i++) {
            redisReply *reply = NULL;
            assert_int_equal(redisGetReply(c[i], (void **)&reply), REDIS_OK);
            assert_int_equal(reply->type, REDIS_REPLY_STATUS);
            freeReplyObject(reply);
        }
        char value[1024];
        snprintf(value, sizeof(value), "%s", value_of(c[0], "maxmemory-samples"));
        expect_everywhere(pool, "maxmemory-samples", value);
        expect_everywhere(pool, "lfu-log-factor", value);
    }
    for (unsigned i = 0; i < 3; i++)
        redisFree(c[i]);
    pool_end(&pool);
}

/* A worker that hangs gets the change when it goes on, and holds nobody up for long. */
static void test_set_while_a_worker_hangs(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--heartbeat-timeout", "600000"}});
    pid_t pid = pool_worker_pid(pool, 1);
    redisContext *c = pool_connect_worker(pool, 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    expect_text(c, "OK", "CONFIG SET maxmemory-samples 11");
    assert_true(worker_has(pool, 2, "maxmemory-samples", "11"));
    assert_int_equal(kill(pid, SIGCONT), 0);
    AWAIT(worker_has(pool, 1, "maxmemory-samples", "11"));
    redisFree(c);
    pool_end(&pool);
}

static void test_a_new_process_gets_the_values_of_now(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true});
    redisContext *c = pool_connect_worker(pool, 0);
    expect_text(c, "OK", "CONFIG SET maxmemory-samples 7 maxmemory 300mb");
    pool_kill_worker(pool, 1, SIGKILL);
    assert_true(worker_has(pool, 1, "maxmemory-samples", "7"));
    pid_t front = pool_front_pid(pool);
    assert_int_equal(kill(front, SIGKILL), 0);
    AWAIT(pool_front_pid(pool) > 0 && pool_front_pid(pool) != front);
    assert_int_equal(pool_number(pool, "pool.memory.limit_bytes"), 314572800);
    redisFree(c);
    pool_end(&pool);
}

static void test_resetstat(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 3; i++)
        expect_nil(c, "GET %s", pool_key(pool, i, 0));
    assert_string_equal(info_field(c, "stats", "keyspace_misses"), "3");
    expect_text(c, "OK", "CONFIG RESETSTAT");
    assert_string_equal(info_field(c, "stats", "keyspace_misses"), "0");
    redisFree(c);
    pool_end(&pool);
}

/* ---- the file ---- */

static const char first_ini[] = "# The operator's own words.\n"
                                "[limits]\n"
                                "maxmemory = 100mb\n"
                                "; kept as it is\n"
                                "maxmemory-samples = 6\n"
                                "[network]\n"
                                "timeout = 50\n";

static void test_reload(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.ini = first_ini, .options = {"--timeout", "40"}});
    expect_everywhere(pool, "maxmemory", "104857600");
    expect_everywhere(pool, "timeout", "40");
    write_file(pool->ini, "[limits]\nmaxmemory = 150mb\ndatabases = 4\n[network]\ntimeout = 60\n");
    pool_signal(pool, SIGHUP);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(worker_has(pool, i, "maxmemory", "157286400"));
    /* What is in the file no more is at its default; the command line still counts more. */
    expect_everywhere(pool, "maxmemory-samples", "5");
    expect_everywhere(pool, "timeout", "40");
    expect_everywhere(pool, "databases", "16");
    AWAIT(pool_log_has(pool, "Reload: databases differs and needs a restart"));
    AWAIT(pool_number(pool, "pool.memory.limit_bytes") == 157286400);
    pool_end(&pool);
}

/* A reload that has nothing to say of the primary must not promote a replica. */
static void test_reload_keeps_the_primary(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.ini = first_ini});
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 1");
    write_file(pool->ini, "[limits]\nmaxmemory = 150mb\n");
    pool_signal(pool, SIGHUP);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(worker_has(pool, i, "maxmemory", "157286400"));
    expect_everywhere(pool, "replicaof", "127.0.0.1 1");
    write_file(pool->ini, "[replication]\nreplicaof = 127.0.0.1 2\n");
    pool_signal(pool, SIGHUP);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(worker_has(pool, i, "replicaof", "127.0.0.1 2"));
    /* What was rewritten is what the file says now. */
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 3");
    expect_text(c, "OK", "CONFIG REWRITE");
    expect_text(c, "OK", "REPLICAOF NO ONE");
    expect_text(c, "OK", "CONFIG SET timeout 77");
    pool_signal(pool, SIGHUP);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(worker_has(pool, i, "timeout", "0"));
    expect_everywhere(pool, "replicaof", "");
    redisFree(c);
    pool_end(&pool);
}

static void test_reload_of_a_bad_file_changes_nothing(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.ini = first_ini});
    write_file(pool->ini, "[limits]\nmaxmemory = 150mb\nmaxmemory-sample = 3\n");
    pool_signal(pool, SIGHUP);
    AWAIT(pool_log_has(pool, "The reload changed nothing: "));
    AWAIT(pool_log_has(pool, "pool.ini:3: "));
    AWAIT(pool_log_has(pool, "maxmemory-samples"));
    expect_everywhere(pool, "maxmemory", "104857600");
    expect_everywhere(pool, "maxmemory-samples", "6");
    pool_end(&pool);
}

static void test_rewrite(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.ini = first_ini});
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET maxmemory 123456789 hz 25 requirepass %s", "a \";# b");
    expect_text(c, "OK", "CONFIG REWRITE");
    redisFree(c);
    char *text = read_file(pool->ini);
    assert_non_null(strstr(text, "# The operator's own words.\n"));
    assert_non_null(strstr(text, "; kept as it is\n"));
    assert_non_null(strstr(text, "123456789"));
    assert_null(strstr(text, "100mb"));
    free(text);
    int code;
    free(run_shell(&code, "'%s/remuda' --check '%s'", pool_build(), pool->ini));
    assert_int_equal(code, 0);
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_error(c, "NOAUTH", "PING");
    expect_text(c, "OK", "AUTH %s", "a \";# b");
    assert_string_equal(value_of(c, "maxmemory"), "123456789");
    assert_string_equal(value_of(c, "hz"), "25");
    assert_string_equal(value_of(c, "maxmemory-samples"), "6");
    redisFree(c);
    pool_end(&pool);
}

static void test_rewrite_without_a_file(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_error(c, "ERR The server is running without a config file", "CONFIG REWRITE");
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_get, pools_cleanup),
        cmocka_unit_test_teardown(test_set_reaches_every_process, pools_cleanup),
        cmocka_unit_test_teardown(test_all_or_nothing, pools_cleanup),
        cmocka_unit_test_teardown(test_what_needs_a_restart_is_refused, pools_cleanup),
        cmocka_unit_test_teardown(test_concurrent_sets_do_not_mix, pools_cleanup),
        cmocka_unit_test_teardown(test_set_while_a_worker_hangs, pools_cleanup),
        cmocka_unit_test_teardown(test_a_new_process_gets_the_values_of_now, pools_cleanup),
        cmocka_unit_test_teardown(test_resetstat, pools_cleanup),
        cmocka_unit_test_teardown(test_reload, pools_cleanup),
        cmocka_unit_test_teardown(test_reload_of_a_bad_file_changes_nothing, pools_cleanup),
        cmocka_unit_test_teardown(test_reload_keeps_the_primary, pools_cleanup),
        cmocka_unit_test_teardown(test_rewrite, pools_cleanup),
        cmocka_unit_test_teardown(test_rewrite_without_a_file, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
