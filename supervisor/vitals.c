/* vitals.c - see the header. A file of /proc that cannot be read leaves its figure as it was. */
#include "supervisor/vitals.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static bool read_text(const char *path, char *text, size_t text_bytes) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, text_bytes - 1);
    close(fd);
    if (got <= 0)
        return false;
    text[got] = 0;
    return true;
}

static uint64_t microseconds(struct timeval time) {
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void vitals_update(struct status_page *page, uint64_t uptime_us) {
    struct rusage usage;
    char text[256];
    status_set(page, METRIC_uptime_us, uptime_us);
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        status_set(page, METRIC_cpu_user_us, microseconds(usage.ru_utime));
        status_set(page, METRIC_cpu_sys_us, microseconds(usage.ru_stime));
    }
    unsigned long total, resident;
    if (read_text("/proc/self/statm", text, sizeof(text)) &&
        sscanf(text, "%lu %lu", &total, &resident) == 2)
        status_set(page, METRIC_rss_bytes, (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE));
}

/* pid (name) state ppid ... with utime and stime as fields 14 and 15; the name may hold anything. */
void vitals_look_at(pid_t pid, char *state_r, uint64_t *cpu_ms_r) {
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_text(path, text, sizeof(text)))
        return;
    const char *after_name = strrchr(text, ')');
    char state;
    unsigned long user, sys;
    if (!after_name || sscanf(after_name + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                              &state, &user, &sys) != 3)
        return;
    *state_r = state;
    *cpu_ms_r = (uint64_t)(user + sys) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* A figure of a file of `name figure` lines. */
static uint64_t figure_of(const char *text, const char *name) {
    size_t len = strlen(name);
    for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, name, len) == 0 && at[len] == ' ')
            return strtoull(at + len, NULL, 10);
    }
    return 0;
}

/* What the limit leaves, the page cache counted as free: the kernel takes it back first. */
static uint64_t cgroup_available_bytes(void) {
    char text[8192];
    if (!read_text("/sys/fs/cgroup/memory.max", text, sizeof(text)) || text[0] == 'm')
        return UINT64_MAX;
    uint64_t limit = strtoull(text, NULL, 10);
    if (!read_text("/sys/fs/cgroup/memory.current", text, sizeof(text)))
        return UINT64_MAX;
    uint64_t used = strtoull(text, NULL, 10), cache = 0;
    if (read_text("/sys/fs/cgroup/memory.stat", text, sizeof(text)))
        cache = figure_of(text, "inactive_file") + figure_of(text, "active_file");
    used -= cache < used ? cache : used;
    return used < limit ? limit - used : 0;
}

uint64_t vitals_available_bytes(void) {
    char text[4096];
    uint64_t available = UINT64_MAX;
    if (read_text("/proc/meminfo", text, sizeof(text))) {
        const char *at = strstr(text, "MemAvailable:");
        if (at)
            available = strtoull(at + strlen("MemAvailable:"), NULL, 10) * 1024;
    }
    uint64_t in_cgroup = cgroup_available_bytes();
    return in_cgroup < available ? in_cgroup : available;
}
