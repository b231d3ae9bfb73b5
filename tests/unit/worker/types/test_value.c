/* test_value.c - names, and the encoding a string gets. */
#include "worker/types/value.h"
#include <stdio.h>
#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

static void test_names(void **state) {
    assert_string_equal(value_type_name(VALUE_STRING), "string");
    assert_string_equal(value_type_name(VALUE_STREAM), "stream");
    assert_string_equal(value_encoding_name(ENCODING_INT), "int");
    assert_string_equal(value_encoding_name(ENCODING_STREAM), "stream");
    for (int i = 0; i < VALUE_TYPE_COUNT; i++)
        assert_non_null(value_type_name((enum value_type)i));
    for (int i = 0; i < ENCODING_COUNT; i++)
        assert_non_null(value_encoding_name((enum value_encoding)i));
}

static void test_string_encoding(void **state) {
    static const struct {
        const char *text;
        enum value_encoding encoding;
    } rows[] = {
        {"", ENCODING_EMBSTR},
        {"0", ENCODING_INT},
        {"-1", ENCODING_INT},
        {"9223372036854775807", ENCODING_INT},
        {"-9223372036854775808", ENCODING_INT},
        {"9223372036854775808", ENCODING_EMBSTR},
        {"01", ENCODING_EMBSTR},
        {"+1", ENCODING_EMBSTR},
        {"-0", ENCODING_EMBSTR},
        {" 1", ENCODING_EMBSTR},
        {"1.0", ENCODING_EMBSTR},
        {"12345678901234567890123456789012345678901234", ENCODING_EMBSTR},
        {"123456789012345678901234567890123456789012345", ENCODING_RAW},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char digits[BYTES_I64_MAX];
        struct value value = value_string(bytes_of_text(rows[i].text));
        assert_int_equal(value.encoding, rows[i].encoding);
        struct bytes back = value_string_bytes(&value, digits);
        assert_true(bytes_equal(back, bytes_of_text(rows[i].text)));
        assert_int_equal(value_cost(&value), 1);
        assert_int_equal(value_object_bytes(&value, 5), 0);
        value_free(&value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_string_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
