/* follow.h - a worker of a pool that follows a primary (the option replicaof).
 *
 *   ask the primary what it is (INFO pool)
 *     a pool of as many workers  -> each worker follows the one that has its slots: follow_shard.c
 *     anything else              -> worker N follows server N and deals what comes over all shards: follow_pool.c
 *
 * Known in layer 9 only. */
#ifndef REMUDA_FOLLOW_H
#define REMUDA_FOLLOW_H
#include "shared/ipc/replication_page.h"
#include "worker/replication/upstream.h"

#include <stdbool.h>

struct worker;
struct follow;

struct follow *follow_create(struct worker *w);
void follow_free(struct follow **follow);
/* The files are loaded: is the stream that they bear another's, which is not to be added to before its source is
 * found? */
bool follow_loaded(struct follow *follow);
/* replicaof may have changed, or the worker begins to serve. */
void follow_configure(struct follow *follow);
/* Once a turn, before clients are read: what waits for a moment when no handler runs. */
void follow_turn(struct follow *follow);
/* There is work for follow_turn(). */
bool follow_waiting(const struct follow *follow);
/* Since the last call something of the stream was applied, but little. */
bool follow_turn_was_short(struct follow *follow);
void follow_cron(struct follow *follow); /* ten times a second */
/* Bring the metrics of the status page up to date. */
void follow_refresh(struct follow *follow);
/* Put the links into the lines of this table. */
void follow_tell(const struct follow *follow, struct replication_table *table);
/* Another worker is gone: what was sent to it may be lost. */
void follow_peer_down(struct follow *follow);
/* A snapshot is taking the place of the data right now: what is in memory is not to be saved. */
bool follow_replaces(const struct follow *follow);
/* Bring env.syncing up to date. */
void follow_look(struct follow *follow);

#endif
