/* 20_clients.c - CLIENT and its kin: clients of all workers are one list, and can be named, silenced
 * and closed from anywhere. */
#include "tests/integration/pool_fixture.h"

static struct pool *pool;

static int start(void **state) {
    pool = pool_start(NULL);
    return 0;
}

static int end(void **state) {
    pool_end(&pool);
    return 0;
}

/* A client that this worker serves: its first command has a key of that worker's. */
static redisContext *client_of(unsigned worker) {
    redisContext *c = pool_connect(pool);
    freeReplyObject(expect_reply(c, "EXISTS %s", pool_key(pool, worker, 0)));
    return c;
}

static unsigned lines_with(const char *text, const char *what) {
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static void test_ids_differ(void **state) {
    redisContext *clients[9];
    int64_t ids[9];
    for (int i = 0; i < 9; i++) {
        clients[i] = client_of((unsigned)i % 3);
        ids[i] = ask_integer(clients[i], "CLIENT ID");
        for (int k = 0; k < i; k++)
            assert_int_not_equal(ids[i], ids[k]);
        assert_int_equal(ask_integer(clients[i], "CLIENT ID"), ids[i]);
    }
    for (int i = 0; i < 9; i++)
        redisFree(clients[i]);
}

static void test_names(void **state) {
    redisContext *c = client_of(1);
    expect_nil(c, "CLIENT GETNAME");
    expect_text(c, "OK", "CLIENT SETNAME horse");
    expect_text(c, "horse", "CLIENT GETNAME");
    expect_error(c, "ERR Client names cannot contain spaces, newlines or special characters.",
                 "CLIENT SETNAME %s", "a b");
    expect_text(c, "OK", "CLIENT SETINFO LIB-NAME saddle");
    expect_text(c, "OK", "CLIENT SETINFO lib-ver 1.2");
    expect_error(c, "ERR lib-name cannot contain spaces", "CLIENT SETINFO lib-name %s", "a b");
    redisReply *reply = expect_reply(c, "CLIENT INFO");
    assert_non_null(strstr(reply->str, " name=horse "));
    assert_non_null(strstr(reply->str, " lib-name=saddle lib-ver=1.2"));
    assert_non_null(strstr(reply->str, " resp=2"));
    freeReplyObject(reply);
    expect_text(c, "OK", "CLIENT SETNAME %s", "");
    expect_nil(c, "CLIENT GETNAME");
    redisFree(c);
}

static void test_list_shows_all_workers(void **state) {
    redisContext *clients[6];
    for (int i = 0; i < 6; i++) {
        clients[i] = client_of((unsigned)i % 3);
        expect_text(clients[i], "OK", "CLIENT SETNAME listed-%d", i);
    }
    redisReply *reply = expect_reply(clients[0], "CLIENT LIST");
    assert_int_equal(lines_with(reply->str, " name=listed-"), 6);
    assert_int_equal(reply->str[reply->len - 1], '\n');
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof(name), " name=listed-%d ", i);
        assert_int_equal(lines_with(reply->str, name), 1);
    }
    freeReplyObject(reply);
    int64_t a = ask_integer(clients[1], "CLIENT ID"), b = ask_integer(clients[5], "CLIENT ID");
    reply =
        expect_reply(clients[0], "CLIENT LIST ID %lld %lld 999999999", (long long)a, (long long)b);
    assert_int_equal(lines_with(reply->str, "id="), 2);
    freeReplyObject(reply);
    reply = expect_reply(clients[0], "CLIENT LIST TYPE normal");
    assert_true(lines_with(reply->str, "id=") >= 6);
    freeReplyObject(reply);
    reply = expect_reply(clients[0], "CLIENT LIST TYPE replica");
    assert_int_equal(lines_with(reply->str, "id="), 0);
    freeReplyObject(reply);
    for (int i = 0; i < 6; i++)
        redisFree(clients[i]);
}

static bool closed(redisContext *c) {
    return raw_closed_within(c->fd, 30);
}

static void test_kill(void **state) {
    for (unsigned worker = 0; worker < pool->workers; worker++) {
        redisContext *killer = client_of(0), *victim = client_of(worker),
                     *other = client_of(worker);
        int64_t id = ask_integer(victim, "CLIENT ID");
        expect_integer(killer, 1, "CLIENT KILL ID %lld", (long long)id);
        assert_true(closed(victim));
        expect_integer(killer, 0, "CLIENT KILL ID %lld", (long long)id);
        expect_text(other, "PONG", "PING");
        redisFree(victim);

        /* by address, the old form */
        char address[64] = "";
        redisReply *reply = expect_reply(other, "CLIENT INFO");
        sscanf(strstr(reply->str, "addr="), "addr=%63s", address);
        freeReplyObject(reply);
        expect_text(killer, "OK", "CLIENT KILL %s", address);
        assert_true(closed(other));
        AWAIT(ask_integer(killer, "CLIENT KILL ADDR %s", address) == 0);
        expect_error(killer, "ERR No such client", "CLIENT KILL %s", address);
        redisFree(other);
        redisFree(killer);
    }
}

