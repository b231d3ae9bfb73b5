/* failover.h - what a FAILOVER left behind (shared/ipc/failover_note.h), for the next start. */
#ifndef REMUDA_SUPERVISOR_FAILOVER_H
#define REMUDA_SUPERVISOR_FAILOVER_H
#include <stddef.h>

struct config;
struct child;
struct supervisor;

/* Before any worker starts: a failover that may have promoted its target holds the writes of clients, and a pool
 * that handed over follows, unless the configuration says whom. 0, or -1 with a one-line text. */
int failover_setup(struct supervisor *s, char *error_r);
/* A child is not started again: if it did a failover that had promoted nobody, that is over. */
void failover_child_failed(struct child *child);

#endif
