/* status_json.c - the pool as one JSON document: pool, supervisor, front, workers.
 *
 * Groups of figures are tables of (name, metric), and every metric of metrics.def is there under
 * `metrics` by its own name. Only named options are shown, so no secret can slip in. */
#include "supervisor/front/status_json.h"
#include "shared/ipc/inherit.h"
#include "supervisor/front/json_parts.h"
#include "supervisor/front/status_links.h"

enum figure_kind { FIGURE_NUMBER, FIGURE_FLAG };

struct figure {
    const char *name;
    enum metric metric;
    enum figure_kind kind;
};

static const struct figure memory_figures[] = {
    {"used_bytes", METRIC_used_memory_bytes, FIGURE_NUMBER},
    {"peak_bytes", METRIC_used_memory_peak_bytes, FIGURE_NUMBER},
    {"rss_bytes", METRIC_rss_bytes, FIGURE_NUMBER},
};
static const struct figure write_path_figures[] = {
    {"executed", METRIC_write_path_executed, FIGURE_NUMBER},
    {"written", METRIC_write_path_written, FIGURE_NUMBER},
    {"synced", METRIC_write_path_synced, FIGURE_NUMBER},
    {"written_age_us", METRIC_write_path_written_age_us, FIGURE_NUMBER},
    {"synced_age_us", METRIC_write_path_synced_age_us, FIGURE_NUMBER},
};
static const struct figure persistence_figures[] = {
    {"aof_enabled", METRIC_aof_enabled, FIGURE_FLAG},
    {"aof_ok", METRIC_aof_state_ok, FIGURE_FLAG},
    {"aof_size_bytes", METRIC_aof_current_size_bytes, FIGURE_NUMBER},
    {"aof_rewrite_in_progress", METRIC_aof_rewrite_in_progress, FIGURE_FLAG},
    {"snapshot_in_progress", METRIC_snapshot_in_progress, FIGURE_FLAG},
    {"aof_rewrite_scheduled", METRIC_aof_rewrite_scheduled, FIGURE_FLAG},
    {"snapshot_last_ok", METRIC_snapshot_last_ok, FIGURE_FLAG},
    {"snapshot_last_time_seconds", METRIC_snapshot_last_time_seconds, FIGURE_NUMBER},
    {"snapshot_last_us", METRIC_snapshot_last_us, FIGURE_NUMBER},
    {"changes_since_snapshot", METRIC_dirty, FIGURE_NUMBER},
    {"load_total_bytes", METRIC_load_total_bytes, FIGURE_NUMBER},
    {"load_done_bytes", METRIC_load_done_bytes, FIGURE_NUMBER},
};
#define FIGURES(table) table, sizeof(table) / sizeof((table)[0])

static json_t *figures(const struct status_page *page, const struct figure *table, size_t count) {
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++) {
        uint64_t value = status_get(page, table[i].metric);
        json_object_set_new(object, table[i].name,
                            table[i].kind == FIGURE_FLAG ? json_boolean(value != 0)
                                                         : json_number(value));
    }
    return object;
}

static json_t *metrics(const struct status_page *page, enum metric_scope scope) {
    json_t *object = json_object();
    for (uint32_t i = 0; i < METRIC_COUNT; i++)
        if (metric_rows[i].scope & scope)
            json_object_set_new(object, metric_rows[i].name, json_number(status_get(page, i)));
    return object;
}

/* What every process has. */
static json_t *process(const struct status_view *view, uint32_t index, enum metric_scope scope) {
    const struct status_page *page = view_page(view, index);
    char trouble[STATUS_TEXT_BYTES];
    json_t *o = json_object();
    int64_t restart_at = atomic_load(&page->restart_at_wall_ms);
    bool waiting = view_state(view, index) == CHILD_WAITING && restart_at > 0;
    view_trouble(view, index, trouble);
    json_object_set_new(o, "state", json_string(child_state_name(view_state(view, index))));
    json_object_set_new(o, "trouble", json_string(trouble));
    json_object_set_new(o, "pid", json_number(atomic_load(&page->pid)));
    json_object_set_new(o, "generation", json_number(atomic_load(&page->generation)));
    json_object_set_new(o, "uptime_seconds",
                        json_number(status_get(page, METRIC_uptime_us) / 1000000));
    json_object_set_new(o, "heartbeat_age_ms",
                        json_number(pulse_age_ms(view->pulse, index, view->now_mono_ms)));
    json_object_set_new(o, "restarts", json_number(atomic_load(&page->restarts)));
    json_object_set_new(o, "last_exit", json_text(page->last_exit, sizeof(page->last_exit)));
    json_object_set_new(o, "restart_at", waiting ? json_integer(restart_at) : json_null());
    json_object_set_new(o, "note", json_text(page->note, sizeof(page->note)));
    json_object_set_new(o, "metrics", metrics(page, scope));
    return o;
}

