/* http.h - the pool's status over HTTP: dashboard, JSON, metrics, health. Reads, never changes.
 *
 * GET and HEAD only, Host checked (against DNS rebinding), small limits on everything. Figures come
 * from the status pages, so it answers while a worker hangs. */
#ifndef REMUDA_HTTP_H
#define REMUDA_HTTP_H
#include "config/config.h"
#include "supervisor/front/history.h"
#include "supervisor/front/pulse.h"

enum { HTTP_CONNECTIONS_MAX = 64 };

struct ev_loop;
struct http;

struct http_setup {
    struct ev_loop *loop;
    const struct segment *segment;
    struct status_page *page; /* the front's own */
    const struct pulse *pulse;
    const struct history *history;
    uint32_t listeners; /* at INHERIT_FD_HTTP, already listening; may be 0 */
};

/* NULL if it cannot start; the log says why. config stays the caller's and must live on. */
struct http *http_create(const struct http_setup *setup, const struct config *config);
void http_configure(struct http *http, const struct config *config);
void http_destroy(struct http **http);

#endif
