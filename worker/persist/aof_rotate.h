/* aof_rotate.h - the log goes on in a new increment, and the turns of all who change which files make
 * up the log.
 *
 *   rotation_ask -> ready() -> rotation_go: the last batch goes to incr n, the log is held
 *                                 thread: sync incr n; create n+1; sync the folder;
 *                                         publish {base, incr .. n, n+1}
 *                              -> the log goes on in n+1 -> done()
 *
 * What was executed before rotation_go() is in the increments up to n, all later in those from n+1 on,
 * and n is on disk before n+1 gets its first byte. rotation_go() may come long after ready(): nobody
 * else changes the files meanwhile, so the cut is made at the very moment it is called.
 *
 * How long the log is held, and with it the replies to writes: until n is synced and n+1 published. An
 * early rotation makes and publishes n+1, still empty, before ready(), and syncs n a first time: what is
 * left to wait for is one sync of what was written since. */
#ifndef REMUDA_PERSIST_AOF_ROTATE_H
#define REMUDA_PERSIST_AOF_ROTATE_H
#include "worker/persist/aof_manifest.h"
#include "worker/persist/background.h"

enum { ROTATION_TEXT_BYTES = 512 };

struct persist;

/* ---- turns: a rotation, a rewrite's commit, the end of a log; one at a time, in the order asked ---- */
struct log_turn {
    struct list link;
    bool asked;                           /* queued, or has the turn */
    void (*begin)(struct log_turn *turn); /* it is yours until log_turn_end() */
};
void log_turn_ask(struct persist *p, struct log_turn *turn);
/* Give it back, or take back the wish. Nothing if it was not asked for. */
void log_turn_end(struct persist *p, struct log_turn *turn);

/* ---- rotations ---- */
enum rotation_kind {
    ROTATE_ONWARD, /* as above */
    ROTATE_AFRESH, /* n is not to be trusted: neither synced nor named again; the new one is named by
                      the rewrite's commit, and the log is held until then */
    ROTATE_FIRST   /* there is no n: the log goes on, and the first base's commit names it */
};

struct rotation {
    struct log_turn turn;
    struct persist *p;
    /* It is this one's turn: call rotation_go() or rotation_withdraw(), now or later. */
    void (*ready)(struct rotation *r);
    /* The log goes on in the new increment (held, if AFRESH), or it goes on as before: error. */
    void (*done)(struct rotation *r, bool ok);

    enum rotation_kind kind;
    bool early;      /* set it before rotation_ask(); only ONWARD, and only if n holds anything */
    bool making;     /* its new increment is being made before ready() */
    bool made;       /* it is there, and named by the manifest */
    bool unwanted;   /* withdrawn too late */
    bool going;      /* from rotation_go() to done() */
    uint64_t seq;    /* of the new increment: all from this one on hold what came after the cut */
    uint64_t offset; /* of the cut, on the write path */
    char name[AOF_NAME_MAX + 1]; /* of the new increment */
    char error[ROTATION_TEXT_BYTES];

    /* For the thread; its own copies. */
    struct background_job job;
    struct aof_manifest next;
    const char *dir;
    int old_fd, new_fd, sync_errno;
};

/* Neither callback may be NULL. */
void rotation_init(struct rotation *r, struct persist *p, void (*ready)(struct rotation *r),
                   void (*done)(struct rotation *r, bool ok));
/* The thread is done with it. */
void rotation_deinit(struct rotation *r);
/* Needs a log that is on (unless FIRST). ready() may be called before this returns. An early one whose
 * increment cannot be made ends in done(), not in ready(). */
void rotation_ask(struct rotation *r, enum rotation_kind kind);
/* Make the cut here. 0, or -1 with r->error: the turn is over, done() is not called. */
int rotation_go(struct rotation *r);
/* Before rotation_go(): no rotation after all, true. Nothing afterwards, and an early one that has begun
 * goes through with it: false, done() will be called. */
bool rotation_withdraw(struct rotation *r);

#endif
