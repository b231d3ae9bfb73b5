/* offline.h - tools that work on files while no pool runs: started by `remuda`, which holds the data
 * directory's lock, publishes what they built and knows pool.json.
 *
 *   remuda-worker import SOURCE OUT SLOTS                  a real server's files -> OUT/shard-NNNN/
 *   remuda-worker redistribute DIR SLOTS OUT SLOTS         a pool's shards -> OUT/shard-NNNN/
 *   remuda-worker export DIR SLOTS OUT NAME new|replace    a pool's shards -> OUT/NAME
 *   remuda-worker check PATH SLOTS|- look|fix              a shard's, a server's or a single file
 *
 * SLOTS is the first slot of each shard: "0,5461,10923". The configuration comes as a worker's does
 * (INHERIT_FD_CONFIG). Progress goes to stderr, what was found to stdout; redistribute, which runs
 * within a pool's start, logs both. */
#ifndef REMUDA_OFFLINE_H
#define REMUDA_OFFLINE_H
#include <stdbool.h>

bool offline_is_tool(const char *name);
/* The arguments after the program's name. Returns the exit code: 0 fine, 1 it failed (stderr says why)
 * or check found damage, EXIT_BAD_START if it was called wrongly. */
int offline_run(int argc, char **argv);

#endif
