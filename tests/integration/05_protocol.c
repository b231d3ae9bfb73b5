/* 05_protocol.c - what the bytes of a connection look like: inline commands, RESP3, pipelines of any
 * depth over several shards, values of many megabytes, commands in small pieces. */
#include "tests/integration/pool_fixture.h"
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

static struct pool *pool;

static int start(void **state) {
    pool = pool_start(NULL);
    return 0;
}

static int end(void **state) {
    pool_end(&pool);
    return 0;
}

/* Send the text, expect these bytes, and nothing more. */
static void exchange(const char *send_text, unsigned replies, const char *expected) {
    int fd = raw_connect(pool->port);
    raw_send_text(fd, send_text);
    raw_send_text(fd, "*1\r\n$4\r\nPING\r\n");
    struct octets got = raw_read_replies(fd, replies + 1);
    char *whole = NULL;
    assert_true(asprintf(&whole, "%s+PONG\r\n", expected) > 0);
    assert_string_equal(got.data, whole);
    free(whole);
    free(got.data);
    close(fd);
}

static void test_inline_commands(void **state) {
    exchange("PING\r\n", 1, "+PONG\r\n");
    exchange("\r\n\n   \r\nPING\n", 1, "+PONG\r\n");
    exchange("ECHO \"a \\x41\\n\" \r\n", 1, "$4\r\na A\n\r\n");
    exchange("set 'inline key' 'it\\'s'\r\nget \"inline key\"\r\n", 2, "+OK\r\n$4\r\nit's\r\n");
}

static void test_protocol_errors_close_the_connection(void **state) {
    static const struct {
        const char *sent, *reply;
    } cases[] = {
        {"*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'\r\n"},
        {"*x\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"*1\r\n$-5\r\n", "-ERR Protocol error: invalid bulk length\r\n"},
        {"ECHO \"unbalanced\r\n", "-ERR Protocol error: unbalanced quotes in request\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = raw_connect(pool->port);
        raw_send_text(fd, cases[i].sent);
        struct octets got = raw_read_replies(fd, 1);
        assert_string_equal(got.data, cases[i].reply);
        free(got.data);
        assert_true(raw_closed_within(fd, 20));
        close(fd);
        /* Nothing of it is left for the next client. */
        exchange("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", 1, "+OK\r\n");
    }
}

/* In RESP3 maps, nulls and doubles have types of their own, whichever shard answers. */
static void test_resp3(void **state) {
    int fd = raw_connect(pool->port);
    raw_send_text(fd, "HELLO 3\r\n");
    struct octets hello = raw_read_replies(fd, 1);
    assert_int_equal(hello.data[0], '%');
    assert_non_null(strstr(hello.data, "$5\r\nproto\r\n:3\r\n"));
    assert_non_null(strstr(hello.data, "$4\r\nmode\r\n$10\r\nstandalone\r\n"));
    free(hello.data);
    for (unsigned i = 0; i < pool->workers; i++) {
        char text[256];
        const char *key = pool_key(pool, i, 3);
        snprintf(text, sizeof(text), "DEL %s\r\nGET %s\r\nHSET %s f v\r\nHGETALL %s\r\n", key, key,
                 key, key);
        raw_send_text(fd, text);
        struct octets got = raw_read_replies(fd, 4);
        assert_non_null(strstr(got.data, "_\r\n:1\r\n%1\r\n$1\r\nf\r\n$1\r\nv\r\n"));
        free(got.data);
    }
    raw_send_text(fd, "HELLO 2\r\nGET nothing\r\n");
    struct octets got = raw_read_replies(fd, 2);
    assert_int_equal(got.data[0], '*');
    assert_non_null(strstr(got.data, "$-1\r\n"));
    free(got.data);
    close(fd);
}

/* 10,000 commands at once, local and remote interleaved with commands no key decides; the replies come
 * in the order of the commands. */
static void test_deep_pipeline(void **state) {
    enum { DEEP = 10000 };
    redisContext *c = pool_connect(pool);
    for (int i = 0; i < DEEP; i++) {
        switch (i % 5) {
        case 0: redisAppendCommand(c, "SET deep:%d %d", i, i); break;
        case 1: redisAppendCommand(c, "GET deep:%d", i - 1); break;
        case 2: redisAppendCommand(c, "ECHO %d", i); break;
        case 3: redisAppendCommand(c, "MGET deep:%d nothing:%d", i - 3, i); break;
        default: redisAppendCommand(c, "INCRBY deep:%d 1", i - 4); break;
        }
    }
    for (int i = 0; i < DEEP; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        switch (i % 5) {
        case 0: assert_string_equal(reply->str, "OK"); break;
        case 1: assert_int_equal(atoi(reply->str), i - 1); break;
        case 2: assert_int_equal(atoi(reply->str), i); break;
        case 3:
            assert_int_equal(atoi(reply->element[0]->str), i - 3);
            assert_int_equal(reply->element[1]->type, REDIS_REPLY_NIL);
            break;
        default: assert_int_equal(reply->integer, i - 3); break;
        }
        freeReplyObject(reply);
    }
    redisFree(c);
}

/* A client that only sends, then only reads: everything it sent runs, nothing blocks for good. */
static void test_writes_all_then_reads(void **state) {
    enum { COUNT = 20000 };
    int fd = raw_connect(pool->port);
    char *all = malloc(COUNT * 64);
    size_t len = 0;
    for (int i = 0; i < COUNT; i++)
        len += (size_t)sprintf(all + len, "*2\r\n$4\r\nINCR\r\n$4\r\nc:%02d\r\n", i % 50);
    raw_send(fd, all, len);
    struct octets got = raw_read_replies(fd, COUNT);
    size_t at = 0, replies = 0;
    for (; at < got.len; replies++) {
        size_t length = resp_length(got.data + at, got.len - at);
        assert_int_equal(got.data[at], ':');
        assert_int_equal(atoi(got.data + at + 1), (int)replies / 50 + 1);
        at += length;
    }
    assert_int_equal(replies, COUNT);
    free(got.data);
    free(all);
    close(fd);
}

static void fill(char *bytes, size_t len, unsigned seed) {
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)((i * 2654435761u + seed) >> 13);
}

/* 64 MB go to each shard and come back from each, far more than a ring holds. */
static void test_big_values(void **state) {
    enum { BIG = 64 << 20 };
    char *value = malloc(BIG);
    assert_non_null(value);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < pool->workers; i++) {
        const char *key = pool_key(pool, i, 64);
        fill(value, BIG, i);
        expect_text(c, "OK", "SET %s %b", key, value, (size_t)BIG);
        expect_integer(c, BIG, "STRLEN %s", key);
        redisReply *reply = expect_reply(c, "GET %s", key);
        assert_int_equal(reply->len, BIG);
        assert_memory_equal(reply->str, value, BIG);
        freeReplyObject(reply);
        expect_integer(c, 1, "DEL %s", key);
    }
    redisFree(c);
    free(value);
}

