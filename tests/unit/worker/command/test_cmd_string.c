/* String commands: replies, what is logged, encodings and limits. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_set_conditions(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1 NX", REPLY_OK);
    expect(f, "SET a 2 NX", REPLY_NIL);
    expect(f, "SET b 1 XX", REPLY_NIL);
    expect(f, "SET a 2 XX", REPLY_OK);
    expect(f, "SET a 3 GET", "$1\r\n2\r\n");
    expect(f, "SET a 4 NX GET", "$1\r\n3\r\n");
    expect(f, "GET a", "$1\r\n3\r\n");
    expect(f, "SET new 1 XX GET", REPLY_NIL);
    expect(f, "EXISTS new", REPLY_ZERO);
    expect(f, "SET a 1 NX XX", REPLY_SYNTAX);
    expect(f, "SET a 1 PERSIST", REPLY_SYNTAX);
    expect(f, "SET a 1 EX", REPLY_SYNTAX);
    expect(f, "SET a 1 EX 1 KEEPTTL", REPLY_SYNTAX);
    expect(f, "SET a 1 EX 1 PX 1", REPLY_SYNTAX);
}

static void test_set_expiry(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1 EX 10", REPLY_OK);
    expect_log(f, "SET a 1 PXAT 1700010000");
    expect(f, "PTTL a", ":10000\r\n");
    expect(f, "SET a 2 KEEPTTL", REPLY_OK);
    expect_log(f, "SET a 2 KEEPTTL");
    expect(f, "PTTL a", ":10000\r\n");
    expect(f, "SET a 3", REPLY_OK);
    expect_log(f, "SET a 3");
    expect(f, "TTL a", ":-1\r\n");
    expect(f, "SET a 3 PXAT 1700000005", REPLY_OK);
    expect(f, "PEXPIRETIME a", ":1700000005\r\n");
    expect(f, "SET a 1 EX 1 EX 2", REPLY_OK);
    expect(f, "PTTL a", ":2000\r\n");
    expect(f, "SET a 1 EX 0", "-ERR invalid expire time in 'set' command\r\n");
    expect(f, "SET a 1 PX -1", "-ERR invalid expire time in 'set' command\r\n");
    expect(f, "SET a 1 EX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n");
    expect(f, "SET a 1 EX x", REPLY_INT);
    expect(f, "SETEX a 10 v", REPLY_OK);
    expect_log(f, "SET a v PXAT 1700010000");
    expect(f, "PSETEX a 10 v", REPLY_OK);
    expect_log(f, "SET a v PXAT 1700000010");
    expect(f, "SETEX a 0 v", "-ERR invalid expire time in 'setex' command\r\n");
    fixture_advance(f, 11);
    expect(f, "GET a", REPLY_NIL);
}

static void test_set_get_is_logged_plain(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1 GET", REPLY_NIL);
    expect_log(f, "SET a 1");
    expect(f, "SET a 2 NX GET", "$1\r\n1\r\n");
    expect_log(f, "");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "SET h 1 GET", REPLY_TYPE);
    expect(f, "SET h 1", REPLY_OK);
    expect(f, "GET h", "$1\r\n1\r\n");
}

static void test_get_and_change(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1", REPLY_OK);
    expect(f, "GETSET a 2", "$1\r\n1\r\n");
    expect_log(f, "SET a 2");
    expect(f, "GETDEL a", "$1\r\n2\r\n");
    expect_log(f, "DEL a");
    expect(f, "GETDEL a", REPLY_NIL);
    expect_log(f, "");
    expect(f, "SET a 1", REPLY_OK);
    expect(f, "GETEX a", "$1\r\n1\r\n");
    expect_log(f, "");
    expect(f, "GETEX a EX 5", "$1\r\n1\r\n");
    expect_log(f, "PEXPIREAT a 1700005000");
    expect(f, "GETEX a PERSIST", "$1\r\n1\r\n");
    expect_log(f, "PERSIST a");
    expect(f, "GETEX a PERSIST", "$1\r\n1\r\n");
    expect_log(f, "");
    expect(f, "GETEX a PXAT 1", "$1\r\n1\r\n");
    expect_log(f, "DEL a");
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "GETEX a EX 0", REPLY_NIL);
    expect(f, "SET a 1", REPLY_OK);
    expect(f, "GETEX a EX 0", "-ERR invalid expire time in 'getex' command\r\n");
    expect(f, "GETEX a NX", REPLY_SYNTAX);
}

static void test_many_keys(void **state) {
    struct fixture *f = *state;
    expect(f, "MSET a 1 b 2 a 3", REPLY_OK);
    expect(f, "MGET a b c", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n");
    expect(f, "MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n");
    expect(f, "MSETNX b 1 c 2", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "MSETNX c 1 d 2", REPLY_ONE);
    expect_log(f, "MSETNX c 1 d 2");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "MGET a h", "*2\r\n$1\r\n3\r\n$-1\r\n");
    expect(f, "SETNX c 5", REPLY_ZERO);
    expect(f, "SETNX e 5", REPLY_ONE);
}

static void test_append(void **state) {
    struct fixture *f = *state;
    expect(f, "APPEND a 12", ":2\r\n");
    expect(f, "OBJECT ENCODING a", "$3\r\nint\r\n");
    expect(f, "APPEND a 3", ":3\r\n");
    expect(f, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    expect(f, "INCR a", ":124\r\n");
    expect(f, "OBJECT ENCODING a", "$3\r\nint\r\n");
    expect(f, "APPEND a \"\"", ":3\r\n");
    expect(f, "GET a", "$3\r\n124\r\n");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "APPEND h x", REPLY_TYPE);
}

static void test_ranges(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a \"Hello World\"", REPLY_OK);
    expect(f, "GETRANGE a 0 4", "$5\r\nHello\r\n");
    expect(f, "GETRANGE a -5 -1", "$5\r\nWorld\r\n");
    expect(f, "GETRANGE a -1 -5", "$0\r\n\r\n");
    expect(f, "GETRANGE a 5 3", "$0\r\n\r\n");
    expect(f, "GETRANGE a -100 2", "$3\r\nHel\r\n");
    expect(f, "GETRANGE a 0 9223372036854775807", "$11\r\nHello World\r\n");
    expect(f, "GETRANGE a -9223372036854775808 9223372036854775807", "$11\r\nHello World\r\n");
    expect(f, "GETRANGE nokey 0 -1", "$0\r\n\r\n");
    expect(f, "GETRANGE a x 1", REPLY_INT);
    expect(f, "SUBSTR a 0 0", "$1\r\nH\r\n");
    expect(f, "SETRANGE a 6 There", ":11\r\n");
    expect(f, "GET a", "$11\r\nHello There\r\n");
    expect(f, "SETRANGE nokey 5 \"\"", REPLY_ZERO);
    expect(f, "EXISTS nokey", REPLY_ZERO);
    expect(f, "SETRANGE nokey 2 x", ":3\r\n");
    expect(f, "STRLEN nokey", ":3\r\n");
    expect(f, "SETRANGE a -1 x", "-ERR offset is out of range\r\n");
    expect(f, "SET n 12345", REPLY_OK);
    expect(f, "SETRANGE n 1 ab", ":5\r\n");
    expect(f, "GET n", "$5\r\n1ab45\r\n");
}

static void test_length_limit(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "proto-max-bulk-len", "1mb");
    expect(f, "SETRANGE a 1048575 x", ":1048576\r\n");
    expect(f, "SETRANGE a 1048576 x",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    expect(f, "SETRANGE a 9223372036854775807 xx",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    expect(f, "APPEND a x", "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    expect(f, "SETBIT a 8388608 1", "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "STRLEN a", ":1048576\r\n");
    f->session.port = SESSION_INTERNAL;
    expect(f, "APPEND a x", ":1048577\r\n");
    expect(f, "SETRANGE a 536870912 x",
           "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n");
    expect(f, "SETBIT a 4294967296 1", "-ERR bit offset is not an integer or out of range\r\n");
}

static void test_integers(void **state) {
    struct fixture *f = *state;
    expect(f, "INCR n", REPLY_ONE);
    expect_log(f, "INCR n");
    expect(f, "INCRBY n 9223372036854775806", ":9223372036854775807\r\n");
    expect(f, "INCR n", "-ERR increment or decrement would overflow\r\n");
    expect(f, "DECRBY n -9223372036854775808", "-ERR decrement would overflow\r\n");
    expect(f, "DECRBY n 1", ":9223372036854775806\r\n");
    expect(f, "SET n abc", REPLY_OK);
    expect(f, "INCR n", REPLY_INT);
    expect(f, "INCRBY n x", REPLY_INT);
    expect(f, "SET n 012", REPLY_OK);
    expect(f, "DECR n", REPLY_INT);
    expect(f, "DECR m", ":-1\r\n");
}

static void test_floats(void **state) {
    struct fixture *f = *state;
    expect(f, "INCRBYFLOAT a 10.5", "$4\r\n10.5\r\n");
    expect_log(f, "SET a 10.5 KEEPTTL");
    expect(f, "INCRBYFLOAT a 0.1", "$4\r\n10.6\r\n");
    expect(f, "INCRBYFLOAT a -5", "$3\r\n5.6\r\n");
    expect(f, "INCRBYFLOAT a 1e2", "$5\r\n105.6\r\n");
    expect(f, "INCRBYFLOAT a x", "-ERR value is not a valid float\r\n");
    expect(f, "INCRBYFLOAT a inf", "-ERR increment would produce NaN or Infinity\r\n");
    expect(f, "SET a x", REPLY_OK);
    expect(f, "INCRBYFLOAT a 1", "-ERR value is not a valid float\r\n");
    expect(f, "INCRBYFLOAT b 3", "$1\r\n3\r\n");
    expect(f, "OBJECT ENCODING b", "$6\r\nembstr\r\n");
}

static void test_wrong_type(void **state) {
    struct fixture *f = *state;
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "GET h", REPLY_TYPE);
    expect(f, "STRLEN h", REPLY_TYPE);
    expect(f, "INCR h", REPLY_TYPE);
    expect(f, "GETRANGE h 0 1", REPLY_TYPE);
    expect(f, "SETRANGE h 0 x", REPLY_TYPE);
    expect(f, "GETDEL h", REPLY_TYPE);
    expect(f, "GETEX h", REPLY_TYPE);
    expect(f, "GETSET h 1", REPLY_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_set_conditions),
        FIXTURE_TEST(test_set_expiry),
        FIXTURE_TEST(test_set_get_is_logged_plain),
        FIXTURE_TEST(test_get_and_change),
        FIXTURE_TEST(test_many_keys),
        FIXTURE_TEST(test_append),
        FIXTURE_TEST(test_ranges),
        FIXTURE_TEST(test_length_limit),
        FIXTURE_TEST(test_integers),
        FIXTURE_TEST(test_floats),
        FIXTURE_TEST(test_wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
