/* offline_private.h - what the tools share: the run, its progress, and the files keys are dealt to. */
#ifndef REMUDA_OFFLINE_PRIVATE_H
#define REMUDA_OFFLINE_PRIVATE_H
#include "config/config.h"
#include "shared/ipc/slot_map.h"
#include "worker/command/session.h"
#include "worker/offline/offline.h"
#include "worker/persist/shard_files.h"

enum { OFFLINE_TEXT_BYTES = 4096 };

struct offline {
    const char *tool;
    struct config *config;
    bool logs; /* runs within a pool's start */

    /* Progress: bytes of all files to be read; before: of those that are done. The keys of a log are
     * written when all of it has been read: that is as much work again. */
    uint64_t total_bytes, before_bytes, keys;
    uint64_t writing_total, writing_done;
    uint64_t started_us, shown_us;
    char error[OFFLINE_TEXT_BYTES];
};

/* ---- offline.c ---- */
/* "0,5461,..." into a map to be freed with mem_free(), or NULL. */
struct slot_map *offline_slots(const char *text);
/* One line of the result: to stdout, or to the log. */
void offline_say(const struct offline *o, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Where reading stands within the current file; tells now and then. */
void offline_progress(struct offline *o, uint64_t offset);
/* All shards' files, so many shards. */
void offline_progress_begin(struct offline *o, const struct shard_files *files, uint32_t count);
void offline_progress_end(struct offline *o);

/* ---- targets.c: RDB files that keys are dealt to ---- */
struct targets {
    const struct config *config;
    const struct slot_map *slots; /* NULL: one file takes all */
    const char *dir;              /* with slots: shard-NNNN/ are made in it */
    uint32_t count;
    struct rdb_part *parts[SHARD_MAX];
    struct rdb_saved saved[SHARD_MAX];
    uint64_t *db_keys; /* by database */
};
/* dir/shard-NNNN/dump.rdb for each shard, or dir/name if slots is NULL. 0, or -1 with a text. */
int targets_open(struct targets *t, const struct config *config, const char *dir, const char *name,
                 const struct slot_map *slots, char *error_r, size_t error_bytes);
/* The file a key goes to; it is counted. */
struct rdb_part *targets_part(struct targets *t, uint32_t db, struct bytes key);
/* Finish all files, safe on disk with their folders. 0, or -1 with a text. */
int targets_commit(struct targets *t, bool replace, char *error_r, size_t error_bytes);
/* Also after a commit: frees. */
void targets_free(struct targets *t);
void targets_say_shards(const struct targets *t, const struct offline *o);
void targets_say_databases(const struct targets *t, const struct offline *o);

/* ---- replayer.c: the commands of a log, run into a keyspace of their own ---- */
struct replayer {
    struct config *config;
    struct keyspace *ks;
    struct session session;
    uint64_t functions; /* FUNCTION commands, skipped */
};
void replayer_open(struct replayer *r, struct config *config);
void replayer_close(struct replayer *r);
/* 0, or -1 with a text. */
int replayer_command(struct replayer *r, uint32_t argc, const struct bytes *argv, char *error_r,
                     size_t error_bytes);

/* ---- copy.c: every key of a shard's files to the targets ---- */
struct copy {
    struct offline *offline;
    struct targets *targets;
    /* Only keys that this shard owns; the others are strays. owners NULL: all. */
    const struct slot_map *owners;
    uint32_t shard;
    const char *strays_dir; /* strays are kept there; NULL: only counted */
    /* What was left out, over all calls. */
    uint64_t expired, empty, functions, module_parts, strays, cut_bytes;

    /* of the call */
    struct replayer replayer;
    struct rdb_part *strays_part;
    uint64_t log_bytes, log_keys, log_written; /* keys written of a log that has been read */
};
/* 0, or -1 with a text in offline->error. */
int copy_files(struct copy *c, const struct shard_files *files);
/* What was left out, in words. */
void copy_say_skipped(const struct copy *c);
/* Does the file system of dir have room for what these files hold? 0, or -1 with a text. */
int copy_check_room(const struct shard_files *files, uint32_t count, const char *dir, char *error_r,
                    size_t error_bytes);

/* ---- pool_files.c: the files of all shards ---- */
struct pool_files {
    struct shard_files *shards;
    uint32_t count;
};
void offline_shard_dir(const char *dir, uint32_t shard, char path[SHARD_PATH_BYTES]);
/* Both: 0, or -1 with a text in the offline's error. must_exist: a shard without a folder is an error;
 * else it is empty, as a start has it. */
int pool_files_find(struct pool_files *pool, const char *dir, const struct slot_map *owners,
                    bool must_exist, struct offline *o);
int pool_files_copy(const struct pool_files *pool, struct copy *copy);
void pool_files_free(struct pool_files *pool);

/* ---- the tools ---- */
int import_run(struct offline *o, char **argv);
int redistribute_run(struct offline *o, char **argv);
int export_run(struct offline *o, char **argv);
int check_run(struct offline *o, char **argv);

#endif
