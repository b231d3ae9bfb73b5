/* worker_turn.c - the turns of a worker's loop. */
#include "worker/command/latency.h"
#include "worker/worker.h"

#include "shared/base/clock.h"
#include "shared/ipc/inherit.h"

#include <sched.h>

void worker_send(struct worker *w) {
    primary_mark(w->primary);
    uint64_t start_us = w->config->latency_monitor_threshold > 0 ? clock_mono_us() : 0;
    persist_turn_end(w->persist);
    if (start_us > 0)
        latency_event(&w->env, LATENCY_AOF_WRITE, clock_mono_us() - start_us);
    primary_turn_end(w->primary);
    if (w->feed != NULL)
        feed_turn_end(w->feed);
    clients_turn_end(w->clients);
    router_turn_end(w->router);
}

/* At one command a client, a worker that waits for other shards, or for what its primary does with them,
 * would sleep and be woken for every few commands, which costs more than the commands. Letting the others
 * run first gathers a batch. */
static void let_others_run(struct worker *w) {
    bool follows = follow_turn_was_short(w->follow);
    if (router_turn_was_short(w->router) || follows)
        sched_yield();
}

/* The turn that begins when it rings does the rest. */
static void on_alarm(struct ev_loop *loop, ev_timer *timer, int events) {
    struct worker *w = timer->data;
    w->alarm_ms = 0;
}

static void set_alarm(struct worker *w, uint64_t at_ms) {
    w->alarm_ms = at_ms;
    ev_timer_stop(w->loop, &w->alarm);
    if (at_ms == 0)
        return;
    uint64_t now_ms = clock_mono_ms();
    ev_timer_set(&w->alarm, at_ms > now_ms ? (double)(at_ms - now_ms) / 1000 : 0, 0);
    ev_timer_start(w->loop, &w->alarm);
}

/* WAIT, WAITAOF: also when they were told nothing, as the configuration may have changed. */
static void look_at_waits(struct worker *w) {
    if (!w->acknowledged)
        return;
    w->acknowledged = false;
    router_acknowledged(w->router);
}

/* Before the sleep: everything this turn made is sent; then sleep only if nothing came meanwhile. */
static void before_sleep(struct ev_loop *loop, ev_prepare *prepare, int events) {
    struct worker *w = prepare->data;
    status_beat(w->status);
    follow_turn(w->follow);
    if (w->failover != NULL)
        failover_turn(w->failover);
    look_at_waits(w);
    clients_turn_begin(w->clients);
    if (w->config->maxmemory > 0 && w->config->replicaof[0] == '\0' && !router_is_paused(w->router))
        memory_relieve(&w->env, w->ks);
    worker_send(w);
    worker_heartbeat(w);
    if (router_next_ms(w->router) != w->alarm_ms)
        set_alarm(w, router_next_ms(w->router));
    bool more = w->more_work || clients_waiting(w->clients) || follow_waiting(w->follow);
    if (!more)
        let_others_run(w);
    if (more || router_sleep(w->router))
        ev_idle_start(loop, &w->idle);
    else
        ev_idle_stop(loop, &w->idle);
    uint64_t took_us = clock_mono_us() - w->turn_started_us;
    if (took_us > w->turn_max_us)
        w->turn_max_us = took_us;
}

static void after_sleep(struct ev_loop *loop, ev_check *check, int events) {
    struct worker *w = check->data;
    w->turn_started_us = clock_mono_us();
    execute_pause();
    persist_turn_begin(w->persist);
    router_awake(w->router);
    keyspace_set_now(w->ks, clock_wall_ms());
    /* Nothing may lengthen the stream that the target of a failover has all of. */
    keyspace_set_replica(w->ks, w->config->replicaof[0] != '\0' ||
                                    atomic_load(&w->segment.header->failover) == FAILOVER_IS_ON);
    w->more_work = router_turn_begin(w->router);
    follow_look(w->follow);
    status_beat(w->status);
}

static void on_doorbell(struct ev_loop *loop, ev_io *io, int events) {
    doorbell_drain(io->fd); /* the rings were read when the sleep ended */
}

static void on_idle(struct ev_loop *loop, ev_idle *idle, int events) {
    /* Being active is all it does: the loop does not sleep. */
}

static void on_cron(struct ev_loop *loop, ev_timer *timer, int events) {
    struct worker *w = timer->data;
    w->cron_count++;
    w->acknowledged = true;
    primary_mark(w->primary); /* persist_cron() may write the log */
    persist_cron(w->persist);
    primary_keep_still(w->primary, router_is_paused(w->router));
    primary_cron(w->primary);
    if (w->feed != NULL)
        feed_cron(w->feed);
    follow_cron(w->follow);
    if (w->failover != NULL)
        failover_cron(w->failover);
    router_cron(w->router);
    clients_cron(w->clients);
    worker_cron_status(w);
}

static void on_expire(struct ev_loop *loop, ev_timer *timer, int events) {
    struct worker *w = timer->data;
    /* A quarter of the time between two calls at the most, as Redis spends. */
    uint64_t budget_us = 250000 / (uint64_t)w->config->hz;
    if (!w->env.active_expiry_paused && !router_is_paused(w->router)) {
        uint64_t start_us = clock_mono_us();
        keyspace_expire_cycle(w->ks, budget_us, (uint32_t)w->config->active_expire_effort);
        latency_event(&w->env, LATENCY_EXPIRE_CYCLE, clock_mono_us() - start_us);
    }
    keyspace_background(w->ks, 1000);
    timer->repeat = 1.0 / (double)w->config->hz;
    ev_timer_again(loop, timer);
}

void worker_turns_start(struct worker *w) {
    w->turn_started_us = w->ops_last_us = clock_mono_us();
    ev_prepare_init(&w->prepare, before_sleep);
    ev_check_init(&w->check, after_sleep);
    /* The rings come before the clients: whoever waits there has waited longer. */
    ev_set_priority(&w->check, EV_MAXPRI);
    ev_idle_init(&w->idle, on_idle);
    ev_set_priority(&w->idle, EV_MINPRI);
    ev_timer_init(&w->cron, on_cron, 0.1, 0.1);
    ev_timer_init(&w->alarm, on_alarm, 0, 0);
    ev_timer_init(&w->expire, on_expire, 0.1, 1.0 / (double)w->config->hz);
    ev_io_init(&w->doorbell_io, on_doorbell, inherit_fd_doorbell(w->env.shard), EV_READ);
    w->prepare.data = w->check.data = w->cron.data = w->expire.data = w->alarm.data = w;
    ev_prepare_start(w->loop, &w->prepare);
    ev_check_start(w->loop, &w->check);
    ev_timer_start(w->loop, &w->cron);
    ev_timer_start(w->loop, &w->expire);
    ev_io_start(w->loop, &w->doorbell_io);
}
