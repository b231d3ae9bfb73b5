/* cmd_failover.c - FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]. The command goes to all shards, and
 * one of them does it.
 *
 * TO names the target as INFO replication of the public port shows it: a replica pool by its address and its
 * own public port. No other server is told to become a primary, nor followed: whatever it has would take the
 * place of what is here. */
#include "worker/command/server_private.h"

#include <stdio.h>
#include <strings.h>

struct options {
    bool abort, to;
    struct failover_order order;
    int64_t timeout_ms; /* 0: not given */
};

static bool take_target(struct command_ctx *ctx, uint32_t at, struct options *o) {
    int64_t port;
    if (!bytes_to_i64(ctx->argv[at + 1], &port)) {
        reply_error(&ctx->reply, reply_err_not_integer);
        return false;
    }
    if (port <= 0 || port > UINT16_MAX || ctx->argv[at].len >= sizeof o->order.host) {
        reply_error(&ctx->reply, "ERR FAILOVER target HOST and PORT is not a replica.");
        return false;
    }
    snprintf(o->order.host, sizeof o->order.host, "%.*s", SHOWN(ctx->argv[at]));
    o->order.port = (uint32_t)port;
    o->to = true;
    return true;
}

static bool take_timeout(struct command_ctx *ctx, uint32_t at, struct options *o) {
    if (!bytes_to_i64(ctx->argv[at], &o->timeout_ms)) {
        reply_error(&ctx->reply, reply_err_not_integer);
        return false;
    }
    if (o->timeout_ms > 0)
        return true;
    reply_error(&ctx->reply, "ERR FAILOVER timeout must be greater than 0");
    return false;
}

static bool parse(struct command_ctx *ctx, struct options *o) {
    for (uint32_t i = 1; i < ctx->argc; i++) {
        struct bytes word = ctx->argv[i];
        uint32_t left = ctx->argc - i - 1;
        if (left >= 2 && bytes_equal_nocase(word, "to") && !o->to) {
            if (!take_target(ctx, i + 1, o))
                return false;
            i += 2;
        } else if (left >= 1 && bytes_equal_nocase(word, "timeout") && o->timeout_ms == 0) {
            if (!take_timeout(ctx, ++i, o))
                return false;
        } else if (bytes_equal_nocase(word, "force") && !o->order.force) {
            o->order.force = true;
        } else if (bytes_equal_nocase(word, "abort") && ctx->argc == 2) {
            o->abort = true;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    return true;
}

/* How many replicas the shard with the most has; 0 if one has none. */
static uint32_t count_replicas(const struct segment *segment) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < segment->workers; i++) {
        uint64_t count = status_get(segment_status(segment, i), METRIC_connected_replicas);
        if (count == 0)
            return 0;
        most = count > most ? (uint32_t)count : most;
    }
    return most;
}

/* ---- the target ---- */
/* A pool says its public port at each shard, a lone server that follows a pool of one its own. */
static uint32_t target_port(const struct segment *segment, const struct replica_line *line) {
    return line->public_port != 0 || segment->workers > 1 ? line->public_port : line->port;
}

static bool is_online(const struct replica_line *line) {
    return strcmp(line->state, "online") == 0;
}

/* How many shards are followed by the target, how many of these links are online, and have got everything. */
struct links {
    uint32_t found, online, level;
};

/* Only links that the replication pages show are seen. */
static struct links count_links(const struct segment *segment, const struct failover_order *order) {
    static struct replication_table table;
    struct links count = {0};
    for (uint32_t i = 0; i < segment->workers; i++) {
        bool found = false, online = false, level = false;
        (void)replication_page_read(segment_replication(segment, i), &table);
        for (uint32_t n = 0; n < links_shown(table.replicas); n++) {
            const struct replica_line *line = &table.replica[n];
            if (line->merged || target_port(segment, line) != order->port ||
                strcasecmp(line->address, order->host) != 0)
                continue;
            found = true;
            online |= is_online(line);
            level |= is_online(line) && line->behind_bytes == 0;
        }
        count.found += found;
        count.online += online;
        count.level += level;
    }
    return count;
}

