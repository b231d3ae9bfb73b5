/* stop.c - the orderly stop.
 *
 *   RUNNING -> STOPPING_FRONT -> SETTLING ------> STOPPING -----> (all gone) exit
 *      ^        no new clients    of a pool that    workers finish     ^
 *      |                          follows             |     |          |
 *      +----------------- refused --------------------+     +-> KILLING: no progress for too long
 *
 * A second signal stops without saving, and with little patience. A worker whose save fails may
 * refuse: then the pool goes on, and workers that have ended already are started again; a signal
 * soon after that insists. */
#include "supervisor/supervisor_private.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "supervisor/sdnotify.h"
#include <signal.h>

enum { STOP_WITHOUT_SAVE = 2, INSIST_WITHIN_MS = 10000 };
static const double front_patience_s = 0.5, hurried_patience_s = 1.0, stop_look_s = 0.25;

bool stop_is_on(const struct supervisor *s) {
    return s->phase >= POOL_STOPPING_FRONT;
}

static void set_timeout(struct supervisor *s, double seconds) {
    ev_timer_stop(s->loop, &s->stop_timeout);
    ev_timer_set(&s->stop_timeout, seconds, 0);
    ev_timer_start(s->loop, &s->stop_timeout);
}

/* What workers that are ending have done so far: a big snapshot may take its time. */
static uint64_t progress_of_ending(const struct supervisor *s) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < s->workers; i++) {
        const struct child *child = &s->children[i];
        if (child->pid != 0 && atomic_load(&child->page->state) == CHILD_STOPPING)
            sum += atomic_load(&child->page->heartbeat);
    }
    return sum;
}

static bool anyone_alive(const struct supervisor *s) {
    for (uint32_t i = 0; i < s->child_count; i++) {
        if (s->children[i].pid != 0)
            return true;
    }
    return false;
}

static void end_if_all_gone(struct supervisor *s) {
    if (!anyone_alive(s))
        ev_break(s->loop, EVBREAK_ALL);
}

static void order_stop(struct child *child) {
    child->stop_ordered = true;
    child_set_state(child, CHILD_STOPPING);
    child_order(child, CONTROL_ORDER_STOP, child->supervisor->stop_number,
                child->supervisor->stop_number, BYTES_LITERAL(""));
}

/* A worker that is not running has nothing to finish, but it is not in order either. */
static void stop_workers(struct supervisor *s, double patience_s) {
    s->phase = POOL_STOPPING;
    s->stop_progress = progress_of_ending(s);
    s->stop_progress_ms = clock_mono_ms();
    s->stop_patience_ms = (uint64_t)(patience_s * 1000);
    for (uint32_t i = 0; i < s->workers; i++) {
        struct child *child = &s->children[i];
        if (child->pid != 0)
            order_stop(child);
        else
            s->stop_disorderly = true;
    }
    set_timeout(s, patience_s < stop_look_s ? patience_s : stop_look_s);
    end_if_all_gone(s);
}

/* The front is gone, or has had its time. */
static void settle(struct supervisor *s) {
    s->phase = POOL_SETTLING;
    if (s->stop_number != STOP_WITHOUT_SAVE && resume_settle(s))
        set_timeout(s, (double)s->config->shutdown_timeout);
    else
        stop_workers(s, (double)s->config->shutdown_timeout);
}

void stop_settled(struct child *child) {
    struct supervisor *s = child->supervisor;
    if (resume_settled(child) && s->phase == POOL_SETTLING)
        stop_workers(s, (double)s->config->shutdown_timeout);
}

static void stop_front(struct supervisor *s) {
    struct child *front = &s->children[segment_front_index(s->workers)];
    s->phase = POOL_STOPPING_FRONT;
    if (front->pid == 0) {
        settle(s);
        return;
    }
    order_stop(front);
    set_timeout(s, front_patience_s);
}

static void hurry(struct supervisor *s) {
    if (s->phase == POOL_KILLING)
        return;
    log_warning("Told to stop again: not saving, and waiting %.0f s at most", hurried_patience_s);
    s->stop_number = STOP_WITHOUT_SAVE;
    stop_workers(s, hurried_patience_s);
}

