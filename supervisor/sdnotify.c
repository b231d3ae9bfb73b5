/* sdnotify.c - see the header. One socket a process, so the state is the file's own. */
#include "supervisor/sdnotify.h"
#include "shared/base/clock.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int notify_fd = -1;
static uint64_t watchdog_ms;

static void connect_to(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || length >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, name, length);
    if (name[0] == '@')
        address.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (connect(fd, (struct sockaddr *)&address, address_bytes) == 0)
        notify_fd = fd;
    else
        close(fd);
}

void sdnotify_open(void) {
    const char *socket_name = getenv("NOTIFY_SOCKET");
    const char *interval = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (socket_name)
        connect_to(socket_name);
    if (notify_fd >= 0 && interval && (!pid || strtol(pid, NULL, 10) == (long)getpid()))
        watchdog_ms = strtoull(interval, NULL, 10) / 2000;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void sdnotify_close(void) {
    if (notify_fd >= 0)
        close(notify_fd);
    notify_fd = -1;
    watchdog_ms = 0;
}

void sdnotify_send(const char *format, ...) {
    char text[512];
    va_list arguments;
    if (notify_fd < 0)
        return;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0 && length < (int)sizeof(text))
        (void)!send(notify_fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void sdnotify_reloading(void) {
    sdnotify_send("RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_us());
}

uint64_t sdnotify_watchdog_ms(void) {
    return watchdog_ms;
}
