/* test_discard.c - files go, big and small, whoever has them open. */
#include "worker/persist/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[32];

static int set_up(void **state) {
    strcpy(dir, "/tmp/test_discard_XXXXXX");
    return mkdtemp(dir) == NULL;
}
static int tear_down(void **state) {
    return rmdir(dir);
}

static int make(const char *name, off_t bytes, char path[64]) {
    snprintf(path, 64, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    return fd;
}

static bool is_open(int fd) {
    return fcntl(fd, F_GETFD) >= 0;
}

static void a_name_is_gone_at_once(void **state) {
    char path[64];
    const off_t sizes[] = {0, 10, DISCARD_BIG_BYTES, 4 * DISCARD_BIG_BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        close(make("file", sizes[i], path));
        assert_int_equal(discard_file(path), 0);
        assert_int_equal(access(path, F_OK), -1);
    }
}

static void what_cannot_be_deleted_is_said(void **state) {
    char path[64];
    snprintf(path, sizeof path, "%s/none", dir);
    assert_int_equal(discard_file(path), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(discard_file(dir), -1);
    assert_int_equal(errno, EISDIR);
}

static void a_file_is_closed_in_the_end(void **state) {
    char path[64];
    discard_fd(-1);
    int small = make("small", 10, path);
    discard_fd(small);
    assert_false(is_open(small));
    unlink(path);
    int big = make("big", DISCARD_BIG_BYTES, path);
    discard_fd(big);
    while (is_open(big))
        usleep(1000);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_gone_at_once),
        cmocka_unit_test(what_cannot_be_deleted_is_said),
        cmocka_unit_test(a_file_is_closed_in_the_end),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
