/* test_cmd_config.c - CONFIG: patterns, all or nothing, and what goes to the supervisor. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct asked {
    struct buf lines;
    int sets, rewrites;
};

static void config_set_asked(void *upper, struct command_ctx *ctx, struct bytes lines) {
    struct asked *asked = upper;
    assert_true(ctx->deferred_reply);
    buf_append_bytes(&asked->lines, lines);
    asked->sets++;
}

static void config_rewrite_asked(void *upper, struct command_ctx *ctx) {
    assert_true(ctx->deferred_reply);
    ((struct asked *)upper)->rewrites++;
}

static struct asked asked;

static int begin(void **state) {
    struct fixture *f = fixture_create();
    asked = (struct asked){0};
    f->env.config_set = config_set_asked;
    f->env.config_rewrite = config_rewrite_asked;
    f->env.upper = &asked;
    *state = f;
    return 0;
}

static int end(void **state) {
    buf_free(&asked.lines);
    fixture_free((struct fixture **)state);
    return 0;
}

static void get_takes_several_patterns(void **state) {
    struct fixture *f = *state;
    expect(f, "CONFIG GET HZ", "*2\r\n$2\r\nHZ\r\n$2\r\n10\r\n");
    expect(f, "CONFIG GET nosuch", "*0\r\n");
    expect(f, "CONFIG GET maxmemory-p* maxmemory-poli?? hz",
           "*4\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n$2\r\nhz\r\n$2\r\n10\r\n");
    fixture_inline(f, "CONFIG GET *");
    char header[16];
    snprintf(header, sizeof(header), "*%u\r\n", 2 * option_count);
    assert_memory_equal(f->reply.data, header, strlen(header));
    f->session.resp = 3;
    expect(f, "CONFIG GET save", "%1\r\n$4\r\nsave\r\n$23\r\n3600 1 300 100 60 10000\r\n");
}

static void set_is_refused_before_anybody_is_asked(void **state) {
    struct fixture *f = *state;
    expect(f, "CONFIG SET foo bar",
           "-ERR Unknown option or number of arguments for CONFIG SET - 'foo'\r\n");
    expect(f, "CONFIG SET hz 20 foo", "-ERR syntax error\r\n");
    expect(f, "CONFIG SET HZ 20 port 7",
           "-ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable "
           "config\r\n");
    expect(f, "CONFIG SET maxmemory 1 MAXMEMORY 2",
           "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate "
           "parameter\r\n");
    expect(f, "CONFIG SET maxmemory x",
           "-ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a "
           "memory value\r\n");
    expect(f, "CONFIG SET hz 20 hz-foo 3",
           "-ERR Unknown option or number of arguments for CONFIG SET - 'hz-foo'\r\n");
    assert_int_equal(asked.sets, 0);
    assert_int_equal(f->config->hz, 10);
}

static void set_goes_to_the_supervisor_and_changes_nothing_here(void **state) {
    struct fixture *f = *state;
    expect(f, "CONFIG SET maxmemory 1mb requirepass \"a \\\"b\\\"\" hz 20", "");
    assert_int_equal(asked.sets, 1);
    assert_int_equal(f->config->maxmemory, 0);
    struct config *other = config_create();
    char error[CONFIG_ERROR_BYTES];
    assert_int_equal(config_from_text(other, buf_bytes(&asked.lines), error), 0);
    assert_int_equal(other->maxmemory, 1024 * 1024);
    assert_int_equal(other->hz, 20);
    assert_string_equal(other->requirepass, "a \"b\"");
    config_free(&other);
    expect(f, "CONFIG REWRITE", "");
    assert_int_equal(asked.rewrites, 1);
}

static void resetstat_counts_from_now(void **state) {
    struct fixture *f = *state;
    static struct status_page own;
    struct status_page *page = &own;
    f->env.status = page;
    status_set(page, METRIC_commands_processed, 1000);
    status_set(page, METRIC_used_memory_bytes, 77);
    fixture_inline(f, "GET a");
    expect(f, "CONFIG RESETSTAT", "+OK\r\n");
    status_add(page, METRIC_commands_processed, 5);
    assert_int_equal(status_get(page, METRIC_commands_processed), 1005);
    assert_int_equal(status_get_counted(page, METRIC_commands_processed), 5);
    assert_int_equal(status_get_counted(page, METRIC_used_memory_bytes), 77);
    assert_int_equal(execute_stats()[command_index(command_by_name(BYTES_LITERAL("get")))].calls,
                     0);
    f->env.status = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(get_takes_several_patterns, begin, end),
        cmocka_unit_test_setup_teardown(set_is_refused_before_anybody_is_asked, begin, end),
        cmocka_unit_test_setup_teardown(set_goes_to_the_supervisor_and_changes_nothing_here, begin,
                                        end),
        cmocka_unit_test_setup_teardown(resetstat_counts_from_now, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
