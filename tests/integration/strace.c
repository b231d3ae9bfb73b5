/* strace.c - see the header. */
#include "tests/integration/strace.h"
#include "tests/integration/fixture_private.h"
#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DETACH_MS = 10000 };

void strace_needed(void) {
    int code;
    free(run_shell(&code, "strace -qq -o /dev/null -e inject=getppid:error=EIO true 2>&1"));
    if (code == 0)
        return;
    print_message("skipped, strace is not installed or may not trace\n");
    skip();
}

static bool is_traced(const char *task_status) {
    char line[256];
    int tracer = 0;
    FILE *file = fopen(task_status, "r");
    if (!file)
        return true; /* it ended meanwhile */
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "TracerPid: %d", &tracer) == 1)
            break;
    }
    fclose(file);
    return tracer != 0;
}

static bool all_traced(pid_t pid) {
    char path[300];
    bool all = true;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *tasks = opendir(path);
    for (struct dirent *entry; tasks && all && (entry = readdir(tasks));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, entry->d_name);
        all = is_traced(path);
    }
    if (tasks)
        closedir(tasks);
    return all;
}

void strace_attach(struct strace *s, const struct pool *pool, pid_t pid, const char *calls,
                   const char *inject, const char *path) {
    char number[16], trace[256], what[256], output[96];
    snprintf(s->log, sizeof(s->log), "%.80s/strace", pool->dir);
    snprintf(output, sizeof(output), "%.80s/strace.err", pool->dir);
    snprintf(number, sizeof(number), "%d", (int)pid);
    snprintf(trace, sizeof(trace), "trace=%s", calls);
    snprintf(what, sizeof(what), "inject=%s", inject);
    const char *argv[] = {"strace", "-f", "-y",  "-o", s->log, "-p",
                          number,   "-e", trace, "-e", what,   path ? "-P" : NULL,
                          path,     NULL};
    assert_true(pid > 0);
    s->pid = fixture_spawn(argv, NULL, output);
    AWAIT(all_traced(pid));
}

void strace_detach(struct strace *s) {
    if (s->pid <= 0)
        return;
    kill(s->pid, SIGTERM);
    /* Once in a great while it waits for a thread that does not stop: its end sets all free. */
    for (unsigned waited_ms = 0; waitpid(s->pid, NULL, WNOHANG) == 0; waited_ms += 5) {
        if (waited_ms == DETACH_MS)
            kill(s->pid, SIGKILL);
        usleep(5000);
    }
    s->pid = 0;
}

/* -D: the worker stays the supervisor's child, strace is a process beside it. */
static const char wrapper[] = "#!/bin/sh\n"
                              "dir=%1$s\n"
                              "if [ \"$1\" = 0 ] && mv $dir/order $dir/taken 2>/dev/null; then\n"
                              "    read -r calls inject <$dir/taken\n"
                              "    exec strace -D -f -y -o $dir/log -e trace=$calls -e "
                              "inject=$inject %2$s/remuda-worker \"$@\"\n"
                              "fi\n"
                              "exec %2$s/remuda-worker \"$@\"\n";

static void write_script(const char *path, const char *dir, const char *build) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, wrapper, dir, build);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
}

void strace_wrap(struct strace *s) {
    char script[128], *build = realpath(pool_build(), NULL);
    int code;
    assert_non_null(build);
    make_directory(s->dir);
    snprintf(s->log, sizeof(s->log), "%s/log", s->dir);
    snprintf(script, sizeof(script), "%s/remuda-worker", s->dir);
    free(run_shell(&code, "cp %s/remuda %s/remuda", build, s->dir));
    assert_int_equal(code, 0);
    write_script(script, s->dir, build);
    free(build);
    const char *before = getenv("REMUDA_BUILD");
    setenv("REMUDA_TRUE_BUILD", before ? before : "build", 1);
    setenv("REMUDA_BUILD", s->dir, 1);
}

void strace_next_start(const struct strace *s, const char *calls, const char *inject) {
    char path[128];
    snprintf(path, sizeof(path), "%s/order.new", s->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(file, "%s %s\n", calls, inject);
    assert_int_equal(fclose(file), 0);
    int code;
    free(run_shell(&code, "mv %s %s/order", path, s->dir));
    assert_int_equal(code, 0);
}

void strace_unwrap(struct strace *s) {
    if (!s->dir[0])
        return;
    setenv("REMUDA_BUILD", getenv("REMUDA_TRUE_BUILD"), 1);
    remove_directory(s->dir);
    s->dir[0] = 0;
}

unsigned strace_count(const struct strace *s, const char *pattern) {
    int code;
    char *text = run_shell(&code, "grep -aEc -- '%s' %s", pattern, s->log);
    unsigned count = (unsigned)strtoul(text, NULL, 10);
    free(text);
    return count;
}
