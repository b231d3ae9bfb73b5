/* test_scheduler.c - whose turn it is to fork. */
#include "supervisor/scheduler.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static struct scheduler scheduler;

static int clear(void **state) {
    memset(&scheduler, 0, sizeof(scheduler));
    return 0;
}

static void expect_grant(uint32_t concurrency, uint32_t process, uint64_t id) {
    struct fork_wish wish;
    assert_true(scheduler_next(&scheduler, concurrency, UINT64_MAX, &wish));
    assert_int_equal(wish.process, process);
    assert_int_equal(wish.id, id);
}

static void expect_none(uint32_t concurrency) {
    struct fork_wish wish;
    assert_false(scheduler_next(&scheduler, concurrency, UINT64_MAX, &wish));
}

static void test_one_at_a_time_in_order(void **state) {
    assert_true(scheduler_want(&scheduler, 2, 10, 0));
    assert_true(scheduler_want(&scheduler, 0, 10, 0));
    assert_true(scheduler_want(&scheduler, 1, 11, 0));
    expect_grant(1, 2, 10);
    expect_none(1);
    assert_true(scheduler_done(&scheduler, 2, 10));
    expect_grant(1, 0, 10);
    expect_none(1);
    assert_true(scheduler_done(&scheduler, 0, 10));
    expect_grant(1, 1, 11);
    assert_true(scheduler_done(&scheduler, 1, 11));
    expect_none(1);
    assert_int_equal(scheduler.count, 0);
}

static void test_concurrency_may_change(void **state) {
    for (uint32_t i = 0; i < 4; i++)
        assert_true(scheduler_want(&scheduler, i, 1, 0));
    expect_grant(2, 0, 1);
    expect_grant(2, 1, 1);
    expect_none(2);
    expect_grant(3, 2, 1);
    expect_none(1);
    assert_true(scheduler_done(&scheduler, 0, 1));
    assert_true(scheduler_done(&scheduler, 1, 1));
    expect_none(1);
    assert_true(scheduler_done(&scheduler, 2, 1));
    expect_grant(1, 3, 1);
}

static void test_the_dead_are_forgotten(void **state) {
    assert_true(scheduler_want(&scheduler, 0, 1, 0));
    assert_true(scheduler_want(&scheduler, 0, 2, 0));
    assert_true(scheduler_want(&scheduler, 1, 3, 0));
    expect_grant(1, 0, 1);
    scheduler_forget(&scheduler, 0);
    expect_grant(1, 1, 3);
    assert_int_equal(scheduler.count, 1);
    assert_false(scheduler_done(&scheduler, 0, 1));
}

static void test_withdrawn_before_its_turn(void **state) {
    assert_true(scheduler_want(&scheduler, 0, 1, 0));
    assert_true(scheduler_want(&scheduler, 1, 1, 0));
    expect_grant(1, 0, 1);
    assert_true(scheduler_done(&scheduler, 1, 1));
    assert_true(scheduler_done(&scheduler, 0, 1));
    expect_none(1);
}

static void test_a_second_fork_needs_memory_the_first_does_not(void **state) {
    struct fork_wish wish;
    assert_true(scheduler_want(&scheduler, 0, 1, 1000));
    assert_true(scheduler_want(&scheduler, 1, 1, 1000));
    assert_true(scheduler_next(&scheduler, 8, 10, &wish));
    assert_int_equal(wish.process, 0);
    assert_false(scheduler_next(&scheduler, 8, 999, &wish));
    assert_true(scheduler_next(&scheduler, 8, 1000, &wish));
    assert_int_equal(wish.process, 1);
}

static void test_a_child_cannot_flood_the_queue(void **state) {
    for (uint64_t id = 1; id <= SCHEDULER_WISHES_PER_PROCESS; id++)
        assert_true(scheduler_want(&scheduler, 5, id, 0));
    assert_false(scheduler_want(&scheduler, 5, 99, 0));
    assert_true(scheduler_want(&scheduler, 6, 1, 0));
    assert_false(scheduler_want(&scheduler, 6, 1, 0));
    for (uint32_t process = 7; scheduler.count < SCHEDULER_WISHES_MAX; process++)
        assert_true(scheduler_want(&scheduler, process, 1, 0));
    assert_false(scheduler_want(&scheduler, 100000, 1, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_at_a_time_in_order, clear),
        cmocka_unit_test_setup(test_concurrency_may_change, clear),
        cmocka_unit_test_setup(test_the_dead_are_forgotten, clear),
        cmocka_unit_test_setup(test_withdrawn_before_its_turn, clear),
        cmocka_unit_test_setup(test_a_second_fork_needs_memory_the_first_does_not, clear),
        cmocka_unit_test_setup(test_a_child_cannot_flood_the_queue, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
