/* children.c - the life of one child of the pool.
 *
 *   DOWN -> STARTING -> LOADING -> UP -> STOPPING -> STOPPED
 *              ^           |       |
 *              |           v       v     died: status page reset, the others told
 *              +------- WAITING <--+---> FAILED (crashed too often, or starting cannot help)
 *
 * Whatever a child sends is judged before it is believed; the worst it can do is to be killed. */
#include "supervisor/supervisor_private.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/panic.h"
#include "shared/ipc/handover.h"
#include "supervisor/reap.h"
#include "supervisor/spawn.h"
#include "supervisor/vitals.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { EOF_GRACE_MS = 1000, FRONT_DELAY_MAX_MS = 500, FRONT_HEALTHY_MS = 10000 };

bool child_is_front(const struct child *child) {
    return child->index == segment_front_index(child->supervisor->workers);
}

const char *child_name(const struct child *child) {
    static char name[32];
    if (child_is_front(child))
        return "the front";
    snprintf(name, sizeof(name), "shard %u", child->index);
    return name;
}

void child_set_state(struct child *child, enum child_state state) {
    child->state = state;
    if (child->pid == 0 || state == CHILD_STARTING)
        atomic_store(&child->page->state, state);
}

/* ---- orders ---- */

void child_kill(struct child *child, const char *reason) {
    if (child->pid == 0)
        return;
    if (child->kill_reason[0] == 0)
        snprintf(child->kill_reason, sizeof(child->kill_reason), "%s", reason);
    kill(child->pid, SIGKILL);
}

void child_order(struct child *child, enum control_type type, uint64_t id, uint64_t number,
                 struct bytes body) {
    if (child->pid != 0 && !control_out_send(&child->control, type, id, number, body))
        child_kill(child, "does not read its orders");
}

void children_order(struct supervisor *s, enum control_type type, uint64_t id, uint64_t number,
                    struct bytes body) {
    for (uint32_t i = 0; i < s->child_count; i++)
        child_order(&s->children[i], type, id, number, body);
}

static void tell_others(struct child *child, enum control_type type) {
    struct supervisor *s = child->supervisor;
    for (uint32_t i = 0; i < s->child_count; i++) {
        if (i != child->index)
            child_order(&s->children[i], type, child->generation, child->index, BYTES_LITERAL(""));
    }
}

/* ---- turns to fork ---- */

/* The worst that can happen while a child of it lives: all it has allocated is written to, and copied. */
static uint64_t worst_copy(const struct supervisor *s, uint32_t process, uint64_t asked_bytes) {
    uint64_t used = status_get(segment_status(&s->segment, process), METRIC_used_memory_bytes);
    double bytes = (double)(used > asked_bytes ? used : asked_bytes);
    return (uint64_t)(bytes * (double)s->config->snapshot_memory_percent / 100);
}

static uint64_t worst_copy_of_all(const struct supervisor *s) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->workers; i++)
        bytes += worst_copy(s, i, 0);
    return bytes;
}

static void look_at_forks(struct supervisor *s) {
    for (uint32_t i = 0; i < s->scheduler.count; i++) {
        struct fork_wish *wish = &s->scheduler.wishes[i];
        if (wish->granted)
            wish->copied_bytes =
                status_get(segment_status(&s->segment, wish->process), METRIC_save_cow_bytes);
        else
            wish->bytes = wish->of_all ? worst_copy_of_all(s) : worst_copy(s, wish->process, 0);
    }
}

static void show_wait(struct status_page *page, enum fork_wait wait, uint64_t needed_bytes,
                      uint64_t free_bytes) {
    atomic_store(&page->fork_wait, wait);
    atomic_store(&page->fork_needed_bytes, needed_bytes);
    atomic_store(&page->fork_free_bytes, free_bytes);
}

