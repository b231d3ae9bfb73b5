/* monitor.c - MONITOR: the commands of all clients of the pool, told to the clients that ask for it.
 *
 *   worker of a monitoring client                all other workers
 *     MONITOR argc 1 (0 when its last leaves) ->  remembers who wants to be told
 *                                             <-  FED, one line a command of its clients
 *
 * A worker tells of the commands of its own clients, once each, wherever they run. Lines for a worker
 * that does not take them are dropped past relay-backlog-limit: watching never slows what is watched. On a
 * worker's own port MONITOR tells of that worker's clients only. */
#include "worker/route/router_private.h"

#include "shared/base/clock.h"

#include <ctype.h>

static bool wants_all(const struct pipeline *p) {
    return p->monitors == MONITOR_POOL;
}

static uint32_t pool_monitors(const struct router *r) {
    uint32_t count = 0;
    LIST_EACH(node, &r->monitors)
    count += wants_all(LIST_ENTRY(node, struct pipeline, monitor_link));
    return count;
}

static void settle(struct router *r) {
    r->monitored = !list_empty(&r->monitors);
    for (uint32_t i = 0; i < r->shards; i++)
        r->monitored |= r->fed[i];
}

static void tell_peer(struct router *r, uint32_t peer, bool on) {
    router_deliver(r, peer, (struct relay_frame){.type = RELAY_MONITOR, .argc = on},
                   (struct bytes){0});
}

static void tell_peers(struct router *r, bool on) {
    for (uint32_t i = 0; i < r->shards; i++) {
        if (i != r->self && link_is_up(r->links, i))
            tell_peer(r, i, on);
    }
}

void router_monitor(struct router *r, struct pipeline *p, bool on, bool whole_pool) {
    uint32_t before = pool_monitors(r);
    list_remove(&p->monitor_link);
    p->monitors = MONITOR_NOTHING;
    if (on) {
        p->monitors = whole_pool ? MONITOR_POOL : MONITOR_WORKER;
        list_push_back(&r->monitors, &p->monitor_link);
    }
    uint32_t after = pool_monitors(r);
    if ((before == 0) != (after == 0))
        tell_peers(r, after > 0);
    settle(r);
}

void monitor_peer_up(struct router *r, uint32_t peer) {
    if (pool_monitors(r) > 0)
        tell_peer(r, peer, true);
}

void monitor_peer_wants(struct router *r, uint32_t peer, bool on) {
    r->fed[peer] = on;
    settle(r);
}

/* ---- lines ---- */

static void append_quoted(struct buf *out, struct bytes text) {
    static const char special[] = "\n\r\t\a\b", letter[] = "nrtab";
    buf_append_text(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        const char *at = c ? strchr(special, c) : NULL;
        if (c == '\\' || c == '"')
            buf_printf(out, "\\%c", c);
        else if (at)
            buf_printf(out, "\\%c", letter[at - special]);
        else if (c < 128 && isprint(c))
            buf_append(out, text.ptr + i, 1);
        else
            buf_printf(out, "\\x%02x", c);
    }
    buf_append_text(out, "\"");
}

static void write_line(struct buf *out, const struct command_ctx *ctx) {
    int64_t now_us = clock_wall_us();
    const struct session *s = ctx->session;
    /* A Unix socket's address is its path with port 0, of which MONITOR shows the path. */
    const char *port = s->unix_socket ? strrchr(s->local, ':') : NULL;
    buf_printf(out, "+%lld.%06lld [%u ", (long long)(now_us / 1000000),
               (long long)(now_us % 1000000), s->db);
    if (port)
        buf_printf(out, "unix:%.*s]", (int)(port - s->local), s->local);
    else
        buf_printf(out, "%s]", s->peer);
    for (uint32_t i = 0; i < ctx->argc; i++) {
        buf_append_text(out, " ");
        append_quoted(out, ctx_shown(ctx, i));
    }
    buf_append_text(out, "\r\n");
}

static void show(struct router *r, struct bytes line, bool of_peer) {
    LIST_EACH(node, &r->monitors) {
        struct pipeline *p = LIST_ENTRY(node, struct pipeline, monitor_link);
        if (of_peer && !wants_all(p))
            continue;
        struct buf *out = pipeline_tail(p);
        buf_append_bytes(out, line);
        if (out != &p->out)
            p->queued_bytes += line.len;
        p->wake(p);
    }
}

void monitor_feed(struct router *r, const struct command_ctx *ctx) {
    if (ctx->cmd->flags & (CMD_ADMIN | CMD_SKIP_MONITOR))
        return;
    struct buf line = {0};
    uint64_t limit = (uint64_t)r->env->config->relay_backlog_limit;
    write_line(&line, ctx);
    show(r, buf_bytes(&line), false);
    for (uint32_t i = 0; i < r->shards; i++) {
        if (r->fed[i] && line.len <= LINK_BODY_MAX && link_backlog_bytes(r->links, i) < limit)
            router_deliver(r, i, (struct relay_frame){.type = RELAY_FED}, buf_bytes(&line));
    }
    buf_free(&line);
}

void monitor_fed(struct router *r, struct bytes line) {
    show(r, line, true);
}
