/* background.h - one thread for what may wait on the disk: fdatasync, publishing a manifest. Jobs run
 * one at a time in the order given; the end of each is told on the loop's thread. */
#ifndef REMUDA_PERSIST_BACKGROUND_H
#define REMUDA_PERSIST_BACKGROUND_H
#include "shared/base/list.h"
#include <stdbool.h>
#include <stddef.h>

struct background;
/* Owned by the caller, untouched by him from submit until done. */
struct background_job {
    struct list link;
    void (*run)(struct background_job *job);  /* on the thread: touches nothing but the job */
    void (*done)(struct background_job *job); /* on the loop */
};

/* NULL with a text if there are no resources. */
struct background *background_create(void *loop, char *error_r, size_t error_bytes);
void background_submit(struct background *b, struct background_job *job);
/* Does a job run or wait to run? */
bool background_is_busy(struct background *b);
/* Wait until all jobs are done, and tell their ends; for stopping, when no loop turns any more. */
void background_drain(struct background *b);
/* Drains, ends the thread. */
void background_free(struct background **b);

#endif
