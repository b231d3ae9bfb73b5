/* test_control_out.c - orders queue up to a bound, reports are judged before they are believed. */
#include "supervisor/control_out.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { GENERATION = 7 };

static struct ev_loop *loop;
static struct control_out control;
static int child_fd;
static uint32_t reports;
static uint64_t last_id;
static char last_body[64];

static void on_report(void *owner, const struct control_header *header, struct bytes body) {
    reports++;
    last_id = header->id;
    assert_true(body.len < sizeof(last_body));
    memcpy(last_body, body.ptr, body.len);
    last_body[body.len] = 0;
}

static int set_up(void **state) {
    loop = ev_default_loop(0);
    reports = 0;
    return control_out_open(&control, loop, GENERATION, on_report, NULL, &child_fd);
}

static int tear_down(void **state) {
    control_out_close(&control);
    close(child_fd);
    return 0;
}

static void test_reports_arrive(void **state) {
    control_send(child_fd, CONTROL_REPORT_READY, GENERATION, 5, 0, BYTES_LITERAL("hello"));
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(reports, 1);
    assert_int_equal(last_id, 5);
    assert_string_equal(last_body, "hello");
}

static void test_garbage_and_stale_reports_are_dropped(void **state) {
    assert_int_equal(send(child_fd, "garbage", 7, 0), 7);
    control_send(child_fd, CONTROL_REPORT_READY, GENERATION - 1, 1, 0, BYTES_LITERAL(""));
    control_send(child_fd, CONTROL_REPORT_READY, GENERATION, 2, 0, BYTES_LITERAL(""));
    control_out_drain(&control);
    assert_int_equal(reports, 1);
    assert_int_equal(last_id, 2);
    assert_int_equal(control.dropped, 2);
}

static void test_last_words_of_a_dead_child(void **state) {
    control_send(child_fd, CONTROL_REPORT_FAILED, GENERATION, 1, 0, BYTES_LITERAL("why"));
    close(child_fd);
    child_fd = dup(STDERR_FILENO);
    control_out_drain(&control);
    assert_string_equal(last_body, "why");
    assert_true(control.eof);
    assert_true(control_out_send(&control, CONTROL_ORDER_STOP, 0, 0, BYTES_LITERAL("")));
}

/* A child that does not read is found out; one that reads late gets all of it, in order. */
static void test_orders_queue_up_to_a_bound(void **state) {
    static char body[CONTROL_BODY_MAX + 1];
    static const char filler[1000];
    struct control_header header;
    uint64_t sent = 0, got = 0;
    while (control_out_send(&control, CONTROL_ORDER_CONFIG, sent + 1, 0,
                            bytes_of(filler, sizeof(filler)))) {
        sent++;
        assert_true(sent < 100000);
    }
    assert_true(control.queued > 0);
    assert_true(control.queued <= CONTROL_QUEUE_MESSAGES_MAX);
    assert_true(control.queued_bytes <= CONTROL_QUEUE_BYTES_MAX);
    while (got < sent) {
        if (control_receive(child_fd, &header, body) == CONTROL_OK)
            assert_int_equal(header.id, ++got);
        else
            ev_run(loop, EVRUN_NOWAIT);
    }
    ev_run(loop, EVRUN_NOWAIT);
    assert_int_equal(control.queued, 0);
    assert_int_equal(control.queued_bytes, 0);
}

static void test_close_drops_the_queue(void **state) {
    static const char filler[1000];
    while (control.queued < 10)
        assert_true(control_out_send(&control, CONTROL_ORDER_CONFIG, 1, 0,
                                     bytes_of(filler, sizeof(filler))));
    control_out_close(&control);
    control_out_close(&control);
    assert_int_equal(control.queued, 0);
    assert_int_equal(control.fd, -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reports_arrive, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_garbage_and_stale_reports_are_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_last_words_of_a_dead_child, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_orders_queue_up_to_a_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_close_drops_the_queue, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
