/* aof_load.c - one file of a log: an RDB part at its beginning if it has one, then commands in client
 * protocol, each handed to `apply`; transactions only when their EXEC is there.
 *
 * Hostile input, and the disk may have lied. A checksum that does not fit, a command that is none or
 * is refused: the file is damaged, with the offset. An end that is cut short (or is zeros, as some
 * file systems leave after a power cut) is no damage in the last file of a log: `end` is before it.
 * What looks like a cut end but has a valid checksum behind it is damage after all. */
#include "worker/persist/aof_private.h"

#include "shared/base/crc.h"
#include "shared/base/mem.h"
#include "worker/resp/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* An argument may be longer than the file, if the file is cut within it. */
static const uint64_t BULK_MAX = (uint64_t)1 << 48;
enum { READ_BYTES = 256 * 1024, PROGRESS_COMMANDS = 1024, ANNOTATION_MAX = 1024 };

struct log_reader {
    const struct aof_load_job *job;
    struct aof_loaded *loaded;
    int fd;
    uint64_t limit; /* where the data ends: zeros behind it are none */
    uint64_t total;
    /* window: bytes of the file from window_offset on; at: the next that is not consumed. */
    struct buf window;
    uint64_t window_offset;
    size_t at, crc_at;
    uint64_t crc; /* of all bytes before crc_at */
    bool at_end;
    struct resp_parser parser;
    bool in_transaction;
    uint64_t transaction_crc, transaction_commands;
    struct buf transaction; /* its commands, waiting for EXEC */
    uint32_t since_progress;
    char *error;
    size_t error_bytes;
};

static uint64_t offset_of(const struct log_reader *r) {
    return r->window_offset + r->at;
}

__attribute__((format(printf, 2, 3))) static int fail(struct log_reader *r, const char *format,
                                                      ...) {
    int used = snprintf(r->error, r->error_bytes, "at byte %" PRIu64 ": ", offset_of(r));
    va_list args;
    va_start(args, format);
    if (used > 0 && (size_t)used < r->error_bytes)
        vsnprintf(r->error + used, r->error_bytes - (size_t)used, format, args);
    va_end(args);
    return -1;
}

static uint64_t crc_here(struct log_reader *r) {
    r->crc = crc64(r->crc, r->window.data + r->crc_at, r->at - r->crc_at);
    r->crc_at = r->at;
    return r->crc;
}

static void report_progress(struct log_reader *r) {
    r->since_progress = 0;
    if (r->job->progress != NULL)
        r->job->progress(r->job->progress_arg, offset_of(r));
}

/* Read on: more than the window holds, at least what the command at hand is known to need. */
static int read_on(struct log_reader *r, size_t need) {
    if (r->at > 0) {
        crc_here(r);
        r->window_offset += r->at;
        buf_consume(&r->window, r->at);
        r->at = r->crc_at = 0;
    }
    uint64_t file_at = r->window_offset + r->window.len;
    uint64_t left = r->limit - file_at;
    uint64_t want = need > r->window.len + READ_BYTES ? need - r->window.len : READ_BYTES;
    want = want < left ? want : left;
    if (want == 0) {
        r->at_end = true;
        return 0;
    }
    char *to = buf_reserve(&r->window, (size_t)want);
    ssize_t n;
    do
        n = pread(r->fd, to, (size_t)want, (off_t)file_at);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return fail(r, "read failed: %s", n < 0 ? strerror(errno) : "the file became shorter");
    r->window.len += (size_t)n;
    report_progress(r);
    return 0;
}

/* ---- commands ---- */
static bool is_word(uint32_t argc, const struct bytes *argv, const char *name) {
    return argc == 1 && bytes_equal_nocase(argv[0], name);
}

/* MULTI and EXEC are read, but do nothing: what is between them runs when both are there. */
static int apply(struct log_reader *r, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    char text[256] = "";
    if (r->job->read != NULL)
        r->job->read(r->job->apply_arg, argc, argv, raw, r->job->behind + r->total - offset_of(r));
    if (is_word(argc, argv, "multi") || is_word(argc, argv, "exec"))
        return 0;
    if (r->job->apply(r->job->apply_arg, argc, argv, text, sizeof text) == 0) {
        r->loaded->commands++;
        if (++r->since_progress >= PROGRESS_COMMANDS)
            report_progress(r);
        return 0;
    }
    int shown = argv[0].len < 64 ? (int)argv[0].len : 64;
    return fail(r, "command '%.*s' was refused: %s", shown, argv[0].ptr, text);
}

