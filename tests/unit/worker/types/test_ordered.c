/* The ordered tree: against a sorted array, in and out in every order, ranks, walks, its memory. */
#include "worker/types/ordered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "shared/base/mem.h"

/* ---- the model: a sorted array of the same elements ---- */

enum { MODEL_MAX = 20000 };
static struct ordered_element *model[MODEL_MAX];
static uint64_t model_count;
static unsigned seed;

static uint64_t model_rank(const struct ordered_place *place) {
    uint64_t rank = 0;
    while (rank < model_count &&
           ordered_stands_before(model[rank]->score, ordered_element_member(model[rank]), place))
        rank++;
    return rank;
}

static struct ordered_place place_of(const struct ordered_element *e) {
    return (struct ordered_place){.by_score = true,
                                  .by_member = true,
                                  .score = e->score,
                                  .member = ordered_element_member(e)};
}

static void model_insert(struct ordered_element *e) {
    struct ordered_place place = place_of(e);
    uint64_t at = model_rank(&place);
    memmove(model + at + 1, model + at, (model_count - at) * sizeof(*model));
    model[at] = e;
    model_count++;
}

static void model_remove(uint64_t first, uint64_t count) {
    model_count -= count;
    memmove(model + first, model + first + count, (model_count - first) * sizeof(*model));
}

static void compare(const struct ordered *t) {
    if (t->count != model_count)
        fail_msg("seed %u: %lu elements, not %lu", seed, t->count, model_count);
    if (t->count == 0)
        return;
    struct ordered_cursor up = ordered_seek(t, 0), down = ordered_seek(t, t->count - 1);
    for (uint64_t i = 0; i < model_count; i++) {
        struct ordered_place place = place_of(model[i]);
        if (ordered_next(&up) != model[i] || ordered_prev(&down) != model[model_count - 1 - i] ||
            ordered_rank(t, &place) != i)
            fail_msg("seed %u: another element at %lu", seed, i);
    }
    assert_null(ordered_next(&up));
    assert_null(ordered_prev(&down));
}

static struct ordered_element *numbered(double score, int number) {
    char text[16];
    return ordered_element_create(score, bytes_of(text, (size_t)sprintf(text, "m%07d", number)));
}

static void free_taken(void *arg, struct ordered_element *e) {
    mem_free(e);
}

/* What a removal gave, freed only once it has been compared with the model. */
static struct ordered_element *taken[MODEL_MAX];
static uint64_t taken_count;
static void keep_taken(void *arg, struct ordered_element *e) {
    taken[taken_count++] = e;
}

static void remove_range(struct ordered *t, uint64_t first, uint64_t count) {
    taken_count = 0;
    ordered_remove(t, first, count, keep_taken, NULL);
    assert_int_equal(taken_count, count);
    for (uint64_t i = 0; i < count; i++) {
        if (taken[i] != model[first + i])
            fail_msg("seed %u: another element was removed", seed);
        mem_free(taken[i]);
    }
    model_remove(first, count);
}

/* ---- */

static void test_in_order_fills_leaves(void **state) {
    enum { COUNT = 100000 };
    for (int descending = 0; descending < 2; descending++) {
        struct ordered t = {0};
        for (int i = 0; i < COUNT; i++)
            ordered_insert(&t, numbered(descending ? -i : i, i));
        assert_int_equal(t.count, COUNT);
        assert_true((double)t.bytes / COUNT < 9.5);
        struct ordered_cursor c = ordered_seek(&t, COUNT / 2);
        double want = descending ? COUNT / 2 - COUNT + 1 : COUNT / 2;
        assert_true(ordered_next(&c)->score == want);
        ordered_remove(&t, 0, COUNT, free_taken, NULL);
        assert_int_equal(t.bytes, 0);
        assert_int_equal(t.height, 0);
        assert_null(t.root);
    }
}

static double random_score(int kinds) {
    return (double)(rand() % kinds) - kinds / 2;
}

