/* primary_private.h - the set of replicas and one of them, for primary.c and replica_link.c. */
#ifndef REMUDA_REPLICATION_PRIMARY_PRIVATE_H
#define REMUDA_REPLICATION_PRIMARY_PRIVATE_H
#include "worker/replication/primary.h"

#include <ev.h>

enum replica_state {
    REPLICA_HELLO,     /* has said REPLCONF, not PSYNC */
    REPLICA_WAIT_FORK, /* a snapshot is wanted */
    REPLICA_WAIT_FILE, /* it has forked */
    REPLICA_SENDING,   /* the file is on its way */
    REPLICA_ONLINE,
    REPLICA_DROPPED /* its connection is about to close */
};

struct primary {
    struct ev_loop *loop;
    const struct config *config;
    struct status_page *status;
    struct primary_hooks hooks;
    struct propagate *propagate;
    struct backlog backlog;
    struct backlog_cursor fork; /* where the snapshot that is being written begins */
    struct list replicas;       /* those past HELLO */
    uint64_t marked;            /* the end that the log knows of, */
    char marked_id[REPLICATION_ID_BYTES]; /* under this name */
    uint64_t offered;           /* the stream's end when it was last handed out */
    uint64_t pinged_ms, alone_since_ms;
    uint32_t good;
    bool ask; /* all to acknowledge */
};

struct replica {
    struct list link;
    struct primary *primary;
    void *client;
    enum replica_state state;
    char address[64], announced_address[64];
    uint32_t port;
    bool old_protocol;  /* SYNC: no answer before the file, no acknowledgements */
    bool knows_psync2;  /* REPLCONF capa psync2 */
    bool snapshot_only; /* REPLCONF rdb-only 1: no stream */
    bool own;           /* the pool's own merged stream: not counted */
    bool may_write;     /* the client layer is done with the socket */
    int fd;             /* borrowed: the connection */
    ev_io writable;
    uint64_t file_offset; /* where in the stream the snapshot stands */
    struct buf words;     /* what goes before the file or the stream */
    size_t words_sent;
    int file; /* -1: none */
    uint64_t file_at, file_bytes;
    struct backlog_cursor cursor;
    uint64_t acked, acked_synced;
    uint64_t acked_ms, alive_ms; /* last acknowledgement; when something was last written */
    uint64_t over_soft_limit_since_ms;
};

/* ---- primary.c ---- */
struct replica *primary_replica_of(struct list *link);
uint64_t primary_least_acknowledged(const struct primary *primary);

/* ---- replica_link.c ---- */
/* The snapshot it waits for has forked (or the running one serves): the stream is kept for it from there. */
void replica_wait_for_file(struct replica *replica);
void replica_send_file(struct replica *replica);
/* The snapshot it waited for is of no use: the next. */
void replica_wait_for_fork(struct replica *replica);
/* As much as the socket takes. */
void replica_write(struct replica *replica);
/* Limits of time and of output. */
void replica_check(struct replica *replica, uint64_t now_ms);
void replica_drop(struct replica *replica, const char *why);

#endif
