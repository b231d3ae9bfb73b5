/* test_replay.c - the commands of a log, run again: nothing refuses them but what they are. */
#include "worker/command/replay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct keyspace *ks;
static struct session session;
static struct config *config;
static char error[256];

static int begin(void **state) {
    ks = keyspace_create(16, NULL, NULL);
    config = config_create();
    session_init(&session, SESSION_INTERNAL);
    session.authenticated = true;
    return 0;
}

static int end(void **state) {
    keyspace_free(&ks);
    config_free(&config);
    session_free(&session);
    return 0;
}

static int run(uint32_t argc, const char *a, const char *b, const char *c) {
    struct command_env env = {.config = config, .loading = true};
    struct bytes argv[3] = {bytes_of_text(a), bytes_of_text(b), bytes_of_text(c)};
    error[0] = '\0';
    return replay_command(ks, &session, &env, argc, argv, error, sizeof error);
}

static void commands_are_run(void **state) {
    struct keyref ref;
    config->maxmemory = 1; /* what was accepted once is not refused now */
    assert_int_equal(run(3, "SET", "key", "value"), 0);
    assert_int_equal(run(2, "SELECT", "3", ""), 0);
    assert_int_equal(run(3, "set", "other", "value"), 0);
    assert_true(keyspace_find(ks, 0, BYTES_LITERAL("key"), KEY_PEEK, &ref));
    assert_true(keyspace_find(ks, 3, BYTES_LITERAL("other"), KEY_PEEK, &ref));
}

static void what_is_no_command_is_refused(void **state) {
    static const struct {
        uint32_t argc;
        const char *a, *b, *c, *words;
    } rows[] = {
        {1, "NOSUCH", "", "", "unknown command 'NOSUCH' with 0 arguments"},
        {2, "SET", "key", "", "wrong number of arguments for 'SET' with 1 arguments"},
        {2, "CLIENT", "NOSUCH", "", "'CLIENT' with 1 arguments"},
        {1, "", "", "", "unknown command '' with 0 arguments"},
        {2, "SELECT", "16", "", "'SELECT' was answered with -ERR DB index is out of range"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(run(rows[i].argc, rows[i].a, rows[i].b, rows[i].c), -1);
        if (strstr(error, rows[i].words) == NULL)
            fail_msg("'%s' is not in: %s", rows[i].words, error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commands_are_run, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_command_is_refused, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
