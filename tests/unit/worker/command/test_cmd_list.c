/* List commands: replies that the differential scripts do not cover, forms, and what is logged. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void test_push_and_pop(void **state) {
    struct fixture *f = *state;
    expect(f, "RPUSH l a b c", ":3\r\n");
    expect_log(f, "RPUSH l a b c");
    expect(f, "LPUSH l z", ":4\r\n");
    expect(f, "LPOP l", "$1\r\nz\r\n");
    expect_log(f, "LPOP l");
    expect(f, "RPOP l 2", "*2\r\n$1\r\nc\r\n$1\r\nb\r\n");
    expect_log(f, "RPOP l 2");
    expect(f, "LPOP l 0", "*0\r\n");
    expect_log(f, "");
    expect(f, "LPOP l", "$1\r\na\r\n");
    expect(f, "EXISTS l", REPLY_ZERO);
    expect(f, "LPOP l", REPLY_NIL);
    expect_log(f, "");
    expect(f, "LPOP l 1", "*-1\r\n");
    expect(f, "LPUSHX l a", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "LPOP l -1", "-ERR value is out of range, must be positive\r\n");
    expect(f, "LPOP l 1 2", "-ERR wrong number of arguments for 'lpop' command\r\n");
}

static void test_multiple_pop(void **state) {
    struct fixture *f = *state;
    expect(f, "RPUSH b 1 2 3", ":3\r\n");
    expect(f, "LMPOP 2 a b RIGHT COUNT 2", "*2\r\n$1\r\nb\r\n*2\r\n$1\r\n3\r\n$1\r\n2\r\n");
    expect_log(f, "RPOP b 2");
    expect(f, "LMPOP 2 a b LEFT COUNT 9", "*2\r\n$1\r\nb\r\n*1\r\n$1\r\n1\r\n");
    expect_log(f, "LPOP b 1");
    expect(f, "LMPOP 2 a b LEFT", "*-1\r\n");
    expect_log(f, "");
    expect(f, "LMPOP 0 a LEFT", "-ERR numkeys should be greater than 0\r\n");
    expect(f, "LMPOP 1 a LEFT COUNT 0", "-ERR count should be greater than 0\r\n");
    expect(f, "LMPOP 4294967297 a LEFT", REPLY_SYNTAX);
    expect(f, "LMPOP 1 a LEFT COUNT", REPLY_SYNTAX);
}

static void test_move(void **state) {
    struct fixture *f = *state;
    expect(f, "RPUSH a 1 2", ":2\r\n");
    expect(f, "LMOVE a b LEFT RIGHT", "$1\r\n1\r\n");
    expect_log(f, "LMOVE a b LEFT RIGHT");
    expect(f, "LMOVE a a LEFT RIGHT", "$1\r\n2\r\n");
    expect(f, "LLEN a", REPLY_ONE);
    expect(f, "RPOPLPUSH a b", "$1\r\n2\r\n");
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "LRANGE b 0 -1", "*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    expect(f, "RPOPLPUSH a b", REPLY_NIL);
    expect_log(f, "");
}

static void test_middle(void **state) {
    struct fixture *f = *state;
    expect(f, "RPUSH l a b c a", ":4\r\n");
    expect(f, "LINSERT l BEFORE c x", ":5\r\n");
    expect_log(f, "LINSERT l BEFORE c x");
    expect(f, "LINSERT l AFTER nothere x", ":-1\r\n");
    expect_log(f, "");
    expect(f, "LSET l 0 first", REPLY_OK);
    expect(f, "LSET l 9 x", "-ERR index out of range\r\n");
    expect_log(f, "");
    expect(f, "LREM l -1 a", REPLY_ONE);
    expect(f, "LREM l 0 a", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "LTRIM l 0 -1", REPLY_OK);
    expect_log(f, "");
    expect(f, "LTRIM l 1 1", REPLY_OK);
    expect_log(f, "LTRIM l 1 1");
    expect(f, "LRANGE l 0 -1", "*1\r\n$1\r\nb\r\n");
    expect(f, "LTRIM l 1 0", REPLY_OK);
    expect(f, "EXISTS l", REPLY_ZERO);
}

static void test_forms(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "list-max-listpack-size", "4");
    expect(f, "RPUSH l 1 2 3 4", ":4\r\n");
    expect(f, "OBJECT ENCODING l", "$8\r\nlistpack\r\n");
    expect(f, "RPUSH l 5", ":5\r\n");
    expect(f, "OBJECT ENCODING l", "$9\r\nquicklist\r\n");
    expect(f, "LPOP l 2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    expect(f, "OBJECT ENCODING l", "$9\r\nquicklist\r\n");
    expect(f, "LREM l 0 5", REPLY_ONE);
    expect(f, "OBJECT ENCODING l", "$8\r\nlistpack\r\n");
    expect(f, "LRANGE l 0 -1", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n");
    expect(f, "LPUSH l a b c", ":5\r\n");
    expect(f, "OBJECT ENCODING l", "$9\r\nquicklist\r\n");
    expect(f, "COPY l m", REPLY_ONE);
    expect(f, "DEL l", REPLY_ONE);
    expect(f, "OBJECT ENCODING m", "$9\r\nquicklist\r\n");
    expect(f, "LRANGE m 0 -1", "*5\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\na\r\n$1\r\n3\r\n$1\r\n4\r\n");
    expect(f, "RENAME m n", REPLY_OK);
    expect(f, "RPOP n 100", "*5\r\n$1\r\n4\r\n$1\r\n3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    expect(f, "EXISTS n", REPLY_ZERO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_push_and_pop), FIXTURE_TEST(test_multiple_pop), FIXTURE_TEST(test_move),
        FIXTURE_TEST(test_middle),       FIXTURE_TEST(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
