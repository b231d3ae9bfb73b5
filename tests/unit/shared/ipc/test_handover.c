/* test_handover.c - a socket changes hands with its description; malformed messages and a shortage of
 * descriptors cost that one message and leak nothing. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/handover.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/socket.h>

static int ends[2], client[2], descriptors_before;

static int open_ends(void **state) {
    descriptors_before = support_dir_count("/proc/self/fd");
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) ||
           socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, client);
}

static int close_ends(void **state) {
    for (int i = 0; i < 2; i++) {
        if (ends[i] >= 0)
            close(ends[i]);
        if (client[i] >= 0)
            close(client[i]);
    }
    return support_dir_count("/proc/self/fd") != descriptors_before;
}

static struct handover description(void) {
    return (struct handover){
        .origin = HANDOVER_PUBLIC, .peer = "127.0.0.1:53211", .local = "127.0.0.1:6379"};
}

static void socket_arrives_and_works(void **state) {
    struct handover sent = description(), got;
    int fd = -1;
    sent.authenticated = 1;
    sent.pending_bytes = 4;
    memcpy(sent.pending, "PING", 4);
    assert_int_equal(write(client[1], "unread", 6), 6);
    assert_int_equal(handover_receive(ends[1], &fd, &got), HANDOVER_AGAIN);
    assert_int_equal(handover_send(ends[0], client[0], &sent), HANDOVER_OK);
    close(client[0]);
    client[0] = -1;
    assert_int_equal(handover_receive(ends[1], &fd, &got), HANDOVER_OK);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(got.origin, HANDOVER_PUBLIC);
    assert_string_equal(got.peer, "127.0.0.1:53211");
    assert_string_equal(got.local, "127.0.0.1:6379");
    assert_int_equal(got.authenticated, 1);
    assert_int_equal(got.pending_bytes, 4);
    assert_memory_equal(got.pending, "PING", 4);
    char text[8];
    assert_int_equal(read(fd, text, sizeof text), 6);
    assert_int_equal(write(fd, "answer", 6), 6);
    assert_int_equal(read(client[1], text, sizeof text), 6);
    close(fd);
}

static void full_queue_is_told(void **state) {
    struct handover what = description();
    enum handover_result result;
    int sent = 0, fd;
    while ((result = handover_send(ends[0], client[0], &what)) == HANDOVER_OK)
        assert_true(++sent < 100000);
    assert_int_equal(result, HANDOVER_AGAIN);
    while (sent-- > 0) {
        assert_int_equal(handover_receive(ends[1], &fd, &what), HANDOVER_OK);
        close(fd);
    }
    assert_int_equal(handover_receive(ends[1], &fd, &what), HANDOVER_AGAIN);
}

/* Sends any bytes with any number of descriptors. */
static void send_raw(const void *data, size_t len, const int *fds, size_t count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        control.header = (struct cmsghdr){CMSG_LEN(count * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    }
    assert_int_equal(sendmsg(ends[0], &message, 0), len);
}

static void expect_dropped(void) {
    struct handover got;
    int fd, before = support_dir_count("/proc/self/fd");
    assert_int_equal(handover_receive(ends[1], &fd, &got), HANDOVER_FAILED);
    assert_int_equal(errno, EPROTO);
    assert_int_equal(support_dir_count("/proc/self/fd"), before);
}

static void malformed_messages_are_dropped(void **state) {
    enum { LEN = offsetof(struct handover, pending) };
    struct handover good = description(), bad;
    good.magic = HANDOVER_MAGIC;
    int fds[8];
    for (int i = 0; i < 8; i++)
        fds[i] = client[0];
#define SPOIL(change)                                                                              \
    do {                                                                                           \
        bad = good;                                                                                \
        change;                                                                                    \
        send_raw(&bad, LEN, fds, 1);                                                               \
        expect_dropped();                                                                          \
    } while (0)
    SPOIL(bad.magic = 1);
    SPOIL(bad.origin = 0);
    SPOIL(bad.origin = 4);
    SPOIL(bad.pending_bytes = 1);
    SPOIL(bad.pending_bytes = UINT32_MAX);
    SPOIL(memset(bad.peer, 'x', sizeof bad.peer));
    SPOIL(memset(bad.local, 'x', sizeof bad.local));
#undef SPOIL
    send_raw(&good, LEN, NULL, 0);
    expect_dropped();
    send_raw(&good, LEN, fds, 2);
    expect_dropped();
    send_raw(&good, LEN, fds, 8);
    expect_dropped();
    send_raw("x", 1, fds, 1);
    expect_dropped();
    static char big[sizeof(struct handover) + 100];
    memcpy(big, &good, LEN);
    send_raw(big, sizeof big, fds, 1);
    expect_dropped();
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    send_raw(&good, LEN, pipe_ends, 1);
    expect_dropped();
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}

static void shortage_of_descriptors_is_named(void **state) {
    struct handover what = description();
    int fd;
    assert_int_equal(handover_send(ends[0], client[0], &what), HANDOVER_OK);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    enum handover_result result = handover_receive(ends[1], &fd, &what);
    int reason = errno;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, HANDOVER_FAILED);
    assert_int_equal(reason, EMFILE);
}

static void nobody_there(void **state) {
    struct handover what = description();
    int fd;
    close(ends[1]);
    assert_int_equal(handover_send(ends[0], client[0], &what), HANDOVER_FAILED);
    assert_int_equal(errno, EPIPE);
    ends[1] = -1;
    assert_int_equal(handover_receive(ends[0], &fd, &what), HANDOVER_FAILED);
    assert_int_equal(errno, ENOTCONN);
    what.pending_bytes = HANDOVER_PENDING_MAX + 1;
    assert_int_equal(handover_send(ends[0], client[0], &what), HANDOVER_FAILED);
    assert_int_equal(errno, EMSGSIZE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(socket_arrives_and_works, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(full_queue_is_told, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(malformed_messages_are_dropped, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(shortage_of_descriptors_is_named, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(nobody_there, open_ends, close_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
