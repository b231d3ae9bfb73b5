/* replication_page.h - the links that a worker has to replicas and to primaries, with their texts: what the
 * figures of a status page cannot carry. In the shared segment, one a worker.
 *
 * Its worker writes; others read, at any time. A sequence number, odd while the table is written, tells a
 * reader that what it copied is of one moment. A writer that died within leaves it odd: then there is
 * nothing to read until the next. */
#ifndef REMUDA_IPC_REPLICATION_PAGE_H
#define REMUDA_IPC_REPLICATION_PAGE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    LINKS_SHOWN = 16, /* of each kind; of the rest only the number is told */
    LINK_ADDRESS_BYTES = 128,
    LINK_STATE_BYTES = 32,
    LINK_TROUBLE_BYTES = 200
};

struct replica_line {
    char address[LINK_ADDRESS_BYTES]; /* as it announces itself, or as it is seen */
    char state[LINK_STATE_BYTES];     /* as INFO replication says */
    uint32_t port;
    uint32_t public_port; /* of the pool it is a shard of; 0: of none */
    uint32_t merged;      /* 1: it follows the whole pool, by the merged stream */
    uint64_t offset;      /* acknowledged */
    uint64_t behind_bytes;
    int64_t lag_s; /* since it acknowledged last */
};

struct primary_line {
    char address[LINK_ADDRESS_BYTES];
    char state[LINK_STATE_BYTES];
    char trouble[LINK_TROUBLE_BYTES]; /* why the last try failed, or "" */
    uint32_t port;
    uint32_t syncing;                           /* 1: its snapshot is coming in, or being loaded */
    uint64_t offset;                            /* of its stream, applied */
    uint64_t sync_total_bytes, sync_done_bytes; /* of it; total 0: it was not told */
    uint64_t full_syncs, partial_syncs;
    int64_t last_heard_s; /* -1: never */
    int64_t down_s;       /* since the link was last up; -1: it is, or never was */
};

struct replication_table {
    uint32_t replicas, primaries; /* as many as there are, shown or not */
    struct replica_line replica[LINKS_SHOWN];
    struct primary_line primary[LINKS_SHOWN];
};

struct replication_page {
    _Atomic uint32_t sequence;
    struct replication_table table;
};

/* How many of so many are in the table. */
static inline uint32_t links_shown(uint32_t count) {
    return count < LINKS_SHOWN ? count : LINKS_SHOWN;
}

/* By the worker that owns the page. Lines beyond the counts are not looked at. */
void replication_page_write(struct replication_page *page, const struct replication_table *table);
/* A copy of one moment, its texts ended. False: it is being written all the time; the copy is empty. */
bool replication_page_read(const struct replication_page *page, struct replication_table *table_r);
/* No links. Called by the supervisor while no process owns the page. */
void replication_page_reset(struct replication_page *page);

#endif
