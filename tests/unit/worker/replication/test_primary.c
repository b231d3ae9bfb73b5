/* test_primary.c - a shard with replicas: each way from PSYNC to the stream, and out of it. Snapshots that go
 * without a file have a test of their own. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "tests/unit/worker/replication/replica_fixture.h"

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

/* All that is to be seen of it: the snapshot and what came after. */
static void expect_synced(struct peer *peer, const char *digest, const char *stream) {
    struct taken t = peer_taken(peer);
    assert_string_equal(t.id, primary_backlog(w->primary)->id);
    assert_false(t.marked);
    expect_snapshot(peer, digest);
    expect_stream(peer, stream);
}

static struct peer *join_online(const char *options) {
    struct peer *peer = peer_join(w, options);
    SCENE_AWAIT(w, peer_state(peer) == REPLICA_ONLINE);
    return peer;
}

/* ---- full syncs ---- */
/* One fork for those who ask before it, one while it waits for its turn, and one while the child writes. */
static void test_one_snapshot_for_all(void **state) {
    w->shard->withhold_turns = true;
    struct peer *first = peer_join(w, "capa psync2"), *second = peer_join(w, "capa psync2");
    assert_int_equal(peer_state(second), REPLICA_WAIT_FORK);
    shard_run(w->shard, "SET a 1");
    char *digest = shard_digest(w->shard->ks);
    shard_stop_children(w->shard);
    uint64_t wish = w->shard->wish;
    persist_fork_granted(w->shard->persist, wish);
    shard_await_stopped_child(w->shard);
    assert_int_equal(peer_state(first), REPLICA_WAIT_FILE);
    shard_run(w->shard, "SET b 2");
    struct peer *third = peer_join(w, "");
    assert_int_equal(peer_state(third), REPLICA_WAIT_FILE);
    shard_run(w->shard, "SET c 3");
    scene_turn(w);
    assert_int_equal(first->got.len, 0);
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer_state(first) == REPLICA_ONLINE && peer_state(second) == REPLICA_ONLINE &&
                       peer_state(third) == REPLICA_ONLINE);
    shard_run(w->shard, "SET d 4");
    scene_turn(w);
    scene_turn(w);
    struct peer *all[] = {first, second, third};
    for (unsigned i = 0; i < 3; i++)
        expect_synced(all[i], digest, SELECT_0 SET("b", "2") SET("c", "3") SET("d", "4"));
    assert_int_equal(w->shard->wish, wish);
    free(digest);
}

static void test_old_protocol(void **state) {
    struct peer *peer = peer_connect(w, "");
    char *digest = shard_digest(w->shard->ks);
    peer_sync(peer, NULL, -1);
    SCENE_AWAIT(w, peer_state(peer) == REPLICA_ONLINE);
    shard_run(w->shard, "SET a 1");
    scene_turn(w);
    scene_turn(w);
    assert_string_equal(peer_taken(peer).id, "");
    assert_int_equal(peer->got.data[0], '$');
    expect_snapshot(peer, digest);
    expect_stream(peer, SELECT_0 SET("a", "1"));
    scene_check_at(w, clock_mono_ms() + 3600000); /* it does not acknowledge */
    assert_int_equal(peer_state(peer), REPLICA_ONLINE);
    free(digest);
}

static void test_snapshot_only(void **state) {
    struct peer *peer = peer_join(w, "rdb-only 1");
    char *digest = shard_digest(w->shard->ks);
    SCENE_AWAIT(w, peer->dropped);
    expect_synced(peer, digest, "");
    free(digest);
}

/* Its snapshot failed, and the next one is for who asks then. */
static void test_failed_snapshot(void **state) {
    shard_stop_children(w->shard);
    struct peer *peer = peer_join(w, "");
    shard_await_stopped_child(w->shard);
    kill(w->shard->persist->child.pid, SIGKILL);
    SCENE_AWAIT(w, peer->dropped);
    assert_int_equal(peer->got.len, 0);
    assert_int_equal(primary_replicas(w->primary), 0);
    shard_let_children_go(w->shard);
    join_online("");
}

