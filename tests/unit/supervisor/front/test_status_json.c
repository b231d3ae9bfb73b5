/* test_status_json.c - the shape of /status, its judgements, and that nothing breaks or leaks. */
#include "supervisor/front/status_json.h"
#include "tests/unit/supervisor/front/front_fixture.h"
#include <jansson.h>
#include <stdio.h>

static json_t *document(void **state) {
    struct front_fixture *f = *state;
    struct buf out = {0};
    json_error_t error;
    assert_int_equal(status_json_write(&f->view, &out), 0);
    json_t *root = json_loadb(out.data, out.len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        fail_msg("line %d: %s", error.line, error.text);
    buf_free(&out);
    return root;
}

static json_t *worker_of(json_t *root, size_t i) {
    return json_array_get(json_object_get(root, "workers"), i);
}

static json_int_t integer(json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    if (!json_is_integer(value))
        fail_msg("%s is no integer", name);
    return json_integer_value(value);
}

static const char *text(json_t *object, const char *name) {
    json_t *value = json_object_get(object, name);
    if (!json_is_string(value))
        fail_msg("%s is no string", name);
    return json_string_value(value);
}

static void every_metric_is_there(void **state) {
    json_t *root = document(state);
    const struct {
        json_t *process;
        enum metric_scope scope;
    } groups[] = {
        {worker_of(root, 0), METRIC_WORKER},
        {json_object_get(root, "front"), METRIC_FRONT},
        {json_object_get(root, "supervisor"), METRIC_SUPERVISOR},
    };
    for (size_t g = 0; g < 3; g++) {
        json_t *metrics = json_object_get(groups[g].process, "metrics");
        size_t expected = 0;
        for (uint32_t i = 0; i < METRIC_COUNT; i++) {
            bool has = metric_rows[i].scope & groups[g].scope;
            expected += has;
            assert_int_equal(json_object_get(metrics, metric_rows[i].name) != NULL, has);
        }
        assert_int_equal(json_object_size(metrics), expected);
    }
    json_decref(root);
}

static void figures_of_a_worker(void **state) {
    struct front_fixture *f = *state;
    struct status_page *page = segment_status(&f->segment, 1);
    status_set(page, METRIC_connected_clients, 4);
    status_set(page, METRIC_keys, 9);
    status_set(page, METRIC_used_memory_bytes, 1000);
    status_set(page, METRIC_commands_processed, 8);
    status_set(page, METRIC_commands_relayed, 2);
    status_set(page, METRIC_write_path_executed, 300);
    status_set(page, METRIC_write_path_synced, UINT64_MAX); /* beyond what JSON integers hold */
    atomic_store(&page->databases[3].keys, 9);
    f->segment.slots->port[1] = 6401;
    json_t *root = document(state), *w = worker_of(root, 1), *pool = json_object_get(root, "pool");
    assert_int_equal(json_array_size(json_object_get(root, "workers")), FIXTURE_WORKERS);
    assert_int_equal(integer(w, "index"), 1);
    assert_int_equal(integer(w, "pid"), 101);
    assert_int_equal(integer(w, "generation"), 11);
    assert_int_equal(integer(w, "clients"), 4);
    assert_int_equal(integer(w, "port"), 6401);
    assert_int_equal(integer(json_object_get(w, "slots"), "first"), f->segment.slots->first[1]);
    assert_int_equal(integer(json_object_get(w, "slots"), "last"), f->segment.slots->first[2] - 1);
    assert_int_equal(integer(json_object_get(w, "memory"), "used_bytes"), 1000);
    assert_int_equal(integer(json_object_get(w, "write_path"), "executed"), 300);
    assert_int_equal(integer(json_object_get(w, "write_path"), "synced"), INT64_MAX);
    assert_float_equal(json_real_value(json_object_get(w, "relayed_share")), 0.25, 1e-6);
    assert_int_equal(integer(json_array_get(json_object_get(w, "databases"), 0), "db"), 3);
    assert_int_equal(integer(pool, "clients"), 4);
    assert_int_equal(integer(pool, "keys"), 9);
    assert_int_equal(integer(pool, "uptime_seconds"), 61);
    assert_string_equal(text(pool, "state"), "ok");
    json_decref(root);
}

static void state_of_the_pool(void **state) {
    struct front_fixture *f = *state;
    struct status_page *page = segment_status(&f->segment, 2);
    assert_int_equal(view_pool_state(&f->view), POOL_OK);
    status_set_text(page->note, "fsync failed");
    assert_int_equal(view_pool_state(&f->view), POOL_DEGRADED);
    status_set_text(page->note, "%s", "");
    status_set(page, METRIC_aof_enabled, 1);
    assert_int_equal(view_pool_state(&f->view), POOL_DEGRADED);
    status_set(page, METRIC_aof_state_ok, 1);
    assert_int_equal(view_pool_state(&f->view), POOL_OK);
    f->view.now_mono_ms += (uint64_t)f->config->heartbeat_timeout + 1;
    assert_int_equal(view_pool_state(&f->view), POOL_DEGRADED);
    for (uint32_t i = 0; i < FIXTURE_WORKERS + 2; i++)
        atomic_fetch_add(&segment_status(&f->segment, i)->heartbeat, 1);
    pulse_look(&f->pulse, &f->segment, f->view.now_mono_ms);
    assert_int_equal(view_pool_state(&f->view), POOL_OK);
    for (uint32_t i = 0; i < FIXTURE_WORKERS; i++)
        atomic_store(&segment_status(&f->segment, i)->state, i ? CHILD_WAITING : CHILD_LOADING);
    assert_int_equal(view_pool_state(&f->view), POOL_DOWN);
}

static void why_and_when_a_worker_restarts(void **state) {
    struct front_fixture *f = *state;
    struct status_page *page = segment_status(&f->segment, 0);
    atomic_store(&page->state, CHILD_WAITING);
    atomic_store(&page->restart_at_wall_ms, 123456789);
    atomic_store(&page->restarts, 2);
    status_set_text(page->last_exit, "killed by signal 9 (SIGKILL)");
    json_t *root = document(state), *w = worker_of(root, 0);
    assert_string_equal(text(w, "state"), "waiting");
    assert_string_equal(text(w, "last_exit"), "killed by signal 9 (SIGKILL)");
    assert_int_equal(integer(w, "restart_at"), 123456789);
    assert_int_equal(integer(w, "restarts"), 2);
    assert_true(json_is_null(json_object_get(worker_of(root, 1), "restart_at")));
    assert_string_equal(text(json_object_get(root, "pool"), "state"), "degraded");
    json_decref(root);
}

static void what_takes_a_while(void **state) {
    struct front_fixture *f = *state;
    struct status_page *saver = segment_status(&f->segment, 0);
    struct status_page *loader = segment_status(&f->segment, 1);
    struct status_page *waiter = segment_status(&f->segment, 2);
    status_set(saver, METRIC_save_kind, 2);
    status_set(saver, METRIC_save_keys_done, 30);
    status_set(saver, METRIC_save_keys_expected, 40);
    status_set(saver, METRIC_save_bytes_per_second, 5000);
    status_set(saver, METRIC_save_cow_bytes, 4096);
    atomic_store(&loader->state, CHILD_LOADING);
    status_set(loader, METRIC_load_total_bytes, 1000);
    status_set(loader, METRIC_load_done_bytes, 250);
    atomic_store(&waiter->fork_wait, FORK_WAIT_MEMORY);
    atomic_store(&waiter->fork_needed_bytes, 9ull << 20);
    atomic_store(&waiter->fork_free_bytes, 2ull << 20);
    json_t *root = document(state);
    json_t *saving = json_object_get(worker_of(root, 0), "saving");
    assert_string_equal(text(saving, "kind"), "log base");
    assert_int_equal(json_real_value(json_object_get(saving, "percent")), 75);
    assert_int_equal(integer(saving, "keys_total"), 40);
    assert_int_equal(integer(saving, "bytes_per_second"), 5000);
    assert_int_equal(integer(saving, "cow_bytes"), 4096);
    json_t *loading = json_object_get(worker_of(root, 1), "loading");
    assert_int_equal(json_real_value(json_object_get(loading, "percent")), 25);
    assert_true(json_is_null(json_object_get(worker_of(root, 0), "loading")));
    assert_true(json_is_null(json_object_get(worker_of(root, 1), "saving")));
    json_t *wait = json_object_get(worker_of(root, 2), "fork_wait");
    assert_string_equal(text(wait, "reason"), "memory");
    assert_int_equal(integer(wait, "needed_bytes"), 9 << 20);
    assert_string_equal(text(worker_of(root, 2), "trouble"),
                        "a save waits for memory: 9 MB may be needed, 2 MB are free");
    assert_string_equal(text(json_object_get(worker_of(root, 1), "fork_wait"), "reason"), "no");
    json_decref(root);
}

/* A page is another process's memory: whatever is in it, the document stays well-formed. */
static void garbage_in_a_page(void **state) {
    struct front_fixture *f = *state;
    struct status_page *page = segment_status(&f->segment, 0);
    memset(page, 0xff, sizeof(*page));
    memset((void *)segment_replication(&f->segment, 0), 0xff, sizeof(struct replication_page));
    memset((void *)segment_replication(&f->segment, 1), 0xfe, sizeof(struct replication_page));
    memset(f->segment.slots->node_id[0], 0xc3, sizeof(f->segment.slots->node_id[0]));
    json_t *root = document(state);
    assert_string_equal(text(worker_of(root, 0), "state"), "down");
    json_decref(root);
}

static void put_links(struct front_fixture *f, uint32_t worker, uint32_t count) {
    static struct replication_table table;
    memset(&table, 0, sizeof(table));
    table.replicas = table.primaries = count;
    struct replica_line *replica = &table.replica[0];
    *replica = (struct replica_line){.port = 7001, .offset = 90, .behind_bytes = 10, .lag_s = 3};
    snprintf(replica->address, sizeof(replica->address), "10.0.0.7");
    snprintf(replica->state, sizeof(replica->state), "online");
    struct primary_line *primary = &table.primary[0];
    *primary = (struct primary_line){.port = 6400,
                                     .syncing = 1,
                                     .sync_total_bytes = 200,
                                     .sync_done_bytes = 50,
                                     .full_syncs = 2,
                                     .last_heard_s = -1,
                                     .down_s = 8};
    snprintf(primary->state, sizeof(primary->state), "receiving the snapshot");
    snprintf(primary->trouble, sizeof(primary->trouble), "it \"was\" \x01 cut");
    table.primary[1].syncing = 1; /* it does not say how long it is */
    replication_page_write(segment_replication(&f->segment, worker), &table);
}

static void links_of_a_worker(void **state) {
    put_links(*state, 1, LINKS_SHOWN + 2);
    json_t *root = document(state), *r = json_object_get(worker_of(root, 1), "replication");
    json_t *replicas = json_object_get(r, "replicas"), *primaries = json_object_get(r, "primaries");
    json_t *replica = json_array_get(replicas, 0), *primary = json_array_get(primaries, 0);
    assert_int_equal(json_array_size(replicas), LINKS_SHOWN);
    assert_int_equal(json_array_size(primaries), LINKS_SHOWN);
    assert_int_equal(integer(r, "replicas_count"), LINKS_SHOWN + 2);
    assert_int_equal(integer(r, "primaries_count"), LINKS_SHOWN + 2);
    assert_string_equal(text(replica, "address"), "10.0.0.7");
    assert_string_equal(text(replica, "state"), "online");
    assert_int_equal(integer(replica, "port"), 7001);
    assert_int_equal(integer(replica, "behind_bytes"), 10);
    assert_int_equal(integer(replica, "lag_seconds"), 3);
    assert_string_equal(text(primary, "state"), "receiving the snapshot");
    assert_string_equal(text(primary, "trouble"), "it \"was\" ? cut");
    assert_true(json_is_null(json_object_get(primary, "last_heard_seconds")));
    assert_int_equal(integer(primary, "down_seconds"), 8);
    json_t *sync = json_object_get(primary, "sync");
    assert_int_equal(integer(sync, "bytes_done"), 50);
    assert_float_equal(json_real_value(json_object_get(sync, "percent")), 25, 1e-6);
    sync = json_object_get(json_array_get(primaries, 1), "sync");
    assert_true(json_is_null(json_object_get(sync, "percent")));
    assert_true(json_is_null(json_object_get(json_array_get(primaries, 2), "sync")));
    r = json_object_get(worker_of(root, 0), "replication");
    assert_int_equal(json_array_size(json_object_get(r, "replicas")), 0);
    json_decref(root);
}

static void role_of_the_pool(void **state) {
    struct front_fixture *f = *state;
    char error[CONFIG_ERROR_BYTES];
    json_t *root = document(state);
    json_t *r = json_object_get(json_object_get(root, "pool"), "replication");
    assert_string_equal(text(r, "role"), "primary");
    json_decref(root);
    assert_int_equal(config_from_text(f->config, BYTES_LITERAL("replicaof 10.0.0.1 6379\n"), error),
                     0);
    status_set(segment_status(&f->segment, 0), METRIC_primary_links, 2);
    status_set(segment_status(&f->segment, 1), METRIC_primary_links_up, 1);
    status_set(segment_status(&f->segment, 1), METRIC_connected_replicas, 3);
    status_set(segment_status(&f->segment, 0), METRIC_merged_replicas, 1);
    root = document(state);
    r = json_object_get(json_object_get(root, "pool"), "replication");
    assert_string_equal(text(r, "role"), "replica");
    assert_string_equal(text(r, "primary"), "10.0.0.1 6379");
    assert_int_equal(integer(r, "links"), 2);
    assert_int_equal(integer(r, "links_up"), 1);
    assert_int_equal(integer(r, "replicas"), 4);
    json_decref(root);
}

static void secrets_stay_inside(void **state) {
    struct front_fixture *f = *state;
    char error[CONFIG_ERROR_BYTES];
    struct buf out = {0};
    assert_int_equal(config_from_text(f->config, BYTES_LITERAL("requirepass hush-hush\n"), error),
                     0);
    assert_int_equal(status_json_write(&f->view, &out), 0);
    assert_null(memmem(out.data, out.len, "hush", 4));
    assert_null(memmem(out.data, out.len, "requirepass", 11));
    buf_free(&out);
}

#define TEST(name)                                                                                 \
    cmocka_unit_test_setup_teardown(name, front_fixture_setup, front_fixture_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_metric_is_there), TEST(figures_of_a_worker),
        TEST(state_of_the_pool),     TEST(why_and_when_a_worker_restarts),
        TEST(garbage_in_a_page),     TEST(what_takes_a_while),
        TEST(links_of_a_worker),     TEST(role_of_the_pool),
        TEST(secrets_stay_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
