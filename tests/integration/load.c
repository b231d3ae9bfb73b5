/* load.c - see the header. Writers never fail the test themselves: cmocka is the main thread's. */
#include "tests/integration/load.h"

static const char doubt[] = "may or may not have been executed";

/* Errors that a pool in trouble may give, all of which mean: not executed. */
static const char *const refusals[] = {"LOADING ",
                                       "MISCONF ",
                                       "OOM ",
                                       "ERR shard ",
                                       "ERR max number of clients",
                                       "ERR the pool takes no clients"};

static bool is_refusal(const char *error) {
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        if (strncmp(error, refusals[i], strlen(refusals[i])) == 0)
            return true;
    }
    return false;
}

static void note_strange(struct load *load, const struct load_book *book, const redisReply *reply) {
    pthread_mutex_lock(&load->lock);
    if (!load->strange[0])
        snprintf(load->strange, sizeof(load->strange), "INCR %s: type %d, %s", book->key,
                 reply->type, reply->str ? reply->str : "");
    pthread_mutex_unlock(&load->lock);
}

static void enter(struct load *load, struct load_book *book, unsigned shard,
                  const redisReply *reply) {
    if (!reply || (reply->type == REDIS_REPLY_ERROR && strstr(reply->str, doubt))) {
        book->doubtful++;
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        book->acknowledged++;
        atomic_fetch_add(&load->acknowledged[shard], 1);
    } else if (reply->type == REDIS_REPLY_ERROR && is_refusal(reply->str)) {
        book->refused++;
    } else {
        note_strange(load, book, reply);
    }
}

/* One write to each shard. A broken connection is closed and nulled. */
static void write_round(struct load_writer *writer, redisContext **c) {
    struct load *load = writer->load;
    for (unsigned shard = 0; shard < load->shards && *c; shard++) {
        redisReply *reply = redisCommand(*c, "INCR %s", writer->books[shard].key);
        enter(load, &writer->books[shard], shard, reply);
        if (reply) {
            freeReplyObject(reply);
        } else {
            redisFree(*c);
            *c = NULL;
        }
    }
}

static void *write_on(void *arg) {
    struct load_writer *writer = arg;
    redisContext *c = NULL;
    while (!atomic_load(&writer->load->stop)) {
        if (!c)
            c = client_try_connect(writer->load->port);
        if (c)
            write_round(writer, &c);
        else
            usleep(2000); /* nobody listens just now */
    }
    if (c)
        redisFree(c);
    return NULL;
}

void load_start(struct load *load, const struct pool *pool, int port, unsigned writers) {
    memset(load, 0, sizeof(*load));
    pthread_mutex_init(&load->lock, NULL);
    load->port = port;
    load->writers = writers;
    load->shards = pool->workers;
    assert_true(writers <= LOAD_WRITERS_MAX);
    for (unsigned i = 0; i < writers; i++) {
        struct load_writer *writer = &load->writer[i];
        writer->load = load;
        for (unsigned shard = 0; shard < load->shards; shard++)
            snprintf(writer->books[shard].key, sizeof(writer->books[shard].key), "%s",
                     pool_key(pool, shard, 1000 + i));
    }
    for (unsigned i = 0; i < writers; i++)
        assert_int_equal(pthread_create(&load->writer[i].thread, NULL, write_on, &load->writer[i]),
                         0);
}

void load_await(struct load *load, unsigned shard, uint64_t more) {
    uint64_t from = atomic_load(&load->acknowledged[shard]);
    AWAIT(atomic_load(&load->acknowledged[shard]) >= from + more || load->strange[0]);
}

void load_stop(struct load *load) {
    atomic_store(&load->stop, true);
    for (unsigned i = 0; i < load->writers; i++)
        pthread_join(load->writer[i].thread, NULL);
    pthread_mutex_destroy(&load->lock);
    if (load->strange[0])
        fail_msg("unexpected reply: %s", load->strange);
}

void load_check(struct load *load, const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < load->writers; i++) {
        for (unsigned shard = 0; shard < load->shards; shard++) {
            const struct load_book *book = &load->writer[i].books[shard];
            int64_t value = ask_integer(c, "INCRBY %s 0", book->key);
            if (value < book->acknowledged || value > book->acknowledged + book->doubtful)
                fail_msg("%s is %lld; %lld acknowledged, %lld doubtful, %lld refused", book->key,
                         (long long)value, (long long)book->acknowledged, (long long)book->doubtful,
                         (long long)book->refused);
        }
    }
    redisFree(c);
}

int64_t load_doubtful(const struct load *load) {
    int64_t sum = 0;
    for (unsigned i = 0; i < load->writers; i++) {
        for (unsigned shard = 0; shard < load->shards; shard++)
            sum += load->writer[i].books[shard].doubtful;
    }
    return sum;
}

int64_t load_refused(const struct load *load) {
    int64_t sum = 0;
    for (unsigned i = 0; i < load->writers; i++) {
        for (unsigned shard = 0; shard < load->shards; shard++)
            sum += load->writer[i].books[shard].refused;
    }
    return sum;
}
