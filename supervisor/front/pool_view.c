/* pool_view.c - load of the workers, and who gets the next client. */
#include "supervisor/front/pool_view.h"

void pool_view_init(struct pool_view *view, const struct segment *segment,
                    struct status_page *page) {
    memset(view, 0, sizeof(*view));
    view->segment = segment;
    view->page = page;
    view->workers = segment->workers;
    for (uint32_t i = 0; i < view->workers; i++)
        view->worker[i].received = status_get(segment_status(segment, i), METRIC_clients_received);
}

void pool_view_address_add(struct pool_view *view, uint32_t address_class) {
    if (address_class >= ADDRESS_CLASSES)
        return;
    _Atomic uint16_t *count = &view->page->clients_by_address[address_class];
    uint16_t now = atomic_load_explicit(count, memory_order_relaxed);
    if (now < UINT16_MAX)
        atomic_store_explicit(count, now + 1, memory_order_relaxed);
}

void pool_view_address_drop(struct pool_view *view, uint32_t address_class) {
    if (address_class >= ADDRESS_CLASSES)
        return;
    _Atomic uint16_t *count = &view->page->clients_by_address[address_class];
    uint16_t now = atomic_load_explicit(count, memory_order_relaxed);
    if (now > 0)
        atomic_store_explicit(count, now - 1, memory_order_relaxed);
}

static void flights_land(struct pool_view *view, struct pool_worker *worker, uint64_t count) {
    for (; count > 0 && worker->flights > 0; count--) {
        pool_view_address_drop(view, worker->flight_class[worker->flight_head]);
        worker->flight_head = (worker->flight_head + 1) % FLIGHTS_MAX;
        worker->flights--;
    }
}

bool pool_view_refresh(struct pool_view *view) {
    bool any_landed = false;
    for (uint32_t i = 0; i < view->workers; i++) {
        struct pool_worker *worker = &view->worker[i];
        const struct status_page *page = segment_status(view->segment, i);
        uint64_t received = status_get(page, METRIC_clients_received);
        /* A new generation counts from nothing. */
        uint64_t landed = received >= worker->received ? received - worker->received : received;
        worker->received = received;
        any_landed |= landed > 0 && worker->flights > 0;
        flights_land(view, worker, landed);
        worker->clients = status_get(page, METRIC_connected_clients);
        worker->up = atomic_load_explicit(&page->state, memory_order_acquire) == CHILD_UP;
        worker->full = false;
    }
    return any_landed;
}

void pool_view_handed(struct pool_view *view, uint32_t index, uint32_t address_class) {
    struct pool_worker *worker = &view->worker[index];
    if (worker->flights == FLIGHTS_MAX)
        flights_land(view, worker, 1);
    uint32_t at = (worker->flight_head + worker->flights) % FLIGHTS_MAX;
    worker->flight_class[at] =
        (uint16_t)(address_class < ADDRESS_NONE ? address_class : ADDRESS_NONE);
    worker->flights++;
    pool_view_address_add(view, address_class);
}

void pool_view_full(struct pool_view *view, uint32_t worker) {
    view->worker[worker].full = true;
}

void pool_view_queue_empty(struct pool_view *view, uint32_t worker) {
    flights_land(view, &view->worker[worker], FLIGHTS_MAX);
}

uint32_t pool_view_least_loaded(struct pool_view *view) {
    uint32_t best = POOL_NOBODY;
    uint64_t best_load = UINT64_MAX;
    for (uint32_t n = 0; n < view->workers; n++) {
        uint32_t i = (view->turn + n) % view->workers;
        uint64_t load = view->worker[i].clients + view->worker[i].flights;
        if (pool_view_takes(view, i) && load < best_load) {
            best = i;
            best_load = load;
        }
    }
    if (best != POOL_NOBODY)
        view->turn = (best + 1) % view->workers;
    return best;
}

uint64_t pool_view_clients(const struct pool_view *view) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < view->workers; i++)
        sum += view->worker[i].clients + view->worker[i].flights;
    return sum;
}

uint32_t pool_view_of_address(const struct pool_view *view, uint32_t address_class) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < view->workers + 2; i++)
        sum += atomic_load_explicit(
            &segment_status(view->segment, i)->clients_by_address[address_class],
            memory_order_relaxed);
    return sum;
}
