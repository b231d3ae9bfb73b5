/* 27_front.c - how clients come in: to the worker that owns their first key, to any if they are silent
 * or slow, however many there are, and also when descriptors run out. */
#include "tests/integration/pool_fixture.h"
#include <dirent.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CROWD = 300 };

static int64_t clients_of(const struct pool *pool, unsigned worker) {
    return pool_number(pool, "workers.%u.clients", worker);
}

static int64_t in_hand(const struct pool *pool) {
    return pool_number(pool, "front.metrics.front_waiting");
}

/* ---- who gets whom ---- */

static void test_first_key_decides(void **state) {
    struct pool *pool = pool_start(NULL);
    int fds[30];
    for (unsigned i = 0; i < 30; i++) {
        char text[128];
        const char *key = pool_key(pool, 1, i % 5);
        static const char *const forms[] = {"GET %s\r\n", "*2\r\n$3\r\nGET\r\n$%zu\r\n%s\r\n",
                                            "set '%s' v\r\n"};
        if (i % 3 == 1)
            snprintf(text, sizeof(text), forms[1], strlen(key), key);
        else
            snprintf(text, sizeof(text), forms[i % 3], key);
        fds[i] = raw_connect(pool->port);
        raw_send_text(fds[i], text);
        struct octets reply = raw_read_replies(fds[i], 1);
        assert_true(reply.data[0] == '$' || reply.data[0] == '+');
        free(reply.data);
    }
    AWAIT(clients_of(pool, 1) == 30);
    assert_int_equal(clients_of(pool, 0), 0);
    assert_int_equal(clients_of(pool, 2), 0);
    for (unsigned i = 0; i < 30; i++)
        close(fds[i]);
    AWAIT(clients_of(pool, 1) == 0);
    pool_end(&pool);
}

/* Without a key, or with nothing to say, clients are dealt out evenly, and the front keeps none. */
static void test_silent_clients_are_dealt_out(void **state) {
    struct pool *pool = pool_start(NULL);
    static int fds[CROWD];
    for (int i = 0; i < CROWD; i++) {
        fds[i] = raw_connect(pool->port);
        if (i % 3 == 1)
            raw_send_text(fds[i], "PING\r\n");
        if (i % 3 == 2)
            raw_send_text(fds[i], "*2\r\n$3\r\nGE"); /* half a command */
    }
    AWAIT(pool_number(pool, "pool.clients") == CROWD);
    AWAIT(in_hand(pool) == 0);
    for (unsigned w = 0; w < pool->workers; w++)
        assert_in_range(clients_of(pool, w), CROWD / 3 - CROWD / 10, CROWD / 3 + CROWD / 10);
    for (int i = 0; i < CROWD; i++) {
        raw_send_text(fds[i], i % 3 == 2 ? "T\r\n$1\r\nk\r\n" : "GET k\r\n");
        struct octets reply = raw_read_replies(fds[i], i % 3 == 1 ? 2 : 1);
        assert_string_equal(reply.data, i % 3 == 1 ? "+PONG\r\n$-1\r\n" : "$-1\r\n");
        free(reply.data);
        close(fds[i]);
    }
    AWAIT(pool_number(pool, "pool.clients") == 0);
    pool_end(&pool);
}

/* While many wait for their first command, others are served at once. */
static void test_silent_clients_hold_nobody_up(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--first-command-wait", "10000"}});
    static int fds[CROWD];
    for (int i = 0; i < CROWD; i++)
        fds[i] = raw_connect(pool->port);
    AWAIT(in_hand(pool) == CROWD);
    for (int i = 0; i < 20; i++) {
        redisContext *c = pool_connect(pool);
        expect_text(c, "PONG", "PING");
        redisFree(c);
    }
    assert_int_equal(in_hand(pool), CROWD);
    for (int i = 0; i < CROWD / 2; i++)
        close(fds[i]);
    AWAIT(in_hand(pool) == CROWD - CROWD / 2);
    for (int i = CROWD / 2; i < CROWD; i++) {
        raw_send_text(fds[i], "PING\r\n");
        struct octets reply = raw_read_replies(fds[i], 1);
        assert_string_equal(reply.data, "+PONG\r\n");
        free(reply.data);
        close(fds[i]);
    }
    AWAIT(in_hand(pool) == 0);
    pool_end(&pool);
}

