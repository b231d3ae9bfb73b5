/* aof_sync.c - when the log is synced, and on which thread.
 *
 * Group commit: at most one fdatasync is in flight; the next covers all that was written meanwhile.
 * Those whose replies it lets go are back with their next commands a moment later. If the next sync
 * began at once, they would just miss it and wait for two; so it waits, a fraction of what a sync
 * takes, until as many commands have come as wait or have just been answered:
 *
 *     |---- sync 1 ----|gather|---- sync 2 ----|gather|
 *                      '-> replies -> commands ^
 *
 * A disk that has synced quickly for some time is synced on the loop's thread, which saves waking two
 * threads; not while a child writes beside it. A failed fdatasync is never repeated. */
#include "worker/persist/aof_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    EVERYSEC_US = 900000,   /* looked at ten times a second: no byte waits longer than one */
    SYNC_LATE_US = 2000000, /* a sync that takes longer counts as delayed, as in Redis */
    QUICK_US = 250,
    QUICK_IN_A_ROW = 16,
    GATHER_PART = 4, /* of the time of a sync */
    GATHER_MAX_US = 2000
};

int (*aof_fdatasync)(int fd) = fdatasync;

void aof_set_synced(struct aof *aof, uint64_t offset) {
    if (offset <= aof->synced)
        return;
    aof->synced = offset;
    aof->unsynced_since_us =
        aof->uncovered_since_us != 0 ? aof->uncovered_since_us : aof->pending_since_us;
    aof->uncovered_since_us = 0;
    aof->synced_hook(aof->arg);
}

static bool sync_is_due(const struct aof *aof) {
    return aof->config->appendfsync == APPENDFSYNC_ALWAYS || aof->synced < aof->owed_offset;
}

/* ---- the group ---- */
/* Quick to believe that the disk is slow, slow to believe that it is fast. */
static void note_duration(struct sync_group *g, uint64_t took_us) {
    g->quick = took_us <= QUICK_US ? g->quick + 1 : 0;
    if (took_us > g->typical_us)
        g->typical_us = (g->typical_us + took_us + 1) / 2;
    else
        g->typical_us -= (g->typical_us - took_us) / 16;
}

static void group_begin(struct aof *aof, uint64_t now_us) {
    struct sync_group *g = &aof->group;
    uint64_t waiting = aof->commands - g->covered;
    uint64_t gather_us = g->typical_us / GATHER_PART;
    g->wanted = (g->last + waiting) * 7 / 8;
    g->until_us = now_us + (gather_us < GATHER_MAX_US ? gather_us : GATHER_MAX_US);
}

static void group_close(struct aof *aof) {
    struct sync_group *g = &aof->group;
    g->last = aof->commands - g->covered;
    g->covered = aof->commands;
    g->waits = false;
}

static bool group_is_whole(struct aof *aof) {
    struct sync_group *g = &aof->group;
    if (aof->config->appendfsync != APPENDFSYNC_ALWAYS || g->timer.fd < 0 ||
        aof->commands - g->covered >= g->wanted)
        return true;
    uint64_t now_us = clock_mono_us();
    if (now_us >= g->until_us)
        return true;
    if (g->waits)
        return false;
    uint64_t left_us = g->until_us - now_us;
    struct itimerspec after = {.it_value = {.tv_sec = (time_t)(left_us / 1000000),
                                            .tv_nsec = (long)(left_us % 1000000) * 1000}};
    g->waits = timerfd_settime(g->timer.fd, 0, &after, NULL) == 0;
    return !g->waits;
}

/* ---- a sync ---- */
static void run_sync(struct background_job *job) {
    struct aof *aof = LIST_ENTRY(job, struct aof, sync_job);
    uint64_t before_us = clock_mono_us();
    if (aof_fdatasync(aof->sync_fd) != 0)
        aof->sync_errno = errno;
    aof->sync_took_us = clock_mono_us() - before_us;
}

