/* control_out.c - see the header. */
#include "supervisor/control_out.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REPORTS_PER_TURN = 64, REPORTS_PER_DRAIN = 4096 };

struct queued_order {
    struct list node;
    enum control_type type;
    uint64_t id, number;
    size_t body_bytes;
    char body[];
};

static void forget_order(struct control_out *control, struct queued_order *order) {
    list_remove(&order->node);
    control->queued--;
    control->queued_bytes -= order->body_bytes;
    mem_free(order);
}

static void reached_eof(struct control_out *control) {
    control->eof = true;
    ev_io_stop(control->loop, &control->readable);
    ev_io_stop(control->loop, &control->writable);
}

/* ---- reports in ---- */

static void take_report(struct control_out *control, const struct control_header *header,
                        const char *body) {
    if (header->generation == control->generation)
        control->on_report(control->owner, header, bytes_of(body, header->body_bytes));
    else
        control->dropped++;
}

static void receive_reports(struct control_out *control, int budget) {
    static char body[CONTROL_BODY_MAX + 1];
    while (budget-- > 0 && control->fd >= 0 && !control->eof) {
        struct control_header header;
        switch (control_receive(control->fd, &header, body)) {
        case CONTROL_OK: take_report(control, &header, body); break;
        case CONTROL_BAD:
            if (control->dropped++ == 0)
                log_warning("a child (generation %u) sent a malformed control message, dropped",
                            control->generation);
            break;
        case CONTROL_CLOSED: reached_eof(control); return;
        case CONTROL_AGAIN: return;
        }
    }
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
    receive_reports(watcher->data, REPORTS_PER_TURN);
}

void control_out_drain(struct control_out *control) {
    receive_reports(control, REPORTS_PER_DRAIN);
}

/* ---- orders out ---- */

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events) {
    struct control_out *control = watcher->data;
    LIST_EACH(node, &control->queue) {
        struct queued_order *order = LIST_ENTRY(node, struct queued_order, node);
        enum control_result result =
            control_send(control->fd, order->type, control->generation, order->id, order->number,
                         bytes_of(order->body, order->body_bytes));
        if (result == CONTROL_AGAIN)
            return;
        forget_order(control, order);
    }
    ev_io_stop(control->loop, &control->writable);
}

static bool queue_order(struct control_out *control, enum control_type type, uint64_t id,
                        uint64_t number, struct bytes body) {
    if (control->queued >= CONTROL_QUEUE_MESSAGES_MAX ||
        control->queued_bytes + body.len > CONTROL_QUEUE_BYTES_MAX)
        return false;
    struct queued_order *order = mem_alloc(sizeof(*order) + body.len);
    order->type = type;
    order->id = id;
    order->number = number;
    order->body_bytes = body.len;
    if (body.len > 0)
        memcpy(order->body, body.ptr, body.len);
    list_push_back(&control->queue, &order->node);
    control->queued++;
    control->queued_bytes += body.len;
    ev_io_start(control->loop, &control->writable);
    return true;
}

bool control_out_send(struct control_out *control, enum control_type type, uint64_t id,
                      uint64_t number, struct bytes body) {
    if (control->fd < 0 || control->eof)
        return true;
    if (control->queued == 0) {
        enum control_result result =
            control_send(control->fd, type, control->generation, id, number, body);
        if (result != CONTROL_AGAIN)
            return true;
    }
    return queue_order(control, type, id, number, body);
}

/* ---- open and close ---- */

int control_out_open(struct control_out *control, struct ev_loop *loop, uint32_t generation,
                     control_report_fn *on_report, void *owner, int *child_fd_r) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    *control = (struct control_out){.loop = loop,
                                    .fd = pair[0],
                                    .generation = generation,
                                    .on_report = on_report,
                                    .owner = owner};
    list_init(&control->queue);
    ev_io_init(&control->readable, on_readable, pair[0], EV_READ);
    ev_io_init(&control->writable, on_writable, pair[0], EV_WRITE);
    control->readable.data = control;
    control->writable.data = control;
    ev_io_start(loop, &control->readable);
    *child_fd_r = pair[1];
    return 0;
}

void control_out_close(struct control_out *control) {
    if (control->fd < 0 || !control->loop)
        return;
    ev_io_stop(control->loop, &control->readable);
    ev_io_stop(control->loop, &control->writable);
    LIST_EACH(node, &control->queue)
    forget_order(control, LIST_ENTRY(node, struct queued_order, node));
    close(control->fd);
    control->fd = -1;
}
