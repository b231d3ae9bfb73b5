/* scheduler.h - whose turn it is to fork a snapshot child. Pure: it only keeps the queue.
 *
 *   wish ... wish ... wish     granted: the most urgent, of those the oldest,
 *                              - while fewer than `concurrency` grants are out, and
 *                              - if what is available could carry the worst: all that those out may
 *                                still have to copy, and all that the new one may
 *
 * A wish of all shards (scheduler_want_all) is granted when no other is, and none is beside it: its asker has
 * every shard fork at one moment. When it is its turn, nobody overtakes it while the others end.
 *
 * A fork doubles what is written to while it lives, so shards take turns, and not even the first is
 * let out if memory could not carry it. One that does not fit does not keep back a smaller one. Each
 * wish knows what it waits for, so that it never waits silently. Wishes and grants of a process that
 * died are dropped with scheduler_forget(). */
#ifndef REMUDA_SUPERVISOR_SCHEDULER_H
#define REMUDA_SUPERVISOR_SCHEDULER_H
#include "shared/ipc/control.h"
#include "shared/ipc/status_page.h"
#include <stdbool.h>
#include <stdint.h>

enum { SCHEDULER_WISHES_MAX = 1024, SCHEDULER_WISHES_PER_PROCESS = 4 };

struct fork_wish {
    uint32_t process;
    uint64_t id; /* the asker's */
    enum fork_urgency urgency;
    uint64_t bytes;        /* memory that may have to be copied, all in all */
    uint64_t copied_bytes; /* of those, copied by now */
    bool of_all;           /* every shard forks: alone */
    bool granted;
    enum fork_wait wait;   /* as scheduler_next() last found it */
    uint64_t needed_bytes; /* that must be available for it, as found then */
    bool told;             /* the caller's: a line of its log has said that it waits for memory */
};

/* Zero-initialised is empty. Wishes in order of arrival, granted ones among them. */
struct scheduler {
    struct fork_wish wishes[SCHEDULER_WISHES_MAX];
    uint32_t count;
};

/* Queue a wish. False if the process has too many (SCHEDULER_WISHES_PER_PROCESS) or has this id
 * already: the child misbehaves. */
bool scheduler_want(struct scheduler *scheduler, uint32_t process, uint64_t id,
                    enum fork_urgency urgency, uint64_t bytes);
/* The same, to have all shards fork at once. bytes: of all of them. */
bool scheduler_want_all(struct scheduler *scheduler, uint32_t process, uint64_t id,
                        enum fork_urgency urgency, uint64_t bytes);
/* The child ended or the wish is withdrawn. False if there is no such wish. */
bool scheduler_done(struct scheduler *scheduler, uint32_t process, uint64_t id);
/* The process died: all its wishes go. */
void scheduler_forget(struct scheduler *scheduler, uint32_t process);
/* The next wish to grant, now marked granted; NULL if none: then each knows why it waits. Call until it
 * returns NULL; a pointer is good until the next call of another function. */
struct fork_wish *scheduler_next(struct scheduler *scheduler, uint32_t concurrency,
                                 uint64_t available_bytes);

#endif
