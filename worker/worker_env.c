/* worker_env.c - what command handlers may ask of the worker; their only way up. */
#include "worker/command/slowlog.h"
#include "worker/worker.h"

#include "shared/base/log.h"
#include "shared/base/panic.h"

#include <signal.h>
#include <stdio.h>

/* The reply comes with the supervisor's answer. */
static void ask_supervisor(struct worker *w, struct command_ctx *ctx, enum control_type type,
                           uint64_t number, struct bytes body) {
    ctx->deferred_reply = true;
    uint64_t token = router_defer(w->router, ctx);
    if (body.len > CONTROL_BODY_MAX) {
        router_answer(w->router, token, BYTES_LITERAL("-ERR the values are too long\r\n"));
        return;
    }
    control_report(w, type, token, number, body);
}

static void ask_config_set(void *upper, struct command_ctx *ctx, struct bytes lines) {
    ask_supervisor(upper, ctx, CONTROL_REPORT_REQUEST_CONFIG, 0, lines);
}

static void ask_config_rewrite(void *upper, struct command_ctx *ctx) {
    ask_supervisor(upper, ctx, CONTROL_REPORT_REQUEST_REWRITE, 0, (struct bytes){0});
}

static void ask_shutdown(void *upper, struct command_ctx *ctx, enum shutdown_save save) {
    ask_supervisor(upper, ctx, CONTROL_REPORT_REQUEST_SHUTDOWN, save, (struct bytes){0});
}

static void ask_snapshot(void *upper, struct command_ctx *ctx, uint64_t keep, struct bytes name) {
    ask_supervisor(upper, ctx, CONTROL_REPORT_REQUEST_SNAPSHOT, keep, name);
}

static int mark_cut(void *upper, const struct cut_mark *mark, char *error_r, size_t error_bytes) {
    struct worker *w = upper;
    if (mark->kind == CUT_OF_FORKS)
        return worker_feed_mark(w, mark->id, error_r, error_bytes);
    return persist_cut_mark(w->persist, mark->id, mark->try, error_r, error_bytes);
}

static void cut_locked(void *upper, const struct cut_mark *mark, uint64_t pause_us,
                       const char *error) {
    struct worker *w = upper;
    char pause[32];
    if (mark->kind == CUT_OF_FORKS) {
        feed_cut_ended(w->feed, pause_us, error);
        return;
    }
    snprintf(pause, sizeof(pause), "+%llu", (unsigned long long)pause_us);
    control_report(w, CONTROL_REPORT_CUT_LOCKED, mark->id, mark->try,
                   bytes_of_text(error ? error : pause));
}

static void kill_session(void *upper, struct session *session, bool own) {
    struct worker *w = upper;
    if (session->upstream)
        follow_kill(w->follow, session);
    else
        clients_kill(w->clients, session, own);
}

static bool hand_over(void *upper, struct session *session, uint32_t shard, struct bytes pending) {
    struct worker *w = upper;
    return clients_hand_over(w->clients, session, shard, pending);
}

static const char *begin_failover(void *upper, const struct failover_order *order) {
    struct worker *w = upper;
    return failover_begin(w->failover, order);
}

static bool abort_failover(void *upper) {
    struct worker *w = upper;
    return failover_abort(w->failover);
}

static bool unblock_session(void *upper, struct session *session, bool with_error) {
    struct worker *w = upper;
    return router_unblock(w->router, session, with_error);
}

static void pause_clients(void *upper, uint64_t until_ms, bool all) {
    struct worker *w = upper;
    router_pause(w->router, until_ms, all);
    router_refresh_status(w->router); /* writes that were begun before */
}

static void monitor(void *upper, struct command_ctx *ctx, bool on) {
    struct worker *w = upper;
    router_monitor(w->router, ctx->client, on, ctx->session->port == SESSION_PUBLIC);
}

static void slow(void *upper, const struct session *session, struct bytes body) {
    struct worker *w = upper;
    router_slow(w->router, session, body);
}

static void refresh(void *upper) {
    worker_refresh_status(upper);
}

static void look_at_primary(void *upper) {
    struct worker *w = upper;
    follow_look(w->follow);
    follow_dealt(w->follow);
}

static void crash(void *upper, const char *how) {
    log_warning("Crash on demand: %s", how);
    if (strcmp(how, "segfault") == 0)
        raise(SIGSEGV);
    PANIC("on demand: %s", how);
}

void worker_env_open(struct worker *w, uint32_t shard, uint32_t generation) {
    w->env = (struct command_env){.config = w->config,
                                  .segment = &w->segment,
                                  .shard = shard,
                                  .generation = generation,
                                  .status = w->status,
                                  .sessions = &w->sessions,
                                  .primaries = &w->primaries,
                                  .upper = w,
                                  .config_set = ask_config_set,
                                  .config_rewrite = ask_config_rewrite,
                                  .shutdown = ask_shutdown,
                                  .snapshot = ask_snapshot,
                                  .cut_mark = mark_cut,
                                  .cut_locked = cut_locked,
                                  .kill_session = kill_session,
                                  .hand_over = hand_over,
                                  .failover = begin_failover,
                                  .failover_abort = abort_failover,
                                  .unblock_session = unblock_session,
                                  .latency = segment_latency(&w->segment, shard),
                                  .slowlog = slowlog_create(&w->segment.header->next_slowlog_id),
                                  .pause = pause_clients,
                                  .monitor = monitor,
                                  .slow = slow,
                                  .refresh_status = refresh,
                                  .look_at_primary = look_at_primary,
                                  .crash = crash};
}
