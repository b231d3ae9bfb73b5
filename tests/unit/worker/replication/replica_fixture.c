/* replica_fixture.c - see the header. */
#include "tests/unit/worker/replication/replica_fixture.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <fcntl.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"

enum { SOCKET_BYTES = 32 * 1024, KEY_BYTES = 50000, CHANGE_BYTES = 10000 };

static struct scene *the_scene; /* the shard's hooks know the shard only */

/* ---- hooks, as the worker has them ---- */
static void on_drop(void *arg, void *client) {
    ((struct peer *)client)->dropped = true;
}
static void on_acknowledged(void *arg) {
    ((struct scene *)arg)->acknowledged++;
}
static void want_snapshot(void *arg) {
    persist_bgsave(((struct scene *)arg)->shard->persist, true);
}
static int open_snapshot(void *arg) {
    char path[512];
    shard_path(((struct scene *)arg)->shard, "dump.rdb", path);
    return open(path, O_RDONLY | O_CLOEXEC);
}
static void want_diskless(void *arg) {
    persist_diskless(((struct scene *)arg)->shard->persist);
}
static void end_diskless(void *arg) {
    persist_diskless_end(((struct scene *)arg)->shard->persist);
}
static void end_cut(void *arg) {
    persist_aside_end(((struct scene *)arg)->shard->persist);
}
static void on_aside_ended(void *arg, enum snapshot_end how) {
    primary_cut_ended(the_scene->primary, how);
}
static void on_snapshot_forked(void *arg) {
    primary_snapshot_forked(the_scene->primary);
}
static void on_snapshot_ended(void *arg, enum snapshot_end how) {
    primary_snapshot_ended(the_scene->primary, how);
}
static void on_diskless_forked(void *arg, int fd) {
    primary_diskless_forked(the_scene->primary, fd);
}
static void on_diskless_ended(void *arg, enum snapshot_end how) {
    primary_diskless_ended(the_scene->primary, how);
}

/* ---- life ---- */
struct scene *scene_open(void) {
    struct scene *w = mem_calloc(1, sizeof *w);
    struct primary_hooks hooks = {.arg = w,
                                  .drop = on_drop,
                                  .acknowledged = on_acknowledged,
                                  .want_snapshot = want_snapshot,
                                  .open_snapshot = open_snapshot,
                                  .want_diskless = want_diskless,
                                  .end_diskless = end_diskless,
                                  .end_cut = end_cut};
    the_scene = w;
    signal(SIGPIPE, SIG_IGN); /* as a worker does: sendfile() knows no MSG_NOSIGNAL */
    for (unsigned i = 0; i < PEERS; i++)
        w->peers[i] = (struct peer){.scene = w, .fd = -1, .their_fd = -1};
    w->shard = shard_create();
    shard_configure(w->shard, "rdbcompression", "no");
    shard_configure(w->shard, "repl-diskless-sync-delay", "0");
    shard_configure(w->shard, "repl-ping-replica-period", "3600");
    assert_int_equal(shard_open(w->shard), 0);
    struct persist_hooks *of_persist = &w->shard->persist->hooks;
    of_persist->snapshot_forked = on_snapshot_forked;
    of_persist->snapshot_ended = on_snapshot_ended;
    of_persist->diskless_forked = on_diskless_forked;
    of_persist->diskless_ended = on_diskless_ended;
    of_persist->aside_ended = on_aside_ended;
    w->primary = primary_create(w->shard->loop, w->shard->config, w->shard->status, &hooks);
    w->primary->pinged_ms = clock_mono_ms();
    propagate_free(&w->shard->propagate);
    w->shard->propagate =
        propagate_create(persist_aof(w->shard->persist), primary_backlog(w->primary));
    w->shard->env.propagate = w->shard->propagate;
    primary_open(w->primary, w->shard->propagate);
    return w;
}

static void bury(struct peer *peer) {
    replica_free(&peer->replica);
    close(peer->fd);
    peer->fd = -1;
}

void scene_close(struct scene **scene) {
    struct scene *w = *scene;
    *scene = NULL;
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *peer = &w->peers[i];
        if (peer->fd >= 0)
            bury(peer);
        if (peer->their_fd >= 0)
            close(peer->their_fd);
        buf_free(&peer->got);
    }
    shard_let_children_go(w->shard);
    shard_crash(w->shard);
    primary_free(&w->primary);
    shard_free(&w->shard);
    mem_free(w);
}

/* ---- the loop ---- */
static void hear(struct peer *peer) {
    ssize_t n;
    while ((n = recv(peer->their_fd, buf_reserve(&peer->got, 65536), 65536, MSG_DONTWAIT)) > 0)
        peer->got.len += (size_t)n;
}

void scene_turn(struct scene *w) {
    primary_mark(w->primary);
    primary_turn_end(w->primary);
    shard_turn(w->shard);
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *peer = &w->peers[i];
        if (peer->their_fd >= 0 && !peer->deaf)
            hear(peer);
        if (peer->dropped && peer->fd >= 0)
            bury(peer);
    }
}

void scene_pass(struct scene *w) {
    scene_turn(w);
    primary_cron(w->primary);
    persist_cron(w->shard->persist);
    poll(NULL, 0, 1);
}

void scene_check_at(struct scene *w, uint64_t now_ms) {
    snapshot_pipe_look(w->primary);
    for (unsigned i = 0; i < PEERS; i++)
        if (replica_is_attached(w->peers[i].replica))
            replica_check(w->peers[i].replica, now_ms);
    scene_turn(w);
}

