/* test_admit.c - which commands may run, and the exact words in which the others are refused. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "worker/command/error_stats.h"

static const char debug_refusal[] =
    "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you "
    "can run it from a local connection, otherwise you need to set this option in the "
    "configuration file, and then restart the server.\r\n";

static int begin(void **state) {
    execute_reset_stats();
    *state = fixture_create();
    return 0;
}

static int end(void **state) {
    fixture_free((struct fixture **)state);
    return 0;
}

static uint64_t rejected(const char *name) {
    return execute_stats()[command_index(command_by_name(bytes_of_text(name)))].rejected_calls;
}

static uint64_t errors(const char *code) {
    uint32_t count;
    const struct error_stat *rows = error_stats(&count);
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(rows[i].code, code) == 0)
            return rows[i].count;
    return 0;
}

static void an_unknown_command_is_quoted(void **state) {
    struct fixture *f = *state;
    expect(f, "foo", "-ERR unknown command 'foo', with args beginning with: \r\n");
    expect(f, "foo a b", "-ERR unknown command 'foo', with args beginning with: 'a' 'b' \r\n");
    expect(f, "foo \"a\\r\\nb\" \"x\\x00y\"",
           "-ERR unknown command 'foo', with args beginning with: 'a  b' 'x' \r\n");
    assert_int_equal(errors("ERR"), 3);
}

static void what_is_quoted_is_bounded(void **state) {
    struct fixture *f = *state;
    char name[300], argument[300], want[600];
    memset(name, 'n', sizeof(name));
    memset(argument, 'a', sizeof(argument));
    struct bytes argv[] = {bytes_of(name, 300), bytes_of("x", 1), bytes_of(argument, 300),
                           bytes_of("never", 5)};
    fixture_run(f, 4, argv);
    /* 128 bytes of the name; of the arguments what fits 128 bytes, quotes of the first counted. */
    snprintf(want, sizeof(want),
             "-ERR unknown command '%.128s', with args beginning with: 'x' '%.124s' \r\n", name,
             argument);
    assert_int_equal(f->reply.len, strlen(want));
    assert_memory_equal(f->reply.data, want, f->reply.len);
}

static void an_unknown_subcommand_names_the_help(void **state) {
    struct fixture *f = *state;
    expect(f, "client Foo", "-ERR unknown subcommand 'Foo'. Try CLIENT HELP.\r\n");
    expect(f, "CoNfIg foo bar", "-ERR unknown subcommand 'foo'. Try CONFIG HELP.\r\n");
}

static void arity_names_the_command_or_the_subcommand(void **state) {
    struct fixture *f = *state;
    expect(f, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    expect(f, "get a b", "-ERR wrong number of arguments for 'get' command\r\n");
    expect(f, "client", "-ERR wrong number of arguments for 'client' command\r\n");
    expect(f, "client id x", "-ERR wrong number of arguments for 'client|id' command\r\n");
    assert_int_equal(rejected("get"), 2);
    assert_int_equal(rejected("client|id"), 1);
    assert_int_equal(rejected("client"), 1);
    assert_string_equal(f->session.last_command->name, "client|id");
}

static void before_auth_only_some_commands_run(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "requirepass", "secret");
    f->session.authenticated = false;
    expect(f, "GET a", "-NOAUTH Authentication required.\r\n");
    expect(f, "PING", "-NOAUTH Authentication required.\r\n");
    /* What is wrong with the command itself comes first. */
    expect(f, "GET", "-ERR wrong number of arguments for 'get' command\r\n");
    expect(f, "nosuch", "-ERR unknown command 'nosuch', with args beginning with: \r\n");
    assert_int_equal(errors("NOAUTH"), 2);
    expect(f, "AUTH secret", "+OK\r\n");
    expect(f, "GET a", "$-1\r\n");
    /* A password taken away lets everybody in. */
    f->session.authenticated = false;
    fixture_configure(f, "requirepass", "");
    expect(f, "GET a", "$-1\r\n");
}

