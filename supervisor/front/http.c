/* http.c - libmicrohttpd, driven from the libev loop through its epoll descriptor.
 *
 * Sockets are accepted here and given to the library, so that one daemon serves all listeners and
 * running out of descriptors pauses instead of spinning. Whatever a client does, its connection
 * ends REQUEST_SECONDS after its last complete answer; a slow trickle of bytes does not extend it. */
#include "supervisor/front/http.h"
#include "shared/base/clock.h"
#include "shared/base/list.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/inherit.h"
#include "supervisor/front/http_host.h"
#include "supervisor/front/http_routes.h"
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REQUEST_SECONDS = 10,
    CONNECTIONS_PER_ADDRESS = 32,
    CONNECTION_MEMORY_BYTES = 8 * 1024, /* request line and headers must fit */
    QUERY_ARGUMENTS_MAX = 8,
    ACCEPT_BATCH = 8,
    PAUSE_MS = 100,
    NONCE_BYTES = 16
};

struct http_listener {
    struct ev_io io;
    struct http *http;
};

struct http_connection {
    struct list node; /* the longest without an answer first */
    int fd;
    uint64_t since_ms;
};

struct http {
    struct http_setup setup;
    const struct config *config;
    struct MHD_Daemon *daemon;
    struct http_listener listener[INHERIT_FD_HTTP_MAX - INHERIT_FD_HTTP];
    struct ev_io activity;
    struct ev_timer timeout, sweep, resume;
    struct list connections;
};

/* ---- answering ---- */

static void nonce_make(char text_r[2 * NONCE_BYTES + 1]) {
    uint8_t random[NONCE_BYTES];
    if (getentropy(random, sizeof(random)))
        memset(random, 0, sizeof(random));
    for (int i = 0; i < NONCE_BYTES; i++)
        snprintf(text_r + (ptrdiff_t)(2 * i), 3, "%02x", random[i]);
}

static void headers_add(struct MHD_Response *response, const struct http_answer *answer) {
    static const struct {
        const char *name, *value;
    } fixed[] = {
        {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "no-referrer"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
    };
    char policy[256] = "default-src 'none'; frame-ancestors 'none'";
    if (answer->nonce[0])
        snprintf(policy, sizeof(policy),
                 "default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; "
                 "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                 "frame-ancestors 'none'",
                 answer->nonce, answer->nonce);
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        MHD_add_response_header(response, fixed[i].name, fixed[i].value);
    MHD_add_response_header(response, "Content-Security-Policy", policy);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
}

/* Queues the answer; the response takes its body over. */
static enum MHD_Result answer_send(struct http *http, struct MHD_Connection *connection,
                                   struct http_answer *answer) {
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback(
        answer->body.len, answer->body.data, mem_free);
    if (!response) {
        buf_free(&answer->body);
        return MHD_NO;
    }
    headers_add(response, answer);
    enum MHD_Result result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    status_add(http->setup.page, METRIC_http_requests, 1);
    return result;
}

/* Address this connection came in on, without the port; "" if it cannot be told. */
static void local_address(struct MHD_Connection *connection, char text_r[INET6_ADDRSTRLEN]) {
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct sockaddr_storage storage;
    socklen_t len = sizeof(storage);
    text_r[0] = '\0';
    if (!info || getsockname(info->connect_fd, (struct sockaddr *)&storage, &len))
        return;
    const void *address = storage.ss_family == AF_INET6
                              ? (const void *)&((struct sockaddr_in6 *)&storage)->sin6_addr
                              : (const void *)&((struct sockaddr_in *)&storage)->sin_addr;
    if (!inet_ntop(storage.ss_family, address, text_r, INET6_ADDRSTRLEN))
        text_r[0] = '\0';
}

static bool has_body(struct MHD_Connection *connection) {
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return (length && strcmp(length, "0") != 0) ||
           MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                       MHD_HTTP_HEADER_TRANSFER_ENCODING);
}

/* Refusals that need the headers only. False: the request may be answered. */
static bool request_refuse(struct http *http, struct MHD_Connection *connection, const char *method,
                           struct http_answer *answer) {
    const char *host =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    char local[INET6_ADDRSTRLEN];
    local_address(connection, local);
    if (!http_host_allowed(host, local, http->config->status_hosts))
        http_plain(answer, MHD_HTTP_MISDIRECTED_REQUEST,
                   "this Host is not served; allowed are localhost, the address itself and the "
                   "names in status-hosts\n");
    else if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        http_plain(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    else if (has_body(connection))
        http_plain(answer, MHD_HTTP_CONTENT_TOO_LARGE, "no request body is taken\n");
    else if (MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, NULL, NULL) >
             QUERY_ARGUMENTS_MAX)
        http_plain(answer, MHD_HTTP_BAD_REQUEST, "too many query arguments\n");
    else
        return false;
    return true;
}

