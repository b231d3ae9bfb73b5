/* supervisor.c - set a pool up, run its loop, take it down.
 *
 * Set-up may block and fails with one line on stderr. From the first spawn on nothing blocks: no
 * byte from a network is read here, and what children send is judged in children.c. */
#include "supervisor/supervisor_private.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "supervisor/announce.h"
#include "supervisor/datadir.h"
#include "supervisor/failover.h"
#include "supervisor/move.h"
#include "supervisor/redistribute.h"
#include "supervisor/sdnotify.h"
#include "supervisor/snapshot_dir.h"
#include "supervisor/spawn.h"
#include "supervisor/vitals.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- set-up, in this order: what needs root first ---- */

/* 0; 1: told to stop while it went on; -1 with a text. */
typedef int setup_fn(struct supervisor *s, char *error_r);

static int setup_paths(struct supervisor *s, char *error_r) {
    return spawn_find_worker(s->worker_path, s->program_path, sizeof(s->worker_path), error_r,
                             SUPERVISOR_TEXT_BYTES);
}

static int setup_log(struct supervisor *s, char *error_r) {
    const char *file = s->config->logfile;
    if (log_open("S", (enum log_level)s->config->loglevel, file) != 0) {
        snprintf(error_r, SUPERVISOR_TEXT_BYTES, "cannot open the log file %s: %s", file,
                 strerror(errno));
        return -1;
    }
    if (file && file[0] && s->target.uid != (uid_t)-1 &&
        chown(file, s->target.uid, s->target.gid) != 0) {
        snprintf(error_r, SUPERVISOR_TEXT_BYTES, "cannot give the log file %s to user '%s': %s",
                 file, s->target.name, strerror(errno));
        return -1;
    }
    return 0;
}

static int setup_user(struct supervisor *s, char *error_r) {
    return privileges_find(s->config->user, &s->target, error_r, SUPERVISOR_TEXT_BYTES);
}

static int setup_files(struct supervisor *s, char *error_r) {
    uint64_t own = (uint64_t)s->workers * (4 + LISTEN_FDS_MAX) + 2 * SPAWN_FDS_MAX;
    uint64_t limit = privileges_raise_files((uint64_t)s->config->maxclients + own);
    if (limit >= own)
        return 0;
    snprintf(error_r, SUPERVISOR_TEXT_BYTES,
             "%llu open files are allowed, %llu are needed for %u workers; see ulimit -n",
             (unsigned long long)limit, (unsigned long long)own, s->workers);
    return -1;
}

static int setup_datadir(struct supervisor *s, char *error_r) {
    s->lock_fd = datadir_open(s->config->dir, s->target.uid, s->target.gid, DATADIR_LOCK_WAIT_MS,
                              error_r, SUPERVISOR_TEXT_BYTES);
    return s->lock_fd < 0 ? -1 : 0;
}

/* auto is for a new pool: one that exists keeps its shards when it comes to another machine, and only a
 * number that somebody wrote deals the keys anew. */
static int setup_workers(struct supervisor *s, char *error_r) {
    static struct pool_file there;
    char why[256];
    if (strcmp(s->config->workers, "auto") != 0 ||
        pool_file_read(s->config->dir, &there, why, sizeof(why)) != 0 || there.shards == s->workers)
        return 0; /* a file that is not usable is told later */
    log_notice("workers is auto: the pool in %s keeps its %u shards (%u cores are usable); give a "
               "number to deal the keys anew",
               s->config->dir, there.shards, s->workers);
    s->workers = there.shards;
    return 0;
}

static int setup_listeners(struct supervisor *s, char *error_r) {
    return listeners_open(&s->listeners, s->config, s->workers, error_r, SUPERVISOR_TEXT_BYTES);
}

