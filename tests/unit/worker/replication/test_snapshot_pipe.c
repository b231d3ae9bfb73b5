/* test_snapshot_pipe.c - full syncs without a file: who shares one, how fast it goes, and every way in which it
 * comes to nothing. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "tests/unit/worker/replication/replica_fixture.h"

/* More than pipe, piece and sockets hold. */
enum { MUCH_BYTES = 4000000, TIMEOUT_MS = 60000 };

static struct scene *w;

static int set_up(void **state) {
    w = scene_open();
    shard_run(w->shard, "SET before fork");
    return 0;
}
static int tear_down(void **state) {
    scene_close(&w);
    return 0;
}

static bool child_lives(void) {
    return snapshot_child_alive(&w->shard->persist->child);
}
static bool is_diskless(void) {
    return child_lives() && w->shard->persist->turn.running == FORK_DISKLESS;
}
static void acknowledge(struct peer *peer) {
    replica_acknowledge(peer->replica, peer_taken(peer).offset, 0);
    scene_turn(w);
}
/* As the other reads nothing, this stays so. */
static bool is_held_up(void) {
    snapshot_pipe_look(w->primary);
    return w->primary->pipe.held_up;
}
/* ---- as it should be ---- */
static void test_shared(void **state) {
    shard_stop_children(w->shard);
    struct peer *one = peer_join(w, "capa eof capa psync2");
    shard_await_stopped_child(w->shard);
    assert_true(is_diskless());
    char *digest = shard_digest(w->shard->ks), mark[41];
    memcpy(mark, w->primary->pipe.mark, sizeof mark);
    shard_run(w->shard, "SET a 1");
    persist_refresh_status(w->shard->persist);
    assert_int_equal(status_get(w->shard->status, METRIC_snapshot_in_progress), 1);
    assert_int_equal(status_get(w->shard->status, METRIC_save_kind), 3);
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer_taken(one).whole);
    struct taken t = peer_taken(one);
    assert_true(t.marked);
    assert_string_equal(t.id, primary_backlog(w->primary)->id);
    expect_snapshot(one, digest);
    /* It looks for the mark at the end of what it has read. */
    shard_run(w->shard, "SET b 2");
    scene_turn(w);
    expect_stream(one, "");
    acknowledge(one);
    expect_stream(one, SELECT_0 SET("a", "1") SET("b", "2"));
    free(digest);
    /* Two at once, with another mark. */
    w->shard->withhold_turns = true;
    struct peer *two = peer_join(w, "capa eof"), *three = peer_join(w, "capa eof");
    digest = shard_digest(w->shard->ks);
    persist_fork_granted(w->shard->persist, w->shard->wish);
    assert_int_equal(peer_state(two), REPLICA_PIPED);
    assert_int_equal(peer_state(three), REPLICA_PIPED);
    assert_string_not_equal(mark, w->primary->pipe.mark);
    SCENE_AWAIT(w, peer_taken(two).whole && peer_taken(three).whole);
    expect_snapshot(two, digest);
    expect_snapshot(three, digest);
    free(digest);
}

/* Nothing counts as saved. */
static void test_no_file(void **state) {
    struct snapshots before = w->shard->persist->snapshots;
    uint64_t dirty = persist_dirty(w->shard->persist), given_back = w->shard->turns_given_back;
    struct peer *peer = peer_join(w, "capa eof");
    SCENE_AWAIT(w, peer_taken(peer).whole);
    assert_false(shard_file_exists(w->shard, "dump.rdb"));
    assert_int_equal(w->shard->persist->snapshots.count, before.count);
    assert_int_equal(persist_dirty(w->shard->persist), dirty);
    assert_int_equal(w->shard->turns_given_back, given_back + 1);
    assert_int_equal(w->shard->urgency, FORK_ASKED);
}

static void test_other_saves_meanwhile(void **state) {
    char text[200];
    shard_stop_children(w->shard);
    struct peer *peer = peer_join(w, "capa eof");
    shard_await_stopped_child(w->shard);
    assert_int_equal(persist_bgsave(w->shard->persist, false), BGSAVE_BUSY);
    assert_int_equal(persist_bgsave(w->shard->persist, true), BGSAVE_BUSY);
    assert_int_equal(persist_save(w->shard->persist, text, sizeof text), -1);
    assert_string_equal(text, "ERR Background save already in progress");
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer_taken(peer).whole);
    assert_int_equal(persist_bgsave(w->shard->persist, false), BGSAVE_STARTED);
    shard_await(w->shard, shard_no_child, "BGSAVE");
    assert_true(shard_file_exists(w->shard, "dump.rdb"));
}

