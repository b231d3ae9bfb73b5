/* upstream.c - the life of the link: connect, read, apply, acknowledge, fail, again.
 *
 * Fails by closing the connection and trying again after a second; the reason is logged once and kept
 * for the status. */
#include "worker/replication/upstream_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include "worker/persist/aof.h"
#include "worker/replication/resolve.h"
#include "worker/resp/peek.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RETRY_MS = 1000,
    RETRY_SHIFT_MAX = 5, /* 32 s */
    WELL_MS = 10000,     /* of the stream make up for the snapshots before */
    ACKNOWLEDGE_MS = 1000,
    BULK_MAX_SHIFT = 40,
    ADDRESSES_MAX = 64 /* of one name, in turn */
};

const char *upstream_state_name(enum upstream_state state) {
    static const char *const names[] = {
#define X(state, text) [UPSTREAM_##state] = text,
        UPSTREAM_STATES(X)
#undef X
    };
    return names[state];
}

bool upstream_is_of_whole_databases(struct bytes command) {
    return bytes_equal_nocase(command, "flushall") || bytes_equal_nocase(command, "flushdb") ||
           bytes_equal_nocase(command, "swapdb");
}

void upstream_set_state(struct upstream *u, enum upstream_state state) {
    bool was_up = u->state == UPSTREAM_STREAMING;
    u->state = state;
    if (was_up)
        u->down_ms = clock_mono_ms();
    if (u->hooks.changed != NULL && was_up != (state == UPSTREAM_STREAMING))
        u->hooks.changed(u->hooks.arg);
}

/* ---- life ---- */
static void on_readable(struct ev_loop *loop, ev_io *io, int events);
static void on_writable(struct ev_loop *loop, ev_io *io, int events);

struct upstream *upstream_create(void *loop, const struct config *config,
                                 const struct upstream_where *where,
                                 const struct upstream_hooks *hooks) {
    struct upstream *u = mem_calloc(1, sizeof *u);
    u->loop = loop;
    u->config = config;
    u->hooks = *hooks;
    u->dir = mem_strdup(where->dir);
    snprintf(u->host, sizeof u->host, "%s", where->host);
    snprintf(u->temp, sizeof u->temp, "temp-sync-%s.rdb", where->tag);
    u->port = where->port;
    u->own_port = where->own_port;
    u->public_port = where->public_port;
    u->probe = where->probe;
    u->promote = where->promote;
    u->fd = u->file = -1;
    resp_parser_init(&u->parser);
    u->parser.bulk_max = (uint64_t)1 << BULK_MAX_SHIFT;
    return u;
}

static void disconnect(struct upstream *u) {
    resolve_cancel(&u->resolve);
    upstream_drop_file(u);
    if (u->fd >= 0) {
        ev_io_stop(u->loop, &u->readable);
        ev_io_stop(u->loop, &u->writable);
        close(u->fd);
    }
    u->fd = -1;
    u->refused = u->awaits_snapshot = false;
    u->in_transaction = u->offering = false;
    u->transaction_at = 0;
    u->synced = u->asked = u->executed = 0;
    buf_free(&u->transaction);
    buf_free(&u->in);
    buf_free(&u->out);
    resp_parser_free(&u->parser);
    resp_parser_init(&u->parser);
    u->parser.bulk_max = (uint64_t)1 << BULK_MAX_SHIFT;
}

void upstream_free(struct upstream **upstream) {
    struct upstream *u = *upstream;
    if (u == NULL)
        return;
    *upstream = NULL;
    disconnect(u);
    resp_parser_free(&u->parser);
    mem_free(u->dir);
    mem_free(u);
}

static void forget_place(struct upstream *u) {
    u->id[0] = '\0';
    u->offset = 0;
    u->id_is_new = false;
}

void upstream_fail(struct upstream *u, bool full, const char *why) {
    if (u->state == UPSTREAM_WAITING) {
        if (full)
            forget_place(u); /* what it had is lost while the link is down */
        return;
    }
    if (strcmp(why, u->trouble) != 0)
        log_warning("Link to master %s:%u: %s", u->host, u->port, why);
    snprintf(u->trouble, sizeof u->trouble, "%s", why);
    full |=
        u->transaction_at > 0; /* one half of a transaction was run, and can't be asked for alone */
    disconnect(u);
    if (u->state == UPSTREAM_LOADING && !full)
        return; /* the snapshot is here: it is worth loading, and where it ends the stream goes on */
    if (full || u->id_is_new)
        forget_place(u);
    u->tried_ms = clock_mono_ms();
    upstream_set_state(u, UPSTREAM_WAITING);
}

