/* test_heartbeat.c - a process that stands still is found, a watcher that slept accuses nobody. */
#include "supervisor/heartbeat.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { TIMEOUT_MS = 1000 };

/* A look at a child that sleeps: nothing but its counter speaks for it. */
static bool look(struct heartbeat *heartbeat, uint64_t counter, uint64_t now_ms,
                 uint64_t timeout_ms) {
    struct heartbeat_sign sign = {.counter = counter, .state = 'S'};
    return heartbeat_look(heartbeat, &sign, now_ms, timeout_ms);
}

static void test_moving_is_alive(void **state) {
    struct heartbeat heartbeat;
    uint64_t now_ms = 5000, counter = 9;
    heartbeat_begin(&heartbeat, counter, now_ms);
    for (int i = 0; i < 100; i++) {
        now_ms += HEARTBEAT_LOOK_MS;
        assert_true(look(&heartbeat, ++counter, now_ms, TIMEOUT_MS));
    }
}

static void test_standing_still_is_found(void **state) {
    struct heartbeat heartbeat;
    heartbeat_begin(&heartbeat, 0, 0);
    assert_true(look(&heartbeat, 1, 250, TIMEOUT_MS));
    assert_true(look(&heartbeat, 1, 500, TIMEOUT_MS));
    assert_true(look(&heartbeat, 1, 750, TIMEOUT_MS));
    assert_true(look(&heartbeat, 1, 1000, TIMEOUT_MS));
    assert_false(look(&heartbeat, 1, 1250, TIMEOUT_MS));
    assert_int_equal(heartbeat.still_ms, 1000);
}

static void test_one_move_forgives(void **state) {
    struct heartbeat heartbeat;
    heartbeat_begin(&heartbeat, 0, 0);
    assert_true(look(&heartbeat, 1, 250, TIMEOUT_MS));
    assert_true(look(&heartbeat, 1, 750, TIMEOUT_MS));
    assert_true(look(&heartbeat, 2, 1500, TIMEOUT_MS));
    assert_true(look(&heartbeat, 2, 2000, TIMEOUT_MS));
}

static void test_a_start_gets_more_time_but_not_for_ever(void **state) {
    struct heartbeat heartbeat;
    uint64_t now_ms = 0;
    heartbeat_begin(&heartbeat, 7, now_ms);
    for (; now_ms + HEARTBEAT_LOOK_MS < HEARTBEAT_START_MIN_MS; now_ms += HEARTBEAT_LOOK_MS)
        assert_true(look(&heartbeat, 7, now_ms, TIMEOUT_MS));
    now_ms += HEARTBEAT_LOOK_MS;
    assert_false(look(&heartbeat, 7, now_ms, TIMEOUT_MS));
}

static void test_a_start_may_take_a_longer_timeout(void **state) {
    struct heartbeat heartbeat;
    uint64_t now_ms = 0, timeout_ms = 2 * HEARTBEAT_START_MIN_MS;
    heartbeat_begin(&heartbeat, 7, now_ms);
    for (now_ms = HEARTBEAT_LOOK_MS; now_ms < timeout_ms; now_ms += HEARTBEAT_LOOK_MS)
        assert_true(look(&heartbeat, 7, now_ms, timeout_ms));
    assert_false(look(&heartbeat, 7, now_ms, timeout_ms));
}

static void test_a_watcher_that_slept_accuses_nobody(void **state) {
    struct heartbeat heartbeat;
    heartbeat_begin(&heartbeat, 0, 0);
    assert_true(look(&heartbeat, 1, 250, TIMEOUT_MS));
    assert_true(look(&heartbeat, 1, 3600000, TIMEOUT_MS));
    assert_int_equal(heartbeat.still_ms, HEARTBEAT_GAP_MAX_MS);
    assert_true(look(&heartbeat, 2, 3600250, TIMEOUT_MS));
}

/* True if a child in this state, using so much CPU a look, is given up within `looks` looks. */
static bool given_up(char state, uint64_t cpu_ms_a_look, int looks) {
    struct heartbeat heartbeat;
    struct heartbeat_sign sign = {.counter = 1, .state = state};
    uint64_t now_ms = 0;
    heartbeat_begin(&heartbeat, 0, now_ms);
    heartbeat_look(&heartbeat, &sign, now_ms, TIMEOUT_MS);
    for (int i = 0; i < looks; i++) {
        sign.cpu_ms += cpu_ms_a_look;
        now_ms += HEARTBEAT_LOOK_MS;
        if (!heartbeat_look(&heartbeat, &sign, now_ms, TIMEOUT_MS))
            return true;
    }
    return false;
}

static void test_who_is_held_up_is_forgiven_for_a_while(void **state) {
    assert_true(given_up('S', 0, 4));                 /* asleep: a lost wake-up, a deadlock */
    assert_true(given_up('T', 0, 4));                 /* stopped */
    assert_true(given_up('R', HEARTBEAT_LOOK_MS, 4)); /* a loop without end */
    assert_false(given_up('R', 10, 40));              /* starved by others */
    assert_false(given_up('D', 0, 40));               /* a slow disk */
    assert_true(
        given_up('D', 0, HEARTBEAT_HELD_UP_MAX_MS / HEARTBEAT_LOOK_MS + 4)); /* a dead one */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moving_is_alive),
        cmocka_unit_test(test_standing_still_is_found),
        cmocka_unit_test(test_one_move_forgives),
        cmocka_unit_test(test_a_start_gets_more_time_but_not_for_ever),
        cmocka_unit_test(test_a_start_may_take_a_longer_timeout),
        cmocka_unit_test(test_a_watcher_that_slept_accuses_nobody),
        cmocka_unit_test(test_who_is_held_up_is_forgiven_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
