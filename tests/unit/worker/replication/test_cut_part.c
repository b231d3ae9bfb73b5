/* test_cut_part.c - a shard's part of the merged stream's snapshot: forked when it is told to, written aside, and
 * the stream from there on; what goes on beside it, and every way in which it comes to nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "tests/unit/worker/replication/replica_fixture.h"

static const char part[] = "part.rdb";

static struct scene *w;
static char text[300];

static int set_up(void **state) {
    w = scene_open();
    shard_run(w->shard, "SET before cut");
    return 0;
}
static int tear_down(void **state) {
    scene_close(&w);
    return 0;
}

/* As a worker does when all shards are locked. */
static int cut(void) {
    if (persist_aside(w->shard->persist, w->shard->dir, part, text, sizeof text) != 0)
        return -1;
    primary_cut_forked(w->primary);
    return 0;
}

/* The file as the data of a shard. */
static void expect_part(const char *digest) {
    struct buf file = shard_read_file(w->shard, part);
    struct shard *copy = shard_create();
    shard_write_file(copy, "dump.rdb", buf_bytes(&file));
    if (shard_open(copy) != 0)
        fail_msg("%s", copy->error);
    shard_expect_digest(copy, digest);
    shard_free(&copy);
    buf_free(&file);
}

/* What came behind the empty line that says that it was heard. */
static void expect_got(const struct peer *peer, const char *stream) {
    char expected[400];
    snprintf(expected, sizeof expected, "\n+FULLRESYNC %s %llu\r\n$HERE\r\n%s",
             primary_backlog(w->primary)->id, (unsigned long long)peer->replica->file_offset,
             stream);
    assert_true(bytes_equal(buf_bytes(&peer->got), bytes_of_text(expected)));
}

static void test_forked_when_told(void **state) {
    struct peer *own = peer_join_own(w);
    assert_true(primary_awaits_cut(w->primary));
    scene_turn(w);
    assert_true(bytes_equal(buf_bytes(&own->got), BYTES_LITERAL("\n")));
    /* Neither of these is of the moment it waits for. */
    struct peer *other = peer_join(w, "capa psync2");
    SCENE_AWAIT(w, peer_taken(other).whole);
    struct peer *third = peer_join(w, "capa eof");
    SCENE_AWAIT(w, peer_taken(third).whole);
    assert_int_equal(peer_state(own), REPLICA_WAIT_CUT);
    shard_await(w->shard, shard_no_child, "other snapshots");

    struct snapshots before = w->shard->persist->snapshots;
    uint64_t given_back = w->shard->turns_given_back;
    shard_run(w->shard, "SET until cut");
    char *digest = shard_digest(w->shard->ks);
    shard_stop_children(w->shard);
    assert_int_equal(cut(), 0);
    shard_await_stopped_child(w->shard);
    shard_run(w->shard, "SET a 1");
    scene_pass(w);
    assert_int_equal(peer_state(own), REPLICA_CUT);
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer_state(own) == REPLICA_ONLINE);
    scene_turn(w);
    expect_got(own, SELECT_0 SET("a", "1"));
    expect_part(digest);
    assert_int_equal(w->shard->persist->snapshots.count, before.count);
    assert_int_equal(w->shard->persist->snapshots.dirty, before.dirty + 2);
    assert_int_equal(w->shard->turns_given_back, given_back); /* it had none of its own */
    free(digest);
}

