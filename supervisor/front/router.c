/* router.c - deals connected clients out to the workers; see router.h for the picture.
 *
 * A client that sends its first command with the connection costs accept4, one peek, one sendmsg
 * and a close. Each callback does a bounded batch. */
#include "supervisor/front/router_private.h"
#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "shared/base/panic.h"
#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64, READABLE_BATCH = 128, RETRY_MS = 20, PAUSE_MS = 100, IDLE_TICKS = 2 };

static const char err_maxclients[] = "-ERR max number of clients reached\r\n";
static const char err_address[] = "-ERR max number of clients per address reached\r\n";
static const char err_loading[] = "-LOADING Redis is loading the dataset in memory\r\n";

/* ---- handing over ---- */

static bool hand_to(struct router *r, struct client *client, uint32_t worker) {
    if (handover_send(inherit_fd_handover(worker), client->fd, &client->what) != HANDOVER_OK) {
        pool_view_full(&r->pool, worker);
        return false;
    }
    pool_view_handed(&r->pool, worker, client->address_class);
    close(client->fd);
    client->fd = -1;
    return true;
}

/* To the owner if there is one and it takes it, else to whoever has the least to do: a worker
 * relays, and waits for, what another owns. False: nobody takes clients now. */
static bool hand_over(struct router *r, struct client *client, uint32_t owner) {
    if (pool_view_takes(&r->pool, owner) && hand_to(r, client, owner)) {
        status_add(r->page, METRIC_front_handed_by_key, 1);
        return true;
    }
    uint32_t worker;
    while ((worker = pool_view_least_loaded(&r->pool)) != POOL_NOBODY)
        if (hand_to(r, client, worker)) {
            status_add(r->page, METRIC_front_handed_by_load, 1);
            return true;
        }
    return false;
}

enum look { LOOK_HAND_OVER, LOOK_WAIT, LOOK_CLOSED };

/* What the client has sent says who gets it. final: no more waiting for its command. */
static enum look client_look(struct router *r, const struct client *client, bool final,
                             uint32_t *owner_r) {
    ssize_t got = recv(client->fd, r->peek, sizeof(r->peek), MSG_PEEK | MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
        return LOOK_CLOSED;
    struct bytes key;
    enum router_key_result found =
        got > 0 ? router_first_key(r->peek, (size_t)got, &key) : ROUTER_INCOMPLETE;
    *owner_r = found == ROUTER_KEY ? r->segment->slots->owner[slot_of_key(key)] : POOL_NOBODY;
    return found == ROUTER_INCOMPLETE && !final ? LOOK_WAIT : LOOK_HAND_OVER;
}

static void client_close(struct client *client) {
    close(client->fd);
    client->fd = -1;
}

/* ---- clients that are kept ---- */

static void figures_publish(struct router *r) {
    status_set(r->page, METRIC_front_waiting, r->open);
}

static void deadline_arm(struct router *r) {
    ev_timer_stop(r->loop, &r->deadline);
    if (list_empty(&r->waiting))
        return;
    const struct client *oldest = LIST_ENTRY(r->waiting.next, struct client, node);
    uint64_t at = oldest->since_ms + (uint64_t)r->config->first_command_wait, now = clock_mono_ms();
    ev_now_update(r->loop);
    ev_timer_set(&r->deadline, at > now ? (double)(at - now) / 1000.0 : 0.0, 0.0);
    ev_timer_start(r->loop, &r->deadline);
}

static void client_release(struct router *r, struct client *client) {
    pool_view_address_drop(&r->pool, client->address_class);
    list_remove(&client->node);
    mem_free(client);
    r->open--;
}

static void client_stall(struct router *r, struct client *client) {
    list_remove(&client->node);
    client->since_ms = clock_mono_ms();
    list_push_back(&r->stalled, &client->node);
    if (!ev_is_active(&r->retry))
        ev_timer_again(r->loop, &r->retry);
}

/* Takes a client off the stack into a list. */
static struct client *client_keep(struct router *r, const struct client *passing) {
    struct client *client = mem_alloc(sizeof(*client));
    *client = *passing;
    list_init(&client->node);
    client->since_ms = clock_mono_ms();
    pool_view_address_add(&r->pool, client->address_class);
    r->open++;
    return client;
}

static void client_await(struct router *r, struct client *client) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = client};
    list_push_back(&r->waiting, &client->node);
    /* If this fails, its deadline is all it waits for. */
    (void)epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, client->fd, &event);
    if (!ev_is_active(&r->deadline))
        deadline_arm(r);
}

