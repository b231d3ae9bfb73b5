/* test_control.c - messages arrive whole, garbage is dropped, a full or closed channel is told apart. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/control.h"

#include <sys/socket.h>

static int ends[2];
static char body[CONTROL_BODY_MAX + 1];
static struct control_header header;

static int open_ends(void **state) {
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int close_ends(void **state) {
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void messages_arrive_whole_and_in_order(void **state) {
    static char big[CONTROL_BODY_MAX];
    memset(big, 'b', sizeof big);
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_AGAIN);
    assert_int_equal(control_send(ends[0], CONTROL_ORDER_FORK, 7, UINT64_MAX, 1, (struct bytes){0}),
                     CONTROL_OK);
    assert_int_equal(
        control_send(ends[0], CONTROL_REPORT_FAILED, 8, 2, 3, bytes_of(big, sizeof big)),
        CONTROL_OK);
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_OK);
    assert_int_equal(header.type, CONTROL_ORDER_FORK);
    assert_int_equal(header.generation, 7);
    assert_true(header.id == UINT64_MAX);
    assert_int_equal(header.number, 1);
    assert_string_equal(body, "");
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_OK);
    assert_int_equal(header.body_bytes, CONTROL_BODY_MAX);
    assert_memory_equal(body, big, sizeof big);
    assert_int_equal(body[CONTROL_BODY_MAX], 0);
}

/* Orders it never read are no reason to lose what a child said last. */
static void last_words_are_heard(void **state) {
    assert_int_equal(control_send(ends[0], CONTROL_ORDER_FORK, 7, 1, 0, (struct bytes){0}),
                     CONTROL_OK);
    assert_int_equal(control_send(ends[1], CONTROL_REPORT_FAILED, 7, 0, 0, BYTES_LITERAL("why")),
                     CONTROL_OK);
    close(ends[1]);
    assert_int_equal(control_receive(ends[0], &header, body), CONTROL_OK);
    assert_string_equal(body, "why");
    assert_int_equal(control_receive(ends[0], &header, body), CONTROL_CLOSED);
    ends[1] = dup(ends[0]);
}

static void too_long_a_body_is_not_sent(void **state) {
    static char big[CONTROL_BODY_MAX + 1];
    assert_int_equal(control_send(ends[0], CONTROL_ORDER_STOP, 1, 0, 0, bytes_of(big, sizeof big)),
                     CONTROL_BAD);
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_AGAIN);
}

static void garbage_is_dropped(void **state) {
    const struct control_header good = {CONTROL_MAGIC, CONTROL_ORDER_STOP, 1, 0, 0, 0};
    struct control_header wrong[] = {good, good, good, good, good};
    wrong[0].magic++;
    wrong[1].type = CONTROL_NONE;
    wrong[2].type = CONTROL_TYPE_COUNT;
    wrong[3].type = UINT32_MAX;
    wrong[4].body_bytes = 1;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(send(ends[0], &wrong[i], sizeof good, 0), sizeof good);
        assert_int_equal(control_receive(ends[1], &header, body), CONTROL_BAD);
    }
    static char big[CONTROL_BODY_MAX + sizeof(struct control_header) + 1];
    memcpy(big, &good, sizeof good);
    assert_int_equal(send(ends[0], big, sizeof big, 0), sizeof big);
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_BAD);
    assert_int_equal(send(ends[0], "x", 1, 0), 1);
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_BAD);
    control_send(ends[0], CONTROL_ORDER_STOP, 1, 0, 0, (struct bytes){0});
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_OK);
}

static void random_garbage_is_survived(void **state) {
    uint64_t random = support_seed();
    char packet[100];
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < sizeof packet; i++)
            packet[i] = (char)support_random(&random);
        struct control_header start = {CONTROL_MAGIC,
                                       (uint32_t)support_random(&random) % 20,
                                       0,
                                       (uint32_t)support_random(&random) % 80,
                                       0,
                                       0};
        memcpy(packet, &start, sizeof start);
        size_t len = 1 + support_random(&random) % sizeof packet;
        assert_int_equal(send(ends[0], packet, len, 0), len);
        enum control_result result = control_receive(ends[1], &header, body);
        bool good = len == sizeof start + start.body_bytes && start.type > CONTROL_NONE &&
                    start.type < CONTROL_TYPE_COUNT;
        assert_int_equal(result, good ? CONTROL_OK : CONTROL_BAD);
    }
}

/* Descriptors nobody asked for do not stay open. */
static void stray_descriptors_are_not_kept(void **state) {
    struct control_header good = {CONTROL_MAGIC, CONTROL_ORDER_STOP, 1, 0, 0, 0};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
    memcpy(CMSG_DATA(&control.header), &(int){0}, sizeof(int));
    struct iovec part = {&good, sizeof good};
    struct msghdr message = {NULL, 0, &part, 1, control.room, sizeof control.room, 0};
    int before = support_dir_count("/proc/self/fd");
    assert_true(sendmsg(ends[0], &message, 0) > 0);
    assert_int_equal(control_receive(ends[1], &header, body), CONTROL_OK);
    assert_int_equal(support_dir_count("/proc/self/fd"), before);
}

static void full_and_closed_are_told_apart(void **state) {
    enum control_result result;
    int sent = 0;
    while ((result = control_send(ends[0], CONTROL_ORDER_STOP, 1, 0, 0, BYTES_LITERAL("x"))) ==
           CONTROL_OK)
        assert_true(++sent < 100000);
    assert_int_equal(result, CONTROL_AGAIN);
    while (sent-- > 0)
        assert_int_equal(control_receive(ends[1], &header, body), CONTROL_OK);
    close(ends[1]);
    assert_int_equal(control_send(ends[0], CONTROL_ORDER_STOP, 1, 0, 0, (struct bytes){0}),
                     CONTROL_CLOSED);
    assert_int_equal(control_receive(ends[0], &header, body), CONTROL_CLOSED);
    ends[1] = -1;
}

static void types_have_names(void **state) {
    assert_string_equal(control_type_name(CONTROL_ORDER_STOP), "ORDER_STOP");
    assert_string_equal(control_type_name(CONTROL_REPORT_FAILED), "REPORT_FAILED");
    assert_string_equal(control_type_name((enum control_type)9999), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_arrive_whole_and_in_order, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(last_words_are_heard, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(too_long_a_body_is_not_sent, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(garbage_is_dropped, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(random_garbage_is_survived, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(stray_descriptors_are_not_kept, open_ends, close_ends),
        cmocka_unit_test_setup_teardown(full_and_closed_are_told_apart, open_ends, close_ends),
        cmocka_unit_test(types_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
