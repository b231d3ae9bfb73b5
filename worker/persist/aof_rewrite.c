/* aof_rewrite.c - a new base from memory, and the old files gone.
 *
 *   granted: write the last batch to incr n; fork; hold the log
 *     child:  base b+1 (temporary name), synced             thread: sync incr n; create n+1; sync the
 *                                                           folder; publish {base b, incr .. n, n+1}
 *                                                           -> the log goes on in n+1
 *   both good -> thread: check the temporary base; rename; sync the folder; publish {base b+1,
 *                incr n+1, the old ones as history}: the commit; unlink those; publish without them
 *
 * The base holds exactly what is in the log up to the end of n, and n is on disk before n+1 gets its
 * first byte, so that at any moment the published files are whole. Afresh, after a failed fsync: n is
 * neither synced nor named again, n+1 is named by the commit only, and the log is held until then.
 * Fails by leaving the published files as they are; a rewrite that failed is asked for again later. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/panic.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILES_OF_AN_ATTEMPT = 2,
    RETRY_SECONDS = 60,
    AFRESH_RETRY_SECONDS = 2,
    FAILURES_BEFORE_PAUSE = 3
};

/* ---- steps on files ---- */
void rewrite_manifest_name(const struct config *config, char name[AOF_NAME_MAX + 32]) {
    snprintf(name, AOF_NAME_MAX + 32, "%s.manifest", config->appendfilename);
}

static void name_base(const struct persist *p, char name[AOF_NAME_MAX + 1], uint64_t seq) {
    snprintf(name, AOF_NAME_MAX + 1, "%s.%" PRIu64 ".base.rdb", p->config->appendfilename, seq);
}
static void name_incr(const struct persist *p, char name[AOF_NAME_MAX + 1], uint64_t seq) {
    snprintf(name, AOF_NAME_MAX + 1, "%s.%" PRIu64 ".incr.aof", p->config->appendfilename, seq);
}

/* Increments follow each other without a gap: one that is missing is found on load. */
static uint64_t next_incr_seq(const struct persist *p) {
    const struct aof_file *last = aof_manifest_last_incr(&p->manifest);
    return last != NULL ? last->seq + 1 : aof_manifest_next_seq(&p->manifest, AOF_INCR);
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
        if (unlink(path) != 0 && errno != ENOENT)
            log_warning("Cannot delete %s: %s", path, strerror(errno));
        aof_manifest_remove(manifest, i);
    }
    if (manifest->count == before)
        return 0;
    return rewrite_publish_manifest(dir, manifest_name, manifest, error_r, error_bytes);
}

/* ---- the thread's two jobs ---- */
static void run_files(struct background_job *job) {
    struct rewrite *w = LIST_ENTRY(job, struct rewrite, files_job);
    struct persist *p = LIST_ENTRY(w, struct persist, rewrite);
    w->job_errno = 0;
    /* A sync of this file that failed while this job waited must not be repeated here. */
    if (!w->afresh && (w->job_errno = p->aof.sync_errno) == 0 && aof_fdatasync(w->old_fd) != 0)
        w->job_errno = errno;
    if (w->job_errno != 0) {
        snprintf(w->error, sizeof w->error, "fdatasync: %s", strerror(w->job_errno));
        return;
    }
    w->new_fd = rewrite_create_incr(w->dir, w->incr_name, w->error, sizeof w->error);
    if (w->new_fd < 0)
        return;
    if (publish_sync_dir(w->dir, w->error, sizeof w->error) == 0 &&
        (w->afresh || rewrite_publish_manifest(w->dir, w->manifest_name, &w->next, w->error,
                                               sizeof w->error) == 0))
        return;
    close(w->new_fd);
    w->new_fd = -1;
}

static void make_history(struct aof_manifest *m, const char *keep) {
    for (uint32_t i = 0; i < m->count; i++)
        if (strcmp(m->files[i].name, keep) != 0)
            m->files[i].type = AOF_HISTORY;
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
    return rewrite_publish_manifest(w->dir, w->manifest_name, &w->next, w->error, sizeof w->error);
}

static void run_commit(struct background_job *job) {
    struct rewrite *w = LIST_ENTRY(job, struct rewrite, commit_job);
    char text[PERSIST_TEXT_BYTES];
    w->job_errno = commit(w) != 0;
    if (w->job_errno == 0 &&
        rewrite_drop_history(w->dir, w->manifest_name, &w->next, text, sizeof text) != 0)
        log_warning("AOF rewrite: the old files are not all gone: %s", text);
}

/* ---- the end, on the loop ---- */
static void release(struct rewrite *w) {
    aof_manifest_free(&w->next);
    w->active = w->files_pending = w->committing = w->broken = false;
}

/* Afresh, the new increment is empty. It stays: the manifest may be on the disk although the last step
 * of its publication failed. */