void stop_begin(struct supervisor *s, uint64_t number, struct child *asker, uint64_t id) {
    if (stop_is_on(s)) {
        if (!asker)
            hurry(s);
        return;
    }
    bool insists = !asker && s->stop_refused_ms != 0 &&
                   clock_mono_ms() - s->stop_refused_ms < INSIST_WITHIN_MS;
    if (insists)
        number = STOP_WITHOUT_SAVE;
    log_notice("Stopping the pool%s", number == STOP_WITHOUT_SAVE ? " without saving" : "");
    sdnotify_send("STOPPING=1\nSTATUS=Stopping");
    s->stop_number = number;
    s->stop_asker = asker ? asker->index : UINT32_MAX;
    s->stop_asker_generation = asker ? asker->generation : 0;
    s->stop_asker_id = id;
    s->stop_disorderly = false;
    for (uint32_t i = 0; i < s->child_count; i++)
        ev_timer_stop(s->loop, &s->children[i].restart);
    stop_front(s);
}

static void kill_rest(struct supervisor *s) {
    s->phase = POOL_KILLING;
    for (uint32_t i = 0; i < s->child_count; i++) {
        if (s->children[i].pid == 0)
            continue;
        log_warning("%s has not stopped in time", child_name(&s->children[i]));
        child_kill(&s->children[i], "did not stop in time");
    }
    end_if_all_gone(s);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events) {
    struct supervisor *s = timer->data;
    if (s->phase == POOL_STOPPING_FRONT) {
        settle(s);
        return;
    }
    if (s->phase == POOL_SETTLING) {
        stop_workers(s, (double)s->config->shutdown_timeout);
        return;
    }
    uint64_t now_ms = clock_mono_ms(), progress = progress_of_ending(s);
    if (progress != s->stop_progress && s->stop_number != STOP_WITHOUT_SAVE)
        s->stop_progress_ms = now_ms;
    s->stop_progress = progress;
    if (now_ms - s->stop_progress_ms < s->stop_patience_ms)
        set_timeout(s, stop_look_s);
    else
        kill_rest(s);
}

void stop_child_gone(struct child *child, bool orderly) {
    struct supervisor *s = child->supervisor;
    if (child_is_front(child)) {
        if (s->phase == POOL_STOPPING_FRONT)
            settle(s);
    } else if (!orderly) {
        s->stop_disorderly = true;
        if (s->phase == POOL_SETTLING)
            stop_workers(s, (double)s->config->shutdown_timeout);
    }
    end_if_all_gone(s);
}

static void go_on(struct supervisor *s) {
    s->phase = POOL_RUNNING;
    ev_timer_stop(s->loop, &s->stop_timeout);
    resume_release(s);
    sdnotify_send("READY=1\nSTATUS=Serving");
    for (uint32_t i = 0; i < s->child_count; i++) {
        struct child *child = &s->children[i];
        if (child->pid == 0 && child->state != CHILD_FAILED)
            child_spawn(child);
    }
}

void stop_refused(struct child *child, struct bytes why) {
    struct supervisor *s = child->supervisor;
    if (!child->stop_ordered)
        return;
    child->stop_ordered = false;
    child_set_state(child, CHILD_UP);
    log_warning("%s refuses to stop: %.*s", child_name(child), (int)why.len,
                why.ptr ? why.ptr : "");
    if (!stop_is_on(s) || s->phase == POOL_KILLING)
        return;
    log_warning("The pool goes on; another signal within %d s stops it without saving",
                INSIST_WITHIN_MS / 1000);
    s->stop_refused_ms = clock_mono_ms();
    if (s->stop_asker != UINT32_MAX) {
        struct child *asker = &s->children[s->stop_asker];
        if (asker->generation == s->stop_asker_generation)
            child_order(asker, CONTROL_ORDER_ANSWER, s->stop_asker_id, 0,
                        BYTES_LITERAL("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    go_on(s);
}

void stop_init(struct supervisor *s) {
    ev_init(&s->stop_timeout, on_timeout);
    s->stop_timeout.data = s;
}
