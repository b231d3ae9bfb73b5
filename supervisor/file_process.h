/* file_process.h - work on files by a short-lived process, for a disk may hang and the supervisor
 * must not.
 *
 * The process keeps the lock on the data directory, so that no other pool starts while it works. */
#ifndef REMUDA_SUPERVISOR_FILE_PROCESS_H
#define REMUDA_SUPERVISOR_FILE_PROCESS_H
#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { FILE_PROCESS_TEXT_BYTES = 1024 };

/* In the new process. Returns 0, or -1 with a one-line text. */
typedef int file_work_fn(const void *work, char *error_r, size_t error_bytes);

struct file_process {
    struct ev_loop *loop;
    pid_t pid; /* 0: none */
    int fd;
    ev_io says;
    /* On the loop when it has ended: error is "", or says what went wrong. */
    void (*done)(void *arg, const char *error);
    void *arg;
};

/* Zero-initialised is none. Start one: done and arg are set by the caller before. `work` is the
 * process's own copy from here on. 0, or -1 with errno: then done is not called. */
int file_process_start(struct file_process *process, struct ev_loop *loop, int lock_fd,
                       file_work_fn *run, const void *work);
/* Nothing more is heard of it. With kill it is ended too, as far as the kernel can. */
void file_process_leave(struct file_process *process, bool end_it);

#endif
