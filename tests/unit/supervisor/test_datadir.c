/* test_datadir.c - the directory is made privately and locked until the last holder is gone. */
#include "supervisor/datadir.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char parent[64], path[96], error[256];

static int make_parent(void **state) {
    strcpy(parent, "/tmp/remuda-datadir-XXXXXX");
    if (!mkdtemp(parent))
        return -1;
    snprintf(path, sizeof(path), "%s/data", parent);
    return 0;
}

static int remove_parent(void **state) {
    rmdir(path);
    return rmdir(parent);
}

static int open_now(void) {
    return datadir_open(path, (uid_t)-1, (gid_t)-1, 0, error, sizeof(error));
}

static void test_made_privately(void **state) {
    struct stat status;
    int fd = open_now();
    assert_true(fd >= 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    close(fd);
}

static void test_second_pool_is_refused(void **state) {
    int fd = open_now();
    assert_true(fd >= 0);
    assert_int_equal(open_now(), -1);
    assert_non_null(strstr(error, "in use by another pool"));
    close(fd);
    fd = open_now();
    assert_true(fd >= 0);
    close(fd);
}

/* An orphan that inherited the descriptor keeps the lock; the next pool waits for its end. */
static void test_waits_for_an_orphan(void **state) {
    int pipe_fds[2];
    char byte;
    assert_int_equal(pipe(pipe_fds), 0);
    int fd = open_now();
    assert_true(fd >= 0);
    pid_t orphan = fork();
    if (orphan == 0) {
        close(pipe_fds[1]);
        (void)!read(pipe_fds[0], &byte, 1);
        usleep(50 * 1000);
        _exit(0);
    }
    close(fd);
    assert_int_equal(open_now(), -1);
    close(pipe_fds[1]);
    fd = datadir_open(path, (uid_t)-1, (gid_t)-1, 30000, error, sizeof(error));
    assert_true(fd >= 0);
    close(fd);
    close(pipe_fds[0]);
    assert_int_equal(waitpid(orphan, NULL, 0), orphan);
}

static void test_no_parent(void **state) {
    assert_int_equal(
        datadir_open("/nonexistent/remuda", (uid_t)-1, (gid_t)-1, 0, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "cannot open the data directory /nonexistent/remuda")
                        ?: strstr(error, "cannot make the data directory /nonexistent/remuda"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_privately, make_parent, remove_parent),
        cmocka_unit_test_setup_teardown(test_second_pool_is_refused, make_parent, remove_parent),
        cmocka_unit_test_setup_teardown(test_waits_for_an_orphan, make_parent, remove_parent),
        cmocka_unit_test(test_no_parent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
