/* announce.c - see the header. Addresses are asked of the sockets: what is printed is what is bound. */
#include "supervisor/announce.h"
#include "shared/ipc/inherit.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct shown {
    char host[INET6_ADDRSTRLEN + 2]; /* IPv6 in brackets; "" for a Unix socket */
    uint32_t port;
};

static struct shown shown_socket(int fd) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } address = {0};
    socklen_t bytes = sizeof(address);
    struct shown shown = {0};
    char host[INET6_ADDRSTRLEN];
    if (getsockname(fd, &address.any, &bytes) != 0)
        return shown;
    if (address.any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address.v4.sin_addr, shown.host, sizeof(shown.host));
        shown.port = ntohs(address.v4.sin_port);
    } else if (address.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host));
        snprintf(shown.host, sizeof(shown.host), "[%s]", host);
        shown.port = ntohs(address.v6.sin6_port);
    }
    return shown;
}

static void print_set(const char *label, const struct listen_set *set, uint32_t more_ports,
                      const char *prefix, const char *suffix) {
    printf("  %-9s", label);
    for (uint32_t i = 0; i < set->count; i++) {
        struct shown shown = shown_socket(set->fds[i]);
        if (shown.host[0] == 0)
            continue;
        printf(" %s%s:%u", prefix, shown.host, shown.port);
        if (more_ports > 0)
            printf("-%u", shown.port + more_ports);
        printf("%s", suffix);
    }
}

void announce_start(const struct config *config, const struct listeners *listeners,
                    uint32_t workers) {
    char *dir = realpath(config->dir, NULL);
    printf("Remuda " REMUDA_VERSION ": a pool of %u worker%s, supervised by process %d\n", workers,
           workers == 1 ? "" : "s", (int)getpid());
    if (listeners->front.count > 0) {
        print_set("clients", &listeners->front, 0, "", "");
        printf("%s%s\n", listeners->unix_path[0] ? " " : "", listeners->unix_path);
    }
    if (listeners->worker[0].count > 0) {
        print_set("workers", &listeners->worker[0], workers - 1, "", "");
        printf("  (cluster clients)\n");
    }
    printf("  %-9s %s\n", "data", dir ? dir : config->dir);
    if (listeners->http.count > 0) {
        print_set("status", &listeners->http, 0, "http://", "/");
        printf("\n");
    }
    fflush(stdout);
    free(dir);
}

void announce_title(const struct config *config, char *title_r, unsigned title_bytes) {
    struct listen_address first[LISTEN_FDS_MAX];
    char ignored[128];
    int count =
        listen_addresses_parse(config->bind, first, LISTEN_FDS_MAX, ignored, sizeof(ignored));
    const char *host = count > 0 && first[0].host[0] ? first[0].host : "*";
    if (config->port == 0 && config->unixsocket && config->unixsocket[0])
        snprintf(title_r, title_bytes, "remuda: supervisor %s", config->unixsocket);
    else
        snprintf(title_r, title_bytes, "remuda: supervisor %s:%lld", host, (long long)config->port);
}
