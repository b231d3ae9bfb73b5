/* aof_switch.c - a log begins or ends while the shard serves.
 *
 *   begin: folder -> (scheduler) fork: the child writes the first base, the increment takes all from the
 *          fork on -> base whole, increment synced, manifest published -> ON
 *
 * A log of the shard's own is built in temp-FOLDER and gets its name by one rename at the end: a crash
 * before it leaves no trace of a log, and the last dump.rdb is the truth; after it the log is.
 *
 *   end:   nothing is taken any more; rotations, commits and syncs under way end -> the last batch is
 *          written and synced, the folder renamed to FOLDER.retired -> OFF
 *
 * Nothing here blocks the loop. Trouble with a log nobody relies on ends that log and nothing else. */
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

static void tell(struct persist *p, enum log_state state, const char *error) {
    struct log_owner owner = p->log.owner;
    p->log.state = state;
    if (owner.changed != NULL)
        owner.changed(owner.arg, state, error);
}

static void set_taking(struct persist *p, bool taking) {
    p->log.taking = taking;
    if (p->hooks.log_began != NULL)
        p->hooks.log_began(p->hooks.arg);
}

/* ---- begin ---- */
static int begin(struct persist *p, const char *dir, char *error_r, size_t error_bytes) {
    if (p->log.state != LOG_OFF) {
        snprintf(error_r, error_bytes, "a log is there already");
        return -1;
    }
    if (mkdir(dir, 0755) != 0 && errno != EEXIST) {
        snprintf(error_r, error_bytes, "cannot create the folder %s: %s", dir, strerror(errno));
        return -1;
    }
    mem_free(p->aof_dir);
    p->aof_dir = mem_strdup(dir);
    p->log.error[0] = '\0';
    p->log.state = LOG_STARTING;
    p->rewrite.failures = 0;
    return 0;
}

int log_begin_temporary(struct persist *p, const char *dir, const struct log_owner *owner,
                        char *error_r, size_t error_bytes) {
    if (begin(p, dir, error_r, error_bytes) != 0)
        return -1;
    p->log.temporary = p->aof.expendable = true;
    p->log.owner = *owner;
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

void log_first_base_done(struct persist *p, const char *error) {
    if (error == NULL && p->log.home != NULL) {
        mem_free(p->aof_dir);
        p->aof_dir = p->log.home;
        p->log.home = NULL;
    }
    if (p->log.state != LOG_STARTING)
        return; /* it is being ended */
    if (error == NULL) {
        p->aof.expendable = p->log.temporary;
        tell(p, LOG_ON, NULL);
        return;
    }
    snprintf(p->log.error, sizeof p->log.error, "%s", error);
    log_end(p, LOG_ABANDON);
}

/* ---- end ---- */
static void run_end(struct background_job *job) {
    struct log_switch *log = LIST_ENTRY(job, struct log_switch, end_job);
    if (log->end_sync && aof_fdatasync(log->end_fd) != 0)
        log_warning("The last sync of the log failed: %s", strerror(errno));
}

static void forget_log(struct persist *p) {
    struct aof *aof = &p->aof;
    if (aof->fd >= 0)
        close(aof->fd);
    aof->fd = -1;
    aof->held = aof->replies_held = aof->expendable = false;
    buf_clear(&aof->pending);
    aof->pending_since_us = 0;
    aof->file_bytes = aof->crc = aof->total_bytes = aof->base_bytes = 0;
    aof->written = aof->synced = aof->executed;
    aof->unsynced_since_us = aof->uncovered_since_us = 0;
    aof->sync_errno = 0;
    aof->trouble = AOF_FINE;
    aof_manifest_free(&p->manifest);
}

static void end_done(struct background_job *job) {
    struct log_switch *log = LIST_ENTRY(job, struct log_switch, end_job);
    struct persist *p = LIST_ENTRY(log, struct persist, log);
    char why[PERSIST_TEXT_BYTES];
    snprintf(why, sizeof why, "%s", log->error);
    forget_log(p);
    tell(p, LOG_OFF, why[0] != '\0' ? why : NULL);
    log->temporary = false;
    log->owner = (struct log_owner){0};
    p->aof.synced_hook(p->aof.arg); /* no reply waits for it any more */
    log_turn_end(p, &log->end_turn);
}

static void begin_end(struct log_turn *turn) {
    struct log_switch *log = LIST_ENTRY(turn, struct log_switch, end_turn);
    struct persist *p = LIST_ENTRY(log, struct persist, log);
    log->end_fd = p->aof.fd;
    log->end_sync = log->end_how == LOG_RETIRE && p->aof.fd >= 0 &&
                    p->aof.trouble != AOF_SYNC_FAILED && aof_write_pending(&p->aof) == 0;
    p->aof.held = true;
    background_submit(p->background, &log->end_job);
}

void log_end(struct persist *p, enum log_ending how) {
    struct log_switch *log = &p->log;
    if (log->state == LOG_OFF || log->state == LOG_ENDING)
        return;
    log->end_how = how;
    tell(p, LOG_ENDING, NULL);
    set_taking(p, false);
    persist_withdraw_wish(p, FORK_REWRITE);
    p->rewrite.scheduled = false;
    rewrite_cancel(p, "the log ends");
    log_turn_ask(p, &log->end_turn);
}

void log_init(struct persist *p) {
    p->log.end_turn = (struct log_turn){.begin = begin_end};
    p->log.end_job = (struct background_job){.run = run_end, .done = end_done};
}

/* ---- the cron ---- */
void log_switch_cron(struct persist *p) {
    struct log_switch *log = &p->log;
    bool begun = log->state == LOG_STARTING || log->state == LOG_ON;
    if (begun && log->taking && !persist_log_is_truth(p) && p->aof.trouble != AOF_FINE) {
        snprintf(log->error, sizeof log->error, "the log cannot be written: %s",
                 strerror(p->aof.trouble_errno));
        log_warning("A log that was to begin is given up: %s", log->error);
        log_end(p, LOG_ABANDON);
    }
}
