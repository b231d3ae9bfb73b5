/* scheduler.h - whose turn it is to fork a snapshot child. Pure: it only keeps the queue.
 *
 *   wish ... wish ... wish          granted while fewer than `concurrency` grants are out; a
 *   oldest first                    second grant needs room in memory, the first one never waits
 *
 * A fork doubles what is written to while it lives, so shards take turns. Wishes and grants of a
 * process that died are dropped with scheduler_forget(). */
#ifndef REMUDA_SUPERVISOR_SCHEDULER_H
#define REMUDA_SUPERVISOR_SCHEDULER_H
#include <stdbool.h>
#include <stdint.h>

enum { SCHEDULER_WISHES_MAX = 1024, SCHEDULER_WISHES_PER_PROCESS = 4 };

struct fork_wish {
    uint32_t process;
    uint64_t id;    /* the asker's */
    uint64_t bytes; /* memory that may have to be copied */
    bool granted;
};

/* Zero-initialised is empty. Wishes in order of arrival, granted ones among them. */
struct scheduler {
    struct fork_wish wishes[SCHEDULER_WISHES_MAX];
    uint32_t count;
};

/* Queue a wish. False if the process has too many (SCHEDULER_WISHES_PER_PROCESS) or has this id
 * already: the child misbehaves. */
bool scheduler_want(struct scheduler *scheduler, uint32_t process, uint64_t id, uint64_t bytes);
/* The child ended or the wish is withdrawn. False if there is no such wish. */
bool scheduler_done(struct scheduler *scheduler, uint32_t process, uint64_t id);
/* The process died: all its wishes go. */
void scheduler_forget(struct scheduler *scheduler, uint32_t process);
/* The next wish to grant, now marked granted; call until it returns false. */
bool scheduler_next(struct scheduler *scheduler, uint32_t concurrency, uint64_t available_bytes,
                    struct fork_wish *wish_r);

#endif
