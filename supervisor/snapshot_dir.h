/* snapshot_dir.h - the folder DATA/snapshots, as the disk sees it. All of this may block: it runs at
 * the pool's start and in short-lived processes.
 *
 *   snapshots/NAME/           pool.json, snapshot.json, shard-0000/appendonlydir/...: never changed
 *   snapshots/NAME.partial/   being made, or being removed; removed at the next start
 *   snapshots/latest -> NAME
 */
#ifndef REMUDA_SUPERVISOR_SNAPSHOT_DIR_H
#define REMUDA_SUPERVISOR_SNAPSHOT_DIR_H
#include "supervisor/snapshot_file.h"

enum { SNAPSHOT_NAME_MAX = 64, SNAPSHOT_DIR_BYTES = 4096 };

/* Letters, digits and ". _ -", no dot in front; not "latest", no ".partial" at the end. */
bool snapshot_name_ok(struct bytes name);
/* "20261128T001530.123Z" */
void snapshot_name_of_time(int64_t wall_ms, char name_r[SNAPSHOT_NAME_MAX + 1]);
/* DATA/snapshots/NAME, and a shard's folder in NAME.partial. */
void snapshot_path(const char *data, const char *name, char path_r[SNAPSHOT_DIR_BYTES]);
void snapshot_partial_path(const char *data, const char *name, uint32_t shard,
                           char path_r[SNAPSHOT_DIR_BYTES]);

/* The following return 0, or -1 with a one-line text. */

/* Make snapshots/NAME.partial; NAME must not exist. */
int snapshot_begin(const char *data, const char *name, char *error_r, size_t error_bytes);
/* All shards have linked: write pool.json and snapshot.json, sync every folder, rename to NAME, let
 * `latest` point there. keep > 0: remove the oldest snapshots beyond so many. */
int snapshot_commit(const char *data, const char *name, struct snapshot_file *file,
                    const struct pool_file *pool, uint32_t keep, char *error_r, size_t error_bytes);
/* Remove snapshots/NAME.partial, if it is there. */
int snapshot_drop(const char *data, const char *name, char *error_r, size_t error_bytes);
/* Remove whatever is partial; for the start of a pool. */
int snapshots_clean(const char *data, char *error_r, size_t error_bytes);

/* snapshot.json and pool.json of a snapshot, checked against each other; the files that it names are
 * there and have their sizes. *file_r is freed by the caller. */
int snapshot_open(const char *path, struct snapshot_file *file_r, struct pool_file *pool_r,
                  char *error_r, size_t error_bytes);

/* A whole file of at most max bytes; freed with mem_free(). NULL with errno (EFBIG: longer). */
char *read_whole_file(const char *path, size_t max, size_t *len_r);
/* Remove a folder and all in it. 0 (also if there is none) or -1 with a text. */
int remove_tree(const char *path, char *error_r, size_t error_bytes);

#endif
