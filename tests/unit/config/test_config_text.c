/* test_config_text.c - a config crosses as text and comes out the same. */
#include "config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

static char error[CONFIG_ERROR_BYTES];

static void assert_crosses(const struct config *config) {
    struct buf before = {0}, after = {0};
    config_to_text(config, &before);
    struct config *other = config_create();
    if (config_from_text(other, buf_bytes(&before), error) != 0)
        fail_msg("%s", error);
    config_to_text(other, &after);
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    config_free(&other);
    buf_free(&before);
    buf_free(&after);
}

static void set(struct config *config, const char *name, struct bytes value) {
    assert_int_equal(config_set(config, option_find(bytes_of_text(name)), value, error), 0);
}

static void test_crosses(void **state) {
    struct config *config = config_create();
    assert_crosses(config);
    set(config, "save", BYTES_LITERAL(""));
    set(config, "client-output-buffer-limit", BYTES_LITERAL("normal 1 2 3 pubsub 0 0 0"));
    set(config, "maxmemory", BYTES_LITERAL("9223372036854775807"));
    assert_crosses(config);
    config_free(&config);
}

static void test_any_password_crosses(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srand(seed);
    struct config *config = config_create();
    for (int round = 0; round < 500; round++) {
        char password[64];
        size_t len = (size_t)rand() % sizeof password;
        for (size_t i = 0; i < len; i++)
            password[i] = (char)(1 + rand() % 255);
        set(config, "requirepass", bytes_of(password, len));
        struct buf line = {0};
        config_line(&line, BYTES_LITERAL("requirepass"), bytes_of(password, len));
        struct config *other = config_create();
        assert_int_equal(config_from_text(other, buf_bytes(&line), error), 0);
        assert_string_equal(other->requirepass, config->requirepass);
        config_free(&other);
        buf_free(&line);
    }
    config_free(&config);
}

static void test_lines(void **state) {
    struct config *config = config_create();
    assert_int_equal(config_from_text(config, BYTES_LITERAL(""), error), 0);
    assert_int_equal(
        config_from_text(config, BYTES_LITERAL("\nhz 20\nSAVE \"1 1\"\nbind a b"), error), 0);
    assert_int_equal(config->hz, 20);
    assert_int_equal(config->save.count, 1);
    assert_string_equal(config->bind, "a b");
    assert_int_equal(config_from_text(config, BYTES_LITERAL("hz 30\nzh 2\n"), error), -1);
    assert_string_equal(error, "unknown option 'zh'");
    assert_int_equal(config_from_text(config, BYTES_LITERAL("hz x\n"), error), -1);
    assert_string_equal(error, "hz: argument couldn't be parsed into an integer");
    assert_int_equal(config_from_text(config, BYTES_LITERAL("dir \"x\n"), error), -1);
    assert_string_equal(error, "dir: unbalanced quotes");
    config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crosses),
        cmocka_unit_test(test_any_password_crosses),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
