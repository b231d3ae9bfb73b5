/* control_in.c - orders of the supervisor, and reports to it. */
#include "worker/worker.h"

#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/inherit.h"

#include <fcntl.h>
#include <stdio.h>

typedef void order_function(struct worker *w, const struct control_header *order,
                            struct bytes body);

void control_report(struct worker *w, enum control_type type, uint64_t id, uint64_t number,
                    struct bytes body) {
    if (control_send(INHERIT_FD_CONTROL, type, w->env.generation, id, number, body) ==
        CONTROL_AGAIN)
        log_warning("The supervisor does not read: %s was not sent", control_type_name(type));
}

static void on_stop(struct worker *w, const struct control_header *order, struct bytes body) {
    worker_stop(w, (int)order->number);
}

static void apply_config(struct worker *w, char error_r[CONFIG_ERROR_BYTES]) {
    log_set_level((enum log_level)w->config->loglevel);
    keyspace_configure(w->ks, w->config);
    if (!w->env.loading && persist_config_changed(w->persist, error_r, CONFIG_ERROR_BYTES) != 0)
        log_warning("%s", error_r);
    follow_configure(w->follow);
}

/* The supervisor has checked the lines as a whole; ours is the same table, so this cannot fail. */
static void on_config(struct worker *w, const struct control_header *order, struct bytes body) {
    char error[CONFIG_ERROR_BYTES] = "";
    if (config_from_text(w->config, body, error) != 0)
        log_warning("Configuration order refused: %s", error);
    w->config_revision = order->number;
    apply_config(w, error);
    control_report(w, CONTROL_REPORT_CONFIG_APPLIED, order->id, order->number,
                   bytes_of_text(error));
}

static void on_fork(struct worker *w, const struct control_header *order, struct bytes body) {
    if (w->feed == NULL || !feed_fork_granted(w->feed, order->number))
        persist_fork_granted(w->persist, order->number);
}

static void on_peer_down(struct worker *w, const struct control_header *order, struct bytes body) {
    router_peer_down(w->router, (uint32_t)order->number, (uint32_t)order->id);
    if (order->number < w->segment.workers) /* the front has no data */
        follow_peer_down(w->follow);
}

static void on_peer_up(struct worker *w, const struct control_header *order, struct bytes body) {
    router_peer_up(w->router, (uint32_t)order->number, (uint32_t)order->id);
}

static void on_answer(struct worker *w, const struct control_header *order, struct bytes body) {
    struct buf resp = {0};
    struct reply reply = {.out = &resp, .version = 2};
    if (order->number == 1)
        reply_bulk(&reply, body);
    else if (body.len == 0)
        reply_ok(&reply);
    else
        reply_error_format(&reply, "%.*s", (int)body.len, body.ptr);
    router_answer(w->router, order->id, buf_bytes(&resp));
    buf_free(&resp);
}

static void on_reopen_log(struct worker *w, const struct control_header *order, struct bytes body) {
    char role[16];
    snprintf(role, sizeof(role), "%u", w->env.shard);
    log_open(role, (enum log_level)w->config->loglevel, w->config->logfile);
}

static void on_cut_prepare(struct worker *w, const struct control_header *order,
                           struct bytes body) {
    char dir[CUT_DIR_BYTES];
    snprintf(dir, sizeof(dir), "%.*s", (int)body.len, body.ptr);
    persist_cut_prepare(w->persist, order->id, order->number, dir);
}

static void on_cut_lock(struct worker *w, const struct control_header *order, struct bytes body) {
    struct cut_mark mark = {.kind = CUT_OF_LOGS, .id = order->id, .try = order->number};
    router_cut(w->router, &mark);
}

static void on_cut_end(struct worker *w, const struct control_header *order, struct bytes body) {
    persist_cut_end(w->persist, order->id);
}

static void on_settle(struct worker *w, const struct control_header *order, struct bytes body) {
    follow_settle(w->follow, order->number == 1);
}

static void on_resume(struct worker *w, const struct control_header *order, struct bytes body) {
    follow_resume(w->follow, body);
}

static void on_primary_is(struct worker *w, const struct control_header *order, struct bytes body) {
    struct follow_found found = {.workers = (uint32_t)order->id, .port = (uint32_t)order->number};
    follow_primary_is(w->follow, &found, body);
}

static order_function *const orders[CONTROL_TYPE_COUNT] = {
    [CONTROL_ORDER_STOP] = on_stop,
    [CONTROL_ORDER_CONFIG] = on_config,
    [CONTROL_ORDER_FORK] = on_fork,
    [CONTROL_ORDER_PEER_DOWN] = on_peer_down,
    [CONTROL_ORDER_PEER_UP] = on_peer_up,
    [CONTROL_ORDER_ANSWER] = on_answer,
    [CONTROL_ORDER_REOPEN_LOG] = on_reopen_log,
    [CONTROL_ORDER_CUT_PREPARE] = on_cut_prepare,
    [CONTROL_ORDER_CUT_LOCK] = on_cut_lock,
    [CONTROL_ORDER_CUT_END] = on_cut_end,
    [CONTROL_ORDER_PRIMARY_IS] = on_primary_is,
    [CONTROL_ORDER_SETTLE] = on_settle,
    [CONTROL_ORDER_RESUME] = on_resume,
};

static void on_control(struct ev_loop *loop, ev_io *io, int events) {
    struct worker *w = io->data;
    struct control_header order;
    enum control_result result;
    while ((result = control_receive(io->fd, &order, w->control_body)) == CONTROL_OK) {
        if (order.generation != w->env.generation || !orders[order.type])
            log_warning("Order %s for generation %u dropped", control_type_name(order.type),
                        order.generation);
        else
            orders[order.type](w, &order, bytes_of(w->control_body, order.body_bytes));
    }
    if (result == CONTROL_BAD)
        log_warning("An order of the supervisor could not be read; dropped");
    if (result == CONTROL_CLOSED)
        worker_abandon(w);
}

void control_in_start(struct worker *w) {
    w->control_body = mem_alloc(CONTROL_BODY_MAX + 1);
    fcntl(INHERIT_FD_CONTROL, F_SETFL, fcntl(INHERIT_FD_CONTROL, F_GETFL) | O_NONBLOCK);
    ev_io_init(&w->control_io, on_control, INHERIT_FD_CONTROL, EV_READ);
    w->control_io.data = w;
    ev_io_start(w->loop, &w->control_io);
}
