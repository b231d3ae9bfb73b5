/* clients.c - connections come and go; the turns of all of them. */
#include "worker/client/client_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/ipc/handover.h"
#include "shared/ipc/inherit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const char denied_text[] =
    "-DENIED Redis is running in protected mode because protected mode is enabled and no password "
    "is "
    "set for the default user. In this mode connections are only accepted from the loopback "
    "interface. If you want to connect from external computers to Redis you may adopt one of the "
    "following solutions: 1) Just disable protected mode sending the command 'CONFIG SET "
    "protected-mode no' from the loopback interface by connecting to Redis from the same host the "
    "server is running, however MAKE SURE Redis is not publicly accessible from internet if you do "
    "so. Use CONFIG REWRITE to make this change permanent. 2) Alternatively you can just disable "
    "the "
    "protected mode by editing the Redis configuration file, and setting the protected mode option "
    "to "
    "'no', and then restarting the server. 3) If you started the server manually just for testing, "
    "restart it with the '--protected-mode no' option. 4) Set up an authentication password for "
    "the "
    "default user. NOTE: You only need to do one of the above things in order for the server to "
    "start "
    "accepting connections from the outside.\r\n";

struct client *client_of_session(struct session *session) {
    return (struct client *)((char *)session - offsetof(struct client, session));
}

/* ---- open ---- */

static bool is_loopback(const char *peer) {
    return strncmp(peer, "127.", 4) == 0 || strncmp(peer, "[::1]", 5) == 0 ||
           strncmp(peer, "[::ffff:127.", 12) == 0;
}

/* The reason why a connection is refused, or NULL. The front has checked the pool's limits for its
 * clients; those of our own port are checked here. */
static const char *refusal(struct clients *clients, enum session_port port, bool local) {
    const struct config *config = clients->env->config;
    if (config->protected_mode && config->requirepass[0] == 0 && !local)
        return denied_text;
    if (port == SESSION_NODE && segment_sum(clients->env->segment, METRIC_connected_clients) >=
                                    (uint64_t)config->maxclients)
        return "-ERR max number of clients reached\r\n";
    return NULL;
}

void client_mark_ready(struct client *c) {
    if (list_empty(&c->ready_link))
        list_push_back(&c->owner->ready, &c->ready_link);
}

static void wake(struct pipeline *pipeline) {
    struct client *c = pipeline->client;
    client_mark_ready(c);
    client_mark_flush(c);
}

static uint32_t address_class(struct clients *clients, const char *peer) {
    const char *colon = strrchr(peer, ':');
    char address[64];
    snprintf(address, sizeof(address), "%.*s", colon ? (int)(colon - peer) : 63, peer);
    return segment_address_class(clients->env->segment, address);
}

static void count_address(struct clients *clients, uint32_t class, int by) {
    _Atomic uint16_t *count = &clients->env->status->clients_by_address[class];
    atomic_store_explicit(count, (uint16_t)(atomic_load(count) + by), memory_order_relaxed);
}

struct client *client_open(struct clients *clients, int fd, enum session_port port,
                           bool unix_socket, const char *peer, const char *local) {
    bool local_peer = unix_socket || is_loopback(peer);
    const char *why = refusal(clients, port, local_peer);
    if (why) {
        clients->rejected++;
        (void)!write(fd, why, strlen(why));
        close(fd);
        return NULL;
    }
    struct client *c = mem_calloc(1, sizeof(*c));
    c->owner = clients;
    session_init(&c->session, port);
    struct session *s = &c->session;
    s->id = atomic_fetch_add(&clients->env->segment->header->next_client_id, 1);
    s->authenticated = clients->env->config->requirepass[0] == 0;
    s->unix_socket = unix_socket;
    s->local_peer = local_peer;
    s->fd = fd;
    s->created_wall_ms = clock_wall_ms();
    s->last_active_mono_ms = clock_mono_ms();
    snprintf(s->peer, sizeof(s->peer), "%s", peer);
    snprintf(s->local, sizeof(s->local), "%s", local);
    list_push_back(clients->env->sessions, &s->link);
    pipeline_init(&c->pipeline, c, wake);
    list_init(&c->chunks);
    list_init(&c->ready_link);
    list_init(&c->flush_link);
    list_init(&c->close_link);
    ev_io_init(&c->read_io, client_on_readable, fd, EV_READ);
    ev_io_init(&c->write_io, client_on_writable, fd, EV_WRITE);
    ev_io_start(clients->loop, &c->read_io);
    c->address_class = address_class(clients, peer);
    count_address(clients, c->address_class, 1);
    clients->connected++;
    clients->received++;
    status_set(clients->env->status, METRIC_connected_clients, clients->connected);
    return c;
}

