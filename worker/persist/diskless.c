/* diskless.c - a snapshot for replicas that goes to no file: the child writes it into a pipe.
 *
 *   persist_diskless -> (scheduler) -> granted -> fork -> child --pipe--> hooks.diskless_forked(fd)
 *
 * The child is as fast as whoever reads the pipe. It holds its turn meanwhile, as any fork does; only a log
 * that must be made afresh does not wait for it. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIPE_BYTES = 1024 * 1024 }; /* if the kernel lets us: fewer turns for the same bytes */

static void tell_end(struct persist *p, enum snapshot_end how) {
    if (p->hooks.diskless_ended != NULL)
        p->hooks.diskless_ended(p->hooks.arg, how);
}

static void on_child_done(void *arg, bool ok) {
    struct persist *p = arg;
    p->snapshots.last_cow_bytes = p->child.cow_bytes;
    p->snapshots.last_us = clock_mono_us() - p->child.started_us;
    if (ok)
        log_notice("Background RDB transfer terminated with success");
    else
        log_warning("Background RDB transfer error: %s", p->child.error);
    persist_end_turn(p);
    tell_end(p, ok ? SNAPSHOT_GOOD : SNAPSHOT_FAILED);
}

/* Only our end of the pipe may not block. */
static int make_pipe(int ends[2], char *error_r, size_t error_bytes) {
    if (pipe2(ends, O_CLOEXEC) == 0) {
        (void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES);
        if (fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
            return 0;
        close(ends[0]);
        close(ends[1]);
    }
    snprintf(error_r, error_bytes, "Can't send a snapshot: pipe: %s", strerror(errno));
    return -1;
}

/* Returns what gives the snapshot, or -1 with a text. */
static int start(struct persist *p, char *error_r, size_t error_bytes) {
    int ends[2];
    if (make_pipe(ends, error_r, error_bytes) != 0)
        return -1;
    struct snapshot_order order = {
        .job = persist_save_job(p, false), .dir = p->dir, .pipe = &ends[1]};
    int result =
        snapshot_child_start(&p->child, p->loop, &order, on_child_done, p, error_r, error_bytes);
    close(ends[1]);
    if (result == 0)
        return ends[0];
    close(ends[0]);
    return -1;
}

void diskless_granted(struct persist *p) {
    char text[PERSIST_TEXT_BYTES];
    int fd = start(p, text, sizeof text);
    if (fd < 0) {
        log_warning("%s", text);
        persist_end_turn(p);
        tell_end(p, SNAPSHOT_FAILED);
        return;
    }
    p->snapshots.fork_us = p->child.fork_us;
    keyspace_set_child_alive(p->ks, true);
    log_notice("Background RDB transfer started by pid %d", (int)p->child.pid);
    if (p->hooks.diskless_forked != NULL)
        p->hooks.diskless_forked(p->hooks.arg, fd);
    else
        close(fd);
}

void persist_diskless(struct persist *p) {
    if (!persist_child_busy(p))
        persist_want_fork(p, FORK_DISKLESS, FORK_ASKED, "a snapshot for replicas");
}

void persist_diskless_end(struct persist *p) {
    persist_withdraw_wish(p, FORK_DISKLESS);
    if (p->turn.running != FORK_DISKLESS)
        return;
    snapshot_child_kill(&p->child);
    persist_end_turn(p);
}

void diskless_abort(struct persist *p) {
    bool running = p->turn.running == FORK_DISKLESS;
    persist_diskless_end(p);
    if (running)
        tell_end(p, SNAPSHOT_ABORTED);
}
