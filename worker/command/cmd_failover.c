/* cmd_failover.c - FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]. The command goes to all shards, and
 * one of them does it.
 *
 * TO names the target as INFO replication of the public port shows it: a replica pool by its address and its
 * own public port. No other server is told to become a primary, nor followed: whatever it has would take the
 * place of what is here. */
#include "worker/command/server_private.h"

#include <stdio.h>
#include <strings.h>

enum { DEFAULT_TIMEOUT_MS = 60000 };

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

/* How many shards are followed by this pool, and how many of these links are online. Only links that the
 * replication pages show are seen. */
static void count_links(const struct segment *segment, const struct failover_order *order,
                        uint32_t *links_r, uint32_t *online_r) {
    static struct replication_table table;
    *links_r = *online_r = 0;
    for (uint32_t i = 0; i < segment->workers; i++) {
        bool found = false, online = false;
        (void)replication_page_read(segment_replication(segment, i), &table);
        for (uint32_t n = 0; n < links_shown(table.replicas); n++) {
            const struct replica_line *line = &table.replica[n];
            if (line->merged || target_port(segment, line) != order->port ||
                strcasecmp(line->address, order->host) != 0)
                continue;
            found = true;
            online |= is_online(line);
        }
        *links_r += found;
        *online_r += online;
    }
}

/* The first of shard 0's that follows all shards. */
static bool choose_target(const struct segment *segment, struct failover_order *order) {
    static struct replication_table table;
    uint32_t links, online;
    (void)replication_page_read(segment_replication(segment, 0), &table);
    for (uint32_t n = 0; n < links_shown(table.replicas); n++) {
        order->port = target_port(segment, &table.replica[n]);
        snprintf(order->host, sizeof order->host, "%s", table.replica[n].address);
        count_links(segment, order, &links, &online);
        if (order->port != 0 && !table.replica[n].merged && online == segment->workers)
            return true;
    }
    return false;
}

static const char *find_target(const struct segment *segment, struct options *o) {
    uint32_t links, online;
    if (!o->to)
        return choose_target(segment, &o->order)
                   ? NULL
                   : "ERR FAILOVER finds no replica that follows every shard of this pool";
    count_links(segment, &o->order, &links, &online);
    if (links < segment->workers)
        return "ERR FAILOVER target HOST and PORT is not a replica.";
    return online < segment->workers ? "ERR FAILOVER target replica is not online." : NULL;
}

static const char *begin(struct command_ctx *ctx, struct options *o) {
    if (ctx_config(ctx)->replicaof[0] != '\0')
        return "ERR FAILOVER is not valid when server is a replica.";
    o->order.replicas = ctx->env->segment != NULL ? count_replicas(ctx->env->segment) : 0;
    if (o->order.replicas == 0)
        return "ERR FAILOVER requires connected replicas.";
    if (o->order.force && (!o->to || o->timeout_ms == 0))
        return "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    const char *error = find_target(ctx->env->segment, o);
    if (error != NULL)
        return error;
    o->order.timeout_ms = o->timeout_ms > 0 ? (uint64_t)o->timeout_ms : DEFAULT_TIMEOUT_MS;
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
        error = ctx->env->failover_abort(ctx->env->upper) ? NULL : "ERR No failover in progress.";
    else if (ctx->env->shard == FAILOVER_SHARD)
        error = begin(ctx, &o);
    if (error != NULL)
        reply_error(&ctx->reply, error);
    else
        reply_ok(&ctx->reply);
}

const char *failover_state_name(const struct segment *segment) {
    static const char *const names[] = {[FAILOVER_IS_OFF] = "no-failover",
                                        [FAILOVER_WAITS_FOR_SYNC] = "waiting-for-sync",
                                        [FAILOVER_IS_ON] = "failover-in-progress"};
    uint64_t state = segment != NULL ? segment_sum(segment, METRIC_failover_state) : 0;
    return names[state < sizeof names / sizeof *names ? state : FAILOVER_IS_ON];
}
