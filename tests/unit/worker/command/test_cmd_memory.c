/* MEMORY: what a key takes, options of USAGE, the forms of the others. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static long usage(struct fixture *f, const char *key) {
    char line[64];
    snprintf(line, sizeof(line), "MEMORY USAGE %s SAMPLES 0", key);
    const char *reply = fixture_inline(f, line);
    assert_int_equal(reply[0], ':');
    return strtol(reply + 1, NULL, 10);
}

static void test_usage(void **state) {
    struct fixture *f = *state;
    char line[1200] = "SET long ";
    memset(line + strlen(line), 'x', 1000);
    fixture_inline(f, line);
    fixture_inline(f, "SET short x");
    assert_in_range(usage(f, "long"), usage(f, "short") + 900, usage(f, "short") + 1200);
    for (int i = 0; i < 1000; i++) {
        snprintf(line, sizeof(line), "SADD s member:%d", i);
        fixture_inline(f, line);
    }
    assert_in_range(usage(f, "s"), 10000, 100000);
    expect(f, "MEMORY USAGE none", REPLY_NIL);
    expect(f, "MEMORY USAGE s SAMPLES -1", REPLY_SYNTAX);
    expect(f, "MEMORY USAGE s SAMPLES", REPLY_SYNTAX);
    expect(f, "MEMORY USAGE s SAMPLES x", REPLY_INT);
    expect(f, "OBJECT IDLETIME s", REPLY_ZERO);
}

static void test_others(void **state) {
    struct fixture *f = *state;
    expect(f, "MEMORY PURGE", REPLY_OK);
    assert_int_equal(fixture_inline(f, "MEMORY MALLOC-STATS")[0], '$');
    assert_int_equal(fixture_inline(f, "MEMORY DOCTOR")[0], '$');
    assert_int_equal(fixture_inline(f, "MEMORY STATS")[0], '*');
    f->session.resp = 3;
    assert_int_equal(fixture_inline(f, "MEMORY STATS")[0], '%');
    assert_int_equal(fixture_inline(f, "MEMORY DOCTOR")[0], '=');
    expect(f, "MEMORY FOO", "-ERR unknown subcommand 'FOO'. Try MEMORY HELP.\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {FIXTURE_TEST(test_usage), FIXTURE_TEST(test_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
