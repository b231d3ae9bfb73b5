/* worker.c - a worker's start: attach, load, serve. */
#include "worker/worker.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/ipc/inherit.h"
#include "shared/ipc/orphan.h"
#include "worker/command/replay.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- persistence's hooks ---- */

static void on_synced(void *arg) {
    struct worker *w = arg;
    router_synced(w->router);
    clients_synced(w->clients);
    w->acknowledged = true;
}

static void on_log_began(void *arg) {
    struct worker *w = arg;
    propagate_to(w->propagate, persist_aof(w->persist));
}

static void on_fork_want(void *arg, uint64_t id, uint64_t expected_bytes, enum fork_urgency urgency,
                         const char *what) {
    char text[128];
    snprintf(text, sizeof(text), "%d%s", (int)urgency, what);
    control_report(arg, CONTROL_REPORT_FORK_WANT, id, expected_bytes, bytes_of_text(text));
}

static void on_fork_done(void *arg, uint64_t id) {
    control_report(arg, CONTROL_REPORT_FORK_DONE, id, 0, (struct bytes){0});
}

static bool on_origin(void *arg, struct rdb_origin *origin_r) {
    struct worker *w = arg;
    return primary_origin(w->primary, origin_r);
}

static void on_origin_found(void *arg, const struct rdb_origin *origin) {
    struct worker *w = arg;
    w->origin = *origin;
    if (w->refill != NULL)
        refill_begin(w->refill, origin);
}

static void on_snapshot_forked(void *arg) {
    struct worker *w = arg;
    primary_snapshot_forked(w->primary);
}

static void on_snapshot_ended(void *arg, enum snapshot_end how) {
    struct worker *w = arg;
    primary_snapshot_ended(w->primary, how);
}

static void on_diskless_forked(void *arg, int fd) {
    struct worker *w = arg;
    primary_diskless_forked(w->primary, fd);
}

static void on_diskless_ended(void *arg, enum snapshot_end how) {
    struct worker *w = arg;
    primary_diskless_ended(w->primary, how);
}

static void on_aside_ended(void *arg, enum snapshot_end how) {
    struct worker *w = arg;
    primary_cut_ended(w->primary, how);
}

static bool on_owns(void *arg, struct bytes key) {
    struct worker *w = arg;
    return w->segment.slots->owner[slot_of_key(key)] == w->env.shard;
}

static void on_cut_prepared(void *arg, uint64_t cut, uint64_t try, const char *error) {
    control_report(arg, CONTROL_REPORT_CUT_PREPARED, cut, try, bytes_of_text(error));
}

static void on_cut_linked(void *arg, uint64_t cut, uint64_t try, struct bytes report) {
    control_report(arg, CONTROL_REPORT_CUT_LINKED, cut, try, report);
}

static int on_apply(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                    size_t error_bytes) {
    struct worker *w = arg;
    return replay_command(w->ks, &w->loader, &w->env, argc, argv, error_r, error_bytes);
}

static void on_read(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw,
                    uint64_t left) {
    struct worker *w = arg;
    if (w->refill != NULL)
        refill_command(w->refill, argc, argv, raw, left);
}

/* While loading (and during SAVE) the loop is ours: keep alive, answer LOADING. */
static void on_progress(void *arg) {
    struct worker *w = arg;
    worker_heartbeat(w);
    persist_refresh_status(w->persist);
    if (!w->env.loading && !w->env.syncing)
        return;
    ev_run(w->loop, EVRUN_NOWAIT);
    clients_turn_begin(w->clients);
    clients_turn_end(w->clients);
}

/* ---- keyspace's hooks ---- */

static void on_removed(void *arg, uint32_t db, struct bytes key) {
    struct worker *w = arg;
    propagate_delete(w->propagate, db, key);
    persist_note_removal(w->persist);
}

static void on_field_removed(void *arg, uint32_t db, struct bytes key, struct bytes field) {
    struct worker *w = arg;
    const struct bytes argv[3] = {BYTES_LITERAL("HDEL"), key, field};
    propagate_command(w->propagate, db, 3, argv);
    persist_note_removal(w->persist);
}

