/* snapshot_pipe.c - a snapshot without a file: what its child writes goes to all replicas that waited for it.
 *
 *   child --pipe--> piece --> replica, replica ...      $EOF:<mark> CR LF, the pieces, <mark>
 *
 * One piece is in memory, and the next is read when all have it: the slowest replica sets the pace, down to
 * the child. One that reads nothing for half of repl-timeout while others wait for it is let go, so that they
 * are not lost with it. A child that fails is told from one that ends by its exit alone: then all are let go. */
#include "worker/replication/primary_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 256 * 1024 };

/* ---- before the fork ---- */
bool snapshot_pipe_serves(const struct primary *p) {
    bool serves = p->hooks.want_diskless != NULL && p->config->repl_diskless_sync;
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        serves = serves && (r->state != REPLICA_WAIT_FORK || r->knows_eof);
    }
    return serves;
}

bool snapshot_pipe_is_due(const struct primary *p, uint64_t now_ms) {
    uint64_t delay_ms = (uint64_t)p->config->repl_diskless_sync_delay * 1000;
    int64_t waiting = 0, enough = p->config->repl_diskless_sync_max_replicas;
    bool waited = false;
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        if (r->state != REPLICA_WAIT_FORK)
            continue;
        waiting++;
        waited = waited || now_ms - r->asked_ms >= delay_ms;
    }
    return waited || (enough > 0 && waiting >= enough);
}

/* ---- who has the piece ---- */
bool snapshot_pipe_waits_for(const struct replica *r) {
    return r->state == REPLICA_PIPED && r->piece_sent < r->primary->pipe.piece_bytes;
}

static uint32_t count_takers(const struct primary *p, uint32_t *behind_r) {
    uint32_t takers = 0;
    *behind_r = 0;
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        takers += r->state == REPLICA_PIPED;
        *behind_r += snapshot_pipe_waits_for(r);
    }
    return takers;
}

void snapshot_pipe_look(struct primary *p) {
    uint32_t behind, takers = count_takers(p, &behind);
    p->pipe.held_up = behind > 0 && behind < takers;
}

/* ---- the end ---- */
void snapshot_pipe_close(struct primary *p) {
    if (p->pipe.fd >= 0) {
        ev_io_stop(p->loop, &p->pipe.readable);
        close(p->pipe.fd);
    }
    mem_free(p->pipe.piece);
    p->pipe = (struct snapshot_pipe){.fd = -1};
}

/* All was read, all have it, and the child is content. */
static void finish(struct primary *p) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state != REPLICA_PIPED)
            continue;
        buf_append_text(&r->words, p->pipe.mark);
        r->holds_stream = true;
        replica_has_snapshot(r);
        replica_write(r);
    }
    snapshot_pipe_close(p);
}

static void drop_takers(struct primary *p, const char *why) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state == REPLICA_PIPED)
            replica_drop(r, why);
    }
}

void primary_diskless_ended(struct primary *p, enum snapshot_end how) {
    if (p->pipe.piece == NULL)
        return;
    p->pipe.is_good = how == SNAPSHOT_GOOD;
    if (p->pipe.is_good) {
        snapshot_pipe_go_on(p);
        return;
    }
    snapshot_pipe_close(p); /* nobody goes on with what is left in the pipe */
    drop_takers(p, how == SNAPSHOT_ABORTED ? "the snapshot on its way to it was given up"
                                           : "the snapshot on its way to it failed");
}

void snapshot_pipe_go_on(struct primary *p) {
    uint32_t behind, takers = count_takers(p, &behind);
    if (p->pipe.piece == NULL || (takers > 0 && behind > 0))
        return;
    if (takers == 0) {
        log_notice("The last replica of a diskless snapshot is gone: it is given up");
        snapshot_pipe_close(p);
        p->hooks.end_diskless(p->hooks.arg);
    } else if (p->pipe.fd >= 0) {
        ev_io_start(p->loop, &p->pipe.readable);
    } else if (p->pipe.is_good) {
        finish(p);
    }
}

/* ---- the pieces ---- */
static void take_end(struct primary *p, const char *error) {
    ev_io_stop(p->loop, &p->pipe.readable);
    close(p->pipe.fd);
    p->pipe.fd = -1;
    if (error == NULL)
        snapshot_pipe_go_on(p);
    else
        drop_takers(p, error);
}

static void write_to_takers(struct primary *p) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state == REPLICA_PIPED)
            replica_write(r);
    }
}

/* The watcher stops before the piece is handed out: whoever takes it last starts it again. */
static void on_readable(struct ev_loop *loop, ev_io *io, int events) {
    struct primary *p = io->data;
    ssize_t n = read(p->pipe.fd, p->pipe.piece, PIECE_BYTES);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        take_end(p, n == 0 ? NULL : strerror(errno));
        return;
    }
    uint64_t now_ms = clock_mono_ms();
    ev_io_stop(loop, io);
    p->pipe.piece_bytes = (size_t)n;
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        r->piece_sent = 0;
        if (r->state == REPLICA_PIPED)
            r->alive_ms = now_ms;
    }
    write_to_takers(p);
}

void primary_diskless_forked(struct primary *p, int fd) {
    char announced[sizeof "$EOF:" + SNAPSHOT_MARK_BYTES];
    snapshot_pipe_close(p);
    p->pipe.fd = fd;
    p->pipe.piece = mem_alloc(PIECE_BYTES);
    random_id(p->pipe.mark);
    snprintf(announced, sizeof announced, "$EOF:%s", p->pipe.mark);
    ev_io_init(&p->pipe.readable, on_readable, fd, EV_READ);
    p->pipe.readable.data = p;
    primary_begin_here(p);
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state != REPLICA_WAIT_FORK || !r->knows_eof)
            continue;
        backlog_cursor_open(&r->cursor, &p->backlog, p->backlog.end);
        r->file_offset = p->backlog.end;
        r->piece_sent = 0;
        r->state = REPLICA_PIPED;
        replica_announce(r, announced);
    }
    write_to_takers(p);
    snapshot_pipe_go_on(p);
}