static void test_snapshot_only(void **state) {
    struct peer *peer = peer_join(w, "capa eof rdb-only 1");
    SCENE_AWAIT(w, peer->dropped);
    assert_true(peer_taken(peer).whole);
    expect_stream(peer, "");
}

static void test_old_protocol(void **state) {
    struct peer *peer = peer_connect(w, "capa eof");
    peer_sync(peer, NULL, -1);
    SCENE_AWAIT(w, peer_taken(peer).whole);
    assert_string_equal(peer_taken(peer).id, "");
    assert_memory_equal(peer->got.data, "$EOF:", 5);
    /* One word it has to say: that it has seen the mark. */
    scene_check_at(w, clock_mono_ms() + TIMEOUT_MS + 1000);
    assert_true(peer->dropped);
}

/* ---- who shares it ---- */
static void test_delay(void **state) {
    shard_configure(w->shard, "repl-diskless-sync-delay", "5");
    shard_configure(w->shard, "repl-diskless-sync-max-replicas", "3");
    struct peer *one = peer_join(w, "capa eof");
    uint64_t asked_ms = one->replica->asked_ms;
    assert_false(snapshot_pipe_is_due(w->primary, asked_ms + 4999));
    assert_true(snapshot_pipe_is_due(w->primary, asked_ms + 5000));
    struct peer *two = peer_join(w, "capa eof");
    scene_pass(w);
    assert_int_equal(peer_state(one), REPLICA_WAIT_FORK);
    struct peer *three = peer_join(w, "capa eof");
    assert_int_equal(peer_state(one), REPLICA_PIPED);
    assert_int_equal(peer_state(two), REPLICA_PIPED);
    assert_int_equal(peer_state(three), REPLICA_PIPED);
    SCENE_AWAIT(w, peer_taken(three).whole && !child_lives());
    struct peer *four = peer_join(w, "capa eof");
    scene_pass(w);
    assert_int_equal(peer_state(four), REPLICA_WAIT_FORK);
    four->replica->asked_ms -= 5000;
    scene_pass(w);
    assert_int_equal(peer_state(four), REPLICA_PIPED);
}

/* One that needs a file has all get it; so does the option. A snapshot under way for whatever reason serves. */
static void test_file_for_all(void **state) {
    w->shard->withhold_turns = true;
    shard_configure(w->shard, "repl-diskless-sync-delay", "5");
    struct peer *one = peer_join(w, "capa eof"), *two = peer_join(w, "capa psync2");
    persist_fork_granted(w->shard->persist, w->shard->wish);
    assert_int_equal(peer_state(one), REPLICA_WAIT_FILE);
    assert_int_equal(peer_state(two), REPLICA_WAIT_FILE);
    struct peer *three = peer_join(w, "capa eof");
    assert_int_equal(peer_state(three), REPLICA_WAIT_FILE);
    SCENE_AWAIT(w, peer_taken(one).whole && peer_taken(two).whole && peer_taken(three).whole);
    assert_false(peer_taken(one).marked || peer_taken(three).marked);
    w->shard->withhold_turns = false;
    shard_configure(w->shard, "repl-diskless-sync", "no");
    struct peer *four = peer_join(w, "capa eof");
    SCENE_AWAIT(w, peer_taken(four).whole);
    assert_false(peer_taken(four).marked);
}

/* Who comes while it is under way gets the next: its beginning is not there any more. */
static void test_newcomer_waits(void **state) {
    scene_fill(w, MUCH_BYTES);
    struct peer *one = peer_connect(w, "capa eof");
    one->deaf = true;
    peer_sync(one, "?", -1);
    struct peer *two = peer_join(w, "capa eof");
    SCENE_AWAIT(w, snapshot_pipe_waits_for(one->replica));
    assert_int_equal(peer_state(two), REPLICA_WAIT_FORK);
    shard_run(w->shard, "SET a 1");
    char *digest = shard_digest(w->shard->ks);
    one->deaf = false;
    SCENE_AWAIT(w, peer_taken(one).whole && peer_taken(two).whole);
    expect_snapshot(two, digest);
    free(digest);
}