static void show_waits(struct supervisor *s, uint64_t available) {
    for (uint32_t i = 0; i < s->workers; i++)
        show_wait(s->children[i].page, FORK_WAIT_NOT, 0, 0);
    for (uint32_t i = 0; i < s->scheduler.count; i++) {
        struct fork_wish *wish = &s->scheduler.wishes[i];
        struct child *child = &s->children[wish->process];
        if (wish->granted)
            continue;
        bool memory = wish->wait == FORK_WAIT_MEMORY;
        show_wait(child->page, wish->wait, memory ? wish->needed_bytes : 0, memory ? available : 0);
        if (memory && !wish->told)
            log_warning("%s waits for memory before it forks: %llu bytes may be needed, %llu are "
                        "free",
                        child_name(child), (unsigned long long)wish->needed_bytes,
                        (unsigned long long)available);
        wish->told |= memory;
    }
}

void children_grant_forks(struct supervisor *s) {
    if (s->children == NULL)
        return;
    struct fork_wish *wish;
    uint64_t available = s->scheduler.count > 0 ? vitals_available_bytes() : UINT64_MAX;
    look_at_forks(s);
    while ((wish = scheduler_next(&s->scheduler, (uint32_t)s->config->snapshot_concurrency,
                                  available)) != NULL) {
        if (wish->told)
            log_notice("%s has the memory it waited for", child_name(&s->children[wish->process]));
        child_order(&s->children[wish->process], CONTROL_ORDER_FORK, wish->id, wish->id,
                    BYTES_LITERAL(""));
    }
    show_waits(s, available);
}

/* "1a snapshot": how urgent, and what for. */
static enum fork_urgency urgency_of(struct bytes body) {
    unsigned digit = body.len > 0 ? (unsigned)(body.ptr[0] - '0') : 0;
    return digit < FORK_URGENCIES ? (enum fork_urgency)digit : FORK_BY_ITSELF;
}

static void wish_queued(struct child *child, bool queued) {
    if (queued)
        children_grant_forks(child->supervisor);
    else
        log_warning("%s asks for too many forks at once", child_name(child));
}

static void on_fork_want(struct child *child, const struct control_header *header,
                         struct bytes body) {
    struct supervisor *s = child->supervisor;
    wish_queued(child, !child_is_front(child) &&
                           scheduler_want(&s->scheduler, child->index, header->id, urgency_of(body),
                                          worst_copy(s, child->index, header->number)));
}

static void on_fork_want_all(struct child *child, const struct control_header *header,
                             struct bytes body) {
    struct supervisor *s = child->supervisor;
    wish_queued(child, !child_is_front(child) &&
                           scheduler_want_all(&s->scheduler, child->index, header->id,
                                              urgency_of(body), worst_copy_of_all(s)));
}

static void on_fork_done(struct child *child, const struct control_header *header,
                         struct bytes body) {
    if (scheduler_done(&child->supervisor->scheduler, child->index, header->id))
        children_grant_forks(child->supervisor);
}

/* ---- reports ---- */

static void on_loading(struct child *child, const struct control_header *header,
                       struct bytes body) {
    if (child->state == CHILD_STARTING)
        child->state = CHILD_LOADING;
}

static void on_ready(struct child *child, const struct control_header *header, struct bytes body) {
    if (child->state != CHILD_STARTING && child->state != CHILD_LOADING)
        return;
    child->state = CHILD_UP;
    log_notice("%s is up (pid %d, generation %u)", child_name(child), (int)child->pid,
               child->generation);
    tell_others(child, CONTROL_ORDER_PEER_UP);
    supervisor_check_ready(child->supervisor);
    resume_ready(child, body);
}

static void on_config_applied(struct child *child, const struct control_header *header,
                              struct bytes body) {
    config_change_applied(child, header->id ? header->id : header->number, body);
}

static void on_request_config(struct child *child, const struct control_header *header,
                              struct bytes body) {
    config_change_request(child, header->id, body);
}

static void on_request_rewrite(struct child *child, const struct control_header *header,
                               struct bytes body) {
    config_rewrite_request(child, header->id);
}

static void on_request_shutdown(struct child *child, const struct control_header *header,
                                struct bytes body) {
    log_notice("%s passes on a client's SHUTDOWN", child_name(child));
    stop_begin(child->supervisor, header->number, child, header->id);
}

