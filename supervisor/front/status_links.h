/* status_links.h - the links of replication of one shard: its replicas, and the primaries it follows, for
 * /status and /metrics. */
#ifndef REMUDA_STATUS_LINKS_H
#define REMUDA_STATUS_LINKS_H
#include "shared/base/buf.h"
#include "supervisor/front/status_view.h"

struct json_t;

/* The caller owns what is returned. */
struct json_t *status_links_json(const struct status_view *view, uint32_t worker);
/* Lines for each link of each shard, labelled with its address. */
void status_links_metrics(const struct status_view *view, struct buf *out);

#endif
