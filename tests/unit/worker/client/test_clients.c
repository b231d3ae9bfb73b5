/* test_clients.c - connections: input in all pieces, output in order and not before its time, limits. */
#include "tests/unit/worker/client/client_fixture.h"

#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state) {
    *state = world_create();
    return 0;
}

static int tear_down(void **state) {
    struct client_world *w = *state;
    world_free(&w);
    return 0;
}

static void say(struct client_world *w, int fd, const char *text) {
    world_say(w, fd, text, strlen(text));
}

static void expect(struct client_world *w, int fd, const char *text) {
    world_expect(w, fd, text, strlen(text));
}

/* ---- input ---- */

static void pipelines_may_come_in_any_two_pieces(void **state) {
    struct client_world *w = *state;
    char in[600], out[600];
    int fd = world_connect(w);
    snprintf(
        in, sizeof(in),
        "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$4\r\na\r\nb\r\nGET %s\r\n\r\n*0\r\nSET %s \"x y\"\r\n"
        "*3\r\n$4\r\nMGET\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\nPING\r\n",
        strlen(w->there), w->there, w->there, w->here, strlen(w->here), w->here, strlen(w->there),
        w->there);
    snprintf(out, sizeof(out),
             "+OK\r\n$4\r\na\r\nb\r\n+OK\r\n*2\r\n$3\r\nx y\r\n$4\r\na\r\nb\r\n"
             "+PONG\r\n");
    size_t len = strlen(in);
    for (size_t cut = 0; cut <= len; cut++) {
        world_say(w, fd, in, cut);
        for (int i = 0; i < 3; i++)
            world_turn(w);
        world_say(w, fd, in + cut, len - cut);
        expect(w, fd, out);
    }
    for (size_t i = 0; i < len; i++)
        world_say(w, fd, in + i, 1);
    expect(w, fd, out);
    close(fd);
}

static void a_protocol_error_harms_nobody_else(void **state) {
    struct client_world *w = *state;
    static const char *const bad[] = {"*2\r\n$3\r\nGET\r\n:1\r\n",
                                      "*1000\r\n$3\r\nGET\r\n:1\r\n",
                                      "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$-7\r\n",
                                      "*1\r\n$-1\r\n",
                                      "*9999999999\r\n",
                                      "SET \"a\r\n"};
    int other = world_connect(w);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = world_connect(w);
        say(w, fd, bad[i]);
        expect(w, fd, "-ERR Protocol error: ");
        world_expect_end(w, fd);
        close(fd);
        say(w, other,
            "*10\r\n$6\r\nEXISTS\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n"
            "$1\r\na\r\n$1\r\na\r\n$1\r\na\r\n$1\r\na\r\nPING\r\n");
        expect(w, other, ":0\r\n+PONG\r\n");
    }
    close(other);
}

static void half_a_command_costs_what_was_sent(void **state) {
    struct client_world *w = *state;
    int fd = world_connect(w);
    struct client *c = world_newest(w);
    for (const char *p = "*2\r\n$4\r\nPING\r\n$3\r\nab"; *p; p++)
        world_say(w, fd, p, 1);
    assert_true(c->in.cap < 4096);
    say(w, fd, "c\r\n");
    expect(w, fd, "$3\r\nabc\r\n");
    assert_null(c->parser);
    close(fd);
}

static void big_arguments_pass(void **state) {
    struct client_world *w = *state;
    enum { BYTES = 5 * 1024 * 1024 };
    char *value = mem_alloc(BYTES + 2), head[200];
    for (size_t i = 0; i < BYTES; i++)
        value[i] = (char)('a' + i % 23);
    memcpy(value + BYTES, "\r\n", 2);
    int fd = world_connect(w);
    const char *keys[] = {w->here, w->there};
    for (int i = 0; i < 2; i++) {
        snprintf(head, sizeof(head), "*3\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%d\r\n", strlen(keys[i]),
                 keys[i], BYTES);
        say(w, fd, head);
        world_say(w, fd, value, BYTES + 2);
        expect(w, fd, "+OK\r\n");
        snprintf(head, sizeof(head), "GET %s\r\n", keys[i]);
        say(w, fd, head);
        snprintf(head, sizeof(head), "$%d\r\n", BYTES);
        expect(w, fd, head);
        world_expect(w, fd, value, BYTES + 2);
    }
    assert_int_equal(world_newest(w)->in.cap, 0);
    mem_free(value);
    close(fd);
}

