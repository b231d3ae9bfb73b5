/* Fields of hashes past their time: on look-up, by the cycle, passively; the key goes with the last, and
 * the list of such hashes follows every change of the key. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"

#include "worker/types/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_ENOUGH_US = 10000000 };
static const struct hash_limits limits = {.packed_entries = 128, .packed_bytes = 64};
static uint64_t fields_gone;

static void on_field(void *arg, uint32_t db, struct bytes key, struct bytes field) {
    fields_gone++;
}

static void begin(struct fixture *f) {
    struct keyspace_hooks hooks = {.field_expired = on_field};
    fixture_begin(f);
    keyspace_free(&f->ks);
    f->ks = keyspace_create(FIXTURE_DATABASES, NULL, &hooks);
    keyspace_set_now(f->ks, FIXTURE_NOW_MS);
    fields_gone = 0;
}

/* A hash of `fields` fields, the first `timed` of which go at FIXTURE_NOW_MS + 10. */
static void set_hash(struct fixture *f, uint32_t db, const char *key, unsigned fields,
                     unsigned timed) {
    struct keyref ref;
    struct value hash = hash_create();
    char text[24];
    fixture_find(f, db, key, &ref);
    for (unsigned i = 0; i < fields; i++)
        hash_set(&hash, bytes_of(text, (size_t)sprintf(text, "f%u", i)), BYTES_LITERAL("v"),
                 &limits);
    for (unsigned i = 0; i < timed; i++)
        hash_set_field_expiry(&hash, bytes_of(text, (size_t)sprintf(text, "f%u", i)),
                              FIXTURE_NOW_MS + 10, &limits);
    keyspace_store(&ref, &hash);
}

static uint64_t count_of(struct fixture *f, uint32_t db, const char *key) {
    struct keyref ref;
    if (!fixture_find(f, db, key, &ref))
        return 0;
    struct value hash = keyref_value(&ref);
    return hash_count(&hash);
}

static void test_on_look_up(void **state) {
    struct fixture f;
    begin(&f);
    set_hash(&f, 1, "some", 5, 2);
    set_hash(&f, 1, "all", 3, 3);
    set_hash(&f, 1, "none", 3, 0);
    assert_int_equal(keyspace_timed_count(f.ks, 1), 2);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 10); /* their last millisecond */
    assert_int_equal(count_of(&f, 1, "some"), 5);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 11);
    assert_int_equal(count_of(&f, 1, "some"), 3);
    assert_int_equal(fields_gone, 2);
    assert_int_equal(count_of(&f, 1, "all"), 0);
    assert_int_equal(fields_gone, 5);
    assert_int_equal(count_of(&f, 1, "none"), 3);
    assert_int_equal(keyspace_timed_count(f.ks, 1), 0);
    assert_int_equal(keyspace_count(f.ks, 1), 2);
    assert_int_equal(keyspace_stats(f.ks)->expired_fields, 5);
    fixture_end(&f);
}

static void test_cycle(void **state) {
    struct fixture f;
    char key[24];
    begin(&f);
    for (unsigned i = 0; i < 500; i++) {
        sprintf(key, "h%u", i);
        set_hash(&f, i % 3, key, 4, i % 2 ? 4 : 1);
    }
    set_hash(&f, 3, "big", 5000, 4990);
    keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1);
    assert_int_equal(fields_gone, 0);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 11);
    for (unsigned i = 0; i < 200 && fields_gone < 6240; i++)
        keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1);
    assert_int_equal(fields_gone, 250 + 4 * 250 + 4990);
    for (uint32_t db = 0; db < 4; db++)
        assert_int_equal(keyspace_timed_count(f.ks, db), 0);
    assert_int_equal(count_of(&f, 3, "big"), 10);
    assert_int_equal(keyspace_count(f.ks, 0) + keyspace_count(f.ks, 1) + keyspace_count(f.ks, 2),
                     250);
    fixture_end(&f);
}

static void test_passive(void **state) {
    struct fixture f;
    begin(&f);
    set_hash(&f, 0, "h", 2, 2);
    keyspace_set_expiry_passive(f.ks, true);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 11);
    assert_int_equal(count_of(&f, 0, "h"), 2);
    keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 10);
    assert_int_equal(count_of(&f, 0, "h"), 2);
    keyspace_set_expiry_passive(f.ks, false);
    assert_int_equal(count_of(&f, 0, "h"), 0);
    fixture_end(&f);
}

/* Everything that may happen to a key leaves its hash listed if, and only if, it should be. */
static void test_listed(void **state) {
    struct fixture f;
    struct keyref ref;
    int64_t expire_ms;
    begin(&f);
    set_hash(&f, 0, "h", 3, 1);
    fixture_find(&f, 0, "h", &ref);
    keyspace_set_expire(&ref, FIXTURE_NOW_MS + 5000);
    keyspace_set_expire(&ref, FIXTURE_NOW_MS + 6000);
    keyspace_set_expire(&ref, KEY_NO_EXPIRY);
    assert_int_equal(keyspace_timed_count(f.ks, 0), 1);
    struct value taken = keyspace_take(&ref, &expire_ms);
    assert_int_equal(keyspace_timed_count(f.ks, 0), 0);
    fixture_find(&f, 2, "moved", &ref);
    keyspace_store(&ref, &taken);
    assert_int_equal(keyspace_timed_count(f.ks, 2), 1);
    fixture_set(&f, 2, "moved", "a string now");
    assert_int_equal(keyspace_timed_count(f.ks, 2), 0);
    set_hash(&f, 2, "moved", 3, 1);
    assert_int_equal(keyspace_timed_count(f.ks, 2), 1);
    set_hash(&f, 2, "moved", 300, 1);
    assert_int_equal(keyspace_timed_count(f.ks, 2), 1);
    fixture_find(&f, 2, "moved", &ref);
    keyspace_delete(&ref, true);
    assert_int_equal(keyspace_timed_count(f.ks, 2), 0);
    set_hash(&f, 2, "flushed", 3, 3);
    keyspace_flush_all(f.ks, true);
    assert_int_equal(keyspace_timed_count(f.ks, 2), 0);
    set_hash(&f, 2, "again", 3, 3);
    keyspace_set_now(f.ks, FIXTURE_NOW_MS + 11);
    keyspace_expire_cycle(f.ks, LONG_ENOUGH_US, 1);
    assert_int_equal(keyspace_count(f.ks, 2), 0);
    while (keyspace_lazyfree_pending(f.ks))
        usleep(100);
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_on_look_up),
        cmocka_unit_test(test_cycle),
        cmocka_unit_test(test_passive),
        cmocka_unit_test(test_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
