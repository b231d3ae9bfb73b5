/* dashboard.h - the page at `/`, one self-contained file that draws /status. */
#ifndef REMUDA_DASHBOARD_H
#define REMUDA_DASHBOARD_H
#include "shared/base/buf.h"

/* The page, its inline style and script marked with this nonce of the Content-Security-Policy. */
void dashboard_write(const char *nonce, struct buf *out);

#endif
