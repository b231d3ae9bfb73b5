/* persist_private.h - the object behind persist.h, for the files of this folder that share it. */
#ifndef REMUDA_PERSIST_PRIVATE_H
#define REMUDA_PERSIST_PRIVATE_H
#include "worker/persist/persist.h"

#include "worker/persist/aof_manifest.h"
#include "worker/persist/aof_private.h"
#include "worker/persist/aof_rotate.h"
#include "worker/persist/background.h"
#include "worker/persist/snapshot_child.h"

enum { PERSIST_TEXT_BYTES = 512, PERSIST_PATH_BYTES = 2300 };

/* What a fork is for: one at a time. */
enum fork_purpose { FORK_NOTHING, FORK_SNAPSHOT, FORK_REWRITE, FORK_DISKLESS, FORK_ASIDE };

/* A wish goes to the supervisor's scheduler; the turn is given back when the child is gone. FORK_ASIDE has no
 * wish: it is in a turn of another process's, which all shards fork in. */
struct fork_turn {
    uint64_t id;               /* of the last wish */
    enum fork_purpose wish;    /* asked, not granted yet */
    enum fork_purpose running; /* a child lives (or the rewrite's last steps run) */
};

struct snapshots {
    uint64_t dirty, dirty_at_fork;
    int64_t last_good_s, last_try_s;
    uint64_t last_us, last_cow_bytes, count, fork_us;
    bool last_ok;
    bool scheduled; /* asked for, and waits for another child or a log that ends */
    uint64_t loaded_keys, expired_on_load;
};

/* One rewrite of the log; see aof_rewrite.c. */
struct rewrite {
    bool scheduled, last_ok, active;
    bool first; /* it is the first base of a log that begins */
    bool committing, broken;
    uint64_t started_us, count, failures, size_at_last;
    uint64_t total_at_fork; /* bytes of the whole log */
    int64_t last_failed_s;
    uint64_t last_us, last_cow_bytes; /* last_us: how long it took; 0: there was none */
    uint64_t base_seq;
    char temp[64], base_name[AOF_NAME_MAX + 1];
    struct rotation rotation;
    struct log_turn commit_turn;
    /* For the thread; its own copies. */
    struct background_job commit_job;
    struct aof_manifest next;
    struct rdb_saved saved;
    uint64_t synced_offset;
    int incr_fd;
    bool commit_ok;
    const char *dir, *home;
    char manifest_name[AOF_NAME_MAX + 32];
    char error[PERSIST_TEXT_BYTES];
};

/* ---- aof_switch.c: a log begins and ends while the shard serves ----
 *
 *   OFF -> STARTING -----------------------------------------> ON -> ENDING -> OFF
 *            waits for its turn to fork; from the fork on the
 *            increment takes everything; the base gets whole;
 *            the manifest is published
 */
enum log_state { LOG_OFF, LOG_STARTING, LOG_ON, LOG_ENDING };
enum log_ending {
    END_LEAVE,  /* a temporary one: its files are its owner's business */
    END_REMOVE, /* it never came on: its files go */
    END_RETIRE  /* all in it is made safe, then its folder is put out of use */
};
enum { LOG_MARK_BYTES = 128 };

/* Whoever began a temporary log is told of each state it comes to; OFF ends it, with the reason if that
 * was not asked for. */
struct log_owner {
    void (*changed)(void *arg, enum log_state state, const char *error);
    void *arg;
};

/* The log at hand: the shard's own, or a temporary one in another folder while appendonly is no. */
struct log_switch {
    enum log_state state;
    bool taking;    /* an increment takes what is executed */
    bool was_on;    /* it has come on: a start would load it */
    bool temporary; /* nobody relies on it: no reply waits for it, its troubles end it */
    char *home; /* of a real one that begins: where its folder goes when it is whole; else NULL */
    struct log_owner owner;
    int64_t retry_at_s; /* one that failed to begin is not begun again before */
    uint64_t retry_seconds;
    struct log_turn end_turn;
    enum log_ending end_how;
    char end_mark[LOG_MARK_BYTES]; /* which dump.rdb there was when it ended */
    bool retired_there;            /* a retired log waits for a good snapshot */
    bool removing;
    char error[PERSIST_TEXT_BYTES]; /* why it ends by itself, or "" */
    /* For the thread; its own copies. */
    struct background_job end_job, remove_job;
    const char *end_dir;
    char end_retired[PERSIST_PATH_BYTES], remove_path[PERSIST_PATH_BYTES];
    int end_fd;
    bool end_sync, end_ok;
};

