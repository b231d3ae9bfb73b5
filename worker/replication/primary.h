/* primary.h - a shard as the primary of its replicas: each connection's way from PSYNC to the live stream.
 *
 *   HELLO --PSYNC--> continues? -----------------------------------------------------> ONLINE
 *                    else WAIT_FORK --snapshot forks--> WAIT_FILE --done--> SENDING ----^
 *                      |     "\n" now and then          "+FULLRESYNC", dump.rdb         |
 *                      '--diskless one forks--> PIPED: "+FULLRESYNC", what it writes ---'
 *
 * The pool's own merged stream: WAIT_CUT --all shards fork at one moment--> CUT --done--> ONLINE.
 *
 * All replicas that wait share one snapshot; the stream keeps what changes from its fork on. They are told
 * where it stands when it is whole: one that is given up (FLUSHALL) is followed by the next. Nothing here
 * blocks: a replica that reads slower than client-output-buffer-limit allows is let go. The connection is
 * the client layer's, which reads REPLCONF from it; the writing is done here. */
#ifndef REMUDA_REPLICATION_PRIMARY_H
#define REMUDA_REPLICATION_PRIMARY_H
#include "config/config.h"
#include "shared/base/buf.h"
#include "shared/ipc/status_page.h"
#include "worker/persist/persist.h"
#include "worker/replication/propagate.h"
#include "worker/replication/backlog.h"

struct primary;
struct refill;
struct replica;

struct primary_hooks {
    void *arg;
    /* This replica is of no use any more: close its connection (which ends in replica_free()). */
    void (*drop)(void *arg, void *client);
    /* Some replica acknowledged more, or one is gone (WAIT). May be NULL. */
    void (*acknowledged)(void *arg);
    /* A snapshot is wanted: primary_snapshot_forked() and primary_snapshot_ended() shall tell of it. Asked
     * for again until it is there. */
    void (*want_snapshot)(void *arg);
    /* The last good one as a file, read from its beginning; the caller closes it. -1 with errno. */
    int (*open_snapshot)(void *arg);
    /* The same of one without a file: primary_diskless_forked() and primary_diskless_ended(). Or it is wanted
     * no more, without a word of its end. NULL: all are files. */
    void (*want_diskless)(void *arg);
    void (*end_diskless)(void *arg);
    /* The snapshot that primary_cut_forked() told of is wanted no more. May be NULL if none is own. */
    void (*end_cut)(void *arg);
};

/* loop: the worker's struct ev_loop. All outlive the object. status may be NULL. */
struct primary *primary_create(void *loop, const struct config *config, struct status_page *status,
                               const struct primary_hooks *hooks);
void primary_free(struct primary **primary);
/* When loading is over: where changes come from. */
void primary_open(struct primary *primary, struct propagate *propagate);
struct backlog *primary_backlog(struct primary *primary);
const struct backlog *primary_backlog_of(const struct primary *primary); /* to look at */

/* This shard's data became the replica of another history: own replicas must begin anew. */
void primary_become(struct primary *primary, const char *id, uint64_t offset);
/* Its data are nobody's history, and own replicas must wait. */
void primary_forget(struct primary *primary);
/* It goes on under this name, if that is another: replicas come again to learn it, and continue. */
void primary_rename(struct primary *primary, const char *id);
/* It goes on as its own from here on: replicas come again and continue. */
void primary_branch_off(struct primary *primary);

/* At start: what was loaded stands there. A primary goes on under a new id, its replicas know the old one. */
void primary_restore(struct primary *primary, struct refill *loaded, bool as_primary);
/* Where the data stand now; false if nobody would know. */
bool primary_origin(const struct primary *primary, struct rdb_origin *origin_r);
/* From here on somebody would, and the log is told at the end of the turn. */
void primary_seal(struct primary *primary);

/* ---- a replica's connection ---- */
/* For a connection that says REPLCONF or PSYNC; client is the client layer's own. own: the pool's merged
 * stream reads it (feed.h): served like any other, but it keeps no copy and so counts as none. */
struct replica *replica_create(struct primary *primary, void *client, int fd, const char *peer,
                               bool own);