static void step(struct ordered *t, int number, bool grow, int kinds) {
    if (t->count > 0 && rand() % 10 == 0) {
        struct ordered_element *e = model[(uint64_t)rand() % model_count];
        struct ordered_place place = place_of(e);
        double score = rand() % 2 ? random_score(kinds) : e->score + (rand() % 3 - 1) * 0.25;
        model_remove(model_rank(&place), 1);
        ordered_rescore(t, e, score);
        assert_true(e->score == score);
        model_insert(e);
    } else if (t->count == 0 || (rand() % 3 != 0) == grow) {
        struct ordered_element *e = numbered(random_score(kinds), number);
        ordered_insert(t, e);
        model_insert(e);
    } else {
        uint64_t first = (uint64_t)rand() % t->count;
        uint64_t count = rand() % 20 == 0 ? (uint64_t)rand() % 200 : 1;
        remove_range(t, first, count < t->count - first ? count : t->count - first);
    }
}

static void test_model(void **state) {
    enum { STEPS = 12000, TURN = 3000 };
    static const int kinds[] = {1, 50, 100000};
    for (int k = 0; k < 3; k++) {
        struct ordered t = {0};
        model_count = 0;
        for (int i = 0; i < STEPS; i++) {
            step(&t, i, i / TURN % 2 == 0, kinds[k]);
            if (i % 500 == 0)
                compare(&t);
        }
        compare(&t);
        remove_range(&t, 0, t.count);
        assert_int_equal(t.bytes, 0);
    }
}

/* Places between elements: before and after all of one score, of one member, of everything. */
static void test_places(void **state) {
    enum { COUNT = 3000 };
    struct ordered t = {0};
    model_count = 0;
    for (int i = 0; i < COUNT; i++) {
        struct ordered_element *e = numbered(i / 100, i * 7919 % COUNT);
        ordered_insert(&t, e);
        model_insert(e);
    }
    for (int i = -1; i <= COUNT / 100 + 1; i++)
        for (int after = 0; after < 2; after++) {
            struct ordered_place place = {.by_score = true, .score = i, .after = after};
            assert_int_equal(ordered_rank(&t, &place), model_rank(&place));
            place.score += 0.5;
            assert_int_equal(ordered_rank(&t, &place), model_rank(&place));
        }
    struct ordered_place all = {.after = true}, none = {.after = false};
    assert_int_equal(ordered_rank(&t, &all), COUNT);
    assert_int_equal(ordered_rank(&t, &none), 0);
    remove_range(&t, 0, COUNT);
    assert_int_equal(ordered_rank(&t, &all), 0);
}

static void test_places_by_member(void **state) {
    enum { COUNT = 2000 };
    struct ordered t = {0};
    model_count = 0;
    for (int i = 0; i < COUNT; i++) {
        struct ordered_element *e = numbered(0, i * 7919 % COUNT * 2);
        ordered_insert(&t, e);
        model_insert(e);
    }
    for (int i = -1; i <= COUNT * 2; i += 3)
        for (int after = 0; after < 2; after++) {
            char text[16];
            struct ordered_place place = {.by_member = true, .after = after};
            place.member = bytes_of(text, (size_t)sprintf(text, "m%07d", i));
            assert_int_equal(ordered_rank(&t, &place), model_rank(&place));
        }
    ordered_clear(&t);
    while (model_count > 0)
        mem_free(model[--model_count]);
}

static void test_long_members(void **state) {
    static const size_t lengths[] = {0, 1, 127, 128, 16383, 16384, 100000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *text = calloc(1, lengths[i] + 1);
        for (size_t j = 0; j < lengths[i]; j++)
            text[j] = (char)j;
        struct ordered_element *e = ordered_element_create(1.5, bytes_of(text, lengths[i]));
        assert_true(bytes_equal(ordered_element_member(e), bytes_of(text, lengths[i])));
        assert_true(e->score == 1.5);
        mem_free(e);
        free(text);
    }
}

int main(void) {
    seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order_fills_leaves),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_places_by_member),
        cmocka_unit_test(test_long_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
