/* 36_field_expiry.c - fields of hashes end when they should, looked at or not, on every shard; snapshot,
 * log and another shard keep what was set; a hash goes with its last field. */
#include "tests/integration/pool_fixture.h"
#include <signal.h>

enum { HASHES = 300 };

static void ask_many(redisContext *c, int count, const char *format) {
    for (int i = 0; i < count; i++)
        redisAppendCommand(c, format, i, i);
    for (int i = 0; i < count; i++) {
        redisReply *reply = NULL;
        assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
        assert_int_not_equal(reply->type, REDIS_REPLY_ERROR);
        freeReplyObject(reply);
    }
}

static void expect_one(redisContext *c, int64_t want, const char *command) {
    redisReply *reply = expect_reply(c, command);
    assert_int_equal(reply->elements, 1);
    assert_int_equal(reply->element[0]->integer, want);
    freeReplyObject(reply);
}

static int64_t ask_one(redisContext *c, const char *command) {
    redisReply *reply = expect_reply(c, command);
    assert_int_equal(reply->elements, 1);
    int64_t value = reply->element[0]->integer;
    freeReplyObject(reply);
    return value;
}

/* Nobody looks at the hashes: those whose fields all end are gone all the same. */
static void test_active(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    ask_many(c, HASHES, "HSET gone:%d a %d b 2");
    ask_many(c, HASHES, "HPEXPIRE gone:%d 50 FIELDS 2 a b");
    ask_many(c, HASHES, "HSET stays:%d a %d b 2");
    ask_many(c, HASHES, "HPEXPIRE stays:%d 50 FIELDS 1 a");
    AWAIT(ask_integer(c, "DBSIZE") == HASHES);
    AWAIT(atoi(info_field(c, "stats", "expired_subkeys")) == 3 * HASHES);
    expect_integer(c, 1, "HLEN stays:7");
    redisFree(c);
    pool_end(&pool);
}

/* What the log or the snapshot says after a restart is what was there before. */
static void over_a_restart(struct pool *pool, bool killed) {
    redisContext *c = pool_connect(pool);
    ask_many(c, HASHES, "HSET h:%d soon %d late 2 never 3");
    ask_many(c, HASHES, "HPEXPIRE h:%d 20 FIELDS 1 soon");
    ask_many(c, HASHES, "HEXPIRE h:%d 1000 FIELDS 1 late");
    AWAIT(ask_integer(c, "HLEN h:7") == 2);
    int64_t deadline = ask_one(c, "HPEXPIRETIME h:7 FIELDS 1 late");
    /* A field that ended and came again is a new one, in the log as well. */
    expect_integer(c, 1, "HSET h:7 soon again");
    redisFree(c);
    if (killed)
        pool_crash(pool);
    else
        assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_one(c, deadline, "HPEXPIRETIME h:7 FIELDS 1 late");
    expect_one(c, -1, "HTTL h:7 FIELDS 1 never");
    expect_one(c, -1, "HTTL h:7 FIELDS 1 soon");
    expect_integer(c, 2, "HLEN h:8");
    expect_integer(c, HASHES, "DBSIZE");
    redisFree(c);
    pool_end(&pool);
}

static void test_over_a_restart_rdb(void **state) {
    over_a_restart(pool_start(NULL), false);
}

static void test_over_a_restart_aof(void **state) {
    over_a_restart(pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}}), false);
}

static void test_over_a_kill_aof(void **state) {
    over_a_restart(pool_start(&(struct pool_options){
                       .options = {"--appendonly", "yes", "--appendfsync", "always"}}),
                   true);
}

/* To another shard by RENAME and COPY, through a rewrite of the log too. */
static void test_across_shards(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}});
    redisContext *c = pool_connect(pool);
    char from[64], to[64], copy[64];
    snprintf(from, sizeof(from), "%s", pool_key(pool, 0, 1));
    snprintf(to, sizeof(to), "%s", pool_key(pool, 1, 1));
    snprintf(copy, sizeof(copy), "%s", pool_key(pool, 2, 1));
    expect_integer(c, 2, "HSET %s a 1 b 2", from);
    freeReplyObject(expect_reply(c, "HPEXPIREAT %s 33000000000000 FIELDS 1 a", from));
    expect_text(c, "OK", "RENAME %s %s", from, to);
    expect_integer(c, 1, "COPY %s %s", to, copy);
    expect_integer(c, 0, "EXISTS %s", from);
    freeReplyObject(expect_reply(c, "BGREWRITEAOF"));
    AWAIT(atoi(info_field(c, "persistence", "aof_rewrite_in_progress")) == 0);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    for (int i = 0; i < 2; i++) {
        redisReply *reply = expect_reply(c, "HPEXPIRETIME %s FIELDS 2 a b", i == 0 ? to : copy);
        assert_int_equal(reply->elements, 2);
        assert_int_equal(reply->element[0]->integer, 33000000000000);
        assert_int_equal(reply->element[1]->integer, -1);
        freeReplyObject(reply);
    }
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_active, pools_cleanup),
        cmocka_unit_test_teardown(test_over_a_restart_rdb, pools_cleanup),
        cmocka_unit_test_teardown(test_over_a_restart_aof, pools_cleanup),
        cmocka_unit_test_teardown(test_over_a_kill_aof, pools_cleanup),
        cmocka_unit_test_teardown(test_across_shards, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
