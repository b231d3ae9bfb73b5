/* listeners.h - every socket the pool listens on, bound once by the supervisor before it gives up
 * its privileges, and kept over restarts of the children that accept on them. */
#ifndef REMUDA_SUPERVISOR_LISTENERS_H
#define REMUDA_SUPERVISOR_LISTENERS_H
#include "config/config.h"
#include "shared/ipc/inherit.h"
#include "shared/ipc/slot_map.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LISTEN_FDS_MAX = INHERIT_FD_LISTEN_MAX - INHERIT_FD_LISTEN,
    LISTEN_HTTP_MAX = INHERIT_FD_HTTP_MAX - INHERIT_FD_HTTP,
    LISTEN_HOST_BYTES = 64
};

/* One word of a `bind` list. */
struct listen_address {
    char host[LISTEN_HOST_BYTES]; /* without the '-'; "*" and "::*" are "" */
    bool ipv6;
    bool optional; /* written with '-': fine if the machine does not have it */
};

struct listen_set {
    int fds[LISTEN_FDS_MAX];
    uint32_t count;
    char first_host[LISTEN_HOST_BYTES]; /* of the first one as the option words it, "" if none */
};

struct listeners {
    struct listen_set front; /* TCP first, then the Unix socket */
    struct listen_set http;
    struct listen_set worker[SHARD_MAX];
    char unix_path[108]; /* made by us, or "" */
};

/* Split a `bind` list. Returns the number of addresses, or -1 with a one-line text. */
int listen_addresses_parse(const char *text, struct listen_address *addresses_r, uint32_t max,
                           char *error_r, size_t error_bytes);
/* Bind all. Returns 0, or -1 with a one-line text and everything closed. */
int listeners_open(struct listeners *listeners, const struct config *config, uint32_t workers,
                   char *error_r, size_t error_bytes);
/* Closes all and removes the Unix socket. */
void listeners_close(struct listeners *listeners);
/* The host that cluster clients are told: the option, or the first bound address; a wildcard is
 * told as loopback. */
void listeners_announce_host(const struct listeners *listeners, const struct config *config,
                             char host_r[64]);

#endif
