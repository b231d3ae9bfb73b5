/* replica_link.c - one replica's connection, as its primary sees it: what is written to it, in order
 *
 *   words ("+FULLRESYNC ...", "$<bytes>")   ->  the file                      ->  the stream from its cursor on
 *                             "$EOF:<mark>"  ->  piece by piece, then the mark  ->  and when it says that it has it
 *
 * Fails by dropping the connection: the replica comes again. */
#include "worker/replication/primary_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/persist/aof.h"
#include "worker/persist/discard.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BYTES = 1024 * 1024 }; /* to one replica a turn */

static void on_writable(struct ev_loop *loop, ev_io *io, int events) {
    replica_write(io->data);
}

struct replica *replica_create(struct primary *primary, void *client, int fd, const char *peer,
                               bool own) {
    struct replica *r = mem_calloc(1, sizeof *r);
    r->primary = primary;
    r->client = client;
    r->fd = fd;
    r->own = own;
    r->file = -1;
    const char *colon = strrchr(peer, ':');
    int len = colon != NULL ? (int)(colon - peer) : (int)strlen(peer);
    bool bracketed = len > 2 && peer[0] == '[';
    snprintf(r->address, sizeof r->address, "%.*s", len - 2 * bracketed, peer + bracketed);
    list_init(&r->link);
    ev_io_init(&r->writable, on_writable, fd, EV_WRITE);
    r->writable.data = r;
    return r;
}

static void close_file(struct replica *r) {
    discard_fd(r->file); /* a merged snapshot has no name any more */
    r->file = -1;
}

/* The connection closes later: until then nothing more is written to it. */
static void leave(struct replica *r) {
    struct primary *p = r->primary;
    enum replica_state state = r->state;
    r->state = REPLICA_DROPPED;
    ev_io_stop(p->loop, &r->writable);
    backlog_cursor_close(&r->cursor);
    if (state == REPLICA_PIPED)
        snapshot_pipe_go_on(p);
    else if (state == REPLICA_WAIT_FORK)
        primary_waits_no_more(p);
    else if (state == REPLICA_CUT)
        primary_cut_no_more(p);
}

void replica_free(struct replica **replica) {
    struct replica *r = *replica;
    if (r == NULL)
        return;
    *replica = NULL;
    struct primary *p = r->primary;
    bool attached = r->state != REPLICA_HELLO;
    leave(r);
    list_remove(&r->link);
    close_file(r);
    buf_free(&r->words);
    mem_free(r->merged);
    if (attached) {
        log_notice("Connection with replica %s:%u lost.", r->address, r->port);
        primary_refresh(p);
        if (p->hooks.acknowledged != NULL)
            p->hooks.acknowledged(p->hooks.arg);
    }
    mem_free(r);
}

void replica_drop(struct replica *r, const char *why) {
    if (r->state == REPLICA_DROPPED)
        return;
    log_warning("Replica %s:%u is let go: %s", r->address, r->port, why);
    leave(r);
    r->primary->hooks.drop(r->primary->hooks.arg, r->client);
}

bool replica_is_attached(const struct replica *r) {
    return r != NULL && r->state != REPLICA_HELLO;
}

/* ---- before PSYNC ---- */
/* A port that none can be is none. */
static enum replica_option set_port(uint32_t *port_r, struct bytes value) {
    int64_t port;
    if (!bytes_to_i64(value, &port))
        return REPLICA_OPTION_NO_INTEGER;
    *port_r = port > 0 && port <= UINT16_MAX ? (uint32_t)port : 0;
    return REPLICA_OPTION_TAKEN;
}

static enum replica_option set_address(struct replica *r, struct bytes value) {
    if (value.len >= sizeof r->announced_address)
        return REPLICA_OPTION_TOO_LONG;
    snprintf(r->announced_address, sizeof r->announced_address, "%.*s", (int)value.len, value.ptr);
    return REPLICA_OPTION_TAKEN;
}

static enum replica_option set_snapshot_only(struct replica *r, struct bytes value) {
    int64_t on;
    if (!bytes_to_i64(value, &on))
        return REPLICA_OPTION_NO_INTEGER;
    if (on != 0 && on != 1)
        return REPLICA_OPTION_NO_SWITCH;
    r->snapshot_only = on == 1;
    return REPLICA_OPTION_TAKEN;
}

