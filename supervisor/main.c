/* main.c - the executable `remuda`: the supervisor, the front (exec'd by the supervisor) and the
 * operator's subcommands. */
#include "supervisor/cli.h"

#include "shared/base/panic.h"

int main(int argc, char **argv) {
    panic_on_fatal_signals();
    return cli_run(argc, argv);
}
