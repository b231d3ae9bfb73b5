/* 25_access.c - who may come in: passwords, and protected mode for clients from other hosts. */
#include "tests/integration/pool_fixture.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>

static void test_password(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--requirepass", "my ;secret #1"}});
    redisContext *c = pool_connect(pool);
    expect_error(c, "NOAUTH Authentication required.", "GET a");
    expect_error(c, "NOAUTH Authentication required.", "PING");
    expect_error(c, "NOAUTH HELLO must be called with the client already authenticated", "HELLO 3");
    expect_error(c, "WRONGPASS invalid username-password pair or user is disabled.", "AUTH wrong");
    expect_error(c, "WRONGPASS", "AUTH nobody %s", "my ;secret #1");
    expect_text(c, "OK", "AUTH %s", "my ;secret #1");
    expect_text(c, "PONG", "PING");
    /* It holds for relayed commands as well, and RESET takes it away. */
    for (unsigned i = 0; i < pool->workers; i++)
        expect_text(c, "OK", "SET %s v", pool_key(pool, i, 0));
    expect_text(c, "RESET", "RESET");
    expect_error(c, "NOAUTH", "GET a");
    expect_text(c, "OK", "AUTH default %s", "my ;secret #1");
    redisFree(c);

    redisContext *node = pool_connect_worker(pool, 1);
    expect_error(node, "NOAUTH", "GET %s", pool_key(pool, 1, 0));
    expect_text(node, "OK", "AUTH %s", "my ;secret #1");
    expect_text(node, "v", "GET %s", pool_key(pool, 1, 0));
    redisFree(node);
    pool_end(&pool);
}

/* Changed at run time: new clients need the new one, on every worker; who is in stays in. */
static void test_password_changed(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    expect_error(c,
                 "ERR AUTH <password> called without any password configured for the default user.",
                 "AUTH x");
    expect_text(c, "OK", "CONFIG SET requirepass new");
    expect_text(c, "PONG", "PING");
    for (unsigned i = 0; i < pool->workers; i++) {
        redisContext *other = pool_connect_worker(pool, i);
        expect_error(other, "NOAUTH", "GET %s", pool_key(pool, i, 0));
        expect_text(other, "OK", "AUTH new");
        redisFree(other);
    }
    /* A worker that starts again has it too. */
    pool->options.deaths = true;
    pool_kill_worker(pool, 1, SIGKILL);
    redisContext *other = pool_connect_worker(pool, 1);
    expect_error(other, "NOAUTH", "PING");
    redisFree(other);
    expect_text(c, "OK", "CONFIG SET requirepass %s", "");
    other = pool_connect(pool);
    expect_text(other, "PONG", "PING");
    redisFree(other);
    redisFree(c);
    pool_end(&pool);
}

/* Before AUTH, big commands are refused so that strangers cannot fill memory. */
static void test_strangers_are_kept_small(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--requirepass", "x"}});
    int fd = raw_connect(pool->port);
    raw_send_text(fd, "*100\r\n");
    struct octets got = raw_read_replies(fd, 1);
    assert_string_equal(got.data, "-ERR Protocol error: unauthenticated multibulk length\r\n");
    free(got.data);
    assert_true(raw_closed_within(fd, 20));
    close(fd);
    fd = raw_connect(pool->worker_port);
    raw_send_text(fd, "*2\r\n$4\r\nECHO\r\n$20000\r\n");
    got = raw_read_replies(fd, 1);
    assert_string_equal(got.data, "-ERR Protocol error: unauthenticated bulk length\r\n");
    free(got.data);
    close(fd);
    pool_end(&pool);
}

/* An address of this machine that is not loopback; false if it has none. */
static bool outside_address(char address_r[INET_ADDRSTRLEN]) {
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0)
        return false;
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)i->ifa_addr;
        if (!in || in->sin_family != AF_INET || i->ifa_flags & IFF_LOOPBACK ||
            !(i->ifa_flags & IFF_UP))
            continue;
        found = inet_ntop(AF_INET, &in->sin_addr, address_r, INET_ADDRSTRLEN) != NULL;
    }
    freeifaddrs(all);
    return found;
}

static void test_protected_mode(void **state) {
    char address[INET_ADDRSTRLEN];
    if (!outside_address(address)) {
        print_message("skipped, this machine has no address but loopback\n");
        skip();
    }
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--bind", "*"}});
    for (int port = pool->port; port <= pool->worker_port; port += 2) {
        redisContext *c = redisConnect(address, port);
        assert_int_equal(c->err, 0);
        redisReply *reply = redisCommand(c, "PING");
        if (!reply || reply->type != REDIS_REPLY_ERROR ||
            strncmp(reply->str, "DENIED Redis is running in protected mode", 41) != 0)
            fail_msg("port %d: %s", port, reply ? reply->str : c->errstr);
        freeReplyObject(reply);
        redisFree(c);
    }
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET protected-mode no");
    redisContext *outside = redisConnect(address, pool->port);
    expect_text(outside, "PONG", "PING");
    redisFree(outside);
    expect_text(c, "OK", "CONFIG SET protected-mode yes requirepass secret");
    outside = redisConnect(address, pool->port);
    expect_error(outside, "NOAUTH", "PING");
    expect_text(outside, "OK", "AUTH secret");
    redisFree(outside);
    redisFree(c);
    pool_end(&pool);
}

/* DEBUG is closed unless it was opened at the start. */
static void test_debug_is_closed(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--enable-debug-command", "no"}});
    redisContext *c = pool_connect(pool);
    expect_error(c, "ERR DEBUG command not allowed.", "DEBUG SLEEP 0");
    expect_error(c,
                 "ERR CONFIG SET failed (possibly related to argument 'enable-debug-command') - "
                 "can't set immutable config",
                 "CONFIG SET enable-debug-command yes");
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_password, pools_cleanup),
        cmocka_unit_test_teardown(test_password_changed, pools_cleanup),
        cmocka_unit_test_teardown(test_strangers_are_kept_small, pools_cleanup),
        cmocka_unit_test_teardown(test_protected_mode, pools_cleanup),
        cmocka_unit_test_teardown(test_debug_is_closed, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
