/* aof_rewrite.c - a new base from memory, and the old files gone.
 *
 *   granted: the turn to rotate; write the last batch to incr n; fork; go
 *     child:  base b+1 (temporary name), synced             rotation (aof_rotate.h): incr n is safe, the
 *                                                           log goes on in n+1
 *   both good -> the turn to commit -> thread: check the temporary base; rename; sync the folder;
 *                publish {base b+1, incr n+1 .. , the old ones as history}: the commit; unlink those;
 *                publish without them
 *
 * The base holds exactly what is in the log up to the end of n, so that at any moment the published
 * files are whole. Others may rotate while the child writes: all increments from n+1 on stay.
 * Afresh, after a failed fsync: n is neither synced nor named again, n+1 is named by the commit only,
 * and the log is held until then. The first base of a log that begins: see aof_switch.c.
 * Fails by leaving the published files as they are; a rewrite that failed is asked for again later. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/panic.h"
#include "shared/base/publish.h"
#include "worker/persist/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRY_SECONDS = 60, AFRESH_RETRY_SECONDS = 2, FAILURES_BEFORE_PAUSE = 3 };

/* ---- steps on files ---- */
void rewrite_manifest_name(const struct config *config, char name[AOF_NAME_MAX + 32]) {
    snprintf(name, AOF_NAME_MAX + 32, "%s.manifest", config->appendfilename);
}

static void name_base(const struct persist *p, char name[AOF_NAME_MAX + 1], uint64_t seq) {
    snprintf(name, AOF_NAME_MAX + 1, "%s.%" PRIu64 ".base.rdb", p->config->appendfilename, seq);
}

/* Increments follow each other without a gap, so that one that is missing is found on load. */
uint64_t rewrite_next_incr(const struct persist *p, char name_r[AOF_NAME_MAX + 1]) {
    const struct aof_file *last = aof_manifest_last_incr(&p->manifest);
    uint64_t seq = last != NULL ? last->seq + 1 : aof_manifest_next_seq(&p->manifest, AOF_INCR);
    snprintf(name_r, AOF_NAME_MAX + 1, "%s.%" PRIu64 ".incr.aof", p->config->appendfilename, seq);
    return seq;
}

/* One left behind by an attempt that ended before or at its manifest is empty, and taken. */
int rewrite_create_incr(const char *dir, const char *name, char *error_r, size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == 0)
        return fd;
    snprintf(error_r, error_bytes, "cannot create %s: %s", path,
             fd < 0 ? strerror(errno) : "it has bytes, and no manifest names it");
    if (fd >= 0)
        close(fd);
    return -1;
}

int rewrite_publish_manifest(const char *dir, const char *manifest_name,
                             const struct aof_manifest *manifest, char *error_r,
                             size_t error_bytes) {
    struct buf text = {0};
    aof_manifest_format(manifest, &text);
    int result = publish(dir, manifest_name, buf_bytes(&text), error_r, error_bytes);
    buf_free(&text);
    return result;
}

int rewrite_drop_history(const char *dir, const char *manifest_name, struct aof_manifest *manifest,
                         char *error_r, size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    uint32_t before = manifest->count;
    for (uint32_t i = manifest->count; i-- > 0;) {
        if (manifest->files[i].type != AOF_HISTORY)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, manifest->files[i].name);
        if (discard_file(path) != 0 && errno != ENOENT)
            log_warning("Cannot delete %s: %s", path, strerror(errno));
        aof_manifest_remove(manifest, i);
    }
    if (manifest->count == before)
        return 0;
    return rewrite_publish_manifest(dir, manifest_name, manifest, error_r, error_bytes);
}

/* ---- the commit, on the thread ---- */
static void make_history(struct aof_manifest *m, uint64_t keep_from) {
    for (uint32_t i = 0; i < m->count; i++)
        if (m->files[i].type != AOF_INCR || m->files[i].seq < keep_from)
            m->files[i].type = AOF_HISTORY;
}

/* The log becomes the shard's truth with its manifest: until then dump.rdb was, and what that has got
 * must be on disk here too. */
static int sync_first_incr(struct rewrite *w) {
    if (!w->first)
        return 0;
    /* A sync of this file that failed while this job waited must not be repeated here. */
    int error = w->rotation.p->aof.sync_errno;
    if (error == 0 && aof_fdatasync(w->incr_fd) != 0)
        error = errno;
    if (error == 0)
        return 0;
    snprintf(w->error, sizeof w->error, "fdatasync: %s", strerror(error));
    return -1;
}

