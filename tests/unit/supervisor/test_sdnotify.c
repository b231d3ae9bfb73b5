/* test_sdnotify.c - what a service manager would read from its socket. */
#include "supervisor/sdnotify.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* An abstract socket of this process, and its name as NOTIFY_SOCKET gives it. */
static int manager(char name_r[64]) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(name_r, 64, "@remuda-test-%d", (int)getpid());
    memcpy(address.sun_path + 1, name_r + 1, strlen(name_r) - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name_r));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    return fd;
}

static void expect(int fd, const char *prefix) {
    char text[512] = "";
    assert_true(recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT) > 0);
    assert_memory_equal(text, prefix, strlen(prefix));
}

static void test_messages(void **state) {
    char name[64], byte;
    int fd = manager(name);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "3000000", 1);
    sdnotify_open();
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_int_equal(sdnotify_watchdog_ms(), 1500);
    sdnotify_send("READY=1\nSTATUS=%u of %u", 2, 3);
    expect(fd, "READY=1\nSTATUS=2 of 3");
    sdnotify_reloading();
    expect(fd, "RELOADING=1\nMONOTONIC_USEC=");
    sdnotify_close();
    sdnotify_send("READY=1");
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    close(fd);
}

static void test_watchdog_of_another_process(void **state) {
    char name[64];
    int fd = manager(name);
    setenv("NOTIFY_SOCKET", name, 1);
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    sdnotify_open();
    assert_int_equal(sdnotify_watchdog_ms(), 0);
    sdnotify_close();
    close(fd);
}

static void test_without_a_manager(void **state) {
    unsetenv("NOTIFY_SOCKET");
    sdnotify_open();
    sdnotify_send("READY=1");
    setenv("NOTIFY_SOCKET", "not-a-path", 1);
    sdnotify_open();
    sdnotify_send("READY=1");
    sdnotify_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_watchdog_of_another_process),
        cmocka_unit_test(test_without_a_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
