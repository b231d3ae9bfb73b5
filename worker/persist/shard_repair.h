/* shard_repair.h - what can be mended in a shard's files while nobody uses them; nothing is thrown away
 * but files that were on their way out. */
#ifndef REMUDA_PERSIST_SHARD_REPAIR_H
#define REMUDA_PERSIST_SHARD_REPAIR_H
#include "worker/persist/shard_files.h"

/* Cut off the incomplete end of a log that was read; it is safe in dir/quarantine/ before. kept_r gets
 * its path below dir. 0, or -1 with a text. */
int shard_repair_tail(const char *dir, const struct shard_file *file,
                      const struct shard_file_found *found, char *kept_r, size_t kept_bytes,
                      char *error_r, size_t error_bytes);
/* Delete the files that the manifest calls history, and name them no more. 0, or -1 with a text. */
int shard_repair_history(const char *aof_dir, const char *manifest_name, char *error_r,
                         size_t error_bytes);

/* Delete what a process that is gone had not finished: a file, or a folder of files. 0, or -1 with a text. */
int shard_repair_temp(const char *path, char *error_r, size_t error_bytes);

#endif
