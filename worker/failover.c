/* failover.c - see failover.h. A step is a command to the router, and the next step its reply; or a question to
 * the target, and its answer. */
#include "worker/failover.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/inherit.h"
#include "worker/worker.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { COMMAND_BYTES = 400, TEXT_BYTES = 300, WORDS_MAX = 4, RETRY_MS = 1000 };

enum state { NONE, PAUSING, DRAINING, WAITING, ASKING, PROMOTING, TURNING, SETTLING };
/* Of the target; looked at in the next turn, as the link cannot be freed from within. */
enum answer { NO_ANSWER, IS_PRIMARY, REFUSED, IMPOSSIBLE, LATER };

struct failover {
    struct worker *w;
    enum state state;
    struct failover_order order;
    struct failover_note note; /* as it is on disk */
    struct pipeline pipeline;
    struct session session;
    struct upstream *target;
    enum answer answer;
    char why[TEXT_BYTES];
    bool unsure; /* it was told to be a primary, and the answer to that is not known */
    char command[COMMAND_BYTES];
    bool said;            /* the command is the router's */
    uint64_t until_ms;    /* for what comes before the promotion; 0: for ever */
    uint64_t again_ms;    /* when what came to nothing is tried again; 0: it is being tried */
    uint64_t generations; /* of the workers, added up: one that began anew may have lost writes */
    uint64_t revision;    /* of the configuration, with this pool a replica */
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

static bool time_is_up(const struct failover *f) {
    return f->until_ms != 0 && clock_mono_ms() >= f->until_ms;
}

/* ---- what all workers see ---- */
static void wake_workers(struct failover *f) {
    for (uint32_t i = 0; i < f->w->segment.workers; i++)
        if (i != f->w->env.shard)
            doorbell_ring(segment_doorbell(&f->w->segment, i), inherit_fd_doorbell(i));
    f->w->more_work = true;
}

static void set_state(struct failover *f, enum state state) {
    enum failover_progress progress = state == NONE      ? FAILOVER_IS_OFF
                                      : state <= WAITING ? FAILOVER_WAITS_FOR_SYNC
                                                         : FAILOVER_IS_ON;
    f->state = state;
    f->again_ms = 0;
    status_set(f->w->status, METRIC_failover_state, progress);
    if (atomic_exchange(&f->w->segment.header->failover, progress) != progress &&
        progress == FAILOVER_IS_OFF)
        wake_workers(f);
}

/* 0, or -1 with the reason in f->why. */
static int keep_note(struct failover *f, const struct failover_note *note) {
    if (failover_note_write(f->w->config->dir, note, f->why, sizeof f->why) != 0)
        return -1;
    f->note = *note;
    return 0;
}

/* ---- saying it ---- */
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

/* Writes go on here. The note goes first: it would hold them after a start. */
static void end(struct failover *f, const char *why) {
    log_warning("Failover to %s:%u came to nothing: %s", f->order.host, f->order.port, why);
    upstream_free(&f->target);
    if (keep_note(f, &(struct failover_note){0}) != 0)
        log_warning("The note of the failover stays, and holds writes after a start: %s", f->why);
    set_state(f, NONE);
}

/* ---- the target ---- */
static void answer(struct failover *f, enum answer what, const char *why) {
    f->answer = what;
    if (why != f->why)
        snprintf(f->why, sizeof f->why, "%s", why);
}

/* It is about to be told: from here on it may be a primary. */
static bool commit(struct failover *f, const char *run_id) {
    struct failover_note note = {.state = FAILOVER_NOTE_PROMOTING, .port = f->order.port};
    snprintf(note.host, sizeof note.host, "%s", f->order.host);
    snprintf(note.run_id, sizeof note.run_id, "%s", run_id);
    if (keep_note(f, &note) != 0) {
        answer(f, IMPOSSIBLE, f->why);
        return false;
    }
    set_state(f, PROMOTING);
    return true;
}

/* A primary that was told to be one, or a server that was started as one and has who knows what? */
static bool is_ours(const struct failover *f, const char *run_id) {
    return run_id[0] != '\0' && strcmp(run_id, f->note.run_id) == 0;
}

static bool on_asked_again(struct failover *f, bool is_primary, const char *run_id) {
    f->unsure = true;
    if (is_primary && is_ours(f, run_id))
        answer(f, IS_PRIMARY, "");
    else if (is_primary)
        answer(
            f, LATER,
            "it is a primary, but was started anew and may not have what is here: FAILOVER ABORT "
            "takes writes here again; CONFIG SET replicaof, and then ABORT, follows it");
    else if (!failover_target_has_all(&f->w->segment, &f->order))
        answer(f, LATER, "it is a replica that does not have all of this pool's data");
    else if (!commit(f, run_id))
        f->answer = LATER;
    else
        return true;
    return false;
}

static bool on_asked(void *arg, bool is_primary, const char *run_id) {
    struct failover *f = arg;
    if (f->state == PROMOTING)
        return on_asked_again(f, is_primary, run_id);
    if (is_primary)
        answer(f, IMPOSSIBLE, "it is no replica any more");
    else
        return commit(f, run_id);
    return false;
}

static void on_promoted(void *arg, const char *error) {
    answer(arg, error == NULL ? IS_PRIMARY : REFUSED, error == NULL ? "" : error);
}

static void ask(struct failover *f) {
    struct upstream_hooks hooks = {.arg = f, .asked = on_asked, .promoted = on_promoted};
    struct upstream_where where = {.host = f->order.host,
                                   .port = f->order.port,
                                   .dir = f->w->config->dir,
                                   .tag = "none",
                                   .probe = true,
                                   .promote = true};
    f->again_ms = 0;
    f->answer = NO_ANSWER;
    f->target = upstream_create(f->w->loop, f->w->config, &where, &hooks);
    upstream_start(f->target, "", 0);
}

static void ask_later(struct failover *f) {
    upstream_free(&f->target);
    f->again_ms = clock_mono_ms() + RETRY_MS;
}

static void take_answer(struct failover *f) {
    enum answer what = f->answer;
    f->answer = NO_ANSWER;
    if (what == IS_PRIMARY) {
        upstream_free(&f->target);
        say(f, TURNING, "REPLICAOF %s %u", f->order.host, f->order.port);
    } else if (what == IMPOSSIBLE || (what == REFUSED && !f->unsure)) {
        end(f, f->why);
    } else {
        log_warning("Failover to %s:%u: %s", f->order.host, f->order.port, f->why);
        ask_later(f);
    }
}

/* ---- steps ---- */
static uint64_t generations(const struct failover *f) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < f->w->segment.workers; i++)
        sum += atomic_load(&segment_status(&f->w->segment, i)->generation);
    return sum;
}

