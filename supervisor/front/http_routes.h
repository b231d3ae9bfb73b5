/* http_routes.h - what each path answers: one table, no sockets. */
#ifndef REMUDA_HTTP_ROUTES_H
#define REMUDA_HTTP_ROUTES_H
#include "shared/base/buf.h"
#include "supervisor/front/status_view.h"

struct http_answer {
    unsigned status;   /* HTTP status code */
    const char *type;  /* Content-Type */
    const char *nonce; /* of the page's inline style and script; "" for what is no page */
    struct buf body;   /* the caller's to free */
};

/* Fills the answer for GET of this path; 404 for what is in no row. answer->nonce is the caller's
 * random text for this answer when it calls; it is cleared if the answer does not use it. */
void http_route(const struct status_view *view, const char *path, struct http_answer *answer);
/* A short plain text. */
void http_plain(struct http_answer *answer, unsigned status, const char *text);

#endif
