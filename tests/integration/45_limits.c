/* 45_limits.c - what a client may not do: be one too many, idle, not read, or talk nonsense. */
#include "tests/integration/pool_fixture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

static const char too_many[] = "-ERR max number of clients reached\r\n";
static const char too_many_of_address[] = "-ERR max number of clients per address reached\r\n";

/* A raw client that has been answered; or, if it is refused, the refusal in text_r. */
static bool enters(int fd, char *text_r, size_t room) {
    (void)!send(fd, "PING\r\n", 6, MSG_NOSIGNAL);
    size_t len = 0;
    for (ssize_t got; len + 1 < room && (got = recv(fd, text_r + len, room - len - 1, 0)) > 0;) {
        len += (size_t)got;
        if (text_r[len - 1] == '\n')
            break;
    }
    text_r[len] = 0;
    return strcmp(text_r, "+PONG\r\n") == 0;
}

static int enter(int port) {
    char text[256];
    int fd = raw_connect(port);
    if (!enters(fd, text, sizeof(text)))
        fail_msg("port %d: %s", port, text);
    return fd;
}

static void expect_refused(int fd, const char *why) {
    char text[256];
    assert_false(enters(fd, text, sizeof(text)));
    /* Whoever sends while being closed may see a reset before the text. */
    if (text[0])
        assert_string_equal(text, why);
    close(fd);
}

static bool admits_another(int port) {
    char text[256];
    int fd = raw_connect(port);
    bool inside = enters(fd, text, sizeof(text));
    close(fd);
    return inside;
}

static int64_t connected(const struct pool *pool) {
    return pool_number(pool, "pool.clients");
}

static int64_t rejected(const struct pool *pool) {
    int64_t sum = pool_number(pool, "front.metrics.connections_rejected");
    for (unsigned i = 0; i < pool->workers; i++)
        sum += pool_number(pool, "workers.%u.metrics.connections_rejected", i);
    return sum;
}

/* ---- how many ---- */

static void test_maxclients(void **state) {
    enum { MAX = 6 };
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--maxclients", "6"}});
    int fds[MAX];
    for (unsigned i = 0; i < MAX; i++)
        fds[i] = enter(i % 2 ? pool->port : pool->worker_port + (int)(i % 3));
    AWAIT(connected(pool) == MAX);
    expect_refused(raw_connect(pool->port), too_many);
    for (unsigned i = 0; i < 3; i++)
        expect_refused(raw_connect(pool->worker_port + (int)i), too_many);
    AWAIT(rejected(pool) == 4);
    close(fds[0]);
    AWAIT(connected(pool) == MAX - 1);
    fds[0] = enter(pool->port);
    raw_send_text(fds[0], "CONFIG SET maxclients 7\r\n");
    struct octets ok = raw_read_replies(fds[0], 1);
    assert_string_equal(ok.data, "+OK\r\n");
    free(ok.data);
    close(enter(pool->port));
    for (unsigned i = 0; i < MAX; i++)
        close(fds[i]);
    pool_end(&pool);
}

static int connect_from(const char *address, int port) {
    struct sockaddr_in from = {.sin_family = AF_INET},
                       to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct timeval limit = {.tv_sec = CLIENT_WAIT_S};
    inet_pton(AF_INET, address, &from.sin_addr);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void test_maxclients_per_address(void **state) {
    char text[256];
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--maxclients-per-address", "3"}});
    int fds[3], other;
    for (unsigned i = 0; i < 3; i++)
        fds[i] = enter(pool->port);
    expect_refused(raw_connect(pool->port), too_many_of_address);
    other = connect_from("127.0.0.2", pool->port);
    assert_true(enters(other, text, sizeof(text)));
    close(fds[1]);
    AWAIT(admits_another(pool->port));
    close(fds[0]);
    close(fds[2]);
    close(other);
    pool_end(&pool);
}

/* Whoever has not said what it wants yet costs a place, and nobody else anything. */
static void test_many_half_commands(void **state) {
    enum { CLIENTS = 300 };
    struct pool *pool = pool_start(NULL);
    int fds[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = raw_connect(pool->port);
        raw_send_text(fds[i], i % 3 == 0 ? "*2\r\n$3\r\nGET\r\n$5\r\nab" : i % 3 == 1 ? "GE" : "");
    }
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 100; i++)
        expect_text(c, "PONG", "PING");
    AWAIT(connected(pool) == CLIENTS + 1);
    for (unsigned i = 0; i < CLIENTS; i++) {
        raw_send_text(fds[i], i % 3 == 0 ? "cde\r\n" : i % 3 == 1 ? "T abcde\r\n" : "GET a\r\n");
        struct octets reply = raw_read_replies(fds[i], 1);
        assert_string_equal(reply.data, "$-1\r\n");
        free(reply.data);
        close(fds[i]);
    }
    AWAIT(connected(pool) == 1);
    redisFree(c);
    pool_end(&pool);
}

