/* failover.h - the command FAILOVER: this pool and a replica pool change places, and nothing acknowledged is lost.
 *
 *   PAUSING     segment_header.failover is set: no worker begins a write, once all have said that they see it
 *   DRAINING    until writes that were begun before have come to their shards
 *   WAITING     WAIT: for each shard, all replicas have all of it
 *   ASKING      the target's public port, until it answers that it is a replica
 *   PROMOTING   the note (failover_note.h) is on disk; then REPLICAOF NO ONE, said to it until it answers
 *   TURNING     REPLICAOF target, here, until that is done
 *   SETTLING    until every worker follows; the note says so; writes that waited are answered READONLY
 *
 * Up to ASKING it can come to nothing: at a time-out, ABORT, or a death, writes go on here. From PROMOTING on the
 * target may be a primary and only its answer, or ABORT, ends the pause: it lies in the segment and the note, so
 * that neither a worker that begins anew nor a pool that is started again takes a write meanwhile. Whoever finds
 * the note asks the target, and goes on with what it answers. TIMEOUT is for what comes before, as in Redis.
 *
 * What is left: a target that was told and does not answer can be told nothing else. If it comes back after an
 * ABORT it may become a primary beside this one; the log says so.
 *
 * One worker does it, FAILOVER_SHARD, by saying to the router what an operator would say. Known in layer 9 only. */
#ifndef REMUDA_FAILOVER_H
#define REMUDA_FAILOVER_H
#include "worker/command/command.h"

struct worker;
struct failover;

struct failover *failover_create(struct worker *w);
/* The worker serves from now on: end, or take up, what another generation of it began. 0, or -1 with a text. */
int failover_resume(struct failover *failover, char *error_r, size_t error_bytes);
/* replicaof may have changed. */
void failover_configured(struct failover *failover);
/* Hooks of command_env. */
const char *failover_begin(struct failover *failover, const struct failover_order *order);
const char *failover_abort(struct failover *failover);
/* Once a turn: the next step. / Ten times a second: the target, which may not answer. */
void failover_turn(struct failover *failover);
void failover_cron(struct failover *failover);

#endif