static json_t *databases(const struct status_page *page) {
    json_t *array = json_array();
    for (uint32_t i = 0; i < DATABASES_MAX; i++) {
        const struct status_database *db = &page->databases[i];
        uint64_t keys = atomic_load_explicit(&db->keys, memory_order_relaxed);
        if (keys == 0)
            continue;
        json_t *o = json_object();
        json_object_set_new(o, "db", json_number(i));
        json_object_set_new(o, "keys", json_number(keys));
        json_object_set_new(o, "expires", json_number(atomic_load(&db->expires)));
        json_object_set_new(o, "avg_ttl_ms", json_number(atomic_load(&db->avg_ttl_ms)));
        json_array_append_new(array, o);
    }
    return array;
}

/* What a child writes, and how far it has come; null if there is none. */
static json_t *saving(const struct status_page *page) {
    static const char *const kinds[] = {NULL, "snapshot", "log base", "diskless", "merged"};
    static const struct figure save_figures[] = {
        {"elapsed_us", METRIC_save_us, FIGURE_NUMBER},
        {"keys_done", METRIC_save_keys_done, FIGURE_NUMBER},
        {"keys_total", METRIC_save_keys_expected, FIGURE_NUMBER},
        {"bytes_done", METRIC_save_bytes_done, FIGURE_NUMBER},
        {"bytes_per_second", METRIC_save_bytes_per_second, FIGURE_NUMBER},
        {"cow_bytes", METRIC_save_cow_bytes, FIGURE_NUMBER},
    };
    uint64_t kind = status_get(page, METRIC_save_kind);
    if (kind == 0 || kind >= sizeof(kinds) / sizeof(kinds[0]))
        return json_null();
    json_t *o = figures(page, FIGURES(save_figures));
    json_object_set_new(o, "kind", json_string(kinds[kind]));
    json_object_set_new(o, "percent",
                        json_percent(status_get(page, METRIC_save_keys_done),
                                     status_get(page, METRIC_save_keys_expected)));
    return o;
}

static json_t *loading(const struct status_view *view, uint32_t index) {
    static const struct figure load_figures[] = {
        {"bytes_done", METRIC_load_done_bytes, FIGURE_NUMBER},
        {"bytes_total", METRIC_load_total_bytes, FIGURE_NUMBER},
        {"bytes_per_second", METRIC_load_bytes_per_second, FIGURE_NUMBER},
    };
    const struct status_page *page = view_page(view, index);
    if (view_state(view, index) != CHILD_LOADING)
        return json_null();
    json_t *o = figures(page, FIGURES(load_figures));
    json_object_set_new(o, "percent",
                        json_percent(status_get(page, METRIC_load_done_bytes),
                                     status_get(page, METRIC_load_total_bytes)));
    return o;
}

static json_t *fork_wait(const struct status_page *page) {
    json_t *o = json_object();
    json_object_set_new(o, "reason", json_string(fork_wait_name(atomic_load(&page->fork_wait))));
    json_object_set_new(o, "needed_bytes", json_number(atomic_load(&page->fork_needed_bytes)));
    json_object_set_new(o, "free_bytes", json_number(atomic_load(&page->fork_free_bytes)));
    return o;
}

static json_t *slots(const struct slot_map *map, uint32_t shard) {
    json_t *o = json_object();
    uint32_t first = map->first[shard], end = map->first[shard + 1];
    json_object_set_new(o, "first", json_number(first));
    json_object_set_new(o, "last", end > first ? json_number(end - 1) : json_null());
    json_object_set_new(o, "count", json_number(end > first ? end - first : 0));
    return o;
}

static json_t *worker(const struct status_view *view, uint32_t i) {
    const struct status_page *page = view_page(view, i);
    const struct slot_map *map = view->segment->slots;
    json_t *o = process(view, i, METRIC_WORKER);
    json_object_set_new(o, "index", json_number(i));
    json_object_set_new(o, "slots", slots(map, i));
    json_object_set_new(o, "port", json_number(map->port[i]));
    json_object_set_new(o, "node_id", json_text(map->node_id[i], sizeof(map->node_id[i])));
    json_object_set_new(o, "clients", json_number(status_get(page, METRIC_connected_clients)));
    json_object_set_new(o, "keys", json_number(status_get(page, METRIC_keys)));
    json_object_set_new(o, "databases", databases(page));
    json_object_set_new(o, "ops_per_second",
                        json_number(status_get(page, METRIC_commands_per_second)));
    json_object_set_new(o, "relayed_share",
                        json_real(view_relayed_share(status_get(page, METRIC_commands_relayed),
                                                     status_get(page, METRIC_commands_processed))));
    json_object_set_new(o, "memory", figures(page, FIGURES(memory_figures)));
    json_object_set_new(o, "write_path", figures(page, FIGURES(write_path_figures)));
    json_object_set_new(o, "persistence", figures(page, FIGURES(persistence_figures)));
    json_object_set_new(o, "replication", status_links_json(view, i));
    json_object_set_new(o, "saving", saving(page));
    json_object_set_new(o, "loading", loading(view, i));
    json_object_set_new(o, "fork_wait", fork_wait(page));
    return o;
}

