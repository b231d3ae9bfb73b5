/* client_read.c - bytes of a client into commands. */
#include "worker/client/client_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/replication/primary.h"
#include "worker/resp/peek.h"

#include <errno.h>
#include <unistd.h>

static void protocol_error(struct client *c, const char *error) {
    struct reply reply = {.out = pipeline_tail(&c->pipeline), .version = c->session.resp};
    reply_error_format(&reply, "ERR %s", error);
    log_verbose("Protocol error from client %s: %s", c->session.peer, error);
    c->session.close_after_reply = true;
}

/* A command that is only partly here keeps its parser with the client; the worker's gets a new one. */
static void keep_parser(struct client *c, struct resp_parser *parser) {
    if (parser != &c->owner->parser)
        return;
    c->parser = mem_alloc(sizeof(*c->parser));
    *c->parser = *parser;
    resp_parser_init(&c->owner->parser);
}

static void drop_parser(struct client *c) {
    if (!c->parser)
        return;
    resp_parser_free(c->parser);
    mem_free(c->parser);
    c->parser = NULL;
}

/* Has this client had its share of the turn? *since_us: when its first command ended, 0 before. */
static bool had_its_share(uint64_t *since_us) {
    uint64_t now_us = execute_ended_us();
    if (*since_us == 0)
        *since_us = now_us;
    return now_us - *since_us > RUN_US;
}

/* Returns how many commands the glance covers, at least the one at data. */
static uint32_t look_ahead(struct client *c, const char *data, size_t len) {
    struct bytes words[ROUTER_AHEAD];
    uint32_t count = resp_peek_words(data, len, words, ROUTER_AHEAD);
    if (count <= 1)
        return 1;
    router_prefetch(c->owner->router, &c->session, words, count);
    return count;
}

/* Run the commands that lie whole in data, as many as its share of the turn allows. Returns the bytes
 * used; *partial_r: what is left is the beginning of a command. */
static size_t run_commands(struct client *c, const char *data, size_t len, bool *partial_r) {
    struct session *s = &c->session;
    struct clients *clients = c->owner;
    struct resp_parser *parser = c->parser ? c->parser : &clients->parser;
    size_t at = 0, replies_before = c->pipeline.out.len;
    uint64_t since_us = 0;
    uint32_t ahead = 0;
    *partial_r = false;
    parser->bulk_max = (uint64_t)clients->env->config->proto_max_bulk_len;
    while (at < len && pipeline_may_begin(&c->pipeline) && !s->close_after_reply && !s->close_now) {
        size_t used;
        if (ahead-- == 0)
            ahead = look_ahead(c, data + at, len - at) - 1;
        parser->unauthenticated = !s->authenticated;
        enum resp_result result = resp_parse(parser, data + at, len - at, &used);
        if (result == RESP_MORE) {
            *partial_r = true;
            keep_parser(c, parser);
            return at;
        }
        if (result == RESP_PROTOCOL_ERROR) {
            protocol_error(c, parser->error);
            resp_parser_free(parser); /* the next client begins afresh */
            break;
        }
        if (parser->argc == 0)
            replica_lives(s->replica);
        else if (!router_command(clients->router, &c->pipeline, s, parser->argv, parser->argc))
            break;
        at += used;
        s->commands++;
        /* A few bytes may ask for a lot: the rest of them after what they ask for was sent. */
        bool much = c->pipeline.out.len > replies_before + REPLY_BYTES;
        if ((had_its_share(&since_us) || much) && at < len) {
            client_mark_ready(c);
            break;
        }
    }
    resp_parser_trim(parser);
    return at;
}

/* For CLIENT LIST. */
static void client_measure(struct client *c) {
    c->session.query_bytes = c->in.len;
    c->session.query_free_bytes = c->in.cap - c->in.len;
    c->session.memory_bytes = sizeof(*c) + c->in.cap + c->pipeline.out.cap;
}

static void set_reading(struct client *c) {
    /* One that waits in a blocking command is read, lest it leave unnoticed. */
    bool free = pipeline_may_begin(&c->pipeline) || c->session.blocked_token != 0;
    bool want = free && list_empty(&c->ready_link) && !c->session.close_after_reply && !c->ended;
    if (want)
        ev_io_start(c->owner->loop, &c->read_io);
    else
        ev_io_stop(c->owner->loop, &c->read_io);
}

/* Run what is in data; what is left goes to, or stays in, c->in. */
static void consume(struct client *c, const char *data, size_t len) {
    bool partial;
    bool waiting = c->in.len > 0;
    size_t used = run_commands(c, data, len, &partial);
    if (waiting)
        buf_consume(&c->in, used);
    else
        buf_append(&c->in, data + used, len - used);
    if (!partial)
        drop_parser(c);
    if (c->in.len == 0 && c->in.cap > KEEP_OUT_BYTES)
        buf_free(&c->in);
    if (c->in.len > (uint64_t)c->owner->env->config->client_query_buffer_limit) {
        log_warning("Closing client %s that reached max query buffer length", c->session.peer);
        client_close_later(c);
    }
    client_measure(c);
    set_reading(c);
    client_mark_flush(c);
}

void client_resume(struct client *c) {
    if (c->in.len > 0)
        consume(c, c->in.data, c->in.len);
    else
        set_reading(c);
}

/* Where to read, and how much: a big argument straight to where it will stay, all else into the
 * worker's buffer, so that a client costs what it has sent and no more. */
static char *read_place(struct client *c, size_t *bytes_r) {
    size_t need = c->parser ? resp_parser_need(c->parser) : 0;
    size_t more = need > c->in.len ? need - c->in.len : 0;
    if (more <= READ_BYTES && c->in.cap - c->in.len < READ_BYTES) {
        *bytes_r = READ_BYTES;
        return c->owner->read_buffer;
    }
    if (more > READ_BIG_BYTES)
        more = READ_BIG_BYTES;
    if (more < READ_BYTES)
        more = READ_BYTES;
    *bytes_r = more;
    return buf_reserve(&c->in, more);
}

static void input_ended(struct client *c) {
    /* A half-closed client still gets what it is owed. */
    c->ended = true;
    ev_io_stop(c->owner->loop, &c->read_io);
    client_mark_flush(c);
}

void client_on_readable(struct ev_loop *loop, ev_io *io, int events) {
    struct client *c = (struct client *)((char *)io - offsetof(struct client, read_io));
    size_t bytes;
    char *to = read_place(c, &bytes);
    ssize_t n = read(io->fd, to, bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_close_later(c);
        return;
    }
    if (n == 0) {
        input_ended(c);
        return;
    }
    /* Each client has its share, but there may be thousands in this turn. */
    status_beat(c->owner->env->status);
    c->owner->net_in += (uint64_t)n;
    c->session.net_in_bytes += (uint64_t)n;
    c->session.last_active_mono_ms = clock_mono_ms();
    if (to != c->owner->read_buffer)
        c->in.len += (size_t)n;
    else if (c->in.len > 0)
        buf_append(&c->in, to, (size_t)n);
    if (c->in.len > 0)
        consume(c, c->in.data, c->in.len);
    else
        consume(c, to, (size_t)n);
}
