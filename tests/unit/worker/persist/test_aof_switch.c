/* test_aof_switch.c - logs that begin and end while the shard serves. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a temporary log ---- */
static enum log_state told;
static char told_error[PERSIST_TEXT_BYTES];

static void on_changed(void *arg, enum log_state state, const char *error) {
    told = state;
    snprintf(told_error, sizeof told_error, "%s", error != NULL ? error : "");
}
static bool is_on(struct shard *s) {
    return told == LOG_ON;
}
static bool is_off(struct shard *s) {
    return told == LOG_OFF;
}

static void begin_temporary(struct shard *s) {
    char dir[512];
    struct log_owner owner = {.changed = on_changed};
    shard_path(s, "cut", dir);
    if (log_begin_temporary(s->persist, dir, &owner, s->error, sizeof s->error) != 0)
        fail_msg("%s", s->error);
    told = LOG_STARTING;
}

static struct shard *open_plain(void) {
    struct shard *s = shard_create();
    assert_int_equal(shard_open(s), 0);
    return s;
}

/* Another shard made of the folder of the temporary log. */
static struct shard *open_cut(const struct shard *s) {
    struct shard *cut = shard_create();
    char from[512], to[512];
    shard_path(s, "cut", from);
    shard_path(cut, "appendonlydir", to);
    assert_int_equal(rename(from, to), 0);
    shard_configure(cut, "appendonly", "yes");
    if (shard_open(cut) != 0)
        fail_msg("%s", cut->error);
    return cut;
}

static void child_forked(struct shard *s) {
    persist_cron(s->persist);
    assert_true(snapshot_child_alive(&s->persist->child));
}

static void a_temporary_log_holds_everything(void **state) {
    struct shard *s = open_plain();
    shard_run(s, "SET before 1");
    shard_run(s, "INCR a");
    begin_temporary(s);
    shard_run(s, "INCR a"); /* comes with the base */
    assert_null(persist_aof(s->persist));
    child_forked(s);
    assert_non_null(persist_aof(s->persist));
    kill(s->persist->child.pid, SIGSTOP);
    shard_run(s, "SELECT 5");
    shard_run(s, "INCR a"); /* while the base is written */
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_turn(s);
    assert_false(shard_file_exists(s, "cut/appendonly.aof.manifest"));
    kill(s->persist->child.pid, SIGCONT);
    shard_await(s, is_on, "the log to be on");
    assert_true(shard_file_exists(s, "cut/appendonly.aof.manifest"));
    shard_run(s, "SELECT 0");
    shard_run(s, "INCR a");
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_turn(s);
    char *digest = shard_digest(s->ks);
    log_end(s->persist, LOG_ABANDON);
    assert_null(persist_aof(s->persist));
    shard_run(s, "INCR a"); /* in no log any more */
    shard_await(s, is_off, "the end of the log");
    assert_string_equal(told_error, "");
    struct shard *cut = open_cut(s);
    shard_expect_digest(cut, digest);
    free(digest);
    shard_free(&cut);
    shard_free(&s);
}

static void a_temporary_log_can_be_had_again(void **state) {
    struct shard *s = open_plain();
    for (int i = 0; i < 3; i++) {
        shard_run(s, "INCR a");
        begin_temporary(s);
        shard_await(s, is_on, "the log to be on");
        shard_run(s, "INCR a");
        shard_turn(s);
        char *digest = shard_digest(s->ks);
        log_end(s->persist, LOG_ABANDON);
        shard_await(s, is_off, "the end of the log");
        struct shard *cut = open_cut(s);
        shard_expect_digest(cut, digest);
        free(digest);
        shard_free(&cut);
    }
    shard_free(&s);
}

/* Trouble of a log that nobody relies on. */
static void a_full_disk_ends_it_and_no_write_is_refused(void **state) {
    struct shard *s = open_plain();
    begin_temporary(s);
    shard_await(s, is_on, "the log to be on");
    int full = open("/dev/full", O_WRONLY);
    assert_true(dup2(full, s->persist->aof.fd) >= 0);
    close(full);
    shard_run(s, "INCR a");
    shard_turn(s);
    assert_null(persist_write_refusal(s->persist));
    shard_await(s, is_off, "the end of the log");
    assert_non_null(strstr(told_error, "the log cannot be written"));
    assert_string_equal(s->status->note, "");
    shard_expect(s, "INCR a", ":2\r\n");
    shard_turn(s);
    assert_null(persist_write_refusal(s->persist));
    shard_free(&s);
}

static void a_killed_child_ends_it(void **state) {
    struct shard *s = open_plain();
    begin_temporary(s);
    child_forked(s);
    kill(s->persist->child.pid, SIGKILL);
    shard_await(s, is_off, "the end of the log");
    assert_non_null(strstr(told_error, "killed by signal 9"));
    assert_int_equal(s->turns_given_back, 1);
    assert_null(persist_aof(s->persist));
    shard_expect(s, "INCR a", ":1\r\n");
    shard_free(&s);
}

static void it_can_be_ended_at_any_time(void **state) {
    struct shard *s = open_plain();
    s->withhold_turns = true;
    begin_temporary(s);
    persist_cron(s->persist);
    log_end(s->persist, LOG_ABANDON); /* while it waits for its turn */
    assert_int_equal(s->turns_given_back, 1);
    shard_await(s, is_off, "the end of the log");
    s->withhold_turns = false;
    for (int turns = 0; turns < 8; turns++) {
        begin_temporary(s);
        child_forked(s);
        for (int i = 0; i < turns; i++) {
            shard_run(s, "INCR a");
            shard_turn(s);
            usleep(300u << turns);
        }
        log_end(s->persist, LOG_ABANDON);
        shard_await(s, is_off, "the end of the log");
        shard_await(s, shard_no_child, "the child's end");
    }
    assert_int_equal(s->persist->aof.fd, -1);
    shard_free(&s);
}

static void a_stop_in_between_is_orderly(void **state) {
    struct shard *s = open_plain();
    begin_temporary(s);
    child_forked(s);
    shard_close(s);
    assert_int_equal(shard_open(s), 0);
    begin_temporary(s);
    shard_await(s, is_on, "the log to be on");
    shard_close(s);
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_temporary_log_holds_everything),
        cmocka_unit_test(a_temporary_log_can_be_had_again),
        cmocka_unit_test(a_full_disk_ends_it_and_no_write_is_refused),
        cmocka_unit_test(a_killed_child_ends_it),
        cmocka_unit_test(it_can_be_ended_at_any_time),
        cmocka_unit_test(a_stop_in_between_is_orderly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
