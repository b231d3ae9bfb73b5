/* rdb_private.h - the RDB format, for this folder: numbers, the writer and reader of its primitives,
 * and the streams they work on. Facts of the format: Redis 7.0, RDB version 10; read up to 12. */
#ifndef REMUDA_RDB_PRIVATE_H
#define REMUDA_RDB_PRIVATE_H
#include "config/config.h"
#include "shared/base/buf.h"
#include "worker/keyspace/keyspace.h"
#include "worker/persist/rdb_part.h"

/* Version 10 can be read by Redis 7.0 on; what it has no form for, fields that expire, needs 12. */
enum {
    RDB_VERSION_WRITTEN = RDB_VERSION_PLAIN,
    RDB_VERSION_FIELD_EXPIRY = 12,
    RDB_VERSION_MAX = 12,
    RDB_TRAILER_BYTES = 9
};
#define RDB_REDIS_VERSION "7.2.4" /* what the redis-ver field claims */

enum rdb_opcode {
    RDB_SLOT_INFO = 0xF4,
    RDB_FUNCTION2 = 0xF5,
    RDB_FUNCTION_OLD = 0xF6,
    RDB_MODULE_AUX = 0xF7,
    RDB_IDLE = 0xF8,
    RDB_FREQ = 0xF9,
    RDB_AUX = 0xFA,
    RDB_RESIZEDB = 0xFB,
    RDB_EXPIRETIME_MS = 0xFC,
    RDB_EXPIRETIME = 0xFD,
    RDB_SELECTDB = 0xFE,
    RDB_EOF = 0xFF
};

/* ---- writing (rdb_out.c) ---- */
/* Bytes gather in buf; with fd >= 0 they leave it in blocks, checksummed on the way. The first error
 * stays in `error` and everything after it is dropped. */
struct rdb_out {
    struct buf *buf;
    bool compress;
    int fd; /* -1: into buf only */
    int error;
    uint64_t crc, written, synced_to;
    void (*drained)(void *arg, uint64_t written); /* after each block; may be NULL */
    void *arg;
};
enum { RDB_OUT_BLOCK = 128 * 1024, RDB_OUT_SYNC_STEP = 4 * 1024 * 1024 };
void rdb_out_drain(struct rdb_out *out);
/* Drain if a block is full: called between elements, so a huge value needs no memory of its size. */
static inline void rdb_out_breathe(struct rdb_out *out) {
    if (out->fd >= 0 && out->buf->len >= RDB_OUT_BLOCK)
        rdb_out_drain(out);
}
void rdb_put_byte(struct rdb_out *out, uint8_t byte);
void rdb_put_u64le(struct rdb_out *out, uint64_t value);
void rdb_put_length(struct rdb_out *out, uint64_t length);
/* A string in its shortest form: integer, LZF, plain. */
void rdb_put_string(struct rdb_out *out, struct bytes text);
void rdb_put_integer(struct rdb_out *out, int64_t number);
/* Type byte alone and value alone: an entry of a file has its key between the two. */
uint8_t rdb_type_of(const struct value *value);
void rdb_put_value(struct rdb_out *out, const struct value *value);

/* ---- reading (rdb_in.c) ---- */
/* A file through a window, or memory. Every read is checked against what is left; the first failure
 * puts a text in `error`, with the offset, and every later read fails as well. */
