/* test_monitor.c - MONITOR, SLOWLOG and CLIENT PAUSE over three shards in one process: every command of every client
 * is told once, with the client it came from. */
#include "tests/unit/worker/route/route_fixture.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct setting {
    struct pool_fixture *pool;
    struct route_client *client[3]; /* one of each shard: 10.0.0.1 to 3 */
    struct route_client *watcher;   /* of shard 0: 10.0.0.4 */
    char key[3][64];
};

static int set_up(void **state) {
    struct setting *s = mem_calloc(1, sizeof(*s));
    s->pool = pool_create(3, 64 * 1024);
    for (uint32_t i = 0; i < 3; i++) {
        s->client[i] = client_create(s->pool, i, SESSION_PUBLIC);
        key_of_shard(s->pool, i, "k", s->key[i], sizeof(s->key[i]));
    }
    s->watcher = client_create(s->pool, 0, SESSION_PUBLIC);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct setting *s = *state;
    for (uint32_t i = 0; i < 3; i++)
        client_free(&s->client[i]);
    if (s->watcher)
        client_free(&s->watcher);
    pool_free(&s->pool);
    mem_free(s);
    return 0;
}

static const char *ask(struct setting *s, uint32_t client, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    return client_ask(s->client[client], line);
}

static void watch(struct setting *s) {
    assert_string_equal(client_ask(s->watcher, "MONITOR"), "+OK\r\n");
}

/* What was told since the last time, without the times. */
static char *told(struct setting *s) {
    static char text[4096];
    size_t len = 0;
    pool_turns(s->pool, 2);
    const char *at = client_take(s->watcher);
    while (*at) {
        assert_int_equal(*at, '+');
        at = strchr(at, ' ') + 1;
        size_t line = strcspn(at, "\r");
        memcpy(text + len, at, line);
        len += line;
        text[len++] = '\n';
        at += line + 2;
    }
    text[len] = '\0';
    return text;
}

static void each_command_is_told_once(void **state) {
    struct setting *s = *state;
    char want[1024];
    watch(s);
    for (uint32_t i = 0; i < 3; i++) {
        ask(s, i, "SET %s v", s->key[(i + 1) % 3]);
        snprintf(want, sizeof(want), "[0 10.0.0.%u:1] \"SET\" \"%s\" \"v\"\n", i + 1,
                 s->key[(i + 1) % 3]);
        assert_string_equal(told(s), want);
    }
    ask(s, 1, "MGET %s %s %s", s->key[0], s->key[1], s->key[2]);
    snprintf(want, sizeof(want), "[0 10.0.0.2:1] \"MGET\" \"%s\" \"%s\" \"%s\"\n", s->key[0],
             s->key[1], s->key[2]);
    assert_string_equal(told(s), want);
    ask(s, 2, "RENAME %s %s", s->key[0], s->key[1]);
    snprintf(want, sizeof(want), "[0 10.0.0.3:1] \"RENAME\" \"%s\" \"%s\"\n", s->key[0], s->key[1]);
    assert_string_equal(told(s), want);
}

static void bytes_are_quoted_and_secrets_hidden(void **state) {
    struct setting *s = *state;
    watch(s);
    ask(s, 1, "ECHO \"a \\\"b\\\\ \\n\\r\\t\\a\\b\\x00\\xff\"");
    assert_string_equal(told(s),
                        "[0 10.0.0.2:1] \"ECHO\" \"a \\\"b\\\\ \\n\\r\\t\\a\\b\\x00\\xff\"\n");
    ask(s, 2, "AUTH user password");
    assert_string_equal(told(s), "[0 10.0.0.3:1] \"AUTH\" \"(redacted)\" \"(redacted)\"\n");
    ask(s, 2, "HELLO 2 AUTH default password SETNAME me");
    assert_string_equal(told(s), "[0 10.0.0.3:1] \"HELLO\" \"2\" \"AUTH\" \"(redacted)\" "
                                 "\"(redacted)\" \"SETNAME\" \"me\"\n");
    ask(s, 1, "SELECT 3");
    assert_string_equal(told(s), "[3 10.0.0.2:1] \"SELECT\" \"3\"\n");
    s->client[1]->session.unix_socket = true;
    snprintf(s->client[1]->session.local, sizeof(s->client[1]->session.local), "/run/r:x.sock:0");
    ask(s, 1, "PING");
    assert_string_equal(told(s), "[3 unix:/run/r:x.sock] \"PING\"\n");
    /* Neither what is the administrator's, nor what was refused. */
    ask(s, 1, "CLIENT LIST");
    ask(s, 1, "SLOWLOG GET");
    ask(s, 1, "NOSUCH command");
    ask(s, 1, "GET");
    assert_string_equal(told(s), "");
}