/* ---- close ---- */

void client_close_later(struct client *c) {
    c->session.close_now = true;
    if (list_empty(&c->close_link))
        list_push_back(&c->owner->closing, &c->close_link);
}

static void client_close(struct client *c) {
    struct clients *clients = c->owner;
    ev_io_stop(clients->loop, &c->read_io);
    ev_io_stop(clients->loop, &c->write_io);
    list_remove(&c->ready_link);
    list_remove(&c->flush_link);
    list_remove(&c->close_link);
    router_forget(clients->router, &c->pipeline);
    client_drop_output(c);
    buf_free(&c->in);
    if (c->parser) {
        resp_parser_free(c->parser);
        mem_free(c->parser);
    }
    int fd = c->session.fd;
    session_free(&c->session); /* a replica's watches the descriptor */
    close(fd);
    count_address(clients, c->address_class, -1);
    clients->connected--;
    status_set(clients->env->status, METRIC_connected_clients, clients->connected);
    mem_free(c);
}

static void close_marked(struct clients *clients) {
    while (!list_empty(&clients->closing))
        client_close(LIST_ENTRY(clients->closing.next, struct client, close_link));
}

void clients_kill(struct clients *clients, struct session *session, bool own) {
    struct client *c = client_of_session(session);
    if (own)
        session->close_after_reply = true;
    else
        client_close_later(c);
    client_mark_flush(c);
}

/* ---- accept and take over ---- */

static void address_text(const struct sockaddr_storage *address, char *text, size_t bytes) {
    char ip[INET6_ADDRSTRLEN] = "?";
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)address;
        inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
        snprintf(text, bytes, "[%s]:%u", ip, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const void *)address;
        inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
        snprintf(text, bytes, "%s:%u", ip, ntohs(in->sin_port));
    }
}

void clients_socket_text(int fd, char peer_r[SOCKET_TEXT_BYTES], char local_r[SOCKET_TEXT_BYTES]) {
    struct sockaddr_storage peer = {0}, local = {0};
    socklen_t peer_len = sizeof(peer), local_len = sizeof(local);
    getpeername(fd, (struct sockaddr *)&peer, &peer_len);
    getsockname(fd, (struct sockaddr *)&local, &local_len);
    address_text(&peer, peer_r, SOCKET_TEXT_BYTES);
    address_text(&local, local_r, SOCKET_TEXT_BYTES);
}

static void set_socket_options(int fd, int64_t keepalive_seconds) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (keepalive_seconds <= 0)
        return;
    int idle = (int)keepalive_seconds, interval = idle / 3 > 0 ? idle / 3 : 1, probes = 3;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

static void on_acceptable(struct ev_loop *loop, ev_io *io, int events) {
    struct clients *clients = io->data;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage peer = {0}, local = {0};
        socklen_t peer_len = sizeof(peer), local_len = sizeof(local);
        int fd = accept4(io->fd, (struct sockaddr *)&peer, &peer_len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                /* Started again by clients_cron: a loop that spins helps nobody. */
                ev_io_stop(loop, io);
                log_warning("Out of file descriptors: accepting pauses");
            }
            return;
        }
        getsockname(fd, (struct sockaddr *)&local, &local_len);
        char peer_text[64], local_text[64];
        address_text(&peer, peer_text, sizeof(peer_text));
        address_text(&local, local_text, sizeof(local_text));
        set_socket_options(fd, clients->env->config->tcp_keepalive);
        client_open(clients, fd, SESSION_NODE, false, peer_text, local_text);
    }
}

