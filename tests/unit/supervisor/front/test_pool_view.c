/* test_pool_view.c - who gets the next client, and what is believed about those in flight. */
#include "supervisor/front/pool_view.h"
#include "tests/unit/supervisor/front/front_fixture.h"

static struct pool_view view;

static struct status_page *page_of(void **state, uint32_t i) {
    struct front_fixture *f = *state;
    return segment_status(&f->segment, i);
}

static int setup(void **state) {
    if (front_fixture_setup(state))
        return -1;
    struct front_fixture *f = *state;
    pool_view_init(&view, &f->segment, page_of(state, segment_front_index(FIXTURE_WORKERS)));
    return 0;
}

static void fewest_clients_first(void **state) {
    status_set(page_of(state, 0), METRIC_connected_clients, 5);
    status_set(page_of(state, 1), METRIC_connected_clients, 3);
    status_set(page_of(state, 2), METRIC_connected_clients, 4);
    pool_view_refresh(&view);
    assert_int_equal(pool_view_least_loaded(&view), 1);
    assert_int_equal(pool_view_clients(&view), 12);
    pool_view_handed(&view, 1, ADDRESS_NONE);
    pool_view_handed(&view, 1, ADDRESS_NONE);
    assert_int_equal(pool_view_least_loaded(&view), 2);
    assert_int_equal(pool_view_clients(&view), 14);
}

static void ties_take_turns(void **state) {
    uint32_t given[FIXTURE_WORKERS] = {0};
    pool_view_refresh(&view);
    for (int i = 0; i < 30; i++) {
        uint32_t worker = pool_view_least_loaded(&view);
        given[worker]++;
        pool_view_handed(&view, worker, ADDRESS_NONE);
    }
    for (uint32_t i = 0; i < FIXTURE_WORKERS; i++)
        assert_int_equal(given[i], 10);
}

static void only_those_that_serve_and_have_room(void **state) {
    atomic_store(&page_of(state, 0)->state, CHILD_LOADING);
    pool_view_refresh(&view);
    pool_view_full(&view, 1);
    assert_false(pool_view_takes(&view, 0));
    assert_false(pool_view_takes(&view, 1));
    assert_false(pool_view_takes(&view, POOL_NOBODY));
    assert_int_equal(pool_view_least_loaded(&view), 2);
    pool_view_full(&view, 2);
    assert_int_equal(pool_view_least_loaded(&view), POOL_NOBODY);
    pool_view_refresh(&view); /* a queue may have room again a turn later */
    assert_true(pool_view_takes(&view, 1));
}

static void flights_land_as_the_worker_counts_them(void **state) {
    pool_view_refresh(&view);
    for (int i = 0; i < 5; i++)
        pool_view_handed(&view, 0, 7);
    assert_int_equal(pool_view_of_address(&view, 7), 5);
    status_set(page_of(state, 0), METRIC_clients_received, 3);
    pool_view_refresh(&view);
    assert_int_equal(view.worker[0].flights, 2);
    assert_int_equal(pool_view_of_address(&view, 7), 2);
    /* A new generation begins at nothing. */
    status_set(page_of(state, 0), METRIC_clients_received, 1);
    pool_view_refresh(&view);
    assert_int_equal(view.worker[0].flights, 1);
    pool_view_queue_empty(&view, 0);
    assert_int_equal(view.worker[0].flights, 0);
    assert_int_equal(pool_view_of_address(&view, 7), 0);
}

static void addresses_are_summed_over_all_pages(void **state) {
    for (uint32_t i = 0; i < FIXTURE_WORKERS; i++)
        atomic_store(&page_of(state, i)->clients_by_address[9], 2);
    pool_view_address_add(&view, 9);
    assert_int_equal(pool_view_of_address(&view, 9), 7);
    pool_view_address_drop(&view, 9);
    pool_view_address_drop(&view, 9);
    assert_int_equal(pool_view_of_address(&view, 9), 6);
    pool_view_address_add(&view, ADDRESS_NONE); /* counts nowhere */
}

/* More than the view can remember are counted as landed, oldest first. */
static void more_flights_than_remembered(void **state) {
    pool_view_refresh(&view);
    for (uint32_t i = 0; i < FLIGHTS_MAX + 10; i++)
        pool_view_handed(&view, 0, 3);
    assert_int_equal(view.worker[0].flights, FLIGHTS_MAX);
    assert_int_equal(pool_view_of_address(&view, 3), FLIGHTS_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, front_fixture_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(fewest_clients_first),
        TEST(ties_take_turns),
        TEST(only_those_that_serve_and_have_room),
        TEST(flights_land_as_the_worker_counts_them),
        TEST(addresses_are_summed_over_all_pages),
        TEST(more_flights_than_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
