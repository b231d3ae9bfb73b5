/* cut_run.c - a consistent cut of the running pool, from the request to the reply: takes the steps
 * that the machine in cut.h says. One at a time; whatever goes wrong ends in an error reply, and the
 * pool goes on. */
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "supervisor/cut.h"
#include "supervisor/file_process.h"
#include "supervisor/snapshot_dir.h"
#include "supervisor/supervisor_private.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const double try_again_s = 0.1;

/* The process of each phase works on a copy of this. */
struct cut_run {
    struct supervisor *s;
    struct cut cut;
    char name[SNAPSHOT_NAME_MAX + 1];
    uint32_t keep;
    struct snapshot_file file;
    struct file_process process;
    ev_timer limit, soon;
    uint32_t asker, asker_generation;
    uint64_t asker_id, started_ms;
};

static void take(struct cut_run *run, enum cut_step step);

/* ---- the processes ---- */

static int make_folder(const void *work, char *error_r, size_t error_bytes) {
    const struct cut_run *run = work;
    return snapshot_begin(run->s->config->dir, run->name, error_r, error_bytes);
}

static int publish_snapshot(const void *work, char *error_r, size_t error_bytes) {
    const struct cut_run *run = work;
    struct snapshot_file file = run->file;
    return snapshot_commit(run->s->config->dir, run->name, &file, &run->s->pool, run->keep, error_r,
                           error_bytes);
}

static int remove_folder(const void *work, char *error_r, size_t error_bytes) {
    const struct cut_run *run = work;
    return snapshot_drop(run->s->config->dir, run->name, error_r, error_bytes);
}

static void process_done(void *arg, const char *error) {
    struct cut_run *run = arg;
    if (run->cut.phase == CUT_REMOVING && error[0])
        log_warning("Snapshot '%s': %s", run->name, error);
    take(run, cut_process_ended(&run->cut, error));
}

static void start_process(struct cut_run *run, file_work_fn *work) {
    file_process_leave(&run->process, true);
    run->process.done = process_done;
    run->process.arg = run;
    if (file_process_start(&run->process, run->s->loop, run->s->lock_fd, work, run) != 0) {
        char error[128];
        snprintf(error, sizeof(error), "cannot start a process: %s", strerror(errno));
        process_done(run, error);
    }
}

/* ---- orders ---- */

static void order_prepare(struct cut_run *run) {
    struct supervisor *s = run->s;
    for (uint32_t i = 0; i < s->workers; i++) {
        char path[SNAPSHOT_DIR_BYTES];
        snapshot_partial_path(s->config->dir, run->name, i, path);
        child_order(&s->children[i], CONTROL_ORDER_CUT_PREPARE, run->cut.id, run->cut.tries,
                    bytes_of_text(path));
    }
}

static void order_lock(struct cut_run *run) {
    child_order(&run->s->children[0], CONTROL_ORDER_CUT_LOCK, run->cut.id, run->cut.tries,
                BYTES_LITERAL(""));
}

static void order_end(struct cut_run *run) {
    for (uint32_t i = 0; i < run->s->workers; i++)
        child_order(&run->s->children[i], CONTROL_ORDER_CUT_END, run->cut.id, 0, BYTES_LITERAL(""));
}

/* ---- the end ---- */

static void answer(struct cut_run *run, bool good, const char *text) {
    struct child *asker = &run->s->children[run->asker];
    if (asker->generation == run->asker_generation)
        child_order(asker, CONTROL_ORDER_ANSWER, run->asker_id, good, bytes_of_text(text));
}

/* The operator may stand elsewhere than the pool was started. */
static void absolute_path(const struct cut_run *run, char path_r[2 * SNAPSHOT_DIR_BYTES]) {
    char path[SNAPSHOT_DIR_BYTES], here[SNAPSHOT_DIR_BYTES];
    const char *dir = run->s->config->dir;
    while (strncmp(dir, "./", 2) == 0)
        dir += 2;
    snapshot_path(dir, run->name, path);
    if (path[0] == '/' || !getcwd(here, sizeof(here)))
        snprintf(path_r, 2 * SNAPSHOT_DIR_BYTES, "%s", path);
    else
        snprintf(path_r, 2 * SNAPSHOT_DIR_BYTES, "%s/%s", here, path);
}