/* The file is not there when it is to be sent. */
static void test_lost_file(void **state) {
    shard_stop_children(w->shard);
    struct peer *peer = peer_join(w, "");
    shard_await_stopped_child(w->shard);
    snprintf(w->shard->dir + strlen(w->shard->dir), 10, "/gone");
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer->dropped);
    *strrchr(w->shard->dir, '/') = '\0';
    assert_int_equal(peer->got.len, 0);
}

/* FLUSHALL ends the child: the replicas wait for the next one, and hear nothing of the first. */
static void test_flushed_meanwhile(void **state) {
    shard_stop_children(w->shard);
    struct peer *peer = peer_join(w, "");
    shard_await_stopped_child(w->shard);
    shard_run(w->shard, "FLUSHALL");
    assert_int_equal(peer_state(peer), REPLICA_WAIT_FORK);
    shard_let_children_go(w->shard);
    shard_run(w->shard, "SET a 1");
    char *digest = shard_digest(w->shard->ks);
    SCENE_AWAIT(w, peer_state(peer) == REPLICA_ONLINE);
    assert_false(peer->dropped);
    expect_synced(peer, digest, "");
    free(digest);
}

/* ---- partial syncs ---- */
static void expect_continued(const char *options, const char *id, uint64_t have,
                             const char *answer) {
    char expected[300];
    struct peer *peer = peer_connect(w, options);
    peer_sync(peer, id, (int64_t)have + 1);
    assert_int_equal(peer_state(peer), REPLICA_ONLINE);
    scene_turn(w);
    *buf_reserve(&peer->got, 1) = '\0';
    snprintf(expected, sizeof expected, "%s", answer);
    assert_string_equal(peer->got.data, expected);
    peer_leave(peer);
}

static void expect_refused(const char *id, int64_t offset) {
    w->shard->withhold_turns = true;
    struct peer *peer = peer_connect(w, "capa psync2");
    peer_sync(peer, id, offset);
    assert_int_equal(peer_state(peer), REPLICA_WAIT_FORK);
    peer_leave(peer);
}

static void test_partial(void **state) {
    struct backlog *s = primary_backlog(w->primary);
    char id[REPLICATION_ID_BYTES], upper[REPLICATION_ID_BYTES], answer[300];
    peer_leave(join_online("capa psync2"));
    uint64_t have = s->end;
    shard_run(w->shard, "SET a 1");
    shard_run(w->shard, "SET b 2");
    memcpy(id, s->id, sizeof id);
    for (size_t i = 0; i < sizeof id; i++)
        upper[i] = (char)(id[i] >= 'a' && id[i] <= 'f' ? id[i] - 32 : id[i]);
    expect_continued("", id, have, "+CONTINUE\r\n" SELECT_0 SET("a", "1") SET("b", "2"));
    snprintf(answer, sizeof answer, "+CONTINUE %s\r\n", id);
    expect_continued("capa eof capa psync2", upper, s->end, answer);
    expect_refused(id, (int64_t)s->end + 2);
    expect_refused(id, INT64_MAX);
    expect_refused(id, 0);
    expect_refused(id, -1);
    expect_refused(id, INT64_MIN);
    expect_refused("0123456789012345678901234567890123456789", (int64_t)s->end + 1);
    expect_refused("", 1);
    expect_refused("?", 1);
    /* Under another id from here on: who knows the one before goes on up to here, not beyond. */
    uint64_t promoted = s->end;
    primary_branch_off(w->primary);
    snprintf(answer, sizeof answer, "+CONTINUE %s\r\n", s->id);
    expect_continued("capa psync2", id, promoted, answer);
    shard_run(w->shard, "SET c 3");
    snprintf(answer, sizeof answer, "+CONTINUE %s\r\n" SELECT_0 SET("c", "3"), s->id);
    expect_continued("capa psync2", id, promoted, answer);
    expect_refused(id, (int64_t)s->end + 1);
    /* What was asked for is not kept any more. */
    scene_change(w, 2 << 20);
    scene_turn(w);
    assert_true(backlog_begin(s) > have);
    expect_refused(s->id, (int64_t)have + 1);
}

