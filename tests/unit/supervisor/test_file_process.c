/* test_file_process.c - the end of a short-lived process is told once, whatever it is. */
#include "supervisor/file_process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct ev_loop *loop;
static struct file_process process;
static char told[FILE_PROCESS_TEXT_BYTES + 1];
static int tells;

static void on_done(void *arg, const char *error) {
    snprintf(told, sizeof(told), "%s", error);
    tells++;
    assert_int_equal(process.pid, 0); /* another may be started at once */
}

static int do_nothing(const void *work, char *error_r, size_t error_bytes) {
    return 0;
}
static int fail_at(const void *work, char *error_r, size_t error_bytes) {
    snprintf(error_r, error_bytes, "cannot find %s", (const char *)work);
    return -1;
}
static int fail_at_length(const void *work, char *error_r, size_t error_bytes) {
    memset(error_r, 'x', error_bytes - 1);
    error_r[error_bytes - 1] = 0;
    return -1;
}
static int die(const void *work, char *error_r, size_t error_bytes) {
    raise(SIGKILL);
    return 0;
}
static int hang(const void *work, char *error_r, size_t error_bytes) {
    pause();
    return 0;
}
/* Are the lock and nothing else of ours open there? */
static int look_at_files(const void *work, char *error_r, size_t error_bytes) {
    for (int fd = STDERR_FILENO + 3; fd < 64; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            snprintf(error_r, error_bytes, "%d is open", fd);
            return -1;
        }
    }
    return fcntl(STDERR_FILENO + 2, F_GETFD) >= 0 ? 0 : -1;
}

static int set_up(void **state) {
    loop = ev_default_loop(0);
    process = (struct file_process){.done = on_done};
    tells = 0;
    return 0;
}

static void run(file_work_fn *work, const void *arg, int lock_fd) {
    assert_int_equal(file_process_start(&process, loop, lock_fd, work, arg), 0);
    while (tells == 0)
        ev_run(loop, EVRUN_ONCE);
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(tells, 1);
}

static void a_good_end(void **state) {
    run(do_nothing, NULL, -1);
    assert_string_equal(told, "");
}

static void an_error(void **state) {
    run(fail_at, "it", -1);
    assert_string_equal(told, "cannot find it");
    tells = 0;
    run(fail_at_length, NULL, -1);
    assert_int_equal(strlen(told), FILE_PROCESS_TEXT_BYTES - 2);
}

static void a_death_is_no_good_end(void **state) {
    run(die, NULL, -1);
    assert_string_equal(told, "the process that works on the files died");
}

static void only_the_lock_stays_open(void **state) {
    int lock = open("/", O_RDONLY), other = open("/", O_RDONLY);
    run(look_at_files, NULL, lock);
    assert_string_equal(told, "");
    close(lock);
    close(other);
}

static void one_that_is_left_says_nothing(void **state) {
    assert_int_equal(file_process_start(&process, loop, -1, hang, NULL), 0);
    pid_t pid = process.pid;
    file_process_leave(&process, true);
    assert_int_equal(process.pid, 0);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && kill(pid, 0) == 0)
        continue;
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(tells, 0);
    file_process_leave(&process, true); /* none: nothing */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_good_end, set_up),
        cmocka_unit_test_setup(an_error, set_up),
        cmocka_unit_test_setup(a_death_is_no_good_end, set_up),
        cmocka_unit_test_setup(only_the_lock_stays_open, set_up),
        cmocka_unit_test_setup(one_that_is_left_says_nothing, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
