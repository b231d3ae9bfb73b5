/* test_panic.c - a panic and a crash leave a message and a backtrace, and end by their signal. */
#include "tests/unit/shared/support.h"

#include "shared/base/log.h"
#include "shared/base/panic.h"

#include <signal.h>

static char log_path[128];

static void fail_assertion(void *context) {
    log_open("3", LOG_WARNING, log_path);
    ASSERT(1 + 1 == 2);
    ASSERT(1 + 1 == 3);
}

static void crash(void *context) {
    log_open("3", LOG_WARNING, log_path);
    panic_on_fatal_signals();
    raise(*(int *)context);
}

static void expect_end(void (*body)(void *), void *context, int signal, const char *message) {
    struct support_dir dir = support_dir_make();
    snprintf(log_path, sizeof log_path, "%s/log", dir.path);
    int status = support_in_child(body, context);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signal);
    char *text = support_read_file(log_path, NULL);
    if (!strstr(text, message) || !strstr(text, "[0x"))
        fail_msg("log is: %s", text);
    free(text);
    support_dir_remove(dir);
}

static void assertion_says_where_and_aborts(void **state) {
    expect_end(fail_assertion, NULL, SIGABRT, "test_panic.c:14: assertion failed: 1 + 1 == 3");
}

static void crash_is_logged_and_keeps_its_signal(void **state) {
    expect_end(crash, &(int){SIGSEGV}, SIGSEGV, "crashed by signal 11 (SIGSEGV)");
    expect_end(crash, &(int){SIGFPE}, SIGFPE, "crashed by signal 8 (SIGFPE)");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assertion_says_where_and_aborts),
        cmocka_unit_test(crash_is_logged_and_keeps_its_signal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
