/* handover.c - see handover.h. Of the struct only the used part of `pending` travels. A message is
 * believed after its length, magic, origin, terminators and the one descriptor have been checked;
 * every descriptor that came with a bad one is closed. */
#include "shared/ipc/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DESCRIPTORS_MAX = 4, FIXED_BYTES = offsetof(struct handover, pending) };

enum handover_result handover_send(int handover_fd, int client_fd, const struct handover *what) {
    struct handover copy;
    if (what->pending_bytes > HANDOVER_PENDING_MAX) {
        errno = EMSGSIZE;
        return HANDOVER_FAILED;
    }
    memcpy(&copy, what, FIXED_BYTES + what->pending_bytes);
    copy.magic = HANDOVER_MAGIC;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {&copy, FIXED_BYTES + what->pending_bytes};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &client_fd, sizeof(int));
    ssize_t sent;
    do
        sent = sendmsg(handover_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return HANDOVER_OK;
    bool full = errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS;
    return full ? HANDOVER_AGAIN : HANDOVER_FAILED;
}

/* Collects the descriptors of a message; returns how many. */
static int take_descriptors(struct msghdr *message, int descriptors[DESCRIPTORS_MAX]) {
    int count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t bytes = c->cmsg_len - CMSG_LEN(0);
        for (size_t at = 0; at + sizeof(int) <= bytes && count < DESCRIPTORS_MAX; at += sizeof(int))
            memcpy(&descriptors[count++], CMSG_DATA(c) + at, sizeof(int));
    }
    return count;
}

static bool message_good(const struct handover *what, size_t received) {
    return received >= FIXED_BYTES && what->magic == HANDOVER_MAGIC &&
           what->origin >= HANDOVER_PUBLIC && what->origin <= HANDOVER_FEED &&
           what->pending_bytes == received - FIXED_BYTES &&
           memchr(what->peer, 0, sizeof what->peer) && memchr(what->local, 0, sizeof what->local);
}

static bool make_usable_socket(int fd) {
    struct stat info;
    if (fstat(fd, &info) < 0 || !S_ISSOCK(info.st_mode))
        return false;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* A descriptor limit shows as a message whose control part was cut. */
static int descriptor_shortage(void) {
    int probe = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    if (probe < 0)
        return errno == EINVAL ? EMFILE : errno;
    close(probe);
    return EPROTO;
}

enum handover_result handover_receive(int handover_fd, int *client_fd_r, struct handover *what_r) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(DESCRIPTORS_MAX * sizeof(int))];
    } control;
    struct iovec part = {what_r, sizeof *what_r};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t received;
    do
        received = recvmsg(handover_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (received < 0 && errno == EINTR);
    if (received < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? HANDOVER_AGAIN : HANDOVER_FAILED;
    int descriptors[DESCRIPTORS_MAX];
    int count = take_descriptors(&message, descriptors);
    if (received == 0 && count == 0) {
        errno = ENOTCONN;
        return HANDOVER_FAILED;
    }
    if (count == 1 && !(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
        message_good(what_r, (size_t)received) && make_usable_socket(descriptors[0])) {
        *client_fd_r = descriptors[0];
        return HANDOVER_OK;
    }
    bool cut = message.msg_flags & MSG_CTRUNC;
    int error = cut && count == 0 ? descriptor_shortage() : EPROTO;
    while (count > 0)
        close(descriptors[--count]);
    errno = error;
    return HANDOVER_FAILED;
}
