/* Sorted sets in both forms: against a model, at the limits, ranges, by chance, built, measured. */
#include "worker/types/zset.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

static const struct zset_limits usual = {.packed_entries = 128, .packed_bytes = 64};
static const struct zset_limits always_big = {.packed_entries = 0, .packed_bytes = 64};
static const struct zset_limits always_packed = {.packed_entries = 100000, .packed_bytes = 100000};
static const uint64_t seed_of_hash[2] = {1, 2};
static unsigned seed;

static struct bytes numbered(char *out, const char *prefix, int number) {
    return bytes_of(out, (size_t)sprintf(out, "%s%d", prefix, number));
}

static enum zset_outcome add(struct value *zset, struct bytes member, double score, uint32_t flags,
                             const struct zset_limits *limits) {
    return zset_add(zset, member, &score, flags, limits);
}

static struct value filled(int members, const struct zset_limits *limits) {
    char member[32];
    struct value zset = zset_create();
    for (int i = 0; i < members; i++)
        assert_int_equal(add(&zset, numbered(member, "m", i), i, 0, limits), ZSET_ADDED);
    return zset;
}

static void test_becomes_big(void **state) {
    double score = 0;
    struct value zset = filled(128, &usual);
    assert_int_equal(zset.encoding, ENCODING_LISTPACK);
    assert_int_equal(add(&zset, BYTES_LITERAL("m5"), 7.5, 0, &usual), ZSET_UPDATED);
    assert_int_equal(zset.encoding, ENCODING_LISTPACK);
    assert_int_equal(add(&zset, BYTES_LITERAL("no"), 1, ZSET_XX, &usual), ZSET_REFUSED);
    assert_int_equal(zset.encoding, ENCODING_LISTPACK);
    assert_int_equal(add(&zset, BYTES_LITERAL("one more"), 3, 0, &usual), ZSET_ADDED);
    assert_int_equal(zset.encoding, ENCODING_SKIPLIST);
    assert_int_equal(zset_count(&zset), 129);
    assert_true(zset_score(&zset, BYTES_LITERAL("m5"), &score));
    assert_true(score == 7.5);
    zset_free(&zset);
}

static void test_long_members_make_it_big(void **state) {
    char text[66];
    memset(text, 'x', sizeof(text));
    struct value zset = filled(1, &usual);
    add(&zset, bytes_of(text, 64), 1, 0, &usual);
    assert_int_equal(zset.encoding, ENCODING_LISTPACK);
    add(&zset, bytes_of(text, 65), 1, 0, &usual);
    assert_int_equal(zset.encoding, ENCODING_SKIPLIST);
    assert_int_equal(zset_count(&zset), 3);
    zset_free(&zset);
}

static void test_expected_pairs_make_it_big(void **state) {
    struct value zset = filled(3, &usual);
    zset_expect(&zset, 128, &usual);
    assert_int_equal(zset.encoding, ENCODING_LISTPACK);
    zset_expect(&zset, 129, &usual);
    assert_int_equal(zset.encoding, ENCODING_SKIPLIST);
    assert_int_equal(zset_count(&zset), 3);
    zset_free(&zset);
}

static void expect_score(struct value *zset, double want) {
    double score;
    assert_true(zset_score(zset, BYTES_LITERAL("x"), &score));
    if (score != want)
        fail_msg("%.17g is kept as %.17g", want, score);
}

static void test_scores_are_kept(void **state) {
    static const double scores[] = {0,
                                    1,
                                    -1,
                                    0.1,
                                    -0.1,
                                    INFINITY,
                                    -INFINITY,
                                    1e300,
                                    -1e-300,
                                    5e-324,
                                    0x1p53,
                                    0x1p53 + 2,
                                    0x1p62,
                                    0x1p63,
                                    -0x1p63,
                                    0x1p62 + 1024,
                                    1.7976931348623157e308};
    for (int form = 0; form < 2; form++)
        for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) {
            struct value zset = zset_create();
            add(&zset, BYTES_LITERAL("x"), scores[i], 0, form ? &always_big : &usual);
            expect_score(&zset, scores[i]);
            zset_free(&zset);
        }
    /* The bytes of this double are digits, which the packed form takes for an integer. */
    double digits;
    memcpy(&digits, "12345678", sizeof(digits));
    struct value zset = zset_create();
    add(&zset, BYTES_LITERAL("x"), digits, 0, &usual);
    expect_score(&zset, digits);
}