static json_t *ports(const struct config *config) {
    json_t *o = json_object();
    json_object_set_new(o, "public", json_integer(config->port));
    json_object_set_new(o, "workers", json_integer(config->worker_port_base));
    json_object_set_new(o, "status", json_integer(config->status_port));
    json_object_set_new(o, "unixsocket", json_text(config->unixsocket, strlen(config->unixsocket)));
    return o;
}

static json_t *pool_memory(const struct status_view *view) {
    json_t *o = json_object();
    const struct segment *s = view->segment;
    json_object_set_new(o, "used_bytes", json_number(segment_sum(s, METRIC_used_memory_bytes)));
    json_object_set_new(o, "rss_bytes", json_number(segment_sum(s, METRIC_rss_bytes)));
    json_object_set_new(o, "limit_bytes", json_integer(view->config->maxmemory));
    return o;
}

static json_t *pool_replication(const struct status_view *view) {
    json_t *o = json_object();
    const struct segment *s = view->segment;
    const char *primary = view->config->replicaof;
    json_object_set_new(o, "role", json_string(primary[0] ? "replica" : "primary"));
    json_object_set_new(o, "primary", json_text(primary, strlen(primary)));
    json_object_set_new(o, "links", json_number(segment_sum(s, METRIC_primary_links)));
    json_object_set_new(o, "links_up", json_number(segment_sum(s, METRIC_primary_links_up)));
    json_object_set_new(o, "replicas",
                        json_number(segment_sum(s, METRIC_connected_replicas) +
                                    segment_sum(s, METRIC_merged_replicas)));
    json_object_set_new(o, "merged_offset", json_number(segment_sum(s, METRIC_merged_offset)));
    return o;
}

static json_t *pool(const struct status_view *view) {
    const struct segment *s = view->segment;
    const struct segment_header *header = s->header;
    int64_t uptime_ms = view->now_wall_ms - header->started_wall_ms;
    json_t *o = json_object();
    json_object_set_new(o, "id", json_text(header->pool_id, sizeof(header->pool_id)));
    json_object_set_new(o, "run_id", json_text(header->run_id, sizeof(header->run_id)));
    json_object_set_new(o, "version", json_string(REMUDA_VERSION));
    json_object_set_new(o, "state", json_string(pool_state_name(view_pool_state(view))));
    json_object_set_new(o, "workers", json_number(s->workers));
    json_object_set_new(o, "workers_up", json_number(view_workers_up(view)));
    json_object_set_new(o, "time_ms", json_integer(view->now_wall_ms));
    json_object_set_new(o, "uptime_seconds",
                        json_number(uptime_ms > 0 ? (uint64_t)uptime_ms / 1000 : 0));
    json_object_set_new(o, "ports", ports(view->config));
    json_object_set_new(o, "clients", json_number(segment_sum(s, METRIC_connected_clients)));
    json_object_set_new(o, "max_clients", json_integer(view->config->maxclients));
    json_object_set_new(o, "keys", json_number(segment_sum(s, METRIC_keys)));
    json_object_set_new(o, "memory", pool_memory(view));
    json_object_set_new(o, "replication", pool_replication(view));
    json_object_set_new(o, "ops_per_second",
                        json_number(segment_sum(s, METRIC_commands_per_second)));
    json_object_set_new(o, "relayed_share",
                        json_real(view_relayed_share(segment_sum(s, METRIC_commands_relayed),
                                                     segment_sum(s, METRIC_commands_processed))));
    return o;
}

static int append(const char *text, size_t len, void *out) {
    buf_append(out, text, len);
    return 0;
}

int status_json_write(const struct status_view *view, struct buf *out) {
    uint32_t count = view->segment->workers;
    json_t *root = json_object(), *array = json_array();
    json_object_set_new(root, "pool", pool(view));
    json_object_set_new(root, "supervisor",
                        process(view, segment_supervisor_index(count), METRIC_SUPERVISOR));
    json_object_set_new(root, "front", process(view, segment_front_index(count), METRIC_FRONT));
    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(array, worker(view, i));
    json_object_set_new(root, "workers", array);
    int result = json_dump_callback(root, append, out, JSON_INDENT(1) | JSON_REAL_PRECISION(4));
    buf_append_text(out, "\n");
    json_decref(root);
    return result;
}
