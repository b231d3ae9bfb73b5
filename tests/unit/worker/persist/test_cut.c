/* test_cut.c - one shard's part of a consistent cut: the files that it links hold exactly what was
 * executed before the mark, with a log and without, whatever else goes on. */
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

static struct shard *open_shard(const char *appendonly) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", appendonly);
    assert_int_equal(shard_open(s), 0);
    return s;
}

static bool is_prepared(struct shard *s) {
    return s->prepared_cut != 0;
}
static bool is_linked(struct shard *s) {
    return s->linked_cut != 0;
}
static bool temporary_is_gone(struct shard *s) {
    return s->persist->log.state == LOG_OFF && !s->persist->cut.removing;
}

static void ask_prepare(struct shard *s, uint64_t cut, uint64_t try) {
    char dir[512];
    shard_path(s, "target", dir);
    s->prepared_cut = s->linked_cut = 0;
    persist_cut_prepare(s->persist, cut, try, dir);
}

static void prepare(struct shard *s, uint64_t cut, uint64_t try) {
    ask_prepare(s, cut, try);
    shard_await(s, is_prepared, "the cut to be prepared");
    assert_string_equal(s->cut_error, "");
    assert_int_equal(s->prepared_cut, cut);
    assert_int_equal(s->prepared_try, try);
}

static void mark(struct shard *s, uint64_t cut, uint64_t try) {
    if (persist_cut_mark(s->persist, cut, try, s->error, sizeof s->error) != 0)
        fail_msg("%s", s->error);
}

static void await_linked(struct shard *s, uint64_t cut, uint64_t try) {
    shard_await(s, is_linked, "the files to be linked");
    assert_int_equal(s->linked_cut, cut);
    assert_int_equal(s->linked_try, try);
    if (strncmp(s->cut_report, "keys ", 5) != 0)
        fail_msg("%s", s->cut_report);
}

/* Another shard, made of what was linked, holds this; and every file has the size that was told. */
static void expect_cut(struct shard *s, const char *digest) {
    struct shard *cut = shard_create();
    char command[1200], path[512], name[300];
    unsigned long long bytes;
    char *report = strdup(s->cut_report), *rest = report, *line;
    strsep(&rest, "\n");
    while ((line = strsep(&rest, "\n")) != NULL && *line) {
        struct stat st;
        char relative[320];
        assert_int_equal(sscanf(line, "%llu %299[^\n]", &bytes, name), 2);
        snprintf(relative, sizeof relative, "target/%s", name);
        shard_path(s, relative, path);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, bytes);
    }
    free(report);
    shard_path(s, "target/appendonlydir", path);
    snprintf(command, sizeof command, "cp -r %s %s", path, cut->dir);
    assert_int_equal(system(command), 0);
    shard_configure(cut, "appendonly", "yes");
    shard_configure(cut, "aof-load-truncated", "no");
    if (shard_open(cut) != 0)
        fail_msg("%s", cut->error);
    shard_expect_digest(cut, digest);
    shard_free(&cut);
}

/* The whole of it, now. */
static void expect_good_cut(struct shard *s, uint64_t cut, const char *digest) {
    prepare(s, cut, 1);
    mark(s, cut, 1);
    await_linked(s, cut, 1);
    expect_cut(s, digest);
}

static void write_some(struct shard *s, int from, int count) {
    char line[64];
    for (int i = from; i < from + count; i++) {
        snprintf(line, sizeof line, "SET k%d v%d", i, i);
        shard_run(s, line);
        if (i % 7 == 0)
            shard_turn(s);
    }
}

/* ---- the same with a log of the shard's own and without ---- */
static void holds_what_was_before_the_mark(const char *appendonly) {
    struct shard *s = open_shard(appendonly);
    write_some(s, 0, 30);
    prepare(s, 1, 1);
    write_some(s, 30, 30);
    shard_run(s, "SELECT 4");
    shard_run(s, "SET here 1"); /* not even written to the log yet */
    char *digest = shard_digest(s->ks);
    mark(s, 1, 1);
    shard_run(s, "SET here 2");
    write_some(s, 60, 30);
    await_linked(s, 1, 1);
    persist_cut_end(s->persist, 1);
    write_some(s, 90, 30);
    shard_turn(s);
    assert_non_null(strstr(s->cut_report, "keys 61\n"));
    expect_cut(s, digest);
    free(digest);
    if (appendonly[0] == 'y') { /* the log has lost nothing by it */
        digest = shard_digest(s->ks);
        shard_close(s);
        assert_int_equal(shard_open(s), 0);
        shard_expect_digest(s, digest);
        free(digest);
    } else {
        shard_await(s, temporary_is_gone, "the temporary log to be gone");
        assert_false(shard_file_exists(s, "snapshot-log"));
        assert_false(shard_file_exists(s, "appendonlydir"));
    }
    shard_free(&s);
}

