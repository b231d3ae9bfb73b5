/* keyspace_fixture.c - see keyspace_fixture.h. */
#include "tests/unit/worker/keyspace/keyspace_fixture.h"
#include "shared/base/clock.h"
#include <stdio.h>
#include <stdlib.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void note(struct fixture *f, uint32_t db, struct bytes key) {
    snprintf(f->last_key, sizeof f->last_key, "%.*s", (int)key.len, key.ptr);
    f->last_db = db;
}
static void on_expired(void *arg, uint32_t db, struct bytes key) {
    struct fixture *f = arg;
    f->expired++;
    note(f, db, key);
}
static void on_evicted(void *arg, uint32_t db, struct bytes key) {
    struct fixture *f = arg;
    f->evicted++;
    note(f, db, key);
}
static void on_changed(void *arg, uint32_t db, struct bytes key) {
    struct fixture *f = arg;
    if (key.ptr)
        f->changed++;
    else
        f->changed_all++;
}

void fixture_begin(struct fixture *f) {
    *f = (struct fixture){0};
    const uint64_t seed[2] = {17, 42};
    const struct keyspace_hooks hooks = {
        .arg = f, .expired = on_expired, .evicted = on_evicted, .changed = on_changed};
    f->ks = keyspace_create(FIXTURE_DATABASES, seed, &hooks);
    keyspace_set_now(f->ks, FIXTURE_NOW_MS);
}

void fixture_end(struct fixture *f) {
    keyspace_free(&f->ks);
    assert_null(f->ks);
}

unsigned fixture_random_seed(void) {
    const char *given = getenv("SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    srandom(seed);
    return seed;
}

bool fixture_find(struct fixture *f, uint32_t db, const char *key, struct keyref *ref_r) {
    return keyspace_find(f->ks, db, bytes_of_text(key), KEY_PEEK, ref_r);
}

void fixture_set(struct fixture *f, uint32_t db, const char *key, const char *text) {
    struct keyref ref;
    struct value value = value_string(bytes_of_text(text));
    fixture_find(f, db, key, &ref);
    keyspace_store(&ref, &value);
}

void fixture_set_expiring(struct fixture *f, uint32_t db, const char *key, int64_t at_ms) {
    struct keyref ref;
    fixture_set(f, db, key, key);
    assert_true(fixture_find(f, db, key, &ref));
    keyspace_set_expire(&ref, at_ms);
}

void fixture_expect_bytes(const struct keyref *ref, struct bytes text) {
    char digits[BYTES_I64_MAX];
    struct value value = keyref_value(ref);
    struct bytes have = value_string_bytes(&value, digits);
    assert_int_equal(have.len, text.len);
    if (text.len)
        assert_memory_equal(have.ptr, text.ptr, text.len);
}

void fixture_expect(struct fixture *f, uint32_t db, const char *key, const char *text) {
    struct keyref ref;
    assert_int_equal(fixture_find(f, db, key, &ref), text != NULL);
    if (text)
        fixture_expect_bytes(&ref, bytes_of_text(text));
}