static void test_wish_is_taken_back(void **state) {
    w->shard->withhold_turns = true;
    struct peer *one = peer_join(w, "capa eof"), *two = peer_join(w, "capa eof");
    assert_true(persist_child_busy(w->shard->persist));
    peer_leave(one);
    assert_true(persist_child_busy(w->shard->persist));
    peer_leave(two);
    assert_false(persist_child_busy(w->shard->persist));
    persist_fork_granted(w->shard->persist, w->shard->wish); /* it crossed */
    assert_false(child_lives());
}

/* ---- how fast it goes ---- */
static void test_slow_replica_throttles(void **state) {
    scene_fill(w, MUCH_BYTES);
    char *digest = shard_digest(w->shard->ks);
    w->shard->withhold_turns = true;
    struct peer *slow = peer_join(w, "capa eof"), *quick = peer_join(w, "capa eof");
    persist_fork_granted(w->shard->persist, w->shard->wish);
    slow->deaf = true;
    SCENE_AWAIT(w, is_held_up());
    assert_true(is_diskless());
    assert_true(quick->got.len < MUCH_BYTES / 4); /* one piece, and what the sockets hold */
    shard_run(w->shard, "SET a 1");
    slow->deaf = false;
    SCENE_AWAIT(w, peer_taken(slow).whole && peer_taken(quick).whole);
    expect_snapshot(slow, digest);
    expect_snapshot(quick, digest);
    acknowledge(slow);
    acknowledge(quick);
    scene_turn(w);
    expect_stream(slow, SELECT_0 SET("a", "1"));
    expect_stream(quick, SELECT_0 SET("a", "1"));
    free(digest);
}

/* Two that share one; the first reads nothing, and holds up the other. */
static void begin_held_up(struct peer **deaf_r, struct peer **other_r) {
    scene_fill(w, MUCH_BYTES);
    w->shard->withhold_turns = true;
    *deaf_r = peer_join(w, "capa eof");
    *other_r = peer_join(w, "capa eof");
    persist_fork_granted(w->shard->persist, w->shard->wish);
    (*deaf_r)->deaf = true;
    SCENE_AWAIT(w, is_held_up());
}

static void test_timeout_of_who_holds_up(void **state) {
    struct peer *deaf, *other;
    begin_held_up(&deaf, &other);
    uint64_t since_ms = deaf->replica->alive_ms;
    scene_check_at(w, since_ms + TIMEOUT_MS / 2);
    assert_false(deaf->dropped);
    scene_check_at(w, since_ms + TIMEOUT_MS / 2 + 1);
    assert_true(deaf->dropped);
    SCENE_AWAIT(w, peer_taken(other).whole);
    assert_false(other->dropped);
    /* By itself it has the whole time. */
    w->shard->withhold_turns = false;
    deaf = peer_connect(w, "capa eof");
    deaf->deaf = true;
    peer_sync(deaf, "?", -1);
    SCENE_AWAIT(w, snapshot_pipe_waits_for(deaf->replica));
    since_ms = deaf->replica->alive_ms;
    scene_check_at(w, since_ms + TIMEOUT_MS);
    assert_false(deaf->dropped);
    scene_check_at(w, since_ms + TIMEOUT_MS + 1);
    assert_true(deaf->dropped);
    assert_false(child_lives());
}

static void test_output_limit_of_who_holds_up(void **state) {
    struct peer *deaf, *other;
    shard_configure(w->shard, "repl-backlog-size", "16384");
    shard_configure(w->shard, "client-output-buffer-limit", "replica 1000000 0 0");
    begin_held_up(&deaf, &other);
    scene_change(w, 1200000);
    scene_check_at(w, clock_mono_ms());
    assert_true(deaf->dropped);
    assert_false(other->dropped);
    SCENE_AWAIT(w, peer_taken(other).whole);
    acknowledge(other);
    SCENE_AWAIT(w, peer_taken(other).stream.len >= 1200000);
    assert_false(other->dropped);
}

/* The excuse holds for what had piled up then. */
static void test_excuse_ends(void **state) {
    struct peer *deaf, *other;
    shard_configure(w->shard, "repl-backlog-size", "16384");
    shard_configure(w->shard, "client-output-buffer-limit", "replica 1000000 0 0");
    begin_held_up(&deaf, &other);
    scene_change(w, 1200000);
    other->deaf = true;
    scene_check_at(w, clock_mono_ms());
    assert_true(deaf->dropped);
    scene_change(w, 900000);
    scene_check_at(w, clock_mono_ms());
    assert_false(other->dropped);
    scene_change(w, 200000);
    scene_check_at(w, clock_mono_ms());
    assert_true(other->dropped);
    assert_false(child_lives());
}

