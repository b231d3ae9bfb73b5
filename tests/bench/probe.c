/* probe.c - what a client sees of a server, and what a disk can do; the bench's own measuring tools.
 *
 *   probe await PORT COUNT          until DBSIZE is COUNT (asks every 2 ms)
 *   probe pause PORT KEYS LOAD      each ms one SET, timed, and LOAD more, not timed, of KEYS random
 *                                   keys, until standard input ends; prints in ms
 *                                   "samples p50 p99 p99.9 max"
 *   probe disk DIR                  us of a fdatasync after an append of 4 KiB: "median p99"
 *
 * A sample is counted from when it should have been sent, so a pause is seen by all samples that fall
 * into it, not by one. Fails with a line on standard error. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    TICK_US = 1000,
    AWAIT_US = 2000,
    SAMPLES_MAX = 1 << 20,
    UNSENT_MAX = 8 << 20,
    VALUE_BYTES = 64,
    SYNCS = 200
};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "probe: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_connection(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        return fd;
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* ---- await ---- */
static int await(int port, const char *count) {
    char expected[32], reply[256];
    snprintf(expected, sizeof expected, ":%s\r\n", count);
    for (int fd = -1;; usleep(AWAIT_US)) {
        if (fd < 0 && (fd = open_connection(port)) < 0)
            continue;
        ssize_t n = write(fd, "DBSIZE\r\n", 8) == 8 ? read(fd, reply, sizeof reply - 1) : -1;
        reply[n > 0 ? n : 0] = '\0';
        if (strcmp(reply, expected) == 0)
            return 0;
        if (n > 0)
            continue;
        close(fd);
        fd = -1;
    }
}

/* ---- pause ---- */
struct stream {
    int fd;
    char *unsent;
    size_t len;
};

static uint32_t samples_us[SAMPLES_MAX];
static uint64_t due_us[SAMPLES_MAX]; /* when each sample should have been sent */
static uint32_t sent, answered;

static void add_set(struct stream *s, uint64_t keys) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if (s->len + 256 > UNSENT_MAX)
        return;
    s->len += (size_t)sprintf(
        s->unsent + s->len, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%d\r\n%0*llu\r\n",
        (unsigned long long)(state % keys), VALUE_BYTES, VALUE_BYTES, (unsigned long long)state);
}

static void flush_stream(struct stream *s) {
    ssize_t n = s->len > 0 ? write(s->fd, s->unsent, s->len) : 0;
    if (n < 0 && errno != EAGAIN)
        fail("write");
    if (n <= 0)
        return;
    s->len -= (size_t)n;
    memmove(s->unsent, s->unsent + n, s->len);
}

/* Returns how many replies came: all are one line. */
static uint32_t read_replies(const struct stream *s) {
    static char data[65536];
    uint32_t lines = 0;
    ssize_t n;
    while ((n = read(s->fd, data, sizeof data)) > 0)
        for (ssize_t i = 0; i < n; i++)
            lines += data[i] == '\n';
    if (n == 0 || errno != EAGAIN)
        fail("the server closed the connection");
    return lines;
}

static struct stream open_stream(int port) {
    struct stream s = {.fd = open_connection(port), .unsent = malloc(UNSENT_MAX)};
    if (s.fd < 0 || s.unsent == NULL || fcntl(s.fd, F_SETFL, O_NONBLOCK) != 0)
        fail("connect");
    return s;
}

static int compare(const void *a, const void *b) {
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void take_answers(const struct stream *timed) {
    uint32_t lines = read_replies(timed);
    uint64_t now = now_us();
    for (; lines > 0 && answered < sent; lines--, answered++)
        samples_us[answered] = (uint32_t)(now - due_us[answered]);
}

static int watch_pauses(int port, uint64_t keys, int load) {
    struct stream timed = open_stream(port), more = open_stream(port);
    uint64_t next = now_us() + TICK_US;
    bool ending = false;
    while (sent < SAMPLES_MAX && (!ending || answered < sent)) {
        for (uint64_t now = now_us(); !ending && now >= next && sent < SAMPLES_MAX;
             next += TICK_US) {
            due_us[sent++] = next;
            add_set(&timed, keys);
            for (int i = 0; i < load; i++)
                add_set(&more, keys);
        }
        flush_stream(&timed);
        flush_stream(&more);
        struct pollfd fds[] = {{timed.fd, POLLIN, 0}, {more.fd, POLLIN, 0}, {0, POLLIN, 0}};
        uint64_t now = now_us();
        struct timespec wait = {0, next > now && !ending ? (long)(next - now) * 1000 : 100000};
        if (ppoll(fds, ending ? 2 : 3, &wait, NULL) < 0 && errno != EINTR)
            fail("poll");
        if (fds[0].revents)
            take_answers(&timed);
        if (fds[1].revents)
            read_replies(&more);
        ending |= fds[2].revents != 0;
    }
    if (answered == 0)
        fail("no sample");
    qsort(samples_us, answered, sizeof *samples_us, compare);
    uint64_t n = answered;
    printf("%u %.2f %.2f %.2f %.2f\n", answered, samples_us[n / 2] / 1e3,
           samples_us[n * 99 / 100] / 1e3, samples_us[n * 999 / 1000] / 1e3,
           samples_us[n - 1] / 1e3);
    return 0;
}

/* ---- disk ---- */
static int time_syncs(const char *dir) {
    char path[4096], block[4096] = {1};
    uint32_t took_us[SYNCS];
    snprintf(path, sizeof path, "%s/probe-XXXXXX", dir);
    int fd = mkstemp(path);
    if (fd < 0)
        fail(path);
    unlink(path);
    for (int i = 0; i < SYNCS; i++) {
        uint64_t before = now_us();
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block || fdatasync(fd) != 0)
            fail("append");
        took_us[i] = (uint32_t)(now_us() - before);
    }
    close(fd);
    qsort(took_us, SYNCS, sizeof *took_us, compare);
    printf("%u %u\n", took_us[SYNCS / 2], took_us[SYNCS * 99 / 100]);
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 4 && strcmp(argv[1], "await") == 0)
        return await(atoi(argv[2]), argv[3]);
    if (argc == 5 && strcmp(argv[1], "pause") == 0)
        return watch_pauses(atoi(argv[2]), strtoull(argv[3], NULL, 10), atoi(argv[4]));
    if (argc == 3 && strcmp(argv[1], "disk") == 0)
        return time_syncs(argv[2]);
    fprintf(stderr, "probe await PORT COUNT | pause PORT KEYS LOAD | disk DIR\n");
    return 2;
}
