/* When fields of a hash expire: the heap and the table against a plain array, and the hash around them. */
#include "shared/base/mem.h"
#include "worker/types/hash.h"
#include "worker/types/hash_timers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { FIELDS = 200, STEPS = 20000, NONE = -1 };

static const struct hash_limits limits = {.packed_entries = 4, .packed_bytes = 16};

static struct bytes name_of(unsigned i, char text[16]) {
    return bytes_of(text, (size_t)snprintf(text, 16, "f%u", i));
}

static void expect_earliest(const struct hash_timers *timers, const int64_t *model) {
    struct bytes field;
    int64_t at_ms, earliest = INT64_MAX;
    uint64_t count = 0;
    for (unsigned i = 0; i < FIELDS; i++) {
        if (model[i] == NONE)
            continue;
        count++;
        earliest = model[i] < earliest ? model[i] : earliest;
    }
    assert_int_equal(hash_timers_count(timers), count);
    assert_int_equal(hash_timers_first(timers, &field, &at_ms), count > 0);
    if (count > 0) {
        assert_int_equal(at_ms, earliest);
        char number[16] = {0};
        memcpy(number, field.ptr + 1, field.len - 1);
        assert_int_equal(model[atoi(number)], earliest);
    }
}

static void test_against_model(void **state) {
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    struct hash_timers *timers = hash_timers_create();
    int64_t model[FIELDS], at_ms;
    for (unsigned i = 0; i < FIELDS; i++)
        model[i] = NONE;
    for (unsigned step = 0; step < STEPS; step++) {
        char text[16];
        unsigned i = (unsigned)rand_r(&seed) % FIELDS;
        struct bytes field = name_of(i, text);
        assert_int_equal(hash_timers_get(timers, field, &at_ms), model[i] != NONE);
        if (model[i] != NONE)
            assert_int_equal(at_ms, model[i]);
        if (rand_r(&seed) % 2 == 0) {
            model[i] = rand_r(&seed) % 1000;
            hash_timers_set(timers, field, model[i]);
        } else {
            assert_int_equal(hash_timers_remove(timers, field), model[i] != NONE);
            model[i] = NONE;
        }
        expect_earliest(timers, model);
    }
    struct hash_timers *copy = hash_timers_copy(timers);
    expect_earliest(copy, model);
    hash_timers_free(&copy);
    hash_timers_free(&timers);
    assert_null(timers);
}

static void test_hash(void **state) {
    char text[16];
    struct value hash = hash_create();
    struct bytes first;
    int64_t at_ms;
    for (unsigned i = 0; i < 3; i++)
        hash_set(&hash, name_of(i, text), BYTES_LITERAL("v"), &limits);
    assert_int_equal(hash.encoding, ENCODING_LISTPACK);
    assert_int_equal(hash_timed_count(&hash), 0);
    hash_set_field_expiry(&hash, BYTES_LITERAL("f1"), 50, &limits);
    hash_set_field_expiry(&hash, BYTES_LITERAL("f2"), 40, &limits);
    assert_int_equal(hash.encoding, ENCODING_LISTPACK_EX);
    assert_int_equal(hash_timed_count(&hash), 2);
    assert_true(hash_first_to_go(&hash, &first, &at_ms));
    assert_int_equal(at_ms, 40);
    assert_int_equal(hash_field_expiry(&hash, BYTES_LITERAL("f0")), HASH_NO_EXPIRY);
    hash_set_keeping(&hash, BYTES_LITERAL("f1"), BYTES_LITERAL("w"), &limits);
    assert_int_equal(hash_field_expiry(&hash, BYTES_LITERAL("f1")), 50);
    struct value copy = hash_copy(&hash);
    hash_set(&hash, BYTES_LITERAL("f1"), BYTES_LITERAL("x"), &limits);
    assert_int_equal(hash_field_expiry(&hash, BYTES_LITERAL("f1")), HASH_NO_EXPIRY);
    assert_int_equal(hash_field_expiry(&copy, BYTES_LITERAL("f1")), 50);
    assert_int_equal(copy.encoding, ENCODING_LISTPACK_EX);
    assert_true(hash_delete(&hash, BYTES_LITERAL("f2")));
    assert_int_equal(hash_timed_count(&hash), 0);
    for (unsigned i = 3; i < 6; i++)
        hash_set(&copy, name_of(i, text), BYTES_LITERAL("v"), &limits);
    assert_int_equal(copy.encoding, ENCODING_HASHTABLE);
    assert_int_equal(hash_timed_count(&copy), 2);
    hash_free(&hash);
    hash_free(&copy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_model),
        cmocka_unit_test(test_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
