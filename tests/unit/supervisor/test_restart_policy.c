/* test_restart_policy.c - scenarios of crashes against a clock that only the test moves. */
#include "supervisor/restart_policy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

enum { STEPS_MAX = 12, GIVES_UP = -1 };

static const struct restart_rules worker_rules = {.delay_min_ms = 100,
                                                  .delay_max_ms = 30000,
                                                  .healthy_after_ms = 60000,
                                                  .window_ms = 60000,
                                                  .limit = 5};
static const struct restart_rules patient_rules = {.delay_min_ms = 100,
                                                   .delay_max_ms = 1000,
                                                   .healthy_after_ms = 60000,
                                                   .window_ms = 60000,
                                                   .limit = 1000};
static const struct restart_rules front_rules = {.delay_min_ms = 100,
                                                 .delay_max_ms = 500,
                                                 .healthy_after_ms = 10000,
                                                 .window_ms = 60000,
                                                 .limit = 2,
                                                 .first_at_once = true,
                                                 .never_gives_up = true};

/* Each step: how long the child ran, and the delay expected then (GIVES_UP: no restart). The clock
 * goes on by the run and by the delay. */
struct scenario {
    const char *name;
    const struct restart_rules *rules;
    uint32_t jitter;
    struct {
        uint64_t ran_ms;
        int64_t delay_ms;
    } step[STEPS_MAX];
    int steps;
};

static const struct scenario scenarios[] = {
    {"a crash loop doubles and then fails",
     &worker_rules,
     0,
     {{5, 100}, {5, 200}, {5, 400}, {5, 800}, {5, GIVES_UP}},
     5},
    {"the delay is capped",
     &patient_rules,
     0,
     {{5, 100}, {5, 200}, {5, 400}, {5, 800}, {5, 1000}, {5, 1000}},
     6},
    {"health starts from the minimum again",
     &worker_rules,
     0,
     {{5, 100}, {5, 200}, {60000, 100}, {5, 200}},
     4},
    {"just short of health does not", &worker_rules, 0, {{5, 100}, {5, 200}, {59999, 400}}, 3},
    {"crashes that left the window do not count",
     &worker_rules,
     0,
     {{20000, 100}, {20000, 200}, {20000, 400}, {20000, 800}, {20000, 1600}, {20000, 3200}},
     6},
    {"after a pause longer than the window four more are allowed",
     &worker_rules,
     0,
     {{5, 100},
      {5, 200},
      {5, 400},
      {5, 800},
      {60000, 100},
      {5, 200},
      {5, 400},
      {5, 800},
      {5, GIVES_UP}},
     9},
    {"full jitter adds a quarter",
     &worker_rules,
     RESTART_JITTER_ONE,
     {{5, 125}, {5, 250}, {5, 500}, {5, 1000}},
     4},
    {"jitter does not pass the cap",
     &patient_rules,
     RESTART_JITTER_ONE,
     {{5, 125}, {5, 250}, {5, 500}, {5, 1000}, {5, 1000}},
     5},
    {"the front comes back at once and never fails",
     &front_rules,
     0,
     {{5, 0}, {5, 100}, {5, 200}, {5, 400}, {5, 500}, {5, 500}, {10000, 0}, {5, 100}},
     8},
};

static void play(const struct scenario *scenario) {
    static struct restart_history history;
    uint64_t now_ms = 1000000;
    memset(&history, 0, sizeof(history));
    for (int i = 0; i < scenario->steps; i++) {
        now_ms += scenario->step[i].ran_ms;
        struct restart_decision decision = restart_decide(
            &history, scenario->rules, now_ms, scenario->step[i].ran_ms, scenario->jitter);
        int64_t got = decision.verdict == RESTART_GIVE_UP ? GIVES_UP : (int64_t)decision.delay_ms;
        if (got != scenario->step[i].delay_ms)
            fail_msg("%s, step %d: got %lld, expected %lld", scenario->name, i, (long long)got,
                     (long long)scenario->step[i].delay_ms);
        now_ms += decision.delay_ms;
    }
}

static void test_scenarios(void **state) {
    for (size_t i = 0; i < sizeof(scenarios) / sizeof(scenarios[0]); i++)
        play(&scenarios[i]);
}

static void test_limit_of_one_fails_at_once(void **state) {
    static struct restart_history history;
    struct restart_rules rules = worker_rules;
    rules.limit = 1;
    struct restart_decision decision = restart_decide(&history, &rules, 7, 7, 0);
    assert_int_equal(decision.verdict, RESTART_GIVE_UP);
    assert_int_equal(decision.crashes_in_window, 1);
}

/* The ring of crash times is as long as the largest limit, and must count right when it wraps. */
static void test_largest_limit(void **state) {
    static struct restart_history history;
    struct restart_rules rules = patient_rules;
    rules.delay_max_ms = rules.delay_min_ms = 0;
    rules.limit = RESTART_LIMIT_MAX;
    uint64_t now_ms = 1;
    for (int i = 0; i < RESTART_LIMIT_MAX - 1; i++)
        assert_int_equal(restart_decide(&history, &rules, now_ms, 0, 0).verdict,
                         RESTART_AFTER_DELAY);
    now_ms += rules.window_ms;
    for (int i = 0; i < RESTART_LIMIT_MAX - 1; i++)
        assert_int_equal(restart_decide(&history, &rules, now_ms, 0, 0).verdict,
                         RESTART_AFTER_DELAY);
    assert_int_equal(restart_decide(&history, &rules, now_ms, 0, 0).verdict, RESTART_GIVE_UP);
}

static void test_huge_delays_do_not_overflow(void **state) {
    static struct restart_history history;
    struct restart_rules rules = patient_rules;
    rules.delay_min_ms = UINT64_MAX / 3;
    rules.delay_max_ms = UINT64_MAX / 2;
    for (int i = 0; i < 100; i++) {
        struct restart_decision decision = restart_decide(&history, &rules, 1, 0, 0);
        assert_true(decision.delay_ms >= rules.delay_min_ms);
        assert_true(decision.delay_ms <= rules.delay_max_ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_limit_of_one_fails_at_once),
        cmocka_unit_test(test_largest_limit),
        cmocka_unit_test(test_huge_delays_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