static void take_over(struct clients *clients, int fd, const struct handover *what) {
    bool of_feed = what->origin == HANDOVER_FEED;
    struct client *c = client_open(clients, fd, of_feed ? SESSION_NODE : SESSION_PUBLIC,
                                   what->origin != HANDOVER_PUBLIC, what->peer, what->local);
    if (c == NULL)
        return;
    c->session.of_feed = of_feed;
    c->session.authenticated = c->session.authenticated || what->authenticated == 1;
    if (what->pending_bytes == 0)
        return;
    buf_append(&c->in, what->pending, what->pending_bytes);
    client_mark_ready(c);
}

bool clients_hand_over(struct clients *clients, struct session *session, uint32_t shard,
                       struct bytes pending) {
    struct client *c = client_of_session(session);
    struct handover what = {.origin = session->unix_socket ? HANDOVER_UNIX : HANDOVER_PUBLIC,
                            .authenticated = session->authenticated,
                            .pending_bytes = (uint32_t)pending.len};
    if (client_unsent(c) > 0 || pending.len > sizeof what.pending)
        return false;
    snprintf(what.peer, sizeof what.peer, "%s", session->peer);
    snprintf(what.local, sizeof what.local, "%s", session->local);
    memcpy(what.pending, pending.ptr, pending.len);
    if (handover_send(inherit_fd_handover(shard), session->fd, &what) != HANDOVER_OK)
        return false;
    client_close_later(c);
    return true;
}

static void on_handover(struct ev_loop *loop, ev_io *io, int events) {
    struct clients *clients = io->data;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct handover what;
        int fd;
        enum handover_result result = handover_receive(io->fd, &fd, &what);
        if (result == HANDOVER_AGAIN)
            return;
        status_add(clients->env->status, METRIC_clients_received, 1);
        if (result == HANDOVER_FAILED) {
            log_warning("A client handed over was lost: %s", strerror(errno));
            continue;
        }
        take_over(clients, fd, &what);
    }
}

void clients_open(struct clients *clients) {
    clients->open = true;
    for (uint32_t i = 0; i < clients->listeners; i++)
        ev_io_start(clients->loop, &clients->listen_io[i]);
}

void clients_open_handover(struct clients *clients) {
    ev_io_start(clients->loop, &clients->handover_io);
}

void clients_close_listeners(struct clients *clients) {
    for (uint32_t i = 0; i < clients->listeners; i++)
        ev_io_stop(clients->loop, &clients->listen_io[i]);
    ev_io_stop(clients->loop, &clients->handover_io);
    clients->open = false;
}

void clients_reopen(struct clients *clients) {
    clients_open(clients);
    clients_open_handover(clients);
}

/* ---- turns ---- */

void client_mark_flush(struct client *c) {
    if (list_empty(&c->flush_link))
        list_push_back(&c->owner->flush, &c->flush_link);
}

void clients_turn_begin(struct clients *clients) {
    /* Only those that are ready now: a client that becomes ready again waits for the next turn. */
    struct list now;
    list_init(&now);
    while (!list_empty(&clients->ready)) {
        struct list *node = clients->ready.next;
        list_remove(node);
        list_push_back(&now, node);
    }
    while (!list_empty(&now)) {
        struct client *c = LIST_ENTRY(now.next, struct client, ready_link);
        list_remove(&c->ready_link);
        if (!c->session.close_now)
            client_resume(c);
    }
}

bool clients_waiting(const struct clients *clients) {
    return !list_empty(&clients->ready) || !list_empty(&clients->flush);
}

