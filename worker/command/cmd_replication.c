/* cmd_replication.c - REPLCONF, PSYNC, SYNC, ROLE, and INFO replication: this shard as a primary. */
#include "worker/command/server_private.h"

#include "worker/replication/feed.h"
#include "worker/replication/primary.h"

#include <inttypes.h>
#include <stdio.h>

static const char no_id[] = "0000000000000000000000000000000000000000";

static bool may_be_followed(struct command_ctx *ctx) {
    if (ctx->env->primary != NULL)
        return true;
    reply_error(&ctx->reply, "ERR This shard has no replication");
    return false;
}

/* On a worker's own port its shard is followed, on the public port the whole pool; a pool of one is its
 * only shard. */
static bool follows_pool(const struct command_ctx *ctx) {
    const struct segment *segment = ctx->env->segment;
    return !ctx_is_node(ctx) && segment != NULL && segment->workers > 1;
}

static struct replica *own_replica(struct command_ctx *ctx) {
    struct session *s = ctx->session;
    if (s->replica == NULL)
        s->replica = replica_create(ctx->env->primary, s, s->fd, s->peer, s->of_feed);
    return s->replica;
}

/* REPLCONF ACK offset [FACK offset], the ACK at argv[i]. */
static void acknowledge(struct command_ctx *ctx, uint32_t i) {
    uint64_t offset, synced = 0;
    if (ctx->session->replica == NULL || !bytes_to_u64(ctx->argv[i + 1], &offset))
        return;
    if (ctx->argc > i + 3 && bytes_equal_nocase(ctx->argv[i + 2], "fack"))
        (void)bytes_to_u64(ctx->argv[i + 3], &synced);
    replica_acknowledge(ctx->session->replica, offset, synced);
}

/* False, with an error, if it is none that is known, or not with this value. */
static bool take_option(struct command_ctx *ctx, struct bytes name, struct bytes value) {
    switch (replica_option(own_replica(ctx), name, value)) {
    case REPLICA_OPTION_TAKEN: return true;
    case REPLICA_OPTION_UNKNOWN:
        reply_error_format(&ctx->reply, "ERR Unrecognized REPLCONF option: %.*s", SHOWN(name));
        break;
    case REPLICA_OPTION_NO_INTEGER: reply_error(&ctx->reply, reply_err_not_integer); break;
    case REPLICA_OPTION_NO_SWITCH:
        reply_error(&ctx->reply, "ERR value is out of range, value must between 0 and 1");
        break;
    case REPLICA_OPTION_TOO_LONG:
        reply_error_format(&ctx->reply,
                           "ERR REPLCONF %.*s provided by replica instance is too long: %zu bytes",
                           SHOWN(name), value.len);
        break;
    case REPLICA_OPTION_NO_FILTER:
        reply_error_format(&ctx->reply, "ERR Unsupported rdb-filter-only option: %.*s",
                           SHOWN(value));
        break;
    }
    return false;
}

void cmd_replconf(struct command_ctx *ctx) {
    if (ctx->argc % 2 == 0) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (!may_be_followed(ctx))
        return;
    for (uint32_t i = 1; i < ctx->argc; i += 2) {
        /* What says how far one is, and what asks for that, get no reply. */
        if (bytes_equal_nocase(ctx->argv[i], "getack"))
            return;
        if (bytes_equal_nocase(ctx->argv[i], "ack")) {
            acknowledge(ctx, i);
            return;
        }
        if (!take_option(ctx, ctx->argv[i], ctx->argv[i + 1]))
            return;
    }
    reply_ok(&ctx->reply);
}

static const char reply_err_feed[] =
    "ERR the worker that merges the streams of the pool cannot take this connection now, try again";

/* One worker merges the streams of all: the connection goes there, with what was said on it. */
static void hand_to_feed(struct command_ctx *ctx, struct bytes id, int64_t offset, bool old) {
    struct buf said = {0};
    replica_repeat(ctx->session->replica, id, offset, old, &said);
    if (!ctx->env->hand_over(ctx->env->upper, ctx->session, FEED_SHARD, buf_bytes(&said)))
        reply_error(&ctx->reply, reply_err_feed);
    buf_free(&said);
}

