/* cmd_info.c - INFO: a table of sections, each a function that writes its lines.
 *
 * On the public port the figures are those of the whole pool, added up over the status pages (the
 * router has had every worker refresh its page); on a node port they are this shard's. commandstats
 * and errorstats are this worker's own. What Redis has and a pool cannot know is left out, or 0
 * where a client may look for it. */
#include "worker/command/server_private.h"

#include "shared/base/clock.h"
#include "worker/command/error_stats.h"

#include <stdio.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { US_PER_SECOND = 1000000, SECONDS_PER_DAY = 86400 };

/* The pages that are added up: workers first .. first+count-1. */
struct info {
    struct command_ctx *ctx;
    struct buf *out;
    uint32_t first, count;
    bool pool; /* the whole pool */
};

/* ---- figures ---- */

static const struct status_page *page_of(const struct info *info, uint32_t i) {
    const struct command_env *env = info->ctx->env;
    return env->segment != NULL ? segment_status(env->segment, info->first + i) : env->status;
}

static uint64_t sum(const struct info *info, enum metric metric) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < info->count; i++)
        total += status_get(page_of(info, i), metric);
    return total;
}

/* Since CONFIG RESETSTAT. */
static uint64_t sum_counted(const struct info *info, enum metric metric) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < info->count; i++)
        total += status_get_counted(page_of(info, i), metric);
    return total;
}

static uint64_t largest(const struct info *info, enum metric metric) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < info->count; i++) {
        uint64_t value = status_get(page_of(info, i), metric);
        most = value > most ? value : most;
    }
    return most;
}

static uint64_t smallest(const struct info *info, enum metric metric) {
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < info->count; i++) {
        uint64_t value = status_get(page_of(info, i), metric);
        least = value < least ? value : least;
    }
    return least;
}

/* A figure of the supervisor and the front, who have pages of their own, counted with the pool. */
static uint64_t sum_helpers(const struct info *info, enum metric metric) {
    const struct segment *segment = info->ctx->env->segment;
    if (!info->pool || segment == NULL)
        return 0;
    return status_get(segment_status(segment, segment_front_index(segment->workers)), metric) +
           status_get(segment_status(segment, segment_supervisor_index(segment->workers)), metric);
}

static void put(const struct info *info, const char *name, uint64_t value) {
    buf_printf(info->out, "%s:%llu\r\n", name, (unsigned long long)value);
}

static void put_text(const struct info *info, const char *name, const char *value) {
    buf_printf(info->out, "%s:%s\r\n", name, value);
}

static void put_status(const struct info *info, const char *name, bool ok) {
    put_text(info, name, ok ? "ok" : "err");
}

/* The figure and a line name_human, as "1015.57K". */
static void put_memory(const struct info *info, const char *name, uint64_t bytes) {
    static const char units[] = {'B', 'K', 'M', 'G', 'T', 'P'};
    put(info, name, bytes);
    if (bytes < 1024) {
        buf_printf(info->out, "%s_human:%lluB\r\n", name, (unsigned long long)bytes);
        return;
    }
    double scaled = (double)bytes;
    size_t unit = 0;
    for (; scaled >= 1024 && unit < sizeof(units) - 1; unit++)
        scaled /= 1024;
    buf_printf(info->out, "%s_human:%.2f%c\r\n", name, scaled, units[unit]);
}

/* Rows of figures that need no thought: a sum, the sum since CONFIG RESETSTAT, the largest value, or
 * a constant 0. */
enum figure_kind { FIGURE_SUM, FIGURE_COUNTED, FIGURE_LARGEST, FIGURE_ZERO };
struct figure {
    const char *name;
    enum figure_kind kind;
    enum metric metric;
};

static void put_figures(const struct info *info, const struct figure *figures, size_t count) {
    for (size_t i = 0; i < count; i++) {
        uint64_t value = 0;
        if (figures[i].kind == FIGURE_SUM)
            value = sum(info, figures[i].metric);
        else if (figures[i].kind == FIGURE_COUNTED)
            value = sum_counted(info, figures[i].metric);
        else if (figures[i].kind == FIGURE_LARGEST)
            value = largest(info, figures[i].metric);
        put(info, figures[i].name, value);
    }
}
#define PUT_FIGURES(info, figures) put_figures(info, figures, sizeof(figures) / sizeof(figures[0]))

