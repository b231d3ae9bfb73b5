/* Expiry: conditions, units, rounding, overflow, and what is logged. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_units(void **state) {
    struct fixture *f = *state;
    expect(f, "SET k v", REPLY_OK);
    expect(f, "EXPIRE k 10", REPLY_ONE);
    expect_log(f, "PEXPIREAT k 1700010000");
    expect(f, "TTL k", ":10\r\n");
    expect(f, "PTTL k", ":10000\r\n");
    expect(f, "PEXPIRE k 1500", REPLY_ONE);
    expect_log(f, "PEXPIREAT k 1700001500");
    expect(f, "TTL k", ":2\r\n");
    expect(f, "EXPIREAT k 1700099", REPLY_ONE);
    expect_log(f, "PEXPIREAT k 1700099000");
    expect(f, "EXPIRETIME k", ":1700099\r\n");
    expect(f, "PEXPIREAT k 1700099500", REPLY_ONE);
    expect(f, "PEXPIRETIME k", ":1700099500\r\n");
    expect(f, "EXPIRETIME k", ":1700100\r\n");
    expect(f, "PERSIST k", REPLY_ONE);
    expect_log(f, "PERSIST k");
    expect(f, "PERSIST k", REPLY_ZERO);
    expect_log(f, "");
    expect(f, "TTL k", ":-1\r\n");
    expect(f, "PTTL k", ":-1\r\n");
    expect(f, "EXPIRETIME k", ":-1\r\n");
    expect(f, "TTL nokey", ":-2\r\n");
    expect(f, "PEXPIRETIME nokey", ":-2\r\n");
    expect(f, "EXPIRE nokey 10", REPLY_ZERO);
}

static void test_conditions(void **state) {
    struct fixture *f = *state;
    expect(f, "SET k v", REPLY_OK);
    expect(f, "EXPIRE k 10 XX", REPLY_ZERO);
    expect(f, "EXPIRE k 10 GT", REPLY_ZERO);
    expect(f, "EXPIRE k 10 NX", REPLY_ONE);
    expect(f, "EXPIRE k 20 NX", REPLY_ZERO);
    expect(f, "EXPIRE k 5 GT", REPLY_ZERO);
    expect(f, "EXPIRE k 10 GT", REPLY_ZERO);
    expect(f, "EXPIRE k 20 GT", REPLY_ONE);
    expect(f, "EXPIRE k 30 LT", REPLY_ZERO);
    expect(f, "EXPIRE k 15 xx lt", REPLY_ONE);
    expect(f, "PERSIST k", REPLY_ONE);
    expect(f, "EXPIRE k 15 LT", REPLY_ONE);
    expect(f, "EXPIRE k 15 NX GT",
           "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n");
    expect(f, "EXPIRE k 15 GT LT",
           "-ERR GT and LT options at the same time are not compatible\r\n");
    expect(f, "EXPIRE k 15 foo", "-ERR Unsupported option foo\r\n");
    expect(f, "EXPIRE nokey x", REPLY_INT);
}

static void test_past(void **state) {
    struct fixture *f = *state;
    expect(f, "SET k v", REPLY_OK);
    expect(f, "EXPIRE k 0", REPLY_ONE);
    expect_log(f, "DEL k");
    expect(f, "EXISTS k", REPLY_ZERO);
    expect(f, "SET k v", REPLY_OK);
    expect(f, "PEXPIREAT k -5", REPLY_ONE);
    expect_log(f, "DEL k");
    expect(f, "SET k v", REPLY_OK);
    expect(f, "PEXPIRE k 1", REPLY_ONE);
    fixture_advance(f, 1);
    expect(f, "GET k", "$1\r\nv\r\n");
    fixture_advance(f, 1);
    expect(f, "GET k", REPLY_NIL);
}

/* The log says itself when a key went. */
static void test_past_while_loading(void **state) {
    struct fixture *f = *state;
    expect(f, "SET k v", REPLY_OK);
    f->env.loading = true;
    expect(f, "PEXPIREAT k 5", REPLY_ONE);
    f->env.loading = false;
    expect(f, "EXISTS k", REPLY_ZERO);
}

static void test_overflow(void **state) {
    struct fixture *f = *state;
    expect(f, "SET k v", REPLY_OK);
    expect(f, "EXPIRE k 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n");
    expect(f, "EXPIRE k -9223372036854775808", "-ERR invalid expire time in 'expire' command\r\n");
    expect(f, "EXPIRE k 9223372036854775", "-ERR invalid expire time in 'expire' command\r\n");
    expect(f, "PEXPIRE k 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n");
    expect(f, "EXPIREAT k 9223372036854776", "-ERR invalid expire time in 'expireat' command\r\n");
    expect(f, "PEXPIREAT k 9223372036854775807", REPLY_ONE);
    expect(f, "PEXPIRETIME k", ":9223372036854775807\r\n");
    expect(f, "TTL k", ":9223372035154776\r\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_units),    FIXTURE_TEST(test_conditions),
        FIXTURE_TEST(test_past),     FIXTURE_TEST(test_past_while_loading),
        FIXTURE_TEST(test_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
