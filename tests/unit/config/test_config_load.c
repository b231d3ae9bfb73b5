/* test_config_load.c - pool.ini: what is read, and every way of refusing it with its text. */
#include "config/config_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char error[CONFIG_ERROR_BYTES];

static struct config *load(struct bytes text) {
    struct config *config = config_create();
    if (config_load_bytes(config, "pool.ini", text, error) != 0)
        config_free(&config);
    return config;
}

static struct config *load_text(const char *text) {
    struct config *config = load(bytes_of_text(text));
    if (config == NULL)
        fail_msg("%s", error);
    return config;
}

static void assert_refused(const char *text, const char *expected) {
    assert_null(load(bytes_of_text(text)));
    assert_string_equal(error, expected);
}

static void test_values(void **state) {
    struct config *config = load_text("; comment\n"
                                      "# comment\n"
                                      "[network]\n"
                                      "port = 7000\n"
                                      "  bind=1.2.3.4   ::1 # both\n"
                                      "unixsocket : /tmp/a:b=c\r\n"
                                      "\n"
                                      "[LIMITS] ; the limits\n"
                                      "\tMaxMemory = 100mb ; all together\n"
                                      "[persistence]\n"
                                      "save =\n"
                                      "appendfsync = always");
    assert_int_equal(config->port, 7000);
    assert_string_equal(config->bind, "1.2.3.4 ::1");
    assert_string_equal(config->unixsocket, "/tmp/a:b=c");
    assert_int_equal(config->maxmemory, 104857600);
    assert_int_equal(config->save.count, 0);
    assert_int_equal(config->appendfsync, APPENDFSYNC_ALWAYS);
    config_free(&config);
}

static void test_empty_files(void **state) {
    static const char *const texts[] = {"", "\n", "\xef\xbb\xbf", "[pool]",
                                        "; nothing\n[pool]\n\n"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct config *config = load_text(texts[i]);
        config_free(&config);
    }
}

static void test_byte_order_mark(void **state) {
    struct config *config = load_text("\xef\xbb\xbf[network]\nport = 1\n");
    assert_int_equal(config->port, 1);
    config_free(&config);
}

