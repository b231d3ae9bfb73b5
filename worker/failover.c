/* failover.c - see failover.h. A step is a command to the router, and the next step its reply. */
#include "worker/failover.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { COMMAND_BYTES = 400, WORDS_MAX = 4, PAUSE_MORE_MS = 5000 };

enum state { NONE, PAUSING, DRAINING, WAITING, PROMOTING, TURNING, ENDING };

struct failover {
    struct worker *w;
    enum state state;
    struct failover_order order;
    struct pipeline pipeline;
    struct session session;
    struct upstream *target;
    bool promoted; /* it has said so; the link cannot be freed from within */
    char command[COMMAND_BYTES];
    bool said;                      /* the command is the router's */
    uint64_t until_ms, deadline_ms; /* for the replicas, for the target's answer */
    uint64_t generations; /* of the workers, added up: one that began anew knows of no pause */
};

static void on_wake(struct pipeline *pipeline) {
    /* failover_turn() looks every turn. */
}

struct failover *failover_create(struct worker *w) {
    struct failover *f = mem_calloc(1, sizeof *f);
    f->w = w;
    session_init(&f->session, SESSION_INTERNAL);
    f->session.authenticated = true;
    pipeline_init(&f->pipeline, f, on_wake);
    return f;
}

/* ---- saying it ---- */
static void set_state(struct failover *f, enum state state) {
    f->state = state;
    status_set(f->w->status, METRIC_failover_state,
               state == NONE ? FAILOVER_IS_OFF
                             : (state <= WAITING ? FAILOVER_WAITS_FOR_SYNC : FAILOVER_IS_ON));
}

/* Words are separated by one blank. False: not now. */
static bool try_to_say(struct failover *f) {
    struct bytes argv[WORDS_MAX];
    uint32_t argc = 0;
    for (const char *at = f->command; argc < WORDS_MAX;) {
        size_t len = strcspn(at, " ");
        argv[argc++] = bytes_of(at, len);
        if (at[len] == '\0')
            break;
        at += len + 1;
    }
    return pipeline_may_begin(&f->pipeline) &&
           router_command(f->w->router, &f->pipeline, &f->session, argv, argc);
}

static void say(struct failover *f, enum state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct failover *f, enum state state, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->command, sizeof f->command, format, arguments);
    va_end(arguments);
    buf_clear(&f->pipeline.out);
    set_state(f, state);
    f->said = try_to_say(f);
}

/* ---- steps ---- */
static void end(struct failover *f, const char *why) {
    if (why != NULL)
        log_warning("Failover to %s:%u came to nothing: %s", f->order.host, f->order.port, why);
    upstream_free(&f->target);
    say(f, ENDING, "CLIENT UNPAUSE");
}

static void on_promoted(void *arg, uint32_t workers, uint32_t worker_port) {
    struct failover *f = arg;
    f->promoted = true;
}

static void promote(struct failover *f) {
    struct upstream_hooks hooks = {.arg = f, .probed = on_promoted};
    struct upstream_where where = {.host = f->order.host,
                                   .port = f->order.port,
                                   .dir = f->w->config->dir,
                                   .tag = "none",
                                   .probe = true,
                                   .promote = true};
    f->promoted = false;
    set_state(f, PROMOTING);
    f->target = upstream_create(f->w->loop, f->w->config, &where, &hooks);
    upstream_start(f->target, "", 0);
}

static uint64_t generations(const struct failover *f) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < f->w->segment.workers; i++)
        sum += atomic_load(&segment_status(&f->w->segment, i)->generation);
    return sum;
}

/* Writes that were begun before the pause may be on their way to their shard yet: the stream's end is not
 * the end before they are there. */
static void drain(struct failover *f) {
    uint64_t now_ms = clock_mono_ms();
    if (now_ms >= f->until_ms)
        end(f, "writes that were begun before did not end in time");
    else if (segment_sum(&f->w->segment, METRIC_writes_in_flight) == 0)
        say(f, WAITING, "WAIT %u %" PRIu64, f->order.replicas, f->until_ms - now_ms);
}

static void after_wait(struct failover *f, int64_t replicas) {
    if (generations(f) != f->generations)
        end(f, "a worker went down meanwhile");
    else if (replicas >= f->order.replicas || f->order.force)
        promote(f);
    else
        end(f, "the replicas did not get all of the stream in time");
}

static void turn_around(struct failover *f) {
    upstream_free(&f->target);
    say(f, TURNING, "REPLICAOF %s %u", f->order.host, f->order.port);
}

static void take_reply(struct failover *f) {
    char line[200];
    struct buf *out = &f->pipeline.out;
    snprintf(line, sizeof line, "%.*s", (int)(out->len < sizeof line ? out->len : sizeof line - 1),
             out->data);
    line[strcspn(line, "\r\n")] = '\0';
    bool failed = line[0] == '-';
    buf_clear(out);
    switch (f->state) {
    case PAUSING:
        if (failed)
            end(f, line);
        else
            set_state(f, DRAINING);
        break;
    case WAITING:
        if (failed)
            end(f, line);
        else
            after_wait(f, atoll(line + 1));
        break;
    case TURNING:
        if (failed)
            log_warning("%s:%u is a primary now, and this pool is not its replica: %s",
                        f->order.host, f->order.port, line);
        end(f, NULL);
        break;
    default: set_state(f, NONE); break;
    }
}

void failover_turn(struct failover *f) {
    if (f->state == NONE)
        return;
    if (f->state == PROMOTING) {
        if (f->promoted)
            turn_around(f);
        return;
    }
    if (f->state == DRAINING) {
        drain(f);
        return;
    }
    if (!f->said)
        f->said = try_to_say(f);
    if (f->said && f->pipeline.in_flight == 0 && f->pipeline.out.len > 0)
        take_reply(f);
}

void failover_cron(struct failover *f) {
    if (f->state == PROMOTING) {
        upstream_cron(f->target);
        if (!f->promoted && clock_mono_ms() > f->deadline_ms)
            end(f, "it did not answer in time; it may be a primary now");
    }
}

/* ---- the command ---- */
const char *failover_begin(struct failover *f, const struct failover_order *order) {
    if (f->state != NONE)
        return "ERR FAILOVER already in progress.";
    f->order = *order;
    f->until_ms = clock_mono_ms() + order->timeout_ms;
    f->deadline_ms = f->until_ms + PAUSE_MORE_MS / 2;
    f->generations = generations(f);
    log_notice("Failover to %s:%u: writes pause", order->host, order->port);
    say(f, PAUSING, "CLIENT PAUSE %" PRIu64 " WRITE", order->timeout_ms + PAUSE_MORE_MS);
    return NULL;
}

bool failover_abort(struct failover *f) {
    if (f->state == NONE || f->state > WAITING)
        return false; /* none, or it is decided */
    router_forget(f->w->router, &f->pipeline);
    pipeline_init(&f->pipeline, f, on_wake);
    end(f, "aborted");
    return true;
}
