/* aof_manifest.h - which files make up a log, in Redis 7's text form:
 *
 *     file appendonly.aof.2.base.rdb seq 2 type b
 *     file appendonly.aof.1.incr.aof seq 1 type h     (history: replaced, to be deleted)
 *     file appendonly.aof.2.incr.aof seq 2 type i
 *     #crc64 <16 hex digits>
 *
 * The last line is ours: the CRC-64 of all before it. Redis passes over comments, and its own manifests
 * have none. One flipped bit could else make history of an increment, which is deleted. */
#ifndef REMUDA_PERSIST_AOF_MANIFEST_H
#define REMUDA_PERSIST_AOF_MANIFEST_H
#include "shared/base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum { AOF_NAME_MAX = 255, AOF_FILES_MAX = 1024 };
enum aof_file_type { AOF_BASE = 'b', AOF_HISTORY = 'h', AOF_INCR = 'i' };

struct aof_file {
    char name[AOF_NAME_MAX + 1]; /* no folder in it */
    uint64_t seq;                /* 1 or more */
    enum aof_file_type type;
};
struct aof_manifest {
    struct aof_file *files; /* the base first, then in the order of the text */
    uint32_t count;
};

/* 0, or -1 with a text that names the line. *manifest must be empty ({0}). */
int aof_manifest_parse(struct aof_manifest *manifest, struct bytes text, char *error_r,
                       size_t error_bytes);
void aof_manifest_format(const struct aof_manifest *manifest, struct buf *out);
void aof_manifest_add(struct aof_manifest *manifest, enum aof_file_type type, uint64_t seq,
                      const char *name);
void aof_manifest_remove(struct aof_manifest *manifest, uint32_t index);
void aof_manifest_copy(struct aof_manifest *to, const struct aof_manifest *from);
void aof_manifest_free(struct aof_manifest *manifest);
const struct aof_file *aof_manifest_base(const struct aof_manifest *manifest);      /* or NULL */
const struct aof_file *aof_manifest_last_incr(const struct aof_manifest *manifest); /* or NULL */
/* One more than the highest of a type, history included. */
uint64_t aof_manifest_next_seq(const struct aof_manifest *manifest, enum aof_file_type type);

#endif
