/* test_blocked.c - who is served, with what, in which order; whose time is up; what is left behind. */
#include "tests/unit/worker/command/handler_fixture.h"

#include "shared/base/clock.h"
#include "shared/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct setting {
    struct fixture *f;
    struct buf answers; /* "token reply" of each, CR LF as blanks */
};

static void note_answer(void *arg, struct waiter_id id, struct bytes reply, bool failed) {
    struct setting *s = arg;
    buf_printf(&s->answers, "%llu=", (unsigned long long)id.token);
    for (size_t i = 0; i < reply.len; i++) {
        if (reply.ptr[i] != '\r')
            buf_append(&s->answers, reply.ptr[i] == '\n' ? " " : reply.ptr + i, 1);
    }
    assert_int_equal(failed, reply.ptr[0] == '-');
}

static int set_up(void **state) {
    struct setting *s = mem_calloc(1, sizeof(*s));
    s->f = fixture_create();
    struct blocked_hooks hooks = {.arg = s, .answer = note_answer};
    s->f->env.blocked = blocked_create(&s->f->env, s->f->ks, &hooks);
    *state = s;
    return 0;
}

static int tear_down(void **state) {
    struct setting *s = *state;
    blocked_free(&s->f->env.blocked);
    fixture_free(&s->f);
    buf_free(&s->answers);
    mem_free(s);
    return 0;
}

/* It finds nothing, and waits. */
static void wait_as(struct setting *s, uint64_t token, const char *command) {
    uint32_t before = blocked_count(s->f->env.blocked);
    s->f->may_wait_as = token;
    expect(s->f, command, "");
    assert_int_equal(blocked_count(s->f->env.blocked), before + 1);
    s->f->may_wait_as = 0;
}

static void expect_answers(struct setting *s, const char *want) {
    buf_append(&s->answers, "", 1);
    assert_string_equal(s->answers.data, want);
    buf_clear(&s->answers);
}

static void the_longest_waiting_is_served_first(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP q 0");
    wait_as(s, 2, "BRPOP q 0");
    wait_as(s, 3, "BLPOP q 0");
    expect(s->f, "RPUSH q a b c d", ":4\r\n");
    expect_answers(s, "1=*2 $1 q $1 a 2=*2 $1 q $1 d 3=*2 $1 q $1 b ");
    expect(s->f, "LRANGE q 0 -1", "*1\r\n$1\r\nc\r\n");
}

static void who_finds_nothing_waits_on_in_its_place(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP q 0");
    wait_as(s, 2, "BLPOP q 0");
    wait_as(s, 3, "BLPOP q 0");
    expect(s->f, "RPUSH q a", REPLY_ONE);
    expect_answers(s, "1=*2 $1 q $1 a ");
    expect(s->f, "RPUSH q b", REPLY_ONE);
    expect_answers(s, "2=*2 $1 q $1 b ");
    expect(s->f, "EXISTS q", REPLY_ZERO);
    assert_int_equal(blocked_count(s->f->env.blocked), 1);
}

static void several_keys_serve_once(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP a b a 0");
    wait_as(s, 2, "BLPOP b 0");
    expect(s->f, "RPUSH b x", REPLY_ONE);
    expect_answers(s, "1=*2 $1 b $1 x ");
    expect(s->f, "RPUSH a y", REPLY_ONE);
    expect_answers(s, "");
    expect(s->f, "RPUSH b z", REPLY_ONE);
    expect_answers(s, "2=*2 $1 b $1 z ");
    assert_int_equal(blocked_count(s->f->env.blocked), 0);
}

