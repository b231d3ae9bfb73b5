/* orphan.h - a child whose supervisor is gone ends, whatever state it is in.
 *
 * A healthy orphan sees the end of its control socket and leaves by itself. One that was stopped, or
 * hangs, never would, and would keep the data directory locked: the kernel sends it SIGCONT when its
 * parent dies, which continues it however it was stopped, and an alarm ends it if it is still there. */
#ifndef REMUDA_IPC_ORPHAN_H
#define REMUDA_IPC_ORPHAN_H

enum { ORPHAN_SECONDS = 2 }; /* to finish the writes and sync */

/* From now on: `seconds` after the parent's death at the latest this process is killed by SIGALRM. Takes
 * SIGCONT and SIGALRM for itself. Call once, early, from the main thread. */
void orphan_watch(unsigned seconds);

#endif
