/* HyperLogLog commands: replies, what is logged, the cached count, corrupt strings. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define REPLY_NO_HLL  "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"
#define REPLY_CORRUPT "-INVALIDOBJ Corrupted HLL object detected\r\n"

static void test_add_and_count(void **state) {
    struct fixture *f = *state;
    expect(f, "PFADD h a b c", REPLY_ONE);
    expect_log(f, "PFADD h a b c");
    expect(f, "PFADD h a", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "PFCOUNT h", ":3\r\n");
    expect_log(f, "");
    expect(f, "BITFIELD h GET u8 64 GET u8 72", "*2\r\n:3\r\n:0\r\n");
}

static void test_cache(void **state) {
    struct fixture *f = *state;
    expect(f, "PFADD h a", REPLY_ONE);
    expect(f, "GETBIT h 120", REPLY_ONE);
    expect(f, "PFCOUNT h", REPLY_ONE);
    expect(f, "GETBIT h 120", REPLY_ZERO);
    expect(f, "PFADD h a", REPLY_ZERO);
    expect(f, "GETBIT h 120", REPLY_ZERO);
    expect(f, "PFADD h b", REPLY_ONE);
    expect(f, "GETBIT h 120", REPLY_ONE);
}

static void test_merge(void **state) {
    struct fixture *f = *state;
    expect(f, "PFADD a 1 2 3", REPLY_ONE);
    expect(f, "PFADD b 3 4", REPLY_ONE);
    expect(f, "PFCOUNT a b none", ":4\r\n");
    expect(f, "PFMERGE m a b", REPLY_OK);
    expect_log(f, "PFMERGE m a b");
    expect(f, "PFCOUNT m", ":4\r\n");
    expect(f, "PFDEBUG ENCODING m", "+sparse\r\n");
    expect(f, "PFDEBUG TODENSE a", REPLY_ONE);
    expect(f, "PFDEBUG TODENSE a", REPLY_ZERO);
    expect(f, "PFMERGE m a", REPLY_OK);
    expect(f, "PFDEBUG ENCODING m", "+dense\r\n");
    expect(f, "PFCOUNT m", ":4\r\n");
    expect(f, "PFADD m 5", REPLY_ONE);
    expect(f, "PFADD m 5", REPLY_ZERO);
    expect(f, "PFCOUNT m", ":5\r\n");
    expect(f, "PFSELFTEST", REPLY_OK);
}

static void test_refusals(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "SET s abc");
    fixture_inline(f, "SET n 12");
    fixture_inline(f, "RPUSH l a");
    expect(f, "PFADD s a", REPLY_NO_HLL);
    expect(f, "PFCOUNT n", REPLY_NO_HLL);
    expect(f, "PFCOUNT l", REPLY_TYPE);
    expect(f, "PFMERGE x s", REPLY_NO_HLL);
    expect(f, "EXISTS x", REPLY_ZERO);
    fixture_inline(
        f, "SET c \"HYLL\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x80\\x7f\"");
    expect(f, "PFADD c a", REPLY_CORRUPT);
    expect(f, "PFCOUNT c", REPLY_CORRUPT);
    expect(f, "PFMERGE x c", REPLY_CORRUPT);
    expect(f, "PFDEBUG TODENSE c", REPLY_CORRUPT);
    expect(f, "STRLEN c", ":17\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_add_and_count),
        FIXTURE_TEST(test_cache),
        FIXTURE_TEST(test_merge),
        FIXTURE_TEST(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
