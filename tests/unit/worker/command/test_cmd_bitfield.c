/* BITFIELD: widths, offsets, overflow, and that a bad operation changes nothing. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_values_and_widths(void **state) {
    struct fixture *f = *state;
    expect(f, "BITFIELD a SET u8 0 255 GET u8 0 GET i8 0 GET u4 4",
           "*4\r\n:0\r\n:255\r\n:-1\r\n:15\r\n");
    expect(f, "BITFIELD a SET i64 #1 -1 GET u63 65", "*2\r\n:0\r\n:9223372036854775807\r\n");
    expect(f, "STRLEN a", ":16\r\n");
    expect(f, "BITFIELD a SET u5 3 1 GET u8 0", "*2\r\n:31\r\n:225\r\n");
    expect(f, "BITFIELD a GET u8 100000 GET i1 0", "*2\r\n:0\r\n:-1\r\n");
    expect(f, "BITFIELD a SET i1 0 0 GET u8 0", "*2\r\n:-1\r\n:97\r\n");
    expect(f, "BITFIELD a", "*0\r\n");
}

static void test_bad_operations_change_nothing(void **state) {
    struct fixture *f = *state;
    expect(f, "BITFIELD a SET u8 0 1 GET u64 0",
           "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
           "but i64 is.\r\n");
    expect(f, "BITFIELD a SET u8 0 1 GET i65 0",
           "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
           "but i64 is.\r\n");
    expect(f, "BITFIELD a SET u8 0 1 GET u0 0",
           "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported "
           "but i64 is.\r\n");
    expect(f, "BITFIELD a SET u8 0 1 GET u8 -1",
           "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "BITFIELD a SET u8 0 1 GET u8 #x",
           "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "BITFIELD a SET u8 0 1 GET u63 #9223372036854775807",
           "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "BITFIELD a SET u8 0 1 GET u8 4294967296",
           "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "BITFIELD a SET u8 0 x", REPLY_INT);
    expect(f, "BITFIELD a SET u8 0 1 OVERFLOW foo", "-ERR Invalid OVERFLOW type specified\r\n");
    expect(f, "BITFIELD a SET u8 0 1 OVERFLOW", REPLY_SYNTAX);
    expect(f, "BITFIELD a SET u8 0 1 GET u8", REPLY_SYNTAX);
    expect(f, "BITFIELD a SET u8 0", REPLY_SYNTAX);
    expect(f, "EXISTS a", REPLY_ZERO);
}

static void test_overflow(void **state) {
    struct fixture *f = *state;
    expect(f, "BITFIELD a SET u8 0 250 INCRBY u8 0 10", "*2\r\n:0\r\n:4\r\n");
    expect(f, "BITFIELD a OVERFLOW SAT INCRBY u8 0 1000 INCRBY u8 0 -1000", "*2\r\n:255\r\n:0\r\n");
    expect(f, "BITFIELD a OVERFLOW FAIL INCRBY u8 0 256 INCRBY u8 0 255", "*2\r\n$-1\r\n:255\r\n");
    expect(f, "BITFIELD a OVERFLOW FAIL SET u8 0 256", "*1\r\n$-1\r\n");
    expect_log(f, "");
    expect(f, "BITFIELD a OVERFLOW SAT SET u8 0 -1 GET u8 0", "*2\r\n:255\r\n:255\r\n");
    expect(f, "BITFIELD a SET i8 8 127 INCRBY i8 8 1", "*2\r\n:0\r\n:-128\r\n");
    expect(f, "BITFIELD a OVERFLOW SAT INCRBY i8 8 -1 SET i8 8 500 GET i8 8",
           "*3\r\n:-128\r\n:-128\r\n:127\r\n");
    expect(f, "BITFIELD b SET i64 0 9223372036854775807 INCRBY i64 0 1",
           "*2\r\n:0\r\n:-9223372036854775808\r\n");
    expect(f, "BITFIELD b OVERFLOW SAT INCRBY i64 0 -1", "*1\r\n:-9223372036854775808\r\n");
    expect(f, "BITFIELD b OVERFLOW FAIL INCRBY i64 0 -1", "*1\r\n$-1\r\n");
    expect(f, "BITFIELD c SET u63 0 9223372036854775807 INCRBY u63 0 2", "*2\r\n:0\r\n:1\r\n");
    expect(f, "BITFIELD d OVERFLOW SAT INCRBY i1 0 9223372036854775807 INCRBY i1 0 -5",
           "*2\r\n:0\r\n:-1\r\n");
}

static void test_log_and_growth(void **state) {
    struct fixture *f = *state;
    expect(f, "BITFIELD a OVERFLOW FAIL SET u8 800 256", "*1\r\n$-1\r\n");
    expect_log(f, "BITFIELD a OVERFLOW FAIL SET u8 800 256");
    expect(f, "STRLEN a", ":101\r\n");
    expect(f, "BITFIELD a GET u8 0", "*1\r\n:0\r\n");
    expect_log(f, "");
    expect(f, "BITFIELD a SET u8 0 0", "*1\r\n:0\r\n");
    expect_log(f, "");
    expect(f, "BITFIELD a SET u8 0 1", "*1\r\n:0\r\n");
    expect_log(f, "BITFIELD a SET u8 0 1");
}

static void test_readonly(void **state) {
    struct fixture *f = *state;
    expect(f, "BITFIELD_RO nokey GET u8 0", "*1\r\n:0\r\n");
    expect(f, "EXISTS nokey", REPLY_ZERO);
    expect(f, "BITFIELD_RO a SET u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand\r\n");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "BITFIELD_RO h GET u8 0", REPLY_TYPE);
    expect(f, "BITFIELD h GET u8 0", REPLY_TYPE);
    expect(f, "BITFIELD h SET u8 0 1", REPLY_TYPE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_values_and_widths), FIXTURE_TEST(test_bad_operations_change_nothing),
        FIXTURE_TEST(test_overflow),          FIXTURE_TEST(test_log_and_growth),
        FIXTURE_TEST(test_readonly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
