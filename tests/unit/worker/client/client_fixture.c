/* client_fixture.c - see client_fixture.h. */
#include "tests/unit/worker/client/client_fixture.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/persist/aof_private.h"
#include "worker/replication/propagate.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, SILENT_TURNS = 50 };

static pthread_mutex_t sync_lock = PTHREAD_MUTEX_INITIALIZER;
static bool syncs_held;

static int held_sync(int fd) {
    pthread_mutex_lock(&sync_lock);
    pthread_mutex_unlock(&sync_lock);
    return 0;
}

void world_hold_syncs(bool hold) {
    if (hold != syncs_held)
        (hold ? pthread_mutex_lock : pthread_mutex_unlock)(&sync_lock);
    syncs_held = hold;
}

static void on_synced(void *arg) {
    struct client_world *w = arg;
    router_synced(w->pool->shard[0].router);
    clients_synced(w->clients);
}

static void no_fork(void *arg, uint64_t id, uint64_t bytes, enum fork_urgency urgency,
                    const char *what) {
}

static void no_fork_done(void *arg, uint64_t id) {
}

static void kill_session(void *upper, struct session *session, bool own) {
    clients_kill(client_of_session(session)->owner, session, own);
}

struct client_world *world_create(void) {
    char error[300];
    struct client_world *w = mem_calloc(1, sizeof(*w));
    strcpy(w->dir, "/tmp/test_clients_XXXXXX");
    if (!mkdtemp(w->dir))
        PANIC("mkdtemp: %s", strerror(errno));
    w->pool = pool_create(2, 64 * 1024);
    pool_configure(w->pool, "appendonly", "yes");
    pool_configure(w->pool, "appendfsync", "always");
    key_of_shard(w->pool, 0, "here", w->here, sizeof(w->here));
    key_of_shard(w->pool, 1, "there", w->there, sizeof(w->there));
    struct route_shard *s = &w->pool->shard[0];
    w->loop = ev_loop_new(EVBACKEND_EPOLL);
    aof_fdatasync = held_sync;
    struct persist_hooks hooks = {
        .arg = w, .synced = on_synced, .fork_want = no_fork, .fork_done = no_fork_done};
    w->persist = persist_create(w->loop, w->dir, s->config, s->ks, s->env.status, &hooks, error,
                                sizeof(error));
    if (!w->persist || persist_load(w->persist, error, sizeof(error)) != 0)
        PANIC("%s", error);
    w->propagate = propagate_create(persist_aof(w->persist), NULL);
    s->env.persist = w->persist;
    s->env.propagate = w->propagate;
    s->env.kill_session = kill_session;
    w->clients = clients_create(w->loop, &s->env, s->router, 0);
    return w;
}

static void remove_tree(const char *path) {
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        char inside[600];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(inside, sizeof(inside), "%s/%s", path, entry->d_name);
        if (unlink(inside) != 0)
            remove_tree(inside);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

void world_free(struct client_world **ref) {
    struct client_world *w = *ref;
    world_hold_syncs(false);
    clients_free(&w->clients);
    propagate_free(&w->propagate);
    persist_free(&w->persist);
    w->pool->shard[0].env.persist = NULL;
    w->pool->shard[0].env.propagate = NULL;
    pool_free(&w->pool);
    ev_loop_destroy(w->loop);
    remove_tree(w->dir);
    mem_free(w);
    *ref = NULL;
}

void world_turn(struct client_world *w) {
    struct router *router = w->pool->shard[0].router;
    ev_run(w->loop, EVRUN_NOWAIT);
    router_turn_begin(router);
    clients_turn_begin(w->clients);
    persist_turn_end(w->persist);
    clients_turn_end(w->clients);
    router_turn_end(router);
    pool_turn(w->pool, 1);
}

int world_connect(struct client_world *w) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        PANIC("socketpair: %s", strerror(errno));
    client_open(w->clients, ends[1], SESSION_PUBLIC, true, "127.0.0.1:1", "127.0.0.1:2");
    return ends[0];
}

struct client *world_newest(struct client_world *w) {
    return client_of_session(LIST_ENTRY(w->pool->shard[0].sessions.prev, struct session, link));
}

void world_say(struct client_world *w, int fd, const char *data, size_t len) {
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN || clock_mono_ms() > until_ms) {
            PANIC("the worker does not read: %s", strerror(errno));
        }
        world_turn(w);
    }
}

void world_expect(struct client_world *w, int fd, const char *data, size_t len) {
    static char got[256 * 1024];
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    size_t at = 0;
    while (at < len) {
        ssize_t n = recv(fd, got, len - at < sizeof(got) ? len - at : sizeof(got), 0);
        if (n > 0 && memcmp(got, data + at, (size_t)n) != 0)
            PANIC("at byte %zu: got '%.*s', not '%.60s'", at, n < 60 ? (int)n : 60, got, data + at);
        if (n > 0)
            at += (size_t)n;
        if (n == 0 || (n < 0 && clock_mono_ms() > until_ms))
            PANIC("%s after byte %zu of %zu", n == 0 ? "the end" : "nothing", at, len);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        world_turn(w);
        if (n < 0)
            poll(&wait, 1, 1);
    }
}

void world_expect_end(struct client_world *w, int fd) {
    char got[4096];
    uint64_t until_ms = clock_mono_ms() + PATIENCE_MS;
    ssize_t n;
    while ((n = recv(fd, got, sizeof(got), 0)) > 0 || (n < 0 && errno == EAGAIN)) {
        if (clock_mono_ms() > until_ms)
            PANIC("the worker does not close");
        world_turn(w);
    }
}

void world_expect_silence(struct client_world *w, int fd) {
    char got[64];
    for (int i = 0; i < SILENT_TURNS; i++)
        world_turn(w);
    ssize_t n = recv(fd, got, sizeof(got), 0);
    if (n >= 0)
        PANIC("there came '%.*s'", (int)n, got);
}
