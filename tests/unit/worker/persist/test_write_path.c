/* test_write_path.c - when bytes count as written and as synced, and what a disk that fails does. The
 * sync is a function of this test: it can be held up, and made to fail. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hold;
static int fail_next; /* errno */
static int calls, waiting, in_flight_max, in_flight;

static int test_fdatasync(int fd) {
    pthread_mutex_lock(&lock);
    calls++;
    if (++in_flight > in_flight_max)
        in_flight_max = in_flight;
    waiting++;
    pthread_cond_broadcast(&changed);
    while (hold)
        pthread_cond_wait(&changed, &lock);
    waiting--;
    in_flight--;
    int error = fail_next;
    fail_next = 0;
    pthread_mutex_unlock(&lock);
    errno = error;
    return error == 0 ? fdatasync(fd) : -1;
}
static void set_hold(bool on) {
    pthread_mutex_lock(&lock);
    hold = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}
static void await_waiting(void) {
    pthread_mutex_lock(&lock);
    while (waiting == 0)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int setup(void **state) {
    aof_fdatasync = test_fdatasync;
    hold = false;
    fail_next = calls = in_flight_max = 0;
    return 0;
}

static struct shard *open_logged(const char *appendfsync) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    shard_configure(s, "appendfsync", appendfsync);
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    return s;
}
static struct write_path path_of(struct shard *s) {
    struct write_path path;
    persist_write_path(s->persist, &path);
    return path;
}
static void crash_and_compare(struct shard *s) {
    char *before = shard_digest(s->ks);
    shard_crash(s);
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    shard_expect_digest(s, before);
    free(before);
}

/* ---- always ---- */
static void replies_wait_for_the_sync_that_covers_them(void **state) {
    struct shard *s = open_logged("always");
    assert_int_equal(persist_reply_gate(s->persist), 0);
    set_hold(true);
    shard_run(s, "SET a 1");
    persist_turn_end(s->persist);
    uint64_t first = persist_reply_gate(s->persist);
    assert_int_equal(first, path_of(s).written);
    await_waiting();
    /* Two more turns while it runs: written, not synced, and one sync more for both. */
    shard_run(s, "SET b 2");
    shard_turn(s);
    shard_run(s, "SET c 3");
    shard_turn(s);
    uint64_t second = persist_reply_gate(s->persist);
    assert_true(second > first);
    assert_int_equal(path_of(s).written, second);
    assert_true(persist_reply_released(s->persist) < first);
    assert_int_equal(s->synced_calls, 0);
    assert_true(path_of(s).synced_age_us > 0);
    assert_int_equal(path_of(s).written_age_us, 0);
    assert_int_equal(calls, 1);
    set_hold(false);
    shard_await(s, shard_all_synced, "the syncs");
    assert_int_equal(calls, 2);
    assert_int_equal(in_flight_max, 1);
    assert_int_equal(s->synced_calls, 2);
    assert_int_equal(persist_reply_released(s->persist), second);
    assert_int_equal(persist_reply_gate(s->persist), 0);
    assert_int_equal(path_of(s).synced_age_us, 0);
    shard_free(&s);
}

static void a_turn_without_writes_syncs_nothing(void **state) {
    struct shard *s = open_logged("always");
    shard_run(s, "SET a 1");
    shard_await(s, shard_all_synced, "the sync");
    int before = calls;
    shard_run(s, "GET a");
    shard_turn(s);
    persist_cron(s->persist);
    assert_int_equal(calls, before);
    shard_free(&s);
}

static void waiting_replies_are_freed_by_a_change_of_policy(void **state) {
    struct shard *s = open_logged("always");
    set_hold(true);
    shard_run(s, "SET a 1");
    shard_turn(s);
    await_waiting();
    shard_run(s, "SET b 2");
    shard_turn(s);
    uint64_t gate = persist_reply_gate(s->persist);
    shard_configure(s, "appendfsync", "no");
    assert_int_equal(persist_config_changed(s->persist, s->error, sizeof s->error), 0);
    set_hold(false);
    shard_await(s, shard_all_synced, "the syncs");
    assert_int_equal(persist_reply_released(s->persist), gate);
    shard_free(&s);
}