static void with_a_log(void **state) {
    holds_what_was_before_the_mark("yes");
}
static void without_a_log(void **state) {
    holds_what_was_before_the_mark("no");
}

/* Nothing was written since: the increment need not end, and none is left behind. */
static void a_cut_without_changes_makes_no_increment(void **state) {
    struct shard *s = open_shard("yes");
    write_some(s, 0, 10);
    char *digest = shard_digest(s->ks);
    for (uint64_t cut = 1; cut <= 3; cut++) {
        expect_good_cut(s, cut, digest);
        persist_cut_end(s->persist, cut);
    }
    assert_true(shard_file_exists(s, "appendonlydir/appendonly.aof.2.incr.aof"));
    assert_false(shard_file_exists(s, "appendonlydir/appendonly.aof.3.incr.aof"));
    free(digest);
    shard_free(&s);
}

/* A barrier that failed elsewhere: what was linked for it goes, and the next try holds its own moment. */
static void a_second_try_takes_the_place_of_the_first(void **state) {
    for (int own = 0; own < 2; own++) {
        struct shard *s = open_shard(own ? "yes" : "no");
        write_some(s, 0, 20);
        prepare(s, 1, 1);
        write_some(s, 20, 5);
        mark(s, 1, 1);
        write_some(s, 25, 5);
        ask_prepare(s, 1, 2); /* while the thread is still at the first */
        shard_await(s, is_prepared, "the second try");
        assert_int_equal(s->prepared_try, 2);
        write_some(s, 30, 5);
        char *digest = shard_digest(s->ks);
        assert_int_equal(persist_cut_mark(s->persist, 1, 1, s->error, sizeof s->error), -1);
        mark(s, 1, 2);
        write_some(s, 35, 5);
        await_linked(s, 1, 2);
        expect_cut(s, digest);
        free(digest);
        shard_free(&s);
    }
}

static void an_unprepared_shard_refuses_to_mark(void **state) {
    struct shard *s = open_shard("yes");
    assert_int_equal(persist_cut_mark(s->persist, 1, 1, s->error, sizeof s->error), -1);
    assert_string_equal(s->error, "it is not prepared for this cut");
    prepare(s, 1, 1);
    persist_cut_end(s->persist, 1);
    assert_int_equal(persist_cut_mark(s->persist, 1, 1, s->error, sizeof s->error), -1);
    shard_run(s, "SET a 1");
    assert_int_equal(persist_bgrewriteaof(s->persist),
                     REWRITE_STARTED); /* the turn was given back */
    shard_await(s, shard_no_child, "the rewrite");
    assert_true(shard_file_exists(s, "appendonlydir/appendonly.aof.2.base.rdb"));
    shard_free(&s);
}

/* The commit of a rewrite takes files away: not before they are linked. */
static void a_rewrite_under_way_takes_no_file_away(void **state) {
    struct shard *s = open_shard("yes");
    write_some(s, 0, 20);
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_STARTED);
    kill(s->persist->child.pid, SIGSTOP);
    write_some(s, 20, 5);
    prepare(s, 1, 1);
    kill(s->persist->child.pid, SIGCONT);
    for (int i = 0; i < 20; i++) {
        usleep(2000);
        shard_turn(s);
    }
    write_some(s, 25, 5);
    char *digest = shard_digest(s->ks);
    mark(s, 1, 1);
    write_some(s, 30, 5);
    await_linked(s, 1, 1);
    persist_cut_end(s->persist, 1);
    shard_await(s, shard_no_child, "the rewrite");
    assert_true(shard_file_exists(s, "appendonlydir/appendonly.aof.2.base.rdb"));
    assert_false(shard_file_exists(s, "appendonlydir/appendonly.aof.1.base.rdb"));
    expect_cut(s, digest);
    free(digest);
    digest = shard_digest(s->ks);
    shard_close(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect_digest(s, digest);
    free(digest);
    shard_free(&s);
}

