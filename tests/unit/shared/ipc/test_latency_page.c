/* test_latency_page.c - samples: one a second, the longest; the last so many; and buckets. */
#include "shared/base/mem.h"
#include "shared/ipc/latency_page.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static int set_up(void **state) {
    *state = mem_calloc(1, sizeof(struct latency_page));
    return 0;
}

static int tear_down(void **state) {
    mem_free(*state);
    return 0;
}

static void the_longest_of_each_second_is_kept(void **state) {
    struct latency_page *page = *state;
    struct latency_sample samples[LATENCY_SAMPLES];
    assert_int_equal(latency_read(page, LATENCY_FORK, samples), 0);
    latency_add(page, LATENCY_FORK, 100, 5);
    latency_add(page, LATENCY_FORK, 100, 9);
    latency_add(page, LATENCY_FORK, 100, 7);
    latency_add(page, LATENCY_FORK, 103, 2);
    assert_int_equal(latency_read(page, LATENCY_COMMAND, samples), 0);
    assert_int_equal(latency_read(page, LATENCY_FORK, samples), 2);
    assert_int_equal(samples[0].time_s, 100);
    assert_int_equal(samples[0].ms, 9);
    assert_int_equal(samples[1].time_s, 103);
    assert_int_equal(samples[1].ms, 2);
    assert_int_equal(page->events[LATENCY_FORK].max_ms, 9);
    latency_reset(page, LATENCY_FORK);
    assert_int_equal(latency_read(page, LATENCY_FORK, samples), 0);
    assert_int_equal(page->events[LATENCY_FORK].max_ms, 0);
}

static void the_last_samples_are_kept(void **state) {
    struct latency_page *page = *state;
    struct latency_sample samples[LATENCY_SAMPLES];
    for (uint32_t i = 1; i <= LATENCY_SAMPLES + 10; i++)
        latency_add(page, LATENCY_COMMAND, i, i);
    assert_int_equal(latency_read(page, LATENCY_COMMAND, samples), LATENCY_SAMPLES);
    assert_int_equal(samples[0].time_s, 11);
    assert_int_equal(samples[LATENCY_SAMPLES - 1].time_s, LATENCY_SAMPLES + 10);
}

static void buckets_are_powers_of_two(void **state) {
    struct latency_page *page = *state;
    static const struct {
        uint64_t us;
        uint32_t bucket;
    } cases[] = {{0, 0},  {1, 0},  {2, 1},        {3, 2},        {4, 2},          {5, 3},
                 {16, 4}, {17, 5}, {1 << 20, 20}, {1 << 30, 20}, {UINT64_MAX, 20}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t before = page->histogram[7][cases[i].bucket];
        latency_count(page, 7, cases[i].us);
        assert_int_equal(page->histogram[7][cases[i].bucket], before + 1);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_longest_of_each_second_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_last_samples_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buckets_are_powers_of_two, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