/* ---- replicas ---- */
static struct peer *connect_as(struct scene *w, const char *options, bool own) {
    int ends[2], room = SOCKET_BYTES;
    struct peer *peer = w->peers;
    char name[64], value[64];
    while (peer->fd >= 0)
        assert_true(++peer < w->peers + PEERS);
    if (peer->their_fd >= 0)
        close(peer->their_fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    buf_free(&peer->got);
    *peer = (struct peer){.scene = w, .fd = ends[0], .their_fd = ends[1]};
    peer->replica = replica_create(w->primary, peer, ends[0], "127.0.0.1:1234", own);
    for (int used; sscanf(options, " %63s %63s%n", name, value, &used) == 2; options += used)
        assert_int_equal(replica_option(peer->replica, bytes_of_text(name), bytes_of_text(value)),
                         REPLICA_OPTION_TAKEN);
    return peer;
}

struct peer *peer_connect(struct scene *w, const char *options) {
    return connect_as(w, options, false);
}

struct peer *peer_join_own(struct scene *w) {
    struct peer *peer = connect_as(w, "capa psync2", true);
    peer_sync(peer, "?", -1);
    return peer;
}

void peer_sync(struct peer *peer, const char *id, int64_t offset) {
    replica_sync(peer->replica, peer->scene->primary, bytes_of_text(id ? id : ""), offset,
                 id == NULL);
    replica_may_write(peer->replica);
}

struct peer *peer_join(struct scene *w, const char *options) {
    struct peer *peer = peer_connect(w, options);
    peer_sync(peer, "?", -1);
    return peer;
}

void peer_leave(struct peer *peer) {
    close(peer->their_fd);
    peer->their_fd = -1;
    bury(peer);
}

enum replica_state peer_state(const struct peer *peer) {
    return peer->replica != NULL ? peer->replica->state : REPLICA_DROPPED;
}

/* ---- what they got ---- */
static bool take_line(struct bytes *rest, struct bytes *line_r) {
    const char *end = rest->len > 0 ? memchr(rest->ptr, '\n', rest->len) : NULL;
    if (end == NULL)
        return false;
    size_t used = (size_t)(end - rest->ptr) + 1;
    *line_r = bytes_of(rest->ptr, used - (used > 1 ? 2 : 1));
    *rest = bytes_of(end + 1, rest->len - used);
    return true;
}

static void take_snapshot(struct taken *t, struct bytes rest, struct bytes length) {
    uint64_t bytes = 0;
    size_t after = 0;
    t->marked = length.len == 45 && memcmp(length.ptr, "$EOF:", 5) == 0;
    if (t->marked) {
        const char *end = rest.len > 0 ? memmem(rest.ptr, rest.len, length.ptr + 5, 40) : NULL;
        t->whole = end != NULL;
        bytes = t->whole ? (uint64_t)(end - rest.ptr) : rest.len;
        after = t->whole ? 40 : 0;
    } else {
        assert_true(length.ptr[0] == '$' &&
                    bytes_to_u64(bytes_of(length.ptr + 1, length.len - 1), &bytes));
        t->whole = rest.len >= bytes;
        bytes = t->whole ? bytes : rest.len;
    }
    t->snapshot = bytes_of(rest.ptr, (size_t)bytes);
    t->stream = bytes_of(rest.ptr + bytes + after, rest.len - (size_t)bytes - after);
}

struct taken peer_taken(const struct peer *peer) {
    struct taken t = {.stream = {"", 0}};
    struct bytes rest = buf_bytes(&peer->got), line;
    while (take_line(&rest, &line)) {
        if (line.len == 0)
            continue;
        if (line.ptr[0] != '+') {
            take_snapshot(&t, rest, line);
            return t;
        }
        char text[100];
        unsigned long long offset;
        snprintf(text, sizeof text, "%.*s", (int)line.len, line.ptr);
        assert_int_equal(sscanf(text, "+FULLRESYNC %40s %llu", t.id, &offset), 2);
        t.offset = offset;
    }
    return t;
}

void expect_snapshot(const struct peer *peer, const char *digest) {
    struct taken t = peer_taken(peer);
    struct shard *copy = shard_create();
    assert_true(t.whole);
    shard_write_file(copy, "dump.rdb", t.snapshot);
    if (shard_open(copy) != 0)
        fail_msg("%s", copy->error);
    shard_expect_digest(copy, digest);
    shard_free(&copy);
}

void expect_stream(const struct peer *peer, const char *text) {
    struct bytes stream = peer_taken(peer).stream;
    char *got = malloc(stream.len + 1);
    memcpy(got, stream.ptr, stream.len);
    got[stream.len] = '\0';
    assert_string_equal(got, text);
    free(got);
}

/* ---- data ---- */
void scene_fill(struct scene *w, size_t bytes) {
    char text[64];
    for (unsigned i = 0; i * (size_t)KEY_BYTES < bytes; i++) {
        snprintf(text, sizeof text, "SETRANGE fill:%u %d x", i, KEY_BYTES - 1);
        shard_run(w->shard, text);
    }
}

void scene_change(struct scene *w, size_t bytes) {
    static char text[CHANGE_BYTES + 20] = "SET changing ";
    memset(text + 13, 'c', CHANGE_BYTES);
    for (size_t done = 0; done < bytes; done += CHANGE_BYTES) {
        shard_run(w->shard, text);
        scene_turn(w);
    }
}