static void test_flags(void **state) {
    for (int form = 0; form < 2; form++) {
        const struct zset_limits *limits = form ? &always_big : &usual;
        const struct bytes x = BYTES_LITERAL("x");
        struct value zset = zset_create();
        double by = 5;
        assert_int_equal(add(&zset, x, 1, ZSET_XX, limits), ZSET_REFUSED);
        assert_int_equal(zset_add(&zset, x, &by, ZSET_INCR, limits), ZSET_ADDED);
        assert_int_equal(zset_add(&zset, x, &by, ZSET_INCR, limits), ZSET_UPDATED);
        assert_true(by == 10);
        assert_int_equal(add(&zset, x, 1, ZSET_NX, limits), ZSET_REFUSED);
        assert_int_equal(add(&zset, x, 9, ZSET_GT, limits), ZSET_REFUSED);
        assert_int_equal(add(&zset, x, 10, ZSET_GT, limits), ZSET_REFUSED);
        assert_int_equal(add(&zset, x, 11, ZSET_GT, limits), ZSET_UPDATED);
        assert_int_equal(add(&zset, x, 12, ZSET_LT, limits), ZSET_REFUSED);
        assert_int_equal(add(&zset, x, 3, ZSET_LT | ZSET_XX, limits), ZSET_UPDATED);
        assert_int_equal(add(&zset, x, 3, 0, limits), ZSET_SAME);
        assert_int_equal(add(&zset, x, INFINITY, ZSET_INCR, limits), ZSET_UPDATED);
        assert_int_equal(add(&zset, x, -INFINITY, ZSET_INCR, limits), ZSET_NAN);
        expect_score(&zset, INFINITY);
        zset_free(&zset);
    }
}

/* ---- against a model: an array by member, sorted when it is compared ---- */

enum { MODEL_MEMBERS = 400, MODEL_STEPS = 20000 };
static struct member {
    char name[24];
    size_t len;
    double score;
    bool there;
} model[MODEL_MEMBERS];
static struct member *sorted[MODEL_MEMBERS];
static uint64_t sorted_count;

static int compare_members(const void *a, const void *b) {
    const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return bytes_compare(bytes_of(x->name, x->len), bytes_of(y->name, y->len));
}

static void sort_model(void) {
    sorted_count = 0;
    for (int i = 0; i < MODEL_MEMBERS; i++)
        if (model[i].there)
            sorted[sorted_count++] = &model[i];
    qsort(sorted, sorted_count, sizeof(*sorted), compare_members);
}

static void expect_pair(const struct member *want, struct bytes member, double score, uint64_t i) {
    if (!bytes_equal(member, bytes_of(want->name, want->len)) || score != want->score)
        fail_msg("seed %u: another pair at %lu", seed, i);
}

static void compare_walks(const struct value *zset) {
    struct zset_iterator it;
    struct bytes member;
    double score;
    for (int reverse = 0; reverse < 2; reverse++) {
        uint64_t from = sorted_count ? (uint64_t)rand() % sorted_count : 0;
        uint64_t left = reverse ? from + 1 : sorted_count - from;
        zset_iterate(zset, from, reverse, &it);
        for (uint64_t i = 0; sorted_count > 0 && i < left; i++) {
            assert_true(zset_next(&it, &member, &score));
            expect_pair(sorted[reverse ? from - i : from + i], member, score, i);
        }
        assert_false(zset_next(&it, &member, &score));
    }
    zset_iterate(zset, sorted_count, false, &it);
    assert_false(zset_next(&it, &member, &score));
}

static void compare_ranges(const struct value *zset) {
    for (int round = 0; round < 20; round++) {
        double low = rand() % 30 - 15, high = low + rand() % 10 - 2;
        struct zset_range range = {
            .from = {.by_score = true, .score = low, .after = rand() % 2},
            .to = {.by_score = true, .score = high, .after = rand() % 2},
        };
        uint64_t first, count, want_first = 0, want_end = 0;
        zset_find_range(zset, &range, &first, &count);
        for (uint64_t i = 0; i < sorted_count; i++) {
            double score = sorted[i]->score;
            want_first += range.from.after ? score <= low : score < low;
            want_end += range.to.after ? score <= high : score < high;
        }
        assert_int_equal(first, want_first);
        assert_int_equal(count, want_end > want_first ? want_end - want_first : 0);
    }
}

static void compare_with_model(const struct value *zset) {
    double score;
    uint64_t rank;
    sort_model();
    assert_int_equal(zset_count(zset), sorted_count);
    for (uint64_t i = 0; i < sorted_count; i++) {
        struct bytes member = bytes_of(sorted[i]->name, sorted[i]->len);
        assert_true(zset_rank(zset, member, &rank, &score));
        if (rank != i || score != sorted[i]->score)
            fail_msg("seed %u: rank %lu is told as %lu", seed, i, rank);
    }
    compare_walks(zset);
    compare_ranges(zset);
}

static double random_score(void) {
    switch (rand() % 8) {
    case 0: return (rand() - RAND_MAX / 2) / 1e5;
    case 1: return rand() % 2 ? INFINITY : -INFINITY;
    case 2: return (rand() % 21 - 10) / 4.0;
    default: return rand() % 21 - 10;
    }
}

