/* vitals.h - figures about a process and the machine that the status page shows. */
#ifndef REMUDA_SUPERVISOR_VITALS_H
#define REMUDA_SUPERVISOR_VITALS_H
#include "shared/ipc/status_page.h"
#include <stdint.h>

/* CPU times, resident memory and uptime of this process into its page. */
void vitals_update(struct status_page *page, uint64_t uptime_us);
/* Memory of the machine (or of the cgroup, if that is less) that can be had without swapping;
 * UINT64_MAX if it cannot be told. */
uint64_t vitals_available_bytes(void);

#endif
