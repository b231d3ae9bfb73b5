/* 10_routing.c - commands that meet several shards: split and merged, broadcast and added up, scanned
 * with one cursor. The pool must look like one server. */
#include "tests/integration/pool_fixture.h"
#include <pthread.h>
#include <stdatomic.h>

static struct pool *pool;
static redisContext *c;

static int start(void **state) {
    pool = pool_start(NULL);
    c = pool_connect(pool);
    return 0;
}

static int end(void **state) {
    redisFree(c);
    pool_end(&pool);
    return 0;
}

static int empty(void **state) {
    expect_text(c, "OK", "FLUSHALL");
    return 0;
}

/* MGET, MSET, DEL ... with one key of each shard, the same key twice, and one that is not there. */
static void test_split_and_merge(void **state) {
    const char *a = pool_key(pool, 0, 1), *b = pool_key(pool, 1, 1), *d = pool_key(pool, 2, 1);
    expect_text(c, "OK", "MSET %s 0 %s 1 %s 2 %s 00", a, b, d, a);
    redisReply *reply = expect_reply(c, "MGET %s nothing %s %s %s", d, a, b, d);
    static const char *const expected[] = {"2", NULL, "00", "1", "2"};
    assert_int_equal(reply->elements, 5);
    for (int i = 0; i < 5; i++) {
        if (expected[i])
            assert_string_equal(reply->element[i]->str, expected[i]);
        else
            assert_int_equal(reply->element[i]->type, REDIS_REPLY_NIL);
    }
    freeReplyObject(reply);
    expect_integer(c, 5, "EXISTS %s %s %s %s %s nothing", a, b, d, a, a);
    expect_integer(c, 3, "TOUCH %s %s %s nothing", a, b, d);
    expect_integer(c, 2, "DEL %s %s %s nothing", a, b, a);
    expect_integer(c, 1, "UNLINK %s %s %s", a, b, d);
    expect_integer(c, 0, "DBSIZE");
    expect_error(c, "ERR wrong number of arguments for 'mset' command", "MSET %s 0 %s", a, b);
}

/* A wrong type in one part of a split command: MGET answers nil there, as Redis does. */
static void test_wrong_type_in_a_part(void **state) {
    const char *a = pool_key(pool, 0, 2), *b = pool_key(pool, 1, 2);
    expect_integer(c, 1, "HSET %s f v", a);
    expect_text(c, "OK", "SET %s 1", b);
    redisReply *reply = expect_reply(c, "MGET %s %s", a, b);
    assert_int_equal(reply->element[0]->type, REDIS_REPLY_NIL);
    assert_string_equal(reply->element[1]->str, "1");
    freeReplyObject(reply);
}

