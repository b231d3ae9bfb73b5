/* test_config_rewrite.c - CONFIG REWRITE: live values in, comments and order kept. */
#include "config/config_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char error[CONFIG_ERROR_BYTES];

/* The defaults with these `name value` lines over them. */
static struct config *live(const char *lines) {
    struct config *config = config_create();
    if (config_from_text(config, bytes_of_text(lines), error) != 0)
        fail_msg("%s", error);
    return config;
}

static void assert_rewrite(const char *lines, const char *old, const char *expected) {
    struct config *config = live(lines);
    struct buf out = {0};
    config_rewrite_text(config, bytes_of_text(old), &out);
    buf_append(&out, "", 1);
    assert_string_equal(out.data, expected);
    config_free(&config);
    buf_free(&out);
}

static void test_nothing_to_do(void **state) {
    static const char *const files[] = {
        "",
        "# only a comment",
        "[network]\n port: 6379 ; public\n\n[limits]\nmaxmemory = 0kb\n",
        "\xef\xbb\xbf[network]\r\nport = 6379\r\n",
        "[network]\n\vport\f=\v\f6379\v\n",
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        assert_rewrite("", files[i], files[i]);
    assert_rewrite("maxmemory 100mb\n", "[limits]\nmaxmemory = 100mb\n",
                   "[limits]\nmaxmemory = 100mb\n");
}

static void test_values_change_in_place(void **state) {
    assert_rewrite("hz 20\n", "[limits]\n# why\n  hz   =  15   ; often\nmaxmemory-samples = 5\n",
                   "[limits]\n# why\n  hz   =  20   ; often\nmaxmemory-samples = 5\n");
    assert_rewrite("hz 20\n", "[limits]\r\nhz = 15\r\n", "[limits]\r\nhz = 20\r\n");
    assert_rewrite("", "[limits]\nhz = 15", "[limits]\nhz = 10");
    assert_rewrite("logfile \"/x\"", "[pool]\nlogfile = # none\n", "[pool]\nlogfile = /x # none\n");
    assert_rewrite("requirepass \"a ;b\"", "[security]\nrequirepass = old\n",
                   "[security]\nrequirepass = \"a ;b\"\n");
    assert_rewrite("save \"\"", "[persistence]\nsave = 900 1\n", "[persistence]\nsave = \"\"\n");
}

static void test_new_options_join_their_section(void **state) {
    assert_rewrite("hz 20\n", "[limits]\ndatabases = 16\n\n# about status\n[status]\n",
                   "[limits]\ndatabases = 16\nhz = 20\n\n# about status\n[status]\n");
    assert_rewrite("hz 20\n", "[limits]\n# How often.\n;hz = 10\n\n# Next.\n;databases = 16\n",
                   "[limits]\n# How often.\n;hz = 10\nhz = 20\n\n# Next.\n;databases = 16\n");
    assert_rewrite("hz 20\nmaxmemory 1mb\n", "[limits]",
                   "[limits]\nmaxmemory = 1048576\nhz = 20\n");
    assert_rewrite("hz 20\nport 1\n", "[limits]\nhz = 20",
                   "[limits]\nhz = 20\n\n[network]\nport = 1\n");
    assert_rewrite("timeout 5\n", "", "\n[network]\ntimeout = 5\n");
}

static void test_commented_out_lines_elsewhere_stay(void **state) {
    assert_rewrite("hz 20\n", "[pool]\n;hz = 10\n[limits]\n# hz: see there\n",
                   "[pool]\n;hz = 10\n[limits]\nhz = 20\n# hz: see there\n");
}

static char directory[] = "/tmp/remuda-test-XXXXXX";
static char path[64];

static int make_directory(void **state) {
    if (mkdtemp(directory) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/pool.ini", directory);
    return 0;
}

static int remove_directory(void **state) {
    unlink(path);
    return rmdir(directory);
}

static void write_file(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_file(const char *expected) {
    struct buf text = {0};
    assert_int_equal(config_read_file(path, &text, error), 0);
    buf_append(&text, "", 1);
    assert_string_equal(text.data, expected);
    buf_free(&text);
}

static void test_file_is_published(void **state) {
    struct config *config = live("hz 20\n");
    write_file("[limits]\nhz = 1\n");
    assert_int_equal(config_rewrite_file(config, path, error), 0);
    assert_file("[limits]\nhz = 20\n");
    config_free(&config);
}

static void test_bad_file_is_left_alone(void **state) {
    struct config *config = live("hz 20\n");
    write_file("[limits]\nhz = 1\nhs = 2\n");
    assert_int_equal(config_rewrite_file(config, path, error), -1);
    assert_non_null(strstr(error, "pool.ini:3: unknown option 'hs' in [limits]"));
    assert_file("[limits]\nhz = 1\nhs = 2\n");
    unlink(path);
    assert_int_equal(config_rewrite_file(config, path, error), -1);
    assert_non_null(strstr(error, "cannot be opened: No such file"));
    config_free(&config);
}

static void test_shipped_file_takes_every_option(void **state) {
    struct buf described = {0}, out = {0}, expected = {0}, got = {0};
    config_describe(&described);
    struct config *config =
        live("workers 3\ndir /d\nport 7\nbind \"1 2\"\nrequirepass \"# x\"\nmaxmemory 5mb\n"
             "save \"1 1\"\nappendonly yes\nrestart-limit 9\nstatus-hosts *\n"
             "client-output-buffer-limit \"normal 1 1 1\"\n");
    config_rewrite_text(config, buf_bytes(&described), &out);
    struct config *read_back = config_create();
    if (config_load_bytes(read_back, "rewritten", buf_bytes(&out), error) != 0)
        fail_msg("%s", error);
    config_to_text(config, &expected);
    config_to_text(read_back, &got);
    assert_true(bytes_equal(buf_bytes(&expected), buf_bytes(&got)));
    struct buf again = {0};
    config_rewrite_text(config, buf_bytes(&out), &again);
    assert_true(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
    config_free(&config);
    config_free(&read_back);
    buf_free(&described);
    buf_free(&out);
    buf_free(&expected);
    buf_free(&got);
    buf_free(&again);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_values_change_in_place),
        cmocka_unit_test(test_new_options_join_their_section),
        cmocka_unit_test(test_commented_out_lines_elsewhere_stay),
        cmocka_unit_test(test_file_is_published),
        cmocka_unit_test(test_bad_file_is_left_alone),
        cmocka_unit_test(test_shipped_file_takes_every_option),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
