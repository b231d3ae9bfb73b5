/* rdb_save.c - a keyspace into an RDB file, version 10, plain encodings: what Redis 7.0 loads.
 *
 *   REDIS0010 { FA name value }  { FE db FB keys expiring { [FC ms] [F8 idle | F9 freq] type key value } }
 *   FF crc64
 *
 * Fails with a text that names the step; the temporary file is removed, nothing else is touched. */
#include "worker/persist/rdb_private.h"

#include "shared/base/clock.h"
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

struct saver {
    const struct rdb_save_job *job;
    struct rdb_out out;
    uint64_t keys;
};

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

int rdb_version_for(const struct keyspace *ks) {
    for (uint32_t db = 0; db < keyspace_databases(ks); db++)
        if (keyspace_timed_count(ks, db) > 0)
            return RDB_VERSION_FIELD_EXPIRY;
    return RDB_VERSION_WRITTEN;
}

void rdb_put_header(struct rdb_out *out, int version, bool aof_base) {
    buf_printf(out->buf, "REDIS%04d", version);
    put_aux(out, "redis-ver", RDB_REDIS_VERSION);
    put_aux_number(out, "redis-bits", 8 * sizeof(void *));
    put_aux_number(out, "ctime", (uint64_t)(clock_wall_ms() / 1000));
    put_aux_number(out, "used-mem", mem_used());
    put_aux_number(out, "aof-base", aof_base ? 1 : 0);
}

static void put_origin(struct rdb_out *out, const struct rdb_origin *origin) {
    if (origin == NULL || origin->id[0] == '\0')
        return;
    put_aux_number(out, "repl-stream-db", origin->db);
    put_aux(out, "repl-id", origin->id);
    put_aux_number(out, "repl-offset", origin->offset);
}

struct rdb_entry rdb_entry_of(const struct keyref *ref, const struct value *value,
                              const struct config *config) {
    struct rdb_entry entry = {.db = ref->db,
                              .key = ref->key,
                              .value = value,
                              .expire_ms = keyref_expire_ms(ref),
                              .idle_ms = -1,
                              .frequency = -1};
    switch (config->maxmemory_policy) {
    case MAXMEMORY_VOLATILE_LRU:
    case MAXMEMORY_ALLKEYS_LRU: entry.idle_ms = (int64_t)keyref_idle_ms(ref); break;
    case MAXMEMORY_VOLATILE_LFU:
    case MAXMEMORY_ALLKEYS_LFU: entry.frequency = (int32_t)keyref_frequency(ref); break;
    }
    return entry;
}

void rdb_put_entry(struct rdb_out *out, const struct rdb_entry *entry) {
    if (entry->expire_ms != KEY_NO_EXPIRY) {
        rdb_put_byte(out, RDB_EXPIRETIME_MS);
        rdb_put_u64le(out, (uint64_t)entry->expire_ms);
    }
    if (entry->idle_ms >= 0) {
        rdb_put_byte(out, RDB_IDLE);
        rdb_put_length(out, (uint64_t)entry->idle_ms / 1000);
    } else if (entry->frequency >= 0) {
        rdb_put_byte(out, RDB_FREQ);
        rdb_put_byte(out, (uint8_t)entry->frequency);
    }
    rdb_put_byte(out, rdb_type_of(entry->value));
    rdb_put_string(out, entry->key);
    rdb_put_value(out, entry->value);
}

static bool put_key(void *arg, const struct keyref *ref) {
    struct saver *s = arg;
    struct value value = keyref_value(ref);
    struct rdb_entry entry = rdb_entry_of(ref, &value, s->job->config);
    rdb_put_entry(&s->out, &entry);
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

uint64_t rdb_put_trailer(struct rdb_out *out, bool checksum) {
    rdb_put_byte(out, RDB_EOF);
    rdb_out_drain(out);
    uint64_t crc = checksum ? out->crc : 0;
    rdb_put_u64le(out, crc);
    rdb_out_drain(out);
    return crc;
}

static void report_block(void *arg, uint64_t written) {
    struct saver *s = arg;
    if (s->job->progress != NULL)
        s->job->progress(s->job->arg, s->keys, written);
}

int rdb_save_fd(int fd, const struct rdb_save_job *job, struct rdb_saved *saved_r, char *error_r,
                size_t error_bytes) {
    struct buf block = {0};
    struct saver s = {.job = job};
    s.out = (struct rdb_out){.buf = &block,
                             .compress = job->config->rdbcompression,
                             .fd = fd,
                             .drained = report_block,
                             .arg = &s};
    rdb_put_header(&s.out, rdb_version_for(job->ks), job->aof_base);
    put_origin(&s.out, job->origin);
    for (uint32_t db = 0; db < keyspace_databases(job->ks) && s.out.error == 0; db++)
        put_database(&s, db);
    uint64_t crc = rdb_put_trailer(&s.out, job->config->rdbchecksum);
    buf_free(&block);
    *saved_r = (struct rdb_saved){.bytes = s.out.written, .crc = crc, .keys = s.keys};
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
