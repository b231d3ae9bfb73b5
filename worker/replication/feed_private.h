/* feed_private.h - a run and its links, for feed.c (the set of runs), feed_run.c (one of them), feed_cut.c (the
 * moment of its snapshot) and feed_hold.c (what waits until all shards have come to it). */
#ifndef REMUDA_REPLICATION_FEED_PRIVATE_H
#define REMUDA_REPLICATION_FEED_PRIVATE_H
#include "worker/replication/feed.h"

#include "shared/base/buf.h"
#include "shared/base/list.h"
#include "worker/persist/background.h"
#include "worker/replication/primary.h"
#include "worker/replication/upstream.h"

enum { FEED_REASON_BYTES = 200 };

enum feed_state {
    FEED_GATHERING, /* the shards' snapshots come in */
    FEED_MERGING,
    FEED_LIVE,
    FEED_BROKEN /* a gap: its replicas must begin anew */
};

struct feed_link {
    struct feed_run *run;
    struct upstream *upstream;
    uint32_t shard, db;
    char snapshot[FEED_NAME_BYTES]; /* "": it has not come */
    uint32_t opened,
        opened_at_cut; /* how often: the shard forks for the connection of that moment */
    bool in_transaction;
    /* feed_hold.c */
    struct buf held; /* a command of whole databases, "": none */
    bool passed;     /* it was said: go on behind it */
    struct feed_span
        *span;    /* whose part has come: nothing behind it is taken before the others have */
    bool in_part; /* it is coming */
    bool go_on;   /* offer again what was refused */
};

/* A command over several shards, of which each says its part. */
struct feed_span {
    struct list link;
    uint64_t number, parts, begun, arrived;
    bool said;       /* and not whole: kept to know the parts that come late */
    struct buf text; /* MULTI and the parts that have come, as they will be said */
    int64_t db;      /* of its last command */
    uint32_t age;    /* tenths of a second */
};

/* On the thread that waits for the disk; touches nothing but itself. */
struct feed_merge {
    struct background_job job;
    struct feed_run *run;
    char *dir;
    char out[FEED_NAME_BYTES]; /* the merged file, until all replicas have opened it */
    const char **names;
    uint32_t count;
    bool checksum, ok;
    _Atomic bool stop;
    char error[FEED_REASON_BYTES];
};

struct feed_run {
    struct list link;
    struct feed *feed;
    uint64_t number; /* from 1 */
    enum feed_state state;
    struct primary *primary;
    struct propagate *propagate;
    struct feed_link *links; /* one a shard */
    struct feed_merge merge;
    bool merging; /* the thread is at work */
    uint32_t cut_tries;
    uint64_t cut_after_ms; /* the next one, not before */
    struct list spans;     /* not whole yet */
    uint32_t held_for; /* tenths of a second that a command has waited although all links are up */
};

/* ---- feed_cut.c ---- */
enum feed_cut_state { FEED_CUT_NOTHING, FEED_CUT_WANTED, FEED_CUT_LOCKING, FEED_CUT_FORKED };

struct feed_cut {
    enum feed_cut_state state;
    struct feed_run *run; /* NULL while LOCKING: it is over */
    uint64_t turn;        /* to fork, of all shards */
};

struct feed {
    struct ev_loop *loop;
    char *dir;
    const struct config *config;
    uint32_t shards;
    struct feed_hooks hooks;
    struct background *background; /* NULL before the first merge */
    struct list runs;              /* oldest first */
    uint64_t numbers;              /* given to runs, for names of files */
    uint64_t turns;                /* asked for */
    struct feed_cut cut;           /* one at a time */
};

/* Ten times a second: is it time for the moment of this run's snapshot? */
void feed_cut_cron(struct feed_run *run);
/* All shards have forked; or have, or are about to. */
bool feed_cut_is_made(const struct feed_run *run);
bool feed_cut_may_be_made(const struct feed_run *run);
/* Will this link's part of it not come, as it was lost? */
bool feed_cut_lacks(const struct feed_run *run, const struct feed_link *link);
/* All parts are here, or they are not wanted any more: others may fork. */
void feed_cut_end(struct feed_run *run);

/* ---- feed_hold.c ---- */
enum feed_held {
    FEED_PASS, /* it is nothing that waits: say it */
    FEED_TAKEN,
    FEED_WAIT /* it cannot be taken yet */
};
/* A command of this link's stream: is it one that must wait for other links, or come with theirs? */
enum feed_held feed_hold(struct feed_link *link, uint32_t argc, const struct bytes *argv,
                         struct bytes raw);
/* Ten times a second: what waits too long. */
void feed_hold_cron(struct feed_run *run, bool all_up);
void feed_hold_free(struct feed_run *run);

/* ---- feed_run.c ---- */
struct feed_run *feed_run_create(struct feed *feed);
/* No replica may be left, nor the thread at work. */
void feed_run_free(struct feed_run *run);
void feed_run_break(struct feed_run *run, const char *why);
void feed_run_turn_end(struct feed_run *run);
void feed_run_cron(struct feed_run *run);
bool feed_run_drained(struct feed_run *run);
/* A part of the snapshot is there, or its moment is known: go on if that was the last thing. */
void feed_run_part_came(struct feed_run *run);
/* The parts that have come, or are about to, are of no use: the links begin again after a moment. */
void feed_run_gather_anew(struct feed_run *run, const char *why);

#endif