/* ---- open ---- */

static int fail(struct worker *w, int code, const char *why) {
    log_warning("%s", why);
    control_report(w, CONTROL_REPORT_FAILED, 0, (uint64_t)code, bytes_of_text(why));
    return code;
}

static uint32_t env_listeners(void) {
    const char *text = getenv(INHERIT_ENV_LISTENERS);
    uint64_t n;
    return text && bytes_to_u64(bytes_of_text(text), &n) && n < 64 ? (uint32_t)n : 0;
}

static void on_acknowledged(void *arg) {
    struct worker *w = arg;
    w->acknowledged = true;
}

void worker_drop_replica(void *arg, void *client) {
    struct worker *w = arg;
    clients_kill(w->clients, client, false);
}

/* Granted when no other child is at work: until then it is asked for again. */
static void want_snapshot(void *arg) {
    struct worker *w = arg;
    persist_bgsave(w->persist, true);
}

static void want_diskless(void *arg) {
    struct worker *w = arg;
    persist_diskless(w->persist);
}

static void end_diskless(void *arg) {
    struct worker *w = arg;
    persist_diskless_end(w->persist);
}

static void end_cut(void *arg) {
    struct worker *w = arg;
    persist_aside_end(w->persist);
}

void worker_path(const struct worker *w, uint32_t shard, const char *name,
                 char path_r[WORKER_PATH_BYTES]) {
    snprintf(path_r, WORKER_PATH_BYTES, "%s/shard-%04u%s%s", w->config->dir, shard,
             name != NULL ? "/" : "", name != NULL ? name : "");
}

