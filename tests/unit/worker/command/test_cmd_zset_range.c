/* Ranges of sorted sets: by rank, score and member, forward and back, read, stored, removed. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Members of one character each, as the reply of an array of them. */
static const char *members(const char *letters) {
    static char reply[2000];
    size_t len = (size_t)sprintf(reply, "*%zu\r\n", strlen(letters));
    for (; *letters; letters++)
        len += (size_t)sprintf(reply + len, "$1\r\n%c\r\n", *letters);
    return reply;
}

/* In both forms. */
static void fill(struct fixture *f) {
    expect(f, "ZADD z 1 a 2 b 3 c 4 d 5 e 6 f", ":6\r\n");
    expect(f, "ZADD x 0 a 0 b 0 c 0 d 0 e 0 f", ":6\r\n");
}
static int set_up_big(void **state) {
    fixture_set_up(state);
    fixture_configure(*state, "zset-max-listpack-entries", "0");
    return 0;
}

static void test_by_rank(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZRANGE z 0 -1", members("abcdef"));
    expect(f, "ZRANGE z 1 2", members("bc"));
    expect(f, "ZRANGE z -2 100", members("ef"));
    expect(f, "ZRANGE z -100 1", members("ab"));
    expect(f, "ZRANGE z 4 2", "*0\r\n");
    expect(f, "ZRANGE z 0 -7", "*0\r\n");
    expect(f, "ZRANGE z 6 10", "*0\r\n");
    expect(f, "ZRANGE z 0 -1 REV", members("fedcba"));
    expect(f, "ZRANGE z 1 2 REV", members("ed"));
    expect(f, "ZREVRANGE z 0 1 WITHSCORES", "*4\r\n$1\r\nf\r\n$1\r\n6\r\n$1\r\ne\r\n$1\r\n5\r\n");
    expect(f, "ZREVRANGE z -1 -1", members("a"));
    expect(f, "ZRANGE nokey 0 -1", "*0\r\n");
    expect(f, "ZRANGE z x 1", REPLY_INT);
    expect(f, "ZRANGE z 0 (1", REPLY_INT);
    expect(f, "ZRANGE z 0 -1 NOPE", REPLY_SYNTAX);
    expect(f, "ZRANGE z 0 -1 REV REV", REPLY_SYNTAX);
    expect(f, "ZRANGE z 0 -1 LIMIT 0 -1", members("abcdef"));
    expect(f, "ZRANGE z 0 -1 LIMIT 0 1",
           "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or "
           "BYLEX\r\n");
    expect(f, "ZREVRANGE z 0 -1 REV", REPLY_SYNTAX);
    expect(f, "ZREVRANGE z 0 -1 BYLEX", REPLY_SYNTAX);
}

static void test_by_score(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZRANGEBYSCORE z 2 4", members("bcd"));
    expect(f, "ZRANGEBYSCORE z (2 (4", members("c"));
    expect(f, "ZRANGEBYSCORE z -inf +inf", members("abcdef"));
    expect(f, "ZRANGEBYSCORE z 4 2", "*0\r\n");
    expect(f, "ZRANGEBYSCORE z \"\" 1", members("a"));
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 1 2", members("bc"));
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 4 -1", members("ef"));
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 9 2", "*0\r\n");
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT -1 2", "*0\r\n");
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 0 0", "*0\r\n");
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 2 9223372036854775807", members("cdef"));
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 0", REPLY_SYNTAX);
    expect(f, "ZRANGEBYSCORE z -inf +inf LIMIT 0 x", REPLY_INT);
    expect(f, "ZRANGEBYSCORE z 5 6 WITHSCORES",
           "*4\r\n$1\r\ne\r\n$1\r\n5\r\n$1\r\nf\r\n$1\r\n6\r\n");
    expect(f, "ZREVRANGEBYSCORE z 4 2", members("dcb"));
    expect(f, "ZREVRANGEBYSCORE z +inf -inf LIMIT 1 2", members("ed"));
    expect(f, "ZRANGE z (5 1 BYSCORE REV LIMIT 1 2", members("cb"));
    expect(f, "ZRANGE z 1 (3 BYSCORE", members("ab"));
    const char *const not_float = "-ERR min or max is not a float\r\n";
    expect(f, "ZRANGEBYSCORE z x 1", not_float);
    expect(f, "ZRANGEBYSCORE z 1 nan", not_float);
    expect(f, "ZCOUNT z [1 2", not_float);
    expect(f, "ZCOUNT z 2 (6", ":4\r\n");
    expect(f, "ZCOUNT z 9 10", REPLY_ZERO);
    expect(f, "ZCOUNT nokey 0 1", REPLY_ZERO);
}

