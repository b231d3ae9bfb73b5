/* test_cmd_server.c - FLUSHDB, FLUSHALL, SWAPDB, SHUTDOWN, ROLE, HELP, and DEBUG. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct asked {
    int shutdowns;
    enum shutdown_save save;
    char crash[16];
};
static struct asked asked;

static void shutdown_asked(void *upper, struct command_ctx *ctx, enum shutdown_save save) {
    assert_ptr_equal(upper, &asked);
    assert_true(ctx->deferred_reply);
    asked.shutdowns++;
    asked.save = save;
}

static void crash_asked(void *upper, const char *how) {
    assert_ptr_equal(upper, &asked);
    snprintf(asked.crash, sizeof(asked.crash), "%s", how);
}

static int begin(void **state) {
    struct fixture *f = fixture_create();
    asked = (struct asked){0};
    f->env.shutdown = shutdown_asked;
    f->env.crash = crash_asked;
    f->env.upper = &asked;
    f->config->enable_debug_command = DEBUG_COMMAND_YES;
    *state = f;
    return 0;
}

static int end(void **state) {
    fixture_free((struct fixture **)state);
    return 0;
}

static void flushing(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "MSET a 1 b 2");
    fixture_inline(f, "SELECT 1");
    fixture_inline(f, "SET c 3");
    expect(f, "DBSIZE", ":1\r\n");
    expect(f, "FLUSHDB", "+OK\r\n");
    expect(f, "DBSIZE", ":0\r\n");
    fixture_inline(f, "SELECT 0");
    expect(f, "DBSIZE", ":2\r\n");
    expect(f, "FLUSHALL x", "-ERR syntax error\r\n");
    expect(f, "FLUSHALL SYNC ASYNC", "-ERR syntax error\r\n");
    expect(f, "FLUSHDB x", "-ERR syntax error\r\n");
    expect(f, "FLUSHALL async", "+OK\r\n");
    assert_int_equal(f->dirty, 3);
    expect(f, "DBSIZE", ":0\r\n");
    expect(f, "FLUSHDB SYNC", "+OK\r\n");
    assert_int_equal(f->dirty, 1);
}

static void swapping(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "SET a 1");
    expect(f, "SWAPDB 0 5", "+OK\r\n");
    expect_log(f, "SWAPDB 0 5");
    expect(f, "EXISTS a", ":0\r\n");
    fixture_inline(f, "SELECT 5");
    expect(f, "EXISTS a", ":1\r\n");
    expect(f, "SWAPDB x 1", "-ERR invalid first DB index\r\n");
    expect(f, "SWAPDB 99999999999 1", "-ERR invalid first DB index\r\n");
    expect(f, "SWAPDB 0 x", "-ERR invalid second DB index\r\n");
    expect(f, "SWAPDB 0 16", "-ERR DB index is out of range\r\n");
    expect(f, "SWAPDB -1 0", "-ERR DB index is out of range\r\n");
}

static void shutting_down(void **state) {
    struct fixture *f = *state;
    const char *const wrong[] = {"SHUTDOWN foo", "SHUTDOWN SAVE NOSAVE", "SHUTDOWN ABORT NOW",
                                 "SHUTDOWN NOSAVE ABORT"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        expect(f, wrong[i], "-ERR syntax error\r\n");
    expect(f, "SHUTDOWN ABORT", "-ERR No shutdown in progress.\r\n");
    assert_int_equal(asked.shutdowns, 0);
    expect(f, "SHUTDOWN", "");
    assert_int_equal(asked.save, SHUTDOWN_SAVE_DEFAULT);
    expect(f, "SHUTDOWN nosave NOW force", "");
    assert_int_equal(asked.save, SHUTDOWN_NOSAVE);
    expect(f, "SHUTDOWN SAVE", "");
    assert_int_equal(asked.save, SHUTDOWN_SAVE);
    assert_int_equal(asked.shutdowns, 3);
}

static void role_and_time(void **state) {
    struct fixture *f = *state;
    expect(f, "ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    fixture_inline(f, "TIME");
    assert_memory_equal(f->reply.data, "*2\r\n$10\r\n", 9);
    expect(f, "SAVE", "-ERR This shard keeps no files\r\n");
    expect(f, "BGSAVE x", "-ERR syntax error\r\n");
}

static void help_is_a_list_of_lines(void **state) {
    struct fixture *f = *state;
    expect(
        f, "CONFIG HELP",
        "*11\r\n+CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+GET <pattern>"
        "\r\n+    Return parameters matching the glob-like <pattern> and their values.\r\n"
        "+SET <directive> <value>\r\n+    Set the configuration <directive> to <value>.\r\n"
        "+RESETSTAT\r\n+    Reset statistics reported by the INFO command.\r\n+REWRITE\r\n"
        "+    Rewrite the configuration file.\r\n+HELP\r\n+    Prints this help.\r\n");
}

static void debug_looks_at_a_key(void **state) {
    struct fixture *f = *state;
    expect(f, "DEBUG OBJECT a", "-ERR no such key\r\n");
    fixture_inline(f, "SET a hello");
    fixture_inline(f, "DEBUG OBJECT a");
    assert_memory_equal(f->reply.data, "+Value at:0x", 12);
    assert_non_null(strstr(f->reply.data,
                           " refcount:1 encoding:embstr serializedlength:6 lru:1700000 "
                           "lru_seconds_idle:0\r\n"));
}

static void debug_switches_and_crashes(void **state) {
    struct fixture *f = *state;
    expect(f, "DEBUG SET-ACTIVE-EXPIRE 0", "+OK\r\n");
    assert_true(f->env.active_expiry_paused);
    expect(f, "DEBUG SET-ACTIVE-EXPIRE 1", "+OK\r\n");
    assert_false(f->env.active_expiry_paused);
    expect(f, "DEBUG STRINGMATCH-LEN a*c abc", ":1\r\n");
    expect(f, "DEBUG STRINGMATCH-LEN a*c abd", ":0\r\n");
    expect(f, "DEBUG SLEEP abc", "+OK\r\n");
    expect(f, "DEBUG SLEEP -1", "+OK\r\n");
    fixture_inline(f, "DEBUG PANIC");
    assert_string_equal(asked.crash, "panic");
    fixture_inline(f, "DEBUG SEGFAULT");
    assert_string_equal(asked.crash, "segfault");
    expect(f, "DEBUG RELOAD", "-ERR This shard keeps no files\r\n");
}

static void debug_protocol_has_every_type(void **state) {
    struct fixture *f = *state;
    const char *const types[] = {"string", "integer", "double", "bignum",   "null", "array",
                                 "set",    "map",     "attrib", "verbatim", "true", "false"};
    for (uint8_t version = 2; version <= 3; version++) {
        f->session.resp = version;
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
            char line[64];
            snprintf(line, sizeof(line), "DEBUG PROTOCOL %s", types[i]);
            fixture_inline(f, line);
            assert_int_not_equal(f->reply.data[0], '-');
            assert_true(resp_value_length(f->reply.data, f->reply.len) > 0);
        }
    }
    expect(f, "DEBUG PROTOCOL push",
           ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n$40\r\nSome real reply following the push reply"
           "\r\n");
    f->session.resp = 2;
    expect(f, "DEBUG PROTOCOL push", "-ERR RESP2 is not supported by this command\r\n");
    expect(f, "DEBUG PROTOCOL map", "*6\r\n:0\r\n:0\r\n:1\r\n:1\r\n:2\r\n:0\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(flushing, begin, end),
        cmocka_unit_test_setup_teardown(swapping, begin, end),
        cmocka_unit_test_setup_teardown(shutting_down, begin, end),
        cmocka_unit_test_setup_teardown(role_and_time, begin, end),
        cmocka_unit_test_setup_teardown(help_is_a_list_of_lines, begin, end),
        cmocka_unit_test_setup_teardown(debug_looks_at_a_key, begin, end),
        cmocka_unit_test_setup_teardown(debug_switches_and_crashes, begin, end),
        cmocka_unit_test_setup_teardown(debug_protocol_has_every_type, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
