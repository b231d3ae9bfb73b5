/* aof_private.h - the append-only log, for this folder: the open increment, its buffer and syncs, and
 * how a log file is read. */
#ifndef REMUDA_AOF_PRIVATE_H
#define REMUDA_AOF_PRIVATE_H
#include "config/config.h"
#include "shared/ipc/status_page.h"
#include "worker/keyspace/keyspace.h"
#include "worker/persist/aof.h"
#include "worker/persist/background.h"
#include "worker/persist/rdb_private.h"

#include <ev.h>
#include <stdatomic.h>

/* ---- the checksum command that ends each batch ----
 *
 *     PING <16 lower-case hex digits>
 *
 * The digits are the CRC-64 of all bytes of the file before the command; at its very beginning, of the
 * increment before it, so that no end of that can be missing unnoticed. A server that does not know of
 * it runs a PING. As the CRC goes on over the checksum commands themselves, a batch that was changed,
 * dropped or moved is found by the next one, whatever wrote the bytes in between. */
enum { AOF_CHECKSUM_DIGITS = 16, AOF_CHECKSUM_BYTES = 37 };
void aof_checksum_format(char out[AOF_CHECKSUM_BYTES], uint64_t crc);
/* Is this command one? Digits that are none of ours: true, and *crc_r is what they can never be. */
bool aof_checksum_parse(uint32_t argc, const struct bytes *argv, uint64_t *crc_r);
/* The same for raw bytes, where a command may begin. */
bool aof_checksum_at(const char *data, uint64_t *crc_r);

/* ---- writing (aof.c) ---- */
enum aof_trouble {
    AOF_FINE,
    AOF_WRITE_FAILED, /* the file was cut back to its last whole batch: write is tried again */
    AOF_SYNC_FAILED   /* nobody knows what the disk has: this file is never synced again */
};

/* The write path, as offsets that never go back:
 *
 *     synced <= written <= executed
 *       |          |          '-- end of pending
 *       |          '-- end of what the kernel has
 *       '-- covered by a fdatasync that returned 0
 */
/* Group commit (aof_sync.c): the commands one sync covers, and how long it is worth to wait for more. */
struct sync_group {
    struct ev_loop *loop;
    ev_io timer;         /* a timerfd: the loop's own timers are too coarse */
    uint64_t covered;    /* of aof->commands: by the last sync begun */
    uint64_t last;       /* size of the group before */
    uint64_t wanted;     /* so many make the next group whole, */
    uint64_t until_us;   /* and at this time it goes without the rest */
    bool waits;          /* the timer runs */
    uint64_t typical_us; /* of a sync */
    uint32_t quick;      /* so many syncs in a row were quick */
};

struct aof {
    const struct config *config;
    struct status_page *status;
    struct background *background;
    void (*synced_hook)(void *arg); /* synced moved */
    void *arg;

    struct buf pending;
    uint64_t commands; /* ever appended */
    uint64_t executed, written, synced;
    uint64_t pending_since_us;   /* when the oldest byte of pending came */
    uint64_t unsynced_since_us;  /* the oldest byte that is not synced; 0: none */
    uint64_t uncovered_since_us; /* the oldest byte that the sync in flight does not cover; 0 */

    int fd;                           /* the last increment, opened to append; -1 before load */
    uint64_t file_bytes;              /* whole batches in it */
    uint64_t crc;                     /* of those */
    bool follows;                     /* an increment with bytes stands before this one, */
    uint64_t follows_crc;             /* whose checksum this one begins with */
    uint64_t total_bytes, base_bytes; /* of the whole log, of its base */
    bool held;                        /* between two files: nothing is written */
    bool replies_held;                /* replies of that time wait for the next write */

    struct background_job sync_job;
    int sync_fd;
    uint64_t sync_offset; /* what the sync in flight covers */
    uint64_t owed_offset; /* replies wait for this one, whatever the policy is by now */
    uint64_t last_sync_us;
    bool syncing, delay_counted;
    _Atomic int sync_errno; /* set by the thread; stays */
    uint64_t sync_took_us;  /* the last one; the thread's while one is in flight */
    struct sync_group group;

    enum aof_trouble trouble;
    bool expendable; /* nobody relies on this log: trouble is not told to the world */
    int trouble_errno;
    char refusal[128]; /* the error reply to writes, while there is trouble */
};

/* fdatasync(2); a variable so that a test can make it fail. */
extern int (*aof_fdatasync)(int fd);

void aof_init(struct aof *aof, struct ev_loop *loop, const struct config *config,
              struct status_page *status, struct background *background, void (*synced)(void *arg),
              void *arg);
void aof_close(struct aof *aof);
/* Open an increment to append to; it holds `bytes` bytes with this checksum. 0, or -1 with a text. */
int aof_open(struct aof *aof, const char *path, uint64_t bytes, uint64_t crc, char *error_r,
             size_t error_bytes);
/* Hand pending to the kernel, as one batch. 0, or -1: see trouble. */
int aof_write_pending(struct aof *aof);
/* What the policy asks for at the end of a turn. child_alive: a snapshot child uses the disk. */
void aof_turn_end(struct aof *aof, bool child_alive);
/* The same, ten times a second: everysec, a write that failed. */
void aof_cron(struct aof *aof, bool child_alive);
/* Ask for a sync of all that is written, unless one is in flight. */
void aof_request_sync(struct aof *aof);
/* See to it that all that was executed so far gets synced, under any policy. */
void aof_owe_sync(struct aof *aof);
/* Write and sync on this thread, for stopping. 0, or -1 with a text. */
int aof_finish(struct aof *aof, char *error_r, size_t error_bytes);
/* All bytes up to offset are safe. */
void aof_set_synced(struct aof *aof, uint64_t offset);
void aof_set_trouble(struct aof *aof, enum aof_trouble trouble, int error);

/* ---- syncing (aof_sync.c) ---- */
void aof_sync_init(struct aof *aof, struct ev_loop *loop);
void aof_sync_close(struct aof *aof);
void aof_sync_turn_end(struct aof *aof, bool child_alive);
void aof_sync_cron(struct aof *aof, bool child_alive);

/* ---- reading one file (aof_load.c) ---- */
struct aof_load_job {
    struct keyspace *ks;
    const struct config *config;
    int (*apply)(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                 size_t error_bytes);
    /* Before it is applied; see persist.h. May be NULL; arg is apply_arg. */
    void (*read)(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw,
                 uint64_t left);
    uint64_t behind; /* bytes of the log's later files */
    void (*progress)(void *arg, uint64_t offset);
    bool (*owns)(void *arg, struct bytes key); /* of keys in an RDB part; may be NULL */
    void *apply_arg, *progress_arg;            /* progress_arg: of owns, too */
    bool may_be_cut; /* the last of a log: an incomplete end is no error */
};
struct aof_loaded {
    uint64_t end; /* behind the last whole command (or transaction) */
    uint64_t crc; /* of the bytes before end */
    bool follows; /* it begins with the checksum of the increment before it: */
    uint64_t follows_crc;
    uint64_t commands;     /* applied */
    uint64_t cut_bytes;    /* behind end */
    uint64_t checksums;    /* verified */
    uint64_t keys;         /* of the RDB it begins with, if it does */
    struct rdb_loaded rdb; /* the same part, in full; version 0: there is none */
};
/* Read fd, which stands at its beginning and has `total` bytes. 0, or -1 with a text that begins with
 * the offset. Changes nothing on disk. */
int aof_load_fd(int fd, uint64_t total, const struct aof_load_job *job, struct aof_loaded *loaded_r,
                char *error_r, size_t error_bytes);

#endif
