/* cut.c - this shard's part of a consistent cut of the pool.
 *
 *   prepare -> a log that is on (else a temporary one begins, in snapshot-log/) -> the turn to rotate,
 *     early -> prepared -> mark: the increment ends -> thread: link base and increments, sync -> linked
 *
 * The mark is one write(2); everything else is the thread's. While a cut has the turn, and until its
 * links are made, no commit of a rewrite takes the files away: jobs of the thread keep their order.
 * Fails by telling so; the log goes on. The temporary log ends with the cut. */
#include "worker/persist/persist_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* More increments than this, and the log is rewritten: each cut leaves one. */
enum { INCREMENTS_BEFORE_REWRITE = 100, REPORT_BYTES_MAX = 60 * 1024 };

static void advance(struct persist *p);

static void temporary_path(const struct persist *p, char path[PERSIST_PATH_BYTES]) {
    snprintf(path, PERSIST_PATH_BYTES, "%s/snapshot-log", p->dir);
}

void cut_clean(struct persist *p) {
    char path[PERSIST_PATH_BYTES];
    temporary_path(p, path);
    log_remove_folder(path);
}

/* ---- telling ---- */
static void tell_prepared(struct persist *p, const char *error) {
    p->cut.wanted = false;
    if (p->hooks.cut_prepared != NULL)
        p->hooks.cut_prepared(p->hooks.arg, p->cut.id, p->cut.try, error);
}

static void tell_linked(struct persist *p, const char *error) {
    struct shard_cut *c = &p->cut;
    struct buf text = {0};
    if (c->marked_id != c->id || c->marked_try != c->try || p->hooks.cut_linked == NULL)
        return;
    if (error != NULL)
        buf_printf(&text, "-%s", error);
    else
        buf_append_bytes(&text, buf_bytes(&c->report));
    p->hooks.cut_linked(p->hooks.arg, c->id, c->try, buf_bytes(&text));
    buf_free(&text);
}

/* ---- the thread's part ---- */
static int fail(struct shard_cut *c, const char *step, const char *path) {
    snprintf(c->error, sizeof c->error, "cannot %s %.400s: %s", step, path, strerror(errno));
    return -1;
}

static int make_folder(struct shard_cut *c, const char *path) {
    return mkdir(path, 0755) == 0 || errno == EEXIST ? 0 : fail(c, "make", path);
}

/* One that was loaded at start may never have been synced. */
static int sync_file(struct shard_cut *c, const char *path, uint64_t *bytes_r) {
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(c, "open", path);
    int result = fstat(fd, &st) != 0 || aof_fdatasync(fd) != 0 ? fail(c, "sync", path) : 0;
    close(fd);
    *bytes_r = (uint64_t)st.st_size;
    return result;
}

static int link_file(struct shard_cut *c, const struct aof_file *file) {
    char from[PERSIST_PATH_BYTES], to[PERSIST_PATH_BYTES];
    uint64_t bytes;
    snprintf(from, sizeof from, "%s/%s", c->from, file->name);
    snprintf(to, sizeof to, "%s/%s/%s", c->to, c->folder, file->name);
    if (link(from, to) != 0)
        return fail(c, "link to", to);
    if (sync_file(c, to, &bytes) != 0)
        return -1;
    buf_printf(&c->report, "%" PRIu64 " %s/%s\n", bytes, c->folder, file->name);
    return 0;
}

static int publish_manifest(struct shard_cut *c, const char *folder) {
    struct buf text = {0};
    aof_manifest_format(&c->files, &text);
    int result = publish(folder, c->manifest_name, buf_bytes(&text), c->error, sizeof c->error);
    buf_printf(&c->report, "%zu %s/%s\n", text.len, c->folder, c->manifest_name);
    buf_free(&text);
    return result;
}

