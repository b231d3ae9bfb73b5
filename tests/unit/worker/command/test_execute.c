/* test_execute.c - what execute() does around a handler: refusals, statistics, what is logged. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"
#include "worker/command/error_stats.h"

static int begin(void **state) {
    execute_reset_stats();
    *state = fixture_create();
    return 0;
}

static int end(void **state) {
    fixture_free((struct fixture **)state);
    return 0;
}

static const struct command_stats *stats_of(const char *name) {
    return &execute_stats()[command_index(command_by_name(bytes_of_text(name)))];
}

static void calls_failures_and_codes_are_counted(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1", "+OK\r\n");
    expect(f, "GET a", "$1\r\n1\r\n");
    expect(f, "HGET a f", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
    assert_int_equal(stats_of("set")->calls, 1);
    assert_int_equal(stats_of("set")->failed_calls, 0);
    assert_int_equal(stats_of("hget")->calls, 1);
    assert_int_equal(stats_of("hget")->failed_calls, 1);
    assert_int_equal(stats_of("hget")->rejected_calls, 0);
    uint32_t count;
    assert_string_equal(error_stats(&count)[0].code, "WRONGTYPE");
    assert_int_equal(count, 1);
    execute_reset_stats();
    assert_int_equal(stats_of("set")->calls, 0);
    (void)error_stats(&count);
    assert_int_equal(count, 0);
}

static void figures_reach_the_status_page(void **state) {
    struct fixture *f = *state;
    static struct status_page own;
    struct status_page *page = &own;
    f->env.status = page;
    fixture_inline(f, "SET a 1");
    fixture_inline(f, "HGET a f");
    fixture_inline(f, "nosuch");
    assert_int_equal(status_get(page, METRIC_commands_executed), 2);
    assert_int_equal(status_get(page, METRIC_error_replies), 2);
    f->env.status = NULL;
}

static void time_is_counted_from_the_end_of_the_one_before(void **state) {
    struct fixture *f = *state;
    f->config->enable_debug_command = DEBUG_COMMAND_YES;
    execute_pause();
    uint64_t start_us = clock_mono_us();
    expect(f, "DEBUG SLEEP 0.02", "+OK\r\n");
    expect(f, "ECHO x", "$1\r\nx\r\n");
    uint64_t all_us = clock_mono_us() - start_us;
    assert_true(stats_of("debug|sleep")->usec >= 20000);
    assert_true(stats_of("debug|sleep")->usec + stats_of("echo")->usec <= all_us);
}

static void a_pause_is_no_commands_time(void **state) {
    struct fixture *f = *state;
    expect(f, "ECHO x", "$1\r\nx\r\n");
    uint64_t before = stats_of("echo")->usec, start_us = clock_mono_us();
    while (clock_mono_us() - start_us < 20000)
        ;
    execute_pause();
    uint64_t restart_us = clock_mono_us();
    expect(f, "ECHO x", "$1\r\nx\r\n");
    assert_true(stats_of("echo")->usec - before <= clock_mono_us() - restart_us);
}

static void without_room_only_commands_that_need_none_run(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1", "+OK\r\n");
    f->config->maxmemory = 1;
    expect(f, "SET b 1", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    expect(f, "GET a", "$1\r\n1\r\n");
    expect(f, "DEL a", ":1\r\n");
    assert_int_equal(stats_of("set")->calls, 1);
    assert_int_equal(stats_of("set")->rejected_calls, 1);
    /* What a log says was accepted once: loading it is never refused. */
    f->env.loading = true;
    struct bytes argv[] = {bytes_of_text("SET"), bytes_of_text("c"), bytes_of_text("1")};
    struct command_ctx ctx = {.ks = f->ks,
                              .session = &f->session,
                              .env = &f->env,
                              .cmd = command_by_name(argv[0]),
                              .argv = argv,
                              .argc = 3,
                              .reply = {.out = &f->reply, .version = 2}};
    execute(&ctx);
    f->env.loading = false;
    expect(f, "GET c", "$1\r\n1\r\n");
}

static void eviction_makes_room(void **state) {
    struct fixture *f = *state;
    char value[10001];
    memset(value, 'v', sizeof(value));
    struct bytes argv[] = {bytes_of_text("SET"), {0}, bytes_of(value, sizeof(value))};
    f->config->maxmemory = (int64_t)mem_used() + 1024 * 1024;
    fixture_configure(f, "maxmemory-policy", "allkeys-random");
    for (int i = 0; i < 1000; i++) {
        char key[32];
        argv[1] = bytes_of(key, (size_t)snprintf(key, sizeof(key), "key:%d", i));
        fixture_run(f, 3, argv);
        assert_true(bytes_equal(buf_bytes(&f->reply), bytes_of_text("+OK\r\n")));
    }
    assert_true(keyspace_count(f->ks, 0) < 200);
    assert_true(keyspace_count(f->ks, 0) > 10);
    assert_true(mem_used() < (uint64_t)f->config->maxmemory + 256 * 1024);
    assert_true(keyspace_stats(f->ks)->evicted > 800);
}

