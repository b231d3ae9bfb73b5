/* 69_failover.c - FAILOVER: two pools change places under load and nothing acknowledged is lost; what comes to
 * nothing leaves the primary as it was. */
#include "tests/integration/pool_fixture.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { WORKERS = 2, COUNTERS = 4 };

static bool link_is_up(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    bool up = strcmp(info_field(c, "replication", "role"), "slave") == 0 &&
              strcmp(info_field(c, "replication", "master_link_status"), "up") == 0;
    redisFree(c);
    return up;
}

static bool has_replicas(const struct pool *pool) {
    bool all = true;
    for (unsigned i = 0; i < WORKERS; i++)
        all = all && pool_number(pool, "workers.%u.metrics.connected_replicas", i) == 1;
    return all;
}

static void make_pair(struct pool *pool[2]) {
    for (unsigned i = 0; i < 2; i++)
        pool[i] = pool_start(&(struct pool_options){
            .workers = WORKERS, .options = {"--appendonly", "yes", "--save", ""}});
    redisContext *c = pool_connect(pool[1]);
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 %d", pool[0]->port);
    redisFree(c);
    AWAIT(link_is_up(pool[1]) && has_replicas(pool[0]));
}

/* Counts up until it is refused, as the pool is no primary any more. */
struct counter {
    pthread_t thread;
    int port;
    unsigned number;
    int64_t acknowledged;
    _Atomic int64_t count;
    bool refused;
};

static void *count_up(void *arg) {
    struct counter *k = arg;
    redisContext *c = client_try_connect(k->port);
    redisReply *reply;
    while ((reply = redisCommand(c, "INCR counter:%u", k->number)) != NULL &&
           reply->type == REDIS_REPLY_INTEGER) {
        atomic_store(&k->count, k->acknowledged = reply->integer);
        freeReplyObject(reply);
    }
    k->refused = reply != NULL && strncmp(reply->str, "READONLY", 8) == 0;
    freeReplyObject(reply);
    redisFree(c);
    return NULL;
}

static int64_t full_syncs(const struct pool *pool) {
    int64_t sum = 0;
    for (unsigned i = 0; i < WORKERS; i++) {
        int64_t count = pool_number(pool, "workers.%u.metrics.primary_full_syncs", i);
        assert_true(count >= 0);
        sum += count;
    }
    return sum;
}

static void change_places(struct pool *primary, struct pool *replica) {
    static struct counter counters[COUNTERS]; /* a failed test leaves the threads */
    int64_t full = full_syncs(primary);
    for (unsigned i = 0; i < COUNTERS; i++) {
        counters[i] = (struct counter){.port = primary->port, .number = i};
        assert_int_equal(pthread_create(&counters[i].thread, NULL, count_up, &counters[i]), 0);
    }
    for (unsigned i = 0; i < COUNTERS; i++)
        AWAIT(atomic_load(&counters[i].count) > 100);
    redisContext *c = pool_connect(primary);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT 30000", replica->port);
    for (unsigned i = 0; i < COUNTERS; i++)
        pthread_join(counters[i].thread, NULL);
    AWAIT(link_is_up(primary));
    redisContext *r = pool_connect(replica);
    assert_string_equal(info_field(r, "replication", "role"), "master");
    for (unsigned i = 0; i < COUNTERS; i++) {
        assert_true(counters[i].refused);
        redisReply *reply = expect_reply(r, "GET counter:%u", i);
        assert_int_equal(atoll(reply->str), counters[i].acknowledged);
        freeReplyObject(reply);
        expect_integer(r, 1, "DEL counter:%u", i);
    }
    AWAIT(strcmp(info_field(c, "replication", "master_failover_state"), "no-failover") == 0);
    assert_int_equal(full_syncs(primary), full);
    redisFree(r);
    redisFree(c);
}

static void test_there_and_back(void **state) {
    struct pool *pool[2];
    make_pair(pool);
    for (unsigned i = 0; i < 4; i++) {
        change_places(pool[i % 2], pool[1 - i % 2]);
        AWAIT(has_replicas(pool[1 - i % 2]));
    }
    pool_end(&pool[1]);
    pool_end(&pool[0]);
}

static void assert_still_primary(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    AWAIT(strcmp(info_field(c, "replication", "master_failover_state"), "no-failover") == 0);
    assert_string_equal(info_field(c, "replication", "role"), "master");
    for (unsigned i = 0; i < 20; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    redisFree(c);
}

/* A replica that does not take the stream: time runs out, or the operator ends it. */
static void test_comes_to_nothing(void **state) {
    struct pool *pool[2];
    make_pair(pool);
    redisContext *c = pool_connect(pool[0]);
    pid_t sleeper = pool_worker_pid(pool[1], 1);
    kill(sleeper, SIGSTOP);
    for (unsigned i = 0; i < 20; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT 300", pool[1]->port);
    assert_still_primary(pool[0]);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d", pool[1]->port);
    AWAIT(strcmp(info_field(c, "replication", "master_failover_state"), "waiting-for-sync") == 0);
    expect_error(c, "ERR FAILOVER already in progress.", "FAILOVER TO 127.0.0.1 %d", pool[1]->port);
    expect_text(c, "OK", "FAILOVER ABORT");
    assert_still_primary(pool[0]);
    kill(sleeper, SIGCONT);
    /* Nobody listens there. */
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 1 TIMEOUT 500");
    assert_still_primary(pool[0]);
    redisFree(c);
    change_places(pool[0], pool[1]);
    pool_end(&pool[1]);
    pool_end(&pool[0]);
}

static void test_refusals(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    redisContext *c = pool_connect(pool), *node = pool_connect_worker(pool, 1);
    expect_error(node, "ERR FAILOVER not allowed in cluster mode.", "FAILOVER");
    expect_error(c, "ERR FAILOVER requires connected replicas.", "FAILOVER");
    expect_error(c, "ERR FAILOVER requires connected replicas.", "FAILOVER TO 127.0.0.1 1 FORCE");
    expect_error(c, "ERR No failover in progress.", "FAILOVER ABORT");
    expect_error(c, "ERR syntax error", "FAILOVER ABORT TO 127.0.0.1 1");
    expect_error(c, "ERR syntax error", "FAILOVER TO a");
    expect_error(c, "ERR syntax error", "FAILOVER foo");
    expect_error(c, "ERR value is not an integer or out of range", "FAILOVER TO 127.0.0.1 x");
    expect_error(c, "ERR value is not an integer or out of range", "FAILOVER TIMEOUT x");
    expect_error(c, "ERR FAILOVER timeout must be greater than 0", "FAILOVER TIMEOUT 0");
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 1");
    expect_error(c, "ERR FAILOVER is not valid when server is a replica.", "FAILOVER");
    redisFree(node);
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_there_and_back, pools_cleanup),
        cmocka_unit_test_teardown(test_comes_to_nothing, pools_cleanup),
        cmocka_unit_test_teardown(test_refusals, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