static int open_snapshot(void *arg) {
    struct worker *w = arg;
    char path[WORKER_PATH_BYTES];
    worker_path(w, w->env.shard, w->config->dbfilename, path);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void open_primary(struct worker *w) {
    struct primary_hooks hooks = {.arg = w,
                                  .drop = worker_drop_replica,
                                  .acknowledged = on_acknowledged,
                                  .want_snapshot = want_snapshot,
                                  .open_snapshot = open_snapshot,
                                  .want_diskless = want_diskless,
                                  .end_diskless = end_diskless,
                                  .end_cut = end_cut};
    w->primary = primary_create(w->loop, w->config, w->status, &hooks);
    w->env.primary = w->primary;
}

static int open_persist(struct worker *w, uint32_t shard, char *error, size_t error_bytes) {
    char dir[WORKER_PATH_BYTES];
    worker_path(w, shard, NULL, dir);
    open_primary(w);
    worker_feed_open(w);
    struct persist_hooks hooks = {.arg = w,
                                  .synced = on_synced,
                                  .fork_want = on_fork_want,
                                  .fork_done = on_fork_done,
                                  .log_began = on_log_began,
                                  .origin = on_origin,
                                  .origin_found = on_origin_found,
                                  .snapshot_forked = on_snapshot_forked,
                                  .snapshot_ended = on_snapshot_ended,
                                  .diskless_forked = on_diskless_forked,
                                  .diskless_ended = on_diskless_ended,
                                  .aside_ended = on_aside_ended,
                                  .cut_prepared = on_cut_prepared,
                                  .cut_linked = on_cut_linked,
                                  .apply = on_apply,
                                  .read = on_read,
                                  .owns = w->segment.workers > 1 ? on_owns : NULL,
                                  .progress = on_progress};
    w->persist =
        persist_create(w->loop, dir, w->config, w->ks, w->status, &hooks, error, error_bytes);
    return w->persist ? 0 : -1;
}

int worker_open(struct worker *w, uint32_t shard, uint32_t generation) {
    char error[CONFIG_ERROR_BYTES + 128], role[16];
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is an error of write(2), as a full disk is */
    orphan_watch(ORPHAN_SECONDS);
    snprintf(role, sizeof(role), "%u", shard);
    log_open(role, LOG_NOTICE, NULL);
    w->started_us = (int64_t)clock_mono_us();
    w->env.shard = shard;
    w->env.generation = generation;
    w->config = config_create();
    if (config_from_fd(w->config, INHERIT_FD_CONFIG, error) != 0 ||
        segment_attach(&w->segment, INHERIT_FD_SEGMENT, error, sizeof(error)) != 0)
        return fail(w, EXIT_BAD_START, error);
    if (shard >= w->segment.workers)
        return fail(w, EXIT_BAD_START, "this shard is not in the shared segment");
    log_open(role, (enum log_level)w->config->loglevel, w->config->logfile);
    w->loop = ev_loop_new(EVBACKEND_EPOLL);
    if (!w->loop)
        return fail(w, EXIT_BAD_START, "no event loop: epoll is not to be had");
    list_init(&w->sessions);
    list_init(&w->primaries);
    w->status = segment_status(&w->segment, shard);
    atomic_store(&w->status->pid, (uint32_t)getpid());
    struct keyspace_hooks hooks = {
        .arg = w, .expired = on_removed, .evicted = on_removed, .field_expired = on_field_removed};
    w->ks = keyspace_create((uint32_t)w->config->databases, w->segment.header->hash_seed, &hooks);
    keyspace_configure(w->ks, w->config);
    keyspace_set_now(w->ks, clock_wall_ms());
    session_init(&w->loader, SESSION_INTERNAL);
    w->loader.authenticated = true;
    worker_env_open(w, shard, generation);
    if (open_persist(w, shard, error, sizeof(error)) != 0)
        return fail(w, EXIT_LOAD_FAILED, error);
    w->env.persist = w->persist;
    w->router = router_create(&w->env, w->ks);
    w->follow = follow_create(w);
    if (shard == FAILOVER_SHARD)
        w->failover = failover_create(w);
    w->clients = clients_create(w->loop, &w->env, w->router, env_listeners());
    control_in_start(w);
    return 0;
}

/* ---- run ---- */

static int load(struct worker *w) {
    char error[512];
    w->env.loading = true;
    w->refill = refill_create((uint64_t)w->config->repl_backlog_size, keyspace_databases(w->ks));
    worker_set_state(w, CHILD_LOADING);
    control_report(w, CONTROL_REPORT_LOADING, 0, 0, (struct bytes){0});
    clients_open(w->clients);
    uint64_t start_us = clock_mono_us();
    if (persist_load(w->persist, error, sizeof(error)) != 0)
        return fail(w, EXIT_LOAD_FAILED, error);
    w->env.loading = false;
    w->propagate = propagate_create(persist_aof(w->persist), primary_backlog(w->primary));
    primary_open(w->primary, w->propagate);
    primary_restore(w->primary, w->refill, !follow_loaded(w->follow));
    if (!primary_origin(w->primary, &w->loaded))
        w->loaded.id[0] = '\0';
    refill_free(&w->refill);
    w->env.propagate = w->propagate;
    w->env.loaded_wall_ms = clock_wall_ms();
    log_notice("Loaded %llu keys in %.3f seconds", (unsigned long long)keyspace_count_all(w->ks),
               (double)(clock_mono_us() - start_us) / 1e6);
    return 0;
}

static void report_ready(struct worker *w) {
    char seal[REPLICATION_ID_BYTES + 1 + BYTES_I64_MAX] = "";
    if (w->loaded.id[0] != '\0')
        snprintf(seal, sizeof seal, FOLLOW_SEAL_FORMAT, w->loaded.id, w->loaded.offset);
    control_report(w, CONTROL_REPORT_READY, 0, 0, bytes_of_text(seal));
}

int worker_run(struct worker *w) {
    int code = load(w);
    if (code != 0)
        return code;
    worker_turns_start(w);
    worker_refresh_status(w);
    worker_set_state(w, CHILD_UP);
    follow_configure(w->follow);
    clients_open_handover(w->clients);
    report_ready(w);
    ev_run(w->loop, 0);
    return EXIT_ORDERLY;
}
