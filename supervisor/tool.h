/* tool.h - run remuda-worker as an offline tool (worker/offline/offline.h) and wait for its end. */
#ifndef REMUDA_SUPERVISOR_TOOL_H
#define REMUDA_SUPERVISOR_TOOL_H
#include "config/config.h"

enum { TOOL_ARGUMENTS_MAX = 6 };

struct tool {
    const char *worker_path;
    const struct config *config;
    int lock_fd;                                   /* the tool holds the lock too; -1: none */
    const char *arguments[TOOL_ARGUMENTS_MAX + 1]; /* its name first, NULL at the end */
    void (*waiting)(void);                         /* called every second; may be NULL */
};
enum tool_end {
    TOOL_DONE,    /* exit code 0 */
    TOOL_FAILED,  /* it said why */
    TOOL_STOPPED, /* SIGTERM or SIGINT came; it was ended */
};
/* SIGTERM and SIGINT are held until this returns. */
enum tool_end tool_run(const struct tool *tool);

#endif