/* ---- limits ---- */
static void test_output_limit(void **state) {
    shard_configure(w->shard, "repl-backlog-size", "16384");
    shard_configure(w->shard, "client-output-buffer-limit", "replica 1000000 0 0");
    struct peer *slow = join_online(""), *quick = join_online("");
    slow->deaf = true;
    scene_change(w, 900000);
    scene_pass(w);
    assert_false(slow->dropped);
    scene_change(w, 400000); /* the socket took some of it */
    scene_turn(w);           /* not before the next check, but now */
    assert_true(slow->dropped);
    assert_int_equal(peer_state(quick), REPLICA_ONLINE);
    SCENE_AWAIT(w, peer_taken(quick).stream.len >= 1300000);
    scene_change(w, 20000);
    scene_turn(w);
    /* Nobody needs it any more: it is not kept. */
    assert_true(primary_backlog(w->primary)->end - backlog_begin(primary_backlog(w->primary)) <
                200000);
}

static void test_soft_output_limit(void **state) {
    shard_configure(w->shard, "repl-backlog-size", "16384");
    shard_configure(w->shard, "client-output-buffer-limit", "replica 0 100000 10");
    struct peer *slow = join_online("");
    uint64_t now_ms = clock_mono_ms();
    slow->deaf = true;
    scene_change(w, 400000);
    scene_check_at(w, now_ms);
    scene_check_at(w, now_ms + 9000);
    assert_false(slow->dropped);
    slow->deaf = false; /* it catches up, and the time counts from zero */
    SCENE_AWAIT(w, slow->replica->cursor.offset == primary_backlog(w->primary)->end);
    scene_check_at(w, now_ms + 9500);
    slow->deaf = true;
    scene_change(w, 400000);
    scene_check_at(w, now_ms + 9600);
    scene_check_at(w, now_ms + 19000);
    assert_false(slow->dropped);
    scene_check_at(w, now_ms + 19700);
    assert_true(slow->dropped);
}

/* What the backlog holds anyway lets nobody go. */
static void test_limit_below_backlog(void **state) {
    shard_configure(w->shard, "repl-backlog-size", "1mb");
    shard_configure(w->shard, "client-output-buffer-limit", "replica 1000 0 0");
    struct peer *slow = join_online("");
    slow->deaf = true;
    scene_change(w, 900000);
    scene_check_at(w, clock_mono_ms());
    assert_false(slow->dropped);
    scene_change(w, 400000);
    scene_check_at(w, clock_mono_ms());
    assert_true(slow->dropped);
}

static void test_signs_of_life(void **state) {
    uint64_t now_ms = clock_mono_ms();
    shard_configure(w->shard, "repl-ping-replica-period", "10");
    w->shard->withhold_turns = true;
    struct peer *peer = peer_join(w, "");
    scene_check_at(w, now_ms + 9000);
    assert_int_equal(peer->got.len, 0);
    scene_check_at(w, now_ms + 11000);
    assert_int_equal(peer->got.len, 1);
    shard_stop_children(w->shard);
    persist_fork_granted(w->shard->persist, w->shard->wish);
    shard_await_stopped_child(w->shard);
    assert_int_equal(peer_state(peer), REPLICA_WAIT_FILE);
    scene_check_at(w, now_ms + 22000);
    assert_int_equal(peer->got.len, 2);
    assert_memory_equal(peer->got.data, "\n\n", 2);
    scene_check_at(w, now_ms + 3600000); /* however long it takes */
    assert_false(peer->dropped);
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer_state(peer) == REPLICA_ONLINE);
    scene_check_at(w, clock_mono_ms() + 11000); /* the pings of the stream do it now */
    assert_string_equal(peer_taken(peer).id, primary_backlog(w->primary)->id);
    expect_stream(peer, "");
}

