/* 67_wait.c - WAIT and WAITAOF on workers' ports and on the public one, with replicas whose every word is
 * the test's, and with a real pool that follows. */
#include "tests/integration/pool_fixture.h"
#include <signal.h>

enum { WORKERS = 3 };
#define EVERYTHING "1000000000000" /* an offset that nothing here comes to */

/* ---- a replica that only says what it is told to ---- */

static bool is_online(struct pool *pool, unsigned worker) {
    redisContext *c = pool_connect_worker(pool, worker);
    bool online = strstr(info_field(c, "replication", "slave0"), "state=online") != NULL;
    redisFree(c);
    return online;
}

static int follow(struct pool *pool, unsigned worker) {
    int fd = raw_connect(pool->worker_port + (int)worker);
    raw_send_text(fd, "PSYNC ? -1\r\n");
    AWAIT(is_online(pool, worker));
    return fd;
}

static void follow_all(struct pool *pool, int fd_r[WORKERS]) {
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < WORKERS; i++)
        fd_r[i] = follow(pool, i);
    for (unsigned i = 0; i < WORKERS; i++)
        expect_text(c, "OK", "SET %s v", pool_key(pool, i, 0));
    redisFree(c);
}

static void close_all(const int fd[WORKERS]) {
    for (unsigned i = 0; i < WORKERS; i++)
        close(fd[i]);
}

static void expect_waitaof(redisContext *c, int64_t local, int64_t replicas, const char *command) {
    redisReply *reply = expect_reply(c, command);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->elements, 2);
    assert_int_equal(reply->element[0]->integer, local);
    assert_int_equal(reply->element[1]->integer, replicas);
    freeReplyObject(reply);
}

/* ---- waiting in the background ---- */

static void begin(struct pool *pool, redisContext *c, const char *command) {
    redisContext *other = pool_connect(pool);
    assert_int_equal(redisAppendCommand(c, command), REDIS_OK);
    int done = 0;
    while (!done)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    AWAIT(atoi(info_field(other, "clients", "blocked_clients")) == 1);
    redisFree(other);
}

static redisReply *end(redisContext *c) {
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
    return reply;
}

static void end_integer(redisContext *c, int64_t expected) {
    redisReply *reply = end(c);
    assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
    assert_int_equal(reply->integer, expected);
    freeReplyObject(reply);
}

/* ---- tests ---- */

static void test_arguments(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_integer(c, 0, "WAIT 0 0");
    expect_integer(c, 0, "WAIT -1 0");
    expect_integer(c, 0, "WAIT 1 20");
    expect_error(c, "ERR value is not an integer or out of range", "WAIT x y");
    expect_error(c, "ERR timeout is not an integer or out of range", "WAIT 0 y");
    expect_error(c, "ERR timeout is negative", "WAIT 0 -1");
    expect_error(c, "ERR wrong number of arguments for 'wait' command", "WAIT 0 0 0");
    expect_error(c, "ERR value is out of range, value must between 0 and 1", "WAITAOF 2 0 0");
    expect_error(c, "ERR value is out of range, must be positive", "WAITAOF 0 -1 0");
    expect_error(c, "ERR timeout is negative", "WAITAOF 0 0 -1");
    expect_waitaof(c, 0, 0, "WAITAOF 0 0 0");
    expect_error(c, "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
                 "WAITAOF 1 0 0");
    redisFree(c);
    c = pool_connect_worker(pool, 1);
    expect_integer(c, 0, "WAIT 1 20");
    redisFree(c);
    pool_end(&pool);
}

static void test_smallest_count_of_all_shards(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool), *worker = pool_connect_worker(pool, 0);
    int fd[WORKERS];
    follow_all(pool, fd);
    expect_integer(c, 0, "WAIT 1 50");
    raw_send_text(fd[0], "REPLCONF ACK " EVERYTHING "\r\n");
    expect_integer(worker, 1, "WAIT 1 0");
    raw_send_text(fd[1], "REPLCONF ACK " EVERYTHING "\r\n");
    expect_integer(c, 0, "WAIT 1 50");
    begin(pool, c, "WAIT 1 0");
    raw_send_text(fd[2], "REPLCONF ACK " EVERYTHING "\r\n");
    end_integer(c, 1);
    expect_integer(c, 1, "WAIT 2 50");
    expect_waitaof(c, 0, 0, "WAITAOF 0 1 50");
    begin(pool, c, "WAITAOF 0 1 0");
    for (unsigned i = 0; i < WORKERS; i++)
        raw_send_text(fd[i], "REPLCONF ACK " EVERYTHING " FACK " EVERYTHING "\r\n");
    redisReply *reply = end(c);
    assert_int_equal(reply->elements, 2);
    assert_int_equal(reply->element[1]->integer, 1);
    freeReplyObject(reply);
    close_all(fd);
    redisFree(worker);
    redisFree(c);
    pool_end(&pool);
}

