/* cmd_latency.c - LATENCY: slow events, and how long commands take.
 *
 * All of it lies in shared memory (shared/ipc/latency_page.h): a client of the public port is told of the
 * whole pool, a client of a worker's port of that worker. */
#include "worker/command/latency.h"
#include "worker/command/server_private.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

_Static_assert(sizeof(struct latency_sample) == 8, "packed in a word");

void latency_event(const struct command_env *env, enum latency_event event, uint64_t took_us) {
    uint64_t threshold_ms = (uint64_t)env->config->latency_monitor_threshold;
    struct latency_page *page = env->latency;
    if (threshold_ms == 0 || took_us / 1000 < threshold_ms || !page || env->loading)
        return;
    uint64_t ms = took_us / 1000;
    latency_add(page, event, (uint32_t)(clock_wall_ms() / 1000),
                ms > UINT32_MAX ? UINT32_MAX : (uint32_t)ms);
}

void latency_forget_commands(const struct command_env *env) {
    struct latency_page *page = env->latency;
    for (uint32_t c = 0; page && c < command_count; c++)
        for (uint32_t b = 0; b < LATENCY_BUCKETS; b++)
            atomic_store(&page->histogram[c][b], 0);
}

/* ---- the pages a client is told of ---- */

struct pages {
    uint32_t first, count;
};

static struct pages pages_for(const struct command_ctx *ctx) {
    if (!ctx->env->segment)
        return (struct pages){0, 0};
    if (ctx_is_node(ctx))
        return (struct pages){ctx->env->shard, 1};
    return (struct pages){0, ctx->env->segment->workers};
}

/* Of one event, of all pages, one a second, oldest first. */
struct history {
    struct latency_sample *samples;
    uint32_t count, max_ms;
};

static int by_time(const void *a, const void *b) {
    const struct latency_sample *x = a, *y = b;
    return x->time_s < y->time_s ? -1 : x->time_s > y->time_s;
}

static struct history history_open(const struct command_ctx *ctx, enum latency_event event) {
    struct pages pages = pages_for(ctx);
    struct history h = {.samples = mem_calloc((size_t)pages.count * LATENCY_SAMPLES + 1,
                                              sizeof(struct latency_sample))};
    for (uint32_t i = pages.first; i < pages.first + pages.count; i++) {
        const struct latency_page *page = segment_latency(ctx->env->segment, i);
        h.count += latency_read(page, event, h.samples + h.count);
        uint32_t max_ms = atomic_load(&page->events[event].max_ms);
        h.max_ms = max_ms > h.max_ms ? max_ms : h.max_ms;
    }
    qsort(h.samples, h.count, sizeof(*h.samples), by_time);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < h.count; i++) {
        struct latency_sample s = h.samples[i];
        if (kept == 0 || h.samples[kept - 1].time_s != s.time_s)
            h.samples[kept++] = s;
        else if (s.ms > h.samples[kept - 1].ms)
            h.samples[kept - 1].ms = s.ms;
    }
    uint32_t drop = kept > LATENCY_SAMPLES ? kept - LATENCY_SAMPLES : 0;
    memmove(h.samples, h.samples + drop, (kept - drop) * sizeof(*h.samples));
    h.count = kept - drop;
    return h;
}

static bool event_of(struct bytes name, enum latency_event *event_r) {
    for (int e = 0; e < LATENCY_EVENT_COUNT; e++) {
        *event_r = (enum latency_event)e;
        if (bytes_equal(name, bytes_of_text(latency_event_names[e])))
            return true;
    }
    return false;
}

/* ---- LATEST, HISTORY, RESET ---- */

void cmd_latency_latest(struct command_ctx *ctx) {
    size_t mark = reply_mark(&ctx->reply), told = 0;
    for (int e = 0; e < LATENCY_EVENT_COUNT; e++) {
        struct history h = history_open(ctx, (enum latency_event)e);
        if (h.count > 0) {
            reply_array(&ctx->reply, 4);
            reply_bulk_text(&ctx->reply, latency_event_names[e]);
            reply_integer(&ctx->reply, h.samples[h.count - 1].time_s);
            reply_integer(&ctx->reply, h.samples[h.count - 1].ms);
            reply_integer(&ctx->reply, h.max_ms);
            told++;
        }
        mem_free(h.samples);
    }
    reply_close_array(&ctx->reply, mark, told);
}