static void fail_errno(struct upstream *u, const char *what) {
    char why[UPSTREAM_TEXT_BYTES];
    snprintf(why, sizeof why, "%s: %s", what, strerror(errno));
    upstream_fail(u, false, why);
}

/* ---- connect ---- */
static int open_socket(struct upstream *u, const struct addrinfo *address) {
    int on = 1, fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 &&
              (connect(fd, address->ai_addr, address->ai_addrlen) == 0 || errno == EINPROGRESS);
    if (!ok) {
        fail_errno(u, "cannot connect");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static const struct addrinfo *nth_address(const struct addrinfo *found, uint32_t n) {
    const struct addrinfo *address = found;
    while (n-- > 0)
        address = address->ai_next != NULL ? address->ai_next : found;
    return address;
}

static void use_socket(struct upstream *u, int fd) {
    u->fd = fd;
    ev_io_init(&u->readable, on_readable, fd, EV_READ);
    ev_io_init(&u->writable, on_writable, fd, EV_WRITE);
    u->readable.data = u->writable.data = u;
    ev_io_start(u->loop, &u->writable);
}

static void on_resolved(void *arg, const struct addrinfo *found, const char *why) {
    struct upstream *u = arg;
    if (found == NULL) {
        upstream_fail(u, false, why);
        return;
    }
    int fd = open_socket(u, nth_address(found, u->attempts++ % ADDRESSES_MAX));
    if (fd >= 0)
        use_socket(u, fd);
}

static void connect_now(struct upstream *u) {
    u->tried_ms = u->heard_ms = clock_mono_ms();
    u->costly = false;
    upstream_set_state(u, UPSTREAM_CONNECTING);
    if (u->hooks.open == NULL) {
        resolve_start(&u->resolve, u->loop, u->host, u->port, on_resolved, u);
        return;
    }
    int fd = u->hooks.open(u->hooks.arg);
    if (fd < 0)
        fail_errno(u, "cannot connect");
    else
        use_socket(u, fd);
}

void upstream_check(struct upstream *u, uint32_t workers, uint32_t worker_port) {
    u->checks = true;
    u->workers = workers;
    u->worker_port = worker_port;
}

void upstream_start(struct upstream *u, const char *id, uint64_t offset) {
    snprintf(u->id, sizeof u->id, "%s", id);
    u->offset = offset;
    if (!u->probe)
        log_notice("Connecting to MASTER %s:%u", u->host, u->port);
    connect_now(u);
}

/* ---- out ---- */
void upstream_say(struct upstream *u, uint32_t argc, const struct bytes *argv) {
    aof_format_command(&u->out, argc, argv);
    ev_io_start(u->loop, &u->writable);
}

/* So much of the stream is in our memory. */
static uint64_t has_run(const struct upstream *u) {
    return u->executes_later && u->executed < u->offset ? u->executed : u->offset;
}

static void acknowledge(struct upstream *u) {
    char digits[BYTES_I64_MAX], synced[BYTES_I64_MAX];
    u->acknowledged_ms = clock_mono_ms();
    const struct bytes argv[] = {BYTES_LITERAL("REPLCONF"),
                                 BYTES_LITERAL("ACK"),
                                 {digits, bytes_from_i64(digits, (int64_t)has_run(u))},
                                 BYTES_LITERAL("FACK"),
                                 {synced, bytes_from_i64(synced, (int64_t)u->synced)}};
    upstream_say(u, u->synced > 0 ? 5 : 3, argv);
}

bool upstream_tell(struct upstream *u, const char *name, struct bytes value) {
    const struct bytes argv[] = {BYTES_LITERAL("REPLCONF"), bytes_of_text(name), value};
    if (u->state == UPSTREAM_STREAMING)
        upstream_say(u, 3, argv);
    return u->state == UPSTREAM_STREAMING;
}

void upstream_synced(struct upstream *u, uint64_t offset) {
    u->synced = offset;
    if (u->asked == 0 || offset < u->asked || u->state != UPSTREAM_STREAMING)
        return;
    u->asked = 0;
    acknowledge(u);
}

void upstream_executed(struct upstream *u, uint64_t offset) {
    u->executes_later = true;
    u->executed = offset;
    if (u->asked == 0 || offset < u->asked || u->state != UPSTREAM_STREAMING)
        return;
    u->asked = 0;
    acknowledge(u);
}

static void on_writable(struct ev_loop *loop, ev_io *io, int events) {
    struct upstream *u = io->data;
    if (u->state == UPSTREAM_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof error;
        if (getsockopt(u->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
            errno = error;
            fail_errno(u, "cannot connect");
            return;
        }
        ev_io_start(loop, &u->readable);
        upstream_greet(u);
    }
    ssize_t n = send(u->fd, u->out.data, u->out.len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        /* What it said before it left is read to its end, which then tells the reason. */
        buf_clear(&u->out);
        if (u->state != UPSTREAM_STREAMING || u->refused)
            fail_errno(u, "cannot write");
        else
            ev_io_stop(loop, &u->writable);
        return;
    }
    if (n > 0)
        buf_consume(&u->out, (size_t)n);
    if (u->out.len == 0)
        ev_io_stop(loop, &u->writable);
}

/* ---- the stream ---- */
void upstream_begin_stream(struct upstream *u) {
    u->trouble[0] = '\0';
    u->id_is_new = false;
    u->up_ms = clock_mono_ms();
    upstream_set_state(u, UPSTREAM_STREAMING);
    acknowledge(u);
}

void upstream_loaded(struct upstream *u) {
    if (u->state != UPSTREAM_LOADING)
        return;
    log_notice("MASTER <-> REPLICA sync: Finished with success");
    if (u->fd < 0) {
        u->id_is_new = false;
        u->tried_ms = clock_mono_ms();
        upstream_set_state(u, UPSTREAM_WAITING);
        return;
    }
    u->heard_ms =
        clock_mono_ms(); /* loading took its time, and that is not the primary's silence */
    upstream_begin_stream(u);
    upstream_go_on(u);
}

static bool is_word(const struct resp_parser *parser, uint32_t argc, const char *word) {
    return parser->argc == argc && bytes_equal_nocase(parser->argv[0], word);
}

static bool refuse(struct upstream *u) {
    u->refused = u->state == UPSTREAM_STREAMING;
    ev_io_stop(u->loop, &u->readable);
    return false;
}

/* Returns false if the command must wait, or the link is gone. */
static bool offer(struct upstream *u, const struct resp_parser *parser, struct bytes raw) {
    if (parser->argc > 0 && !u->hooks.command(u->hooks.arg, parser->argc, parser->argv, raw))
        return refuse(u);
    return u->state == UPSTREAM_STREAMING;
}

static bool end_transaction(struct upstream *u) {
    u->offset += u->transaction.len;
    u->offering = u->in_transaction = false;
    u->transaction_at = 0;
    buf_free(&u->transaction);
    return u->state == UPSTREAM_STREAMING;
}

/* All of it at once, if the owner takes it so. */
static enum upstream_taken offer_whole(struct upstream *u) {
    if (u->transaction_at > 0 || u->hooks.transaction == NULL)
        return UPSTREAM_ONE_BY_ONE;
    u->offering = true;
    return u->hooks.transaction(u->hooks.arg, buf_bytes(&u->transaction));
}

/* The rest of a whole transaction. Its bytes count when all of them are applied. */
static bool offer_transaction(struct upstream *u) {
    enum upstream_taken taken = offer_whole(u);
    if (taken != UPSTREAM_ONE_BY_ONE)
        return taken == UPSTREAM_TAKEN ? end_transaction(u) : refuse(u);
    struct resp_parser parser;
    struct buf *t = &u->transaction;
    bool ok = true;
    size_t used;
    resp_parser_init(&parser);
    parser.bulk_max = u->parser.bulk_max;
    u->offering = true;
    while (ok && u->transaction_at < t->len) {
        const char *at = t->data + u->transaction_at;
        enum resp_result result = resp_parse(&parser, at, t->len - u->transaction_at, &used);
        ASSERT(result == RESP_COMMAND);
        ok = offer(u, &parser, bytes_of(at, used));
        if (ok)
            u->transaction_at += used;
    }
    resp_parser_free(&parser);
    return ok && end_transaction(u);
}

/* One command that was parsed. Returns false if no more may be taken now. */
static bool take_command(struct upstream *u, struct bytes raw) {
    const struct resp_parser *parser = &u->parser;
    bool ask = is_word(parser, 3, "replconf") && bytes_equal_nocase(parser->argv[1], "getack");
    if (u->in_transaction || is_word(parser, 1, "multi")) {
        u->in_transaction = true;
        buf_append_bytes(&u->transaction, raw);
        if (u->transaction.len > (uint64_t)u->config->client_query_buffer_limit) {
            upstream_fail(u, true, "a transaction is larger than client-query-buffer-limit");
            return false;
        }
        return !is_word(parser, 1, "exec") || offer_transaction(u);
    }
    if (!offer(u, parser, raw))
        return false;
    u->offset += raw.len;
    if (ask) {
        acknowledge(u);
        u->asked = u->offset;
    }
    return true;
}

/* Returns how many commands the glance covers, at least the one at data. */
static uint32_t look_ahead(struct upstream *u, const char *data, size_t len) {
    struct bytes words[UPSTREAM_AHEAD];
    uint32_t count = u->hooks.ahead != NULL ? resp_peek_words(data, len, words, UPSTREAM_AHEAD) : 0;
    if (count <= 1)
        return 1;
    u->hooks.ahead(u->hooks.arg, words, count);
    return count;
}

/* All whole commands that are there. */
static void take_stream(struct upstream *u) {
    size_t at = 0, used;
    uint32_t ahead = 0;
    if (u->offering && !offer_transaction(u))
        return;
    if (u->held) {
        refuse(u);
        return;
    }
    while (u->state == UPSTREAM_STREAMING && at < u->in.len) {
        if (ahead-- == 0)
            ahead = look_ahead(u, u->in.data + at, u->in.len - at) - 1;
        enum resp_result result = resp_parse(&u->parser, u->in.data + at, u->in.len - at, &used);
        if (result == RESP_PROTOCOL_ERROR) {
            upstream_fail(u, true, u->parser.error);
            return;
        }
        if (result == RESP_MORE)
            break;
        if (u->parser.argc > 0 && u->in.data[at] != '*') {
            upstream_fail(u, true, "Protocol error: the stream has an inline command");
            return;
        }
        bool taken = take_command(u, bytes_of(u->in.data + at, used));
        if (taken || u->offering)
            at += used;
        if (!taken)
            break;
    }
    if (u->state == UPSTREAM_STREAMING)
        buf_consume(&u->in, at);
}

void upstream_go_on(struct upstream *u) {
    if (u->state != UPSTREAM_STREAMING)
        return;
    u->refused = false;
    ev_io_start(u->loop, &u->readable);
    take_stream(u);
}

void upstream_hold(struct upstream *u, bool on) {
    u->held = on;
    if (on && u->state == UPSTREAM_STREAMING)
        refuse(u);
    else
        upstream_go_on(u);
}

bool upstream_place(const struct upstream *u, struct rdb_origin *place_r) {
    *place_r = (struct rdb_origin){.offset = u->offset};
    snprintf(place_r->id, sizeof place_r->id, "%s", upstream_id(u));
    return place_r->id[0] != '\0' && !u->offering;
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events) {
    struct upstream *u = io->data;
    size_t need = u->state == UPSTREAM_STREAMING ? resp_parser_need(&u->parser) : 0;
    size_t want = need > u->in.len + UPSTREAM_READ_BYTES ? need - u->in.len : UPSTREAM_READ_BYTES;
    /* Memory for what has come, not for what is announced. */
    if (want > u->in.len + UPSTREAM_READ_BYTES)
        want = u->in.len + UPSTREAM_READ_BYTES;
    char *to = buf_reserve(&u->in, want);
    ssize_t n = read(u->fd, to, want);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (n == 0)
            upstream_fail(u, false, "the master closed the connection");
        else
            fail_errno(u, "cannot read");
        return;
    }
    u->in.len += (size_t)n;
    u->heard_ms = clock_mono_ms();
    if (u->state != UPSTREAM_STREAMING)
        upstream_take(u);
    if (u->state == UPSTREAM_STREAMING && !u->refused)
        take_stream(u);
    if (u->state == UPSTREAM_LOADING)
        ev_io_stop(loop, io); /* the stream waits where it is until the snapshot is in memory */
}

void upstream_pull(struct upstream *u) {
    int waiting = 0;
    do {
        if (u->state == UPSTREAM_STREAMING && !u->refused)
            on_readable(u->loop, &u->readable, EV_READ); /* the end, too */
    } while (u->state == UPSTREAM_STREAMING && !u->refused &&
             ioctl(u->fd, FIONREAD, &waiting) == 0 && waiting > 0);
}

void upstream_rest(struct upstream *u) {
    u->trouble[0] = '\0';
    upstream_set_state(u, UPSTREAM_IDLE);
    ev_io_stop(u->loop, &u->readable);
}

/* ---- cron ---- */
/* Nothing is done over and over: what makes snapshots fail may last, and each costs the primary a fork. A try
 * that came to none, as the primary was away, loading or without a link of its own, costs next to nothing. */
static uint64_t retry_ms(const struct upstream *u) {
    uint32_t vain = u->costly && u->vain_syncs > 1 ? u->vain_syncs - 1 : 0;
    return (uint64_t)RETRY_MS << (vain < RETRY_SHIFT_MAX ? vain : RETRY_SHIFT_MAX);
}

void upstream_cron(struct upstream *u) {
    uint64_t now_ms = clock_mono_ms(), timeout_ms = (uint64_t)u->config->repl_timeout * 1000;
    switch (u->state) {
    case UPSTREAM_IDLE: return;
    case UPSTREAM_LOADING:
        if (u->fd >= 0 && now_ms - u->acknowledged_ms >= ACKNOWLEDGE_MS) {
            u->acknowledged_ms = now_ms; /* a sign of life, as Redis gives it */
            buf_append_text(&u->out, "\n");
            ev_io_start(u->loop, &u->writable);
        }
        return;
    case UPSTREAM_WAITING:
        if (now_ms - u->tried_ms >= retry_ms(u))
            connect_now(u);
        return;
    case UPSTREAM_STREAMING:
        if (now_ms - u->acknowledged_ms >= ACKNOWLEDGE_MS)
            acknowledge(u);
        if (now_ms - u->up_ms >= WELL_MS)
            u->vain_syncs = 0;
        break;
    default: break;
    }
    if (!u->refused && now_ms - u->heard_ms > timeout_ms)
        upstream_fail(u, false, "nothing heard for repl-timeout");
}

/* ---- what is told ---- */
const char *upstream_id(const struct upstream *u) {
    return u->id_is_new ? "" : u->id;
}
uint64_t upstream_offset(const struct upstream *u) {
    return u->offset;
}
bool upstream_is_up(const struct upstream *u) {
    return u->state == UPSTREAM_STREAMING;
}

int upstream_fd(const struct upstream *u) {
    return u->fd;
}

static int64_t seconds_since(uint64_t since_ms) {
    return since_ms == 0 ? -1 : (int64_t)((clock_mono_ms() - since_ms) / 1000);
}

void upstream_view(const struct upstream *u, struct upstream_view *view_r) {
    *view_r = (struct upstream_view){
        .state = u->state,
        .awaits_snapshot = u->awaits_snapshot,
        .host = u->host,
        .port = u->port,
        .id = u->id,
        .offset = u->offset,
        .read_offset = u->offset + (u->state == UPSTREAM_STREAMING ? u->in.len : 0),
        .sync_total_bytes = u->file_total,
        .sync_done_bytes = u->file_done + (u->state == UPSTREAM_TRANSFER ? u->in.len : 0),
        .last_heard_s = seconds_since(u->heard_ms),
        .down_since_s = u->state == UPSTREAM_STREAMING ? -1 : seconds_since(u->down_ms),
        .full_syncs = u->full_syncs,
        .partial_syncs = u->partial_syncs,
        .trouble = u->trouble};
}
