/* status_links.c - see status_links.h. */
#include "supervisor/front/status_links.h"

#include "supervisor/front/json_parts.h"

#include <inttypes.h>

static json_t *replica(const struct replica_line *line) {
    json_t *o = json_object();
    json_object_set_new(o, "address", json_text(line->address, sizeof(line->address)));
    json_object_set_new(o, "port", json_number(line->port));
    json_object_set_new(o, "public_port",
                        line->public_port ? json_number(line->public_port) : json_null());
    json_object_set_new(o, "state", json_text(line->state, sizeof(line->state)));
    json_object_set_new(o, "merged", json_boolean(line->merged != 0));
    json_object_set_new(o, "offset", json_number(line->offset));
    json_object_set_new(o, "behind_bytes", json_number(line->behind_bytes));
    json_object_set_new(o, "lag_seconds", json_integer(line->lag_s));
    return o;
}

/* Of a snapshot that comes in; null if there is none. A diskless one does not say how long it is. */
static json_t *sync(const struct primary_line *line) {
    uint64_t total = line->sync_total_bytes, done = line->sync_done_bytes;
    if (!line->syncing)
        return json_null();
    json_t *o = json_object();
    json_object_set_new(o, "bytes_done", json_number(done));
    json_object_set_new(o, "bytes_total", total > 0 ? json_number(total) : json_null());
    json_object_set_new(o, "percent", total > 0 ? json_percent(done, total) : json_null());
    return o;
}

/* Below 0: there is no such moment. */
static json_t *seconds(int64_t value) {
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *primary(const struct primary_line *line) {
    json_t *o = json_object();
    json_object_set_new(o, "address", json_text(line->address, sizeof(line->address)));
    json_object_set_new(o, "port", json_number(line->port));
    json_object_set_new(o, "state", json_text(line->state, sizeof(line->state)));
    json_object_set_new(o, "trouble", json_text(line->trouble, sizeof(line->trouble)));
    json_object_set_new(o, "offset", json_number(line->offset));
    json_object_set_new(o, "full_syncs", json_number(line->full_syncs));
    json_object_set_new(o, "partial_syncs", json_number(line->partial_syncs));
    json_object_set_new(o, "last_heard_seconds", seconds(line->last_heard_s));
    json_object_set_new(o, "down_seconds", seconds(line->down_s));
    json_object_set_new(o, "sync", sync(line));
    return o;
}

json_t *status_links_json(const struct status_view *view, uint32_t worker) {
    static struct replication_table table;
    const struct status_page *page = view_page(view, worker);
    json_t *o = json_object(), *replicas = json_array(), *primaries = json_array();
    (void)replication_page_read(segment_replication(view->segment, worker), &table);
    for (uint32_t i = 0; i < links_shown(table.replicas); i++)
        json_array_append_new(replicas, replica(&table.replica[i]));
    for (uint32_t i = 0; i < links_shown(table.primaries); i++)
        json_array_append_new(primaries, primary(&table.primary[i]));
    json_object_set_new(o, "offset", json_number(status_get(page, METRIC_replication_offset)));
    json_object_set_new(o, "full_syncs", json_number(status_get(page, METRIC_replica_full_syncs)));
    json_object_set_new(o, "partial_syncs",
                        json_number(status_get(page, METRIC_replica_partial_syncs)));
    json_object_set_new(o, "replicas_count", json_number(table.replicas));
    json_object_set_new(o, "replicas", replicas);
    json_object_set_new(o, "primaries_count", json_number(table.primaries));
    json_object_set_new(o, "primaries", primaries);
    return o;
}

/* ---- metrics ---- */
static int64_t as_metric(uint64_t value) {
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

static int64_t replica_offset(const struct replica_line *line) {
    return as_metric(line->offset);
}
static int64_t replica_behind(const struct replica_line *line) {
    return as_metric(line->behind_bytes);
}
static int64_t replica_lag(const struct replica_line *line) {
    return line->lag_s;
}

static const struct {
    const char *name, *help;
    int64_t (*get)(const struct replica_line *line);
} figures[] = {
    {"remuda_replica_link_offset", "Stream bytes that this replica has acknowledged",
     replica_offset},
    {"remuda_replica_link_behind_bytes", "Stream bytes that it has yet to acknowledge",
     replica_behind},
    {"remuda_replica_link_lag_seconds", "Time since it acknowledged last", replica_lag},
};

/* An address is what a replica says of itself: quotes and backslashes would end the label. */
static void append_label(struct buf *out, const struct replica_line *line) {
    char address[STATUS_TEXT_BYTES];
    view_text(line->address, sizeof(line->address), address);
    for (const char *c = address; *c; c++)
        buf_append(out, *c == '"' || *c == '\\' ? "?" : c, 1);
}

void status_links_metrics(const struct status_view *view, struct buf *out) {
    static struct replication_table table;
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        bool headed = false;
        for (uint32_t i = 0; i < view->segment->workers; i++) {
            (void)replication_page_read(segment_replication(view->segment, i), &table);
            for (uint32_t n = 0; n < links_shown(table.replicas); n++) {
                if (!headed)
                    buf_printf(out, "# HELP %s %s\n# TYPE %s gauge\n", figures[f].name,
                               figures[f].help, figures[f].name);
                headed = true;
                buf_printf(out, "%s{shard=\"%u\",link=\"%u\",replica=\"", figures[f].name, i, n);
                append_label(out, &table.replica[n]);
                buf_printf(out, ":%u\"} %" PRId64 "\n", table.replica[n].port,
                           figures[f].get(&table.replica[n]));
            }
        }
    }
}