/* ---- how long ---- */

static void test_idle_clients_are_closed(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--timeout", "1"}});
    int idle = enter(pool->port), idle_node = enter(pool->worker_port + 2);
    int silent = raw_connect(pool->port);
    redisContext *busy = pool_connect(pool);
    bool gone[3] = {false};
    AWAIT_WITHIN(20, (expect_text(busy, "PONG", "PING"), gone[0] |= raw_closed_within(idle, 0),
                      gone[1] |= raw_closed_within(idle_node, 0),
                      gone[2] |= raw_closed_within(silent, 0), gone[0] && gone[1] && gone[2]));
    expect_text(busy, "PONG", "PING");
    redisFree(busy);
    close(idle);
    close(idle_node);
    close(silent);
    pool_end(&pool);
}

/* ---- how much ---- */

static bool listed(redisContext *c, const char *name) {
    char line[64];
    snprintf(line, sizeof(line), " name=%s ", name);
    redisReply *reply = expect_reply(c, "CLIENT LIST");
    bool found = strstr(reply->str, line) != NULL;
    freeReplyObject(reply);
    return found;
}

/* A client that asks for much and reads nothing. */
static int greedy(const struct pool *pool, const char *name, const char *key, unsigned times) {
    char commands[8192];
    int fd = raw_connect(pool->port);
    int len = snprintf(commands, sizeof(commands), "CLIENT SETNAME %s\r\n", name);
    for (unsigned i = 0; i < times; i++)
        len += snprintf(commands + len, sizeof(commands) - (size_t)len, "GET %s\r\n", key);
    raw_send(fd, commands, (size_t)len);
    return fd;
}

static unsigned closed_for_output(const struct pool *pool) {
    int code;
    char *count =
        run_shell(&code, "grep -aFc 'for overcoming of output buffer limits' %s", pool->log);
    unsigned times = (unsigned)strtoul(count, NULL, 10);
    free(count);
    return times;
}

/* On the client's own shard, and where the value comes over a ring. */
static void output_limit(const char *limits, unsigned times) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    char *value = calloc(1, 1000001);
    memset(value, 'v', 1000000);
    expect_text(c, "OK", "CONFIG SET client-output-buffer-limit %s", limits);
    for (unsigned i = 0; i < 3; i++)
        expect_text(c, "OK", "SET %s %s", pool_key(pool, i, 0), value);
    for (unsigned i = 0; i < 3; i++) {
        int fd = greedy(pool, "greedy", pool_key(pool, i, 0), times);
        AWAIT_WITHIN(20, closed_for_output(pool) == i + 1 && !listed(c, "greedy"));
        assert_true(raw_closed_within(fd, 20));
        close(fd);
    }
    expect_text(c, value, "GET %s", pool_key(pool, 1, 0));
    free(value);
    redisFree(c);
    pool_end(&pool);
}

static void test_hard_output_limit(void **state) {
    output_limit("normal 2mb 0 0", 40);
}

static void test_soft_output_limit(void **state) {
    output_limit("normal 0 1mb 1", 40);
}

/* Below its limits a client may read as late as it likes. */
static void test_output_within_the_limit_arrives(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    char *value = calloc(1, 100001);
    memset(value, 'v', 100000);
    expect_text(c, "OK", "CONFIG SET client-output-buffer-limit %s", "normal 8mb 6mb 1");
    expect_text(c, "OK", "SET big %s", value);
    int fd = greedy(pool, "late", "big", 30);
    AWAIT(listed(c, "late"));
    struct octets replies = raw_read_replies(fd, 31);
    assert_int_equal(replies.len, 5 + 30 * (9 + 100000 + 2));
    free(replies.data);
    free(value);
    close(fd);
    redisFree(c);
    pool_end(&pool);
}

