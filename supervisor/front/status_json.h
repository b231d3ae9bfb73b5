/* status_json.h - the JSON of /status. Names are for machines and stay. */
#ifndef REMUDA_STATUS_JSON_H
#define REMUDA_STATUS_JSON_H
#include "shared/base/buf.h"
#include "supervisor/front/status_view.h"

/* Appends the document. Returns 0, or -1 if there was no memory for it. */
int status_json_write(const struct status_view *view, struct buf *out);

#endif
