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
    struct fork_wish *wish = scheduler_next(&scheduler, concurrency, UINT64_MAX);
    assert_non_null(wish);
    assert_int_equal(wish->process, process);
    assert_int_equal(wish->id, id);
}

static void expect_none(uint32_t concurrency) {
    assert_null(scheduler_next(&scheduler, concurrency, UINT64_MAX));
}

static void test_one_at_a_time_in_order(void **state) {
    assert_true(scheduler_want(&scheduler, 2, 10, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 0, 10, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 1, 11, FORK_ASKED, 0));
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
        assert_true(scheduler_want(&scheduler, i, 1, FORK_ASKED, 0));
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
    assert_true(scheduler_want(&scheduler, 0, 1, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 0, 2, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 1, 3, FORK_ASKED, 0));
    expect_grant(1, 0, 1);
    scheduler_forget(&scheduler, 0);
    expect_grant(1, 1, 3);
    assert_int_equal(scheduler.count, 1);
    assert_false(scheduler_done(&scheduler, 0, 1));
}

static void test_withdrawn_before_its_turn(void **state) {
    assert_true(scheduler_want(&scheduler, 0, 1, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 1, 1, FORK_ASKED, 0));
    expect_grant(1, 0, 1);
    assert_true(scheduler_done(&scheduler, 1, 1));
    assert_true(scheduler_done(&scheduler, 0, 1));
    expect_none(1);
}

static void expect_wait(uint32_t at, enum fork_wait wait, uint64_t needed_bytes) {
    assert_int_equal(scheduler.wishes[at].wait, wait);
    assert_int_equal(scheduler.wishes[at].needed_bytes, needed_bytes);
}

static void test_urgent_ones_come_first(void **state) {
    assert_true(scheduler_want(&scheduler, 0, 1, FORK_BY_ITSELF, 0));
    assert_true(scheduler_want(&scheduler, 1, 1, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 2, 1, FORK_RESCUE, 0));
    assert_true(scheduler_want(&scheduler, 3, 1, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 4, 1, FORK_RESCUE, 0));
    static const uint32_t order[] = {2, 4, 1, 3, 0};
    for (size_t i = 0; i < 5; i++) {
        expect_grant(1, order[i], 1);
        assert_true(scheduler_done(&scheduler, order[i], 1));
    }
}

static void test_not_even_the_first_without_memory(void **state) {
    assert_true(scheduler_want(&scheduler, 0, 1, FORK_ASKED, 1000));
    assert_null(scheduler_next(&scheduler, 8, 999));
    expect_wait(0, FORK_WAIT_MEMORY, 1000);
    assert_non_null(scheduler_next(&scheduler, 8, 1000));
    expect_wait(0, FORK_WAIT_NOT, 1000);
}

static void test_those_out_are_counted_by_what_they_have_not_copied(void **state) {
    for (uint32_t i = 0; i < 3; i++)
        assert_true(scheduler_want(&scheduler, i, 1, FORK_ASKED, 1000));
    assert_non_null(scheduler_next(&scheduler, 2, 1999));
    assert_null(scheduler_next(&scheduler, 2, 1999));
    expect_wait(1, FORK_WAIT_MEMORY, 2000);
    /* What was copied is no longer free, nor will it be copied again. */
    scheduler.wishes[0].copied_bytes = 400;
    assert_null(scheduler_next(&scheduler, 2, 1599));
    assert_non_null(scheduler_next(&scheduler, 2, 1600));
    /* Now it is a matter of turns. */
    assert_null(scheduler_next(&scheduler, 2, UINT64_MAX));
    expect_wait(2, FORK_WAIT_TURN, 2600 - 1000 + 1000);
    scheduler.wishes[0].copied_bytes = 5000; /* more than was foreseen */
    assert_non_null(scheduler_next(&scheduler, 3, 2000));
}

static void test_a_big_one_keeps_no_small_one_back(void **state) {
    assert_true(scheduler_want(&scheduler, 0, 1, FORK_RESCUE, 5000));
    assert_true(scheduler_want(&scheduler, 1, 1, FORK_BY_ITSELF, 100));
    struct fork_wish *wish = scheduler_next(&scheduler, 1, 200);
    assert_non_null(wish);
    assert_int_equal(wish->process, 1);
    assert_null(scheduler_next(&scheduler, 1, 200));
    expect_wait(0, FORK_WAIT_TURN, 5100);
    assert_true(scheduler_done(&scheduler, 1, 1));
    assert_null(scheduler_next(&scheduler, 1, 200));
    expect_wait(0, FORK_WAIT_MEMORY, 5000);
}