static void drop_new_file(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    p->aof.held = false;
    if (w->new_fd >= 0)
        close(w->new_fd);
    w->new_fd = -1;
}

/* For the same reason no other base may ever get the name of this one; the next commit deletes it. */
static void remember_base(struct persist *p) {
    const struct rewrite *w = &p->rewrite;
    if (w->committing)
        aof_manifest_add(&p->manifest, AOF_HISTORY, w->base_seq, w->base_name);
}

static void failed(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    char temp[PERSIST_PATH_BYTES];
    drop_new_file(p);
    remember_base(p);
    snprintf(temp, sizeof temp, "%s/%s", p->aof_dir, w->temp);
    unlink(temp);
    w->last_ok = false;
    w->failures++;
    w->last_failed_s = persist_now_s();
    w->last_seconds = (int64_t)((clock_mono_us() - w->started_us) / 1000000);
    log_warning("Background AOF rewrite failed: %s", w->error);
    release(w);
    persist_end_turn(p);
}

static void start_commit(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    w->committing = true;
    aof_manifest_free(&w->next);
    aof_manifest_copy(&w->next, &p->manifest);
    if (w->afresh)
        aof_manifest_add(&w->next, AOF_INCR, w->incr_seq, w->incr_name);
    make_history(&w->next, w->incr_name);
    aof_manifest_add(&w->next, AOF_BASE, w->base_seq, w->base_name);
    background_submit(p->background, &w->commit_job);
}

/* Both halves have ended, well or not? */
static void try_to_commit(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    if (snapshot_child_alive(&p->child) || w->files_pending)
        return;
    if (w->broken)
        failed(p);
    else
        start_commit(p);
}

/* Whatever the log gets from now on goes to the new increment. */
static void go_on_in_new_file(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    struct aof *aof = &p->aof;
    if (aof->fd >= 0)
        close(aof->fd);
    aof->fd = w->new_fd;
    w->new_fd = -1;
    aof->file_bytes = aof->crc = 0;
    aof->held = false;
}

static void files_done(struct background_job *job) {
    struct rewrite *w = LIST_ENTRY(job, struct rewrite, files_job);
    struct persist *p = LIST_ENTRY(w, struct persist, rewrite);
    w->files_pending = false;
    if (w->new_fd < 0) {
        w->broken = true;
        p->aof.held = false;
        if (w->job_errno != 0)
            aof_set_trouble(&p->aof, AOF_SYNC_FAILED, w->job_errno);
        snapshot_child_kill(&p->child);
        try_to_commit(p);
        return;
    }
    if (!w->afresh) {
        aof_manifest_free(&p->manifest);
        aof_manifest_copy(&p->manifest, &w->next);
        go_on_in_new_file(p);
        aof_set_synced(&p->aof, w->fork_offset);
    }
    try_to_commit(p);
}

static void child_done(void *arg, bool ok) {
    struct persist *p = arg;
    struct rewrite *w = &p->rewrite;
    w->last_cow_bytes = p->child.cow_bytes;
    w->saved = p->child.saved;
    if (!ok) {
        w->broken = true;
        snprintf(w->error, sizeof w->error, "%s", p->child.error);
    }
    try_to_commit(p);
}

static void heal(struct persist *p) {
    struct aof *aof = &p->aof;
    go_on_in_new_file(p);
    aof->written = p->rewrite.fork_offset;
    aof->sync_errno = 0;
    aof_set_trouble(aof, AOF_FINE, 0);
    aof_set_synced(aof, p->rewrite.fork_offset);
}

static void commit_done(struct background_job *job) {
    struct rewrite *w = LIST_ENTRY(job, struct rewrite, commit_job);
    struct persist *p = LIST_ENTRY(w, struct persist, rewrite);
    if (w->job_errno != 0) {
        failed(p);
        return;
    }
    aof_manifest_free(&p->manifest);
    aof_manifest_copy(&p->manifest, &w->next);
    if (w->afresh)
        heal(p);
    p->aof.base_bytes = w->saved.bytes;
    p->aof.total_bytes = w->saved.bytes + p->aof.file_bytes;
    w->size_at_last = p->aof.total_bytes;
    w->last_ok = true;
    w->failures = 0;
    w->count++;
    w->last_seconds = (int64_t)((clock_mono_us() - w->started_us) / 1000000);
    log_notice("Background AOF rewrite finished successfully: base %s of %" PRIu64 " bytes",
               w->base_name, w->saved.bytes);
    release(w);
    persist_end_turn(p);
}

/* ---- the start ---- */
void rewrite_init(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    w->last_ok = true;
    w->last_seconds = -1;
    w->new_fd = -1;
    w->dir = p->aof_dir;
    rewrite_manifest_name(p->config, w->manifest_name);
    w->files_job = (struct background_job){.run = run_files, .done = files_done};
    w->commit_job = (struct background_job){.run = run_commit, .done = commit_done};
}

