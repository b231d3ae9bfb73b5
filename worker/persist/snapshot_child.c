/* snapshot_child.c - fork, what the child does, and how the parent follows it.
 *
 *   parent --fork--> child: close sockets, write temp file, sync, (rename), report, _exit
 *                     (or only write to a pipe, for replicas)
 *      ^--- pipe: progress every 100 ms, the end ---'      ^--- pidfd: it is gone
 *
 * A child that dies without its last report has failed, whatever its exit status. A child whose
 * parent dies is killed by the kernel. */
#include "worker/persist/snapshot_child.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/publish.h"
#include "worker/persist/discard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    REPORT_MAGIC = 0x534e4150,
    REPORT_EVERY_US = 100000,
    COW_DUTY = 100,
    COW_EVERY_US = 1000000,
    GO_WAIT_SECONDS = 5
};
void (*snapshot_child_begins)(void);

enum report_kind { REPORT_PROGRESS, REPORT_GOOD, REPORT_FAILED };
enum { EXIT_GOOD = 0, EXIT_SAVE_FAILED = 1, EXIT_ORPHANED = 2 };

/* One write of at most PIPE_BUF bytes: whole or not at all. */
struct report {
    uint32_t magic, kind;
    uint64_t keys, cow_bytes;
    struct rdb_saved saved;
    char text[CHILD_TEXT_BYTES];
};

/* ---- in the child ---- */
struct teller {
    int pipe;
    uint64_t told_us, cow_at_us, cow_bytes;
};

/* Pages that are ours alone: what the parent's writes (and our buffers) have cost so far. */
static uint64_t private_dirty_bytes(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    uint64_t kb, total = 0;
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "Private_Dirty: %" SCNu64 " kB", &kb) == 1)
            total += kb * 1024;
    fclose(file);
    return total;
}

/* Reading the figure walks the page tables: at most one part in COW_DUTY of the time goes there. */
static void measure_cow(struct teller *t) {
    uint64_t before = clock_mono_us();
    if (before < t->cow_at_us)
        return;
    t->cow_bytes = private_dirty_bytes();
    uint64_t after = clock_mono_us(), pause = (after - before) * COW_DUTY;
    t->cow_at_us = after + (pause > COW_EVERY_US ? pause : COW_EVERY_US);
}

static void tell(struct teller *t, enum report_kind kind, const struct rdb_saved *saved,
                 const char *text) {
    struct report r = {.magic = REPORT_MAGIC,
                       .kind = kind,
                       .keys = saved->keys,
                       .cow_bytes = t->cow_bytes,
                       .saved = *saved};
    snprintf(r.text, sizeof r.text, "%s", text);
    (void)!write(t->pipe, &r, sizeof r);
}

static void on_progress(void *arg, uint64_t keys, uint64_t bytes) {
    struct teller *t = arg;
    uint64_t now = clock_mono_us();
    if (now - t->told_us < REPORT_EVERY_US)
        return;
    t->told_us = now;
    measure_cow(t);
    tell(t, REPORT_PROGRESS, &(struct rdb_saved){.keys = keys, .bytes = bytes}, "");
}

/* Clients must see their connection close when the worker closes it, so the child may hold none.
 * Plain files stay: the log file, and the lock on the data directory, which is to be held as long as
 * anyone writes there. */
static void close_all_but_files(int keep, const int *keep_too) {
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    struct stat st;
    if (dir == NULL)
        return;
    while ((entry = readdir(dir)) != NULL) {
        int fd = atoi(entry->d_name);
        bool kept = fd == keep || (keep_too != NULL && fd == *keep_too);
        if (fd <= STDERR_FILENO || kept || fd == dirfd(dir) || fstat(fd, &st) != 0)
            continue;
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISCHR(st.st_mode))
            close(fd);
    }
    closedir(dir);
}

/* If memory runs out, the snapshot is to go, not the data. */
static void offer_to_oom_killer(void) {
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)!write(fd, "800", 3);
    close(fd);
}

