/* feed.h - the whole pool as one primary: the streams of all shards merged into one, for replicas that know
 * nothing of pools (PSYNC on the public port).
 *
 *   shard 0  --link-->  snapshot 0 ,  stream 0  \            / replica
 *   shard 1  --link-->  snapshot 1 ,  stream 1   >  merged  <  replica
 *   ...                                         /            \ ...
 *
 * One worker does it, FEED_SHARD. It reads every shard as a replica does (its own, too), puts the snapshots
 * together into one file and appends what comes after them to one stream, in the order of arrival: the order
 * of each key's changes is kept, a shard's transactions stay whole. FLUSHALL, FLUSHDB and SWAPDB, which every
 * shard says for itself, are said once, when all have come to that point.
 *
 * The snapshots are of one moment, as all shards are locked while they fork for them: of two writes, one begun
 * when the other was answered, the later is in it only if the earlier is, and a command under locks is in it
 * wholly or not at all.
 *
 * The set of links with the stream they make is a run. All replicas that ask while its snapshot is being made
 * share it; who asks for a snapshot later begins another run, as a stream's past can't be asked for again.
 * A run ends when a shard's stream has a gap, or when it has had no replica for repl-backlog-ttl. */
#ifndef REMUDA_REPLICATION_FEED_H
#define REMUDA_REPLICATION_FEED_H
#include "config/config.h"
#include "shared/base/bytes.h"
#include <stdbool.h>
#include <stdint.h>

enum { FEED_SHARD = 0, FEED_NAME_BYTES = 64 };

struct feed;
struct replica;
struct replica_view;

struct feed_hooks {
    void *arg;
    /* As of primary_hooks. */
    void (*drop)(void *arg, void *client);
    /* A connected socket to this shard's primary, owned by the feed. -1 with errno. */
    int (*open)(void *arg, uint32_t shard);
    /* A turn for all shards to fork at once: feed_fork_granted() answers. It is given back, or the wish. */
    void (*fork_want)(void *arg, uint64_t turn);
    void (*fork_done)(void *arg, uint64_t turn);
    /* Lock all shards, have each fork for its link (feed_part_name() says where to), unlock them:
     * feed_cut_ended() tells, within a bounded time. */
    void (*cut)(void *arg, uint64_t run, uint64_t try);
    /* So many runs there are: while there is one, commands over several shards shall be marked (propagate_part())
     * in all shards' streams. */
    void (*runs)(void *arg, uint32_t count);
};

/* Where the shard's child writes its part, in the folder of feed_create(). */
void feed_part_name(uint64_t run, uint32_t shard, char name_r[FEED_NAME_BYTES]);

/* loop: struct ev_loop. dir: where the snapshots are put together. config is live; all outlive the object. */
struct feed *feed_create(void *loop, const char *dir, const struct config *config, uint32_t shards,
                         const struct feed_hooks *hooks);
/* As replica_sync(), of the merged stream. False: so many runs that another can't begin; try again. */
bool feed_sync(struct feed *feed, struct replica *replica, struct bytes id, int64_t offset,
               bool old);
/* Would PSYNC id offset go on without a snapshot? */
bool feed_continues(const struct feed *feed, struct bytes id, int64_t offset);
/* Its turn has come; false: it is not the feed's. */
bool feed_fork_granted(struct feed *feed, uint64_t turn);
/* error NULL: every shard has forked. locked_us: how long they were locked. */
void feed_cut_ended(struct feed *feed, uint64_t locked_us, const char *error);
void feed_turn_end(struct feed *feed);
void feed_cron(struct feed *feed); /* ten times a second */
/* For stopping, when no loop turns any more: read and write on. True if no other shard has more to say, as its
 * link is closed, and all replicas have got everything. */
bool feed_drained(struct feed *feed);

struct feed_view {
    uint32_t runs, replicas; /* replicas of all runs */
    uint64_t offset;         /* end of the newest run's stream */
};
void feed_view(const struct feed *feed, struct feed_view *view_r);
/* The replicas of all runs. */
void feed_each(const struct feed *feed, void (*found)(void *arg, const struct replica_view *view),
               void *arg);

#endif