static void finish(struct cut_run *run) {
    struct supervisor *s = run->s;
    bool good = run->cut.error[0] == 0;
    char text[2 * SNAPSHOT_DIR_BYTES];
    order_end(run);
    status_set(s->page, METRIC_cut_in_progress, 0);
    status_set(s->page, METRIC_cut_last_ok, good);
    if (good) {
        absolute_path(run, text);
        status_add(s->page, METRIC_cuts, 1);
        status_set(s->page, METRIC_cut_last_time_seconds, (uint64_t)run->file.taken_ms / 1000);
        status_set(s->page, METRIC_cut_last_pause_us, run->file.barrier_us);
        log_notice("Snapshot %s is complete: %u files, barrier %llu us, %llu ms in all", text,
                   run->file.count, (unsigned long long)run->file.barrier_us,
                   (unsigned long long)(clock_mono_ms() - run->started_ms));
    } else {
        log_warning("Snapshot '%s' failed: %s", run->name, run->cut.error);
        snprintf(text, sizeof(text), "ERR snapshot failed: %s", run->cut.error);
    }
    answer(run, good, text);
    snapshot_file_free(&run->file);
}

static void limit_phase(struct cut_run *run) {
    ev_timer_stop(run->s->loop, &run->limit);
    if (run->cut.phase == CUT_IDLE)
        return;
    ev_timer_set(&run->limit, (double)cut_phase_limit_s(run->cut.phase), 0);
    ev_timer_start(run->s->loop, &run->limit);
}

static void take(struct cut_run *run, enum cut_step step) {
    if (step == CUT_STAY)
        return;
    limit_phase(run);
    ev_timer_stop(run->s->loop, &run->soon);
    switch (step) {
    case CUT_STAY: break;
    case CUT_MAKE: start_process(run, make_folder); break;
    case CUT_PREPARE: order_prepare(run); break;
    case CUT_PREPARE_SOON:
        snapshot_file_free(&run->file);
        ev_timer_set(&run->soon, try_again_s, 0);
        ev_timer_start(run->s->loop, &run->soon);
        break;
    case CUT_LOCK: order_lock(run); break;
    case CUT_PUBLISH: start_process(run, publish_snapshot); break;
    case CUT_REMOVE:
        order_end(run);
        start_process(run, remove_folder);
        break;
    case CUT_FINISH: finish(run); break;
    }
}

static void on_limit(struct ev_loop *loop, ev_timer *timer, int events) {
    struct cut_run *run = timer->data;
    file_process_leave(&run->process, true);
    take(run, cut_timed_out(&run->cut));
}

static void on_soon(struct ev_loop *loop, ev_timer *timer, int events) {
    order_prepare(timer->data);
}

/* ---- reports ---- */

static void text_of(struct bytes body, char text_r[CUT_TEXT_BYTES]) {
    snprintf(text_r, CUT_TEXT_BYTES, "%.*s", (int)body.len, body.ptr ? body.ptr : "");
}

void cut_report_prepared(struct child *child, uint64_t id, uint64_t try, struct bytes body) {
    struct cut_run *run = child->supervisor->cut_run;
    char error[CUT_TEXT_BYTES];
    text_of(body, error);
    take(run, cut_prepared(&run->cut, id, try, child->index, error));
}

void cut_report_locked(struct child *child, uint64_t id, uint64_t try, struct bytes body) {
    struct cut_run *run = child->supervisor->cut_run;
    char error[CUT_TEXT_BYTES];
    uint64_t pause_us;
    text_of(body, error);
    if (child->index == 0 && body.len > 0 && body.ptr[0] == '+' &&
        bytes_to_u64(bytes_of(body.ptr + 1, body.len - 1), &pause_us)) {
        run->file.barrier_us = pause_us;
        error[0] = 0;
    } else if (body.len == 0) {
        snprintf(error, sizeof(error), "the shards could not be locked");
    }
    if (child->index == 0)
        take(run, cut_barrier_ended(&run->cut, id, try, error));
}

