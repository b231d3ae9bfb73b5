/* tool.c - see the header. Runs before any loop, so it may wait. */
#include "supervisor/tool.h"
#include "shared/base/buf.h"
#include "shared/ipc/inherit.h"
#include "supervisor/spawn.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t start(const struct tool *tool) {
    struct spawn_plan plan = {.path = tool->worker_path, .argv = {tool->worker_path}};
    struct buf text = {0};
    for (int i = 0; tool->arguments[i]; i++)
        plan.argv[i + 1] = tool->arguments[i];
    config_to_text(tool->config, &text);
    int config_fd = spawn_memfd("remuda-config", buf_bytes(&text));
    buf_free(&text);
    if (config_fd < 0)
        return -1;
    spawn_add_fd(&plan, config_fd, INHERIT_FD_CONFIG);
    if (tool->lock_fd >= 0)
        spawn_add_fd(&plan, tool->lock_fd, INHERIT_FD_LOCK);
    fflush(NULL);
    pid_t pid = spawn_process(&plan);
    close(config_fd);
    return pid;
}

static enum tool_end wait_for(const struct tool *tool, pid_t pid, const sigset_t *awaited) {
    const struct timespec second = {.tv_sec = 1};
    bool stopped = false;
    int status;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        int signal = sigtimedwait(awaited, NULL, &second);
        if (signal == SIGTERM || signal == SIGINT) {
            stopped = true;
            kill(pid, SIGTERM);
        } else if (signal < 0 && errno == EAGAIN && tool->waiting) {
            tool->waiting();
        }
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return stopped ? TOOL_STOPPED : TOOL_DONE;
    if (!stopped && WIFSIGNALED(status))
        fprintf(stderr, "remuda: %s was killed by signal %d (%s)\n", tool->arguments[0],
                WTERMSIG(status), strsignal(WTERMSIG(status)));
    return stopped ? TOOL_STOPPED : TOOL_FAILED;
}

enum tool_end tool_run(const struct tool *tool) {
    sigset_t awaited, before;
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);
    sigaddset(&awaited, SIGTERM);
    sigaddset(&awaited, SIGINT);
    sigprocmask(SIG_BLOCK, &awaited, &before);
    pid_t pid = start(tool);
    enum tool_end end = TOOL_FAILED;
    if (pid > 0)
        end = wait_for(tool, pid, &awaited);
    else
        fprintf(stderr, "remuda: cannot start %s: %s\n", tool->worker_path, strerror(errno));
    sigprocmask(SIG_SETMASK, &before, NULL);
    return end;
}
