/* replay.h - the commands of a log, run again: at a start, and by the offline tools. */
#ifndef REMUDA_COMMAND_REPLAY_H
#define REMUDA_COMMAND_REPLAY_H
#include "worker/command/command.h"

/* Run like any other command, but nothing may refuse it (env->loading) and nothing is logged again
 * (env->propagate is NULL). argv is hostile. 0, or -1 with a text: unknown, answered with an error, or a
 * key is of another shard (env->segment knows; NULL: all are welcome). */
int replay_command(struct keyspace *ks, struct session *session, struct command_env *env,
                   uint32_t argc, const struct bytes *argv, char *error_r, size_t error_bytes);

#endif
