/* status_view.c - the judgements that JSON, health and metrics share. */
#include "supervisor/front/status_view.h"
#include <stdio.h>

static const char *const pool_state_names[] = {
#define X(state, text) [POOL_##state] = text,
    POOL_STATES(X)
#undef X
};

const char *pool_state_name(enum pool_state state) {
    return pool_state_names[state];
}

enum child_state view_state(const struct status_view *view, uint32_t process) {
    uint32_t state = atomic_load_explicit(&view_page(view, process)->state, memory_order_acquire);
    return state < CHILD_STATE_COUNT ? (enum child_state)state : CHILD_DOWN;
}

uint32_t view_workers_up(const struct status_view *view) {
    uint32_t up = 0;
    for (uint32_t i = 0; i < view->segment->workers; i++)
        up += view_state(view, i) == CHILD_UP;
    return up;
}

void view_text(const char *text, size_t text_bytes, char text_r[STATUS_TEXT_BYTES]) {
    size_t i = 0;
    for (; i < text_bytes && i < STATUS_TEXT_BYTES - 1 && text[i]; i++)
        text_r[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
    text_r[i] = '\0';
}

void view_trouble(const struct status_view *view, uint32_t process,
                  char text_r[STATUS_TEXT_BYTES]) {
    const struct status_page *page = view_page(view, process);
    bool worker = process < view->segment->workers;
    enum child_state state = view_state(view, process);
    uint64_t age_ms = pulse_age_ms(view->pulse, process, view->now_mono_ms);
    text_r[0] = '\0';
    if (worker && state != CHILD_UP)
        snprintf(text_r, STATUS_TEXT_BYTES, "%s", child_state_name(state));
    else if (age_ms > (uint64_t)view->config->heartbeat_timeout)
        snprintf(text_r, STATUS_TEXT_BYTES, "no heartbeat for %.1f s", (double)age_ms / 1000.0);
    else if (page->note[0])
        view_text(page->note, sizeof(page->note), text_r);
    else if (worker && status_get(page, METRIC_aof_enabled) &&
             !status_get(page, METRIC_aof_state_ok))
        snprintf(text_r, STATUS_TEXT_BYTES, "the append-only log failed");
    else if (worker && atomic_load(&page->fork_wait) == FORK_WAIT_MEMORY)
        snprintf(text_r, STATUS_TEXT_BYTES,
                 "a save waits for memory: %llu MB may be needed, %llu MB are free",
                 (unsigned long long)(atomic_load(&page->fork_needed_bytes) >> 20),
                 (unsigned long long)(atomic_load(&page->fork_free_bytes) >> 20));
}

enum pool_state view_pool_state(const struct status_view *view) {
    if (view_workers_up(view) == 0)
        return POOL_DOWN;
    for (uint32_t i = 0; i < view->segment->workers + 2; i++) {
        char text[STATUS_TEXT_BYTES];
        view_trouble(view, i, text);
        if (text[0])
            return POOL_DEGRADED;
    }
    return POOL_OK;
}

double view_relayed_share(uint64_t relayed, uint64_t processed) {
    if (processed == 0)
        return 0.0;
    return relayed >= processed ? 1.0 : (double)relayed / (double)processed;
}
