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

enum { FEED_REASON_BYTES = 200, FEED_MARKS = 64 };

enum feed_state {
    FEED_GATHERING, /* the shards' snapshots come in */
    FEED_MERGING,
    FEED_LIVE,
    FEED_BROKEN /* a gap: its replicas must begin anew */
};

/* Who has so much of our stream has so much of a shard's. */
struct feed_mark {
    uint64_t theirs, ours;
};

/* ---- feed_ack.c ---- */
struct feed_marks {
    struct feed_mark at[FEED_MARKS]; /* ascending */
    uint32_t count;
    bool asked; /* the shard wants to know who has its stream up to asked_at */
    uint64_t asked_at;
    struct buf told; /* to the shard, on this connection */
};

struct feed_link {
    struct feed_run *run;
    struct upstream *upstream;
    uint32_t shard, db;
    char snapshot[FEED_NAME_BYTES]; /* "": it has not come */
    uint32_t opened,
        opened_at_cut; /* how often: the shard forks for the connection of that moment */
    bool in_transaction;
    bool up;    /* the stream comes in */
    bool go_on; /* offer again what was refused */
    /* feed_hold.c */
    struct buf held; /* a command of whole databases, "": none */
    bool passed;     /* it was said: go on behind it */
    /* It has said a part of it: what is behind that comes later, or is of it, too. */
    struct feed_group *group;
    struct feed_span *part; /* is coming; NULL: none is */
    bool more;              /* of the same, behind this one */
    bool
        lost; /* it did not say in time what others waited for: nobody waits until it says a part */
    struct feed_marks marks;
    uint64_t *said; /* by kind and coordinator: the number of the newest part */
};

/* A command over several shards, of which each says its part. */
struct feed_span {
    struct list link;
    uint64_t number, missing[2]; /* one bit a shard */
    struct feed_group *group;
};

/* What is said in one piece: a command over several shards, or several that cross each other. */
struct feed_group {
    struct list link;
    struct buf text; /* MULTI and what has come, as it will be said */
    int64_t db;      /* of its last command */
    size_t first_at; /* in the text: where the first begins */
    uint64_t commands;
    uint32_t spans, age; /* tenths of a second */
    uint32_t missing;    /* parts */
    bool seen;           /* by who looks for a circle */
    uint32_t needs[];    /* by shard: parts of its that are missing */
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
    uint64_t cut_after_ms;     /* the next one, not before */
    struct list spans, groups; /* not said yet */
    bool acknowledged;         /* a replica has more, or is gone */
    uint32_t crons;
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
/* Nobody need wait for what this link has to say: it is not up any more. */
void feed_hold_down(struct feed_link *link);
/* Ten times a second: what waits too long. */
void feed_hold_cron(struct feed_run *run, bool all_up);
void feed_hold_begin(struct feed_run *run);
void feed_hold_free(struct feed_run *run);

/* ---- feed_ack.c ---- */
/* The link's shard wants to know who has what it has said so far. */
void feed_ack_asked(struct feed_link *link);
/* The connection is lost. */
void feed_ack_down(struct feed_link *link);
/* Ask the replicas, tell the shards. Before the stream is handed out. */
void feed_ack_turn_end(struct feed_run *run);
/* Once a second, as replicas acknowledge unasked, too. */
void feed_ack_cron(struct feed_run *run);

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
