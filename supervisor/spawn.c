/* spawn.c - see the header.
 *
 * In the child every descriptor is first marked close-on-exec; then each source below the table is
 * moved above it, so that no dup2() can overwrite a source that is still needed. */
#include "supervisor/spawn.h"
#include "shared/base/log.h"
#include "shared/base/panic.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int spawn_find_worker(char *worker_r, char *self_r, size_t path_bytes, char *error_r,
                      size_t error_bytes) {
    char self[4096];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = 0;
    const char *slash = strrchr(self, '/');
    if (!slash) {
        snprintf(error_r, error_bytes, "cannot find this executable: %s", strerror(errno));
        return -1;
    }
    int needed = snprintf(worker_r, path_bytes, "%.*s/remuda-worker", (int)(slash - self), self);
    if (needed >= (int)path_bytes || access(worker_r, X_OK) != 0) {
        snprintf(error_r, error_bytes, "cannot run %.1000s: %s", worker_r, strerror(errno));
        return -1;
    }
    if (self_r)
        snprintf(self_r, path_bytes, "%s", self);
    return 0;
}

void spawn_add_fd(struct spawn_plan *plan, int from, int to) {
    ASSERT(plan->fd_count < SPAWN_FDS_MAX && from >= 0 && to > STDERR_FILENO && to < SPAWN_FDS_MAX);
    plan->fds[plan->fd_count].from = from;
    plan->fds[plan->fd_count].to = to;
    plan->fd_count++;
}

int spawn_memfd(const char *name, struct bytes content) {
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -1;
    for (size_t done = 0; done < content.len;) {
        ssize_t wrote = write(fd, content.ptr + done, content.len - done);
        if (wrote < 0) {
            close(fd);
            return -1;
        }
        done += (size_t)wrote;
    }
    if (lseek(fd, 0, SEEK_SET) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int place_fds(const struct spawn_plan *plan) {
    int from[SPAWN_FDS_MAX];
    if (close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0)
        return -1;
    for (uint32_t i = 0; i < plan->fd_count; i++) {
        from[i] = plan->fds[i].from;
        if (from[i] < SPAWN_FDS_MAX)
            from[i] = fcntl(from[i], F_DUPFD_CLOEXEC, SPAWN_FDS_MAX);
        if (from[i] < 0)
            return -1;
    }
    for (uint32_t i = 0; i < plan->fd_count; i++) {
        if (dup2(from[i], plan->fds[i].to) < 0)
            return -1;
    }
    return 0;
}

static int silence_stdin(void) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -1 : dup2(fd, STDIN_FILENO);
}

static void set_number(const char *name, uint32_t value) {
    char text[16];
    snprintf(text, sizeof(text), "%u", value);
    setenv(name, text, 1);
}

_Noreturn static void become_child(const struct spawn_plan *plan) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setpgid(0, 0);
    set_number(INHERIT_ENV_LISTENERS, plan->listeners);
    set_number(INHERIT_ENV_HTTP_LISTENERS, plan->http_listeners);
    if (silence_stdin() >= 0 && place_fds(plan) == 0)
        execv(plan->path, (char *const *)(uintptr_t)plan->argv);
    log_warning("cannot start %s: %s", plan->path, strerror(errno));
    _exit(EXIT_BAD_START);
}

pid_t spawn_process(const struct spawn_plan *plan) {
    pid_t pid = fork();
    if (pid == 0)
        become_child(plan);
    return pid;
}
