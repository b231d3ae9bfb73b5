/* shard_files.h - the files of a shard (or of a real server: the same layout), found and read without
 * changing anything on disk. For the offline tools; a worker's own start is persist_load(). */
#ifndef REMUDA_PERSIST_SHARD_FILES_H
#define REMUDA_PERSIST_SHARD_FILES_H
#include "config/config.h"
#include "worker/keyspace/keyspace.h"
#include "worker/persist/aof_manifest.h"
#include "worker/persist/rdb_part.h"

enum { SHARD_PATH_BYTES = 2300 };

enum shard_source {
    SHARD_NOTHING,    /* no file at all */
    SHARD_SNAPSHOT,   /* a snapshot, dump.rdb */
    SHARD_SINGLE_LOG, /* the single log file of older versions */
    SHARD_LOG         /* the files of a manifest */
};
struct shard_file {
    char path[SHARD_PATH_BYTES];
    uint64_t bytes;
    bool log;        /* commands, perhaps after an RDB part; else a snapshot */
    bool may_be_cut; /* an incomplete end is no error */
};
/* What would be loaded, in this order. Zero-initialised is empty. */
struct shard_files {
    enum shard_source source;
    struct shard_file *files;
    uint32_t count;
    uint64_t bytes;
};

/* What a start would load from a shard's folder. 0, or -1 with a text. */
int shard_files_find(struct shard_files *files, const char *dir, const struct config *config,
                     char *error_r, size_t error_bytes);
/* Path of the folder of a log that was switched off (aof_retire.c). True: no snapshot has made up for it,
 * and a start would take it into use again. */
bool shard_files_retired(const char *dir, const struct config *config,
                         char path_r[SHARD_PATH_BYTES]);
/* The files of a manifest, for foreign ones of any name. 0, 1 if there is no such manifest, -1. */
int shard_files_of_manifest(struct shard_files *files, const char *aof_dir,
                            const char *manifest_name, char *error_r, size_t error_bytes);
/* One file by its path: a log if it does not begin as an RDB or is called *.aof. 0 or -1. */
int shard_files_single(struct shard_files *files, const char *path, char *error_r,
                       size_t error_bytes);
void shard_files_free(struct shard_files *files);

/* Read and parse a manifest. 0, 1 if there is none, -1 with a text that names it. */
int shard_manifest_read(struct aof_manifest *manifest, const char *aof_dir,
                        const char *manifest_name, char *error_r, size_t error_bytes);

/* Where what is read goes. */
struct shard_reader {
    const struct config *config;
    struct keyspace *ks;
    /* A command of a log, as persist_hooks.apply. */
    int (*apply)(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                 size_t error_bytes);
    /* Snapshots only, if set: keys are handed out one by one, and ks gets only their names, by which
     * a key that stands there twice is found. Else they go into ks. 0, or -1 with a text. */
    int (*entry)(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes);
    void (*progress)(void *arg, uint64_t offset); /* within the file; may be NULL */
    void *arg;
};
struct shard_file_found {
    uint32_t rdb_version; /* 0: it has no RDB part */
    bool rdb_checksum;    /* verified */
    uint64_t end;         /* behind the last whole thing */
    uint64_t cut_bytes;   /* behind end, of a log that may be cut */
    uint32_t stream_db;   /* where the reader of the stream behind its RDB part is */
    uint64_t keys, expired, empty, functions,
        module_parts;             /* of the RDB part; the last four skipped */
    uint64_t commands, checksums; /* of the log part */
};
/* 0, or -1 with a text that names file and offset. */
int shard_file_read(const struct shard_file *file, const struct shard_reader *reader,
                    struct shard_file_found *found_r, char *error_r, size_t error_bytes);

#endif