/* Writes that were begun before the pause may be on their way to their shard yet: the stream's end is not
 * the end before they are there. */
static void drain(struct failover *f) {
    if (time_is_up(f))
        end(f, "writes that were begun before did not end in time");
    else if (segment_sum(&f->w->segment, METRIC_writes_in_flight) == 0)
        say(f, WAITING, "WAIT %u %" PRIu64, f->order.replicas,
            f->until_ms == 0 ? 0 : f->until_ms - clock_mono_ms());
}

static void after_wait(struct failover *f, int64_t replicas) {
    if (generations(f) != f->generations) {
        end(f, "a worker went down meanwhile");
    } else if (replicas >= f->order.replicas || f->order.force) {
        if (f->order.force)
            f->until_ms = 0;
        set_state(f, ASKING);
        ask(f);
    } else {
        end(f, "the replicas did not get all of the stream in time");
    }
}

/* One that is down begins as a replica. */
static bool all_follow(const struct failover *f) {
    for (uint32_t i = 0; i < f->w->segment.workers; i++) {
        const struct status_page *page = segment_status(&f->w->segment, i);
        if (status_get(page, METRIC_config_revision) < f->revision &&
            atomic_load(&page->state) != CHILD_FAILED)
            return false;
    }
    return true;
}

static void settle(struct failover *f) {
    struct failover_note note = f->note;
    if (!all_follow(f))
        return;
    note.state = FAILOVER_NOTE_FOLLOWED;
    if (keep_note(f, &note) != 0)
        log_warning("A start will ask %s:%u again whether it is the primary: %s", f->order.host,
                    f->order.port, f->why);
    set_state(f, NONE);
}

