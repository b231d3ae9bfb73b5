/* LCS: the subsequence, its length, its places, its bounds. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_forms(void **state) {
    struct fixture *f = *state;
    expect(f, "MSET a ohmytext b mynewtext", REPLY_OK);
    expect(f, "LCS a b", "$6\r\nmytext\r\n");
    expect(f, "LCS a b LEN", ":6\r\n");
    expect(f, "LCS a b IDX",
           "*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:"
           "2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n");
    expect(f, "LCS a b IDX MINMATCHLEN 4 WITHMATCHLEN",
           "*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n$"
           "3\r\nlen\r\n:6\r\n");
    expect(f, "LCS a a LEN", ":8\r\n");
    expect(f, "LCS a nokey", "$0\r\n\r\n");
    expect(f, "LCS nokey nokey IDX", "*4\r\n$7\r\nmatches\r\n*0\r\n$3\r\nlen\r\n:0\r\n");
    expect(f, "LCS a b IDX LEN",
           "-ERR If you want both the length and indexes, please just use IDX.\r\n");
    expect(f, "LCS a b foo", REPLY_SYNTAX);
    expect(f, "LCS a b MINMATCHLEN", REPLY_SYNTAX);
    expect(f, "LCS a b MINMATCHLEN x", REPLY_INT);
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "LCS a h", "-ERR The specified keys must contain string values\r\n");
    expect(f, "LCS h a foo", "-ERR The specified keys must contain string values\r\n");
    f->session.resp = 3;
    expect(f, "LCS a b IDX MINMATCHLEN 4",
           "%2\r\n$7\r\nmatches\r\n*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n$3\r\nlen\r\n:"
           "6\r\n");
}

static void test_bound(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "proto-max-bulk-len", "1mb");
    expect(f, "SETRANGE a 510 x", ":511\r\n");
    expect(f, "SETRANGE b 510 x", ":511\r\n");
    expect(f, "LCS a b LEN", ":511\r\n");
    expect(f, "SETRANGE b 511 x", ":512\r\n");
    expect(f, "LCS a b LEN",
           "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_forms),
        FIXTURE_TEST(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
