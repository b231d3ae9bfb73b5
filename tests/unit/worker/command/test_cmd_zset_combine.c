/* Union, intersection and difference of sorted sets: replies, weights, what is stored. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void fill(struct fixture *f) {
    expect(f, "ZADD a 1 x 2 y 3 z", ":3\r\n");
    expect(f, "ZADD b 10 y 20 z", ":2\r\n");
}

static void test_union(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZUNION 2 a b", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n");
    expect(f, "ZUNION 2 a b WITHSCORES",
           "*6\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$2\r\n12\r\n$1\r\nz\r\n$2\r\n23\r\n");
    expect(f, "ZUNION 2 a b WEIGHTS 0.5 -1 AGGREGATE MIN WITHSCORES",
           "*6\r\n$1\r\nz\r\n$3\r\n-20\r\n$1\r\ny\r\n$3\r\n-10\r\n$1\r\nx\r\n$3\r\n0.5\r\n");
    expect(f, "ZUNION 3 a nokey a AGGREGATE MAX WITHSCORES",
           "*6\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$1\r\n2\r\n$1\r\nz\r\n$1\r\n3\r\n");
    expect(f, "ZUNION 1 nokey", "*0\r\n");
    expect(f, "ZUNIONSTORE d 2 a b", ":3\r\n");
    expect_log(f, "ZUNIONSTORE d 2 a b");
    expect(f, "ZSCORE d y", "$2\r\n12\r\n");
    expect(f, "OBJECT ENCODING d", "$8\r\nlistpack\r\n");
    expect(f, "ZUNIONSTORE a 2 a a WEIGHTS 2 3", ":3\r\n");
    expect(f, "ZSCORE a x", "$1\r\n5\r\n");
}

static void test_infinite_scores(void **state) {
    struct fixture *f = *state;
    expect(f, "ZADD a inf x", REPLY_ONE);
    expect(f, "ZADD b -inf x", REPLY_ONE);
    expect(f, "ZUNION 2 a b WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n0\r\n");
    expect(f, "ZINTER 2 a b WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n0\r\n");
    expect(f, "ZUNION 1 a WEIGHTS 0 WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n0\r\n");
}

static void test_intersection(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZINTER 2 a b", "*2\r\n$1\r\ny\r\n$1\r\nz\r\n");
    expect(f, "ZINTER 2 a b WEIGHTS 2 1 WITHSCORES",
           "*4\r\n$1\r\ny\r\n$2\r\n14\r\n$1\r\nz\r\n$2\r\n26\r\n");
    expect(f, "ZINTER 2 a nokey", "*0\r\n");
    expect(f, "ZINTERCARD 2 a b", ":2\r\n");
    expect(f, "ZINTERCARD 2 a b LIMIT 1", REPLY_ONE);
    expect(f, "ZINTERCARD 2 a b LIMIT 0", ":2\r\n");
    expect(f, "ZINTERCARD 1 nokey", REPLY_ZERO);
    expect(f, "SET d old EX 100", REPLY_OK);
    expect(f, "ZINTERSTORE d 2 a b AGGREGATE MAX", ":2\r\n");
    expect(f, "TTL d", ":-1\r\n");
    expect(f, "ZSCORE d z", "$2\r\n20\r\n");
    expect(f, "ZINTERSTORE d 2 a nokey", REPLY_ZERO);
    expect_log(f, "ZINTERSTORE d 2 a nokey");
    expect(f, "EXISTS d", REPLY_ZERO);
    expect(f, "ZINTERSTORE d 2 a nokey", REPLY_ZERO);
    expect_log(f, "");
}

static void test_difference(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZDIFF 2 a b WITHSCORES", "*2\r\n$1\r\nx\r\n$1\r\n1\r\n");
    expect(f, "ZDIFF 2 a nokey", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n");
    expect(f, "ZDIFF 2 a a", "*0\r\n");
    expect(f, "ZDIFF 2 nokey a", "*0\r\n");
    expect(f, "ZDIFFSTORE d 2 a b", REPLY_ONE);
    expect(f, "ZRANGE d 0 -1", "*1\r\n$1\r\nx\r\n");
    /* Many small ones, which are taken out of a copy of the first. */
    expect(f, "ZADD one 1 x", REPLY_ONE);
    expect(f, "ZADD two 1 z", REPLY_ONE);
    expect(f, "ZDIFF 5 a one two nokey nokey", "*1\r\n$1\r\ny\r\n");
    expect(f, "ZDIFF 6 a one two nokey one b", "*0\r\n");
    expect(f, "ZDIFF 2 a b WEIGHTS 1 1", REPLY_SYNTAX);
}

static void test_errors(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZUNION 0 a", "-ERR at least 1 input key is needed for 'zunion' command\r\n");
    expect(f, "ZINTERSTORE d 0 a",
           "-ERR at least 1 input key is needed for 'zinterstore' command\r\n");
    expect(f, "ZUNION x a", REPLY_INT);
    expect(f, "ZUNION 3 a b", REPLY_SYNTAX);
    expect(f, "ZUNION 1 a NOPE", REPLY_SYNTAX);
    expect(f, "ZUNION 2 a b WEIGHTS 1", REPLY_SYNTAX);
    expect(f, "ZUNION 2 a b WEIGHTS 1 x", "-ERR weight value is not a float\r\n");
    expect(f, "ZUNION 2 a b AGGREGATE", REPLY_SYNTAX);
    expect(f, "ZUNION 2 a b AGGREGATE AVG", REPLY_SYNTAX);
    expect(f, "ZUNIONSTORE d 2 a b WITHSCORES", REPLY_SYNTAX);
    expect(f, "ZINTERCARD 1 a WITHSCORES", REPLY_SYNTAX);
    expect(f, "ZINTERCARD 1 a WEIGHTS 1", REPLY_SYNTAX);
    expect(f, "ZINTERCARD 1 a LIMIT -1", "-ERR LIMIT can't be negative\r\n");
    expect(f, "ZINTERCARD 1 a LIMIT x", "-ERR LIMIT can't be negative\r\n");
    expect(f, "ZINTERCARD 1 a LIMIT", REPLY_SYNTAX);
    expect(f, "SET s x", REPLY_OK);
    expect(f, "ZUNIONSTORE d 2 a s NOPE", REPLY_TYPE);
    expect(f, "EXISTS d", REPLY_ZERO);
}

static int set_up_big(void **state) {
    fixture_set_up(state);
    fixture_configure(*state, "zset-max-listpack-value", "0");
    return 0;
}

static void test_result_form(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "OBJECT ENCODING a", "$8\r\nskiplist\r\n");
    expect(f, "ZUNIONSTORE d 1 a", ":3\r\n");
    expect(f, "OBJECT ENCODING d", "$8\r\nskiplist\r\n");
    fixture_configure(f, "zset-max-listpack-value", "1");
    expect(f, "ZUNIONSTORE d 1 a", ":3\r\n");
    expect(f, "OBJECT ENCODING d", "$8\r\nlistpack\r\n");
    expect(f, "ZRANGE d 0 -1", "*3\r\n$1\r\nx\r\n$1\r\ny\r\n$1\r\nz\r\n");
}

#define BIG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_big, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_union),        FIXTURE_TEST(test_infinite_scores),
        FIXTURE_TEST(test_intersection), BIG_TEST(test_intersection),
        FIXTURE_TEST(test_difference),   BIG_TEST(test_difference),
        FIXTURE_TEST(test_errors),       BIG_TEST(test_result_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
