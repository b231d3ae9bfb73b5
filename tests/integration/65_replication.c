/* 65_replication: pools that follow pools, under a load of random commands over every type, while links are
 * cut, processes are killed, stopped and started again: the data are equal in the end, without help, and
 * with few full synchronizations. SEED=n has the same commands again. */
#include "tests/interop/dataset.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum { COMMANDS_MAX = 1000000, KEYS = 200 };

/* ---- the load ---- */
struct writer {
    pthread_t thread;
    int port;
    uint64_t random;
    atomic_bool stop;
    atomic_uint said;
};

static void say_one(redisContext *c, uint64_t *random) {
    static const char *const formats[] = {
        "SET s:%u v:%u",
        "INCRBY n:%u %u",
        "APPEND s:%u -%u",
        "RPUSH l:%u e:%u",
        "LTRIM l:%u -20 %u",
        "SADD t:%u m:%u",
        "SREM t:%u m:%u",
        "HSET h:%u f:%u v",
        "HDEL h:%u f:%u",
        "ZADD z:%u %u member",
        "ZINCRBY z:%u %u other",
        "XADD x:%u MAXLEN 20 * f %u",
        "EXPIRE s:%u 9%u00",
        "SET gone:%u x PX 1%u",
        "DEL h:%u l:%u",
        "RENAME s:%u s:%u",
        "SUNIONSTORE t:%u t:%u t:1",
        "MSET s:%u a s:%u b",
        "SPOP t:%u",
        "SELECT %u",
        "COPY z:%u z:%u REPLACE",
        "PFADD p:%u e:%u",
        "SETBIT b:%u %u 1",
    };
    const unsigned count = sizeof(formats) / sizeof(formats[0]);
    unsigned which = random_below(random, count), a = random_below(random, KEYS);
    if (strncmp(formats[which], "SELECT", 6) == 0)
        a = random_below(random, 2) * 9;
    freeReplyObject(redisCommand(c, formats[which], a, random_below(random, KEYS)));
}

static void *write_on(void *arg) {
    struct writer *w = arg;
    redisContext *c = NULL;
    while (!atomic_load(&w->stop) && atomic_load(&w->said) < COMMANDS_MAX) {
        if (!c && !(c = client_try_connect(w->port))) {
            usleep(5000);
            continue;
        }
        say_one(c, &w->random);
        atomic_fetch_add(&w->said, 1);
        if (c->err) {
            redisFree(c);
            c = NULL;
        }
        usleep(200);
    }
    if (c)
        redisFree(c);
    return NULL;
}

static void load_begin(struct writer *w, const struct pool *pool, uint64_t seed) {
    *w = (struct writer){.port = pool->port, .random = seed};
    assert_int_equal(pthread_create(&w->thread, NULL, write_on, w), 0);
}

static void load_more(struct writer *w, unsigned more) {
    unsigned until = atomic_load(&w->said) + more;
    AWAIT(atomic_load(&w->said) >= until);
}

static void load_end(struct writer *w) {
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
}

/* ---- who follows whom ---- */
static void follow(const struct pool *replica, const struct pool *primary) {
    redisContext *c = pool_connect(replica);
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 %d", primary->port);
    redisFree(c);
}

static void promote(const struct pool *replica) {
    redisContext *c = pool_connect(replica);
    expect_text(c, "OK", "REPLICAOF NO ONE");
    redisFree(c);
}

static bool link_is_up(const struct pool *replica) {
    redisContext *c = client_try_connect(replica->port);
    if (!c)
        return false;
    redisReply *info = redisCommand(c, "INFO replication");
    bool up = info && info->type == REDIS_REPLY_STRING && strstr(info->str, "link_status:up");
    freeReplyObject(info);
    redisFree(c);
    return up;
}

static bool has(const struct pool *pool, const char *key, const char *value) {
    redisContext *c = client_try_connect(pool->port);
    if (!c)
        return false;
    redisReply *reply = redisCommand(c, "GET %s", key);
    bool equal = reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, value) == 0;
    freeReplyObject(reply);
    redisFree(c);
    return equal;
}

/* What expires by itself does it before the data are looked at. */
static void await_expiry(const struct pool *primary) {
    redisContext *c = pool_connect(primary);
    for (int db = 0; db <= 9; db += 9) {
        expect_text(c, "OK", "SELECT %d", db);
        for (int i = 0; i < KEYS; i++)
            AWAIT(ask_integer(c, "EXISTS gone:%d", i) == 0);
    }
    redisFree(c);
}

