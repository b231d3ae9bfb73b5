/* rdb_merge.c - see rdb_merge.h. Format: header and AUX fields, then keys with the opcodes that concern them
 * (SELECTDB, RESIZEDB ...), then EOF and the checksum. What lies between can follow what lies between in
 * another file: a SELECTDB comes first. */
#include "worker/persist/rdb_merge.h"
#include "worker/persist/rdb_private.h"
#include "worker/persist/snapshot_check.h"

#include "shared/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC_BYTES = 5, VERSION_BYTES = 4, COPY_BYTES = 128 * 1024 };

struct source {
    int fd;
    uint64_t bytes;
    uint64_t body; /* offset of the first opcode that is no AUX field */
    int version;
};

/* ---- looking ---- */
static int read_version(struct rdb_in *in, int *version_r) {
    const char *head = rdb_get(in, MAGIC_BYTES + VERSION_BYTES);
    char digits[VERSION_BYTES + 1];
    if (head == NULL)
        return -1;
    snprintf(digits, sizeof digits, "%.*s", VERSION_BYTES, head + MAGIC_BYTES);
    *version_r = atoi(digits);
    if (memcmp(head, "REDIS", MAGIC_BYTES) != 0 || *version_r < RDB_VERSION_PLAIN ||
        *version_r > RDB_VERSION_MAX)
        return rdb_fail(in, "it is no snapshot of version %d to %d", RDB_VERSION_PLAIN,
                        RDB_VERSION_MAX);
    return 0;
}

static int find_body(struct rdb_in *in, uint64_t *body_r) {
    uint8_t opcode;
    do {
        *body_r = rdb_offset(in);
        if (rdb_get_byte(in, &opcode) != 0)
            return -1;
    } while (opcode == RDB_AUX && rdb_skip_string(in) == 0 && rdb_skip_string(in) == 0);
    if (in->failed)
        return -1;
    if (*body_r + RDB_TRAILER_BYTES > in->total)
        return rdb_fail(in, "it ends too early");
    return 0;
}

static int open_source(const char *dir, const char *name, struct source *s, char *error_r,
                       size_t error_bytes) {
    char path[4096];
    struct stat st;
    struct rdb_in in;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    s->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        snprintf(error_r, error_bytes, "cannot read %s: %s", name, strerror(errno));
        return -1;
    }
    s->bytes = (uint64_t)st.st_size;
    rdb_in_file(&in, s->fd, s->bytes, error_r, error_bytes);
    int result = read_version(&in, &s->version) == 0 ? find_body(&in, &s->body) : -1;
    rdb_in_free(&in);
    return result;
}

/* ---- copying ---- */
static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high) {
    return value < low ? low : value > high ? high : value;
}

/* All of it is read, for its checksum; the keys go out. */
static int copy_source(const struct source *s, struct rdb_out *out, const _Atomic bool *stop,
                       char *block, const char **why_r) {
    struct snapshot_check check = {0};
    uint64_t end = s->bytes - RDB_TRAILER_BYTES;
    for (uint64_t at = 0; at < s->bytes;) {
        uint64_t left = s->bytes - at, want = left < COPY_BYTES ? left : COPY_BYTES;
        ssize_t n = pread(s->fd, block, want, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0 || *stop) {
            *why_r = n < 0 ? strerror(errno) : n == 0 ? "it became shorter" : "not wanted any more";
            return -1;
        }
        uint64_t next = at + (uint64_t)n, from = clamp(s->body, at, next);
        uint64_t to = clamp(end, from, next);
        snapshot_check_add(&check, block, (size_t)n);
        buf_append(out->buf, block + (from - at), (size_t)(to - from));
        rdb_out_breathe(out);
        at = next;
    }
    if (!snapshot_check_is_whole(&check))
        *why_r = "its checksum is wrong, or its end";
    else if (out->error != 0)
        *why_r = strerror(out->error);
    else
        return 0;
    return -1;
}

static int write_merged(const struct source *sources, const char *const *names, uint32_t count,
                        int fd, bool checksum, const _Atomic bool *stop, char *error_r,
                        size_t error_bytes) {
    int version = RDB_VERSION_PLAIN;
    const char *why = NULL;
    struct buf buf = {0};
    struct rdb_out out = {.buf = &buf, .fd = fd};
    char *block = mem_alloc(COPY_BYTES);
    for (uint32_t i = 0; i < count; i++)
        version = sources[i].version > version ? sources[i].version : version;
    rdb_put_header(&out, version, false);
    for (uint32_t i = 0; i < count && why == NULL; i++)
        if (copy_source(&sources[i], &out, stop, block, &why) != 0)
            snprintf(error_r, error_bytes, "%s: %s", names[i], why);
    if (why == NULL)
        rdb_put_trailer(&out, checksum);
    if (why == NULL && out.error != 0)
        snprintf(error_r, error_bytes, "cannot write the merged snapshot: %s",
                 why = strerror(out.error));
    buf_free(&buf);
    mem_free(block);
    return why == NULL ? 0 : -1;
}

int rdb_merge(const char *dir, const char *const *names, uint32_t count, int fd, bool checksum,
              const _Atomic bool *stop, char *error_r, size_t error_bytes) {
    struct source *sources = mem_calloc(count, sizeof *sources);
    uint32_t opened = 0;
    int result = 0;
    while (result == 0 && opened < count) {
        result = open_source(dir, names[opened], &sources[opened], error_r, error_bytes);
        opened++;
    }
    if (result == 0)
        result = write_merged(sources, names, count, fd, checksum, stop, error_r, error_bytes);
    for (uint32_t i = 0; i < opened; i++)
        if (sources[i].fd >= 0)
            close(sources[i].fd);
    mem_free(sources);
    return result;
}
