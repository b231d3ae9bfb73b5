/* main.c - the executable `remuda`: the supervisor, the front (exec'd by the supervisor) and the
 * operator's subcommands. */
#include "supervisor/cli.h"

int main(int argc, char **argv) {
    return cli_run(argc, argv);
}