static void become_child(pid_t parent, int pipe, const int *sink) {
    static const int defaults[] = {SIGTERM, SIGHUP, SIGUSR1, SIGCONT, SIGCHLD, SIGALRM};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_ORPHANED);
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        signal(defaults[i], SIG_DFL);
    signal(SIGINT, SIG_IGN); /* ^C is for the pool, which ends its children in order */
    signal(SIGPIPE, SIG_IGN);
    log_set_role("C");
    close_all_but_files(pipe, sink);
    offer_to_oom_killer();
}

static int write_snapshot(const struct snapshot_order *order, struct rdb_saved *saved_r,
                          char *error_r, size_t error_bytes) {
    if (order->pipe != NULL)
        return rdb_save_fd(*order->pipe, &order->job, saved_r, error_r, error_bytes);
    int fd = publish_begin(order->dir, order->temp, error_r, error_bytes);
    if (fd < 0 || rdb_save_fd(fd, &order->job, saved_r, error_r, error_bytes) != 0)
        return -1;
    if (order->final_name != NULL)
        return publish_commit(fd, order->dir, order->temp, order->final_name, error_r, error_bytes);
    if ((!order->scratch && fsync(fd) != 0) || close(fd) != 0) {
        snprintf(error_r, error_bytes, "fsync of %s/%s failed: %s", order->dir, order->temp,
                 strerror(errno));
        return -1;
    }
    return 0;
}

/* SIGUSR2 is blocked since before the fork, so that one that comes early is not lost. */
static void set_go_blocked(bool blocked) {
    sigset_t go;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR2);
    pthread_sigmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &go, NULL);
}

static void wait_for_go(void) {
    static const struct timespec limit = {.tv_sec = GO_WAIT_SECONDS};
    sigset_t go;
    sigemptyset(&go);
    sigaddset(&go, SIGUSR2);
    while (sigtimedwait(&go, NULL, &limit) < 0 && errno == EINTR)
        continue;
}

static _Noreturn void child_main(const struct snapshot_order *order, pid_t parent, int pipe) {
    struct teller teller = {.pipe = pipe, .told_us = clock_mono_us()};
    struct snapshot_order mine = *order;
    struct rdb_saved saved = {0};
    char error[CHILD_TEXT_BYTES] = "";
    become_child(parent, pipe, order->pipe);
    if (snapshot_child_begins != NULL)
        snapshot_child_begins();
    if (order->waits)
        wait_for_go();
    mine.job.progress = on_progress;
    mine.job.arg = &teller;
    bool ok = write_snapshot(&mine, &saved, error, sizeof error) == 0;
    teller.cow_bytes = private_dirty_bytes();
    tell(&teller, ok ? REPORT_GOOD : REPORT_FAILED, &saved, error);
    if (ok)
        log_notice("Fork CoW: %" PRIu64 " KB, %" PRIu64 " keys, %" PRIu64 " bytes written",
                   teller.cow_bytes / 1024, saved.keys, saved.bytes);
    else
        log_warning("Snapshot: %s", error);
    _exit(ok ? EXIT_GOOD : EXIT_SAVE_FAILED);
}

/* ---- in the parent ---- */
static void take_report(struct snapshot_child *c, struct report *r) {
    if (r->magic != REPORT_MAGIC)
        return;
    c->keys = r->saved.keys;
    c->bytes = r->saved.bytes;
    if (r->cow_bytes > 0) {
        c->cow_bytes = r->cow_bytes;
        c->cow_heard_us = clock_mono_us();
    }
    if (c->cow_bytes > c->cow_peak_bytes)
        c->cow_peak_bytes = c->cow_bytes;
    c->finished = r->kind == REPORT_GOOD;
    c->saved = r->saved;
    if (r->kind == REPORT_FAILED) {
        r->text[sizeof r->text - 1] = '\0';
        strcpy(c->error, r->text);
    }
}

/* Returns false when the child has closed its end. */
static bool hear(struct snapshot_child *c) {
    struct report r;
    ssize_t n;
    while ((n = read(c->pipe, &r, sizeof r)) == (ssize_t)sizeof r)
        take_report(c, &r);
    return n < 0;
}