static void a_node_tells_of_its_own_clients(void **state) {
    struct setting *s = *state;
    client_free(&s->watcher);
    s->watcher = client_create(s->pool, 0, SESSION_NODE);
    watch(s);
    ask(s, 1, "PING");
    ask(s, 0, "PING");
    assert_string_equal(told(s), "[0 10.0.0.1:1] \"PING\"\n");
}

static void reset_and_leaving_end_it(void **state) {
    struct setting *s = *state;
    watch(s);
    pool_turns(s->pool, 2);
    assert_true(s->pool->shard[1].router->monitored);
    assert_string_equal(client_ask(s->watcher, "MONITOR"), "");
    client_ask(s->watcher, "RESET");
    s->watcher->session.authenticated = true;
    ask(s, 1, "PING");
    assert_string_equal(told(s), "");
    assert_false(s->pool->shard[1].router->monitored);
    watch(s);
    client_free(&s->watcher);
    pool_turns(s->pool, 2);
    for (int i = 0; i < 3; i++)
        assert_false(s->pool->shard[i].router->monitored);
}

static void a_worker_that_comes_back_is_watched_again(void **state) {
    struct setting *s = *state;
    watch(s);
    client_free(&s->client[2]);
    pool_kill(s->pool, 2);
    pool_tell_down(s->pool, 2);
    pool_revive(s->pool, 2);
    pool_turns(s->pool, 2);
    s->client[2] = client_create(s->pool, 2, SESSION_PUBLIC);
    ask(s, 2, "PING");
    assert_string_equal(told(s), "[0 10.0.0.5:1] \"PING\"\n");
    /* And the watcher's: nobody is told on. */
    client_free(&s->client[0]);
    client_free(&s->watcher);
    pool_kill(s->pool, 0);
    pool_tell_down(s->pool, 0);
    assert_false(s->pool->shard[1].router->monitored);
    pool_revive(s->pool, 0);
    s->client[0] = client_create(s->pool, 0, SESSION_PUBLIC);
    ask(s, 1, "PING");
}

/* ---- SLOWLOG ---- */

static void slow_commands_are_kept_with_their_client(void **state) {
    struct setting *s = *state;
    pool_configure(s->pool, "slowlog-log-slower-than", "0");
    for (uint32_t i = 0; i < 3; i++)
        ask(s, i, "SET %s %u", s->key[(i + 1) % 3], i);
    pool_configure(s->pool, "slowlog-log-slower-than", "-1");
    assert_string_equal(ask(s, 0, "SLOWLOG LEN"), ":3\r\n");
    const char *all = ask(s, 0, "SLOWLOG GET");
    assert_memory_equal(all, "*3\r\n*6\r\n:2\r\n", 12);
    for (uint32_t i = 3; i-- > 0;) {
        char want[200];
        snprintf(want, sizeof(want),
                 "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$1\r\n%u\r\n$10\r\n10.0.0.%u:1\r\n$0\r\n\r\n",
                 strlen(s->key[(i + 1) % 3]), s->key[(i + 1) % 3], i, i + 1);
        all = strstr(all, want);
        assert_non_null(all);
    }
    assert_memory_equal(ask(s, 1, "SLOWLOG GET 1"), "*1\r\n*6\r\n:2\r\n", 12);
    assert_memory_equal(ask(s, 1, "SLOWLOG GET -1"), "*3\r\n", 4);
    assert_string_equal(ask(s, 1, "SLOWLOG GET 0"), "*0\r\n");
    assert_string_equal(ask(s, 1, "SLOWLOG GET -2"),
                        "-ERR count should be greater than or equal to -1\r\n");
    assert_string_equal(ask(s, 1, "SLOWLOG RESET"), "+OK\r\n");
    assert_string_equal(ask(s, 1, "SLOWLOG LEN"), ":0\r\n");
}

