/* 23_stream_waits.c - XREAD and XREADGROUP that wait for streams of several shards: the end of a wait in
 * every way, clients and workers that go, and a group whose consumers get each entry just once. */
#include "tests/integration/pool_fixture.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { SHARDS = 3 };
static struct pool *pool;
static redisContext *c;

static int start(void **state) {
    static const struct pool_options options = {
        .options = {"--appendonly", "yes", "--restart-limit", "100"}, .deaths = true};
    pool = pool_start(&options);
    c = pool_connect(pool);
    return 0;
}

static int end(void **state) {
    redisFree(c);
    pool_end(&pool);
    return 0;
}

static int make_groups(void **state) {
    expect_text(c, "OK", "FLUSHALL");
    for (unsigned shard = 0; shard < SHARDS; shard++)
        expect_text(c, "OK", "XGROUP CREATE %s g 0 MKSTREAM", pool_key(pool, shard, 1));
    return 0;
}

static long blocked(void) {
    return atol(info_field(c, "clients", "blocked_clients"));
}

/* Send what waits for a stream of every shard, and wait until it does. */
static void block(redisContext *who, bool of_group) {
    long before = blocked();
    char keys[256];
    snprintf(keys, sizeof(keys), "%s %s %s", pool_key(pool, 0, 1), pool_key(pool, 1, 1),
             pool_key(pool, 2, 1));
    char text[512];
    snprintf(text, sizeof(text), "%s BLOCK 0 STREAMS %s %s",
             of_group ? "XREADGROUP GROUP g me" : "XREAD", keys, of_group ? "> > >" : "$ $ $");
    assert_int_equal(redisAppendCommand(who, text), REDIS_OK);
    int done = 0;
    while (!done)
        assert_int_equal(redisBufferWrite(who, &done), REDIS_OK);
    AWAIT(blocked() == before + 1);
}

static redisReply *reply_of(redisContext *who) {
    void *reply;
    assert_int_equal(redisGetReply(who, &reply), REDIS_OK);
    return reply;
}

static void expect_entry(redisContext *who, const char *key, const char *value) {
    redisReply *reply = reply_of(who);
    if (reply->type != REDIS_REPLY_ARRAY)
        fail_msg("%s", reply->type == REDIS_REPLY_ERROR ? reply->str : "no array");
    assert_int_equal(reply->elements, 1);
    assert_string_equal(reply->element[0]->element[0]->str, key);
    redisReply *entries = reply->element[0]->element[1];
    assert_int_equal(entries->elements, 1);
    assert_string_equal(entries->element[0]->element[1]->element[1]->str, value);
    freeReplyObject(reply);
}

static void expect_error_reply(redisContext *who, const char *text) {
    redisReply *reply = reply_of(who);
    assert_int_equal(reply->type, REDIS_REPLY_ERROR);
    assert_non_null(strstr(reply->str, text));
    freeReplyObject(reply);
}

static void add(unsigned shard, const char *value) {
    freeReplyObject(expect_reply(c, "XADD %s * f %s", pool_key(pool, shard, 1), value));
}

static void test_any_shard_ends_the_wait(void **state) {
    for (unsigned home = 0; home < SHARDS; home++) {
        redisContext *waiter = pool_connect(pool);
        expect_nil(waiter, "GET %s", pool_key(pool, home, 5)); /* whose client it is */
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            for (int of_group = 0; of_group < 2; of_group++) {
                block(waiter, of_group);
                add(shard, "x");
                expect_entry(waiter, pool_key(pool, shard, 1), "x");
                if (!of_group)
                    freeReplyObject(expect_reply(c, "XREADGROUP GROUP g other STREAMS %s >",
                                                 pool_key(pool, shard, 1)));
            }
        }
        expect_text(waiter, "PONG", "PING");
        redisFree(waiter);
    }
    assert_int_equal(blocked(), 0);
}

static void test_unblock(void **state) {
    redisContext *waiter = pool_connect(pool);
    int64_t id = ask_integer(waiter, "CLIENT ID");
    for (int with_error = 0; with_error < 2; with_error++) {
        block(waiter, with_error);
        expect_integer(c, 1, "CLIENT UNBLOCK %lld %s", (long long)id,
                       with_error ? "ERROR" : "TIMEOUT");
        if (with_error) {
            expect_error_reply(waiter, "UNBLOCKED client unblocked via CLIENT UNBLOCK");
        } else {
            redisReply *reply = reply_of(waiter);
            assert_int_equal(reply->type, REDIS_REPLY_NIL);
            freeReplyObject(reply);
        }
        expect_integer(c, 0, "CLIENT UNBLOCK %lld", (long long)id);
    }
    redisFree(waiter);
}

/* Nothing is given to a client that has gone. */
static void test_clients_that_go(void **state) {
    for (unsigned home = 0; home < SHARDS; home++) {
        redisContext *waiter = pool_connect(pool);
        expect_nil(waiter, "GET %s", pool_key(pool, home, 5));
        block(waiter, true);
        redisFree(waiter);
        AWAIT(blocked() == 0);
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            add(shard, "x");
            redisReply *pending = expect_reply(c, "XPENDING %s g", pool_key(pool, shard, 1));
            assert_int_equal(pending->element[0]->integer, 0);
            freeReplyObject(pending);
        }
        make_groups(NULL);
    }
}

