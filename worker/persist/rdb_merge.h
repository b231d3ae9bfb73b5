/* rdb_merge.h - several RDB files made one: the keys of all, byte by byte as they are. Each key must be in
 * one of them only, which the format cannot see. */
#ifndef REMUDA_PERSIST_RDB_MERGE_H
#define REMUDA_PERSIST_RDB_MERGE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Write the files dir/names[0..count-1] into fd, which stays the caller's. The fields before the first key are
 * not taken over, as they speak of one file; the version is the highest. A source whose checksum is wrong is an
 * error. May run on any thread; ends early with an error when *stop becomes true. 0, or -1 with a text. */
int rdb_merge(const char *dir, const char *const *names, uint32_t count, int fd, bool checksum,
              const _Atomic bool *stop, char *error_r, size_t error_bytes);

#endif
