/* test_memory.c - bytes a key costs, all told, at a million keys, against the aims and 5%. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"
#include "shared/base/mem.h"
#include <stdio.h>
#include <unistd.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { KEYS = 1000000, KEY_BYTES = 16 };

static double bytes_a_key(struct value (*value_of)(char *room, uint32_t number), bool expiring) {
    struct fixture f;
    struct keyref ref;
    char key[KEY_BYTES + 1], room[128];
    fixture_begin(&f);
    while (keyspace_lazyfree_pending(f.ks) > 0) /* of the row before */
        usleep(1000);
    uint64_t before = mem_used();
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof key, "key:%012u", i);
        struct value value = value_of(room, i);
        keyspace_find(f.ks, 0, bytes_of(key, KEY_BYTES), KEY_WRITE, &ref);
        keyspace_store(&ref, &value);
        if (expiring)
            keyspace_set_expire(&ref, FIXTURE_NOW_MS + 1000000 + i);
    }
    double each = (double)(mem_used() - before) / KEYS;
    fixture_end(&f);
    return each;
}

static struct value long_value(char *room, uint32_t number) {
    memset(room, 'x', 64);
    return value_string(bytes_of(room, 64));
}
static struct value short_value(char *room, uint32_t number) {
    return value_string(bytes_of(room, (size_t)snprintf(room, 128, "0%07u", number)));
}
static struct value number_value(char *room, uint32_t number) {
    return value_integer((int64_t)number * 1000003);
}

static void test_aims(void **state) {
    static const struct {
        const char *what;
        struct value (*value_of)(char *room, uint32_t number);
        bool expiring;
        double aim;
    } rows[] = {
        {"key 16 + value 64", long_value, false, 112},
        {"key 16 + 8 digits", short_value, false, 48},
        {"key 16 + integer", number_value, false, 44},
        {"key 16 + value 64 + expiry", long_value, true, 120},
    };
#ifdef REMUDA_SANITIZE
    skip(); /* the sanitizer's allocator is another */
#endif
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double each = bytes_a_key(rows[i].value_of, rows[i].expiring);
        print_message("%s: %.1f bytes (aim %.0f)\n", rows[i].what, each, rows[i].aim);
        assert_true(each <= rows[i].aim * 1.05);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_aims)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
