/* metrics_text.h - /metrics: the Prometheus text exposition format, version 0.0.4
 * (prometheus.io/docs/instrumenting/exposition_formats). */
#ifndef REMUDA_METRICS_TEXT_H
#define REMUDA_METRICS_TEXT_H
#include "shared/base/buf.h"
#include "supervisor/front/status_view.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Every row of metrics.def once, as remuda_<field> (counters: remuda_<field>_total), a sample for
 * each process of its scope: shard="0" for workers, process="front" for the others. */
void metrics_text_write(const struct status_view *view, struct buf *out);

#endif
