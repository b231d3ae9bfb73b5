/* cli_private.h - what the files of the command line share: a subcommand gets the arguments behind its
 * name and returns the exit code. */
#ifndef REMUDA_SUPERVISOR_CLI_PRIVATE_H
#define REMUDA_SUPERVISOR_CLI_PRIVATE_H
#include "config/config.h"

enum { EXIT_USAGE = 2 };

struct arguments {
    const char *path; /* NULL: no file */
    int option_count;
    char **options;
};
/* The first argument is a file unless it is an option. */
struct arguments cli_split_arguments(int argc, char **argv);
/* Take `--name value` out of the options. NULL if it is not among them; "" if it has no value. */
const char *cli_take_option(struct arguments *arguments, const char *name);
/* NULL after telling why not. */
struct config *cli_load_config(const struct arguments *arguments);

/* cli_offline.c: the tools that work on files */
int cli_import(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_check(int argc, char **argv);
/* cli_snapshot.c: snapshots of the running pool, and back */
int cli_snapshot(int argc, char **argv);
int cli_restore(int argc, char **argv);

#endif
