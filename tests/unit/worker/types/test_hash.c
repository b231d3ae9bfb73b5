/* Hashes in both forms: against a model, at the limits, scanned, drawn from, measured. */
#include "worker/types/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

static const struct hash_limits usual = {.packed_entries = 128, .packed_bytes = 64};
static const struct hash_limits always_table = {.packed_entries = 0, .packed_bytes = 64};
static const uint64_t seed_of_hash[2] = {1, 2};

static struct bytes numbered(char *out, const char *prefix, int number) {
    return bytes_of(out, (size_t)sprintf(out, "%s%d", prefix, number));
}

static struct value filled(int fields, const struct hash_limits *limits) {
    char field[32], value[32];
    struct value hash = hash_create();
    for (int i = 0; i < fields; i++)
        assert_true(hash_set(&hash, numbered(field, "f", i), numbered(value, "v", i), limits));
    return hash;
}

static void test_becomes_a_table(void **state) {
    struct value hash = filled(128, &usual);
    assert_int_equal(hash.encoding, ENCODING_LISTPACK);
    assert_false(hash_set(&hash, BYTES_LITERAL("f5"), BYTES_LITERAL("other"), &usual));
    assert_int_equal(hash.encoding, ENCODING_LISTPACK);
    assert_true(hash_set(&hash, BYTES_LITERAL("one more"), BYTES_LITERAL(""), &usual));
    assert_int_equal(hash.encoding, ENCODING_HASHTABLE);
    assert_int_equal(hash_count(&hash), 129);
    char digits[BYTES_I64_MAX];
    struct bytes got;
    assert_true(hash_get(&hash, BYTES_LITERAL("f5"), digits, &got));
    assert_true(bytes_equal(got, BYTES_LITERAL("other")));
    hash_free(&hash);
}

static void test_long_texts_make_a_table(void **state) {
    char text[66];
    memset(text, 'x', sizeof(text));
    struct value hash = filled(1, &usual);
    hash_set(&hash, bytes_of(text, 64), bytes_of(text, 64), &usual);
    assert_int_equal(hash.encoding, ENCODING_LISTPACK);
    hash_set(&hash, bytes_of(text, 65), BYTES_LITERAL("v"), &usual);
    assert_int_equal(hash.encoding, ENCODING_HASHTABLE);
    assert_int_equal(hash_count(&hash), 3);
    hash_free(&hash);
    hash = filled(1, &usual);
    hash_set(&hash, BYTES_LITERAL("f"), bytes_of(text, 65), &usual);
    assert_int_equal(hash.encoding, ENCODING_HASHTABLE);
    hash_free(&hash);
}

static void test_order_of_coming(void **state) {
    struct hash_iterator it;
    struct bytes field, value;
    char want[32];
    struct value hash = filled(10, &usual);
    hash_delete(&hash, BYTES_LITERAL("f3"));
    hash_set(&hash, BYTES_LITERAL("f5"), BYTES_LITERAL("a longer value than before"), &usual);
    hash_iterate(&hash, &it);
    for (int i = 0; i < 10; i++) {
        if (i == 3)
            continue;
        assert_true(hash_next(&it, &field, &value));
        assert_true(bytes_equal(field, numbered(want, "f", i)));
    }
    assert_false(hash_next(&it, &field, &value));
}

/* ---- against a model ---- */

enum { MODEL_FIELDS = 400, MODEL_STEPS = 40000, VALUE_MAX = 90 };
static struct {
    char value[VALUE_MAX];
    size_t len;
    bool there;
} model[MODEL_FIELDS];

static void compare_with_model(const struct value *hash, unsigned seed) {
    char digits[BYTES_I64_MAX], name[32];
    uint64_t there = 0;
    for (int i = 0; i < MODEL_FIELDS; i++) {
        struct bytes got;
        bool found = hash_get(hash, numbered(name, "", i * 37), digits, &got);
        there += model[i].there;
        if (found != model[i].there ||
            (found && !bytes_equal(got, bytes_of(model[i].value, model[i].len))))
            fail_msg("seed %u: field %d differs", seed, i);
    }
    assert_int_equal(hash_count(hash), there);
}

