/* SCAN and KEYS: options, filters, and that no key is missed or shown past its time. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_options(void **state) {
    struct fixture *f = *state;
    expect(f, "SCAN 0", "*2\r\n$1\r\n0\r\n*0\r\n");
    expect(f, "SCAN x", "-ERR invalid cursor\r\n");
    expect(f, "SCAN 18446744073709551616", "-ERR invalid cursor\r\n");
    expect(f, "SCAN \" 0\"", "-ERR invalid cursor\r\n");
    expect(f, "SCAN 0 COUNT 0", REPLY_SYNTAX);
    expect(f, "SCAN 0 COUNT x", REPLY_INT);
    expect(f, "SCAN 0 MATCH", REPLY_SYNTAX);
    expect(f, "SCAN 0 foo bar", REPLY_SYNTAX);
    expect(f, "SET only 1", REPLY_OK);
    expect(f, "SCAN 0 MATCH o* COUNT 1000 TYPE string", "*2\r\n$1\r\n0\r\n*1\r\n$4\r\nonly\r\n");
    expect(f, "SCAN 0 COUNT 1000 TYPE STRING", "*2\r\n$1\r\n0\r\n*1\r\n$4\r\nonly\r\n");
    expect(f, "SCAN 0 COUNT 1000 TYPE hash", "*2\r\n$1\r\n0\r\n*0\r\n");
    expect(f, "SCAN 0 COUNT 1000 TYPE zork", "*2\r\n$1\r\n0\r\n*0\r\n");
    expect(f, "SCAN 0 COUNT 1000 MATCH x*", "*2\r\n$1\r\n0\r\n*0\r\n");
}

static void test_keys(void **state) {
    struct fixture *f = *state;
    expect(f, "KEYS *", "*0\r\n");
    expect(f, "SET only 1 PX 10", REPLY_OK);
    expect(f, "KEYS *", "*1\r\n$4\r\nonly\r\n");
    expect(f, "KEYS o[n]l?", "*1\r\n$4\r\nonly\r\n");
    expect(f, "KEYS x*", "*0\r\n");
    expect(f, "KEYS ONLY", "*0\r\n");
    fixture_advance(f, 11);
    expect(f, "KEYS *", "*0\r\n");
    expect(f, "KEYS only", "*0\r\n");
}

enum { SCAN_KEYS = 2000 };
static void check_scan(struct fixture *f) {
    char text[64];
    uint32_t seen[SCAN_KEYS] = {0}, calls = 0;
    unsigned long long cursor = 0;
    do {
        snprintf(text, sizeof(text), "SCAN %llu COUNT 20", cursor);
        const char *at = fixture_inline(f, text);
        assert_int_equal(sscanf(at, "*2\r\n$%*d\r\n%llu\r\n", &cursor), 1);
        while ((at = strstr(at, "key:")) != NULL) {
            at += 4;
            seen[atoi(at)]++;
        }
        calls++;
    } while (cursor != 0);
    for (int i = 0; i < SCAN_KEYS; i++)
        assert_true(seen[i] >= 1);
    assert_true(calls > SCAN_KEYS / 100);
}

static void test_scan_sees_all(void **state) {
    struct fixture *f = *state;
    char text[64];
    for (int i = 0; i < SCAN_KEYS; i++) {
        snprintf(text, sizeof(text), "SET key:%d v", i);
        fixture_inline(f, text);
    }
    check_scan(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(test_options),
        FIXTURE_TEST(test_keys),
        FIXTURE_TEST(test_scan_sees_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