static void a_query_too_long_closes(void **state) {
    struct client_world *w = *state;
    pool_configure(w->pool, "client-query-buffer-limit", "1mb");
    int fd = world_connect(w);
    say(w, fd, "*2\r\n$4\r\nPING\r\n$9000000\r\n");
    char piece[64 * 1024] = {0};
    for (int i = 0; i < 40; i++) {
        (void)!send(fd, piece, sizeof(piece), MSG_NOSIGNAL);
        world_turn(w);
    }
    world_expect_end(w, fd);
    close(fd);
}

/* ---- order ---- */

static void deep_pipelines_of_both_shards_keep_their_order(void **state) {
    struct client_world *w = *state;
    struct buf in = {0}, out = {0};
    for (int i = 1; i <= 6000; i++) {
        buf_printf(&in, "INCR %s\r\nINCR %s\r\nPING %d\r\n", w->there, w->here, i);
        char digits[16];
        int len = snprintf(digits, sizeof(digits), "%d", i);
        buf_printf(&out, ":%d\r\n:%d\r\n$%d\r\n%s\r\n", i, i, len, digits);
    }
    int fd = world_connect(w);
    world_say(w, fd, in.data, in.len);
    world_expect(w, fd, out.data, out.len);
    buf_free(&in);
    buf_free(&out);
    close(fd);
}

static void a_half_closed_client_gets_what_it_is_owed(void **state) {
    struct client_world *w = *state;
    char line[200];
    int fd = world_connect(w);
    snprintf(line, sizeof(line), "SET %s 1\r\nINCR %s\r\nSET %s 1\r\nINCR %s\r\nPIN", w->there,
             w->there, w->here, w->here);
    say(w, fd, line);
    shutdown(fd, SHUT_WR);
    expect(w, fd, "+OK\r\n:2\r\n+OK\r\n:2\r\n");
    world_expect_end(w, fd);
    assert_true(list_empty(&w->pool->shard[0].sessions));
    close(fd);
}

static void queued_replies_pause_the_client(void **state) {
    struct client_world *w = *state;
    char line[100];
    struct buf value = {0}, in = {0};
    buf_printf(&value, "SET %s ", w->here);
    for (int i = 0; i < 50000; i++)
        buf_append_text(&value, "x");
    buf_append_text(&value, "\r\n");
    int fd = world_connect(w);
    world_say(w, fd, value.data, value.len);
    expect(w, fd, "+OK\r\n");
    pool_kill(w->pool, 1);
    pool_tell_down(w->pool, 1);
    snprintf(line, sizeof(line), "GET %s\r\n", w->there);
    buf_append_text(&in, line);
    for (int i = 0; i < 2000; i++)
        buf_printf(&in, "GET %s\r\n", w->here);
    struct client *c = world_newest(w);
    (void)!send(fd, in.data, in.len, 0);
    for (int i = 0; i < 20; i++)
        world_turn(w);
    assert_int_equal(c->pipeline.in_flight, 1);
    assert_true(c->session.memory_bytes < 1024 * 1024);
    assert_true(c->pipeline.queued_bytes > 0 && c->pipeline.queued_bytes < 20 * 1024 * 1024);
    pool_revive(w->pool, 1);
    expect(w, fd, "$-1\r\n$50000\r\nxxx");
    for (int i = 0; i < 200; i++)
        world_turn(w);
    assert_int_equal(c->pipeline.queued_bytes, 0);
    buf_free(&value);
    buf_free(&in);
    close(fd);
}

