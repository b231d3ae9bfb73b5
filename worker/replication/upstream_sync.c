/* upstream_sync.c - from a fresh connection to the stream: the handshake, a step for each answer, and the
 * snapshot.
 *
 *   PING, AUTH, REPLCONF listening-port, ip-address, capa eof capa psync2, PSYNC id offset
 *     +CONTINUE [id]            -> the stream
 *     +FULLRESYNC id offset     -> $<bytes> CR LF, the file, the stream
 *                               -> $EOF:<40 bytes> CR LF, the file, the 40 bytes, the stream
 *                               -> $HERE CR LF, the stream: a shard of our own has written our file itself
 *   An empty line that comes first says that the snapshot has to be made.
 */
#include "worker/replication/upstream_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/publish.h"
#include "shared/ipc/slot_map.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 1024, INFO_MAX_BYTES = 65536, SYNC_STEP_BYTES = 8 * 1024 * 1024 };

/* ---- what we say ---- */
static bool say_ping(struct upstream *u) {
    upstream_say(u, 1, (const struct bytes[]){BYTES_LITERAL("PING")});
    return true;
}

static bool say_auth(struct upstream *u) {
    const char *user = u->config->masteruser, *password = u->config->masterauth;
    if (password[0] == '\0' || u->hooks.open != NULL)
        return false;
    struct bytes argv[3] = {BYTES_LITERAL("AUTH")};
    uint32_t argc = 1;
    if (user[0] != '\0')
        argv[argc++] = bytes_of_text(user);
    argv[argc++] = bytes_of_text(password);
    upstream_say(u, argc, argv);
    return true;
}

static bool say_promotion(struct upstream *u) {
    if (!u->promote)
        return false;
    upstream_say(u, 3,
                 (const struct bytes[]){BYTES_LITERAL("REPLICAOF"), BYTES_LITERAL("NO"),
                                        BYTES_LITERAL("ONE")});
    return true;
}

static bool say_port(struct upstream *u) {
    char digits[BYTES_I64_MAX];
    int64_t port =
        u->config->replica_announce_port ? u->config->replica_announce_port : u->own_port;
    upstream_say(u, 3,
                 (const struct bytes[]){BYTES_LITERAL("REPLCONF"),
                                        BYTES_LITERAL("listening-port"),
                                        {digits, bytes_from_i64(digits, port)}});
    return true;
}

/* Our own option: by it FAILOVER knows the pool of a shard's replica. Who does not know it says so. */
static bool say_public_port(struct upstream *u) {
    char digits[BYTES_I64_MAX];
    if (u->public_port == 0)
        return false;
    upstream_say(u, 3,
                 (const struct bytes[]){BYTES_LITERAL("REPLCONF"),
                                        BYTES_LITERAL("public-port"),
                                        {digits, bytes_from_i64(digits, u->public_port)}});
    return true;
}

static bool say_address(struct upstream *u) {
    const char *address = u->config->replica_announce_ip;
    if (address[0] == '\0')
        return false;
    upstream_say(u, 3,
                 (const struct bytes[]){BYTES_LITERAL("REPLCONF"), BYTES_LITERAL("ip-address"),
                                        bytes_of_text(address)});
    return true;
}

/* A shard of our own pool is to send a file: that waits for no others to share it. */
static bool say_capabilities(struct upstream *u) {
    struct bytes argv[5] = {BYTES_LITERAL("REPLCONF")};
    uint32_t argc = 1;
    if (u->hooks.open == NULL) {
        argv[argc++] = BYTES_LITERAL("capa");
        argv[argc++] = BYTES_LITERAL("eof");
    }
    argv[argc++] = BYTES_LITERAL("capa");
    argv[argc++] = BYTES_LITERAL("psync2");
    upstream_say(u, argc, argv);
    return true;
}

static bool say_psync(struct upstream *u) {
    char digits[BYTES_I64_MAX];
    bool known = u->id[0] != '\0';
    struct bytes next = {digits, bytes_from_i64(digits, known ? (int64_t)u->offset + 1 : -1)};
    upstream_say(u, 3,
                 (const struct bytes[]){BYTES_LITERAL("PSYNC"),
                                        known ? bytes_of_text(u->id) : BYTES_LITERAL("?"), next});
    return true;
}

/* The public port of a pool of the same kind says how many workers there are, and where. */
static bool say_info(struct upstream *u) {
    if (!u->probe && !u->checks)
        return false;
    u->info_bytes = u->pool_workers = u->pool_port = 0;
    upstream_say(u, 2, (const struct bytes[]){BYTES_LITERAL("INFO"), BYTES_LITERAL("pool")});
    return true;
}

