/* 60_supervision.c - processes are killed, stopped and crashed; the others do not notice, and nothing
 * that was acknowledged is lost. */
#include "tests/integration/load.h"
#include "tests/integration/pool_fixture.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

#define DURABLE "--appendonly", "yes", "--appendfsync", "always"

static bool front_takes_clients(const struct pool *pool) {
    redisContext *c = client_try_connect(pool->port);
    redisReply *reply = c ? redisCommand(c, "PING") : NULL;
    bool takes = reply && reply->type == REDIS_REPLY_STATUS;
    if (reply)
        freeReplyObject(reply);
    if (c)
        redisFree(c);
    return takes;
}

/* A client of the public port that worker 0 serves: the first key decides. Pools of such tests wait
 * for the first command for as long as it takes. */
#define PATIENT "--first-command-wait", "10000"
static redisContext *connect_at_0(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    expect_integer(c, 0, "EXISTS %s", pool_key(pool, 0, 99));
    return c;
}

static const char *state_of(const struct pool *pool, unsigned worker) {
    return pool_text(pool, "workers.%u.state", worker);
}

/* ---- a worker dies ---- */

static void test_worker_killed_under_load(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true, .options = {DURABLE}});
    static struct load load;
    load_start(&load, pool, pool->port, 3);
    for (unsigned i = 0; i < 3; i++) {
        load_await(&load, i, 100);
        pool_kill_worker(pool, i, SIGKILL);
        assert_true(strstr(pool_text(pool, "workers.%u.last_exit", i), "SIGKILL") != NULL);
        for (unsigned shard = 0; shard < 3; shard++)
            load_await(&load, shard, 100);
    }
    load_stop(&load);
    load_check(&load, pool);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pool_number(pool, "workers.%u.restarts", i), 1);
    pool_end(&pool);
}

/* What hangs is killed when its heartbeat has been still for so long, and replaced. */
static void test_worker_stopped(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true, .options = {DURABLE, PATIENT, "--heartbeat-timeout", "500"}});
    redisContext *c = connect_at_0(pool);
    expect_text(c, "OK", "SET %s before", pool_key(pool, 1, 0));
    pid_t pid = pool_worker_pid(pool, 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    expect_text(c, "OK", "SET %s meanwhile", pool_key(pool, 2, 0));
    /* A read waits for the shard to come back. */
    expect_text(c, "before", "GET %s", pool_key(pool, 1, 0));
    assert_true(process_gone(pid));
    assert_true(strstr(pool_text(pool, "workers.1.last_exit"), "no heartbeat") != NULL);
    redisFree(c);
    pool_end(&pool);
}

static void test_busy_worker_is_not_stopped_for_a_short_while(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--heartbeat-timeout", "20000"}});
    redisContext *c = pool_connect_worker(pool, 0);
    expect_text(c, "OK", "DEBUG SLEEP 1.5");
    assert_int_equal(pool_number(pool, "workers.0.restarts"), 0);
    redisFree(c);
    pool_end(&pool);
}

/* ---- a worker that crashes again and again ---- */

static void crash(struct pool *pool, unsigned worker) {
    redisContext *c = pool_connect_worker(pool, worker);
    redisReply *reply = ask(&c, "DEBUG SEGFAULT");
    assert_null(reply);
}

static void test_crash_loop(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true,
        .options = {DURABLE, PATIENT, "--restart-limit", "3", "--restart-delay-max", "100"}});
    redisContext *c = connect_at_0(pool);
    expect_text(c, "OK", "SET %s kept", pool_key(pool, 1, 0));
    for (unsigned i = 0; i < 3; i++) {
        pid_t pid = pool_worker_pid(pool, 1);
        crash(pool, 1);
        AWAIT(process_gone(pid) &&
              (i == 2 ? strcmp(state_of(pool, 1), "failed") == 0
                      : strcmp(state_of(pool, 1), "up") == 0 && pool_worker_pid(pool, 1) != pid));
    }
    assert_true(strstr(pool_text(pool, "workers.1.last_exit"), "SIGSEGV") != NULL);
    assert_true(strstr(pool_text(pool, "workers.1.last_exit"), "3 crashes within 60 s") != NULL);
    /* The rest serves; who asks for the failed shard hears so at once. */
    expect_text(c, "OK", "SET %s 1", pool_key(pool, 0, 0));
    expect_text(c, "OK", "SET %s 1", pool_key(pool, 2, 0));
    expect_error(c, "ERR shard 1 is marked failed: the command ", "GET %s", pool_key(pool, 1, 0));
    expect_error(c, "ERR shard 1 is marked failed: the command ", "SET %s 2", pool_key(pool, 1, 0));
    redisContext *fresh = pool_connect(pool);
    expect_text(fresh, "1", "GET %s", pool_key(pool, 2, 0));
    redisFree(fresh);
    redisFree(c);
    /* A pool with a shard that does not run does not end in order; its data is there next time. */
    assert_int_equal(pool_stop(pool), 1);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_text(c, "kept", "GET %s", pool_key(pool, 1, 0));
    redisFree(c);
    pool_end(&pool);
}

