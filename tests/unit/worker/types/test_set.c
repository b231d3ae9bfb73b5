/* Sets in all forms: against a model, at the limits, scanned, drawn from, measured. */
#include "worker/types/set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"
#include "worker/types/set_member.h"

static const struct set_limits usual = {
    .intset_entries = 512, .packed_entries = 128, .packed_bytes = 64};
static const uint64_t seed_of_hash[2] = {1, 2};

static struct bytes numbered(char *out, const char *prefix, int number) {
    return bytes_of(out, (size_t)sprintf(out, "%s%d", prefix, number));
}

static struct value filled(int members, const char *prefix, const struct set_limits *limits) {
    char text[32];
    struct value set = set_create(ENCODING_INTSET);
    for (int i = 0; i < members; i++)
        assert_true(set_add(&set, numbered(text, prefix, i), limits));
    assert_int_equal(set_count(&set), members);
    return set;
}

/* ---- forms, as Redis 7.2 chooses them ---- */

static void test_integers(void **state) {
    struct value set = filled(512, "", &usual);
    assert_int_equal(set.encoding, ENCODING_INTSET);
    assert_false(set_add(&set, BYTES_LITERAL("511"), &usual));
    assert_int_equal(set.encoding, ENCODING_INTSET);
    assert_true(set_add(&set, BYTES_LITERAL("512"), &usual));
    assert_int_equal(set.encoding, ENCODING_HASHTABLE);
    assert_int_equal(set_count(&set), 513);
    set_free(&set);
}

static void test_from_integers(void **state) {
    char text[66];
    memset(text, 'x', sizeof(text));
    static const struct {
        int integers;
        size_t len;
        enum value_encoding after;
    } cases[] = {
        {127, 64, ENCODING_LISTPACK}, {128, 1, ENCODING_HASHTABLE}, {1, 65, ENCODING_HASHTABLE},
        {300, 1, ENCODING_HASHTABLE}, {0, 64, ENCODING_LISTPACK},   {0, 65, ENCODING_HASHTABLE},
        {1, 64, ENCODING_LISTPACK},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct value set = filled(cases[i].integers, "", &usual);
        assert_true(set_add(&set, bytes_of(text, cases[i].len), &usual));
        assert_int_equal(set.encoding, cases[i].after);
        assert_int_equal(set_count(&set), cases[i].integers + 1);
        for (int n = 0; n < cases[i].integers; n++) {
            char number[32];
            assert_true(set_has(&set, numbered(number, "", n)));
        }
        assert_true(set_has(&set, bytes_of(text, cases[i].len)));
        set_free(&set);
    }
    /* The numbers themselves may be too long to be packed. */
    const struct set_limits short_ones = {
        .intset_entries = 512, .packed_entries = 128, .packed_bytes = 3};
    struct value set = filled(0, "", &short_ones);
    set_add(&set, BYTES_LITERAL("-100"), &short_ones);
    set_add(&set, BYTES_LITERAL("x"), &short_ones);
    assert_int_equal(set.encoding, ENCODING_HASHTABLE);
    set_free(&set);
}

static void test_texts(void **state) {
    struct value set = filled(128, "m", &usual);
    assert_int_equal(set.encoding, ENCODING_LISTPACK);
    assert_false(set_add(&set, BYTES_LITERAL("m127"), &usual));
    assert_int_equal(set.encoding, ENCODING_LISTPACK);
    assert_true(set_add(&set, BYTES_LITERAL("m128"), &usual));
    assert_int_equal(set.encoding, ENCODING_HASHTABLE);
    while (set_count(&set) > 1) {
        char text[32];
        assert_true(set_remove(&set, numbered(text, "m", (int)set_count(&set) - 1)));
    }
    assert_int_equal(set.encoding, ENCODING_HASHTABLE);
    set_free(&set);
}

static void test_expected(void **state) {
    struct bytes number = BYTES_LITERAL("1"), text = BYTES_LITERAL("x");
    static const struct {
        bool number;
        uint64_t expected;
        enum value_encoding encoding;
    } cases[] = {
        {true, 1, ENCODING_INTSET},      {true, 512, ENCODING_INTSET},
        {true, 513, ENCODING_HASHTABLE}, {false, 1, ENCODING_LISTPACK},
        {false, 128, ENCODING_LISTPACK}, {false, 129, ENCODING_HASHTABLE},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct value set =
            set_create_for(cases[i].number ? number : text, cases[i].expected, &usual);
        assert_int_equal(set.encoding, cases[i].encoding);
        assert_int_equal(set_count(&set), 0);
        set_free(&set);
        set = set_create(cases[i].number ? ENCODING_INTSET : ENCODING_LISTPACK);
        set_expect(&set, cases[i].expected, &usual);
        assert_int_equal(set.encoding, cases[i].encoding);
        set_free(&set);
    }
}

