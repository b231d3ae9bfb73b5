/* primary.c - the replicas of a shard as a set: snapshots they share, pings, time-outs, figures. One
 * replica's connection is replica_link.c. */
#include "worker/replication/primary_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/replication/refill.h"

#include <string.h>

enum { CRON_HZ = 10 };

struct primary *primary_create(void *loop, const struct config *config, struct status_page *status,
                               const struct primary_hooks *hooks) {
    struct primary *p = mem_calloc(1, sizeof *p);
    p->loop = loop;
    p->config = config;
    p->status = status;
    p->hooks = *hooks;
    p->pipe.fd = -1;
    backlog_init(&p->backlog);
    list_init(&p->replicas);
    return p;
}

void primary_free(struct primary **primary) {
    struct primary *p = *primary;
    if (p == NULL)
        return;
    *primary = NULL;
    snapshot_pipe_close(p);
    backlog_cursor_close(&p->fork);
    backlog_free(&p->backlog);
    mem_free(p);
}

void primary_open(struct primary *p, struct propagate *propagate) {
    p->propagate = propagate;
}

struct backlog *primary_backlog(struct primary *p) {
    return &p->backlog;
}

const struct backlog *primary_backlog_of(const struct primary *p) {
    return &p->backlog;
}

struct replica *primary_replica_of(struct list *link) {
    return LIST_ENTRY(link, struct replica, link);
}

static void drop_all(struct primary *p, const char *why) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        replica_drop(r, why);
    }
    backlog_cursor_close(&p->fork);
}

void primary_become(struct primary *p, const char *id, uint64_t offset) {
    drop_all(p, "the data is another history's now");
    backlog_become(&p->backlog, id, offset);
    backlog_keep(&p->backlog);
    p->marked = p->offered = offset;
}

void primary_forget(struct primary *p) {
    drop_all(p, "the data are being replaced");
    backlog_forget(&p->backlog);
}

void primary_rename(struct primary *p, const char *id) {
    struct backlog *s = &p->backlog;
    if (strcmp(s->id, id) == 0)
        return;
    /* What comes is not of the history that they know. */
    drop_all(p, "the stream goes on under another name");
    backlog_rename(s, id);
}

void primary_branch_off(struct primary *p) {
    drop_all(p, "this server is a primary of its own now");
    backlog_branch_off(&p->backlog);
    p->backlog.db = BACKLOG_NO_DB;
}

void primary_restore(struct primary *p, struct refill *loaded, bool as_primary) {
    struct backlog *s = &p->backlog;
    if (!refill_end(loaded, s))
        return;
    log_notice(
        "Replication goes on from offset %llu, of which the log gave %llu bytes for the backlog.",
        (unsigned long long)s->end, (unsigned long long)(s->end - backlog_begin(s)));
    p->offered = p->marked = s->end;
    memcpy(p->marked_id, s->id, sizeof p->marked_id);
    /* Replicas may have got more from a life that ended badly: not under this name. */
    if (as_primary)
        primary_branch_off(p);
}

bool primary_origin(const struct primary *p, struct rdb_origin *origin_r) {
    if (!p->backlog.kept)
        return false;
    memcpy(origin_r->id, p->backlog.id, sizeof origin_r->id);
    origin_r->offset = p->backlog.end;
    origin_r->db = p->backlog.db > 0 ? (uint32_t)p->backlog.db : 0;
    return true;
}

void primary_seal(struct primary *p) {
    if (!p->backlog.kept)
        p->marked = p->backlog.end;
    backlog_keep(&p->backlog);
    p->marked_id[0] = '\0'; /* so that primary_mark() has something to say */
}

/* ---- the shared snapshot ---- */
static uint32_t waiting(const struct primary *p, enum replica_state state) {
    uint32_t count = 0;
    LIST_EACH(node, &p->replicas)
    count += primary_replica_of(node)->state == state;
    return count;
}

/* In another's stream nothing can be put in: the snapshot says it. */
void primary_begin_here(struct primary *p) {
    if (propagate_makes(p->propagate, &p->backlog))
        p->backlog.db = BACKLOG_NO_DB;
}

/* The fork's place in the stream is held until its file is of no use any more. */
void primary_snapshot_forked(struct primary *p) {
    backlog_cursor_close(&p->fork);
    if (!p->backlog.kept)
        return;
    backlog_cursor_open(&p->fork, &p->backlog, p->backlog.end);
    primary_begin_here(p);
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state == REPLICA_WAIT_FORK)
            replica_wait_for_file(r);
    }
}

void primary_snapshot_ended(struct primary *p, enum snapshot_end how) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state != REPLICA_WAIT_FILE)
            continue;
        if (how == SNAPSHOT_GOOD)
            replica_send_file(r);
        else if (how == SNAPSHOT_ABORTED)
            replica_wait_for_fork(r);
        else
            replica_drop(r, "the snapshot for it failed"); /* it asks again */
    }
    backlog_cursor_close(&p->fork);
}

