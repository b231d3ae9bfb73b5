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
 * of WRITE_BACK and WRITTEN, and wait for no disk.
 *
 * Ascending order means that no two coordinators ever wait for each other. A shard whose lock holder
 * dies unlocks itself; a coordinator that loses a shard unlocks the others and says so.
 *
 * Bodies. LOCK, FETCH: the keys, as arguments. LOCKED: per value { u32 argument, u32 db, i64 expire_ms, u32 len,
 * DUMP payload }, or with RELAY_ERROR the error line. WRITE_BACK: per command { u32 db, u32 argc,
 * argc times { u32 len, bytes } }; WRITTEN: empty, or the error line. MARK: { u64 cut, u64 try };
 * MARKED: empty, or the error line. */
#ifndef REMUDA_ROUTE_GATHER_H
#define REMUDA_ROUTE_GATHER_H
#include "worker/route/router_private.h"
#endif
