/* Stream commands: what is logged, by which the same state comes out again; replies in both protocols;
 * times that pass. What they reply besides is compared with a real server in tests/interop. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define REPLY_EMPTY "*0\r\n"
#define REPLY_NONE  "*-1\r\n"

static void test_ids_are_logged(void **state) {
    struct fixture *f = *state;
    expect(f, "XADD s * a b", "$12\r\n1700000000-0\r\n");
    expect_log(f, "XADD s 1700000000-0 a b");
    expect(f, "XADD s * a b", "$12\r\n1700000000-1\r\n");
    expect_log(f, "XADD s 1700000000-1 a b");
    fixture_advance(f, 5);
    expect(f, "XADD s NOMKSTREAM * a b", "$12\r\n1700000005-0\r\n");
    expect_log(f, "XADD s 1700000005-0 a b");
    expect(f, "XADD s 1700000005-* c d", "$12\r\n1700000005-1\r\n");
    expect_log(f, "XADD s 1700000005-1 c d");
    fixture_advance(f, -100);
    expect(f, "XADD s * a b", "$12\r\n1700000005-2\r\n");
    expect(f, "XADD s 1-1 a b",
           "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n");
    expect_log(f, "");
    expect(f, "XADD none NOMKSTREAM * a b", REPLY_NIL);
    expect_log(f, "");
    expect(f, "EXISTS none", REPLY_ZERO);
    expect(f, "XADD other 0-0 a b", "-ERR The ID specified in XADD must be greater than 0-0\r\n");
    expect(f, "EXISTS other", REPLY_ZERO);
}

static void test_trims_are_logged_exactly(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "stream-node-max-entries", "2");
    expect(f, "XADD s MAXLEN ~ 2 1 a b", "$3\r\n1-0\r\n");
    expect_log(f, "XADD s 1-0 a b");
    fixture_inline(f, "XADD s 2 a b");
    fixture_inline(f, "XADD s 3 a b");
    expect(f, "XADD s MAXLEN ~ 3 4 a b", "$3\r\n4-0\r\n");
    expect_log(f, "XADD s 4-0 a b");
    expect(f, "XADD s MAXLEN ~ 2 5 a b", "$3\r\n5-0\r\n");
    expect_log(f, "XADD s MAXLEN = 3 5-0 a b");
    expect(f, "XADD s MINID ~ 5 6 a b", "$3\r\n6-0\r\n");
    expect_log(f, "XADD s MINID = 5-0 6-0 a b");
    expect(f, "XADD s MAXLEN 1 7 a b", "$3\r\n7-0\r\n");
    expect_log(f, "XADD s MAXLEN = 1 7-0 a b");
    fixture_inline(f, "XADD s 8 a b");
    fixture_inline(f, "XADD s 9 a b");
    expect(f, "XTRIM s MAXLEN ~ 0 LIMIT 2", ":2\r\n");
    expect_log(f, "XTRIM s MAXLEN = 1");
    expect(f, "XTRIM s MAXLEN 5", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "XTRIM s MINID 100", REPLY_ONE);
    expect_log(f, "XTRIM s MINID = 100-0");
    expect(f, "XLEN s", REPLY_ZERO);
    expect(f, "EXISTS s", REPLY_ONE);
    expect(f, "XDEL s 7", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "XSETID s 9 ENTRIESADDED 12 MAXDELETEDID 5", REPLY_OK);
    expect_log(f, "XSETID s 9 ENTRIESADDED 12 MAXDELETEDID 5");
}

static void fill(struct fixture *f) {
    fixture_inline(f, "XADD s 1 a 1");
    fixture_inline(f, "XADD s 2 a 2");
    fixture_inline(f, "XADD s 3 a 3");
    fixture_inline(f, "XGROUP CREATE s g 0");
}

static void test_groups_are_logged(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect_log(f, "XGROUP CREATE s g 0");
    expect(f, "XGROUP CREATE s h $", REPLY_OK);
    expect_log(f, "XGROUP CREATE s h 3-0");
    expect(f, "XGROUP CREATE new h $ MKSTREAM", REPLY_OK);
    expect_log(f, "XGROUP CREATE new h 0-0 MKSTREAM");
    expect(f, "XGROUP SETID s h $ ENTRIESREAD 3", REPLY_OK);
    expect_log(f, "XGROUP SETID s h 3-0 ENTRIESREAD 3");
    expect(f, "XGROUP CREATE s h 0", "-BUSYGROUP Consumer Group name already exists\r\n");
    expect_log(f, "");
    expect(f, "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
           "*1\r\n*2\r\n$1\r\ns\r\n*2\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"
           "*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n");
    expect_log(f, "XGROUP CREATECONSUMER s g c | "
                  "XCLAIM s g c 0 1-0 2-0 TIME 1700000000 RETRYCOUNT 1 FORCE JUSTID LASTID 2-0 | "
                  "XGROUP SETID s g 2-0 ENTRIESREAD 2");
    fixture_advance(f, 10);
    fixture_inline(f, "XREADGROUP GROUP g c COUNT 1 STREAMS s 0");
    expect_log(f, "XCLAIM s g c 0 1-0 TIME 1700000010 RETRYCOUNT 2 FORCE JUSTID LASTID 2-0");
    fixture_inline(f, "XREADGROUP GROUP g c STREAMS s 0");
    expect_log(f, "XCLAIM s g c 0 1-0 TIME 1700000010 RETRYCOUNT 3 FORCE JUSTID LASTID 2-0 | "
                  "XCLAIM s g c 0 2-0 TIME 1700000010 RETRYCOUNT 2 FORCE JUSTID LASTID 2-0");
    fixture_inline(f, "XREADGROUP GROUP g d NOACK STREAMS s >");
    expect_log(f, "XGROUP CREATECONSUMER s g d | XGROUP SETID s g 3-0 ENTRIESREAD 3");
    expect(f, "XREADGROUP GROUP g d STREAMS s >", REPLY_NONE);
    expect_log(f, "");
    expect(f, "XREADGROUP GROUP g new STREAMS s >", REPLY_NONE);
    expect_log(f, "XGROUP CREATECONSUMER s g new");
    expect(f, "XACK s g 9", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "XACK s g 1 9", REPLY_ONE);
    expect_log(f, "XACK s g 1 9");
    expect(f, "XGROUP DELCONSUMER s g c", REPLY_ONE);
    expect_log(f, "XGROUP DELCONSUMER s g c");
    expect(f, "XGROUP DESTROY s g", REPLY_ONE);
    expect_log(f, "XGROUP DESTROY s g");
    expect(f, "XGROUP DESTROY s g", REPLY_ZERO);
    expect_log(f, "");
}

static void test_claims_are_logged(void **state) {
    struct fixture *f = *state;
    fill(f);
    fixture_inline(f, "XREADGROUP GROUP g c STREAMS s >");
    fixture_advance(f, 50);
    fixture_inline(f, "XGROUP CREATECONSUMER s g d");
    expect(f, "XCLAIM s g d 51 1", REPLY_EMPTY);
    expect_log(f, "");
    expect(f, "XCLAIM s g d 50 1 JUSTID", "*1\r\n$3\r\n1-0\r\n");
    expect_log(f, "XCLAIM s g d 0 1-0 TIME 1700000050 RETRYCOUNT 1 FORCE JUSTID LASTID 3-0");
    expect(f, "XCLAIM s g d 0 2 IDLE 7 RETRYCOUNT 9 LASTID 5",
           "*1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n");
    expect_log(f, "XCLAIM s g d 0 2-0 TIME 1700000043 RETRYCOUNT 9 FORCE JUSTID LASTID 5-0 | "
                  "XGROUP SETID s g 5-0 ENTRIESREAD 3");
    fixture_inline(f, "XDEL s 1");
    expect(f, "XAUTOCLAIM s g d 0 0 COUNT 2",
           "*3\r\n$3\r\n3-0\r\n*1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n*1\r\n$3\r\n1-"
           "0\r\n");
    expect_log(f, "XACK s g 1-0 | "
                  "XCLAIM s g d 0 2-0 TIME 1700000050 RETRYCOUNT 10 FORCE JUSTID LASTID 5-0");
    expect(f, "XAUTOCLAIM s g d 1000 0", "*3\r\n$3\r\n0-0\r\n*0\r\n*0\r\n");
    expect_log(f, "");
    fixture_inline(f, "XCLAIM s g d 0 3 RETRYCOUNT 9223372036854775807");
    fixture_inline(f, "XCLAIM s g d 0 3");
    expect_log(f, "XCLAIM s g d 0 3-0 TIME 1700000050 RETRYCOUNT 9223372036854775807 FORCE JUSTID "
                  "LASTID 5-0");
}

static void test_times(void **state) {
    struct fixture *f = *state;
    fill(f);
    fixture_inline(f, "XREADGROUP GROUP g c COUNT 1 STREAMS s >");
    fixture_advance(f, 100);
    expect(f, "XREADGROUP GROUP g d NOACK COUNT 1 STREAMS s >",
           "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n");
    fixture_advance(f, 20);
    expect(f, "XPENDING s g IDLE 120 - + 10", "*1\r\n*4\r\n$3\r\n1-0\r\n$1\r\nc\r\n:120\r\n:1\r\n");
    expect(f, "XPENDING s g IDLE 121 - + 10", REPLY_EMPTY);
    expect(f, "XINFO CONSUMERS s g",
           "*2\r\n*8\r\n$4\r\nname\r\n$1\r\nc\r\n$7\r\npending\r\n:1\r\n$4\r\nidle\r\n:120\r\n"
           "$8\r\ninactive\r\n:120\r\n*8\r\n$4\r\nname\r\n$1\r\nd\r\n$7\r\npending\r\n:0\r\n"
           "$4\r\nidle\r\n:20\r\n$8\r\ninactive\r\n:-1\r\n");
    fixture_inline(f, "XAUTOCLAIM s g c 1000 0");
    expect(f, "XINFO CONSUMERS s nog",
           "-NOGROUP No such consumer group 'nog' for key name 's'\r\n");
    f->session.resp = 3;
    expect(f, "XINFO CONSUMERS s g",
           "*2\r\n%4\r\n$4\r\nname\r\n$1\r\nc\r\n$7\r\npending\r\n:1\r\n$4\r\nidle\r\n:0\r\n"
           "$8\r\ninactive\r\n:120\r\n%4\r\n$4\r\nname\r\n$1\r\nd\r\n$7\r\npending\r\n:0\r\n"
           "$4\r\nidle\r\n:20\r\n$8\r\ninactive\r\n:-1\r\n");
    expect(f, "XREAD COUNT 1 STREAMS s t 2 0",
           "%1\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\na\r\n$1\r\n3\r\n");
    expect(f, "XREAD STREAMS s 3", "_\r\n");
}

/* Where nobody may wait, as in the fixture, a wait is over at once. */
static void test_waits_are_over(void **state) {
    struct fixture *f = *state;
    fill(f);
    expect(f, "XREAD BLOCK 0 STREAMS s $", REPLY_NONE);
    expect(f, "XREADGROUP GROUP g c BLOCK 0 COUNT 1 STREAMS s >",
           "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    expect(f, "XREAD BLOCK -1 STREAMS s $", "-ERR timeout is negative\r\n");
    expect(f, "XREAD BLOCK x STREAMS s $", "-ERR timeout is not an integer or out of range\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_ids_are_logged),
        FIXTURE_TEST(test_trims_are_logged_exactly),
        FIXTURE_TEST(test_groups_are_logged),
        FIXTURE_TEST(test_claims_are_logged),
        FIXTURE_TEST(test_times),
        FIXTURE_TEST(test_waits_are_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
