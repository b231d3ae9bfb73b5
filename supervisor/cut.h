/* cut.h - the order of a consistent cut of the whole pool, as a pure machine: it knows no process,
 * no clock and no file.
 *
 *   IDLE -> MAKING -> PREPARING -> BARRIER -> LINKING -> PUBLISHING -> IDLE, good
 *             |        |    ^       | again      |           |
 *             |        |    +-------+            |           |
 *             +--------+------------+------------+-----------+-> REMOVING -> IDLE, with an error
 *
 *   MAKING      the folder NAME.partial                               a short-lived process
 *   PREPARING   every shard has a log whose increment can end          all workers
 *   BARRIER     all shards locked, each ends its increment, unlocked   one worker
 *   LINKING     every shard has linked its files into the folder, synced; may come before the
 *               barrier's end is told                                 all workers
 *   PUBLISHING  pool.json, snapshot.json, sync, rename                 a short-lived process
 *   REMOVING    the folder goes                                        a short-lived process
 *
 * Each event returns the step to take now. An event of another cut, try or phase, or a second word of
 * the same shard, changes nothing. */
#ifndef REMUDA_SUPERVISOR_CUT_H
#define REMUDA_SUPERVISOR_CUT_H
#include "shared/ipc/slot_map.h"
#include <stdbool.h>
#include <stdint.h>

enum { CUT_TEXT_BYTES = 600, CUT_TRIES_MAX = 20 };

/* CUT_PHASE(phase, what it does in words, its limit in seconds) */
#define CUT_PHASES(X)                                                                              \
    X(IDLE, "nothing", 0)                                                                          \
    X(MAKING, "making its folder", 30)                                                             \
    X(PREPARING, "preparing the logs of all shards", 3600)                                         \
    X(BARRIER, "locking all shards", 30)                                                           \
    X(LINKING, "linking and syncing the files of all shards", 600)                                 \
    X(PUBLISHING, "publishing the snapshot", 300)                                                  \
    X(REMOVING, "removing what was begun", 300)
enum cut_phase {
#define X(phase, what, limit_s) CUT_##phase,
    CUT_PHASES(X)
#undef X
        CUT_PHASE_COUNT
};

enum cut_step {
    CUT_STAY,         /* wait for the next event */
    CUT_MAKE,         /* start the process of MAKING */
    CUT_PREPARE,      /* order all workers to prepare for try cut->tries */
    CUT_PREPARE_SOON, /* the same after a pause */
    CUT_LOCK,         /* order one worker to run the barrier */
    CUT_PUBLISH,      /* start the process of PUBLISHING */
    CUT_REMOVE,       /* tell all workers that it is over; start the process of REMOVING */
    CUT_FINISH        /* idle again; tell all workers, and the asker: good if cut->error is "" */
};

/* Zero-initialised is idle. */
struct cut {
    enum cut_phase phase;
    uint64_t id;    /* of the last cut, 0: none yet */
    uint64_t tries; /* to prepare and lock; the number of the last one */
    uint32_t shards;
    bool lost;                                       /* a shard went down while MAKING */
    bool unprepared[SHARD_MAX], unlinked[SHARD_MAX]; /* what is awaited */
    char error[CUT_TEXT_BYTES];
};

const char *cut_phase_words(enum cut_phase phase);
uint32_t cut_phase_limit_s(enum cut_phase phase);

/* Begin, with a new id; only while idle. Returns CUT_MAKE. */
enum cut_step cut_begin(struct cut *cut, uint32_t shards);
/* The process of MAKING, PUBLISHING or REMOVING has ended. error "": well. */
enum cut_step cut_process_ended(struct cut *cut, const char *error);
enum cut_step cut_prepared(struct cut *cut, uint64_t id, uint64_t try, uint32_t shard,
                           const char *error);
/* A barrier that failed is tried again, CUT_TRIES_MAX times in all. */
enum cut_step cut_barrier_ended(struct cut *cut, uint64_t id, uint64_t try, const char *error);
enum cut_step cut_linked(struct cut *cut, uint64_t id, uint64_t try, uint32_t shard,
                         const char *error);
/* The process of a shard is gone: what it held of the cut is lost. */
enum cut_step cut_shard_lost(struct cut *cut, uint32_t shard);
/* The phase has taken longer than its limit. */
enum cut_step cut_timed_out(struct cut *cut);

#endif