void cmd_latency_history(struct command_ctx *ctx) {
    enum latency_event event;
    if (!event_of(ctx->argv[2], &event)) {
        reply_array(&ctx->reply, 0);
        return;
    }
    struct history h = history_open(ctx, event);
    reply_array(&ctx->reply, h.count);
    for (uint32_t i = 0; i < h.count; i++) {
        reply_array(&ctx->reply, 2);
        reply_integer(&ctx->reply, h.samples[i].time_s);
        reply_integer(&ctx->reply, h.samples[i].ms);
    }
    mem_free(h.samples);
}

/* Runs on every shard; the largest number is the answer. */
void cmd_latency_reset(struct command_ctx *ctx) {
    struct latency_page *page = ctx->env->latency;
    int64_t events = 0;
    for (int e = 0; page && e < LATENCY_EVENT_COUNT; e++) {
        bool named = ctx->argc == 2;
        for (uint32_t i = 2; i < ctx->argc && !named; i++)
            named = bytes_equal(ctx->argv[i], bytes_of_text(latency_event_names[e]));
        if (!named || atomic_load(&page->events[e].max_ms) == 0)
            continue;
        latency_reset(page, (enum latency_event)e);
        events++;
    }
    reply_integer(&ctx->reply, events);
}

/* ---- GRAPH ---- */

enum { GRAPH_COLUMNS = 80, GRAPH_ROWS = 4 };
static const char graph_levels[] = "_o#"; /* of one row, lowest first; what stands above it: | */

static void append_age(char label[16], int64_t age_s) {
    if (age_s < 60)
        snprintf(label, 16, "%llds", (long long)age_s);
    else if (age_s < 3600)
        snprintf(label, 16, "%lldm", (long long)(age_s / 60));
    else if (age_s < 24 * 3600)
        snprintf(label, 16, "%lldh", (long long)(age_s / 3600));
    else
        snprintf(label, 16, "%lldd", (long long)(age_s / (24 * 3600)));
}

static uint32_t graph_level(uint32_t ms, uint32_t low, uint32_t high) {
    enum { LEVELS = GRAPH_ROWS * (sizeof(graph_levels) - 1) };
    uint64_t span = high > low ? high - low : 1;
    uint64_t level = (uint64_t)(ms - low) * LEVELS / span;
    return level < LEVELS ? (uint32_t)level : LEVELS - 1;
}

/* Columns of the samples, and below each its age, from top to bottom. */
static void append_graph(struct buf *out, const struct latency_sample *samples, uint32_t count,
                         uint32_t low, uint32_t high) {
    enum { STEPS = sizeof(graph_levels) - 1, LABEL_ROWS_MAX = 15 };
    int64_t now_s = clock_wall_ms() / 1000;
    char label[GRAPH_COLUMNS][16];
    size_t longest = 0;
    for (uint32_t row = GRAPH_ROWS; row-- > 0;) {
        for (uint32_t i = 0; i < count; i++) {
            uint32_t level = graph_level(samples[i].ms, low, high);
            char c = level / STEPS == row ? graph_levels[level % STEPS]
                                          : (level / STEPS > row ? '|' : ' ');
            buf_append(out, &c, 1);
        }
        buf_append_text(out, "\n");
    }
    for (uint32_t i = 0; i < count; i++) {
        int64_t age_s = now_s - samples[i].time_s;
        append_age(label[i], age_s > 0 ? age_s : 0);
        longest = strlen(label[i]) > longest ? strlen(label[i]) : longest;
    }
    for (uint32_t i = 0; i < count; i++)
        buf_append_text(out, " ");
    buf_append_text(out, "\n");
    for (size_t row = 0; row < longest; row++) {
        for (uint32_t i = 0; i < count; i++) {
            char c = row < strlen(label[i]) ? label[i][row] : ' ';
            buf_append(out, &c, 1);
        }
        buf_append_text(out, "\n");
    }
}

