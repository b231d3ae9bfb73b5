/* reap.c - see the header. A status that is none of the known kinds is told as a number. */
#include "supervisor/reap.h"
#include "shared/ipc/inherit.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static bool given(const char *text) {
    return text && text[0];
}

static void signal_words(int status, const struct reap_context *context, char *words_r,
                         size_t words_bytes) {
    int number = WTERMSIG(status);
    const char *name = sigabbrev_np(number);
    char signal_name[32];
    if (name)
        snprintf(signal_name, sizeof(signal_name), "SIG%s", name);
    else
        snprintf(signal_name, sizeof(signal_name), "signal %d", number);
    const char *core = WCOREDUMP(status) ? " (core dumped)" : "";
    if (number == SIGKILL && context->oom_seen)
        core = ", probably by the kernel for want of memory";
    snprintf(words_r, words_bytes, "killed by %s%s%s%s", signal_name, core,
             given(context->report) ? ": " : "", given(context->report) ? context->report : "");
}

static const char *exit_code_words(int code) {
    switch (code) {
    case EXIT_ORDERLY: return "ended without an order";
    case EXIT_BAD_START: return "refused to start";
    case EXIT_LOAD_FAILED: return "could not load its files";
    }
    return NULL;
}

static enum reap_kind exit_words(int code, const struct reap_context *context, char *words_r,
                                 size_t words_bytes) {
    const char *meaning = exit_code_words(code);
    char number[32];
    snprintf(number, sizeof(number), "exit code %d", code);
    snprintf(words_r, words_bytes, "%s%s%s", meaning ? meaning : number,
             given(context->report) ? ": " : "", given(context->report) ? context->report : "");
    if (code == EXIT_ORDERLY)
        return REAP_ORDERLY;
    return code == EXIT_BAD_START || code == EXIT_LOAD_FAILED ? REAP_UNSTARTABLE : REAP_CRASH;
}

enum reap_kind reap_words(int status, const struct reap_context *context, char *words_r,
                          size_t words_bytes) {
    if (WIFEXITED(status))
        return exit_words(WEXITSTATUS(status), context, words_r, words_bytes);
    if (!WIFSIGNALED(status))
        snprintf(words_r, words_bytes, "ended with status %d", status);
    else if (WTERMSIG(status) == SIGKILL && given(context->kill_reason))
        snprintf(words_r, words_bytes, "%s, killed", context->kill_reason);
    else
        signal_words(status, context, words_r, words_bytes);
    return REAP_CRASH;
}

uint64_t reap_oom_kills(void) {
    static const char key[] = "\noom_kill ";
    char text[16384];
    int fd = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (got <= 0)
        return 0;
    text[got] = 0;
    const char *at = strstr(text, key);
    return at ? strtoull(at + sizeof(key) - 1, NULL, 10) : 0;
}
