/* test_clock.c - units agree, and the monotonic clock does not go back. */
#include "tests/unit/shared/support.h"

#include "shared/base/clock.h"

static void mono_never_goes_back(void **state) {
    uint64_t last = clock_mono_us();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_mono_us();
        assert_true(now >= last);
        last = now;
    }
    assert_true(clock_mono_ms() >= last / 1000);
}

static void wall_is_unix_time(void **state) {
    int64_t before = time(NULL);
    int64_t us = clock_wall_us(), ms = clock_wall_ms();
    int64_t after = time(NULL);
    assert_true(us / 1000000 >= before - 1 && us / 1000000 <= after);
    assert_true(ms / 1000 >= before - 1 && ms / 1000 <= after);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mono_never_goes_back),
        cmocka_unit_test(wall_is_unix_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