static int commit(struct rewrite *w) {
    char temp[PERSIST_PATH_BYTES], base[PERSIST_PATH_BYTES];
    snprintf(temp, sizeof temp, "%s/%s", w->dir, w->temp);
    snprintf(base, sizeof base, "%s/%s", w->dir, w->base_name);
    if (rdb_check_trailer(temp, &w->saved, w->error, sizeof w->error) != 0)
        return -1;
    if (rename(temp, base) != 0) {
        snprintf(w->error, sizeof w->error, "rename to %s: %s", w->base_name, strerror(errno));
        return -1;
    }
    if (publish_sync_dir(w->dir, w->error, sizeof w->error) != 0)
        return -1;
    if (sync_first_incr(w) != 0 || rewrite_publish_manifest(w->dir, w->manifest_name, &w->next,
                                                            w->error, sizeof w->error) != 0)
        return -1;
    return w->home == NULL ? 0 : log_move_home(w->dir, w->home, w->error, sizeof w->error);
}

static void run_commit(struct background_job *job) {
    struct rewrite *w = LIST_ENTRY(job, struct rewrite, commit_job);
    char text[PERSIST_TEXT_BYTES];
    w->commit_ok = commit(w) == 0;
    if (w->commit_ok && !w->first &&
        rewrite_drop_history(w->dir, w->manifest_name, &w->next, text, sizeof text) != 0)
        log_warning("AOF rewrite: the old files are not all gone: %s", text);
}

/* ---- the end, on the loop ---- */
static void release(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    aof_manifest_free(&w->next);
    w->active = w->committing = w->broken = false;
    log_turn_end(p, &w->commit_turn);
    persist_end_turn(p);
}

/* Afresh, the new increment is empty. It stays: its manifest may be on the disk although the last step
 * of the publication failed. */
static void drop_new_file(struct persist *p) {
    struct rotation *r = &p->rewrite.rotation;
    if (r->new_fd < 0)
        return;
    p->aof.held = false;
    close(r->new_fd);
    r->new_fd = -1;
}

/* For the same reason no later base may get the name of this one; the next commit deletes it. */
static void remember_base(struct persist *p) {
    const struct rewrite *w = &p->rewrite;
    if (w->committing && p->manifest.count < AOF_FILES_MAX - 8)
        aof_manifest_add(&p->manifest, AOF_HISTORY, w->base_seq, w->base_name);
}

static void failed(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    char temp[PERSIST_PATH_BYTES];
    drop_new_file(p);
    remember_base(p);
    snprintf(temp, sizeof temp, "%s/%s", p->aof_dir, w->temp);
    discard_file(temp);
    w->last_ok = false;
    w->failures++;
    w->last_failed_s = persist_now_s();
    w->last_us = clock_mono_us() - w->started_us;
    log_warning("Background AOF rewrite failed: %s", w->error);
    if (p->aof.trouble == AOF_FINE)
        status_set_text(p->status->note, "the last rewrite of the log failed: %s", w->error);
    release(p);
    if (w->first)
        log_first_base_done(p, w->error);
}

static void begin_commit(struct log_turn *turn) {
    struct rewrite *w = LIST_ENTRY(turn, struct rewrite, commit_turn);
    struct persist *p = w->rotation.p;
    if (w->first && aof_write_pending(&p->aof) != 0) {
        snprintf(w->error, sizeof w->error, "the new log cannot be written: %s",
                 strerror(p->aof.trouble_errno));
        failed(p);
        return;
    }
    w->committing = true;
    w->incr_fd = p->aof.fd;
    w->synced_offset = p->aof.written;
    aof_manifest_free(&w->next);
    aof_manifest_copy(&w->next, &p->manifest);
    if (w->rotation.kind != ROTATE_ONWARD)
        aof_manifest_add(&w->next, AOF_INCR, w->rotation.seq, w->rotation.name);
    make_history(&w->next, w->rotation.seq);
    aof_manifest_add(&w->next, AOF_BASE, w->base_seq, w->base_name);
    background_submit(p->background, &w->commit_job);
}

/* Both halves have ended, well or not? */
static void try_to_commit(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    if (snapshot_child_alive(&p->child) || w->rotation.going)
        return;
    if (w->broken)
        failed(p);
    else
        log_turn_ask(p, &w->commit_turn);
}

static void rotation_done(struct rotation *r, bool ok) {
    struct persist *p = r->p;
    struct rewrite *w = &p->rewrite;
    if (!ok) {
        if (!w->broken)
            snprintf(w->error, sizeof w->error, "%s", r->error);
        w->broken = true;
        snapshot_child_kill(&p->child);
    }
    snapshot_child_go(&p->child);
    try_to_commit(p);
}