static void sync_ended(struct aof *aof) {
    aof->syncing = false;
    if (aof->sync_errno != 0) {
        aof_set_trouble(aof, AOF_SYNC_FAILED, aof->sync_errno);
        return;
    }
    status_add(aof->status, METRIC_aof_fsyncs, 1);
    note_duration(&aof->group, aof->sync_took_us);
    group_begin(aof, clock_mono_us());
    aof_set_synced(aof, aof->sync_offset);
}

static bool may_sync(const struct aof *aof) {
    return !aof->syncing && !aof->held && aof->fd >= 0 && aof->trouble != AOF_SYNC_FAILED &&
           aof->written != aof->synced;
}

static void sync_begins(struct aof *aof) {
    aof->syncing = true;
    aof->delay_counted = false;
    aof->sync_fd = aof->fd;
    aof->sync_offset = aof->written;
    aof->uncovered_since_us = aof->pending_since_us;
    aof->last_sync_us = clock_mono_us();
    group_close(aof);
}

void aof_request_sync(struct aof *aof) {
    if (!may_sync(aof))
        return;
    sync_begins(aof);
    background_submit(aof->background, &aof->sync_job);
}

static void sync_if_due(struct aof *aof, bool child_alive) {
    if (!sync_is_due(aof) || !may_sync(aof) || !group_is_whole(aof))
        return;
    sync_begins(aof);
    /* A job of the thread may sync the same file, and only one of two hears of a failure. */
    if (child_alive || aof->group.quick < QUICK_IN_A_ROW || background_is_busy(aof->background)) {
        background_submit(aof->background, &aof->sync_job);
        return;
    }
    run_sync(&aof->sync_job);
    sync_ended(aof);
}

static void sync_done(struct background_job *job) {
    struct aof *aof = LIST_ENTRY(job, struct aof, sync_job);
    sync_ended(aof);
    sync_if_due(aof, true);
}

static void on_timer(struct ev_loop *loop, ev_io *io, int events) {
    struct aof *aof = io->data;
    uint64_t count;
    (void)!read(io->fd, &count, sizeof count);
    aof->group.waits = false; /* the turn's end finds that the time has come */
}

void aof_owe_sync(struct aof *aof) {
    aof->owed_offset = aof->executed;
    aof_request_sync(aof);
}

/* ---- turns ---- */
static void count_delay(struct aof *aof) {
    if (!aof->syncing || aof->delay_counted || aof->written == aof->sync_offset ||
        clock_mono_us() - aof->last_sync_us < SYNC_LATE_US)
        return;
    aof->delay_counted = true;
    status_add(aof->status, METRIC_aof_delayed_fsyncs, 1);
    log_notice("Asynchronous AOF fsync is taking too long (disk is busy?). The log is written on "
               "without waiting for it; this may slow down the server.");
}

void aof_sync_turn_end(struct aof *aof, bool child_alive) {
    sync_if_due(aof, child_alive);
}

void aof_sync_cron(struct aof *aof, bool child_alive) {
    sync_if_due(aof, child_alive);
    if (aof->config->appendfsync != APPENDFSYNC_EVERYSEC)
        return;
    count_delay(aof);
    bool quiet = child_alive && aof->config->no_appendfsync_on_rewrite;
    if (!quiet && aof->written > aof->synced && clock_mono_us() - aof->last_sync_us >= EVERYSEC_US)
        aof_request_sync(aof);
}

void aof_sync_init(struct aof *aof, struct ev_loop *loop) {
    struct sync_group *g = &aof->group;
    aof->sync_job = (struct background_job){.run = run_sync, .done = sync_done};
    g->loop = loop;
    ev_io_init(&g->timer, on_timer, timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK),
               EV_READ);
    g->timer.data = aof;
    if (g->timer.fd < 0)
        return; /* no groups: each sync begins when the last one ends */
    ev_io_start(loop, &g->timer);
    ev_unref(loop);
}

void aof_sync_close(struct aof *aof) {
    struct sync_group *g = &aof->group;
    if (g->timer.fd < 0)
        return;
    ev_ref(g->loop);
    ev_io_stop(g->loop, &g->timer);
    close(g->timer.fd);
    g->timer.fd = -1;
}