static void run_model(const struct hash_limits *limits, unsigned seed) {
    char name[32];
    struct value hash = hash_create();
    memset(model, 0, sizeof(model));
    for (int step = 0; step < MODEL_STEPS; step++) {
        int i = rand() % MODEL_FIELDS;
        struct bytes field = numbered(name, "", i * 37);
        if (rand() % 3 == 0) {
            assert_int_equal(hash_delete(&hash, field), model[i].there);
            model[i].there = false;
            continue;
        }
        model[i].len = (size_t)rand() % (rand() % 8 ? 12 : VALUE_MAX);
        for (size_t k = 0; k < model[i].len; k++)
            model[i].value[k] = (char)('0' + rand() % 10);
        bool new = hash_set(&hash, field, bytes_of(model[i].value, model[i].len), limits);
        assert_int_equal(new, !model[i].there);
        model[i].there = true;
        if (step % 1000 == 0)
            compare_with_model(&hash, seed);
    }
    compare_with_model(&hash, seed);
    struct value copy = hash_copy(&hash);
    compare_with_model(&copy, seed);
    if (copy.encoding == ENCODING_HASHTABLE)
        hash_free(&copy);
    hash_free(&hash);
}

static void test_model(void **state) {
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    const struct hash_limits always_packed = {.packed_entries = 100000, .packed_bytes = 100000};
    run_model(&always_packed, seed);
    run_model(&usual, seed);
    run_model(&always_table, seed);
}

/* ---- scanning ---- */

enum { SCAN_FIELDS = 3000 };
static uint32_t seen[SCAN_FIELDS];

static void mark_seen(void *arg, struct bytes field, struct bytes value) {
    int64_t number;
    assert_true(bytes_to_i64(bytes_of(field.ptr + 1, field.len - 1), &number));
    assert_true(bytes_equal(bytes_of(value.ptr + 1, value.len - 1),
                            bytes_of(field.ptr + 1, field.len - 1)));
    seen[number]++;
    ++*(uint64_t *)arg;
}

static void test_scan_sees_all(void **state) {
    for (int fields = 100; fields <= SCAN_FIELDS; fields *= 30) {
        struct value hash = filled(fields, &usual);
        uint64_t cursor = 0, calls = 0, found = 0;
        memset(seen, 0, sizeof(seen));
        do {
            cursor = hash_scan(&hash, cursor, 10, mark_seen, &found);
            calls++;
        } while (cursor != 0);
        for (int i = 0; i < fields; i++)
            assert_true(seen[i] >= 1);
        if (hash.encoding == ENCODING_LISTPACK)
            assert_int_equal(calls, 1);
        else
            assert_true(calls > SCAN_FIELDS / 30);
        hash_free(&hash);
    }
}

/* Fields that stay are seen though the table shrinks to a tenth under the scan. */
static void test_scan_while_shrinking(void **state) {
    char name[32];
    struct value hash = filled(SCAN_FIELDS, &usual);
    uint64_t cursor = 0, found = 0;
    int next = 0;
    memset(seen, 0, sizeof(seen));
    do {
        cursor = hash_scan(&hash, cursor, 10, mark_seen, &found);
        for (int i = 0; i < 20 && next < SCAN_FIELDS; i++, next++) {
            if (next % 10 != 0)
                hash_delete(&hash, numbered(name, "f", next));
        }
    } while (cursor != 0);
    for (int i = 0; i < SCAN_FIELDS; i += 10)
        assert_true(seen[i] >= 1);
    hash_free(&hash);
}

/* ---- chance ---- */

/* Draw many times; each of `fields` must come up about as often as the others. The bound is seven
 * standard deviations, and wider by the skew the table admits. */