static void a_gathers_command_is_kept_too(void **state) {
    struct setting *s = *state;
    ask(s, 0, "SET %s v", s->key[0]);
    pool_configure(s->pool, "slowlog-log-slower-than", "0");
    ask(s, 2, "RENAME %s %s", s->key[0], s->key[1]);
    pool_configure(s->pool, "slowlog-log-slower-than", "-1");
    assert_string_equal(ask(s, 0, "SLOWLOG LEN"), ":1\r\n");
    assert_non_null(strstr(ask(s, 0, "SLOWLOG GET"), "10.0.0.3:1"));
}

static void one_that_waited_is_kept_when_it_is_served(void **state) {
    struct setting *s = *state;
    char line[100];
    snprintf(line, sizeof(line), "BLPOP %s 0", s->key[0]);
    pool_configure(s->pool, "slowlog-log-slower-than", "0");
    assert_true(client_send(s->client[1], line));
    pool_turns(s->pool, 3);
    assert_string_equal(ask(s, 0, "SLOWLOG LEN"), ":0\r\n");
    ask(s, 0, "SLOWLOG RESET");
    ask(s, 2, "RPUSH %s x", s->key[0]);
    pool_configure(s->pool, "slowlog-log-slower-than", "-1");
    const char *all = ask(s, 0, "SLOWLOG GET");
    assert_non_null(strstr(all, "BLPOP"));
    assert_non_null(strstr(all, "10.0.0.2:1"));
    client_take(s->client[1]);
}

/* ---- CLIENT PAUSE ---- */

static void writes_wait_for_the_end_of_a_pause(void **state) {
    struct setting *s = *state;
    char line[100];
    snprintf(line, sizeof(line), "SET %s v", s->key[1]);
    assert_string_equal(ask(s, 0, "CLIENT PAUSE 1000000 WRITE"), "+OK\r\n");
    for (uint32_t i = 0; i < 3; i++) {
        assert_false(client_send(s->client[i], line));
        assert_false(pipeline_may_begin(&s->client[i]->pipeline));
    }
    assert_string_equal(client_ask(s->watcher, "DBSIZE"), ":0\r\n");
    assert_string_equal(client_ask(s->watcher, "CLIENT UNPAUSE"), "+OK\r\n");
    for (uint32_t i = 0; i < 3; i++)
        assert_string_equal(client_ask(s->client[i], line), "+OK\r\n");
}

static void a_pause_of_all_ends_by_itself(void **state) {
    struct setting *s = *state;
    assert_string_equal(ask(s, 2, "CLIENT PAUSE 20"), "+OK\r\n");
    assert_true(router_next_ms(s->pool->shard[0].router) != 0);
    assert_false(client_send(s->client[0], "PING"));
    while (router_is_paused(s->pool->shard[0].router) || router_is_paused(s->pool->shard[2].router))
        pool_turns(s->pool, 1);
    assert_int_equal(router_next_ms(s->pool->shard[0].router), 0);
    assert_string_equal(ask(s, 0, "PING"), "+PONG\r\n");
}

#define MONITOR_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        MONITOR_TEST(each_command_is_told_once),
        MONITOR_TEST(bytes_are_quoted_and_secrets_hidden),
        MONITOR_TEST(a_node_tells_of_its_own_clients),
        MONITOR_TEST(reset_and_leaving_end_it),
        MONITOR_TEST(a_worker_that_comes_back_is_watched_again),
        MONITOR_TEST(slow_commands_are_kept_with_their_client),
        MONITOR_TEST(a_gathers_command_is_kept_too),
        MONITOR_TEST(one_that_waited_is_kept_when_it_is_served),
        MONITOR_TEST(writes_wait_for_the_end_of_a_pause),
        MONITOR_TEST(a_pause_of_all_ends_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
