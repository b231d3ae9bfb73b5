/* test_config_args.c - `--name value` behind the file, and the checks that follow. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static char error[CONFIG_ERROR_BYTES];

#define ARGS(...)  ((const char *const[]){__VA_ARGS__})
#define COUNT(...) (int)(sizeof ARGS(__VA_ARGS__) / sizeof(char *))
#define APPLY(config, ...)                                                                         \
    config_load_args(config, COUNT(__VA_ARGS__), (char **)(uintptr_t)ARGS(__VA_ARGS__), error)

static void test_values(void **state) {
    struct config *config = config_create();
    assert_int_equal(config_load_args(config, 0, NULL, error), 0);
    assert_int_equal(APPLY(config, "--port", "7000", "--workers", "3", "--dir", "./x", "--save",
                           "60", "1", "30", "2", "--bind", "127.0.0.1", "-::1", "--requirepass",
                           "-x;y"),
                     0);
    assert_int_equal(config->port, 7000);
    assert_int_equal(config_workers(config), 3);
    assert_string_equal(config->dir, "./x");
    assert_int_equal(config->save.count, 2);
    assert_string_equal(config->bind, "127.0.0.1 -::1");
    assert_string_equal(config->requirepass, "-x;y");
    assert_int_equal(APPLY(config, "--save", "", "--port", "1", "--port", "2"), 0);
    assert_int_equal(config->save.count, 0);
    assert_int_equal(config->port, 2);
    config_free(&config);
}

static void test_errors(void **state) {
    struct config *config = config_create();
#define REFUSED(text, ...)                                                                         \
    assert_int_equal(APPLY(config, __VA_ARGS__), -1);                                              \
    assert_string_equal(error, text)
    REFUSED("'7000': expected --name value", "7000");
    REFUSED("'--': expected --name value", "--", "x");
    REFUSED("unknown option '--prot'; did you mean '--port'?", "--prot", "7000");
    REFUSED("unknown option '--lua-time-limit'; --options lists them all", "--lua-time-limit", "1");
    REFUSED("--port needs a value", "--port");
    REFUSED("--port needs a value", "--port", "--dir", "x");
    REFUSED("--dir takes one value; 'y' is one too many", "--dir", "x", "y");
    REFUSED("--hz: argument must be between 1 and 500 inclusive; allowed: 1..500, times a second",
            "--hz", "0");
    REFUSED("port and status-port are both 8379", "--port", "8379");
    config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
