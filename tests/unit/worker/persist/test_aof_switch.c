/* test_aof_switch.c - logs that begin and end while the shard serves. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
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

static void child_stopped(struct shard *s) {
    shard_stop_children(s);
    child_forked(s);
    shard_await_stopped_child(s);
}

static void a_temporary_log_holds_everything(void **state) {
    struct shard *s = open_plain();
    shard_run(s, "SET before 1");
    shard_run(s, "INCR a");
    begin_temporary(s);
    shard_run(s, "INCR a"); /* comes with the base */
    assert_null(persist_aof(s->persist));
    child_stopped(s);
    assert_non_null(persist_aof(s->persist));
    shard_run(s, "SELECT 5");
    shard_run(s, "INCR a"); /* while the base is written */
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_turn(s);
    assert_false(shard_file_exists(s, "cut/appendonly.aof.manifest"));
    shard_let_children_go(s);
    shard_await(s, is_on, "the log to be on");
    assert_true(shard_file_exists(s, "cut/appendonly.aof.manifest"));
    shard_run(s, "SELECT 0");
    shard_run(s, "INCR a");
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_turn(s);
    char *digest = shard_digest(s->ks);
    log_end(s->persist);
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
        log_end(s->persist);
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
    child_stopped(s);
    kill(s->persist->child.pid, SIGKILL);
    shard_let_children_go(s);
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
    log_end(s->persist); /* while it waits for its turn */
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
        log_end(s->persist);
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

/* ---- the shard's own log ---- */
#define MANIFEST "appendonlydir/appendonly.aof.manifest"
#define RETIRED  "appendonlydir.retired"

static void set_appendonly(struct shard *s, const char *value) {
    shard_configure(s, "appendonly", value);
    if (persist_config_changed(s->persist, s->error, sizeof s->error) != 0)
        fail_msg("%s", s->error);
}
static bool own_is_on(struct shard *s) {
    return s->persist->log.state == LOG_ON;
}
static bool own_is_off(struct shard *s) {
    return s->persist->log.state == LOG_OFF;
}
static bool saved_once(struct shard *s) {
    return s->persist->snapshots.count == 1 && shard_no_child(s);
}
static bool no_retired(struct shard *s) {
    return !shard_file_exists(s, RETIRED);
}

static void must_open(struct shard *s) {
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
}

static void crash_and_compare(struct shard *s, const char *appendonly) {
    char *before = shard_digest(s->ks);
    shard_crash(s);
    shard_configure(s, "appendonly", appendonly);
    must_open(s);
    shard_expect_digest(s, before);
    free(before);
}

static const char *info(struct shard *s) {
    persist_refresh_status(s->persist);
    return shard_run(s, "INFO persistence");
}
static void expect_info(struct shard *s, const char *line) {
    if (strstr(info(s), line) == NULL)
        fail_msg("no %s in:\n%s", line, info(s));
}

static void switched_on_it_keeps_everything(void **state) {
    struct shard *s = open_plain();
    shard_run(s, "SET before 1");
    s->withhold_turns = true;
    expect_info(s, "aof_enabled:0\r\n");
    set_appendonly(s, "yes");
    expect_info(s, "aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:1\r\n");
    shard_run(s, "INCR a");
    persist_cron(s->persist);
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_BUSY);
    expect_info(s, "aof_rewrite_in_progress:1\r\naof_rewrite_scheduled:0\r\n");
    persist_fork_granted(s->persist, s->wish);
    shard_run(s, "INCR a");
    shard_await(s, own_is_on, "the log to be on");
    shard_run(s, "INCR a");
    shard_turn(s);
    expect_info(s, "aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0\r\n");
    assert_false(shard_file_exists(s, "temp-appendonlydir"));
    crash_and_compare(s, "yes");
    shard_expect(s, "GET a", "$1\r\n3\r\n");
    shard_free(&s);
}

/* Until the first base is committed the last snapshot is the truth, whatever pool.ini says by now. */
static void a_crash_before_the_base_leaves_the_snapshot(void **state) {
    static const char *const values[] = {"no", "yes"};
    for (int i = 0; i < 4; i++) {
        struct shard *s = open_plain();
        shard_run(s, "SET saved 1");
        shard_expect(s, "SAVE", "+OK\r\n");
        char *saved = shard_digest(s->ks);
        set_appendonly(s, "yes");
        child_stopped(s);
        shard_run(s, "SET lost 1");
        for (int turns = 0; turns < 5; turns++) {
            shard_turn(s);
            usleep(2000);
        }
        if (i >= 2) /* what SAVE has answered stays, too */
            shard_expect(s, "SAVE", "+OK\r\n");
        char *all = shard_digest(s->ks);
        shard_crash(s);
        shard_configure(s, "appendonly", values[i % 2]);
        must_open(s);
        shard_expect_digest(s, i >= 2 ? all : saved);
        assert_false(shard_file_exists(s, "temp-appendonlydir"));
        free(saved);
        free(all);
        shard_free(&s);
    }
}