static void volatile_policies_without_volatile_keys_refuse(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "maxmemory-policy", "volatile-lru");
    expect(f, "SET a 1", "+OK\r\n");
    f->config->maxmemory = 1;
    expect(f, "SET b 1", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    expect(f, "EXPIRE a 100", ":1\r\n");
    fixture_inline(f, "SET b 1");
    expect(f, "EXISTS a", ":0\r\n");
}

static void what_is_logged_is_what_the_handler_said(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "SET a 1");
    expect_log(f, "SET a 1");
    fixture_inline(f, "GET a");
    expect_log(f, "");
    fixture_inline(f, "DEL nosuch");
    expect_log(f, "");
    fixture_inline(f, "EXPIRE a 10");
    expect_log(f, "PEXPIREAT a 1700010000");
    fixture_inline(f, "FLUSHALL");
    expect_log(f, "FLUSHALL");
    fixture_inline(f, "FLUSHDB");
    expect_log(f, "FLUSHDB");
}

/* A handler that logs two commands in place of its own, runs another one meanwhile, or says that
 * there is nothing to log. */
static struct command_ctx *inner;

static void two_instead(struct command_ctx *ctx) {
    const struct bytes first[] = {BYTES_LITERAL("A"), BYTES_LITERAL("1")};
    const struct bytes second[] = {BYTES_LITERAL("B")};
    propagate_instead(ctx, 2, first);
    if (inner != NULL)
        execute(inner);
    propagate_instead(ctx, 1, second);
    ctx->dirty = 1;
}

static void nothing(struct command_ctx *ctx) {
    propagate_nothing(ctx);
    ctx->dirty = 1;
}

static void run_handler(struct fixture *f, struct command_ctx *ctx) {
    *ctx = (struct command_ctx){.ks = f->ks,
                                .session = &f->session,
                                .env = &f->env,
                                .cmd = command_by_name(BYTES_LITERAL("set")),
                                .reply = {.out = &f->reply, .version = 2}};
}

static void several_commands_can_stand_in_for_one(void **state) {
    struct fixture *f = *state;
    struct command_ctx ctx, nested;
    run_handler(f, &ctx);
    two_instead(&ctx);
    assert_int_equal(ctx.instead_commands, 2);
    assert_true(bytes_equal(buf_bytes(ctx.instead),
                            bytes_of_text("*2\r\n$1\r\nA\r\n$1\r\n1\r\n*1\r\n$1\r\nB\r\n")));
    run_handler(f, &ctx);
    nothing(&ctx);
    assert_true(ctx.propagate_never);
    /* A command run by a handler has a buffer of its own. */
    struct bytes argv[] = {BYTES_LITERAL("EXPIRE"), BYTES_LITERAL("a"), BYTES_LITERAL("10")};
    expect(f, "SET a 1", "+OK\r\n");
    run_handler(f, &nested);
    nested.cmd = command_by_name(argv[0]);
    nested.argv = argv;
    nested.argc = 3;
    inner = &nested;
    run_handler(f, &ctx);
    two_instead(&ctx);
    inner = NULL;
    assert_int_equal(ctx.instead_commands, 2);
    assert_true(bytes_equal(buf_bytes(ctx.instead),
                            bytes_of_text("*2\r\n$1\r\nA\r\n$1\r\n1\r\n*1\r\n$1\r\nB\r\n")));
    assert_int_equal(nested.instead_commands, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(calls_failures_and_codes_are_counted, begin, end),
        cmocka_unit_test_setup_teardown(figures_reach_the_status_page, begin, end),
        cmocka_unit_test_setup_teardown(time_is_counted_from_the_end_of_the_one_before, begin, end),
        cmocka_unit_test_setup_teardown(a_pause_is_no_commands_time, begin, end),
        cmocka_unit_test_setup_teardown(without_room_only_commands_that_need_none_run, begin, end),
        cmocka_unit_test_setup_teardown(eviction_makes_room, begin, end),
        cmocka_unit_test_setup_teardown(volatile_policies_without_volatile_keys_refuse, begin, end),
        cmocka_unit_test_setup_teardown(what_is_logged_is_what_the_handler_said, begin, end),
        cmocka_unit_test_setup_teardown(several_commands_can_stand_in_for_one, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