static void on_request_snapshot(struct child *child, const struct control_header *header,
                                struct bytes body) {
    cut_request(child, header->id, header->number, body);
}

static void on_cut_prepared(struct child *child, const struct control_header *header,
                            struct bytes body) {
    cut_report_prepared(child, header->id, header->number, body);
}

static void on_cut_locked(struct child *child, const struct control_header *header,
                          struct bytes body) {
    cut_report_locked(child, header->id, header->number, body);
}

static void on_cut_linked(struct child *child, const struct control_header *header,
                          struct bytes body) {
    cut_report_linked(child, header->id, header->number, body);
}

/* All of the pool follow it in one way. */
static void on_primary_is(struct child *child, const struct control_header *header,
                          struct bytes body) {
    if (!stop_is_on(child->supervisor))
        children_order(child->supervisor, CONTROL_ORDER_PRIMARY_IS, header->id, header->number,
                       body);
}

static void on_settled(struct child *child, const struct control_header *header,
                       struct bytes body) {
    stop_settled(child);
}

static void on_sealed(struct child *child, const struct control_header *header, struct bytes body) {
    resume_sealed(child, body);
}

static void on_stop_refused(struct child *child, const struct control_header *header,
                            struct bytes body) {
    stop_refused(child, body);
    /* Those who were started again meanwhile may have seen it stopping. */
    if (child->state == CHILD_UP)
        tell_others(child, CONTROL_ORDER_PEER_UP);
}

static void on_failed(struct child *child, const struct control_header *header, struct bytes body) {
    status_set_text(child->report, "%.*s", (int)body.len, body.ptr ? body.ptr : "");
    log_warning("%s: %s", child_name(child), child->report);
}

typedef void report_fn(struct child *child, const struct control_header *header, struct bytes body);

static report_fn *const report_table[CONTROL_TYPE_COUNT] = {
    [CONTROL_REPORT_LOADING] = on_loading,
    [CONTROL_REPORT_READY] = on_ready,
    [CONTROL_REPORT_CONFIG_APPLIED] = on_config_applied,
    [CONTROL_REPORT_FORK_WANT] = on_fork_want,
    [CONTROL_REPORT_FORK_WANT_ALL] = on_fork_want_all,
    [CONTROL_REPORT_FORK_DONE] = on_fork_done,
    [CONTROL_REPORT_REQUEST_CONFIG] = on_request_config,
    [CONTROL_REPORT_REQUEST_REWRITE] = on_request_rewrite,
    [CONTROL_REPORT_REQUEST_SHUTDOWN] = on_request_shutdown,
    [CONTROL_REPORT_REQUEST_SNAPSHOT] = on_request_snapshot,
    [CONTROL_REPORT_CUT_PREPARED] = on_cut_prepared,
    [CONTROL_REPORT_CUT_LOCKED] = on_cut_locked,
    [CONTROL_REPORT_CUT_LINKED] = on_cut_linked,
    [CONTROL_REPORT_PRIMARY_IS] = on_primary_is,
    [CONTROL_REPORT_SETTLED] = on_settled,
    [CONTROL_REPORT_SEALED] = on_sealed,
    [CONTROL_REPORT_STOP_REFUSED] = on_stop_refused,
    [CONTROL_REPORT_FAILED] = on_failed,
};

static void on_report(void *owner, const struct control_header *header, struct bytes body) {
    struct child *child = owner;
    report_fn *handler = report_table[header->type];
    if (handler)
        handler(child, header, body);
    else
        log_warning("%s sent a %s, which is not for us", child_name(child),
                    control_type_name(header->type));
}

/* ---- death ---- */

