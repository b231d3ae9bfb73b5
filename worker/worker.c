/* worker.c - a worker's start: attach, load, serve. */
#include "worker/worker.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/inherit.h"
#include "shared/ipc/orphan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- config ---- */

/* The inherited memfd holds `name value` lines of every option. */
static int read_config(struct worker *w, char *error, size_t error_bytes) {
    struct stat st;
    if (fstat(INHERIT_FD_CONFIG, &st) != 0 || st.st_size <= 0 || st.st_size > 16 * 1024 * 1024) {
        snprintf(error, error_bytes, "inherited configuration: %s", strerror(errno));
        return -1;
    }
    size_t size = (size_t)st.st_size;
    char *text = mem_alloc(size);
    ssize_t n = pread(INHERIT_FD_CONFIG, text, size, 0);
    w->config = config_create();
    char reason[CONFIG_ERROR_BYTES];
    int result = n == st.st_size ? config_from_text(w->config, bytes_of(text, size), reason) : -1;
    if (result != 0)
        snprintf(error, error_bytes, "inherited configuration: %s",
                 n == st.st_size ? reason : "short read");
    mem_free(text);
    return result;
}

/* ---- persistence's hooks ---- */

static void on_synced(void *arg) {
    struct worker *w = arg;
    router_synced(w->router);
    clients_synced(w->clients);
}

static void on_log_began(void *arg) {
    struct worker *w = arg;
    propagate_to(w->propagate, persist_aof(w->persist));
}

static void on_fork_want(void *arg, uint64_t id, uint64_t expected_bytes, const char *what) {
    control_report(arg, CONTROL_REPORT_FORK_WANT, id, expected_bytes, bytes_of_text(what));
}

static void on_fork_done(void *arg, uint64_t id) {
    control_report(arg, CONTROL_REPORT_FORK_DONE, id, 0, (struct bytes){0});
}

static void on_snapshot_forked(void *arg) {
    struct worker *w = arg;
    primary_snapshot_forked(w->primary);
}

static void on_snapshot_ended(void *arg, enum snapshot_end how) {
    struct worker *w = arg;
    primary_snapshot_ended(w->primary, how);
}

/* A command of the log: run like any other, but nothing may refuse it and nothing is logged again. */
static int on_apply(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                    size_t error_bytes) {
    struct worker *w = arg;
    const struct command *cmd = command_lookup(argv, argc, NULL);
    if (!cmd || !cmd->handler || !command_arity_ok(cmd, argc)) {
        snprintf(error_r, error_bytes, "%s '%.*s' with %u arguments",
                 cmd ? "wrong number of arguments for" : "unknown command",
                 argv[0].len < 64 ? (int)argv[0].len : 64, argv[0].ptr, argc - 1);
        return -1;
    }
    static struct buf reply;
    buf_clear(&reply);
    struct command_ctx ctx = {.ks = w->ks,
                              .session = &w->loader,
                              .env = &w->env,
                              .cmd = cmd,
                              .argv = argv,
                              .argc = argc,
                              .reply = {.out = &reply, .version = 2}};
    execute(&ctx);
    if (ctx.reply.errors == 0)
        return 0;
    snprintf(error_r, error_bytes, "'%.*s' was answered with %.*s", (int)argv[0].len, argv[0].ptr,
             (int)(reply.len < 200 ? reply.len : 200), reply.data);
    return -1;
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

static void drop_replica(void *arg, void *client) {
    struct worker *w = arg;
    clients_kill(w->clients, client, false);
}

static void open_primary(struct worker *w, const char *dir) {
    struct primary_hooks hooks = {.arg = w, .drop = drop_replica};
    w->primary = primary_create(w->loop, dir, w->config, w->status, &hooks);
    w->env.primary = w->primary;
}

static int open_persist(struct worker *w, uint32_t shard, char *error, size_t error_bytes) {
    char dir[1024];
    snprintf(dir, sizeof(dir), "%s/shard-%04u", w->config->dir, shard);
    open_primary(w, dir);
    struct persist_hooks hooks = {.arg = w,
                                  .synced = on_synced,
                                  .fork_want = on_fork_want,
                                  .fork_done = on_fork_done,
                                  .log_began = on_log_began,
                                  .snapshot_forked = on_snapshot_forked,
                                  .snapshot_ended = on_snapshot_ended,
                                  .apply = on_apply,
                                  .progress = on_progress};
    w->persist =
        persist_create(w->loop, dir, w->config, w->ks, w->status, &hooks, error, error_bytes);
    return w->persist ? 0 : -1;
}

int worker_open(struct worker *w, uint32_t shard, uint32_t generation) {
    char error[CONFIG_ERROR_BYTES + 128], role[16];
    signal(SIGPIPE, SIG_IGN);
    orphan_watch(ORPHAN_SECONDS);
    snprintf(role, sizeof(role), "%u", shard);
    log_open(role, LOG_NOTICE, NULL);
    w->started_us = (int64_t)clock_mono_us();
    w->env.shard = shard;
    w->env.generation = generation;
    if (read_config(w, error, sizeof(error)) != 0 ||
        segment_attach(&w->segment, INHERIT_FD_SEGMENT, error, sizeof(error)) != 0)
        return fail(w, EXIT_BAD_START, error);
    if (shard >= w->segment.workers)
        return fail(w, EXIT_BAD_START, "this shard is not in the shared segment");
    log_open(role, (enum log_level)w->config->loglevel, w->config->logfile);
    w->loop = ev_loop_new(EVBACKEND_EPOLL);
    if (!w->loop)
        return fail(w, EXIT_BAD_START, "no event loop: epoll is not to be had");
    list_init(&w->sessions);
    w->status = segment_status(&w->segment, shard);
    atomic_store(&w->status->pid, (uint32_t)getpid());
    struct keyspace_hooks hooks = {.arg = w, .expired = on_removed, .evicted = on_removed};
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
    w->clients = clients_create(w->loop, &w->env, w->router, env_listeners());
    control_in_start(w);
    return 0;
}

/* ---- run ---- */

static int load(struct worker *w) {
    char error[512];
    w->env.loading = true;
    worker_set_state(w, CHILD_LOADING);
    control_report(w, CONTROL_REPORT_LOADING, 0, 0, (struct bytes){0});
    clients_open(w->clients);
    uint64_t start_us = clock_mono_us();
    if (persist_load(w->persist, error, sizeof(error)) != 0)
        return fail(w, EXIT_LOAD_FAILED, error);
    w->env.loading = false;
    w->propagate = propagate_create(persist_aof(w->persist), primary_stream(w->primary));
    primary_open(w->primary, w->persist, w->propagate);
    w->env.propagate = w->propagate;
    w->env.loaded_wall_ms = clock_wall_ms();
    uint64_t keys = 0;
    for (uint32_t db = 0; db < keyspace_databases(w->ks); db++)
        keys += keyspace_count(w->ks, db);
    log_notice("Loaded %llu keys in %.3f seconds", (unsigned long long)keys,
               (double)(clock_mono_us() - start_us) / 1e6);
    return 0;
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
    control_report(w, CONTROL_REPORT_READY, 0, 0, (struct bytes){0});
    ev_run(w->loop, 0);
    return EXIT_ORDERLY;
}
