/* rdb_value.h - one value in RDB form, in a buffer: what snapshots, DUMP/RESTORE and gather share.
 * One row and two functions per type (rdb_types in rdb_value.c). */
#ifndef REMUDA_PERSIST_RDB_VALUE_H
#define REMUDA_PERSIST_RDB_VALUE_H
#include "config/config.h"
#include "worker/types/value.h"

/* Append type byte and value, plain encodings. compress: LZF for long strings. */
void rdb_value_write(struct buf *out, const struct value *value, bool compress);
/* Read what rdb_value_write or a real server's DUMP body holds. 0, or -1 with a text. The value is the
 * caller's (packed bytes in value_scratch()). Hostile input: every length is checked. */
int rdb_value_read(struct bytes data, const struct config *config, struct value *value_r,
                   char *error_r, size_t error_bytes);
/* DUMP payload: value, RDB version (2 bytes LE), CRC-64 (8 bytes LE). */
void rdb_dump(struct buf *out, const struct value *value);
/* Check version and checksum of a payload, then read it. 0, or one of these with a text. */
enum { RDB_RESTORE_BAD_VALUE = -1, RDB_RESTORE_BAD_PAYLOAD = -2 };
int rdb_restore(struct bytes payload, const struct config *config, struct value *value_r,
                char *error_r, size_t error_bytes);

#endif
