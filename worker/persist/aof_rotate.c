/* aof_rotate.c - see the header. Fails by leaving the published files as they are. */
#include "worker/persist/persist_private.h"

#include "shared/base/panic.h"
#include "shared/base/publish.h"
#include "worker/persist/discard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- turns ---- */
static struct log_turn *first_of(struct persist *p) {
    return LIST_ENTRY(p->log_turns.next, struct log_turn, link);
}

void log_turn_ask(struct persist *p, struct log_turn *turn) {
    ASSERT(!turn->asked);
    bool free = list_empty(&p->log_turns);
    turn->asked = true;
    list_push_back(&p->log_turns, &turn->link);
    if (free)
        turn->begin(turn);
}

void log_turn_end(struct persist *p, struct log_turn *turn) {
    if (!turn->asked)
        return;
    bool had_it = first_of(p) == turn;
    turn->asked = false;
    list_remove(&turn->link);
    if (had_it && !list_empty(&p->log_turns))
        first_of(p)->begin(first_of(p));
}

/* ---- the thread's part ---- */
static int sync_old(struct rotation *r) {
    /* A sync of this file that failed while this job waited must not be repeated here. */
    if ((r->sync_errno = r->p->aof.sync_errno) == 0 && aof_fdatasync(r->old_fd) != 0)
        r->sync_errno = errno;
    if (r->sync_errno != 0)
        snprintf(r->error, sizeof r->error, "fdatasync: %s", strerror(r->sync_errno));
    return r->sync_errno == 0 ? 0 : -1;
}

static void run(struct background_job *job) {
    struct rotation *r = LIST_ENTRY(job, struct rotation, job);
    if (r->made) {
        (void)sync_old(r);
        return;
    }
    if (r->kind == ROTATE_ONWARD && sync_old(r) != 0)
        return;
    r->new_fd = rewrite_create_incr(r->dir, r->name, r->error, sizeof r->error);
    if (r->new_fd < 0)
        return;
    if (publish_sync_dir(r->dir, r->error, sizeof r->error) == 0 &&
        (r->kind != ROTATE_ONWARD ||
         rewrite_publish_manifest(r->dir, r->p->rewrite.manifest_name, &r->next, r->error,
                                  sizeof r->error) == 0))
        return;
    close(r->new_fd);
    r->new_fd = -1;
}

/* ---- the loop's part ---- */
/* Whatever the log gets from now on goes to the new increment. */
void rotation_go_on(struct rotation *r) {
    struct aof *aof = &r->p->aof;
    discard_fd(aof->fd);
    aof->fd = r->new_fd;
    r->new_fd = -1;
    r->p->spare_incr = false;
    if (aof->file_bytes > 0) {
        aof->follows = r->kind != ROTATE_AFRESH;
        aof->follows_crc = aof->crc;
    }
    aof->file_bytes = aof->crc = 0;
    aof->held = false;
}

static void take_new_file(struct rotation *r) {
    struct persist *p = r->p;
    if (r->kind == ROTATE_AFRESH)
        return;
    if (r->kind == ROTATE_ONWARD && !r->made) {
        aof_manifest_free(&p->manifest);
        aof_manifest_copy(&p->manifest, &r->next);
    }
    rotation_go_on(r);
    aof_set_synced(&p->aof, r->offset);
}

/* One made early stays in the manifest, empty; the log goes on in the one before it. */
static void close_new_file(struct rotation *r) {
    if (r->new_fd >= 0)
        close(r->new_fd);
    r->new_fd = -1;
}

static int refuse(struct rotation *r, const char *what, const char *why) {
    snprintf(r->error, sizeof r->error, "%s%s", what, why);
    close_new_file(r);
    log_turn_end(r->p, &r->turn);
    return -1;
}

static int check(struct rotation *r) {
    struct aof *aof = &r->p->aof;
    if (r->kind != ROTATE_ONWARD)
        return 0;
    if (r->p->log.state != LOG_ON || aof->held)
        return refuse(r, "the log is not on", "");
    if (aof->trouble == AOF_SYNC_FAILED || aof_write_pending(aof) != 0)
        return refuse(r, "the log cannot be written: ", strerror(aof->trouble_errno));
    /* A base and the files of a rewrite that failed at its end must find room, too. */
    if (r->p->manifest.count >= AOF_FILES_MAX - 8)
        return refuse(r, "too many increments; rewrite the log first", "");
    return 0;
}