static void the_temporary_log_waits_for_its_turn_to_fork(void **state) {
    struct shard *s = open_shard("no");
    s->withhold_turns = true;
    write_some(s, 0, 20);
    ask_prepare(s, 1, 1);
    for (int i = 0; i < 5; i++) {
        persist_cron(s->persist);
        shard_turn(s);
    }
    assert_int_equal(s->prepared_cut, 0);
    assert_true(s->wish != 0);
    persist_fork_granted(s->persist, s->wish);
    shard_await(s, is_prepared, "the cut to be prepared");
    assert_string_equal(s->cut_error, "");
    /* Called off: nothing stays. */
    persist_cut_end(s->persist, 1);
    shard_await(s, temporary_is_gone, "the temporary log to be gone");
    assert_false(shard_file_exists(s, "snapshot-log"));
    s->withhold_turns = false;
    char *digest = shard_digest(s->ks);
    expect_good_cut(s, 2, digest);
    free(digest);
    shard_free(&s);
}

/* ---- trouble ---- */
static int failing_sync(int fd) {
    errno = EIO;
    return -1;
}

static void a_failed_sync_fails_the_cut_and_not_the_shard(void **state) {
    struct shard *s = open_shard("no");
    write_some(s, 0, 5);
    prepare(s, 1, 1);
    write_some(s, 5, 5);
    aof_fdatasync = failing_sync;
    mark(s, 1, 1);
    shard_await(s, is_linked, "the end of the cut");
    aof_fdatasync = fdatasync;
    assert_int_equal(s->cut_report[0], '-');
    assert_non_null(strstr(s->cut_report, strerror(EIO)));
    persist_cut_end(s->persist, 1);
    shard_expect(s, "SET a 1", "+OK\r\n"); /* nobody relied on that log */
    shard_await(s, temporary_is_gone, "the temporary log to be gone");
    char *digest = shard_digest(s->ks);
    expect_good_cut(s, 2, digest);
    free(digest);
    shard_free(&s);
}

static void a_child_that_dies_fails_the_cut(void **state) {
    struct shard *s = open_shard("no");
    write_some(s, 0, 5);
    s->withhold_turns = true;
    ask_prepare(s, 1, 1);
    persist_cron(s->persist);
    persist_fork_granted(s->persist, s->wish);
    assert_true(snapshot_child_alive(&s->persist->child));
    kill(s->persist->child.pid, SIGKILL);
    shard_await(s, is_prepared, "the end of the preparation");
    assert_non_null(strstr(s->cut_error, "killed by signal 9"));
    persist_cut_end(s->persist, 1);
    shard_await(s, temporary_is_gone, "the temporary log to be gone");
    assert_false(shard_file_exists(s, "snapshot-log"));
    shard_free(&s);
}

static void a_target_that_cannot_be_made_fails_the_cut(void **state) {
    struct shard *s = open_shard("yes");
    shard_run(s, "SET a 1");
    s->prepared_cut = s->linked_cut = 0;
    persist_cut_prepare(s->persist, 1, 1, "/nowhere/at/all");
    shard_await(s, is_prepared, "the preparation");
    mark(s, 1, 1);
    shard_await(s, is_linked, "the end of the cut");
    assert_string_equal(s->cut_report, "-cannot make /nowhere/at/all: No such file or directory");
    shard_expect(s, "SET a 2", "+OK\r\n");
    shard_free(&s);
}

/* What a process that died has left behind. */
static void a_start_removes_the_temporary_log(void **state) {
    struct shard *s = open_shard("no");
    char path[512];
    write_some(s, 0, 5);
    prepare(s, 1, 1);
    assert_true(shard_file_exists(s, "snapshot-log/appendonly.aof.manifest"));
    shard_crash(s);
    assert_int_equal(shard_open(s), 0);
    shard_path(s, "snapshot-log", path);
    assert_int_equal(access(path, F_OK), -1);
    shard_free(&s);
}