static int link_all(struct shard_cut *c) {
    char folder[PERSIST_PATH_BYTES];
    snprintf(folder, sizeof folder, "%s/%s", c->to, c->folder);
    log_remove_folder(folder); /* of a try before */
    if (make_folder(c, c->to) != 0 || make_folder(c, folder) != 0)
        return -1;
    for (uint32_t i = 0; i < c->files.count; i++)
        if (link_file(c, &c->files.files[i]) != 0)
            return -1;
    if (publish_manifest(c, folder) != 0)
        return -1;
    if (c->report.len <= REPORT_BYTES_MAX)
        return publish_sync_dir(c->to, c->error, sizeof c->error);
    snprintf(c->error, sizeof c->error, "the log has too many increments; rewrite it first");
    return -1;
}

static void run_link(struct background_job *job) {
    struct shard_cut *c = LIST_ENTRY(job, struct shard_cut, link_job);
    buf_clear(&c->report);
    buf_printf(&c->report, "keys %" PRIu64 "\n", c->keys);
    c->linked = link_all(c) == 0;
}

static void link_done(struct background_job *job) {
    struct shard_cut *c = LIST_ENTRY(job, struct shard_cut, link_job);
    struct persist *p = c->p;
    c->state = CUT_NOTHING;
    if (c->linked && !p->log.temporary && p->manifest.count > INCREMENTS_BEFORE_REWRITE)
        p->rewrite.scheduled = true;
    tell_linked(p, c->linked ? NULL : c->error);
    advance(p);
}

static void start_linking(struct persist *p) {
    struct shard_cut *c = &p->cut;
    c->state = CUT_LINKING;
    background_submit(p->background, &c->link_job);
}

/* ---- the temporary log ---- */
static void run_remove(struct background_job *job) {
    struct shard_cut *c = LIST_ENTRY(job, struct shard_cut, remove_job);
    cut_clean(c->p);
}

static void remove_done(struct background_job *job) {
    struct shard_cut *c = LIST_ENTRY(job, struct shard_cut, remove_job);
    c->removing = false;
    advance(c->p);
}

static void log_changed(void *arg, enum log_state state, const char *error) {
    struct persist *p = arg;
    struct shard_cut *c = &p->cut;
    if (state == LOG_OFF) {
        c->removing = true;
        background_submit(p->background, &c->remove_job);
        if (c->wanted && error != NULL)
            tell_prepared(p, error);
    }
    advance(p);
}

/* ---- prepare ---- */
static void begin_temporary(struct persist *p) {
    char path[PERSIST_PATH_BYTES], error[PERSIST_TEXT_BYTES];
    struct log_owner owner = {.changed = log_changed, .arg = p};
    temporary_path(p, path);
    if (log_begin_temporary(p, path, &owner, error, sizeof error) != 0)
        tell_prepared(p, error);
}

/* It was asked for while a temporary one was on: cuts one after the other must not keep it waiting. */
static bool own_log_is_next(const struct persist *p) {
    return p->config->appendonly && persist_now_s() >= p->log.retry_at_s;
}

/* The next thing that can be done for a cut that is wanted; else wait for what is under way. */
static void advance(struct persist *p) {
    struct shard_cut *c = &p->cut;
    if (c->state != CUT_NOTHING || c->removing)
        return;
    if (!c->wanted) {
        if (c->over && p->log.temporary)
            log_end(p);
        return;
    }
    switch (p->log.state) {
    case LOG_OFF:
        if (!own_log_is_next(p))
            begin_temporary(p);
        break;
    case LOG_STARTING:
    case LOG_ENDING: break; /* looked at again by the cron */
    case LOG_ON:
        c->state = CUT_ASKED;
        rotation_ask(&c->rotation, ROTATE_ONWARD);
        break;
    }
}

static void ready(struct rotation *r) {
    struct persist *p = r->p;
    p->cut.state = CUT_READY;
    tell_prepared(p, "");
}

static void withdraw(struct persist *p) {
    struct shard_cut *c = &p->cut;
    c->wanted = false;
    if (c->state != CUT_ASKED && c->state != CUT_READY)
        return;
    c->state = CUT_LEAVING;
    if (rotation_withdraw(&c->rotation))
        c->state = CUT_NOTHING;
}

