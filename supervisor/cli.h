/* cli.h - the operator's command line. */
#ifndef REMUDA_SUPERVISOR_CLI_H
#define REMUDA_SUPERVISOR_CLI_H

/* Runs what the arguments ask for, and returns the exit code of the process: 0 fine, 1 it failed
 * (one line on stderr says why), 2 the arguments make no sense. */
int cli_run(int argc, char **argv);

#endif
