/* proxy.c - see the header. One thread, poll(), buffers so small that a follower's slowness is the primary's at
 * once. */
#include "tests/integration/proxy.h"
#include "tests/integration/pool_fixture.h"
#include "tests/interop/dataset.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

enum {
    PORTS_MAX = PORT_BLOCK,
    CONNECTIONS_MAX = 64,
    CHUNK_BYTES = 16384,
    SOCKET_BYTES = 32768,
    TICK_MS = 5
};

enum { FOLLOWER, PRIMARY };

/* What was read from one side and is on its way to the other. */
struct way {
    char data[CHUNK_BYTES];
    size_t at, len;
    bool ended; /* nothing more comes */
};

struct connection {
    int fd[2];
    struct way from[2];
    uint64_t until_cut, until_stall; /* bytes from the primary */
};

struct proxy {
    pthread_t thread;
    pthread_mutex_t lock; /* all below */
    bool stop;
    int first_port;
    unsigned ports, count, cuts;
    int listener[PORTS_MAX];
    struct connection *connection[CONNECTIONS_MAX];
    uint64_t random, cut_most, stall_after, rate, passed;
    double tokens; /* bytes that may pass now, if there is a rate */
    uint64_t filled_ms;
};

static struct sockaddr_in address_of(const char *host, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

/* ---- connections ---- */

static void close_connection(struct proxy *p, unsigned i, bool reset) {
    struct connection *c = p->connection[i];
    for (unsigned side = FOLLOWER; side <= PRIMARY; side++) {
        struct linger linger = {.l_onoff = 1};
        if (reset)
            setsockopt(c->fd[side], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(c->fd[side]);
    }
    free(c);
    p->connection[i] = p->connection[--p->count];
}

static void cut(struct proxy *p, unsigned i) {
    p->cuts++;
    close_connection(p, i, random_below(&p->random, 2) != 0);
}

static void draw_cut(struct proxy *p, struct connection *c) {
    c->until_cut = p->cut_most ? 1 + random_next(&p->random) % p->cut_most : UINT64_MAX;
}

static int connect_primary(int port) {
    struct sockaddr_in address = address_of("127.0.0.1", port);
    int size = SOCKET_BYTES, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void take_connection(struct proxy *p, unsigned listener) {
    int one = 1, size = SOCKET_BYTES, fd[2];
    fd[FOLLOWER] = accept4(p->listener[listener], NULL, NULL, SOCK_CLOEXEC);
    if (fd[FOLLOWER] < 0)
        return;
    fd[PRIMARY] = p->count < CONNECTIONS_MAX ? connect_primary(p->first_port + (int)listener) : -1;
    if (fd[PRIMARY] < 0) {
        close(fd[FOLLOWER]);
        return;
    }
    struct connection *c = calloc(1, sizeof(*c));
    setsockopt(fd[FOLLOWER], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    for (unsigned side = FOLLOWER; side <= PRIMARY; side++) {
        c->fd[side] = fd[side];
        setsockopt(fd[side], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        fcntl(fd[side], F_SETFL, O_NONBLOCK);
    }
    c->until_stall = p->stall_after;
    draw_cut(p, c);
    p->connection[p->count++] = c;
}

/* ---- bytes ---- */

static bool is_stalled(const struct connection *c) {
    return c->until_stall == 0 && c->from[PRIMARY].len == 0;
}

/* How much may be read from this side now. */
static size_t may_read(const struct proxy *p, const struct connection *c, unsigned side) {
    const struct way *way = &c->from[side];
    uint64_t most = CHUNK_BYTES;
    if (way->len > 0 || way->ended || is_stalled(c))
        return 0;
    if (side == FOLLOWER)
        return most;
    if (p->rate && p->tokens < (double)most)
        most = (uint64_t)p->tokens;
    if (c->until_cut < most)
        most = c->until_cut;
    if (c->until_stall < most)
        most = c->until_stall;
    return most;
}

static void count(struct proxy *p, struct connection *c, size_t bytes) {
    p->passed += bytes;
    if (p->rate)
        p->tokens -= (double)bytes;
    if (c->until_cut != UINT64_MAX)
        c->until_cut -= bytes;
    if (c->until_stall != UINT64_MAX)
        c->until_stall -= bytes;
}

/* False: the connection is of no use any more. */
static bool pass(struct proxy *p, struct connection *c, unsigned side) {
    struct way *way = &c->from[side];
    size_t most = may_read(p, c, side);
    ssize_t n = most ? read(c->fd[side], way->data, most) : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return false;
    if (most && n == 0)
        way->ended = true;
    if (n > 0) {
        way->at = 0;
        way->len = (size_t)n;
        if (side == PRIMARY)
            count(p, c, (size_t)n);
    }
    if (way->len == 0)
        return !way->ended;
    n = send(c->fd[!side], way->data + way->at, way->len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    way->at += (size_t)n;
    way->len -= (size_t)n;
    return true;
}

static void turn(struct proxy *p) {
    uint64_t now_ms = clock_mono_ms();
    p->tokens += (double)(p->rate * (now_ms - p->filled_ms)) / 1000;
    if (p->tokens > (double)p->rate / 10)
        p->tokens = (double)p->rate / 10;
    p->filled_ms = now_ms;
    for (unsigned i = p->count; i-- > 0;) {
        struct connection *c = p->connection[i];
        if (!pass(p, c, FOLLOWER) || !pass(p, c, PRIMARY))
            close_connection(p, i, false);
        else if (c->until_cut == 0 && c->from[PRIMARY].len == 0)
            cut(p, i);
    }
}

/* ---- the thread ---- */

static unsigned watched(struct proxy *p, struct pollfd *polls) {
    unsigned n = 0;
    for (; n < p->ports; n++)
        polls[n] = (struct pollfd){.fd = p->listener[n], .events = POLLIN};
    for (unsigned i = 0; i < p->count; i++) {
        struct connection *c = p->connection[i];
        for (unsigned side = FOLLOWER; side <= PRIMARY; side++) {
            short events = may_read(p, c, side) ? POLLIN : 0;
            if (c->from[!side].len > 0)
                events |= POLLOUT;
            /* One that nothing is expected of would wake us by its end, over and over. */
            polls[n++] = (struct pollfd){.fd = events ? c->fd[side] : -1, .events = events};
        }
    }
    return n;
}

static void *run(void *arg) {
    struct proxy *p = arg;
    struct pollfd polls[PORTS_MAX + 2 * CONNECTIONS_MAX];
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        unsigned n = watched(p, polls);
        pthread_mutex_unlock(&p->lock);
        poll(polls, n, TICK_MS);
        pthread_mutex_lock(&p->lock);
        for (unsigned i = 0; i < p->ports; i++)
            if (polls[i].revents)
                take_connection(p, i);
        turn(p);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct proxy *proxy_start(int first_port, unsigned ports) {
    struct proxy *p = calloc(1, sizeof(*p));
    assert_true(ports <= PORTS_MAX);
    *p = (struct proxy){.first_port = first_port,
                        .ports = ports,
                        .stall_after = PROXY_ALL,
                        .filled_ms = clock_mono_ms()};
    for (unsigned i = 0; i < ports; i++) {
        struct sockaddr_in address = address_of(PROXY_HOST, first_port + (int)i);
        int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(fd, CONNECTIONS_MAX), 0);
        p->listener[i] = fd;
    }
    pthread_mutex_init(&p->lock, NULL);
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
    return p;
}

void proxy_end(struct proxy **proxy) {
    struct proxy *p = *proxy;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    while (p->count > 0)
        close_connection(p, 0, false);
    for (unsigned i = 0; i < p->ports; i++)
        close(p->listener[i]);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *proxy = NULL;
}

/* ---- rules ---- */

void proxy_cut_within(struct proxy *p, uint64_t seed, uint64_t most) {
    pthread_mutex_lock(&p->lock);
    p->random = seed;
    p->cut_most = most;
    for (unsigned i = 0; i < p->count; i++)
        draw_cut(p, p->connection[i]);
    pthread_mutex_unlock(&p->lock);
}

void proxy_cut(struct proxy *p) {
    pthread_mutex_lock(&p->lock);
    while (p->count > 0)
        cut(p, 0);
    pthread_mutex_unlock(&p->lock);
}

void proxy_throttle(struct proxy *p, uint64_t bytes_per_s) {
    pthread_mutex_lock(&p->lock);
    p->rate = bytes_per_s;
    p->tokens = 0;
    pthread_mutex_unlock(&p->lock);
}

void proxy_stall_after(struct proxy *p, uint64_t bytes) {
    pthread_mutex_lock(&p->lock);
    p->stall_after = bytes;
    for (unsigned i = 0; i < p->count; i++)
        p->connection[i]->until_stall = bytes;
    pthread_mutex_unlock(&p->lock);
}

/* ---- what has happened ---- */

unsigned proxy_cuts(struct proxy *p) {
    pthread_mutex_lock(&p->lock);
    unsigned cuts = p->cuts;
    pthread_mutex_unlock(&p->lock);
    return cuts;
}

unsigned proxy_stalled(struct proxy *p) {
    unsigned stalled = 0;
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->count; i++)
        stalled += is_stalled(p->connection[i]);
    pthread_mutex_unlock(&p->lock);
    return stalled;
}

uint64_t proxy_passed(struct proxy *p) {
    pthread_mutex_lock(&p->lock);
    uint64_t passed = p->passed;
    pthread_mutex_unlock(&p->lock);
    return passed;
}