/* Bytes that are no command go to a worker, whose answer is the protocol error. */
static void test_nonsense_first(void **state) {
    struct pool *pool = pool_start(NULL);
    static const struct {
        const char *sent, *reply;
    } cases[] = {
        {"*1\r\n:5\r\n", "-ERR Protocol error: expected '$', got ':'\r\n"},
        {"*99999999999999999999\r\n", "-ERR Protocol error: invalid multibulk length\r\n"},
        {"\x16\x03\x01\x02\n", "-ERR unknown command"},
        {"GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n"},
        {"nosuch a b\r\n", "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b' \r\n"},
        {"*0\r\n*-1\r\nPING\r\n", "+PONG\r\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int fd = raw_connect(pool->port);
        raw_send_text(fd, cases[i].sent);
        struct octets reply = raw_read_replies(fd, 1);
        if (strncmp(reply.data, cases[i].reply, strlen(cases[i].reply)) != 0)
            fail_msg("case %zu: got %s", i, reply.data);
        free(reply.data);
        close(fd);
    }
    pool_end(&pool);
}

/* ---- running out of descriptors ---- */

static unsigned highest_fd(pid_t pid) {
    char path[64];
    unsigned highest = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (strtoul(entry->d_name, NULL, 10) > highest)
            highest = (unsigned)strtoul(entry->d_name, NULL, 10);
    closedir(directory);
    return highest;
}

/* The process may open so many descriptors more. */
static void leave_descriptors(pid_t pid, unsigned more) {
    struct rlimit limit;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = highest_fd(pid) + 1 + more;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &limit, NULL), 0);
}

/* The front takes what it can; who waits in the queue is served as soon as there is room. */
static void test_front_out_of_descriptors(void **state) {
    enum { MANY = 60 };
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--first-command-wait", "10000"}});
    pid_t front = pool_front_pid(pool);
    int fds[MANY];
    leave_descriptors(front, 12);
    for (int i = 0; i < MANY; i++)
        fds[i] = raw_connect(pool->port);
    AWAIT(pool_log_has(pool, "out of descriptors"));
    for (int i = 0; i < MANY; i++) {
        raw_send_text(fds[i], "PING\r\n");
        struct octets reply = raw_read_replies(fds[i], 1);
        assert_string_equal(reply.data, "+PONG\r\n");
        free(reply.data);
    }
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    AWAIT(in_hand(pool) == 0);
    assert_int_equal(pool_front_pid(pool), front);
    pool_end(&pool);
}

/* A worker that has none left goes on serving those it has, and takes others when some have left. */
static void test_worker_out_of_descriptors(void **state) {
    enum { MANY = 40 };
    struct pool *pool = pool_start(NULL);
    redisContext *inside = pool_connect_worker(pool, 0);
    expect_text(inside, "PONG", "PING");
    pid_t worker = pool_worker_pid(pool, 0);
    int fds[MANY], served = 0;
    leave_descriptors(worker, 10);
    for (int i = 0; i < MANY; i++) {
        fds[i] = raw_connect(pool->worker_port);
        raw_send_text(fds[i], "PING\r\n");
    }
    AWAIT(pool_log_has(pool, "ut of file descriptors"));
    expect_text(inside, "PONG", "PING");
    for (int i = 0; i < MANY; i++) {
        struct octets reply = raw_read_replies(fds[i], 1);
        served += strcmp(reply.data, "+PONG\r\n") == 0;
        free(reply.data);
        close(fds[i]); /* makes room for the next */
    }
    assert_int_equal(served, MANY);
    assert_int_equal(pool_worker_pid(pool, 0), worker);
    redisFree(inside);
    pool_end(&pool);
}

/* ---- the Unix socket ---- */

static void test_unix_socket(void **state) {
    char directory[64], path[100], long_key[40];
    make_directory(directory);
    snprintf(path, sizeof(path), "%s/socket", directory);
    struct pool *pool = pool_start(
        &(struct pool_options){.options = {"--unixsocket", path, "--unixsocketperm", "700"}});
    for (unsigned w = 0; w < pool->workers; w++) {
        redisContext *c = redisConnectUnix(path);
        assert_int_equal(c->err, 0);
        snprintf(long_key, sizeof(long_key), "%s", pool_key(pool, w, 2));
        expect_text(c, "OK", "SET %s unix", long_key);
        expect_text(c, "unix", "GET %s", long_key);
        redisReply *reply = expect_reply(c, "CLIENT INFO");
        char expected[128];
        snprintf(expected, sizeof(expected), " addr=%s:0 ", path);
        if (!strstr(reply->str, expected))
            fail_msg("%s", reply->str);
        freeReplyObject(reply);
        redisFree(c);
    }
    pool_end(&pool);
    assert_int_equal(access(path, F_OK), -1);
    remove_directory(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_first_key_decides, pools_cleanup),
        cmocka_unit_test_teardown(test_silent_clients_are_dealt_out, pools_cleanup),
        cmocka_unit_test_teardown(test_silent_clients_hold_nobody_up, pools_cleanup),
        cmocka_unit_test_teardown(test_nonsense_first, pools_cleanup),
        cmocka_unit_test_teardown(test_front_out_of_descriptors, pools_cleanup),
        cmocka_unit_test_teardown(test_worker_out_of_descriptors, pools_cleanup),
        cmocka_unit_test_teardown(test_unix_socket, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