static void reply_graph(struct command_ctx *ctx, enum latency_event event,
                        const struct history *h) {
    struct buf out = {0};
    uint32_t low = UINT32_MAX, high = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        low = h->samples[i].ms < low ? h->samples[i].ms : low;
        high = h->samples[i].ms > high ? h->samples[i].ms : high;
    }
    buf_printf(&out, "%s - high %u ms, low %u ms (all time high %u ms)\n",
               latency_event_names[event], high, low, h->max_ms);
    for (int i = 0; i < GRAPH_COLUMNS; i++)
        buf_append_text(&out, "-");
    buf_append_text(&out, "\n");
    for (uint32_t at = 0; at < h->count; at += GRAPH_COLUMNS)
        append_graph(&out, h->samples + at,
                     h->count - at < GRAPH_COLUMNS ? h->count - at : GRAPH_COLUMNS, low, high);
    reply_verbatim(&ctx->reply, "txt", buf_bytes(&out));
    buf_free(&out);
}

void cmd_latency_graph(struct command_ctx *ctx) {
    enum latency_event event;
    struct history h = {0};
    if (event_of(ctx->argv[2], &event))
        h = history_open(ctx, event);
    if (h.count > 0)
        reply_graph(ctx, event, &h);
    else
        reply_error_format(&ctx->reply, "ERR No samples available for event '%.*s'",
                           SHOWN(ctx->argv[2]));
    mem_free(h.samples);
}

/* ---- DOCTOR ---- */

static const char *const advice[LATENCY_EVENT_COUNT] = {
    [LATENCY_COMMAND] = "SLOWLOG GET shows which commands take long, and for whom.",
    [LATENCY_FAST_COMMAND] =
        "Commands that do little took long: the processor was busy with others, or memory was "
        "swapped out.",
    [LATENCY_FORK] = "Forks take longer the more memory a shard has: more workers make them "
                     "shorter. Transparent huge pages make them dearer.",
    [LATENCY_AOF_WRITE] = "The log's disk is slow or busy: look at write_path in INFO, and at "
                          "no-appendfsync-on-rewrite.",
    [LATENCY_EXPIRE_CYCLE] = "Many keys expire at once: spread their times.",
    [LATENCY_EVICTION_CYCLE] = "Keys are evicted faster than they can go: raise maxmemory, or "
                               "make big values smaller.",
};

static void append_diagnosis(struct buf *out, uint32_t number, enum latency_event event,
                             const struct history *h) {
    uint64_t sum = 0, deviation = 0;
    for (uint32_t i = 0; i < h->count; i++)
        sum += h->samples[i].ms;
    uint64_t average = sum / h->count;
    for (uint32_t i = 0; i < h->count; i++)
        deviation +=
            h->samples[i].ms > average ? h->samples[i].ms - average : average - h->samples[i].ms;
    double period =
        (double)(clock_wall_ms() / 1000 - (int64_t)h->samples[0].time_s) / (double)h->count;
    buf_printf(
        out,
        "%u. %s: %u latency spikes (average %llums, mean deviation %llums, period %.2f sec). "
        "Worst all time event %ums.\n",
        number, latency_event_names[event], h->count, (unsigned long long)average,
        (unsigned long long)(deviation / h->count), period, h->max_ms);
}

