/* persist_private.h - the object behind persist.h, for the files of this folder that share it. */
#ifndef REMUDA_PERSIST_PRIVATE_H
#define REMUDA_PERSIST_PRIVATE_H
#include "worker/persist/persist.h"

#include "worker/persist/aof_manifest.h"
#include "worker/persist/aof_private.h"
#include "worker/persist/background.h"
#include "worker/persist/snapshot_child.h"

enum { PERSIST_TEXT_BYTES = 512, PERSIST_PATH_BYTES = 2300 };

/* What a fork is for: one at a time. */
enum fork_purpose { FORK_NOTHING, FORK_SNAPSHOT, FORK_REWRITE };

/* A wish goes to the supervisor's scheduler; the turn is given back when the child is gone. */
struct fork_turn {
    uint64_t id;               /* of the last wish */
    enum fork_purpose wish;    /* asked, not granted yet */
    enum fork_purpose running; /* a child lives (or the rewrite's last steps run) */
};

struct snapshots {
    uint64_t dirty, dirty_at_fork;
    int64_t last_good_s, last_try_s, last_seconds; /* last_seconds: -1 if there was none */
    uint64_t last_us, last_cow_bytes, count, fork_us;
    bool last_ok;
    bool scheduled; /* BGSAVE SCHEDULE waits for the rewrite to end */
    uint64_t loaded_keys, expired_on_load;
};

/* One rewrite of the log; see aof_rewrite.c. */
struct rewrite {
    bool scheduled, last_ok, active;
    bool afresh; /* the old files are not to be trusted: nothing of them is synced or named */
    bool files_pending, committing, broken;
    uint64_t fork_offset; /* what the new base contains, on the write path */
    uint64_t started_us, count, failures, size_at_last;
    int64_t last_seconds, last_failed_s;
    uint64_t last_cow_bytes;
    uint64_t incr_seq, base_seq;
    char temp[64], base_name[AOF_NAME_MAX + 1], incr_name[AOF_NAME_MAX + 1];
    /* For the thread; its own copies. */
    struct background_job files_job, commit_job;
    struct aof_manifest next;
    struct rdb_saved saved;
    int old_fd, new_fd, job_errno;
    const char *dir;
    char manifest_name[AOF_NAME_MAX + 32];
    char error[PERSIST_TEXT_BYTES];
};

struct persist {
    struct ev_loop *loop;
    char *dir, *aof_dir;
    const struct config *config;
    struct keyspace *ks;
    struct status_page *status;
    struct persist_hooks hooks;
    struct background *background;
    bool loading, stopping;
    uint64_t load_done_before; /* bytes of the files loaded before the one at hand */
    uint64_t progress_at_us;

    struct fork_turn turn;
    struct snapshot_child child;
    struct snapshots snapshots;
    bool turn_has_writes; /* of clients */

    struct aof aof; /* used only if aof_on */
    bool aof_on;
    struct aof_manifest manifest;
    struct rewrite rewrite;
};

/* ---- persist_load.c ---- */
int persist_load_snapshot(struct persist *p, bool must_exist, char *error_r, size_t error_bytes);
int persist_open_log(struct persist *p, char *error_r, size_t error_bytes);
/* Temporary files of dead processes. */
void persist_remove_temps(const char *dir);

/* ---- snapshot.c ---- */
void snapshot_granted(struct persist *p);
void snapshot_cron(struct persist *p);
/* Kill the snapshot child, if it is one. */
void snapshot_abort(struct persist *p);

/* ---- aof_rewrite.c ---- */
void rewrite_init(struct persist *p);
void rewrite_granted(struct persist *p);
void rewrite_cron(struct persist *p);
void rewrite_abort(struct persist *p);
void rewrite_manifest_name(const struct config *config, char name[AOF_NAME_MAX + 32]);
/* Create an empty increment; the folder is not synced yet. Returns the fd, or -1 with a text. */
int rewrite_create_incr(const char *dir, const char *name, char *error_r, size_t error_bytes);
int rewrite_publish_manifest(const char *dir, const char *manifest_name,
                             const struct aof_manifest *manifest, char *error_r,
                             size_t error_bytes);
/* Delete the files the manifest calls history, and say so in it. */
int rewrite_drop_history(const char *dir, const char *manifest_name, struct aof_manifest *manifest,
                         char *error_r, size_t error_bytes);
/* The shard's first log: a base with all that is in memory, an empty increment, the manifest. */
int rewrite_first(struct persist *p, char *error_r, size_t error_bytes);

/* ---- persist.c: turns ---- */
static inline bool persist_child_busy(const struct persist *p) {
    return p->turn.wish != FORK_NOTHING || p->turn.running != FORK_NOTHING;
}
void persist_want_fork(struct persist *p, enum fork_purpose purpose, const char *what);
void persist_end_turn(struct persist *p);
void persist_tell_progress(struct persist *p);
struct rdb_save_job persist_save_job(const struct persist *p, bool aof_base);
int64_t persist_now_s(void);

#endif