static void test_by_member(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZRANGEBYLEX x - +", members("abcdef"));
    expect(f, "ZRANGEBYLEX x [b (e", members("bcd"));
    expect(f, "ZRANGEBYLEX x (b [bb", "*0\r\n");
    expect(f, "ZRANGEBYLEX x + -", "*0\r\n");
    expect(f, "ZRANGEBYLEX x [ (c", members("ab"));
    expect(f, "ZRANGEBYLEX x - + LIMIT 2 2", members("cd"));
    expect(f, "ZREVRANGEBYLEX x + (c LIMIT 1 5", members("ed"));
    expect(f, "ZRANGE x [e [b BYLEX REV", members("edcb"));
    expect(f, "ZLEXCOUNT x - +", ":6\r\n");
    expect(f, "ZLEXCOUNT x (a [c", ":2\r\n");
    expect(f, "ZRANGE x - + BYLEX WITHSCORES",
           "-ERR syntax error, WITHSCORES not supported in combination with BYLEX\r\n");
    const char *const not_range = "-ERR min or max not valid string range item\r\n";
    expect(f, "ZRANGEBYLEX x b [c", not_range);
    expect(f, "ZRANGEBYLEX x [b +c", not_range);
    expect(f, "ZRANGEBYLEX x \"\" +", not_range);
    expect(f, "ZLEXCOUNT x - 5", not_range);
}

static void test_store(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "SET d old EX 100", REPLY_OK);
    expect(f, "ZRANGESTORE d z 1 3", ":3\r\n");
    expect_log(f, "ZRANGESTORE d z 1 3");
    expect(f, "ZRANGE d 0 -1", members("bcd"));
    expect(f, "TTL d", ":-1\r\n");
    expect(f, "ZRANGESTORE z z (5 -inf BYSCORE REV LIMIT 1 2", ":2\r\n");
    expect(f, "ZRANGE z 0 -1 WITHSCORES", "*4\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n");
    expect(f, "ZRANGESTORE d x - (c BYLEX", ":2\r\n");
    expect(f, "ZRANGESTORE d nokey 0 -1", REPLY_ZERO);
    expect_log(f, "ZRANGESTORE d nokey 0 -1");
    expect(f, "EXISTS d", REPLY_ZERO);
    expect(f, "ZRANGESTORE d nokey 0 -1", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "ZRANGESTORE d x 0 -1 WITHSCORES", REPLY_SYNTAX);
}

static void test_remove(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "ZREMRANGEBYRANK z 1 2", ":2\r\n");
    expect_log(f, "ZREMRANGEBYRANK z 1 2");
    expect(f, "ZRANGE z 0 -1", members("adef"));
    expect(f, "ZREMRANGEBYRANK z 5 2", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "ZREMRANGEBYRANK z -1 -1", REPLY_ONE);
    expect(f, "ZREMRANGEBYSCORE z (1 4", REPLY_ONE);
    expect(f, "ZRANGE z 0 -1", members("ae"));
    expect(f, "ZREMRANGEBYSCORE z -inf inf", ":2\r\n");
    expect(f, "EXISTS z", REPLY_ZERO);
    expect(f, "ZREMRANGEBYLEX x [b [d", ":3\r\n");
    expect(f, "ZRANGE x 0 -1", members("aef"));
    expect(f, "ZREMRANGEBYLEX x - +", ":3\r\n");
    expect(f, "EXISTS x", REPLY_ZERO);
    expect(f, "ZREMRANGEBYRANK nokey 0 1", REPLY_ZERO);
    expect(f, "ZREMRANGEBYRANK nokey x 1", REPLY_INT);
}

#define BIG_TEST(name) cmocka_unit_test_setup_teardown(name, set_up_big, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_by_rank), BIG_TEST(test_by_rank),       FIXTURE_TEST(test_by_score),
        BIG_TEST(test_by_score),    FIXTURE_TEST(test_by_member), BIG_TEST(test_by_member),
        FIXTURE_TEST(test_store),   BIG_TEST(test_store),         FIXTURE_TEST(test_remove),
        BIG_TEST(test_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
