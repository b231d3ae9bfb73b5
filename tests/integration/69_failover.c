/* 69_failover.c - FAILOVER: two pools change places under load and nothing acknowledged is lost; what comes to
 * nothing leaves the primary as it was. */
#include "tests/integration/failover_pair.h"

#include <signal.h>

/* named: the target is, else it is found. */
static void change_places(struct pool *primary, struct pool *replica, bool named) {
    int64_t full = pool_sum(primary, "primary_full_syncs");
    counters_start(primary);
    redisContext *c = pool_connect(primary);
    if (named)
        expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT 30000", replica->port);
    else
        expect_text(c, "OK", "FAILOVER");
    redisFree(c);
    counters_join();
    AWAIT(pair_link_is_up(primary));
    assert_true(pair_role_is(replica, "master"));
    counters_check(replica, true);
    AWAIT(pair_failover_is(primary, "no-failover"));
    assert_int_equal(pool_sum(primary, "primary_full_syncs"), full);
}

static void test_there_and_back(void **state) {
    struct pool *pool[2];
    pair_start(pool);
    for (unsigned i = 0; i < 4; i++) {
        change_places(pool[i % 2], pool[1 - i % 2], i < 2);
        AWAIT(pair_has_replicas(pool[1 - i % 2]));
    }
    pair_end(pool);
}

static void assert_still_primary(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    AWAIT(strcmp(info_field(c, "replication", "master_failover_state"), "no-failover") == 0);
    assert_string_equal(info_field(c, "replication", "role"), "master");
    for (unsigned i = 0; i < 20; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    redisFree(c);
}

/* Who waits for keys of several shards and is told of one takes nothing while its own worker pauses. */
static void test_paused_while_told(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = PAIR_WORKERS});
    const char *home = pool_key(pool, 0, 0), *from = pool_key(pool, 1, 0),
               *to = pool_key(pool, 2, 0);
    redisContext *c = pool_connect(pool), *other = pool_connect(pool);
    redisContext *node[] = {pool_connect_worker(pool, 0), pool_connect_worker(pool, 1)};
    redisReply *reply;
    expect_nil(c, "GET %s", home); /* both are worker 0's from here on */
    expect_nil(other, "GET %s", home);
    redisAppendCommand(c, "BLMOVE %s %s LEFT LEFT 0", from, to);
    for (int written = 0; !written;)
        assert_int_equal(redisBufferWrite(c, &written), REDIS_OK);
    AWAIT(pool_number(pool, "workers.0.metrics.blocked_clients") == 1);
    expect_text(node[0], "OK", "CLIENT PAUSE 60000 WRITE");
    expect_integer(node[1], 1, "RPUSH %s value", from);
    for (unsigned i = 0; i < 100; i++) /* what worker 1 said before comes before its answer */
        expect_integer(other, 1, "LLEN %s", from);
    expect_text(node[0], "OK", "CLIENT UNPAUSE");
    assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "value");
    freeReplyObject(reply);
    expect_integer(other, 1, "LLEN %s", to);
    for (unsigned i = 0; i < 2; i++)
        redisFree(node[i]);
    redisFree(other);
    redisFree(c);
    pool_end(&pool);
}

/* Each worker's own port says what the public one does. */
static void expect_state(const struct pool *pool, const char *state) {
    for (unsigned i = 0; i < pool->workers; i++) {
        redisContext *c = pool_connect_worker(pool, i);
        assert_string_equal(info_field(c, "replication", "master_failover_state"), state);
        redisFree(c);
    }
    assert_true(pair_failover_is(pool, state));
}