static void end(struct rotation *r, bool ok) {
    struct persist *p = r->p;
    r->going = r->making = false;
    if (!ok)
        close_new_file(r);
    if (r->sync_errno != 0)
        aof_set_trouble(&p->aof, AOF_SYNC_FAILED, r->sync_errno);
    aof_manifest_free(&r->next);
    r->done(r, ok);
    log_turn_end(p, &r->turn);
}

/* The log may go on in the new increment as soon as it is told to. */
static void making_done(struct rotation *r) {
    struct persist *p = r->p;
    if (r->new_fd < 0) {
        end(r, false);
        return;
    }
    r->making = false;
    r->made = p->spare_incr = true;
    aof_manifest_free(&p->manifest);
    aof_manifest_copy(&p->manifest, &r->next);
    aof_manifest_free(&r->next);
    if (!r->unwanted)
        r->ready(r);
    else if (rotation_go(r) != 0)
        r->done(r, false);
}

static void run_done(struct background_job *job) {
    struct rotation *r = LIST_ENTRY(job, struct rotation, job);
    if (r->making) {
        making_done(r);
        return;
    }
    bool ok = r->new_fd >= 0 && r->sync_errno == 0;
    if (ok)
        take_new_file(r);
    else
        r->p->aof.held = false;
    end(r, ok);
}

static void name_new_file(struct rotation *r) {
    struct persist *p = r->p;
    r->dir = p->aof_dir;
    r->sync_errno = 0;
    r->seq = rewrite_next_incr(p, r->name);
    aof_manifest_free(&r->next);
    aof_manifest_copy(&r->next, &p->manifest);
    aof_manifest_add(&r->next, AOF_INCR, r->seq, r->name);
    r->old_fd = p->aof.fd;
}

static void begin(struct log_turn *turn) {
    struct rotation *r = LIST_ENTRY(turn, struct rotation, turn);
    const struct aof *aof = &r->p->aof;
    if (!r->early || r->kind != ROTATE_ONWARD || aof->file_bytes + aof->pending.len == 0) {
        r->ready(r);
        return;
    }
    if (check(r) != 0) {
        r->done(r, false);
        return;
    }
    name_new_file(r);
    r->making = true;
    background_submit(r->p->background, &r->job);
}

void rotation_init(struct rotation *r, struct persist *p, void (*ready)(struct rotation *r),
                   void (*done)(struct rotation *r, bool ok)) {
    *r = (struct rotation){.turn = {.begin = begin},
                           .p = p,
                           .ready = ready,
                           .done = done,
                           .job = {.run = run, .done = run_done},
                           .old_fd = -1,
                           .new_fd = -1};
}

void rotation_deinit(struct rotation *r) {
    close_new_file(r);
}

void rotation_ask(struct rotation *r, enum rotation_kind kind) {
    r->kind = kind;
    r->made = r->unwanted = false;
    r->error[0] = '\0';
    log_turn_ask(r->p, &r->turn);
}

bool rotation_withdraw(struct rotation *r) {
    r->unwanted = r->making;
    if (r->made && !r->going)
        return rotation_go(r) != 0;
    if (r->making || r->going)
        return false;
    log_turn_end(r->p, &r->turn);
    return true;
}

/* What was executed and is in no file is in memory, so it will be in the base: the new increment must
 * not hold it a second time. */
static void drop_pending(struct aof *aof) {
    buf_clear(&aof->pending);
    aof->pending_since_us = 0;
}

int rotation_go(struct rotation *r) {
    struct persist *p = r->p;
    ASSERT(r->turn.asked && !r->going);
    if (check(r) != 0)
        return -1;
    if (!r->made)
        name_new_file(r);
    if (r->kind == ROTATE_AFRESH)
        drop_pending(&p->aof);
    r->offset = p->aof.executed;
    p->aof.held = p->aof.replies_held = true;
    r->going = true;
    if (p->hooks.log_began != NULL)
        p->hooks.log_began(p->hooks.arg);
    background_submit(p->background, &r->job);
    return 0;
}