/* ---- the front dies ---- */

static void test_front_killed(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true});
    redisContext *c[3];
    static struct load load;
    for (unsigned i = 0; i < 3; i++) {
        c[i] = pool_connect(pool);
        expect_text(c[i], "OK", "SET %s %u", pool_key(pool, i, 0), i);
    }
    load_start(&load, pool, pool->port, 2);
    /* Connected is who has been handed to a worker. */
    AWAIT(pool_number(pool, "pool.clients") == 3 + 2);
    for (unsigned round = 0; round < 4; round++) {
        pid_t front = pool_front_pid(pool);
        assert_int_equal(kill(front, SIGKILL), 0);
        AWAIT_WITHIN(1, process_gone(front) && front_takes_clients(pool));
        AWAIT(pool_front_pid(pool) > 0);
        assert_int_not_equal(pool_front_pid(pool), front);
        for (unsigned i = 0; i < 3; i++)
            expect_integer(c[i], 1, "EXISTS %s", pool_key(pool, 2 - i, 0));
        load_await(&load, 0, 20);
    }
    load_stop(&load);
    assert_int_equal(load_doubtful(&load), 0);
    assert_int_equal(load_refused(&load), 0);
    load_check(&load, pool);
    assert_int_equal(pool_number(pool, "front.restarts"), 4);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pool_number(pool, "workers.%u.restarts", i), 0);
        redisFree(c[i]);
    }
    pool_end(&pool);
}

static void test_front_stopped(void **state) {
    struct pool *pool = pool_start(
        &(struct pool_options){.deaths = true, .options = {"--heartbeat-timeout", "500"}});
    redisContext *c = pool_connect(pool);
    expect_text(c, "PONG", "PING");
    pid_t front = pool_front_pid(pool);
    assert_int_equal(kill(front, SIGSTOP), 0);
    redisContext *fresh = pool_connect(pool); /* the kernel's queue takes it */
    expect_text(fresh, "PONG", "PING");
    expect_text(c, "PONG", "PING");
    assert_true(process_gone(front));
    redisFree(fresh);
    redisFree(c);
    pool_end(&pool);
}

/* ---- commands in flight ---- */

static redisReply *next_reply(redisContext *c) {
    redisReply *reply = NULL;
    if (redisGetReply(c, (void **)&reply) != REDIS_OK)
        fail_msg("connection lost: %s", c->errstr);
    return reply;
}

/* A write that was with the shard when it died is not run again: its client hears of it. */
static void test_write_in_flight(void **state) {
    enum { ROUNDS = 5 };
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true,
        .options = {DURABLE, PATIENT, "--heartbeat-timeout", "60000", "--restart-limit", "100"}});
    redisContext *c = connect_at_0(pool);
    const char *key = pool_key(pool, 1, 0);
    int64_t value = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        pid_t pid = pool_worker_pid(pool, 1);
        expect_integer(c, ++value, "INCR %s", key);
        assert_int_equal(kill(pid, SIGSTOP), 0);
        int64_t sent = pool_number(pool, "workers.0.metrics.relay_requests_sent");
        redisAppendCommand(c, "INCR %s", key);
        redisAppendCommand(c, "GET %s", key);
        redisAppendCommand(c, "PING");
        for (int wrote = 0; !wrote;)
            assert_int_equal(redisBufferWrite(c, &wrote), REDIS_OK);
        /* They are in the ring of the one that hangs. */
        AWAIT(pool_number(pool, "workers.0.metrics.relay_requests_sent") >= sent + 2);
        assert_int_equal(kill(pid, SIGKILL), 0);
        redisReply *reply = next_reply(c);
        assert_int_equal(reply->type, REDIS_REPLY_ERROR);
        assert_int_equal(strncmp(reply->str, "ERR shard 1 went down", 21), 0);
        assert_non_null(strstr(reply->str, "may or may not have been executed"));
        freeReplyObject(reply);
        /* The read behind it runs at the next generation. */
        reply = next_reply(c);
        assert_int_equal(reply->type, REDIS_REPLY_STRING);
        assert_int_equal(strtoll(reply->str, NULL, 10), value);
        freeReplyObject(reply);
        reply = next_reply(c);
        assert_string_equal(reply->str, "PONG");
        freeReplyObject(reply);
        pool_await_worker(pool, 1, pid);
    }
    redisFree(c);
    pool_end(&pool);
}