/* SKIPME no closes the asker too, after its reply. */
static void test_kill_itself(void **state) {
    redisContext *c = client_of(2), *d = client_of(0);
    expect_text(d, "PONG", "PING");
    int64_t killed = ask_integer(c, "CLIENT KILL TYPE normal SKIPME no");
    assert_true(killed >= 2);
    assert_true(closed(c));
    assert_true(closed(d));
    redisFree(c);
    redisFree(d);
    c = client_of(1);
    AWAIT(ask_integer(c, "CLIENT KILL TYPE normal") == 0);
    expect_text(c, "PONG", "PING");
    redisFree(c);
}

/* Off, on and skip hold for relayed commands too, and count in the order of the commands. */
static void test_reply_modes(void **state) {
    int fd = raw_connect(pool->port);
    char text[1024];
    const char *a = pool_key(pool, 0, 7), *b = pool_key(pool, 1, 7), *d = pool_key(pool, 2, 7);
    snprintf(
        text, sizeof(text),
        "SET %s 1\r\nCLIENT REPLY SKIP\r\nINCR %s\r\nINCR %s\r\nCLIENT REPLY OFF\r\nINCR %s\r\n"
        "SET %s 5\r\nMGET %s %s\r\nPING\r\nDBSIZE\r\nCLIENT REPLY ON\r\nGET %s\r\nGET %s\r\n",
        a, b, a, d, b, a, b, b, d);
    raw_send_text(fd, text);
    struct octets got = raw_read_replies(fd, 5);
    assert_string_equal(got.data, "+OK\r\n:2\r\n+OK\r\n$1\r\n5\r\n$1\r\n1\r\n");
    free(got.data);
    close(fd);
}

static void test_no_touch_and_no_evict(void **state) {
    redisContext *c = client_of(1);
    expect_text(c, "OK", "CLIENT NO-EVICT ON");
    expect_text(c, "OK", "CLIENT NO-EVICT OFF");
    expect_error(c, "ERR syntax error", "CLIENT NO-EVICT maybe");
    expect_text(c, "OK", "SET touched v");
    AWAIT(ask_integer(c, "OBJECT IDLETIME touched") >= 1);
    expect_text(c, "OK", "CLIENT NO-TOUCH ON");
    expect_text(c, "v", "GET touched");
    assert_true(ask_integer(c, "OBJECT IDLETIME touched") >= 1);
    expect_text(c, "OK", "CLIENT NO-TOUCH OFF");
    expect_text(c, "v", "GET touched");
    expect_integer(c, 0, "OBJECT IDLETIME touched");
    redisFree(c);
}

/* A client that closes is gone from the list and from the count, whoever served it. */
static void test_counted(void **state) {
    redisContext *c = client_of(0), *others[12];
    int64_t before;
    AWAIT((before = atoi(info_field(c, "clients", "connected_clients"))) == 1);
    for (int i = 0; i < 12; i++)
        others[i] = client_of((unsigned)i % 3);
    AWAIT(atoi(info_field(c, "clients", "connected_clients")) == 13);
    AWAIT(pool_number(pool, "pool.clients") == 13);
    for (int i = 0; i < 12; i++)
        redisFree(others[i]);
    AWAIT(atoi(info_field(c, "clients", "connected_clients")) == 1);
    redisFree(c);
}

/* redis-cli asks these when it starts. */
static void test_command_and_help(void **state) {
    redisContext *c = client_of(1);
    int64_t count = ask_integer(c, "COMMAND COUNT");
    assert_true(count > 90);
    redisReply *reply = expect_reply(c, "COMMAND");
    assert_int_equal(reply->elements, count);
    freeReplyObject(reply);
    reply = expect_reply(c, "COMMAND DOCS get");
    assert_int_equal(reply->elements, 2);
    freeReplyObject(reply);
    reply = expect_reply(c, "CLIENT HELP");
    assert_true(reply->elements > 10);
    freeReplyObject(reply);
    expect_error(c, "ERR unknown subcommand 'NOSUCH'. Try CLIENT HELP.", "CLIENT NOSUCH");
    redisFree(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_differ),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_list_shows_all_workers),
        cmocka_unit_test(test_kill),
        cmocka_unit_test(test_kill_itself),
        cmocka_unit_test(test_reply_modes),
        cmocka_unit_test(test_no_touch_and_no_evict),
        cmocka_unit_test(test_counted),
        cmocka_unit_test(test_command_and_help),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
