/* test_http_routes.c - what each path answers, and the dashboard's page. */
#include "supervisor/front/http_routes.h"
#include "tests/unit/supervisor/front/front_fixture.h"
#include <jansson.h>

static struct http_answer answer;

static const char *get(void **state, const char *path) {
    struct front_fixture *f = *state;
    buf_free(&answer.body);
    answer = (struct http_answer){.nonce = "0123abcd"};
    http_route(&f->view, path, &answer);
    buf_append(&answer.body, "", 1);
    return answer.body.data;
}

static int teardown(void **state) {
    buf_free(&answer.body);
    return front_fixture_teardown(state);
}

static void health_follows_the_supervisor(void **state) {
    struct front_fixture *f = *state;
    assert_string_equal(get(state, "/healthz"), "ok\n");
    assert_int_equal(answer.status, 200);
    f->view.now_mono_ms += 60000;
    assert_non_null(strstr(get(state, "/healthz"), "60.0 s"));
    assert_int_equal(answer.status, 503);
}

static void readiness_names_who_is_not(void **state) {
    struct front_fixture *f = *state;
    assert_string_equal(get(state, "/readyz"), "ready\n");
    assert_int_equal(answer.status, 200);
    atomic_store(&segment_status(&f->segment, 2)->state, CHILD_LOADING);
    atomic_store(&segment_status(&f->segment, 0)->state, CHILD_FAILED);
    assert_string_equal(get(state, "/readyz"), "shard 0 is failed\nshard 2 is loading\n");
    assert_int_equal(answer.status, 503);
}

static void others_are_not_found(void **state) {
    const char *const paths[] = {"", "/x", "/status/", "//status", "/../status", "/STATUS"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        get(state, paths[i]);
        assert_int_equal(answer.status, 404);
        assert_string_equal(answer.nonce, "");
    }
}

/* Everything inline bears the nonce, nothing comes from elsewhere. */
static void the_page_is_self_contained(void **state) {
    const char *page = get(state, "/");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.nonce, "0123abcd");
    assert_non_null(strstr(page, "<style nonce=\"0123abcd\">"));
    assert_non_null(strstr(page, "<script nonce=\"0123abcd\">"));
    assert_null(strstr(page, "@NONCE@"));
    assert_non_null(strstr(page, "</html>"));
    assert_null(strstr(page, " style=\""));
    assert_null(strstr(page, "innerHTML"));
    for (const char *at = page; (at = strstr(at, "http")); at++)
        assert_true(strncmp(at, "http://www.w3.org/", 18) == 0);
}

static void history_is_kept_in_order_and_bounded(void **state) {
    struct front_fixture *f = *state;
    for (int i = 0; i < HISTORY_SAMPLES + 50; i++) {
        status_set(segment_status(&f->segment, 1), METRIC_commands_per_second, (uint64_t)i);
        history_look(&f->history, &f->segment, 1000 + (uint64_t)i * 1000, i * 1000);
        history_look(&f->history, &f->segment, 1250 + (uint64_t)i * 1000, i * 1000 + 250);
    }
    json_t *root = json_loads(get(state, "/history"), 0, NULL);
    json_t *rows = json_object_get(root, "rows");
    assert_int_equal(json_array_size(rows), HISTORY_SAMPLES);
    for (size_t i = 0; i < HISTORY_SAMPLES; i++) {
        json_t *row = json_array_get(rows, i);
        assert_int_equal(json_array_size(row), 1 + FIXTURE_WORKERS);
        assert_int_equal(json_integer_value(json_array_get(row, 0)), (i + 50) * 1000);
        assert_int_equal(json_integer_value(json_array_get(row, 2)), i + 50);
    }
    json_decref(root);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, front_fixture_setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(health_follows_the_supervisor),
        TEST(readiness_names_who_is_not),
        TEST(others_are_not_found),
        TEST(the_page_is_self_contained),
        TEST(history_is_kept_in_order_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