/* The time of the cut is that of the barrier, near enough: when the first shard has linked. */
void cut_report_linked(struct child *child, uint64_t id, uint64_t try, struct bytes body) {
    struct cut_run *run = child->supervisor->cut_run;
    struct cut *cut = &run->cut;
    char error[CUT_TEXT_BYTES] = "";
    if (child_is_front(child) || id != cut->id || try != cut->tries || !cut->unlinked[child->index])
        return;
    if (body.len > 0 && body.ptr[0] == '-')
        text_of(bytes_of(body.ptr + 1, body.len - 1), error);
    else if (!snapshot_file_add(&run->file, child->index, body))
        snprintf(error, sizeof(error), "its report of files makes no sense");
    if (run->file.taken_ms == 0)
        run->file.taken_ms = clock_wall_ms();
    run->file.shards = run->s->workers;
    memcpy(run->file.pool_id, run->s->pool.pool_id, POOL_ID_BYTES);
    take(run, cut_linked(cut, id, try, child->index, error));
}

void cut_child_gone(struct child *child) {
    struct cut_run *run = child->supervisor->cut_run;
    take(run, cut_shard_lost(&run->cut, child->index));
}

/* ---- the request ---- */

/* Why no cut can begin, or NULL. */
static const char *refusal(struct cut_run *run, struct bytes name, char text_r[CUT_TEXT_BYTES]) {
    struct supervisor *s = run->s;
    if (name.len > 0 && !snapshot_name_ok(name))
        return "ERR invalid snapshot name: letters, digits and . _ - make one, at most 64, "
               "beginning with a letter or digit";
    if (run->cut.phase != CUT_IDLE) {
        snprintf(text_r, CUT_TEXT_BYTES, "ERR snapshot '%s' is being taken already (%s)", run->name,
                 cut_phase_words(run->cut.phase));
        return text_r;
    }
    if (s->phase > POOL_RUNNING)
        return "ERR the pool is stopping";
    for (uint32_t i = 0; i < s->workers; i++) {
        if (s->children[i].pid != 0 && s->children[i].state == CHILD_UP)
            continue;
        snprintf(text_r, CUT_TEXT_BYTES, "ERR shard %u is not up: no snapshot can be taken", i);
        return text_r;
    }
    return NULL;
}

void cut_request(struct child *asker, uint64_t id, uint64_t keep, struct bytes name) {
    struct cut_run *run = asker->supervisor->cut_run;
    struct supervisor *s = run->s;
    char text[CUT_TEXT_BYTES];
    const char *why = refusal(run, name, text);
    if (why) {
        child_order(asker, CONTROL_ORDER_ANSWER, id, 0, bytes_of_text(why));
        return;
    }
    run->asker = asker->index;
    run->asker_generation = asker->generation;
    run->asker_id = id;
    run->started_ms = clock_mono_ms();
    run->keep = (uint32_t)s->config->snapshot_keep;
    if (keep > 0)
        run->keep = keep - 1 < UINT32_MAX ? (uint32_t)(keep - 1) : 0;
    if (name.len > 0)
        snprintf(run->name, sizeof(run->name), "%.*s", (int)name.len, name.ptr);
    else
        snapshot_name_of_time(clock_wall_ms(), run->name);
    status_set(s->page, METRIC_cut_in_progress, 1);
    log_notice("Snapshot '%s' begins", run->name);
    take(run, cut_begin(&run->cut, s->workers));
}

/* ---- life ---- */

void cut_run_init(struct supervisor *s) {
    struct cut_run *run = mem_calloc(1, sizeof(*run));
    run->s = s;
    ev_init(&run->limit, on_limit);
    ev_init(&run->soon, on_soon);
    run->limit.data = run->soon.data = run;
    s->cut_run = run;
}

void cut_run_deinit(struct supervisor *s) {
    if (!s->cut_run)
        return;
    file_process_leave(&s->cut_run->process, false);
    snapshot_file_free(&s->cut_run->file);
    mem_free(s->cut_run);
    s->cut_run = NULL;
}