static struct restart_rules rules_of(const struct child *child) {
    const struct config *config = child->supervisor->config;
    struct restart_rules rules = {
        .delay_min_ms = (uint64_t)config->restart_delay_min,
        .delay_max_ms = (uint64_t)config->restart_delay_max,
        .healthy_after_ms = (uint64_t)config->restart_healthy_after * 1000,
        .window_ms = (uint64_t)config->restart_window * 1000,
        .limit = (uint32_t)config->restart_limit,
    };
    if (child_is_front(child)) {
        rules.first_at_once = true;
        rules.healthy_after_ms = FRONT_HEALTHY_MS;
        rules.never_gives_up = true;
        if (rules.delay_max_ms > FRONT_DELAY_MAX_MS)
            rules.delay_max_ms = FRONT_DELAY_MAX_MS;
    }
    return rules;
}

static uint32_t random_jitter(void) {
    uint16_t jitter = 0;
    (void)!getrandom(&jitter, sizeof(jitter), GRND_NONBLOCK);
    return jitter;
}

/* Clients the front gave to a shard that will not come back: another worker takes them. */
static void pass_on_clients(struct child *child) {
    struct supervisor *s = child->supervisor;
    struct handover what;
    int client;
    uint32_t next = 0;
    while (handover_receive(s->handover_receive[child->index], &client, &what) == HANDOVER_OK) {
        bool passable = what.origin != HANDOVER_FEED; /* that one wants this very shard */
        for (uint32_t tried = 0; passable && tried < s->workers; tried++) {
            uint32_t to = next++ % s->workers;
            if (s->children[to].state == CHILD_UP &&
                handover_send(s->handover_send[to], client, &what) == HANDOVER_OK)
                break;
        }
        close(client);
    }
}

static void fail_child(struct child *child, const char *why) {
    log_warning("%s has failed and is not started again: %s", child_name(child), why);
    child_set_state(child, CHILD_FAILED);
    resume_child_gone(child);
    pass_on_clients(child);
    supervisor_check_ready(child->supervisor);
}

static void restart_later(struct child *child, uint64_t delay_ms) {
    struct supervisor *s = child->supervisor;
    child_set_state(child, CHILD_WAITING);
    atomic_store(&child->page->restart_at_wall_ms, clock_wall_ms() + (int64_t)delay_ms);
    ev_timer_stop(s->loop, &child->restart);
    ev_timer_set(&child->restart, (double)delay_ms / 1000, 0);
    ev_timer_start(s->loop, &child->restart);
}

static void decide_restart(struct child *child, uint64_t ran_ms) {
    struct restart_rules rules = rules_of(child);
    struct restart_decision decision =
        restart_decide(&child->history, &rules, clock_mono_ms(), ran_ms, random_jitter());
    if (decision.verdict == RESTART_AFTER_DELAY) {
        restart_later(child, decision.delay_ms);
        return;
    }
    char why[STATUS_TEXT_BYTES];
    snprintf(why, sizeof(why), "%s", child->page->last_exit);
    status_set_text(child->page->last_exit, "%s (%u crashes within %llu s)", why,
                    decision.crashes_in_window, (unsigned long long)(rules.window_ms / 1000));
    fail_child(child, child->page->last_exit);
}

/* While no process owns them. */
static void reset_pages(struct child *child) {
    struct segment *segment = &child->supervisor->segment;
    status_page_reset(child->page);
    if (child->index < segment->workers)
        replication_page_reset(segment_replication(segment, child->index));
}

/* Everything that held because the process lived ends here; the page keeps why. */
static enum reap_kind bury(struct child *child, int status) {
    struct supervisor *s = child->supervisor;
    char words[STATUS_TEXT_BYTES];
    struct reap_context context = {.kill_reason = child->kill_reason,
                                   .report = child->report,
                                   .oom_seen = reap_oom_kills() > child->oom_kills};
    enum reap_kind kind = reap_words(status, &context, words, sizeof(words));
    if (!(kind == REAP_ORDERLY && child->stop_ordered))
        log_warning("%s (pid %d) died: %s", child_name(child), (int)child->pid, words);
    child->pid = 0;
    ev_child_stop(s->loop, &child->ended);
    control_out_close(&child->control);
    reset_pages(child);
    status_set_text(child->page->last_exit, "%s",
                    kind == REAP_ORDERLY && child->stop_ordered ? "" : words);
    scheduler_forget(&s->scheduler, child->index);
    children_grant_forks(s);
    tell_others(child, CONTROL_ORDER_PEER_DOWN);
    config_change_child_gone(child);
    cut_child_gone(child);
    resume_child_gone(child);
    return kind;
}

