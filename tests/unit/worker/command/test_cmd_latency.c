/* test_cmd_latency.c - LATENCY over the pages of two workers: merged for the public port, a worker's own
 * for its port. */
#include "tests/unit/worker/command/handler_fixture.h"
#include "worker/command/latency.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct segment segment;

static int set_up(void **state) {
    char error[200];
    fixture_set_up(state);
    struct fixture *f = *state;
    int fd = segment_create(&segment, 2, 4096, error, sizeof(error));
    assert_true(fd >= 0);
    close(fd);
    f->env.segment = &segment;
    f->env.shard = 1;
    f->env.latency = segment_latency(&segment, 1);
    return 0;
}

static int tear_down(void **state) {
    segment_detach(&segment);
    return fixture_tear_down(state);
}

static void events_of_all_workers_are_merged(void **state) {
    struct fixture *f = *state;
    latency_add(segment_latency(&segment, 0), LATENCY_FORK, 100, 7);
    latency_add(segment_latency(&segment, 0), LATENCY_FORK, 101, 3);
    latency_add(segment_latency(&segment, 1), LATENCY_FORK, 100, 9);
    latency_add(segment_latency(&segment, 1), LATENCY_FORK, 99, 1);
    expect(f, "LATENCY LATEST", "*1\r\n*4\r\n$4\r\nfork\r\n:101\r\n:3\r\n:9\r\n");
    expect(f, "LATENCY HISTORY fork",
           "*3\r\n*2\r\n:99\r\n:1\r\n*2\r\n:100\r\n:9\r\n*2\r\n:101\r\n:3\r\n");
    expect(f, "LATENCY HISTORY command", "*0\r\n");
    expect(f, "LATENCY HISTORY nosuch", "*0\r\n");
    f->session.port = SESSION_NODE;
    expect(f, "LATENCY LATEST", "*1\r\n*4\r\n$4\r\nfork\r\n:100\r\n:9\r\n:9\r\n");
    f->session.port = SESSION_PUBLIC;
    expect(f, "LATENCY RESET nosuch command", REPLY_ZERO);
    expect(f, "LATENCY RESET fork", REPLY_ONE);
    expect(f, "LATENCY RESET", REPLY_ZERO);
    expect(f, "LATENCY LATEST", "*1\r\n*4\r\n$4\r\nfork\r\n:101\r\n:3\r\n:7\r\n");
}

static void only_what_is_long_is_kept(void **state) {
    struct fixture *f = *state;
    latency_event(&f->env, LATENCY_COMMAND, 1000000);
    expect(f, "LATENCY LATEST", "*0\r\n");
    fixture_configure(f, "latency-monitor-threshold", "100");
    latency_event(&f->env, LATENCY_COMMAND, 99999);
    expect(f, "LATENCY LATEST", "*0\r\n");
    latency_event(&f->env, LATENCY_COMMAND, 100000);
    assert_non_null(strstr(fixture_inline(f, "LATENCY LATEST"), "command"));
}

static void the_graph_is_drawn(void **state) {
    struct fixture *f = *state;
    uint32_t now_s = (uint32_t)(clock_wall_ms() / 1000);
    static const uint32_t ms[] = {12, 51, 100, 20};
    for (uint32_t i = 0; i < 4; i++)
        latency_add(f->env.latency, LATENCY_COMMAND, now_s - 100000 * (4 - i) - 3600, ms[i]);
    const char *graph = fixture_inline(f, "LATENCY GRAPH command");
    assert_non_null(strstr(graph, "command - high 100 ms, low 12 ms (all time high 100 ms)\n"
                                  "--------------------------------------------------------------"
                                  "------------------\n"
                                  "  # \n  | \n #| \n_||o\n    \n4321\ndddd\n"));
    expect(f, "LATENCY GRAPH fork", "-ERR No samples available for event 'fork'\r\n");
}

static void the_doctor_speaks(void **state) {
    struct fixture *f = *state;
    assert_non_null(strstr(fixture_inline(f, "LATENCY DOCTOR"), "I'm sorry, Dave"));
    fixture_configure(f, "latency-monitor-threshold", "100");
    assert_non_null(strstr(fixture_inline(f, "LATENCY DOCTOR"), "no latency spike was observed"));
    latency_add(f->env.latency, LATENCY_FORK, 100, 10);
    latency_add(f->env.latency, LATENCY_FORK, 101, 20);
    const char *says = fixture_inline(f, "LATENCY DOCTOR");
    assert_non_null(strstr(says, "1. fork: 2 latency spikes (average 15ms, mean deviation 5ms, "));
    assert_non_null(strstr(says, "Worst all time event 20ms.\n"));
}

static void histograms_of_all_workers_add_up(void **state) {
    struct fixture *f = *state;
    uint32_t get = command_index(command_by_name(BYTES_LITERAL("get")));
    uint32_t list = command_index(command_by_name(BYTES_LITERAL("client|list")));
    latency_count(segment_latency(&segment, 0), get, 1);
    latency_count(segment_latency(&segment, 0), get, 30);
    latency_count(segment_latency(&segment, 1), get, 1);
    latency_count(segment_latency(&segment, 1), list, 10000000);
    expect(f, "LATENCY HISTOGRAM get nosuch set",
           "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:3\r\n$14\r\nhistogram_usec\r\n"
           "*4\r\n:1\r\n:2\r\n:33\r\n:3\r\n");
    f->session.resp = 3;
    expect(f, "LATENCY HISTOGRAM client",
           "%1\r\n$11\r\nclient|list\r\n%2\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n"
           "%1\r\n:1082130\r\n:1\r\n");
    f->session.resp = 2;
    latency_forget_commands(&f->env);
    expect(f, "LATENCY HISTOGRAM get",
           "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n"
           "*4\r\n:1\r\n:1\r\n:33\r\n:2\r\n");
    assert_true(command_count <= LATENCY_COMMANDS_MAX);
}

#define LATENCY_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        LATENCY_TEST(events_of_all_workers_are_merged),
        LATENCY_TEST(only_what_is_long_is_kept),
        LATENCY_TEST(the_graph_is_drawn),
        LATENCY_TEST(the_doctor_speaks),
        LATENCY_TEST(histograms_of_all_workers_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
