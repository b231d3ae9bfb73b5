/* test_option_kinds.c - values of every type: what CONFIG SET takes, what CONFIG GET then prints, and
 * the reasons it refuses with, which are those of redis-server 7.0.15. */
#include "config/config_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static struct config *config;
static char error[CONFIG_ERROR_BYTES];

static int set(const char *name, struct bytes value) {
    const struct option_row *row = option_find(bytes_of_text(name));
    assert_non_null(row);
    return config_set(config, row, value, error);
}

static void assert_value(const char *name, const char *expected) {
    struct buf out = {0};
    config_get(config, option_find(bytes_of_text(name)), &out);
    buf_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static void assert_taken(const char *name, const char *value, const char *expected) {
    assert_int_equal(set(name, bytes_of_text(value)), 0);
    assert_value(name, expected);
}

/* Refused for this reason, and nothing changed. */
static void assert_refused(const char *name, const char *value, const char *reason) {
    struct buf before = {0};
    config_get(config, option_find(bytes_of_text(name)), &before);
    buf_append(&before, "", 1);
    assert_int_equal(set(name, bytes_of_text(value)), -1);
    assert_string_equal(error, reason);
    assert_value(name, before.data);
    buf_free(&before);
}

static int create(void **state) {
    config = config_create();
    return 0;
}

static int destroy(void **state) {
    config_free(&config);
    assert_null(config);
    return 0;
}

static void test_int(void **state) {
    static const char *const not_integers[] = {
        "abc", "", "+5", "05", " 5", "5 ", "5.0", "-0", "99999999999999999999"};
    assert_taken("hz", "100", "100");
    for (size_t i = 0; i < sizeof not_integers / sizeof *not_integers; i++)
        assert_refused("hz", not_integers[i], "argument couldn't be parsed into an integer");
    assert_refused("hz", "501", "argument must be between 1 and 500 inclusive");
    assert_refused("timeout", "-1", "argument must be between 0 and 2147483647 inclusive");
    assert_refused("port", "65536", "argument must be between 0 and 65535 inclusive");
    assert_refused("maxclients", "0", "argument must be between 1 and 4294967295 inclusive");
    assert_taken("hash-max-listpack-entries", "9223372036854775807", "9223372036854775807");
}

static void test_bool(void **state) {
    assert_taken("appendonly", "YES", "yes");
    assert_taken("appendonly", "no", "no");
    assert_refused("appendonly", "maybe", "argument must be 'yes' or 'no'");
    assert_refused("appendonly", "", "argument must be 'yes' or 'no'");
}

static void test_memory(void **state) {
    static const char *const not_memory[] = {"foo",
                                             "-1",
                                             "10%",
                                             "1.5mb",
                                             "1kk",
                                             " 1",
                                             "0x10",
                                             "+5",
                                             "mb",
                                             "",
                                             "99999999999999999999",
                                             "9999999999gb"};
    assert_taken("maxmemory", "100mb", "104857600");
    assert_taken("maxmemory", "1b", "1");
    assert_taken("maxmemory", "2k", "2000");
    assert_taken("maxmemory", "2KB", "2048");
    assert_taken("maxmemory", "3m", "3000000");
    assert_taken("maxmemory", "3Mb", "3145728");
    assert_taken("maxmemory", "1g", "1000000000");
    assert_taken("maxmemory", "1gB", "1073741824");
    assert_taken("maxmemory", "007", "7");
    for (size_t i = 0; i < sizeof not_memory / sizeof *not_memory; i++)
        assert_refused("maxmemory", not_memory[i], "argument must be a memory value");
    assert_refused("proto-max-bulk-len", "100",
                   "argument must be between 1048576 and 9223372036854775807 inclusive");
}

static void test_enum(void **state) {
    assert_taken("maxmemory-policy", "ALLKEYS-LRU", "allkeys-lru");
    assert_int_equal(config->maxmemory_policy, MAXMEMORY_ALLKEYS_LRU);
    assert_taken("maxmemory-policy", "noeviction", "noeviction");
    assert_int_equal(config->maxmemory_policy, MAXMEMORY_NOEVICTION);
    assert_taken("appendfsync", "always", "always");
    assert_int_equal(config->appendfsync, APPENDFSYNC_ALWAYS);
    assert_taken("appendfsync", "no", "no");
    assert_int_equal(config->appendfsync, APPENDFSYNC_NO);
    assert_taken("enable-debug-command", "local", "local");
    assert_int_equal(config->enable_debug_command, DEBUG_COMMAND_LOCAL);
    assert_refused("appendfsync", "x",
                   "argument(s) must be one of the following: everysec, always, no");
    assert_refused("appendfsync", "",
                   "argument(s) must be one of the following: everysec, always, no");
    assert_refused("appendfsync", "alwaysx",
                   "argument(s) must be one of the following: everysec, always, no");
    assert_refused("maxmemory-policy", "x",
                   "argument(s) must be one of the following: volatile-lru, volatile-lfu, "
                   "volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, "
                   "noeviction");
    assert_refused("loglevel", "foo",
                   "argument(s) must be one of the following: debug, verbose, notice, warning");
}

static void test_string(void **state) {
    assert_taken("requirepass", " a;b\"#\xff ", " a;b\"#\xff ");
    assert_taken("requirepass", "", "");
    assert_int_equal(set("requirepass", BYTES_LITERAL("a\0b")), -1);
    assert_string_equal(error, "argument must not contain a NUL byte");
    char longer[600];
    memset(longer, 'x', sizeof longer);
    assert_int_equal(set("requirepass", bytes_of(longer, 513)), -1);
    assert_string_equal(error, "argument must be at most 512 bytes long");
    assert_int_equal(set("requirepass", bytes_of(longer, 512)), 0);
    assert_int_equal(set("requirepass", bytes_of(NULL, 0)), 0);
    assert_value("requirepass", "");
}

static void test_words(void **state) {
    assert_value("bind", "127.0.0.1 -::1");
    assert_taken("bind", "  1.2.3.4\t ::1 ", "1.2.3.4 ::1");
    assert_taken("status-hosts", "", "");
}

static void test_save(void **state) {
    assert_value("save", "3600 1 300 100 60 10000");
    assert_taken("save", "900 1", "900 1");
    assert_taken("save", "1 0", "1 0");
    static const char *const invalid[] = {
        "a b", "1", "0 1", "1 -1", "1 2 3", "1x 2", "99999999999999999999 1"};
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++)
        assert_refused("save", invalid[i], "Invalid save parameters");
    assert_taken("save", "", "");
    assert_int_equal(config->save.count, 0);
    struct buf many = {0};
    for (int i = 0; i < SAVE_POINTS_MAX; i++)
        buf_append_text(&many, "1 1 ");
    assert_int_equal(set("save", buf_bytes(&many)), 0);
    buf_append_text(&many, "1 1 ");
    assert_int_equal(set("save", buf_bytes(&many)), -1);
    buf_free(&many);
}

