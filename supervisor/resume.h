/* resume.h - resume.json: where the links of a pool that follows go on after an orderly stop. See resume.c. */
#ifndef REMUDA_SUPERVISOR_RESUME_H
#define REMUDA_SUPERVISOR_RESUME_H
#include "shared/base/bytes.h"
#include "shared/ipc/slot_map.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESUME_FILE_NAME "resume.json"

struct child;
struct supervisor;

/* Texts of a worker, which alone knows what they mean; owned. NULL: none. */
struct resume_shard {
    char *seal, *links;
    bool settles; /* it was told to, and has not answered */
};
/* Zeroed it is empty. */
struct resume {
    uint32_t shards; /* in the file; 0: there is none */
    struct resume_shard shard[SHARD_MAX];
    bool pending;   /* not all workers have told their seals yet */
    uint32_t ready; /* how many have, so far the right ones */
    uint32_t unsettled;
};
void resume_clear(struct resume *r);
/* Read dir/resume.json, if there is one that can be read, and remove it: 0. -1 with a text: it is still there. */
int resume_take(struct resume *r, const char *dir, char *error_r, size_t error_bytes);
int resume_publish(const struct resume *r, const char *dir, char *error_r, size_t error_bytes);

/* ---- the start ---- */
void resume_begin(struct supervisor *s);
/* A worker serves; its files ended with this seal ("": with none). */
void resume_ready(struct child *child, struct bytes seal);
/* It died, or cannot be started. */
void resume_child_gone(struct child *child);

/* ---- the stop ---- */
/* Tell all links to settle. False: there is nothing to wait for. */
bool resume_settle(struct supervisor *s);
/* A worker's have. True: it was the last. */
bool resume_settled(struct child *child);
/* Its files are sealed; body: the seal, a newline, its links. */
void resume_sealed(struct child *child, struct bytes body);
/* The pool does not stop after all: links go on. */
void resume_release(struct supervisor *s);
/* All workers have ended in order. */
void resume_end(struct supervisor *s);

#endif
