/* failover_note.h - what a pool has to remember of a FAILOVER over the death of any of its processes.
 *
 * The file DIR/failover, one line, replaced by publish() only:
 *
 *   promoting HOST PORT RUN_ID   written before HOST:PORT is told to be a primary: it may be one. Until that is
 *                                known no write is taken here. RUN_ID: of what was told.
 *   followed HOST PORT RUN_ID    it is, and this pool follows it, also after a start whose configuration says
 *                                nothing of replicaof. Gone when replicaof changes.
 *
 * The worker that does the failover writes it, the supervisor reads it before any worker starts. */
#ifndef REMUDA_IPC_FAILOVER_NOTE_H
#define REMUDA_IPC_FAILOVER_NOTE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAILOVER_SHARD = 0 }; /* does what FAILOVER says */
/* segment_header.failover: no write of a client is begun while it is not OFF. */
enum failover_progress { FAILOVER_IS_OFF, FAILOVER_WAITS_FOR_SYNC, FAILOVER_IS_ON };

enum { FAILOVER_HOST_BYTES = 256, FAILOVER_RUN_ID_BYTES = 41, FAILOVER_TARGET_BYTES = 300 };
enum failover_note_state { FAILOVER_NOTE_NONE, FAILOVER_NOTE_PROMOTING, FAILOVER_NOTE_FOLLOWED };

struct failover_note {
    enum failover_note_state state;
    char host[FAILOVER_HOST_BYTES];
    uint32_t port;
    char run_id[FAILOVER_RUN_ID_BYTES];
};

/* No file: NONE. 0, or -1 with a one-line text: it cannot be read, or is none of ours. */
int failover_note_read(const char *dir, struct failover_note *note_r, char *error_r,
                       size_t error_bytes);
/* On disk when it returns 0, or -1 with a one-line text. NONE: no file. */
int failover_note_write(const char *dir, const struct failover_note *note, char *error_r,
                        size_t error_bytes);
/* The target as the option replicaof says it: "host port". */
void failover_note_target(const struct failover_note *note, char target_r[FAILOVER_TARGET_BYTES]);

#endif
