/* 15_cross_shard.c - commands that need keys of several shards at one place: they answer as one server
 * would, and nobody ever sees half of one. */
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

static void test_rename(void **state) {
    for (unsigned from = 0; from < 3; from++) {
        for (unsigned to = 0; to < 3; to++) {
            const char *a = pool_key(pool, from, 10), *b = pool_key(pool, to, 11);
            expect_text(c, "OK", "SET %s v EX 1000", a);
            expect_text(c, "OK", "RENAME %s %s", a, b);
            expect_text(c, "v", "GET %s", b);
            assert_true(ask_integer(c, "TTL %s", b) > 900);
            expect_nil(c, "GET %s", a);
            expect_error(c, "ERR no such key", "RENAME %s %s", a, b);
            expect_integer(c, 1, "HSET %s f v", a);
            expect_integer(c, 0, "RENAMENX %s %s", a, b);
            expect_integer(c, 1, "DEL %s", b);
            expect_integer(c, 1, "RENAMENX %s %s", a, b);
            expect_text(c, "v", "HGET %s f", b);
            expect_integer(c, 1, "DBSIZE");
            expect_integer(c, 1, "DEL %s", b);
        }
    }
}

static void test_copy(void **state) {
    const char *a = pool_key(pool, 0, 1), *b = pool_key(pool, 2, 1);
    for (int i = 0; i < 1000; i++)
        expect_integer(c, 1, "HSET %s field%d value%d", a, i, i);
    expect_integer(c, 1, "COPY %s %s", a, b);
    expect_integer(c, 0, "COPY %s %s", a, b);
    expect_integer(c, 1, "COPY %s %s REPLACE", a, b);
    expect_integer(c, 1000, "HLEN %s", b);
    expect_text(c, "value999", "HGET %s field999", b);
    expect_integer(c, 1, "COPY %s %s DB 5", a, b);
    expect_integer(c, 0, "COPY nothing %s", a);
    expect_text(c, "OK", "SELECT 5");
    expect_integer(c, 1000, "HLEN %s", b);
    expect_text(c, "OK", "SELECT 0");
}

static void test_bitop_lcs_msetnx(void **state) {
    const char *a = pool_key(pool, 0, 1), *b = pool_key(pool, 1, 1), *d = pool_key(pool, 2, 1);
    expect_text(c, "OK", "MSET %s abc %s ab", a, b);
    expect_integer(c, 3, "BITOP OR %s %s %s", d, a, b);
    expect_text(c, "abc", "GET %s", d);
    expect_integer(c, 3, "BITOP XOR %s %s %s", a, a, a);
    expect_integer(c, 0, "BITCOUNT %s", a);
    expect_integer(c, 0, "BITOP AND %s nothing1 nothing2", d);
    expect_integer(c, 0, "EXISTS %s", d);
    expect_text(c, "OK", "MSET %s ohmytext %s mynewtext", a, b);
    expect_text(c, "mytext", "LCS %s %s", a, b);
    expect_integer(c, 6, "LCS %s %s LEN", a, b);
    expect_integer(c, 0, "MSETNX %s x %s y %s z", d, b, a);
    expect_nil(c, "GET %s", d);
    expect_integer(c, 2, "DEL %s %s", a, b);
    expect_integer(c, 1, "MSETNX %s x %s y %s z", d, b, a);
    expect_text(c, "z", "GET %s", a);
    expect_integer(c, 1, "HSET %s:h f v", b);
    expect_error(c, "WRONGTYPE", "BITOP NOT %s %s:h", d, b);
    expect_text(c, "x", "GET %s", d);
}

/* ---- atomicity ---- */

static atomic_bool working;
static atomic_int troubles;

