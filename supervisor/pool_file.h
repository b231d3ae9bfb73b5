/* pool_file.h - pool.json: who this data belongs to and how its slots are dealt.
 *
 *   {"format": 1, "pool_id": "<40 hex>", "shards": 2,
 *    "slots": [{"shard": 0, "first": 0, "last": 8191, "node_id": "<40 hex>"}, ...],
 *    "moving_from": 3,     only while folders are being replaced, see move.h
 *    "crc64": "<16 hex>"}
 *
 * The checksum is of the same text without it; a file that has none (made by hand) is taken as it is. The
 * file is input: whatever does not fit is refused with a text, never mended. */
#ifndef REMUDA_SUPERVISOR_POOL_FILE_H
#define REMUDA_SUPERVISOR_POOL_FILE_H
#include "shared/base/bytes.h"
#include "shared/base/random_id.h"
#include "shared/ipc/slot_map.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { POOL_FILE_FORMAT = 1, POOL_FILE_BYTES_MAX = 64 * 1024, POOL_ID_BYTES = RANDOM_ID_BYTES };
#define POOL_FILE_NAME "pool.json"

struct pool_file {
    char pool_id[POOL_ID_BYTES];
    uint32_t shards;
    uint16_t first[SHARD_MAX + 1]; /* shard i owns first[i] .. first[i+1]-1 */
    char node_id[SHARD_MAX][POOL_ID_BYTES];
    /* While the folders of another layout are being replaced by those of this one: how many shards
     * that had, 0 for an import into an empty directory. See move.h. */
    bool moving;
    uint32_t moving_from;
};

/* A new pool: fresh ids, slots dealt evenly. */
void pool_file_make(struct pool_file *file, uint32_t shards);
/* Returns 0, or -1 with a one-line text. */
int pool_file_parse(struct bytes text, struct pool_file *file_r, char *error_r, size_t error_bytes);
/* The JSON text; the caller frees it with free(). */
char *pool_file_text(const struct pool_file *file);
/* The same pool with another number of shards: slots dealt evenly, shards that stay keep their ids. */
void pool_file_deal(const struct pool_file *from, uint32_t shards, struct pool_file *file_r);
/* "0,5461,10923": the first slot of each shard, as the offline tools are told it. */
enum { POOL_SLOTS_TEXT_BYTES = SHARD_MAX * 6 + 1 };
void pool_file_slots_text(const struct pool_file *file, char text_r[POOL_SLOTS_TEXT_BYTES]);
/* Read dir/pool.json. 0, 1 if there is none, -1 with a one-line text. */
int pool_file_read(const char *dir, struct pool_file *file_r, char *error_r, size_t error_bytes);
int pool_file_publish(const char *dir, const struct pool_file *file, char *error_r,
                      size_t error_bytes);
/* Does the directory hold folders of shards? */
bool pool_file_has_shards(const char *dir);
/* Read dir/pool.json, or make and publish it, with so many shards, if the directory holds no pool yet.
 * Returns 0, or -1 with a one-line text. */
int pool_file_open(const char *dir, uint32_t shards, struct pool_file *file_r, char *error_r,
                   size_t error_bytes);
/* Fill the map's shards, owners, ranges and node ids. */
void pool_file_to_slot_map(const struct pool_file *file, struct slot_map *map);

#endif
