/* snapshot.c - SAVE, BGSAVE and the save points: dump.rdb.
 *
 *   wish -> (scheduler) -> granted -> fork -> child writes and renames -> dirty goes down
 *
 * A failed snapshot is tried again, not before five seconds; meanwhile stop-writes-on-bgsave-error
 * closes the shard for writes. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <inttypes.h>
#include <stdio.h>

enum { RETRY_SECONDS = 5 };

static void note_good(struct persist *p, uint64_t started_us) {
    struct snapshots *s = &p->snapshots;
    s->last_good_s = persist_now_s();
    s->last_us = clock_mono_us() - started_us;
    s->count++;
    if (!s->last_ok && p->aof.trouble == AOF_FINE)
        status_set_text(p->status->note, "%s", "");
    s->last_ok = true;
    log_snapshot_is_good(p);
}

static void note_bad(struct persist *p, const char *why) {
    p->snapshots.last_ok = false;
    if (p->aof.trouble == AOF_FINE)
        status_set_text(p->status->note, "the last snapshot failed: %s", why);
}

/* What SAVE has answered is not to be taken back by a log that knows less: one that ends is put out of
 * use before, one that is on gets synced. */
static int settle_log(struct persist *p, char *error_r, size_t error_bytes) {
    if (p->log.state == LOG_ENDING || p->rewrite.committing)
        background_drain(p->background);
    if (p->log.state == LOG_ENDING) {
        snprintf(error_r, error_bytes, "ERR The append-only log is being switched off, try again");
        return -1;
    }
    return 0;
}

int persist_save(struct persist *p, char *error_r, size_t error_bytes) {
    char text[PERSIST_TEXT_BYTES];
    if (p->turn.running == FORK_SNAPSHOT || p->turn.running == FORK_DISKLESS) {
        snprintf(error_r, error_bytes, "ERR Background save already in progress");
        return -1;
    }
    if (settle_log(p, error_r, error_bytes) != 0)
        return -1;
    uint64_t started_us = clock_mono_us();
    struct rdb_save_job job = persist_save_job(p, false);
    struct rdb_saved saved;
    if (rdb_save_file(p->dir, p->config->dbfilename, &job, &saved, text, sizeof text) != 0) {
        log_warning("Snapshot: %s", text);
        snprintf(error_r, error_bytes, "ERR %s", text);
        note_bad(p, text);
        return -1;
    }
    note_good(p, started_us);
    p->snapshots.dirty = 0;
    if (persist_log_is_truth(p) && aof_finish(&p->aof, text, sizeof text) != 0) {
        snprintf(error_r, error_bytes, "ERR %s", text);
        return -1;
    }
    log_notice("DB saved on disk: %" PRIu64 " keys, %" PRIu64 " bytes", saved.keys, saved.bytes);
    return 0;
}

static void tell_end(struct persist *p, enum snapshot_end how) {
    if (p->hooks.snapshot_ended != NULL)
        p->hooks.snapshot_ended(p->hooks.arg, how);
}

static void on_child_done(void *arg, bool ok) {
    struct persist *p = arg;
    struct snapshots *s = &p->snapshots;
    s->last_cow_bytes = p->child.cow_bytes;
    if (ok) {
        note_good(p, p->child.started_us);
        s->dirty -= s->dirty_at_fork < s->dirty ? s->dirty_at_fork : s->dirty;
        log_notice("Background saving terminated with success");
    } else {
        note_bad(p, p->child.error);
        s->last_us = clock_mono_us() - p->child.started_us;
        log_warning("Background saving error: %s", p->child.error);
    }
    persist_end_turn(p);
    tell_end(p, ok ? SNAPSHOT_GOOD : SNAPSHOT_FAILED);
}

void snapshot_granted(struct persist *p) {
    struct snapshots *s = &p->snapshots;
    char temp[64], text[PERSIST_TEXT_BYTES];
    snprintf(temp, sizeof temp, "temp-bg-%d.rdb", (int)getpid());
    struct snapshot_order order = {.job = persist_save_job(p, false),
                                   .dir = p->dir,
                                   .temp = temp,
                                   .final_name = p->config->dbfilename};
    s->dirty_at_fork = s->dirty;
    if (snapshot_child_start(&p->child, p->loop, &order, on_child_done, p, text, sizeof text) !=
        0) {
        log_warning("%s", text);
        note_bad(p, text);
        persist_end_turn(p);
        tell_end(p, SNAPSHOT_FAILED);
        return;
    }
    s->fork_us = p->child.fork_us;
    keyspace_set_child_alive(p->ks, true);
    if (p->hooks.snapshot_forked != NULL)
        p->hooks.snapshot_forked(p->hooks.arg);
    log_notice("Background saving started by pid %d", (int)p->child.pid);
}

static void want_snapshot(struct persist *p, enum fork_urgency urgency) {
    p->snapshots.scheduled = false;
    p->snapshots.last_try_s = persist_now_s();
    persist_want_fork(p, FORK_SNAPSHOT, urgency, "a snapshot");
}

enum persist_bgsave persist_bgsave(struct persist *p, bool schedule) {
    if (persist_snapshot_busy(p) || (p->snapshots.scheduled && p->log.state == LOG_ENDING))
        return BGSAVE_BUSY;
    if (persist_child_busy(p) && !schedule)
        return BGSAVE_BUSY_REWRITE;
    if (persist_child_busy(p)) {
        p->snapshots.scheduled = true;
        return BGSAVE_SCHEDULED;
    }
    if (p->log.state == LOG_ENDING)
        p->snapshots.scheduled = true; /* and is in progress, to whoever asks */
    else
        want_snapshot(p, FORK_ASKED);
    return BGSAVE_STARTED;
}

static bool save_point_reached(const struct persist *p) {
    const struct save_points *points = &p->config->save;
    const struct snapshots *s = &p->snapshots;
    int64_t now = persist_now_s(), since = now - s->last_good_s;
    if (!s->last_ok && now - s->last_try_s <= RETRY_SECONDS)
        return false;
    for (uint32_t i = 0; i < points->count; i++)
        if (s->dirty >= (uint64_t)points->point[i].changes && since > points->point[i].seconds) {
            log_notice("%" PRId64 " changes in %" PRId64 " seconds. Saving...",
                       points->point[i].changes, points->point[i].seconds);
            return true;
        }
    return false;
}

void snapshot_cron(struct persist *p) {
    if (persist_child_busy(p) || p->log.state == LOG_ENDING)
        return;
    if (p->snapshots.scheduled)
        want_snapshot(p, FORK_ASKED);
    else if (save_point_reached(p))
        want_snapshot(p, FORK_BY_ITSELF);
}

void snapshot_abort(struct persist *p) {
    if (p->turn.running != FORK_SNAPSHOT)
        return;
    snapshot_child_kill(&p->child);
    persist_end_turn(p);
    tell_end(p, SNAPSHOT_ABORTED);
}

void persist_flushed_all(struct persist *p) {
    char text[PERSIST_TEXT_BYTES];
    uint64_t dirty = p->snapshots.dirty;
    snapshot_abort(p);
    diskless_abort(p);
    if (p->config->save.count == 0)
        return;
    persist_save(p, text, sizeof text);
    p->snapshots.dirty = dirty; /* the flush itself is yet to be counted, as in Redis */
}
