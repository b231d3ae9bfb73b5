/* Bits of strings: single ones, counts, positions, combinations. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_setbit(void **state) {
    struct fixture *f = *state;
    expect(f, "SETBIT a 7 1", REPLY_ZERO);
    expect(f, "GETBIT a 7", REPLY_ONE);
    expect(f, "SETBIT a 7 1", REPLY_ONE);
    expect_log(f, "");
    expect(f, "SETBIT a 7 0", REPLY_ONE);
    expect_log(f, "SETBIT a 7 0");
    expect(f, "GETBIT a 7", REPLY_ZERO);
    expect(f, "GETBIT a 4294967295", REPLY_ZERO);
    expect(f, "GETBIT a 4294967296", "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "GETBIT a -1", "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "SETBIT a 0 2", "-ERR bit is not an integer or out of range\r\n");
    expect(f, "SETBIT a x 2", "-ERR bit offset is not an integer or out of range\r\n");
    expect(f, "SETBIT a 15 0", REPLY_ZERO);
    expect_log(f, "SETBIT a 15 0");
    expect(f, "STRLEN a", ":2\r\n");
    expect(f, "SET n 1", REPLY_OK);
    expect(f, "GETBIT n 2", REPLY_ONE);
    expect(f, "SETBIT n 7 0", REPLY_ONE);
    expect(f, "GET n", "$1\r\n0\r\n");
    expect(f, "OBJECT ENCODING n", "$3\r\nraw\r\n");
}

static void test_bitcount(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a foobar", REPLY_OK);
    expect(f, "BITCOUNT a", ":26\r\n");
    expect(f, "BITCOUNT a 0 0", ":4\r\n");
    expect(f, "BITCOUNT a 1 1 BYTE", ":6\r\n");
    expect(f, "BITCOUNT a 5 30 BIT", ":17\r\n");
    expect(f, "BITCOUNT a -2 -1", ":7\r\n");
    expect(f, "BITCOUNT a -1 -2", REPLY_ZERO);
    expect(f, "BITCOUNT a 48 48 BIT", REPLY_ZERO);
    expect(f, "BITCOUNT a 47 47 BIT", REPLY_ZERO);
    expect(f, "BITCOUNT a 0", REPLY_SYNTAX);
    expect(f, "BITCOUNT a 0 1 foo", REPLY_SYNTAX);
    expect(f, "BITCOUNT nokey x 1", REPLY_INT);
    expect(f, "BITCOUNT nokey 0 1 foo", REPLY_SYNTAX);
    expect(f, "BITCOUNT nokey", REPLY_ZERO);
}

static void test_bitpos(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a \"\\xff\\xf0\\x00\"", REPLY_OK);
    expect(f, "BITPOS a 0", ":12\r\n");
    expect(f, "BITPOS a 1", REPLY_ZERO);
    expect(f, "BITPOS a 1 2", ":-1\r\n");
    expect(f, "BITPOS a 0 0 0", ":-1\r\n");
    expect(f, "BITPOS a 1 7 15 BIT", ":7\r\n");
    expect(f, "BITPOS a 0 -1 -1 BIT", ":23\r\n");
    expect(f, "SET a \"\\xff\\xff\"", REPLY_OK);
    expect(f, "BITPOS a 0", ":16\r\n");
    expect(f, "BITPOS a 0 0", ":16\r\n");
    expect(f, "BITPOS a 0 0 -1", ":-1\r\n");
    expect(f, "BITPOS a 0 2", ":-1\r\n");
    expect(f, "BITPOS a 0 -40 -30", ":-1\r\n");
    expect(f, "BITPOS a 1 -40 -30", REPLY_ZERO);
    expect(f, "BITPOS a 2", "-ERR The bit argument must be 1 or 0.\r\n");
    expect(f, "BITPOS nokey 0", REPLY_ZERO);
    expect(f, "BITPOS nokey 1", ":-1\r\n");
    expect(f, "BITPOS nokey 0 x", REPLY_INT);
}

static void test_bitop(void **state) {
    struct fixture *f = *state;
    expect(f, "MSET a abc b AB", REPLY_OK);
    expect(f, "BITOP AND d a b", ":3\r\n");
    expect(f, "BITFIELD d GET u24 0", "*1\r\n:4276736\r\n");
    expect(f, "BITOP or d a b", ":3\r\n");
    expect(f, "GET d", "$3\r\nabc\r\n");
    expect(f, "BITOP XOR d a b nokey", ":3\r\n");
    expect(f, "BITFIELD d GET u24 0", "*1\r\n:2105443\r\n");
    expect(f, "BITOP NOT d a", ":3\r\n");
    expect(f, "BITOP NOT d a b", "-ERR BITOP NOT must be called with a single source key.\r\n");
    expect(f, "BITOP FOO d a", REPLY_SYNTAX);
    expect(f, "BITOP AND nothing nokey nokey2", REPLY_ZERO);
    expect(f, "BITOP NOT nothing nokey", REPLY_ZERO);
    expect(f, "BITOP OR d nokey", REPLY_ZERO);
    expect_log(f, "BITOP OR d nokey");
    expect(f, "EXISTS d", REPLY_ZERO);
    expect(f, "BITOP OR d nokey", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "SET d 1 EX 100", REPLY_OK);
    expect(f, "BITOP OR d a", ":3\r\n");
    expect(f, "TTL d", ":-1\r\n");
    expect(f, "OBJECT ENCODING d", "$3\r\nraw\r\n");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "BITOP AND d a h", REPLY_TYPE);
    expect(f, "GET d", "$3\r\nabc\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_setbit),
        FIXTURE_TEST(test_bitcount),
        FIXTURE_TEST(test_bitpos),
        FIXTURE_TEST(test_bitop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