/* ---- sections ---- */

static void put_executable(const struct info *info) {
    char path[512];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    put_text(info, "executable", path);
}

static void put_process(const struct info *info) {
    const struct command_env *env = info->ctx->env;
    const struct segment *segment = env->segment;
    uint64_t pid = (uint64_t)getpid(), uptime_s, port = (uint64_t)env->config->port;
    int64_t started_ms = env->loaded_wall_ms;
    if (info->pool && segment != NULL) {
        uint32_t supervisor = segment_supervisor_index(segment->workers);
        pid = atomic_load(&segment_status(segment, supervisor)->pid);
        started_ms = segment->header->started_wall_ms;
    }
    if (!info->pool && segment != NULL)
        port = segment->slots->port[env->shard];
    int64_t now_us = clock_wall_us();
    uptime_s = now_us / 1000 > started_ms ? (uint64_t)(now_us / 1000 - started_ms) / 1000 : 0;
    put(info, "process_id", pid);
    put_text(info, "process_supervised", "no");
    put_text(info, "run_id", segment != NULL ? segment->header->run_id : "");
    put(info, "tcp_port", port);
    put(info, "server_time_usec", (uint64_t)now_us);
    put(info, "uptime_in_seconds", uptime_s);
    put(info, "uptime_in_days", uptime_s / SECONDS_PER_DAY);
    put(info, "hz", (uint64_t)env->config->hz);
    put(info, "configured_hz", (uint64_t)env->config->hz);
    put(info, "lru_clock", (uint64_t)(now_us / US_PER_SECOND) & 0xffffff);
}

static void section_server(const struct info *info) {
    struct utsname os;
    put_text(info, "redis_version", REDIS_COMPAT_VERSION);
    put_text(info, "redis_git_sha1", "00000000");
    put_text(info, "redis_git_dirty", "0");
    put_text(info, "redis_build_id", "0");
    put_text(info, "redis_mode", info->pool ? "standalone" : "cluster");
    if (uname(&os) == 0)
        buf_printf(info->out, "os:%s %s %s\r\n", os.sysname, os.release, os.machine);
    put(info, "arch_bits", sizeof(void *) * 8);
    put_text(info, "monotonic_clock", "POSIX clock_gettime");
    put_text(info, "multiplexing_api", "epoll");
    put_text(info, "atomicvar_api", "c11-builtin");
    buf_printf(info->out, "gcc_version:%d.%d.%d\r\n", __GNUC__, __GNUC_MINOR__,
               __GNUC_PATCHLEVEL__);
    put_process(info);
    put_executable(info);
    put_text(info, "config_file", "");
    put(info, "io_threads_active", 0);
}

static void section_clients(const struct info *info) {
    put(info, "connected_clients", sum(info, METRIC_connected_clients));
    put(info, "cluster_connections", 0);
    put(info, "maxclients", (uint64_t)ctx_config(info->ctx)->maxclients);
    static const struct figure figures[] = {
        {"client_recent_max_input_buffer", FIGURE_ZERO, 0},
        {"client_recent_max_output_buffer", FIGURE_ZERO, 0},
        {"blocked_clients", FIGURE_SUM, METRIC_blocked_clients},
        {"tracking_clients", FIGURE_ZERO, 0},
        {"clients_in_timeout_table", FIGURE_ZERO, 0},
    };
    PUT_FIGURES(info, figures);
}

