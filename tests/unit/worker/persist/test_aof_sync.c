/* test_aof_sync.c - which commands a sync of appendfsync always covers, and on which thread it runs. The
 * sync is a function of this test: it can be held up, made slow, and made to fail. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"

enum { SLOW_US = 2000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool hold;
static int fail_next; /* errno */
static useconds_t slow_us;
static int calls;
static pthread_t synced_by;

static int test_fdatasync(int fd) {
    pthread_mutex_lock(&lock);
    calls++;
    synced_by = pthread_self();
    pthread_cond_broadcast(&changed);
    while (hold)
        pthread_cond_wait(&changed, &lock);
    int error = fail_next;
    fail_next = 0;
    pthread_mutex_unlock(&lock);
    if (slow_us > 0)
        usleep(slow_us);
    errno = error;
    return error == 0 ? 0 : -1;
}
static void set_hold(bool on) {
    pthread_mutex_lock(&lock);
    hold = on;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}
static void await_calls(int wanted) {
    pthread_mutex_lock(&lock);
    while (calls < wanted)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

static int set_up(void **state) {
    aof_fdatasync = test_fdatasync;
    hold = false;
    fail_next = calls = 0;
    slow_us = 0;
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    shard_configure(s, "appendfsync", "always");
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    *state = s;
    return 0;
}
static int tear_down(void **state) {
    struct shard *s = *state;
    shard_free(&s);
    return 0;
}

static struct aof *log_of(struct shard *s) {
    return &s->persist->aof;
}
static void write_keys(struct shard *s, int count) {
    char line[32];
    for (int i = 0; i < count; i++) {
        snprintf(line, sizeof line, "SET key%d x", i);
        shard_run(s, line);
    }
}
static bool all_synced(struct shard *s) {
    return shard_all_synced(s);
}

/* ---- groups ---- */
static void a_group_wants_who_waits_and_who_was_answered(void **state) {
    struct shard *s = *state;
    set_hold(true);
    write_keys(s, 10);
    persist_turn_end(s->persist);
    await_calls(1);
    write_keys(s, 6);
    persist_turn_end(s->persist);
    uint64_t before_us = clock_mono_us();
    log_of(s)->group.typical_us = 3600 * 1000000ull;
    set_hold(false);
    background_drain(s->persist->background);
    /* (10 + 6) * 7 / 8; the time to wait is limited. */
    assert_int_equal(log_of(s)->group.wanted, 14);
    assert_in_range(log_of(s)->group.until_us, before_us + 1000, clock_mono_us() + 2000);
    shard_await(s, all_synced, "the second group");
    assert_int_equal(calls, 2);
}

static void a_sync_waits_until_its_group_is_whole(void **state) {
    struct shard *s = *state;
    struct sync_group *group = &log_of(s)->group;
    group->wanted = 4; /* with the SELECT that begins a log */
    group->until_us = clock_mono_us() + 3600 * 1000000ull;
    write_keys(s, 2);
    uint64_t synced_calls = s->synced_calls;
    for (int i = 0; i < 5; i++)
        shard_turn(s);
    assert_int_equal(calls, 0);
    assert_int_equal(s->synced_calls, synced_calls);
    assert_true(persist_reply_gate(s->persist) > persist_reply_released(s->persist));
    write_keys(s, 1);
    shard_await(s, all_synced, "the sync");
    assert_int_equal(calls, 1);
}

static void a_group_goes_without_those_who_do_not_come(void **state) {
    struct shard *s = *state;
    struct sync_group *group = &log_of(s)->group;
    group->wanted = 3;
    group->until_us = clock_mono_us() + 20000;
    write_keys(s, 1);
    /* Nothing but the group's own timer wakes the loop. */
    while (!all_synced(s)) {
        persist_turn_end(s->persist);
        if (!all_synced(s)) {
            ev_ref(s->loop);
            ev_run(s->loop, EVRUN_ONCE);
            ev_unref(s->loop);
        }
    }
    assert_true(clock_mono_us() >= group->until_us || group->wanted != 3);
    assert_int_equal(calls, 1);
}

static void a_stop_does_not_wait_for_the_group(void **state) {
    struct shard *s = *state;
    struct sync_group *group = &log_of(s)->group;
    group->wanted = 3;
    group->until_us = clock_mono_us() + 3600 * 1000000ull;
    write_keys(s, 1);
    persist_turn_end(s->persist);
    assert_int_equal(calls, 0);
    assert_int_equal(persist_stop(s->persist, 0, s->error, sizeof s->error), 0);
    assert_int_equal(calls, 1);
    assert_true(all_synced(s));
}

static void a_change_of_policy_does_not_wait_for_the_group(void **state) {
    struct shard *s = *state;
    struct sync_group *group = &log_of(s)->group;
    group->wanted = 3;
    group->until_us = clock_mono_us() + 3600 * 1000000ull;
    write_keys(s, 1);
    persist_turn_end(s->persist);
    shard_configure(s, "appendfsync", "no");
    assert_int_equal(persist_config_changed(s->persist, s->error, sizeof s->error), 0);
    shard_await(s, all_synced, "the sync that is owed");
    assert_int_equal(calls, 1);
}

/* ---- threads ---- */
static bool on_loops_thread(void) {
    return pthread_equal(synced_by, pthread_self());
}

static void a_new_log_is_synced_by_the_thread(void **state) {
    struct shard *s = *state;
    write_keys(s, 1);
    shard_await(s, all_synced, "the sync");
    assert_false(on_loops_thread());
}

static void a_quick_disk_is_synced_by_the_loop(void **state) {
    struct shard *s = *state;
    log_of(s)->group.quick = 1000;
    write_keys(s, 1);
    persist_turn_end(s->persist);
    assert_int_equal(calls, 1);
    assert_true(on_loops_thread());
    assert_true(all_synced(s));
    assert_int_equal(persist_reply_gate(s->persist), 0);
    assert_int_equal(s->synced_calls, 1);
}

static void beside_a_child_the_thread_syncs(void **state) {
    struct shard *s = *state;
    log_of(s)->group.quick = 1000;
    write_keys(s, 1);
    aof_turn_end(log_of(s), true);
    background_drain(s->persist->background);
    assert_int_equal(calls, 1);
    assert_false(on_loops_thread());
}

static void run_held_job(struct background_job *job) {
    pthread_mutex_lock(&lock);
    while (hold)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}
static void nothing_done(struct background_job *job) {
}

static void behind_a_job_of_the_thread_the_thread_syncs(void **state) {
    struct shard *s = *state;
    struct background_job job = {.run = run_held_job, .done = nothing_done};
    log_of(s)->group.quick = 1000;
    set_hold(true);
    background_submit(s->persist->background, &job);
    write_keys(s, 1);
    persist_turn_end(s->persist);
    assert_int_equal(calls, 0);
    set_hold(false);
    shard_await(s, all_synced, "the sync");
    assert_false(on_loops_thread());
}

static void one_slow_sync_brings_the_thread_back(void **state) {
    struct shard *s = *state;
    log_of(s)->group.quick = 1000;
    slow_us = SLOW_US;
    write_keys(s, 1);
    persist_turn_end(s->persist);
    assert_true(on_loops_thread());
    assert_int_equal(log_of(s)->group.quick, 0);
    assert_true(log_of(s)->group.typical_us >= SLOW_US / 2);
    log_of(s)->group.until_us = 0;
    write_keys(s, 1);
    shard_await(s, all_synced, "the next sync");
    assert_false(on_loops_thread());
}

static void a_sync_that_fails_on_the_loop_is_never_repeated(void **state) {
    struct shard *s = *state;
    s->withhold_turns = true;
    log_of(s)->group.quick = 1000;
    fail_next = EIO;
    write_keys(s, 1);
    persist_turn_end(s->persist);
    assert_true(on_loops_thread());
    assert_string_equal(persist_write_refusal(s->persist),
                        "MISCONF Errors writing to the AOF file: Input/output error");
    assert_true(persist_reply_gate(s->persist) > persist_reply_released(s->persist));
    for (int i = 0; i < 5; i++) {
        shard_turn(s);
        persist_cron(s->persist);
    }
    background_drain(s->persist->background);
    assert_int_equal(calls, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_group_wants_who_waits_and_who_was_answered),
        T(a_sync_waits_until_its_group_is_whole),
        T(a_group_goes_without_those_who_do_not_come),
        T(a_stop_does_not_wait_for_the_group),
        T(a_change_of_policy_does_not_wait_for_the_group),
        T(a_new_log_is_synced_by_the_thread),
        T(a_quick_disk_is_synced_by_the_loop),
        T(beside_a_child_the_thread_syncs),
        T(behind_a_job_of_the_thread_the_thread_syncs),
        T(one_slow_sync_brings_the_thread_back),
        T(a_sync_that_fails_on_the_loop_is_never_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
