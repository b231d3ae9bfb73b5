/* move.h - new folders of shards take the place of the old ones, as one step that cannot be half done:
 * how an import and a redistribution come into force.
 *
 *   DIR/incoming/shard-NNNN/   built and synced beside the pool; until the commit it is nothing
 *   DIR/pool.json              with the new layout and "moving_from": the commit
 *   DIR/outgoing/shard-NNNN/   the old folders go there, then the new ones take their names
 *   DIR/pool.json              without "moving_from": done
 *   DIR/quarantine/            what lay in the old folders and was none of the files that were read
 *
 * What a kill leaves can be recognised: without "moving_from" an incoming folder was never committed and
 * goes; with it, an incoming/shard-0000 says that old folders may still be in their places, none that the
 * new ones are on their way. */
#ifndef REMUDA_SUPERVISOR_MOVE_H
#define REMUDA_SUPERVISOR_MOVE_H
#include "config/config.h"
#include "supervisor/pool_file.h"

enum { MOVE_PATH_BYTES = 4096 };

/* An empty incoming folder; its path. Returns 0, or -1 with a one-line text, like all of these. */
int move_prepare(const char *dir, char incoming_r[MOVE_PATH_BYTES], char *error_r,
                 size_t error_bytes);
/* Nothing comes of it. */
int move_discard(const char *dir, char *error_r, size_t error_bytes);
/* Everything for next->shards is in the incoming folder and synced: put it in force. from: how many
 * shards there are now. config: names of the files that went into the new ones. */
int move_commit(const char *dir, uint32_t from, struct pool_file *next, const struct config *config,
                char *error_r, size_t error_bytes);
/* Finish or discard whatever is found. For every start, before pool.json is believed. */
int move_recover(const char *dir, const struct config *config, char *error_r, size_t error_bytes);
/* An import that was cut off after its commit: all that is there is its own, and goes. */
int move_undo_import(const char *dir, char *error_r, size_t error_bytes);
/* Would move_recover() have anything to do? A text that says what, or NULL. */
const char *move_pending(const char *dir, const struct pool_file *file);

#endif
