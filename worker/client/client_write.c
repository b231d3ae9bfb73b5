/* client_write.c - replies of a client onto its socket, in order, and under appendfsync always not
 * before the log holds what they tell. */
#include "worker/client/client_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

size_t client_unsent(const struct client *c) {
    return c->pipeline.out.len - c->sent;
}

/* Replies made since the last flush wait for `gate`; earlier ones for theirs. Sets c->released. */
static void apply_gates(struct client *c, uint64_t gate) {
    uint64_t end = c->out_before + c->pipeline.out.len;
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

static void sent_all(struct client *c) {
    struct buf *out = &c->pipeline.out;
    c->out_before += out->len;
    c->sent = 0;
    buf_clear(out);
    if (out->cap > KEEP_OUT_BYTES)
        buf_free(out);
    ev_io_stop(c->owner->loop, &c->write_io);
}

/* Do not let a buffer grow that is never empty. */
static void drop_sent(struct client *c) {
    struct buf *out = &c->pipeline.out;
    if (c->sent < KEEP_OUT_BYTES || c->sent < out->len / 2)
        return;
    c->out_before += c->sent;
    buf_consume(out, c->sent);
    c->sent = 0;
}

/* A client that reads as fast as we write does not get the whole turn for itself. */
static void write_released(struct client *c) {
    struct buf *out = &c->pipeline.out;
    size_t budget = WRITE_BYTES;
    while (c->out_before + c->sent < c->released) {
        size_t len = (size_t)(c->released - c->out_before) - c->sent;
        if (len > budget)
            len = budget;
        if (budget == 0) {
            ev_io_start(c->owner->loop, &c->write_io);
            return;
        }
        ssize_t n = send(c->session.fd, out->data + c->sent, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            ev_io_start(c->owner->loop, &c->write_io);
            return;
        }
        if (n < 0) {
            client_close_later(c);
            return;
        }
        c->sent += (size_t)n;
        budget -= (size_t)n;
        c->owner->net_out += (uint64_t)n;
        c->session.net_out_bytes += (uint64_t)n;
    }
    ev_io_stop(c->owner->loop, &c->write_io);
}

void client_flush(struct client *c, uint64_t gate) {
    if (c->session.close_now)
        return;
    if (c->pipeline.out.len > 0) {
        apply_gates(c, gate);
        write_released(c);
        if (c->sent == c->pipeline.out.len)
            sent_all(c);
        else
            drop_sent(c);
    }
    size_t unsent = client_unsent(c);
    c->session.reply_bytes = unsent;
    check_output_limits(c, unsent + c->pipeline.queued_bytes);
    if (c->mark_count > 0 && !c->session.close_now) {
        list_push_back(&c->owner->gated, &c->flush_link);
        return;
    }
    /* Whole commands may still wait to begin; half of one never will be whole. */
    bool input_waits = c->in.len > 0 && !c->parser;
    if (input_waits && pipeline_may_begin(&c->pipeline) && !c->session.close_after_reply)
        client_mark_ready(c);
    bool owes_nothing = unsent == 0 && c->pipeline.in_flight == 0;
    if (owes_nothing && (c->session.close_after_reply || (c->ended && !input_waits)))
        client_close_later(c);
}

void client_on_writable(struct ev_loop *loop, ev_io *io, int events) {
    struct client *c = (struct client *)((char *)io - offsetof(struct client, write_io));
    list_remove(&c->flush_link); /* maybe among the gated: some of it may leave all the same */
    client_mark_flush(c);
}
