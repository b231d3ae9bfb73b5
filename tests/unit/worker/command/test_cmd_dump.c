/* DUMP and RESTORE: the payload of a real server, options, what is logged. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* DUMP of "hello" by redis-server 7.0.15; the last four bytes of the second are not its own. */
#define HELLO       "\"\\x00\\x05hello\\n\\x00cr\\xdfve4 \\n\""
#define BROKEN      "\"\\x00\\x05hello\\n\\x00cr\\xdfvABCD\""
#define BAD_PAYLOAD "-ERR DUMP payload version or checksum are wrong\r\n"

static void test_dump_is_the_same(void **state) {
    struct fixture *f = *state;
    expect(f, "SET a hello", REPLY_OK);
    static const char want[] = "$17\r\n\0\5hello\n\0cr\xdfve4 \n\r\n";
    fixture_inline(f, "DUMP a");
    assert_int_equal(f->reply.len, sizeof(want) - 1);
    assert_memory_equal(f->reply.data, want, sizeof(want) - 1);
    expect(f, "DUMP nokey", REPLY_NIL);
}

static void test_restore(void **state) {
    struct fixture *f = *state;
    expect(f, "RESTORE a 0 " HELLO, REPLY_OK);
    expect(f, "GET a", "$5\r\nhello\r\n");
    expect(f, "RESTORE a 0 " HELLO, "-BUSYKEY Target key name already exists.\r\n");
    expect(f, "RESTORE a 500 " HELLO " REPLACE", REPLY_OK);
    const char *logged = "1700000500";
    assert_non_null(memmem(f->logged.data, f->logged.len, logged, strlen(logged)));
    assert_memory_equal(f->logged.data + f->logged.len - 14, "ABSTTL REPLACE", 14);
    expect(f, "PTTL a", ":500\r\n");
    expect(f, "RESTORE a 1700000900 " HELLO " replace absttl", REPLY_OK);
    expect(f, "PTTL a", ":900\r\n");
    expect(f, "RESTORE a 0 " HELLO " REPLACE", REPLY_OK);
    expect(f, "PTTL a", ":-1\r\n");
    expect(f, "RESTORE a 5 " HELLO " REPLACE ABSTTL", REPLY_OK);
    expect_log(f, "DEL a");
    expect(f, "EXISTS a", REPLY_ZERO);
    expect(f, "RESTORE a 5 " HELLO " ABSTTL", REPLY_OK);
    expect_log(f, "");
    expect(f, "RESTORE a 0 " HELLO " IDLETIME 100", REPLY_OK);
    expect(f, "OBJECT IDLETIME a", ":100\r\n");
    expect(f, "RESTORE b 0 " BROKEN, BAD_PAYLOAD);
    expect(f, "RESTORE b 0 \"\\\"\\\"\"", BAD_PAYLOAD);
    expect(f, "RESTORE b 0 \"12345678901\"", BAD_PAYLOAD);
    expect(f, "EXISTS b", REPLY_ZERO);
    expect(f, "RESTORE b x " HELLO, REPLY_INT);
    expect(f, "RESTORE b -1 " HELLO, "-ERR Invalid TTL value, must be >= 0\r\n");
    expect(f, "RESTORE b 0 " HELLO " foo", REPLY_SYNTAX);
    expect(f, "RESTORE b 0 " HELLO " IDLETIME", REPLY_SYNTAX);
    expect(f, "RESTORE b 0 " HELLO " IDLETIME -1", "-ERR Invalid IDLETIME value, must be >= 0\r\n");
    expect(f, "RESTORE b 0 " HELLO " FREQ 256",
           "-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n");
    expect(f, "RESTORE b 0 " HELLO " FREQ 1 IDLETIME 1", REPLY_SYNTAX);
}

static void run(struct fixture *f, const char *command, struct bytes payload) {
    struct bytes argv[] = {BYTES_LITERAL("RESTORE"), bytes_of_text(command), BYTES_LITERAL("0"),
                           payload};
    fixture_run(f, 4, argv);
}

/* What DUMP gives, RESTORE takes, of either form of a hash. */
static void test_round_trip(void **state) {
    struct fixture *f = *state;
    for (int form = 0; form < 2; form++) {
        fixture_configure(f, "hash-max-listpack-entries", form == 0 ? "100" : "0");
        fixture_inline(f, "HSET h a 1 b 2");
        fixture_inline(f, "DUMP h");
        struct buf payload = {0};
        const char *body = strchr(f->reply.data, '\n') + 1;
        buf_append(&payload, body, f->reply.len - (size_t)(body - f->reply.data) - 2);
        run(f, form == 0 ? "packed" : "table", buf_bytes(&payload));
        assert_string_equal(fixture_inline(f, form == 0 ? "HGET packed b" : "HGET table b"),
                            "$1\r\n2\r\n");
        buf_free(&payload);
    }
    expect(f, "OBJECT ENCODING packed", "$8\r\nlistpack\r\n");
    expect(f, "OBJECT ENCODING table", "$9\r\nhashtable\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_dump_is_the_same),
        FIXTURE_TEST(test_restore),
        FIXTURE_TEST(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
