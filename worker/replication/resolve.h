/* resolve.h - a host's name into addresses without blocking the loop: an address at once, a name in a thread
 * of its own. */
#ifndef REMUDA_REPLICATION_RESOLVE_H
#define REMUDA_REPLICATION_RESOLVE_H
#include <netdb.h>
#include <stdint.h>

struct ev_loop;
struct resolve;
/* found is good during the call; NULL: why says what failed. */
typedef void resolve_done(void *arg, const struct addrinfo *found, const char *why);

/* *resolve_r is NULL at the call, and again when done has been called, which may be before this returns. */
void resolve_start(struct resolve **resolve_r, struct ev_loop *loop, const char *host,
                   uint32_t port, resolve_done *done, void *arg);
/* done will not be called; the thread ends by itself. Nothing if *resolve is NULL. */
void resolve_cancel(struct resolve **resolve);

#endif