/* What lies here may be of no history yet: whoever asks comes again. The pool's own merged stream may wait. */
static bool lacks_primary(const struct command_ctx *ctx) {
    return ctx_config(ctx)->replicaof[0] != '\0' && !ctx->env->primary_is_up &&
           !ctx->session->of_feed;
}

/* What it wants next is here, or another worker has to know that: then our primary's absence does not matter. */
static bool continues(const struct command_ctx *ctx, struct bytes id, int64_t offset) {
    if (follows_pool(ctx))
        return ctx->env->feed == NULL || feed_continues(ctx->env->feed, id, offset);
    return offset > 0 &&
           backlog_continues(primary_backlog_of(ctx->env->primary), id, (uint64_t)offset - 1);
}

/* From here on the connection is the replica's: replies to what it says are dropped. */
static void begin(struct command_ctx *ctx, struct bytes id, int64_t offset, bool old) {
    if (!may_be_followed(ctx) || replica_is_attached(ctx->session->replica))
        return;
    if (lacks_primary(ctx) && !continues(ctx, id, offset)) {
        reply_error(&ctx->reply, "NOMASTERLINK Can't SYNC while not connected with my master");
        return;
    }
    struct replica *replica = own_replica(ctx);
    if (!follows_pool(ctx)) {
        replica_sync(replica, ctx->env->primary, id, offset, old);
    } else if (ctx->env->feed != NULL) {
        if (!feed_sync(ctx->env->feed, replica, id, offset, old)) {
            reply_error(&ctx->reply, reply_err_feed);
            return;
        }
    } else {
        hand_to_feed(ctx, id, offset, old);
        return;
    }
    ctx->session->reply_mode = SESSION_REPLY_OFF;
}

void cmd_psync(struct command_ctx *ctx) {
    int64_t offset;
    if (!bytes_to_i64(ctx->argv[2], &offset)) {
        reply_error(&ctx->reply, reply_err_not_integer);
        return;
    }
    /* A redis-server would hand over and follow us; at an error it stays the primary. */
    if (ctx->argc > 3 && bytes_equal_nocase(ctx->argv[3], "failover")) {
        reply_error(&ctx->reply, "ERR PSYNC FAILOVER is not supported: say REPLICAOF NO ONE here");
        return;
    }
    begin(ctx, ctx->argv[1], offset, false);
}

void cmd_sync(struct command_ctx *ctx) {
    begin(ctx, (struct bytes){0}, -1, true);
}

/* ---- REPLICAOF ---- */
/* The whole pool follows, or stops: it is an option like any other, replicaof. */
void cmd_replicaof(struct command_ctx *ctx) {
    struct buf value = {0}, line = {0};
    uint64_t port;
    if (ctx_is_node(ctx)) {
        reply_error(&ctx->reply, "ERR REPLICAOF not allowed in cluster mode.");
        return;
    }
    if (failover_progress(ctx->env->segment) != FAILOVER_IS_OFF &&
        ctx->session->port != SESSION_INTERNAL) {
        reply_error(&ctx->reply, "ERR REPLICAOF not allowed while failing over.");
        return;
    }
    if (!bytes_equal_nocase(ctx->argv[1], "no") || !bytes_equal_nocase(ctx->argv[2], "one")) {
        if (!bytes_to_u64(ctx->argv[2], &port) || port == 0 || port > UINT16_MAX) {
            reply_error(&ctx->reply, "ERR Invalid master port");
            return;
        }
        buf_printf(&value, "%.*s %" PRIu64, SHOWN(ctx->argv[1]), port);
    }
    if (bytes_equal(buf_bytes(&value), bytes_of_text(ctx_config(ctx)->replicaof))) {
        reply_status(&ctx->reply,
                     value.len > 0 ? "OK Already connected to specified master" : "OK");
    } else {
        config_line(&line, BYTES_LITERAL("replicaof"), buf_bytes(&value));
        ctx->deferred_reply = true;
        ctx->env->config_set(ctx->env->upper, ctx, buf_bytes(&line));
    }
    buf_free(&value);
    buf_free(&line);
}

