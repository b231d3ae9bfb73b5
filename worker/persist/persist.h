/* persist.h - the files of a shard: load at start, snapshots, the append-only log, the write path.
 *
 * One object, driven by the worker's loop: persist_turn_end() once a turn writes the log; a timer
 * calls persist_cron(); forks happen when the supervisor's scheduler gives the turn. Nothing here
 * blocks the loop but SAVE, and load at start. */
#ifndef REMUDA_PERSIST_H
#define REMUDA_PERSIST_H
#include "config/config.h"
#include "shared/ipc/control.h"
#include "shared/ipc/status_page.h"
#include "worker/keyspace/keyspace.h"
#include "worker/persist/rdb_part.h"

struct persist;
struct aof;

enum snapshot_end { SNAPSHOT_GOOD, SNAPSHOT_FAILED, SNAPSHOT_ABORTED };

struct persist_hooks {
    void *arg;
    /* persist_reply_released() moved (called on the loop's thread): replies may go out. */
    void (*synced)(void *arg);
    /* Ask the scheduler for a turn to fork / give it back. persist_fork_granted() answers. */
    void (*fork_want)(void *arg, uint64_t id, uint64_t expected_bytes, enum fork_urgency urgency,
                      const char *what);
    void (*fork_done)(void *arg, uint64_t id);
    /* A command read from the log while loading. argv as a client's, unchecked. Returns 0, or -1 with
     * an error text if the command is refused: the load then fails. */
    int (*apply)(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                 size_t error_bytes);
    /* Each command of the log that is applied in turn, before it is, and its bytes; also MULTI and EXEC, which
     * are not applied, but not the log's checksums. left: from it (or its EXEC) on the log has so many bytes.
     * May be NULL. */
    void (*read)(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw,
                 uint64_t left);
    /* Does this shard own the key's slot? A file with other keys is refused. NULL: it owns all. */
    bool (*owns)(void *arg, struct bytes key);
    /* A new log file begins, or a log ends: take persist_aof() anew, and the next command must repeat
     * its SELECT. May be NULL. */
    void (*log_began)(void *arg);
    /* Where the data stand in a stream of replication: asked when a file is written, told when one was
     * loaded that says so. origin returns false if they stand in none. May be NULL. */
    bool (*origin)(void *arg, struct rdb_origin *origin_r);
    void (*origin_found)(void *arg, const struct rdb_origin *origin);
    /* A snapshot's child was forked: it has the keyspace of this moment. / It has ended. May be NULL. */
    void (*snapshot_forked)(void *arg);
    void (*snapshot_ended)(void *arg, enum snapshot_end how);
    /* The same for persist_diskless(): fd, the hook's own from here on, gives what the child writes. All of
     * it is there only if the end is good, too; it may be told before the last bytes were read. */
    void (*diskless_forked)(void *arg, int fd);
    void (*diskless_ended)(void *arg, enum snapshot_end how);
    /* The child of persist_aside() has ended. May be NULL. */
    void (*aside_ended)(void *arg, enum snapshot_end how);
    /* persist_cut_prepare() is done: error is "", or why not. Then, after the mark, the files are linked
     * and synced: report as in CONTROL_REPORT_CUT_LINKED. May be NULL. */
    void (*cut_prepared)(void *arg, uint64_t cut, uint64_t try, const char *error);
    void (*cut_linked)(void *arg, uint64_t cut, uint64_t try, struct bytes report);
    /* Called every so often while loading or saving in the foreground: heartbeat, progress. */
    void (*progress)(void *arg);
};

/* loop: the worker's struct ev_loop. dir: the shard's directory (created if missing). config is
 * live: read at each use. Returns NULL with a one-line error. */
struct persist *persist_create(void *loop, const char *dir, const struct config *config,
                               struct keyspace *ks, struct status_page *status,
                               const struct persist_hooks *hooks, char *error_r,
                               size_t error_bytes);
/* Read the shard's files into the keyspace: the log if there is one, else the snapshot. 0, or -1 with a
 * text that names file and offset: nothing has been changed on disk. Opens the log for appending, or if
 * appendonly is no, turns it into a snapshot. */
int persist_load(struct persist *p, char *error_r, size_t error_bytes);
/* Orderly end: the log written and synced; save as asked (enum shutdown_save) if save points say so.
 * 0, or -1 with a text (the caller may refuse to stop). Kills a running child first. */
int persist_stop(struct persist *p, int save, char *error_r, size_t error_bytes);
/* Supervisor gone: write and sync the log, nothing else. */
void persist_abandon(struct persist *p);
void persist_free(struct persist **p);
/* The log that takes what is executed, or NULL. It changes: see log_began. */
struct aof *persist_aof(struct persist *p);