static void section_memory(const struct info *info) {
    const struct config *config = ctx_config(info->ctx);
    uint64_t used = sum(info, METRIC_used_memory_bytes);
    uint64_t rss = sum(info, METRIC_rss_bytes) + sum_helpers(info, METRIC_rss_bytes);
    uint64_t peak = sum(info, METRIC_used_memory_peak_bytes);
    struct sysinfo system = {0};
    struct buf policy = {0};
    peak = peak > used ? peak : used;
    put_memory(info, "used_memory", used);
    put_memory(info, "used_memory_rss", rss);
    put_memory(info, "used_memory_peak", peak);
    buf_printf(info->out, "used_memory_peak_perc:%.2f%%\r\n",
               peak > 0 ? (double)used / (double)peak * 100 : 0.0);
    if (sysinfo(&system) == 0)
        put_memory(info, "total_system_memory", (uint64_t)system.totalram * system.mem_unit);
    put_memory(info, "used_memory_lua", 0);
    put_memory(info, "used_memory_scripts", 0);
    put_memory(info, "maxmemory", (uint64_t)config->maxmemory);
    config_get(config, option_find(BYTES_LITERAL("maxmemory-policy")), &policy);
    buf_printf(info->out, "maxmemory_policy:%.*s\r\n", (int)policy.len, policy.data);
    buf_free(&policy);
    buf_printf(info->out, "mem_fragmentation_ratio:%.2f\r\nmem_fragmentation_bytes:%lld\r\n",
               used > 0 ? (double)rss / (double)used : 0.0, (long long)(rss - used));
    put_text(info, "mem_allocator", "jemalloc");
    static const struct figure figures[] = {
        {"active_defrag_running", FIGURE_ZERO, 0},
        {"lazyfree_pending_objects", FIGURE_SUM, METRIC_lazyfree_pending},
        {"lazyfreed_objects", FIGURE_SUM, METRIC_lazyfreed},
    };
    PUT_FIGURES(info, figures);
}

/* ---- persistence: Redis's fields in its order, then ours ---- */
static uint32_t count_loading(const struct info *info) {
    uint32_t loading = 0;
    for (uint32_t i = 0; i < info->count; i++)
        loading += atomic_load(&page_of(info, i)->state) == CHILD_LOADING;
    return loading;
}

static double percent(uint64_t done, uint64_t total) {
    return total > 0 ? (double)done / (double)total * 100 : 0.0;
}

static void put_loading(const struct info *info) {
    uint32_t loading = count_loading(info);
    put(info, "loading", loading > 0);
    put(info, "async_loading", 0);
    if (loading == 0)
        return;
    uint64_t total = sum(info, METRIC_load_total_bytes), done = sum(info, METRIC_load_done_bytes);
    uint64_t speed = sum(info, METRIC_load_bytes_per_second);
    put(info, "loading_start_time", largest(info, METRIC_load_started_time_seconds));
    put(info, "loading_total_bytes", total);
    put(info, "loading_rdb_used_mem", 0);
    put(info, "loading_loaded_bytes", done);
    buf_printf(info->out, "loading_loaded_perc:%.2f\r\n", percent(done, total));
    put(info, "loading_eta_seconds", speed > 0 && total > done ? (total - done) / speed : 0);
    put(info, "loading_bytes_per_sec", speed);
}

static void put_children(const struct info *info) {
    uint64_t done = sum(info, METRIC_save_keys_done), total = sum(info, METRIC_save_keys_expected);
    put(info, "current_cow_peak", sum(info, METRIC_save_cow_peak_bytes));
    put(info, "current_cow_size", sum(info, METRIC_save_cow_bytes));
    put(info, "current_cow_size_age", largest(info, METRIC_save_cow_age_us) / US_PER_SECOND);
    buf_printf(info->out, "current_fork_perc:%.2f\r\n", percent(done, total));
    put(info, "current_save_keys_processed", done);
    put(info, "current_save_keys_total", total);
}

/* Seconds, or -1 if it never was. */
static void put_duration(const struct info *info, const char *name, bool any, uint64_t us) {
    buf_printf(info->out, "%s:%lld\r\n", name, any ? (long long)(us / US_PER_SECOND) : -1LL);
}

/* How long the children have been at it that write logs, or those that write snapshots. */
static uint64_t longest_save(const struct info *info, bool of_log) {
    enum { KIND_LOG = 2 };
    uint64_t most = 0;
    for (uint32_t i = 0; i < info->count; i++) {
        const struct status_page *page = page_of(info, i);
        uint64_t us = status_get(page, METRIC_save_us);
        if ((status_get(page, METRIC_save_kind) == KIND_LOG) == of_log && us > most)
            most = us;
    }
    return most;
}

