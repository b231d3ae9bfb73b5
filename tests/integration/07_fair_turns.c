/* 07_fair_turns.c - whatever one client asks for, its worker keeps turning: others are served meanwhile,
 * and nobody takes the worker for dead. */
#include "tests/integration/pool_fixture.h"
#include <errno.h>
#include <sys/socket.h>

enum { BIG = 1 << 20, ASKED = 500 };

/* A connection served by this worker. */
static int enter(struct pool *pool, unsigned server) {
    char text[100];
    int fd = raw_connect(pool->port);
    snprintf(text, sizeof(text), "EXISTS %s\r\n", pool_key(pool, server, 1));
    raw_send_text(fd, text);
    free(raw_read_replies(fd, 1).data);
    return fd;
}

static int64_t used_bytes(const struct pool *pool) {
    return pool_number(pool, "pool.memory.used_bytes");
}

/* Asks for half a gigabyte at once and reads nothing of it, which no limit forbids: the others are served,
 * and when it reads at last, it gets all. */
static void ask_for_much(unsigned owner, unsigned server) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    static char value[BIG];
    char key[40], text[64];
    memset(value, 'x', BIG);
    snprintf(key, sizeof(key), "%s", pool_key(pool, owner, 0));
    expect_text(c, "OK", "SET %s %b", key, value, (size_t)BIG);
    int fd = enter(pool, server);
    snprintf(text, sizeof(text), "GET %s\r\n", key);
    for (int i = 0; i < ASKED; i++)
        raw_send_text(fd, text);
    AWAIT(used_bytes(pool) > 60 * BIG);
    for (int i = 0; i < 200; i++)
        expect_text(c, "OK", "SET %s v", pool_key(pool, (unsigned)i % 3, 2));
    uint64_t expected = ASKED * (uint64_t)(BIG + 12), got = 0;
    while (got < expected) {
        ssize_t n = recv(fd, value, BIG, 0);
        if (n <= 0)
            fail_msg("closed after %llu of %llu bytes: %s", (unsigned long long)got,
                     (unsigned long long)expected, strerror(errno));
        got += (uint64_t)n;
    }
    raw_send_text(fd, "PING\r\n");
    struct octets last = raw_read_replies(fd, 1);
    assert_string_equal(last.data, "+PONG\r\n");
    free(last.data);
    close(fd);
    redisFree(c);
    pool_end(&pool);
}

static void test_much_of_its_own_shard(void **state) {
    ask_for_much(0, 0);
}

static void test_much_of_another_shard(void **state) {
    ask_for_much(1, 0);
}

/* Slow commands in a long pipeline: seconds of work, in turns of milliseconds. */
static void test_slow_commands(void **state) {
    enum { KEYS = 60000, SLOW = 300 };
    struct pool *pool = pool_start(&(struct pool_options){.workers = 2});
    redisContext *c = pool_connect_worker(pool, 0), *d = pool_connect_worker(pool, 0);
    const char *tag = pool_key(pool, 0, 1);
    for (int i = 0; i < KEYS; i++)
        redisAppendCommand(c, "SET {%s}:%d v", tag, i);
    for (int i = 0; i < KEYS; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        freeReplyObject(reply);
    }
    for (int i = 0; i < SLOW; i++)
        redisAppendCommand(c, "KEYS *no*such*key*");
    int done = 0;
    redisBufferWrite(c, &done);
    for (int i = 0; i < 20; i++)
        expect_text(d, "v", "GET {%s}:%d", tag, i);
    for (int i = 0; i < SLOW; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        assert_int_equal(reply->elements, 0);
        freeReplyObject(reply);
    }
    redisFree(c);
    redisFree(d);
    pool_end(&pool);
}

/* A worker that is busy holds up its own shard only. */
static void test_busy_shard(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--heartbeat-timeout", "60000"}});
    int busy = raw_connect(pool->worker_port + 1);
    raw_send_text(busy, "DEBUG SLEEP 3\r\n");
    redisContext *c = pool_connect_worker(pool, 0), *d = pool_connect_worker(pool, 2);
    for (int i = 0; i < 500; i++) {
        expect_text(c, "OK", "SET %s v", pool_key(pool, 0, 1));
        expect_text(d, "OK", "SET %s v", pool_key(pool, 2, 1));
    }
    /* Still asleep: all that was before its reply. */
    char byte;
    assert_int_equal(recv(busy, &byte, 1, MSG_DONTWAIT), -1);
    struct octets got = raw_read_replies(busy, 1);
    assert_string_equal(got.data, "+OK\r\n");
    free(got.data);
    close(busy);
    redisFree(c);
    redisFree(d);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_much_of_its_own_shard, pools_cleanup),
        cmocka_unit_test_teardown(test_much_of_another_shard, pools_cleanup),
        cmocka_unit_test_teardown(test_slow_commands, pools_cleanup),
        cmocka_unit_test_teardown(test_busy_shard, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