static void check_even(const uint32_t *counts, int fields, double expected, double skew) {
    for (int i = 0; i < fields; i++) {
        double off = (double)counts[i] - expected;
        double bound_sd = 7 * 7 * expected, bound_skew = skew * expected * skew * expected;
        if (off * off > bound_sd + bound_skew)
            fail_msg("field %d came %u times, expected about %.0f", i, counts[i], expected);
    }
}

static int field_number(struct bytes field) {
    int64_t number;
    assert_true(bytes_to_i64(bytes_of(field.ptr + 1, field.len - 1), &number));
    return (int)number;
}

static void test_random_is_even(void **state) {
    enum { FIELDS = 20, DRAWS = 40000 };
    const struct hash_limits *limits[] = {&usual, &always_table};
    for (int form = 0; form < 2; form++) {
        uint32_t counts[FIELDS] = {0};
        struct value hash = filled(FIELDS, limits[form]);
        for (int i = 0; i < DRAWS; i++) {
            char digits[2 * BYTES_I64_MAX];
            struct bytes field, value;
            hash_random(&hash, digits, &field, &value);
            counts[field_number(field)]++;
        }
        check_even(counts, FIELDS, (double)DRAWS / FIELDS, form == 0 ? 0 : 0.5);
        hash_free(&hash);
    }
}

static void count_drawn(void *arg, struct bytes field, struct bytes value) {
    ((uint32_t *)arg)[field_number(field)]++;
}

static void test_random_distinct(void **state) {
    enum { FIELDS = 24, ROUNDS = 8000 };
    const struct hash_limits *limits[] = {&usual, &always_table};
    static const uint64_t wanted[] = {1, 5, 20, 24, 100};
    for (int c = 0; c < 10; c++) {
        uint32_t counts[FIELDS] = {0};
        struct value hash = filled(FIELDS, limits[c % 2]);
        uint64_t want = wanted[c / 2], expected = want < FIELDS ? want : FIELDS;
        for (int round = 0; round < ROUNDS; round++) {
            uint32_t once[FIELDS] = {0};
            uint64_t total = 0;
            hash_random_distinct(&hash, want, count_drawn, once);
            for (int i = 0; i < FIELDS; i++) {
                assert_true(once[i] <= 1);
                counts[i] += once[i];
                total += once[i];
            }
            assert_int_equal(total, expected);
        }
        check_even(counts, FIELDS, (double)ROUNDS * (double)expected / FIELDS,
                   c % 2 == 0 ? 0 : 0.5);
        hash_free(&hash);
    }
}

/* ---- memory ---- */

static void test_memory_aim(void **state) {
    enum { FIELDS = 1000000, AIM_BYTES = 56 };
    char field[32], value[32];
    struct value hash = hash_create();
    uint64_t before = mem_used();
    for (int i = 0; i < FIELDS; i++) {
        size_t field_len = (size_t)sprintf(field, "field:%09d", i);
        size_t value_len = (size_t)sprintf(value, "value:%09d", i);
        hash_set(&hash, bytes_of(field, field_len), bytes_of(value, value_len), &usual);
    }
    double each = (double)(mem_used() - before) / FIELDS;
    double told = (double)hash_object_bytes(&hash, 0) / FIELDS;
    printf("%.1f bytes a field of 15+15, hash_object_bytes says %.1f\n", each, told);
#ifndef REMUDA_SANITIZE
    assert_true(each <= AIM_BYTES);
    assert_true(told > each * 0.9 && told < each * 1.1);
#endif
    hash_free(&hash);
}

int main(void) {
    table_set_seed(seed_of_hash);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_becomes_a_table), cmocka_unit_test(test_long_texts_make_a_table),
        cmocka_unit_test(test_order_of_coming), cmocka_unit_test(test_model),
        cmocka_unit_test(test_scan_sees_all),   cmocka_unit_test(test_scan_while_shrinking),
        cmocka_unit_test(test_random_is_even),  cmocka_unit_test(test_random_distinct),
        cmocka_unit_test(test_memory_aim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