/* At every step of the way what was there when the log was switched on is there after a crash. */
static void crashes_while_it_begins_lose_nothing_saved(void **state) {
    for (int turns = 0; turns < 12; turns++) {
        struct shard *s = open_plain();
        shard_run(s, "SET saved 1");
        shard_expect(s, "SAVE", "+OK\r\n");
        set_appendonly(s, "yes");
        child_forked(s);
        for (int i = 0; i < turns; i++) {
            shard_run(s, "INCR a");
            shard_turn(s);
            usleep(150u << (turns / 2));
        }
        bool on = own_is_on(s);
        char *before = shard_digest(s->ks);
        shard_crash(s);
        must_open(s);
        if (on)
            shard_expect_digest(s, before);
        shard_expect(s, "GET saved", "$1\r\n1\r\n");
        free(before);
        shard_free(&s);
    }
}

static void a_failed_first_base_is_tried_again(void **state) {
    struct shard *s = open_plain();
    shard_run(s, "SET a 1");
    set_appendonly(s, "yes");
    child_stopped(s);
    kill(s->persist->child.pid, SIGKILL);
    shard_let_children_go(s);
    shard_await(s, own_is_off, "the end of the first try");
    expect_info(s, "aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:1\r\n");
    expect_info(s, "aof_last_bgrewrite_status:err\r\n");
    assert_null(persist_write_refusal(s->persist));
    assert_false(shard_file_exists(s, "temp-appendonlydir"));
    shard_expect(s, "INCR a", ":2\r\n");
    shard_await(s, own_is_on, "the second try");
    expect_info(s, "aof_last_bgrewrite_status:ok\r\n");
    crash_and_compare(s, "yes");
    shard_free(&s);
}

static void no_write_is_refused_before_it_is_on(void **state) {
    struct shard *s = open_plain();
    set_appendonly(s, "yes");
    child_stopped(s);
    snapshot_child_begins = NULL;
    while (s->persist->aof.fd < 0)
        shard_turn(s);
    int full = open("/dev/full", O_WRONLY);
    assert_true(dup2(full, s->persist->aof.fd) >= 0);
    close(full);
    for (int i = 1; !own_is_off(s); i++) {
        char reply[16];
        snprintf(reply, sizeof reply, ":%d\r\n", i);
        shard_expect(s, "INCR a", reply);
        assert_int_equal(persist_reply_gate(s->persist), 0);
        shard_turn(s);
        persist_cron(s->persist);
    }
    expect_info(s, "aof_last_bgrewrite_status:err\r\n");
    shard_await(s, own_is_on, "the second try");
    crash_and_compare(s, "yes");
    shard_free(&s);
}

static void what_is_in_the_way_is_not_touched(void **state) {
    struct shard *s = open_plain();
    char dir[512];
    shard_path(s, "appendonlydir", dir);
    assert_int_equal(mkdir(dir, 0755), 0);
    shard_write_file(s, "appendonlydir/notes", BYTES_LITERAL("mine"));
    shard_configure(s, "appendonly", "yes");
    assert_int_equal(persist_config_changed(s->persist, s->error, sizeof s->error), -1);
    assert_memory_equal(s->error, "Unable to turn on AOF: ", 23);
    set_appendonly(s, "no");
    assert_true(shard_file_exists(s, "appendonlydir/notes"));
    shard_free(&s);
}

static void switched_off_it_is_out_of_use(void **state) {
    struct shard *s = open_plain();
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    shard_run(s, "INCR a");
    set_appendonly(s, "no"); /* the last command is in the log's buffer only */
    assert_null(persist_aof(s->persist));
    shard_await(s, own_is_off, "the log to be off");
    expect_info(s, "aof_enabled:0\r\n");
    assert_false(shard_file_exists(s, "appendonlydir"));
    assert_true(shard_file_exists(s, RETIRED "/appendonly.aof.manifest"));
    /* No snapshot since: what it holds is the newest there is. */
    crash_and_compare(s, "no");
    shard_expect(s, "GET a", "$1\r\n1\r\n");
    assert_false(shard_file_exists(s, "appendonlydir"));
    shard_await(s, no_retired, "the retired log to go");
    assert_true(shard_file_exists(s, "dump.rdb"));
    crash_and_compare(s, "no");
    shard_free(&s);
}