static void test_output_limits(void **state) {
    static const char wrong_count[] = "Wrong number of arguments in buffer limit configuration.";
    static const char wrong_class[] =
        "Invalid client class specified in buffer limit configuration.";
    static const char wrong_number[] =
        "Error in hard, soft or soft_seconds setting in buffer limit configuration.";
    const char *const name = "client-output-buffer-limit";
    assert_value(name, "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
    assert_taken(name, "replica 1mb 2kb 60",
                 "normal 0 0 0 slave 1048576 2048 60 pubsub 33554432 8388608 60");
    assert_taken(name, "NORMAL 1 1 1 normal 2 2 2 slave 0 0 0",
                 "normal 2 2 2 slave 0 0 0 pubsub 33554432 8388608 60");
    assert_taken(name, "", "normal 2 2 2 slave 0 0 0 pubsub 33554432 8388608 60");
    assert_refused(name, "x", wrong_count);
    assert_refused(name, "normal 0 0", wrong_count);
    assert_refused(name, "foo 0 0 0", wrong_class);
    assert_refused(name, "master 0 0 0", wrong_class);
    assert_refused(name, "normal x 0 0", wrong_number);
    assert_refused(name, "normal -1 0 0", wrong_number);
    assert_refused(name, "normal 0 0 -1", wrong_number);
    assert_refused(name, "slave 1mb 0 0x", wrong_number);
    assert_refused(name, "normal 5 5 5 pubsub 0 0 x", wrong_number);
}

static void test_copy_is_its_own(void **state) {
    assert_taken("requirepass", "secret", "secret");
    struct config *copy = config_copy(config);
    assert_taken("requirepass", "other", "other");
    assert_string_equal(copy->requirepass, "secret");
    config_free(&copy);
    config_free(&copy);
}

static void test_workers(void **state) {
    assert_in_range(config_workers(config), 1, 128);
    assert_taken("workers", "7", "7");
    assert_int_equal(config_workers(config), 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_int, create, destroy),
        cmocka_unit_test_setup_teardown(test_bool, create, destroy),
        cmocka_unit_test_setup_teardown(test_memory, create, destroy),
        cmocka_unit_test_setup_teardown(test_enum, create, destroy),
        cmocka_unit_test_setup_teardown(test_string, create, destroy),
        cmocka_unit_test_setup_teardown(test_words, create, destroy),
        cmocka_unit_test_setup_teardown(test_save, create, destroy),
        cmocka_unit_test_setup_teardown(test_output_limits, create, destroy),
        cmocka_unit_test_setup_teardown(test_copy_is_its_own, create, destroy),
        cmocka_unit_test_setup_teardown(test_workers, create, destroy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