/* ---- cut.c: this shard's part of a consistent cut ---- */
enum shard_cut_state {
    CUT_NOTHING,
    CUT_ASKED,    /* for the turn to rotate */
    CUT_READY,    /* has it: the mark may come */
    CUT_LEAVING,  /* not wanted any more: the rotation ends by itself */
    CUT_ROTATING, /* marked, the increment ends */
    CUT_LINKING   /* the thread links and syncs */
};

struct shard_cut {
    struct persist *p;
    enum shard_cut_state state;
    uint64_t id, try;
    bool wanted; /* to be prepared as soon as it can be */
    bool over;   /* ended: a temporary log may go */
    bool removing;
    char dir[CUT_DIR_BYTES];
    struct rotation rotation;
    /* Of the mark, for the thread. */
    uint64_t marked_id, marked_try, keys;
    char from[CUT_DIR_BYTES + 512], to[CUT_DIR_BYTES];
    const char *folder;
    char manifest_name[AOF_NAME_MAX + 32];
    struct aof_manifest files;
    struct background_job link_job, remove_job;
    bool linked;
    struct buf report;
    char error[PERSIST_TEXT_BYTES];
};

struct persist {
    struct ev_loop *loop;
    char *dir;
    char *aof_dir; /* of the log at hand */
    const struct config *config;
    struct keyspace *ks;
    struct status_page *status;
    struct persist_hooks hooks;
    struct background *background;
    bool loading, stopping;
    uint64_t load_started_us;
    uint64_t load_done_before; /* bytes of the files loaded before the one at hand */
    uint64_t progress_at_us;

    struct rdb_origin origin; /* of the file that is about to be written */
    struct fork_turn turn;
    struct snapshot_child child;
    struct snapshots snapshots;
    bool turn_has_writes; /* of clients */

    struct log_switch log;
    struct aof aof; /* used unless the log is off */
    struct aof_manifest manifest;
    bool spare_incr; /* the last increment is not the open one: it was made early, and is empty */
    struct list log_turns; /* who changes the log's files, or waits to; the first has the turn */
    struct rewrite rewrite;
    struct shard_cut cut;
};

/* ---- persist_load.c ---- */
/* name: in the shard's folder. */
int persist_load_snapshot(struct persist *p, const char *name, bool must_exist, char *error_r,
                          size_t error_bytes);
int persist_open_log(struct persist *p, char *error_r, size_t error_bytes);
/* appendonly is no, but there is a log: into dump.rdb with all it holds, and out of use. */
int persist_turn_log_into_snapshot(struct persist *p, char *error_r, size_t error_bytes);
/* Temporary files of dead processes. */
void persist_remove_temps(const char *dir);

/* ---- snapshot.c ---- */
void snapshot_granted(struct persist *p);
void snapshot_cron(struct persist *p);
/* Kill the snapshot child, if it is one. */
void snapshot_abort(struct persist *p);

/* ---- diskless.c ---- */
void diskless_granted(struct persist *p);
/* Kill the child that writes to replicas, if it is one; a wish is taken back. */
void diskless_abort(struct persist *p);

/* ---- aside.c ---- */
/* Kill the child of persist_aside(), if it is one. */
void aside_abort(struct persist *p);

/* ---- aof_rewrite.c ---- */
void rewrite_init(struct persist *p);
void rewrite_granted(struct persist *p);
void rewrite_cron(struct persist *p);
void rewrite_abort(struct persist *p);
/* The same without waiting: what is on the thread ends by itself. Nothing once it is being committed. */
void rewrite_cancel(struct persist *p, const char *why);
/* Number and name of the increment that follows the last. */
uint64_t rewrite_next_incr(const struct persist *p, char name_r[AOF_NAME_MAX + 1]);
void rewrite_manifest_name(const struct config *config, char name[AOF_NAME_MAX + 32]);
/* Create an empty increment, or take one that is there; the folder is not synced yet. Returns the fd,
 * or -1 with a text. */
int rewrite_create_incr(const char *dir, const char *name, char *error_r, size_t error_bytes);
int rewrite_publish_manifest(const char *dir, const char *manifest_name,
                             const struct aof_manifest *manifest, char *error_r,
                             size_t error_bytes);
/* Delete the files the manifest calls history, and say so in it. */
int rewrite_drop_history(const char *dir, const char *manifest_name, struct aof_manifest *manifest,
                         char *error_r, size_t error_bytes);