/* The stream of every worker keeps its order: what was said before the last word is there with it. */
static void await_equal(const struct pool *primary, const struct pool *replica) {
    static unsigned words;
    char word[32];
    snprintf(word, sizeof(word), "word:%u", ++words);
    AWAIT(link_is_up(replica));
    await_expiry(primary);
    redisContext *c = pool_connect(primary);
    for (unsigned i = 0; i < primary->workers; i++)
        expect_text(c, "OK", "SET %s %s", pool_key(primary, i, 0), word);
    redisFree(c);
    for (unsigned i = 0; i < primary->workers; i++)
        AWAIT(has(replica, pool_key(primary, i, 0), word));
    dataset_assert_equal("primary", primary->port, "replica", replica->port, EXPIRY_EXACT);
}

static unsigned full_syncs(const struct pool *replica) {
    int code;
    char *said = run_shell(&code, "grep -c 'Full resync from master' %s", replica->log);
    unsigned count = (unsigned)atoi(said);
    free(said);
    return count;
}

static void cut_links(const struct pool *primary) {
    for (unsigned i = 0; i < primary->workers; i++) {
        redisContext *c = pool_connect_worker(primary, i);
        freeReplyObject(redisCommand(c, "CLIENT KILL TYPE replica"));
        redisFree(c);
    }
}

static struct pool *start(unsigned workers, const char *appendonly) {
    return pool_start(&(struct pool_options){
        .workers = workers,
        .deaths = true,
        .options = {"--appendonly", appendonly, "--repl-backlog-size", "16mb", "--save", ""}});
}

/* ---- tests ---- */
static void run_sizes(unsigned primary_workers, unsigned replica_workers) {
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *primary = start(primary_workers, "no"), *replica = start(replica_workers, "no");
    dataset_fill(primary->port, seed, 600);
    load_begin(&w, primary, seed);
    follow(replica, primary);
    AWAIT(link_is_up(replica));
    load_more(&w, 500);
    cut_links(primary);
    load_more(&w, 500);
    load_end(&w);
    await_equal(primary, replica);
    assert_in_range(full_syncs(replica), primary_workers, 2 * primary_workers);
    redisContext *c = pool_connect(replica);
    expect_error(c, "READONLY You can't write against a read only replica.", "SET a b");
    assert_string_equal(info_field(c, "replication", "role"), "slave");
    redisFree(c);
    /* What concerns whole databases reaches links that are not at the same place. */
    c = pool_connect(primary);
    expect_text(c, "OK", "SELECT 9");
    expect_text(c, "OK", "FLUSHDB");
    for (int i = 0; i < 20; i++)
        expect_text(c, "OK", "SET after:%d x", i);
    redisFree(c);
    await_equal(primary, replica);
    promote(replica);
    c = pool_connect(replica);
    expect_text(c, "OK", "SET a b");
    redisFree(c);
    pool_end(&replica);
    pool_end(&primary);
}

static void test_equal_sizes(void **state) {
    run_sizes(2, 2);
}
static void test_one_to_three(void **state) {
    run_sizes(1, 3);
}
static void test_three_to_two(void **state) {
    run_sizes(3, 2);
}

/* A chain of three; its middle is promoted, and its last one goes on by partial resynchronization. */
static void test_chain_and_promotion(void **state) {
    struct writer w;
    uint64_t seed = random_seed();
    struct pool *first = start(2, "no"), *middle = start(2, "no"), *last = start(2, "no");
    dataset_fill(first->port, seed, 300);
    load_begin(&w, first, seed);
    follow(middle, first);
    AWAIT(link_is_up(middle));
    follow(last, middle);
    AWAIT(link_is_up(last));
    load_more(&w, 500);
    load_end(&w);
    await_equal(first, last);
    unsigned before = full_syncs(last);
    promote(middle);
    load_begin(&w, middle, seed + 1);
    load_more(&w, 500);
    load_end(&w);
    await_equal(middle, last);
    assert_int_equal(full_syncs(last), before);
    /* And the one that was first follows, from where they parted. */
    follow(first, middle);
    await_equal(middle, first);
    assert_in_range(full_syncs(first), 0, 2); /* none, unless a key had expired there meanwhile */
    pool_end(&last);
    pool_end(&middle);
    pool_end(&first);
}