/* ---- commands ---- */
/* SAVE, in the foreground. 0 or -1 with the text of the error reply. */
int persist_save(struct persist *p, char *error_r, size_t error_bytes);
enum persist_bgsave {
    BGSAVE_STARTED,   /* "Background saving started" */
    BGSAVE_SCHEDULED, /* "Background saving scheduled" (a rewrite runs, SCHEDULE given) */
    BGSAVE_BUSY,      /* "ERR Background save already in progress" */
    BGSAVE_BUSY_REWRITE /* "ERR Another child process is active (AOF?): can't BGSAVE right now. ..." */
};
enum persist_bgsave persist_bgsave(struct persist *p, bool schedule);
/* A snapshot for replicas, into a pipe: hooks.diskless_forked() follows when the fork has its turn. No file is
 * touched, and nothing counts as saved. Does nothing while another child is at work or waits: ask again. */
void persist_diskless(struct persist *p);
/* Nobody wants it any more: the wish is taken back, or the child killed. hooks.diskless_ended() is not called. */
void persist_diskless_end(struct persist *p);
/* A snapshot of this moment into a new file dir/name, not synced: the fork is done when this returns, in a turn that
 * the caller has for all shards, and hooks.aside_ended() follows. A child of an earlier call is killed without a
 * word. Nothing counts as saved. 0, or -1 with a text: another child is at work, or it can't fork. */
int persist_aside(struct persist *p, const char *dir, const char *name, char *error_r,
                  size_t error_bytes);
/* Nobody wants it any more: the child is killed, and hooks.aside_ended() not called. */
void persist_aside_end(struct persist *p);
enum persist_rewrite { REWRITE_STARTED, REWRITE_SCHEDULED, REWRITE_BUSY, REWRITE_FAILED };
enum persist_rewrite persist_bgrewriteaof(struct persist *p);
int64_t persist_lastsave_seconds(const struct persist *p);
/* A client's write happened, or a key went by itself: counts towards the save points. */
void persist_note_write(struct persist *p, uint64_t changes);
void persist_note_removal(struct persist *p);
uint64_t persist_dirty(const struct persist *p);
/* NULL if writes may go on, else the error reply: Redis's "MISCONF ..." text. */
const char *persist_write_refusal(const struct persist *p);
/* FLUSHALL: the old snapshot child is of no use; ends it, and saves if there are save points. */
void persist_flushed_all(struct persist *p);
/* A primary's snapshot, `file` in the shard's folder, becomes the data and dump.rdb, and the log begins anew.
 * For the caller the shard is as at load: hooks.progress is called. 0, or -1 with a text: the keyspace is
 * empty, dump.rdb as it was, and the file is gone. */
int persist_replace(struct persist *p, const char *file, char *error_r, size_t error_bytes);
/* The log that was on before is still there, and would be what a start takes in. */
bool persist_log_is_ending(const struct persist *p);
/* DEBUG RELOAD: save, empty, load. */
int persist_reload(struct persist *p, char *error_r, size_t error_bytes);

/* ---- a consistent cut of the pool: this shard's part (cut.c) ---- */
enum { CUT_DIR_BYTES = 1500 };
/* Be ready to end the increment: hooks.cut_prepared() follows, now or later. dir: the folder that will
 * get the files, whose parent exists. */
void persist_cut_prepare(struct persist *p, uint64_t cut, uint64_t try, const char *dir);
/* The cut is here. At most one write(2); the files are synced and linked by the thread, and
 * hooks.cut_linked() tells. 0, or -1 with a text. */
int persist_cut_mark(struct persist *p, uint64_t cut, uint64_t try, char *error_r,
                     size_t error_bytes);
/* Nothing more is wanted of it. */
void persist_cut_end(struct persist *p, uint64_t cut);

/* ---- the loop ---- */
/* A turn begins: what is executed from here on is written at its end. */
void persist_turn_begin(struct persist *p);
/* End of a turn: write(2) the log's buffer once; by policy start or wait for nothing, request a sync. */
void persist_turn_end(struct persist *p);
void persist_cron(
    struct persist *p); /* ten times a second: save points, everysec, child progress */
void persist_fork_granted(struct persist *p, uint64_t id);
/* The configuration is another now. 0, or -1 with a text that says what cannot be done as it says. */
int persist_config_changed(struct persist *p, char *error_r, size_t error_bytes);
/* Bring the persistence metrics of the status page up to date. */
void persist_refresh_status(struct persist *p);

/* ---- the write path, as log byte offsets that only grow within a generation ---- */
struct write_path {
    uint64_t executed, written, synced;
    uint64_t written_age_us, synced_age_us; /* of the oldest byte that has not got there; 0: none */
};
void persist_write_path(const struct persist *p, struct write_path *path_r);
/* The log offset a reply made now must wait for, or 0 if it may leave at the end of the turn: under
 * appendfsync always until it is synced, under the others until it is written. While the log is in
 * trouble only the replies of turns with writes wait: reads and refusals go on. */
uint64_t persist_reply_gate(const struct persist *p);
/* The log offset of what has been executed so far. */
uint64_t persist_executed(const struct persist *p);
/* Replies that wait for an offset up to this one may leave. */
uint64_t persist_reply_released(const struct persist *p);

#endif
