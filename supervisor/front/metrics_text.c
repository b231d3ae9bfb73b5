/* metrics_text.c - the rows of metrics.def and the state of each process, for Prometheus. */
#include "supervisor/front/metrics_text.h"
#include "shared/ipc/inherit.h"
#include "supervisor/front/status_links.h"
#include <inttypes.h>
#include <stdio.h>

enum { LABEL_BYTES = 32, NAME_BYTES = 96 };

static const char *const kind_names[] = {
#define X(kind, text) [METRIC_##kind] = text,
    METRIC_KINDS(X)
#undef X
};

static void label_of(const struct status_view *view, uint32_t process, char label_r[LABEL_BYTES]) {
    uint32_t workers = view->segment->workers;
    if (process < workers)
        snprintf(label_r, LABEL_BYTES, "shard=\"%u\"", process);
    else
        snprintf(label_r, LABEL_BYTES, "process=\"%s\"",
                 process == segment_front_index(workers) ? "front" : "supervisor");
}

static enum metric_scope scope_of(const struct status_view *view, uint32_t process) {
    if (process < view->segment->workers)
        return METRIC_WORKER;
    return process == segment_front_index(view->segment->workers) ? METRIC_FRONT
                                                                  : METRIC_SUPERVISOR;
}

/* HELP texts escape backslash and newline, label values the double quote too. */
static void append_escaped(struct buf *out, const char *text, bool quoted) {
    for (; *text; text++) {
        if (*text == '\n')
            buf_append_text(out, "\\n");
        else if (*text == '\\' || (quoted && *text == '"'))
            buf_printf(out, "\\%c", *text);
        else
            buf_append(out, text, 1);
    }
}

static void append_head(struct buf *out, const char *name, const char *kind, const char *help) {
    buf_printf(out, "# HELP %s ", name);
    append_escaped(out, help, false);
    buf_printf(out, "\n# TYPE %s %s\n", name, kind);
}

static void write_row(const struct status_view *view, enum metric metric, struct buf *out) {
    const struct metric_row *row = &metric_rows[metric];
    char name[NAME_BYTES], label[LABEL_BYTES];
    snprintf(name, sizeof(name), "remuda_%s%s", row->name,
             row->kind == METRIC_COUNTER ? "_total" : "");
    append_head(out, name, kind_names[row->kind], row->help);
    for (uint32_t i = 0; i < view->segment->workers + 2; i++) {
        if (!(row->scope & scope_of(view, i)))
            continue;
        label_of(view, i, label);
        buf_printf(out, "%s{%s} %" PRIu64 "\n", name, label,
                   status_get(view_page(view, i), metric));
    }
}

static void write_states(const struct status_view *view, struct buf *out) {
    char label[LABEL_BYTES];
    append_head(out, "remuda_child_state", kind_names[METRIC_GAUGE],
                "1 for the state the process is in");
    for (uint32_t i = 0; i < view->segment->workers + 2; i++) {
        label_of(view, i, label);
        for (uint32_t state = 0; state < CHILD_STATE_COUNT; state++)
            buf_printf(out, "remuda_child_state{%s,state=\"%s\"} %d\n", label,
                       child_state_name(state), view_state(view, i) == state);
    }
}

static uint64_t generation_of(const struct status_view *view, uint32_t i) {
    return atomic_load(&view_page(view, i)->generation);
}
static uint64_t restarts_of(const struct status_view *view, uint32_t i) {
    return atomic_load(&view_page(view, i)->restarts);
}
static uint64_t heartbeat_age_of(const struct status_view *view, uint32_t i) {
    return pulse_age_ms(view->pulse, i, view->now_mono_ms);
}

static uint64_t fork_wait_of(const struct status_view *view, uint32_t i) {
    return atomic_load(&view_page(view, i)->fork_wait);
}
static uint64_t fork_needed_of(const struct status_view *view, uint32_t i) {
    return atomic_load(&view_page(view, i)->fork_needed_bytes);
}
static uint64_t fork_free_of(const struct status_view *view, uint32_t i) {
    return atomic_load(&view_page(view, i)->fork_free_bytes);
}

/* Figures of a process that are no rows of metrics.def. */
static const struct {
    const char *name;
    enum metric_kind kind;
    const char *help;
    uint64_t (*get)(const struct status_view *view, uint32_t process);
} process_figures[] = {
    {"remuda_child_generation", METRIC_GAUGE, "Generation of the process", generation_of},
    {"remuda_child_restarts_total", METRIC_COUNTER, "Restarts of this process", restarts_of},
    {"remuda_child_heartbeat_age_ms", METRIC_GAUGE, "Milliseconds since its heartbeat moved",
     heartbeat_age_of},
    {"remuda_fork_wait", METRIC_GAUGE,
     "Its wish to fork waits for: 0 nothing, 1 its turn, 2 memory", fork_wait_of},
    {"remuda_fork_needed_bytes", METRIC_GAUGE, "Memory a fork that waits for it may need",
     fork_needed_of},
    {"remuda_fork_free_bytes", METRIC_GAUGE, "Memory there was for it", fork_free_of},
};

static void write_process_figures(const struct status_view *view, struct buf *out) {
    char label[LABEL_BYTES];
    for (size_t f = 0; f < sizeof(process_figures) / sizeof(process_figures[0]); f++) {
        append_head(out, process_figures[f].name, kind_names[process_figures[f].kind],
                    process_figures[f].help);
        for (uint32_t i = 0; i < view->segment->workers + 2; i++) {
            label_of(view, i, label);
            buf_printf(out, "%s{%s} %" PRIu64 "\n", process_figures[f].name, label,
                       process_figures[f].get(view, i));
        }
    }
}

void metrics_text_write(const struct status_view *view, struct buf *out) {
    const struct segment_header *header = view->segment->header;
    char id[STATUS_TEXT_BYTES];
    view_text(header->pool_id, sizeof(header->pool_id), id);
    append_head(out, "remuda_info", kind_names[METRIC_GAUGE], "Always 1; labels identify the pool");
    buf_append_text(out, "remuda_info{pool_id=\"");
    append_escaped(out, id, true);
    buf_printf(out, "\",version=\"%s\",workers=\"%u\"} 1\n", REMUDA_VERSION,
               view->segment->workers);
    append_head(out, "remuda_maxmemory_bytes", kind_names[METRIC_GAUGE],
                "Memory limit of all workers together; 0: none");
    buf_printf(out, "remuda_maxmemory_bytes %" PRId64 "\n", view->config->maxmemory);
    append_head(out, "remuda_maxclients", kind_names[METRIC_GAUGE], "Limit of clients of the pool");
    buf_printf(out, "remuda_maxclients %" PRId64 "\n", view->config->maxclients);
    write_states(view, out);
    write_process_figures(view, out);
    status_links_metrics(view, out);
    for (uint32_t i = 0; i < METRIC_COUNT; i++)
        write_row(view, i, out);
}