static int setup_pidfile(struct supervisor *s, char *error_r) {
    const char *path = s->config->pidfile;
    if (!path || !path[0])
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
        snprintf(error_r, SUPERVISOR_TEXT_BYTES, "cannot write the pidfile %s: %s", path,
                 strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    close(fd);
    s->pidfile_written = true;
    return 0;
}

static int setup_privileges(struct supervisor *s, char *error_r) {
    const char *socket_path = s->listeners.unix_path;
    if (socket_path[0] && s->target.uid != (uid_t)-1 &&
        chown(socket_path, s->target.uid, s->target.gid) != 0) {
        snprintf(error_r, SUPERVISOR_TEXT_BYTES, "cannot give unixsocket %s to user '%s': %s",
                 socket_path, s->target.name, strerror(errno));
        return -1;
    }
    return privileges_drop(&s->target, error_r, SUPERVISOR_TEXT_BYTES);
}

/* Before anything else is done with the files: what it says is good for this start only. */
static int setup_resume(struct supervisor *s, char *error_r) {
    return resume_take(&s->resume, s->config->dir, error_r, SUPERVISOR_TEXT_BYTES);
}

/* Also finishes or discards what a move of shards left that was cut off. */
static int setup_pool_file(struct supervisor *s, char *error_r) {
    if (move_recover(s->config->dir, s->config, error_r, SUPERVISOR_TEXT_BYTES) != 0 ||
        pool_file_open(s->config->dir, s->workers, &s->pool, error_r, SUPERVISOR_TEXT_BYTES) != 0)
        return -1;
    if (s->pool.shards == s->workers)
        return 0;
    struct redistribution job = {.config = s->config,
                                 .worker_path = s->worker_path,
                                 .lock_fd = s->lock_fd,
                                 .shards = s->workers};
    return redistribute(&job, &s->pool, error_r, SUPERVISOR_TEXT_BYTES);
}

/* What cannot be removed is in nobody's way. */
static int setup_snapshots(struct supervisor *s, char *error_r) {
    if (snapshots_clean(s->config->dir, error_r, SUPERVISOR_TEXT_BYTES) != 0)
        log_warning("A snapshot that was not finished stays: %s", error_r);
    return 0;
}

static void fill_segment(struct supervisor *s) {
    struct segment_header *header = s->segment.header;
    struct slot_map *slots = s->segment.slots;
    memcpy(header->pool_id, s->pool.pool_id, sizeof(header->pool_id));
    random_id(header->run_id);
    header->started_wall_ms = clock_wall_ms();
    (void)!getrandom(header->hash_seed, sizeof(header->hash_seed), 0);
    atomic_store(&header->next_client_id, 1);
    pool_file_to_slot_map(&s->pool, slots);
    for (uint32_t i = 0; i < s->workers && s->config->worker_port_base; i++)
        slots->port[i] = (uint16_t)(s->config->worker_port_base + i);
    listeners_announce_host(&s->listeners, s->config, slots->announce_host);
}

static int setup_segment(struct supervisor *s, char *error_r) {
    s->segment_fd = segment_create(&s->segment, s->workers, (uint32_t)s->config->relay_ring_size,
                                   error_r, SUPERVISOR_TEXT_BYTES);
    if (s->segment_fd < 0)
        return -1;
    fill_segment(s);
    s->page = segment_status(&s->segment, segment_supervisor_index(s->workers));
    s->last_generation = 1;
    atomic_store(&s->page->generation, s->last_generation);
    atomic_store(&s->page->pid, (uint32_t)getpid());
    atomic_store(&s->page->started_wall_ms, clock_wall_ms());
    status_set(s->page, METRIC_config_revision, s->config_revision);
    status_set(s->page, METRIC_cut_last_ok, 1);
    return 0;
}

static int setup_wiring(struct supervisor *s, char *error_r) {
    for (uint32_t i = 0; i < s->workers; i++) {
        int pair[2];
        s->doorbell[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (s->doorbell[i] < 0 ||
            socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
            snprintf(error_r, SUPERVISOR_TEXT_BYTES, "cannot wire worker %u: %s", i,
                     strerror(errno));
            return -1;
        }
        s->handover_receive[i] = pair[0];
        s->handover_send[i] = pair[1];
    }
    return 0;
}

static int set_up(struct supervisor *s, char *error_r) {
    static setup_fn *const steps[] = {
        setup_paths,     setup_user,      setup_log,     setup_datadir,    setup_workers,
        setup_files,     setup_listeners, setup_pidfile, setup_privileges, setup_resume,
        setup_pool_file, setup_snapshots, setup_segment, failover_setup,   setup_wiring,
    };
    int result = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && result == 0; i++)
        result = steps[i](s, error_r);
    return result;
}

/* ---- the loop ---- */

void supervisor_reopen_log(struct supervisor *s) {
    if (log_open("S", (enum log_level)s->config->loglevel, s->config->logfile) != 0)
        log_warning("cannot open the log file %s again: %s", s->config->logfile, strerror(errno));
    children_order(s, CONTROL_ORDER_REOPEN_LOG, 0, 0, BYTES_LITERAL(""));
}

static void on_terminate(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct supervisor *s = watcher->data;
    log_warning("Received %s", watcher->signum == SIGINT ? "SIGINT" : "SIGTERM");
    stop_begin(s, 0, NULL, 0);
}

static void on_hangup(struct ev_loop *loop, ev_signal *watcher, int events) {
    struct supervisor *s = watcher->data;
    log_notice("Received SIGHUP: opening the log again, reading the configuration again");
    supervisor_reopen_log(s);
    config_reload(s);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events) {
    children_look(timer->data);
}

static void on_second(struct ev_loop *loop, ev_timer *timer, int events) {
    struct supervisor *s = timer->data;
    vitals_update(s->page, (clock_mono_ms() - s->started_ms) * 1000);
    status_set(s->page, METRIC_loop_turn_max_us, s->turn_max_us);
    s->turn_max_us = 0;
    children_grant_forks(s);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int events) {
    sdnotify_send("WATCHDOG=1");
}

static void on_turn_begin(struct ev_loop *loop, ev_check *watcher, int events) {
    struct supervisor *s = watcher->data;
    s->turn_begin_us = clock_mono_us();
    atomic_store(&s->page->heartbeat, atomic_load(&s->page->heartbeat) + 1);
    status_add(s->page, METRIC_loop_turns, 1);
}

static void on_turn_end(struct ev_loop *loop, ev_prepare *watcher, int events) {
    struct supervisor *s = watcher->data;
    uint64_t turn_us = s->turn_begin_us ? clock_mono_us() - s->turn_begin_us : 0;
    if (turn_us > s->turn_max_us)
        s->turn_max_us = turn_us;
}

static void start_signal(struct supervisor *s, ev_signal *watcher, int number,
                         void (*callback)(struct ev_loop *, ev_signal *, int)) {
    ev_signal_init(watcher, callback, number);
    watcher->data = s;
    ev_signal_start(s->loop, watcher);
}

static void start_timer(struct supervisor *s, ev_timer *timer, double every_s,
                        void (*callback)(struct ev_loop *, ev_timer *, int)) {
    ev_timer_init(timer, callback, every_s, every_s);
    timer->data = s;
    ev_timer_start(s->loop, timer);
}

static void start_watching(struct supervisor *s) {
    start_signal(s, &s->terminate, SIGTERM, on_terminate);
    start_signal(s, &s->interrupt, SIGINT, on_terminate);
    start_signal(s, &s->hangup, SIGHUP, on_hangup);
    start_timer(s, &s->tick, HEARTBEAT_LOOK_MS / 1000.0, on_tick);
    start_timer(s, &s->second, 1.0, on_second);
    if (sdnotify_watchdog_ms() > 0)
        start_timer(s, &s->watchdog, (double)sdnotify_watchdog_ms() / 1000, on_watchdog);
    ev_check_init(&s->turn_begin, on_turn_begin);
    ev_prepare_init(&s->turn_end, on_turn_end);
    s->turn_begin.data = s->turn_end.data = s;
    ev_check_start(s->loop, &s->turn_begin);
    ev_prepare_start(s->loop, &s->turn_end);
}

static void start_children(struct supervisor *s) {
    s->child_count = s->workers + 1;
    s->children = mem_calloc(s->child_count, sizeof(*s->children));
    for (uint32_t i = 0; i < s->child_count; i++)
        child_init(s, i);
    resume_begin(s);
    for (uint32_t i = 0; i < s->child_count; i++)
        child_spawn(&s->children[i]);
}

void supervisor_check_ready(struct supervisor *s) {
    uint32_t up = 0;
    if (s->phase != POOL_STARTING)
        return;
    for (uint32_t i = 0; i < s->child_count; i++) {
        enum child_state state = s->children[i].state;
        if (state != CHILD_UP && state != CHILD_FAILED)
            return;
        up += i < s->workers && state == CHILD_UP;
    }
    s->phase = POOL_RUNNING;
    if (up < s->workers)
        log_warning("%u of %u shards have failed", s->workers - up, s->workers);
    log_notice("Ready to accept connections");
    sdnotify_send("READY=1\nSTATUS=Serving with %u of %u shards", up, s->workers);
}

/* ---- the end ---- */

static void close_if_open(int fd) {
    if (fd >= 0)
        close(fd);
}

static void tear_down(struct supervisor *s) {
    config_change_deinit(s);
    cut_run_deinit(s);
    resume_clear(&s->resume);
    mem_free(s->children);
    listeners_close(&s->listeners);
    for (uint32_t i = 0; i < SHARD_MAX; i++) {
        close_if_open(s->doorbell[i]);
        close_if_open(s->handover_receive[i]);
        close_if_open(s->handover_send[i]);
    }
    if (s->segment.base)
        segment_detach(&s->segment);
    close_if_open(s->segment_fd);
    if (s->pidfile_written)
        unlink(s->config->pidfile);
    close_if_open(s->lock_fd);
    config_free(&s->config);
    mem_free(s->replicaof_read);
    sdnotify_close();
    mem_free(s);
}

static struct supervisor *create(const struct supervisor_start *start, struct config *config) {
    struct supervisor *s = mem_calloc(1, sizeof(*s));
    s->start = *start;
    s->config = config;
    s->replicaof_read = mem_strdup(config->replicaof);
    s->workers = config_workers(config);
    s->lock_fd = s->segment_fd = -1;
    for (uint32_t i = 0; i < SHARD_MAX; i++)
        s->doorbell[i] = s->handover_receive[i] = s->handover_send[i] = -1;
    s->started_ms = clock_mono_ms();
    config_change_init(s);
    cut_run_init(s);
    return s;
}

static int run_loop(struct supervisor *s) {
    s->loop = ev_default_loop(EVFLAG_AUTO);
    if (!s->loop) {
        fprintf(stderr, "remuda: cannot make an event loop\n");
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    atomic_store(&s->page->state, CHILD_UP);
    stop_init(s);
    start_watching(s);
    announce_start(s->config, &s->listeners, s->workers);
    start_children(s);
    ev_run(s->loop, 0);
    if (!s->stop_disorderly)
        resume_end(s);
    log_notice("The pool has stopped%s", s->stop_disorderly ? ", not in order" : "");
    return s->stop_disorderly ? EXIT_FAILURE : EXIT_SUCCESS;
}

int supervisor_run(const struct supervisor_start *start, struct config *config) {
    char error[SUPERVISOR_TEXT_BYTES] = "";
    struct supervisor *s = create(start, config);
    int code = EXIT_FAILURE;
    sdnotify_open();
    int ready = set_up(s, error);
    if (ready == 0)
        code = run_loop(s);
    else if (ready < 0)
        fprintf(stderr, "remuda: %s\n", error);
    else
        code = EXIT_SUCCESS;
    tear_down(s);
    return code;
}
