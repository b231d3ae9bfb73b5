/* Hash commands: replies in both forms and both protocols, what is logged. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_set_and_get(void **state) {
    struct fixture *f = *state;
    expect(f, "HSET h a 1 b 2", ":2\r\n");
    expect(f, "HSET h a 5 c 3", REPLY_ONE);
    expect(f, "HGETALL h",
           "*6\r\n$1\r\na\r\n$1\r\n5\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n");
    expect(f, "HKEYS h", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    expect(f, "HVALS h", "*3\r\n$1\r\n5\r\n$1\r\n2\r\n$1\r\n3\r\n");
    expect(f, "HLEN h", ":3\r\n");
    expect(f, "HGET h a", "$1\r\n5\r\n");
    expect(f, "HGET h z", REPLY_NIL);
    expect(f, "HGET nokey a", REPLY_NIL);
    expect(f, "HMGET h a z b", "*3\r\n$1\r\n5\r\n$-1\r\n$1\r\n2\r\n");
    expect(f, "HMGET nokey a", "*1\r\n$-1\r\n");
    expect(f, "HEXISTS h a", REPLY_ONE);
    expect(f, "HEXISTS h z", REPLY_ZERO);
    expect(f, "HSTRLEN h a", REPLY_ONE);
    expect(f, "HSTRLEN nokey a", REPLY_ZERO);
    expect(f, "HGETALL nokey", "*0\r\n");
    expect(f, "HSET h a", "-ERR wrong number of arguments for 'hset' command\r\n");
    expect(f, "HSET h a 1 b", "-ERR wrong number of arguments for 'hset' command\r\n");
    expect(f, "HMSET h a 1 b", "-ERR wrong number of arguments for 'hmset' command\r\n");
    expect(f, "HMSET h a 1", REPLY_OK);
    expect(f, "HSETNX h a 2", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "HSETNX h z 2", REPLY_ONE);
    expect(f, "HSETNX new z 2", REPLY_ONE);
    expect_log(f, "HSETNX new z 2");
}

static void test_delete(void **state) {
    struct fixture *f = *state;
    expect(f, "HSET h a 1 b 2 c 3", ":3\r\n");
    expect(f, "HDEL h a z a", REPLY_ONE);
    expect_log(f, "HDEL h a z a");
    expect(f, "HDEL h z", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "HDEL h b c d", ":2\r\n");
    expect(f, "EXISTS h", REPLY_ZERO);
    expect(f, "HDEL h a", REPLY_ZERO);
}

static void test_forms(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "hash-max-listpack-entries", "3");
    expect(f, "HSET h a 1 b 2 c 3", ":3\r\n");
    expect(f, "OBJECT ENCODING h", "$8\r\nlistpack\r\n");
    expect(f, "HSET h a 9", REPLY_ZERO);
    expect(f, "OBJECT ENCODING h", "$8\r\nlistpack\r\n");
    expect(f, "HSET h d 4", REPLY_ONE);
    expect(f, "OBJECT ENCODING h", "$9\r\nhashtable\r\n");
    expect(f, "HMGET h a b c d", "*4\r\n$1\r\n9\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n");
    expect(f, "HDEL h a b c", ":3\r\n");
    expect(f, "OBJECT ENCODING h", "$9\r\nhashtable\r\n");
    expect(f, "HGETALL h", "*2\r\n$1\r\nd\r\n$1\r\n4\r\n");
    expect(f, "HDEL h d", REPLY_ONE);
    expect(f, "EXISTS h", REPLY_ZERO);
    expect(f, "HSET i f 1234567890123456789012345678901234567890123456789012345678901234",
           REPLY_ONE);
    expect(f, "OBJECT ENCODING i", "$8\r\nlistpack\r\n");
    expect(f, "HSET i f 12345678901234567890123456789012345678901234567890123456789012345",
           REPLY_ZERO);
    expect(f, "OBJECT ENCODING i", "$9\r\nhashtable\r\n");
    expect(f, "HSTRLEN i f", ":65\r\n");
    expect(f, "HSET i f \"\"", REPLY_ZERO);
    expect(f, "HGET i f", "$0\r\n\r\n");
}

static void test_increment(void **state) {
    struct fixture *f = *state;
    expect(f, "HINCRBY h n 5", ":5\r\n");
    expect_log(f, "HINCRBY h n 5");
    expect(f, "HINCRBY h n -7", ":-2\r\n");
    expect(f, "HINCRBY h n x", REPLY_INT);
    expect(f, "HSET h s abc", REPLY_ONE);
    expect(f, "HINCRBY h s 1", "-ERR hash value is not an integer\r\n");
    expect(f, "HSET h m 9223372036854775807", REPLY_ONE);
    expect(f, "HINCRBY h m 1", "-ERR increment or decrement would overflow\r\n");
    expect(f, "HINCRBY h m -9223372036854775808", ":-1\r\n");
    expect(f, "HINCRBYFLOAT h n 0.5", "$4\r\n-1.5\r\n");
    expect_log(f, "HSET h n -1.5");
    expect(f, "HINCRBYFLOAT h n 1e2", "$4\r\n98.5\r\n");
    expect(f, "HINCRBYFLOAT h s 1", "-ERR hash value is not a float\r\n");
    expect(f, "HINCRBYFLOAT h n x", "-ERR value is not a valid float\r\n");
    expect(f, "HINCRBYFLOAT h n inf", "-ERR value is NaN or Infinity\r\n");
    expect(f, "HINCRBY h n 1", "-ERR hash value is not an integer\r\n");
}

static void test_scan(void **state) {
    struct fixture *f = *state;
    expect(f, "HSCAN h 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    expect(f, "HSCAN h x", "-ERR invalid cursor\r\n");
    expect(f, "HSCAN h 0 foo", "*2\r\n$1\r\n0\r\n*0\r\n");
    expect(f, "HSET h a 1 b 2", ":2\r\n");
    expect(f, "HSCAN h 0", "*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect(f, "HSCAN h 0 MATCH b* COUNT 1", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n");
    expect(f, "HSCAN h 0 COUNT 0", REPLY_SYNTAX);
    expect(f, "HSCAN h 0 COUNT x", REPLY_INT);
    expect(f, "HSCAN h 0 TYPE string", REPLY_SYNTAX);
    expect(f, "HSCAN h 0 foo", REPLY_SYNTAX);
}

static void test_random(void **state) {
    struct fixture *f = *state;
    expect(f, "HRANDFIELD h", REPLY_NIL);
    expect(f, "HRANDFIELD h 5", "*0\r\n");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "HRANDFIELD h", "$1\r\nf\r\n");
    expect(f, "HRANDFIELD h 0", "*0\r\n");
    expect(f, "HRANDFIELD h 5", "*1\r\n$1\r\nf\r\n");
    expect(f, "HRANDFIELD h 5 WITHVALUES", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    expect(f, "HRANDFIELD h -3", "*3\r\n$1\r\nf\r\n$1\r\nf\r\n$1\r\nf\r\n");
    expect(f, "HRANDFIELD h -2 WITHVALUES", "*4\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\nf\r\n$1\r\nv\r\n");
    expect(f, "HRANDFIELD h 1 foo", REPLY_SYNTAX);
    expect(f, "HRANDFIELD h 1 WITHVALUES x", REPLY_SYNTAX);
    expect(f, "HRANDFIELD h x", REPLY_INT);
    expect(f, "HRANDFIELD h -9223372036854775808",
           "-ERR value is out of range, value must between -9223372036854775807 and "
           "9223372036854775807\r\n");
    expect(f, "HRANDFIELD h -9223372036854775807 WITHVALUES", "-ERR value is out of range\r\n");
    expect(f, "HRANDFIELD h -4194305",
           "-ERR value is out of range, a reply may repeat fields up to 4194304 times or "
           "1073741824 bytes\r\n");
}

static void test_resp3(void **state) {
    struct fixture *f = *state;
    f->session.resp = 3;
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "HGETALL h", "%1\r\n$1\r\nf\r\n$1\r\nv\r\n");
    expect(f, "HGETALL nokey", "%0\r\n");
    expect(f, "HGET h z", "_\r\n");
    expect(f, "HKEYS h", "*1\r\n$1\r\nf\r\n");
    expect(f, "HRANDFIELD h 1 WITHVALUES", "*1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
    expect(f, "HRANDFIELD h -1", "*1\r\n$1\r\nf\r\n");
    expect(f, "HRANDFIELD nokey", "_\r\n");
}

static void test_wrong_type(void **state) {
    struct fixture *f = *state;
    expect(f, "SET s x", REPLY_OK);
    expect(f, "HSET s a b", REPLY_TYPE);
    expect(f, "HGET s a", REPLY_TYPE);
    expect(f, "HGETALL s", REPLY_TYPE);
    expect(f, "HDEL s a", REPLY_TYPE);
    expect(f, "HLEN s", REPLY_TYPE);
    expect(f, "HINCRBY s a 1", REPLY_TYPE);
    expect(f, "HINCRBYFLOAT s a 1", REPLY_TYPE);
    expect(f, "HRANDFIELD s", REPLY_TYPE);
    expect(f, "HRANDFIELD s 1", REPLY_TYPE);
    expect(f, "HSCAN s 0", REPLY_TYPE);
    expect(f, "HMGET s a", REPLY_TYPE);
    expect(f, "HSETNX s a b", REPLY_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_set_and_get), FIXTURE_TEST(test_delete),     FIXTURE_TEST(test_forms),
        FIXTURE_TEST(test_increment),   FIXTURE_TEST(test_scan),       FIXTURE_TEST(test_random),
        FIXTURE_TEST(test_resp3),       FIXTURE_TEST(test_wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
