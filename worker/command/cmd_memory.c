/* cmd_memory.c - MEMORY: what a key costs, what the whole pool uses, and whether that looks healthy.
 *
 * STATS and DOCTOR speak of the pool on the public port and of this shard on a node port, from the
 * status pages, which the router has had every worker refresh. What a pool cannot know of itself is
 * left out, or 0 where a client may look for it. */
#include "worker/command/handler.h"
#include "worker/command/server_private.h"

#include "shared/base/mem.h"

void cmd_memory_usage(struct command_ctx *ctx) {
    enum { SAMPLES_DEFAULT = 5 };
    struct keyref ref;
    int64_t samples = SAMPLES_DEFAULT;
    for (uint32_t i = 3; i < ctx->argc; i += 2) {
        if (!handler_arg_is(ctx, i, "SAMPLES") || i + 1 >= ctx->argc) {
            reply_error(&ctx->reply, reply_err_syntax);
            return;
        }
        if (!handler_i64(ctx, i + 1, &samples))
            return;
        if (samples < 0) {
            reply_error(&ctx->reply, reply_err_syntax);
            return;
        }
    }
    if (!ctx_find(ctx, ctx->argv[2], KEY_PEEK, &ref)) {
        reply_null(&ctx->reply);
        return;
    }
    /* 0 stands for all, as does any number that no collection has. */
    uint32_t looked_at = samples > UINT32_MAX ? 0 : (uint32_t)samples;
    reply_integer(&ctx->reply, (int64_t)keyref_memory(&ref, looked_at));
}

/* ---- STATS, DOCTOR ---- */

struct memory_figures {
    uint64_t used, peak, rss, keys, relay_backlog, log_buffer;
};

static void add_page(struct memory_figures *m, const struct status_page *page) {
    m->used += status_get(page, METRIC_used_memory_bytes);
    m->peak += status_get(page, METRIC_used_memory_peak_bytes);
    m->rss += status_get(page, METRIC_rss_bytes);
    m->keys += status_get(page, METRIC_keys);
    m->relay_backlog += status_get(page, METRIC_relay_backlog_bytes);
    m->log_buffer +=
        status_get(page, METRIC_write_path_executed) - status_get(page, METRIC_write_path_written);
}

static struct memory_figures memory_figures(struct command_ctx *ctx) {
    struct command_env *env = ctx->env;
    struct memory_figures m = {0};
    if (env->refresh_status != NULL)
        env->refresh_status(env->upper);
    if (env->segment == NULL || ctx_is_node(ctx)) {
        if (env->status != NULL)
            add_page(&m, env->status);
    } else {
        for (uint32_t i = 0; i < env->segment->workers; i++)
            add_page(&m, segment_status(env->segment, i));
    }
    m.peak = m.peak > m.used ? m.peak : m.used;
    return m;
}

static double ratio(uint64_t a, uint64_t b) {
    return b > 0 ? (double)a / (double)b : 0;
}

void cmd_memory_stats(struct command_ctx *ctx) {
    struct memory_figures m = memory_figures(ctx);
    const struct {
        const char *name;
        uint64_t value;
    } integers[] = {
        {"peak.allocated", m.peak},
        {"total.allocated", m.used},
        {"startup.allocated", 0},
        {"replication.backlog", 0},
        {"clients.slaves", 0},
        {"cluster.links", m.relay_backlog},
        {"aof.buffer", m.log_buffer},
        {"lua.caches", 0},
        {"functions.caches", 0},
        {"keys.count", m.keys},
        {"keys.bytes-per-key", m.keys > 0 ? m.used / m.keys : 0},
        {"allocator.allocated", m.used},
        {"allocator.resident", m.rss},
        {"fragmentation.bytes", m.rss > m.used ? m.rss - m.used : 0},
    };
    const struct {
        const char *name;
        double value;
    } doubles[] = {
        {"peak.percentage", ratio(m.used, m.peak) * 100},
        {"fragmentation", ratio(m.rss, m.used)},
    };
    enum {
        INTEGERS = sizeof integers / sizeof *integers,
        DOUBLES = sizeof doubles / sizeof *doubles
    };
    reply_map(&ctx->reply, INTEGERS + DOUBLES);
    for (size_t i = 0; i < INTEGERS; i++) {
        reply_bulk_text(&ctx->reply, integers[i].name);
        reply_integer(&ctx->reply, (int64_t)integers[i].value);
    }
    for (size_t i = 0; i < DOUBLES; i++) {
        reply_bulk_text(&ctx->reply, doubles[i].name);
        reply_double(&ctx->reply, doubles[i].value);
    }
}

static void reply_text(struct command_ctx *ctx, const char *text) {
    reply_verbatim(&ctx->reply, "txt", bytes_of_text(text));
}

void cmd_memory_doctor(struct command_ctx *ctx) {
    enum { EMPTY_BYTES = 5 << 20, WASTE_BYTES = 10 << 20 };
    const double peak_high = 1.5, fragmentation_high = 1.4;
    struct memory_figures m = memory_figures(ctx);
    if (m.used < EMPTY_BYTES) {
        reply_text(ctx, "Hi Sam, this instance is empty or is using very little memory, my issues "
                        "detector can't be used in these conditions. Please, leave for your "
                        "mission on Earth and fill it with some data. The new Sam and I will be "
                        "back to our programming as soon as I finished rebooting.\n");
        return;
    }
    struct buf found = {0};
    if (ratio(m.peak, m.used) > peak_high)
        buf_printf(&found,
                   " * High peak: %.1f times as much memory was in use once as is now. The "
                   "allocator may keep what was freed since, so that the resident size stays "
                   "high until it is used again; MEMORY PURGE gives back what can be.\n",
                   ratio(m.peak, m.used));
    if (ratio(m.rss, m.used) > fragmentation_high && m.rss - m.used > WASTE_BYTES)
        buf_printf(&found,
                   " * High fragmentation: the resident size is %.1f times what is in use. Much "
                   "was freed, or the values have sizes that do not fit together. MEMORY PURGE, "
                   "or a restart of the shards one by one, gives memory back.\n",
                   ratio(m.rss, m.used));
    if (found.len == 0) {
        reply_text(ctx, "Hi Sam, I can't find any memory issue in your instance. I can only "
                        "account for what occurs on this base.\n");
    } else {
        struct buf text = {0};
        buf_append_text(&text, "Sam, I found the following in this instance:\n\n");
        buf_append_bytes(&text, buf_bytes(&found));
        reply_verbatim(&ctx->reply, "txt", buf_bytes(&text));
        buf_free(&text);
    }
    buf_free(&found);
}

/* ---- the allocator ---- */

static void append_text(void *arg, const char *text) {
    buf_append_text(arg, text);
}

void cmd_memory_malloc_stats(struct command_ctx *ctx) {
    struct buf text = {0};
    mem_describe(append_text, &text);
    reply_verbatim(&ctx->reply, "txt", buf_bytes(&text));
    buf_free(&text);
}

void cmd_memory_purge(struct command_ctx *ctx) {
    if (mem_purge())
        reply_ok(&ctx->reply);
    else
        reply_error(&ctx->reply, "ERR Error purging dirty pages");
}

void cmd_memory_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    sampled up to <count> times (default: 5, 0 means sample all).",
        NULL,
    };
    reply_help(ctx, "MEMORY", lines);
}
