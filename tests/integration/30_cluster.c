/* 30_cluster.c - on its own port each worker is a node of a Redis Cluster: what it says of slots is
 * true, and the cluster clients of Redis's own tools work against it. */
#include "tests/integration/pool_fixture.h"
#include "shared/ipc/slot_map.h"

static struct pool *pool;

static int start(void **state) {
    pool = pool_start(NULL);
    return 0;
}

static int end(void **state) {
    pool_end(&pool);
    return 0;
}

static void test_public_port_is_no_cluster(void **state) {
    redisContext *c = pool_connect(pool);
    static const char refusal[] = "ERR This instance has cluster support disabled";
    expect_error(c, refusal, "CLUSTER SLOTS");
    expect_error(c, refusal, "CLUSTER INFO");
    expect_error(c, refusal, "CLUSTER KEYSLOT a");
    assert_string_equal(info_field(c, "cluster", "cluster_enabled"), "0");
    redisFree(c);
}

static void test_moved_and_crossslot(void **state) {
    for (unsigned node = 0; node < 3; node++) {
        redisContext *c = pool_connect_worker(pool, node);
        assert_string_equal(info_field(c, "cluster", "cluster_enabled"), "1");
        for (unsigned owner = 0; owner < 3; owner++) {
            char moved[64];
            const char *key = pool_key(pool, owner, 1);
            snprintf(moved, sizeof(moved), "MOVED %u 127.0.0.1:%d", slot_of_key(bytes_of_text(key)),
                     pool->worker_port + (int)owner);
            if (owner == node)
                expect_text(c, "OK", "SET %s %u", key, owner);
            else
                expect_error(c, moved, "SET %s %u", key, owner);
        }
        const char *a = pool_key(pool, node, 2), *b = pool_key(pool, node, 3);
        expect_error(c, "CROSSSLOT Keys in request don't hash to the same slot", "MGET %s %s", a,
                     b);
        expect_error(c, "CROSSSLOT", "RENAME %s %s", a, b);
        expect_text(c, "OK", "MSET {%s}1 x {%s}2 y", a, a);
        expect_integer(c, 2, "DEL {%s}1 {%s}2", a, a);
        expect_error(c, "ERR SELECT is not allowed in cluster mode", "SELECT 1");
        expect_text(c, "OK", "SELECT 0");
        expect_text(c, "OK", "READONLY");
        expect_text(c, "OK", "READWRITE");
        expect_text(c, "OK", "ASKING");
        redisFree(c);
    }
}

/* A node counts and lists its own keys only. */
static void test_node_sees_its_shard(void **state) {
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "FLUSHALL");
    int64_t owned[3] = {0};
    for (int i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i);
        expect_text(c, "OK", "SET %s v", key);
        owned[pool_owner(pool, key)]++;
    }
    for (unsigned node = 0; node < 3; node++) {
        redisContext *n = pool_connect_worker(pool, node);
        expect_integer(n, owned[node], "DBSIZE");
        redisReply *reply = expect_reply(n, "KEYS *");
        assert_int_equal(reply->elements, owned[node]);
        freeReplyObject(reply);
        reply = expect_reply(n, "SCAN 0 COUNT 100000");
        assert_string_equal(reply->element[0]->str, "0");
        assert_int_equal(reply->element[1]->elements, owned[node]);
        freeReplyObject(reply);
        redisFree(n);
    }
    redisFree(c);
}

static void test_slots_shards_nodes(void **state) {
    redisContext *c = pool_connect_worker(pool, 1);
    redisReply *slots = expect_reply(c, "CLUSTER SLOTS");
    assert_int_equal(slots->elements, 3);
    long long next = 0;
    for (size_t i = 0; i < 3; i++) {
        redisReply *range = slots->element[i], *node = range->element[2];
        assert_int_equal(range->element[0]->integer, next);
        next = range->element[1]->integer + 1;
        assert_string_equal(node->element[0]->str, "127.0.0.1");
        assert_int_equal(node->element[1]->integer, pool->worker_port + (int)i);
        assert_int_equal(node->element[2]->len, 40);
        redisContext *n = pool_connect_worker(pool, (unsigned)i);
        expect_text(n, node->element[2]->str, "CLUSTER MYID");
        redisFree(n);
    }
    assert_int_equal(next, SLOT_COUNT);
    freeReplyObject(slots);
    redisReply *shards = expect_reply(c, "CLUSTER SHARDS");
    assert_int_equal(shards->elements, 3);
    freeReplyObject(shards);
    redisReply *nodes = expect_reply(c, "CLUSTER NODES");
    assert_non_null(strstr(nodes->str, " myself,master - 0 "));
    assert_non_null(strstr(nodes->str, " connected 0-"));
    freeReplyObject(nodes);
    redisReply *info = expect_reply(c, "CLUSTER INFO");
    assert_non_null(strstr(info->str, "cluster_state:ok\r\n"));
    assert_non_null(strstr(info->str, "cluster_slots_assigned:16384\r\n"));
    assert_non_null(strstr(info->str, "cluster_known_nodes:3\r\n"));
    freeReplyObject(info);
    redisFree(c);
}