/* BGSAVE waits, SAVE and FLUSHALL do not. */
static void test_others_meanwhile(void **state) {
    struct peer *own = peer_join_own(w);
    char *digest = shard_digest(w->shard->ks);
    shard_stop_children(w->shard);
    assert_int_equal(cut(), 0);
    shard_await_stopped_child(w->shard);
    persist_refresh_status(w->shard->persist);
    assert_int_equal(status_get(w->shard->status, METRIC_save_kind), 4);
    assert_int_equal(status_get(w->shard->status, METRIC_snapshot_in_progress), 1);
    assert_int_equal(persist_bgsave(w->shard->persist, false), BGSAVE_BUSY);
    assert_int_equal(persist_save(w->shard->persist, text, sizeof text), 0);
    shard_run(w->shard, "FLUSHALL");
    persist_flushed_all(w->shard->persist);
    assert_int_equal(peer_state(own), REPLICA_CUT);
    shard_let_children_go(w->shard);
    SCENE_AWAIT(w, peer_state(own) == REPLICA_ONLINE);
    expect_part(digest);
    assert_int_equal(persist_bgsave(w->shard->persist, false), BGSAVE_STARTED);
    shard_await(w->shard, shard_no_child, "BGSAVE");
    free(digest);
}

/* Who puts the parts together has gone: so have child and file. */
static void test_not_wanted_any_more(void **state) {
    struct peer *own = peer_join_own(w);
    shard_stop_children(w->shard);
    assert_int_equal(cut(), 0);
    shard_await_stopped_child(w->shard);
    peer_leave(own);
    assert_true(shard_no_child(w->shard));
    assert_false(primary_awaits_cut(w->primary));
    assert_false(shard_file_exists(w->shard, part));
}

/* Another shard could not fork: the next try is of another moment. */
static void test_tried_again(void **state) {
    struct peer *own = peer_join_own(w);
    shard_stop_children(w->shard);
    assert_int_equal(cut(), 0);
    shard_await_stopped_child(w->shard);
    shard_run(w->shard, "SET between tries");
    char *digest = shard_digest(w->shard->ks);
    shard_let_children_go(w->shard);
    assert_int_equal(cut(), 0);
    shard_run(w->shard, "SET b 2");
    SCENE_AWAIT(w, peer_state(own) == REPLICA_ONLINE);
    scene_turn(w);
    expect_got(own, SELECT_0 SET("b", "2"));
    expect_part(digest);
    free(digest);
}

static void test_another_child_at_work(void **state) {
    struct peer *own = peer_join_own(w);
    shard_stop_children(w->shard);
    assert_int_equal(persist_bgsave(w->shard->persist, false), BGSAVE_STARTED);
    shard_await_stopped_child(w->shard);
    assert_int_equal(cut(), -1);
    assert_string_equal(text, "another child of it is at work");
    assert_int_equal(peer_state(own), REPLICA_WAIT_CUT);
    shard_let_children_go(w->shard);
    shard_await(w->shard, shard_no_child, "BGSAVE");
    assert_int_equal(cut(), 0);
    SCENE_AWAIT(w, peer_state(own) == REPLICA_ONLINE);
}

/* A turn was given while the pool's was held: it was lost, and so is the cut. */
static void test_turn_is_lost(void **state) {
    struct peer *own = peer_join_own(w);
    w->shard->withhold_turns = true;
    assert_int_equal(persist_bgsave(w->shard->persist, false), BGSAVE_STARTED);
    shard_stop_children(w->shard);
    assert_int_equal(cut(), 0);
    shard_await_stopped_child(w->shard);
    shard_let_children_go(w->shard);
    persist_fork_granted(w->shard->persist, w->shard->wish);
    assert_true(own->dropped);
    assert_int_equal(w->shard->persist->turn.running, FORK_SNAPSHOT);
    shard_await(w->shard, shard_no_child, "BGSAVE");
    assert_true(shard_file_exists(w->shard, "dump.rdb"));
    assert_false(shard_file_exists(w->shard, part));
}

static void test_child_fails(void **state) {
    struct peer *own = peer_join_own(w);
    assert_int_equal(
        persist_aside(w->shard->persist, "/nowhere/to/be/found", part, text, sizeof text), 0);
    primary_cut_forked(w->primary);
    SCENE_AWAIT(w, own->dropped);
    assert_true(w->shard->persist->snapshots.last_ok); /* of files */
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(test_forked_when_told),      CASE(test_others_meanwhile),
        CASE(test_not_wanted_any_more),   CASE(test_tried_again),
        CASE(test_another_child_at_work), CASE(test_turn_is_lost),
        CASE(test_child_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
