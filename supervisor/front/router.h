/* router.h - from listen queue to worker: accept, look at the first key, hand the socket over.
 *
 *   accept --- first key there ------------------------------> hand to the slot's owner
 *      |------ no key, TLS, odd -----------------------------> hand to the least loaded
 *      '-- nothing yet -> waiting (first-command-wait) --'
 *                nobody takes it -> stalled (relay-wait) ----> hand, or error and close
 *
 * Nothing is read but with MSG_PEEK. A limit reached costs the client an error line as Redis has
 * it; running out of descriptors pauses accepting. Never blocks. */
#ifndef REMUDA_ROUTER_H
#define REMUDA_ROUTER_H
#include "config/config.h"
#include "shared/ipc/segment.h"

struct ev_loop;
struct router;

struct router_setup {
    struct ev_loop *loop;
    const struct segment *segment;
    struct status_page *page; /* the front's own */
    uint32_t listeners;       /* at INHERIT_FD_LISTEN, already listening */
    uint32_t waiting_max;     /* sockets it may keep open at once, from the descriptor limit */
};

struct router *router_create(const struct router_setup *setup, const struct config *config);
/* Take over new values of LIVE options; config stays the caller's and must live on. */
void router_configure(struct router *router, const struct config *config);
/* A worker came up: those that wait for one go on. */
void router_peer_up(struct router *router);
/* A few times a second: retry, correct the estimates. */
void router_tick(struct router *router);
/* Close the listeners, hand over or refuse every socket it keeps, and free. */
void router_destroy(struct router **router);

#endif
