/* status_view.h - one look at the whole pool, for everything that shows it: JSON, metrics, health.
 *
 * Only reads the shared segment. Texts of other processes are copied and made printable ASCII, so
 * that a page written to at this moment, or by a broken process, does no harm. */
#ifndef REMUDA_STATUS_VIEW_H
#define REMUDA_STATUS_VIEW_H
#include "config/config.h"
#include "supervisor/front/history.h"
#include "supervisor/front/pulse.h"

struct status_view {
    const struct segment *segment;
    const struct config *config;
    const struct pulse *pulse;
    const struct history *history;
    uint64_t now_mono_ms;
    int64_t now_wall_ms;
};

/* POOL_STATES: one enum, one table of names. */
#define POOL_STATES(X) X(OK, "ok") X(DEGRADED, "degraded") X(DOWN, "down")
enum pool_state {
#define X(state, text) POOL_##state,
    POOL_STATES(X)
#undef X
};
const char *pool_state_name(enum pool_state state);

static inline const struct status_page *view_page(const struct status_view *view, uint32_t i) {
    return segment_status(view->segment, i);
}
enum child_state view_state(const struct status_view *view, uint32_t process);
uint32_t view_workers_up(const struct status_view *view);
/* DOWN: no worker serves. OK: all do, and nothing is wrong with any process. */
enum pool_state view_pool_state(const struct status_view *view);
/* What is wrong with a process, in one line, or "". Never a secret. */
void view_trouble(const struct status_view *view, uint32_t process, char text_r[STATUS_TEXT_BYTES]);
/* A text of a page, safe to print; text_bytes of it are looked at. */
void view_text(const char *text, size_t text_bytes, char text_r[STATUS_TEXT_BYTES]);
/* Part of this worker's clients' commands that another shard ran, 0..1. */
double view_relayed_share(uint64_t relayed, uint64_t processed);

#endif
