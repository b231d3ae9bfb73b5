/* test_cmd_info.c - INFO: sections, and what is added up over the pool or shown of one shard. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "shared/base/clock.h"

enum { WORKERS = 3, OWN = 1 };
struct pool {
    struct fixture *f;
    struct segment segment;
};

static int begin(void **state) {
    static struct pool pool;
    char error[256];
    pool = (struct pool){.f = fixture_create()};
    assert_true(segment_create(&pool.segment, WORKERS, 4096, error, sizeof(error)) >= 0);
    slot_map_deal(pool.segment.slots, WORKERS);
    pool.segment.header->started_wall_ms = clock_wall_ms() - 5000;
    struct command_env *env = &pool.f->env;
    env->segment = &pool.segment;
    env->shard = OWN;
    env->status = segment_status(&pool.segment, OWN);
    env->loaded_wall_ms = clock_wall_ms() - 3000;
    for (uint32_t i = 0; i < WORKERS; i++) {
        struct status_page *page = segment_status(&pool.segment, i);
        pool.segment.slots->port[i] = (uint16_t)(6400 + i);
        atomic_store(&page->state, CHILD_UP);
        atomic_store(&page->pid, 5000 + i);
        status_set(page, METRIC_connected_clients, 10 + i);
        status_set(page, METRIC_used_memory_bytes, 1024 * (i + 1));
        status_set(page, METRIC_keyspace_hits, 100 * (i + 1));
        status_set(page, METRIC_write_path_synced_age_us, 7 * (i + 1));
        status_set(page, METRIC_snapshot_last_ok, 1);
        status_set(page, METRIC_snapshot_last_time_seconds, 1000 - i);
        status_set(page, METRIC_aof_state_ok, 1);
        atomic_store(&page->databases[2].keys, 5 * i);
        atomic_store(&page->databases[2].expires, i);
        atomic_store(&page->databases[2].avg_ttl_ms, 1000 * i);
    }
    *state = &pool;
    return 0;
}

static int end(void **state) {
    struct pool *pool = *state;
    segment_detach(&pool->segment);
    fixture_free(&pool->f);
    return 0;
}

static void has(struct fixture *f, const char *line) {
    char wanted[256];
    snprintf(wanted, sizeof(wanted), "\n%s\r\n", line);
    if (strstr(f->reply.data, wanted) == NULL)
        fail_msg("no line '%s' in:\n%s", line, f->reply.data);
}

static void has_not(struct fixture *f, const char *text) {
    if (strstr(f->reply.data, text) != NULL)
        fail_msg("unexpected '%s'", text);
}

static void the_public_port_adds_up_the_pool(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    fixture_inline(f, "INFO");
    has(f, "redis_version:7.2.4");
    has(f, "redis_mode:standalone");
    has(f, "tcp_port:6379");
    has(f, "uptime_in_seconds:5");
    has(f, "connected_clients:33");
    has(f, "used_memory:6144");
    has(f, "used_memory_human:6.00K");
    has(f, "keyspace_hits:600");
    has(f, "rdb_last_save_time:998");
    has(f, "rdb_last_bgsave_status:ok");
    has(f, "cluster_enabled:0");
    has(f, "db2:keys=15,expires=3,avg_ttl=1666");
    has(f, "pool_workers:3");
    has(f, "write_path_synced_age_us:21");
    has(f, "shard2:state=up,pid=5002,generation=0,restarts=0,slots=10923-16383,clients=12,keys=0,"
           "used_memory=3072,ops_per_sec=0");
}

static void a_node_port_shows_its_shard(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    f->session.port = SESSION_NODE;
    fixture_inline(f, "INFO");
    has(f, "redis_mode:cluster");
    has(f, "tcp_port:6401");
    has(f, "uptime_in_seconds:3");
    has(f, "connected_clients:11");
    has(f, "used_memory:2048");
    has(f, "keyspace_hits:200");
    has(f, "rdb_last_save_time:999");
    has(f, "cluster_enabled:1");
    has(f, "db2:keys=5,expires=1,avg_ttl=1000");
    has_not(f, "shard2:");
}

static void one_bad_shard_is_seen(void **state) {
    struct pool *pool = *state;
    struct status_page *page = segment_status(&pool->segment, 2);
    status_set(page, METRIC_snapshot_last_ok, 0);
    status_set(page, METRIC_aof_enabled, 1);
    status_set(page, METRIC_aof_state_ok, 0);
    atomic_store(&page->state, CHILD_LOADING);
    status_set(page, METRIC_load_total_bytes, 200);
    status_set(page, METRIC_load_done_bytes, 50);
    fixture_inline(pool->f, "INFO persistence");
    has(pool->f, "loading:1");
    has(pool->f, "loading_loaded_perc:25.00");
    has(pool->f, "rdb_last_bgsave_status:err");
    has(pool->f, "aof_last_write_status:err");
    has(pool->f, "aof_current_size:0");
}

static void sections_are_chosen_by_name(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    expect(f, "INFO nosuch", "$0\r\n\r\n");
    expect(f, "INFO cluster", "$30\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    /* The order is the table's, not the arguments'. */
    expect(f, "INFO CLUSTER modules",
           "$43\r\n# Modules\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n");
    fixture_inline(f, "INFO");
    has_not(f, "# Commandstats");
    fixture_inline(f, "INFO all");
    has(f, "# Commandstats");
    has(f, "# Server");
    fixture_inline(f, "INFO default commandstats");
    has(f, "# Commandstats");
    has(f, "# Keyspace");
    fixture_inline(f, "INFO everything");
    has(f, "# Modules");
    f->session.resp = 3;
    expect(f, "INFO nosuch", "=4\r\ntxt:\r\n");
}

static void commands_and_errors_are_this_workers_own(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    execute_reset_stats();
    fixture_inline(f, "HGET a");
    fixture_inline(f, "SELECT 99");
    fixture_inline(f, "INFO commandstats errorstats");
    has(f, "cmdstat_hget:calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=0");
    assert_non_null(strstr(f->reply.data, "cmdstat_select:calls=1,usec="));
    has(f, "errorstat_ERR:count=2");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_public_port_adds_up_the_pool, begin, end),
        cmocka_unit_test_setup_teardown(a_node_port_shows_its_shard, begin, end),
        cmocka_unit_test_setup_teardown(one_bad_shard_is_seen, begin, end),
        cmocka_unit_test_setup_teardown(sections_are_chosen_by_name, begin, end),
        cmocka_unit_test_setup_teardown(commands_and_errors_are_this_workers_own, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
