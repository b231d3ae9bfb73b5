/* test_cmd_cluster.c - CLUSTER on a node port, and its refusal on the public one. */
#include "tests/unit/worker/command/handler_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define DISABLED "-ERR This instance has cluster support disabled\r\n"
#define ID_A     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B     "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbc"

struct pool {
    struct fixture *f;
    struct segment segment;
};

static int begin(void **state) {
    static struct pool pool;
    char error[256];
    pool = (struct pool){.f = fixture_create()};
    assert_true(segment_create(&pool.segment, 2, 4096, error, sizeof(error)) >= 0);
    struct slot_map *slots = pool.segment.slots;
    slot_map_deal(slots, 2);
    for (uint32_t i = 0; i < 2; i++) {
        snprintf(slots->node_id[i], sizeof(slots->node_id[i]), "%s", i == 0 ? ID_A : ID_B);
        slots->port[i] = (uint16_t)(6400 + i);
        atomic_store(&segment_status(&pool.segment, i)->state, CHILD_UP);
    }
    snprintf(slots->announce_host, sizeof(slots->announce_host), "10.1.2.3");
    pool.f->env.segment = &pool.segment;
    pool.f->env.shard = 1;
    pool.f->session.port = SESSION_NODE;
    *state = &pool;
    return 0;
}

static int end(void **state) {
    struct pool *pool = *state;
    segment_detach(&pool->segment);
    fixture_free(&pool->f);
    return 0;
}

static void the_public_port_is_no_cluster(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    f->session.port = SESSION_PUBLIC;
    const char *const refused[] = {"CLUSTER SLOTS",
                                   "CLUSTER SHARDS",
                                   "CLUSTER NODES",
                                   "CLUSTER INFO",
                                   "CLUSTER MYID",
                                   "CLUSTER MYSHARDID",
                                   "CLUSTER KEYSLOT a",
                                   "CLUSTER HELP",
                                   "CLUSTER LINKS",
                                   "CLUSTER MEET a 1",
                                   "CLUSTER COUNTKEYSINSLOT 1",
                                   "CLUSTER GETKEYSINSLOT 1 1",
                                   "READONLY",
                                   "READWRITE",
                                   "ASKING",
                                   "CLUSTER REPLICAS x"};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        expect(f, refused[i], DISABLED);
    expect(f, "CLUSTER nosuch", "-ERR unknown subcommand 'nosuch'. Try CLUSTER HELP.\r\n");
}

static void nodes_slots_and_shards_agree(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    expect(f, "CLUSTER NODES",
           "$197\r\n" ID_A " 10.1.2.3:6400@16400 master - 0 0 1 connected 0-8191\n" ID_B
           " 10.1.2.3:6401@16401 myself,master - 0 0 2 connected 8192-16383\n\r\n");
    expect(f, "CLUSTER SLOTS",
           "*2\r\n*3\r\n:0\r\n:8191\r\n*4\r\n$8\r\n10.1.2.3\r\n:6400\r\n$40\r\n" ID_A
           "\r\n*0\r\n*3\r\n:8192\r\n:16383\r\n*4\r\n$8\r\n10.1.2.3\r\n:6401\r\n$40\r\n" ID_B
           "\r\n*0\r\n");
    fixture_inline(f, "CLUSTER SHARDS");
    assert_non_null(strstr(
        f->reply.data, "*4\r\n$5\r\nslots\r\n*2\r\n:8192\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n*14\r\n"
                       "$2\r\nid\r\n$40\r\n" ID_B "\r\n$4\r\nport\r\n:6401\r\n$2\r\nip\r\n$8\r\n"
                       "10.1.2.3\r\n$8\r\nendpoint\r\n$8\r\n10.1.2.3\r\n$4\r\nrole\r\n$6\r\nmaster"
                       "\r\n$18\r\nreplication-offset\r\n:0\r\n$6\r\nhealth\r\n$6\r\nonline\r\n"));
    expect(f, "CLUSTER MYID", "$40\r\n" ID_B "\r\n");
    expect(f, "CLUSTER MYSHARDID", "$40\r\ncbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n");
}

