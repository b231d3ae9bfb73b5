/* follow.h - a worker of a pool that follows a primary (the option replicaof).
 *
 *   ask the primary what it is (INFO pool)
 *     a pool of as many workers  -> each worker follows the one that has its slots: follow_shard.c
 *     anything else              -> worker N follows server N and deals what comes over all shards: follow_pool.c
 *   links that are down, and each before it synchronizes, ask again: when it is something else now, all workers
 *   are told and follow it as that
 *
 * Known in layer 9 only. */
#ifndef REMUDA_FOLLOW_H
#define REMUDA_FOLLOW_H
#include "shared/ipc/replication_page.h"
#include "worker/replication/upstream.h"

#include <inttypes.h>
#include <stdbool.h>

/* What a primary is: a pool of so many workers, the first one's port; 0 and 0: a server by itself. */
struct follow_found {
    uint32_t workers, port;
};

struct worker;
struct follow;
struct session;

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
/* Some worker has found out what the primary at target ("host port") is now: if it was followed as something
 * else, links begin anew. */
void follow_primary_is(struct follow *follow, const struct follow_found *found,
                       struct bytes target);
/* Another worker is gone: what was sent to it may be lost. */
void follow_peer_down(struct follow *follow);
/* CLIENT KILL of a link, known by its session: it is closed, and tries again. */
void follow_kill(struct follow *follow, const struct session *session);
/* A snapshot is taking the place of the data right now: what is in memory is not to be saved. */
bool follow_replaces(const struct follow *follow);
/* ---- an orderly stop of the whole pool, and its next start: follow_resume.c ---- */
/* Take no more of the streams, and report when all that was taken has been run; or go on. */
void follow_settle(struct follow *follow, bool on);
/* It has been reported, and the data are those of the links' places. */
bool follow_is_settled(const struct follow *follow);
/* What names the state of a shard's data: id and offset of its own stream, where its files end. */
#define FOLLOW_SEAL_FORMAT "%s:%" PRIu64
/* The files end with this seal and are on the disk: report it, and where the links stand. */
void follow_seal(struct follow *follow, const struct rdb_origin *own);
/* The supervisor has compared all seals: the text of follow_seal(), or none. */
void follow_resume(struct follow *follow, struct bytes text);

/* What another worker's link deals out is about to run here: so it is not another's stream that we hand on. */
void follow_dealt(struct follow *follow);
/* Bring env.syncing up to date. */
void follow_look(struct follow *follow);

#endif
