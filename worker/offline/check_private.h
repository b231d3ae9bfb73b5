/* check_private.h - what the files of check share. */
#ifndef REMUDA_OFFLINE_CHECK_PRIVATE_H
#define REMUDA_OFFLINE_CHECK_PRIVATE_H
#include "worker/offline/offline_private.h"

struct check {
    struct offline *offline;
    bool fix;
    const struct slot_map *owners; /* NULL: no pool */
    uint32_t shard;
    const char *dir; /* whose quarantine/ is used */
    uint64_t fine, problems, fixed;

    /* of the files at hand */
    struct replayer replayer;
    bool broken; /* the log before is damaged: only the form of what follows is looked at */
    uint64_t strays;
    char stray[512]; /* the first of them, in words */
};

/* One line about a file. FIXED and PROBLEM count as such. */
enum check_verdict { CHECK_FINE, CHECK_NOTE, CHECK_PROBLEM, CHECK_FIXED };
void check_say(struct check *c, enum check_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A file that was on its way in or out when its process died: --fix deletes it. */
void check_left_over(struct check *c, const char *path);

/* ---- check_log.c ---- */
/* A snapshot: every value, the checksum, whose the keys are. */
void check_snapshot(struct check *c, const char *path, uint64_t bytes);
/* A log in one file. */
void check_single_log(struct check *c, const char *path, uint64_t bytes);
/* A manifest and its files, and what else lies in the folder. */
void check_log_folder(struct check *c, const char *aof_dir);

#endif
