/* failover_pair.c - see failover_pair.h. */
#include "tests/integration/failover_pair.h"

#include <pthread.h>
#include <stdatomic.h>

enum { COUNTERS = 4, ENOUGH = 100 };

/* ---- the pools ---- */
bool pair_role_is(const struct pool *pool, const char *role) {
    redisContext *c = pool_connect(pool);
    bool is = strcmp(info_field(c, "replication", "role"), role) == 0;
    redisFree(c);
    return is;
}

bool pair_failover_is(const struct pool *pool, const char *state) {
    redisContext *c = pool_connect(pool);
    bool is = strcmp(info_field(c, "replication", "master_failover_state"), state) == 0;
    redisFree(c);
    return is;
}

bool pair_link_is_up(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    bool up = strcmp(info_field(c, "replication", "role"), "slave") == 0 &&
              strcmp(info_field(c, "replication", "master_link_status"), "up") == 0;
    redisFree(c);
    return up;
}

bool pair_has_replicas(const struct pool *pool) {
    bool all = true;
    for (unsigned i = 0; i < PAIR_WORKERS; i++)
        all = all &&
              strcmp(pool_text(pool, "workers.%u.replication.replicas.0.state", i), "online") == 0;
    return all;
}

/* After a full sync a log begins anew; until then the death of a worker takes what came since. */
static bool logs_are_on(const struct pool *pool) {
    return pool_sum(pool, "aof_enabled") == PAIR_WORKERS &&
           pool_sum(pool, "aof_rewrite_in_progress") + pool_sum(pool, "aof_rewrite_scheduled") == 0;
}

void pair_follow(struct pool *replica, struct pool *primary) {
    redisContext *c = pool_connect(replica);
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 %d", primary->port);
    redisFree(c);
    AWAIT(pair_link_is_up(replica) && pair_has_replicas(primary));
    AWAIT(logs_are_on(replica));
}

void pair_start(struct pool *pool[2]) {
    for (unsigned i = 0; i < 2; i++)
        pool[i] = pool_start(&(struct pool_options){
            .workers = PAIR_WORKERS,
            .ini = "# nothing is said here\n",
            .options = {"--appendonly", "yes", "--save", "", "--heartbeat-timeout", "60000"}});
    pair_follow(pool[1], pool[0]);
}

void pair_end(struct pool *pool[2]) {
    pool_end(&pool[1]);
    pool_end(&pool[0]);
}

/* ---- the counters ---- */
static struct counter {
    pthread_t thread;
    int port;
    unsigned number;
    int64_t acknowledged;
    _Atomic int64_t count;
    bool refused;
} counters[COUNTERS]; /* a failed test leaves the threads */
static _Atomic bool stopping;

/* False: it was refused. */
static bool count_over(struct counter *k, redisContext *c) {
    redisReply *reply;
    while (!atomic_load(&stopping) &&
           (reply = redisCommand(c, "INCR counter:%u", k->number)) != NULL) {
        k->refused = reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "READONLY", 8) == 0;
        if (reply->type == REDIS_REPLY_INTEGER)
            atomic_store(&k->count, k->acknowledged = reply->integer);
        freeReplyObject(reply);
        if (k->refused)
            return false;
    }
    return true;
}

static void *count_up(void *arg) {
    struct counter *k = arg;
    while (!k->refused && !atomic_load(&stopping)) {
        redisContext *c = client_try_connect(k->port);
        if (c == NULL) {
            usleep(5000);
            continue;
        }
        (void)count_over(k, c);
        redisFree(c);
    }
    return NULL;
}

void counters_start(const struct pool *primary) {
    atomic_store(&stopping, false);
    for (unsigned i = 0; i < COUNTERS; i++) {
        counters[i] = (struct counter){.port = primary->port, .number = i};
        assert_int_equal(pthread_create(&counters[i].thread, NULL, count_up, &counters[i]), 0);
    }
    for (unsigned i = 0; i < COUNTERS; i++)
        AWAIT(atomic_load(&counters[i].count) > ENOUGH);
}

static void join(bool refused) {
    for (unsigned i = 0; i < COUNTERS; i++)
        pthread_join(counters[i].thread, NULL);
    for (unsigned i = 0; i < COUNTERS; i++)
        assert_int_equal(counters[i].refused, refused);
}

void counters_join(void) {
    join(true);
}

void counters_stop(void) {
    atomic_store(&stopping, true);
    join(false);
}

void counters_check(const struct pool *pool, bool exactly) {
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < COUNTERS; i++) {
        int64_t here = ask_integer(c, "INCRBY counter:%u 0", i);
        if (here < counters[i].acknowledged || (exactly && here > counters[i].acknowledged))
            fail_msg("counter %u is %lld, acknowledged were %lld", i, (long long)here,
                     (long long)counters[i].acknowledged);
        expect_integer(c, 1, "DEL counter:%u", i);
    }
    redisFree(c);
}
