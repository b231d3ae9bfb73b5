/* front.c - set-up, loop and metrics of the front process.
 *
 * Start: map the segment, read the config, raise the descriptor limit, give up every privilege,
 * start router and HTTP, report ready. Anything missing is EXIT_BAD_START with the reason logged
 * and reported: a restart could not help. */
#include "supervisor/front/front.h"
#include "supervisor/front/front_private.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/orphan.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    TICK_MS_MIN = 10,
    TICK_MS_MAX = 250,
    CONFIG_BYTES_MAX = 1024 * 1024,
    DESCRIPTORS_SPARE = 32, /* log, epoll sets, memfds, room to accept and refuse */
    WAITING_MIN = 16
};

/* ---- start ---- */

static int config_read(struct front *front, char *error_r) {
    struct stat st;
    struct buf text = {0};
    int result = -1;
    if (fstat(INHERIT_FD_CONFIG, &st) || st.st_size < 0 || st.st_size > CONFIG_BYTES_MAX) {
        snprintf(error_r, CONFIG_ERROR_BYTES, "no configuration at descriptor %d",
                 INHERIT_FD_CONFIG);
        return -1;
    }
    char *to = buf_reserve(&text, (size_t)st.st_size);
    ssize_t got = pread(INHERIT_FD_CONFIG, to, (size_t)st.st_size, 0);
    if (got == st.st_size) {
        text.len = (size_t)got;
        front->config = config_create();
        result = config_from_text(front->config, buf_bytes(&text), error_r);
    } else {
        snprintf(error_r, CONFIG_ERROR_BYTES, "the configuration cannot be read");
    }
    buf_free(&text);
    close(INHERIT_FD_CONFIG);
    return result;
}

/* A count of listeners from the environment; more than fit is the caller's bug. */
static int count_from_env(const char *name, uint32_t max, uint32_t *count_r) {
    const char *text = getenv(name);
    uint64_t value = 0;
    if (!text || !bytes_to_u64(bytes_of_text(text), &value) || value > max)
        return -1;
    *count_r = (uint32_t)value;
    return 0;
}

/* As many descriptors as maxclients could need at the worst moment, or as many as we may have.
 * Returns how many clients may be kept waiting at once. */
static uint32_t descriptors_raise(const struct front *front) {
    uint64_t own = (uint64_t)INHERIT_FD_TABLE + 2 * front->segment.workers + HTTP_CONNECTIONS_MAX +
                   DESCRIPTORS_SPARE;
    uint64_t wanted = own + (uint64_t)front->config->maxclients;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return WAITING_MIN;
    if (limit.rlim_cur < wanted) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted
                             ? limit.rlim_max
                             : (rlim_t)wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit))
            limit.rlim_cur = before;
    }
    if (limit.rlim_cur < wanted)
        log_notice(
            "maxclients could need %llu descriptors here, %llu are allowed: accepting pauses "
            "when they run out",
            (unsigned long long)wanted, (unsigned long long)limit.rlim_cur);
    if (limit.rlim_cur < own + WAITING_MIN)
        return WAITING_MIN;
    uint64_t left = limit.rlim_cur - own;
    return left < UINT32_MAX ? (uint32_t)left : UINT32_MAX;
}

/* The supervisor has changed to the configured user already; what may be left is a root that was
 * given none. The front needs no capability whatever. */
static int privileges_drop(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_capset, &header, none);
}

static int start_failed(struct front *front, const char *reason) {
    log_warning("The front cannot start: %s", reason);
    front_report(front, CONTROL_REPORT_FAILED, 0, 0, reason);
    return -1;
}

static int identity_take(struct front *front) {
    char error[CONFIG_ERROR_BYTES] = "";
    log_open("F", LOG_NOTICE, NULL);
    if (config_read(front, error))
        return start_failed(front, error);
    if (log_open("F", (enum log_level)front->config->loglevel, front->config->logfile))
        log_warning("Cannot open the log file '%s': %s", front->config->logfile, strerror(errno));
    if (segment_attach(&front->segment, INHERIT_FD_SEGMENT, error, sizeof(error)))
        return start_failed(front, error);
    front->page = segment_status(&front->segment, segment_front_index(front->segment.workers));
    atomic_store(&front->page->pid, (uint32_t)getpid());
    atomic_store(&front->page->generation, front->generation);
    atomic_store(&front->page->state, CHILD_STARTING);
    status_set_text(front->page->note, "%s", "");
    return 0;
}

