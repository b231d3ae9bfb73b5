/* cli_snapshot.h - the operator's `remuda snapshot` and `remuda restore`. */
#ifndef REMUDA_SUPERVISOR_CLI_SNAPSHOT_H
#define REMUDA_SUPERVISOR_CLI_SNAPSHOT_H

/* The arguments after the subcommand's name. Return the exit code, as cli_run() does. */
int cli_snapshot(int argc, char **argv);
int cli_restore(int argc, char **argv);

#endif