/* The library calls twice: with the headers, then with the (empty) body. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_bytes, void **seen) {
    struct http *http = cls;
    char nonce[2 * NONCE_BYTES + 1];
    struct http_answer answer = {.nonce = nonce};
    if (!*seen) {
        *seen = http;
        return request_refuse(http, connection, method, &answer)
                   ? answer_send(http, connection, &answer)
                   : MHD_YES;
    }
    struct status_view view = {.segment = http->setup.segment,
                               .config = http->config,
                               .pulse = http->setup.pulse,
                               .history = http->setup.history,
                               .now_mono_ms = clock_mono_ms(),
                               .now_wall_ms = clock_wall_ms()};
    nonce_make(nonce);
    http_route(&view, url, &answer);
    return answer_send(http, connection, &answer);
}

/* ---- connections ---- */

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    struct http *http = cls;
    struct http_connection *c = *context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        c = mem_calloc(1, sizeof(*c));
        c->fd = info ? info->connect_fd : -1;
        c->since_ms = clock_mono_ms();
        list_push_back(&http->connections, &c->node);
        *context = c;
    } else if (c) {
        list_remove(&c->node);
        mem_free(c);
        *context = NULL;
    }
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **seen,
                         enum MHD_RequestTerminationCode code) {
    struct http *http = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_connection *c = info ? info->socket_context : NULL;
    if (!c || code != MHD_REQUEST_TERMINATED_COMPLETED_OK)
        return;
    c->since_ms = clock_mono_ms();
    list_remove(&c->node);
    list_push_back(&http->connections, &c->node);
}

static void on_sweep(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    struct http *http = timer->data;
    uint64_t now = clock_mono_ms();
    LIST_EACH(node, &http->connections) {
        struct http_connection *c = LIST_ENTRY(node, struct http_connection, node);
        if (now - c->since_ms < REQUEST_SECONDS * 1000)
            break;
        shutdown(c->fd, SHUT_RDWR);
    }
}

/* ---- the loop ---- */

static void pump(struct http *http) {
    struct ev_loop *loop = http->setup.loop;
    unsigned long long wait_ms;
    MHD_run(http->daemon);
    ev_timer_stop(loop, &http->timeout);
    if (MHD_get_timeout(http->daemon, &wait_ms) != MHD_YES)
        return;
    ev_timer_set(&http->timeout, (double)wait_ms / 1000.0, 0.0);
    ev_timer_start(loop, &http->timeout);
}

static void on_activity(struct ev_loop *loop, struct ev_io *io, int revents) {
    pump(io->data);
}

static void on_timeout(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    pump(timer->data);
}

static void accept_pause(struct http *http) {
    for (uint32_t i = 0; i < http->setup.listeners; i++)
        ev_io_stop(http->setup.loop, &http->listener[i].io);
    ev_timer_set(&http->resume, PAUSE_MS / 1000.0, 0.0);
    ev_timer_start(http->setup.loop, &http->resume);
}

static void on_accept(struct ev_loop *loop, struct ev_io *io, int revents) {
    struct http *http = ((struct http_listener *)io)->http;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        int fd = accept4(io->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && errno == EAGAIN)
            break;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            accept_pause(http);
            break;
        }
        /* It closes the socket itself if a limit of ours is reached. */
        if (fd >= 0 &&
            MHD_add_connection(http->daemon, fd, (struct sockaddr *)&peer, len) != MHD_YES)
            status_add(http->setup.page, METRIC_connections_rejected, 1);
    }
    pump(http);
}

static void on_resume(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    struct http *http = timer->data;
    for (uint32_t i = 0; i < http->setup.listeners; i++)
        ev_io_start(loop, &http->listener[i].io);
}

/* ---- life ---- */

static void ignore_log(void *cls, const char *format, va_list args) {
}

static struct MHD_Daemon *daemon_start(struct http *http) {
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request,
        http, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_PER_ADDRESS, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)REQUEST_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, on_connection, http,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, http, MHD_OPTION_END);
}

static void watchers_start(struct http *http, int epoll_fd) {
    struct ev_loop *loop = http->setup.loop;
    ev_io_init(&http->activity, on_activity, epoll_fd, EV_READ);
    ev_timer_init(&http->sweep, on_sweep, 1.0, 1.0);
    http->activity.data = http->sweep.data = http;
    ev_io_start(loop, &http->activity);
    ev_timer_start(loop, &http->sweep);
    for (uint32_t i = 0; i < http->setup.listeners; i++) {
        struct http_listener *listener = &http->listener[i];
        listener->http = http;
        ev_io_init(&listener->io, on_accept, INHERIT_FD_HTTP + (int)i, EV_READ);
        ev_io_start(loop, &listener->io);
    }
}

struct http *http_create(const struct http_setup *setup, const struct config *config) {
    struct http *http = mem_calloc(1, sizeof(*http));
    http->setup = *setup;
    http->config = config;
    list_init(&http->connections);
    ev_timer_init(&http->timeout, on_timeout, 0.0, 0.0);
    ev_timer_init(&http->resume, on_resume, 0.0, 0.0);
    http->timeout.data = http->resume.data = http;
    http->daemon = daemon_start(http);
    const union MHD_DaemonInfo *info =
        http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        log_warning("The HTTP server cannot start: %s", strerror(errno));
        if (http->daemon)
            MHD_stop_daemon(http->daemon);
        mem_free(http);
        return NULL;
    }
    watchers_start(http, info->epoll_fd);
    return http;
}

void http_configure(struct http *http, const struct config *config) {
    http->config = config;
}

void http_destroy(struct http **http) {
    struct http *h = *http;
    struct ev_loop *loop = h->setup.loop;
    for (uint32_t i = 0; i < h->setup.listeners; i++) {
        ev_io_stop(loop, &h->listener[i].io);
        close(h->listener[i].io.fd);
    }
    ev_io_stop(loop, &h->activity);
    ev_timer_stop(loop, &h->timeout);
    ev_timer_stop(loop, &h->sweep);
    ev_timer_stop(loop, &h->resume);
    MHD_stop_daemon(h->daemon);
    mem_free(h);
    *http = NULL;
}
