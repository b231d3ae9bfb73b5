/* front.h - the front: the pool's network half, a process of its own without privileges.
 *
 * Exec'd by the supervisor with the descriptors of shared/ipc/inherit.h. It routes new clients to
 * workers and answers HTTP. It holds no data: killed, it is started again and nobody who is
 * connected notices. */
#ifndef REMUDA_FRONT_H
#define REMUDA_FRONT_H
#include <stdint.h>

/* Runs until ordered to stop or the supervisor is gone. Returns the process's exit code, one of
 * enum inherit_exit; what went wrong is in the log and reported to the supervisor. */
int front_main(uint32_t generation);

#endif