/* ---- everysec, no ---- */
static void everysec_syncs_from_the_cron(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    persist_turn_end(s->persist);
    assert_int_equal(persist_reply_gate(s->persist), 0);
    assert_int_equal(calls, 0);
    shard_await(s, shard_all_synced, "the sync of the first second");
    assert_int_equal(calls, 1);
    /* Within the same second none is asked for. */
    shard_run(s, "SET a 2");
    shard_turn(s);
    s->persist->aof.last_sync_us = clock_mono_us();
    persist_cron(s->persist);
    assert_false(s->persist->aof.syncing);
    s->persist->aof.last_sync_us -= 1000000;
    persist_cron(s->persist);
    assert_true(s->persist->aof.syncing);
    shard_await(s, shard_all_synced, "the next sync");
    shard_free(&s);
}

static void a_slow_sync_does_not_stop_writes_and_is_counted(void **state) {
    struct shard *s = open_logged("everysec");
    set_hold(true);
    shard_run(s, "SET a 1");
    shard_turn(s);
    persist_cron(s->persist);
    await_waiting();
    shard_run(s, "SET b 2");
    shard_turn(s);
    assert_int_equal(path_of(s).written, path_of(s).executed);
    persist_cron(s->persist);
    assert_int_equal(status_get(s->status, METRIC_aof_delayed_fsyncs), 0);
    s->persist->aof.last_sync_us -= 2000000;
    persist_cron(s->persist);
    persist_cron(s->persist);
    assert_int_equal(status_get(s->status, METRIC_aof_delayed_fsyncs), 1);
    set_hold(false);
    shard_await(s, shard_all_synced, "the syncs");
    shard_free(&s);
}

static void quiet_while_a_child_writes_if_told(void **state) {
    struct aof aof;
    struct shard *s = open_logged("everysec");
    shard_configure(s, "no-appendfsync-on-rewrite", "yes");
    shard_run(s, "SET a 1");
    shard_turn(s);
    aof = s->persist->aof;
    aof_cron(&s->persist->aof, true);
    assert_false(s->persist->aof.syncing);
    assert_false(aof.syncing);
    aof_cron(&s->persist->aof, false);
    assert_true(s->persist->aof.syncing);
    shard_free(&s);
}

static void no_never_syncs(void **state) {
    struct shard *s = open_logged("no");
    shard_run(s, "SET a 1");
    shard_turn(s);
    persist_cron(s->persist);
    assert_int_equal(calls, 0);
    assert_int_equal(path_of(s).synced, 0);
    assert_true(path_of(s).written > 0);
    shard_free(&s);
}

