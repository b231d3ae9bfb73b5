/* slot_map.h - key -> slot -> shard. The same rule as Redis Cluster, so cluster clients agree. */
#ifndef REMUDA_IPC_SLOT_MAP_H
#define REMUDA_IPC_SLOT_MAP_H
#include "shared/base/bytes.h"
#include <stdint.h>

enum { SLOT_COUNT = 16384, SHARD_MAX = 128 };

struct slot_map {
    uint32_t shards;
    uint16_t owner[SLOT_COUNT];
    /* Slots are dealt in contiguous ranges: shard i owns first[i] .. first[i+1]-1. */
    uint16_t first[SHARD_MAX + 1];
    char node_id[SHARD_MAX][41]; /* 40 hex digits of CLUSTER MYID, NUL; stable over restarts */
    uint16_t port[SHARD_MAX];    /* the worker's own listener */
    char announce_host[64];      /* what CLUSTER SLOTS and MOVED tell clients */
};

/* Slot of a key, 0..16383: CRC16 of the key, or of its {hash tag} if that is not empty. */
uint16_t slot_of_key(struct bytes key);
/* Deal all slots over `shards` shards (1..SHARD_MAX) in contiguous ranges, as redis-cli --cluster
 * create does. Fills shards, owner and first only. */
void slot_map_deal(struct slot_map *map, uint32_t shards);

#endif