static void small_commands_with_big_replies_take_many_turns(void **state) {
    struct client_world *w = *state;
    struct buf value = {0}, in = {0};
    buf_printf(&value, "SET %s ", w->here);
    size_t head = value.len;
    for (int i = 0; i < 50000; i++)
        buf_append_text(&value, "x");
    buf_append_text(&value, "\r\n");
    int fd = world_connect(w);
    world_say(w, fd, value.data, value.len);
    expect(w, fd, "+OK\r\n");
    for (int i = 0; i < 1000; i++)
        buf_printf(&in, "GET %s\r\n", w->here);
    assert_int_equal(send(fd, in.data, in.len, 0), in.len);
    shutdown(fd, SHUT_WR);
    struct client *c = world_newest(w);
    world_turn(w);
    assert_in_range(client_unsent(c), REPLY_BYTES / 2, 2 * REPLY_BYTES);
    for (int i = 0; i < 1000; i++) {
        expect(w, fd, "$50000\r\n");
        world_expect(w, fd, value.data + head, value.len - head);
    }
    world_expect_end(w, fd);
    buf_free(&value);
    buf_free(&in);
    close(fd);
}

/* ---- gates ---- */

static void replies_wait_for_the_sync_and_so_do_later_reads(void **state) {
    struct client_world *w = *state;
    char line[200];
    int writer = world_connect(w), reader = world_connect(w);
    snprintf(line, sizeof(line), "SET %s 1\r\n", w->here);
    say(w, writer, line);
    expect(w, writer, "+OK\r\n");
    world_hold_syncs(true);
    for (int i = 0; i < 8; i++) { /* more turns than marks */
        snprintf(line, sizeof(line), "INCR %s\r\n", w->here);
        say(w, writer, line);
        world_turn(w);
    }
    snprintf(line, sizeof(line), "GET %s\r\n", w->here);
    say(w, reader, line);
    world_expect_silence(w, writer);
    world_expect_silence(w, reader);
    world_hold_syncs(false);
    expect(w, writer, ":2\r\n:3\r\n:4\r\n:5\r\n:6\r\n:7\r\n:8\r\n:9\r\n");
    expect(w, reader, "$1\r\n9\r\n");
    close(writer);
    close(reader);
}

static void relayed_replies_wait_for_the_sync(void **state) {
    struct client_world *w = *state;
    char line[200];
    struct route_client *far = client_create(w->pool, 1, SESSION_PUBLIC);
    world_hold_syncs(true);
    snprintf(line, sizeof(line), "SET %s 1", w->here);
    assert_true(client_send(far, line));
    for (int i = 0; i < 50; i++)
        world_turn(w);
    assert_string_equal(client_take(far), "");
    world_hold_syncs(false);
    for (int i = 0; far->pipeline.in_flight > 0 && i < 5000; i++) {
        world_turn(w);
        usleep(1000);
    }
    assert_string_equal(client_take(far), "+OK\r\n");
    client_free(&far);
}

/* Another shard's reply has waited for that shard's log: ours is no matter, but for what was asked
 * here before it. */