/* A replica that does not take the stream: time runs out, or the operator ends it. */
static void test_comes_to_nothing(void **state) {
    struct pool *pool[2];
    pair_start(pool);
    redisContext *c = pool_connect(pool[0]);
    pid_t sleeper = pool_worker_pid(pool[1], 1);
    kill(sleeper, SIGSTOP);
    for (unsigned i = 0; i < 20; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT 300", pool[1]->port);
    assert_still_primary(pool[0]);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d", pool[1]->port);
    AWAIT(strcmp(info_field(c, "replication", "master_failover_state"), "waiting-for-sync") == 0);
    expect_state(pool[0], "waiting-for-sync");
    expect_error(c, "ERR FAILOVER already in progress.", "FAILOVER TO 127.0.0.1 %d", pool[1]->port);
    expect_text(c, "OK", "FAILOVER ABORT");
    assert_still_primary(pool[0]);
    kill(sleeper, SIGCONT);
    redisFree(c);
    change_places(pool[0], pool[1], true);
    pair_end(pool);
}

/* A write on its way to its shard is seen: until it is there FAILOVER takes no stream's end for the end. */
static void test_writes_in_flight(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = PAIR_WORKERS, .options = {"--heartbeat-timeout", "60000"}});
    redisContext *c = pool_connect(pool);
    redisReply *reply;
    expect_text(c, "OK", "SET %s here", pool_key(pool, 0, 0));
    kill(pool_worker_pid(pool, 1), SIGSTOP);
    redisAppendCommand(c, "SET %s there", pool_key(pool, 1, 0));
    int written = 0;
    while (!written)
        assert_int_equal(redisBufferWrite(c, &written), REDIS_OK);
    AWAIT(pool_number(pool, "workers.0.metrics.writes_in_flight") == 1);
    kill(pool_worker_pid(pool, 1), SIGCONT);
    assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "OK");
    AWAIT(pool_number(pool, "workers.0.metrics.writes_in_flight") == 0);
    freeReplyObject(reply);
    redisFree(c);
    pool_end(&pool);
}

/* Who waits for keys must not take them from what is a replica then; nor does it keep a failover waiting. */
static void test_blocked_clients(void **state) {
    struct pool *pool[2];
    pair_start(pool);
    const char *key[] = {pool_key(pool[0], 0, 0), pool_key(pool[0], 1, 0), pool_key(pool[0], 2, 0)};
    redisContext *waiting[4];
    for (unsigned i = 0; i < 4; i++)
        waiting[i] = pool_connect(pool[0]);
    redisAppendCommand(waiting[0], "BLPOP %s 0", key[0]);
    redisAppendCommand(waiting[1], "BLMOVE %s %s LEFT LEFT 0", key[1], key[2]);
    redisAppendCommand(waiting[2], "XREAD BLOCK 0 STREAMS s:%s s:%s 0 0", key[0], key[1]);
    redisAppendCommand(waiting[3], "WAIT 5 0");
    for (unsigned i = 0; i < 4; i++)
        for (int written = 0; !written;)
            assert_int_equal(redisBufferWrite(waiting[i], &written), REDIS_OK);
    AWAIT(pool_sum(pool[0], "blocked_clients") == 4);
    redisContext *c = pool_connect(pool[0]);
    expect_text(c, "OK", "FAILOVER");
    for (unsigned i = 0; i < 4; i++) {
        redisReply *reply;
        if (redisGetReply(waiting[i], (void **)&reply) != REDIS_OK)
            fail_msg("client %u still waits", i);
        assert_string_equal(reply->str, "UNBLOCKED force unblock from blocking operation, instance "
                                        "state changed (master -> replica?)");
        freeReplyObject(reply);
        redisFree(waiting[i]);
    }
    AWAIT(pair_failover_is(pool[0], "no-failover") && pair_link_is_up(pool[0]));
    redisContext *r = pool_connect(pool[1]);
    for (unsigned i = 0; i < 3; i++)
        expect_integer(r, 1, "RPUSH %s value", key[i]);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(ask_integer(c, "LLEN %s", key[i]) == 1);
    redisFree(r);
    redisFree(c);
    pair_end(pool);
}

/* A key past its time stays and is hidden while the failover is on: its DEL would make the stream longer than what
 * the target has. CLIENT UNPAUSE does not end that. */
static void test_what_is_shown_meanwhile(void **state) {
    struct pool *pool[2];
    pair_start(pool);
    redisContext *c = pool_connect(pool[0]), *other = pool_connect(pool[0]);
    pid_t holder = pool_front_pid(pool[1]);
    expect_state(pool[0], "no-failover");
    expect_text(c, "OK", "SET brief value PX 500");
    kill(holder, SIGSTOP);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d", pool[1]->port);
    AWAIT(pair_failover_is(pool[0], "failover-in-progress"));
    expect_state(pool[0], "failover-in-progress");
    AWAIT(ask_integer(c, "EXISTS brief") == 0);
    expect_integer(c, 1, "DBSIZE");
    expect_text(c, "OK", "CLIENT UNPAUSE");
    redisAppendCommand(other, "SET key value");
    for (int written = 0; !written;)
        assert_int_equal(redisBufferWrite(other, &written), REDIS_OK);
    expect_integer(c, 0, "EXISTS key");
    kill(holder, SIGCONT);
    AWAIT(pair_failover_is(pool[0], "no-failover") && pair_link_is_up(pool[0]));
    assert_int_equal(pool_sum(pool[0], "primary_full_syncs"), 0);
    redisReply *reply;
    assert_int_equal(redisGetReply(other, (void **)&reply), REDIS_OK);
    assert_string_equal(reply->str, "READONLY You can't write against a read only replica.");
    freeReplyObject(reply);
    redisFree(other);
    redisFree(c);
    pair_end(pool);
}

