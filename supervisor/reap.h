/* reap.h - a wait(2) status as words, for last_exit and the log. Pure but for reap_oom_kills(). */
#ifndef REMUDA_SUPERVISOR_REAP_H
#define REMUDA_SUPERVISOR_REAP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum reap_kind {
    REAP_ORDERLY,     /* exit code EXIT_ORDERLY */
    REAP_UNSTARTABLE, /* EXIT_BAD_START, EXIT_LOAD_FAILED: starting again cannot help */
    REAP_CRASH
};

/* What the supervisor knows besides the status. Texts may be NULL or "". */
struct reap_context {
    const char *kill_reason; /* why the supervisor itself sent SIGKILL */
    const char *report;      /* body of the child's REPORT_FAILED */
    bool oom_seen;           /* the kernel's count of OOM kills moved while it ran */
};

/* One line: "killed by SIGSEGV (core dumped)", "exit code 3", "no heartbeat for 1.0 s, killed". */
enum reap_kind reap_words(int status, const struct reap_context *context, char *words_r,
                          size_t words_bytes);
/* OOM kills of this machine since boot, 0 if it cannot be told. */
uint64_t reap_oom_kills(void);

#endif
