/* test_cmd_client.c - CLIENT: a connection's own settings, LIST and KILL. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "shared/base/clock.h"

enum { OTHERS = 3 };
struct clients {
    struct fixture *f;
    struct session others[OTHERS];
    uint64_t killed[OTHERS + 1]; /* ids in order */
    uint32_t kills;
    bool own_killed;
};

static void kill_session(void *upper, struct session *session, bool own) {
    struct clients *c = upper;
    assert_int_equal(own, session == &c->f->session);
    c->own_killed |= own;
    assert_true(c->kills <= OTHERS);
    c->killed[c->kills++] = session->id;
}

static int begin(void **state) {
    static struct clients clients;
    clients = (struct clients){.f = fixture_create()};
    struct fixture *f = clients.f;
    f->env.kill_session = kill_session;
    f->env.upper = &clients;
    f->session.id = 100;
    snprintf(f->session.peer, sizeof(f->session.peer), "10.0.0.9:100");
    snprintf(f->session.local, sizeof(f->session.local), "10.0.0.1:6379");
    list_push_back(&f->sessions, &f->session.link);
    for (int i = 0; i < OTHERS; i++) {
        struct session *s = &clients.others[i];
        session_init(s, SESSION_PUBLIC);
        s->id = 101 + (uint64_t)i;
        snprintf(s->peer, sizeof(s->peer), "10.0.0.9:%d", 101 + i);
        snprintf(s->local, sizeof(s->local), "10.0.0.%d:6379", i == 0 ? 1 : 2);
        s->created_wall_ms = clock_wall_ms() - i * 100000;
        list_push_back(&f->sessions, &s->link);
    }
    *state = &clients;
    return 0;
}

static int end(void **state) {
    struct clients *c = *state;
    for (int i = 0; i < OTHERS; i++)
        session_free(&c->others[i]);
    fixture_free(&c->f);
    return 0;
}

static void names_and_libraries(void **state) {
    struct fixture *f = ((struct clients *)*state)->f;
    expect(f, "CLIENT ID", ":100\r\n");
    expect(f, "CLIENT GETNAME", "$-1\r\n");
    expect(f, "CLIENT SETNAME \"a b\"",
           "-ERR Client names cannot contain spaces, newlines or special characters.\r\n");
    expect(f, "CLIENT SETNAME me", "+OK\r\n");
    expect(f, "CLIENT GETNAME", "$2\r\nme\r\n");
    expect(f, "CLIENT SETNAME \"\"", "+OK\r\n");
    expect(f, "CLIENT GETNAME", "$-1\r\n");
    expect(f, "CLIENT SETINFO LIB-NAME hiredis", "+OK\r\n");
    expect(f, "CLIENT SETINFO lib-ver 1.2", "+OK\r\n");
    assert_string_equal(f->session.lib_name, "hiredis");
    assert_string_equal(f->session.lib_version, "1.2");
    expect(f, "CLIENT SETINFO lib-ver \"1 2\"",
           "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n");
    expect(f, "CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'\r\n");
}

static void switches(void **state) {
    struct fixture *f = ((struct clients *)*state)->f;
    expect(f, "CLIENT NO-EVICT on", "+OK\r\n");
    assert_true(f->session.no_evict);
    expect(f, "CLIENT NO-TOUCH ON", "+OK\r\n");
    assert_true(f->session.no_touch);
    expect(f, "CLIENT NO-TOUCH maybe", "-ERR syntax error\r\n");
    expect(f, "CLIENT NO-TOUCH off", "+OK\r\n");
    assert_false(f->session.no_touch);
    expect(f, "CLIENT REPLY SKIP", "");
    assert_int_equal(f->session.reply_mode, SESSION_REPLY_SKIP_NEXT);
    expect(f, "CLIENT REPLY OFF", "");
    expect(f, "CLIENT REPLY SKIP", "");
    assert_int_equal(f->session.reply_mode, SESSION_REPLY_OFF);
    expect(f, "CLIENT REPLY ON", "+OK\r\n");
    assert_int_equal(f->session.reply_mode, SESSION_REPLY_ON);
    expect(f, "CLIENT REPLY x", "-ERR syntax error\r\n");
}

