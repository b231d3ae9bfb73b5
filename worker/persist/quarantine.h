/* quarantine.h - a place beside the files for bytes that could not be used: nothing is thrown away. */
#ifndef REMUDA_PERSIST_QUARANTINE_H
#define REMUDA_PERSIST_QUARANTINE_H
#include <stddef.h>
#include <stdint.h>

/* Copy bytes from..to of fd into shard_dir/quarantine/ORIGIN.at-FROM (or .at-FROM-2, ...), safe on
 * disk when this returns. name_r gets the path. 0, or -1 with a text. */
int quarantine_tail(const char *shard_dir, int fd, const char *origin, uint64_t from, uint64_t to,
                    char *name_r, size_t name_bytes, char *error_r, size_t error_bytes);
/* Move a whole file of the same file system there. */
int quarantine_file(const char *shard_dir, const char *path, const char *origin, char *name_r,
                    size_t name_bytes, char *error_r, size_t error_bytes);

#endif