static void on_pipe(struct ev_loop *loop, ev_io *watcher, int events) {
    if (!hear(watcher->data))
        ev_io_stop(loop, watcher);
}

static void forget(struct snapshot_child *c) {
    ev_io_stop(c->loop, &c->exit_watch);
    ev_io_stop(c->loop, &c->pipe_watch);
    close(c->pidfd);
    close(c->pipe);
    c->pipe = c->pidfd = -1;
    c->pid = 0;
}

static void discard_temp(const struct snapshot_child *c) {
    if (c->temp_path[0] != '\0')
        discard_file(c->temp_path);
}

/* Another watcher of the process may have reaped it first; its last report still tells. */
static bool ended_well(struct snapshot_child *c) {
    int status = 0;
    pid_t got = waitpid(c->pid, &status, WNOHANG);
    if (got == c->pid && WIFSIGNALED(status))
        snprintf(c->error, sizeof c->error, "killed by signal %d", WTERMSIG(status));
    else if (got == c->pid && WEXITSTATUS(status) != 0 && c->error[0] == '\0')
        snprintf(c->error, sizeof c->error, "exit status %d", WEXITSTATUS(status));
    else if (!c->finished && c->error[0] == '\0')
        snprintf(c->error, sizeof c->error, "it ended without a report");
    return c->finished && (got != c->pid || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
}

static void on_exit_of_child(struct ev_loop *loop, ev_io *watcher, int events) {
    struct snapshot_child *c = watcher->data;
    hear(c);
    bool ok = ended_well(c);
    forget(c);
    if (!ok)
        discard_temp(c);
    c->done(c->arg, ok);
}

static void watch(struct snapshot_child *c) {
    ev_io_init(&c->exit_watch, on_exit_of_child, c->pidfd, EV_READ);
    ev_io_init(&c->pipe_watch, on_pipe, c->pipe, EV_READ);
    c->exit_watch.data = c->pipe_watch.data = c;
    ev_io_start(c->loop, &c->exit_watch);
    ev_io_start(c->loop, &c->pipe_watch);
}

int snapshot_child_start(struct snapshot_child *child, void *loop,
                         const struct snapshot_order *order, void (*done)(void *arg, bool ok),
                         void *arg, char *error_r, size_t error_bytes) {
    int ends[2];
    pid_t parent = getpid();
    *child = (struct snapshot_child){.loop = loop, .done = done, .arg = arg};
    if (order->pipe == NULL)
        snprintf(child->temp_path, sizeof child->temp_path, "%s/%s", order->dir, order->temp);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
        snprintf(error_r, error_bytes, "Can't save in background: pipe: %s", strerror(errno));
        return -1;
    }
    child->started_us = clock_mono_us();
    set_go_blocked(true);
    child->pid = fork();
    if (child->pid == 0)
        child_main(order, parent, ends[1]);
    child->fork_us = clock_mono_us() - child->started_us;
    set_go_blocked(false);
    child->keys_total = keyspace_count_all(order->job.ks);
    close(ends[1]);
    child->pipe = ends[0];
    if (child->pid > 0 && (child->pidfd = pidfd_open(child->pid, 0)) >= 0) {
        watch(child);
        return 0;
    }
    snprintf(error_r, error_bytes, "Can't save in background: fork: %s", strerror(errno));
    if (child->pid > 0) {
        kill(child->pid, SIGKILL);
        waitpid(child->pid, NULL, 0);
    }
    close(ends[0]);
    child->pid = 0;
    return -1;
}

void snapshot_child_go(struct snapshot_child *child) {
    if (snapshot_child_alive(child))
        (void)pidfd_send_signal(child->pidfd, SIGUSR2, NULL, 0);
}

void snapshot_child_kill(struct snapshot_child *child) {
    if (!snapshot_child_alive(child))
        return;
    /* By descriptor: the number may be another process's by now if someone reaped it. */
    (void)pidfd_send_signal(child->pidfd, SIGKILL, NULL, 0);
    while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    forget(child);
    discard_temp(child);
}