static int apply_transaction(struct log_reader *r) {
    struct resp_parser parser;
    size_t done = 0, used;
    int result = 0;
    resp_parser_init(&parser);
    parser.bulk_max = BULK_MAX;
    while (result == 0 && done < r->transaction.len &&
           resp_parse(&parser, r->transaction.data + done, r->transaction.len - done, &used) ==
               RESP_COMMAND) {
        result = apply(r, parser.argc, parser.argv, bytes_of(r->transaction.data + done, used));
        done += used;
    }
    resp_parser_free(&parser);
    return result;
}

static int take_checksum(struct log_reader *r, uint64_t found) {
    if (offset_of(r) == 0) {
        r->loaded->follows = true;
        r->loaded->follows_crc = found;
        return 0;
    }
    uint64_t expected = crc_here(r);
    if (found != expected)
        return fail(r,
                    "wrong checksum: the file says %016" PRIx64 ", the bytes before it give "
                    "%016" PRIx64,
                    found, expected);
    r->loaded->checksums++;
    return 0;
}

/* One command that stands at `at` and is `used` bytes long. */
static int take_command(struct log_reader *r, size_t used) {
    uint32_t argc = r->parser.argc;
    const struct bytes *argv = r->parser.argv;
    uint64_t checksum;
    if (argc == 0)
        return fail(r, "an empty command");
    if (aof_checksum_parse(argc, argv, &checksum))
        return take_checksum(r, checksum);
    struct bytes raw = bytes_of(r->window.data + r->at, used);
    if (is_word(argc, argv, "multi")) {
        if (r->in_transaction)
            return fail(r, "MULTI within MULTI");
        r->in_transaction = true;
        r->transaction_crc = crc_here(r);
        buf_clear(&r->transaction);
    } else if (is_word(argc, argv, "exec")) {
        if (!r->in_transaction)
            return fail(r, "EXEC without MULTI");
        r->in_transaction = false;
        if (apply_transaction(r) != 0)
            return -1;
    }
    if (!r->in_transaction)
        return apply(r, argc, argv, raw);
    buf_append_bytes(&r->transaction, raw);
    return 0;
}

static void consume(struct log_reader *r, size_t used) {
    r->at += used;
    if (!r->in_transaction)
        r->loaded->end = offset_of(r);
}

/* "#TS:..." lines, which Redis puts in between if told to. */
static int skip_annotation(struct log_reader *r, bool *more_r) {
    size_t have = r->window.len - r->at;
    const char *end = memchr(r->window.data + r->at, '\n', have);
    *more_r = end == NULL;
    if (end == NULL)
        return have > ANNOTATION_MAX ? fail(r, "an annotation without end") : 0;
    consume(r, (size_t)(end - (r->window.data + r->at)) + 1);
    return 0;
}

/* One step. *more_r: there are not enough bytes. */
static int step(struct log_reader *r, bool *more_r) {
    size_t have = r->window.len - r->at, used = 0;
    const char *data = r->window.data + r->at;
    *more_r = have == 0;
    if (have == 0)
        return 0;
    if (*data == '#')
        return skip_annotation(r, more_r);
    if (*data != '*')
        return fail(r, "0x%02x does not begin a command", (unsigned char)*data);
    switch (resp_parse(&r->parser, data, have, &used)) {
    case RESP_COMMAND: break;
    case RESP_MORE: *more_r = true; return 0;
    case RESP_PROTOCOL_ERROR: return fail(r, "%s", r->parser.error);
    }
    if (take_command(r, used) != 0)
        return -1;
    consume(r, used);
    return 0;
}

