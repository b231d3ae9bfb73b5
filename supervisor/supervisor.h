/* supervisor.h - run a pool: bind, lock, spawn, watch, restart, stop. */
#ifndef REMUDA_SUPERVISOR_SUPERVISOR_H
#define REMUDA_SUPERVISOR_SUPERVISOR_H
#include "config/config.h"

/* How the pool was asked for. Kept for SIGHUP and CONFIG REWRITE, so nothing in it may change. */
struct supervisor_start {
    const char *config_path; /* NULL: none given */
    int option_count;        /* the `--name value` words, applied over the file */
    char **options;
};

/* Runs until the pool has stopped. Takes the config over. Returns the exit code of the process:
 * 0 if every worker ended orderly. A start that fails is told in one line. */
int supervisor_run(const struct supervisor_start *start, struct config *config);

#endif