static void remove_ranks(struct value *zset) {
    sort_model();
    if (sorted_count == 0)
        return;
    uint64_t first = (uint64_t)rand() % sorted_count, count = (uint64_t)rand() % 30;
    if (count > sorted_count - first)
        count = sorted_count - first;
    for (uint64_t i = first; i < first + count; i++)
        sorted[i]->there = false;
    zset_remove_ranks(zset, first, count);
}

static void model_step(struct value *zset, const struct zset_limits *limits) {
    struct member *m = &model[rand() % MODEL_MEMBERS];
    struct bytes member = bytes_of(m->name, m->len);
    double score = random_score();
    int kind = rand() % 400;
    if (kind == 0) {
        remove_ranks(zset);
    } else if (kind < 130) {
        assert_int_equal(zset_remove(zset, member), m->there);
        m->there = false;
    } else {
        enum zset_outcome want = !m->there           ? ZSET_ADDED
                                 : m->score == score ? ZSET_SAME
                                                     : ZSET_UPDATED;
        assert_int_equal(add(zset, member, score, 0, limits), want);
        m->there = true;
        m->score = score;
    }
}

static void run_model(const struct zset_limits *limits) {
    struct value zset = zset_create();
    for (int i = 0; i < MODEL_MEMBERS; i++) {
        model[i].there = false;
        model[i].len = numbered(model[i].name, i % 3 ? "member:" : "", i * 37).len;
    }
    for (int step = 0; step < MODEL_STEPS; step++) {
        model_step(&zset, limits);
        if (step % 1000 == 0)
            compare_with_model(&zset);
    }
    compare_with_model(&zset);
    struct value copy = zset_copy(&zset);
    compare_with_model(&copy);
    if (copy.encoding == ENCODING_SKIPLIST)
        zset_free(&copy);
    zset_free(&zset);
}

static void test_model(void **state) {
    run_model(&usual);
    run_model(&always_big);
    run_model(&always_packed);
}

/* ---- by member ---- */

static void test_lexical_range(void **state) {
    for (int form = 0; form < 2; form++) {
        const struct zset_limits *limits = form ? &always_big : &always_packed;
        struct value zset = zset_create();
        char member[2] = "a";
        uint64_t first, count;
        for (int i = 0; i < 26; i++, member[0]++)
            add(&zset, bytes_of(member, 1), 0, 0, limits);
        struct zset_range range = {.from = {.by_member = true, .member = BYTES_LITERAL("c")},
                                   .to = {.by_member = true, .member = BYTES_LITERAL("f")}};
        zset_find_range(&zset, &range, &first, &count);
        assert_int_equal(first, 2);
        assert_int_equal(count, 3);
        range.from.after = range.to.after = true;
        zset_find_range(&zset, &range, &first, &count);
        assert_int_equal(first, 3);
        assert_int_equal(count, 3);
        range = (struct zset_range){.to = {.after = true}};
        zset_find_range(&zset, &range, &first, &count);
        assert_int_equal(first, 0);
        assert_int_equal(count, 26);
        range = (struct zset_range){.from = {.after = true}};
        zset_find_range(&zset, &range, &first, &count);
        assert_int_equal(count, 0);
        zset_free(&zset);
    }
}

/* ---- scanning ---- */

static void count_found(void *arg, struct bytes member, double score) {
    int64_t number;
    assert_true(bytes_to_i64(bytes_of(member.ptr + 1, member.len - 1), &number));
    assert_true(score == (double)number);
    ((uint32_t *)arg)[number]++;
}

static void test_scan_sees_all(void **state) {
    enum { MEMBERS = 5000 };
    static uint32_t counts[MEMBERS];
    for (int members = 50; members <= MEMBERS; members *= 100) {
        uint64_t cursor = 0;
        struct value zset = filled(members, &usual);
        memset(counts, 0, sizeof(counts));
        do {
            cursor = zset_scan(&zset, cursor, 10, count_found, counts);
        } while (cursor != 0);
        for (int i = 0; i < members; i++)
            assert_int_equal(counts[i], 1);
        zset_free(&zset);
    }
}

/* ---- by chance ---- */

/* Seven standard deviations. */
static void check_even(const uint32_t *counts, int members, double expected) {
    for (int i = 0; i < members; i++) {
        double off = (double)counts[i] - expected;
        if (off * off > 7 * 7 * expected)
            fail_msg("member %d came %u times, expected about %.0f", i, counts[i], expected);
    }
}