/* ---- the end ---- */
/* Zeros behind the data: a command ends in CR LF, so they belong to none. */
static int strip_zeros(struct log_reader *r, uint64_t begin) {
    char block[4096];
    while (r->limit > begin) {
        uint64_t from = r->limit - begin > sizeof block ? r->limit - sizeof block : begin;
        size_t len = (size_t)(r->limit - from);
        if (pread(r->fd, block, len, (off_t)from) != (ssize_t)len)
            return fail(r, "cannot read the end of the file: %s", strerror(errno));
        while (len > 0 && block[len - 1] == '\0')
            len--;
        r->limit = from + len;
        if (len > 0)
            return 0;
    }
    return 0;
}

/* Is there a whole, valid batch behind the place where the log stops making sense? Two checksum commands
 * that fit each other prove it, or one at the very end of the file. */
static bool valid_batch_in(const char *tail, size_t len) {
    const char *previous = NULL;
    uint64_t previous_crc = 0, crc;
    for (const char *at = tail; (size_t)(tail + len - at) >= AOF_CHECKSUM_BYTES; at++) {
        at = memchr(at, '*', (size_t)(tail + len - at) - AOF_CHECKSUM_BYTES + 1);
        if (at == NULL)
            return false;
        if (!aof_checksum_at(at, &crc))
            continue;
        if (at + AOF_CHECKSUM_BYTES == tail + len)
            return true;
        if (previous != NULL && crc64(previous_crc, previous, (size_t)(at - previous)) == crc)
            return true;
        previous = at;
        previous_crc = crc;
    }
    return false;
}

/* All bytes up to the limit are read, and they end in the middle of a command. */
static int judge_incomplete_end(struct log_reader *r) {
    size_t len = r->window.len - r->at;
    if (len > 0 && valid_batch_in(r->window.data + r->at, len))
        return fail(r, "damaged: a command has no end, yet a valid batch follows");
    return 0;
}

static int finish(struct log_reader *r) {
    if (r->window.len > r->at && judge_incomplete_end(r) != 0)
        return -1;
    r->loaded->crc = r->in_transaction ? r->transaction_crc : crc_here(r);
    r->loaded->cut_bytes = r->total - r->loaded->end;
    if (r->loaded->cut_bytes == 0 || r->job->may_be_cut)
        return 0;
    return fail(r, "the file is cut short: %" PRIu64 " bytes of an incomplete %s",
                r->loaded->cut_bytes, r->in_transaction ? "transaction" : "command");
}

static int read_commands(struct log_reader *r, uint64_t begin) {
    bool more = false;
    r->window_offset = r->loaded->end = begin;
    if (r->job->may_be_cut && strip_zeros(r, begin) != 0)
        return -1;
    while (!r->at_end) {
        if (step(r, &more) != 0)
            return -1;
        if (more && read_on(r, resp_parser_need(&r->parser)) != 0)
            return -1;
    }
    return finish(r);
}

static int load_rdb_part(int fd, uint64_t total, const struct aof_load_job *job,
                         struct aof_loaded *loaded, char *error_r, size_t error_bytes) {
    char magic[5];
    if (pread(fd, magic, sizeof magic, 0) != (ssize_t)sizeof magic ||
        memcmp(magic, "REDIS", sizeof magic) != 0)
        return 0;
    struct rdb_load_job rdb = {.ks = job->ks,
                               .config = job->config,
                               .keep_expired = true,
                               .progress = job->progress,
                               .owns = job->owns,
                               .arg = job->progress_arg};
    if (rdb_load_fd(fd, total, &rdb, &loaded->rdb, error_r, error_bytes) != 0)
        return -1;
    loaded->end = loaded->rdb.end;
    loaded->keys = loaded->rdb.keys;
    return 0;
}

int aof_load_fd(int fd, uint64_t total, const struct aof_load_job *job, struct aof_loaded *loaded_r,
                char *error_r, size_t error_bytes) {
    *loaded_r = (struct aof_loaded){0};
    if (load_rdb_part(fd, total, job, loaded_r, error_r, error_bytes) != 0)
        return -1;
    struct log_reader r = {.job = job,
                           .loaded = loaded_r,
                           .fd = fd,
                           .limit = total,
                           .total = total,
                           .error = error_r,
                           .error_bytes = error_bytes};
    resp_parser_init(&r.parser);
    r.parser.bulk_max = BULK_MAX;
    int result = read_commands(&r, loaded_r->end);
    resp_parser_free(&r.parser);
    buf_free(&r.window);
    buf_free(&r.transaction);
    return result;
}
