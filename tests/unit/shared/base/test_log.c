/* test_log.c - the line format, levels, forged lines, and several processes on one file. */
#include "tests/unit/shared/support.h"

#include "shared/base/log.h"

#include <errno.h>
#include <regex.h>

static struct support_dir dir;
static char path[128];

static int make_dir(void **state) {
    dir = support_dir_make();
    snprintf(path, sizeof path, "%s/log", dir.path);
    return 0;
}

static int drop_dir(void **state) {
    log_open("-", LOG_NOTICE, NULL);
    support_dir_remove(dir);
    return 0;
}

static void assert_matches(const char *pattern, const char *text) {
    regex_t compiled;
    assert_int_equal(regcomp(&compiled, pattern, REG_EXTENDED | REG_NOSUB), 0);
    if (regexec(&compiled, text, 0, NULL, 0) != 0)
        fail_msg("'%s' does not match %s", text, pattern);
    regfree(&compiled);
}

static void line_has_redis_format(void **state) {
    assert_int_equal(log_open("7", LOG_DEBUG, path), 0);
    log_warning("disk %d%%", 99);
    log_debug("d");
    log_verbose("v");
    log_notice("n");
    char *text = support_read_file(path, NULL);
    assert_matches("^[0-9]+:7 [0-9]{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
                   "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3} # disk 99%\n",
                   text);
    assert_non_null(strstr(text, " . d\n"));
    assert_non_null(strstr(text, " - v\n"));
    assert_non_null(strstr(text, " * n\n"));
    assert_int_equal(atoi(text), getpid());
    free(text);
}

static void lower_levels_are_left_out(void **state) {
    assert_int_equal(log_open("S", LOG_WARNING, path), 0);
    log_notice("not here");
    assert_int_equal(log_get_level(), LOG_WARNING);
    log_set_level(LOG_NOTICE);
    log_set_role("C");
    log_notice("here");
    char *text = support_read_file(path, NULL);
    assert_null(strstr(text, "not here"));
    assert_non_null(strstr(text, ":C "));
    free(text);
}

static void input_cannot_forge_a_line(void **state) {
    assert_int_equal(log_open("0", LOG_NOTICE, path), 0);
    log_notice("a\r\nb\x1b[1m");
    static char big[20000];
    memset(big, 'x', sizeof big - 1);
    log_notice("%s", big);
    size_t len;
    char *text = support_read_file(path, &len);
    assert_non_null(strstr(text, "a??b?[1m\n"));
    int lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += text[i] == '\n';
    assert_int_equal(lines, 2);
    assert_true(len < 10000);
    free(text);
}

static void unopenable_file_leaves_stderr(void **state) {
    log_open("0", LOG_NOTICE, NULL);
    assert_int_equal(log_open("0", LOG_NOTICE, "/nonexistent/dir/log"), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(log_fd(), STDERR_FILENO);
}

static void errno_survives(void **state) {
    assert_int_equal(log_open("0", LOG_NOTICE, path), 0);
    errno = EBADF;
    log_notice("reason: %m");
    assert_int_equal(errno, EBADF);
    char *text = support_read_file(path, NULL);
    assert_non_null(strstr(text, "reason: Bad file descriptor\n"));
    free(text);
}

enum { WRITERS = 4, LINES = 2000 };

static void processes_never_mix_lines(void **state) {
    assert_int_equal(log_open("0", LOG_NOTICE, path), 0);
    pid_t pids[WRITERS];
    for (int w = 0; w < WRITERS; w++)
        if ((pids[w] = fork()) == 0) {
            char body[300];
            memset(body, 'a' + w, sizeof body);
            for (int i = 0; i < LINES; i++)
                log_notice("<%.*s>", 1 + i % 290, body);
            _exit(0);
        }
    for (int w = 0; w < WRITERS; w++)
        assert_int_equal(support_wait(pids[w]), 0);
    char *text = support_read_file(path, NULL);
    int lines = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        char *open = strstr(line, " * <"), *first = open + 4;
        assert_non_null(open);
        assert_int_equal(strspn(first, (char[]){*first, 0}), strlen(first) - 1);
        assert_int_equal(first[strlen(first) - 1], '>');
    }
    assert_int_equal(lines, WRITERS * LINES);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_has_redis_format, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(lower_levels_are_left_out, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(input_cannot_forge_a_line, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(errno_survives, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(processes_never_mix_lines, make_dir, drop_dir),
        cmocka_unit_test(unopenable_file_leaves_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