static void test_timeout(void **state) {
    uint64_t timeout_ms = 60000;
    struct peer *silent = join_online(""), *alive = join_online(""), *loads = join_online("");
    uint64_t now_ms = clock_mono_ms();
    silent->replica->acked_ms = now_ms - timeout_ms;
    alive->replica->acked_ms = loads->replica->acked_ms = now_ms - timeout_ms;
    replica_acknowledge(alive->replica, 1, 0);
    replica_lives(loads->replica);
    replica_lives(NULL);
    scene_check_at(w, now_ms + 2);
    assert_true(silent->dropped);
    assert_false(alive->dropped);
    assert_false(loads->dropped);
    scene_fill(w, 500000);
    struct peer *deaf = peer_connect(w, "");
    deaf->deaf = true;
    peer_sync(deaf, "?", -1);
    SCENE_AWAIT(w, peer_state(deaf) == REPLICA_SENDING && deaf->replica->file_at > 0);
    now_ms = deaf->replica->alive_ms;
    scene_check_at(w, now_ms + timeout_ms);
    assert_false(deaf->dropped);
    scene_check_at(w, now_ms + timeout_ms + 1);
    assert_true(deaf->dropped);
}

static void test_backlog_ttl(void **state) {
    struct backlog *s = primary_backlog(w->primary);
    shard_configure(w->shard, "repl-backlog-ttl", "1");
    peer_leave(join_online(""));
    assert_true(s->kept);
    scene_pass(w);
    assert_true(s->kept);
    propagate_follow(w->shard->propagate, true);
    w->primary->alone_since_ms -= 1000;
    shard_configure(w->shard, "replicaof", "127.0.0.1 1");
    scene_pass(w);
    assert_true(s->kept); /* a replica's says where it stands itself */
    shard_configure(w->shard, "replicaof", "");
    scene_pass(w);
    w->primary->alone_since_ms -= 1000;
    scene_pass(w);
    assert_true(s->kept); /* another's stream */
    propagate_follow(w->shard->propagate, false);
    scene_pass(w);
    w->primary->alone_since_ms -= 1000;
    char id[REPLICATION_ID_BYTES];
    memcpy(id, s->id, sizeof id);
    scene_pass(w);
    assert_false(s->kept);
    /* What changes now is counted by nobody: who has the old history cannot go on. */
    uint64_t end = s->end;
    shard_run(w->shard, "SET uncounted 1");
    join_online("");
    assert_int_equal(s->end, end);
    assert_false(backlog_continues(s, bytes_of_text(id), end));
}