static void test_dbsize_and_flush(void **state) {
    for (int i = 0; i < 1000; i++)
        redisAppendCommand(c, "SET k:%d v", i);
    for (int i = 0; i < 1000; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    expect_text(c, "OK", "SELECT 1");
    expect_integer(c, 0, "DBSIZE");
    expect_text(c, "OK", "MSET x 1 y 2 z 3");
    expect_text(c, "OK", "FLUSHDB");
    expect_integer(c, 0, "DBSIZE");
    expect_text(c, "OK", "SELECT 0");
    expect_integer(c, 1000, "DBSIZE");
    expect_text(c, "OK", "SWAPDB 0 1");
    expect_integer(c, 0, "DBSIZE");
    expect_text(c, "OK", "SWAPDB 0 1");
    expect_integer(c, 1000, "DBSIZE");
    expect_text(c, "OK", "FLUSHALL");
    expect_integer(c, 0, "DBSIZE");
}

static unsigned owner_of_random_key(void) {
    redisReply *reply = expect_reply(c, "RANDOMKEY");
    unsigned owner = pool_owner(pool, reply->str);
    freeReplyObject(reply);
    return owner;
}

static void test_keys_and_randomkey(void **state) {
    expect_nil(c, "RANDOMKEY");
    for (int i = 0; i < 300; i++)
        expect_text(c, "OK", "SET %s:%d v", i % 3 ? "some" : "other", i);
    redisReply *reply = expect_reply(c, "KEYS *");
    assert_int_equal(reply->elements, 300);
    freeReplyObject(reply);
    reply = expect_reply(c, "KEYS other:*");
    assert_int_equal(reply->elements, 100);
    freeReplyObject(reply);
    unsigned seen = 0; /* a bit a shard; how many keys each has is told ten times a second */
    AWAIT((seen |= 1u << owner_of_random_key()) == 7);
}

/* ---- SCAN ---- */

enum { STABLE = 5000 };

/* How often each stable key was returned by one whole scan; keys must be of the pool's. */
static void scan_all(redisContext *scanner, const char *options, uint8_t *seen, unsigned *others) {
    char cursor[32] = "0", command[96];
    *others = 0;
    unsigned steps = 0;
    do {
        snprintf(command, sizeof(command), "SCAN %s %s", cursor, options);
        redisReply *reply = expect_reply(scanner, command);
        assert_int_equal(reply->elements, 2);
        snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
        for (size_t i = 0; i < reply->element[1]->elements; i++) {
            int id;
            if (sscanf(reply->element[1]->element[i]->str, "stable:%d", &id) == 1)
                seen[id] += seen[id] < 200;
            else
                ++*others;
        }
        freeReplyObject(reply);
        assert_true(++steps < 100000);
    } while (strcmp(cursor, "0") != 0);
}

static void fill_stable(void) {
    for (int i = 0; i < STABLE; i++)
        redisAppendCommand(c, "SET stable:%d v", i);
    for (int i = 0; i < STABLE; i++) {
        redisReply *reply;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
}

static void test_scan_covers_all_once(void **state) {
    static const char *const options[] = {
        "", "COUNT 1", "COUNT 100", "COUNT 1000000", "MATCH stable:*", "TYPE string COUNT 50"};
    fill_stable();
    expect_integer(c, 1, "HSET hash f v");
    for (size_t k = 0; k < sizeof(options) / sizeof(options[0]); k++) {
        uint8_t seen[STABLE] = {0};
        unsigned others;
        scan_all(c, options[k], seen, &others);
        for (int i = 0; i < STABLE; i++)
            if (seen[i] != 1)
                fail_msg("SCAN %s: key %d was returned %d times", options[k], i, seen[i]);
        assert_int_equal(others, k < 4 ? 1 : 0);
    }
    expect_error(c, "ERR invalid cursor", "SCAN x");
    expect_error(c, "ERR syntax error", "SCAN 0 COUNT 0");
}

static atomic_bool churning;
static void *churn(void *argument) {
    unsigned n = 0;
    redisContext *own = client_try_connect(pool->port);
    while (own && churning) {
        for (int i = 0; i < 200; i++, n++)
            redisAppendCommand(own, n / 20000 % 2 ? "DEL churn:%u" : "SET churn:%u v", n % 20000);
        for (int i = 0; i < 200; i++) {
            redisReply *reply = NULL;
            if (redisGetReply(own, (void **)&reply) != REDIS_OK)
                return NULL;
            freeReplyObject(reply);
        }
    }
    if (own)
        redisFree(own);
    return own;
}

/* Keys that are there all the while are returned at least once, however the tables grow and shrink. */
static void test_scan_while_others_write(void **state) {
    pthread_t writer;
    void *ended_well;
    fill_stable();
    churning = true;
    assert_int_equal(pthread_create(&writer, NULL, churn, NULL), 0);
    for (int round = 0; round < 8; round++) {
        uint8_t seen[STABLE] = {0};
        unsigned others, missing = 0;
        scan_all(c, round % 2 ? "COUNT 37" : "COUNT 500", seen, &others);
        for (int i = 0; i < STABLE; i++)
            missing += seen[i] == 0;
        assert_int_equal(missing, 0);
    }
    churning = false;
    pthread_join(writer, &ended_well);
    assert_non_null(ended_well);
}

/* A cursor is good on any connection, whichever worker serves it. */
static void test_cursor_on_another_connection(void **state) {
    fill_stable();
    char cursor[32] = "0";
    unsigned found = 0;
    for (unsigned steps = 0; steps == 0 || strcmp(cursor, "0") != 0; steps++) {
        redisContext *own = pool_connect(pool);
        redisReply *first = expect_reply(own, "GET %s", pool_key(pool, steps % 3, 0));
        freeReplyObject(first);
        redisReply *reply = expect_reply(own, "SCAN %s COUNT 300", cursor);
        snprintf(cursor, sizeof(cursor), "%s", reply->element[0]->str);
        found += (unsigned)reply->element[1]->elements;
        freeReplyObject(reply);
        redisFree(own);
    }
    assert_int_equal(found, STABLE);
}

/* Of the whole pool: INFO's figures are sums. */
static void test_info_adds_up(void **state) {
    fill_stable();
    assert_string_equal(info_field(c, "keyspace", "db0"), "keys=5000,expires=0,avg_ttl=0");
    expect_integer(c, 1, "EXPIRE stable:1 1000");
    AWAIT(strncmp(info_field(c, "keyspace", "db0"), "keys=5000,expires=1,avg_ttl=", 28) == 0);
    assert_true(atoi(info_field(c, "clients", "connected_clients")) >= 1);
    assert_string_equal(info_field(c, "cluster", "cluster_enabled"), "0");
}

static void test_databases_over_relay(void **state) {
    for (int db = 0; db < 16; db++) {
        expect_text(c, "OK", "SELECT %d", db);
        for (unsigned w = 0; w < pool->workers; w++)
            expect_text(c, "OK", "SET %s %d", pool_key(pool, w, 5), db);
    }
    for (int db = 0; db < 16; db++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "%d", db);
        expect_text(c, "OK", "SELECT %d", db);
        for (unsigned w = 0; w < pool->workers; w++)
            expect_text(c, expected, "GET %s", pool_key(pool, w, 5));
        expect_integer(c, 3, "DBSIZE");
    }
    expect_error(c, "ERR DB index is out of range", "SELECT 16");
    expect_integer(c, 0, "MOVE %s 3", pool_key(pool, 1, 5));
    expect_text(c, "OK", "SELECT 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_split_and_merge, empty),
        cmocka_unit_test_setup(test_wrong_type_in_a_part, empty),
        cmocka_unit_test_setup(test_dbsize_and_flush, empty),
        cmocka_unit_test_setup(test_keys_and_randomkey, empty),
        cmocka_unit_test_setup(test_scan_covers_all_once, empty),
        cmocka_unit_test_setup(test_scan_while_others_write, empty),
        cmocka_unit_test_setup(test_cursor_on_another_connection, empty),
        cmocka_unit_test_setup(test_info_adds_up, empty),
        cmocka_unit_test_setup(test_databases_over_relay, empty),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