/* It waits until no other is out; those that come later do not overtake it, whatever the concurrency. */
static void test_all_at_once_is_alone(void **state) {
    assert_true(scheduler_want(&scheduler, 1, 1, FORK_ASKED, 0));
    expect_grant(8, 1, 1);
    assert_true(scheduler_want_all(&scheduler, 0, 7, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 2, 1, FORK_ASKED, 0));
    expect_none(8);
    expect_wait(1, FORK_WAIT_TURN, 0);
    assert_true(scheduler_done(&scheduler, 1, 1));
    expect_grant(8, 0, 7);
    expect_none(8);
    expect_wait(1, FORK_WAIT_TURN, 0);
    assert_true(scheduler_done(&scheduler, 0, 7));
    expect_grant(8, 2, 1);
}

/* Whoever asked before, or is more urgent, goes first; an asker that dies keeps back nobody. */
static void test_all_at_once_takes_its_turn(void **state) {
    assert_true(scheduler_want(&scheduler, 1, 1, FORK_ASKED, 0));
    assert_true(scheduler_want_all(&scheduler, 0, 7, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 2, 1, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 3, 1, FORK_RESCUE, 0));
    expect_grant(8, 3, 1);
    expect_grant(8, 1, 1);
    expect_none(8);
    assert_true(scheduler_done(&scheduler, 1, 1));
    expect_none(8);
    assert_true(scheduler_done(&scheduler, 3, 1));
    expect_grant(8, 0, 7);
    scheduler_forget(&scheduler, 0);
    expect_grant(8, 2, 1);
}

static void test_all_at_once_without_memory_keeps_nobody_back(void **state) {
    assert_true(scheduler_want_all(&scheduler, 0, 7, FORK_ASKED, 5000));
    assert_true(scheduler_want(&scheduler, 1, 1, FORK_ASKED, 100));
    struct fork_wish *wish = scheduler_next(&scheduler, 8, 200);
    assert_non_null(wish);
    assert_int_equal(wish->process, 1);
    assert_null(scheduler_next(&scheduler, 8, 200));
    expect_wait(0, FORK_WAIT_MEMORY, 5100);
}

static void test_a_child_cannot_flood_the_queue(void **state) {
    for (uint64_t id = 1; id <= SCHEDULER_WISHES_PER_PROCESS; id++)
        assert_true(scheduler_want(&scheduler, 5, id, FORK_ASKED, 0));
    assert_false(scheduler_want(&scheduler, 5, 99, FORK_ASKED, 0));
    assert_true(scheduler_want(&scheduler, 6, 1, FORK_ASKED, 0));
    assert_false(scheduler_want(&scheduler, 6, 1, FORK_ASKED, 0));
    for (uint32_t process = 7; scheduler.count < SCHEDULER_WISHES_MAX; process++)
        assert_true(scheduler_want(&scheduler, process, 1, FORK_ASKED, 0));
    assert_false(scheduler_want(&scheduler, 100000, 1, FORK_ASKED, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_one_at_a_time_in_order, clear),
        cmocka_unit_test_setup(test_concurrency_may_change, clear),
        cmocka_unit_test_setup(test_the_dead_are_forgotten, clear),
        cmocka_unit_test_setup(test_withdrawn_before_its_turn, clear),
        cmocka_unit_test_setup(test_urgent_ones_come_first, clear),
        cmocka_unit_test_setup(test_not_even_the_first_without_memory, clear),
        cmocka_unit_test_setup(test_those_out_are_counted_by_what_they_have_not_copied, clear),
        cmocka_unit_test_setup(test_a_big_one_keeps_no_small_one_back, clear),
        cmocka_unit_test_setup(test_all_at_once_is_alone, clear),
        cmocka_unit_test_setup(test_all_at_once_takes_its_turn, clear),
        cmocka_unit_test_setup(test_all_at_once_without_memory_keeps_nobody_back, clear),
        cmocka_unit_test_setup(test_a_child_cannot_flood_the_queue, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
