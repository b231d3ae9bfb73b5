/* worker_stop.c - the two ways a worker ends: on order, and when its supervisor is gone. */
#include "worker/worker.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/ipc/inherit.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { DRAIN_MS = 500 }; /* for clients that do not read what they are owed */

static bool replicas_have_it(struct worker *w) {
    bool own = primary_drained(w->primary);
    return (w->feed == NULL || feed_drained(w->feed)) && own;
}

/* Everything acknowledged is on disk now: let the replies go that waited for it, and the end of the stream. */
static void drain(struct worker *w, uint64_t replicas_ms) {
    uint64_t began_ms = clock_mono_ms(), passed_ms = 0;
    bool clients = true, replicas = true;
    router_synced(w->router);
    do {
        clients_synced(w->clients);
        clients_turn_end(w->clients);
        router_turn_end(w->router);
        clients = !clients_drained(w->clients) && passed_ms < DRAIN_MS;
        replicas = !replicas_have_it(w) && passed_ms < replicas_ms;
        if (clients || replicas)
            poll(NULL, 0, 5);
        worker_heartbeat(w);
        passed_ms = clock_mono_ms() - began_ms;
    } while (clients || replicas);
}

void worker_stop(struct worker *w, int save) {
    char error[512];
    if (w->env.loading || follow_replaces(w->follow))
        _exit(EXIT_ORDERLY); /* nothing was taken in, so there is nothing to keep */
    clients_close_listeners(w->clients);
    worker_set_state(w, CHILD_STOPPING);
    if (follow_is_settled(w->follow))
        primary_seal(w->primary);
    worker_send(w);
    if (persist_stop(w->persist, save, error, sizeof(error)) != 0) {
        log_warning("Cannot stop: %s", error);
        worker_set_state(w, CHILD_UP);
        control_report(w, CONTROL_REPORT_STOP_REFUSED, 0, 0, bytes_of_text(error));
        clients_reopen(w->clients);
        return;
    }
    struct rdb_origin own;
    if (primary_origin(w->primary, &own))
        follow_seal(w->follow, &own);
    /* From here on no command is run: what is not in the files now was never acknowledged. */
    drain(w, (uint64_t)w->config->shutdown_timeout * 1000);
    log_notice("Stopped");
    exit(EXIT_ORDERLY);
}

_Noreturn void worker_abandon(struct worker *w) {
    log_warning("The supervisor is gone: finishing writes and leaving");
    if (!w->env.loading && !follow_replaces(w->follow)) {
        primary_mark(w->primary);
        persist_abandon(w->persist);
        primary_turn_end(w->primary);
        drain(w, DRAIN_MS);
    }
    _exit(EXIT_ORDERLY);
}
