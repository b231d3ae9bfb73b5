/* router_socket.c - the system calls of the router: listeners, accepting, address texts, refusing.
 *
 * TCP_NODELAY and keepalive are set on the listener, from which Linux lets every accepted socket
 * inherit them: no system call a client. */
#include "supervisor/front/router_private.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

/* "127.0.0.1:6379", "[::1]:6379"; "?:0" for what is neither. */
static void address_text(const union address *a, char text_r[HANDOVER_ADDRESS_BYTES]) {
    char host[INET6_ADDRSTRLEN];
    if (a->any.sa_family == AF_INET && inet_ntop(AF_INET, &a->in.sin_addr, host, sizeof(host)))
        snprintf(text_r, HANDOVER_ADDRESS_BYTES, "%s:%u", host, ntohs(a->in.sin_port));
    else if (a->any.sa_family == AF_INET6 &&
             inet_ntop(AF_INET6, &a->in6.sin6_addr, host, sizeof(host)))
        snprintf(text_r, HANDOVER_ADDRESS_BYTES, "[%s]:%u", host, ntohs(a->in6.sin6_port));
    else
        snprintf(text_r, HANDOVER_ADDRESS_BYTES, "?:0");
}

static bool address_is_any(const union address *a) {
    return a->any.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr)
                                        : a->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

int listener_init(struct listener *listener, int fd) {
    union address bound = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(bound);
    if (getsockname(fd, &bound.any, &len))
        return -1;
    listener->local[0] = '\0';
    if (bound.any.sa_family == AF_UNIX) {
        listener->origin = HANDOVER_UNIX;
        int path_max = HANDOVER_ADDRESS_BYTES - (int)sizeof(":0");
        snprintf(listener->local, sizeof(listener->local), "%.*s:0", path_max, bound.un.sun_path);
        return 0;
    }
    listener->origin = HANDOVER_PUBLIC;
    if (!address_is_any(&bound))
        address_text(&bound, listener->local);
    int yes = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
}

void listener_keepalive(const struct listener *listener, int64_t seconds) {
    if (listener->origin != HANDOVER_PUBLIC)
        return;
    int fd = listener->io.fd, on = seconds > 0, probes = 3;
    int idle = seconds > 32767 ? 32767 : (int)seconds; /* the kernel's limit */
    int interval = idle >= 3 ? idle / 3 : 1;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (!on)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static enum accept_result accept_error(int error) {
    switch (error) {
    case EAGAIN: return ACCEPT_NONE;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return ACCEPT_NO_DESCRIPTORS;
    default: return ACCEPT_RETRY; /* the client went away, or a network error that was its own */
    }
}

enum accept_result listener_accept(const struct listener *listener, struct client *client_r) {
    union address peer = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof(peer);
    int fd = accept4(listener->io.fd, &peer.any, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return accept_error(errno);
    struct handover *what = &client_r->what;
    memset(what, 0, sizeof(*what));
    what->magic = HANDOVER_MAGIC;
    what->origin = listener->origin;
    memcpy(what->local, listener->local, sizeof(what->local));
    if (listener->origin == HANDOVER_UNIX) {
        memcpy(what->peer, listener->local, sizeof(what->peer));
    } else {
        address_text(&peer, what->peer);
        len = sizeof(peer);
        if (!what->local[0] && getsockname(fd, &peer.any, &len) == 0)
            address_text(&peer, what->local);
    }
    client_r->fd = fd;
    client_r->address_class = ADDRESS_NONE;
    return ACCEPT_OK;
}

void client_address(const struct client *client, char address_r[HANDOVER_ADDRESS_BYTES]) {
    memcpy(address_r, client->what.peer, HANDOVER_ADDRESS_BYTES);
    char *colon = strrchr(address_r, ':');
    if (colon)
        *colon = '\0';
}

void client_refuse(struct client *client, const char *line) {
    char unread[4096];
    (void)!send(client->fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
    /* Closing with bytes unread would reset the connection and take the line with it. */
    for (int i = 0; i < 16; i++)
        if (recv(client->fd, unread, sizeof(unread), MSG_DONTWAIT) <= 0)
            break;
    close(client->fd);
    client->fd = -1;
}