static enum replica_option set_merged_acks(struct replica *r, struct bytes value) {
    struct merged_ack ack;
    uint32_t count = 0;
    char *text = mem_alloc(value.len + 1), *save = NULL;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    r->merged = mem_realloc(r->merged, (value.len + 1) * sizeof *r->merged);
    for (char *one = strtok_r(text, ",", &save); one != NULL; one = strtok_r(NULL, ",", &save))
        if (sscanf(one, "%" SCNu64 ":%" SCNu64, &ack.offset, &ack.synced) == 2)
            r->merged[count++] = ack;
    r->merged_count = count;
    mem_free(text);
    if (r->primary->hooks.acknowledged != NULL)
        r->primary->hooks.acknowledged(r->primary->hooks.arg);
    return REPLICA_OPTION_TAKEN;
}

enum replica_option replica_option(struct replica *r, struct bytes name, struct bytes value) {
    if (bytes_equal_nocase(name, "listening-port"))
        return set_port(&r->port, value);
    if (bytes_equal_nocase(name, "public-port"))
        return set_port(&r->public_port, value);
    if (bytes_equal_nocase(name, "ip-address"))
        return set_address(r, value);
    if (bytes_equal_nocase(name, "rdb-only"))
        return set_snapshot_only(r, value);
    if (r->own && bytes_equal_nocase(name, "merged-acks"))
        return set_merged_acks(r, value);
    if (bytes_equal_nocase(name, "rdb-filter-only"))
        return REPLICA_OPTION_NO_FILTER;
    if (!bytes_equal_nocase(name, "capa"))
        return REPLICA_OPTION_UNKNOWN;
    r->knows_psync2 |= bytes_equal_nocase(value, "psync2");
    r->knows_eof |= bytes_equal_nocase(value, "eof");
    return REPLICA_OPTION_TAKEN;
}

static void repeat(struct buf *out, const char *name, const char *value) {
    const struct bytes argv[] = {BYTES_LITERAL("REPLCONF"), bytes_of_text(name),
                                 bytes_of_text(value)};
    aof_format_command(out, 3,
                       (const struct bytes[]){BYTES_LITERAL("CLIENT"), BYTES_LITERAL("REPLY"),
                                              BYTES_LITERAL("SKIP")});
    aof_format_command(out, 3, argv);
}

void replica_repeat(const struct replica *r, struct bytes id, int64_t offset, bool old,
                    struct buf *out) {
    char digits[BYTES_I64_MAX];
    snprintf(digits, sizeof digits, "%u", r->port);
    repeat(out, "listening-port", digits);
    if (r->announced_address[0] != '\0')
        repeat(out, "ip-address", r->announced_address);
    if (r->knows_psync2)
        repeat(out, "capa", "psync2");
    if (r->knows_eof)
        repeat(out, "capa", "eof");
    if (r->snapshot_only)
        repeat(out, "rdb-only", "1");
    struct bytes wanted = {digits, bytes_from_i64(digits, offset)};
    const struct bytes psync[] = {BYTES_LITERAL("PSYNC"), id, wanted},
                       sync[] = {BYTES_LITERAL("SYNC")};
    aof_format_command(out, old ? 1 : 3, old ? sync : psync);
}

/* ---- PSYNC ---- */
static void go_online(struct replica *r) {
    r->state = REPLICA_ONLINE;
    r->acked_ms = clock_mono_ms();
    primary_refresh(r->primary);
    log_notice("Synchronization with replica %s:%u succeeded", r->address, r->port);
}

static void continue_from(struct replica *r, uint64_t offset) {
    struct backlog *s = &r->primary->backlog;
    if (r->knows_psync2)
        buf_printf(&r->words, "+CONTINUE %s\r\n", s->id);
    else
        buf_append_text(&r->words, "+CONTINUE\r\n");
    backlog_cursor_open(&r->cursor, s, offset);
    log_notice(
        "Partial resynchronization request from %s:%u accepted. Sending %llu bytes of backlog "
        "starting from offset %llu.",
        r->address, r->port, (unsigned long long)(s->end - offset), (unsigned long long)offset + 1);
    r->acked = offset;
    r->acknowledges = true;
    go_online(r);
}

