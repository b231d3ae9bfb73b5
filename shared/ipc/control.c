/* control.c - see control.h. */
#include "shared/ipc/control.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

const char *control_type_name(enum control_type type) {
    static const char *const names[CONTROL_TYPE_COUNT] = {[CONTROL_NONE] = "NONE",
#define X(name, meaning) [CONTROL_##name] = #name,
                                                          CONTROL_TYPES(X)
#undef X
    };
    return (unsigned)type < CONTROL_TYPE_COUNT ? names[type] : "unknown";
}

static bool would_block(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == ENOBUFS || error == ENOMEM;
}

enum control_result control_send(int fd, enum control_type type, uint32_t generation, uint64_t id,
                                 uint64_t number, struct bytes body) {
    if (body.len > CONTROL_BODY_MAX)
        return CONTROL_BAD;
    struct control_header header = {.magic = CONTROL_MAGIC,
                                    .type = type,
                                    .generation = generation,
                                    .body_bytes = (uint32_t)body.len,
                                    .id = id,
                                    .number = number};
    union {
        const char *in;
        void *out;
    } unconst = {.in = body.ptr};
    struct iovec parts[] = {{&header, sizeof header}, {unconst.out, body.len}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = body.len ? 2 : 1};
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return CONTROL_OK;
    if (would_block(errno))
        return CONTROL_AGAIN;
    return errno == EMSGSIZE ? CONTROL_BAD : CONTROL_CLOSED;
}

static bool header_good(const struct control_header *header, size_t received) {
    return received >= sizeof *header && header->magic == CONTROL_MAGIC &&
           header->type > CONTROL_NONE && header->type < CONTROL_TYPE_COUNT &&
           header->body_bytes == received - sizeof *header;
}

enum control_result control_receive(int fd, struct control_header *header_r, char *body) {
    struct iovec parts[] = {{header_r, sizeof *header_r}, {body, CONTROL_BODY_MAX}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t received;
    /* A peer that ended without reading all we sent: told once, before what it sent last. */
    do
        received = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (received < 0 && (errno == EINTR || errno == ECONNRESET));
    if (received < 0)
        return would_block(errno) ? CONTROL_AGAIN : CONTROL_CLOSED;
    if (received == 0)
        return CONTROL_CLOSED;
    if ((message.msg_flags & MSG_TRUNC) || !header_good(header_r, (size_t)received))
        return CONTROL_BAD;
    body[header_r->body_bytes] = '\0';
    return CONTROL_OK;
}