/* A value wanders between keys of three shards; it is at one of them at any time. */
static void *wander(void *argument) {
    redisContext *own = client_try_connect(pool->port);
    for (unsigned i = 0; own && working; i++) {
        redisReply *reply = redisCommand(own, "RENAME wander:%u wander:%u", i % 7, (i + 1) % 7);
        if (!reply || reply->type == REDIS_REPLY_ERROR) {
            print_error("RENAME: %s\n", reply ? reply->str : "connection lost");
            troubles++;
            break;
        }
        freeReplyObject(reply);
    }
    if (own)
        redisFree(own);
    return NULL;
}

static void test_rename_is_atomic(void **state) {
    pthread_t thread;
    expect_text(c, "OK", "SET wander:0 it");
    working = true;
    troubles = 0;
    assert_int_equal(pthread_create(&thread, NULL, wander, NULL), 0);
    for (int i = 0; i < 3000 && troubles == 0; i++) {
        /* RENAMENX onto itself needs all shards' locks; the sum over one command must be one. */
        redisReply *reply = expect_reply(
            c,
            "MSETNX wander:0 x wander:1 x wander:2 x wander:3 x wander:4 x wander:5 x wander:6 x");
        assert_int_equal(reply->type, REDIS_REPLY_INTEGER);
        if (reply->integer != 0)
            fail_msg("the value was nowhere, in round %d", i);
        freeReplyObject(reply);
    }
    working = false;
    pthread_join(thread, NULL);
    assert_int_equal(troubles, 0);
    expect_integer(c, 1, "DBSIZE");
}

/* Two that copy in opposite directions, one that counts, one that sets all at once: everyone gets on. */
static void *copies(void *argument) {
    bool forth = argument != NULL;
    redisContext *own = client_try_connect(pool->port);
    for (int i = 0; own && i < 1500; i++) {
        redisReply *reply =
            redisCommand(own, forth ? "BITOP OR x:1 x:2 x:3 x:4" : "BITOP OR x:4 x:3 x:2 x:1");
        troubles += !reply || reply->type != REDIS_REPLY_INTEGER;
        freeReplyObject(reply);
        reply = redisCommand(own, "COPY x:%d x:%d REPLACE", forth ? 1 : 4, forth ? 3 : 2);
        troubles += !reply || reply->type != REDIS_REPLY_INTEGER;
        freeReplyObject(reply);
    }
    troubles += own == NULL;
    if (own)
        redisFree(own);
    return NULL;
}

static void test_locks_in_opposite_directions(void **state) {
    pthread_t threads[6];
    troubles = 0;
    expect_text(c, "OK", "MSET x:1 aaaa x:2 aaaa x:3 aaaa x:4 aaaa");
    for (long i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, copies, (void *)(i % 2)), 0);
    for (int i = 0; i < 2000; i++)
        expect_integer(c, i + 1, "INCR count");
    for (int i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(troubles, 0);
    redisReply *reply = expect_reply(c, "MGET x:1 x:2 x:3 x:4");
    for (int i = 0; i < 4; i++)
        assert_string_equal(reply->element[i]->str, "aaaa");
    freeReplyObject(reply);
}

/* A client that goes away in the middle leaves no lock behind. */
static void test_client_gone_in_the_middle(void **state) {
    expect_text(c, "OK", "MSET g:1 aaaa g:2 aaaa g:3 aaaa");
    for (int i = 0; i < 200; i++) {
        int fd = raw_connect(pool->port);
        raw_send_text(
            fd,
            "BITOP OR g:1 g:2 g:3\r\nRENAME g:1 g:4\r\nRENAME g:4 g:1\r\nCOPY g:1 g:3 REPLACE\r\n");
        close(fd);
    }
    expect_integer(c, 4, "BITOP OR g:1 g:2 g:3");
    AWAIT(ask_integer(c, "EXISTS g:1 g:2 g:3 g:4") == 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rename, empty),
        cmocka_unit_test_setup(test_copy, empty),
        cmocka_unit_test_setup(test_bitop_lcs_msetnx, empty),
        cmocka_unit_test_setup(test_rename_is_atomic, empty),
        cmocka_unit_test_setup(test_locks_in_opposite_directions, empty),
        cmocka_unit_test_setup(test_client_gone_in_the_middle, empty),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
