/* shard_files.h - a pool's files while it does not run: kept, put back, cut and spoilt, compared; and
 * pools some of whose shards cannot start. */
#ifndef REMUDA_TESTS_SHARD_FILES_H
#define REMUDA_TESTS_SHARD_FILES_H
#include "tests/integration/pool_fixture.h"

/* "DATA/shard-000N/NAME"; good until 8 calls later. */
const char *shard_file(const struct pool *pool, unsigned shard, const char *name);

/* Copy the data directory to DIR/kept; put that copy in its place. */
void files_keep(const struct pool *pool);
void files_put_back(const struct pool *pool);
/* Names, sizes and contents of all files under a directory, as one text. Freed by the caller. */
char *files_digest(const char *directory);

int64_t file_size(const char *path);
void file_flip_bit(const char *path, int64_t bit);
void file_write(const char *path, const char *text);
/* The whole file; freed by the caller. */
struct octets file_read(const char *path);

/* Start it again, and wait until each shard serves or has failed. Returns the set of those that failed,
 * as bits. */
uint32_t start_with_damage(struct pool *pool);
/* Change an option between two starts; it must be among the options the pool was started with. */
void pool_set_option(struct pool *pool, const char *name, const char *value);

#endif