/* Why a kept client has its turn: bytes came, its peer has closed, or its time is up. */
enum wake { WAKE_BYTES, WAKE_ENDED, WAKE_FINAL };

/* False: nobody takes clients now. */
static bool client_wake(struct router *r, struct client *client, enum wake wake) {
    uint32_t owner;
    enum look look = client_look(r, client, wake == WAKE_FINAL, &owner);
    if (look == LOOK_WAIT && wake == WAKE_ENDED)
        look = LOOK_CLOSED; /* half a command, and no more will come */
    if (look == LOOK_WAIT)
        return true;
    /* Out of our set first: the socket lives on in the worker, where it must not wake us. */
    (void)epoll_ctl(r->epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
    if (look == LOOK_CLOSED)
        client_close(client);
    else if (!hand_over(r, client, owner))
        return false;
    client_release(r, client);
    return true;
}

static void client_turn(struct router *r, struct client *client, enum wake wake) {
    if (!client_wake(r, client, wake))
        client_stall(r, client);
}

/* A client just accepted: straight through, or kept. */
static void client_new(struct router *r, struct client *client) {
    uint32_t owner;
    enum look look = client_look(r, client, r->config->first_command_wait == 0, &owner);
    if (look == LOOK_CLOSED)
        client_close(client);
    else if (look == LOOK_WAIT)
        client_await(r, client_keep(r, client));
    else if (!hand_over(r, client, owner))
        client_stall(r, client_keep(r, client));
}

/* ---- limits ---- */

/* The limit that this client would break, or NULL. */
static const char *client_limit(struct router *r, const struct client *client) {
    if (pool_view_clients(&r->pool) + r->open >= (uint64_t)r->config->maxclients)
        return err_maxclients;
    int64_t limit = r->config->maxclients_per_address;
    if (client->what.origin == HANDOVER_PUBLIC && limit > 0 &&
        pool_view_of_address(&r->pool, client->address_class) >= limit)
        return err_address;
    return NULL;
}

static bool client_admit(struct router *r, struct client *client) {
    if (client->what.origin == HANDOVER_PUBLIC) {
        char address[HANDOVER_ADDRESS_BYTES];
        client_address(client, address);
        client->address_class = segment_address_class(r->segment, address);
    }
    const char *refusal = client_limit(r, client);
    /* Who has landed since the last look is counted twice. */
    while (refusal && pool_view_refresh(&r->pool))
        refusal = client_limit(r, client);
    if (!refusal)
        return true;
    client_refuse(client, refusal);
    status_add(r->page, METRIC_connections_rejected, 1);
    return false;
}

static void accept_pause(struct router *r) {
    if (!r->paused) {
        status_add(r->page, METRIC_front_accept_paused, 1);
        status_set_text(r->page->note, "accepting pauses: out of descriptors (%u sockets kept)",
                        r->open);
        log_warning("Accepting pauses: out of descriptors (%u sockets kept)", r->open);
        r->paused = true;
    }
    for (uint32_t i = 0; i < r->listeners; i++)
        ev_io_stop(r->loop, &r->listener[i].io);
    ev_timer_stop(r->loop, &r->resume);
    ev_timer_set(&r->resume, PAUSE_MS / 1000.0, 0.0);
    ev_timer_start(r->loop, &r->resume);
}

/* ---- callbacks ---- */

static void on_accept(struct ev_loop *loop, struct ev_io *io, int revents) {
    struct listener *listener = (struct listener *)io;
    struct router *r = listener->router;
    pool_view_refresh(&r->pool);
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct client client;
        if (r->open >= r->open_max) {
            accept_pause(r);
            break;
        }
        enum accept_result result = listener_accept(listener, &client);
        if (result == ACCEPT_NO_DESCRIPTORS)
            accept_pause(r);
        if (result == ACCEPT_NONE || result == ACCEPT_NO_DESCRIPTORS)
            break;
        if (result == ACCEPT_RETRY)
            continue;
        status_add(r->page, METRIC_front_accepted, 1);
        if (client_admit(r, &client))
            client_new(r, &client);
    }
    figures_publish(r);
}