/* It is asked for again until it is granted: another child may be at work. */
void primary_want_snapshot(struct primary *p) {
    if (waiting(p, REPLICA_WAIT_FORK) == 0)
        return;
    if (!snapshot_pipe_serves(p))
        p->hooks.want_snapshot(p->hooks.arg);
    else if (p->pipe.piece == NULL && snapshot_pipe_is_due(p, clock_mono_ms()))
        p->hooks.want_diskless(p->hooks.arg);
}

/* A fork that was for many serves those who are left. */
void primary_waits_no_more(struct primary *p) {
    bool may_be_asked = p->hooks.want_diskless != NULL && p->pipe.piece == NULL;
    if (may_be_asked && waiting(p, REPLICA_WAIT_FORK) == 0)
        p->hooks.end_diskless(p->hooks.arg);
}

/* ---- the part of a cut ---- */
static bool is_of_cut(const struct replica *r) {
    return r->state == REPLICA_WAIT_CUT || r->state == REPLICA_CUT;
}

bool primary_awaits_cut(const struct primary *p) {
    return waiting(p, REPLICA_WAIT_CUT) + waiting(p, REPLICA_CUT) > 0;
}

/* Another cut may have been tried just before, in vain. */
void primary_cut_forked(struct primary *p) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (is_of_cut(r))
            replica_wait_for_cut(r);
    }
    primary_begin_here(p);
}

void primary_cut_ended(struct primary *p, enum snapshot_end how) {
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state != REPLICA_CUT)
            continue;
        if (how == SNAPSHOT_GOOD)
            replica_has_cut(r);
        else
            replica_drop(r, "the snapshot for it failed");
    }
}

void primary_cut_no_more(struct primary *p) {
    if (waiting(p, REPLICA_CUT) == 0)
        p->hooks.end_cut(p->hooks.arg);
}

/* ---- the stream ---- */
static void ask_acknowledge(struct primary *p) {
    const struct bytes argv[] = {BYTES_LITERAL("REPLCONF"), BYTES_LITERAL("GETACK"),
                                 BYTES_LITERAL("*")};
    p->ask = false;
    if (!list_empty(&p->replicas))
        propagate_to_replicas(p->propagate, 3, argv);
}

void primary_mark(struct primary *p) {
    const struct backlog *s = &p->backlog;
    if (p->ask)
        ask_acknowledge(p);
    if (!s->kept || (s->end == p->marked && strcmp(s->id, p->marked_id) == 0))
        return;
    propagate_mark(p->propagate, s, p->marked);
    p->marked = s->end;
    memcpy(p->marked_id, s->id, sizeof p->marked_id);
}

bool primary_drained(struct primary *p) {
    bool drained = true;
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        if (r->state != REPLICA_ONLINE || r->holds_stream)
            continue;
        replica_write(r);
        drained = drained && r->cursor.offset == p->backlog.end;
    }
    return drained;
}

void primary_ask_acknowledge(struct primary *p) {
    p->ask = true;
}

void primary_turn_end(struct primary *p) {
    if (!p->backlog.kept || p->backlog.end == p->offered)
        return;
    p->offered = p->backlog.end;
    LIST_EACH(node, &p->replicas)
    replica_offer(primary_replica_of(node));
    backlog_trim(&p->backlog, (uint64_t)p->config->repl_backlog_size);
}

static void ping(struct primary *p) {
    const struct bytes argv[] = {BYTES_LITERAL("PING")};
    propagate_to_replicas(p->propagate, 1, argv);
}

/* ---- cron ---- */
/* Nothing is counted without a backlog, so the history ends with it. Another's must be counted on: we go on from
 * there, and so may its other replicas with us. */
static void check_backlog(struct primary *p, uint64_t now_ms) {
    if (!list_empty(&p->replicas) || !p->backlog.kept ||
        !propagate_makes(p->propagate, &p->backlog)) {
        p->alone_since_ms = 0;
        return;
    }
    uint64_t ttl_ms = (uint64_t)p->config->repl_backlog_ttl * 1000;
    if (p->alone_since_ms == 0)
        p->alone_since_ms = now_ms;
    if (ttl_ms == 0 || now_ms - p->alone_since_ms < ttl_ms || p->fork.backlog != NULL)
        return;
    log_notice("Replication backlog freed after %lld seconds without connected replicas.",
               (long long)p->config->repl_backlog_ttl);
    backlog_forget(&p->backlog);
}

static void check_replicas(struct primary *p, uint64_t now_ms) {
    snapshot_pipe_look(p);
    LIST_EACH(node, &p->replicas)
    replica_check(primary_replica_of(node), now_ms);
}

/* One that has a copy, and the stream since. */
static bool is_online(const struct replica *r) {
    return r->state == REPLICA_ONLINE && !r->own;
}