/* ---- what is told ---- */
/* ROLE is of those that have the data; INFO is of all. */
static void role_line(void *arg, const struct replica_view *view) {
    struct reply *r = arg;
    if (!view->is_online)
        return;
    reply_array(r, 3);
    reply_bulk_text(r, view->address);
    reply_bulk_integer(r, view->port);
    reply_bulk_integer(r, (int64_t)view->offset);
}

static void count_online(void *arg, const struct replica_view *view) {
    *(uint32_t *)arg += view->is_online;
}

static void reply_replica_role(struct command_ctx *ctx) {
    char host[320] = "";
    unsigned port = 0;
    const struct status_page *page = ctx->env->status;
    bool up = ctx->env->primary_is_up && page != NULL;
    bool transfer = page != NULL && status_get(page, METRIC_primary_transfers) > 0;
    (void)!sscanf(ctx_config(ctx)->replicaof, "%319s %u", host, &port);
    reply_array(&ctx->reply, 5);
    reply_bulk_text(&ctx->reply, "slave");
    reply_bulk_text(&ctx->reply, host);
    reply_integer(&ctx->reply, port);
    reply_bulk_text(&ctx->reply, up                              ? "connected"
                                 : ctx->env->syncing || transfer ? "sync"
                                                                 : "connect");
    reply_integer(&ctx->reply, up ? (int64_t)status_get(page, METRIC_primary_offset) : -1);
}

void cmd_role(struct command_ctx *ctx) {
    struct primary *primary = ctx->env->primary;
    if (ctx_config(ctx)->replicaof[0] != '\0') {
        reply_replica_role(ctx);
        return;
    }
    uint32_t count = 0;
    reply_array(&ctx->reply, 3);
    reply_bulk_text(&ctx->reply, "master");
    reply_integer(&ctx->reply, primary ? (int64_t)primary_backlog(primary)->end : 0);
    if (primary != NULL)
        primary_each(primary, count_online, &count);
    reply_array(&ctx->reply, count);
    if (primary != NULL)
        primary_each(primary, role_line, &ctx->reply);
}

struct info_lines {
    struct buf *out;
    uint32_t count;
};

static void info_line(void *arg, const struct replica_view *view) {
    struct info_lines *lines = arg;
    buf_printf(lines->out, "slave%u:ip=%s,port=%u,state=%s,offset=%" PRIu64 ",lag=%" PRId64 "\r\n",
               lines->count++, view->address, view->port, view->state, view->offset, view->lag_s);
}

void replication_info(const struct command_ctx *ctx, struct buf *out) {
    const struct primary *primary = ctx->env->primary;
    const struct config *config = ctx_config(ctx);
    const struct backlog *s = primary_backlog_of(primary);
    struct info_lines lines = {out, 0};
    buf_printf(out, "connected_slaves:%u\r\n", primary_replicas(primary));
    if (config->min_replicas_to_write > 0 && config->min_replicas_max_lag > 0)
        buf_printf(out, "min_slaves_good_slaves:%u\r\n", primary_good_replicas(primary));
    primary_each(primary, info_line, &lines);
    buf_printf(out,
               "master_failover_state:%s\r\nmaster_replid:%s\r\nmaster_replid2:%s\r\n"
               "master_repl_offset:%" PRIu64 "\r\nsecond_repl_offset:%" PRId64 "\r\n",
               failover_state_name(ctx->env->segment), s->id,
               s->previous_id[0] ? s->previous_id : no_id, s->end,
               s->previous_id[0] ? (int64_t)s->previous_end + 1 : -1);
    buf_printf(out,
               "repl_backlog_active:%d\r\nrepl_backlog_size:%" PRId64
               "\r\nrepl_backlog_first_byte_offset:%" PRIu64 "\r\nrepl_backlog_histlen:%" PRIu64
               "\r\n",
               s->kept, config->repl_backlog_size, s->kept ? backlog_begin(s) + 1 : 0,
               s->end - backlog_begin(s));
}