void clients_turn_end(struct clients *clients) {
    uint64_t gate = persist_reply_gate(clients->env->persist);
    LIST_EACH(node, &clients->flush) {
        struct client *c = LIST_ENTRY(node, struct client, flush_link);
        list_remove(node);
        client_flush(c, gate);
    }
    close_marked(clients);
}

void clients_synced(struct clients *clients) {
    LIST_EACH(node, &clients->gated) {
        list_remove(node);
        list_push_back(&clients->flush, node);
    }
}

bool clients_drained(const struct clients *clients) {
    LIST_EACH(node, clients->env->sessions) {
        struct client *c = client_of_session(LIST_ENTRY(node, struct session, link));
        if (client_unsent(c) > 0)
            return false;
    }
    return true;
}

/* ---- cron ---- */

static void check_idle(struct clients *clients) {
    uint64_t now_ms = clock_mono_ms();
    uint64_t timeout_ms = (uint64_t)clients->env->config->timeout * 1000;
    LIST_EACH(node, clients->env->sessions) {
        struct client *c = client_of_session(LIST_ENTRY(node, struct session, link));
        uint64_t idle_ms = now_ms - c->session.last_active_mono_ms;
        if (timeout_ms && idle_ms > timeout_ms && c->pipeline.in_flight == 0 &&
            !replica_is_attached(c->session.replica)) {
            log_verbose("Closing idle client");
            client_close_later(c);
        } else if (client_unsent(c) > 0) {
            client_mark_flush(c); /* the soft output limit is a matter of time */
        } else if (idle_ms > 2000) {
            buf_free(&c->pipeline.out);
            if (c->in.len == 0)
                buf_free(&c->in);
        }
    }
}

void clients_cron(struct clients *clients) {
    if (++clients->cron_turns % 10 == 0)
        check_idle(clients);
    for (uint32_t i = 0; clients->open && i < clients->listeners; i++) {
        if (!ev_is_active(&clients->listen_io[i]))
            ev_io_start(clients->loop, &clients->listen_io[i]);
    }
}

void clients_refresh_status(struct clients *clients) {
    struct status_page *page = clients->env->status;
    status_set(page, METRIC_connected_clients, clients->connected);
    status_set(page, METRIC_connections_received, clients->received);
    status_set(page, METRIC_connections_rejected, clients->rejected);
    status_set(page, METRIC_net_input_bytes, clients->net_in);
    status_set(page, METRIC_net_output_bytes, clients->net_out);
}

/* ---- life ---- */

struct clients *clients_create(struct ev_loop *loop, struct command_env *env, struct router *router,
                               uint32_t listeners) {
    struct clients *clients = mem_calloc(1, sizeof(*clients));
    clients->loop = loop;
    clients->env = env;
    clients->router = router;
    clients->listeners = listeners < LISTENERS_MAX ? listeners : LISTENERS_MAX;
    for (uint32_t i = 0; i < clients->listeners; i++) {
        int fd = INHERIT_FD_LISTEN + (int)i;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        ev_io_init(&clients->listen_io[i], on_acceptable, fd, EV_READ);
        clients->listen_io[i].data = clients;
    }
    ev_io_init(&clients->handover_io, on_handover, INHERIT_FD_HANDOVER, EV_READ);
    clients->handover_io.data = clients;
    list_init(&clients->ready);
    list_init(&clients->flush);
    list_init(&clients->closing);
    list_init(&clients->gated);
    resp_parser_init(&clients->parser);
    clients->read_buffer = mem_alloc(READ_BYTES);
    return clients;
}

void clients_free(struct clients **ref) {
    struct clients *clients = *ref;
    if (!clients)
        return;
    clients_close_listeners(clients);
    LIST_EACH(node, clients->env->sessions)
    client_close(client_of_session(LIST_ENTRY(node, struct session, link)));
    resp_parser_free(&clients->parser);
    mem_free(clients->read_buffer);
    mem_free(clients);
    *ref = NULL;
}