/* The new increment is in the manifest before the old one has ended. */
static void a_crash_while_prepared_loses_nothing(void **state) {
    for (int torn = 0; torn < 2; torn++) {
        struct shard *s = open_shard("yes");
        char path[512];
        struct stat st;
        write_some(s, 0, 20);
        prepare(s, 1, 1);
        assert_true(s->persist->spare_incr);
        write_some(s, 20, 5);
        shard_turn(s);
        char *digest = shard_digest(s->ks);
        shard_run(s, "SET lost 1");
        if (torn)
            shard_turn(s);
        shard_crash(s);
        shard_path(s, "appendonlydir/appendonly.aof.1.incr.aof", path);
        assert_int_equal(stat(path, &st), 0);
        if (torn)
            assert_int_equal(truncate(path, st.st_size - 40), 0);
        assert_int_equal(shard_open(s), 0);
        shard_expect_digest(s, digest);
        /* It goes on in the new one, and the next cut is right. */
        write_some(s, 30, 5);
        shard_turn(s);
        free(digest);
        digest = shard_digest(s->ks);
        expect_good_cut(s, 1, digest);
        free(digest);
        shard_free(&s);
    }
}

static bool rotation_is_over(struct shard *s) {
    return !s->persist->cut.rotation.turn.asked;
}

/* Called off when the new increment is there already, or is being made: the log goes on in it. */
static void a_cut_called_off_late_ends_the_increment(void **state) {
    for (int late = 0; late < 2; late++) {
        struct shard *s = open_shard("yes");
        write_some(s, 0, 20);
        if (late)
            prepare(s, 1, 1);
        else
            ask_prepare(s, 1, 1);
        persist_cut_end(s->persist, 1);
        write_some(s, 20, 5);
        shard_await(s, rotation_is_over, "the rotation");
        assert_false(s->persist->spare_incr);
        write_some(s, 25, 5);
        shard_turn(s);
        char *digest = shard_digest(s->ks);
        expect_good_cut(s, 2, digest);
        shard_close(s);
        assert_int_equal(shard_open(s), 0);
        shard_expect_digest(s, digest);
        free(digest);
        shard_free(&s);
    }
}

static int syncs_left;
static int sync_then_fail(int fd) {
    if (syncs_left-- > 0)
        return fdatasync(fd);
    errno = EIO;
    return -1;
}

/* The sync before ready fails, or the one at the mark: the log is in trouble, and says so. */
static void a_log_that_cannot_be_synced_fails_the_cut(void **state) {
    for (int good = 0; good < 2; good++) {
        struct shard *s = open_shard("yes");
        shard_configure(s, "appendfsync", "no");
        write_some(s, 0, 20);
        shard_turn(s);
        syncs_left = good;
        aof_fdatasync = sync_then_fail;
        ask_prepare(s, 1, 1);
        if (good) {
            shard_await(s, is_prepared, "the preparation");
            shard_run(s, "SET a 1");
            mark(s, 1, 1);
            shard_await(s, is_linked, "the end of the cut");
            assert_int_equal(s->cut_report[0], '-');
        } else {
            shard_await(s, is_prepared, "the preparation");
            assert_non_null(strstr(s->cut_error, strerror(EIO)));
        }
        assert_non_null(persist_write_refusal(s->persist));
        aof_fdatasync = fdatasync;
        persist_cut_end(s->persist, 1);
        char *digest = shard_digest(s->ks);
        s->prepared_cut = 0;
        for (int i = 0; i < 2000 && persist_write_refusal(s->persist) != NULL; i++) {
            usleep(5000);
            persist_cron(s->persist);
            shard_turn(s);
        }
        assert_null(persist_write_refusal(s->persist)); /* afresh */
        expect_good_cut(s, 2, digest);
        free(digest);
        shard_free(&s);
    }
}

static void a_shard_stops_in_the_middle(void **state) {
    for (int stage = 0; stage < 4; stage++) {
        for (int own = 0; own < 2; own++) {
            struct shard *s = open_shard(own ? "yes" : "no");
            write_some(s, 0, 20);
            ask_prepare(s, 1, 1);
            if (stage > 0)
                shard_await(s, is_prepared, "the preparation");
            write_some(s, 20, 5);
            if (stage > 1)
                mark(s, 1, 1);
            if (stage > 2)
                persist_cut_end(s->persist, 1);
            char *digest = shard_digest(s->ks);
            if (!own)
                shard_run(s, "SAVE");
            shard_close(s);
            assert_int_equal(shard_open(s), 0);
            shard_expect_digest(s, digest);
            free(digest);
            shard_free(&s);
        }
    }
}

static bool own_log_is_on(struct shard *s) {
    return persist_log_is_truth(s->persist) && s->persist->log.state == LOG_ON;
}