static void the_first_key_with_elements_serves_at_once(void **state) {
    struct setting *s = *state;
    s->f->may_wait_as = 1;
    expect(s->f, "RPUSH b x y", ":2\r\n");
    expect(s->f, "BLPOP a b c 0", "*2\r\n$1\r\nb\r\n$1\r\nx\r\n");
    expect_log(s->f, "LPOP b");
    expect(s->f, "BLMPOP 0 2 a b LEFT COUNT 5", "*2\r\n$1\r\nb\r\n*1\r\n$1\r\ny\r\n");
    expect_log(s->f, "LPOP b 1");
    expect(s->f, "RPUSH b x", REPLY_ONE);
    expect(s->f, "BLMOVE b c LEFT RIGHT 0", "$1\r\nx\r\n");
    expect_log(s->f, "LMOVE b c LEFT RIGHT");
    expect(s->f, "BRPOPLPUSH c d 0", "$1\r\nx\r\n");
    expect_log(s->f, "RPOPLPUSH c d");
    expect(s->f, "ZADD z 1 m 2 n", ":2\r\n");
    expect(s->f, "BZPOPMAX a z 0", "*3\r\n$1\r\nz\r\n$1\r\nn\r\n$1\r\n2\r\n");
    expect_log(s->f, "ZPOPMAX z");
    expect(s->f, "BZMPOP 0 1 z MIN", "*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\nm\r\n$1\r\n1\r\n");
    expect_log(s->f, "ZPOPMIN z 1");
    expect_answers(s, "");
}

static void moves_make_chains(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP c 0");
    wait_as(s, 2, "BLMOVE b c LEFT LEFT 0");
    wait_as(s, 3, "BRPOPLPUSH a b 0");
    expect(s->f, "RPUSH a x", REPLY_ONE);
    expect_answers(s, "3=$1 x 2=$1 x 1=*2 $1 c $1 x ");
    expect(s->f, "DBSIZE", REPLY_ZERO);
    /* To itself: it serves one, and is ready for the next. */
    wait_as(s, 4, "BLMOVE a a LEFT RIGHT 0");
    wait_as(s, 5, "BLMOVE a a LEFT RIGHT 0");
    expect(s->f, "RPUSH a x y", ":2\r\n");
    expect_answers(s, "4=$1 x 5=$1 y ");
}

static void other_types_do_not_serve(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP k other 0");
    wait_as(s, 2, "BZPOPMIN k 0");
    expect(s->f, "SET k v", REPLY_OK);
    expect_answers(s, "");
    s->f->may_wait_as = 9;
    expect(s->f, "BLPOP k 0", REPLY_TYPE);
    expect(s->f, "BZMPOP 0 1 k MIN", REPLY_TYPE);
    s->f->may_wait_as = 0;
    /* The key it waits for came, though the one named before has another type. */
    expect(s->f, "RPUSH other x", REPLY_ONE);
    expect_answers(s, "1=*2 $5 other $1 x ");
    expect(s->f, "DEL k", REPLY_ONE);
    expect(s->f, "ZADD k 1.5 m", REPLY_ONE);
    expect_answers(s, "2=*3 $1 k $1 m $3 1.5 ");
}

static void a_move_onto_another_type_fails_and_moves_nothing(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLMOVE a b LEFT LEFT 0");
    wait_as(s, 2, "BLPOP a 0");
    expect(s->f, "SET b v", REPLY_OK);
    expect(s->f, "RPUSH a x", REPLY_ONE);
    expect_answers(s, "1=-WRONGTYPE Operation against a key holding the wrong kind of value "
                      "2=*2 $1 a $1 x ");
}

static void every_way_a_key_comes_to_be_serves(void **state) {
    struct setting *s = *state;
    static const char *const ways[][2] = {{"LPUSH other v", "RENAME other k"},
                                          {"LPUSH other v", "COPY other k"},
                                          {"LPUSH other v", "LMOVE other k LEFT LEFT"},
                                          {"LPUSH other v", "RPOPLPUSH other k"},
                                          {"PING", "LPUSH k v"},
                                          {"PING", "RPUSH k v"},
                                          {"SELECT 1", "LPUSH k v"}};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        fixture_inline(s->f, "FLUSHALL");
        wait_as(s, i + 1, "BLPOP k 0");
        fixture_inline(s->f, ways[i][0]);
        fixture_inline(s->f, ways[i][1]);
        if (s->f->session.db == 1) { /* another database's key until they are swapped */
            expect_answers(s, "");
            fixture_inline(s->f, "SWAPDB 0 1");
            fixture_inline(s->f, "SELECT 0");
        }
        assert_int_equal(blocked_count(s->f->env.blocked), 0);
        buf_clear(&s->answers);
    }
    wait_as(s, 90, "BLPOP k 0");
    fixture_inline(s->f, "SELECT 1");
    fixture_inline(s->f, "LPUSH k v");
    fixture_inline(s->f, "MOVE k 0");
    expect_answers(s, "90=*2 $1 k $1 v ");
}

