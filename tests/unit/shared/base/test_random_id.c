/* test_random_id.c - 40 hexadecimal digits, others each time. */
#include "shared/base/random_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void an_id_is_40_digits_and_no_other(void **state) {
    char a[RANDOM_ID_BYTES], b[RANDOM_ID_BYTES];
    random_id(a);
    random_id(b);
    assert_int_equal(strlen(a), RANDOM_ID_BYTES - 1);
    assert_int_equal(strspn(a, "0123456789abcdef"), RANDOM_ID_BYTES - 1);
    assert_string_not_equal(a, b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_id_is_40_digits_and_no_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
