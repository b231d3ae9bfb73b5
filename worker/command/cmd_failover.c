/* cmd_failover.c - FAILOVER [TO host port [FORCE]] [ABORT] [TIMEOUT ms]. The command goes to all shards, and
 * one of them does it. */
#include "worker/command/server_private.h"

#include <stdio.h>

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

static const char *begin(struct command_ctx *ctx, struct options *o) {
    if (ctx_config(ctx)->replicaof[0] != '\0')
        return "ERR FAILOVER is not valid when server is a replica.";
    o->order.replicas = ctx->env->segment != NULL ? count_replicas(ctx->env->segment) : 0;
    if (o->order.replicas == 0)
        return "ERR FAILOVER requires connected replicas.";
    if (o->order.force && (!o->to || o->timeout_ms == 0))
        return "ERR FAILOVER with force option requires both a timeout and target HOST and IP.";
    if (!o->to)
        return "ERR FAILOVER needs TO here: the public host and port of a pool that is a replica";
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
