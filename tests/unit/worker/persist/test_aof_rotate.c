/* test_aof_rotate.c - the log goes on in a new increment, alone and beside rewrites. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define MANIFEST "appendonlydir/appendonly.aof.manifest"

struct asked {
    struct rotation rotation;
    int ready, good, bad;
    bool go_at_once;
};

static void on_ready(struct rotation *r) {
    struct asked *a = LIST_ENTRY(r, struct asked, rotation);
    a->ready++;
    if (a->go_at_once && rotation_go(r) != 0)
        a->bad++;
}
static void on_done(struct rotation *r, bool ok) {
    struct asked *a = LIST_ENTRY(r, struct asked, rotation);
    *(ok ? &a->good : &a->bad) += 1;
}

static struct asked first, second;
static bool first_ended(struct shard *s) {
    return first.good + first.bad > 0;
}
static bool second_ended(struct shard *s) {
    return second.good + second.bad > 0;
}
static bool both_ended(struct shard *s) {
    return first_ended(s) && second_ended(s);
}

static struct shard *open_logged(void) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    assert_int_equal(shard_open(s), 0);
    first = second = (struct asked){.go_at_once = true};
    rotation_init(&first.rotation, s->persist, on_ready, on_done);
    rotation_init(&second.rotation, s->persist, on_ready, on_done);
    return s;
}

/* But for its last line, the checksum. */
static void expect_manifest(struct shard *s, const char *want) {
    struct buf file = shard_read_file(s, MANIFEST);
    buf_append(&file, "", 1);
    char *checksum = strstr(file.data, "#crc64 ");
    assert_non_null(checksum);
    *checksum = '\0';
    assert_string_equal(file.data, want);
    buf_free(&file);
}

/* Close as a kill leaves it, open again, compare. */
static void crash_and_compare(struct shard *s) {
    char *before = shard_digest(s->ks);
    shard_crash(s);
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    shard_expect_digest(s, before);
    free(before);
}

static void the_log_goes_on_in_a_new_increment(void **state) {
    struct shard *s = open_logged();
    shard_run(s, "INCR a");
    shard_turn(s);
    shard_run(s, "INCR a"); /* not written yet */
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    assert_int_equal(first.ready, 1);
    shard_run(s, "INCR a"); /* while the log is held */
    shard_await(s, first_ended, "the rotation");
    assert_int_equal(first.good, 1);
    shard_run(s, "INCR a");
    shard_turn(s);
    expect_manifest(s, "file appendonly.aof.1.base.rdb seq 1 type b\n"
                       "file appendonly.aof.1.incr.aof seq 1 type i\n"
                       "file appendonly.aof.2.incr.aof seq 2 type i\n");
    crash_and_compare(s);
    shard_free(&s);
}

static void the_cut_is_made_when_it_is_told(void **state) {
    struct shard *s = open_logged();
    first.go_at_once = false;
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    assert_int_equal(first.ready, 1);
    for (int i = 0; i < 3; i++) {
        shard_run(s, "INCR a");
        shard_turn(s);
    }
    shard_run(s, "INCR a");
    assert_int_equal(rotation_go(&first.rotation), 0);
    uint64_t cut = first.rotation.offset;
    shard_run(s, "INCR a");
    shard_await(s, first_ended, "the rotation");
    shard_turn(s);
    struct write_path path;
    persist_write_path(s->persist, &path);
    assert_true(path.synced >= cut && path.executed > cut);
    /* The files before the new one hold the four, and no more. */
    shard_crash(s);
    shard_write_file(s, MANIFEST,
                     BYTES_LITERAL("file appendonly.aof.1.base.rdb seq 1 type b\n"
                                   "file appendonly.aof.1.incr.aof seq 1 type i\n"));
    assert_int_equal(shard_open(s), 0);
    shard_expect(s, "GET a", "$1\r\n4\r\n");
    shard_free(&s);
}

