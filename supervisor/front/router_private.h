/* router_private.h - shared by the router's own files only. */
#ifndef REMUDA_ROUTER_PRIVATE_H
#define REMUDA_ROUTER_PRIVATE_H
#include "shared/base/list.h"
#include "shared/ipc/handover.h"
#include "shared/ipc/inherit.h"
#include "supervisor/front/pool_view.h"
#include "supervisor/front/router.h"
#include "supervisor/front/router_key.h"
#include <ev.h>

/* A connected client that no worker has yet. On the stack while it passes straight through, on the
 * heap only if it must wait. */
struct client {
    struct list node;
    int fd;
    uint32_t address_class; /* ADDRESS_NONE for Unix sockets */
    uint64_t since_ms;      /* when it came, or when it stalled */
    struct handover what;
};

struct listener {
    struct ev_io io;
    struct router *router;
    enum handover_origin origin;
    char local[HANDOVER_ADDRESS_BYTES]; /* "" if bound to any address: asked for each client */
};

struct router {
    struct ev_loop *loop;
    const struct segment *segment;
    struct status_page *page;
    const struct config *config;
    struct pool_view pool;
    struct listener listener[INHERIT_FD_LISTEN_MAX - INHERIT_FD_LISTEN];
    uint32_t listeners;
    bool paused;
    uint32_t open, open_max;      /* clients kept: waiting and stalled */
    struct list waiting, stalled; /* oldest first */
    /* The waiting clients' own epoll set: libev never takes a descriptor out of its set by itself,
     * and one that lives on in a worker would go on waking us. */
    int epoll_fd;
    struct ev_io readable;
    struct ev_timer deadline, retry, resume;
    uint8_t idle_ticks[SHARD_MAX];
    char peek[ROUTER_PEEK_BYTES];
};

/* ---- router_socket.c ---- */
/* Origin, local text and socket options of the listener at this descriptor. 0, or -1 with errno. */
int listener_init(struct listener *listener, int fd);
void listener_keepalive(const struct listener *listener, int64_t seconds);
enum accept_result { ACCEPT_OK, ACCEPT_NONE, ACCEPT_RETRY, ACCEPT_NO_DESCRIPTORS };
enum accept_result listener_accept(const struct listener *listener, struct client *client_r);
/* The address without its port, as segment_address_class() takes it: "127.0.0.1", "[::1]". */
void client_address(const struct client *client, char address_r[HANDOVER_ADDRESS_BYTES]);
/* Write one line if the socket takes it at once, and close. */
void client_refuse(struct client *client, const char *line);

#endif