/* Whoever is no replica of every shard is not told to become a primary, nor followed. */
static void test_strangers(void **state) {
    struct pool *pool[2], *stranger = pool_start(&(struct pool_options){.workers = PAIR_WORKERS});
    pair_start(pool);
    redisContext *c = pool_connect(pool[0]);
    const int ports[] = {stranger->port, pool[0]->port, pool[1]->worker_port, 1};
    expect_text(c, "OK", "SET key value");
    for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
        expect_error(c, "ERR FAILOVER target HOST and PORT is not a replica.",
                     "FAILOVER TO 127.0.0.1 %d TIMEOUT 1000", ports[i]);
    expect_error(c, "ERR FAILOVER target HOST and PORT is not a replica.",
                 "FAILOVER TO 10.0.0.1 %d TIMEOUT 1000 FORCE", pool[1]->port);
    expect_text(c, "value", "GET key");
    assert_still_primary(pool[0]);
    redisFree(c);
    pool_end(&stranger);
    pair_end(pool);
}

static void await_waiting(redisContext *c, const struct pool *target, pid_t sleeper) {
    kill(sleeper, SIGSTOP);
    for (unsigned i = 0; i < 50; i++)
        expect_text(c, "OK", "SET key:%u %u", i, i);
    expect_text(c, "OK", "FAILOVER TO 127.0.0.1 %d TIMEOUT 20000", target->port);
    AWAIT(strcmp(info_field(c, "replication", "master_failover_state"), "waiting-for-sync") == 0);
}

/* Of the target, and of a worker of our own, which begins again and knows of no pause. */
static void test_deaths(void **state) {
    struct pool *pool[2];
    pair_start(pool);
    pool[0]->options.deaths = pool[1]->options.deaths = true;
    redisContext *c = pool_connect(pool[0]);
    await_waiting(c, pool[1], pool_worker_pid(pool[1], 1));
    pool_crash(pool[1]);
    expect_text(c, "OK", "FAILOVER ABORT");
    assert_still_primary(pool[0]);
    pool_start_again(pool[1]);
    redisContext *r = pool_connect(pool[1]);
    expect_text(r, "OK", "REPLICAOF 127.0.0.1 %d", pool[0]->port);
    redisFree(r);
    AWAIT(pair_link_is_up(pool[1]) && pair_has_replicas(pool[0]));
    redisFree(c);
    c = pool_connect(pool[0]);
    pid_t sleeper = pool_worker_pid(pool[1], 1);
    await_waiting(c, pool[1], sleeper);
    redisFree(c);
    pool_kill_worker(pool[0], 1, SIGKILL);
    kill(sleeper, SIGCONT);
    assert_still_primary(pool[0]);
    r = pool_connect(pool[1]);
    assert_string_equal(info_field(r, "replication", "role"), "slave");
    redisFree(r);
    AWAIT(pair_link_is_up(pool[1]) && pair_has_replicas(pool[0]));
    change_places(pool[0], pool[1], true);
    pair_end(pool);
}

static void test_refusals(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = PAIR_WORKERS});
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
        cmocka_unit_test_teardown(test_writes_in_flight, pools_cleanup),
        cmocka_unit_test_teardown(test_blocked_clients, pools_cleanup),
        cmocka_unit_test_teardown(test_paused_while_told, pools_cleanup),
        cmocka_unit_test_teardown(test_what_is_shown_meanwhile, pools_cleanup),
        cmocka_unit_test_teardown(test_strangers, pools_cleanup),
        cmocka_unit_test_teardown(test_deaths, pools_cleanup),
        cmocka_unit_test_teardown(test_refusals, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
