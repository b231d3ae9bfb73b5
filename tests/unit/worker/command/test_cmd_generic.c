/* Keys whatever they hold: deleting, renaming, copying, moving, OBJECT. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_delete_and_count(void **state) {
    struct fixture *f = *state;
    expect(f, "MSET a 1 b 2 c 3", REPLY_OK);
    expect(f, "EXISTS a a nokey b", ":3\r\n");
    expect(f, "DEL a a nokey", REPLY_ONE);
    expect_log(f, "DEL a a nokey");
    expect(f, "DEL a", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "UNLINK b c", ":2\r\n");
    expect(f, "TOUCH b", REPLY_ZERO);
    expect(f, "SET a 1 PX 5", REPLY_OK);
    fixture_advance(f, 6);
    expect(f, "DEL a", REPLY_ZERO);
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "TYPE a", "+none\r\n");
    expect(f, "SET a 1", REPLY_OK);
    expect(f, "TYPE a", "+string\r\n");
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "TYPE h", "+hash\r\n");
    expect(f, "TOUCH a h nokey", ":2\r\n");
}

static void test_rename(void **state) {
    struct fixture *f = *state;
    expect(f, "RENAME a b", "-ERR no such key\r\n");
    expect(f, "RENAME a a", "-ERR no such key\r\n");
    expect(f, "SET a 1 PX 100", REPLY_OK);
    expect(f, "SET b 2", REPLY_OK);
    expect(f, "RENAME a b", REPLY_OK);
    expect_log(f, "RENAME a b");
    expect(f, "GET b", "$1\r\n1\r\n");
    expect(f, "PTTL b", ":100\r\n");
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "SET a 3", REPLY_OK);
    expect(f, "RENAME a b", REPLY_OK);
    expect(f, "PTTL b", ":-1\r\n");
    expect(f, "RENAME b b", REPLY_OK);
    expect_log(f, "");
    expect(f, "RENAMENX b b", REPLY_ZERO);
    expect(f, "SET c 1", REPLY_OK);
    expect(f, "RENAMENX b c", REPLY_ZERO);
    expect(f, "RENAMENX b d", REPLY_ONE);
    expect(f, "HSET h f v", REPLY_ONE);
    expect(f, "RENAME h d", REPLY_OK);
    expect(f, "HGETALL d", "*2\r\n$1\r\nf\r\n$1\r\nv\r\n");
}

static void test_rename_of_a_table(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "hash-max-listpack-entries", "1");
    expect(f, "HSET h a 1 b 2", ":2\r\n");
    expect(f, "OBJECT ENCODING h", "$9\r\nhashtable\r\n");
    expect(f, "RENAME h i", REPLY_OK);
    expect(f, "HGET i b", "$1\r\n2\r\n");
    expect(f, "SET s x", REPLY_OK);
    expect(f, "RENAME s i", REPLY_OK);
    expect(f, "GET i", "$1\r\nx\r\n");
}

static void test_copy(void **state) {
    struct fixture *f = *state;
    expect(f, "COPY a b", REPLY_ZERO);
    expect(f, "SET a 1 PX 100", REPLY_OK);
    expect(f, "COPY a b", REPLY_ONE);
    expect_log(f, "COPY a b");
    expect(f, "PTTL b", ":100\r\n");
    expect(f, "COPY a b", REPLY_ZERO);
    expect(f, "SET b 5", REPLY_OK);
    expect(f, "COPY b a REPLACE", REPLY_ONE);
    expect(f, "PTTL a", ":-1\r\n");
    expect(f, "GET a", "$1\r\n5\r\n");
    expect(f, "COPY a a", "-ERR source and destination objects are the same\r\n");
    expect(f, "COPY a a DB 0", "-ERR source and destination objects are the same\r\n");
    expect(f, "COPY a a DB 3", REPLY_ONE);
    expect(f, "COPY a a DB 16", "-ERR DB index is out of range\r\n");
    expect(f, "COPY a a DB -1", "-ERR DB index is out of range\r\n");
    expect(f, "COPY a a DB x", REPLY_INT);
    expect(f, "COPY a b foo", REPLY_SYNTAX);
    expect(f, "COPY a b DB", REPLY_SYNTAX);
    f->session.db = 3;
    expect(f, "GET a", "$1\r\n5\r\n");
    f->session.db = 0;
    f->session.port = SESSION_NODE;
    expect(f, "COPY a a DB 1",
           "-ERR Copying to another database is not allowed in cluster mode\r\n");
    expect(f, "MOVE a 1", "-ERR MOVE is not allowed in cluster mode\r\n");
}

static void test_copy_of_a_table_is_deep(void **state) {
    struct fixture *f = *state;
    fixture_configure(f, "hash-max-listpack-entries", "1");
    expect(f, "HSET h a 1 b 2", ":2\r\n");
    expect(f, "COPY h i", REPLY_ONE);
    expect(f, "HSET h a 3", REPLY_ZERO);
    expect(f, "HGET i a", "$1\r\n1\r\n");
    expect(f, "COPY h i REPLACE", REPLY_ONE);
    expect(f, "HGET i a", "$1\r\n3\r\n");
    expect(f, "DEL h", REPLY_ONE);
    expect(f, "HGET i b", "$1\r\n2\r\n");
}

static void test_move(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a 1 PX 100", REPLY_OK);
    expect(f, "MOVE a 0", "-ERR source and destination objects are the same\r\n");
    expect(f, "MOVE a 16", "-ERR DB index is out of range\r\n");
    expect(f, "MOVE a x", REPLY_INT);
    expect(f, "MOVE a 1", REPLY_ONE);
    expect_log(f, "MOVE a 1");
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "SET a 2", REPLY_OK);
    expect(f, "MOVE a 1", REPLY_ZERO);
    expect(f, "MOVE nokey 1", REPLY_ZERO);
    f->session.db = 1;
    expect(f, "GET a", "$1\r\n1\r\n");
    expect(f, "PTTL a", ":100\r\n");
}

static void test_object(void **state) {
    struct fixture *f = *state;
    expect(f, "OBJECT ENCODING nokey", REPLY_NIL);
    expect(f, "OBJECT FREQ nokey", REPLY_NIL);
    expect(f, "OBJECT IDLETIME nokey", REPLY_NIL);
    expect(f, "OBJECT REFCOUNT nokey", REPLY_NIL);
    expect(f, "SET a 1", REPLY_OK);
    expect(f, "OBJECT ENCODING a", "$3\r\nint\r\n");
    expect(f, "OBJECT REFCOUNT a", ":2147483647\r\n");
    expect(f, "SET a 10000", REPLY_OK);
    expect(f, "OBJECT REFCOUNT a", REPLY_ONE);
    expect(f, "SET a 12345678901234567890123456789012345678901234", REPLY_OK);
    expect(f, "OBJECT ENCODING a", "$6\r\nembstr\r\n");
    expect(f, "SET a 123456789012345678901234567890123456789012345", REPLY_OK);
    expect(f, "OBJECT ENCODING a", "$3\r\nraw\r\n");
    expect(f, "OBJECT IDLETIME a", REPLY_ZERO);
    fixture_advance(f, 5000);
    expect(f, "OBJECT IDLETIME a", ":5\r\n");
    expect(f, "EXISTS a", REPLY_ONE);
    expect(f, "OBJECT IDLETIME a", ":5\r\n");
    expect(f, "TOUCH a", REPLY_ONE);
    expect(f, "OBJECT IDLETIME a", REPLY_ZERO);
    expect(f, "OBJECT FREQ a",
           "-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
           "note that when switching between policies at runtime LRU and LFU data will take some "
           "time to adjust.\r\n");
    fixture_configure(f, "maxmemory-policy", "allkeys-lfu");
    expect(f, "SET new 1", REPLY_OK);
    expect(f, "OBJECT FREQ new", ":5\r\n");
    expect(f, "OBJECT IDLETIME a",
           "-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
           "switching between policies at runtime LRU and LFU data will take some time to "
           "adjust.\r\n");
    f->config->maxmemory = 1 << 30;
    expect(f, "OBJECT REFCOUNT new", REPLY_ONE);
    expect(f, "OBJECT foo a", "-ERR unknown subcommand 'foo'. Try OBJECT HELP.\r\n");
}

static void test_randomkey(void **state) {
    struct fixture *f = *state;
    expect(f, "RANDOMKEY", REPLY_NIL);
    expect(f, "SET a 1", REPLY_OK);
    expect(f, "RANDOMKEY", "$1\r\na\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_delete_and_count),
        FIXTURE_TEST(test_rename),
        FIXTURE_TEST(test_rename_of_a_table),
        FIXTURE_TEST(test_copy),
        FIXTURE_TEST(test_copy_of_a_table_is_deep),
        FIXTURE_TEST(test_move),
        FIXTURE_TEST(test_object),
        FIXTURE_TEST(test_randomkey),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
