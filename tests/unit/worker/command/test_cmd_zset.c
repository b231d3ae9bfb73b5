/* Sorted set commands on members: replies in both forms and both protocols, what is logged. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define REPLY_FLOAT "-ERR value is not a valid float\r\n"

static void test_add(void **state) {
    struct fixture *f = *state;
    expect(f, "ZADD z 1 a 2 b", ":2\r\n");
    expect_log(f, "ZADD z 1 a 2 b");
    expect(f, "ZADD z 1 a", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "ZADD z 5 a 3 c 3 c", REPLY_ONE);
    expect(f, "ZADD z CH 6 a 4 c 7 d", ":3\r\n");
    expect(
        f, "ZRANGE z 0 -1 WITHSCORES",
        "*8\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n4\r\n$1\r\na\r\n$1\r\n6\r\n$1\r\nd\r\n$1\r\n"
        "7\r\n");
    expect(f, "ZADD z NX 9 a 1 e", REPLY_ONE);
    expect(f, "ZADD z XX 9 a 1 f", REPLY_ZERO);
    expect(f, "ZADD z XX CH GT 8 a 10 b", REPLY_ONE);
    expect(f, "ZADD z LT CH 8 a 11 b 1 g", ":2\r\n");
    expect(f, "ZMSCORE z a b f g", "*4\r\n$1\r\n8\r\n$2\r\n10\r\n$-1\r\n$1\r\n1\r\n");
    expect(f, "ZADD new XX 1 a", REPLY_ZERO);
    expect(f, "EXISTS new", REPLY_ZERO);
    expect(f, "ZCARD z", ":6\r\n");
    expect(f, "ZCARD nokey", REPLY_ZERO);
    expect(f, "ZSCORE z a", "$1\r\n8\r\n");
    expect(f, "ZSCORE z nomember", REPLY_NIL);
    expect(f, "ZSCORE nokey a", REPLY_NIL);
    expect(f, "ZMSCORE nokey a b", "*2\r\n$-1\r\n$-1\r\n");
}

static void test_add_errors(void **state) {
    struct fixture *f = *state;
    expect(f, "ZADD z 1", "-ERR wrong number of arguments for 'zadd' command\r\n");
    expect(f, "ZADD z 1 a 2", REPLY_SYNTAX);
    expect(f, "ZADD z NX CH", REPLY_SYNTAX);
    expect(f, "ZADD z 1 a x b", REPLY_FLOAT);
    expect(f, "ZADD z nan a", REPLY_FLOAT);
    expect(f, "ZADD z \"\" a", REPLY_FLOAT);
    expect(f, "EXISTS z", REPLY_ZERO);
    expect(f, "ZADD z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible\r\n");
    const char *const not_compatible =
        "-ERR GT, LT, and/or NX options at the same time are not compatible\r\n";
    expect(f, "ZADD z NX GT 1 a", not_compatible);
    expect(f, "ZADD z LT GT 1 a", not_compatible);
    expect(f, "ZADD z LT NX 1 a", not_compatible);
    expect(f, "ZADD z INCR 1 a 2 b",
           "-ERR INCR option supports a single increment-element pair\r\n");
}

static void test_increment(void **state) {
    struct fixture *f = *state;
    expect(f, "ZINCRBY z 1.5 a", "$3\r\n1.5\r\n");
    expect_log(f, "ZINCRBY z 1.5 a");
    expect(f, "ZADD z INCR 1 a", "$3\r\n2.5\r\n");
    expect(f, "ZADD z NX INCR 1 a", REPLY_NIL);
    expect(f, "ZADD z XX INCR 1 b", REPLY_NIL);
    expect(f, "ZADD nokey XX INCR 1 b", REPLY_NIL);
    expect(f, "ZADD z GT INCR -1 a", REPLY_NIL);
    expect(f, "ZINCRBY z inf a", "$3\r\ninf\r\n");
    expect(f, "ZINCRBY z -inf a", "-ERR resulting score is not a number (NaN)\r\n");
    expect_log(f, "");
    expect(f, "ZINCRBY z x a", REPLY_FLOAT);
    expect(f, "ZINCRBY z 0 a", "$3\r\ninf\r\n");
    expect_log(f, "");
    expect(f, "ZINCRBY z 0.1 b", "$3\r\n0.1\r\n");
    expect(f, "ZINCRBY z 0.2 b", "$19\r\n0.30000000000000004\r\n");
}

static void test_remove(void **state) {
    struct fixture *f = *state;
    expect(f, "ZADD z 1 a 2 b 3 c", ":3\r\n");
    expect(f, "ZREM z a x a", REPLY_ONE);
    expect_log(f, "ZREM z a x a");
    expect(f, "ZREM z x", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "ZREM nokey x", REPLY_ZERO);
    expect(f, "ZREM z b c d", ":2\r\n");
    expect(f, "EXISTS z", REPLY_ZERO);
}

static void test_forms(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "zset-max-listpack-entries", "3");
    expect(f, "ZADD z 1 a 2 b 3 c", ":3\r\n");
    expect(f, "OBJECT ENCODING z", "$8\r\nlistpack\r\n");
    expect(f, "ZADD z 9 a", REPLY_ZERO);
    expect(f, "OBJECT ENCODING z", "$8\r\nlistpack\r\n");
    expect(f, "ZADD z 4 d", REPLY_ONE);
    expect(f, "OBJECT ENCODING z", "$8\r\nskiplist\r\n");
    expect(f, "ZRANGE z 0 -1", "*4\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\na\r\n");
    expect(f, "ZRANK z a", ":3\r\n");
    expect(f, "COPY z y", REPLY_ONE);
    expect(f, "ZREM z a b c", ":3\r\n");
    expect(f, "OBJECT ENCODING z", "$8\r\nskiplist\r\n");
    expect(f, "ZREM z d", REPLY_ONE);
    expect(f, "EXISTS z", REPLY_ZERO);
    expect(f, "ZRANGE y 0 0", "*1\r\n$1\r\nb\r\n");
    expect(f, "ZADD w 1 a 2 a 3 a 4 a", REPLY_ONE);
    expect(f, "OBJECT ENCODING w", "$8\r\nskiplist\r\n");
    fixture_configure(f, "zset-max-listpack-value", "4");
    expect(f, "ZADD v 1 abcd", REPLY_ONE);
    expect(f, "OBJECT ENCODING v", "$8\r\nlistpack\r\n");
    expect(f, "ZADD v 1 abcde", REPLY_ONE);
    expect(f, "OBJECT ENCODING v", "$8\r\nskiplist\r\n");
}

static void test_rank(void **state) {
    struct fixture *f = *state;
    expect(f, "ZADD z 1 a 2 b 2.5 c", ":3\r\n");
    expect(f, "ZRANK z a", REPLY_ZERO);
    expect(f, "ZRANK z c", ":2\r\n");
    expect(f, "ZREVRANK z a", ":2\r\n");
    expect(f, "ZRANK z x", REPLY_NIL);
    expect(f, "ZRANK nokey x", REPLY_NIL);
    expect(f, "ZRANK z c WITHSCORE", "*2\r\n:2\r\n$3\r\n2.5\r\n");
    expect(f, "ZREVRANK z c WITHSCORE", "*2\r\n:0\r\n$3\r\n2.5\r\n");
    expect(f, "ZRANK z x WITHSCORE", "*-1\r\n");
    expect(f, "ZRANK nokey x WITHSCORE", "*-1\r\n");
    expect(f, "ZRANK z c WITHSCORES", REPLY_SYNTAX);
    expect(f, "ZRANK z c WITHSCORE x", "-ERR wrong number of arguments for 'zrank' command\r\n");
}

static void test_pop(void **state) {
    struct fixture *f = *state;
    expect(f, "ZADD z 1 a 2 b 3 c 4 d", ":4\r\n");
    expect(f, "ZPOPMIN z", "*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    expect_log(f, "ZPOPMIN z");
    expect(f, "ZPOPMAX z 2", "*4\r\n$1\r\nd\r\n$1\r\n4\r\n$1\r\nc\r\n$1\r\n3\r\n");
    expect(f, "ZPOPMIN z 0", "*0\r\n");
    expect_log(f, "");
    const char *const not_positive = "-ERR value is out of range, must be positive\r\n";
    expect(f, "ZPOPMIN z -1", not_positive);
    expect(f, "ZPOPMIN z x", not_positive);
    expect(f, "ZPOPMIN z 1 1", REPLY_SYNTAX);
    expect(f, "ZPOPMIN z 10", "*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect(f, "EXISTS z", REPLY_ZERO);
    expect(f, "ZPOPMAX z", "*0\r\n");
    expect(f, "ZADD z 1 a 2 b", ":2\r\n");
    expect(f, "ZMPOP 2 nokey z MAX", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect_log(f, "ZPOPMAX z 1");
    expect(f, "ZMPOP 1 z MIN COUNT 5", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    expect_log(f, "ZPOPMIN z 1");
    expect(f, "ZMPOP 1 z MIN", "*-1\r\n");
}

static void test_multiple_pop_errors(void **state) {
    struct fixture *f = *state;
    expect(f, "ZMPOP 0 z MIN", "-ERR numkeys should be greater than 0\r\n");
    expect(f, "ZMPOP x z MIN", "-ERR numkeys should be greater than 0\r\n");
    expect(f, "ZMPOP 2 z MIN", REPLY_SYNTAX);
    expect(f, "ZMPOP 9223372036854775807 z MIN", REPLY_SYNTAX);
    expect(f, "ZMPOP 1 z x", REPLY_SYNTAX);
    expect(f, "ZMPOP 1 z MIN COUNT", REPLY_SYNTAX);
    expect(f, "ZMPOP 1 z MIN COUNT 0", "-ERR count should be greater than 0\r\n");
    expect(f, "ZMPOP 1 z MIN COUNT 1 COUNT 1", REPLY_SYNTAX);
}

static void test_scan(void **state) {
    struct fixture *f = *state;
    expect(f, "ZSCAN z 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    expect(f, "ZSCAN z x", "-ERR invalid cursor\r\n");
    expect(f, "ZADD z 0.1 a 2 b", ":2\r\n");
    expect(f, "ZSCAN z 0", "*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$3\r\n0.1\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect(f, "ZSCAN z 0 MATCH b* COUNT 1", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect(f, "ZSCAN z 0 NOPE", REPLY_SYNTAX);
    fixture_configure(f, "zset-max-listpack-entries", "0");
    expect(f, "ZADD y 0.1 a", REPLY_ONE);
    expect(f, "ZSCAN y 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$19\r\n0.10000000000000001\r\n");
}

static void test_random(void **state) {
    struct fixture *f = *state;
    expect(f, "ZRANDMEMBER z", REPLY_NIL);
    expect(f, "ZRANDMEMBER z 5", "*0\r\n");
    expect(f, "ZADD z 1.5 a", REPLY_ONE);
    expect(f, "ZRANDMEMBER z", "$1\r\na\r\n");
    expect(f, "ZRANDMEMBER z 0", "*0\r\n");
    expect(f, "ZRANDMEMBER z 5", "*1\r\n$1\r\na\r\n");
    expect(f, "ZRANDMEMBER z 5 WITHSCORES", "*2\r\n$1\r\na\r\n$3\r\n1.5\r\n");
    expect(f, "ZRANDMEMBER z -3", "*3\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n");
    expect(f, "ZRANDMEMBER z 1 WITHSCORE", REPLY_SYNTAX);
    expect(f, "ZRANDMEMBER z x", REPLY_INT);
    expect(f, "ZRANDMEMBER z -4194305",
           "-ERR value is out of range, a reply may repeat members up to 4194304 times or "
           "1073741824 bytes\r\n");
}

static void test_resp3(void **state) {
    struct fixture *f = *state;
    f->session.resp = 3;
    expect(f, "ZADD z 1.5 a 2 b", ":2\r\n");
    expect(f, "ZSCORE z a", ",1.5\r\n");
    expect(f, "ZINCRBY z 1 a", ",2.5\r\n");
    expect(f, "ZRANGE z 0 -1 WITHSCORES", "*2\r\n*2\r\n$1\r\nb\r\n,2\r\n*2\r\n$1\r\na\r\n,2.5\r\n");
}

static void test_resp3_pops(void **state) {
    struct fixture *f = *state;
    f->session.resp = 3;
    expect(f, "ZADD z 1 a 2 b 3 c 4 d", ":4\r\n");
    expect(f, "ZPOPMIN z", "*2\r\n$1\r\na\r\n,1\r\n");
    expect(f, "ZPOPMIN z 1", "*1\r\n*2\r\n$1\r\nb\r\n,2\r\n");
    expect(f, "ZMPOP 1 z MIN", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nc\r\n,3\r\n");
    expect(f, "ZRANDMEMBER z 1 WITHSCORES", "*1\r\n*2\r\n$1\r\nd\r\n,4\r\n");
    expect(f, "ZSCAN z 0", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nd\r\n$1\r\n4\r\n");
    expect(f, "ZRANK z x WITHSCORE", "_\r\n");
    expect(f, "ZSCORE z x", "_\r\n");
    expect(f, "ZMPOP 1 nokey MIN", "_\r\n");
    expect(f, "ZUNION 1 z WITHSCORES", "*1\r\n*2\r\n$1\r\nd\r\n,4\r\n");
}

static void test_wrong_type(void **state) {
    static const char *const commands[] = {"ZADD s 1 a",
                                           "ZINCRBY s 1 a",
                                           "ZREM s a",
                                           "ZCARD s",
                                           "ZSCORE s a",
                                           "ZMSCORE s a",
                                           "ZRANK s a",
                                           "ZREVRANK s a",
                                           "ZCOUNT s 0 1",
                                           "ZLEXCOUNT s - +",
                                           "ZRANGE s 0 1",
                                           "ZRANGESTORE d s 0 1",
                                           "ZRANGEBYSCORE s 0 1",
                                           "ZREVRANGEBYLEX s + -",
                                           "ZPOPMIN s",
                                           "ZPOPMAX s 0",
                                           "ZMPOP 1 s MIN",
                                           "ZRANDMEMBER s",
                                           "ZRANDMEMBER s 1",
                                           "ZREMRANGEBYRANK s 0 1",
                                           "ZREMRANGEBYSCORE s 0 1",
                                           "ZREMRANGEBYLEX s - +",
                                           "ZUNION 2 z s",
                                           "ZINTERSTORE d 2 nokey s",
                                           "ZDIFF 2 z s",
                                           "ZINTERCARD 1 s",
                                           "ZSCAN s 0"};
    struct fixture *f = *state;
    expect(f, "SET s x", REPLY_OK);
    expect(f, "ZADD z 1 a", REPLY_ONE);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        expect(f, commands[i], REPLY_TYPE);
    expect(f, "HSET z f v", REPLY_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_add),        FIXTURE_TEST(test_add_errors),
        FIXTURE_TEST(test_increment),  FIXTURE_TEST(test_remove),
        FIXTURE_TEST(test_forms),      FIXTURE_TEST(test_rank),
        FIXTURE_TEST(test_pop),        FIXTURE_TEST(test_multiple_pop_errors),
        FIXTURE_TEST(test_scan),       FIXTURE_TEST(test_random),
        FIXTURE_TEST(test_resp3),      FIXTURE_TEST(test_resp3_pops),
        FIXTURE_TEST(test_wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
