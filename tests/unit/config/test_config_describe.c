/* test_config_describe.c - the shipped pool.ini is what config_describe() writes, and it is true. Run
 * from the top of the tree. */
#include "config/config_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static char error[CONFIG_ERROR_BYTES];

static void test_shipped_file_is_up_to_date(void **state) {
    struct buf described = {0}, shipped = {0};
    config_describe(&described);
    if (config_read_file("pool.ini", &shipped, error) != 0)
        fail_msg("%s", error);
    if (!bytes_equal(buf_bytes(&described), buf_bytes(&shipped)))
        fail_msg("pool.ini differs from `remuda --options > pool.ini`");
    buf_free(&described);
    buf_free(&shipped);
}

static void test_every_option_is_there(void **state) {
    struct buf described = {0};
    config_describe(&described);
    buf_append(&described, "", 1);
    for (uint32_t i = 0; i < option_count; i++) {
        struct buf line = {0};
        buf_printf(&line, "\n;%s = ", option_rows[i].name);
        buf_append(&line, "", 1);
        assert_non_null(strstr(described.data, line.data));
        buf_free(&line);
    }
    buf_free(&described);
}

/* Every ; taken away: still a right file, and all defaults. */
static void test_taking_the_comments_away(void **state) {
    struct buf described = {0}, opened = {0}, expected = {0}, got = {0};
    config_describe(&described);
    for (size_t i = 0; i < described.len; i++)
        if (described.data[i] != ';' || described.data[i - 1] != '\n')
            buf_append(&opened, described.data + i, 1);
    struct config *config = config_create();
    config_to_text(config, &expected);
    if (config_load_bytes(config, "opened", buf_bytes(&opened), error) != 0 ||
        config_check(config, error) != 0)
        fail_msg("%s", error);
    config_to_text(config, &got);
    assert_true(bytes_equal(buf_bytes(&expected), buf_bytes(&got)));
    config_free(&config);
    buf_free(&described);
    buf_free(&opened);
    buf_free(&expected);
    buf_free(&got);
}

static void test_lines_are_short(void **state) {
    struct buf described = {0};
    config_describe(&described);
    size_t column = 0;
    for (size_t i = 0; i < described.len; i++) {
        column = described.data[i] == '\n' ? 0 : column + 1;
        assert_true(column <= 100);
    }
    buf_free(&described);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shipped_file_is_up_to_date),
        cmocka_unit_test(test_every_option_is_there),
        cmocka_unit_test(test_taking_the_comments_away),
        cmocka_unit_test(test_lines_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
