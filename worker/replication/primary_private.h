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
    REPLICA_PIPED,     /* the snapshot is on its way as its child writes it */
    REPLICA_WAIT_CUT,  /* own: the snapshot that all shards make at one moment */
    REPLICA_CUT,       /* it has forked, and writes its file */
    REPLICA_ONLINE,
    REPLICA_DROPPED /* its connection is about to close */
};

enum { SNAPSHOT_MARK_BYTES = 40 };

/* ---- snapshot_pipe.c: what the child of a diskless snapshot writes, for all that are PIPED ---- */
struct snapshot_pipe {
    int fd; /* -1: none, or all was read */
    ev_io readable;
    char *
        piece; /* what was read last: the next is not, before all have it. NULL: there is no snapshot */
    size_t piece_bytes;
    bool is_good; /* the child says so */
    bool held_up; /* some have the piece and wait for others, as of the last look */
    char mark[SNAPSHOT_MARK_BYTES + 1]; /* ends it */
};

struct primary {
    struct ev_loop *loop;
    const struct config *config;
    struct status_page *status;
    struct primary_hooks hooks;
    struct propagate *propagate;
    struct backlog backlog;
    struct snapshot_pipe pipe;
    struct backlog_cursor fork;           /* where the snapshot that is being written begins */
    struct list replicas;                 /* those past HELLO */
    uint64_t marked;                      /* the end that the log knows of, */
    char marked_id[REPLICATION_ID_BYTES]; /* under this name */
    uint64_t offered; /* the stream's end when it was last handed out; no more is */
    uint64_t pinged_ms, alone_since_ms;
    uint32_t good;
    bool ask;   /* all to acknowledge */
    bool still; /* no pings */
};

/* What a replica of the merged stream has of ours. */
struct merged_ack {
    uint64_t offset, synced;
};

struct replica {
    struct list link;
    struct primary *primary;
    void *client;
    enum replica_state state;
    char address[64], announced_address[256];
    uint32_t port, public_port; /* public_port: of the pool it is a shard of; 0: of none */
    bool old_protocol;          /* SYNC: no answer before the file, no acknowledgements */
    bool knows_psync2;          /* REPLCONF capa psync2 */
    bool knows_eof;             /* REPLCONF capa eof: a snapshot that ends with a mark */
    bool snapshot_only;         /* REPLCONF rdb-only 1: no stream */
    bool own;                   /* the pool's own merged stream: not counted */
    bool may_write;             /* the client layer is done with the socket */
    int fd;                     /* borrowed: the connection */
    ev_io writable;
    uint64_t file_offset; /* where in the stream the snapshot stands */
    struct buf words;     /* what goes before the file or the stream */
    size_t words_sent;
    int file; /* -1: none */
    uint64_t file_at, file_bytes;
    size_t piece_sent; /* of the pipe's */
    struct backlog_cursor cursor;
    /* It looks for the mark at the end of what it has read: nothing more before it acknowledges that. */
    bool holds_stream;
    bool ends;              /* when all words are sent */
    uint64_t excused_bytes; /* of the stream, piled up while others held up the snapshot */
    uint64_t asked_ms;      /* when it said PSYNC */
    bool acknowledges;      /* it has said that it has something: its snapshot is loaded */
    uint64_t acked, acked_synced;
    struct merged_ack *merged; /* of the pool's own merged stream: its replicas */
    uint32_t merged_count;
    uint64_t acked_ms, alive_ms; /* last acknowledgement; when something was last written */
    uint64_t over_soft_limit_since_ms;
};

/* ---- primary.c ---- */
struct replica *primary_replica_of(struct list *link);
uint64_t primary_least_acknowledged(const struct primary *primary);
/* Ask for the snapshot that those who wait need, unless one more moment may bring others. */
void primary_want_snapshot(struct primary *primary);
/* One that waited for a fork is gone: take back the wish that nobody has any more. */
void primary_waits_no_more(struct primary *primary);
/* Who begins at the stream's present end must be told which database it is in. */
void primary_begin_here(struct primary *primary);

/* One whose part of a cut is being written is gone. */
void primary_cut_no_more(struct primary *primary);

/* ---- snapshot_pipe.c ---- */
/* Can the next snapshot go without a file, and has it waited long enough for others to share it? */
bool snapshot_pipe_serves(const struct primary *primary);
bool snapshot_pipe_is_due(const struct primary *primary, uint64_t now_ms);
/* Does this one have still to take the piece? */
bool snapshot_pipe_waits_for(const struct replica *replica);
/* A replica has taken the piece, or is gone. */
void snapshot_pipe_go_on(struct primary *primary);
/* Note who holds up whom. */
void snapshot_pipe_look(struct primary *primary);
void snapshot_pipe_close(struct primary *primary);

/* ---- replica_link.c ---- */
/* All of it is written, or queued: the stream follows, if it wants that. */
void replica_has_snapshot(struct replica *replica);
/* What goes before its snapshot; length: "$<bytes>" or "$EOF:<mark>". */
void replica_announce(struct replica *replica, const char *length);
/* The snapshot it waits for has forked (or the running one serves): the stream is kept for it from there. */
void replica_wait_for_file(struct replica *replica);
/* The same of a cut, which begins at the stream's end, and its end. */
void replica_wait_for_cut(struct replica *replica);
void replica_has_cut(struct replica *replica);
void replica_send_file(struct replica *replica);
/* The snapshot it waited for is of no use: the next. */
void replica_wait_for_fork(struct replica *replica);
/* There is more of the stream. The hard limit is looked at here, too: until the next check it could owe many
 * times as much. */
void replica_offer(struct replica *replica);
/* As much as the socket takes. */
void replica_write(struct replica *replica);
/* Limits of time and of output. */
void replica_check(struct replica *replica, uint64_t now_ms);
void replica_drop(struct replica *replica, const char *why);

#endif