void replica_wait_for_file(struct replica *r) {
    r->file_offset = r->primary->fork.offset;
    r->state = REPLICA_WAIT_FILE;
    backlog_cursor_open(&r->cursor, &r->primary->backlog, r->file_offset);
}

void replica_wait_for_fork(struct replica *r) {
    backlog_cursor_close(&r->cursor);
    r->state = REPLICA_WAIT_FORK;
}

/* Not those of the pool's own merged stream, and a merged stream has no page. */
static void count(const struct replica *r, enum metric metric) {
    if (!r->own && r->primary->status != NULL)
        status_add(r->primary->status, metric, 1);
}

void replica_sync(struct replica *r, struct primary *p, struct bytes id, int64_t offset, bool old) {
    r->primary = p;
    r->old_protocol = old;
    r->alive_ms = r->asked_ms = clock_mono_ms();
    list_push_back(&p->replicas, &r->link);
    log_notice("Replica %s:%u asks for synchronization", r->address, r->port);
    if (!old && offset > 0 && backlog_continues(&p->backlog, id, (uint64_t)offset - 1)) {
        count(r, METRIC_replica_partial_syncs);
        continue_from(r, (uint64_t)offset - 1);
        return;
    }
    /* "?" is how one asks who has nothing to continue. */
    if (!old && !bytes_equal(id, BYTES_LITERAL("?")))
        count(r, METRIC_replica_partial_syncs_refused);
    count(r, METRIC_replica_full_syncs);
    if (!p->backlog.kept)
        backlog_keep(&p->backlog);
    if (r->own) {
        r->state = REPLICA_WAIT_CUT;
        buf_append_text(&r->words, "\n"); /* it is told that it was heard: the cut waits for that */
        return;
    }
    r->state = REPLICA_WAIT_FORK;
    if (p->fork.backlog != NULL)
        replica_wait_for_file(
            r); /* the running snapshot serves, the stream has all since its fork */
    else
        primary_want_snapshot(p);
}

void replica_may_write(struct replica *r) {
    if (r->may_write)
        return;
    r->may_write = true;
    replica_write(r);
}

void replica_lives(struct replica *r) {
    if (r != NULL)
        r->acked_ms = clock_mono_ms();
}

void replica_acknowledge(struct replica *r, uint64_t offset, uint64_t synced_offset) {
    if (r->state != REPLICA_ONLINE)
        return;
    r->acked_ms = clock_mono_ms();
    r->acknowledges = true;
    if (offset > r->acked)
        r->acked = offset;
    if (synced_offset > r->acked_synced)
        r->acked_synced = synced_offset;
    if (r->holds_stream) {
        r->holds_stream = false;
        replica_write(r);
    }
    if (r->primary->hooks.acknowledged != NULL)
        r->primary->hooks.acknowledged(r->primary->hooks.arg);
}

/* ---- the snapshot ---- */
void replica_announce(struct replica *r, const char *length) {
    if (!r->old_protocol)
        buf_printf(&r->words, "+FULLRESYNC %s %llu\r\n", r->primary->backlog.id,
                   (unsigned long long)r->file_offset);
    buf_printf(&r->words, "%s\r\n", length);
}

void replica_has_snapshot(struct replica *r) {
    r->state = REPLICA_SENDING;
    r->ends = r->snapshot_only;
    if (!r->ends)
        go_online(r);
}

void replica_send_file(struct replica *r) {
    struct stat st;
    r->file = r->primary->hooks.open_snapshot(r->primary->hooks.arg);
    if (r->file < 0 || fstat(r->file, &st) != 0) {
        replica_drop(r, "its snapshot cannot be read");
        return;
    }
    char length[32];
    r->state = REPLICA_SENDING;
    r->file_bytes = (uint64_t)st.st_size;
    snprintf(length, sizeof length, "$%llu", (unsigned long long)r->file_bytes);
    replica_announce(r, length);
    replica_write(r);
}