void persist_cut_prepare(struct persist *p, uint64_t cut, uint64_t try, const char *dir) {
    struct shard_cut *c = &p->cut;
    withdraw(p);
    c->id = cut;
    c->try = try;
    c->over = false;
    snprintf(c->dir, sizeof c->dir, "%s", dir);
    if (p->loading || strlen(dir) >= sizeof c->dir) {
        tell_prepared(p, p->loading ? "it loads its files" : "the path of the folder is too long");
        return;
    }
    c->wanted = true;
    advance(p);
}

void cut_cron(struct persist *p) {
    if (p->cut.wanted || p->cut.over)
        advance(p);
}

/* ---- mark ---- */
static uint64_t count_keys(const struct persist *p) {
    uint64_t keys = 0;
    for (uint32_t db = 0; db < keyspace_databases(p->ks); db++)
        keys += keyspace_count(p->ks, db);
    return keys;
}

/* The files that hold the state at this moment, once the open increment has ended. The last one does not
 * if it is for what comes later. */
static void note_files(struct persist *p, bool without_last) {
    struct shard_cut *c = &p->cut;
    const struct aof_file *last = aof_manifest_last_incr(&p->manifest);
    aof_manifest_free(&c->files);
    for (uint32_t i = 0; i < p->manifest.count; i++) {
        const struct aof_file *file = &p->manifest.files[i];
        if (file->type != AOF_HISTORY && !(without_last && file == last))
            aof_manifest_add(&c->files, file->type, file->seq, file->name);
    }
    c->keys = count_keys(p);
    c->marked_id = c->id;
    c->marked_try = c->try;
    snprintf(c->from, sizeof c->from, "%s", p->aof_dir);
    snprintf(c->to, sizeof c->to, "%s", c->dir);
    c->error[0] = '\0';
}

static void rotated(struct rotation *r, bool ok) {
    struct persist *p = r->p;
    enum shard_cut_state state = p->cut.state;
    if (ok && state == CUT_ROTATING) {
        start_linking(p);
        return;
    }
    p->cut.state = CUT_NOTHING;
    if (state == CUT_ROTATING)
        tell_linked(p, r->error);
    else if (state == CUT_ASKED)
        tell_prepared(p, r->error);
    /* Else it is one that nobody waits for; the cron goes on from here, when the turn is given back. */
}

static bool nothing_to_end(const struct persist *p) {
    const struct aof *aof = &p->aof;
    return p->log.state == LOG_ON && aof->trouble == AOF_FINE && !aof->held && !p->spare_incr &&
           aof->pending.len == 0 && aof->file_bytes == 0;
}

int persist_cut_mark(struct persist *p, uint64_t cut, uint64_t try, char *error_r,
                     size_t error_bytes) {
    struct shard_cut *c = &p->cut;
    if (c->state != CUT_READY || c->id != cut || c->try != try) {
        snprintf(error_r, error_bytes, "it is not prepared for this cut");
        return -1;
    }
    if (nothing_to_end(p)) {
        note_files(p, true);
        start_linking(p);
        rotation_withdraw(&c->rotation);
        return 0;
    }
    note_files(p, c->rotation.made);
    c->state = CUT_ROTATING;
    if (rotation_go(&c->rotation) == 0)
        return 0;
    c->state = CUT_NOTHING;
    snprintf(error_r, error_bytes, "%s", c->rotation.error);
    return -1;
}

void persist_cut_end(struct persist *p, uint64_t cut) {
    struct shard_cut *c = &p->cut;
    if (c->id != cut)
        return;
    withdraw(p);
    c->over = true;
    c->id = 0; /* what is under way has nobody to be told to */
    advance(p);
}

/* ---- life ---- */
void cut_init(struct persist *p) {
    struct shard_cut *c = &p->cut;
    c->p = p;
    c->folder = p->config->appenddirname;
    rewrite_manifest_name(p->config, c->manifest_name);
    c->link_job = (struct background_job){.run = run_link, .done = link_done};
    c->remove_job = (struct background_job){.run = run_remove, .done = remove_done};
    rotation_init(&c->rotation, p, ready, rotated);
    c->rotation.early = true;
}

void cut_free(struct persist *p) {
    rotation_deinit(&p->cut.rotation);
    aof_manifest_free(&p->cut.files);
    buf_free(&p->cut.report);
}
