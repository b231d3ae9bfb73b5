/* http_routes.c - the paths of the status server. */
#include "supervisor/front/http_routes.h"
#include "supervisor/front/dashboard.h"
#include "supervisor/front/metrics_text.h"
#include "supervisor/front/status_json.h"

enum { SUPERVISOR_SILENT_MS = 3000 };

#define TEXT_TYPE "text/plain; charset=utf-8"

static void answer_dashboard(const struct status_view *view, struct http_answer *answer) {
    dashboard_write(answer->nonce, &answer->body);
}

static void answer_status(const struct status_view *view, struct http_answer *answer) {
    if (status_json_write(view, &answer->body))
        http_plain(answer, 500, "out of memory for the status\n");
}

static void answer_history(const struct status_view *view, struct http_answer *answer) {
    history_json_write(view->history, view->segment->workers, &answer->body);
}

static void answer_metrics(const struct status_view *view, struct http_answer *answer) {
    metrics_text_write(view, &answer->body);
}

static void answer_healthz(const struct status_view *view, struct http_answer *answer) {
    uint32_t supervisor = segment_supervisor_index(view->segment->workers);
    uint64_t age_ms = pulse_age_ms(view->pulse, supervisor, view->now_mono_ms);
    if (age_ms <= SUPERVISOR_SILENT_MS) {
        buf_append_text(&answer->body, "ok\n");
        return;
    }
    answer->status = 503;
    buf_printf(&answer->body, "no heartbeat of the supervisor for %.1f s\n", (double)age_ms / 1000);
}

static void answer_readyz(const struct status_view *view, struct http_answer *answer) {
    for (uint32_t i = 0; i < view->segment->workers; i++) {
        enum child_state state = view_state(view, i);
        if (state == CHILD_UP)
            continue;
        answer->status = 503;
        buf_printf(&answer->body, "shard %u is %s\n", i, child_state_name(state));
    }
    if (answer->status == 200)
        buf_append_text(&answer->body, "ready\n");
}

static const struct {
    const char *path, *type;
    bool page; /* has inline style and script, allowed by nonce */
    void (*answer)(const struct status_view *view, struct http_answer *answer);
} routes[] = {
    {"/", "text/html; charset=utf-8", true, answer_dashboard},
    {"/status", "application/json", false, answer_status},
    {"/history", "application/json", false, answer_history},
    {"/metrics", METRICS_CONTENT_TYPE, false, answer_metrics},
    {"/healthz", TEXT_TYPE, false, answer_healthz},
    {"/readyz", TEXT_TYPE, false, answer_readyz},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

void http_plain(struct http_answer *answer, unsigned status, const char *text) {
    answer->status = status;
    answer->type = TEXT_TYPE;
    answer->nonce = "";
    buf_clear(&answer->body);
    buf_append_text(&answer->body, text);
}

void http_route(const struct status_view *view, const char *path, struct http_answer *answer) {
    for (uint32_t i = 0; i < ROUTES; i++) {
        if (strcmp(path, routes[i].path) != 0)
            continue;
        answer->status = 200;
        answer->type = routes[i].type;
        if (!routes[i].page)
            answer->nonce = "";
        routes[i].answer(view, answer);
        return;
    }
    http_plain(answer, 404, "not found; there is");
    for (uint32_t i = 0; i < ROUTES; i++)
        buf_printf(&answer->body, " %s", routes[i].path);
    buf_append_text(&answer->body, "\n");
}
