/* follow_private.h - the links of a worker, for follow.c, follow_shard.c and follow_pool.c. */
#ifndef REMUDA_FOLLOW_PRIVATE_H
#define REMUDA_FOLLOW_PRIVATE_H
#include "shared/base/buf.h"
#include "worker/follow.h"
#include "worker/worker.h"

enum { FOLLOW_TARGET_BYTES = 320, FOLLOW_LINKS_MAX = SHARD_MAX };

enum follow_mode {
    FOLLOW_NOBODY,
    FOLLOW_ASKING, /* what is the primary? */
    FOLLOW_SHARD,  /* the worker that has our slots */
    FOLLOW_POOL    /* links that deal over all shards; maybe none here */
};

struct follow_link {
    struct follow *follow;
    struct upstream *upstream;
    struct session session; /* what the stream says runs with it */
    char snapshot[64];      /* file that waits to be loaded, "" if none */
    /* follow_shard.c: so much of the stream is on the disk; and will be once the log is up to there */
    uint64_t synced, noted, noted_log;
    /* follow_pool.c */
    struct pipeline pipeline;
    struct router_batch *batch; /* a transaction on its way to the router */
    /* So much of the stream will be run when so many calls have finished; 0: nothing is awaited */
    uint64_t awaited_offset, awaited_calls;
    bool woken;                     /* more may be said */
    bool half;                      /* what was loaded of its snapshot is not all of it */
    uint32_t server;                /* number among those that have all slots together */
    uint16_t first_slot, last_slot; /* that the server has */
    uint64_t errors;
};

struct follow {
    struct worker *w;
    enum follow_mode mode;
    char target[FOLLOW_TARGET_BYTES]; /* replicaof as it is in force */
    char host[FOLLOW_TARGET_BYTES];
    uint32_t port;
    struct follow_found primary; /* as it is followed */
    struct upstream *probe;
    struct follow_found found; /* what it is, and waits for follow_turn() */
    bool probed;
    bool anew;          /* end the links that are, and begin others */
    uint64_t begun_ms;  /* when they were begun */
    uint32_t down_cron; /* for how many tenths of a second links were down */
    struct follow_link *links[FOLLOW_LINKS_MAX];
    uint32_t count;
    uint64_t offset_before; /* of all links, at the end of the last turn */
    bool loading;           /* a snapshot is being read: the loop runs within it */
    bool reconfigure;       /* replicaof changed meanwhile */
    bool of_family;         /* our stream is a primary's, with its id */
    bool configured;        /* replicaof was looked at */
    bool reconfigured;      /* and changed in this life */
    /* follow_resume.c: whether links may go on from before the start has been said (resume: where) */
    bool judged;
    struct buf resume;
    bool settling; /* told to take no more of the streams */
    bool settled;  /* all that was taken has been run */
    /* No sync of that shard is known of that did not come to its end. */
    bool known_whole[SHARD_MAX];
};

/* ---- follow.c ---- */
struct follow_link *follow_link_create(struct follow *f, uint32_t port, const char *tag,
                                       const struct upstream_hooks *hooks);
/* Commands that say nothing about data. */
bool follow_is_service(struct bytes name);
/* From here on our data are neither old nor new / are whole again. On disk, too: see follow_is_marked(). -1
 * if the disk does not take it (the log says why): then nothing may be changed. */
int follow_set_syncing(struct follow *f, bool on);
/* A process before this one did not come to the end of it. */
bool follow_is_marked(const struct follow *f);

/* ---- follow_shard.c ---- */
void follow_shard_begin(struct follow *f, uint32_t port);
void follow_shard_load(struct follow_link *link);
/* From here on our history is our own. A change to another primary of the family is not its end. */
void follow_shard_end(struct follow *f);
/* All data are about to be another history's, and others' links may have changed some here that no stream of
 * ours has: who follows us begins anew. */
void follow_shard_leave(struct follow *f);
/* Our log may be synced further than before: tell the primary. */
void follow_shard_synced(struct follow_link *link);

/* ---- follow_pool.c ---- */
void follow_pool_begin(struct follow *f);
void follow_pool_load(struct follow_link *link);
void follow_pool_go_on(struct follow_link *link);
void follow_pool_cron(struct follow *f);
/* More may have been run: the primary is told. */
void follow_pool_executed(struct follow_link *link);
void follow_pool_link_free(struct follow_link *link);
/* How many servers have all slots together. */
uint32_t follow_servers(const struct follow *f);
/* All that its upstream offered has been run. */
bool follow_pool_is_still(struct follow_link *link);

/* ---- follow_resume.c ---- */
/* Once a turn: tell the supervisor when all links have settled. */
void follow_look_settled(struct follow *f);
/* Where the link to this server goes on; false: it begins with a snapshot. Good for the first links of a life. */
bool follow_resumes(const struct follow *f, uint32_t server, struct rdb_origin *place_r);
void follow_forget_resume(struct follow *f);

#endif
