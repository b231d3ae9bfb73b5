/* history.c - a ring of throughput samples. */
#include "supervisor/front/history.h"
#include <inttypes.h>

void history_look(struct history *history, const struct segment *segment, uint64_t now_mono_ms,
                  int64_t now_wall_ms) {
    if (history->count > 0 && now_mono_ms < history->sampled_ms + HISTORY_EVERY_MS)
        return;
    /* Keep to the beat even if the calls do not fall on it; after a gap begin anew. */
    bool gap = history->count == 0 || now_mono_ms > history->sampled_ms + 2 * HISTORY_EVERY_MS;
    history->sampled_ms = gap ? now_mono_ms : history->sampled_ms + HISTORY_EVERY_MS;
    uint32_t *ops = history->ops[history->next];
    for (uint32_t i = 0; i < segment->workers; i++) {
        const struct status_page *page = segment_status(segment, i);
        bool up = atomic_load_explicit(&page->state, memory_order_relaxed) == CHILD_UP;
        uint64_t now = up ? status_get(page, METRIC_commands_per_second) : 0;
        ops[i] = now < UINT32_MAX ? (uint32_t)now : UINT32_MAX;
    }
    history->wall_ms[history->next] = now_wall_ms;
    history->next = (history->next + 1) % HISTORY_SAMPLES;
    if (history->count < HISTORY_SAMPLES)
        history->count++;
}

void history_json_write(const struct history *history, uint32_t workers, struct buf *out) {
    uint32_t first = (history->next + HISTORY_SAMPLES - history->count) % HISTORY_SAMPLES;
    buf_append_text(out, "{\"rows\":[");
    for (uint32_t n = 0; n < history->count; n++) {
        uint32_t at = (first + n) % HISTORY_SAMPLES;
        buf_printf(out, "%s[%" PRId64, n ? "," : "", history->wall_ms[at]);
        for (uint32_t i = 0; i < workers; i++)
            buf_printf(out, ",%" PRIu32, history->ops[at][i]);
        buf_append_text(out, "]");
    }
    buf_append_text(out, "]}\n");
}
