/* strace.h - system calls of a pool's processes that fail, or kill, on order: strace attached to them.
 *
 * Needs strace and the right to trace, else the running test is skipped with a line that says so. */
#ifndef REMUDA_TESTS_STRACE_H
#define REMUDA_TESTS_STRACE_H
#include "tests/integration/pool_fixture.h"

struct strace {
    pid_t pid; /* 0: not running */
    char log[96];
    char dir[64]; /* of the wrapped build; "": none */
};

void strace_needed(void);
/* Attach to all threads of a process and to its children to come; returns when it has. `inject` is of
 * strace's form: "fsync:signal=KILL:when=3", "write:error=EIO"; `calls` are what the log shows. The log is
 * begun anew in the pool's directory. path: only calls on this file; NULL: on any. */
void strace_attach(struct strace *s, const struct pool *pool, pid_t pid, const char *calls,
                   const char *inject, const char *path);
/* Let go; the log is whole then. */
void strace_detach(struct strace *s);
/* The build under test, but worker 0 is started under strace whenever strace_next_start() was called
 * before. Pools started from now on are of this build; its directory goes with strace_unwrap(). */
void strace_wrap(struct strace *s);
void strace_next_start(const struct strace *s, const char *calls, const char *inject);
void strace_unwrap(struct strace *s);
/* How many lines of the log match an extended regular expression. */
unsigned strace_count(const struct strace *s, const char *pattern);

#endif
