/* 40_kill: processes of a pool under load die by kill -9, at random, again and again: workers, the
 * front, the supervisor, with a rewrite of the log or a snapshot under way more often than not. Under appendfsync always whatever was acknowledged is there afterwards, and no
 * command ran twice: a counter is at least what was acknowledged, at most that and the commands whose
 * end nobody knows. KILL_SECONDS=n makes it longer, SEED=n has the same kills again. */
#include "tests/interop/dataset.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum {
    WRITERS = 6,
    COUNTERS = 24, /* of each writer, on all shards */
    SETS = 100000, /* different keys of each writer, at most */
    PIPELINE = 16,
    SECONDS_DEFAULT = 20,
    RECONNECT_US = 2000
};

enum outcome { NOT_TRIED, UNKNOWN, ACKNOWLEDGED };

/* Everything but `stop` belongs to the writer's thread until it is joined. */
struct writer {
    pthread_t thread;
    unsigned number;
    int port;
    atomic_bool *stop;
    redisContext *c;
    uint64_t random;
    int64_t acknowledged[COUNTERS], unknown[COUNTERS];
    uint8_t set[SETS];
    unsigned sets;
    uint64_t errors, reconnects;
    char complaint[256]; /* what was wrong; assertions are the main thread's */
};
struct command {
    bool is_set;
    unsigned which;
};

static void connect_writer(struct writer *w) {
    struct timeval limit = {.tv_sec = 20};
    while (!w->c && !atomic_load(w->stop)) {
        w->c = redisConnectWithTimeout("127.0.0.1", w->port, limit);
        if (w->c && w->c->err == 0 && redisSetTimeout(w->c, limit) == REDIS_OK)
            return;
        if (w->c)
            redisFree(w->c);
        w->c = NULL;
        usleep(RECONNECT_US);
    }
}

static void give_command(struct writer *w, struct command *command) {
    command->is_set = random_below(&w->random, 3) == 0 && w->sets < SETS;
    if (command->is_set) {
        command->which = w->sets++;
        w->set[command->which] = UNKNOWN;
        redisAppendCommand(w->c, "SET set:%d:%d value:%d", (int)w->number, (int)command->which,
                           (int)command->which);
    } else {
        command->which = random_below(&w->random, COUNTERS);
        w->unknown[command->which]++;
        redisAppendCommand(w->c, "INCR counter:%d:%d", (int)w->number, (int)command->which);
    }
}

/* A writer alone changes its counters: the value tells at once whether a command was lost or ran
 * twice. */
static void check_counter(struct writer *w, unsigned which, int64_t value) {
    int64_t least = ++w->acknowledged[which], most = least + --w->unknown[which];
    if ((value < least || value > most) && !w->complaint[0])
        snprintf(w->complaint, sizeof(w->complaint),
                 "counter:%u:%u became %lld, of %lld acknowledged and %lld unknown", w->number,
                 which, (long long)value, (long long)least, (long long)(most - least));
}

static void take_reply(struct writer *w, const struct command *command, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_ERROR) /* it may have run, or not */
        w->errors++;
    else if (command->is_set)
        w->set[command->which] = ACKNOWLEDGED;
    else
        check_counter(w, command->which, reply->integer);
}

static void *write_on(void *arg) {
    struct writer *w = arg;
    while (!atomic_load(w->stop)) {
        connect_writer(w);
        if (!w->c)
            break;
        struct command commands[PIPELINE];
        unsigned count = 1 + random_below(&w->random, PIPELINE);
        for (unsigned i = 0; i < count; i++)
            give_command(w, &commands[i]);
        for (unsigned i = 0; i < count; i++) {
            void *reply = NULL;
            if (redisGetReply(w->c, &reply) != REDIS_OK) {
                redisFree(w->c);
                w->c = NULL;
                w->reconnects++;
                break;
            }
            take_reply(w, &commands[i], reply);
            freeReplyObject(reply);
        }
    }
    if (w->c)
        redisFree(w->c);
    return NULL;
}

/* ---- killing ---- */

static void kill_front(struct pool *pool) {
    pid_t old = pool_front_pid(pool), now = 0;
    assert_true(old > 0);
    kill(old, SIGKILL);
    AWAIT((now = pool_front_pid(pool)) > 0 && now != old);
}

/* Rewrites and snapshots of all shards, one after the other, and into one of them comes the kill. */
static void keep_children_busy(struct pool *pool, uint64_t *random) {
    static const char *const orders[] = {"BGREWRITEAOF", "BGSAVE"};
    redisContext *c = client_try_connect(pool->port);
    if (!c)
        return;
    freeReplyObject(
        redisCommand(c, orders[random_below(random, 2)])); /* may be under way already */
    redisFree(c);
    usleep(random_below(random, 40) * 1000);
}

static void kill_one(struct pool *pool, uint64_t *random) {
    unsigned draw = random_below(random, 10);
    if (draw == 0)
        pool_kill_supervisor(pool);
    else if (draw < 3)
        kill_front(pool);
    else
        pool_kill_worker(pool, random_below(random, pool->workers), SIGKILL);
    pool_await_ready(pool);
}