static void test_keys_in_slot(void **state) {
    redisContext *c = pool_connect_worker(pool, 2);
    const char *key = pool_key(pool, 2, 9);
    int slot = slot_of_key(bytes_of_text(key));
    expect_integer(c, slot, "CLUSTER KEYSLOT %s", key);
    expect_integer(c, 12182, "CLUSTER KEYSLOT foo");
    expect_integer(c, ask_integer(c, "CLUSTER KEYSLOT a"), "CLUSTER KEYSLOT x{a}y");
    for (int i = 0; i < 5; i++)
        expect_text(c, "OK", "SET {%s}%d v", key, i);
    expect_integer(c, 5, "CLUSTER COUNTKEYSINSLOT %d", slot);
    redisReply *reply = expect_reply(c, "CLUSTER GETKEYSINSLOT %d 3", slot);
    assert_int_equal(reply->elements, 3);
    freeReplyObject(reply);
    expect_error(c, "ERR Invalid slot", "CLUSTER COUNTKEYSINSLOT 16384");
    expect_error(c, "ERR", "CLUSTER MEET 127.0.0.1 7000");
    redisFree(c);
}

/* Ids and slots of a pool are the same after a restart: cluster clients keep their maps. */
static void test_ids_are_kept(void **state) {
    char id[3][41];
    for (unsigned i = 0; i < 3; i++) {
        redisContext *c = pool_connect_worker(pool, i);
        redisReply *reply = expect_reply(c, "CLUSTER MYID");
        snprintf(id[i], sizeof(id[i]), "%s", reply->str);
        freeReplyObject(reply);
        redisFree(c);
    }
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    for (unsigned i = 0; i < 3; i++) {
        redisContext *c = pool_connect_worker(pool, i);
        expect_text(c, id[i], "CLUSTER MYID");
        redisFree(c);
    }
}

static void test_redis_cli_follows(void **state) {
    int code;
    oracle_needed();
    for (unsigned owner = 0; owner < 3; owner++) {
        char *text =
            run_shell(&code, "redis-cli -c -p %d SET %s cli-%u && redis-cli -c -p %d GET %s",
                      pool->worker_port, pool_key(pool, owner, 77), owner, pool->worker_port + 2,
                      pool_key(pool, owner, 77));
        char expected[32];
        snprintf(expected, sizeof(expected), "OK\ncli-%u\n", owner);
        assert_string_equal(text, expected);
        free(text);
    }
    char *text = run_shell(&code, "redis-cli --cluster check 127.0.0.1:%d 2>&1", pool->worker_port);
    if (!strstr(text, "[OK] All nodes agree about slots configuration.") ||
        !strstr(text, "[OK] All 16384 slots covered."))
        fail_msg("%s", text);
    free(text);
    text = run_shell(&code, "redis-cli --cluster call 127.0.0.1:%d DBSIZE 2>&1", pool->worker_port);
    assert_int_equal(code, 0);
    free(text);
}

static void test_redis_benchmark(void **state) {
    int code;
    oracle_needed();
    char *text =
        run_shell(&code,
                  "redis-benchmark --cluster -p %d -t set,get,incr,mset,hset -n 3000 -r 1000 "
                  "-P 8 -c 12 -q 2>&1",
                  pool->worker_port);
    if (code != 0 || strstr(text, "rror") || !strstr(text, "HSET: "))
        fail_msg("code %d: %s", code, text);
    free(text);
    text = run_shell(
        &code,
        "redis-benchmark -p %d -t ping,set,get,incr,mset,hset -n 3000 -r 1000 -P 8 -c 12 -q 2>&1",
        pool->port);
    if (code != 0 || strstr(text, "rror") || !strstr(text, "MSET (10 keys): "))
        fail_msg("code %d: %s", code, text);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_public_port_is_no_cluster),
        cmocka_unit_test(test_moved_and_crossslot),
        cmocka_unit_test(test_node_sees_its_shard),
        cmocka_unit_test(test_slots_shards_nodes),
        cmocka_unit_test(test_keys_in_slot),
        cmocka_unit_test(test_ids_are_kept),
        cmocka_unit_test(test_redis_cli_follows),
        cmocka_unit_test(test_redis_benchmark),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
