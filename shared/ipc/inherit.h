/* inherit.h - everything a child of the supervisor inherits: fd numbers and identity. Both
 * executables include it; nothing else crosses the exec.
 *
 *   remuda-worker INDEX GENERATION          remuda --front GENERATION
 *
 * A descriptor that does not apply is closed. Everything else is close-on-exec. */
#ifndef REMUDA_IPC_INHERIT_H
#define REMUDA_IPC_INHERIT_H

/* Of both executables, which are only ever installed together. */
#define REMUDA_VERSION "0.1.0"

enum inherit_fd {
    INHERIT_FD_SEGMENT = 3,  /* memfd: the shared segment */
    INHERIT_FD_CONTROL = 4,  /* SEQPACKET socket to the supervisor; EOF = supervisor is gone */
    INHERIT_FD_CONFIG = 5,   /* memfd: `name value` lines of all options, see config_from_text() */
    INHERIT_FD_LOCK = 6,     /* the data directory, flock()ed: keep it open, do nothing */
    INHERIT_FD_HANDOVER = 7, /* worker: receiving end of its hand-over SEQPACKET pair */
    INHERIT_FD_LISTEN = 8,   /* worker: its own TCP listener. front: 8..8+n public listeners */
    INHERIT_FD_LISTEN_MAX = 24, /* workers: 8..23 too, if more than one address is bound */
    INHERIT_FD_HTTP = 24,       /* front: 24..31 the status listeners */
    INHERIT_FD_HTTP_MAX = 32,
    /* From here, by worker index i: */
    INHERIT_FD_TABLE = 32 /* worker: eventfd of doorbell i at TABLE+2*i.
                                worker and front: sending end of hand-over i at TABLE+2*i+1 */
};
/* After the descriptors the child says how many listeners it got through these environment
 * variables (decimal): REMUDA_LISTENERS, REMUDA_HTTP_LISTENERS. For the front, the listener at
 * index 0..k-1 is TCP and those after it Unix sockets; it asks getsockname() which. */
#define INHERIT_ENV_LISTENERS      "REMUDA_LISTENERS"
#define INHERIT_ENV_HTTP_LISTENERS "REMUDA_HTTP_LISTENERS"

static inline int inherit_fd_doorbell(unsigned worker) {
    return INHERIT_FD_TABLE + 2 * (int)worker;
}
static inline int inherit_fd_handover(unsigned worker) {
    return INHERIT_FD_TABLE + 2 * (int)worker + 1;
}

/* Exit codes of children that the supervisor reads as words. */
enum inherit_exit {
    EXIT_ORDERLY = 0,
    EXIT_BAD_START = 70,  /* wrong arguments, version or segment: restarting cannot help */
    EXIT_LOAD_FAILED = 71 /* files refused: the log says why; restarting cannot help */
};

#endif