static void on_ended(struct ev_loop *loop, ev_child *watcher, int events) {
    struct child *child = watcher->data;
    uint64_t ran_ms = clock_mono_ms() - child->spawned_ms;
    control_out_drain(&child->control);
    bool stopping = stop_is_on(child->supervisor);
    enum reap_kind kind = bury(child, watcher->rstatus);
    bool orderly = kind == REAP_ORDERLY && child->stop_ordered;
    if (stopping) {
        child_set_state(child, CHILD_STOPPED);
        stop_child_gone(child, orderly);
    } else if (orderly) {
        restart_later(child, 0);
    } else if (kind == REAP_UNSTARTABLE && !child_is_front(child)) {
        fail_child(child, child->page->last_exit);
    } else {
        decide_restart(child, ran_ms);
    }
}

/* ---- birth ---- */

static int spawn_add_common(struct child *child, struct spawn_plan *plan, int control_fd) {
    struct supervisor *s = child->supervisor;
    struct buf text = {0};
    config_to_text(s->config, &text);
    int config_fd = spawn_memfd("remuda-config", buf_bytes(&text));
    buf_free(&text);
    if (config_fd < 0)
        return -1;
    spawn_add_fd(plan, s->segment_fd, INHERIT_FD_SEGMENT);
    spawn_add_fd(plan, control_fd, INHERIT_FD_CONTROL);
    spawn_add_fd(plan, config_fd, INHERIT_FD_CONFIG);
    spawn_add_fd(plan, s->lock_fd, INHERIT_FD_LOCK);
    for (uint32_t i = 0; i < s->workers; i++)
        spawn_add_fd(plan, s->handover_send[i], inherit_fd_handover(i));
    return config_fd;
}

static void add_listeners(struct spawn_plan *plan, const struct listen_set *set, int to) {
    for (uint32_t i = 0; i < set->count; i++)
        spawn_add_fd(plan, set->fds[i], to + (int)i);
}

static void plan_front(const struct child *child, struct spawn_plan *plan, const char *generation) {
    const struct supervisor *s = child->supervisor;
    plan->path = s->program_path;
    plan->argv[0] = "remuda";
    plan->argv[1] = "--front";
    plan->argv[2] = generation;
    plan->listeners = s->listeners.front.count;
    plan->http_listeners = s->listeners.http.count;
    add_listeners(plan, &s->listeners.front, INHERIT_FD_LISTEN);
    add_listeners(plan, &s->listeners.http, INHERIT_FD_HTTP);
}

static void plan_worker(const struct child *child, struct spawn_plan *plan, const char *index,
                        const char *generation) {
    const struct supervisor *s = child->supervisor;
    plan->path = s->worker_path;
    plan->argv[0] = "remuda-worker";
    plan->argv[1] = index;
    plan->argv[2] = generation;
    plan->listeners = s->listeners.worker[child->index].count;
    add_listeners(plan, &s->listeners.worker[child->index], INHERIT_FD_LISTEN);
    spawn_add_fd(plan, s->handover_receive[child->index], INHERIT_FD_HANDOVER);
    for (uint32_t i = 0; i < s->workers; i++)
        spawn_add_fd(plan, s->doorbell[i], inherit_fd_doorbell(i));
}

/* Returns the pid, or -1 with errno. */
static pid_t start_process(struct child *child, int control_fd) {
    struct spawn_plan plan = {0};
    char index[16], generation[16];
    snprintf(index, sizeof(index), "%u", child->index);
    snprintf(generation, sizeof(generation), "%u", child->generation);
    int config_fd = spawn_add_common(child, &plan, control_fd);
    if (config_fd < 0)
        return -1;
    if (child_is_front(child))
        plan_front(child, &plan, generation);
    else
        plan_worker(child, &plan, index, generation);
    pid_t pid = spawn_process(&plan);
    int error = errno;
    close(config_fd);
    errno = error;
    return pid;
}

