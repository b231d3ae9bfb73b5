/* test_cmd_connection.c - PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char wrong_password[] =
    "-WRONGPASS invalid username-password pair or user is disabled.\r\n";

static int begin(void **state) {
    *state = fixture_create();
    return 0;
}

static int end(void **state) {
    fixture_free((struct fixture **)state);
    return 0;
}

static void ping_and_echo(void **state) {
    struct fixture *f = *state;
    expect(f, "PING", "+PONG\r\n");
    expect(f, "PING \"a b\"", "$3\r\na b\r\n");
    expect(f, "PING a b", "-ERR wrong number of arguments for 'ping' command\r\n");
    fixture_inline(f, "ECHO \"a\\x00b\"");
    assert_memory_equal(f->reply.data, "$3\r\na\0b\r\n", 9);
}

static void hello_tells_and_sets_the_protocol(void **state) {
    struct fixture *f = *state;
    f->session.id = 42;
    expect(
        f, "HELLO",
        "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:"
        "2\r\n"
        "$2\r\nid\r\n:42\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\n"
        "modules\r\n*0\r\n");
    f->session.port = SESSION_NODE;
    expect(
        f, "HELLO 3 SETNAME me",
        "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.4\r\n$5\r\nproto\r\n:3\r\n"
        "$2\r\nid\r\n:42\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\n"
        "modules\r\n*0\r\n");
    assert_int_equal(f->session.resp, 3);
    assert_string_equal(f->session.name, "me");
}

static void hello_refuses_what_redis_refuses(void **state) {
    struct fixture *f = *state;
    expect(f, "HELLO 4", "-NOPROTO unsupported protocol version\r\n");
    expect(f, "HELLO 1", "-NOPROTO unsupported protocol version\r\n");
    expect(f, "HELLO x", "-ERR Protocol version is not an integer or out of range\r\n");
    expect(f, "HELLO 3 foo", "-ERR Syntax error in HELLO option 'foo'\r\n");
    expect(f, "HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n");
    expect(f, "HELLO 3 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'\r\n");
    expect(f, "HELLO 3 SETNAME \"a b\"",
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    expect(f, "HELLO 3 AUTH nobody x", wrong_password);
    assert_int_equal(f->session.resp, 2);
    assert_null(f->session.name);
}

static void hello_may_log_in(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "requirepass", "secret");
    f->session.authenticated = false;
    expect(
        f, "HELLO 3",
        "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
        "<proto> AUTH <user> <pass> option can be used to authenticate the client and select the "
        "RESP protocol version at the same time\r\n");
    assert_int_equal(f->session.resp, 2);
    expect(f, "HELLO 3 AUTH default wrong", wrong_password);
    fixture_inline(f, "HELLO 3 AUTH default secret");
    assert_int_equal(f->reply.data[0], '%');
    assert_true(f->session.authenticated);
}

static void auth_compares_whole_passwords(void **state) {
    struct fixture *f = *state;
    expect(
        f, "AUTH x",
        "-ERR AUTH <password> called without any password configured for the default user. Are you "
        "sure your configuration is correct?\r\n");
    expect(f, "AUTH default anything", "+OK\r\n");
    expect(f, "AUTH a b c", "-ERR syntax error\r\n");
    fixture_configure(f, "requirepass", "secret");
    f->session.authenticated = false;
    const char *const wrong[] = {"AUTH secre",         "AUTH secrets", "AUTH Secret",
                                 "AUTH \"\"",          "AUTH secreT",  "AUTH other secret",
                                 "AUTH DEFAULT secret"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        expect(f, wrong[i], wrong_password);
        assert_false(f->session.authenticated);
    }
    expect(f, "AUTH secret", "+OK\r\n");
    assert_true(f->session.authenticated);
    f->session.authenticated = false;
    expect(f, "AUTH default secret", "+OK\r\n");
    /* A wrong password later takes nothing away. */
    expect(f, "AUTH x", wrong_password);
    assert_true(f->session.authenticated);
}

static void select_checks_the_index(void **state) {
    struct fixture *f = *state;
    expect(f, "SELECT 15", "+OK\r\n");
    assert_int_equal(f->session.db, 15);
    expect(f, "SELECT 16", "-ERR DB index is out of range\r\n");
    expect(f, "SELECT -1", "-ERR DB index is out of range\r\n");
    expect(f, "SELECT x", "-ERR value is not an integer or out of range\r\n");
    expect(f, "SELECT 4294967296",
           "-ERR value is out of range, value must between -2147483648 and 2147483647\r\n");
    assert_int_equal(f->session.db, 15);
    f->session.port = SESSION_NODE;
    expect(f, "SELECT 1", "-ERR SELECT is not allowed in cluster mode\r\n");
    expect(f, "SELECT 0", "+OK\r\n");
}

static void quit_and_reset(void **state) {
    struct fixture *f = *state;
    f->session.resp = 3;
    f->session.db = 4;
    fixture_configure(f, "requirepass", "secret");
    expect(f, "RESET", "+RESET\r\n");
    assert_int_equal(f->session.resp, 2);
    assert_int_equal(f->session.db, 0);
    assert_false(f->session.authenticated);
    assert_false(f->session.close_after_reply);
    expect(f, "QUIT whatever", "+OK\r\n");
    assert_true(f->session.close_after_reply);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ping_and_echo, begin, end),
        cmocka_unit_test_setup_teardown(hello_tells_and_sets_the_protocol, begin, end),
        cmocka_unit_test_setup_teardown(hello_refuses_what_redis_refuses, begin, end),
        cmocka_unit_test_setup_teardown(hello_may_log_in, begin, end),
        cmocka_unit_test_setup_teardown(auth_compares_whole_passwords, begin, end),
        cmocka_unit_test_setup_teardown(select_checks_the_index, begin, end),
        cmocka_unit_test_setup_teardown(quit_and_reset, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