/* An orderly restart of either side costs a partial resynchronization only. */
static void test_restarts(void **state) {
    static const char *const appendonly[] = {"yes", "no"};
    for (unsigned i = 0; i < 2; i++) {
        struct pool_options options = {
            .workers = 2, .options = {"--appendonly", appendonly[i], "--save", "3600 1"}};
        struct pool *primary = pool_start(&options);
        char target[32];
        snprintf(target, sizeof(target), "127.0.0.1 %d", primary->port);
        options.options[4] = "--replicaof";
        options.options[5] = target;
        struct pool *replica = pool_start(&options);
        dataset_fill(primary->port, random_seed(), 300);
        await_equal(primary, replica);
        assert_int_equal(full_syncs(replica), 2);
        struct pool *both[] = {replica, primary};
        for (unsigned n = 0; n < 2; n++) {
            assert_int_equal(pool_stop(both[n]), 0);
            pool_start_again(both[n]);
            await_equal(primary, replica);
            assert_int_equal(full_syncs(replica), 2);
        }
        pool_end(&replica);
        pool_end(&primary);
    }
}

/* Processes die, sleep and lose their links at random under load. */
static void test_kills(void **state) {
    struct writer w;
    uint64_t seed = random_seed(), random = seed;
    struct pool *primary = start(2, "yes"), *replica = start(2, "yes");
    dataset_fill(primary->port, seed, 300);
    follow(replica, primary);
    AWAIT(link_is_up(replica));
    load_begin(&w, primary, seed);
    unsigned rounds = 6;
    for (unsigned i = 0; i < rounds; i++) {
        pid_t pids[POOL_WORKERS_MAX + 2];
        usleep(random_below(&random, 300) * 1000);
        switch (i % 4) {
        case 0: pool_kill_worker(replica, random_below(&random, 2), SIGKILL); break;
        case 1: pool_kill_worker(primary, random_below(&random, 2), SIGKILL); break;
        case 2: cut_links(primary); break;
        default:
            /* All of the replica's processes sleep for a moment: the primary goes on meanwhile. */
            kill(replica->pid, SIGSTOP);
            for (unsigned n = 0, count = pool_pids(replica, pids); n < count; n++)
                kill(pids[n], SIGSTOP);
            load_more(&w, 200);
            for (unsigned n = 0, count = pool_pids(replica, pids); n < count; n++)
                kill(pids[n], SIGCONT);
            kill(replica->pid, SIGCONT);
        }
        load_more(&w, 100);
    }
    load_end(&w);
    await_equal(primary, replica);
    assert_true(full_syncs(replica) <= 2 * (rounds + 1));
    pool_end(&replica);
    pool_end(&primary);
}

/* The stream may stand in a database that a replica does not have. */
static void test_fewer_databases(void **state) {
    struct pool *primary = start(1, "no"), *between = start(1, "no"),
                *replica = pool_start(&(struct pool_options){
                    .workers = 1, .options = {"--databases", "4", "--save", ""}});
    follow(between, primary);
    AWAIT(link_is_up(between));
    redisContext *c = pool_connect(primary);
    expect_text(c, "OK", "SELECT 9");
    expect_text(c, "OK", "SET a b");
    expect_integer(c, 1, "DEL a");
    expect_integer(c, 1, "WAIT 1 0");
    follow(replica, between);
    AWAIT(pool_log_has(replica, "stream is in database 9, which is not here"));
    expect_text(c, "OK", "SELECT 2");
    expect_text(c, "OK", "SET a c");
    redisFree(c);
    AWAIT(link_is_up(replica));
    c = pool_connect(replica);
    expect_text(c, "OK", "SELECT 2");
    expect_text(c, "c", "GET a");
    redisFree(c);
    pool_end(&replica);
    pool_end(&between);
    pool_end(&primary);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_equal_sizes, pools_cleanup),
        cmocka_unit_test_teardown(test_one_to_three, pools_cleanup),
        cmocka_unit_test_teardown(test_three_to_two, pools_cleanup),
        cmocka_unit_test_teardown(test_chain_and_promotion, pools_cleanup),
        cmocka_unit_test_teardown(test_restarts, pools_cleanup),
        cmocka_unit_test_teardown(test_kills, pools_cleanup),
        cmocka_unit_test_teardown(test_fewer_databases, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