/* ---- a write that fails ---- */
static bool writable(struct shard *s) {
    return persist_write_refusal(s->persist) == NULL;
}
static void limit_file_size(rlim_t bytes) {
    struct rlimit limit;
    getrlimit(RLIMIT_FSIZE, &limit);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_failed_write_is_cut_off_and_repeated(void **state) {
    struct shard *s = open_logged("everysec");
    signal(SIGXFSZ, SIG_IGN);
    shard_run(s, "SET a 1");
    shard_turn(s);
    struct buf whole = shard_read_file(s, "appendonlydir/appendonly.aof.1.incr.aof");
    limit_file_size(whole.len + 20); /* the next batch fits in part */
    shard_run(s, "SET b 22222222222222222222222222222222222222222222222");
    shard_turn(s);
    limit_file_size(RLIM_INFINITY);
    assert_string_equal(persist_write_refusal(s->persist),
                        "MISCONF Errors writing to the AOF file: File too large");
    assert_string_equal(shard_run(s, "SET c 3"),
                        "-MISCONF Errors writing to the AOF file: File too large\r\n");
    struct buf after = shard_read_file(s, "appendonlydir/appendonly.aof.1.incr.aof");
    assert_int_equal(after.len, whole.len);
    assert_true(strlen(s->status->note) > 0);
    assert_true(path_of(s).written < path_of(s).executed);
    persist_refresh_status(s->persist);
    assert_int_equal(status_get(s->status, METRIC_aof_state_ok), 0);
    shard_await(s, writable, "the repeated write");
    assert_string_equal(s->status->note, "");
    assert_int_equal(path_of(s).written, path_of(s).executed);
    shard_run(s, "SET c 3");
    shard_turn(s);
    crash_and_compare(s);
    shard_expect(s, "MGET a c", "*2\r\n$1\r\n1\r\n$1\r\n3\r\n");
    buf_free(&whole);
    buf_free(&after);
    shard_free(&s);
}

/* Only who wrote waits for the disk; who reads, or is refused, gets his answer. */
static void reads_go_on_while_the_disk_is_full(void **state) {
    struct shard *s = open_logged("always");
    signal(SIGXFSZ, SIG_IGN);
    shard_run(s, "SET a 1");
    shard_await(s, shard_all_synced, "the sync");
    limit_file_size(100);
    persist_turn_begin(s->persist);
    shard_run(s, "SET b 22222222222222222222222222222222222222222222222");
    persist_turn_end(s->persist);
    uint64_t gate = persist_reply_gate(s->persist);
    assert_true(gate > persist_reply_released(s->persist));
    persist_turn_begin(s->persist);
    shard_run(s, "GET a");
    assert_memory_equal(shard_run(s, "SET c 3"), "-MISCONF", 8);
    persist_turn_end(s->persist);
    assert_int_equal(persist_reply_gate(s->persist), 0);
    limit_file_size(RLIM_INFINITY);
    shard_await(s, writable, "the repeated write");
    shard_await(s, shard_all_synced, "its sync");
    assert_true(persist_reply_released(s->persist) >= gate);
    shard_free(&s);
}

static void a_stop_that_cannot_write_is_refused(void **state) {
    struct shard *s = open_logged("everysec");
    signal(SIGXFSZ, SIG_IGN);
    limit_file_size(10);
    shard_run(s, "SET a 1");
    int result = persist_stop(s->persist, 0, s->error, sizeof s->error);
    limit_file_size(RLIM_INFINITY);
    assert_int_equal(result, -1);
    assert_non_null(strstr(s->error, "not safe on disk: write failed: File too large"));
    shard_close(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect(s, "GET a", "$1\r\n1\r\n");
    shard_free(&s);
}

/* ---- a sync that fails ---- */
static void a_failed_sync_is_never_repeated(void **state) {
    struct shard *s = open_logged("always");
    shard_run(s, "SET a 1");
    shard_await(s, shard_all_synced, "the first sync");
    s->withhold_turns = true;
    fail_next = EIO;
    shard_run(s, "INCR a");
    persist_turn_end(s->persist);
    background_drain(s->persist->background);
    int before = calls;
    uint64_t gate = persist_reply_gate(s->persist), synced = persist_reply_released(s->persist);
    assert_true(gate > synced);
    assert_string_equal(persist_write_refusal(s->persist),
                        "MISCONF Errors writing to the AOF file: Input/output error");
    for (int i = 0; i < 5; i++) {
        shard_turn(s);
        persist_cron(s->persist);
    }
    background_drain(s->persist->background);
    assert_int_equal(calls, before);
    assert_int_equal(persist_reply_released(s->persist), synced);
    /* The turn comes: a new base from memory, a new increment; the reply that waited may go. */
    s->withhold_turns = false;
    persist_fork_granted(s->persist, s->wish);
    shard_await(s, writable, "the new log");
    assert_true(persist_reply_released(s->persist) >= gate);
    assert_false(shard_file_exists(s, "appendonlydir/appendonly.aof.1.incr.aof"));
    shard_run(s, "INCR a");
    shard_await(s, shard_all_synced, "a sync of the new file");
    crash_and_compare(s);
    shard_expect(s, "GET a", "$1\r\n3\r\n");
    shard_free(&s);
}

static void a_failed_sync_at_the_stop_is_said(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    fail_next = EIO;
    assert_int_equal(persist_stop(s->persist, 0, s->error, sizeof s->error), -1);
    assert_non_null(strstr(s->error, "fdatasync failed: Input/output error"));
    int before = calls;
    assert_int_equal(persist_stop(s->persist, 0, s->error, sizeof s->error), -1);
    assert_int_equal(calls, before);
    shard_free(&s);
}

static void a_sync_that_fails_at_a_rewrites_start_starts_afresh(void **state) {
    struct shard *s = open_logged("no");
    shard_run(s, "SET a 1");
    shard_turn(s);
    fail_next = EIO;
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_STARTED);
    shard_run(s, "INCR a");
    background_drain(s->persist->background);
    assert_non_null(persist_write_refusal(s->persist));
    s->persist->rewrite.last_failed_s -= 10;
    shard_await(s, writable, "the new log");
    shard_turn(s);
    crash_and_compare(s);
    shard_expect(s, "GET a", "$1\r\n2\r\n");
    shard_free(&s);
}

static bool log_goes_on(struct shard *s) {
    return !s->persist->aof.held;
}

/* Not even the kernel has what is executed now: a kill -9 must not take back what a client was told. */
static void replies_of_a_change_of_files_wait_for_the_new_one(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    shard_turn(s);
    assert_int_equal(persist_reply_gate(s->persist), 0);
    set_hold(true);
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_STARTED);
    shard_run(s, "SET b 2");
    persist_turn_end(s->persist);
    uint64_t gate = persist_reply_gate(s->persist), calls_before = s->synced_calls;
    assert_true(gate > 0);
    assert_true(persist_reply_released(s->persist) < gate);
    set_hold(false);
    shard_await(s, log_goes_on, "the new file");
    shard_turn(s);
    assert_true(persist_reply_released(s->persist) >= gate);
    assert_true(s->synced_calls > calls_before);
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_await(s, shard_no_child, "the rewrite");
    crash_and_compare(s);
    shard_free(&s);
}

