/* cli_args.h - the arguments that most subcommands share: a pool.ini and options over it. */
#ifndef REMUDA_SUPERVISOR_CLI_ARGS_H
#define REMUDA_SUPERVISOR_CLI_ARGS_H
#include "config/config.h"

enum { CLI_EXIT_USAGE = 2 };

struct cli_arguments {
    const char *path; /* NULL: no file */
    int option_count;
    char **options;
};

/* The first argument is a file unless it is an option. */
struct cli_arguments cli_split(int argc, char **argv);
/* Take `--name value` out of the options. NULL if it is not among them; "" if it has no value. */
const char *cli_take_option(struct cli_arguments *arguments, const char *name);
/* NULL after telling why not. */
struct config *cli_load_config(const struct cli_arguments *arguments);

#endif