static void rotations_take_turns(void **state) {
    struct shard *s = open_logged();
    first.go_at_once = false;
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    rotation_ask(&second.rotation, ROTATE_ONWARD);
    assert_int_equal(second.ready, 0);
    /* A rewrite waits, too: its fork and its cut are one moment. */
    shard_expect(s, "BGREWRITEAOF", "+Background append only file rewriting started\r\n");
    assert_false(snapshot_child_alive(&s->persist->child));
    shard_run(s, "INCR a");
    assert_int_equal(rotation_go(&first.rotation), 0);
    shard_run(s, "INCR a");
    shard_await(s, both_ended, "both rotations");
    shard_await(s, shard_no_child, "the rewrite");
    assert_int_equal(first.good + second.good, 2);
    assert_true(s->persist->rewrite.last_ok);
    expect_manifest(s, "file appendonly.aof.2.base.rdb seq 2 type b\n"
                       "file appendonly.aof.4.incr.aof seq 4 type i\n");
    shard_run(s, "INCR a");
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

static void one_that_is_withdrawn_lets_the_next_go(void **state) {
    struct shard *s = open_logged();
    first.go_at_once = false;
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    rotation_ask(&second.rotation, ROTATE_ONWARD);
    rotation_withdraw(&first.rotation);
    assert_int_equal(second.ready, 1);
    rotation_withdraw(&second.rotation); /* too late: it goes */
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    rotation_withdraw(&first.rotation);
    shard_await(s, second_ended, "the rotation");
    expect_manifest(s, "file appendonly.aof.1.base.rdb seq 1 type b\n"
                       "file appendonly.aof.1.incr.aof seq 1 type i\n"
                       "file appendonly.aof.2.incr.aof seq 2 type i\n");
    shard_free(&s);
}

/* Increments of rotations made while the child writes stay when its base comes. */
static void a_rewrite_keeps_what_was_rotated_meanwhile(void **state) {
    struct shard *s = open_logged();
    shard_run(s, "INCR a");
    shard_stop_children(s);
    shard_run(s, "BGREWRITEAOF");
    shard_await_stopped_child(s);
    shard_run(s, "INCR a");
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    shard_await(s, first_ended, "the rotation");
    assert_int_equal(first.good, 1);
    shard_run(s, "INCR a");
    shard_turn(s);
    expect_manifest(s, "file appendonly.aof.1.base.rdb seq 1 type b\n"
                       "file appendonly.aof.1.incr.aof seq 1 type i\n"
                       "file appendonly.aof.2.incr.aof seq 2 type i\n"
                       "file appendonly.aof.3.incr.aof seq 3 type i\n");
    shard_let_children_go(s);
    shard_await(s, shard_no_child, "the rewrite");
    assert_true(s->persist->rewrite.last_ok);
    expect_manifest(s, "file appendonly.aof.2.base.rdb seq 2 type b\n"
                       "file appendonly.aof.2.incr.aof seq 2 type i\n"
                       "file appendonly.aof.3.incr.aof seq 3 type i\n");
    uint64_t known = s->persist->aof.total_bytes;
    crash_and_compare(s);
    assert_int_equal(s->persist->aof.total_bytes, known);
    shard_expect(s, "GET a", "$1\r\n3\r\n");
    shard_free(&s);
}

/* Not even the commit comes between ready() and the cut. */
static void a_commit_waits_for_its_turn(void **state) {
    struct shard *s = open_logged();
    shard_run(s, "INCR a");
    shard_run(s, "BGREWRITEAOF");
    first.go_at_once = false;
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    while (first.ready == 0 || snapshot_child_alive(&s->persist->child))
        shard_turn(s);
    assert_false(s->persist->rewrite.committing);
    assert_false(shard_no_child(s));
    shard_run(s, "INCR a");
    assert_int_equal(rotation_go(&first.rotation), 0);
    shard_await(s, shard_no_child, "the rewrite");
    assert_true(s->persist->rewrite.last_ok);
    assert_int_equal(first.good, 1);
    crash_and_compare(s);
    shard_free(&s);
}

static void a_stop_ends_what_waits(void **state) {
    struct shard *s = open_logged();
    shard_run(s, "INCR a");
    first.go_at_once = false;
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    shard_run(s, "BGREWRITEAOF");
    shard_run(s, "INCR a");
    shard_close(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect(s, "GET a", "$1\r\n2\r\n");
    shard_free(&s);
}

static void one_that_fails_leaves_the_log_as_it_is(void **state) {
    struct shard *s = open_logged();
    char from[512], to[512];
    shard_path(s, "appendonlydir", from);
    shard_path(s, "elsewhere", to);
    shard_run(s, "INCR a");
    assert_int_equal(rename(from, to), 0);
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    shard_await(s, first_ended, "the rotation");
    assert_int_equal(first.bad, 1);
    assert_non_null(strstr(first.rotation.error, "cannot create"));
    assert_null(persist_write_refusal(s->persist));
    assert_int_equal(rename(to, from), 0);
    shard_run(s, "INCR a");
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

static int failing_sync(int fd) {
    errno = EIO;
    return -1;
}
static void a_failed_sync_closes_the_shard_for_writes(void **state) {
    struct shard *s = open_logged();
    shard_configure(s, "appendfsync", "no");
    shard_run(s, "INCR a");
    shard_turn(s);
    aof_fdatasync = failing_sync;
    rotation_ask(&first.rotation, ROTATE_ONWARD);
    while (!first_ended(s))
        shard_turn(s);
    aof_fdatasync = fdatasync;
    assert_int_equal(first.bad, 1);
    assert_non_null(persist_write_refusal(s->persist));
    rotation_ask(&second.rotation, ROTATE_ONWARD);
    assert_int_equal(second.bad, 1);
    assert_non_null(strstr(second.rotation.error, "the log cannot be written"));
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_goes_on_in_a_new_increment),
        cmocka_unit_test(the_cut_is_made_when_it_is_told),
        cmocka_unit_test(rotations_take_turns),
        cmocka_unit_test(one_that_is_withdrawn_lets_the_next_go),
        cmocka_unit_test(a_rewrite_keeps_what_was_rotated_meanwhile),
        cmocka_unit_test(a_commit_waits_for_its_turn),
        cmocka_unit_test(a_stop_ends_what_waits),
        cmocka_unit_test(one_that_fails_leaves_the_log_as_it_is),
        cmocka_unit_test(a_failed_sync_closes_the_shard_for_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