static void test_random_is_even(void **state) {
    enum { MEMBERS = 24, ROUNDS = 8000 };
    static const uint64_t wanted[] = {1, 5, 20, 24, 100};
    for (int c = 0; c < 10; c++) {
        uint32_t counts[MEMBERS] = {0}, singly[MEMBERS] = {0};
        struct value zset = filled(MEMBERS, c % 2 ? &always_big : &usual);
        uint64_t want = wanted[c / 2], expected = want < MEMBERS ? want : MEMBERS;
        for (int round = 0; round < ROUNDS; round++) {
            char digits[BYTES_I64_MAX];
            uint32_t once[MEMBERS] = {0};
            uint64_t total = 0;
            struct bytes member;
            double score;
            zset_random_distinct(&zset, want, count_found, once);
            zset_random(&zset, digits, &member, &score);
            count_found(singly, member, score);
            for (int i = 0; i < MEMBERS; i++) {
                assert_true(once[i] <= 1);
                counts[i] += once[i];
                total += once[i];
            }
            assert_int_equal(total, expected);
        }
        check_even(counts, MEMBERS, (double)ROUNDS * (double)expected / MEMBERS);
        check_even(singly, MEMBERS, (double)ROUNDS / MEMBERS);
        zset_free(&zset);
    }
}

/* ---- built ---- */

static void build(int members, const struct zset_limits *limits, enum value_encoding encoding) {
    char text[32];
    struct zset_builder b;
    struct zset_iterator it;
    struct bytes member;
    double score, last = -INFINITY;
    bool new;
    zset_builder_init(&b);
    for (int i = 0; i < members; i++) {
        struct ordered_element *e = zset_builder_element(&b, numbered(text, "m", i), &new);
        assert_true(new);
        e->score = i * 7919 % members;
    }
    assert_true(zset_builder_element(&b, BYTES_LITERAL("m1"), &new)->score == 7919 % members);
    assert_false(new);
    zset_builder_remove(&b, BYTES_LITERAL("m0"));
    zset_builder_remove(&b, BYTES_LITERAL("absent"));
    assert_int_equal(zset_builder_count(&b), members - 1);
    struct value zset = zset_builder_finish(&b, limits);
    assert_int_equal(zset.encoding, encoding);
    assert_int_equal(zset_count(&zset), members - 1);
    zset_iterate(&zset, 0, false, &it);
    while (zset_next(&it, &member, &score)) {
        assert_true(score > last);
        last = score;
    }
    assert_true(last == members - 1);
    assert_false(zset_remove(&zset, BYTES_LITERAL("m0")));
    assert_true(zset_remove(&zset, BYTES_LITERAL("m1")));
    zset_free(&zset);
    zset_builder_free(&b);
}

static void test_builder(void **state) {
    build(129, &usual, ENCODING_LISTPACK);
    build(130, &usual, ENCODING_SKIPLIST);
    build(10000, &usual, ENCODING_SKIPLIST);
    const struct zset_limits short_only = {.packed_entries = 128, .packed_bytes = 2};
    build(9, &short_only, ENCODING_LISTPACK);
    build(20, &short_only, ENCODING_SKIPLIST);
    struct zset_builder b;
    bool new;
    zset_builder_init(&b);
    zset_builder_element(&b, BYTES_LITERAL("x"), &new)->score = 5;
    assert_true(zset_builder_sort(&b)[0]->score == 5);
    zset_builder_free(&b);
}

/* ---- memory ---- */

static void test_memory_aim(void **state) {
    enum { MEMBERS = 1000000, AIM_BYTES = 64 };
    static const char *const orders[] = {"up", "down", "at random"};
    for (int order = 0; order < 3; order++) {
        char member[32];
        struct value zset = zset_create();
        uint64_t before = mem_used();
        for (int i = 0; i < MEMBERS; i++) {
            size_t len = (size_t)sprintf(member, "member:%09d", i);
            double score = order == 0 ? i : order == 1 ? -i : rand() / 3.0;
            add(&zset, bytes_of(member, len), score, 0, &usual);
        }
        double each = (double)(mem_used() - before) / MEMBERS;
        double told = (double)zset_object_bytes(&zset, 0) / MEMBERS;
        printf("%.1f bytes a member of 16 (scores %s), zset_object_bytes says %.1f\n", each,
               orders[order], told);
#ifndef REMUDA_SANITIZE
        assert_true(each <= AIM_BYTES);
        assert_true(told > each * 0.9 && told < each * 1.1);
#endif
        zset_free(&zset);
    }
}

int main(void) {
    table_set_seed(seed_of_hash);
    seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_becomes_big),
        cmocka_unit_test(test_long_members_make_it_big),
        cmocka_unit_test(test_expected_pairs_make_it_big),
        cmocka_unit_test(test_scores_are_kept),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_lexical_range),
        cmocka_unit_test(test_scan_sees_all),
        cmocka_unit_test(test_random_is_even),
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_memory_aim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
