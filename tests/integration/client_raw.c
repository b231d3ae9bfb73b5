/* client_raw.c - sockets, bytes and HTTP, without a library between. */
#include "tests/integration/pool_fixture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

/* -1 if nobody listens. */
static int connect_to(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval limit = {.tv_sec = CLIENT_WAIT_S};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

int raw_connect(int port) {
    int fd = connect_to(port);
    if (fd < 0)
        fail_msg("cannot connect to port %d: %s", port, strerror(errno));
    return fd;
}

void raw_send(int fd, const void *data, size_t len) {
    for (size_t done = 0; done < len;) {
        ssize_t sent = send(fd, (const char *)data + done, len - done, MSG_NOSIGNAL);
        if (sent <= 0)
            fail_msg("send: %s after %zu of %zu bytes", strerror(errno), done, len);
        done += (size_t)sent;
    }
}

void raw_send_text(int fd, const char *text) {
    raw_send(fd, text, strlen(text));
}

static size_t line_length(const char *data, size_t len) {
    const char *end = memchr(data, '\n', len);
    return end ? (size_t)(end - data) + 1 : 0;
}

size_t resp_length(const char *data, size_t len) {
    size_t at = line_length(data, len);
    if (at == 0)
        return 0;
    long count = strtol(data + 1, NULL, 10);
    switch (data[0]) {
    case '+':
    case '-':
    case ':':
    case ',':
    case '#':
    case '_':
    case '(': return at;
    case '$':
    case '=':
    case '!':
        if (count < 0)
            return at;
        return len - at >= (size_t)count + 2 ? at + (size_t)count + 2 : 0;
    case '%':
    case '|': count *= 2; break;
    case '*':
    case '~':
    case '>': break;
    default: fail_msg("not RESP: %.*s", (int)(len < 60 ? len : 60), data);
    }
    for (long i = 0; i < count; i++) {
        size_t element = resp_length(data + at, len - at);
        if (element == 0)
            return 0;
        at += element;
    }
    return at;
}

static ssize_t receive(int fd, struct octets *bytes, size_t *room) {
    if (*room - bytes->len < 65536) {
        *room = *room * 2 + 131072;
        bytes->data = realloc(bytes->data, *room);
        assert_non_null(bytes->data);
    }
    ssize_t got = recv(fd, bytes->data + bytes->len, 65535, 0);
    if (got > 0)
        bytes->len += (size_t)got;
    bytes->data[bytes->len] = 0;
    return got;
}

struct octets raw_read_replies(int fd, unsigned replies) {
    struct octets bytes = {0};
    size_t room = 0, done = 0;
    while (replies > 0) {
        size_t length = done < bytes.len ? resp_length(bytes.data + done, bytes.len - done) : 0;
        if (length > 0) {
            done += length;
            replies--;
            continue;
        }
        ssize_t got = receive(fd, &bytes, &room);
        if (got == 0 || (got < 0 && errno == ECONNRESET))
            break;
        if (got < 0)
            fail_msg("no reply within %d s; so far %zu bytes: %.200s", CLIENT_WAIT_S, bytes.len,
                     bytes.data);
    }
    if (!bytes.data)
        bytes.data = calloc(1, 1);
    return bytes;
}

bool raw_closed_within(int fd, double seconds) {
    uint64_t until_ms = clock_mono_ms() + (uint64_t)(seconds * 1000);
    char waste[65536];
    for (uint64_t now_ms; (now_ms = clock_mono_ms()) <= until_ms;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        if (poll(&poll_fd, 1, (int)(until_ms - now_ms) + 1) <= 0)
            continue;
        ssize_t got = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
    }
    return false;
}

struct octets resp_command(unsigned argc, const char *const *argv, const size_t *lengths) {
    struct octets out = {0};
    size_t room = 32;
    for (unsigned i = 0; i < argc; i++)
        room += (lengths ? lengths[i] : strlen(argv[i])) + 32;
    out.data = malloc(room);
    assert_non_null(out.data);
    out.len = (size_t)sprintf(out.data, "*%u\r\n", argc);
    for (unsigned i = 0; i < argc; i++) {
        size_t length = lengths ? lengths[i] : strlen(argv[i]);
        out.len += (size_t)sprintf(out.data + out.len, "$%zu\r\n", length);
        memcpy(out.data + out.len, argv[i], length);
        out.len += length;
        memcpy(out.data + out.len, "\r\n", 3);
        out.len += 2;
    }
    return out;
}

struct http_reply http_raw(int port, const char *request) {
    struct http_reply reply = {0};
    struct octets bytes = {0};
    size_t room = 0;
    int fd = connect_to(port);
    if (fd < 0)
        return reply;
    for (size_t done = 0, len = strlen(request); done < len;) {
        ssize_t sent = send(fd, request + done, len - done, MSG_NOSIGNAL);
        if (sent <= 0)
            break; /* it may have answered and closed early */
        done += (size_t)sent;
    }
    while (receive(fd, &bytes, &room) > 0)
        ;
    close(fd);
    reply.head = bytes.data;
    if (strncmp(bytes.data, "HTTP/1.", 7) == 0)
        reply.status = (int)strtol(bytes.data + 9, NULL, 10);
    char *end = strstr(bytes.data, "\r\n\r\n");
    if (end) {
        *end = 0;
        reply.body = end + 4;
        reply.body_len = bytes.len - (size_t)(reply.body - bytes.data);
    }
    return reply;
}

struct http_reply http_get(int port, const char *path) {
    char request[512];
    snprintf(request, sizeof(request),
             "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n", path, port);
    return http_raw(port, request);
}

void http_free(struct http_reply *reply) {
    free(reply->head);
    *reply = (struct http_reply){0};
}
