/* persist.c - the object: made, loaded, driven by the loop, stopped; and the turns to fork.
 *
 *   persist_create -> persist_load -> { turn_end, cron, fork_granted } -> persist_stop -> persist_free
 *
 * Fails with texts; what is on disk is always a state that load accepts. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAVE_DEFAULT = 0, SAVE_ASKED = 1 }; /* as enum shutdown_save */
enum { PROGRESS_EVERY_US = 50000, PATH_BYTES_MAX = 1500 };

int64_t persist_now_s(void) {
    return clock_wall_ms() / 1000;
}

void persist_tell_progress(struct persist *p) {
    uint64_t now = clock_mono_us();
    if (p->hooks.progress == NULL || now - p->progress_at_us < PROGRESS_EVERY_US)
        return;
    p->progress_at_us = now;
    p->hooks.progress(p->hooks.arg);
}

static void on_save_progress(void *arg, uint64_t keys, uint64_t bytes) {
    struct persist *p = arg;
    persist_tell_progress(p);
}

struct rdb_save_job persist_save_job(struct persist *p, bool aof_base) {
    if (p->hooks.origin == NULL || !p->hooks.origin(p->hooks.arg, &p->origin))
        p->origin.id[0] = '\0';
    return (struct rdb_save_job){.ks = p->ks,
                                 .config = p->config,
                                 .aof_base = aof_base,
                                 .origin = &p->origin,
                                 .progress = on_save_progress,
                                 .arg = p};
}

/* ---- turns to fork ---- */
/* At worst every page of the shard is written to while the child lives, and copied. */
void persist_want_fork(struct persist *p, enum fork_purpose purpose, enum fork_urgency urgency,
                       const char *what) {
    p->turn.wish = purpose;
    p->turn.id++;
    p->hooks.fork_want(p->hooks.arg, p->turn.id, mem_used(), urgency, what);
}

void persist_end_turn(struct persist *p) {
    p->turn.running = FORK_NOTHING;
    keyspace_set_child_alive(p->ks, false);
    p->hooks.fork_done(p->hooks.arg, p->turn.id);
}

void persist_fork_granted(struct persist *p, uint64_t id) {
    if (id != p->turn.id || p->turn.wish == FORK_NOTHING)
        return; /* withdrawn: its end has been told */
    aside_abort(p);
    p->turn.running = p->turn.wish;
    p->turn.wish = FORK_NOTHING;
    switch (p->turn.running) {
    case FORK_NOTHING:
    case FORK_ASIDE: break;
    case FORK_SNAPSHOT: snapshot_granted(p); break;
    case FORK_REWRITE: rewrite_granted(p); break;
    case FORK_DISKLESS: diskless_granted(p); break;
    }
}

void persist_withdraw_wish(struct persist *p, enum fork_purpose purpose) {
    if (purpose == FORK_NOTHING || p->turn.wish != purpose)
        return;
    p->turn.wish = FORK_NOTHING;
    p->hooks.fork_done(p->hooks.arg, p->turn.id);
}

/* ---- life ---- */
static void on_synced(void *arg) {
    struct persist *p = arg;
    if (p->hooks.synced != NULL)
        p->hooks.synced(p->hooks.arg);
}