/* A shard that is down for a moment costs time, not errors. */
static void test_commands_wait_for_a_shard(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true, .options = {DURABLE, PATIENT, "--restart-delay-min", "800"}});
    redisContext *c = connect_at_0(pool);
    const char *key = pool_key(pool, 1, 0);
    expect_integer(c, 1, "INCR %s", key);
    pid_t pid = pool_worker_pid(pool, 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    AWAIT(strcmp(state_of(pool, 1), "waiting") == 0);
    expect_integer(c, 2, "INCR %s", key);
    expect_text(c, "2", "GET %s", key);
    redisReply *reply = expect_reply(c, "MGET %s %s", key, pool_key(pool, 2, 0));
    assert_string_equal(reply->element[0]->str, "2");
    freeReplyObject(reply);
    redisFree(c);
    pool_end(&pool);
}

static void test_waiting_has_an_end(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true,
        .options = {DURABLE, PATIENT, "--restart-delay-min", "600000", "--restart-delay-max",
                    "600000", "--relay-wait", "300"}});
    redisContext *c = connect_at_0(pool);
    const char *key = pool_key(pool, 1, 0);
    expect_integer(c, 1, "INCR %s", key);
    assert_int_equal(kill(pool_worker_pid(pool, 1), SIGKILL), 0);
    AWAIT(strcmp(state_of(pool, 1), "waiting") == 0);
    expect_error(c, "ERR shard 1 is down: the command waited ", "INCR %s", key);
    expect_error(c, "ERR shard 1 is down: the command waited ", "GET %s", key);
    /* In a pipeline the others' replies come, in order. */
    redisAppendCommand(c, "SET %s 1", pool_key(pool, 2, 0));
    redisAppendCommand(c, "GET %s", key);
    redisAppendCommand(c, "GET %s", pool_key(pool, 2, 0));
    static const int types[] = {REDIS_REPLY_STATUS, REDIS_REPLY_ERROR, REDIS_REPLY_STRING};
    for (unsigned i = 0; i < 3; i++) {
        redisReply *reply = next_reply(c);
        assert_int_equal(reply->type, types[i]);
        freeReplyObject(reply);
    }
    redisFree(c);
    assert_int_equal(pool_stop(pool), 1);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_text(c, "1", "GET %s", key);
    redisFree(c);
    pool_end(&pool);
}

/* ---- the supervisor dies ---- */

/* Kill it, with one worker in some trouble; nobody is left two seconds later. */
static void supervisor_killed(unsigned troubled,
                              void (*trouble)(struct pool *pool, unsigned worker)) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true, .options = {DURABLE, "--heartbeat-timeout", "60000"}});
    static struct load load;
    pid_t pids[POOL_WORKERS_MAX + 2];
    load_start(&load, pool, pool->port, 2);
    for (unsigned i = 0; i < 3; i++)
        load_await(&load, i, 50);
    unsigned count = pool_pids(pool, pids);
    assert_int_equal(count, 4);
    if (trouble)
        trouble(pool, troubled);
    pool_signal(pool, SIGKILL);
    assert_int_equal(pool_await_exit(pool), -SIGKILL);
    uint64_t killed_ms = clock_mono_ms();
    for (unsigned i = 0; i < count; i++)
        AWAIT_WITHIN(10, process_gone(pids[i]));
    uint64_t took_ms = clock_mono_ms() - killed_ms;
    if (took_ms > 3000)
        fail_msg("the last process left %llu ms after the supervisor", (unsigned long long)took_ms);
    pool_start_again(pool);
    for (unsigned i = 0; i < 3; i++)
        load_await(&load, i, 10);
    load_stop(&load);
    load_check(&load, pool);
    pool_end(&pool);
}

static void stop_worker(struct pool *pool, unsigned worker) {
    pid_t pid = pool_worker_pid(pool, worker);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    AWAIT(process_stopped(pid));
}