static void put_snapshots(const struct info *info) {
    uint64_t last_us = largest(info, METRIC_snapshot_last_us);
    bool in_progress = largest(info, METRIC_snapshot_in_progress) != 0;
    put(info, "rdb_changes_since_last_save", sum(info, METRIC_dirty));
    put(info, "rdb_bgsave_in_progress", in_progress);
    put(info, "rdb_last_save_time", smallest(info, METRIC_snapshot_last_time_seconds));
    put_status(info, "rdb_last_bgsave_status", smallest(info, METRIC_snapshot_last_ok) == 1);
    put_duration(info, "rdb_last_bgsave_time_sec", last_us > 0, last_us);
    put_duration(info, "rdb_current_bgsave_time_sec", in_progress, longest_save(info, false));
    static const struct figure figures[] = {
        {"rdb_saves", FIGURE_SUM, METRIC_snapshots},
        {"rdb_last_cow_size", FIGURE_SUM, METRIC_snapshot_cow_bytes},
        {"rdb_last_load_keys_expired", FIGURE_SUM, METRIC_loaded_expired_keys},
        {"rdb_last_load_keys_loaded", FIGURE_SUM, METRIC_loaded_keys},
    };
    PUT_FIGURES(info, figures);
}

static void put_log_sizes(const struct info *info) {
    static const struct figure figures[] = {
        {"aof_current_size", FIGURE_SUM, METRIC_aof_current_size_bytes},
        {"aof_base_size", FIGURE_SUM, METRIC_aof_base_size_bytes},
        {"aof_pending_rewrite", FIGURE_ZERO, 0},
    };
    PUT_FIGURES(info, figures);
    put(info, "aof_buffer_length",
        sum(info, METRIC_write_path_executed) - sum(info, METRIC_write_path_written));
    put(info, "aof_pending_bio_fsync", sum(info, METRIC_aof_fsync_in_flight));
    put(info, "aof_delayed_fsync", sum(info, METRIC_aof_delayed_fsyncs));
}

static void put_log(const struct info *info) {
    uint64_t last_us = largest(info, METRIC_aof_rewrite_last_us);
    bool in_progress = largest(info, METRIC_aof_rewrite_in_progress) != 0;
    bool enabled = largest(info, METRIC_aof_enabled) != 0;
    put(info, "aof_enabled", enabled);
    put(info, "aof_rewrite_in_progress", in_progress);
    put(info, "aof_rewrite_scheduled", largest(info, METRIC_aof_rewrite_scheduled));
    put_duration(info, "aof_last_rewrite_time_sec", last_us > 0, last_us);
    put_duration(info, "aof_current_rewrite_time_sec", in_progress, longest_save(info, true));
    put_status(info, "aof_last_bgrewrite_status", smallest(info, METRIC_aof_rewrite_last_ok) == 1);
    put(info, "aof_rewrites", sum(info, METRIC_aof_rewrites));
    put(info, "aof_rewrites_consecutive_failures", largest(info, METRIC_aof_rewrite_failures));
    put_status(info, "aof_last_write_status", !enabled || smallest(info, METRIC_aof_state_ok) == 1);
    put(info, "aof_last_cow_size", sum(info, METRIC_aof_rewrite_cow_bytes));
    put(info, "module_fork_in_progress", 0);
    put(info, "module_fork_last_cow_size", 0);
    if (enabled)
        put_log_sizes(info);
}

/* The shard that waits for the worst reason speaks for all. */
static void put_wait(const struct info *info) {
    const struct status_page *worst = page_of(info, 0);
    for (uint32_t i = 1; i < info->count; i++)
        if (atomic_load(&page_of(info, i)->fork_wait) > atomic_load(&worst->fork_wait))
            worst = page_of(info, i);
    put_text(info, "fork_wait", fork_wait_name(atomic_load(&worst->fork_wait)));
    put(info, "fork_needed_bytes", atomic_load(&worst->fork_needed_bytes));
    put(info, "fork_free_bytes", atomic_load(&worst->fork_free_bytes));
}

static void section_persistence(const struct info *info) {
    static const struct figure progress[] = {
        {"current_save_bytes", FIGURE_SUM, METRIC_save_bytes_done},
        {"current_save_bytes_per_sec", FIGURE_SUM, METRIC_save_bytes_per_second},
    };
    put_loading(info);
    put_children(info);
    put_snapshots(info);
    put_log(info);
    PUT_FIGURES(info, progress);
    put_wait(info);
}