void cmd_latency_doctor(struct command_ctx *ctx) {
    struct buf out = {0}, hints = {0};
    uint32_t spikes = 0;
    for (int e = 0; e < LATENCY_EVENT_COUNT; e++) {
        struct history h = history_open(ctx, (enum latency_event)e);
        if (h.count > 0) {
            if (spikes++ == 0)
                buf_append_text(&out,
                                "Dave, I have observed latency spikes in this Redis "
                                "instance. You don't mind talking about it, do you Dave?\n\n");
            append_diagnosis(&out, spikes, (enum latency_event)e, &h);
            buf_printf(&hints, "- %s\n", advice[e]);
        }
        mem_free(h.samples);
    }
    if (spikes > 0) {
        buf_append_text(&out, "\nI have a few advices for you:\n\n");
        buf_append_bytes(&out, buf_bytes(&hints));
    } else if (ctx_config(ctx)->latency_monitor_threshold == 0) {
        buf_append_text(
            &out,
            "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this "
            "Redis instance. You may use \"CONFIG SET latency-monitor-threshold "
            "<milliseconds>.\" in order to enable it. If we weren't in a deep space mission I'd "
            "suggest to take a look at https://redis.io/topics/latency-monitor.\n");
    } else {
        buf_append_text(&out,
                        "Dave, no latency spike was observed during the lifetime of this Redis "
                        "instance, not in the slightest bit. I honestly think you ought to sit "
                        "down calmly, take a stress pill, and think things over.\n");
    }
    reply_verbatim(&ctx->reply, "txt", buf_bytes(&out));
    buf_free(&out);
    buf_free(&hints);
}

/* ---- HISTOGRAM ---- */

/* What Redis's histogram calls this bucket: its end in nanoseconds, to two digits, in microseconds. */
static int64_t bucket_us(uint32_t bucket) {
    int64_t ns = INT64_C(1024) << bucket;
    return (ns + ns / 128 - 1) / 1000;
}

static void read_histogram(const struct command_ctx *ctx, uint32_t command,
                           uint64_t counts_r[LATENCY_BUCKETS], uint64_t *calls_r) {
    struct pages pages = pages_for(ctx);
    *calls_r = 0;
    memset(counts_r, 0, LATENCY_BUCKETS * sizeof(*counts_r));
    for (uint32_t i = pages.first; i < pages.first + pages.count; i++) {
        const struct latency_page *page = segment_latency(ctx->env->segment, i);
        for (uint32_t b = 0; b < LATENCY_BUCKETS; b++) {
            uint64_t count = atomic_load(&page->histogram[command][b]);
            counts_r[b] += count;
            *calls_r += count;
        }
    }
}

/* false: it was never called. */
static bool reply_histogram(struct command_ctx *ctx, uint32_t command) {
    uint64_t counts[LATENCY_BUCKETS], calls, so_far = 0, told = 0;
    read_histogram(ctx, command, counts, &calls);
    if (calls == 0)
        return false;
    struct reply *r = &ctx->reply;
    reply_bulk_text(r, command_rows[command].name);
    reply_map(r, 2);
    reply_bulk_text(r, "calls");
    reply_integer(r, (int64_t)calls);
    reply_bulk_text(r, "histogram_usec");
    size_t mark = reply_mark(r);
    for (uint32_t b = 0; b < LATENCY_BUCKETS; b++) {
        so_far += counts[b];
        if (counts[b] == 0)
            continue;
        reply_integer(r, bucket_us(b));
        reply_integer(r, (int64_t)so_far);
        told++;
    }
    reply_close_map(r, mark, told);
    return true;
}

/* A command, or a container with all that it contains. */
static size_t reply_histograms(struct command_ctx *ctx, const struct command *c) {
    size_t told = reply_histogram(ctx, command_index(c));
    if (c->flags & CMD_CONTAINER)
        for (const struct command *sub = c + 1;
             sub < command_rows + command_count && command_container(sub) == c; sub++)
            told += reply_histogram(ctx, command_index(sub));
    return told;
}

void cmd_latency_histogram(struct command_ctx *ctx) {
    size_t mark = reply_mark(&ctx->reply), told = 0;
    for (uint32_t i = 2; i < ctx->argc; i++) {
        const struct command *c = command_by_name(ctx->argv[i]);
        if (c)
            told += reply_histograms(ctx, c);
    }
    for (uint32_t c = 0; ctx->argc == 2 && c < command_count; c++)
        told += reply_histogram(ctx, c);
    reply_close_map(&ctx->reply, mark, told);
}

void cmd_latency_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "GRAPH <event>",
        "    Return an ASCII latency graph for the <event> class.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the "
        "specified command names.",
        "    If no commands are specified then all histograms are replied.",
        NULL,
    };
    reply_help(ctx, "LATENCY", lines);
}