static void what_expired_serves_nobody(void **state) {
    struct setting *s = *state;
    s->f->env.keys_ready = false;
    blocked_hold(s->f->env.blocked, true);
    wait_as(s, 1, "BLPOP k 0");
    fixture_inline(s->f, "RPUSH k x");
    fixture_inline(s->f, "PEXPIRE k 10");
    fixture_advance(s->f, 100);
    blocked_hold(s->f->env.blocked, false);
    expect_answers(s, "");
    expect(s->f, "RPUSH k y", REPLY_ONE);
    expect_answers(s, "1=*2 $1 k $1 y ");
}

static void while_held_nobody_is_served(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP a 0");
    wait_as(s, 2, "BLPOP b 0");
    blocked_hold(s->f->env.blocked, true);
    fixture_inline(s->f, "RPUSH b x");
    fixture_inline(s->f, "RPUSH a y");
    expect_answers(s, "");
    blocked_hold(s->f->env.blocked, false);
    expect_answers(s, "2=*2 $1 b $1 x 1=*2 $1 a $1 y ");
}

static void time_is_up_in_order(void **state) {
    struct setting *s = *state;
    struct blocked *b = s->f->env.blocked;
    uint64_t now_ms = clock_mono_ms();
    assert_int_equal(blocked_next_ms(b), 0);
    wait_as(s, 1, "BLPOP a 0");
    wait_as(s, 2, "BLPOP a 30");
    wait_as(s, 3, "BLMOVE a b LEFT LEFT 10");
    wait_as(s, 4, "BZPOPMIN z 20");
    wait_as(s, 5, "BLMPOP 40 1 a LEFT");
    wait_as(s, 6, "BLPOP a 0.0001");
    assert_in_range(blocked_next_ms(b), now_ms + 1, now_ms + 2000);
    blocked_expire(b, now_ms);
    expect_answers(s, "");
    blocked_expire(b, now_ms + 25 * 1000);
    expect_answers(s, "6=*-1 3=*-1 4=*-1 ");
    assert_true(blocked_end(b, (struct waiter_id){0, 2}, UNBLOCK_ERROR));
    assert_false(blocked_end(b, (struct waiter_id){0, 2}, UNBLOCK_ERROR));
    assert_true(blocked_end(b, (struct waiter_id){0, 1}, UNBLOCK_TIMEOUT));
    expect_answers(s, "2=-UNBLOCKED client unblocked via CLIENT UNBLOCK 1=*-1 ");
    assert_true(blocked_end(b, (struct waiter_id){0, 5}, UNBLOCK_FORGET));
    expect_answers(s, "");
    assert_int_equal(blocked_next_ms(b), 0);
    assert_int_equal(blocked_count(b), 0);
}

static void timeouts_are_checked(void **state) {
    struct setting *s = *state;
    s->f->may_wait_as = 1;
    expect(s->f, "BLPOP a abc", "-ERR timeout is not a float or out of range\r\n");
    expect(s->f, "BLPOP a nan", "-ERR timeout is not a float or out of range\r\n");
    expect(s->f, "BLPOP a -1", "-ERR timeout is negative\r\n");
    expect(s->f, "BLPOP a -inf", "-ERR timeout is negative\r\n");
    expect(s->f, "BLPOP a 1e30", "-ERR timeout is out of range\r\n");
    expect(s->f, "BLPOP a 9223372036854775", "-ERR timeout is out of range\r\n");
    expect(s->f, "BLMOVE a b LEFT UP 0", REPLY_SYNTAX);
    expect(s->f, "BLMOVE a b LEFT LEFT x", "-ERR timeout is not a float or out of range\r\n");
    expect(s->f, "BLMPOP 0 0 a LEFT", "-ERR numkeys should be greater than 0\r\n");
    expect(s->f, "BLMPOP 0 2 a LEFT", REPLY_SYNTAX);
    expect(s->f, "BZMPOP 0 1 a MAX COUNT 0", "-ERR count should be greater than 0\r\n");
    assert_int_equal(blocked_count(s->f->env.blocked), 0);
}

static void where_none_may_wait_it_is_as_a_timeout(void **state) {
    struct setting *s = *state;
    expect(s->f, "BLPOP a 0", "*-1\r\n");
    expect(s->f, "BLMOVE a b LEFT LEFT 0", REPLY_NIL);
    expect(s->f, "BZMPOP 0 1 a MIN", "*-1\r\n");
}

