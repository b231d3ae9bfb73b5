/* listeners.c - see the header. Every failure names the address, the port and the option. */
#include "supervisor/listeners.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct failure {
    char *text;
    size_t bytes;
};

__attribute__((format(printf, 2, 3))) static int fail(struct failure *failure, const char *format,
                                                      ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(failure->text, failure->bytes, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- bind lists ---- */

static int parse_word(const char *word, size_t length, struct listen_address *address,
                      struct failure *failure) {
    memset(address, 0, sizeof(*address));
    if (length > 0 && word[0] == '-') {
        address->optional = true;
        word++;
        length--;
    }
    if (length == 0 || length >= sizeof(address->host))
        return fail(failure, "bind address '%.*s' is empty or longer than %zu bytes", (int)length,
                    word, sizeof(address->host) - 1);
    address->ipv6 = memchr(word, ':', length) != NULL;
    bool wildcard = (length == 1 && word[0] == '*') || (length == 3 && memcmp(word, "::*", 3) == 0);
    if (!wildcard)
        memcpy(address->host, word, length);
    return 0;
}

int listen_addresses_parse(const char *text, struct listen_address *addresses_r, uint32_t max,
                           char *error_r, size_t error_bytes) {
    struct failure failure = {error_r, error_bytes};
    uint32_t count = 0;
    for (text += strspn(text, " \t"); *text; text += strspn(text, " \t")) {
        size_t length = strcspn(text, " \t");
        if (count == max)
            return fail(&failure, "more than %u bind addresses", max);
        if (parse_word(text, length, &addresses_r[count++], &failure) != 0)
            return -1;
        text += length;
    }
    return (int)count;
}

/* ---- TCP ---- */

/* Returns a listening socket, or -1 with errno. */
static int listen_at(const struct addrinfo *at, int backlog) {
    const int on = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (at->ai_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) != 0) ||
        bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, backlog) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static bool not_available(int error) {
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT || error == EPROTONOSUPPORT ||
           error == ESOCKTNOSUPPORT || error == EPFNOSUPPORT;
}

static const char *shown_host(const struct listen_address *address) {
    return address->host[0] ? address->host : address->ipv6 ? "::*" : "*";
}

/* One address and port into the set; an optional address that is not there is skipped. */
static int listen_tcp(struct listen_set *set, const struct listen_address *address, uint32_t port,
                      const char *option, int backlog, struct failure *failure) {
    char service[16];
    struct addrinfo *found = NULL;
    const struct addrinfo hints = {.ai_family = address->ipv6 ? AF_INET6 : AF_INET,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    snprintf(service, sizeof(service), "%u", port);
    int result = getaddrinfo(address->host[0] ? address->host : NULL, service, &hints, &found);
    if (result != 0) {
        if (address->optional)
            return 0;
        return fail(failure, "cannot listen on %s: %s", shown_host(address), gai_strerror(result));
    }
    int fd = listen_at(found, backlog);
    freeaddrinfo(found);
    if (fd >= 0) {
        if (set->count == 0)
            strcpy(set->first_host, shown_host(address));
        set->fds[set->count++] = fd;
        return 0;
    }
    if (address->optional && not_available(errno))
        return 0;
    return fail(failure, "cannot listen on %s port %u (%s): %s", shown_host(address), port, option,
                strerror(errno));
}

static int listen_on_all(struct listen_set *set, const struct listen_address *addresses, int count,
                         uint32_t port, const char *option, int backlog, struct failure *failure) {
    if (port == 0)
        return 0;
    if (port > 65535)
        return fail(failure, "%s: port %u is past 65535", option, port);
    for (int i = 0; i < count; i++) {
        if (listen_tcp(set, &addresses[i], port, option, backlog, failure) != 0)
            return -1;
    }
    if (set->count == 0)
        return fail(failure, "no address to listen on for %s %u", option, port);
    return 0;
}

/* ---- Unix ---- */

/* A socket file that nobody answers is left over from a dead server. */
static int remove_stale(const struct sockaddr_un *address, struct failure *failure) {
    struct stat status;
    const char *path = address->sun_path;
    if (lstat(path, &status) != 0)
        return errno == ENOENT ? 0 : fail(failure, "unixsocket %s: %s", path, strerror(errno));
    if (!S_ISSOCK(status.st_mode))
        return fail(failure, "unixsocket %s: a file that is no socket is there", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail(failure, "unixsocket %s: %s", path, strerror(errno));
    int result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    int error = errno;
    close(fd);
    if (result == 0 || error != ECONNREFUSED)
        return fail(failure, "unixsocket %s: a server answers there", path);
    if (unlink(path) != 0)
        return fail(failure, "unixsocket %s: cannot remove it: %s", path, strerror(errno));
    return 0;
}

static int listen_unix(struct listeners *listeners, const struct config *config,
                       struct failure *failure) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = config->unixsocket;
    if (!path || !path[0])
        return 0;
    if (strlen(path) >= sizeof(address.sun_path) || listeners->front.count == LISTEN_FDS_MAX)
        return fail(failure, "unixsocket: the path is too long or too many addresses are bound");
    strcpy(address.sun_path, path);
    if (remove_stale(&address, failure) != 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(failure, "unixsocket %s: %s", path, strerror(errno));
    listeners->front.fds[listeners->front.count++] = fd;
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return fail(failure, "unixsocket %s: %s", path, strerror(errno));
    strcpy(listeners->unix_path, path);
    mode_t mode = (mode_t)strtoul(config->unixsocketperm ? config->unixsocketperm : "0", NULL, 8);
    if ((mode != 0 && chmod(path, mode) != 0) || listen(fd, (int)config->tcp_backlog) != 0)
        return fail(failure, "unixsocket %s: %s", path, strerror(errno));
    return 0;
}

/* ---- all of them ---- */

static int open_all(struct listeners *listeners, const struct config *config, uint32_t workers,
                    struct failure *failure) {
    struct listen_address bound[LISTEN_FDS_MAX], status[LISTEN_HTTP_MAX];
    int backlog = (int)config->tcp_backlog;
    int bound_count =
        listen_addresses_parse(config->bind, bound, LISTEN_FDS_MAX, failure->text, failure->bytes);
    int status_count = listen_addresses_parse(config->status_bind, status, LISTEN_HTTP_MAX,
                                              failure->text, failure->bytes);
    if (bound_count < 0 || status_count < 0)
        return -1;
    if (listen_on_all(&listeners->front, bound, bound_count, (uint32_t)config->port, "port",
                      backlog, failure) != 0 ||
        listen_unix(listeners, config, failure) != 0 ||
        listen_on_all(&listeners->http, status, status_count, (uint32_t)config->status_port,
                      "status-port", backlog, failure) != 0)
        return -1;
    for (uint32_t i = 0; config->worker_port_base && i < workers; i++) {
        if (listen_on_all(&listeners->worker[i], bound, bound_count,
                          (uint32_t)config->worker_port_base + i, "worker-port-base", backlog,
                          failure) != 0)
            return -1;
    }
    return 0;
}

int listeners_open(struct listeners *listeners, const struct config *config, uint32_t workers,
                   char *error_r, size_t error_bytes) {
    struct failure failure = {error_r, error_bytes};
    memset(listeners, 0, sizeof(*listeners));
    if (open_all(listeners, config, workers, &failure) == 0)
        return 0;
    listeners_close(listeners);
    return -1;
}

static void close_set(struct listen_set *set) {
    while (set->count > 0)
        close(set->fds[--set->count]);
}

void listeners_close(struct listeners *listeners) {
    close_set(&listeners->front);
    close_set(&listeners->http);
    for (uint32_t i = 0; i < SHARD_MAX; i++)
        close_set(&listeners->worker[i]);
    if (listeners->unix_path[0])
        unlink(listeners->unix_path);
    listeners->unix_path[0] = 0;
}

void listeners_announce_host(const struct listeners *listeners, const struct config *config,
                             char host_r[64]) {
    const char *host = listeners->worker[0].first_host;
    if (config->cluster_announce_ip && config->cluster_announce_ip[0])
        host = config->cluster_announce_ip;
    else if (host[0] == 0 || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0)
        host = "127.0.0.1";
    else if (strcmp(host, "::*") == 0 || strcmp(host, "::") == 0)
        host = "::1";
    snprintf(host_r, 64, "%s", host);
}