static void child_done(void *arg, bool ok) {
    struct persist *p = arg;
    struct rewrite *w = &p->rewrite;
    w->last_cow_bytes = p->child.cow_bytes;
    w->saved = p->child.saved;
    if (!ok) {
        if (!w->broken)
            snprintf(w->error, sizeof w->error, "%s", p->child.error);
        w->broken = true;
    }
    try_to_commit(p);
}

static void heal(struct persist *p) {
    struct aof *aof = &p->aof;
    uint64_t offset = p->rewrite.rotation.offset;
    rotation_go_on(&p->rewrite.rotation);
    aof->written = offset;
    aof->sync_errno = 0;
    aof_set_trouble(aof, AOF_FINE, 0);
    aof_set_synced(aof, offset);
}

static void note_good(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    p->aof.total_bytes = w->saved.bytes + (p->aof.total_bytes - w->total_at_fork);
    p->aof.base_bytes = w->saved.bytes;
    w->size_at_last = p->aof.total_bytes;
    if (!w->last_ok && p->snapshots.last_ok && p->aof.trouble == AOF_FINE)
        status_set_text(p->status->note, "%s", "");
    w->last_ok = true;
    w->failures = 0;
    w->count++;
    w->last_us = clock_mono_us() - w->started_us;
    log_notice("Background AOF rewrite finished successfully: base %s of %" PRIu64 " bytes",
               w->base_name, w->saved.bytes);
}

static void commit_done(struct background_job *job) {
    struct rewrite *w = LIST_ENTRY(job, struct rewrite, commit_job);
    struct persist *p = w->rotation.p;
    if (!w->commit_ok) {
        failed(p);
        return;
    }
    aof_manifest_free(&p->manifest);
    aof_manifest_copy(&p->manifest, &w->next);
    if (w->rotation.kind == ROTATE_AFRESH)
        heal(p);
    note_good(p);
    if (w->first)
        log_is_home(p); /* before the next has the turn: an end takes the folder's name */
    release(p);
    if (w->first) {
        aof_set_synced(&p->aof, w->synced_offset);
        log_first_base_done(p, NULL);
    }
}

/* ---- the start ---- */
static void prepare(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    w->active = true;
    w->error[0] = '\0';
    w->started_us = clock_mono_us();
    w->first = p->log.state == LOG_STARTING;
    w->dir = p->aof_dir;
    w->home = w->first ? p->log.home : NULL;
    snprintf(w->temp, sizeof w->temp, "temp-rewriteaof-%d.rdb", (int)getpid());
}

/* The log is written up to here and no other change of its files is under way: the child is to see
 * exactly this. */
static int fork_child(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    struct snapshot_order order = {
        .job = persist_save_job(p, true), .dir = p->aof_dir, .temp = w->temp, .waits = true};
    if (w->rotation.kind == ROTATE_ONWARD && aof_write_pending(&p->aof) != 0) {
        snprintf(w->error, sizeof w->error, "the log cannot be written: %s",
                 strerror(p->aof.trouble_errno));
        return -1;
    }
    if (snapshot_child_start(&p->child, p->loop, &order, child_done, p, w->error,
                             sizeof w->error) != 0)
        return -1;
    p->snapshots.fork_us = p->child.fork_us;
    keyspace_set_child_alive(p->ks, true);
    log_notice("Background append only file rewriting started by pid %d", (int)p->child.pid);
    return 0;
}

static void fork_and_rotate(struct rotation *r) {
    struct persist *p = r->p;
    struct rewrite *w = &p->rewrite;
    w->base_seq = aof_manifest_next_seq(&p->manifest, AOF_BASE);
    name_base(p, w->base_name, w->base_seq);
    if (fork_child(p) != 0) {
        rotation_withdraw(r);
        failed(p);
        return;
    }
    w->total_at_fork = p->aof.total_bytes;
    if (w->first)
        log_take(p);
    if (rotation_go(r) == 0)
        return;
    snapshot_child_kill(&p->child);
    snprintf(w->error, sizeof w->error, "%s", r->error);
    failed(p);
}

void rewrite_init(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    w->last_ok = true;
    rewrite_manifest_name(p->config, w->manifest_name);
    rotation_init(&w->rotation, p, fork_and_rotate, rotation_done);
    w->commit_turn = (struct log_turn){.begin = begin_commit};
    w->commit_job = (struct background_job){.run = run_commit, .done = commit_done};
}

void rewrite_granted(struct persist *p) {
    prepare(p);
    rotation_ask(&p->rewrite.rotation, p->rewrite.first                    ? ROTATE_FIRST
                                       : p->aof.trouble == AOF_SYNC_FAILED ? ROTATE_AFRESH
                                                                           : ROTATE_ONWARD);
}

static void want_rewrite(struct persist *p, enum fork_urgency urgency, const char *what) {
    p->rewrite.scheduled = false;
    persist_want_fork(p, FORK_REWRITE, urgency, what);
}