static void a_shard_that_is_down_shows(void **state) {
    struct pool *pool = *state;
    struct status_page *page = segment_status(&pool->segment, 0);
    fixture_inline(pool->f, "CLUSTER INFO");
    assert_non_null(strstr(pool->f->reply.data, "cluster_state:ok\r\n"));
    atomic_store(&page->state, CHILD_WAITING);
    fixture_inline(pool->f, "CLUSTER NODES");
    assert_non_null(strstr(pool->f->reply.data, " master,fail? - 0 0 1 disconnected 0-8191\n"));
    fixture_inline(pool->f, "CLUSTER INFO");
    assert_non_null(strstr(pool->f->reply.data, "cluster_state:ok\r\n"));
    assert_non_null(strstr(pool->f->reply.data, "cluster_slots_pfail:8192\r\n"));
    atomic_store(&page->state, CHILD_FAILED);
    fixture_inline(pool->f, "CLUSTER INFO");
    assert_non_null(strstr(pool->f->reply.data, "cluster_state:fail\r\n"));
    assert_non_null(strstr(pool->f->reply.data, "cluster_slots_ok:8192\r\n"));
    assert_non_null(strstr(pool->f->reply.data, "cluster_slots_fail:8192\r\n"));
    fixture_inline(pool->f, "CLUSTER NODES");
    assert_non_null(strstr(pool->f->reply.data, " master,fail - "));
    fixture_inline(pool->f, "CLUSTER SHARDS");
    assert_non_null(strstr(pool->f->reply.data, "health\r\n$4\r\nfail\r\n"));
}

static void slots_are_those_of_redis_cluster(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    expect(f, "CLUSTER KEYSLOT a", ":15495\r\n");
    expect(f, "CLUSTER KEYSLOT foo{a}bar", ":15495\r\n");
    expect(f, "SET a 1", "+OK\r\n");
    expect(f, "SET {a}b 1", "+OK\r\n");
    expect(f, "CLUSTER COUNTKEYSINSLOT 15495", ":2\r\n");
    expect(f, "CLUSTER COUNTKEYSINSLOT 1", ":0\r\n");
    expect(f, "CLUSTER GETKEYSINSLOT 15495 0", "*0\r\n");
    fixture_inline(f, "CLUSTER GETKEYSINSLOT 15495 10");
    assert_memory_equal(f->reply.data, "*2\r\n", 4);
    expect(f, "CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot\r\n");
    expect(f, "CLUSTER COUNTKEYSINSLOT -1", "-ERR Invalid slot\r\n");
    expect(f, "CLUSTER COUNTKEYSINSLOT x", "-ERR value is not an integer or out of range\r\n");
    expect(f, "CLUSTER GETKEYSINSLOT 1 -1", "-ERR Invalid slot or number of keys\r\n");
    expect(f, "CLUSTER GETKEYSINSLOT 16384 1", "-ERR Invalid slot or number of keys\r\n");
}

static void what_would_change_the_cluster_is_refused(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    expect(f, "CLUSTER meet 1.2.3.4 6379",
           "-ERR CLUSTER meet is not possible: nodes and slots are fixed at pool.ini\r\n");
    expect(f, "CLUSTER ADDSLOTS 1",
           "-ERR CLUSTER ADDSLOTS is not possible: nodes and slots are fixed at pool.ini\r\n");
    expect(f, "CLUSTER LINKS", "*0\r\n");
    expect(f, "CLUSTER REPLICAS " ID_A, "*0\r\n");
    expect(f, "CLUSTER REPLICAS x", "-ERR Unknown node x\r\n");
    expect(f, "CLUSTER COUNT-FAILURE-REPORTS " ID_A, ":0\r\n");
    expect(f, "SWAPDB 0 1", "-ERR SWAPDB is not allowed in cluster mode\r\n");
}

static void modes_of_a_connection(void **state) {
    struct fixture *f = ((struct pool *)*state)->f;
    expect(f, "READONLY", "+OK\r\n");
    assert_true(f->session.readonly_mode);
    expect(f, "READWRITE", "+OK\r\n");
    assert_false(f->session.readonly_mode);
    expect(f, "ASKING", "+OK\r\n");
    assert_true(f->session.asking);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_public_port_is_no_cluster, begin, end),
        cmocka_unit_test_setup_teardown(nodes_slots_and_shards_agree, begin, end),
        cmocka_unit_test_setup_teardown(a_shard_that_is_down_shows, begin, end),
        cmocka_unit_test_setup_teardown(slots_are_those_of_redis_cluster, begin, end),
        cmocka_unit_test_setup_teardown(what_would_change_the_cluster_is_refused, begin, end),
        cmocka_unit_test_setup_teardown(modes_of_a_connection, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