struct rdb_in {
    int fd; /* -1: memory */
    const char *data;
    size_t pos, end;        /* of the window */
    uint64_t window_offset; /* of data[0] in the file */
    uint64_t total;         /* bytes of the file */
    char *window;
    size_t window_cap;
    uint64_t crc; /* of all bytes before crc_pos */
    size_t crc_pos;
    struct buf text[2]; /* strings that are not plain in the file */
    char digits[2][BYTES_I64_MAX];
    char *error;
    size_t error_bytes;
    bool failed;
    void (*refilled)(void *arg, uint64_t offset); /* may be NULL */
    void *arg;
};
void rdb_in_memory(struct rdb_in *in, struct bytes data, char *error_r, size_t error_bytes);
/* Reads fd from `offset` on, which is where it stands; total: size of the file. */
void rdb_in_file(struct rdb_in *in, int fd, uint64_t total, char *error_r, size_t error_bytes);
void rdb_in_free(struct rdb_in *in);
static inline uint64_t rdb_offset(const struct rdb_in *in) {
    return in->window_offset + in->pos;
}
static inline uint64_t rdb_left(const struct rdb_in *in) {
    return in->total - rdb_offset(in);
}
/* Record a failure; returns -1. */
int rdb_fail(struct rdb_in *in, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The next bytes, in one run, valid until the next read; NULL if there are not so many. */
const char *rdb_get(struct rdb_in *in, uint64_t bytes);
int rdb_get_byte(struct rdb_in *in, uint8_t *byte_r);
int rdb_get_u64le(struct rdb_in *in, uint64_t *value_r);
int rdb_get_length(struct rdb_in *in, uint64_t *length_r);
/* A string of any form. Borrowed from the window, or from text[slot] or digits[slot]. */
int rdb_get_string(struct rdb_in *in, uint32_t slot, struct bytes *text_r);
/* The same, valid until the next read into text[0]: another may be read meanwhile, into slot 1. */
int rdb_get_kept_string(struct rdb_in *in, struct bytes *text_r);
int rdb_skip_string(struct rdb_in *in);
/* Checksum of everything read so far. */
uint64_t rdb_in_crc(struct rdb_in *in);

enum rdb_value_result { RDB_VALUE_OK, RDB_VALUE_EMPTY, RDB_VALUE_BAD = -1 };
/* A value of this type byte. A string's bytes are borrowed from the reader, a small collection's lie
 * in value_scratch(). EMPTY: a collection without elements, which no key may hold. */
enum rdb_value_result rdb_get_value(struct rdb_in *in, uint8_t type, const struct config *config,
                                    struct value *value_r);
/* Lists (rdb_list.c). */
void rdb_put_list(struct rdb_out *out, const struct value *value);
enum rdb_value_result rdb_get_list(struct rdb_in *in, const struct config *config,
                                   struct value *value_r);
enum rdb_value_result rdb_get_list_ziplist(struct rdb_in *in, const struct config *config,
                                           struct value *value_r);
enum rdb_value_result rdb_get_list_ziplists(struct rdb_in *in, const struct config *config,
                                            struct value *value_r);
enum rdb_value_result rdb_get_list_nodes(struct rdb_in *in, const struct config *config,
                                         struct value *value_r);
/* Sets (rdb_set.c). */
void rdb_put_set(struct rdb_out *out, const struct value *value);
enum rdb_value_result rdb_get_set(struct rdb_in *in, const struct config *config,
                                  struct value *value_r);
enum rdb_value_result rdb_get_set_intset(struct rdb_in *in, const struct config *config,
                                         struct value *value_r);
enum rdb_value_result rdb_get_set_listpack(struct rdb_in *in, const struct config *config,
                                           struct value *value_r);
/* ---- sorted sets (rdb_zset.c), called through the tables of rdb_value.c ---- */
enum { RDB_TYPE_ZSET_2 = 5 };
void rdb_put_zset(struct rdb_out *out, const struct value *value);
enum rdb_value_result rdb_get_zset(struct rdb_in *in, const struct config *config,
                                   struct value *value_r);
enum rdb_value_result rdb_get_zset_text(struct rdb_in *in, const struct config *config,
                                        struct value *value_r);
enum rdb_value_result rdb_get_zset_ziplist(struct rdb_in *in, const struct config *config,
                                           struct value *value_r);
enum rdb_value_result rdb_get_zset_listpack(struct rdb_in *in, const struct config *config,
                                            struct value *value_r);
/* ---- hashes (rdb_hash.c), called through the tables of rdb_value.c ---- */
enum { RDB_TYPE_HASH = 4, RDB_TYPE_HASH_METADATA = 24 };
/* Is it a hash some of whose fields expire, for which version 10 has no form? */
bool rdb_needs_field_expiry(const struct value *value);
void rdb_put_hash(struct rdb_out *out, const struct value *value);
enum rdb_value_result rdb_get_hash(struct rdb_in *in, const struct config *config,
                                   struct value *value_r);
enum rdb_value_result rdb_get_hash_zipmap(struct rdb_in *in, const struct config *config,
                                          struct value *value_r);
enum rdb_value_result rdb_get_hash_ziplist(struct rdb_in *in, const struct config *config,
                                           struct value *value_r);
enum rdb_value_result rdb_get_hash_listpack(struct rdb_in *in, const struct config *config,
                                            struct value *value_r);
enum rdb_value_result rdb_get_hash_timed(struct rdb_in *in, const struct config *config,
                                         struct value *value_r);
enum rdb_value_result rdb_get_hash_timed_rc(struct rdb_in *in, const struct config *config,
                                            struct value *value_r);
enum rdb_value_result rdb_get_hash_triples(struct rdb_in *in, const struct config *config,
                                           struct value *value_r);
enum rdb_value_result rdb_get_hash_triples_rc(struct rdb_in *in, const struct config *config,
                                              struct value *value_r);
/* ---- streams (rdb_stream.c): three generations ---- */
enum { RDB_TYPE_STREAM_2 = 19 };
void rdb_put_stream(struct rdb_out *out, const struct value *value);
enum rdb_value_result rdb_get_stream(struct rdb_in *in, const struct config *config,
                                     struct value *value_r);
enum rdb_value_result rdb_get_stream_2(struct rdb_in *in, const struct config *config,
                                       struct value *value_r);
enum rdb_value_result rdb_get_stream_3(struct rdb_in *in, const struct config *config,
                                       struct value *value_r);
/* Name of a type byte for messages; NULL if it is none. */
const char *rdb_type_name(uint8_t type);

/* ---- packed runs of elements that files hold (rdb_compact.c) ---- */
enum compact_form { COMPACT_ZIPLIST, COMPACT_LISTPACK, COMPACT_ZIPMAP };
struct compact {
    enum compact_form form;
    const unsigned char *begin, *at, *end;
    uint32_t previous_bytes; /* size of the element before, as a ziplist repeats it */
    uint64_t elements;
    bool is_value; /* zipmap: the next element is a value */
};
enum compact_result { COMPACT_ELEMENT, COMPACT_END, COMPACT_BAD };
/* false: the frame is not right. */
bool compact_open(struct compact *c, enum compact_form form, struct bytes data);
/* The next element; digits (BYTES_I64_MAX) holds an integer's. */
enum compact_result compact_next(struct compact *c, char *digits, struct bytes *element_r);

/* ---- whole files (rdb_save.c, rdb_load.c) ---- */
/* The lowest version that has forms for all the keyspace holds. */
int rdb_version_for(const struct keyspace *ks);
void rdb_put_header(struct rdb_out *out, int version, bool aof_base);
void rdb_put_entry(struct rdb_out *out, const struct rdb_entry *entry);
/* Also drains. Returns what the checksum is (0 if there is to be none). */
uint64_t rdb_put_trailer(struct rdb_out *out, bool checksum);
struct rdb_save_job {
    const struct keyspace *ks;
    const struct config *config;
    bool aof_base;                                              /* says so in the file */
    const struct rdb_origin *origin;                            /* NULL or without id: none */
    void (*progress)(void *arg, uint64_t keys, uint64_t bytes); /* may be NULL */
    void *arg;
};
/* Write the keyspace to fd. 0, or -1 with a text. Neither syncs the end nor closes. */
int rdb_save_fd(int fd, const struct rdb_save_job *job, struct rdb_saved *saved_r, char *error_r,
                size_t error_bytes);
/* The same into dir/name through publish. */
int rdb_save_file(const char *dir, const char *name, const struct rdb_save_job *job,
                  struct rdb_saved *saved_r, char *error_r, size_t error_bytes);
/* Does the file end as the writer said it would? 0, or -1 with a text. */
int rdb_check_trailer(const char *path, const struct rdb_saved *saved, char *error_r,
                      size_t error_bytes);

struct rdb_load_job {
    struct keyspace *ks;
    const struct config *config;
    bool keep_expired; /* the log goes on after this file and will delete them */
    /* If set, each key is handed out here, and ks gets its name only. 0, or -1 with a text. */
    int (*entry)(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes);
    void *entry_arg;
    void (*progress)(void *arg, uint64_t offset); /* may be NULL */
    bool (*owns)(void *arg, struct bytes key); /* keys that are not owned: refused; may be NULL */
    void *arg;
};
struct rdb_loaded {
    uint64_t end; /* offset behind the trailer */
    uint64_t keys, expired, empty;
    uint64_t functions, module_parts; /* skipped */
    uint32_t version;
    bool checksum; /* there was one, and it was right */
    struct rdb_origin origin;
};
/* Read an RDB that starts at fd's beginning into the keyspace. 0, or -1 with a text that begins
 * with the offset. */
int rdb_load_fd(int fd, uint64_t total, const struct rdb_load_job *job, struct rdb_loaded *loaded_r,
                char *error_r, size_t error_bytes);

#endif
