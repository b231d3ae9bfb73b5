/* control_out.h - the supervisor's end of one child's control socket: orders out, reports in.
 *
 * Nothing blocks. An order the socket does not take waits in a bounded queue; when that is full the
 * child is hung and the caller is told. Garbage and messages of another generation are counted and
 * dropped. */
#ifndef REMUDA_SUPERVISOR_CONTROL_OUT_H
#define REMUDA_SUPERVISOR_CONTROL_OUT_H
#include "shared/base/bytes.h"
#include "shared/base/list.h"
#include "shared/ipc/control.h"
#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CONTROL_QUEUE_MESSAGES_MAX = 1024, CONTROL_QUEUE_BYTES_MAX = 1024 * 1024 };

/* A report of the right generation; body is NUL-terminated. */
typedef void control_report_fn(void *owner, const struct control_header *header, struct bytes body);

struct control_out {
    struct ev_loop *loop;
    int fd; /* -1: closed */
    uint32_t generation;
    bool eof; /* the child closed its end */
    ev_io readable, writable;
    struct list queue;
    uint32_t queued;
    size_t queued_bytes;
    uint64_t dropped; /* garbage and stale messages */
    control_report_fn *on_report;
    void *owner;
};

/* Makes a socket pair, keeps one end and gives the child's in *child_fd_r (the caller closes it
 * after the fork). Returns 0, or -1 with errno. */
int control_out_open(struct control_out *control, struct ev_loop *loop, uint32_t generation,
                     control_report_fn *on_report, void *owner, int *child_fd_r);
/* Safe on a closed one. */
void control_out_close(struct control_out *control);
/* Send or queue. False: the queue is full (the child does not read). A closed socket swallows. */
bool control_out_send(struct control_out *control, enum control_type type, uint64_t id,
                      uint64_t number, struct bytes body);
/* Hand over what is readable now: the last words of a child that has ended. */
void control_out_drain(struct control_out *control);

#endif
