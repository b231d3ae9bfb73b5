/* spawn.h - start a child with exactly the descriptors of shared/ipc/inherit.h, and nothing else.
 *
 * The child is a process group of its own: a terminal's ^C reaches the supervisor only, and if the
 * supervisor dies the kernel wakes and hangs up a stopped child, so that it cannot stay behind. It
 * gets no death signal: losing its supervisor it reads EOF on the control socket, and finishes its
 * writes before it ends. */
#ifndef REMUDA_SUPERVISOR_SPAWN_H
#define REMUDA_SUPERVISOR_SPAWN_H
#include "shared/base/bytes.h"
#include "shared/ipc/inherit.h"
#include "shared/ipc/slot_map.h"
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SPAWN_FDS_MAX = INHERIT_FD_TABLE + 2 * SHARD_MAX, SPAWN_ARGUMENTS_MAX = 8 };

struct spawn_plan {
    const char *path;                          /* the executable */
    const char *argv[SPAWN_ARGUMENTS_MAX + 1]; /* NULL at the end */
    uint32_t listeners, http_listeners;        /* for the environment */
    uint32_t fd_count;
    struct {
        int from, to; /* the parent's descriptor, its number in the child */
    } fds[SPAWN_FDS_MAX];
};

/* Path of remuda-worker beside this executable, whose own path goes to self_r (may be NULL). 0, or -1
 * with a one-line text. */
int spawn_find_worker(char *worker_r, char *self_r, size_t path_bytes, char *error_r,
                      size_t error_bytes);
void spawn_add_fd(struct spawn_plan *plan, int from, int to);
/* A sealed memfd with these bytes, at offset 0. Returns it, or -1 with errno. */
int spawn_memfd(const char *name, struct bytes content);
/* fork and exec. Returns the pid, or -1 with errno. A failing exec ends the child with
 * EXIT_BAD_START. */
pid_t spawn_process(const struct spawn_plan *plan);

#endif
