/* log.c - see log.h. A line is put together on the stack and leaves in one write(2): descriptors
 * opened O_APPEND then never mix lines. A line that cannot be written is lost, silently: there is
 * nowhere to say so. Control bytes in the text become '?', so input cannot forge a line. */
#include "shared/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, ROLE_BYTES = 16 };

static struct {
    int fd;
    enum log_level level;
    char role[ROLE_BYTES];
} state = {.fd = STDERR_FILENO, .level = LOG_NOTICE, .role = "-"};

int log_open(const char *role, enum log_level level, const char *file) {
    log_set_role(role);
    log_set_level(level);
    int fd = STDERR_FILENO;
    if (file && *file) {
        fd = open(file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return -1;
    }
    if (state.fd != STDERR_FILENO)
        close(state.fd);
    state.fd = fd;
    return 0;
}

void log_set_level(enum log_level level) {
    state.level = level;
}

enum log_level log_get_level(void) {
    return state.level;
}

void log_set_role(const char *role) {
    snprintf(state.role, sizeof state.role, "%s", role);
}

int log_fd(void) {
    return state.fd;
}

static size_t format_prefix(char *line, size_t bytes, enum log_level level) {
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    static const char marks[] = {[LOG_DEBUG] = '.', '-', '*', '#'};
    struct timeval now;
    struct tm when;
    gettimeofday(&now, NULL);
    localtime_r(&now.tv_sec, &when);
    return (size_t)snprintf(line, bytes, "%d:%s %02d %s %04d %02d:%02d:%02d.%03d %c ",
                            (int)getpid(), state.role, when.tm_mday, months[when.tm_mon],
                            when.tm_year + 1900, when.tm_hour, when.tm_min, when.tm_sec,
                            (int)(now.tv_usec / 1000), marks[level]);
}

void log_write(enum log_level level, const char *format, ...) {
    if (level < state.level)
        return;
    int saved_errno = errno;
    char line[LINE_MAX_BYTES];
    size_t start = format_prefix(line, sizeof line, level);
    va_list args;
    va_start(args, format);
    errno = saved_errno; /* for %m */
    int wanted = vsnprintf(line + start, sizeof line - start, format, args);
    va_end(args);
    size_t end = start + (wanted < 0 ? 0 : (size_t)wanted);
    if (end > sizeof line - 1)
        end = sizeof line - 1;
    for (size_t i = start; i < end; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = '?';
    line[end++] = '\n';
    while (write(state.fd, line, end) < 0 && errno == EINTR)
        ;
    errno = saved_errno;
}