/* ---- how it comes to nothing ---- */
static void test_child_dies(void **state) {
    struct peer *deaf, *other;
    begin_held_up(&deaf, &other);
    kill(w->shard->persist->child.pid, SIGKILL);
    SCENE_AWAIT(w, deaf->dropped && other->dropped);
    assert_false(peer_taken(other).whole);
    assert_int_equal(w->primary->pipe.fd, -1);
    assert_int_equal(w->shard->persist->snapshots.last_ok, true); /* of files */
    w->shard->withhold_turns = false;
    struct peer *peer = peer_join(w, "capa eof");
    SCENE_AWAIT(w, peer_taken(peer).whole);
}

/* It has written everything but its good end. */
static void test_child_dies_at_the_end(void **state) {
    shard_stop_children(w->shard);
    struct peer *peer = peer_join(w, "capa eof");
    shard_await_stopped_child(w->shard);
    kill(w->shard->persist->child.pid, SIGKILL);
    SCENE_AWAIT(w, w->primary->pipe.fd < 0);
    SCENE_AWAIT(w, peer->dropped);
    assert_false(peer_taken(peer).whole);
}

/* The child is long gone when the last bytes are read. */
static void test_child_ends_first(void **state) {
    siginfo_t info;
    struct peer *peer = peer_join(w, "capa eof");
    pid_t pid = w->shard->persist->child.pid;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    SCENE_AWAIT(w, peer_taken(peer).whole);
}

static void test_last_one_leaves(void **state) {
    struct peer *deaf, *other;
    uint64_t given_back = w->shard->turns_given_back;
    begin_held_up(&deaf, &other);
    peer_leave(other);
    assert_true(is_diskless());
    peer_leave(deaf);
    assert_false(child_lives());
    assert_int_equal(w->shard->turns_given_back, given_back + 1);
    assert_null(w->primary->pipe.piece);
}

/* The one that holds up leaves: the other goes on at once. */
static void test_who_holds_up_leaves(void **state) {
    struct peer *deaf, *other;
    begin_held_up(&deaf, &other);
    peer_leave(deaf);
    SCENE_AWAIT(w, peer_taken(other).whole);
}

static void test_flushed_meanwhile(void **state) {
    struct peer *deaf, *other;
    begin_held_up(&deaf, &other);
    struct peer *waiting = peer_join(w, "capa eof");
    shard_run(w->shard, "FLUSHALL");
    scene_turn(w);
    assert_true(deaf->dropped && other->dropped);
    assert_false(waiting->dropped);
    shard_run(w->shard, "SET a 1");
    char *digest = shard_digest(w->shard->ks);
    w->shard->withhold_turns = false;
    scene_pass(w);
    SCENE_AWAIT(w, peer_taken(waiting).whole);
    expect_snapshot(waiting, digest);
    free(digest);
}

static void test_another_history(void **state) {
    struct peer *deaf, *other;
    begin_held_up(&deaf, &other);
    primary_forget(w->primary);
    scene_turn(w);
    assert_true(deaf->dropped && other->dropped);
    assert_false(child_lives());
}

/* A replica does not say that it has seen the mark. */
static void test_never_acknowledged(void **state) {
    struct peer *peer = peer_join(w, "capa eof");
    SCENE_AWAIT(w, peer_state(peer) == REPLICA_ONLINE);
    assert_true(primary_drained(w->primary)); /* a stop does not wait for it */
    scene_check_at(w, peer->replica->acked_ms + TIMEOUT_MS);
    assert_false(peer->dropped);
    scene_check_at(w, peer->replica->acked_ms + TIMEOUT_MS + 1);
    assert_true(peer->dropped);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_shared),
        CASE(test_no_file),
        CASE(test_other_saves_meanwhile),
        CASE(test_snapshot_only),
        CASE(test_old_protocol),
        CASE(test_delay),
        CASE(test_file_for_all),
        CASE(test_newcomer_waits),
        CASE(test_wish_is_taken_back),
        CASE(test_slow_replica_throttles),
        CASE(test_timeout_of_who_holds_up),
        CASE(test_output_limit_of_who_holds_up),
        CASE(test_excuse_ends),
        CASE(test_child_dies),
        CASE(test_child_dies_at_the_end),
        CASE(test_child_ends_first),
        CASE(test_last_one_leaves),
        CASE(test_who_holds_up_leaves),
        CASE(test_flushed_meanwhile),
        CASE(test_another_history),
        CASE(test_never_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
