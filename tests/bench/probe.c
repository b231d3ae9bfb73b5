/* probe.c - what a client sees of a server, and what a disk can do; the bench's own measuring tools.
 *
 *   probe await PORT COUNT          until DBSIZE is COUNT (asks every 2 ms)
 *   probe pause PORT KEYS LOAD      each ms one SET, timed, and LOAD more, not timed, of KEYS random
 *                                   keys, until standard input ends; prints in ms
 *                                   "samples p50 p99 p99.9 max"
 *   probe lag PORT REPLICA KEYS LOAD MS
 *                                   each ms one SET of a counter and LOAD more, for MS ms; when the
 *                                   replica shows it: "samples p50 p99 max" in ms (it is asked every 0.1 ms)
 *   probe linked PORT ...           until all these replicas have a link (asks every 5 ms)
 *   probe distance MS PORT REPLICA [PORT REPLICA ...]
 *                                   bytes of the stream that the replicas are behind, all together,
 *                                   for MS ms: "samples p50 p99 max"
 *   probe disk DIR                  us of a fdatasync after an append of 4 KiB: "median p99"
 *
 * A sample of pause is counted from when it should have been sent, so a pause is seen by all samples that fall
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
    LOOK_US = 100,          /* at the replica */
    CATCH_UP_US = 10000000, /* how long the last writes may take to get there */
    LINKED_US = 5000,
    DISTANCE_US = 20000,
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

static uint32_t samples_us[SAMPLES_MAX]; /* of distance: bytes */
static uint64_t due_us[SAMPLES_MAX];     /* when each sample should have been sent */
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

/* "samples p50 p99 max", and p99.9 before the last if `fine` */
static void print_samples(uint32_t *samples, uint32_t n, double unit, bool fine) {
    if (n == 0)
        fail("no sample");
    qsort(samples, n, sizeof *samples, compare);
    printf("%u %.2f %.2f ", n, samples[n / 2] / unit, samples[(uint64_t)n * 99 / 100] / unit);
    if (fine)
        printf("%.2f ", samples[(uint64_t)n * 999 / 1000] / unit);
    printf("%.2f\n", samples[n - 1] / unit);
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
    print_samples(samples_us, answered, 1e3, true);
    return 0;
}

/* ---- lag ---- */
static const char ask_mark[] = "GET bench:lag\r\n";

static void add_mark(struct stream *s, uint32_t number) {
    char digits[16];
    int len = snprintf(digits, sizeof digits, "%u", number);
    s->len += (size_t)sprintf(s->unsent + s->len,
                              "*3\r\n$3\r\nSET\r\n$9\r\nbench:lag\r\n$%d\r\n%s\r\n", len, digits);
}

/* Takes the reply to ask_mark: false if there is none. All marks up to that number are visible. */
static bool take_mark(const struct stream *replica) {
    char reply[64];
    ssize_t n = read(replica->fd, reply, sizeof reply - 1);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0 || reply[0] != '$')
        fail("the replica's reply");
    reply[n] = '\0';
    const char *line = strchr(reply, '\n');
    uint32_t number = line != NULL ? (uint32_t)strtoul(line, NULL, 10) : 0;
    uint64_t now = now_us();
    for (; answered < number && answered < sent; answered++)
        samples_us[answered] = (uint32_t)(now - due_us[answered]);
    return true;
}

