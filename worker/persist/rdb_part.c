/* rdb_part.c - see rdb_part.h. The keys of a file need not come database by database: the format lets
 * the database be selected as often as one likes, so each file remembers its own. */
#include "worker/persist/rdb_private.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "shared/base/publish.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const uint32_t NO_DATABASE = UINT32_MAX;

struct rdb_part {
    struct rdb_out out;
    struct buf block;
    const struct config *config;
    char *dir, *name;
    char temp[64];
    uint32_t db;
    uint64_t keys;
    bool timed; /* a hash has fields that expire */
};

struct rdb_part *rdb_part_begin(const char *dir, const char *name, const struct config *config,
                                char *error_r, size_t error_bytes) {
    char temp[64];
    snprintf(temp, sizeof temp, "temp-%d.rdb", (int)getpid());
    int fd = publish_begin(dir, temp, error_r, error_bytes);
    if (fd < 0)
        return NULL;
    struct rdb_part *part = mem_calloc(1, sizeof *part);
    part->config = config;
    part->dir = mem_strdup(dir);
    part->name = mem_strdup(name);
    part->db = NO_DATABASE;
    memcpy(part->temp, temp, sizeof temp);
    part->out = (struct rdb_out){.buf = &part->block, .compress = config->rdbcompression, .fd = fd};
    rdb_put_header(&part->out, RDB_VERSION_WRITTEN, false);
    return part;
}

static int write_failed(const struct rdb_part *part, char *error_r, size_t error_bytes) {
    snprintf(error_r, error_bytes, "cannot write %s/%s: %s (after %" PRIu64 " bytes)", part->dir,
             part->name, strerror(part->out.error), part->out.written);
    return -1;
}

int rdb_part_put(struct rdb_part *part, const struct rdb_entry *entry, char *error_r,
                 size_t error_bytes) {
    if (entry->db != part->db) {
        part->db = entry->db;
        rdb_put_byte(&part->out, RDB_SELECTDB);
        rdb_put_length(&part->out, entry->db);
    }
    part->timed = part->timed || rdb_needs_field_expiry(entry->value);
    rdb_put_entry(&part->out, entry);
    part->keys++;
    return part->out.error == 0 ? 0 : write_failed(part, error_r, error_bytes);
}

uint64_t rdb_part_keys(const struct rdb_part *part) {
    return part->keys;
}

/* The version is at the beginning, and only the last key told which it must be. The checksum is linear:
 * what the changed bytes make of it is the checksum of the change, followed by zeros. */
static void raise_version(struct rdb_part *part) {
    static const char zeros[64 * 1024];
    char low[16], high[16], change[16] = "";
    struct rdb_out *out = &part->out;
    size_t len = (size_t)snprintf(low, sizeof low, "REDIS%04d", RDB_VERSION_WRITTEN);
    snprintf(high, sizeof high, "REDIS%04d", RDB_VERSION_FIELD_EXPIRY);
    for (size_t i = 0; i < len; i++)
        change[i] = (char)(low[i] ^ high[i]);
    rdb_out_drain(out);
    uint64_t crc = crc64(0, change, len);
    for (uint64_t left = out->written - len; left > 0;) {
        size_t step = left < sizeof zeros ? (size_t)left : sizeof zeros;
        crc = crc64(crc, zeros, step);
        left -= step;
    }
    out->crc ^= crc;
    if (out->error == 0 && pwrite(out->fd, high, len, 0) != (ssize_t)len)
        out->error = errno != 0 ? errno : EIO;
}

static void free_part(struct rdb_part **part) {
    struct rdb_part *it = *part;
    *part = NULL;
    buf_free(&it->block);
    mem_free(it->dir);
    mem_free(it->name);
    mem_free(it);
}

int rdb_part_commit(struct rdb_part **part, bool replace, struct rdb_saved *saved_r, char *error_r,
                    size_t error_bytes) {
    struct rdb_part *it = *part;
    if (it->timed)
        raise_version(it);
    uint64_t crc = rdb_put_trailer(&it->out, it->config->rdbchecksum);
    if (it->out.error != 0) {
        write_failed(it, error_r, error_bytes);
        rdb_part_abort(part);
        return -1;
    }
    *saved_r =
        (struct rdb_saved){.bytes = it->out.written,
                           .crc = crc,
                           .keys = it->keys,
                           .version = it->timed ? RDB_VERSION_FIELD_EXPIRY : RDB_VERSION_WRITTEN};
    int result = (replace ? publish_commit : publish_commit_new)(it->out.fd, it->dir, it->temp,
                                                                 it->name, error_r, error_bytes);
    free_part(part);
    return result;
}

void rdb_part_abort(struct rdb_part **part) {
    char path[4096];
    if (*part == NULL)
        return;
    close((*part)->out.fd);
    snprintf(path, sizeof path, "%s/%s", (*part)->dir, (*part)->temp);
    unlink(path);
    free_part(part);
}