/* CONFIG SET appendonly yes while a temporary log is on: it comes next, whoever wants a cut. */
static void a_log_of_its_own_comes_before_the_next_cut(void **state) {
    struct shard *s = open_shard("no");
    write_some(s, 0, 10);
    prepare(s, 1, 1);
    shard_configure(s, "appendonly", "yes");
    mark(s, 1, 1);
    await_linked(s, 1, 1);
    persist_cut_end(s->persist, 1);
    prepare(s, 2, 1);
    assert_true(own_log_is_on(s));
    write_some(s, 10, 10);
    char *digest = shard_digest(s->ks);
    mark(s, 2, 1);
    await_linked(s, 2, 1);
    expect_cut(s, digest);
    shard_close(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect_digest(s, digest);
    free(digest);
    shard_free(&s);
}

/* Stopped before that: the temporary log is not what a start loads. */
static void a_stop_before_the_own_log_is_on_saves(void **state) {
    struct shard *s = open_shard("no");
    write_some(s, 0, 10);
    prepare(s, 1, 1);
    shard_configure(s, "appendonly", "yes");
    write_some(s, 10, 10);
    char *digest = shard_digest(s->ks);
    assert_true(s->persist->log.temporary && s->persist->log.state == LOG_ON);
    shard_close(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect_digest(s, digest);
    free(digest);
    shard_free(&s);
}

/* Each cut leaves an increment: too many, and the log is rewritten by itself. */
static void many_cuts_end_in_a_rewrite(void **state) {
    struct shard *s = open_shard("yes");
    char line[64];
    for (uint64_t cut = 1; cut <= 120; cut++) {
        snprintf(line, sizeof line, "SET k %d", (int)cut);
        shard_run(s, line);
        prepare(s, cut, 1);
        mark(s, cut, 1);
        await_linked(s, cut, 1);
        persist_cut_end(s->persist, cut);
    }
    shard_await(s, shard_no_child, "the rewrite");
    assert_true(s->persist->rewrite.count > 0);
    assert_true(s->persist->manifest.count < 60);
    shard_free(&s);
}

/* ---- the real server ---- */
static void a_real_server_loads_it(void **state) {
    struct shard *s = open_shard("yes");
    struct oracle o;
    char command[1200], path[512];
    write_some(s, 0, 10);
    prepare(s, 1, 1);
    write_some(s, 10, 10);
    mark(s, 1, 1);
    await_linked(s, 1, 1);
    prepare(s, 2, 1);
    write_some(s, 20, 10);
    mark(s, 2, 1);
    await_linked(s, 2, 1);
    struct shard *real = shard_create();
    shard_path(s, "target/appendonlydir", path);
    snprintf(command, sizeof command, "cp -r %s %s", path, real->dir);
    assert_int_equal(system(command), 0);
    if (oracle_start(&o, real, true)) {
        assert_string_equal(oracle_ask(&o, "DBSIZE"), "30");
        assert_string_equal(oracle_ask(&o, "GET k29"), "v29");
        oracle_stop(&o);
    }
    shard_free(&real);
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_a_log),
        cmocka_unit_test(without_a_log),
        cmocka_unit_test(a_cut_without_changes_makes_no_increment),
        cmocka_unit_test(a_second_try_takes_the_place_of_the_first),
        cmocka_unit_test(an_unprepared_shard_refuses_to_mark),
        cmocka_unit_test(a_rewrite_under_way_takes_no_file_away),
        cmocka_unit_test(the_temporary_log_waits_for_its_turn_to_fork),
        cmocka_unit_test(a_failed_sync_fails_the_cut_and_not_the_shard),
        cmocka_unit_test(a_child_that_dies_fails_the_cut),
        cmocka_unit_test(a_target_that_cannot_be_made_fails_the_cut),
        cmocka_unit_test(a_start_removes_the_temporary_log),
        cmocka_unit_test(a_crash_while_prepared_loses_nothing),
        cmocka_unit_test(a_cut_called_off_late_ends_the_increment),
        cmocka_unit_test(a_log_that_cannot_be_synced_fails_the_cut),
        cmocka_unit_test(a_shard_stops_in_the_middle),
        cmocka_unit_test(a_log_of_its_own_comes_before_the_next_cut),
        cmocka_unit_test(a_stop_before_the_own_log_is_on_saves),
        cmocka_unit_test(many_cuts_end_in_a_rewrite),
        cmocka_unit_test(a_real_server_loads_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
