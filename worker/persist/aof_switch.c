/* aof_switch.c - a log begins or ends while the shard serves.
 *
 *   begin: folder -> (scheduler) fork: the child writes the first base, the increment takes all from the
 *          fork on -> base whole, increment synced, manifest published -> ON
 *
 * A log of the shard's own is built in temp-FOLDER and gets its name by one rename at the end: a crash
 * before it leaves no trace of a log, and the last dump.rdb is the truth; after it the log is.
 *
 *   end:   nothing is taken any more; rotations, commits and syncs under way end -> the last batch is
 *          written and synced, the folder retired (aof_retire.c) -> OFF
 *
 * Nothing here blocks the loop. Trouble with a log nobody relies on ends that log and nothing else; one
 * that was wanted by the configuration is tried again. */
#include "worker/persist/persist_private.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RETRY_FIRST_SECONDS = 1, RETRY_MOST_SECONDS = 60 };

static void tell(struct persist *p, enum log_state state, const char *error) {
    struct log_owner owner = p->log.owner;
    p->log.state = state;
    if (owner.changed != NULL)
        owner.changed(owner.arg, state, error);
}

static void set_dir(struct persist *p, const char *dir) {
    mem_free(p->aof_dir);
    p->aof_dir = mem_strdup(dir);
}

/* ---- begin ---- */
static int begin(struct persist *p, const char *dir, char *error_r, size_t error_bytes) {
    if (p->log.state != LOG_OFF) {
        snprintf(error_r, error_bytes, "there is a log already");
        return -1;
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        snprintf(error_r, error_bytes, "cannot create the folder %s: %s", dir, strerror(errno));
        return -1;
    }
    set_dir(p, dir);
    p->log.error[0] = '\0';
    p->log.state = LOG_STARTING;
    p->aof.expendable = true;
    return 0;
}

int log_begin_temporary(struct persist *p, const char *dir, const struct log_owner *owner,
                        char *error_r, size_t error_bytes) {
    if (begin(p, dir, error_r, error_bytes) != 0)
        return -1;
    p->log.temporary = true;
    p->log.owner = *owner;
    return 0;
}

/* The place must be free: what is there may be a log whose manifest is lost. */
static int begin_own(struct persist *p, char *error_r, size_t error_bytes) {
    char home[PERSIST_PATH_BYTES], temp[PERSIST_PATH_BYTES];
    log_home(p, "", "", home);
    log_home(p, "temp-", "", temp);
    if (rmdir(home) != 0 && errno != ENOENT) {
        snprintf(error_r, error_bytes, "%s is in the way: %s", home, strerror(errno));
        return -1;
    }
    if (begin(p, temp, error_r, error_bytes) != 0)
        return -1;
    p->log.home = mem_strdup(home);
    log_notice("The append-only log begins: its first base comes next");
    return 0;
}

void log_take(struct persist *p) {
    ASSERT(p->log.state == LOG_STARTING && p->aof.fd < 0);
    p->log.taking = true;
}

int log_move_home(const char *dir, const char *home, char *error_r, size_t error_bytes) {
    char parent[PERSIST_PATH_BYTES];
    snprintf(parent, sizeof parent, "%s", home);
    *strrchr(parent, '/') = '\0';
    if (rename(dir, home) != 0) {
        snprintf(error_r, error_bytes, "rename to %s: %s", home, strerror(errno));
        return -1;
    }
    if (publish_sync_dir(parent, error_r, error_bytes) == 0)
        return 0;
    /* Nobody will write on it: it must not be taken for the log of a later start. */
    if (rename(home, dir) != 0)
        log_warning("Cannot rename %s to %s: %s", home, dir, strerror(errno));
    return -1;
}

static void is_on(struct persist *p) {
    p->aof.expendable = p->log.temporary;
    p->log.was_on = true;
    p->log.retry_seconds = 0;
    tell(p, LOG_ON, NULL);
    if (!p->log.temporary) {
        log_notice("The append-only log is on");
        log_remove_retired(p);
    }
}

void log_is_home(struct persist *p) {
    if (p->log.home == NULL)
        return;
    set_dir(p, p->log.home);
    mem_free(p->log.home);
    p->log.home = NULL;
}

void log_first_base_done(struct persist *p, const char *error) {
    if (p->log.state != LOG_STARTING)
        return; /* it is being ended */
    if (error == NULL) {
        is_on(p);
        return;
    }
    snprintf(p->log.error, sizeof p->log.error, "%s", error);
    log_end(p);
}

/* ---- end ---- */
static void run_end(struct background_job *job) {
    struct log_switch *log = LIST_ENTRY(job, struct log_switch, end_job);
    log->end_ok = true;
    if (log->end_sync && log->end_how == END_RETIRE && aof_fdatasync(log->end_fd) != 0)
        log_warning("The last sync of the log failed: %s", strerror(errno));
    if (log->end_fd >= 0)
        close(log->end_fd);
    if (log->end_how == END_REMOVE)
        log_remove_folder(log->end_dir);
    if (log->end_how != END_RETIRE)
        return;
    log->end_ok = log_retire_folder(log->end_dir, log->end_retired, log->end_mark, log->error,
                                    sizeof log->error) == 0;
}

