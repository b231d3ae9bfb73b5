/* test_bytes_number.c - numbers of bytes.h. */
#include "tests/unit/shared/support.h"

#include "shared/base/bytes.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>

static void i64_limits(void **state) {
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } rows[] = {
        {"0", 1, 0},
        {"-1", 1, -1},
        {"9223372036854775807", 1, INT64_MAX},
        {"-9223372036854775808", 1, INT64_MIN},
        {"9223372036854775808", 0, 0},
        {"-9223372036854775809", 0, 0},
        {"18446744073709551616", 0, 0},
        {"", 0, 0},
        {"-", 0, 0},
        {"-0", 0, 0},
        {"+1", 0, 0},
        {"01", 0, 0},
        {"-01", 0, 0},
        {" 1", 0, 0},
        {"1 ", 0, 0},
        {"1a", 0, 0},
        {"1.0", 0, 0},
        {"99999999999999999999", 0, 0},
        {"000000000000000000000", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t value = 0;
        if (bytes_to_i64(bytes_of_text(rows[i].text), &value) != rows[i].good ||
            (rows[i].good && value != rows[i].value))
            fail_msg("'%s' gave %" PRId64, rows[i].text, value);
    }
}

static void u64_limits(void **state) {
    uint64_t value;
    assert_true(bytes_to_u64(BYTES_LITERAL("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_false(bytes_to_u64(BYTES_LITERAL("18446744073709551616"), &value));
    assert_false(bytes_to_u64(BYTES_LITERAL("1844674407370955161a"), &value));
    assert_false(bytes_to_u64(BYTES_LITERAL("-1"), &value));
    assert_false(bytes_to_u64(bytes_of("1\0", 2), &value));
}

static void i64_is_printed_like_printf_and_reads_back(void **state) {
    uint64_t random = support_seed();
    for (int round = 0; round < 300000; round++) {
        int64_t value = (int64_t)support_random(&random) >> support_random(&random) % 64;
        if (round < 64)
            value = (int64_t)(UINT64_C(1) << round);
        char expected[32], text[BYTES_I64_MAX];
        int len = snprintf(expected, sizeof expected, "%" PRId64, value);
        assert_int_equal(bytes_from_i64(text, value), len);
        assert_memory_equal(text, expected, (size_t)len);
        int64_t back;
        assert_true(bytes_to_i64(bytes_of(text, (size_t)len), &back));
        assert_true(back == value);
    }
}

/* 10^k - 1, 10^k, 10^k + 1: where the number of digits changes. */
static void i64_around_powers_of_ten(void **state) {
    int64_t power = 1;
    for (int k = 0; k <= 18; k++, power = k <= 18 ? power * 10 : power)
        for (int64_t value = power - 1; value <= power + 1; value++) {
            char expected[32], text[BYTES_I64_MAX];
            int len = snprintf(expected, sizeof expected, "%" PRId64, value);
            assert_int_equal(bytes_from_i64(text, value), len);
            assert_memory_equal(text, expected, (size_t)len);
        }
}

static void doubles_print_as_scores(void **state) {
    static const struct {
        double value;
        const char *text;
    } rows[] = {
        {0, "0"},
        {-0.0, "-0"},
        {3, "3"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {123456789.125, "123456789.125"},
        {1e17, "100000000000000000"},
        {4611686018427387904.0, "4611686018427387904"},
        {1e19, "1e+19"},
        {1e20, "1e+20"},
        {-1e20, "-1e+20"},
        {1e300, "1e+300"},
        {1.25e-10, "1.25e-10"},
        {0.000001, "0.000001"},
        {0.0000001, "1e-7"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {4.9406564584124654e-324, "5e-324"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[BYTES_DOUBLE_MAX + 1];
        text[bytes_from_double(text, rows[i].value)] = '\0';
        assert_string_equal(text, rows[i].text);
    }
}

/* Reads back the same, and no text of fewer digits does. */
static void check_shortest(double value) {
    char text[BYTES_DOUBLE_MAX + 1], shorter[64];
    size_t len = bytes_from_double(text, value);
    assert_in_range(len, 1, BYTES_DOUBLE_MAX);
    text[len] = '\0';
    double back;
    if (!bytes_to_double(bytes_of(text, len), &back) || memcmp(&back, &value, sizeof back) != 0)
        fail_msg("%a printed as '%s'", value, text);
    int digits = 0, zeros = 0;
    for (const char *p = text; *p && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && (digits || *p != '0')) {
            digits++;
            zeros = *p == '0' ? zeros + 1 : 0;
        }
    digits -= zeros;
    if (digits < 2)
        return;
    snprintf(shorter, sizeof shorter, "%.*e", digits - 2, value);
    if (strtod(shorter, NULL) == value)
        fail_msg("%a printed as '%s' though '%s' would do", value, text, shorter);
}

static void random_doubles_read_back_and_are_shortest(void **state) {
    uint64_t random = support_seed();
    for (int round = 0; round < 100000; round++) {
        uint64_t bits = support_random(&random);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value) && fabs(value) > 0x1p63)
            check_shortest(value);
        if (isfinite(value) && fabs(value) < 1)
            check_shortest(value);
        check_shortest((double)(int64_t)(bits >> 40) / 1000);
        check_shortest((double)(bits >> 12) / 3);
        check_shortest((double)(bits >> 52) * 4.9406564584124654e-324 + 5e-324);
    }
}

static void doubles_read_as_redis_reads_them(void **state) {
    static const struct {
        const char *text;
        bool good;
        double value;
    } rows[] = {
        {"1e5", 1, 1e5},
        {"+5", 1, 5},
        {"-.5", 1, -0.5},
        {"0x10", 1, 16},
        {"inf", 1, INFINITY},
        {"-inf", 1, -INFINITY},
        {"+Infinity", 1, INFINITY},
        {"5e-324", 1, 4.9406564584124654e-324},
        {"nan", 0, 0},
        {"", 0, 0},
        {" 1", 0, 0},
        {"1 ", 0, 0},
        {"\t1", 0, 0},
        {"1e400", 0, 0},
        {"1e-400", 0, 0},
        {"1x", 0, 0},
        {"--1", 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double value = 0;
        if (bytes_to_double(bytes_of_text(rows[i].text), &value) != rows[i].good ||
            (rows[i].good && value != rows[i].value))
            fail_msg("'%s' gave %g", rows[i].text, value);
    }
    double value;
    assert_false(bytes_to_double(bytes_of("1\0002", 3), &value));
    static char huge[BYTES_LONG_DOUBLE_MAX + 10];
    memset(huge, '1', sizeof huge);
    assert_false(bytes_to_double(bytes_of(huge, sizeof huge), &value));
    assert_true(bytes_to_double(bytes_of(huge, 300), &value));
}

static void long_doubles_print_as_incrbyfloat(void **state) {
    static const struct {
        const char *in, *text;
    } rows[] = {
        {"0.1", "0.1"},        {"5.0e3", "5000"}, {"1e20", "100000000000000000000"},
        {"1e-7", "0.0000001"}, {"-0", "0"},       {"-1e-30", "0"},
        {"3.10", "3.1"},       {"1e-400", "0"},   {"-1.5", "-1.5"},
        {"inf", "inf"},        {"-inf", "-inf"},  {"100", "100"},
    };
    char text[BYTES_LONG_DOUBLE_MAX + 1];
    long double value;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(bytes_to_long_double(bytes_of_text(rows[i].in), &value));
        text[bytes_from_long_double(text, value)] = '\0';
        assert_string_equal(text, rows[i].text);
    }
    text[bytes_from_long_double(text, 0.1L + 0.2L)] = '\0';
    assert_string_equal(text, "0.3");
    assert_int_equal(bytes_from_long_double(text, LDBL_MAX), 4933);
    assert_false(bytes_to_long_double(BYTES_LITERAL("1e5000"), &value));
    assert_false(bytes_to_long_double(BYTES_LITERAL("nan"), &value));
    assert_false(bytes_to_long_double(BYTES_LITERAL(""), &value));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(i64_limits),
        cmocka_unit_test(u64_limits),
        cmocka_unit_test(i64_is_printed_like_printf_and_reads_back),
        cmocka_unit_test(i64_around_powers_of_ten),
        cmocka_unit_test(doubles_print_as_scores),
        cmocka_unit_test(random_doubles_read_back_and_are_shortest),
        cmocka_unit_test(doubles_read_as_redis_reads_them),
        cmocka_unit_test(long_doubles_print_as_incrbyfloat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
