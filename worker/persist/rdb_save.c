/* rdb_save.c - a keyspace into an RDB file, version 10, plain encodings: what Redis 7.0 loads.
 *
 *   REDIS0010 { FA name value }  { FE db FB keys expiring { [FC ms] [F8 idle | F9 freq] type key value } }
 *   FF crc64
 *
 * Fails with a text that names the step; the temporary file is removed, nothing else is touched. */
#include "worker/persist/rdb_private.h"

#include "shared/base/clock.h"
#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum access_record { ACCESS_NONE, ACCESS_IDLE, ACCESS_FREQUENCY };

struct saver {
    const struct rdb_save_job *job;
    struct rdb_out out;
    enum access_record access;
    uint64_t keys;
};

static enum access_record access_of(const struct config *config) {
    switch (config->maxmemory_policy) {
    case MAXMEMORY_VOLATILE_LRU:
    case MAXMEMORY_ALLKEYS_LRU: return ACCESS_IDLE;
    case MAXMEMORY_VOLATILE_LFU:
    case MAXMEMORY_ALLKEYS_LFU: return ACCESS_FREQUENCY;
    }
    return ACCESS_NONE;
}

static void put_aux(struct rdb_out *out, const char *name, const char *value) {
    rdb_put_byte(out, RDB_AUX);
    rdb_put_string(out, bytes_of_text(name));
    rdb_put_string(out, bytes_of_text(value));
}
static void put_aux_number(struct rdb_out *out, const char *name, uint64_t value) {
    char digits[32];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    put_aux(out, name, digits);
}

static void put_header(struct saver *s) {
    const struct keyspace *ks = s->job->ks;
    int version = RDB_VERSION_WRITTEN;
    for (uint32_t db = 0; db < keyspace_databases(ks); db++)
        if (keyspace_timed_count(ks, db) > 0)
            version = RDB_VERSION_FIELD_EXPIRY;
    buf_printf(s->out.buf, "REDIS%04d", version);
    put_aux(&s->out, "redis-ver", RDB_REDIS_VERSION);
    put_aux_number(&s->out, "redis-bits", 8 * sizeof(void *));
    put_aux_number(&s->out, "ctime", (uint64_t)(clock_wall_ms() / 1000));
    put_aux_number(&s->out, "used-mem", mem_used());
    put_aux_number(&s->out, "aof-base", s->job->aof_base ? 1 : 0);
}

static void put_attributes(struct saver *s, const struct keyref *ref) {
    int64_t expire_ms = keyref_expire_ms(ref);
    if (expire_ms != KEY_NO_EXPIRY) {
        rdb_put_byte(&s->out, RDB_EXPIRETIME_MS);
        rdb_put_u64le(&s->out, (uint64_t)expire_ms);
    }
    if (s->access == ACCESS_IDLE) {
        rdb_put_byte(&s->out, RDB_IDLE);
        rdb_put_length(&s->out, keyref_idle_ms(ref) / 1000);
    } else if (s->access == ACCESS_FREQUENCY) {
        rdb_put_byte(&s->out, RDB_FREQ);
        rdb_put_byte(&s->out, (uint8_t)keyref_frequency(ref));
    }
}

static bool put_key(void *arg, const struct keyref *ref) {
    struct saver *s = arg;
    struct value value = keyref_value(ref);
    put_attributes(s, ref);
    rdb_put_byte(&s->out, rdb_type_of(&value));
    rdb_put_string(&s->out, ref->key);
    rdb_put_value(&s->out, &value);
    s->keys++;
    return s->out.error == 0;
}

static void put_database(struct saver *s, uint32_t db) {
    const struct keyspace *ks = s->job->ks;
    if (keyspace_count(ks, db) == 0)
        return;
    rdb_put_byte(&s->out, RDB_SELECTDB);
    rdb_put_length(&s->out, db);
    rdb_put_byte(&s->out, RDB_RESIZEDB);
    rdb_put_length(&s->out, keyspace_count(ks, db));
    rdb_put_length(&s->out, keyspace_expires_count(ks, db));
    keyspace_each(ks, db, put_key, s);
}

static void put_trailer(struct saver *s) {
    rdb_put_byte(&s->out, RDB_EOF);
    rdb_out_drain(&s->out);
    rdb_put_u64le(&s->out, s->job->config->rdbchecksum ? s->out.crc : 0);
    rdb_out_drain(&s->out);
}

static void report_block(void *arg, uint64_t written) {
    struct saver *s = arg;
    if (s->job->progress != NULL)
        s->job->progress(s->job->arg, s->keys, written);
}

int rdb_save_fd(int fd, const struct rdb_save_job *job, struct rdb_saved *saved_r, char *error_r,
                size_t error_bytes) {
    struct buf block = {0};
    struct saver s = {.job = job, .access = access_of(job->config)};
    s.out = (struct rdb_out){.buf = &block,
                             .compress = job->config->rdbcompression,
                             .fd = fd,
                             .drained = report_block,
                             .arg = &s};
    put_header(&s);
    for (uint32_t db = 0; db < keyspace_databases(job->ks) && s.out.error == 0; db++)
        put_database(&s, db);
    rdb_out_drain(&s.out);
    uint64_t crc_at_end = crc64(s.out.crc, &(uint8_t){RDB_EOF}, 1);
    put_trailer(&s);
    buf_free(&block);
    *saved_r = (struct rdb_saved){
        .bytes = s.out.written, .crc = job->config->rdbchecksum ? crc_at_end : 0, .keys = s.keys};
    if (s.out.error == 0)
        return 0;
    errno = s.out.error;
    snprintf(error_r, error_bytes, "write of the snapshot failed after %" PRIu64 " bytes: %s",
             s.out.written, strerror(s.out.error));
    return -1;
}

int rdb_save_file(const char *dir, const char *name, const struct rdb_save_job *job,
                  struct rdb_saved *saved_r, char *error_r, size_t error_bytes) {
    char temp[64];
    snprintf(temp, sizeof temp, "temp-%d.rdb", (int)getpid());
    int fd = publish_begin(dir, temp, error_r, error_bytes);
    if (fd < 0)
        return -1;
    if (rdb_save_fd(fd, job, saved_r, error_r, error_bytes) == 0)
        return publish_commit(fd, dir, temp, name, error_r, error_bytes);
    int saved_errno = errno;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, temp);
    close(fd);
    unlink(path);
    errno = saved_errno;
    return -1;
}

int rdb_check_trailer(const char *path, const struct rdb_saved *saved, char *error_r,
                      size_t error_bytes) {
    struct stat st;
    uint8_t trailer[RDB_TRAILER_BYTES] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read_ok = fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= RDB_TRAILER_BYTES &&
                   pread(fd, trailer, sizeof trailer, st.st_size - RDB_TRAILER_BYTES) ==
                       (ssize_t)sizeof trailer;
    int open_errno = errno;
    if (fd >= 0)
        close(fd);
    if (!read_ok) {
        snprintf(error_r, error_bytes, "cannot read the end of %s: %s", path,
                 fd < 0 ? strerror(open_errno) : "too short");
        return -1;
    }
    uint64_t crc;
    memcpy(&crc, trailer + 1, sizeof crc);
    if ((uint64_t)st.st_size == saved->bytes && trailer[0] == RDB_EOF && le64toh(crc) == saved->crc)
        return 0;
    snprintf(error_r, error_bytes,
             "%s is not what its writer reported: %lld bytes, expected %" PRIu64, path,
             (long long)st.st_size, saved->bytes);
    return -1;
}