static uint32_t lines(struct fixture *f, const char *text) {
    uint32_t count = 0;
    const char *reply = fixture_inline(f, text);
    assert_int_equal(reply[0], '$');
    for (const char *at = reply; (at = strstr(at, "id=")) != NULL; at++)
        count += at == reply || at[-1] == '\n';
    return count;
}

static void list_filters(void **state) {
    struct fixture *f = ((struct clients *)*state)->f;
    assert_int_equal(lines(f, "CLIENT LIST"), 4);
    assert_int_equal(lines(f, "CLIENT LIST TYPE normal"), 4);
    assert_int_equal(lines(f, "CLIENT LIST TYPE replica"), 0);
    assert_int_equal(lines(f, "CLIENT LIST ID 101 103 7"), 2);
    assert_int_equal(lines(f, "CLIENT INFO"), 1);
    expect(f, "CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n");
    expect(f, "CLIENT LIST ID x", "-ERR Invalid client ID\r\n");
    expect(f, "CLIENT LIST ID", "-ERR syntax error\r\n");
    expect(f, "CLIENT LIST foo", "-ERR syntax error\r\n");
    f->session.resp = 3;
    fixture_inline(f, "CLIENT LIST");
    assert_memory_equal(f->reply.data, "=", 1);
}

static void the_old_form_of_kill_hits_one_address(void **state) {
    struct clients *c = *state;
    expect(c->f, "CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n");
    expect(c->f, "CLIENT KILL 10.0.0.9:102", "+OK\r\n");
    assert_int_equal(c->kills, 1);
    assert_int_equal(c->killed[0], 102);
    expect(c->f, "CLIENT KILL 10.0.0.9:100", "+OK\r\n");
    assert_true(c->own_killed);
}

static void kill_filters_are_combined(void **state) {
    struct clients *c = *state;
    expect(c->f, "CLIENT KILL ID 102", ":1\r\n");
    expect(c->f, "CLIENT KILL ID 102 ADDR 10.0.0.9:101", ":0\r\n");
    expect(c->f, "CLIENT KILL TYPE pubsub", ":0\r\n");
    assert_int_equal(c->kills, 1);
    c->kills = 0;
    expect(c->f, "CLIENT KILL LADDR 10.0.0.1:6379", ":1\r\n");
    assert_int_equal(c->killed[0], 101);
    c->kills = 0;
    expect(c->f, "CLIENT KILL MAXAGE 150", ":1\r\n");
    assert_int_equal(c->killed[0], 103);
    c->kills = 0;
    expect(c->f, "CLIENT KILL USER default", ":3\r\n");
    assert_false(c->own_killed);
    c->kills = 0;
    expect(c->f, "CLIENT KILL USER default SKIPME no", ":4\r\n");
    assert_true(c->own_killed);
}

static void kill_refuses_what_redis_refuses(void **state) {
    struct clients *c = *state;
    expect(c->f, "CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n");
    expect(c->f, "CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n");
    expect(c->f, "CLIENT KILL MAXAGE x", "-ERR maxage is not an integer or out of range\r\n");
    expect(c->f, "CLIENT KILL MAXAGE 0", "-ERR maxage should be greater than 0\r\n");
    expect(c->f, "CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'\r\n");
    expect(c->f, "CLIENT KILL USER nobody", "-ERR No such user 'nobody'\r\n");
    expect(c->f, "CLIENT KILL SKIPME maybe", "-ERR syntax error\r\n");
    expect(c->f, "CLIENT KILL foo bar", "-ERR syntax error\r\n");
    expect(c->f, "CLIENT KILL ID 101 ADDR", "-ERR syntax error\r\n");
    assert_int_equal(c->kills, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_and_libraries, begin, end),
        cmocka_unit_test_setup_teardown(switches, begin, end),
        cmocka_unit_test_setup_teardown(list_filters, begin, end),
        cmocka_unit_test_setup_teardown(the_old_form_of_kill_hits_one_address, begin, end),
        cmocka_unit_test_setup_teardown(kill_filters_are_combined, begin, end),
        cmocka_unit_test_setup_teardown(kill_refuses_what_redis_refuses, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