/* What was executed and is not in the old file is in memory, so it will be in the base: the new
 * increment must not hold it a second time. */
static void cut_pending_at_fork(struct aof *aof) {
    buf_clear(&aof->pending);
    aof->pending_since_us = 0;
}

static void prepare(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    w->active = true;
    w->error[0] = '\0';
    w->started_us = clock_mono_us();
    w->afresh = p->aof.trouble == AOF_SYNC_FAILED;
    snprintf(w->temp, sizeof w->temp, "temp-rewriteaof-%d.rdb", (int)getpid());
    w->incr_seq = next_incr_seq(p);
    w->base_seq = aof_manifest_next_seq(&p->manifest, AOF_BASE);
    name_incr(p, w->incr_name, w->incr_seq);
    name_base(p, w->base_name, w->base_seq);
    aof_manifest_copy(&w->next, &p->manifest);
    aof_manifest_add(&w->next, AOF_INCR, w->incr_seq, w->incr_name);
    w->old_fd = p->aof.fd;
}

void rewrite_granted(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    prepare(p);
    if (p->manifest.count + FILES_OF_AN_ATTEMPT > AOF_FILES_MAX) {
        snprintf(w->error, sizeof w->error,
                 "%u files of the log are left of failed attempts: "
                 "no more until a restart",
                 p->manifest.count);
        failed(p);
        return;
    }
    if (!w->afresh && aof_write_pending(&p->aof) != 0) {
        snprintf(w->error, sizeof w->error, "the log cannot be written: %s",
                 strerror(p->aof.trouble_errno));
        failed(p);
        return;
    }
    struct snapshot_order order = {
        .job = persist_save_job(p, true), .dir = p->aof_dir, .temp = w->temp};
    if (snapshot_child_start(&p->child, p->loop, &order, child_done, p, w->error,
                             sizeof w->error) != 0) {
        failed(p);
        return;
    }
    if (w->afresh)
        cut_pending_at_fork(&p->aof);
    w->fork_offset = p->aof.executed;
    p->aof.held = p->aof.replies_held = true;
    w->files_pending = true;
    p->snapshots.fork_us = p->child.fork_us;
    keyspace_set_child_alive(p->ks, true);
    if (p->hooks.log_began != NULL)
        p->hooks.log_began(p->hooks.arg);
    background_submit(p->background, &w->files_job);
    log_notice("Background append only file rewriting started by pid %d", (int)p->child.pid);
}

static void want_rewrite(struct persist *p, const char *what) {
    p->rewrite.scheduled = false;
    persist_want_fork(p, FORK_REWRITE, what);
}

enum persist_rewrite persist_bgrewriteaof(struct persist *p) {
    if (p->turn.running == FORK_REWRITE || p->turn.wish == FORK_REWRITE)
        return REWRITE_BUSY;
    if (!p->aof_on) {
        log_warning("BGREWRITEAOF: there is no append-only log, because appendonly is no");
        return REWRITE_FAILED;
    }
    if (persist_child_busy(p)) {
        p->rewrite.scheduled = true;
        return REWRITE_SCHEDULED;
    }
    want_rewrite(p, "log rewrite");
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

void rewrite_cron(struct persist *p) {
    struct rewrite *w = &p->rewrite;
    if (!p->aof_on || persist_child_busy(p))
        return;
    bool lost = p->aof.trouble == AOF_SYNC_FAILED &&
                (w->failures == 0 || persist_now_s() - w->last_failed_s >= AFRESH_RETRY_SECONDS);
    if (lost)
        want_rewrite(p, "new log after a failed sync");
    else if (w->scheduled || (p->aof.trouble == AOF_FINE && grown_enough(p)))
        want_rewrite(p, "log rewrite");
}

/* For stopping: the thread's jobs end first, then nothing of the rewrite is left but what it had
 * already published. */
void rewrite_abort(struct persist *p) {
    if (p->turn.running != FORK_REWRITE)
        return;
    struct rewrite *w = &p->rewrite;
    if (!w->committing) {
        snapshot_child_kill(&p->child);
        w->broken = true;
        snprintf(w->error, sizeof w->error, "aborted");
    }
    if (w->broken && !w->files_pending)
        failed(p);
    background_drain(p->background);
    ASSERT(!w->active);
}

/* ---- the first log of a shard ---- */
int rewrite_first(struct persist *p, char *error_r, size_t error_bytes) {
    struct rdb_save_job job = persist_save_job(p, true);
    char base[AOF_NAME_MAX + 1], incr[AOF_NAME_MAX + 1];
    struct rdb_saved saved;
    name_base(p, base, 1);
    uint64_t seq = next_incr_seq(p);
    name_incr(p, incr, seq);
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
