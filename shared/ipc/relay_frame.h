/* relay_frame.h - how a command travels to the shard that owns its keys, and its reply back.
 *
 * A message is one or more ring records of the same (type, token); all but the last carry
 * RELAY_MORE. The first record of a message begins with this header; the others with it too
 * (body_bytes counts this record's part only).
 *
 *   request body:  argc times { u32 length, bytes }       (arguments, the command's name included)
 *   reply body:    RESP bytes, exactly what the client gets
 *   BLOCKED, CANCEL: no body; see worker/route/wait.c
 *   gather bodies: see worker/route/gather.h */
#ifndef REMUDA_IPC_RELAY_FRAME_H
#define REMUDA_IPC_RELAY_FRAME_H
#include <stdint.h>

enum relay_type {
    RELAY_REQUEST = 1,
    RELAY_REPLY,
    RELAY_LOCK,       /* gather: lock the shard, send the operands */
    RELAY_LOCKED,     /* answer: locked, with the operands' values */
    RELAY_WRITE_BACK, /* results to store and log at the owner; the lock stays */
    RELAY_WRITTEN,    /* answer: stored (and synced, where that is promised) */
    RELAY_UNLOCK,     /* no answer */
    RELAY_FETCH,      /* more operands, under the lock; answer: RELAY_LOCKED */
    RELAY_BLOCKED,    /* of a request: it waits for a key; its REPLY comes when it is served */
    RELAY_SLOW,    /* of a request: it took long; an entry of SLOWLOG (worker/command/slowlog.h) */
    RELAY_MONITOR, /* argc 1: a client of mine watches (MONITOR), 0: none does any more */
    RELAY_FED,     /* to such a worker: a line, in RESP */
    RELAY_AWAIT,   /* tell when one of these keys is ready: a REPLY, once (gather_wait.c) */
    RELAY_CANCEL,  /* end that wait: argc says how (enum unblock_how) */
    RELAY_MARK,    /* the lock's holder: mark your part of a consistent cut here */
    RELAY_MARKED,  /* answer: marked, in memory; the disk's part follows */
    RELAY_BATCH    /* a WRITE_BACK without a lock, run in one piece; answer: REPLY */
};

enum relay_flags {
    RELAY_MORE = 1,      /* more records of this message follow */
    RELAY_RESP3 = 2,     /* the client speaks RESP3 */
    RELAY_NOREPLY = 4,   /* nobody waits for the bytes; an empty reply is still sent */
    RELAY_NOTOUCH = 8,   /* CLIENT NO-TOUCH */
    RELAY_ERROR = 16,    /* reply: it is an error (for counters) */
    RELAY_UPSTREAM = 32, /* of a link to a primary: it is accepted already */
    RELAY_PART = 64      /* of a command over several shards: the last argument says which */
};

struct relay_frame {
    uint8_t type;
    uint8_t flags;
    uint16_t command; /* row of commands.def */
    uint32_t argc;
    uint32_t from_generation; /* the sender's */
    uint32_t to_generation;   /* the receiver's, as the sender knows it; another one: drop */
    uint64_t token;           /* the requester's, echoed in the answer */
    uint32_t db;
    uint32_t body_bytes;
};

#endif