enum persist_rewrite persist_bgrewriteaof(struct persist *p) {
    if (p->turn.running == FORK_REWRITE || p->turn.wish == FORK_REWRITE)
        return REWRITE_BUSY;
    if (p->log.state != LOG_ON || p->log.temporary) {
        log_warning("BGREWRITEAOF: there is no append-only log, because appendonly is no");
        return REWRITE_FAILED;
    }
    if (persist_child_busy(p)) {
        p->rewrite.scheduled = true;
        return REWRITE_SCHEDULED;
    }
    want_rewrite(p, FORK_ASKED, "a rewrite of the log");
    return REWRITE_STARTED;
}

static bool grown_enough(const struct persist *p) {
    const struct config *config = p->config;
    const struct rewrite *w = &p->rewrite;
    if (config->auto_aof_rewrite_percentage == 0 ||
        p->aof.total_bytes <= (uint64_t)config->auto_aof_rewrite_min_size)
        return false;
    if (w->failures >= FAILURES_BEFORE_PAUSE && persist_now_s() - w->last_failed_s < RETRY_SECONDS)
        return false;
    uint64_t base = w->size_at_last > 0 ? w->size_at_last : 1;
    double growth = (double)p->aof.total_bytes * 100.0 / (double)base - 100.0;
    return growth >= (double)config->auto_aof_rewrite_percentage;
}

/* No write is taken until the log is afresh: a snapshot that still waits for its turn lets it go first, one
 * that is only as fast as its replicas, or that keeps the turns of all shards, is given up. */
static void rescue(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    if (w->failures > 0 && persist_now_s() - w->last_failed_s < AFRESH_RETRY_SECONDS)
        return;
    if (p->turn.wish == FORK_SNAPSHOT) {
        persist_withdraw_wish(p, FORK_SNAPSHOT);
        p->snapshots.scheduled = true;
    }
    diskless_abort(p);
    aside_abort(p);
    if (!persist_child_busy(p))
        want_rewrite(p, FORK_RESCUE, "a new log after a failed sync");
}

void rewrite_cron(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    if (p->log.state == LOG_STARTING && !persist_child_busy(p))
        want_rewrite(p, FORK_ASKED, "the first base of a log");
    if (!persist_log_is_truth(p) || p->log.state != LOG_ON)
        return;
    if (p->aof.trouble == AOF_SYNC_FAILED)
        rescue(p);
    else if (persist_child_busy(p))
        return;
    else if (w->scheduled)
        want_rewrite(p, FORK_ASKED, "a rewrite of the log");
    else if (p->aof.trouble == AOF_FINE && grown_enough(p))
        want_rewrite(p, FORK_BY_ITSELF, "a rewrite of the log");
}

void rewrite_cancel(struct persist *p, const char *why) {
    struct rewrite *w = &p->rewrite;
    if (p->turn.running != FORK_REWRITE || w->committing)
        return;
    rotation_withdraw(&w->rotation);
    log_turn_end(p, &w->commit_turn);
    snapshot_child_kill(&p->child);
    w->broken = true;
    snprintf(w->error, sizeof w->error, "%s", why);
    if (!w->rotation.going)
        failed(p);
}

/* For stopping: the thread's jobs end first, then nothing of the rewrite is left but what it had
 * already published. */
void rewrite_abort(struct persist *p) {
    rewrite_cancel(p, "aborted");
    background_drain(p->background);
    ASSERT(!p->rewrite.active);
}

/* ---- the first log of a shard ---- */
int rewrite_first(struct persist *p, char *error_r, size_t error_bytes) {
    struct rdb_save_job job = persist_save_job(p, true);
    char base[AOF_NAME_MAX + 1], incr[AOF_NAME_MAX + 1];
    struct rdb_saved saved;
    name_base(p, base, 1);
    uint64_t seq = rewrite_next_incr(p, incr);
    if (rdb_save_file(p->aof_dir, base, &job, &saved, error_r, error_bytes) != 0)
        return -1;
    int fd = rewrite_create_incr(p->aof_dir, incr, error_r, error_bytes);
    if (fd < 0)
        return -1;
    close(fd);
    if (publish_sync_dir(p->aof_dir, error_r, error_bytes) != 0)
        return -1;
    aof_manifest_add(&p->manifest, AOF_BASE, 1, base);
    aof_manifest_add(&p->manifest, AOF_INCR, seq, incr);
    p->aof.base_bytes = p->aof.total_bytes = saved.bytes;
    return rewrite_publish_manifest(p->aof_dir, p->rewrite.manifest_name, &p->manifest, error_r,
                                    error_bytes);
}