/* A read waits on at the owner's next generation; of a group nobody can say what was given away. */
static void test_workers_that_die(void **state) {
    for (unsigned dead = 0; dead < SHARDS; dead++) {
        unsigned home = (dead + 1) % SHARDS, last = (dead + 2) % SHARDS;
        make_groups(NULL);
        redisContext *reader = pool_connect(pool), *member = pool_connect(pool);
        expect_nil(reader, "GET %s", pool_key(pool, home, 5));
        expect_nil(member, "GET %s", pool_key(pool, home, 5));
        redisFree(c);
        c = pool_connect(pool);
        expect_nil(c, "GET %s", pool_key(pool, last, 6));
        block(reader, false);
        block(member, true);
        pid_t before = pool_worker_pid(pool, dead);
        pool_kill_worker(pool, dead, SIGKILL);
        expect_error_reply(member, "went down while it ran this command");
        AWAIT(pool_worker_pid(pool, dead) > 0 && pool_worker_pid(pool, dead) != before);
        AWAIT(blocked() == 1);
        add(last, "y");
        expect_entry(reader, pool_key(pool, last, 1), "y");
        redisFree(reader);
        redisFree(member);
    }
}

/* ---- each entry once ---- */

enum { PRODUCERS = 3, CONSUMERS = 5, EACH = 2000, STREAMS = 6 };

struct party {
    pthread_t thread;
    unsigned number, seed;
};
static _Atomic unsigned char seen[PRODUCERS * EACH];
static _Atomic unsigned delivered;

static void *produce(void *arg) {
    struct party *party = arg;
    redisContext *own = client_connect(pool->port);
    for (unsigned i = 0; i < EACH;) {
        unsigned burst = 1 + (unsigned)rand_r(&party->seed) % 20, sent = 0;
        for (; sent < burst && i < EACH; sent++, i++)
            redisAppendCommand(own, "XADD stream:%u MAXLEN ~ 100000 * n %u",
                               (unsigned)rand_r(&party->seed) % STREAMS, party->number * EACH + i);
        for (; sent > 0; sent--)
            freeReplyObject(reply_of(own));
    }
    redisFree(own);
    return NULL;
}

static void note(const redisReply *entries) {
    for (size_t i = 0; i < entries->elements; i++) {
        unsigned long number = strtoul(entries->element[i]->element[1]->element[1]->str, NULL, 10);
        assert_in_range(number, 0, PRODUCERS * EACH - 1);
        assert_int_equal(atomic_fetch_add(&seen[number], 1), 0);
        atomic_fetch_add(&delivered, 1);
    }
}

static void *consume(void *arg) {
    struct party *party = arg;
    redisContext *own = client_connect(pool->port);
    while (atomic_load(&delivered) < PRODUCERS * EACH) {
        redisReply *reply = expect_reply(
            own,
            "XREADGROUP GROUP g c:%u COUNT %u BLOCK %u STREAMS stream:0 stream:1 stream:2 stream:3 "
            "stream:4 stream:5 > > > > > >",
            party->number, 1 + (unsigned)rand_r(&party->seed) % 5,
            1 + (unsigned)rand_r(&party->seed) % 20);
        for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
            note(reply->element[i]->element[1]);
        freeReplyObject(reply);
    }
    redisFree(own);
    return NULL;
}

static long long pending_of_all(void) {
    long long all = 0;
    for (unsigned i = 0; i < STREAMS; i++) {
        redisReply *pending = expect_reply(c, "XPENDING stream:%u g", i);
        all += pending->element[0]->integer;
        freeReplyObject(pending);
    }
    return all;
}

static void test_each_entry_once(void **state) {
    struct party party[PRODUCERS + CONSUMERS];
    unsigned seed = (unsigned)clock_mono_us();
    print_message("seed %u\n", seed);
    for (unsigned i = 0; i < STREAMS; i++)
        expect_text(c, "OK", "XGROUP CREATE stream:%u g $ MKSTREAM", i);
    for (unsigned i = 0; i < PRODUCERS + CONSUMERS; i++) {
        party[i] = (struct party){.number = i, .seed = seed + i};
        pthread_create(&party[i].thread, NULL, i < PRODUCERS ? produce : consume, &party[i]);
    }
    for (unsigned i = 0; i < PRODUCERS + CONSUMERS; i++)
        pthread_join(party[i].thread, NULL);
    for (unsigned i = 0; i < PRODUCERS * EACH; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(pending_of_all(), PRODUCERS * EACH);
    /* And so it is once more, out of the log. */
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    assert_int_equal(pending_of_all(), PRODUCERS * EACH);
    for (unsigned i = 0; i < STREAMS; i++) {
        redisReply *groups = expect_reply(c, "XINFO GROUPS stream:%u", i);
        const redisReply *group = groups->element[0];
        assert_int_equal(group->element[9]->integer, ask_integer(c, "XLEN stream:%u", i));
        assert_int_equal(group->element[11]->integer, 0);
        freeReplyObject(groups);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_any_shard_ends_the_wait, make_groups),
        cmocka_unit_test_setup(test_unblock, make_groups),
        cmocka_unit_test_setup(test_clients_that_go, make_groups),
        cmocka_unit_test_setup(test_workers_that_die, make_groups),
        cmocka_unit_test_setup(test_each_entry_once, make_groups),
    };
    int failed = cmocka_run_group_tests(tests, start, end);
    pools_cleanup(NULL);
    return failed;
}
