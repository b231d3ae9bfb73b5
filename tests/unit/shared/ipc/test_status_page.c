/* test_status_page.c - the metric table, texts, and what a reset leaves. */
#include "tests/unit/shared/support.h"

#include "shared/ipc/status_page.h"

#include <ctype.h>

static struct status_page *page;

static int make_page(void **state) {
    page = aligned_alloc(4096, sizeof *page);
    memset((void *)page, 0, sizeof *page);
    return 0;
}

static int drop_page(void **state) {
    free(page);
    return 0;
}

static void metric_rows_are_in_order_and_named(void **state) {
    assert_string_equal(metric_rows[METRIC_uptime_us].name, "uptime_us");
    assert_string_equal(metric_rows[METRIC_config_revision].name, "config_revision");
    assert_int_equal(metric_rows[METRIC_loop_turns].kind, METRIC_COUNTER);
    for (int i = 0; i < METRIC_COUNT; i++) {
        assert_true(strlen(metric_rows[i].help) > 5);
        assert_in_range(metric_rows[i].scope, 1, METRIC_ANY);
        for (const char *p = metric_rows[i].name; *p; p++)
            assert_true(islower(*p) || isdigit(*p) || *p == '_');
        for (int j = 0; j < i; j++)
            assert_string_not_equal(metric_rows[i].name, metric_rows[j].name);
    }
}

static void metrics_count(void **state) {
    status_set(page, METRIC_keys, 5);
    status_add(page, METRIC_keys, 3);
    status_add(page, METRIC_keys, (uint64_t)-8);
    assert_int_equal(status_get(page, METRIC_keys), 0);
}

static void states_have_names(void **state) {
    assert_string_equal(child_state_name(CHILD_UP), "up");
    assert_string_equal(child_state_name(CHILD_STOPPED), "stopped");
    assert_string_equal(child_state_name(CHILD_STATE_COUNT), "unknown");
    assert_string_equal(fork_wait_name(FORK_WAIT_MEMORY), "memory");
    assert_string_equal(fork_wait_name(FORK_WAIT_COUNT), "unknown");
    assert_string_equal(child_state_name((enum child_state) - 1), "unknown");
}

static void texts_are_cut_and_cleaned(void **state) {
    status_set_text(page->note, "line\none %d", 5);
    assert_string_equal(page->note, "line?one 5");
    char big[1000];
    memset(big, 'b', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    status_set_text(page->note, "%s", big);
    assert_int_equal(strlen(page->note), STATUS_TEXT_BYTES - 1);
    status_set_text(page->note, "%s", "");
    assert_string_equal(page->note, "");
    for (int i = 0; i < STATUS_TEXT_BYTES; i++)
        assert_int_equal(page->note[i], 0);
}

static void reset_leaves_the_supervisors_fields(void **state) {
    memset((void *)page, 0xff, sizeof *page);
    atomic_store(&page->state, CHILD_WAITING);
    atomic_store(&page->restarts, 4);
    atomic_store(&page->started_wall_ms, 5);
    atomic_store(&page->restart_at_wall_ms, 6);
    status_set_text(page->last_exit, "signal 9");
    status_page_reset(page);
    assert_int_equal(page->generation + page->pid + page->heartbeat, 0);
    for (int i = 0; i < METRIC_COUNT; i++)
        assert_int_equal(status_get(page, (enum metric)i), 0);
    for (int i = 0; i < DATABASES_MAX; i++)
        assert_int_equal(page->databases[i].keys | page->databases[i].expires |
                             page->databases[i].avg_ttl_ms,
                         0);
    for (int i = 0; i < ADDRESS_CLASSES; i++)
        assert_int_equal(page->clients_by_address[i], 0);
    assert_string_equal(page->note, "");
    assert_int_equal(page->state, CHILD_WAITING);
    assert_int_equal(page->restarts, 4);
    assert_int_equal(page->started_wall_ms, 5);
    assert_int_equal(page->restart_at_wall_ms, 6);
    assert_string_equal(page->last_exit, "signal 9");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metric_rows_are_in_order_and_named),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test_setup_teardown(metrics_count, make_page, drop_page),
        cmocka_unit_test_setup_teardown(texts_are_cut_and_cleaned, make_page, drop_page),
        cmocka_unit_test_setup_teardown(reset_leaves_the_supervisors_fields, make_page, drop_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