static void while_loading_data_is_out_of_reach(void **state) {
    struct fixture *f = *state;
    struct bytes get[] = {BYTES_LITERAL("GET"), BYTES_LITERAL("a")};
    struct bytes echo[] = {BYTES_LITERAL("ECHO"), BYTES_LITERAL("a")};
    struct command_ctx ctx = {.ks = f->ks, .session = &f->session, .env = &f->env, .argc = 2};
    ctx.reply = (struct reply){.out = &f->reply, .version = 2};
    f->env.loading = true;
    ctx.argv = echo;
    assert_int_equal(admit(&ctx), ADMIT_OK);
    assert_int_equal(f->reply.len, 0);
    ctx.argv = get;
    assert_int_equal(admit(&ctx), ADMIT_REFUSED);
    assert_true(bytes_equal(buf_bytes(&f->reply),
                            BYTES_LITERAL("-LOADING Redis is loading the dataset in memory\r\n")));
    assert_int_equal(errors("LOADING"), 1);
}

static void debug_needs_its_option(void **state) {
    struct fixture *f = *state;
    expect(f, "DEBUG LOG x", debug_refusal);
    expect(f, "DEBUG nosuch", debug_refusal);
    f->config->enable_debug_command = DEBUG_COMMAND_LOCAL;
    expect(f, "DEBUG ERROR oops", debug_refusal);
    f->session.local_peer = true;
    expect(f, "DEBUG ERROR \"oops it broke\"", "-oops it broke\r\n");
    f->config->enable_debug_command = DEBUG_COMMAND_YES;
    f->session.local_peer = false;
    expect(f, "DEBUG ERROR oops", "-oops\r\n");
    expect(
        f, "DEBUG nosuch x",
        "-ERR unknown subcommand or wrong number of arguments for 'nosuch'. Try DEBUG HELP.\r\n");
    expect(f, "DEBUG sleep",
           "-ERR unknown subcommand or wrong number of arguments for 'sleep'. Try DEBUG HELP.\r\n");
}

static void note_killed(void *upper, struct session *session, bool own) {
    *(struct session **)upper = session;
    assert_false(own);
}

static void a_browser_is_hung_up_on(void **state) {
    static const char *const words[] = {"POST", "post", "Host:", "hOsT:"};
    struct fixture *f = *state;
    struct session *killed;
    f->env.upper = &killed;
    f->env.kill_session = note_killed;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        killed = NULL;
        expect(f, words[i], "");
        assert_ptr_equal(killed, &f->session);
    }
    killed = NULL;
    expect(f, "host", "-ERR unknown command 'host', with args beginning with: \r\n");
    assert_null(killed);
}

static void error_codes_are_sorted_and_bounded(void **state) {
    uint32_t count;
    error_stats_count(bytes_of_text("-ZZZ x\r\n"));
    error_stats_count(bytes_of_text("-AAA\r\n"));
    error_stats_count(bytes_of_text("-ZZZ y\r\n"));
    error_stats_count(bytes_of_text("+OK\r\n"));
    error_stats_count(bytes_of_text("-\r\n"));
    const struct error_stat *rows = error_stats(&count);
    assert_int_equal(count, 3);
    assert_string_equal(rows[0].code, "AAA");
    assert_string_equal(rows[1].code, "ERR");
    assert_int_equal(rows[1].count, 2);
    assert_string_equal(rows[2].code, "ZZZ");
    assert_int_equal(rows[2].count, 2);
    for (int i = 0; i < 1000; i++) {
        char text[64];
        snprintf(text, sizeof(text), "-CODE%d%040d x\r\n", i, 0);
        error_stats_count(bytes_of_text(text));
    }
    rows = error_stats(&count);
    assert_int_equal(count, ERROR_CODES_MAX);
    for (uint32_t i = 1; i < count; i++)
        assert_true(strcmp(rows[i - 1].code, rows[i].code) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_unknown_command_is_quoted, begin, end),
        cmocka_unit_test_setup_teardown(what_is_quoted_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(an_unknown_subcommand_names_the_help, begin, end),
        cmocka_unit_test_setup_teardown(arity_names_the_command_or_the_subcommand, begin, end),
        cmocka_unit_test_setup_teardown(before_auth_only_some_commands_run, begin, end),
        cmocka_unit_test_setup_teardown(while_loading_data_is_out_of_reach, begin, end),
        cmocka_unit_test_setup_teardown(debug_needs_its_option, begin, end),
        cmocka_unit_test_setup_teardown(a_browser_is_hung_up_on, begin, end),
        cmocka_unit_test_setup_teardown(error_codes_are_sorted_and_bounded, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