static void a_snapshot_makes_up_for_a_retired_log(void **state) {
    for (int round = 0; round < 3; round++) {
        struct shard *s = open_plain();
        set_appendonly(s, "yes");
        shard_await(s, own_is_on, "the log to be on");
        shard_run(s, "SET a old");
        set_appendonly(s, "no");
        shard_run(s, "SET a new"); /* in no log */
        if (round == 0)
            shard_expect(s, "SAVE", "+OK\r\n"); /* while the log ends */
        shard_await(s, own_is_off, "the log to be off");
        if (round == 1)
            shard_expect(s, "SAVE", "+OK\r\n");
        if (round == 2) {
            shard_run(s, "BGSAVE");
            shard_await(s, shard_no_child, "the snapshot");
        }
        if (round > 0)
            shard_await(s, no_retired, "the retired log to go");
        crash_and_compare(s, "no");
        shard_expect(s, "GET a", "$3\r\nnew\r\n");
        shard_free(&s);
    }
}

/* A crash between the snapshot and the end of the retired log. */
static void a_retired_log_that_is_older_than_the_snapshot_is_not_used(void **state) {
    struct shard *s = open_plain();
    char command[1200], from[512], to[512];
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    shard_run(s, "SET a old");
    set_appendonly(s, "no");
    shard_await(s, own_is_off, "the log to be off");
    shard_path(s, RETIRED, from);
    shard_path(s, "copy", to);
    snprintf(command, sizeof command, "cp -r %s %s", from, to);
    assert_int_equal(system(command), 0);
    shard_run(s, "SET a new");
    shard_expect(s, "SAVE", "+OK\r\n");
    shard_await(s, no_retired, "the retired log to go");
    assert_int_equal(rename(to, from), 0);
    crash_and_compare(s, "no");
    shard_expect(s, "GET a", "$3\r\nnew\r\n");
    shard_await(s, no_retired, "the retired log to go");
    shard_free(&s);
}

/* A child forked before the log's last words does not know them. */
static void a_snapshot_under_way_is_taken_again(void **state) {
    struct shard *s = open_plain();
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    shard_stop_children(s);
    shard_run(s, "BGSAVE");
    shard_await_stopped_child(s);
    shard_run(s, "SET a 1");
    shard_turn(s);
    set_appendonly(s, "no");
    shard_let_children_go(s);
    expect_info(s, "rdb_bgsave_in_progress:1\r\n");
    shard_await(s, no_retired, "the log to be off");
    shard_await(s, saved_once, "the snapshot");
    expect_info(s, "rdb_bgsave_in_progress:0\r\n");
    crash_and_compare(s, "no");
    shard_expect(s, "GET a", "$1\r\n1\r\n");
    shard_free(&s);
}

static void switching_off_ends_a_rewrite(void **state) {
    for (int turns = 0; turns < 8; turns++) {
        struct shard *s = open_plain();
        set_appendonly(s, "yes");
        shard_await(s, own_is_on, "the log to be on");
        shard_run(s, "BGREWRITEAOF");
        for (int i = 0; i < turns; i++) {
            shard_run(s, "INCR a");
            shard_turn(s);
            usleep(200u << (turns / 2));
        }
        set_appendonly(s, "no");
        shard_await(s, own_is_off, "the log to be off");
        shard_await(s, shard_no_child, "the child's end");
        crash_and_compare(s, "no");
        shard_free(&s);
    }
}

static void back_and_forth(void **state) {
    struct shard *s = open_plain();
    for (int i = 0; i < 20; i++) {
        shard_run(s, "INCR a");
        set_appendonly(s, i % 2 == 0 ? "yes" : "no");
        for (int turns = 0; turns < i % 5; turns++) {
            shard_turn(s);
            persist_cron(s->persist);
            usleep(500);
        }
    }
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    shard_run(s, "INCR a");
    shard_turn(s);
    assert_true(no_retired(s) || s->persist->log.removing);
    crash_and_compare(s, "yes");
    shard_free(&s);
}

/* A reply that waits for its sync gets it from the log's last one. */
static void replies_that_wait_get_theirs(void **state) {
    struct shard *s = open_plain();
    shard_configure(s, "appendfsync", "always");
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    persist_note_write(s->persist, 1);
    shard_run(s, "INCR a");
    uint64_t gate = persist_reply_gate(s->persist);
    assert_true(gate > 0);
    set_appendonly(s, "no");
    assert_true(persist_reply_released(s->persist) < gate);
    shard_await(s, own_is_off, "the log to be off");
    assert_true(persist_reply_released(s->persist) >= gate);
    assert_true(s->synced_calls > 0);
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_free(&s);
}