void replica_free(struct replica **replica);
/* REPLCONF name value. merged-acks, of the pool's own merged stream only: "offset:synced,...", what its replicas
 * have of ours. They are acknowledgements, too. */
enum replica_option {
    REPLICA_OPTION_TAKEN,
    REPLICA_OPTION_UNKNOWN,
    REPLICA_OPTION_NO_INTEGER,
    REPLICA_OPTION_NO_SWITCH, /* neither 0 nor 1 */
    REPLICA_OPTION_TOO_LONG,
    REPLICA_OPTION_NO_FILTER /* of rdb-filter-only: there is nothing but data */
};
enum replica_option replica_option(struct replica *replica, struct bytes name, struct bytes value);
/* PSYNC id offset (as sent: the next byte wanted, from 1), or SYNC with old = true, of this primary's
 * stream. From here on the connection is written to by this layer, beginning with replica_may_write(). */
void replica_sync(struct replica *replica, struct primary *primary, struct bytes id, int64_t offset,
                  bool old);
/* REPLCONF and PSYNC (or SYNC) as it says them, for another process that takes it over. */
void replica_repeat(const struct replica *replica, struct bytes id, int64_t offset, bool old,
                    struct buf *out);
/* Has it said PSYNC? Then no reply may be written to its connection. */
bool replica_is_attached(const struct replica *replica);
/* An empty line came from it: it lives, busy with its snapshot. Nothing if it is NULL. */
void replica_lives(struct replica *replica);
/* The client layer has sent all that it had to. */
void replica_may_write(struct replica *replica);
/* REPLCONF ACK offset [FACK offset]. */
void replica_acknowledge(struct replica *replica, uint64_t offset, uint64_t synced_offset);

/* ---- the loop ---- */
/* Before the log is written: replicas are asked what is to be asked, and it says how far it is in the stream. */
void primary_mark(struct primary *primary);
/* For stopping: write on; true if all replicas that are online have got everything. */
bool primary_drained(struct primary *primary);
/* End of a turn: hand what was propagated to the replicas. */
void primary_turn_end(struct primary *primary);
void primary_cron(struct primary *primary); /* ten times a second */
/* Say nothing by itself: a failover is to find the stream as long here as at the replicas. */
void primary_keep_still(struct primary *primary, bool still);
/* The snapshot's hooks. forked: the child has the keyspace of this moment. ended: dump.rdb is new, or why not. */
void primary_snapshot_forked(struct primary *primary);
void primary_snapshot_ended(struct primary *primary, enum snapshot_end how);
/* The same of one without a file: fd, ours from here on, gives what the child writes. */
void primary_diskless_forked(struct primary *primary, int fd);
void primary_diskless_ended(struct primary *primary, enum snapshot_end how);

/* The same of this shard's part of a cut, which its child writes where the merged stream looks for it. */
bool primary_awaits_cut(const struct primary *primary);
void primary_cut_forked(struct primary *primary);
void primary_cut_ended(struct primary *primary, enum snapshot_end how);

/* ---- what is told ---- */
/* Bring the metrics of the status page up to date. */
void primary_refresh(struct primary *primary);
struct replica_view {
    const char *address;
    uint32_t port, public_port; /* public_port: of the pool it is a shard of, 0: of none */
    const char *state;          /* as INFO says: wait_bgsave, send_bulk, online */
    bool is_online;
    uint64_t offset;       /* acknowledged */
    uint64_t synced;       /* on its disk, as it says */
    uint64_t behind_bytes; /* of the stream, if it is online */
    int64_t lag_s;         /* since the last acknowledgement */
};
uint32_t primary_replicas(const struct primary *primary);
/* Replicas that are online and acknowledged something within min-replicas-max-lag. */
uint32_t primary_good_replicas(const struct primary *primary);
/* How many have acknowledged this offset: in memory, or on their disk. */
uint32_t primary_acknowledged(const struct primary *primary, uint64_t offset, bool on_disk);
/* Ask all to acknowledge, at the end of this turn. */
void primary_ask_acknowledge(struct primary *primary);
void primary_each(const struct primary *primary,
                  void (*found)(void *arg, const struct replica_view *view), void *arg);

#endif
