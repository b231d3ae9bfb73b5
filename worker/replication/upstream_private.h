/* upstream_private.h - the link, for upstream.c (its life), upstream_sync.c (handshake and snapshot). */
#ifndef REMUDA_REPLICATION_UPSTREAM_PRIVATE_H
#define REMUDA_REPLICATION_UPSTREAM_PRIVATE_H
#include "worker/persist/rdb_part.h"
#include "worker/persist/snapshot_check.h"
#include "worker/replication/upstream.h"

#include "shared/base/buf.h"
#include "worker/resp/parse.h"

#include <ev.h>

enum {
    UPSTREAM_HOST_BYTES = 256,
    UPSTREAM_TEXT_BYTES = 200,
    UPSTREAM_MARK_BYTES = 40,        /* of "$EOF:" */
    UPSTREAM_READ_BYTES = 256 * 1024 /* from the primary at once */
};

struct upstream {
    struct ev_loop *loop;
    const struct config *config;
    struct upstream_hooks hooks;
    char host[UPSTREAM_HOST_BYTES], *dir, temp[64];
    uint32_t port, own_port, public_port;

    enum upstream_state state;
    int fd; /* -1: none */
    ev_io readable, writable;
    struct buf in, out;
    uint32_t step;        /* of the handshake */
    bool awaits_snapshot; /* the primary says that it has to be made */
    bool refused;         /* a command waits for upstream_go_on() */
    bool held;            /* none is offered */
    bool probe;           /* only to ask what the primary is */
    bool promote;         /* or to tell it to be one */
    bool checks;          /* that it is a pool of so many workers, from this port on */
    uint32_t workers, worker_port;
    uint64_t info_bytes, pool_workers, pool_port; /* of the answer */
    struct resp_parser parser;
    /* A transaction is held back until its EXEC is there; then it is offered command by command. */
    struct buf transaction;
    size_t transaction_at;
    bool in_transaction, offering;

    char id[REPLICATION_ID_BYTES]; /* of the history followed, "": none */
    uint64_t offset;
    uint64_t synced; /* of it on our disk, as far as is known */
    uint64_t asked;  /* the primary waits for so much there; 0: it does not */
    /* Run by the owner, if it runs commands later than it takes them. */
    uint64_t executed;
    bool executes_later;
    bool id_is_new; /* of a snapshot that is not loaded yet */

    int file;            /* the snapshot that comes in, -1: none */
    uint64_t file_total; /* 0: not known, mark ends it */
    uint64_t file_done, file_synced;
    char mark[UPSTREAM_MARK_BYTES];
    struct snapshot_check check; /* of what came in last */

    uint64_t heard_ms, tried_ms, acknowledged_ms, up_ms, down_ms; /* 0: never */
    uint64_t full_syncs, partial_syncs;
    uint32_t vain_syncs; /* snapshots begun since the stream last went well */
    bool costly;         /* the last try began one */
    struct resolve *resolve;
    uint32_t attempts; /* each takes the next address of the name */
    char trouble[UPSTREAM_TEXT_BYTES];
};

/* ---- upstream.c ---- */
/* Queue bytes for the primary, as a command. */
void upstream_say(struct upstream *u, uint32_t argc, const struct bytes *argv);
void upstream_set_state(struct upstream *u, enum upstream_state state);
void upstream_begin_stream(struct upstream *u);
void upstream_probed(struct upstream *u);

/* ---- upstream_sync.c ---- */
/* The connection is there: begin to talk. */
void upstream_greet(struct upstream *u);
/* Take what lies in `in`, in the states HANDSHAKE to TRANSFER. Fails through upstream_fail(). */
void upstream_take(struct upstream *u);
void upstream_drop_file(struct upstream *u);

#endif