/* On the public port one follows all shards at once. */
static void test_of_the_merged_stream(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    int fd = raw_connect(pool->port);
    raw_send_text(fd, "PSYNC ? -1\r\n");
    AWAIT(strstr(info_field(c, "replication", "merged0_replica0"), "state=online") != NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        expect_text(c, "OK", "SET %s v", pool_key(pool, i, 0));
    raw_send_text(fd, "REPLCONF ACK 0\r\n");
    expect_integer(c, 0, "WAIT 1 50");
    raw_send_text(fd, "REPLCONF ACK " EVERYTHING "\r\n");
    expect_integer(c, 1, "WAIT 1 0");
    expect_integer(c, 1, "WAIT 2 50");
    expect_waitaof(c, 0, 0, "WAITAOF 0 1 50");
    raw_send_text(fd, "REPLCONF ACK " EVERYTHING " FACK " EVERYTHING "\r\n");
    expect_waitaof(c, 0, 1, "WAITAOF 0 1 0");
    redisContext *worker = pool_connect_worker(pool, 1);
    expect_integer(worker, 1, "WAIT 1 0");
    /* A shard whose link was cut is told again. */
    expect_integer(worker, 1, "CLIENT KILL TYPE replica");
    expect_text(c, "OK", "SET %s w", pool_key(pool, 1, 0));
    expect_integer(c, 1, "WAIT 1 0");
    redisFree(worker);
    redisFree(c);
    close(fd);
    pool_end(&pool);
}

static void test_waits_that_end_otherwise(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true});
    redisContext *c = pool_connect(pool), *other = pool_connect(pool);
    int fd[WORKERS];
    follow_all(pool, fd);
    raw_send_text(fd[0], "REPLCONF ACK " EVERYTHING "\r\n");
    int64_t id = ask_integer(c, "CLIENT ID");
    /* One of the shards has been answered already: the call is found by the others. */
    begin(pool, c, "WAIT 1 0");
    expect_integer(other, 1, "CLIENT UNBLOCK %d", (int)id);
    end_integer(c, 0);
    begin(pool, c, "WAIT 1 0");
    expect_integer(other, 1, "CLIENT UNBLOCK %d ERROR", (int)id);
    redisReply *reply = end(c);
    assert_int_equal(reply->type, REDIS_REPLY_ERROR);
    assert_string_equal(reply->str, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
    freeReplyObject(reply);
    /* A shard that goes ends it for all. */
    begin(pool, c, "WAIT 5 0");
    unsigned victim = pool_owner(pool, "x") == 0 ? 1 : 0;
    pool_kill_worker(pool, victim, SIGKILL);
    reply = ask(&c, "PING"); /* the reply to WAIT, or the connection was that worker's */
    assert_true(reply == NULL || reply->type == REDIS_REPLY_ERROR);
    if (reply != NULL)
        freeReplyObject(reply);
    if (c != NULL)
        redisFree(c);
    close_all(fd);
    redisFree(other);
    pool_end(&pool);
}

static void test_a_pool_that_follows(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}});
    struct pool *replica = pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}});
    redisContext *c = pool_connect(pool), *r = pool_connect(replica);
    expect_text(r, "OK", "REPLICAOF 127.0.0.1 %d", pool->port);
    AWAIT(strcmp(info_field(r, "replication", "master_link_status"), "up") == 0);
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < WORKERS; i++)
            expect_text(c, "OK", "SET %s %d", pool_key(pool, i, 0), round);
        expect_integer(c, 1, "WAIT 1 0");
        redisReply *reply = expect_reply(r, "GET %s", pool_key(pool, 2, 0));
        assert_int_equal(atoi(reply->str), round);
        freeReplyObject(reply);
        expect_waitaof(c, 1, 1, "WAITAOF 1 1 0");
    }
    expect_integer(c, 1, "WAIT 2 50");
    expect_error(r, "ERR WAIT cannot be used with replica instances.", "WAIT 0 0");
    expect_error(r, "ERR WAITAOF cannot be used with replica instances.", "WAITAOF 0 0 0");
    redisFree(c);
    redisFree(r);
    pool_end(&replica);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_arguments, pools_cleanup),
        cmocka_unit_test_teardown(test_smallest_count_of_all_shards, pools_cleanup),
        cmocka_unit_test_teardown(test_of_the_merged_stream, pools_cleanup),
        cmocka_unit_test_teardown(test_waits_that_end_otherwise, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_that_follows, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
