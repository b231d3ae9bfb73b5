/* test_bytes.c - comparing and globbing of bytes.h. */
#include "tests/unit/shared/support.h"

#include "shared/base/bytes.h"

static struct bytes b(const char *text) {
    return bytes_of_text(text);
}

static void equality_folds_ascii_only(void **state) {
    assert_true(bytes_equal_nocase(b("nx"), "NX"));
    assert_true(bytes_equal_nocase(b(""), ""));
    assert_false(bytes_equal_nocase(b("nx"), "NXX"));
    assert_false(bytes_equal_nocase(b("nxx"), "NX"));
    assert_false(bytes_equal_nocase(bytes_of("n\0x", 3), "n"));
    assert_false(bytes_equal_nocase(bytes_of("nx\0", 3), "nx"));
    assert_false(bytes_equal_nocase(b("\xc4"), "\xe4"));
    assert_false(bytes_equal_nocase(b("@["), "`{"));
}

static void order_is_of_unsigned_bytes(void **state) {
    assert_true(bytes_compare(b("a"), b("b")) < 0);
    assert_true(bytes_compare(b("\x80"), b("a")) > 0);
    assert_true(bytes_compare(b("a"), b("ab")) < 0);
    assert_true(bytes_compare(b(""), b("")) == 0);
    assert_true(bytes_compare(bytes_of(NULL, 0), b("x")) < 0);
    assert_true(bytes_compare(bytes_of("a\0b", 3), bytes_of("a\0c", 3)) < 0);
}

static void globs(void **state) {
    static const struct {
        const char *pattern, *text;
        bool nocase, matches;
    } rows[] = {
        {"", "", 0, 1},
        {"", "a", 0, 0},
        {"*", "", 0, 1},
        {"**", "abc", 0, 1},
        {"?", "", 0, 0},
        {"?", "x", 0, 1},
        {"h?llo", "hello", 0, 1},
        {"h*llo", "heeeello", 0, 1},
        {"h*llo", "heeeellox", 0, 0},
        {"h[ae]llo", "hallo", 0, 1},
        {"h[ae]llo", "hillo", 0, 0},
        {"h[^e]llo", "hello", 0, 0},
        {"h[^e]llo", "hallo", 0, 1},
        {"h[a-b]llo", "hbllo", 0, 1},
        {"h[b-a]llo", "hallo", 0, 1},
        {"[a-c]*", "b1", 0, 1},
        {"\\*", "*", 0, 1},
        {"\\*", "a", 0, 0},
        {"\\", "\\", 0, 1},
        {"[\\]]", "]", 0, 1},
        {"[]]", "]", 0, 0},
        {"[^]", "x", 0, 1},
        {"[abc", "b", 0, 1},
        {"[a-", "-", 0, 1},
        {"[", "[", 0, 0},
        {"HELLO", "hello", 1, 1},
        {"H[A-F]LLO", "hello", 1, 1},
        {"HELLO", "hello", 0, 0},
        {"a*b*c", "aXbXbXc", 0, 1},
        {"*abc*", "xxabxabcx", 0, 1},
        {"*.ini", "pool.ini.ini", 0, 1},
        {"a*\\?", "abc?", 0, 1},
        {"**", "", 0, 0},
        {"*", "", 0, 1},
        {"a**", "a", 0, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (bytes_glob(b(rows[i].pattern), b(rows[i].text), rows[i].nocase) != rows[i].matches)
            fail_msg("'%s' against '%s'", rows[i].pattern, rows[i].text);
}

/* Exponential matchers need longer than the universe has for this. */
static void many_stars_end_soon(void **state) {
    char pattern[401], text[4001];
    for (size_t i = 0; i < 400; i += 2)
        memcpy(pattern + i, "a*", 2);
    pattern[400] = 'b';
    memset(text, 'a', sizeof text);
    alarm(60);
    assert_false(bytes_glob(bytes_of(pattern, 401), bytes_of(text, sizeof text), false));
    alarm(0);
}

/* The obvious recursion, right by inspection for patterns of letters, ? and *. */
static bool glob_simple(const char *p, const char *t) {
    if (*p == '\0')
        return *t == '\0';
    if (*p == '*')
        return glob_simple(p + 1, t) || (*t && glob_simple(p, t + 1));
    return *t && (*p == '?' || *p == *t) && glob_simple(p + 1, t + 1);
}

static void random_globs_agree_with_recursion(void **state) {
    uint64_t random = support_seed();
    int matched = 0;
    for (int round = 0; round < 200000; round++) {
        char pattern[10], text[12];
        size_t p_len = support_random(&random) % sizeof pattern;
        size_t t_len = support_random(&random) % sizeof text;
        for (size_t i = 0; i < p_len; i++)
            pattern[i] = "ab?*"[support_random(&random) % 4];
        for (size_t i = 0; i < t_len; i++)
            text[i] = "ab"[support_random(&random) % 2];
        pattern[p_len] = text[t_len] = '\0';
        bool expected = glob_simple(pattern, text) && (t_len > 0 || p_len < 2);
        matched += expected;
        if (bytes_glob(bytes_of(pattern, p_len), bytes_of(text, t_len), false) != expected)
            fail_msg("'%s' against '%s'", pattern, text);
    }
    assert_true(matched > 1000);
}

/* Exact heap blocks: a read past the end of either is seen by the sanitizer. */
static void random_bytes_stay_in_bounds(void **state) {
    uint64_t random = support_seed();
    for (int round = 0; round < 100000; round++) {
        size_t p_len = support_random(&random) % 12, t_len = support_random(&random) % 8;
        char *pattern = malloc(p_len + 1), *text = malloc(t_len + 1);
        char *p = pattern + 1, *t = text + 1;
        for (size_t i = 0; i < p_len; i++)
            p[i] = "[]^-\\*?ab"[support_random(&random) % 9];
        for (size_t i = 0; i < t_len; i++)
            t[i] = "]-\\ab"[support_random(&random) % 5];
        bool plain = bytes_glob(bytes_of(p, p_len), bytes_of(t, t_len), false);
        bool nocase = bytes_glob(bytes_of(p, p_len), bytes_of(t, t_len), true);
        assert_true(!plain || nocase || memchr(p, '^', p_len));
        free(pattern);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equality_folds_ascii_only),
        cmocka_unit_test(order_is_of_unsigned_bytes),
        cmocka_unit_test(globs),
        cmocka_unit_test(many_stars_end_soon),
        cmocka_unit_test(random_globs_agree_with_recursion),
        cmocka_unit_test(random_bytes_stay_in_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
