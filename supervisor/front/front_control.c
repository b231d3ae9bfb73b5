/* front_control.c - orders of the supervisor, reports to it.
 *
 * Its silence (end of file) means that it is gone: then the front goes too, at once, for it has
 * nothing to finish. Garbage and orders to a former generation are dropped. */
#include "supervisor/front/front_private.h"
#include "shared/base/log.h"

enum { ORDERS_BATCH = 16 };

void front_report(struct front *front, enum control_type type, uint64_t id, uint64_t number,
                  const char *text) {
    enum control_result sent =
        control_send(INHERIT_FD_CONTROL, type, front->generation, id, number, bytes_of_text(text));
    if (sent != CONTROL_OK)
        log_warning("Cannot report %s to the supervisor", control_type_name(type));
}

static void order_config(struct front *front, const struct control_header *order) {
    char error[CONFIG_ERROR_BYTES] = "";
    struct config *config = config_copy(front->config);
    struct bytes lines = bytes_of(front->control_body, order->body_bytes);
    if (config_from_text(config, lines, error)) {
        config_free(&config);
        log_warning("Refused a new configuration: %s", error);
    } else {
        router_configure(front->router, config);
        http_configure(front->http, config);
        log_set_level((enum log_level)config->loglevel);
        config_free(&front->config);
        front->config = config;
        front->config_revision = order->number;
        status_set(front->page, METRIC_config_revision, order->number);
        ev_feed_event(front->loop, &front->tick, EV_TIMER); /* its interval may be new */
    }
    front_report(front, CONTROL_REPORT_CONFIG_APPLIED, order->id, order->number, error);
}

static void order_stop(struct front *front, const struct control_header *order) {
    atomic_store(&front->page->state, CHILD_STOPPING);
    front->stopping = true;
    ev_break(front->loop, EVBREAK_ALL);
}

static void order_peer_up(struct front *front, const struct control_header *order) {
    router_peer_up(front->router);
}

static void order_reopen_log(struct front *front, const struct control_header *order) {
    if (log_open("F", (enum log_level)front->config->loglevel, front->config->logfile))
        log_warning("Cannot open the log file '%s' again", front->config->logfile);
}

/* Orders without a row (a peer that is down shows in its status page) need nothing done. */
static void (*const order_handlers[CONTROL_TYPE_COUNT])(struct front *,
                                                        const struct control_header *) = {
    [CONTROL_ORDER_STOP] = order_stop,
    [CONTROL_ORDER_CONFIG] = order_config,
    [CONTROL_ORDER_PEER_UP] = order_peer_up,
    [CONTROL_ORDER_REOPEN_LOG] = order_reopen_log,
};

static void on_control(struct ev_loop *loop, struct ev_io *io, int revents) {
    struct front *front = io->data;
    for (int i = 0; i < ORDERS_BATCH && !front->stopping; i++) {
        struct control_header order;
        enum control_result got = control_receive(INHERIT_FD_CONTROL, &order, front->control_body);
        if (got == CONTROL_AGAIN)
            return;
        if (got == CONTROL_CLOSED) {
            log_warning("The supervisor is gone, leaving");
            front->stopping = true;
            ev_break(loop, EVBREAK_ALL);
            return;
        }
        if (got == CONTROL_OK && order.generation == front->generation &&
            order_handlers[order.type])
            order_handlers[order.type](front, &order);
    }
}

void front_control_start(struct front *front) {
    ev_io_init(&front->control, on_control, INHERIT_FD_CONTROL, EV_READ);
    front->control.data = front;
    ev_set_priority(&front->control, EV_MAXPRI);
    ev_io_start(front->loop, &front->control);
}
