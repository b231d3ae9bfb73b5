/* slot_map.c - see slot_map.h. */
#include "shared/ipc/slot_map.h"

#include "shared/base/crc.h"
#include "shared/base/panic.h"

#include <math.h>

uint16_t slot_of_key(struct bytes key) {
    const char *open = key.len ? memchr(key.ptr, '{', key.len) : NULL;
    if (open) {
        const char *tag = open + 1;
        const char *close = memchr(tag, '}', key.len - (size_t)(tag - key.ptr));
        if (close && close > tag)
            return crc16(tag, (size_t)(close - tag)) % SLOT_COUNT;
    }
    return crc16(key.ptr, key.len) % SLOT_COUNT;
}

/* Single precision and rounding are those of redis-cli, so that the ranges come out the same. */
void slot_map_deal(struct slot_map *map, uint32_t shards) {
    ASSERT(shards >= 1 && shards <= SHARD_MAX);
    float share = SLOT_COUNT / (float)shards, cursor = 0;
    uint32_t slot = 0;
    map->shards = shards;
    for (uint32_t shard = 0; shard < shards; shard++, cursor += share) {
        long last = lroundf(cursor + share - 1);
        if (last >= SLOT_COUNT || shard == shards - 1)
            last = SLOT_COUNT - 1;
        map->first[shard] = (uint16_t)slot;
        while ((long)slot <= last)
            map->owner[slot++] = (uint16_t)shard;
    }
    map->first[shards] = SLOT_COUNT;
}
