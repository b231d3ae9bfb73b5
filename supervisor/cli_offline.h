/* cli_offline.h - the subcommands that work on files: each gets the arguments behind its name and returns
 * the exit code. */
#ifndef REMUDA_SUPERVISOR_CLI_OFFLINE_H
#define REMUDA_SUPERVISOR_CLI_OFFLINE_H

int cli_import(int argc, char **argv);
int cli_export(int argc, char **argv);
int cli_check(int argc, char **argv);

#endif
