/* test_session.c - a session's life, RESET, and its line in CLIENT LIST. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "shared/base/mem.h"

static void a_fresh_session_has_redis_defaults(void **state) {
    struct session s;
    session_init(&s, SESSION_NODE);
    assert_int_equal(s.port, SESSION_NODE);
    assert_int_equal(s.resp, 2);
    assert_int_equal(s.db, 0);
    assert_int_equal(s.reply_mode, SESSION_REPLY_ON);
    assert_false(s.authenticated);
    session_free(&s);
}

static void freeing_takes_it_out_of_the_registry(void **state) {
    struct list sessions;
    struct session s;
    list_init(&sessions);
    session_init(&s, SESSION_PUBLIC);
    s.name = mem_strdup("n");
    list_push_back(&sessions, &s.link);
    session_free(&s);
    assert_true(list_empty(&sessions));
    assert_null(s.name);
    session_free(&s);
}

static void reset_forgets_what_the_client_set(void **state) {
    struct session s;
    session_init(&s, SESSION_PUBLIC);
    s.resp = 3;
    s.db = 7;
    s.authenticated = s.no_touch = s.no_evict = s.readonly_mode = s.asking = true;
    s.reply_mode = SESSION_REPLY_OFF;
    s.name = mem_strdup("n");
    s.lib_name = mem_strdup("lib");
    session_reset(&s, true);
    assert_int_equal(s.resp, 2);
    assert_int_equal(s.db, 0);
    assert_false(s.authenticated || s.no_touch || s.no_evict || s.readonly_mode || s.asking);
    assert_int_equal(s.reply_mode, SESSION_REPLY_ON);
    assert_null(s.name);
    assert_string_equal(s.lib_name, "lib");
    session_reset(&s, false);
    assert_true(s.authenticated);
    session_free(&s);
}

static void its_line_has_the_fields_of_redis(void **state) {
    struct session s;
    struct buf line = {0};
    session_init(&s, SESSION_PUBLIC);
    s.id = 12;
    snprintf(s.peer, sizeof(s.peer), "127.0.0.1:5000");
    snprintf(s.local, sizeof(s.local), "127.0.0.1:6379");
    s.fd = 9;
    s.db = 3;
    s.created_wall_ms = clock_wall_ms() - 100500;
    s.last_active_mono_ms = clock_mono_ms() > 7500 ? clock_mono_ms() - 7500 : 0;
    s.query_bytes = 26;
    s.query_free_bytes = 20448;
    s.args_bytes = 10;
    s.reply_bytes = 5;
    s.memory_bytes = 22298;
    session_describe(&s, &line);
    buf_append(&line, "", 1);
    assert_string_equal(
        line.data, "id=12 addr=127.0.0.1:5000 laddr=127.0.0.1:6379 fd=9 name= age=100 idle=7 "
                   "flags=N db=3 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 qbuf-free=20448 argv-mem=10 "
                   "multi-mem=0 rbs=5 rbp=5 obl=5 oll=0 omem=0 tot-mem=22298 events=r cmd=NULL "
                   "user=default redir=-1 resp=2 lib-name= lib-ver=\n");
    buf_clear(&line);
    s.unix_socket = s.no_evict = s.no_touch = s.readonly_mode = true;
    s.last_command = command_by_name(BYTES_LITERAL("client|list"));
    s.name = mem_strdup("me");
    session_describe(&s, &line);
    buf_append(&line, "", 1);
    assert_non_null(strstr(line.data, " name=me "));
    assert_non_null(strstr(line.data, " flags=UreT "));
    assert_non_null(strstr(line.data, " cmd=client|list "));
    buf_free(&line);
    session_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_session_has_redis_defaults),
        cmocka_unit_test(freeing_takes_it_out_of_the_registry),
        cmocka_unit_test(reset_forgets_what_the_client_set),
        cmocka_unit_test(its_line_has_the_fields_of_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
