/* 86_tools_killed.c - import, and keys that are dealt anew, killed at every step: the next start has
 * everything, and nothing twice. */
#include "tests/interop/dataset.h"
#include <signal.h>
#include <sys/stat.h>

static const char *const FIXTURE = "tests/fixtures/redis-7.0.rdb";
static char directory[64];

static int setup(void **state) {
    make_directory(directory);
    return 0;
}

static int cleanup(void **state) {
    pools_cleanup(state);
    remove_directory(directory);
    return 0;
}

static void expect_fixture(struct pool *pool) {
    redisContext *c = pool_connect(pool);
    expect_integer(c, 14, "DBSIZE");
    expect_text(c, "the quick brown fox", "GET words");
    expect_integer(c, 9, "HLEN large");
    expect_text(c, "OK", "SELECT 5");
    expect_integer(c, 2, "DBSIZE");
    redisFree(c);
}

/* Calls that change a folder or make it safe. */
static const char *const steps[] = {"rename", "renameat", "renameat2", "unlink", "unlinkat",
                                    "mkdir",  "rmdir",    "fsync",     "write"};

/* Leaks cannot be looked for below strace. */
#define NO_LEAKS "ASAN_OPTIONS=detect_leaks=0 "

/* A program with sanitizers starts slowly: some of the calls are enough there. */
#ifdef REMUDA_SANITIZE
enum { STEP = 5 };
#else
enum { STEP = 1 };
#endif

/* Who is killed at the Nth of them: the program that was started, or the process that builds. */
enum victim { SUPERVISOR, BUILDER };

static void strace(const char *below[10], const char *step, unsigned n) {
    static char trace[64], inject[96];
    const char *all[10] = {"strace", "-D", "-qq", "-o", "/dev/null", "-e", trace, "-e", inject};
    snprintf(trace, sizeof(trace), "trace=%s", step);
    snprintf(inject, sizeof(inject), "inject=%s:signal=KILL:when=%u", step, n);
    memcpy(below, all, sizeof(all));
}

/* A build whose remuda-worker is killed at that call, if it runs as a tool. */
static void make_deadly_build(const char *step, unsigned n) {
    static const char script[] =
        "case $1 in import|redistribute) " NO_LEAKS "exec strace -qq -o /dev/null "
        "-e trace=%s -e inject=%s:signal=KILL:when=%u %s/remuda-worker "
        "\"$@\";; *) exec %s/remuda-worker \"$@\";; esac\n";
    char path[128], *build = realpath(pool_build(), NULL);
    int code;
    free(run_shell(&code, "mkdir -p %s/deadly && cp -u %s/remuda %s/deadly/", directory, build,
                   directory));
    assert_int_equal(code, 0);
    snprintf(path, sizeof(path), "%s/deadly/remuda-worker", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("#!/bin/sh\n", file);
    fprintf(file, script, step, step, n, build, build);
    fclose(file);
    assert_int_equal(chmod(path, 0755), 0);
    free(build);
}

/* From now on this build is tested. */
static void use_build(const char *build) {
    static char before[512];
    if (!before[0])
        snprintf(before, sizeof(before), "%s", pool_build());
    setenv("REMUDA_BUILD", build ? build : before, 1);
}

static void use_deadly_build(const char *step, unsigned n) {
    char path[128];
    snprintf(path, sizeof(path), "%s/deadly", directory);
    make_deadly_build(step, n);
    use_build(path);
}

static void check_data(struct pool *pool, const char *expected, const char *step, unsigned n) {
    char *now = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    if (strcmp(now, expected) != 0)
        fail_msg("the data differs after a kill at %s number %u", step, n);
    free(now);
    assert_false(path_exists("%s/incoming", pool->data));
    assert_false(path_exists("%s/outgoing", pool->data));
}

/* Start with another number of workers, killed at that call, and again. False if it was not killed. */
static bool killed_start(struct pool *pool, const char *step, unsigned n, enum victim victim) {
    const char *below[10];
    int code = 0;
    assert_int_equal(pool_stop(pool), 0);
    pool->workers = pool->workers % 3 + 1;
    if (victim == SUPERVISOR)
        strace(below, step, n);
    else
        use_deadly_build(step, n);
    bool came_up = pool_start_below(pool, victim == SUPERVISOR ? below : NULL, &code);
    use_build(NULL);
    if (came_up)
        return false;
    assert_int_equal(code, victim == SUPERVISOR ? -SIGKILL : 1);
    pool_start_again(pool);
    return true;
}

/* The supervisor's own writes are those of its log, and go on for ever. */
static bool is_step_of(enum victim victim, const char *step) {
    return victim == BUILDER || strcmp(step, "write") != 0;
}

static void kill_at_every_step(const char *appendonly, enum victim victim) {
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = 2, .deaths = true, .options = {"--save", "3600 1", "--appendonly", appendonly}});
    dataset_fill(pool->port, random_seed(), 90);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    unsigned kills = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (!is_step_of(victim, steps[i]))
            continue;
        for (unsigned n = 1; killed_start(pool, steps[i], n, victim); n += STEP, kills++)
            check_data(pool, before, steps[i], n);
        check_data(pool, before, steps[i], 0);
    }
    print_message("%u kills\n", kills);
    assert_true(kills > 10 / STEP);
    free(before);
    pool_end(&pool);
}