static void section_stats(const struct info *info) {
    static const struct figure first[] = {
        {"total_connections_received", FIGURE_COUNTED, METRIC_connections_received},
        {"total_commands_processed", FIGURE_COUNTED, METRIC_commands_processed},
        {"instantaneous_ops_per_sec", FIGURE_COUNTED, METRIC_commands_per_second},
        {"total_net_input_bytes", FIGURE_COUNTED, METRIC_net_input_bytes},
        {"total_net_output_bytes", FIGURE_COUNTED, METRIC_net_output_bytes},
        {"total_net_repl_input_bytes", FIGURE_ZERO, 0},
        {"total_net_repl_output_bytes", FIGURE_ZERO, 0},
    };
    static const struct figure rest[] = {
        {"sync_full", FIGURE_COUNTED, METRIC_replica_full_syncs},
        {"sync_partial_ok", FIGURE_COUNTED, METRIC_replica_partial_syncs},
        {"sync_partial_err", FIGURE_COUNTED, METRIC_replica_partial_syncs_refused},
        {"expired_keys", FIGURE_COUNTED, METRIC_expired_keys},
        {"expired_subkeys", FIGURE_COUNTED, METRIC_expired_fields},
        {"evicted_keys", FIGURE_COUNTED, METRIC_evicted_keys},
        {"evicted_clients", FIGURE_ZERO, 0},
        {"keyspace_hits", FIGURE_COUNTED, METRIC_keyspace_hits},
        {"keyspace_misses", FIGURE_COUNTED, METRIC_keyspace_misses},
        {"pubsub_channels", FIGURE_ZERO, 0},
        {"pubsub_patterns", FIGURE_ZERO, 0},
        {"pubsubshard_channels", FIGURE_ZERO, 0},
        {"latest_fork_usec", FIGURE_LARGEST, METRIC_fork_last_us},
        {"total_forks", FIGURE_COUNTED, METRIC_snapshots},
        {"migrate_cached_sockets", FIGURE_ZERO, 0},
        {"tracking_total_keys", FIGURE_ZERO, 0},
        {"tracking_total_items", FIGURE_ZERO, 0},
        {"tracking_total_prefixes", FIGURE_ZERO, 0},
        {"unexpected_error_replies", FIGURE_ZERO, 0},
        {"total_error_replies", FIGURE_COUNTED, METRIC_error_replies},
    };
    PUT_FIGURES(info, first);
    put(info, "rejected_connections",
        sum_counted(info, METRIC_connections_rejected) +
            sum_helpers(info, METRIC_connections_rejected));
    PUT_FIGURES(info, rest);
}

/* Seconds, or -1 if it never was. */
static void put_ago(const struct info *info, const char *name, uint64_t ms) {
    buf_printf(info->out, "%s:%lld\r\n", name, ms > 0 ? (long long)(ms / 1000) : -1LL);
}

/* With the primary that is followed. The link is up when all links of the pool are. */
static void put_role(const struct info *info) {
    const struct config *config = ctx_config(info->ctx);
    char host[320] = "", port[16] = "";
    bool up = info->ctx->env->primary_is_up;
    uint64_t total = sum(info, METRIC_primary_sync_total_bytes);
    uint64_t done = sum(info, METRIC_primary_sync_done_bytes);
    bool transfer =
        !up && (sum(info, METRIC_primary_transfers) > 0 || sum(info, METRIC_primary_syncing) > 0);
    if (config->replicaof[0] == '\0') {
        put_text(info, "role", "master");
        return;
    }
    (void)!sscanf(config->replicaof, "%319s %15s", host, port);
    put_text(info, "role", "slave");
    put_text(info, "master_host", host);
    put_text(info, "master_port", port);
    put_text(info, "master_link_status", up ? "up" : "down");
    buf_printf(info->out, "master_last_io_seconds_ago:%lld\r\n",
               up ? (long long)(largest(info, METRIC_primary_silent_ms) / 1000) : -1LL);
    put(info, "master_sync_in_progress", transfer);
    put(info, "slave_read_repl_offset", sum(info, METRIC_primary_offset));
    put(info, "slave_repl_offset", sum(info, METRIC_primary_offset));
    if (transfer) {
        put(info, "master_sync_total_bytes", total);
        put(info, "master_sync_read_bytes", done);
        /* Of a snapshot that a mark ends the total is 0: the rest is said as Redis says it. */
        buf_printf(info->out, "master_sync_left_bytes:%lld\r\n",
                   (long long)total - (long long)done);
        buf_printf(info->out, "master_sync_perc:%.2f\r\n", percent(done, total));
        put(info, "master_sync_last_io_seconds_ago",
            largest(info, METRIC_primary_silent_ms) / 1000);
    }
    if (!up)
        put_ago(info, "master_link_down_since_seconds", largest(info, METRIC_primary_down_ms));
    put(info, "slave_priority", (uint64_t)config->replica_priority);
    put(info, "slave_read_only", config->replica_read_only);
    put(info, "replica_announced", config->replica_announced);
}