/* What a turn has made is in the log before a replica gets it, also one that has waited for room in its socket. */
static void test_the_log_comes_first(void **state) {
    struct peer *peer = join_online("");
    scene_turn(w);
    size_t before = peer->got.len;
    shard_run(w->shard, "SET a 1");
    replica_write(peer->replica);
    char byte;
    assert_int_equal(recv(peer->their_fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    scene_turn(w);
    scene_turn(w);
    assert_true(peer->got.len > before);
    expect_stream(peer, SELECT_0 SET("a", "1"));
}

/* ---- replicas that leave ---- */
static void test_leaves_at_each_state(void **state) {
    scene_fill(w, 500000);
    struct peer *peer = peer_connect(w, "capa psync2 listening-port 7000");
    assert_false(replica_is_attached(peer->replica));
    peer_leave(peer); /* HELLO */
    w->shard->withhold_turns = true;
    peer = peer_join(w, "");
    assert_int_equal(peer_state(peer), REPLICA_WAIT_FORK);
    peer_leave(peer);
    w->shard->withhold_turns = false;
    persist_fork_granted(w->shard->persist, w->shard->wish);
    shard_await(w->shard, shard_no_child, "the end of a snapshot that nobody waits for");
    shard_stop_children(w->shard);
    peer = peer_join(w, "");
    shard_await_stopped_child(w->shard);
    assert_int_equal(peer_state(peer), REPLICA_WAIT_FILE);
    peer_leave(peer);
    shard_let_children_go(w->shard);
    shard_await(w->shard, shard_no_child, "the end of a snapshot that nobody waits for any more");
    peer = peer_connect(w, "");
    peer->deaf = true;
    peer_sync(peer, "?", -1);
    SCENE_AWAIT(w, peer_state(peer) == REPLICA_SENDING);
    peer_leave(peer);
    peer = join_online("");
    peer_leave(peer);
    assert_int_equal(primary_replicas(w->primary), 0);
    assert_true(w->acknowledged > 0); /* whoever waits for them is told */
}

/* The socket breaks while it is written to. */
static void test_connection_breaks(void **state) {
    scene_fill(w, 500000);
    struct peer *sending = peer_connect(w, "");
    sending->deaf = true;
    struct peer *online = join_online("");
    peer_sync(sending, "?", -1);
    SCENE_AWAIT(w, peer_state(sending) == REPLICA_SENDING);
    shutdown(sending->their_fd, SHUT_RDWR);
    shutdown(online->their_fd, SHUT_RDWR);
    shard_run(w->shard, "SET a 1");
    SCENE_AWAIT(w, sending->dropped && online->dropped);
    assert_int_equal(primary_replicas(w->primary), 0);
}

static void test_another_history(void **state) {
    struct peer *online = join_online("");
    w->shard->withhold_turns = true;
    struct peer *waiting = peer_join(w, "");
    primary_forget(w->primary);
    scene_turn(w);
    assert_true(online->dropped && waiting->dropped);
    assert_false(primary_backlog(w->primary)->kept);
    primary_become(w->primary, "0123456789012345678901234567890123456789", 77);
    struct peer *peer = peer_connect(w, "");
    peer_sync(peer, "0123456789012345678901234567890123456789", 78);
    assert_int_equal(peer_state(peer), REPLICA_ONLINE);
    shard_let_children_go(w->shard);
}

/* The primary we follow goes on under another id: what comes now is not of the history that replicas know. */
static void test_another_name(void **state) {
    static const char name[] = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";
    struct peer *online = join_online("capa psync2");
    struct backlog *s = primary_backlog(w->primary);
    char old[REPLICATION_ID_BYTES];
    memcpy(old, s->id, sizeof old);
    primary_rename(w->primary, old);
    scene_turn(w);
    assert_false(online->dropped);
    primary_rename(w->primary, name);
    scene_turn(w);
    assert_true(online->dropped);
    uint64_t end = s->end;
    propagate_follow(w->shard->propagate, true);
    primary_ask_acknowledge(w->primary);
    scene_turn(w);
    assert_int_equal(s->end, end); /* nothing of our own in another's stream */
    propagate_receive(w->shard->propagate, bytes_of_text(SET("a", "1")));
    propagate_received(w->shard->propagate, false, 0);
    assert_true(backlog_continues(s, bytes_of_text(old), end));
    assert_false(backlog_continues(s, bytes_of_text(old), s->end));
    assert_true(backlog_continues(s, bytes_of_text(name), s->end));
}

/* ---- words ---- */
static enum replica_option option(struct replica *r, const char *name, const char *value) {
    return replica_option(r, bytes_of_text(name), bytes_of_text(value));
}

static void note_view(void *arg, const struct replica_view *view) {
    *(struct replica_view *)arg = *view;
}

static void test_options(void **state) {
    struct peer *peer = peer_connect(w, "listening-port 7000 ip-address 10.1.2.3");
    struct replica *r = peer->replica;
    struct replica_view view = {0};
    char much[400];
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    const struct {
        const char *name, *value;
        enum replica_option result;
    } said[] = {{"nonsense", "1", REPLICA_OPTION_UNKNOWN},
                {"", "", REPLICA_OPTION_UNKNOWN},
                {much, "", REPLICA_OPTION_UNKNOWN},
                {"capa", much, REPLICA_OPTION_TAKEN}, /* more than we know */
                {"capa", "", REPLICA_OPTION_TAKEN},
                {"listening-port", "7x", REPLICA_OPTION_NO_INTEGER},
                {"listening-port", "", REPLICA_OPTION_NO_INTEGER},
                {"ip-address", much, REPLICA_OPTION_TOO_LONG},
                {"rdb-only", "yes", REPLICA_OPTION_NO_INTEGER},
                {"rdb-only", "-1", REPLICA_OPTION_NO_SWITCH},
                {"rdb-filter-only", "functions", REPLICA_OPTION_NO_FILTER}};
    for (unsigned i = 0; i < sizeof said / sizeof *said; i++)
        assert_int_equal(option(r, said[i].name, said[i].value), said[i].result);
    assert_false(r->knows_eof || r->knows_psync2 || r->snapshot_only);
    assert_int_equal(r->port, 7000);
    assert_int_equal(option(r, "CAPA", "EOF"), REPLICA_OPTION_TAKEN);
    assert_true(r->knows_eof);
    peer_sync(peer, "?", -1);
    primary_each(w->primary, note_view, &view);
    assert_string_equal(view.address, "10.1.2.3");
    assert_int_equal(view.port, 7000);
    assert_string_equal(view.state, "wait_bgsave");
    peer_leave(peer);
    peer = peer_join(w, "");
    primary_each(w->primary, note_view, &view);
    assert_string_equal(view.address, "127.0.0.1"); /* as it is seen */
    assert_int_equal(view.port, 0);
}

/* ---- acknowledgements ---- */
static void test_acknowledgements(void **state) {
    struct peer *one = join_online(""), *two = join_online("");
    struct peer *behind = peer_connect(w, "");
    replica_acknowledge(behind->replica, 1000000, 1000000); /* before PSYNC it means nothing */
    shard_run(w->shard, "SET a 1");
    uint64_t end = primary_backlog(w->primary)->end;
    assert_int_equal(primary_acknowledged(w->primary, end, false), 0);
    replica_acknowledge(one->replica, end, 0);
    assert_int_equal(primary_acknowledged(w->primary, end, false), 1);
    assert_int_equal(primary_acknowledged(w->primary, end, true), 0);
    assert_int_equal(primary_least_acknowledged(w->primary), 0);
    replica_acknowledge(two->replica, end, end);
    assert_int_equal(primary_acknowledged(w->primary, end, false), 2);
    assert_int_equal(primary_acknowledged(w->primary, end, true), 1);
    assert_int_equal(primary_least_acknowledged(w->primary), end);
    replica_acknowledge(two->replica, 1, 1); /* it cannot be taken back */
    assert_int_equal(primary_acknowledged(w->primary, end, true), 1);
    assert_int_equal(primary_acknowledged(w->primary, end + 1, false), 0);
    primary_refresh(w->primary);
    assert_int_equal(primary_good_replicas(w->primary), 2);
    two->replica->acked_ms -= 11000;
    primary_refresh(w->primary);
    assert_int_equal(primary_good_replicas(w->primary), 1);
    peer_leave(one);
    assert_int_equal(primary_acknowledged(w->primary, end, false), 1);
    primary_ask_acknowledge(w->primary);
    scene_turn(w);
    scene_turn(w);
    expect_stream(two,
                  SELECT_0 SET("a", "1") "*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_one_snapshot_for_all),
        CASE(test_old_protocol),
        CASE(test_snapshot_only),
        CASE(test_failed_snapshot),
        CASE(test_lost_file),
        CASE(test_flushed_meanwhile),
        CASE(test_partial),
        CASE(test_output_limit),
        CASE(test_soft_output_limit),
        CASE(test_limit_below_backlog),
        CASE(test_signs_of_life),
        CASE(test_timeout),
        CASE(test_backlog_ttl),
        CASE(test_leaves_at_each_state),
        CASE(test_connection_breaks),
        CASE(test_another_history),
        CASE(test_the_log_comes_first),
        CASE(test_another_name),
        CASE(test_options),
        CASE(test_acknowledgements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
