/* Set commands: forms, what is logged, and what the differential scripts cannot ask. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void expect_encoding(struct fixture *f, const char *key, const char *name) {
    char text[64], want[64];
    snprintf(text, sizeof(text), "OBJECT ENCODING %s", key);
    snprintf(want, sizeof(want), "$%zu\r\n%s\r\n", strlen(name), name);
    expect(f, text, want);
}

static void test_add_and_remove(void **state) {
    struct fixture *f = *state;
    expect(f, "SADD s a b a", ":2\r\n");
    expect_log(f, "SADD s a b a");
    expect(f, "SADD s a", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "SREM s x", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "SREM s a x", REPLY_ONE);
    expect_log(f, "SREM s a x");
    expect(f, "SREM s b", REPLY_ONE);
    expect(f, "EXISTS s", REPLY_ZERO);
}

static void test_forms(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "set-max-intset-entries", "3");
    fixture_configure(f, "set-max-listpack-entries", "4");
    fixture_configure(f, "set-max-listpack-value", "5");
    expect(f, "SADD i 3 1 2", ":3\r\n");
    expect_encoding(f, "i", "intset");
    expect(f, "SADD i x", REPLY_ONE);
    expect_encoding(f, "i", "listpack");
    expect(f, "SMEMBERS i", "*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\nx\r\n");
    expect(f, "SADD i y", REPLY_ONE);
    expect_encoding(f, "i", "hashtable");
    expect(f, "SADD t abcdef", REPLY_ONE);
    expect_encoding(f, "t", "hashtable");
    expect(f, "SADD n 1 2 3 4", ":4\r\n");
    expect_encoding(f, "n", "listpack");
    expect(f, "SADD n 5", REPLY_ONE);
    expect_encoding(f, "n", "hashtable");
    /* As many arguments as that make a table, whatever they are. */
    expect(f, "SADD m a", REPLY_ONE);
    expect(f, "SADD m a a a a", REPLY_ZERO);
    expect_encoding(f, "m", "listpack");
    expect(f, "SADD m a a a a a", REPLY_ZERO);
    expect_log(f, "");
    expect_encoding(f, "m", "hashtable");
}

static void test_results(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "set-max-listpack-entries", "2");
    expect(f, "SADD table a b 1 2", ":4\r\n");
    expect_encoding(f, "table", "hashtable");
    expect(f, "SADD list a 1", ":2\r\n");
    expect_encoding(f, "list", "listpack");
    expect(f, "SADD other a b 1 2 3", ":5\r\n");
    expect(f, "SINTERSTORE d table list", ":2\r\n");
    expect_log(f, "SINTERSTORE d table list");
    expect_encoding(f, "d", "listpack");
    expect(f, "SINTERSTORE d table other", ":4\r\n");
    expect_encoding(f, "d", "hashtable");
    expect(f, "SREM d a b", ":2\r\n");
    expect(f, "SINTERSTORE d table d", ":2\r\n");
    expect_encoding(f, "d", "intset");
    expect(f, "SUNIONSTORE d list", ":2\r\n");
    expect_encoding(f, "d", "listpack");
    expect(f, "SDIFFSTORE d other table", REPLY_ONE);
    expect_encoding(f, "d", "intset");
    expect(f, "EXPIRE d 100", REPLY_ONE);
    expect(f, "SUNIONSTORE d other d", ":5\r\n");
    expect(f, "TTL d", ":-1\r\n");
    expect(f, "SDIFFSTORE d nokey", REPLY_ZERO);
    expect_log(f, "SDIFFSTORE d nokey");
    expect(f, "EXISTS d", REPLY_ZERO);
    expect(f, "SDIFFSTORE d nokey", REPLY_ZERO);
    expect_log(f, "");
}