/* One line a link, as far as they are shown: names that Redis has not, values as those of slave0. */
static void put_shard_links(const struct info *info, uint32_t shard,
                            const struct replication_table *links) {
    for (uint32_t i = 0; i < links_shown(links->replicas); i++) {
        const struct replica_line *r = &links->replica[i];
        buf_printf(info->out,
                   "%s%u_replica%u:ip=%s,port=%u,public_port=%u,state=%s,offset=%llu,behind=%llu,"
                   "lag=%lld\r\n",
                   r->merged ? "merged" : "shard", r->merged ? 0 : shard, i, r->address, r->port,
                   r->public_port, r->state, (unsigned long long)r->offset,
                   (unsigned long long)r->behind_bytes, (long long)r->lag_s);
    }
    for (uint32_t i = 0; i < links_shown(links->primaries); i++) {
        const struct primary_line *p = &links->primary[i];
        buf_printf(info->out,
                   "shard%u_primary%u:ip=%s,port=%u,state=%s,offset=%llu,last_io=%lld,full=%llu,"
                   "partial=%llu\r\n",
                   shard, i, p->address, p->port, p->state, (unsigned long long)p->offset,
                   (long long)p->last_heard_s, (unsigned long long)p->full_syncs,
                   (unsigned long long)p->partial_syncs);
    }
}

static void put_links(const struct info *info) {
    static struct replication_table links;
    const struct segment *segment = info->ctx->env->segment;
    for (uint32_t i = 0; segment != NULL && i < segment->workers; i++) {
        const struct status_page *page = segment_status(segment, i);
        (void)replication_page_read(segment_replication(segment, i), &links);
        buf_printf(info->out, "shard%u_replication:offset=%llu,replicas=%u,acknowledged=%llu\r\n",
                   i, (unsigned long long)status_get(page, METRIC_replication_offset),
                   links.replicas,
                   (unsigned long long)status_get(page, METRIC_write_path_replicated));
        put_shard_links(info, i, &links);
    }
}

/* A shard's own; for the pool the figures that add up. */
static void section_replication(const struct info *info) {
    const struct segment *segment = info->ctx->env->segment;
    const struct primary *primary = info->ctx->env->primary;
    bool is_whole_pool = segment != NULL && segment->workers == 1;
    put_role(info);
    if ((!info->pool || is_whole_pool) && primary != NULL) {
        replication_info(info->ctx, info->out);
        return;
    }
    put(info, "connected_slaves",
        sum(info, METRIC_connected_replicas) + sum(info, METRIC_merged_replicas));
    put_text(info, "master_failover_state", failover_state_name(segment));
    put_text(info, "master_replid", segment != NULL ? segment->header->run_id : "");
    put_text(info, "master_replid2", "0000000000000000000000000000000000000000");
    put(info, "master_repl_offset", sum(info, METRIC_replication_offset));
    put_text(info, "second_repl_offset", "-1");
    put(info, "repl_backlog_active", 0);
    put(info, "repl_backlog_size", (uint64_t)ctx_config(info->ctx)->repl_backlog_size);
    put(info, "repl_backlog_first_byte_offset", 0);
    put(info, "repl_backlog_histlen", 0);
    put_links(info);
}