/* What the child writes would have to reach the disk before the syncs that hold up replies. */
static void a_rewrites_child_lets_the_change_of_files_go_first(void **state) {
    struct shard *s = open_logged("everysec");
    char temp[128];
    snprintf(temp, sizeof temp, "appendonlydir/temp-rewriteaof-%d.rdb", (int)getpid());
    shard_run(s, "SET a 1");
    shard_turn(s);
    set_hold(true);
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_STARTED);
    await_waiting();
    usleep(50000);
    assert_false(shard_file_exists(s, temp));
    set_hold(false);
    shard_await(s, shard_no_child, "the rewrite");
    assert_true(shard_file_exists(s, "appendonlydir/appendonly.aof.2.base.rdb"));
    crash_and_compare(s);
    shard_free(&s);
}

static void an_abandoned_shard_is_synced(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    persist_abandon(s->persist);
    assert_int_equal(path_of(s).synced, path_of(s).executed);
    crash_and_compare(s);
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(replies_wait_for_the_sync_that_covers_them, setup),
        cmocka_unit_test_setup(a_turn_without_writes_syncs_nothing, setup),
        cmocka_unit_test_setup(waiting_replies_are_freed_by_a_change_of_policy, setup),
        cmocka_unit_test_setup(everysec_syncs_from_the_cron, setup),
        cmocka_unit_test_setup(a_slow_sync_does_not_stop_writes_and_is_counted, setup),
        cmocka_unit_test_setup(quiet_while_a_child_writes_if_told, setup),
        cmocka_unit_test_setup(no_never_syncs, setup),
        cmocka_unit_test_setup(a_failed_write_is_cut_off_and_repeated, setup),
        cmocka_unit_test_setup(reads_go_on_while_the_disk_is_full, setup),
        cmocka_unit_test_setup(a_stop_that_cannot_write_is_refused, setup),
        cmocka_unit_test_setup(a_failed_sync_is_never_repeated, setup),
        cmocka_unit_test_setup(a_failed_sync_at_the_stop_is_said, setup),
        cmocka_unit_test_setup(a_sync_that_fails_at_a_rewrites_start_starts_afresh, setup),
        cmocka_unit_test_setup(replies_of_a_change_of_files_wait_for_the_new_one, setup),
        cmocka_unit_test_setup(a_rewrites_child_lets_the_change_of_files_go_first, setup),
        cmocka_unit_test_setup(an_abandoned_shard_is_synced, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