/* The shard's first log: a base with all that is in memory, an empty increment, the manifest. */
int rewrite_first(struct persist *p, char *error_r, size_t error_bytes);

/* ---- aof_rotate.c, for this folder's log files only ---- */
void rotation_go_on(struct rotation *r);

/* ---- aof_switch.c ---- */
void log_init(struct persist *p);
/* Begin a log in this folder (created if missing). It must be OFF. 0, or -1 with a text. */
int log_begin_temporary(struct persist *p, const char *dir, const struct log_owner *owner,
                        char *error_r, size_t error_bytes);
/* End it, whatever it does. The owner is told OFF when all is done. Nothing if it is OFF or ENDING. */
void log_end(struct persist *p);
/* From the fork of the first base on the log takes what is executed. */
void log_take(struct persist *p);
/* The folder of a log that begins has got its name. */
void log_is_home(struct persist *p);
/* The first base is committed, or (error not NULL) it failed. */
void log_first_base_done(struct persist *p, const char *error);
/* On the thread: a whole log gets its place. 0, or -1 with a text: then it is where it was. */
int log_move_home(const char *dir, const char *home, char *error_r, size_t error_bytes);
/* Begin or end the shard's own log as appendonly says. 0, or -1 with a text: it cannot begin now. */
int log_follow_config(struct persist *p, char *error_r, size_t error_bytes);
void log_switch_cron(struct persist *p);
/* Close its file; nothing of it is known any more. */
void log_forget(struct persist *p);
/* Do replies and refusals of writes depend on the log, and is it what a start would load? */
static inline bool persist_log_is_truth(const struct persist *p) {
    return !p->log.temporary && p->log.was_on;
}

/* ---- cut.c ---- */
void cut_init(struct persist *p);
void cut_free(struct persist *p);
void cut_cron(struct persist *p);
/* The temporary log of a process that died. */
void cut_clean(struct persist *p);

/* ---- aof_retire.c ---- */
/* Path of the log's folder with something before and behind its name. */
void log_home(const struct persist *p, const char *before, const char *behind,
              char path_r[PERSIST_PATH_BYTES]);
/* A folder of plain files; says in the log what cannot be deleted. Nothing if there is none. */
void log_remove_folder(const char *path);
/* What tells the present dump.rdb from any other. */
void log_mark_snapshot(const struct persist *p, char mark_r[LOG_MARK_BYTES]);
/* Has no snapshot made up for this retired log of the shard in dir? */
bool log_retired_counts(const char *dir, const struct config *config, const char *retired);
/* Put a log out of use, as of this mark. 0, or -1 with a text. */
int log_retire_folder(const char *home, const char *retired, const char *mark, char *error_r,
                      size_t error_bytes);
/* Is there a log on disk that is not retired? */
bool log_exists(const struct persist *p);
/* At start: a retired log that no snapshot has made up for is a log again. 0, or -1 with a text. */
int log_take_back(struct persist *p, char *error_r, size_t error_bytes);
/* A snapshot holds all there is, or a new log does: the retired one goes, in the background. */
void log_remove_retired(struct persist *p);
/* dump.rdb is new: a retired log goes; one that is on gets younger than it, as it knows all in it. */
void log_snapshot_is_good(struct persist *p);

/* ---- persist.c: turns ---- */
static inline bool persist_child_busy(const struct persist *p) {
    return p->turn.wish != FORK_NOTHING || p->turn.running != FORK_NOTHING;
}
/* A snapshot, to wherever: what redis calls a background save. */
static inline bool persist_snapshot_busy(const struct persist *p) {
    enum fork_purpose running = p->turn.running, wish = p->turn.wish;
    return running == FORK_SNAPSHOT || running == FORK_DISKLESS || running == FORK_ASIDE ||
           wish == FORK_SNAPSHOT || wish == FORK_DISKLESS;
}
void persist_want_fork(struct persist *p, enum fork_purpose purpose, enum fork_urgency urgency,
                       const char *what);
/* Take the wish back, if it is this one. */
void persist_withdraw_wish(struct persist *p, enum fork_purpose purpose);
void persist_end_turn(struct persist *p);
void persist_tell_progress(struct persist *p);
/* So many bytes are loaded (persist_info.c). */
void persist_refresh_load(struct persist *p, uint64_t done);
struct rdb_save_job persist_save_job(struct persist *p, bool aof_base);
int64_t persist_now_s(void);

#endif