static void put_seconds(const struct info *info, const char *name, uint64_t us) {
    buf_printf(info->out, "%s:%llu.%06llu\r\n", name, (unsigned long long)(us / US_PER_SECOND),
               (unsigned long long)(us % US_PER_SECOND));
}

/* Of all processes of the pool, the supervisor and the front included. */
static void section_cpu(const struct info *info) {
    put_seconds(info, "used_cpu_sys",
                sum(info, METRIC_cpu_sys_us) + sum_helpers(info, METRIC_cpu_sys_us));
    put_seconds(info, "used_cpu_user",
                sum(info, METRIC_cpu_user_us) + sum_helpers(info, METRIC_cpu_user_us));
}

static void section_modules(const struct info *info) {
    (void)info;
}

static void section_commandstats(const struct info *info) {
    for (uint32_t i = 0; i < command_count; i++) {
        const struct command_stats *s = &execute_stats()[i];
        if (s->calls == 0 && s->rejected_calls == 0 && s->failed_calls == 0)
            continue;
        buf_printf(info->out,
                   "cmdstat_%s:calls=%llu,usec=%llu,usec_per_call=%.2f,rejected_calls=%llu,"
                   "failed_calls=%llu\r\n",
                   command_rows[i].name, (unsigned long long)s->calls, (unsigned long long)s->usec,
                   s->calls > 0 ? (double)s->usec / (double)s->calls : 0.0,
                   (unsigned long long)s->rejected_calls, (unsigned long long)s->failed_calls);
    }
}

static void section_errorstats(const struct info *info) {
    uint32_t count;
    const struct error_stat *rows = error_stats(&count);
    for (uint32_t i = 0; i < count; i++)
        buf_printf(info->out, "errorstat_%s:count=%llu\r\n", rows[i].code,
                   (unsigned long long)rows[i].count);
}

static void section_cluster(const struct info *info) {
    put(info, "cluster_enabled", !info->pool);
}

static void section_keyspace(const struct info *info) {
    for (uint32_t db = 0; db < keyspace_databases(info->ctx->ks); db++) {
        uint64_t keys = 0, expires = 0, ttl_sum = 0;
        for (uint32_t i = 0; i < info->count; i++) {
            const struct status_database *of = &page_of(info, i)->databases[db];
            uint64_t volatile_keys = atomic_load(&of->expires);
            keys += atomic_load(&of->keys);
            expires += volatile_keys;
            ttl_sum += volatile_keys * atomic_load(&of->avg_ttl_ms);
        }
        if (keys > 0)
            buf_printf(info->out, "db%u:keys=%llu,expires=%llu,avg_ttl=%llu\r\n", db,
                       (unsigned long long)keys, (unsigned long long)expires,
                       (unsigned long long)(expires > 0 ? ttl_sum / expires : 0));
    }
}

/* ---- the section of our own ---- */

static void put_shard(const struct info *info, uint32_t shard, const struct status_page *page) {
    const struct slot_map *slots = info->ctx->env->segment->slots;
    buf_printf(info->out,
               "shard%u:state=%s,pid=%u,generation=%u,restarts=%u,slots=%u-%u,clients=%llu,"
               "keys=%llu,used_memory=%llu,ops_per_sec=%llu\r\n",
               shard, child_state_name((enum child_state)atomic_load(&page->state)),
               atomic_load(&page->pid), atomic_load(&page->generation),
               atomic_load(&page->restarts), slots->first[shard], slots->first[shard + 1] - 1,
               (unsigned long long)status_get(page, METRIC_connected_clients),
               (unsigned long long)status_get(page, METRIC_keys),
               (unsigned long long)status_get(page, METRIC_used_memory_bytes),
               (unsigned long long)status_get(page, METRIC_commands_per_second));
}

