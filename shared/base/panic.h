/* panic.h - stop the process on a bug of our own. Never used for input: input gets an error. */
#ifndef REMUDA_BASE_PANIC_H
#define REMUDA_BASE_PANIC_H

/* Log the message with file, line and a backtrace, then abort(). */
_Noreturn void panic_at(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Log a backtrace when a signal such as SIGSEGV ends the process; it still ends by that signal. */
void panic_on_fatal_signals(void);

#define PANIC(...) panic_at(__FILE__, __LINE__, __VA_ARGS__)
#define ASSERT(condition)                                                                          \
    (__builtin_expect(!!(condition), 1) ? (void)0 : PANIC("assertion failed: %s", #condition))

#endif
