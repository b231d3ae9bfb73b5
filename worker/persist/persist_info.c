/* persist_info.c - what a shard says of its files: the metrics of its page, which INFO, /status and
 * /metrics show. */
#include "worker/persist/persist_private.h"

#include "shared/base/clock.h"

static void refresh_write_path(struct persist *p) {
    struct status_page *page = p->status;
    struct write_path path;
    persist_write_path(p, &path);
    status_set(page, METRIC_write_path_executed, path.executed);
    status_set(page, METRIC_write_path_written, path.written);
    status_set(page, METRIC_write_path_synced, path.synced);
    status_set(page, METRIC_write_path_written_age_us, path.written_age_us);
    status_set(page, METRIC_write_path_synced_age_us, path.synced_age_us);
}

/* Of the shard's own log. A temporary one is nobody's business here. */
static void refresh_log(struct persist *p) {
    struct status_page *page = p->status;
    const struct rewrite *w = &p->rewrite;
    bool own = !p->log.temporary, wanted = p->config->appendonly;
    bool in_progress = own && (w->active || p->turn.wish == FORK_REWRITE);
    bool coming = wanted && !p->loading && p->log.state != LOG_ON;
    status_set(page, METRIC_aof_enabled, wanted);
    status_set(page, METRIC_aof_state_ok, p->aof.trouble == AOF_FINE || !persist_log_is_truth(p));
    status_set(page, METRIC_aof_current_size_bytes, own ? p->aof.total_bytes : 0);
    status_set(page, METRIC_aof_base_size_bytes, own ? w->size_at_last : 0);
    status_set(page, METRIC_aof_fsync_in_flight, p->aof.syncing);
    status_set(page, METRIC_aof_rewrite_in_progress, in_progress);
    status_set(page, METRIC_aof_rewrite_scheduled, !in_progress && (w->scheduled || coming));
    status_set(page, METRIC_aof_rewrites, w->count);
    status_set(page, METRIC_aof_rewrite_failures, w->failures);
    status_set(page, METRIC_aof_rewrite_last_ok, w->last_ok);
    status_set(page, METRIC_aof_rewrite_last_us, w->last_us);
    status_set(page, METRIC_aof_rewrite_cow_bytes, w->last_cow_bytes);
}

static void refresh_snapshots(struct persist *p) {
    struct status_page *page = p->status;
    const struct snapshots *s = &p->snapshots;
    /* From the accepted BGSAVE to its end: who polls for the end must not see a gap. */
    bool in_progress = persist_snapshot_busy(p) || s->scheduled;
    status_set(page, METRIC_dirty, s->dirty);
    status_set(page, METRIC_snapshot_in_progress, in_progress);
    status_set(page, METRIC_snapshot_last_ok, s->last_ok);
    status_set(page, METRIC_snapshot_last_time_seconds, (uint64_t)s->last_good_s);
    status_set(page, METRIC_snapshot_last_us, s->last_us);
    status_set(page, METRIC_snapshot_cow_bytes, s->last_cow_bytes);
    status_set(page, METRIC_snapshots, s->count);
    status_set(page, METRIC_loaded_keys, s->loaded_keys);
    status_set(page, METRIC_loaded_expired_keys, s->expired_on_load);
}

static uint64_t per_second(uint64_t amount, uint64_t us) {
    return us > 0 ? (uint64_t)((double)amount * 1e6 / (double)us) : 0;
}

static void refresh_child(struct persist *p) {
    struct status_page *page = p->status;
    static const struct snapshot_child none;
    bool alive = snapshot_child_alive(&p->child);
    const struct snapshot_child *c = alive ? &p->child : &none;
    uint64_t now_us = clock_mono_us(), us = alive ? now_us - c->started_us : 0;
    status_set(page, METRIC_fork_wanted, p->turn.wish != FORK_NOTHING);
    status_set(page, METRIC_fork_last_us, p->snapshots.fork_us);
    status_set(page, METRIC_save_kind, alive ? p->turn.running : FORK_NOTHING);
    status_set(page, METRIC_save_us, us);
    status_set(page, METRIC_save_keys_done, c->keys);
    status_set(page, METRIC_save_keys_expected, c->keys_total);
    status_set(page, METRIC_save_bytes_done, c->bytes);
    status_set(page, METRIC_save_bytes_per_second, per_second(c->bytes, us));
    status_set(page, METRIC_save_cow_bytes, c->cow_bytes);
    status_set(page, METRIC_save_cow_peak_bytes, c->cow_peak_bytes);
    status_set(page, METRIC_save_cow_age_us, c->cow_heard_us > 0 ? now_us - c->cow_heard_us : 0);
}

void persist_refresh_load(struct persist *p, uint64_t done) {
    status_set(p->status, METRIC_load_done_bytes, done);
    status_set(p->status, METRIC_load_bytes_per_second,
               per_second(done, clock_mono_us() - p->load_started_us));
}

void persist_refresh_status(struct persist *p) {
    refresh_write_path(p);
    refresh_log(p);
    refresh_snapshots(p);
    refresh_child(p);
}
