/* aof.c - the open increment: commands gather in pending, one write(2) a turn makes a batch of them;
 * aof_sync.c has it synced.
 *
 * A failed write is cut off again and repeated later; a failed fdatasync is never repeated. Both
 * show in `trouble`, which closes the shard for writes. */
#include "worker/persist/aof_private.h"

#include "shared/base/clock.h"
#include "shared/base/crc.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PENDING_KEEP_BYTES = 1024 * 1024 };
static const char checksum_head[] = "*2\r\n$4\r\nPING\r\n$16\r\n";
enum { CHECKSUM_HEAD_BYTES = sizeof checksum_head - 1 };

/* ---- the checksum command ---- */
void aof_checksum_format(char out[AOF_CHECKSUM_BYTES], uint64_t crc) {
    static const char hex[] = "0123456789abcdef";
    memcpy(out, checksum_head, CHECKSUM_HEAD_BYTES);
    for (int i = 0; i < AOF_CHECKSUM_DIGITS; i++)
        out[CHECKSUM_HEAD_BYTES + i] = hex[crc >> (60 - 4 * i) & 15];
    memcpy(out + AOF_CHECKSUM_BYTES - 2, "\r\n", 2);
}

static bool parse_hex(const char *digits, uint64_t *value_r) {
    *value_r = 0;
    for (int i = 0; i < AOF_CHECKSUM_DIGITS; i++) {
        char c = digits[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            return false;
        *value_r = *value_r << 4 | (uint64_t)digit;
    }
    return true;
}

bool aof_checksum_parse(uint32_t argc, const struct bytes *argv, uint64_t *crc_r) {
    return argc == 2 && bytes_equal_nocase(argv[0], "ping") && argv[1].len == AOF_CHECKSUM_DIGITS &&
           parse_hex(argv[1].ptr, crc_r);
}

bool aof_checksum_at(const char *data, uint64_t *crc_r) {
    return memcmp(data, checksum_head, CHECKSUM_HEAD_BYTES) == 0 &&
           memcmp(data + AOF_CHECKSUM_BYTES - 2, "\r\n", 2) == 0 &&
           parse_hex(data + CHECKSUM_HEAD_BYTES, crc_r);
}

/* ---- the buffer ---- */
enum { HEADER_BYTES_MAX = 1 + BYTES_I64_MAX + 2 };

static char *put_header(char *to, char type, uint64_t number) {
    *to++ = type;
    if (number < 10)
        *to++ = (char)('0' + number);
    else
        to += bytes_from_i64(to, (int64_t)number);
    memcpy(to, "\r\n", 2);
    return to + 2;
}

/* Room is looked for once: this runs for every write. */
void aof_format_command(struct buf *out, uint32_t argc, const struct bytes *argv) {
    size_t room = HEADER_BYTES_MAX;
    for (uint32_t i = 0; i < argc; i++)
        room += HEADER_BYTES_MAX + argv[i].len + 2;
    char *to = put_header(buf_reserve(out, room), '*', argc);
    for (uint32_t i = 0; i < argc; i++) {
        to = put_header(to, '$', argv[i].len);
        if (argv[i].len > 0)
            memcpy(to, argv[i].ptr, argv[i].len);
        to += argv[i].len;
        memcpy(to, "\r\n", 2);
        to += 2;
    }
    out->len = (size_t)(to - out->data);
}

void aof_format_select(struct buf *out, uint32_t db) {
    char digits[BYTES_I64_MAX];
    const struct bytes argv[] = {BYTES_LITERAL("SELECT"), {digits, bytes_from_i64(digits, db)}};
    aof_format_command(out, 2, argv);
}

/* The clock is read once a turn, not once a command. */
static void note_first_byte(struct aof *aof) {
    aof->pending_since_us = clock_mono_us();
    if (aof->unsynced_since_us == 0)
        aof->unsynced_since_us = aof->pending_since_us;
    if (aof->syncing && aof->uncovered_since_us == 0)
        aof->uncovered_since_us = aof->pending_since_us;
}

void aof_append_command(struct aof *aof, uint32_t argc, const struct bytes *argv) {
    size_t before = aof->pending.len;
    if (before == 0)
        note_first_byte(aof);
    aof_format_command(&aof->pending, argc, argv);
    aof->commands++;
    aof->executed += aof->pending.len - before;
}

void aof_append_raw(struct aof *aof, struct bytes commands) {
    if (commands.len == 0)
        return;
    if (aof->pending.len == 0)
        note_first_byte(aof);
    buf_append_bytes(&aof->pending, commands);
    aof->commands++;
    aof->executed += commands.len;
}

/* ---- trouble ---- */
void aof_set_trouble(struct aof *aof, enum aof_trouble trouble, int error) {
    static const char *const what[] = {
        [AOF_WRITE_FAILED] = "writing", [AOF_SYNC_FAILED] = "syncing"};
    bool same = trouble == aof->trouble && error == aof->trouble_errno;
    bool was_fine = aof->trouble == AOF_FINE;
    aof->trouble = trouble;
    aof->trouble_errno = error;
    snprintf(aof->refusal, sizeof aof->refusal, "MISCONF Errors writing to the AOF file: %s",
             strerror(error));
    if (same || aof->expendable)
        return;
    if (trouble != AOF_FINE) {
        log_warning("Error %s the AOF file: %s. Writes are refused.", what[trouble],
                    strerror(error));
        status_set_text(aof->status->note, "%s the append-only log failed: %s; writes are refused",
                        what[trouble], strerror(error));
    } else if (!was_fine) {
        log_warning("AOF write error looks solved. The server can write again.");
        status_set_text(aof->status->note, "%s", "");
    }
}

/* ---- write ---- */
/* Returns 0 or the errno of the first failure. */
static int write_all(int fd, const char *data, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A batch that is partly in the file would be a hole in it. */
static int write_failed(struct aof *aof, size_t body, int error) {
    aof->pending.len = body;
    if (ftruncate(aof->fd, (off_t)aof->file_bytes) == 0)
        aof_set_trouble(aof, AOF_WRITE_FAILED, error);
    else
        aof_set_trouble(aof, AOF_SYNC_FAILED, errno);
    return -1;
}

/* What a new increment begins with, see aof_private.h. */
static int write_beginning(struct aof *aof) {
    char checksum[AOF_CHECKSUM_BYTES];
    aof_checksum_format(checksum, aof->follows_crc);
    int error = write_all(aof->fd, checksum, sizeof checksum);
    if (error != 0)
        return write_failed(aof, aof->pending.len, error);
    aof->crc = crc64(0, checksum, sizeof checksum);
    aof->file_bytes += sizeof checksum;
    aof->total_bytes += sizeof checksum;
    aof->executed += sizeof checksum;
    return 0;
}

int aof_write_pending(struct aof *aof) {
    if (aof->pending.len == 0 || aof->held || aof->fd < 0)
        return 0;
    if (aof->trouble == AOF_SYNC_FAILED)
        return -1;
    if (aof->file_bytes == 0 && aof->follows && write_beginning(aof) != 0)
        return -1;
    size_t body = aof->pending.len;
    char checksum[AOF_CHECKSUM_BYTES];
    uint64_t crc = crc64(aof->crc, aof->pending.data, body);
    aof_checksum_format(checksum, crc);
    buf_append(&aof->pending, checksum, sizeof checksum);
    int error = write_all(aof->fd, aof->pending.data, aof->pending.len);
    if (error != 0)
        return write_failed(aof, body, error);
    aof->crc = crc64(crc, checksum, sizeof checksum);
    aof->file_bytes += aof->pending.len;
    aof->total_bytes += aof->pending.len;
    aof->executed += sizeof checksum;
    aof->written = aof->executed;
    buf_clear(&aof->pending);
    buf_shrink(&aof->pending, PENDING_KEEP_BYTES);
    aof->pending_since_us = 0;
    if (aof->trouble == AOF_WRITE_FAILED)
        aof_set_trouble(aof, AOF_FINE, 0);
    if (aof->replies_held) {
        aof->replies_held = false;
        aof->synced_hook(aof->arg);
    }
    return 0;
}

/* ---- turns ---- */
void aof_turn_end(struct aof *aof, bool child_alive) {
    if (aof->trouble == AOF_FINE)
        aof_write_pending(aof);
    aof_sync_turn_end(aof, child_alive);
}

void aof_cron(struct aof *aof, bool child_alive) {
    aof_write_pending(aof);
    aof_sync_cron(aof, child_alive);
}

int aof_finish(struct aof *aof, char *error_r, size_t error_bytes) {
    background_drain(aof->background);
    const char *step = "write";
    int error = 0;
    if (aof->trouble == AOF_SYNC_FAILED || aof_write_pending(aof) != 0) {
        error = aof->trouble_errno;
    } else if (aof->fd >= 0 && aof->written > aof->synced) {
        step = "fdatasync";
        if (aof_fdatasync(aof->fd) == 0)
            aof_set_synced(aof, aof->written);
        else
            aof_set_trouble(aof, AOF_SYNC_FAILED, error = errno);
    }
    if (error == 0)
        return 0;
    snprintf(error_r, error_bytes, "the append-only log is not safe on disk: %s failed: %s", step,
             strerror(error));
    return -1;
}

/* ---- the file ---- */
void aof_init(struct aof *aof, struct ev_loop *loop, const struct config *config,
              struct status_page *status, struct background *background, void (*synced)(void *arg),
              void *arg) {
    *aof = (struct aof){.config = config,
                        .status = status,
                        .background = background,
                        .synced_hook = synced,
                        .arg = arg,
                        .fd = -1};
    aof_sync_init(aof, loop);
}

void aof_close(struct aof *aof) {
    if (aof->fd >= 0)
        close(aof->fd);
    aof->fd = -1;
    aof_sync_close(aof);
    buf_free(&aof->pending);
}

int aof_open(struct aof *aof, const char *path, uint64_t bytes, uint64_t crc, char *error_r,
             size_t error_bytes) {
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0) {
        snprintf(error_r, error_bytes, "cannot append to %s: %s", path, strerror(errno));
        return -1;
    }
    aof->fd = fd;
    aof->file_bytes = bytes;
    aof->crc = crc;
    return 0;
}