static void on_readable(struct ev_loop *loop, struct ev_io *io, int revents) {
    struct router *r = io->data;
    struct epoll_event events[READABLE_BATCH];
    int count = epoll_wait(r->epoll_fd, events, READABLE_BATCH, 0);
    pool_view_refresh(&r->pool);
    for (int i = 0; i < count; i++)
        client_turn(r, events[i].data.ptr,
                    events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) ? WAKE_ENDED
                                                                          : WAKE_BYTES);
    figures_publish(r);
}

static void on_deadline(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    struct router *r = timer->data;
    uint64_t now = clock_mono_ms(), wait = (uint64_t)r->config->first_command_wait;
    int left = READABLE_BATCH;
    pool_view_refresh(&r->pool);
    LIST_EACH(node, &r->waiting) {
        struct client *client = LIST_ENTRY(node, struct client, node);
        if (client->since_ms + wait > now || left-- == 0)
            break;
        client_turn(r, client, WAKE_FINAL);
    }
    deadline_arm(r);
    figures_publish(r);
}

/* What a client is told that nobody took within relay-wait. */
static void stalled_error(struct router *r, char *line_r, size_t line_bytes) {
    for (uint32_t i = 0; i < r->segment->workers; i++) {
        enum child_state state = atomic_load(&segment_status(r->segment, i)->state);
        if (state == CHILD_LOADING) {
            snprintf(line_r, line_bytes, "%s", err_loading);
            return;
        }
    }
    enum child_state first = atomic_load(&segment_status(r->segment, 0)->state);
    if (first == CHILD_UP)
        snprintf(line_r, line_bytes,
                 "-ERR the pool takes no clients: its workers' queues are full\r\n");
    else
        snprintf(line_r, line_bytes, "-ERR the pool takes no clients: shard 0 is %s\r\n",
                 child_state_name(first < CHILD_STATE_COUNT ? first : CHILD_DOWN));
}

static void stalled_refuse(struct router *r, struct client *client) {
    char line[128];
    stalled_error(r, line, sizeof(line));
    client_refuse(client, line);
    status_add(r->page, METRIC_connections_rejected, 1);
    client_release(r, client);
}

static void on_retry(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    struct router *r = timer->data;
    uint64_t now = clock_mono_ms(), wait = (uint64_t)r->config->relay_wait;
    bool taken = true;
    pool_view_refresh(&r->pool);
    LIST_EACH(node, &r->stalled) {
        struct client *client = LIST_ENTRY(node, struct client, node);
        /* As soon as one finds nobody, none will. */
        taken = taken && client_wake(r, client, WAKE_FINAL);
        if (!taken && client->since_ms + wait > now)
            break;
        if (!taken)
            stalled_refuse(r, client);
    }
    if (list_empty(&r->stalled))
        ev_timer_stop(r->loop, &r->retry);
    figures_publish(r);
}

static void on_resume(struct ev_loop *loop, struct ev_timer *timer, int revents) {
    struct router *r = timer->data;
    for (uint32_t i = 0; i < r->listeners; i++)
        ev_io_start(r->loop, &r->listener[i].io);
}

