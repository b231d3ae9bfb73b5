/* The longest common subsequence against the plain table of lengths, and the runs against the text. */
#include "worker/command/lcs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

enum { TEXT_MAX = 90, ROUNDS = 3000 };

static uint64_t plain_length(struct bytes a, struct bytes b) {
    static uint64_t length[TEXT_MAX + 1][TEXT_MAX + 1];
    for (size_t i = 1; i <= a.len; i++) {
        for (size_t j = 1; j <= b.len; j++) {
            uint64_t up = length[i - 1][j], left = length[i][j - 1];
            length[i][j] = a.ptr[i - 1] == b.ptr[j - 1] ? length[i - 1][j - 1] + 1
                           : up > left                  ? up
                                                        : left;
        }
    }
    return length[a.len][b.len];
}

static bool is_subsequence(struct bytes part, struct bytes whole) {
    size_t at = 0;
    for (size_t i = 0; i < whole.len && at < part.len; i++)
        at += whole.ptr[i] == part.ptr[at];
    return at == part.len;
}

struct run_check {
    struct bytes a, b;
    char text[TEXT_MAX]; /* filled from its end */
    size_t left;
    uint64_t a_before, b_before;
};

static void check_run(void *arg, const struct lcs_run *run) {
    struct run_check *c = arg;
    size_t length = run->a_last - run->a_first + 1;
    assert_int_equal(run->b_last - run->b_first + 1, length);
    assert_true(run->a_last < c->a_before && run->b_last < c->b_before);
    assert_true(length <= c->left);
    assert_memory_equal(c->a.ptr + run->a_first, c->b.ptr + run->b_first, length);
    c->left -= length;
    memcpy(c->text + c->left, c->a.ptr + run->a_first, length);
    c->a_before = run->a_first;
    c->b_before = run->b_first;
}

static void check(struct bytes a, struct bytes b, unsigned seed) {
    char text[TEXT_MAX + 1];
    struct lcs *lcs = lcs_create(a, b);
    assert_non_null(lcs);
    if (lcs_length(lcs) != plain_length(a, b))
        fail_msg("seed %u: %.*s and %.*s: length %llu", seed, (int)a.len, a.ptr, (int)b.len, b.ptr,
                 (unsigned long long)lcs_length(lcs));
    lcs_text(lcs, text);
    struct bytes got = bytes_of(text, lcs_length(lcs));
    if (!is_subsequence(got, a) || !is_subsequence(got, b))
        fail_msg("seed %u: %.*s and %.*s: text %.*s", seed, (int)a.len, a.ptr, (int)b.len, b.ptr,
                 (int)got.len, got.ptr);
    struct run_check c = {.a = a, .b = b, .left = got.len, .a_before = a.len, .b_before = b.len};
    lcs_runs(lcs, check_run, &c);
    assert_int_equal(c.left, 0);
    assert_memory_equal(c.text, text, got.len);
    lcs_free(&lcs);
    assert_null(lcs);
}

static void test_known(void **state) {
    char text[16];
    struct lcs *lcs = lcs_create(BYTES_LITERAL("ohmytext"), BYTES_LITERAL("mynewtext"));
    assert_int_equal(lcs_length(lcs), 6);
    lcs_text(lcs, text);
    assert_memory_equal(text, "mytext", 6);
    lcs_free(&lcs);
    check(BYTES_LITERAL(""), BYTES_LITERAL(""), 0);
    check(BYTES_LITERAL("a"), BYTES_LITERAL(""), 0);
    check(BYTES_LITERAL("abc"), BYTES_LITERAL("def"), 0);
}

static void test_random(void **state) {
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srand(seed);
    for (int round = 0; round < ROUNDS; round++) {
        char a[TEXT_MAX], b[TEXT_MAX];
        size_t a_len = (size_t)rand() % TEXT_MAX, b_len = (size_t)rand() % TEXT_MAX;
        int letters = 2 + rand() % 6;
        for (size_t i = 0; i < a_len; i++)
            a[i] = (char)('a' + rand() % letters);
        for (size_t i = 0; i < b_len; i++)
            b[i] = (char)('a' + rand() % letters);
        check(bytes_of(a, a_len), bytes_of(b, b_len), seed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
