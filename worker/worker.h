/* worker.h - the process that owns a shard: everything of layers 0 to 8 put together, and the loop.
 *
 *   one loop turn:   sleep in epoll
 *                    rings: serve other shards, take in their answers
 *                    clients: read, run
 *                    log: write once          <- before any reply leaves
 *                    clients: send replies; rings: publish, doorbells
 *
 * Known in layer 9 only. */
#ifndef REMUDA_WORKER_H
#define REMUDA_WORKER_H
#include "shared/ipc/control.h"
#include "worker/client/clients.h"
#include "worker/command/command.h"
#include "worker/failover.h"
#include "worker/follow.h"
#include "worker/persist/persist.h"
#include "worker/replication/feed.h"
#include "worker/replication/primary.h"
#include "worker/replication/propagate.h"
#include "worker/replication/refill.h"
#include "worker/route/router.h"

#include <ev.h>

enum { OPS_SAMPLES = 16 }; /* of 100 ms each */

struct worker {
    struct ev_loop *loop;
    struct segment segment;
    struct config *config;
    struct status_page *status;
    struct keyspace *ks;
    struct persist *persist;
    struct propagate *propagate;
    struct primary *primary;
    struct feed *feed; /* the pool's merged stream; NULL: another worker has it */
    struct router *router;
    struct clients *clients;
    struct follow *follow;
    struct failover *failover; /* NULL: another worker does it */
    struct command_env env;
    struct list sessions, primaries; /* see command_env */
    struct session loader;           /* commands of the log run with it */
    struct refill *refill;           /* while loading */
    struct rdb_origin loaded;        /* where the files stood in our stream; "": nowhere known */
    /* Where a snapshot that was loaded stands in a stream; "": nowhere known. */
    struct rdb_origin origin;

    ev_io control_io, doorbell_io;
    ev_prepare prepare;
    ev_check check;
    ev_idle idle; /* active while there is work that no descriptor announces */
    ev_timer cron, expire;
    ev_timer alarm; /* a client's time to wait is up */
    uint64_t alarm_ms;
    char *control_body;

    bool more_work;
    bool acknowledged; /* something was, by replicas or the disk: WAIT looks again */
    uint64_t turn_started_us, turn_max_us, turns, cron_count;
    uint64_t ops_last_count, ops_last_us, ops_samples[OPS_SAMPLES];
    uint64_t config_revision, used_memory_peak, fork_us;
    int64_t started_us;
};

/* Attach to what was inherited. 0, or an inherit_exit code after logging (and reporting) why. */
int worker_open(struct worker *w, uint32_t shard, uint32_t generation);
/* Load the files and serve until told to stop. Returns the exit code. */
int worker_run(struct worker *w);
/* A hook: this replica's connection is to close. */
void worker_drop_replica(void *arg, void *client);
enum { WORKER_PATH_BYTES = 2048 };
/* DIR/shard-NNNN/name, or without a name (NULL) the shard's folder. */
void worker_path(const struct worker *w, uint32_t shard, const char *name,
                 char path_r[WORKER_PATH_BYTES]);

/* ---- worker_turn.c ---- */
void worker_turns_start(struct worker *w);
/* End of a turn: log, replies, rings. Also called while loading and stopping. */
void worker_send(struct worker *w);
/* ---- worker_status.c ---- */
void worker_refresh_status(struct worker *w);
void worker_cron_status(struct worker *w);
void worker_heartbeat(struct worker *w);
void worker_set_state(struct worker *w, enum child_state state);
/* ---- worker_env.c: what handlers may ask of us ---- */
void worker_env_open(struct worker *w, uint32_t shard, uint32_t generation);
/* ---- worker_feed.c: what this shard does for the pool's merged stream ---- */
/* Of FEED_SHARD's worker: the stream itself. */
void worker_feed_open(struct worker *w);
/* All shards are locked: fork for the snapshot of this run. 0, or -1 with a text. */
int worker_feed_mark(struct worker *w, uint64_t run, char *error_r, size_t error_bytes);
/* ---- control_in.c ---- */
void control_in_start(struct worker *w);
/* Report up; what cannot be sent is logged: the supervisor will notice by other means. */
void control_report(struct worker *w, enum control_type type, uint64_t id, uint64_t number,
                    struct bytes body);
/* ---- worker_stop.c ---- */
/* Orderly end, as ordered; leaves the process, or returns if the save failed and that matters. */
void worker_stop(struct worker *w, int save);
/* The supervisor is gone: finish the writes, sync, leave. */
_Noreturn void worker_abandon(struct worker *w);

#endif