/* ---- life ---- */

static int listeners_open(struct router *r, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        struct listener *listener = &r->listener[i];
        int fd = INHERIT_FD_LISTEN + (int)i;
        listener->router = r;
        ev_io_init(&listener->io, on_accept, fd, EV_READ);
        if (listener_init(listener, fd)) {
            log_warning("Cannot use the listener at descriptor %d: %s", fd, strerror(errno));
            return -1;
        }
        r->listeners++;
        ev_io_start(r->loop, &listener->io);
    }
    return 0;
}

struct router *router_create(const struct router_setup *setup, const struct config *config) {
    struct router *r = mem_calloc(1, sizeof(*r));
    ASSERT(setup->listeners <= INHERIT_FD_LISTEN_MAX - INHERIT_FD_LISTEN);
    r->loop = setup->loop;
    r->segment = setup->segment;
    r->page = setup->page;
    r->open_max = setup->waiting_max;
    list_init(&r->waiting);
    list_init(&r->stalled);
    pool_view_init(&r->pool, r->segment, r->page);
    ev_timer_init(&r->deadline, on_deadline, 0.0, 0.0);
    ev_timer_init(&r->retry, on_retry, 0.0, RETRY_MS / 1000.0);
    ev_timer_init(&r->resume, on_resume, 0.0, 0.0);
    r->deadline.data = r->retry.data = r->resume.data = r->readable.data = r;
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    ev_io_init(&r->readable, on_readable, r->epoll_fd, EV_READ);
    r->readable.data = r;
    if (r->epoll_fd < 0 || listeners_open(r, setup->listeners)) {
        router_destroy(&r);
        return NULL;
    }
    ev_io_start(r->loop, &r->readable);
    router_configure(r, config);
    return r;
}

void router_configure(struct router *r, const struct config *config) {
    r->config = config;
    for (uint32_t i = 0; i < r->listeners; i++)
        listener_keepalive(&r->listener[i], config->tcp_keepalive);
    deadline_arm(r);
}

void router_peer_up(struct router *r) {
    if (!list_empty(&r->stalled))
        ev_feed_event(r->loop, &r->retry, EV_TIMER);
}

void router_tick(struct router *r) {
    pool_view_refresh(&r->pool);
    for (uint32_t i = 0; i < r->segment->workers; i++) {
        int queued = 1;
        bool idle = r->pool.worker[i].flights > 0 &&
                    ioctl(inherit_fd_handover(i), SIOCOUTQ, &queued) == 0 && queued == 0;
        r->idle_ticks[i] = idle ? r->idle_ticks[i] + 1 : 0;
        if (r->idle_ticks[i] >= IDLE_TICKS) {
            pool_view_queue_empty(&r->pool, i);
            r->idle_ticks[i] = 0;
        }
    }
    if (r->paused && !ev_is_active(&r->resume)) {
        r->paused = false;
        status_set_text(r->page->note, "%s", "");
    }
}

void router_destroy(struct router **router) {
    struct router *r = *router;
    ev_timer_stop(r->loop, &r->resume);
    for (uint32_t i = 0; i < r->listeners; i++) {
        ev_io_stop(r->loop, &r->listener[i].io);
        close(r->listener[i].io.fd);
    }
    pool_view_refresh(&r->pool);
    LIST_EACH(node, &r->waiting) {
        client_turn(r, LIST_ENTRY(node, struct client, node), WAKE_FINAL);
    }
    LIST_EACH(node, &r->stalled) {
        struct client *client = LIST_ENTRY(node, struct client, node);
        if (!client_wake(r, client, WAKE_FINAL))
            stalled_refuse(r, client);
    }
    ev_timer_stop(r->loop, &r->deadline);
    ev_timer_stop(r->loop, &r->retry);
    ev_io_stop(r->loop, &r->readable);
    if (r->epoll_fd >= 0)
        close(r->epoll_fd);
    mem_free(r);
    *router = NULL;
}
