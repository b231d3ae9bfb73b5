/* SORT: orders, weights, what GET finds, storing, the keys it reads besides. */
#include "tests/unit/worker/command/handler_fixture.h"
#include "worker/command/sort_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_orders(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "RPUSH l 3 10 1");
    expect(f, "SORT l", "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$2\r\n10\r\n");
    expect_log(f, "");
    expect(f, "SORT l DESC", "*3\r\n$2\r\n10\r\n$1\r\n3\r\n$1\r\n1\r\n");
    expect(f, "SORT l ALPHA", "*3\r\n$1\r\n1\r\n$2\r\n10\r\n$1\r\n3\r\n");
    expect(f, "SORT l LIMIT 1 1", "*1\r\n$1\r\n3\r\n");
    expect(f, "SORT l BY nosort DESC LIMIT 0 2", "*2\r\n$1\r\n1\r\n$2\r\n10\r\n");
    fixture_inline(f, "RPUSH l x");
    expect(f, "SORT l", "-ERR One or more scores can't be converted into double\r\n");
    expect(f, "SORT none", "*0\r\n");
    fixture_inline(f, "SET s v");
    expect(f, "SORT s", REPLY_TYPE);
    expect(f, "SORT_RO l STORE d", REPLY_SYNTAX);
}

static void test_patterns(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "RPUSH l 1 2 3");
    fixture_inline(f, "MSET w_1 5 w_2 -1");
    fixture_inline(f, "HSET h_3 name three");
    expect(f, "SORT l BY w_*", "*3\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n1\r\n");
    expect(f, "SORT l BY w_* GET h_*->name GET #",
           "*6\r\n$-1\r\n$1\r\n2\r\n$5\r\nthree\r\n$1\r\n3\r\n$-1\r\n$1\r\n1\r\n");
    f->session.port = SESSION_NODE;
    expect(f, "SORT l BY w_*", "-ERR BY option of SORT denied in Cluster mode.\r\n");
    expect(f, "SORT l GET #", "-ERR GET option of SORT denied in Cluster mode.\r\n");
    expect(f, "SORT l BY nosort LIMIT 0 1", "*1\r\n$1\r\n1\r\n");
}

static void test_store(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "RPUSH l 3 10 1");
    fixture_inline(f, "SET d v EX 100");
    expect(f, "SORT l STORE d", ":3\r\n");
    expect_log(f, "SORT l STORE d");
    expect(f, "LRANGE d 0 -1", "*3\r\n$1\r\n1\r\n$1\r\n3\r\n$2\r\n10\r\n");
    expect(f, "TTL d", ":-1\r\n");
    expect(f, "SORT l GET none_* STORE l", ":3\r\n");
    expect(f, "LRANGE l 0 -1", "*3\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n");
    expect(f, "SORT none STORE d", REPLY_ZERO);
    expect(f, "EXISTS d", REPLY_ZERO);
}

static void append_key(void *arg, struct bytes key) {
    buf_append_bytes(arg, key);
    buf_append_text(arg, " ");
}

static void expect_derived(struct fixture *f, uint32_t argc, const char *const *words,
                           const char *want) {
    struct bytes argv[8];
    struct buf keys = {0}, reply = {0};
    for (uint32_t i = 0; i < argc; i++)
        argv[i] = bytes_of_text(words[i]);
    struct command_ctx ctx = {.ks = f->ks, .session = &f->session, .env = &f->env};
    ctx.argv = argv;
    ctx.argc = argc;
    ctx.cmd = command_lookup(argv, argc, NULL);
    ctx.reply = (struct reply){.out = &reply, .version = 2};
    assert_int_equal(sort_derives_keys(&ctx), want[0] != '\0');
    sort_derived_keys(&ctx, append_key, &keys);
    buf_append(&keys, "", 1);
    assert_string_equal(keys.data, want);
    buf_free(&keys);
    buf_free(&reply);
}

static void test_derived(void **state) {
    struct fixture *f = *state;
    fixture_inline(f, "RPUSH l 1 2");
    expect_derived(f, 4, (const char *const[]){"SORT", "l", "BY", "w_*"}, "w_1 w_2 ");
    expect_derived(f, 6, (const char *const[]){"SORT", "l", "BY", "a*", "GET", "b*c->f"},
                   "a1 b1c a2 b2c ");
    expect_derived(f, 4, (const char *const[]){"SORT", "l", "GET", "#"}, "");
    expect_derived(f, 6, (const char *const[]){"SORT", "l", "BY", "nosort", "BY", "w_*"}, "");
    expect_derived(f, 5, (const char *const[]){"SORT", "l", "BY", "w_*", "WHAT"}, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_orders),
        FIXTURE_TEST(test_patterns),
        FIXTURE_TEST(test_store),
        FIXTURE_TEST(test_derived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