/* Who cannot log any more may go on without a log. */
static void switching_off_ends_its_trouble(void **state) {
    struct shard *s = open_plain();
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    aof_set_trouble(&s->persist->aof, AOF_SYNC_FAILED, EIO);
    assert_non_null(persist_write_refusal(s->persist));
    set_appendonly(s, "no");
    shard_await(s, own_is_off, "the log to be off");
    assert_null(persist_write_refusal(s->persist));
    assert_string_equal(s->status->note, "");
    shard_free(&s);
}

static void a_stop_while_it_begins_saves(void **state) {
    struct shard *s = open_plain();
    s->withhold_turns = true;
    set_appendonly(s, "yes");
    shard_run(s, "SET a 1");
    persist_cron(s->persist);
    shard_close(s);
    must_open(s);
    shard_expect(s, "GET a", "$1\r\n1\r\n");
    shard_free(&s);
}

/* ---- appendonly is no, but there is a log ---- */
static void a_live_log_is_not_ignored(void **state) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    must_open(s);
    shard_run(s, "SET a old");
    shard_expect(s, "SAVE", "+OK\r\n");
    shard_run(s, "SET a new");
    shard_turn(s);
    crash_and_compare(s, "no");
    shard_expect(s, "GET a", "$3\r\nnew\r\n");
    assert_null(persist_aof(s->persist));
    assert_int_equal(persist_reply_gate(s->persist), 0);
    assert_false(shard_file_exists(s, "appendonlydir"));
    assert_false(shard_file_exists(s, "quarantine"));
    shard_await(s, no_retired, "the retired log to go");
    shard_run(s, "SET b 1");
    shard_expect(s, "SAVE", "+OK\r\n");
    crash_and_compare(s, "no");
    set_appendonly(s, "yes");
    shard_await(s, own_is_on, "the log to be on");
    shard_run(s, "SET c 1");
    shard_turn(s);
    crash_and_compare(s, "yes");
    shard_free(&s);
}

static void a_single_file_is_not_ignored(void **state) {
    struct shard *s = shard_create();
    shard_copy_fixture(s, "redis-6-single.aof", "appendonly.aof");
    must_open(s);
    shard_expect(s, "GET preamble", "$3\r\nyes\r\n");
    assert_false(shard_file_exists(s, "appendonly.aof"));
    crash_and_compare(s, "no");
    shard_expect(s, "GET preamble", "$3\r\nyes\r\n");
    shard_free(&s);
}

/* A server that knew of no log may have written dump.rdb: it is kept. */
static void a_snapshot_younger_than_the_log_is_kept(void **state) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    must_open(s);
    shard_run(s, "SET a 1");
    shard_turn(s);
    shard_crash(s);
    char command[600];
    shard_copy_fixture(s, "redis-7.0.rdb", "dump.rdb");
    snprintf(command, sizeof command, "touch -d '+5 seconds' %s/dump.rdb", s->dir);
    assert_int_equal(system(command), 0);
    shard_configure(s, "appendonly", "no");
    must_open(s);
    shard_expect(s, "DBSIZE", ":1\r\n");
    assert_true(shard_file_exists(s, "quarantine/dump.rdb.at-0"));
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(switched_on_it_keeps_everything),
        cmocka_unit_test(a_crash_before_the_base_leaves_the_snapshot),
        cmocka_unit_test(crashes_while_it_begins_lose_nothing_saved),
        cmocka_unit_test(a_failed_first_base_is_tried_again),
        cmocka_unit_test(no_write_is_refused_before_it_is_on),
        cmocka_unit_test(what_is_in_the_way_is_not_touched),
        cmocka_unit_test(switched_off_it_is_out_of_use),
        cmocka_unit_test(a_snapshot_makes_up_for_a_retired_log),
        cmocka_unit_test(a_retired_log_that_is_older_than_the_snapshot_is_not_used),
        cmocka_unit_test(a_snapshot_under_way_is_taken_again),
        cmocka_unit_test(switching_off_ends_a_rewrite),
        cmocka_unit_test(back_and_forth),
        cmocka_unit_test(replies_that_wait_get_theirs),
        cmocka_unit_test(switching_off_ends_its_trouble),
        cmocka_unit_test(a_stop_while_it_begins_saves),
        cmocka_unit_test(a_live_log_is_not_ignored),
        cmocka_unit_test(a_single_file_is_not_ignored),
        cmocka_unit_test(a_snapshot_younger_than_the_log_is_kept),
        cmocka_unit_test(a_temporary_log_holds_everything),
        cmocka_unit_test(a_temporary_log_can_be_had_again),
        cmocka_unit_test(a_full_disk_ends_it_and_no_write_is_refused),
        cmocka_unit_test(a_killed_child_ends_it),
        cmocka_unit_test(it_can_be_ended_at_any_time),
        cmocka_unit_test(a_stop_in_between_is_orderly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