static void test_prefers_integers(void **state) {
    struct set_iterator it;
    struct bytes member;
    char want[32];
    struct value set = set_create(ENCODING_HASHTABLE);
    for (int i = 511; i >= 0; i--)
        set_add(&set, numbered(want, "", i), &usual);
    set_prefer_integers(&set, &usual);
    assert_int_equal(set.encoding, ENCODING_INTSET);
    set_iterate(&set, &it);
    for (int i = 0; i < 512; i++) {
        assert_true(set_next(&it, &member));
        assert_true(bytes_equal(member, numbered(want, "", i)));
    }
    assert_false(set_next(&it, &member));
    set = set_create(ENCODING_LISTPACK);
    set_add(&set, BYTES_LITERAL("1"), &usual);
    set_add(&set, BYTES_LITERAL("x"), &usual);
    set_prefer_integers(&set, &usual);
    assert_int_equal(set.encoding, ENCODING_LISTPACK);
    set = set_create(ENCODING_HASHTABLE);
    for (int i = 0; i < 513; i++)
        set_add(&set, numbered(want, "", i), &usual);
    set_prefer_integers(&set, &usual);
    assert_int_equal(set.encoding, ENCODING_HASHTABLE);
    set_free(&set);
}

/* ---- members of a table ---- */

static void test_member_of_each_length(void **state) {
    char text[300];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i * 7);
    for (size_t len = 0; len < sizeof(text); len++) {
        void *member = set_member_create(bytes_of(text, len));
        struct bytes got = set_member_text(member);
        assert_int_equal(got.len, len);
        assert_memory_equal(got.ptr, text, len);
        if (len > 0 && len <= 128)
            assert_true(set_member_bytes(member) < len + 16);
        set_member_free(member);
    }
}

/* ---- against a model ---- */

enum { MODEL_MEMBERS = 700, MODEL_STEPS = 40000, TEXT_MAX = 200 };
static struct {
    char text[TEXT_MAX];
    size_t len;
    bool there;
} model[MODEL_MEMBERS];
static unsigned seed;

static void model_make(bool only_integers) {
    for (int i = 0; i < MODEL_MEMBERS; i++) {
        char *text = model[i].text;
        int64_t spread = (int64_t)1024 << (i % 52); /* the low bits tell members apart */
        model[i].there = false;
        if (only_integers || i % 3 == 0) {
            model[i].len = (size_t)sprintf(text, "%lld", (long long)(i % 2 ? spread + i : -i));
            continue;
        }
        model[i].len = (size_t)sprintf(text, "%dm", i);
        for (size_t more = (size_t)rand() % (rand() % 4 ? 12 : TEXT_MAX - 16); more > 0; more--)
            text[model[i].len++] = (char)rand();
    }
}

static struct bytes model_text(int i) {
    return bytes_of(model[i].text, model[i].len);
}

static void compare_with_model(const struct value *set) {
    uint64_t there = 0, walked = 0;
    struct set_iterator it;
    struct bytes member;
    for (int i = 0; i < MODEL_MEMBERS; i++) {
        there += model[i].there;
        if (set_has(set, model_text(i)) != model[i].there)
            fail_msg("seed %u: member %d differs", seed, i);
    }
    assert_int_equal(set_count(set), there);
    set_iterate(set, &it);
    while (set_next(&it, &member)) {
        assert_true(set_has(set, member));
        walked++;
    }
    assert_int_equal(walked, there);
}

static void run_model(const struct set_limits *limits, bool only_integers) {
    struct value set = set_create(ENCODING_INTSET);
    model_make(only_integers);
    for (int step = 0; step < MODEL_STEPS; step++) {
        int i = rand() % MODEL_MEMBERS;
        bool removes = rand() % 5 < (step / 4000 % 2 ? 3 : 2);
        if (removes)
            assert_int_equal(set_remove(&set, model_text(i)), model[i].there);
        else
            assert_int_equal(set_add(&set, model_text(i), limits), !model[i].there);
        model[i].there = !removes;
        if (step % 1000 == 0)
            compare_with_model(&set);
    }
    compare_with_model(&set);
    struct value copy = set_copy(&set);
    compare_with_model(&copy);
    if (copy.encoding == ENCODING_HASHTABLE)
        set_free(&copy);
    set_free(&set);
}

static void test_model(void **state) {
    static const struct set_limits all_integers = {100000, 0, 0}, all_packed = {0, 100000, 100000},
                                   no_small = {0, 0, 0};
    seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    run_model(&usual, false);
    run_model(&usual, true);
    run_model(&all_integers, true);
    run_model(&all_packed, false);
    run_model(&no_small, false);
}

/* ---- scanning ---- */

enum { SCAN_MEMBERS = 3000 };
static uint32_t seen[SCAN_MEMBERS];

static int member_number(struct bytes member) {
    int64_t number;
    assert_true(bytes_to_i64(bytes_of(member.ptr + 1, member.len - 1), &number));
    return (int)number;
}

static void mark_seen(void *arg, struct bytes member) {
    seen[member_number(member)]++;
}

