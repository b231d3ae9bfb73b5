/* panic.c - see panic.h. The message and the backtrace go where the log goes, frame by frame with
 * write(2) only, so that a damaged heap does not swallow them. */
#include "shared/base/panic.h"

#include "shared/base/log.h"

#include <execinfo.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_MAX = 64, SIGNAL_STACK_BYTES = 64 * 1024 };

static void write_backtrace(void) {
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);
    backtrace_symbols_fd(frames, count, log_fd());
}

void panic_at(const char *file, int line, const char *format, ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_warning("PANIC at %s:%d: %s", file, line, text);
    write_backtrace();
    abort();
}

static void on_fatal_signal(int number, siginfo_t *info, void *context) {
    log_warning("crashed by signal %d (SIG%s), address %p", number, sigabbrev_np(number),
                info->si_addr);
    write_backtrace();
    /* SA_RESETHAND is in force: the signal now ends the process, with its own wait status. */
    raise(number);
}

void panic_on_fatal_signals(void) {
    static char stack[SIGNAL_STACK_BYTES];
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    void *warm[1];
    backtrace(warm, 1); /* loads the unwinder now: a handler must not call the allocator */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        struct sigaction action = {.sa_sigaction = on_fatal_signal,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
        sigemptyset(&action.sa_mask);
        sigaction(fatal[i], &action, NULL);
    }
}