static char *join(const char *dir, const char *name) {
    size_t bytes = strlen(dir) + 1 + strlen(name) + 1;
    char *path = mem_alloc(bytes);
    snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

/* The new folder's name is to outlive a power cut, as the files in it do. */
static int sync_parent(const char *dir, char *error_r, size_t error_bytes) {
    char parent[PATH_BYTES_MAX + 4];
    snprintf(parent, sizeof parent, "%s/..", dir);
    return publish_sync_dir(parent, error_r, error_bytes);
}

static int make_dir(const char *dir, char *error_r, size_t error_bytes) {
    struct stat st;
    if (strlen(dir) > PATH_BYTES_MAX) {
        snprintf(error_r, error_bytes, "the path of the shard's folder is longer than %d bytes",
                 PATH_BYTES_MAX);
        return -1;
    }
    bool made = mkdir(dir, 0755) == 0;
    if ((made || errno == EEXIST) && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        return made ? sync_parent(dir, error_r, error_bytes) : 0;
    snprintf(error_r, error_bytes, "cannot create the folder %s: %s", dir, strerror(errno));
    return -1;
}

struct persist *persist_create(void *loop, const char *dir, const struct config *config,
                               struct keyspace *ks, struct status_page *status,
                               const struct persist_hooks *hooks, char *error_r,
                               size_t error_bytes) {
    if (make_dir(dir, error_r, error_bytes) != 0)
        return NULL;
    struct background *background = background_create(loop, error_r, error_bytes);
    if (background == NULL)
        return NULL;
    struct persist *p = mem_calloc(1, sizeof *p);
    p->loop = loop;
    p->dir = mem_strdup(dir);
    p->aof_dir = join(dir, config->appenddirname);
    p->config = config;
    p->ks = ks;
    p->status = status;
    p->hooks = *hooks;
    p->background = background;
    list_init(&p->log_turns);
    p->snapshots.last_good_s = persist_now_s();
    p->snapshots.last_ok = true;
    aof_init(&p->aof, loop, config, status, background, on_synced, p);
    rewrite_init(p);
    log_init(p);
    cut_init(p);
    return p;
}

static int load_files(struct persist *p, char *error_r, size_t error_bytes) {
    if (log_take_back(p, error_r, error_bytes) != 0)
        return -1;
    if (p->config->appendonly) {
        if (persist_open_log(p, error_r, error_bytes) != 0)
            return -1;
        p->log.state = LOG_ON;
        p->log.was_on = p->log.taking = true;
    } else if (log_exists(p)) {
        return persist_turn_log_into_snapshot(p, error_r, error_bytes);
    } else if (persist_load_snapshot(p, p->config->dbfilename, false, error_r, error_bytes) != 0) {
        return -1;
    }
    log_remove_retired(p);
    return 0;
}

int persist_load(struct persist *p, char *error_r, size_t error_bytes) {
    char quarantine[PERSIST_PATH_BYTES];
    snprintf(quarantine, sizeof quarantine, "%s/quarantine", p->dir);
    persist_remove_temps(p->dir);
    cut_clean(p);
    persist_remove_temps(quarantine);
    p->loading = true;
    keyspace_set_now(p->ks, clock_wall_ms());
    keyspace_set_expiry_passive(p->ks, true);
    int result = load_files(p, error_r, error_bytes);
    keyspace_set_expiry_passive(p->ks, false);
    p->loading = false;
    p->snapshots.dirty = 0;
    persist_refresh_status(p);
    return result;
}

static void end_children(struct persist *p) {
    persist_withdraw_wish(p, p->turn.wish);
    snapshot_abort(p);
    diskless_abort(p);
    aside_abort(p);
    rewrite_abort(p);
}

int persist_stop(struct persist *p, int save, char *error_r, size_t error_bytes) {
    end_children(p);
    if (persist_log_is_truth(p) && aof_finish(&p->aof, error_r, error_bytes) != 0)
        return -1;
    /* Until a log that was asked for is on, dump.rdb is what will be loaded. */
    bool coming = p->config->appendonly && (p->log.state != LOG_ON || p->log.temporary);
    bool wanted =
        save == SAVE_ASKED || (save == SAVE_DEFAULT && (p->config->save.count > 0 || coming));
    return wanted ? persist_save(p, error_r, error_bytes) : 0;
}

void persist_abandon(struct persist *p) {
    char text[PERSIST_TEXT_BYTES];
    end_children(p);
    if (persist_log_is_truth(p) && aof_finish(&p->aof, text, sizeof text) != 0)
        log_warning("%s", text);
}

void persist_free(struct persist **p) {
    struct persist *it = *p;
    if (it == NULL)
        return;
    *p = NULL;
    end_children(it);
    background_free(&it->background);
    aof_close(&it->aof);
    aof_manifest_free(&it->manifest);
    cut_free(it);
    mem_free(it->dir);
    mem_free(it->aof_dir);
    mem_free(it->log.home);
    mem_free(it);
}

struct aof *persist_aof(struct persist *p) {
    return p->log.taking ? &p->aof : NULL;
}

static int publish_loaded(struct persist *p, const char *file, char *error_r, size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", p->dir, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        return publish_commit(fd, p->dir, file, p->config->dbfilename, error_r, error_bytes);
    snprintf(error_r, error_bytes, "cannot open %s: %s", path, strerror(errno));
    return -1;
}

/* The loop turns meanwhile (hooks.progress), and nothing may be saved of what is there only in part. */
int persist_replace(struct persist *p, const char *file, char *error_r, size_t error_bytes) {
    char path[PERSIST_PATH_BYTES];
    end_children(p);
    log_end(p);
    p->loading = true;
    keyspace_flush_all(p->ks, true);
    keyspace_set_expiry_passive(p->ks, true);
    int result = persist_load_snapshot(p, file, true, error_r, error_bytes);
    keyspace_set_expiry_passive(p->ks, false);
    if (result == 0)
        result = publish_loaded(p, file, error_r, error_bytes);
    p->loading = false;
    p->snapshots.dirty = 0;
    if (result == 0)
        return 0;
    keyspace_flush_all(p->ks, true);
    snprintf(path, sizeof path, "%s/%s", p->dir, file);
    unlink(path);
    return -1;
}

bool persist_log_is_ending(const struct persist *p) {
    return p->log.state == LOG_ENDING;
}

int persist_reload(struct persist *p, char *error_r, size_t error_bytes) {
    end_children(p);
    if (persist_save(p, error_r, error_bytes) != 0)
        return -1;
    keyspace_flush_all(p->ks, false);
    keyspace_set_expiry_passive(p->ks, true);
    int result = persist_load_snapshot(p, p->config->dbfilename, true, error_r, error_bytes);
    keyspace_set_expiry_passive(p->ks, false);
    return result;
}

/* ---- commands ---- */
int64_t persist_lastsave_seconds(const struct persist *p) {
    return p->snapshots.last_good_s;
}

void persist_note_write(struct persist *p, uint64_t changes) {
    p->snapshots.dirty += changes;
    p->turn_has_writes = true;
}

void persist_note_removal(struct persist *p) {
    p->snapshots.dirty++;
}

uint64_t persist_dirty(const struct persist *p) {
    return p->snapshots.dirty;
}

static const char snapshot_refusal[] =
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to "
    "disk. Commands that may modify the data set are disabled, because this instance is configured "
    "to report errors during writes if RDB snapshotting fails (stop-writes-on-bgsave-error "
    "option). "
    "Please check the Redis logs for details about the RDB error.";

const char *persist_write_refusal(const struct persist *p) {
    if (!p->snapshots.last_ok && p->config->stop_writes_on_bgsave_error &&
        p->config->save.count > 0)
        return snapshot_refusal;
    bool fine = p->aof.trouble == AOF_FINE || !persist_log_is_truth(p);
    return fine ? NULL : p->aof.refusal;
}

/* ---- the loop ---- */
void persist_turn_begin(struct persist *p) {
    p->turn_has_writes = false;
}

void persist_turn_end(struct persist *p) {
    if (p->log.state != LOG_OFF)
        aof_turn_end(&p->aof, snapshot_child_alive(&p->child));
}

void persist_cron(struct persist *p) {
    if (p->loading)
        return;
    if (p->log.state != LOG_OFF)
        aof_cron(&p->aof, snapshot_child_alive(&p->child));
    log_switch_cron(p);
    snapshot_cron(p);
    rewrite_cron(p);
    cut_cron(p);
    persist_refresh_status(p);
}

/* Replies that wait for a sync under `always` get theirs even if the policy asks for none any more. */
int persist_config_changed(struct persist *p, char *error_r, size_t error_bytes) {
    char text[PERSIST_TEXT_BYTES];
    if (p->log.taking && p->config->appendfsync != APPENDFSYNC_ALWAYS)
        aof_owe_sync(&p->aof);
    if (log_follow_config(p, text, sizeof text) == 0)
        return 0;
    snprintf(error_r, error_bytes, "Unable to turn on AOF: %s", text);
    return -1;
}