static void test_query_buffer_limit(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--client-query-buffer-limit", "1mb"}});
    char *block = malloc(65536);
    memset(block, 'x', 65536);
    const int ports[] = {pool->port, pool->worker_port + 1};
    for (unsigned i = 0; i < 2; i++) {
        int fd = raw_connect(ports[i]);
        raw_send_text(fd, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$30000000\r\n");
        unsigned sent = 0;
        while (sent < 400 && send(fd, block, 65536, MSG_NOSIGNAL) > 0)
            sent++;
        assert_true(sent < 400);
        assert_true(raw_closed_within(fd, 20));
        close(fd);
    }
    redisContext *c = pool_connect(pool);
    expect_nil(c, "GET k");
    assert_true(pool_log_has(pool, "that reached max query buffer length"));
    redisFree(c);
    free(block);
    pool_end(&pool);
}

/* ---- nonsense ---- */

struct nonsense {
    const char *bytes;
    unsigned fill; /* so many 'x' behind them */
};

static const struct nonsense nonsense[] = {
    {"*-5\r\n*1\r\n$4\r\nPING\r\n", 0},
    {"*0\r\nPING\r\n", 0},
    {"*1x\r\n", 0},
    {"*2147483648\r\n", 0},
    {"*99999999999999999999\r\n", 0},
    {"*1\r\nPING\r\n", 0},
    {"*1\r\n:4\r\nPING\r\n", 0},
    {"*1\r\n$-1\r\n", 0},
    {"*1\r\n$x\r\n", 0},
    {"*1\r\n$2097152\r\n", 0}, /* more than proto-max-bulk-len */
    {"*1\r\n$99999999999999999999\r\n", 0},
    {"*1", 70000},
    {"*1\r\n$1", 70000},
    {"PING ", 70000},
    {"SET k \"unbalanced\r\n", 0},
    {"SET k 'v'x\r\n", 0},
    {"\r\n\r\nPING\r\n", 0},
    {"PING\r\n*1\r\n$-1\r\nPING\r\n", 0},
};

/* All that comes back, to the end: a QUIT follows for what is no error after all. */
static struct octets all_replies(int port, const struct nonsense *row) {
    int fd = raw_connect(port);
    raw_send_text(fd, row->bytes);
    for (unsigned left = row->fill; left > 0;) {
        char fill[4096];
        unsigned now = left < sizeof(fill) ? left : (unsigned)sizeof(fill);
        memset(fill, 'x', now);
        if (send(fd, fill, now, MSG_NOSIGNAL) <= 0)
            break;
        left -= now;
    }
    /* What is endless is refused for its length, not for what might have come behind. */
    if (row->fill == 0)
        (void)!send(fd, "\r\nQUIT\r\n", 8, MSG_NOSIGNAL);
    struct octets all = raw_read_replies(fd, UINT32_MAX);
    close(fd);
    return all;
}

static void compare_nonsense(struct pool *pool, struct oracle *oracle, unsigned count) {
    for (size_t i = 0; i < count; i++) {
        struct octets expected = all_replies(oracle->port, &nonsense[i]);
        for (unsigned node = 0; node < 2; node++) {
            struct octets got = all_replies(node ? pool->worker_port : pool->port, &nonsense[i]);
            /* A reset may overtake the reply to what is longer than a socket's buffer. */
            bool reset = nonsense[i].fill > 0 && (got.len == 0 || expected.len == 0);
            if (!reset && strcmp(got.data, expected.data) != 0)
                fail_msg("row %zu: got %s, expected %s", i, got.data, expected.data);
            free(got.data);
        }
        free(expected.data);
    }
}

static void test_protocol_errors(void **state) {
    oracle_needed();
    static const char *const options[] = {"--proto-max-bulk-len", "1mb", NULL};
    struct oracle *oracle = oracle_start(NULL, options);
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--proto-max-bulk-len", "1mb"}});
    compare_nonsense(pool, oracle, sizeof(nonsense) / sizeof(nonsense[0]));
    AWAIT(connected(pool) == 0);
    pool_end(&pool);
    oracle_end(&oracle);
}

/* Who has not said the password may not announce much. */
static void test_protocol_errors_before_auth(void **state) {
    oracle_needed();
    static const struct nonsense rows[] = {{"*11\r\n", 0},
                                           {"*1\r\n$16385\r\n", 0},
                                           {"*10\r\n", 0},
                                           {"*2\r\n$3\r\nGET\r\n$1\r\na\r\n", 0}};
    static const char *const options[] = {"--requirepass", "secret", NULL};
    struct oracle *oracle = oracle_start(NULL, NULL);
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--requirepass", "secret"}});
    redisContext *c = client_connect(oracle->port);
    expect_text(c, "OK", "CONFIG SET %s %s", options[0] + 2, options[1]);
    redisFree(c);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct octets expected = all_replies(oracle->port, &rows[i]);
        struct octets got = all_replies(pool->port, &rows[i]);
        assert_string_equal(got.data, expected.data);
        free(expected.data);
        free(got.data);
    }
    pool_end(&pool);
    oracle_end(&oracle);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_maxclients, pools_cleanup),
        cmocka_unit_test_teardown(test_maxclients_per_address, pools_cleanup),
        cmocka_unit_test_teardown(test_many_half_commands, pools_cleanup),
        cmocka_unit_test_teardown(test_idle_clients_are_closed, pools_cleanup),
        cmocka_unit_test_teardown(test_hard_output_limit, pools_cleanup),
        cmocka_unit_test_teardown(test_soft_output_limit, pools_cleanup),
        cmocka_unit_test_teardown(test_output_within_the_limit_arrives, pools_cleanup),
        cmocka_unit_test_teardown(test_query_buffer_limit, pools_cleanup),
        cmocka_unit_test_teardown(test_protocol_errors, pools_cleanup),
        cmocka_unit_test_teardown(test_protocol_errors_before_auth, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
