/* vitals.h - figures about a process and the machine that the status page shows. */
#ifndef REMUDA_SUPERVISOR_VITALS_H
#define REMUDA_SUPERVISOR_VITALS_H
#include "shared/ipc/status_page.h"
#include <stdint.h>
#include <sys/types.h>

/* CPU times, resident memory and uptime of this process into its page. */
void vitals_update(struct status_page *page, uint64_t uptime_us);
/* State letter and CPU time of another process; left as they are if it cannot be told. */
void vitals_look_at(pid_t pid, char *state_r, uint64_t *cpu_ms_r);
/* Memory of the machine (or of the cgroup, if that is less) that can be had without swapping;
 * UINT64_MAX if it cannot be told. */
uint64_t vitals_available_bytes(void);

#endif
