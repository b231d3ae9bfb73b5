/* test_publish.c - files are replaced whole or not at all. */
#include "tests/unit/shared/support.h"

#include "shared/base/publish.h"

#include <errno.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/stat.h>

static struct support_dir dir;
static char path[128], error[256];

static int make_dir(void **state) {
    dir = support_dir_make();
    snprintf(path, sizeof path, "%s/name", dir.path);
    error[0] = '\0';
    return 0;
}

static int drop_dir(void **state) {
    support_dir_remove(dir);
    return 0;
}

static void assert_content(const char *expected) {
    char *text = support_read_file(path, NULL);
    assert_string_equal(text, expected);
    free(text);
}

static void replaces_and_leaves_nothing_else(void **state) {
    assert_int_equal(publish(dir.path, "name", BYTES_LITERAL("one"), error, sizeof error), 0);
    assert_content("one");
    assert_int_equal(publish(dir.path, "name", BYTES_LITERAL(""), error, sizeof error), 0);
    assert_content("");
    assert_int_equal(support_dir_count(dir.path), 1);
}

static void errors_name_step_and_file(void **state) {
    assert_int_equal(publish("/nonexistent", "name", BYTES_LITERAL("x"), error, sizeof error), -1);
    assert_int_equal(errno, ENOENT);
    assert_string_equal(error, "cannot open directory /nonexistent/: No such file or directory");
    char name[400];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(publish(dir.path, name, BYTES_LITERAL("x"), error, sizeof error), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

static void rename_that_fails_leaves_old_and_no_temp(void **state) {
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(publish(dir.path, "name", BYTES_LITERAL("x"), error, sizeof error), -1);
    assert_int_equal(errno, EISDIR);
    assert_non_null(strstr(error, "cannot rename to "));
    assert_int_equal(support_dir_count(dir.path), 1);
    assert_int_equal(rmdir(path), 0);
}

static void write_that_fails_leaves_old_and_no_temp(void **state) {
    assert_int_equal(publish(dir.path, "name", BYTES_LITERAL("old"), error, sizeof error), 0);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){4096, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    static char big[100000];
    int result = publish(dir.path, "name", bytes_of(big, sizeof big), error, sizeof error);
    int reason = errno;
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(result, -1);
    assert_int_equal(reason, EFBIG);
    assert_non_null(strstr(error, "cannot write "));
    assert_content("old");
    assert_int_equal(support_dir_count(dir.path), 1);
}

static void in_two_parts(void **state) {
    assert_int_equal(publish(dir.path, "temp-1", BYTES_LITERAL("stale"), error, sizeof error), 0);
    int fd = publish_begin(dir.path, "temp-1", error, sizeof error);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(write(fd, "stream", 6), 6);
    assert_int_equal(publish_commit(fd, dir.path, "temp-1", "name", error, sizeof error), 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_content("stream");
    assert_int_equal(support_dir_count(dir.path), 1);
    assert_int_equal(publish_sync_dir(dir.path, error, sizeof error), 0);
    assert_int_equal(publish_sync_dir("/nonexistent", error, sizeof error), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaces_and_leaves_nothing_else, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(errors_name_step_and_file, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(rename_that_fails_leaves_old_and_no_temp, make_dir,
                                        drop_dir),
        cmocka_unit_test_setup_teardown(write_that_fails_leaves_old_and_no_temp, make_dir,
                                        drop_dir),
        cmocka_unit_test_setup_teardown(in_two_parts, make_dir, drop_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
