/* HEXPIRE and its like: replies, conditions, what is logged, what ends an expiry and what keeps it. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define ONE(n) "*1\r\n:" n "\r\n"

static void test_set_and_ask(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "HSET h a 1 b 2");
    expect(f, "HEXPIRE h 100 FIELDS 2 a none", "*2\r\n:1\r\n:-2\r\n");
    expect_log(f, "HPEXPIREAT h 1700100000 FIELDS 1 a");
    expect(f, "HTTL h FIELDS 3 a b none", "*3\r\n:100\r\n:-1\r\n:-2\r\n");
    expect(f, "HPTTL h FIELDS 1 a", ONE("100000"));
    expect(f, "HEXPIRETIME h FIELDS 1 a", ONE("1700100"));
    expect(f, "HPEXPIRETIME h FIELDS 1 a", ONE("1700100000"));
    fixture_advance(f, 99001);
    expect(f, "HTTL h FIELDS 1 a", ONE("1"));
    expect(f, "HPERSIST h FIELDS 3 a b none", "*3\r\n:1\r\n:-1\r\n:-2\r\n");
    expect_log(f, "HPERSIST h FIELDS 3 a b none");
    expect(f, "HPERSIST h FIELDS 1 a", ONE("-1"));
    expect_log(f, "");
    expect(f, "HTTL none FIELDS 2 a b", "*2\r\n:-2\r\n:-2\r\n");
    expect(f, "HEXPIRE none 10 FIELDS 2 a b", "*2\r\n:-2\r\n:-2\r\n");
    expect(f, "HPERSIST none FIELDS 1 a", ONE("-2"));
    expect(f, "EXISTS none", REPLY_ZERO);
}

static void test_conditions(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "HSET h a 1 b 2");
    expect(f, "HPEXPIRE h 1000 XX FIELDS 1 a", ONE("0"));
    expect(f, "HPEXPIRE h 1000 GT FIELDS 1 a", ONE("0"));
    expect_log(f, "");
    expect(f, "HPEXPIRE h 1000 NX FIELDS 1 a", ONE("1"));
    expect(f, "HPEXPIRE h 2000 NX FIELDS 2 a b", "*2\r\n:0\r\n:1\r\n");
    expect_log(f, "HPEXPIREAT h 1700002000 FIELDS 1 b");
    expect(f, "HPEXPIRE h 1500 GT FIELDS 2 a b", "*2\r\n:1\r\n:0\r\n");
    expect(f, "HPEXPIRE h 1500 GT FIELDS 1 a", ONE("0"));
    expect(f, "HPEXPIRE h 1400 LT FIELDS 1 a", ONE("1"));
    fixture_inline(f, "HPERSIST h FIELDS 1 a");
    expect(f, "HPEXPIRE h 9000 LT FIELDS 1 a", ONE("1"));
    expect(f, "HPEXPIRE h 7000 XX FIELDS 1 a", ONE("1"));
}

static void test_past(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "HSET h a 1 b 2 c 3");
    expect(f, "HEXPIREAT h 1 FIELDS 3 a none c", "*3\r\n:2\r\n:-2\r\n:2\r\n");
    expect_log(f, "HDEL h a c");
    expect(f, "HGETALL h", "*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect(f, "HPEXPIREAT h 1 XX FIELDS 1 b", ONE("0"));
    expect(f, "HEXPIRE h 0 FIELDS 1 b", ONE("2"));
    expect(f, "EXISTS h", REPLY_ZERO);
    f->env.loading = true;
    fixture_inline(f, "HSET h a 1");
    expect(f, "HPEXPIREAT h 1 FIELDS 1 a", ONE("1")); /* the log says itself when it went */
    f->env.loading = false;
}