/* ---- afterwards ---- */

static void check_writer(redisContext *c, const struct writer *w) {
    if (w->complaint[0])
        fail_msg("%s", w->complaint);
    for (unsigned i = 0; i < COUNTERS; i++) {
        redisReply *reply = expect_reply(c, "GET counter:%d:%d", (int)w->number, (int)i);
        int64_t value = reply->type == REDIS_REPLY_STRING ? strtoll(reply->str, NULL, 10) : 0;
        freeReplyObject(reply);
        if (value < w->acknowledged[i] || value > w->acknowledged[i] + w->unknown[i])
            fail_msg("counter:%u:%u is %lld, of %lld acknowledged and %lld unknown", w->number, i,
                     (long long)value, (long long)w->acknowledged[i], (long long)w->unknown[i]);
    }
    for (unsigned i = 0; i < w->sets; i++) {
        char expected[32];
        snprintf(expected, sizeof(expected), "value:%u", i);
        redisReply *reply = expect_reply(c, "GET set:%d:%d", (int)w->number, (int)i);
        bool there = reply->type == REDIS_REPLY_STRING;
        if (there ? strcmp(reply->str, expected) != 0 : w->set[i] == ACKNOWLEDGED)
            fail_msg("set:%u:%u, %s, is %s", w->number, i,
                     w->set[i] == ACKNOWLEDGED ? "acknowledged" : "unknown",
                     there ? reply->str : "lost");
        freeReplyObject(reply);
    }
}

static void check_all(const struct pool *pool, struct writer *const writers[WRITERS]) {
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < WRITERS; i++)
        check_writer(c, writers[i]);
    redisFree(c);
}

static void print_summary(struct writer *const writers[WRITERS], unsigned kills) {
    uint64_t acknowledged = 0, unknown = 0, errors = 0, reconnects = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned n = 0; n < COUNTERS; n++) {
            acknowledged += (uint64_t)writers[i]->acknowledged[n];
            unknown += (uint64_t)writers[i]->unknown[n];
        }
        for (unsigned n = 0; n < writers[i]->sets; n++) {
            acknowledged += writers[i]->set[n] == ACKNOWLEDGED;
            unknown += writers[i]->set[n] == UNKNOWN;
        }
        errors += writers[i]->errors;
        reconnects += writers[i]->reconnects;
    }
    print_message("%u kills, %llu acknowledged, %llu unknown (%llu errors), %llu reconnects\n",
                  kills, (unsigned long long)acknowledged, (unsigned long long)unknown,
                  (unsigned long long)errors, (unsigned long long)reconnects);
    assert_true(kills >= 3 && acknowledged > 1000);
}

static struct writer *writers[WRITERS];
static atomic_bool stop;

static void start_writers(const struct pool *pool, uint64_t seed) {
    atomic_store(&stop, false);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = calloc(1, sizeof(*writers[i]));
        assert_non_null(writers[i]);
        writers[i]->number = i;
        writers[i]->port = pool->port;
        writers[i]->stop = &stop;
        writers[i]->random = seed + i + 1;
        assert_int_equal(pthread_create(&writers[i]->thread, NULL, write_on, writers[i]), 0);
    }
}

static void test_killed_at_random(void **state) {
    struct pool_options options = {
        .workers = 3,
        .deaths = true,
        .options = {"--save", "", "--appendonly", "yes", "--appendfsync", "always",
                    "--restart-limit", "1000", "--restart-delay-max", "200",
                    "--auto-aof-rewrite-min-size", "100kb", "--auto-aof-rewrite-percentage", "50"}};
    const char *wanted = getenv("KILL_SECONDS");
    uint64_t seed = random_seed(), random = seed;
    unsigned kills = 0;
    struct pool *pool = pool_start(&options);
    uint64_t seconds = wanted ? strtoull(wanted, NULL, 10) : SECONDS_DEFAULT;
    uint64_t until_ms = clock_mono_ms() + seconds * 1000;
    start_writers(pool, seed);
    while (clock_mono_ms() < until_ms) {
        usleep(random_below(&random, 300) * 1000);
        if (random_below(&random, 3) > 0)
            keep_children_busy(pool, &random);
        kill_one(pool, &random);
        kills++;
    }
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(writers[i]->thread, NULL);
    print_summary(writers, kills);
    assert_true(pool_log_has(pool, "Background AOF rewrite finished") &&
                pool_log_has(pool, "Background saving terminated"));
    check_all(pool, writers);
    /* The disk alone tells the same. */
    pool_kill_supervisor(pool);
    check_all(pool, writers);
    for (unsigned i = 0; i < WRITERS; i++)
        free(writers[i]);
    pool_end(&pool);
}

/* Threads of a test that failed must not outlive it. */
static int cleanup(void **state) {
    atomic_store(&stop, true);
    return pools_cleanup(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_killed_at_random, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