static void section_pool(const struct info *info) {
    static const struct figure figures[] = {
        {"commands_executed", FIGURE_SUM, METRIC_commands_executed},
        {"commands_relayed", FIGURE_SUM, METRIC_commands_relayed},
        {"relay_requests_sent", FIGURE_SUM, METRIC_relay_requests_sent},
        {"relay_requests_served", FIGURE_SUM, METRIC_relay_requests_served},
        {"relay_backlog_bytes", FIGURE_SUM, METRIC_relay_backlog_bytes},
        {"relay_waiting", FIGURE_SUM, METRIC_relay_waiting},
        {"relay_failed", FIGURE_SUM, METRIC_relay_failed},
        {"relay_stale_dropped", FIGURE_SUM, METRIC_relay_stale_dropped},
        {"gathers", FIGURE_SUM, METRIC_gathers},
        {"doorbells_rung", FIGURE_SUM, METRIC_doorbells_rung},
        {"write_path_executed", FIGURE_SUM, METRIC_write_path_executed},
        {"write_path_written", FIGURE_SUM, METRIC_write_path_written},
        {"write_path_synced", FIGURE_SUM, METRIC_write_path_synced},
        {"write_path_written_age_us", FIGURE_LARGEST, METRIC_write_path_written_age_us},
        {"write_path_synced_age_us", FIGURE_LARGEST, METRIC_write_path_synced_age_us},
        {"config_revision", FIGURE_LARGEST, METRIC_config_revision},
    };
    const struct segment *segment = info->ctx->env->segment;
    if (segment == NULL)
        return;
    put_text(info, "pool_id", segment->header->pool_id);
    put(info, "pool_workers", segment->workers);
    put(info, "pool_worker_port_base", segment->slots->port[0]);
    put(info, "pool_answered_by", info->ctx->env->shard);
    PUT_FIGURES(info, figures);
    for (uint32_t i = 0; i < info->count; i++)
        put_shard(info, info->first + i, page_of(info, i));
}

enum section_when { IN_DEFAULT, IN_ALL, IN_EVERYTHING };
static const struct {
    const char *name, *heading;
    void (*write)(const struct info *info);
    enum section_when when;
} sections[] = {
    {"server", "Server", section_server, IN_DEFAULT},
    {"clients", "Clients", section_clients, IN_DEFAULT},
    {"memory", "Memory", section_memory, IN_DEFAULT},
    {"persistence", "Persistence", section_persistence, IN_DEFAULT},
    {"stats", "Stats", section_stats, IN_DEFAULT},
    {"replication", "Replication", section_replication, IN_DEFAULT},
    {"cpu", "CPU", section_cpu, IN_DEFAULT},
    {"modules", "Modules", section_modules, IN_DEFAULT},
    {"commandstats", "Commandstats", section_commandstats, IN_ALL},
    {"errorstats", "Errorstats", section_errorstats, IN_DEFAULT},
    {"cluster", "Cluster", section_cluster, IN_DEFAULT},
    {"pool", "Pool", section_pool, IN_DEFAULT},
    {"keyspace", "Keyspace", section_keyspace, IN_DEFAULT},
};
enum { SECTIONS = sizeof(sections) / sizeof(sections[0]) };

static bool section_wanted(const struct command_ctx *ctx, size_t section) {
    static const char *const groups[] = {"default", "all", "everything"};
    if (ctx->argc == 1)
        return sections[section].when == IN_DEFAULT;
    for (uint32_t i = 1; i < ctx->argc; i++) {
        if (bytes_equal_nocase(ctx->argv[i], sections[section].name))
            return true;
        for (int group = IN_DEFAULT; group <= IN_EVERYTHING; group++)
            if (sections[section].when <= (enum section_when)group &&
                bytes_equal_nocase(ctx->argv[i], groups[group]))
                return true;
    }
    return false;
}

void cmd_info(struct command_ctx *ctx) {
    struct command_env *env = ctx->env;
    struct buf text = {0};
    struct info info = {.ctx = ctx, .out = &text, .pool = !ctx_is_node(ctx), .count = 1};
    if (env->segment != NULL) {
        info.first = info.pool ? 0 : env->shard;
        info.count = info.pool ? env->segment->workers : 1;
    }
    if (env->refresh_status != NULL)
        env->refresh_status(env->upper);
    for (size_t i = 0; i < SECTIONS; i++) {
        if (!section_wanted(ctx, i))
            continue;
        buf_printf(&text, "%s# %s\r\n", text.len > 0 ? "\r\n" : "", sections[i].heading);
        sections[i].write(&info);
    }
    reply_verbatim(&ctx->reply, "txt", buf_bytes(&text));
    buf_free(&text);
}