/* Values of many sizes around the sizes of rings and buffers, split over shards by MSET and MGET. */
static void test_sizes_around_buffers(void **state) {
    static const size_t sizes[] = {0,      1,      16383,  16384,  65535,   65536,
                                   131071, 262143, 262144, 262145, 1 << 20, 3000001};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    char *value = malloc(3000001);
    fill(value, 3000001, 7);
    redisContext *c = pool_connect(pool);
    for (int i = 0; i < SIZES; i++)
        for (unsigned w = 0; w < pool->workers; w++)
            redisAppendCommand(c, "SET size:%d:{%s} %b", i, pool_key(pool, w, 0), value, sizes[i]);
    for (int i = 0; i < SIZES; i++)
        for (unsigned w = 0; w < pool->workers; w++)
            redisAppendCommand(c, "GET size:%d:{%s}", i, pool_key(pool, w, 0));
    for (unsigned n = 0; n < 2 * SIZES * pool->workers; n++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        if (n >= SIZES * pool->workers) {
            size_t size = sizes[(n - SIZES * pool->workers) / pool->workers];
            assert_int_equal(reply->len, size);
            assert_memory_equal(reply->str, value, size);
        }
        freeReplyObject(reply);
    }
    expect_text(c, "OK", "FLUSHALL");
    redisFree(c);
    free(value);
}

/* A command that comes a byte at a time is one command. */
static void test_byte_by_byte(void **state) {
    static const char sent[] =
        "*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$5\r\nvalue\r\n*2\r\n$3\r\nGET\r\n$4\r\nslow\r\n";
    int fd = raw_connect(pool->port);
    for (size_t i = 0; i + 1 < sizeof(sent); i++) {
        raw_send(fd, sent + i, 1);
        usleep(300);
    }
    struct octets got = raw_read_replies(fd, 2);
    assert_string_equal(got.data, "+OK\r\n$5\r\nvalue\r\n");
    free(got.data);
    close(fd);
}

static void test_quit_and_reset(void **state) {
    int fd = raw_connect(pool->port);
    raw_send_text(fd, "SELECT 3\r\nHELLO 3 SETNAME me\r\n");
    free(raw_read_replies(fd, 2).data);
    raw_send_text(fd, "RESET\r\nGET nothing\r\nCLIENT GETNAME\r\nQUIT\r\n");
    struct octets got = raw_read_replies(fd, 4);
    assert_string_equal(got.data, "+RESET\r\n$-1\r\n$-1\r\n+OK\r\n");
    free(got.data);
    assert_true(raw_closed_within(fd, 20));
    close(fd);
}

/* Many clients at once, each with its own keys on all shards. */
static void *hammer(void *argument) {
    long id = (long)argument;
    redisContext *c = client_try_connect(pool->port);
    long wrong = c == NULL;
    for (int i = 0; c && i < 500; i++) {
        redisReply *reply = redisCommand(c, "SET h:%ld:%d %ld.%d", id, i, id, i);
        wrong += !reply || reply->type != REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        reply = redisCommand(c, "GET h:%ld:%d", id, i);
        char expected[64];
        snprintf(expected, sizeof(expected), "%ld.%d", id, i);
        wrong += !reply || reply->type != REDIS_REPLY_STRING || strcmp(reply->str, expected) != 0;
        freeReplyObject(reply);
    }
    if (c)
        redisFree(c);
    return (void *)wrong;
}

static void test_many_clients(void **state) {
    enum { CLIENTS = 32 };
    pthread_t threads[CLIENTS];
    for (long i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    for (int i = 0; i < CLIENTS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inline_commands),
        cmocka_unit_test(test_protocol_errors_close_the_connection),
        cmocka_unit_test(test_resp3),
        cmocka_unit_test(test_deep_pipeline),
        cmocka_unit_test(test_writes_all_then_reads),
        cmocka_unit_test(test_big_values),
        cmocka_unit_test(test_sizes_around_buffers),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_quit_and_reset),
        cmocka_unit_test(test_many_clients),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
