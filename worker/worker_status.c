/* worker_status.c - what this worker tells all others about itself. */
#include "worker/command/latency.h"
#include "worker/worker.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

void worker_heartbeat(struct worker *w) {
    w->turns++;
    status_beat(w->status);
    /* The pool's maxmemory is judged by these: keep them fresh. */
    status_set(w->status, METRIC_used_memory_bytes, mem_used());
}

void worker_set_state(struct worker *w, enum child_state state) {
    atomic_store(&w->status->generation, w->env.generation);
    atomic_store(&w->status->state, (uint32_t)state);
}

static uint64_t rss_bytes(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(file);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t timeval_us(const struct timeval *tv) {
    return (uint64_t)tv->tv_sec * 1000000 + (uint64_t)tv->tv_usec;
}

static void refresh_process(struct worker *w) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    status_set(w->status, METRIC_uptime_us, clock_mono_us() - (uint64_t)w->started_us);
    status_set(w->status, METRIC_cpu_user_us, timeval_us(&usage.ru_utime));
    status_set(w->status, METRIC_cpu_sys_us, timeval_us(&usage.ru_stime));
    status_set(w->status, METRIC_rss_bytes, rss_bytes());
    status_set(w->status, METRIC_loop_turns, w->turns);
    status_set(w->status, METRIC_config_revision, w->config_revision);
}

static void refresh_keyspace(struct worker *w) {
    uint64_t keys = 0, expires = 0;
    for (uint32_t db = 0; db < keyspace_databases(w->ks); db++) {
        struct status_database *page = &w->status->databases[db];
        uint64_t count = keyspace_count(w->ks, db),
                 volatile_count = keyspace_expires_count(w->ks, db);
        atomic_store_explicit(&page->keys, count, memory_order_relaxed);
        atomic_store_explicit(&page->expires, volatile_count, memory_order_relaxed);
        atomic_store_explicit(&page->avg_ttl_ms, keyspace_avg_ttl_ms(w->ks, db),
                              memory_order_relaxed);
        keys += count;
        expires += volatile_count;
    }
    const struct keyspace_stats *stats = keyspace_stats(w->ks);
    status_set(w->status, METRIC_keys, keys);
    status_set(w->status, METRIC_keys_with_expiry, expires);
    status_set(w->status, METRIC_keyspace_hits, stats->hits);
    status_set(w->status, METRIC_keyspace_misses, stats->misses);
    status_set(w->status, METRIC_expired_keys, stats->expired);
    status_set(w->status, METRIC_expired_fields, stats->expired_fields);
    status_set(w->status, METRIC_evicted_keys, stats->evicted);
    status_set(w->status, METRIC_lazyfree_pending, keyspace_lazyfree_pending(w->ks));
    status_set(w->status, METRIC_lazyfreed, keyspace_lazyfreed(w->ks));
}

static void refresh_memory(struct worker *w) {
    uint64_t used = mem_used();
    if (used > w->used_memory_peak)
        w->used_memory_peak = used;
    status_set(w->status, METRIC_used_memory_bytes, used);
    status_set(w->status, METRIC_used_memory_peak_bytes, w->used_memory_peak);
}

static void refresh_feed(struct worker *w) {
    struct feed_view view = {0};
    if (w->feed != NULL)
        feed_view(w->feed, &view);
    status_set(w->status, METRIC_merged_replicas, view.replicas);
    status_set(w->status, METRIC_merged_offset, view.offset);
}

/* ---- the links of replication ---- */
static void tell_replica(struct replication_table *table, const struct replica_view *view,
                         bool merged) {
    if (table->replicas++ >= LINKS_SHOWN)
        return;
    struct replica_line *line = &table->replica[table->replicas - 1];
    *line = (struct replica_line){.port = view->port,
                                  .public_port = view->public_port,
                                  .merged = merged,
                                  .offset = view->offset,
                                  .behind_bytes = view->behind_bytes,
                                  .lag_s = view->lag_s};
    snprintf(line->address, sizeof line->address, "%s", view->address);
    snprintf(line->state, sizeof line->state, "%s", view->state);
}

static void tell_own(void *table, const struct replica_view *view) {
    tell_replica(table, view, false);
}

static void tell_merged(void *table, const struct replica_view *view) {
    tell_replica(table, view, true);
}

static void refresh_links(struct worker *w) {
    static struct replication_table table;
    uint32_t before = table.replicas + table.primaries;
    table.replicas = table.primaries = 0;
    primary_each(w->primary, tell_own, &table);
    if (w->feed != NULL)
        feed_each(w->feed, tell_merged, &table);
    follow_tell(w->follow, &table);
    if (before + table.replicas + table.primaries > 0)
        replication_page_write(segment_replication(&w->segment, w->env.shard), &table);
}

void worker_refresh_status(struct worker *w) {
    refresh_process(w);
    refresh_keyspace(w);
    refresh_memory(w);
    persist_refresh_status(w->persist);
    primary_refresh(w->primary);
    refresh_feed(w);
    follow_refresh(w->follow);
    refresh_links(w);
    router_refresh_status(w->router);
    clients_refresh_status(w->clients);
}

/* Commands a second over the last 1.6 s, as Redis samples it. */
static void sample_ops(struct worker *w) {
    uint64_t now_us = clock_mono_us(), count = status_get(w->status, METRIC_commands_processed);
    uint64_t elapsed_us = now_us - w->ops_last_us;
    if (elapsed_us > 0)
        w->ops_samples[w->cron_count % OPS_SAMPLES] =
            (count - w->ops_last_count) * 1000000 / elapsed_us;
    w->ops_last_count = count;
    w->ops_last_us = now_us;
    uint64_t sum = 0;
    for (int i = 0; i < OPS_SAMPLES; i++)
        sum += w->ops_samples[i];
    status_set(w->status, METRIC_commands_per_second, sum / OPS_SAMPLES);
}

void worker_cron_status(struct worker *w) {
    worker_refresh_status(w);
    uint64_t fork_us = status_get(w->status, METRIC_fork_last_us);
    if (fork_us != w->fork_us)
        latency_event(&w->env, LATENCY_FORK, fork_us);
    w->fork_us = fork_us;
    sample_ops(w);
    if (w->cron_count % 10 == 0) {
        status_set(w->status, METRIC_loop_turn_max_us, w->turn_max_us);
        w->turn_max_us = 0;
    }
}