static void test_passwords(void **state) {
    static const char *const pairs[][2] = {
        {"abc;def#ghi", "abc;def#ghi"},
        {"\"a ;b#c\"", "a ;b#c"},
        {"\" a\\\"\\\\\\x41\\t \" ; comment", " a\"\\A\t "},
        {"'a \\n\\'b'", "a \\n'b"},
        {"a\"b'c", "a\"b'c"},
        {"a=b:c", "a=b:c"},
        {"\"\"", ""},
        {"\"[x]\"", "[x]"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buf text = {0};
        buf_printf(&text, "[security]\nrequirepass = %s\n", pairs[i][0]);
        struct config *config = load(buf_bytes(&text));
        assert_non_null(config);
        assert_string_equal(config->requirepass, pairs[i][1]);
        config_free(&config);
        buf_free(&text);
    }
    static const char write_it_quoted[] =
        "pool.ini:2: requirepass: write it in double quotes: ; or # behind a blank would begin a "
        "comment";
    assert_refused("[security]\nrequirepass = ab #cd\n", write_it_quoted);
    assert_refused("[security]\nrequirepass = #abc\n", write_it_quoted);
}

static void test_quotes_that_do_not_fit(void **state) {
    static const char *const values[] = {"\"abc", "'abc", "\"a\"b", "\"a\" b", "\"a\"#b", "\"a\\"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct buf text = {0};
        buf_printf(&text, "[pool]\nlogfile = %s\n", values[i]);
        assert_null(load(buf_bytes(&text)));
        assert_string_equal(error,
                            "pool.ini:2: logfile: the quotes do not fit; a value that begins "
                            "with a quote must end with it");
        buf_free(&text);
    }
}

static void test_names(void **state) {
    assert_refused("[limits]\n\nmaxmemroy = 1\n",
                   "pool.ini:3: unknown option 'maxmemroy' in [limits]; did you mean 'maxmemory'?");
    assert_refused(
        "[limits]\nlua-time-limit = 1\n",
        "pool.ini:2: unknown option 'lua-time-limit' in [limits]; remuda --options lists "
        "them all");
    assert_refused("[pool]\nport = 1\n",
                   "pool.ini:2: option 'port' does not belong into [pool] but into [network]");
    assert_refused(
        "port = 1\n[network]\n",
        "pool.ini:1: option 'port' stands before any section; it belongs into [network]");
    assert_refused("[network]\nport = 1\ntimeout = 5\nPORT = 1\n",
                   "pool.ini:4: option 'port' is given twice, first on line 2");
    assert_refused("[netwrok]\n",
                   "pool.ini:1: unknown section [netwrok]; there are [pool] [network] "
                   "[security] [limits] [persistence] [replication] [diagnosis] [supervision] "
                   "[status]");
}

static void test_bad_values(void **state) {
    assert_refused("[limits]\nhz = abc\n",
                   "pool.ini:2: hz = 'abc': argument couldn't be parsed into an integer; allowed: "
                   "1..500, times a second");
    assert_refused("[limits]\nmaxmemory = 1 tb\n",
                   "pool.ini:2: maxmemory = '1 tb': argument must be a memory value; allowed: 0 or "
                   "more, in bytes or as 100kb, 64mb, 1gb");
    assert_refused("[persistence]\nappendfsync = never\n",
                   "pool.ini:2: appendfsync = 'never': argument(s) must be one of the following: "
                   "everysec, always, no; allowed: one of: everysec, always, no");
    assert_refused(
        "[persistence]\nsave = 900\n",
        "pool.ini:2: save = '900': Invalid save parameters; allowed: seconds changes ..., "
        "at most 16 pairs");
}

/* A password does not get into an error text, and so not into a log. */
static void test_secret_is_not_shown(void **state) {
    struct buf text = {0};
    buf_append_text(&text, "[security]\nrequirepass = ");
    for (int i = 0; i < 100; i++)
        buf_append_text(&text, "hidden");
    assert_null(load(buf_bytes(&text)));
    assert_string_equal(error, "pool.ini:2: requirepass: argument must be at most 512 bytes long");
    buf_free(&text);
}

static void test_lines_that_are_none(void **state) {
    assert_refused("[network]\nport 7000\n",
                   "pool.ini:2: 'port 7000' is neither [section] nor name = value nor a comment");
    assert_refused("[network\nport = 1\n",
                   "pool.ini:1: '[network' is neither [section] nor name = value nor a comment");
    assert_refused(
        "[network] port = 1\n",
        "pool.ini:1: 'port = 1' stands behind [network]; options begin on a line of their "
        "own");
    assert_null(load(BYTES_LITERAL("[network]\nport = 1\0 2\n")));
    assert_string_equal(error, "pool.ini:2: NUL byte in the line");
}

/* What inih would cut in two or take for the next value is refused or kept whole. */
static void test_long_lines(void **state) {
    struct buf text = {0};
    buf_append_text(&text, "[pool]\n;");
    memset(buf_reserve(&text, CONFIG_LINE_MAX_BYTES), 'x', CONFIG_LINE_MAX_BYTES);
    text.len += CONFIG_LINE_MAX_BYTES - 1;
    struct config *config = load(buf_bytes(&text));
    assert_non_null(config);
    config_free(&config);
    buf_append_text(&text, "\n");
    assert_null(load(buf_bytes(&text)));
    assert_string_equal(error, "pool.ini:2: line of 8193 bytes, longer than 8192");
    buf_clear(&text);
    buf_append_text(&text, "[pool]\ndir = ");
    memset(buf_reserve(&text, 900), 'd', 900);
    text.len += 900;
    config = load(buf_bytes(&text));
    assert_int_equal(strlen(config->dir), 900);
    config_free(&config);
    buf_free(&text);
}

static void test_lines_are_not_continued(void **state) {
    assert_refused("[network]\nbind = 1.2.3.4\n   5.6.7.8\n",
                   "pool.ini:3: '5.6.7.8' is neither [section] nor name = value nor a comment");
}

static void test_foreign_bytes_are_not_shown(void **state) {
    assert_refused(
        "[pool]\n\x1b[31mred = 1\n",
        "pool.ini:2: unknown option '?[31mred' in [pool]; remuda --options lists them all");
}

static void test_files(void **state) {
    struct config *config = config_create();
    assert_int_equal(config_load_file(config, "/nonexistent/pool.ini", error), -1);
    assert_string_equal(error,
                        "/nonexistent/pool.ini: cannot be opened: No such file or directory");
    assert_int_equal(config_load_file(config, "/", error), -1);
    assert_string_equal(error, "/: cannot be read: Is a directory");
    assert_int_equal(config_load_file(config, "/dev/zero", error), -1);
    assert_string_equal(error, "/dev/zero: longer than 1048576 bytes");
    config_free(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_empty_files),
        cmocka_unit_test(test_byte_order_mark),
        cmocka_unit_test(test_passwords),
        cmocka_unit_test(test_quotes_that_do_not_fit),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_secret_is_not_shown),
        cmocka_unit_test(test_lines_that_are_none),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_lines_are_not_continued),
        cmocka_unit_test(test_foreign_bytes_are_not_shown),
        cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
