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
/* NULL after telling why not. */
struct config *cli_load_config(const struct arguments *arguments);

/* cli_offline.c: the tools that work on files */
int cli_import(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_check(int argc, char **argv);

#endif
