/* test_expire.c - keys past their time: on access, passively, and found actively. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"
#include <stdio.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

enum { LONG_ENOUGH_US = 10000000 };

static void test_on_access(void **state) {
    struct fixture f;
    struct keyref ref;
    fixture_begin(&f);
    fixture_set_expiring(&f, 2, "k", FIXTURE_NOW_MS + 10);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 10); /* its last millisecond */
    fixture_expect(&f, 2, "k", "k");
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 11);
    assert_false(keyspace_find(f.ks, 2, bytes_of_text("k"), KEY_READ, &ref));
    assert_int_equal(f.expired, 1);
    assert_string_equal(f.last_key, "k");
    assert_int_equal(f.last_db, 2);
    assert_int_equal(keyspace_stats(f.ks)->expired, 1);
    assert_int_equal(keyspace_stats(f.ks)->misses, 1);
    assert_int_equal(keyspace_count(f.ks, 2), 0);
    assert_int_equal(keyspace_expires_count(f.ks, 2), 0);
    /* The ref serves to make it anew. */
    struct value value = value_integer(5);
    keyspace_store(&ref, &value);
    fixture_expect(&f, 2, "k", "5");
    fixture_find(&f, 2, "k", &ref);
    assert_int_equal(keyref_expire_ms(&ref), KEY_NO_EXPIRY);
    fixture_end(&f);
}

static void test_passive(void **state) {
    struct fixture f;
    fixture_begin(&f);
    keyspace_set_expiry_passive(f.ks, true);
    fixture_set_expiring(&f, 0, "k", FIXTURE_NOW_MS - 10);
    fixture_expect(&f, 0, "k", "k");
    assert_int_equal(keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 10), 0);
    assert_int_equal(f.expired, 0);
    keyspace_set_expiry_passive(f.ks, false);
    fixture_expect(&f, 0, "k", NULL);
    assert_int_equal(f.expired, 1);
    fixture_end(&f);
}

static void fill(struct fixture *f, uint32_t db, const char *prefix, uint32_t count,
                 int64_t at_ms) {
    char key[64];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof key, "%s%u", prefix, i);
        fixture_set_expiring(f, db, key, at_ms);
    }
}

/* Mostly stale keys go in one cycle down to a small rest, and all of them within a few. */
static void test_cycle(void **state) {
    struct fixture f;
    fixture_begin(&f);
    fill(&f, 1, "stale", 20000, FIXTURE_NOW_MS + 1);
    fill(&f, 1, "fresh", 2000, FIXTURE_NOW_MS + 100000);
    fill(&f, 3, "stale", 100, FIXTURE_NOW_MS + 1);
    assert_int_equal(keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1), 0);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 2);
    assert_true(keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1) > 15000);
    for (int i = 0; i < 2000 && keyspace_expires_count(f.ks, 1) > 2000; i++)
        keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1);
    assert_int_equal(keyspace_expires_count(f.ks, 1), 2000);
    assert_int_equal(keyspace_count(f.ks, 1), 2000);
    assert_int_equal(keyspace_count(f.ks, 3), 0);
    assert_int_equal(f.expired, 20100);
    fixture_end(&f);
}

/* With no time at all a cycle still does a round, and the next goes on where it stopped. */
static void test_cycle_budget(void **state) {
    struct fixture f;
    fixture_begin(&f);
    fill(&f, 0, "stale", 5000, FIXTURE_NOW_MS - 1);
    fill(&f, 1, "stale", 5000, FIXTURE_NOW_MS - 1);
    uint64_t first = keyspace_expire_cycle(f.ks, 0, 1);
    assert_true(first >= 20 && first < 100);
    for (int i = 0; i < 1000; i++)
        keyspace_expire_cycle(f.ks, 0, 1);
    assert_int_equal(keyspace_count(f.ks, 0) + keyspace_count(f.ks, 1), 0);
    fixture_end(&f);
}

static void test_avg_ttl(void **state) {
    struct fixture f;
    fixture_begin(&f);
    assert_int_equal(keyspace_avg_ttl_ms(f.ks, 0), 0);
    fill(&f, 0, "k", 1000, FIXTURE_NOW_MS + 8000);
    assert_int_equal(keyspace_avg_ttl_ms(f.ks, 0), 8000);
    for (int i = 0; i < 300; i++)
        keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1);
    assert_in_range(keyspace_avg_ttl_ms(f.ks, 0), 7000, 8000);
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_access), cmocka_unit_test(test_passive),
        cmocka_unit_test(test_cycle),     cmocka_unit_test(test_cycle_budget),
        cmocka_unit_test(test_avg_ttl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