static int watch_lag(int port, int replica_port, uint64_t keys, int load, uint32_t wanted) {
    struct stream marks = open_stream(port), more = open_stream(port),
                  replica = open_stream(replica_port);
    uint64_t start = now_us(), next = start + TICK_US, look = start;
    bool asked = false;
    add_mark(&marks, 0);
    while (answered < wanted) {
        uint64_t now = now_us();
        for (; now >= next && sent < wanted; next += TICK_US) {
            for (int i = 0; i < load; i++)
                add_set(&more, keys);
            add_mark(&marks, sent + 1);
            due_us[sent++] = now;
        }
        flush_stream(&more);
        flush_stream(&marks);
        if (!asked && now >= look) {
            if (write(replica.fd, ask_mark, sizeof ask_mark - 1) != sizeof ask_mark - 1)
                fail("write to the replica");
            asked = true;
            look = now + LOOK_US;
        }
        struct pollfd fds[] = {
            {marks.fd, POLLIN, 0}, {more.fd, POLLIN, 0}, {replica.fd, POLLIN, 0}};
        struct timespec wait = {0, LOOK_US * 1000};
        if (ppoll(fds, 3, &wait, NULL) < 0 && errno != EINTR)
            fail("poll");
        if (fds[0].revents)
            read_replies(&marks);
        if (fds[1].revents)
            read_replies(&more);
        if (fds[2].revents && take_mark(&replica))
            asked = false;
        if (now > next + CATCH_UP_US) {
            errno = ETIMEDOUT;
            fail("the replica does not catch up");
        }
    }
    print_samples(samples_us, answered, 1e3, false);
    return 0;
}

/* ---- linked, distance ---- */
/* INFO replication; valid until the next. */
static const char *replication_of(int fd) {
    static char reply[16384];
    size_t len = 0;
    if (write(fd, "INFO replication\r\n", 18) != 18)
        fail("write");
    do {
        ssize_t n = read(fd, reply + len, sizeof reply - 1 - len);
        if (n <= 0)
            fail("INFO");
        reply[len += (size_t)n] = '\0';
    } while (len < 4 || strcmp(reply + len - 4, "\r\n\r\n") != 0);
    return reply;
}

static uint64_t offset_of(int fd) {
    static const char field[] = "master_repl_offset:";
    const char *at = strstr(replication_of(fd), field);
    return at != NULL ? strtoull(at + sizeof field - 1, NULL, 10) : 0;
}

static int open_or_fail(const char *port) {
    int fd = open_connection(atoi(port));
    if (fd < 0)
        fail("connect");
    return fd;
}

static int await_links(int count, char **ports) {
    for (int i = 0; i < count; i++)
        for (int fd = open_or_fail(ports[i]);
             strstr(replication_of(fd), "master_link_status:up") == NULL; usleep(LINKED_US))
            continue;
    return 0;
}

/* The replica is asked first, so what comes meanwhile counts as distance. */
static int watch_distance(uint32_t ms, int count, char **ports) {
    int fds[16];
    uint64_t end = now_us() + (uint64_t)ms * 1000;
    if (count > 16)
        return 2;
    for (int i = 0; i < count; i++)
        fds[i] = open_or_fail(ports[i]);
    for (; now_us() < end && sent < SAMPLES_MAX; usleep(DISTANCE_US)) {
        uint64_t behind = 0;
        for (int i = 0; i < count; i += 2) {
            uint64_t there = offset_of(fds[i + 1]), here = offset_of(fds[i]);
            behind += here > there ? here - there : 0;
        }
        samples_us[sent++] = (uint32_t)behind;
    }
    print_samples(samples_us, sent, 1, false);
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
    if (argc == 7 && strcmp(argv[1], "lag") == 0)
        return watch_lag(atoi(argv[2]), atoi(argv[3]), strtoull(argv[4], NULL, 10), atoi(argv[5]),
                         (uint32_t)atoi(argv[6]) % SAMPLES_MAX);
    if (argc >= 3 && strcmp(argv[1], "linked") == 0)
        return await_links(argc - 2, argv + 2);
    if (argc >= 5 && argc % 2 == 1 && strcmp(argv[1], "distance") == 0)
        return watch_distance((uint32_t)atoi(argv[2]), argc - 3, argv + 3);
    fprintf(stderr,
            "probe await PORT COUNT | pause PORT KEYS LOAD | lag PORT REPLICA KEYS LOAD MS |"
            " distance MS PORT REPLICA ... | disk DIR\n");
    return 2;
}
