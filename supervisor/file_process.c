/* file_process.c - see the header. One word through a pipe tells the end: "+", or "-" and the text. A
 * pipe closed without it means that the process died. */
#include "supervisor/file_process.h"
#include "shared/base/panic.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Noreturn static void become_worker(int pipe_fd, int lock_fd, file_work_fn *run, const void *work) {
    enum { PIPE_AT = STDERR_FILENO + 1, LOCK_AT };
    char text[FILE_PROCESS_TEXT_BYTES];
    int high_pipe = fcntl(pipe_fd, F_DUPFD, LOCK_AT + 1);
    if (lock_fd >= 0 && lock_fd != LOCK_AT)
        dup2(lock_fd, LOCK_AT);
    dup2(high_pipe, PIPE_AT);
    close_range(lock_fd >= 0 ? LOCK_AT + 1 : LOCK_AT, ~0U, 0);
    signal(SIGINT, SIG_IGN); /* ^C is for the pool, which ends in order */
    text[0] = '+';
    text[1] = 0;
    if (run(work, text + 1, sizeof(text) - 1) != 0)
        text[0] = '-';
    (void)!write(PIPE_AT, text, strlen(text));
    _exit(0);
}

static void end(struct file_process *process, const char *error) {
    file_process_leave(process, false);
    process->done(process->arg, error);
}

static void on_says(struct ev_loop *loop, ev_io *watcher, int events) {
    struct file_process *process = watcher->data;
    char text[FILE_PROCESS_TEXT_BYTES + 1];
    ssize_t got = read(process->fd, text, sizeof(text) - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    text[got > 0 ? got : 0] = 0;
    if (text[0] == '+')
        end(process, "");
    else if (text[0] == '-')
        end(process, text[1] ? text + 1 : "it failed");
    else
        end(process, "the process that works on the files died");
}

int file_process_start(struct file_process *process, struct ev_loop *loop, int lock_fd,
                       file_work_fn *run, const void *work) {
    int pair[2];
    ASSERT(process->pid == 0);
    if (pipe2(pair, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        become_worker(pair[1], lock_fd, run, work);
    int error = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        errno = error;
        return -1;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    process->loop = loop;
    process->pid = pid;
    process->fd = pair[0];
    ev_io_init(&process->says, on_says, pair[0], EV_READ);
    process->says.data = process;
    ev_io_start(loop, &process->says);
    return 0;
}

void file_process_leave(struct file_process *process, bool end_it) {
    if (process->pid == 0)
        return;
    if (end_it)
        kill(process->pid, SIGKILL);
    ev_io_stop(process->loop, &process->says);
    close(process->fd);
    process->pid = 0;
}
