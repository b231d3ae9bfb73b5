/* aside.c - a snapshot that is one shard's part of a consistent cut: forked on the spot, while all shards are
 * locked, into a file of whoever puts the parts together.
 *
 * No wish goes to the scheduler: who locks the shards has a turn for all of them. If that turn is lost, a child
 * that got one of its own goes first, and the cut is over. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <stdio.h>

static void forget(struct persist *p) {
    p->turn.running = FORK_NOTHING;
    keyspace_set_child_alive(p->ks, false);
}

static void tell_end(struct persist *p, enum snapshot_end how) {
    if (p->hooks.aside_ended != NULL)
        p->hooks.aside_ended(p->hooks.arg, how);
}

static void on_child_done(void *arg, bool ok) {
    struct persist *p = arg;
    p->snapshots.last_cow_bytes = p->child.cow_bytes;
    p->snapshots.last_us = clock_mono_us() - p->child.started_us;
    if (!ok)
        log_warning("This shard's part of a merged snapshot: %s", p->child.error);
    forget(p);
    tell_end(p, ok ? SNAPSHOT_GOOD : SNAPSHOT_FAILED);
}

int persist_aside(struct persist *p, const char *dir, const char *name, char *error_r,
                  size_t error_bytes) {
    persist_aside_end(p);
    if (p->turn.running != FORK_NOTHING) {
        snprintf(error_r, error_bytes, "another child of it is at work");
        return -1;
    }
    struct snapshot_order order = {
        .job = persist_save_job(p, false), .dir = dir, .temp = name, .scratch = true};
    if (snapshot_child_start(&p->child, p->loop, &order, on_child_done, p, error_r, error_bytes) !=
        0)
        return -1;
    p->turn.running = FORK_ASIDE;
    p->snapshots.fork_us = p->child.fork_us;
    keyspace_set_child_alive(p->ks, true);
    return 0;
}

void persist_aside_end(struct persist *p) {
    if (p->turn.running != FORK_ASIDE)
        return;
    snapshot_child_kill(&p->child);
    forget(p);
}

void aside_abort(struct persist *p) {
    bool running = p->turn.running == FORK_ASIDE;
    persist_aside_end(p);
    if (running)
        tell_end(p, SNAPSHOT_ABORTED);
}