static void test_scan_while_shrinking(void **state) {
    char text[32];
    struct value set = filled(SCAN_MEMBERS, "m", &usual);
    uint64_t cursor = 0;
    int next = 0;
    memset(seen, 0, sizeof(seen));
    do {
        cursor = set_scan(&set, cursor, 10, mark_seen, NULL);
        for (int i = 0; i < 20 && next < SCAN_MEMBERS; i++, next++)
            if (next % 10 != 0)
                set_remove(&set, numbered(text, "m", next));
    } while (cursor != 0);
    for (int i = 0; i < SCAN_MEMBERS; i += 10)
        assert_true(seen[i] >= 1);
    set_free(&set);
    set = filled(100, "m", &usual);
    memset(seen, 0, sizeof(seen));
    assert_int_equal(set_scan(&set, 0, 10, mark_seen, NULL), 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

/* ---- chance ---- */

/* Each must come up about as often as the others: within seven standard deviations, and wider by the
 * skew the table admits. */
static void check_even(const uint32_t *counts, int members, double expected, double skew) {
    for (int i = 0; i < members; i++) {
        double off = (double)counts[i] - expected;
        if (off * off > 49 * expected + skew * expected * skew * expected)
            fail_msg("member %d came %u times, expected about %.0f", i, counts[i], expected);
    }
}

static void count_drawn(void *arg, struct bytes member) {
    ((uint32_t *)arg)[member_number(member)]++;
}

/* As integers 10..33, so that their second digit tells them apart as in the other forms. */
static struct value form(int which, int members) {
    static const struct set_limits no_small = {0, 0, 0};
    char text[32];
    struct value set = which == 0 ? set_create(ENCODING_INTSET)
                                  : filled(members, "m", which == 1 ? &usual : &no_small);
    for (int i = 0; which == 0 && i < members; i++)
        set_add(&set, numbered(text, i < 10 ? "1" : "2", i), &usual);
    return set;
}

static void test_random_is_even(void **state) {
    enum { MEMBERS = 20, DRAWS = 40000 };
    for (int which = 0; which < 3; which++) {
        uint32_t counts[MEMBERS] = {0};
        char digits[BYTES_I64_MAX];
        struct value set = form(which, MEMBERS);
        for (int i = 0; i < DRAWS; i++)
            count_drawn(counts, set_random(&set, digits));
        check_even(counts, MEMBERS, (double)DRAWS / MEMBERS, which == 2 ? 0.5 : 0);
        set_free(&set);
    }
}

static void test_random_distinct(void **state) {
    enum { MEMBERS = 24, ROUNDS = 8000 };
    static const uint64_t wanted[] = {1, 5, 20, 24, 100};
    for (int c = 0; c < 15; c++) {
        uint32_t counts[MEMBERS] = {0};
        struct value set = form(c % 3, MEMBERS);
        uint64_t want = wanted[c / 3], expected = want < MEMBERS ? want : MEMBERS;
        for (int round = 0; round < ROUNDS; round++) {
            uint32_t once[MEMBERS] = {0};
            uint64_t total = 0;
            set_random_distinct(&set, want, count_drawn, once);
            for (int i = 0; i < MEMBERS; i++) {
                assert_true(once[i] <= 1);
                counts[i] += once[i];
                total += once[i];
            }
            assert_int_equal(total, expected);
        }
        check_even(counts, MEMBERS, (double)ROUNDS * (double)expected / MEMBERS,
                   c % 3 == 2 ? 0.5 : 0);
        set_free(&set);
    }
}

/* ---- memory ---- */

static void test_memory_aim(void **state) {
    enum { SETS = 1000, MEMBERS = 1000, AIM_BYTES = 34 };
    static struct value sets[SETS];
    char text[32];
    uint64_t before = mem_used();
    size_t told = 0;
    for (int s = 0; s < SETS; s++) {
        sets[s] = set_create(ENCODING_LISTPACK);
        for (int i = 0; i < MEMBERS; i++)
            set_add(&sets[s], bytes_of(text, (size_t)sprintf(text, "member:%09d", s * MEMBERS + i)),
                    &usual);
        told += set_object_bytes(&sets[s], 0);
    }
    double each = (double)(mem_used() - before) / SETS / MEMBERS;
    printf("%.2f bytes a member of 16, set_object_bytes says %.2f\n", each,
           (double)told / SETS / MEMBERS);
#ifndef REMUDA_SANITIZE
    assert_true(each <= AIM_BYTES);
    assert_true((double)told / SETS / MEMBERS > each * 0.9);
#endif
    for (int s = 0; s < SETS; s++)
        set_free(&sets[s]);
}

int main(void) {
    table_set_seed(seed_of_hash);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_from_integers),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_expected),
        cmocka_unit_test(test_prefers_integers),
        cmocka_unit_test(test_member_of_each_length),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_scan_while_shrinking),
        cmocka_unit_test(test_random_is_even),
        cmocka_unit_test(test_random_distinct),
        cmocka_unit_test(test_memory_aim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