/* One server that follows the whole pool has no stream that a shard could go on with. */
static bool follows_merged(const struct segment *segment, const struct failover_order *order) {
    static struct replication_table table;
    (void)replication_page_read(segment_replication(segment, 0), &table);
    for (uint32_t n = 0; n < links_shown(table.replicas); n++) {
        const struct replica_line *line = &table.replica[n];
        if (line->merged && line->port == order->port &&
            strcasecmp(line->address, order->host) == 0)
            return true;
    }
    return false;
}

bool failover_target_has_all(const struct segment *segment, const struct failover_order *order) {
    return count_links(segment, order).level == segment->workers;
}

/* The first of shard 0's that follows all shards. */
static bool choose_target(const struct segment *segment, struct failover_order *order) {
    static struct replication_table table;
    (void)replication_page_read(segment_replication(segment, 0), &table);
    for (uint32_t n = 0; n < links_shown(table.replicas); n++) {
        order->port = target_port(segment, &table.replica[n]);
        snprintf(order->host, sizeof order->host, "%s", table.replica[n].address);
        if (order->port != 0 && !table.replica[n].merged &&
            count_links(segment, order).online == segment->workers)
            return true;
    }
    return false;
}

static const char *find_target(const struct segment *segment, struct options *o) {
    if (!o->to)
        return choose_target(segment, &o->order)
                   ? NULL
                   : "ERR FAILOVER finds no replica that follows every shard of this pool";
    struct links links = count_links(segment, &o->order);
    if (follows_merged(segment, &o->order))
        return "ERR FAILOVER target follows the merged stream of the pool, not each of its shards";
    if (links.found < segment->workers)
        return "ERR FAILOVER target HOST and PORT is not a replica.";
    return links.online < segment->workers ? "ERR FAILOVER target replica is not online." : NULL;
}

static const char *begin(struct command_ctx *ctx, struct options *o) {
    if (failover_progress(ctx->env->segment) != FAILOVER_IS_OFF)
        return "ERR FAILOVER already in progress.";
    if (ctx_config(ctx)->replicaof[0] != '\0')
        return "ERR FAILOVER is not valid when server is a replica.";
    const struct segment *segment = ctx->env->segment;
    o->order.replicas = segment != NULL ? count_replicas(segment) : 0;
    if (o->order.replicas == 0 &&
        (segment == NULL || segment_sum(segment, METRIC_merged_replicas) == 0))
        return "ERR FAILOVER requires connected replicas.";
    if (o->order.force && (!o->to || o->timeout_ms == 0))
        return "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    const char *error = find_target(segment, o);
    if (error != NULL)
        return error;
    if (o->order.replicas == 0) /* they came just now */
        return "ERR FAILOVER target replica is not online.";
    o->order.timeout_ms = (uint64_t)o->timeout_ms;
    return ctx->env->failover(ctx->env->upper, &o->order);
}

void cmd_failover(struct command_ctx *ctx) {
    struct options o = {0};
    const char *error = NULL;
    if (ctx_is_node(ctx)) {
        reply_error(&ctx->reply, "ERR FAILOVER not allowed in cluster mode.");
        return;
    }
    if (!parse(ctx, &o))
        return;
    if (ctx->env->shard == FAILOVER_SHARD && o.abort)
        error = ctx->env->failover_abort(ctx->env->upper);
    else if (ctx->env->shard == FAILOVER_SHARD)
        error = begin(ctx, &o);
    if (error != NULL)
        reply_error(&ctx->reply, error);
    else
        reply_ok(&ctx->reply);
}

enum failover_progress failover_progress(const struct segment *segment) {
    return segment != NULL ? (enum failover_progress)atomic_load(&segment->header->failover)
                           : FAILOVER_IS_OFF;
}

const char *failover_state_name(const struct segment *segment) {
    static const char *const names[] = {[FAILOVER_IS_OFF] = "no-failover",
                                        [FAILOVER_WAITS_FOR_SYNC] = "waiting-for-sync",
                                        [FAILOVER_IS_ON] = "failover-in-progress"};
    uint32_t progress = failover_progress(segment);
    return names[progress < sizeof names / sizeof *names ? progress : FAILOVER_IS_ON];
}
