/* 23_monitor.c - watching a pool: MONITOR, SLOWLOG and LATENCY tell of all workers' clients. */
#include "tests/integration/pool_fixture.h"
#include <signal.h>

static struct pool *pool;
static redisContext *c;

static int start(void **state) {
    static const struct pool_options options = {.options = {"--enable-debug-command", "yes"},
                                                .deaths = true};
    pool = pool_start(&options);
    c = pool_connect(pool);
    return 0;
}

static int end(void **state) {
    redisFree(c);
    pool_end(&pool);
    return 0;
}

/* A client of each worker. */
static redisContext *client_of(unsigned worker) {
    redisContext *own = pool_connect(pool);
    expect_nil(own, "GET %s", pool_key(pool, worker, 9));
    return own;
}

static char *next_line(redisContext *watcher) {
    void *reply;
    assert_int_equal(redisGetReply(watcher, &reply), REDIS_OK);
    assert_int_equal(((redisReply *)reply)->type, REDIS_REPLY_STATUS);
    char *line = strdup(((redisReply *)reply)->str);
    freeReplyObject(reply);
    return line;
}

/* The next line that is no marker of watch() ends so. */
static void expect_line(redisContext *watcher, const char *end_text) {
    char *line = next_line(watcher);
    while (strstr(line, "marker")) {
        free(line);
        line = next_line(watcher);
    }
    size_t len = strlen(line), want = strlen(end_text);
    if (len < want || strcmp(line + len - want, end_text) != 0)
        fail_msg("want ...%s, got %s", end_text, line);
    double at = strtod(line, NULL);
    assert_true(at > 1e9);
    free(line);
}

/* All workers know of the watcher once each has told of a client of its own. */
static redisContext *watch(redisContext *own[3]) {
    redisContext *watcher = pool_connect(pool);
    expect_text(watcher, "OK", "MONITOR");
    for (unsigned i = 0; i < 3; i++) {
        bool told = false;
        while (!told) {
            char text[32];
            snprintf(text, sizeof(text), "\"marker-%u\"", i);
            expect_text(own[i], text, "ECHO %s", text);
            struct timeval soon = {0, 100000}, late = {60, 0};
            redisSetTimeout(watcher, soon);
            void *reply;
            if (redisGetReply(watcher, &reply) == REDIS_OK) {
                told = strstr(((redisReply *)reply)->str, "marker") != NULL;
                freeReplyObject(reply);
            } else {
                watcher->err = 0;
            }
            redisSetTimeout(watcher, late);
        }
    }
    return watcher;
}

static void test_monitor(void **state) {
    redisContext *own[3];
    for (unsigned i = 0; i < 3; i++)
        own[i] = client_of(i);
    redisContext *watcher = watch(own);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned owner = 0; owner < 3; owner++) {
            char want[200];
            const char *key = pool_key(pool, owner, i);
            expect_text(own[i], "OK", "SET %s %b", key, "a\"\\\n\x01\xff", (size_t)6);
            snprintf(want, sizeof(want), "] \"SET\" \"%s\" \"a\\\"\\\\\\n\\x01\\xff\"", key);
            expect_line(watcher, want);
        }
    }
    redisReply *list = expect_reply(c, "CLIENT LIST");
    assert_non_null(strstr(list->str, " flags=O "));
    freeReplyObject(list);
    pool_kill_worker(pool, 2, SIGKILL);
    for (unsigned i = 0; i < 3; i++)
        redisFree(own[i]);
    redisFree(watcher);
    redisFree(c);
    c = pool_connect(pool);
    expect_text(c, "PONG", "PING");
}

static void test_slowlog(void **state) {
    redisContext *own = client_of(1);
    expect_text(own, "OK", "CLIENT SETNAME slow");
    expect_text(c, "OK", "SLOWLOG RESET");
    expect_text(c, "OK", "CONFIG SET slowlog-log-slower-than 0");
    for (unsigned owner = 0; owner < 3; owner++)
        expect_integer(own, 1, "RPUSH %s element", pool_key(pool, owner, 20));
    expect_text(c, "OK", "CONFIG SET slowlog-log-slower-than -1");
    redisReply *log = expect_reply(c, "SLOWLOG GET -1");
    long long before = INT64_MAX;
    unsigned found = 0;
    for (size_t i = 0; i < log->elements; i++) {
        redisReply **entry = log->element[i]->element;
        assert_int_equal(log->element[i]->elements, 6);
        assert_true(entry[0]->integer < before);
        before = entry[0]->integer;
        found += strcmp(entry[3]->element[0]->str, "RPUSH") == 0 &&
                 strcmp(entry[5]->str, "slow") == 0 &&
                 strncmp(entry[4]->str, "127.0.0.1:", 10) == 0;
    }
    assert_int_equal(found, 3);
    expect_integer(c, (int64_t)log->elements, "SLOWLOG LEN");
    freeReplyObject(log);
    redisFree(own);
}

static void test_latency(void **state) {
    expect_text(c, "OK", "CONFIG SET latency-monitor-threshold 1");
    expect_text(c, "OK", "DEBUG SLEEP 0.05");
    redisReply *latest = expect_reply(c, "LATENCY LATEST");
    assert_true(latest->elements >= 1);
    assert_string_equal(latest->element[0]->element[0]->str, "command");
    assert_true(latest->element[0]->element[3]->integer >= 50);
    freeReplyObject(latest);
    redisReply *graph = expect_reply(c, "LATENCY GRAPH command");
    assert_int_equal(strncmp(graph->str, "command - high ", 15), 0);
    freeReplyObject(graph);
    assert_true(ask_integer(c, "LATENCY RESET command") == 1);
    expect_text(c, "OK", "CONFIG SET latency-monitor-threshold 0");
    expect_text(c, "OK", "CONFIG RESETSTAT");
    for (unsigned owner = 0; owner < 3; owner++)
        expect_integer(c, 0, "HLEN %s", pool_key(pool, owner, 30));
    redisReply *histogram = expect_reply(c, "LATENCY HISTOGRAM hlen");
    assert_int_equal(histogram->elements, 2);
    assert_string_equal(histogram->element[0]->str, "hlen");
    assert_int_equal(histogram->element[1]->element[1]->integer, 3);
    freeReplyObject(histogram);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monitor),
        cmocka_unit_test(test_slowlog),
        cmocka_unit_test(test_latency),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
