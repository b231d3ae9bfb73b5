/* gather.h - lock and gather: a command over keys of several shards, atomically.
 *
 *   coordinator (the client's worker)              shards, in ascending order
 *     LOCK, keys           --------------------->  finish what runs, take no more commands
 *                          <---------------------  LOCKED, the keys' values
 *     SORT BY, GET: lock all shards, and now that the sorted key is here
 *     FETCH, derived keys  --------------------->
 *                          <---------------------  LOCKED, the keys' values
 *     all locked: run the ordinary handler in a scratch keyspace that holds just the operands
 *     WRITE_BACK, commands --------------------->  run and log them at the keys' owner
 *                          <---------------------  WRITTEN (synced, where that is promised)
 *     first all stores, then all deletes: a crash in between leaves a key twice, never nowhere
 *     UNLOCK               --------------------->  go on
 *
 * A consistent cut of the pool is the same over all shards, with no keys: once all are locked, none has
 * a command half done, and whoever saw a write answered saw it before; MARK and MARKED take the place
 * of WRITE_BACK and WRITTEN, and wait for no disk. A mark is the end of a log's increment, or a fork.
 *
 * Ascending order means that no two coordinators ever wait for each other. A shard whose lock holder
 * dies unlocks itself; a coordinator that loses a shard unlocks the others and says so.
 *
 * Bodies. LOCK, FETCH: the keys, as arguments. LOCKED: per value { u32 argument, u32 db, i64 expire_ms, u32 len,
 * DUMP payload }, or with RELAY_ERROR the error line. WRITE_BACK: struct propagate_part (of no shard: it is all),
 * per command { u32 db, u32 argc, argc times { u32 len, bytes } }; WRITTEN: empty, or the error line. MARK: a
 * struct cut_mark; MARKED: empty, or the error line. */
#ifndef REMUDA_ROUTE_GATHER_H
#define REMUDA_ROUTE_GATHER_H
#include "worker/route/router_private.h"

enum gather_phase {
    GATHER_LOCKING,
    GATHER_FETCHING,
    GATHER_STORING,
    GATHER_DELETING,
    GATHER_MARKING,
    GATHER_WAITING
};

struct gather_shard {
    uint32_t shard;
    uint32_t keys;
    uint32_t *positions; /* of its keys, in the arguments */
    uint64_t lock;       /* token of its LOCK; 0: not asked yet */
    bool locked;
    struct buf operands;   /* body of its LOCKED */
    struct bytes *derived; /* keys of its FETCH, in gather.derived_text */
    uint32_t derived_count;
    struct buf fetched; /* body of the answer to it */
    struct buf stores, deletes;
    uint32_t store_count, delete_count;
};

/* A key that follows from what others hold. */
struct derived_key {
    size_t at, len; /* in gather.derived_text */
};

/* ---- write_back.c ---- */
/* "{ u32 db, u32 argc, arguments }" to the body of a WRITE_BACK, which begins with the first. */
void write_back_command(struct buf *out, uint32_t db, uint32_t argc, const struct bytes *argv);
/* Run the commands of a WRITE_BACK, `count` of them. batch: they are a transaction of a primary's, of which
 * none is left out because another failed. Errors go to out. */
bool write_back_run(struct router *r, struct bytes body, uint32_t count, bool batch,
                    struct buf *out);

struct changed_key {
    uint32_t db;
    struct bytes key; /* owned copy */
};

struct gather {
    struct router *r;
    enum gather_phase phase;
    uint32_t argc, db;
    uint32_t awaited; /* answers of this phase */
    bool no_touch;
    bool upstream; /* of a link to a primary: no shard refuses it */
    bool filling;  /* the scratch keyspace gets the operands: not a change */
    bool derives;  /* more keys follow from those named: all shards take part */
    struct buf derived_text;
    struct derived_key *derived;
    uint32_t derived_count, derived_cap;
    uint32_t shard_count;
    struct gather_shard *shards; /* ascending */
    struct changed_key *changed;
    uint32_t changed_count, changed_cap;
    struct buf reply;
    struct cut_mark cut; /* id 0: an ordinary command */
    bool batch;          /* stores are there, nothing is gathered */
    uint64_t locking_since_us;
    bool waited; /* it found nothing once, and is to end at until_ms */
    bool told;   /* a key is ready, but writes pause */
    uint64_t until_ms;
};

/* Take all locks, run the handler, and so on to the end. */
void gather_lock(struct router *r, struct call *call);
/* Give back every lock that is held or asked for. */
void gather_unlock(struct router *r, struct call *call);
void gather_end(struct router *r, struct call *call, struct bytes reply);

/* ---- gather_wait.c ---- */
/* The handler found nothing and waits: so does the call, unlocked, until a key is ready. */
void gather_wait(struct router *r, struct call *call, struct command_ctx *ctx);
/* A key is: lock and run again, at the end of a pause that holds it. */
void gather_wait_told(struct router *r, struct call *call);
/* The handler is about to run: from here on no timeout ends the call. */
void gather_wait_pause(struct router *r, struct call *call);
/* The call ends, for whatever reason. */
void gather_wait_end(struct router *r, struct call *call);
#endif