/* What it has: with a snapshot, all up to there, though it may not have said so yet. */
static uint64_t behind(const struct replica *r) {
    uint64_t reached = r->acked > r->file_offset ? r->acked : r->file_offset;
    return r->state == REPLICA_ONLINE ? r->primary->backlog.end - reached : 0;
}

static uint64_t most_behind(const struct primary *p) {
    uint64_t most = 0;
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        if (is_online(r) && behind(r) > most)
            most = behind(r);
    }
    return most;
}

void primary_refresh(struct primary *p) {
    uint64_t now_ms = clock_mono_ms(), within_ms = (uint64_t)p->config->min_replicas_max_lag * 1000;
    p->good = 0;
    LIST_EACH(node, &p->replicas) {
        struct replica *r = primary_replica_of(node);
        p->good += is_online(r) && (within_ms == 0 || now_ms - r->acked_ms <= within_ms);
    }
    if (p->status == NULL)
        return;
    status_set(p->status, METRIC_connected_replicas, primary_replicas(p));
    status_set(p->status, METRIC_replication_offset, p->backlog.end);
    status_set(p->status, METRIC_write_path_replicated, primary_least_acknowledged(p));
    status_set(p->status, METRIC_replica_behind_bytes, most_behind(p));
}

void primary_keep_still(struct primary *p, bool still) {
    p->still = still;
}

void primary_cron(struct primary *p) {
    uint64_t now_ms = clock_mono_ms();
    primary_want_snapshot(p);
    check_replicas(p, now_ms);
    check_backlog(p, now_ms);
    uint64_t period_ms = (uint64_t)p->config->repl_ping_replica_period * 1000;
    if (list_empty(&p->replicas)) {
        p->pinged_ms = now_ms;
    } else if (now_ms - p->pinged_ms >= period_ms && !p->still) {
        p->pinged_ms = now_ms;
        ping(p);
    }
    primary_refresh(p);
}

/* ---- what is told ---- */
uint32_t primary_replicas(const struct primary *p) {
    uint32_t count = 0;
    LIST_EACH(node, &p->replicas)
    count += !primary_replica_of(node)->own;
    return count;
}

uint32_t primary_good_replicas(const struct primary *p) {
    return p->good;
}

/* An offset of 0 is of a time when nothing was kept: who has that in its snapshot, but has not said so, is not
 * counted. */
static bool has(const struct replica *r, uint64_t offset, bool on_disk) {
    if (!is_online(r))
        return false;
    return on_disk ? r->acked_synced > 0 && r->acked_synced >= offset
                   : r->acknowledges && r->acked >= offset;
}

static uint32_t merged_that_have(const struct replica *r, uint64_t offset, bool on_disk) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < r->merged_count; i++) {
        const struct merged_ack *ack = &r->merged[i];
        count += on_disk ? ack->synced > 0 && ack->synced >= offset : ack->offset >= offset;
    }
    return count;
}

uint32_t primary_acknowledged(const struct primary *p, uint64_t offset, bool on_disk) {
    uint32_t count = 0;
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        count += has(r, offset, on_disk) + merged_that_have(r, offset, on_disk);
    }
    return count;
}

/* What every replica that is online has; the stream's end if there is none. */
uint64_t primary_least_acknowledged(const struct primary *p) {
    uint64_t least = p->backlog.end;
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        if (is_online(r) && r->acked < least)
            least = r->acked;
    }
    return least;
}

void primary_each(const struct primary *p,
                  void (*found)(void *arg, const struct replica_view *view), void *arg) {
    static const char *const states[] = {
        [REPLICA_HELLO] = "handshake",       [REPLICA_WAIT_FORK] = "wait_bgsave",
        [REPLICA_WAIT_FILE] = "wait_bgsave", [REPLICA_PIPED] = "wait_bgsave",
        [REPLICA_WAIT_CUT] = "wait_bgsave",  [REPLICA_CUT] = "wait_bgsave",
        [REPLICA_SENDING] = "send_bulk",     [REPLICA_ONLINE] = "online",
        [REPLICA_DROPPED] = "online"};
    uint64_t now_ms = clock_mono_ms();
    LIST_EACH(node, &p->replicas) {
        const struct replica *r = primary_replica_of(node);
        if (r->own)
            continue;
        struct replica_view view = {
            .address = r->announced_address[0] ? r->announced_address : r->address,
            .port = r->port,
            .public_port = r->public_port,
            .state = states[r->state],
            .is_online = r->state == REPLICA_ONLINE,
            .offset = r->acked,
            .synced = r->acked_synced,
            .behind_bytes = behind(r),
            .lag_s = r->state == REPLICA_ONLINE ? (int64_t)((now_ms - r->acked_ms) / 1000) : 0};
        found(arg, &view);
    }
}
