/* snapshot_child.h - a forked copy of the worker that writes its keyspace to a file or a pipe and exits. It tells
 * of its progress through a pipe; the end is seen through a pidfd. */
#ifndef REMUDA_PERSIST_SNAPSHOT_CHILD_H
#define REMUDA_PERSIST_SNAPSHOT_CHILD_H
#include "worker/persist/rdb_private.h"

#include <ev.h>
#include <sys/types.h>

enum { CHILD_TEXT_BYTES = 240 };

struct snapshot_order {
    struct rdb_save_job job;
    const char *dir;
    const char *temp;       /* the file to write, in dir */
    const char *final_name; /* what it becomes; NULL: it stays, synced, for the parent to rename */
    bool scratch;           /* nobody wants the file after a crash: it is not synced */
    const int *pipe; /* if not NULL: it goes there, and temp and final_name are not looked at */
    /* Write nothing before snapshot_child_go() (or five seconds have passed): whoever has a few syncs to do
     * first would wait for what the child has written, too. */
    bool waits;
};

struct snapshot_child {
    struct ev_loop *loop;
    pid_t pid; /* 0: none */
    int pidfd, pipe;
    ev_io exit_watch, pipe_watch;
    char temp_path[2400]; /* "": it writes no file */
    uint64_t started_us, fork_us;
    uint64_t keys, bytes, cow_bytes; /* last heard */
    uint64_t keys_total;             /* at the fork */
    uint64_t cow_peak_bytes, cow_heard_us;
    bool finished; /* it has reported a good end */
    struct rdb_saved saved;
    char error[CHILD_TEXT_BYTES];
    /* Called on the loop when the child is gone, unless it was killed by us. */
    void (*done)(void *arg, bool ok);
    void *arg;
};

/* Called in the child before it writes anything, if not NULL: a test can have it wait there. */
extern void (*snapshot_child_begins)(void);

/* Fork. Nothing of order is needed afterwards. 0, or -1 with a text (done is not called then). */
int snapshot_child_start(struct snapshot_child *child, void *loop,
                         const struct snapshot_order *order, void (*done)(void *arg, bool ok),
                         void *arg, char *error_r, size_t error_bytes);
static inline bool snapshot_child_alive(const struct snapshot_child *child) {
    return child->pid != 0;
}
/* A child that waits may begin. Nothing if there is none. */
void snapshot_child_go(struct snapshot_child *child);
/* End it at once and remove its temporary file; done is not called. Nothing if there is none. */
void snapshot_child_kill(struct snapshot_child *child);

#endif