static void test_kill_the_supervisor(void **state) {
    kill_at_every_step("no", SUPERVISOR);
}

static void test_kill_the_supervisor_with_logs(void **state) {
    kill_at_every_step("yes", SUPERVISOR);
}

static void test_kill_the_builder(void **state) {
    kill_at_every_step("no", BUILDER);
}

/* False if it was not killed. */
static bool killed_import(struct pool *pool, const char *step, unsigned n, enum victim victim) {
    char below[160] = "";
    int code;
    if (victim == BUILDER)
        use_deadly_build(step, n);
    else
        snprintf(below, sizeof(below),
                 NO_LEAKS "strace -qq -o /dev/null -e trace=%s -e inject=%s:signal=KILL:when=%u",
                 step, step, n);
    free(run_shell(&code, "%s '%s/remuda' import %s --dir %s --workers 3 >/dev/null 2>&1", below,
                   pool_build(), FIXTURE, pool->data));
    use_build(NULL);
    if (code != 0)
        assert_int_equal(code, victim == SUPERVISOR ? 128 + SIGKILL : 1);
    return code != 0;
}

/* An import that is killed can be run again, unless it was done already; and a pool that is started
 * instead has all of it or nothing. */
static void kill_import(enum victim victim) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = 3, .options = {"--save", ""}});
    assert_int_equal(pool_stop(pool), 0);
    remove_directory(pool->data);
    unsigned kills = 0;
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        for (unsigned n = 1; killed_import(pool, steps[i], n, victim); n += STEP, kills++) {
            int code = 0;
            if (kills % 2)
                free(run_shell(&code,
                               "'%s/remuda' import %s --dir %s --workers 3 2>&1 | "
                               "grep -q 'holds a pool'",
                               pool_build(), FIXTURE, pool->data));
            assert_int_equal(code, 0);
            pool_start_again(pool);
            redisContext *c = pool_connect(pool);
            int64_t keys = ask_integer(c, "DBSIZE");
            redisFree(c);
            if (keys != 0 || kills % 2)
                expect_fixture(pool);
            assert_int_equal(pool_stop(pool), 0);
            if (keys)
                free(run_remuda(0, "check %s", pool->data));
            remove_directory(pool->data);
        }
        remove_directory(pool->data);
    }
    print_message("%u kills\n", kills);
    assert_true(kills > 10 / STEP);
    pool_end(&pool);
}

static void test_kill_import(void **state) {
    kill_import(SUPERVISOR);
}

static void test_kill_import_builder(void **state) {
    kill_import(BUILDER);
}

/* ---- a disk in trouble ---- */

/* A build whose remuda-worker, as a tool, gets this error from that call. */
static void fail_import(const char *fault, const char *words) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = 2, .options = {"--save", ""}});
    assert_int_equal(pool_stop(pool), 0);
    int code;
    use_deadly_build("none", 1);
    free(run_shell(&code,
                   "sed -i 's/trace=none -e inject=[^ ]*/inject=%s/' %s/deadly/remuda-worker",
                   fault, directory));
    assert_int_equal(code, 0);
    char *said = run_remuda(1, "import %s --dir %s/other --workers 2", FIXTURE, directory);
    expect_said(said, words);
    free(said);
    said = run_shell(&code, "ls -A %s/other", directory);
    assert_string_equal(said, "");
    free(said);
    pool->workers = 3;
    assert_false(pool_start_below(pool, NULL, &code));
    assert_int_equal(code, 1);
    assert_true(pool_log_has(pool, words));
    assert_true(pool_log_has(pool, "they are as they were, and --workers 2 starts the pool"));
    use_build(NULL);
    pool->workers = 2;
    pool_start_again(pool);
    pool_end(&pool);
}

static void test_disk_full(void **state) {
    fail_import("write:error=ENOSPC:when=3", "No space left on device");
}

static void test_sync_fails(void **state) {
    fail_import("fsync:error=EIO:when=1", "Input/output error");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill_the_supervisor, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_kill_the_supervisor_with_logs, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_kill_the_builder, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_kill_import, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_kill_import_builder, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_disk_full, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_sync_fails, setup, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