static void keep_worker_busy(struct pool *pool, unsigned worker) {
    int fd = raw_connect(pool->worker_port + (int)worker);
    raw_send_text(fd, "DEBUG SLEEP 30\r\n");
    /* Asleep when it answers nobody. */
    int other = raw_connect(pool->worker_port + (int)worker);
    char byte;
    raw_send_text(other, "PING\r\n");
    while (recv(other, &byte, 1, MSG_DONTWAIT) > 0)
        raw_send_text(other, "PING\r\n");
    close(other);
    close(fd);
}

static void test_supervisor_killed(void **state) {
    supervisor_killed(0, NULL);
}

static void test_supervisor_killed_with_a_stopped_worker(void **state) {
    supervisor_killed(1, stop_worker);
}

static void test_supervisor_killed_with_a_busy_worker(void **state) {
    supervisor_killed(2, keep_worker_busy);
}

/* ---- ends in order ---- */

static void test_second_pool_is_kept_out(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    int code, lock, port = ports_claim(&lock);
    expect_text(c, "OK", "SET a 1");
    char *said = run_shell(&code,
                           "'%s/remuda' --dir '%s' --port %d --worker-port-base %d --status-port "
                           "%d --workers 3 2>&1",
                           pool_build(), pool->data, port, port + 2, port + 1);
    assert_int_equal(code, 1);
    assert_non_null(strstr(said, "is in use by another pool"));
    assert_non_null(strstr(said, pool->data));
    free(said);
    close(lock);
    expect_text(c, "1", "GET a");
    redisFree(c);
    pool_end(&pool);
}

static void test_stop_saves(void **state) {
    static const int signals[] = {SIGTERM, SIGINT};
    struct pool *pool = pool_start(NULL);
    for (unsigned round = 0; round < 2; round++) {
        redisContext *c = pool_connect(pool);
        for (int k = 0; k < 100; k++)
            expect_text(c, "OK", "SET k%d:%u %d", k, round, k);
        pool_signal(pool, signals[round]);
        assert_int_equal(pool_await_exit(pool), 0);
        redisFree(c);
        pool_start_again(pool);
        c = pool_connect(pool);
        expect_integer(c, 100 * (round + 1), "DBSIZE");
        redisFree(c);
    }
    pool_end(&pool);
}

/* Everything that was acknowledged before the stop is there after it. */
static void test_stop_under_load(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}});
    static struct load load;
    load_start(&load, pool, pool->port, 3);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 3; i++)
            load_await(&load, i, 100);
        assert_int_equal(pool_stop(pool), 0);
        pool_start_again(pool);
    }
    load_await(&load, 0, 10);
    load_stop(&load);
    load_check(&load, pool);
    pool_end(&pool);
}

static void test_shutdown_command(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "SET a 1");
    assert_null(ask(&c, "SHUTDOWN"));
    assert_int_equal(pool_await_exit(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_text(c, "OK", "SET b 1");
    assert_null(ask(&c, "SHUTDOWN NOSAVE"));
    assert_int_equal(pool_await_exit(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_text(c, "1", "GET a");
    expect_nil(c, "GET b");
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_worker_killed_under_load, pools_cleanup),
        cmocka_unit_test_teardown(test_worker_stopped, pools_cleanup),
        cmocka_unit_test_teardown(test_busy_worker_is_not_stopped_for_a_short_while, pools_cleanup),
        cmocka_unit_test_teardown(test_crash_loop, pools_cleanup),
        cmocka_unit_test_teardown(test_front_killed, pools_cleanup),
        cmocka_unit_test_teardown(test_front_stopped, pools_cleanup),
        cmocka_unit_test_teardown(test_write_in_flight, pools_cleanup),
        cmocka_unit_test_teardown(test_commands_wait_for_a_shard, pools_cleanup),
        cmocka_unit_test_teardown(test_waiting_has_an_end, pools_cleanup),
        cmocka_unit_test_teardown(test_supervisor_killed, pools_cleanup),
        cmocka_unit_test_teardown(test_supervisor_killed_with_a_stopped_worker, pools_cleanup),
        cmocka_unit_test_teardown(test_supervisor_killed_with_a_busy_worker, pools_cleanup),
        cmocka_unit_test_teardown(test_second_pool_is_kept_out, pools_cleanup),
        cmocka_unit_test_teardown(test_stop_saves, pools_cleanup),
        cmocka_unit_test_teardown(test_stop_under_load, pools_cleanup),
        cmocka_unit_test_teardown(test_shutdown_command, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