static void a_shards_clients_are_forgotten(void **state) {
    struct setting *s = *state;
    wait_as(s, 1, "BLPOP a b 100");
    wait_as(s, 2, "BLPOP b 100");
    blocked_end_peer(s->f->env.blocked, 1, UNBLOCK_FORGET);
    assert_int_equal(blocked_count(s->f->env.blocked), 2);
    blocked_end_peer(s->f->env.blocked, 0, UNBLOCK_FORGET);
    assert_int_equal(blocked_count(s->f->env.blocked), 0);
    fixture_inline(s->f, "RPUSH a x");
    expect_answers(s, "");
}

/* Random commands, against a plain model of one queue for each key. */
enum { MODEL_KEYS = 5, MODEL_WAITERS = 200 };

static void each_element_is_delivered_once(void **state) {
    struct setting *s = *state;
    unsigned seed = (unsigned)clock_mono_us();
    uint64_t pushed = 0, token = 0;
    char line[200], element[32];
    print_message("seed %u\n", seed);
    srand(seed);
    for (int step = 0; step < 20000; step++) {
        unsigned key = (unsigned)rand() % MODEL_KEYS;
        if (rand() % 2) {
            snprintf(line, sizeof(line), "%s k%u %llu", rand() % 2 ? "LPUSH" : "RPUSH", key,
                     (unsigned long long)++pushed);
            fixture_inline(s->f, line);
        } else if (blocked_count(s->f->env.blocked) < MODEL_WAITERS) {
            s->f->may_wait_as = ++token;
            snprintf(line, sizeof(line), "%s k%u k%u %d", rand() % 2 ? "BLPOP" : "BRPOP", key,
                     (unsigned)rand() % MODEL_KEYS, rand() % 2 * 1000);
            struct bytes reply = bytes_of_text(fixture_inline(s->f, line));
            if (reply.len > 0)
                note_answer(s, (struct waiter_id){0, token}, reply, false);
            s->f->may_wait_as = 0;
        } else {
            blocked_end(s->f->env.blocked, (struct waiter_id){0, token - (unsigned)rand() % 100},
                        UNBLOCK_FORGET);
        }
    }
    for (unsigned k = 0; k < MODEL_KEYS; k++) {
        snprintf(line, sizeof(line), "LPOP k%u 100000", k);
        struct bytes reply = bytes_of_text(fixture_inline(s->f, line));
        for (size_t i = 0; i < reply.len; i++) {
            if (reply.ptr[i] != '\r')
                buf_append(&s->answers, reply.ptr[i] == '\n' ? " " : reply.ptr + i, 1);
        }
    }
    buf_append(&s->answers, "", 1);
    uint8_t *seen = mem_calloc(pushed + 1, 1);
    uint64_t delivered = 0;
    for (const char *at = s->answers.data; (at = strchr(at, '$')) != NULL; at++) {
        unsigned long long number;
        if (sscanf(at, "$%*u %31s", element) == 1 && sscanf(element, "%llu", &number) == 1) {
            assert_in_range(number, 1, pushed);
            assert_int_equal(seen[number]++, 0);
            delivered++;
        }
    }
    assert_int_equal(delivered, pushed);
    mem_free(seen);
    buf_clear(&s->answers);
}

#define WAIT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WAIT_TEST(the_longest_waiting_is_served_first),
        WAIT_TEST(who_finds_nothing_waits_on_in_its_place),
        WAIT_TEST(several_keys_serve_once),
        WAIT_TEST(the_first_key_with_elements_serves_at_once),
        WAIT_TEST(moves_make_chains),
        WAIT_TEST(other_types_do_not_serve),
        WAIT_TEST(a_move_onto_another_type_fails_and_moves_nothing),
        WAIT_TEST(every_way_a_key_comes_to_be_serves),
        WAIT_TEST(what_expired_serves_nobody),
        WAIT_TEST(while_held_nobody_is_served),
        WAIT_TEST(time_is_up_in_order),
        WAIT_TEST(timeouts_are_checked),
        WAIT_TEST(where_none_may_wait_it_is_as_a_timeout),
        WAIT_TEST(a_shards_clients_are_forgotten),
        WAIT_TEST(each_element_is_delivered_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
