/* pool_view.h - what the front believes about the workers' load while it deals out clients.
 *
 * Status pages lag behind: a socket handed over a moment ago is not in connected_clients yet. The
 * view remembers those in flight, in order, and takes them off as the worker's clients_received
 * moves on. It is an estimate: sockets that workers give each other count as received too. */
#ifndef REMUDA_POOL_VIEW_H
#define REMUDA_POOL_VIEW_H
#include "shared/ipc/segment.h"

enum { POOL_NOBODY = UINT32_MAX, FLIGHTS_MAX = 1024, ADDRESS_NONE = ADDRESS_CLASSES };

struct pool_worker {
    bool up;
    bool full; /* its hand-over queue took no more in this turn */
    uint64_t clients, received;
    uint32_t flights, flight_head;
    uint16_t flight_class[FLIGHTS_MAX]; /* address classes of those in flight, a ring */
};

struct pool_view {
    const struct segment *segment;
    struct status_page *page; /* the front's: clients_by_address of those not with a worker yet */
    uint32_t workers, turn;
    struct pool_worker worker[SHARD_MAX];
};

void pool_view_init(struct pool_view *view, const struct segment *segment,
                    struct status_page *page);
/* Read the pages again; once a turn of the loop is enough. True if sockets in flight have landed:
 * until then they may have been counted twice. */
bool pool_view_refresh(struct pool_view *view);
/* A socket was handed to the worker / its queue is full. Class: ADDRESS_NONE if it has none. */
void pool_view_handed(struct pool_view *view, uint32_t worker, uint32_t address_class);
void pool_view_full(struct pool_view *view, uint32_t worker);
/* Nothing is left in the worker's queue: whatever is still in flight was lost with a process. */
void pool_view_queue_empty(struct pool_view *view, uint32_t worker);
/* The worker that is up, not full, and has the fewest clients; ties take turns. Or POOL_NOBODY. */
uint32_t pool_view_least_loaded(struct pool_view *view);
static inline bool pool_view_takes(const struct pool_view *view, uint32_t worker) {
    return worker < view->workers && view->worker[worker].up && !view->worker[worker].full;
}
/* Clients of all workers and those in flight. */
uint64_t pool_view_clients(const struct pool_view *view);
/* Connections of one address class over all pages. */
uint32_t pool_view_of_address(const struct pool_view *view, uint32_t address_class);
/* The front keeps a socket of this class / no longer does. */
void pool_view_address_add(struct pool_view *view, uint32_t address_class);
void pool_view_address_drop(struct pool_view *view, uint32_t address_class);

#endif