void replica_wait_for_cut(struct replica *r) {
    r->file_offset = r->primary->backlog.end;
    r->state = REPLICA_CUT;
    backlog_cursor_close(&r->cursor);
    backlog_cursor_open(&r->cursor, &r->primary->backlog, r->file_offset);
}

void replica_has_cut(struct replica *r) {
    replica_announce(r, "$HERE");
    replica_has_snapshot(r);
    replica_write(r);
}

/* ---- writing ---- */
/* Each returns the bytes written, or -1 with errno. */
static ssize_t write_words(struct replica *r, size_t budget) {
    size_t left = r->words.len - r->words_sent;
    ssize_t n =
        send(r->fd, r->words.data + r->words_sent, left < budget ? left : budget, MSG_NOSIGNAL);
    if (n <= 0)
        return n;
    r->words_sent += (size_t)n;
    if (r->words_sent == r->words.len) {
        buf_free(&r->words);
        r->words_sent = 0;
    }
    return n;
}

static ssize_t write_file(struct replica *r, size_t budget) {
    uint64_t left = r->file_bytes - r->file_at;
    off_t at = (off_t)r->file_at;
    ssize_t n = sendfile(r->fd, r->file, &at, left < budget ? (size_t)left : budget);
    if (n == 0)
        errno = EIO; /* the file became shorter */
    if (n <= 0)
        return -1;
    r->file_at += (uint64_t)n;
    if (r->file_at < r->file_bytes)
        return n;
    close_file(r);
    replica_has_snapshot(r);
    return n;
}

static ssize_t write_piece(struct replica *r, size_t budget) {
    const struct snapshot_pipe *pipe = &r->primary->pipe;
    size_t left = pipe->piece_bytes - r->piece_sent;
    ssize_t n =
        send(r->fd, pipe->piece + r->piece_sent, left < budget ? left : budget, MSG_NOSIGNAL);
    if (n <= 0)
        return n;
    r->piece_sent += (size_t)n;
    if ((size_t)n == left)
        snapshot_pipe_go_on(r->primary);
    return n;
}

/* Not what this turn has made so far: the log has it first, so that a death costs nobody a snapshot. */
static ssize_t write_stream(struct replica *r, size_t budget) {
    struct bytes piece = backlog_cursor_peek(&r->cursor);
    uint64_t offered = r->primary->offered - r->cursor.offset;
    size_t len = piece.len < offered ? piece.len : (size_t)offered;
    ssize_t n = send(r->fd, piece.ptr, len < budget ? len : budget, MSG_NOSIGNAL);
    if (n > 0)
        backlog_cursor_advance(&r->cursor, (uint64_t)n);
    return n;
}

/* NULL: there is nothing to write now. */
typedef ssize_t write_function(struct replica *r, size_t budget);
static write_function *next_to_write(const struct replica *r) {
    if (!r->may_write || r->state == REPLICA_DROPPED)
        return NULL;
    if (r->words.len > 0)
        return write_words;
    if (r->file >= 0)
        return write_file;
    if (snapshot_pipe_waits_for(r))
        return write_piece;
    bool live = r->state == REPLICA_ONLINE && !r->holds_stream;
    return live && r->cursor.offset < r->primary->offered ? write_stream : NULL;
}

void replica_write(struct replica *r) {
    size_t budget = WRITE_BYTES;
    write_function *step;
    while ((step = next_to_write(r)) != NULL && budget > 0) {
        ssize_t n = step(r, budget);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            replica_drop(r, strerror(errno));
            return;
        }
        budget -= (size_t)n;
        r->alive_ms = clock_mono_ms();
    }
    if (step != NULL)
        ev_io_start(r->primary->loop, &r->writable);
    else
        ev_io_stop(r->primary->loop, &r->writable);
    if (step == NULL && r->ends)
        replica_drop(r, "it has the snapshot, and wants no more");
}

