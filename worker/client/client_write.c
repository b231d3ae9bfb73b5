/* client_write.c - replies of a client onto its socket, in order, and under appendfsync always not
 * before the log holds what they tell.
 *
 *   [ chunk ][ chunk ][ pipeline.out ]    positions count from the connection's first byte
 *       ^ sent        ^ out_start     ^ end
 *
 * What a slow client has not taken is set aside in chunks: it is never copied again, however much it is. */
#include "worker/client/client_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK_BYTES = 256 * 1024 }; /* an output buffer past this is set aside */

struct chunk {
    struct list link;
    uint64_t start;
    struct buf data;
};

static uint64_t output_end(const struct client *c) {
    return c->out_start + c->pipeline.out.len;
}

size_t client_unsent(const struct client *c) {
    return (size_t)(output_end(c) - c->sent);
}

static void chunk_free(struct chunk *chunk) {
    list_remove(&chunk->link);
    buf_free(&chunk->data);
    mem_free(chunk);
}

void client_drop_output(struct client *c) {
    LIST_EACH(node, &c->chunks)
    chunk_free(LIST_ENTRY(node, struct chunk, link));
}

/* Replies made since the last flush wait for `gate`; earlier ones for theirs. Sets c->released. */
static void apply_gates(struct client *c, uint64_t gate) {
    uint64_t end = output_end(c);
    if (gate == 0 && c->mark_count == 0) {
        c->released = c->seen = end;
        return;
    }
    if (end > c->seen) {
        /* Out of marks: the last one takes these too, and waits a little longer. */
        if (c->mark_count < GATE_MARKS)
            c->marks[c->mark_count++].gate = 0;
        struct gate_mark *mark = &c->marks[c->mark_count - 1];
        *mark = (struct gate_mark){end, gate > mark->gate ? gate : mark->gate};
        c->seen = end;
    }
    uint64_t synced = persist_reply_released(c->owner->env->persist);
    uint32_t passed = 0;
    while (passed < c->mark_count && c->marks[passed].gate <= synced)
        c->released = c->marks[passed++].end;
    c->mark_count -= passed;
    memmove(c->marks, c->marks + passed, c->mark_count * sizeof(c->marks[0]));
}

static void over_limit(struct client *c) {
    log_warning(
        "Client id=%llu addr=%s scheduled to be closed ASAP for overcoming of output buffer "
        "limits.",
        (unsigned long long)c->session.id, c->session.peer);
    client_close_later(c);
}

static void check_output_limits(struct client *c, size_t waiting) {
    const struct output_limits *limits = &c->owner->env->config->client_output_buffer_limit;
    int64_t hard = limits->of[OUTPUT_NORMAL].hard_bytes,
            soft = limits->of[OUTPUT_NORMAL].soft_bytes;
    if (hard && (int64_t)waiting > hard) {
        over_limit(c);
        return;
    }
    if (!soft || (int64_t)waiting <= soft) {
        c->over_soft_limit_since_ms = 0;
        return;
    }
    uint64_t now_ms = clock_mono_ms();
    if (c->over_soft_limit_since_ms == 0)
        c->over_soft_limit_since_ms = now_ms;
    else if (now_ms - c->over_soft_limit_since_ms >=
             (uint64_t)limits->of[OUTPUT_NORMAL].soft_seconds * 1000)
        over_limit(c);
}

/* All has left, or what has not is set aside if it is much. */
static void settle_output(struct client *c) {
    struct buf *out = &c->pipeline.out;
    if (c->sent == output_end(c)) {
        c->out_start = c->sent;
        buf_clear(out);
        if (out->cap > KEEP_OUT_BYTES)
            buf_free(out);
    } else if (out->len > CHUNK_BYTES) {
        struct chunk *chunk = mem_alloc(sizeof(*chunk));
        chunk->start = c->out_start;
        chunk->data = *out;
        list_push_back(&c->chunks, &chunk->link);
        c->out_start += out->len;
        *out = (struct buf){0};
    }
}

/* The bytes from c->sent on, as far as they lie in one piece. */
static struct bytes next_piece(const struct client *c) {
    const struct buf *data = &c->pipeline.out;
    uint64_t start = c->out_start;
    if (!list_empty(&c->chunks)) {
        const struct chunk *chunk = LIST_ENTRY(c->chunks.next, struct chunk, link);
        data = &chunk->data;
        start = chunk->start;
    }
    size_t at = (size_t)(c->sent - start);
    return bytes_of(data->data + at, data->len - at);
}

static void count_sent(struct client *c, size_t bytes) {
    c->sent += bytes;
    c->owner->net_out += bytes;
    c->session.net_out_bytes += bytes;
    if (!list_empty(&c->chunks)) {
        struct chunk *chunk = LIST_ENTRY(c->chunks.next, struct chunk, link);
        if (c->sent == chunk->start + chunk->data.len)
            chunk_free(chunk);
    }
}

/* A client that reads as fast as we write does not get the whole turn for itself. */
static void write_released(struct client *c) {
    size_t budget = WRITE_BYTES;
    while (c->sent < c->released) {
        struct bytes piece = next_piece(c);
        if (piece.len > c->released - c->sent)
            piece.len = (size_t)(c->released - c->sent);
        if (piece.len > budget)
            piece.len = budget;
        ssize_t n = piece.len ? send(c->session.fd, piece.ptr, piece.len, MSG_NOSIGNAL) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            client_close_later(c);
            return;
        }
        if (n <= 0) { /* the socket is full, or the budget used */
            ev_io_start(c->owner->loop, &c->write_io);
            return;
        }
        count_sent(c, (size_t)n);
        budget -= (size_t)n;
    }
    ev_io_stop(c->owner->loop, &c->write_io);
}

void client_flush(struct client *c, uint64_t gate) {
    if (c->session.close_now)
        return;
    if (gate > c->pipeline.made_here_at)
        gate = c->pipeline.made_here_at;
    if (client_unsent(c) > 0) {
        apply_gates(c, gate);
        write_released(c);
        settle_output(c);
    }
    size_t unsent = client_unsent(c);
    c->session.reply_bytes = unsent;
    if (replica_is_attached(c->session.replica) && unsent == 0)
        replica_may_write(c->session.replica);
    check_output_limits(c, unsent + c->pipeline.queued_bytes);
    if (c->mark_count > 0 && !c->session.close_now) {
        list_push_back(&c->owner->gated, &c->flush_link);
        return;
    }
    /* Whole commands may still wait to begin; half of one never will be whole. */
    bool input_waits = c->in.len > 0 && !c->parser;
    if (input_waits && pipeline_may_begin(&c->pipeline) && !c->session.close_after_reply)
        client_mark_ready(c);
    /* A wait has no end that is sure to come: it ends with the client's side of the connection. */
    bool left = c->ended && c->session.blocked_token != 0;
    bool owes_nothing = left || (unsent == 0 && c->pipeline.in_flight == 0);
    if (owes_nothing && (c->session.close_after_reply || left || (c->ended && !input_waits)))
        client_close_later(c);
}

void client_on_writable(struct ev_loop *loop, ev_io *io, int events) {
    struct client *c = (struct client *)((char *)io - offsetof(struct client, write_io));
    list_remove(&c->flush_link); /* maybe among the gated: some of it may leave all the same */
    client_mark_flush(c);
}
