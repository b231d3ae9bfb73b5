/* pool_file.h - pool.json: who this data belongs to and how its slots are dealt.
 *
 *   {"format": 1, "pool_id": "<40 hex>", "shards": 2,
 *    "slots": [{"shard": 0, "first": 0, "last": 8191, "node_id": "<40 hex>"}, ...],
 *    "crc64": "<16 hex>"}
 *
 * The checksum is of the same text without it; a file that has none (made by hand) is taken as it is. The
 * file is input: whatever does not fit is refused with a text, never mended. */
#ifndef REMUDA_SUPERVISOR_POOL_FILE_H
#define REMUDA_SUPERVISOR_POOL_FILE_H
#include "shared/base/bytes.h"
#include "shared/ipc/slot_map.h"
#include <stddef.h>
#include <stdint.h>

enum { POOL_FILE_FORMAT = 1, POOL_FILE_BYTES_MAX = 64 * 1024, POOL_ID_BYTES = 41 };
#define POOL_FILE_NAME "pool.json"

struct pool_file {
    char pool_id[POOL_ID_BYTES];
    uint32_t shards;
    uint16_t first[SHARD_MAX + 1]; /* shard i owns first[i] .. first[i+1]-1 */
    char node_id[SHARD_MAX][POOL_ID_BYTES];
};

/* 40 random hex digits and a NUL. */
void pool_file_random_id(char id_r[POOL_ID_BYTES]);
/* A new pool: fresh ids, slots dealt evenly. */
void pool_file_make(struct pool_file *file, uint32_t shards);
/* Returns 0, or -1 with a one-line text. */
int pool_file_parse(struct bytes text, struct pool_file *file_r, char *error_r, size_t error_bytes);
/* The JSON text; the caller frees it with free(). */
char *pool_file_text(const struct pool_file *file);
/* Read dir/pool.json, or make and publish it if the directory holds no pool yet. A pool of another
 * number of shards is refused. Returns 0, or -1 with a one-line text. */
int pool_file_open(const char *dir, uint32_t shards, struct pool_file *file_r, char *error_r,
                   size_t error_bytes);
/* Fill the map's shards, owners, ranges and node ids. */
void pool_file_to_slot_map(const struct pool_file *file, struct slot_map *map);

#endif
