/* persist_info.c - what a shard says of its files: INFO persistence, and the metrics of its page. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"

#include <inttypes.h>

static const char *ok_or_err(bool ok) {
    return ok ? "ok" : "err";
}

static int64_t seconds_since(uint64_t since_us) {
    return (int64_t)((clock_mono_us() - since_us) / 1000000);
}

static void child_info(const struct persist *p, struct buf *out) {
    bool alive = snapshot_child_alive(&p->child);
    uint64_t keys = 0;
    for (uint32_t db = 0; db < keyspace_databases(p->ks); db++)
        keys += keyspace_count(p->ks, db);
    uint64_t done = alive ? p->child.keys : 0;
    buf_printf(out,
               "current_cow_size:%" PRIu64
               "\r\ncurrent_fork_perc:%.2f\r\ncurrent_save_keys_processed:%" PRIu64
               "\r\ncurrent_save_keys_total:%" PRIu64 "\r\n",
               alive ? p->child.cow_bytes : 0,
               alive && keys > 0 ? 100.0 * (double)done / (double)keys : 0.0, done,
               alive ? keys : 0);
}

static void snapshot_info(const struct persist *p, struct buf *out) {
    const struct snapshots *s = &p->snapshots;
    bool running = p->turn.running == FORK_SNAPSHOT;
    buf_printf(out,
               "rdb_changes_since_last_save:%" PRIu64 "\r\nrdb_bgsave_in_progress:%d\r\n"
               "rdb_last_save_time:%" PRId64 "\r\nrdb_last_bgsave_status:%s\r\n"
               "rdb_last_bgsave_time_sec:%" PRId64 "\r\nrdb_current_bgsave_time_sec:%" PRId64
               "\r\nrdb_saves:%" PRIu64 "\r\nrdb_last_cow_size:%" PRIu64 "\r\n"
               "rdb_last_load_keys_expired:%" PRIu64 "\r\nrdb_last_load_keys_loaded:%" PRIu64
               "\r\n",
               s->dirty, running, s->last_good_s, ok_or_err(s->last_ok), s->last_seconds,
               running ? seconds_since(p->child.started_us) : -1, s->count, s->last_cow_bytes,
               s->expired_on_load, s->loaded_keys);
}

static void log_info(const struct persist *p, struct buf *out) {
    const struct rewrite *w = &p->rewrite;
    buf_printf(out,
               "aof_enabled:%d\r\naof_rewrite_in_progress:%d\r\naof_rewrite_scheduled:%d\r\n"
               "aof_last_rewrite_time_sec:%" PRId64 "\r\naof_current_rewrite_time_sec:%" PRId64
               "\r\naof_last_bgrewrite_status:%s\r\naof_rewrites:%" PRIu64
               "\r\naof_rewrites_consecutive_failures:%" PRIu64 "\r\naof_last_write_status:%s\r\n"
               "aof_last_cow_size:%" PRIu64 "\r\n",
               p->log.state != LOG_OFF, w->active, w->scheduled, w->last_seconds,
               w->active ? seconds_since(w->started_us) : -1, ok_or_err(w->last_ok), w->count,
               w->failures, ok_or_err(p->aof.trouble == AOF_FINE), w->last_cow_bytes);
    if (!p->log.state != LOG_OFF)
        return;
    buf_printf(out,
               "aof_current_size:%" PRIu64 "\r\naof_base_size:%" PRIu64 "\r\n"
               "aof_pending_rewrite:0\r\naof_buffer_length:%zu\r\naof_pending_bio_fsync:%d\r\n"
               "aof_delayed_fsync:%" PRIu64 "\r\n",
               p->aof.total_bytes, p->rewrite.size_at_last, p->aof.pending.len, p->aof.syncing,
               status_get(p->status, METRIC_aof_delayed_fsyncs));
}

void persist_info(const struct persist *p, struct buf *out) {
    child_info(p, out);
    snapshot_info(p, out);
    log_info(p, out);
}

static void refresh_log(struct persist *p) {
    struct status_page *page = p->status;
    struct write_path path;
    persist_write_path(p, &path);
    status_set(page, METRIC_write_path_executed, path.executed);
    status_set(page, METRIC_write_path_written, path.written);
    status_set(page, METRIC_write_path_synced, path.synced);
    status_set(page, METRIC_write_path_written_age_us, path.written_age_us);
    status_set(page, METRIC_write_path_synced_age_us, path.synced_age_us);
    status_set(page, METRIC_aof_enabled, p->log.state != LOG_OFF);
    status_set(page, METRIC_aof_state_ok, p->aof.trouble == AOF_FINE);
    status_set(page, METRIC_aof_current_size_bytes, p->aof.total_bytes);
    status_set(page, METRIC_aof_base_size_bytes, p->aof.base_bytes);
    status_set(page, METRIC_aof_rewrite_in_progress, p->rewrite.active);
}

void persist_refresh_status(struct persist *p) {
    struct status_page *page = p->status;
    const struct snapshots *s = &p->snapshots;
    bool alive = snapshot_child_alive(&p->child);
    refresh_log(p);
    status_set(page, METRIC_dirty, s->dirty);
    status_set(page, METRIC_snapshot_in_progress, p->turn.running == FORK_SNAPSHOT);
    status_set(page, METRIC_snapshot_waiting, p->turn.wish != FORK_NOTHING);
    status_set(page, METRIC_snapshot_last_ok, s->last_ok);
    status_set(page, METRIC_snapshot_last_time_seconds, (uint64_t)s->last_good_s);
    status_set(page, METRIC_snapshot_last_us, s->last_us);
    status_set(page, METRIC_snapshot_cow_bytes, alive ? p->child.cow_bytes : s->last_cow_bytes);
    status_set(page, METRIC_fork_last_us, s->fork_us);
    status_set(page, METRIC_snapshots, s->count);
}
