/* test_slowlog.c - what is kept of slow commands: cut, without secrets, the newest only; and bodies of
 * entries that make no sense. */
#include "tests/unit/worker/command/handler_fixture.h"
#include "worker/command/slowlog.h"

#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int set_up(void **state) {
    fixture_set_up(state);
    struct fixture *f = *state;
    snprintf(f->session.peer, sizeof(f->session.peer), "10.1.1.1:5");
    fixture_configure(f, "slowlog-log-slower-than", "0");
    return 0;
}

/* The newest entry's arguments, client and name; the reply after time and duration. */
static void expect_newest(struct fixture *f, const char *want) {
    fixture_configure(f, "slowlog-log-slower-than", "-1");
    const char *reply = fixture_inline(f, "SLOWLOG GET 1");
    assert_memory_equal(reply, "*1\r\n*6\r\n:", 9);
    for (int i = 0; i < 5; i++)
        reply = strchr(reply, '\n') + 1;
    assert_string_equal(reply, want);
    fixture_configure(f, "slowlog-log-slower-than", "0");
}

static void a_command_and_its_client_are_kept(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "CLIENT SETNAME me");
    fixture_inline(f, "SET key value");
    expect_newest(f, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\n$10\r\n10.1.1.1:5\r\n"
                     "$2\r\nme\r\n");
}

static void arguments_are_cut(void **state) {
    struct fixture *f = *state;
    char line[600] = "SET key ", want[600];
    memset(line + 8, 'x', 200);
    fixture_inline(f, line);
    snprintf(want, sizeof(want),
             "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$147\r\n%.128s... (72 more bytes)\r\n$10\r\n"
             "10.1.1.1:5\r\n$0\r\n\r\n",
             line + 8);
    expect_newest(f, want);
    strcpy(line, "DEL");
    for (int i = 0; i < 34; i++)
        strcat(line, " k");
    fixture_inline(f, line);
    strcpy(want, "*32\r\n$3\r\nDEL\r\n");
    for (int i = 0; i < 30; i++)
        strcat(want, "$1\r\nk\r\n");
    strcat(want, "$22\r\n... (4 more arguments)\r\n$10\r\n10.1.1.1:5\r\n$0\r\n\r\n");
    expect_newest(f, want);
}

static void passwords_are_not_kept(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "AUTH someone secret");
    expect_newest(f, "*3\r\n$4\r\nAUTH\r\n$10\r\n(redacted)\r\n$10\r\n(redacted)\r\n$10\r\n"
                     "10.1.1.1:5\r\n$0\r\n\r\n");
}

static void the_newest_are_kept(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "slowlog-max-len", "3");
    for (int i = 0; i < 10; i++)
        fixture_inline(f, "PING");
    fixture_configure(f, "slowlog-log-slower-than", "-1");
    expect(f, "SLOWLOG LEN", ":3\r\n");
    assert_memory_equal(fixture_inline(f, "SLOWLOG GET"), "*3\r\n*6\r\n:9\r\n", 12);
    expect(f, "SLOWLOG RESET", REPLY_OK);
    expect(f, "SLOWLOG GET", "*0\r\n");
    fixture_configure(f, "slowlog-log-slower-than", "3600000000");
    fixture_inline(f, "PING");
    expect(f, "SLOWLOG LEN", REPLY_ZERO);
}

static void bodies_without_sense_are_dropped(void **state) {
    struct fixture *f = *state;
    char body[64] = {0};
    fixture_configure(f, "slowlog-log-slower-than", "-1");
    for (size_t len = 0; len < sizeof(body); len++) {
        body[16] = 5; /* arguments that are not there, or too many bytes of them */
        body[20] = (char)len;
        if (len != 44)
            slowlog_add(f->env.slowlog, bytes_of(body, len), "peer", NULL, 128);
    }
    body[16] = 33;
    slowlog_add(f->env.slowlog, bytes_of(body, sizeof(body)), "peer", NULL, 128);
    expect(f, "SLOWLOG LEN", REPLY_ZERO);
}

#define SLOW_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SLOW_TEST(a_command_and_its_client_are_kept),
        SLOW_TEST(arguments_are_cut),
        SLOW_TEST(passwords_are_not_kept),
        SLOW_TEST(the_newest_are_kept),
        SLOW_TEST(bodies_without_sense_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