static void after_turning(struct failover *f, bool failed, const char *line) {
    const struct segment *segment = &f->w->segment;
    if (failed) {
        log_warning("%s:%u is a primary now, and this pool is not its replica yet: %s",
                    f->order.host, f->order.port, line);
        f->again_ms = clock_mono_ms() + RETRY_MS;
        return;
    }
    f->revision = status_get(segment_status(segment, segment_supervisor_index(segment->workers)),
                             METRIC_config_revision);
    set_state(f, SETTLING);
}

static void take_reply(struct failover *f) {
    char line[TEXT_BYTES];
    struct buf *out = &f->pipeline.out;
    snprintf(line, sizeof line, "%.*s", (int)(out->len < sizeof line ? out->len : sizeof line - 1),
             out->data);
    line[strcspn(line, "\r\n")] = '\0';
    bool failed = line[0] == '-';
    buf_clear(out);
    if (f->state == TURNING)
        after_turning(f, failed, line);
    else if (failed)
        end(f, line);
    else if (f->state == PAUSING)
        set_state(f, DRAINING);
    else
        after_wait(f, atoll(line + 1));
}

void failover_turn(struct failover *f) {
    switch (f->state) {
    case NONE: break;
    case DRAINING: drain(f); break;
    case SETTLING: settle(f); break;
    case ASKING:
    case PROMOTING:
        if (f->answer != NO_ANSWER)
            take_answer(f);
        break;
    default:
        if (!f->said)
            f->said = try_to_say(f);
        if (f->said && f->pipeline.in_flight == 0 && f->pipeline.out.len > 0)
            take_reply(f);
    }
}

static void try_again(struct failover *f) {
    if (f->state == TURNING)
        say(f, TURNING, "REPLICAOF %s %u", f->order.host, f->order.port);
    else
        ask(f);
}

void failover_cron(struct failover *f) {
    if (f->target != NULL)
        upstream_cron(f->target);
    if (f->state == ASKING && time_is_up(f))
        end(f, "it did not answer in time");
    else if (f->again_ms != 0 && clock_mono_ms() >= f->again_ms)
        try_again(f);
}

/* ---- beginning and ending ---- */
const char *failover_begin(struct failover *f, const struct failover_order *order) {
    f->order = *order;
    f->until_ms = order->timeout_ms == 0 ? 0 : clock_mono_ms() + order->timeout_ms;
    f->generations = generations(f);
    f->unsure = false;
    log_notice("Failover to %s:%u: writes pause", order->host, order->port);
    /* It ends at once: its reply is that this worker has seen the pause. */
    say(f, PAUSING, "CLIENT PAUSE 0 WRITE");
    return NULL;
}

const char *failover_abort(struct failover *f) {
    if (f->state == NONE)
        return "ERR No failover in progress.";
    if (f->state > PROMOTING)
        return "ERR FAILOVER cannot be aborted, the target is the primary now";
    router_forget(f->w->router, &f->pipeline);
    pipeline_init(&f->pipeline, f, on_wake);
    end(f, f->state == PROMOTING ? "aborted; it may be a primary now: see to it that it is not"
                                 : "aborted");
    return NULL;
}

int failover_resume(struct failover *f, char *error_r, size_t error_bytes) {
    if (failover_note_read(f->w->config->dir, &f->note, error_r, error_bytes) != 0)
        return -1;
    snprintf(f->order.host, sizeof f->order.host, "%s", f->note.host);
    f->order.port = f->note.port;
    if (f->note.state == FAILOVER_NOTE_PROMOTING) {
        log_warning("Failover to %s:%u goes on: no write is taken until it answers whether it is "
                    "a primary, or FAILOVER ABORT is said",
                    f->order.host, f->order.port);
        f->unsure = true;
        set_state(f, PROMOTING);
        ask(f);
    } else {
        if (atomic_load(&f->w->segment.header->failover) != FAILOVER_IS_OFF)
            log_warning("A failover came to nothing: the worker that did it went down");
        set_state(f, NONE);
    }
    failover_configured(f);
    return 0;
}

void failover_configured(struct failover *f) {
    char target[FAILOVER_TARGET_BYTES];
    failover_note_target(&f->note, target);
    if (f->state == NONE && f->note.state == FAILOVER_NOTE_FOLLOWED &&
        strcmp(f->w->config->replicaof, target) != 0 &&
        keep_note(f, &(struct failover_note){0}) != 0)
        log_warning("The note of a failover stays, and a start makes this pool a replica: %s",
                    f->why);
}