static void another_shards_replies_do_not_wait_for_ours(void **state) {
    struct client_world *w = *state;
    char line[200];
    int writer = world_connect(w), reader = world_connect(w), both = world_connect(w);
    snprintf(line, sizeof(line), "SET %s 1\r\n", w->there);
    say(w, reader, line);
    expect(w, reader, "+OK\r\n");
    world_hold_syncs(true);
    snprintf(line, sizeof(line), "SET %s 2\r\n", w->here);
    say(w, writer, line);
    world_expect_silence(w, writer);
    snprintf(line, sizeof(line), "GET %s\r\n", w->there);
    say(w, reader, line);
    expect(w, reader, "$1\r\n1\r\n");
    snprintf(line, sizeof(line), "GET %s\r\nGET %s\r\n", w->here, w->there);
    say(w, both, line);
    world_expect_silence(w, both);
    snprintf(line, sizeof(line), "MGET %s %s\r\n", w->there, w->here);
    say(w, reader, line);
    world_expect_silence(w, reader);
    world_hold_syncs(false);
    expect(w, writer, "+OK\r\n");
    expect(w, both, "$1\r\n2\r\n$1\r\n1\r\n");
    expect(w, reader, "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
    close(writer);
    close(reader);
    close(both);
}

static void a_client_leaves_while_its_replies_wait(void **state) {
    struct client_world *w = *state;
    char line[200];
    world_hold_syncs(true);
    for (int i = 0; i < 20; i++) {
        int fd = world_connect(w);
        snprintf(line, sizeof(line), "INCR %s\r\nINCR %s\r\n", w->here, w->there);
        say(w, fd, line);
        if (i % 2)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
        world_turn(w);
        if (i % 2)
            close(fd);
    }
    world_hold_syncs(false);
    for (int i = 0; !list_empty(&w->pool->shard[0].sessions) && i < 5000; i++) {
        world_turn(w);
        usleep(1000);
    }
    assert_true(list_empty(&w->pool->shard[0].sessions));
    assert_int_equal(status_get(w->pool->shard[0].env.status, METRIC_connected_clients), 0);
}

/* ---- limits and ends ---- */

static void a_client_that_does_not_read_is_closed_at_its_limit(void **state) {
    struct client_world *w = *state;
    char line[200];
    pool_configure(w->pool, "client-output-buffer-limit", "normal 2mb 0 0");
    struct buf value = {0};
    buf_printf(&value, "SET %s ", w->there);
    for (int i = 0; i < 60000; i++)
        buf_append_text(&value, "x");
    buf_append_text(&value, "\r\n");
    int fd = world_connect(w);
    world_say(w, fd, value.data, value.len);
    expect(w, fd, "+OK\r\n");
    snprintf(line, sizeof(line), "GET %s\r\n", w->there);
    for (int i = 0; i < 200 && !list_empty(&w->pool->shard[0].sessions); i++) {
        (void)!send(fd, line, strlen(line), MSG_NOSIGNAL);
        world_turn(w);
    }
    assert_true(list_empty(&w->pool->shard[0].sessions));
    buf_free(&value);
    close(fd);
}

static void idle_clients_are_closed(void **state) {
    struct client_world *w = *state;
    pool_configure(w->pool, "timeout", "10");
    int idle = world_connect(w);
    struct client *c = world_newest(w);
    int busy = world_connect(w);
    say(w, idle, "PING\r\n");
    expect(w, idle, "+PONG\r\n");
    c->session.last_active_mono_ms -= 11000;
    for (int i = 0; i < 10; i++)
        clients_cron(w->clients);
    world_expect_end(w, idle);
    say(w, busy, "PING\r\n");
    expect(w, busy, "+PONG\r\n");
    close(idle);
    close(busy);
}

static void killed_clients_are_gone(void **state) {
    struct client_world *w = *state;
    char line[100];
    int victim = world_connect(w);
    uint64_t id = world_newest(w)->session.id;
    int killer = world_connect(w);
    snprintf(line, sizeof(line), "CLIENT KILL ID %llu\r\n", (unsigned long long)id);
    say(w, victim, "PING\r\n");
    say(w, killer, line);
    expect(w, killer, ":1\r\n");
    world_expect_end(w, victim);
    say(w, killer, "PING\r\nQUIT\r\nPING\r\n");
    expect(w, killer, "+PONG\r\n+OK\r\n");
    world_expect_end(w, killer);
    close(victim);
    close(killer);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(pipelines_may_come_in_any_two_pieces),
        T(a_protocol_error_harms_nobody_else),
        T(half_a_command_costs_what_was_sent),
        T(big_arguments_pass),
        T(a_query_too_long_closes),
        T(deep_pipelines_of_both_shards_keep_their_order),
        T(a_half_closed_client_gets_what_it_is_owed),
        T(queued_replies_pause_the_client),
        T(small_commands_with_big_replies_take_many_turns),
        T(replies_wait_for_the_sync_and_so_do_later_reads),
        T(relayed_replies_wait_for_the_sync),
        T(another_shards_replies_do_not_wait_for_ours),
        T(a_client_leaves_while_its_replies_wait),
        T(a_client_that_does_not_read_is_closed_at_its_limit),
        T(idle_clients_are_closed),
        T(killed_clients_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
