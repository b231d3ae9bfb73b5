/* failover.h - the command FAILOVER: this pool and a replica pool change places, and nothing acknowledged is lost.
 *
 *   PAUSING     CLIENT PAUSE WRITE at all shards
 *   DRAINING    until writes that were begun before have come to their shards
 *   WAITING     WAIT: for each shard, all replicas have all of it
 *   PROMOTING   REPLICAOF NO ONE, said to the target's public port, until it answers
 *   TURNING     REPLICAOF target, here
 *   ENDING      CLIENT UNPAUSE: writes that waited are answered READONLY, or run if nothing came of it
 *
 * One worker does it, FAILOVER_SHARD, by saying to the router what an operator would say. If it dies the pause
 * ends by itself. Known in layer 9 only. */
#ifndef REMUDA_FAILOVER_H
#define REMUDA_FAILOVER_H
#include "worker/command/command.h"

struct worker;
struct failover;

struct failover *failover_create(struct worker *w);
/* Hooks of command_env. */
const char *failover_begin(struct failover *failover, const struct failover_order *order);
bool failover_abort(struct failover *failover);
/* Once a turn: the next step. / Ten times a second: the target, which may not answer. */
void failover_turn(struct failover *failover);
void failover_cron(struct failover *failover);

#endif