/* ---- limits ---- */
/* Another's end may have moved this one on just now, after now_ms was taken. */
static uint64_t passed_ms(uint64_t since_ms, uint64_t now_ms) {
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

/* Bytes of the stream that are kept for it. */
static uint64_t owed_bytes(const struct replica *r) {
    return r->cursor.backlog != NULL ? r->primary->backlog.end - r->cursor.offset : 0;
}

/* What the backlog holds anyway costs nothing: below its size no limit lets a replica go. */
static bool owes_more_than(const struct replica *r, int64_t limit) {
    const struct config *config = r->primary->config;
    int64_t backlog = config->repl_backlog_size;
    uint64_t excused = r->excused_bytes, owed = owed_bytes(r);
    owed -= excused < owed ? excused : owed;
    return limit != 0 && owed > (uint64_t)(limit > backlog ? limit : backlog);
}

static bool over_hard_limit(const struct replica *r) {
    const struct config *config = r->primary->config;
    return owes_more_than(r, config->client_output_buffer_limit.of[OUTPUT_REPLICA].hard_bytes);
}

static bool over_output_limit(struct replica *r, uint64_t now_ms) {
    const struct config *config = r->primary->config;
    int64_t soft = config->client_output_buffer_limit.of[OUTPUT_REPLICA].soft_bytes;
    uint64_t soft_ms =
        (uint64_t)config->client_output_buffer_limit.of[OUTPUT_REPLICA].soft_seconds * 1000;
    if (r->excused_bytes > owed_bytes(r))
        r->excused_bytes = owed_bytes(r);
    if (over_hard_limit(r))
        return true;
    if (!owes_more_than(r, soft)) {
        r->over_soft_limit_since_ms = 0;
        return false;
    }
    if (r->over_soft_limit_since_ms == 0)
        r->over_soft_limit_since_ms = now_ms;
    return passed_ms(r->over_soft_limit_since_ms, now_ms) >= soft_ms;
}

/* While it waits for a snapshot the replica must hear from us, or it takes us for dead. */
static void keep_alive(struct replica *r, uint64_t now_ms) {
    uint64_t period_ms = (uint64_t)r->primary->config->repl_ping_replica_period * 1000;
    bool waits = r->state == REPLICA_WAIT_FORK || r->state == REPLICA_WAIT_FILE ||
                 r->state == REPLICA_WAIT_CUT || r->state == REPLICA_CUT;
    if (!waits || passed_ms(r->alive_ms, now_ms) < period_ms || r->words.len > 0)
        return;
    buf_append_text(&r->words, "\n");
    replica_write(r);
}

/* Once, what piled up is not its own fault: it waits for others to take the piece of the snapshot it has. */
static bool may_be_excused(const struct replica *r) {
    return r->state == REPLICA_PIPED && r->primary->pipe.held_up && !snapshot_pipe_waits_for(r) &&
           r->excused_bytes == 0;
}

/* It takes nothing of what there is for it. Half as long if others wait for that. */
static bool stalls(const struct replica *r, uint64_t now_ms) {
    uint64_t patience_ms = (uint64_t)r->primary->config->repl_timeout * 1000;
    if (r->state == REPLICA_PIPED && r->primary->pipe.held_up)
        patience_ms /= 2;
    bool owes = r->state == REPLICA_SENDING || snapshot_pipe_waits_for(r);
    return owes && passed_ms(r->alive_ms, now_ms) > patience_ms;
}

static const char too_slow[] = "it is slower than client-output-buffer-limit allows";

void replica_offer(struct replica *r) {
    if (r->state != REPLICA_ONLINE)
        return;
    replica_write(r);
    if (over_hard_limit(r))
        replica_drop(r, too_slow);
}

void replica_check(struct replica *r, uint64_t now_ms) {
    uint64_t timeout_ms = (uint64_t)r->primary->config->repl_timeout * 1000;
    bool answers = !r->old_protocol || r->holds_stream;
    if (over_output_limit(r, now_ms) && may_be_excused(r))
        r->excused_bytes = owed_bytes(r);
    else if (over_output_limit(r, now_ms))
        replica_drop(r, too_slow);
    else if (r->state == REPLICA_ONLINE && answers && passed_ms(r->acked_ms, now_ms) > timeout_ms)
        replica_drop(r, "it has not acknowledged anything for repl-timeout");
    else if (stalls(r, now_ms))
        replica_drop(r, "it has read nothing for repl-timeout");
    else
        keep_alive(r, now_ms);
}
