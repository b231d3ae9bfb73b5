/* test_scan.c - SCAN's promise while keys come and go, and walking over all keys. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"
#include "shared/base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { STAY = 5000, LIMIT_STEPS = 1000000 };

struct seen {
    struct fixture *f;
    uint32_t stay[STAY];
    uint64_t all;
    bool delete;
};

static void on_key(void *arg, struct keyref *ref) {
    struct seen *seen = arg;
    int64_t which;
    seen->all++;
    assert_true(keyref_found(ref));
    if (ref->key.ptr[0] == 's') {
        assert_true(bytes_to_i64(bytes_of(ref->key.ptr + 1, ref->key.len - 1), &which));
        seen->stay[which]++;
    }
    if (seen->delete)
        assert_true(keyspace_delete(ref, false));
}

static void set_numbered(struct fixture *f, char letter, uint32_t number) {
    char key[32];
    snprintf(key, sizeof key, "%c%u", letter, number);
    fixture_set(f, 0, key, key);
}

static void delete_numbered(struct fixture *f, char letter, uint32_t number) {
    char key[32];
    struct keyref ref;
    snprintf(key, sizeof key, "%c%u", letter, number);
    if (fixture_find(f, 0, key, &ref))
        keyspace_delete(&ref, false);
}

/* The others grow from nothing to `peak` and go again while the scan is on its way. */
static void run_scan(uint32_t peak, uint32_t a_step, uint64_t count) {
    struct fixture f;
    struct seen *seen = mem_calloc(1, sizeof *seen);
    uint32_t others = 0, removed = 0;
    uint64_t cursor = 0, steps = 0;
    fixture_begin(&f);
    for (uint32_t i = 0; i < STAY; i++)
        set_numbered(&f, 's', i);
    do {
        cursor = keyspace_scan(f.ks, 0, cursor, count, on_key, seen);
        assert_true(cursor < (uint64_t)1 << 48);
        for (uint32_t i = 0; i < a_step; i++) {
            if (others < peak)
                set_numbered(&f, 'o', others++);
            else if (removed < peak)
                delete_numbered(&f, 'o', removed++);
        }
        assert_true(++steps < LIMIT_STEPS);
    } while (cursor);
    for (uint32_t i = 0; i < STAY; i++)
        assert_int_equal(seen->stay[i], 1);
    mem_free(seen);
    fixture_end(&f);
}

static void test_scan(void **state) {
    run_scan(0, 0, 10);
    run_scan(0, 0, 1);
    run_scan(0, 0, UINT64_MAX);
    run_scan(60000, 120, 10);
    run_scan(60000, 1500, 100);
}

static void test_scan_deleting(void **state) {
    struct fixture f;
    struct seen *seen = mem_calloc(1, sizeof *seen);
    uint64_t cursor = 0;
    fixture_begin(&f);
    for (uint32_t i = 0; i < STAY; i++)
        set_numbered(&f, 's', i);
    seen->delete = true;
    do {
        cursor = keyspace_scan(f.ks, 0, cursor, 10, on_key, seen);
    } while (cursor);
    assert_int_equal(seen->all, STAY);
    assert_int_equal(keyspace_count(f.ks, 0), 0);
    mem_free(seen);
    fixture_end(&f);
}

static void test_scan_skips_expired(void **state) {
    struct fixture f;
    struct seen *seen = mem_calloc(1, sizeof *seen);
    fixture_begin(&f);
    fixture_set(&f, 0, "stays", "x");
    fixture_set_expiring(&f, 0, "goes", FIXTURE_NOW_MS + 1);
    seen->delete = false;
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 2);
    fixture_set(&f, 1, "other", "x");
    struct keyref ref;
    fixture_find(&f, 0, "stays", &ref);
    keyspace_delete(&ref, false);
    set_numbered(&f, 's', 3);
    assert_int_equal(keyspace_scan(f.ks, 0, 0, 100, on_key, seen), 0);
    assert_int_equal(seen->all, 1);
    keyspace_set_expiry_passive(f.ks, true);
    assert_int_equal(keyspace_scan(f.ks, 0, 0, 100, on_key, seen), 0);
    assert_int_equal(seen->all, 3);
    mem_free(seen);
    fixture_end(&f);
}

/* A cursor from anywhere is harmless. */
static void test_scan_any_cursor(void **state) {
    struct fixture f;
    struct seen *seen = mem_calloc(1, sizeof *seen);
    fixture_random_seed();
    fixture_begin(&f);
    for (uint32_t i = 0; i < STAY; i++)
        set_numbered(&f, 's', i);
    for (int i = 0; i < 10000; i++) {
        uint64_t cursor = (uint64_t)random() << 33 ^ (uint64_t)random() << 10 ^ (uint64_t)random();
        assert_true(keyspace_scan(f.ks, 0, cursor, 1, on_key, seen) < (uint64_t)1 << 48);
    }
    assert_int_equal(keyspace_scan(f.ks, 0, UINT64_MAX, 1, on_key, seen), 0);
    assert_int_equal(keyspace_scan(f.ks, 1, 12345, 1, on_key, seen), 0);
    mem_free(seen);
    fixture_end(&f);
}

static bool count_until(void *arg, const struct keyref *ref) {
    uint64_t *left = arg;
    assert_true(keyref_found(ref));
    return --*left > 0;
}

static void test_each(void **state) {
    struct fixture f;
    fixture_begin(&f);
    for (uint32_t i = 0; i < STAY; i++)
        set_numbered(&f, 's', i);
    fixture_set_expiring(&f, 0, "past", FIXTURE_NOW_MS - 1);
    uint64_t left = STAY + 2;
    assert_true(keyspace_each(f.ks, 0, count_until, &left));
    assert_int_equal(left, 1);
    left = 10;
    assert_false(keyspace_each(f.ks, 0, count_until, &left));
    assert_int_equal(left, 0);
    assert_true(keyspace_each(f.ks, 2, count_until, &left));
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_scan_deleting),
        cmocka_unit_test(test_scan_skips_expired),
        cmocka_unit_test(test_scan_any_cursor),
        cmocka_unit_test(test_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
