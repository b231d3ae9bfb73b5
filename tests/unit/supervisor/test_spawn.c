/* test_spawn.c - a child gets exactly the descriptors of its plan, whatever numbers they have here. */
#include "supervisor/spawn.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int run(struct spawn_plan *plan, const char *script) {
    int status = 0;
    plan->path = "/bin/sh";
    plan->argv[0] = "sh";
    plan->argv[1] = "-c";
    plan->argv[2] = script;
    pid_t pid = spawn_process(plan);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int text_fd(const char *text) {
    int fd = spawn_memfd("test", bytes_of_text(text));
    assert_true(fd >= 0);
    return fd;
}

/* Numbers here and there cross over: 3 goes to 5 and the memfd that may be 5 goes to 3. */
static void test_crossing_numbers(void **state) {
    static struct spawn_plan plan;
    int a = text_fd("first"), b = text_fd("second"), c = text_fd("third");
    memset(&plan, 0, sizeof(plan));
    spawn_add_fd(&plan, a, b);
    spawn_add_fd(&plan, b, c);
    spawn_add_fd(&plan, c, a);
    char script[200];
    snprintf(script, sizeof(script),
             "[ $(cat /dev/fd/%d) = first ] && [ $(cat /dev/fd/%d) = second ] && "
             "[ $(cat /dev/fd/%d) = third ]",
             b, c, a);
    assert_int_equal(run(&plan, script), 0);
    close(a);
    close(b);
    close(c);
}

static void test_nothing_else_is_inherited(void **state) {
    static struct spawn_plan plan;
    int leaked = dup(STDERR_FILENO), given = text_fd("given");
    assert_true(leaked > STDERR_FILENO);
    memset(&plan, 0, sizeof(plan));
    spawn_add_fd(&plan, given, 32);
    spawn_add_fd(&plan, given, SPAWN_FDS_MAX - 1);
    assert_int_equal(run(&plan, "i=3; while [ $i -lt 400 ]; do "
                                "if [ -e /proc/$$/fd/$i ]; then have=\"$have $i\"; fi; "
                                "i=$((i+1)); done; [ \"$have\" = ' 32 287' ]"),
                     0);
    close(leaked);
    close(given);
}

static void test_environment_and_own_group(void **state) {
    static struct spawn_plan plan = {.listeners = 3, .http_listeners = 2};
    assert_int_equal(run(&plan, "[ $REMUDA_LISTENERS = 3 ] && [ $REMUDA_HTTP_LISTENERS = 2 ] && "
                                "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && "
                                "[ $(readlink /proc/$$/fd/0) = /dev/null ]"),
                     0);
}

static void test_no_such_executable(void **state) {
    static struct spawn_plan plan = {.path = "/nonexistent/remuda-worker", .argv = {"x"}};
    int status = 0;
    pid_t pid = spawn_process(&plan);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), EXIT_BAD_START);
}

static void test_memfd_is_sealed(void **state) {
    int fd = text_fd("abc");
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    close(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crossing_numbers),
        cmocka_unit_test(test_nothing_else_is_inherited),
        cmocka_unit_test(test_environment_and_own_group),
        cmocka_unit_test(test_no_such_executable),
        cmocka_unit_test(test_memfd_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