static bool say_psync_if_meant(struct upstream *u) {
    return !u->probe && say_psync(u);
}

/* ---- what is answered ---- */
static bool begins(struct bytes line, const char *with) {
    size_t len = strlen(with);
    return line.len >= len && memcmp(line.ptr, with, len) == 0;
}

/* What it said goes to logs and pages: only what can be printed. */
static void refuse_line(struct upstream *u, const char *what, struct bytes line) {
    char why[UPSTREAM_TEXT_BYTES];
    snprintf(why, sizeof why, "%s was answered with '%.*s'", what,
             (int)(line.len < 100 ? line.len : 100), line.ptr);
    for (char *c = why; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    upstream_fail(u, false, why);
}

/* A primary that wants a password says so to PING already; AUTH comes next. */
static bool heard_pong(struct upstream *u, struct bytes line) {
    if (begins(line, "+") || begins(line, "-NOAUTH") || begins(line, "-NOPERM") ||
        begins(line, "-ERR operation not permitted"))
        return true;
    refuse_line(u, "PING", line);
    return false;
}

static bool heard_auth(struct upstream *u, struct bytes line) {
    if (begins(line, "+"))
        return true;
    refuse_line(u, "AUTH", line);
    return false;
}

static bool heard_promotion(struct upstream *u, struct bytes line) {
    if (begins(line, "+"))
        upstream_probed(u);
    else
        refuse_line(u, "REPLICAOF NO ONE", line);
    return false;
}

/* An old primary may not know an option of REPLCONF: it does without. */
static bool heard_option(struct upstream *u, struct bytes line) {
    if (begins(line, "-ERR") || begins(line, "+"))
        return true;
    refuse_line(u, "REPLCONF", line);
    return false;
}

static bool is_id(struct bytes text) {
    bool hex = text.len == REPLICATION_ID_BYTES - 1;
    for (size_t i = 0; hex && i < text.len; i++)
        hex = isxdigit((unsigned char)text.ptr[i]);
    return hex;
}

static void set_id(struct upstream *u, struct bytes id) {
    snprintf(u->id, sizeof u->id, "%.*s", (int)id.len, id.ptr);
}

static bool heard_continue(struct upstream *u, struct bytes line) {
    struct bytes id = bytes_of(line.ptr + 9, line.len - 9);
    if (id.len > 0 && id.ptr[0] == ' ')
        id = bytes_of(id.ptr + 1, id.len - 1);
    if (u->id[0] == '\0' || (id.len > 0 && !is_id(id))) {
        refuse_line(u, "PSYNC", line);
        return false;
    }
    if (id.len > 0)
        set_id(u, id); /* the history goes on under another name: a replica was promoted */
    u->partial_syncs++;
    u->vain_syncs = 0;
    log_notice("Successful partial resynchronization with master %s:%u.", u->host, u->port);
    u->hooks.continued(u->hooks.arg);
    upstream_begin_stream(u);
    return true;
}

static bool heard_full(struct upstream *u, struct bytes line) {
    struct bytes rest = bytes_of(line.ptr + 12, line.len - 12);
    uint64_t offset;
    const size_t id_len = REPLICATION_ID_BYTES - 1;
    if (rest.len < id_len + 2 || rest.ptr[id_len] != ' ' || !is_id(bytes_of(rest.ptr, id_len)) ||
        !bytes_to_u64(bytes_of(rest.ptr + id_len + 1, rest.len - id_len - 1), &offset) ||
        offset > RDB_ORIGIN_OFFSET_MAX) {
        refuse_line(u, "PSYNC", line);
        return false;
    }
    set_id(u, bytes_of(rest.ptr, id_len));
    u->offset = offset;
    u->id_is_new = true;
    u->awaits_snapshot = false;
    u->full_syncs++;
    u->vain_syncs++;
    u->costly = true;
    log_notice("Full resync from master %s:%u: %s:%" PRIu64, u->host, u->port, u->id, offset);
    upstream_set_state(u, UPSTREAM_SYNCING);
    return true;
}

static bool heard_psync(struct upstream *u, struct bytes line) {
    if (begins(line, "+CONTINUE"))
        return heard_continue(u, line);
    if (begins(line, "+FULLRESYNC "))
        return heard_full(u, line);
    refuse_line(u, "PSYNC", line);
    return false;
}

static void take_field(struct bytes line, const char *name, uint64_t *value_r) {
    size_t len = strlen(name);
    uint64_t value;
    if (begins(line, name) && bytes_to_u64(bytes_of(line.ptr + len, line.len - len), &value) &&
        value <= UINT16_MAX)
        *value_r = value;
}

/* What the primary is, is known. True: go on with the synchronization. */
static bool heard_what_it_is(struct upstream *u) {
    char why[UPSTREAM_TEXT_BYTES];
    if (u->pool_workers > SHARD_MAX || u->pool_port + u->pool_workers > UINT16_MAX) {
        upstream_fail(u, false, "it says that it is a pool, of a size that cannot be");
    } else if (u->probe) {
        upstream_probed(u);
    } else if (u->pool_workers != u->workers || u->pool_port != u->worker_port) {
        snprintf(why, sizeof why,
                 "the master has %" PRIu64 " workers now, not %u, from port %" PRIu64 " on, not %u",
                 u->pool_workers, u->workers, u->pool_port, u->worker_port);
        upstream_fail(u, false, why);
        if (u->hooks.is_another != NULL)
            u->hooks.is_another(u->hooks.arg, (uint32_t)u->pool_workers, (uint32_t)u->pool_port);
    } else {
        return true;
    }
    return false;
}

/* Lines of a bulk string, whose length comes first and counts their ends. */
static bool heard_info(struct upstream *u, struct bytes line) {
    /* Who may synchronize need not be allowed INFO: then it is followed as a server by itself. */
    if (u->info_bytes == 0 && begins(line, "-NOPERM"))
        return heard_what_it_is(u);
    if (u->info_bytes == 0) {
        uint64_t len;
        if (!begins(line, "$") || !bytes_to_u64(bytes_of(line.ptr + 1, line.len - 1), &len) ||
            len > INFO_MAX_BYTES) {
            refuse_line(u, "INFO", line);
            return false;
        }
        u->info_bytes = len + 2;
        return false;
    }
    take_field(line, "pool_workers:", &u->pool_workers);
    take_field(line, "pool_worker_port_base:", &u->pool_port);
    u->info_bytes -= line.len + 2 < u->info_bytes ? line.len + 2 : u->info_bytes;
    return u->info_bytes == 0 && heard_what_it_is(u);
}

static const struct handshake_step {
    bool (*say)(struct upstream *u); /* false: nothing to say, go on */
    bool (*heard)(struct upstream *u, struct bytes line);
} steps[] = {
    {say_ping, heard_pong},   {say_auth, heard_auth},           {say_promotion, heard_promotion},
    {say_port, heard_option}, {say_public_port, heard_option},  {say_address, heard_option},
    {say_info, heard_info},   {say_capabilities, heard_option}, {say_psync_if_meant, heard_psync},
};
enum { STEPS = sizeof steps / sizeof *steps };

static void say_next(struct upstream *u) {
    while (u->step < STEPS && !steps[u->step].say(u))
        u->step++;
}

void upstream_greet(struct upstream *u) {
    upstream_set_state(u, UPSTREAM_HANDSHAKE);
    u->step = 0;
    say_next(u);
}

static void take_answer(struct upstream *u, struct bytes line) {
    if (!steps[u->step].heard(u, line) || u->state != UPSTREAM_HANDSHAKE)
        return;
    u->step++;
    say_next(u);
}

/* ---- the snapshot ---- */
void upstream_drop_file(struct upstream *u) {
    char path[2048];
    if (u->file < 0)
        return;
    close(u->file);
    u->file = -1;
    snprintf(path, sizeof path, "%s/%s", u->dir, u->temp);
    unlink(path);
}

/* A disk that is filled to the last byte would stop the log of what we have, too. */
static bool has_room(const struct upstream *u, char why[UPSTREAM_TEXT_BYTES]) {
    struct statvfs disk;
    if (statvfs(u->dir, &disk) != 0)
        return true; /* it will show */
    uint64_t room = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (u->file_total <= room)
        return true;
    snprintf(why, UPSTREAM_TEXT_BYTES,
             "cannot write the snapshot: it has %" PRIu64 " bytes, the disk has room for %" PRIu64,
             u->file_total, room);
    return false;
}

/* "$<bytes>", or "$EOF:<mark>" of a primary that does not know yet. */
static bool parse_file_header(struct upstream *u, struct bytes line) {
    static const char eof[] = "$EOF:";
    const size_t eof_len = sizeof eof - 1;
    if (begins(line, eof) && line.len == eof_len + sizeof u->mark) {
        memcpy(u->mark, line.ptr + eof_len, sizeof u->mark);
        u->file_total = 0;
        return true;
    }
    return line.ptr[0] == '$' &&
           bytes_to_u64(bytes_of(line.ptr + 1, line.len - 1), &u->file_total) && u->file_total > 0;
}

static void have_snapshot(struct upstream *u) {
    upstream_set_state(u, UPSTREAM_LOADING);
    log_notice("MASTER <-> REPLICA sync: Loading DB in memory");
    u->hooks.snapshot(u->hooks.arg, u->temp);
}

static void take_file_header(struct upstream *u, struct bytes line) {
    char why[UPSTREAM_TEXT_BYTES];
    if (line.len == 0)
        return; /* a sign of life */
    if (u->hooks.open != NULL && bytes_equal(line, BYTES_LITERAL("$HERE"))) {
        have_snapshot(u);
        return;
    }
    if (!parse_file_header(u, line)) {
        refuse_line(u, "the snapshot's length", line);
        return;
    }
    u->file = has_room(u, why) ? publish_begin(u->dir, u->temp, why, sizeof why) : -1;
    if (u->file < 0) {
        upstream_fail(u, true, why);
        return;
    }
    u->file_done = u->file_synced = 0;
    u->check = (struct snapshot_check){0};
    upstream_set_state(u, UPSTREAM_TRANSFER);
    if (u->file_total > 0)
        log_notice("MASTER <-> REPLICA sync: receiving %" PRIu64 " bytes from master to disk",
                   u->file_total);
    else
        log_notice("MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to disk");
}

static int write_file(struct upstream *u, const char *data, size_t len) {
    snapshot_check_add(&u->check, data, len);
    while (len > 0) {
        ssize_t n = write(u->file, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
        u->file_done += (uint64_t)n;
    }
    /* The disk works along, so that no long sync waits at the end. */
    if (u->file_done - u->file_synced >= SYNC_STEP_BYTES) {
        sync_file_range(u->file, (off_t)u->file_synced, (off_t)(u->file_done - u->file_synced),
                        SYNC_FILE_RANGE_WRITE);
        u->file_synced = u->file_done;
    }
    return 0;
}

bool upstream_snapshot_is_whole(const struct upstream *u) {
    return snapshot_check_is_whole(&u->check);
}

static void file_is_whole(struct upstream *u) {
    close(u->file);
    u->file = -1;
    have_snapshot(u);
}

/* How much of `in` is the file's; *used_r: with what ends it, if that is there. What may be the beginning of
 * the mark waits for the rest. */
static size_t part_of_file(const struct upstream *u, size_t *used_r, bool *whole_r) {
    const struct buf *in = &u->in;
    if (u->file_total > 0) {
        uint64_t left = u->file_total - u->file_done;
        *whole_r = in->len >= left;
        return *used_r = *whole_r ? (size_t)left : in->len;
    }
    const size_t mark = sizeof u->mark;
    const char *end = memmem(in->data, in->len, u->mark, mark);
    *whole_r = end != NULL;
    if (end == NULL)
        return *used_r = in->len < mark ? 0 : in->len - (mark - 1);
    *used_r = (size_t)(end - in->data) + mark;
    return *used_r - mark;
}

static void take_file(struct upstream *u) {
    bool whole;
    size_t used, part = part_of_file(u, &used, &whole);
    if (write_file(u, u->in.data, part) != 0) {
        char why[UPSTREAM_TEXT_BYTES];
        snprintf(why, sizeof why, "cannot write the snapshot: %s", strerror(errno));
        upstream_fail(u, true, why);
        return;
    }
    buf_consume(&u->in, used);
    if (whole)
        file_is_whole(u);
}

/* ---- lines ---- */
/* One line out of `in`, without its end. False: not there yet, or the link has failed. */
static bool take_line(struct upstream *u, struct buf *line) {
    const char *end = u->in.len > 0 ? memchr(u->in.data, '\n', u->in.len) : NULL;
    if (end == NULL) {
        if (u->in.len > LINE_MAX_BYTES)
            upstream_fail(u, false, "a line without end");
        return false;
    }
    size_t used = (size_t)(end - u->in.data) + 1, len = used - 1;
    if (len > 0 && u->in.data[len - 1] == '\r')
        len--;
    buf_clear(line);
    buf_append(line, u->in.data, len);
    buf_consume(&u->in, used);
    return true;
}

void upstream_take(struct upstream *u) {
    struct buf line = {0};
    for (;;) {
        if (u->state == UPSTREAM_TRANSFER) {
            if (u->in.len > 0)
                take_file(u);
            if (u->state == UPSTREAM_TRANSFER)
                break;
        } else if (u->state == UPSTREAM_HANDSHAKE || u->state == UPSTREAM_SYNCING) {
            if (!take_line(u, &line))
                break;
            if (u->state == UPSTREAM_SYNCING)
                take_file_header(u, buf_bytes(&line));
            else if (line.len > 0 || u->info_bytes > 0)
                take_answer(u, buf_bytes(&line));
            else
                u->awaits_snapshot = u->step == STEPS - 1;
        } else {
            break;
        }
    }
    buf_free(&line);
}