static void test_pop(void **state) {
    struct fixture *f = *state;
    expect(f, "SADD s a", REPLY_ONE);
    expect(f, "SPOP s", "$1\r\na\r\n");
    expect_log(f, "SREM s a");
    expect(f, "EXISTS s", REPLY_ZERO);
    expect(f, "SADD s a b", ":2\r\n");
    expect(f, "SPOP s 5", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    expect_log(f, "DEL s");
    expect(f, "EXISTS s", REPLY_ZERO);
    expect(f, "SPOP s 0", "*0\r\n");
    expect(f, "SPOP s", REPLY_NIL);
    expect(f, "SPOP s -1", "-ERR value is out of range, must be positive\r\n");
    expect_log(f, "");
}

/* Many are logged a thousand or so at a time, and what is logged is what was replied. */
static void test_pop_many(void **state) {
    struct fixture *f = *state;
    struct buf text = {0};
    buf_append_text(&text, "SADD s");
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, " m%d", i);
    buf_append(&text, "", 1);
    expect(f, text.data, ":5000\r\n");
    fixture_inline(f, "SPOP s 2500");
    assert_memory_equal(f->reply.data, "*2500\r\n", 7);
    uint64_t commands = 0, members = 0;
    *buf_reserve(&f->logged, 1) = '\0';
    for (const char *at = f->logged.data; (at = strstr(at, "SREM s ")) != NULL; at++)
        commands++;
    for (const char *at = f->logged.data; (at = strstr(at, " m")) != NULL; at++)
        members++;
    assert_int_equal(commands, 3);
    assert_int_equal(members, 2500);
    expect(f, "SCARD s", ":2500\r\n");
    buf_free(&text);
}

static void test_random(void **state) {
    struct fixture *f = *state;
    expect(f, "SADD s a", REPLY_ONE);
    expect(f, "SRANDMEMBER s -2", "*2\r\n$1\r\na\r\n$1\r\na\r\n");
    expect(f, "SRANDMEMBER s -4194305",
           "-ERR value is out of range, a reply may repeat members up to 4194304 times or "
           "1073741824 bytes\r\n");
    expect(f, "SRANDMEMBER s -9223372036854775808",
           "-ERR value is out of range, value must between -9223372036854775807 and "
           "9223372036854775807\r\n");
}

static void test_move(void **state) {
    struct fixture *f = *state;
    expect(f, "SADD a x 1", ":2\r\n");
    expect(f, "SMOVE a b x", REPLY_ONE);
    expect_log(f, "SMOVE a b x");
    expect(f, "SMOVE a b x", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "SMOVE a c 1", REPLY_ONE);
    expect_log(f, "SMOVE a c 1");
    expect_encoding(f, "c", "intset");
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "SADD a x", REPLY_ONE);
    expect(f, "SMOVE a b x", REPLY_ONE);
    expect_log(f, "SMOVE a b x");
    expect(f, "SMEMBERS b", "*1\r\n$1\r\nx\r\n");
    expect(f, "SMOVE b b x", REPLY_ONE);
    expect_log(f, "");
}

static void test_difference_both_ways(void **state) {
    struct fixture *f = *state;
    struct buf text = {0};
    /* Many members against few, and few against many: each way of subtracting. */
    buf_append_text(&text, "SADD many");
    for (int i = 0; i < 2000; i++)
        buf_printf(&text, " %d", i);
    buf_append(&text, "", 1);
    expect(f, text.data, ":2000\r\n");
    expect(f, "SADD few 0 1 2 3000", ":4\r\n");
    expect(f, "SADD one 7", REPLY_ONE);
    expect(f, "SDIFFSTORE d many few one one one one", ":1996\r\n");
    expect(f, "SISMEMBER d 7", REPLY_ZERO);
    expect(f, "SISMEMBER d 8", REPLY_ONE);
    expect(f, "SDIFF few many", "*1\r\n$4\r\n3000\r\n");
    expect(f, "SINTERCARD 2 many few LIMIT 2", ":2\r\n");
    expect(f, "SINTERCARD 2 few many", ":3\r\n");
    buf_free(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_add_and_remove), FIXTURE_TEST(test_forms),
        FIXTURE_TEST(test_results),        FIXTURE_TEST(test_pop),
        FIXTURE_TEST(test_pop_many),       FIXTURE_TEST(test_random),
        FIXTURE_TEST(test_move),           FIXTURE_TEST(test_difference_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
