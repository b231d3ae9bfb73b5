/* restart_policy.c - see the header. Nothing here can fail. */
#include "supervisor/restart_policy.h"

static void remember_crash(struct restart_history *history, uint64_t now_ms) {
    history->crash_ms[history->next] = now_ms;
    history->next = (history->next + 1) % RESTART_LIMIT_MAX;
    if (history->crashes < RESTART_LIMIT_MAX)
        history->crashes++;
}

static uint32_t crashes_since(const struct restart_history *history, uint64_t now_ms,
                              uint64_t window_ms) {
    uint32_t count = 0;
    for (uint32_t back = 1; back <= history->crashes; back++) {
        uint32_t at = (history->next + RESTART_LIMIT_MAX - back) % RESTART_LIMIT_MAX;
        if (now_ms - history->crash_ms[at] >= window_ms)
            break;
        count++;
    }
    return count;
}

static uint64_t doubled(uint64_t delay_ms, uint32_t times, uint64_t max_ms) {
    while (times-- > 0 && delay_ms < max_ms)
        delay_ms = delay_ms > UINT64_MAX / 2 ? max_ms : delay_ms * 2;
    return delay_ms < max_ms ? delay_ms : max_ms;
}

static uint64_t delay_of(const struct restart_history *history, const struct restart_rules *rules,
                         uint32_t jitter) {
    uint32_t doublings = history->doublings;
    if (rules->first_at_once && doublings-- == 0)
        return 0;
    uint64_t delay_ms = doubled(rules->delay_min_ms, doublings, rules->delay_max_ms);
    delay_ms += delay_ms / 4 * jitter / RESTART_JITTER_ONE;
    return delay_ms < rules->delay_max_ms ? delay_ms : rules->delay_max_ms;
}

struct restart_decision restart_decide(struct restart_history *history,
                                       const struct restart_rules *rules, uint64_t now_ms,
                                       uint64_t ran_ms, uint32_t jitter) {
    if (ran_ms >= rules->healthy_after_ms)
        history->doublings = 0;
    remember_crash(history, now_ms);
    struct restart_decision decision = {.crashes_in_window =
                                            crashes_since(history, now_ms, rules->window_ms)};
    if (!rules->never_gives_up && decision.crashes_in_window >= rules->limit) {
        decision.verdict = RESTART_GIVE_UP;
        return decision;
    }
    decision.verdict = RESTART_AFTER_DELAY;
    decision.delay_ms = delay_of(history, rules, jitter);
    if (history->doublings < UINT32_MAX)
        history->doublings++;
    return decision;
}
