/* snapshot_file.h - snapshot.json: what belongs to a snapshot of the pool.
 *
 *   {"format": 1, "pool_id": "<40 hex>", "taken_ms": 1764288000123, "barrier_us": 812,
 *    "shards": [{"shard": 0, "keys": 12,
 *                "files": [{"name": "appendonlydir/appendonly.aof.1.base.rdb", "bytes": 88}, ...]},
 *               ...]}
 *
 * taken_ms: Unix time of the barrier. barrier_us: how long it lasted. Names start at the shard's
 * folder. The file is input: whatever does not fit is refused with a text. */
#ifndef REMUDA_SUPERVISOR_SNAPSHOT_FILE_H
#define REMUDA_SUPERVISOR_SNAPSHOT_FILE_H
#include "shared/base/bytes.h"
#include "shared/ipc/slot_map.h"
#include "supervisor/pool_file.h"
#include <stdbool.h>

#define SNAPSHOT_FILE_NAME "snapshot.json"
enum {
    SNAPSHOT_FILE_FORMAT = 1,
    SNAPSHOT_FILES_MAX = 128 * 1024,
    SNAPSHOT_FILE_BYTES_MAX = 64 * 1024 * 1024,
    SNAPSHOT_PATH_BYTES = 520
};

struct snapshot_entry {
    uint32_t shard;
    uint64_t bytes;
    char *name;
};

/* Zero-initialised is empty. */
struct snapshot_file {
    char pool_id[POOL_ID_BYTES];
    int64_t taken_ms;
    uint64_t barrier_us;
    uint32_t shards;
    uint64_t keys[SHARD_MAX];
    struct snapshot_entry *entries; /* by shard, ascending */
    uint32_t count, cap;
};

void snapshot_file_free(struct snapshot_file *file);
/* The files of one shard, as a worker reports them: "keys N", then "BYTES NAME", a line each. Shards
 * come in any order. False if the text makes no sense. */
bool snapshot_file_add(struct snapshot_file *file, uint32_t shard, struct bytes lines);
/* The JSON text; the caller frees it with free(). */
char *snapshot_file_text(struct snapshot_file *file);
/* 0, or -1 with a one-line text; *file_r is empty then. */
int snapshot_file_parse(struct bytes text, struct snapshot_file *file_r, char *error_r,
                        size_t error_bytes);
/* Is it FOLDER/FILE, with nothing in it that leads elsewhere? */
bool snapshot_path_ok(struct bytes name);

#endif