void log_forget(struct persist *p) {
    struct aof *aof = &p->aof;
    if (aof->fd >= 0)
        close(aof->fd);
    aof->fd = -1;
    aof->held = aof->replies_held = p->spare_incr = false;
    buf_clear(&aof->pending);
    aof->pending_since_us = aof->unsynced_since_us = aof->uncovered_since_us = 0;
    aof->follows = false;
    aof->file_bytes = aof->crc = aof->total_bytes = aof->base_bytes = 0;
    aof->written = aof->synced = aof->executed;
    aof->sync_errno = 0;
    if (aof->trouble != AOF_FINE)
        aof_set_trouble(aof, AOF_FINE, 0);
    aof->expendable = false;
    aof_manifest_free(&p->manifest);
}

static void plan_retry(struct log_switch *log) {
    uint64_t seconds = log->retry_seconds == 0 ? RETRY_FIRST_SECONDS : 2 * log->retry_seconds;
    log->retry_seconds = seconds < RETRY_MOST_SECONDS ? seconds : RETRY_MOST_SECONDS;
    log->retry_at_s = persist_now_s() + (int64_t)log->retry_seconds;
}

static void note_retired(struct persist *p) {
    struct log_switch *log = &p->log;
    if (!log->end_ok) {
        log_warning(
            "The log is off, but its folder could not be put out of use; it will be taken in "
            "at the next start: %s",
            log->error);
        return;
    }
    log_notice("The append-only log is off; %s is kept until the next snapshot is good",
               log->end_retired);
    log->retired_there = true;
}

static void end_done(struct background_job *job) {
    struct log_switch *log = LIST_ENTRY(job, struct log_switch, end_job);
    struct persist *p = LIST_ENTRY(log, struct persist, log);
    char why[PERSIST_TEXT_BYTES], home[PERSIST_PATH_BYTES];
    snprintf(why, sizeof why, "%s", log->error);
    log_forget(p);
    mem_free(log->home);
    log->home = NULL;
    log_home(p, "", "", home);
    set_dir(p, home);
    log->was_on = false;
    tell(p, LOG_OFF, why[0] != '\0' ? why : NULL);
    if (log->end_how == END_RETIRE)
        note_retired(p);
    else if (!log->temporary)
        plan_retry(log);
    log->temporary = false;
    log->owner = (struct log_owner){0};
    p->aof.synced_hook(p->aof.arg); /* no reply waits for it any more */
    log_turn_end(p, &log->end_turn);
}

static void begin_end(struct log_turn *turn) {
    struct log_switch *log = LIST_ENTRY(turn, struct log_switch, end_turn);
    struct persist *p = LIST_ENTRY(log, struct persist, log);
    bool whole = aof_manifest_base(&p->manifest) != NULL;
    log->end_how = log->temporary ? END_LEAVE : whole ? END_RETIRE : END_REMOVE;
    log->end_fd = p->aof.fd;
    log->end_sync =
        p->aof.fd >= 0 && p->aof.trouble != AOF_SYNC_FAILED && aof_write_pending(&p->aof) == 0;
    log->end_dir = p->aof_dir;
    log_home(p, "", ".retired", log->end_retired);
    p->aof.held = true;
    p->aof.fd = -1; /* the thread closes it: with its name gone, that may take a while */
    background_submit(p->background, &log->end_job);
}

/* A log goes: what it made safe is to be in a snapshot soon. One under way does not know the log's last
 * words, and must not be taken for one that does. */
static void see_to_a_snapshot(struct persist *p) {
    bool running = p->turn.running == FORK_SNAPSHOT;
    snapshot_abort(p);
    if (running || p->config->save.count > 0)
        p->snapshots.scheduled = true;
}

void log_end(struct persist *p) {
    struct log_switch *log = &p->log;
    if (log->state == LOG_OFF || log->state == LOG_ENDING)
        return;
    bool comes_on = log->state == LOG_ON || p->rewrite.committing;
    log->taking = false;
    tell(p, LOG_ENDING, NULL);
    if (p->hooks.log_began != NULL)
        p->hooks.log_began(p->hooks.arg);
    log_mark_snapshot(p, log->end_mark);
    if (comes_on && !log->temporary)
        see_to_a_snapshot(p);
    persist_withdraw_wish(p, FORK_REWRITE);
    p->rewrite.scheduled = false;
    rewrite_cancel(p, "the log ends");
    log_turn_ask(p, &log->end_turn);
}

void log_init(struct persist *p) {
    p->log.end_turn = (struct log_turn){.begin = begin_end};
    p->log.end_job = (struct background_job){.run = run_end, .done = end_done};
}

/* ---- as configured ---- */
int log_follow_config(struct persist *p, char *error_r, size_t error_bytes) {
    struct log_switch *log = &p->log;
    if (p->config->appendonly)
        return log->state == LOG_OFF ? begin_own(p, error_r, error_bytes) : 0;
    if (!log->temporary)
        log_end(p);
    log->retry_at_s = 0;
    log->retry_seconds = 0;
    return 0;
}

void log_switch_cron(struct persist *p) {
    struct log_switch *log = &p->log;
    bool begun = log->state == LOG_STARTING || log->state == LOG_ON;
    if (begun && log->taking && !persist_log_is_truth(p) && p->aof.trouble != AOF_FINE) {
        snprintf(log->error, sizeof log->error, "the log cannot be written: %s",
                 strerror(p->aof.trouble_errno));
        log_warning("A log that was to begin is given up: %s", log->error);
        log_end(p);
    }
    char text[PERSIST_TEXT_BYTES];
    if (persist_now_s() >= log->retry_at_s && log_follow_config(p, text, sizeof text) != 0) {
        log_warning("The append-only log cannot begin: %s", text);
        plan_retry(log);
    }
}