/* The page as a new generation finds it. Nobody owns it now. */
static void prepare_page(struct child *child, bool restarted) {
    struct supervisor *s = child->supervisor;
    reset_pages(child);
    atomic_store(&child->page->generation, child->generation);
    atomic_store(&child->page->started_wall_ms, clock_wall_ms());
    atomic_store(&child->page->restart_at_wall_ms, 0);
    status_set(child->page, METRIC_config_revision, s->config_revision);
    child_set_state(child, CHILD_STARTING);
    if (restarted) {
        atomic_fetch_add(&child->page->restarts, 1);
        status_add(s->page, METRIC_restarts, 1);
    }
}

void child_spawn(struct child *child) {
    struct supervisor *s = child->supervisor;
    int control_fd;
    bool restarted = child->generation != 0;
    child->generation = ++s->last_generation;
    child->kill_reason[0] = child->report[0] = 0;
    child->stop_ordered = false;
    child->eof_ms = 0;
    child->spawned_ms = clock_mono_ms();
    child->oom_kills = reap_oom_kills();
    prepare_page(child, restarted);
    heartbeat_begin(&child->heartbeat, atomic_load(&child->page->heartbeat), child->spawned_ms);
    if (control_out_open(&child->control, s->loop, child->generation, on_report, child,
                         &control_fd) != 0) {
        status_set_text(child->page->last_exit, "cannot be started: %s", strerror(errno));
        decide_restart(child, 0);
        return;
    }
    pid_t pid = start_process(child, control_fd);
    int error = errno;
    close(control_fd);
    if (pid < 0) {
        control_out_close(&child->control);
        status_set_text(child->page->last_exit, "cannot be started: %s", strerror(error));
        log_warning("%s %s", child_name(child), child->page->last_exit);
        decide_restart(child, 0);
        return;
    }
    child->pid = pid;
    atomic_store(&child->page->pid, (uint32_t)pid);
    ev_child_set(&child->ended, pid, 0);
    ev_child_start(s->loop, &child->ended);
}

static void on_restart(struct ev_loop *loop, ev_timer *timer, int events) {
    child_spawn(timer->data);
}

void child_init(struct supervisor *s, uint32_t index) {
    struct child *child = &s->children[index];
    child->supervisor = s;
    child->index = index;
    child->page = segment_status(&s->segment, index);
    child->control.fd = -1;
    ev_init(&child->ended, on_ended);
    ev_init(&child->restart, on_restart);
    child->ended.data = child;
    child->restart.data = child;
    child_set_state(child, CHILD_DOWN);
}

/* ---- heartbeats ---- */

static void look_at(struct child *child, uint64_t now_ms) {
    uint64_t timeout_ms = (uint64_t)child->supervisor->config->heartbeat_timeout;
    struct heartbeat_sign sign = {.counter = atomic_load(&child->page->heartbeat)};
    vitals_look_at(child->pid, &sign.state, &sign.cpu_ms);
    bool alive = heartbeat_look(&child->heartbeat, &sign, now_ms, timeout_ms);
    if (!alive && !child->stop_ordered && child->kill_reason[0] == 0) {
        char reason[64];
        snprintf(reason, sizeof(reason), "no heartbeat for %.1f s",
                 (double)child->heartbeat.still_ms / 1000);
        child_kill(child, reason);
    }
    if (!child->control.eof || child->stop_ordered)
        return;
    if (child->eof_ms == 0)
        child->eof_ms = now_ms;
    else if (now_ms - child->eof_ms >= EOF_GRACE_MS)
        child_kill(child, "closed its control socket");
}

void children_look(struct supervisor *s) {
    uint64_t now_ms = clock_mono_ms();
    for (uint32_t i = 0; i < s->child_count; i++) {
        if (s->children[i].pid != 0)
            look_at(&s->children[i], now_ms);
    }
}