static void test_expired(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "HSET h a 1 b 2 c 3");
    fixture_inline(f, "HPEXPIRE h 10 FIELDS 2 a b");
    fixture_advance(f, 11);
    expect(f, "HLEN h", REPLY_ONE);
    expect(f, "HGET h a", REPLY_NIL);
    expect(f, "HSETNX h a again", REPLY_ONE);
    expect(f, "HTTL h FIELDS 1 a", ONE("-1"));
    fixture_inline(f, "HPEXPIRE h 10 FIELDS 2 a c");
    fixture_advance(f, 11);
    expect(f, "TYPE h", "+none\r\n");
    expect(f, "DBSIZE", REPLY_ZERO);
}

static void test_what_ends_it(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "HSET h a 1 b 2.5 c 3");
    fixture_inline(f, "HPEXPIRE h 100000 FIELDS 3 a b c");
    expect(f, "HINCRBY h a 5", ":6\r\n");
    expect(f, "HINCRBYFLOAT h b 1", "$3\r\n3.5\r\n");
    expect_log(f, "HSET h b 3.5 | HPEXPIREAT h 1700100000 FIELDS 1 b");
    fixture_inline(f, "HSET h c new");
    expect(f, "HTTL h FIELDS 3 a b c", "*3\r\n:100\r\n:100\r\n:-1\r\n");
    expect(f, "OBJECT ENCODING h", "$10\r\nlistpackex\r\n");
    expect(f, "COPY h copy", REPLY_ONE);
    expect(f, "RENAME h moved", REPLY_OK);
    expect(f, "HTTL copy FIELDS 2 a c", "*2\r\n:100\r\n:-1\r\n");
    expect(f, "HTTL moved FIELDS 2 a c", "*2\r\n:100\r\n:-1\r\n");
    fixture_inline(f, "HDEL moved a");
    fixture_inline(f, "HSET moved a 1");
    expect(f, "HTTL moved FIELDS 1 a", ONE("-1"));
}

static void test_refusals(void **state) {
    struct fixture *f = *state;
    const char *const missing =
        "-ERR Mandatory argument FIELDS is missing or not at the right position\r\n";
    fixture_inline(f, "HSET h a 1");
    fixture_inline(f, "SET s v");
    expect(f, "HEXPIRE s 1 FIELDS 1 a", REPLY_TYPE);
    expect(f, "HTTL s FIELDS 1 a", REPLY_TYPE);
    expect(f, "HEXPIRE h x FIELDS 1 a", REPLY_INT);
    expect(f, "HEXPIRE h -1 FIELDS 1 a", "-ERR invalid expire time, must be >= 0\r\n");
    expect(f, "HEXPIRE h 9223372036854775807 FIELDS 1 a",
           "-ERR invalid expire time in 'hexpire' command\r\n");
    expect(f, "HPEXPIREAT h 70368744177664 FIELDS 1 a",
           "-ERR invalid expire time in 'hpexpireat' command\r\n");
    expect(f, "HPEXPIREAT h 70368744177663 FIELDS 1 a", ONE("1"));
    expect(f, "HEXPIRE h 1 WHAT 1 a", missing);
    expect(f, "HEXPIRE h 1 NX XX FIELDS 1 a", missing);
    expect(f, "HTTL h NX 1 a", missing);
    expect(f, "HEXPIRE h 1 FIELDS 0 a", "-ERR Parameter `numFields` should be greater than 0\r\n");
    expect(f, "HTTL h FIELDS 0 a", "-ERR Number of fields must be a positive integer\r\n");
    expect(f, "HEXPIRE h 1 FIELDS 2 a",
           "-ERR The `numfields` parameter must match the number of arguments\r\n");
    expect(f, "HTTL h FIELDS 1 a b",
           "-ERR The `numfields` parameter must match the number of arguments\r\n");
    expect(f, "HEXPIRE h 1 FIELDS 1", "-ERR wrong number of arguments for 'hexpire' command\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_set_and_ask),  FIXTURE_TEST(test_conditions),
        FIXTURE_TEST(test_past),         FIXTURE_TEST(test_expired),
        FIXTURE_TEST(test_what_ends_it), FIXTURE_TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
