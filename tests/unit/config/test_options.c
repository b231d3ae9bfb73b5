/* test_options.c - the table of options is sound, and names find their rows. */
#include "config/config_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_rows_are_sound(void **state) {
    assert_true(option_count > 50);
    for (uint32_t i = 0; i < option_count; i++) {
        const struct option_row *row = &option_rows[i];
        assert_ptr_equal(option_find(bytes_of_text(row->name)), row);
        assert_true(row->help[0] != '\0' && row->help[strlen(row->help) - 1] == '.');
        assert_true(row->min <= row->max);
        assert_true(row->offset + option_kinds[row->type].field_bytes <= sizeof(struct config));
    }
}

static void test_find_ignores_case(void **state) {
    assert_string_equal(option_find(BYTES_LITERAL("MaxMemory"))->name, "maxmemory");
    assert_null(option_find(BYTES_LITERAL("maxmemor")));
    assert_null(option_find(BYTES_LITERAL("maxmemoryy")));
    assert_null(option_find(BYTES_LITERAL("")));
}

static void test_nearest(void **state) {
    static const char *const pairs[][2] = {
        {"maxmemroy", "maxmemory"},
        {"MAXMEMRY", "maxmemory"},
        {"max-memory", "maxmemory"},
        {"worker_port_base", "worker-port-base"},
        {"apendfsync", "appendfsync"},
        {"prot", "port"},
        {"workrs", "workers"},
        {"statusport", "status-port"},
        {"maxmemorypolicy", "maxmemory-policy"},
        {"b1nd", "bind"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        assert_string_equal(option_nearest(bytes_of_text(pairs[i][0])), pairs[i][1]);
    assert_null(option_nearest(BYTES_LITERAL("completely-different")));
    assert_null(option_nearest(BYTES_LITERAL("")));
    char longer[200];
    memset(longer, 'p', sizeof longer);
    assert_null(option_nearest(bytes_of(longer, sizeof longer)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_sound),
        cmocka_unit_test(test_find_ignores_case),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