static int services_start(struct front *front) {
    uint32_t listeners, http_listeners;
    if (count_from_env(INHERIT_ENV_LISTENERS, INHERIT_FD_LISTEN_MAX - INHERIT_FD_LISTEN,
                       &listeners) ||
        count_from_env(INHERIT_ENV_HTTP_LISTENERS, INHERIT_FD_HTTP_MAX - INHERIT_FD_HTTP,
                       &http_listeners))
        return start_failed(front, "the counts of listeners are missing or wrong");
    uint32_t waiting_max = descriptors_raise(front);
    if (privileges_drop())
        return start_failed(front, "privileges cannot be dropped");
    orphan_watch(ORPHAN_SECONDS); /* a change of privileges would undo it */
    struct router_setup router = {.loop = front->loop,
                                  .segment = &front->segment,
                                  .page = front->page,
                                  .listeners = listeners,
                                  .waiting_max = waiting_max};
    front->router = router_create(&router, front->config);
    if (!front->router)
        return start_failed(front, "a public listener cannot be used");
    struct http_setup http = {.loop = front->loop,
                              .segment = &front->segment,
                              .page = front->page,
                              .pulse = &front->pulse,
                              .history = &front->history,
                              .listeners = http_listeners};
    front->http = http_create(&http, front->config);
    if (!front->http)
        return start_failed(front, "the HTTP server cannot start");
    return 0;
}

/* ---- metrics ---- */

static uint64_t rss_bytes(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    unsigned long total = 0, resident = 0;
    if (sscanf(text, "%lu %lu", &total, &resident) != 2)
        return 0;
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t timeval_us(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void metrics_publish(struct front *front, uint64_t now_us) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        status_set(front->page, METRIC_cpu_user_us, timeval_us(usage.ru_utime));
        status_set(front->page, METRIC_cpu_sys_us, timeval_us(usage.ru_stime));
    }
    status_set(front->page, METRIC_uptime_us, now_us - front->started_us);
    if (now_us - front->second_began_us < 1000000)
        return;
    front->second_began_us = now_us;
    status_set(front->page, METRIC_rss_bytes, rss_bytes());
    status_set(front->page, METRIC_loop_turn_max_us, front->turn_max_us);
    front->turn_max_us = 0;
}

static void on_turn_begin(struct ev_loop *loop, struct ev_check *check, int revents) {
    struct front *front = check->data;
    front->turn_began_us = clock_mono_us();
}

static void on_turn_end(struct ev_loop *loop, struct ev_prepare *prepare, int revents) {
    struct front *front = prepare->data;
    uint64_t took_us = front->turn_began_us ? clock_mono_us() - front->turn_began_us : 0;
    if (took_us > front->turn_max_us)
        front->turn_max_us = took_us;
    status_add(front->page, METRIC_loop_turns, 1);
    atomic_fetch_add_explicit(&front->page->heartbeat, 1, memory_order_relaxed);
}

static void on_tick(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    struct front *front = timer->data;
    uint64_t now_us = clock_mono_us();
    pulse_look(&front->pulse, &front->segment, now_us / 1000);
    history_look(&front->history, &front->segment, now_us / 1000, clock_wall_ms());
    router_tick(front->router);
    metrics_publish(front, now_us);
    int64_t every_ms = front->config->heartbeat_timeout / 4;
    every_ms = every_ms < TICK_MS_MIN ? TICK_MS_MIN : every_ms;
    every_ms = every_ms > TICK_MS_MAX ? TICK_MS_MAX : every_ms;
    timer->repeat = (double)every_ms / 1000.0;
    ev_timer_again(loop, timer);
}

static void loop_start(struct front *front) {
    ev_check_init(&front->turn_begin, on_turn_begin);
    ev_prepare_init(&front->turn_end, on_turn_end);
    ev_timer_init(&front->tick, on_tick, 0.0, TICK_MS_MAX / 1000.0);
    front->turn_begin.data = front->turn_end.data = front->tick.data = front;
    ev_set_priority(&front->turn_begin, EV_MAXPRI);
    ev_set_priority(&front->turn_end, EV_MINPRI);
    ev_check_start(front->loop, &front->turn_begin);
    ev_prepare_start(front->loop, &front->turn_end);
    ev_timer_start(front->loop, &front->tick);
    front_control_start(front);
}

/* ---- life ---- */

static void front_free(struct front *front) {
    if (front->router)
        router_destroy(&front->router);
    if (front->http)
        http_destroy(&front->http);
    if (front->loop)
        ev_loop_destroy(front->loop);
    if (front->page)
        segment_detach(&front->segment);
    config_free(&front->config);
    mem_free(front);
}

int front_main(uint32_t generation) {
    struct front *front = mem_calloc(1, sizeof(*front));
    int code = EXIT_BAD_START;
    front->generation = generation;
    front->started_us = clock_mono_us();
    prctl(PR_SET_NAME, "remuda-front", 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's ^C is for the supervisor, who orders us to stop */
    front->loop = ev_loop_new(EVBACKEND_EPOLL);
    if (!identity_take(front) && !services_start(front)) {
        loop_start(front);
        atomic_store(&front->page->state, CHILD_UP);
        front_report(front, CONTROL_REPORT_READY, 0, 0, "");
        ev_run(front->loop, 0);
        code = EXIT_ORDERLY;
    }
    front_free(front);
    return code;
}
