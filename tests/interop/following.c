/* following.c - see following.h. */
#include "tests/interop/following.h"

enum { KEYS = 400, ROUNDS = 5 };

int64_t offset_of(int port, const char *field) {
    redisContext *c = client_connect(port);
    int64_t offset = atoll(info_field(c, "replication", field));
    redisFree(c);
    return offset;
}

bool link_is_up(int port) {
    redisContext *c = client_connect(port);
    bool up = strcmp(info_field(c, "replication", "master_link_status"), "up") == 0;
    redisFree(c);
    return up;
}

void await_caught_up(int primary, int follower) {
    AWAIT(link_is_up(follower));
    int64_t said = offset_of(primary, "master_repl_offset");
    AWAIT(link_is_up(follower) && offset_of(follower, "slave_repl_offset") >= said);
}

void follow(int follower, const char *host, int port) {
    redisContext *c = client_connect(follower);
    expect_text(c, "OK", "REPLICAOF %s %d", host, port);
    redisFree(c);
}

void stop_following(int follower) {
    redisContext *c = client_connect(follower);
    expect_text(c, "OK", "REPLICAOF NO ONE");
    expect_text(c, "OK", "SET promoted yes");
    expect_integer(c, 1, "DEL promoted");
    redisFree(c);
}

void say_more(int port, unsigned round, unsigned count) {
    static const char *const forms[] = {
        "SET s:%u:%u %u",         "HSET h:%u:%u f %u g x",     "RPUSH l:%u:%u a %u b",
        "SADD m:%u:%u %u 1 2",    "ZADD z:%u:%u %u one 2 two", "XADD x:%u:%u 1-1 f %u",
        "PFADD p:%u:%u %u a b c", "SETEX e:%u:%u 10000 %u",    "GEOADD g:%u:%u 13.36 38.11 p%u",
        "SETBIT b:%u:%u 1%u 1",   "APPEND s:%u:%u %u",         "INCRBYFLOAT i:%u:%u 0.%u"};
    enum { FORMS = sizeof(forms) / sizeof(forms[0]) };
    redisContext *c = client_connect(port);
    for (unsigned i = 0; i < count; i++) {
        expect_text(c, "OK", "SELECT %d", i % 3 ? 0 : 5);
        freeReplyObject(expect_reply(c, forms[i % FORMS], round, i / FORMS, i));
        if (i % 11 == 10)
            freeReplyObject(expect_reply(c, "DEL s:%u:%u", round, i / FORMS / 2));
    }
    redisFree(c);
}

void fill_much(int port, unsigned keys, unsigned value_bytes) {
    enum { BATCH = 1000 };
    uint64_t random = keys;
    char *value = malloc(value_bytes);
    redisContext *c = client_connect(port);
    assert_non_null(value);
    for (unsigned i = 0; i < value_bytes; i++)
        value[i] = (char)('!' + random_below(&random, 90));
    for (unsigned done = 0; done < keys; done += BATCH) {
        for (unsigned i = done; i < done + BATCH; i++)
            redisAppendCommand(c, "SET much:%u %b", i, value, (size_t)value_bytes);
        for (unsigned i = 0; i < BATCH; i++) {
            redisReply *reply = NULL;
            assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
            assert_int_equal(reply->type, REDIS_REPLY_STATUS);
            freeReplyObject(reply);
        }
    }
    redisFree(c);
    free(value);
}

void fill_and_follow(int primary, int follower, int primary_port, uint64_t seed) {
    dataset_fill(primary, seed, KEYS);
    follow(follower, "127.0.0.1", primary_port);
    for (unsigned i = 1; i <= ROUNDS; i++)
        say_more(primary, i, KEYS);
    await_caught_up(primary, follower);
}

unsigned log_lines(const char *dir, const char *text) {
    int code;
    char *said = run_shell(&code, "grep -aFc -- '%s' %s/log", text, dir);
    unsigned count = (unsigned)atoi(said);
    free(said);
    return count;
}

/* ---- a writer in the background ---- */
static void *write_on(void *arg) {
    static const char *const formats[] = {"SET w:s:%u v:%u",      "INCRBY w:n:%u %u",
                                          "RPUSH w:l:%u %u",      "SADD w:t:%u %u",
                                          "HSET w:h:%u f %u",     "ZADD w:z:%u %u m",
                                          "RENAME w:s:%u w:s:%u", "SUNIONSTORE w:t:%u w:t:%u w:t:1",
                                          "DEL w:l:%u w:h:%u",    "XADD w:x:%u * f %u"};
    struct writer *w = arg;
    redisContext *c = NULL;
    while (!atomic_load(&w->stop)) {
        if (!c && !(c = client_try_connect(w->port))) {
            usleep(5000); /* it is away for a moment */
            continue;
        }
        unsigned which = random_below(&w->random, 10), a = random_below(&w->random, 100);
        freeReplyObject(redisCommand(c, "SELECT %d", (int)random_below(&w->random, 2) * 9));
        bool whole = which == 0;
        if (whole)
            freeReplyObject(redisCommand(c, "MULTI"));
        freeReplyObject(redisCommand(c, formats[which], a, random_below(&w->random, 100)));
        if (whole)
            freeReplyObject(redisCommand(c, "EXEC"));
        atomic_fetch_add(&w->said, 1);
        if (c->err) {
            redisFree(c);
            c = NULL;
        }
        usleep(200);
    }
    redisFree(c);
    return NULL;
}

void writer_begin(struct writer *w, int port, uint64_t seed) {
    *w = (struct writer){.port = port, .random = seed};
    assert_int_equal(pthread_create(&w->thread, NULL, write_on, w), 0);
}
void writer_more(struct writer *w, unsigned more) {
    unsigned until = atomic_load(&w->said) + more;
    AWAIT(atomic_load(&w->said) >= until);
}
void writer_end(struct writer *w) {
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
}

bool has_word(int port, const char *key) {
    redisContext *c = client_connect(port);
    redisReply *reply = redisCommand(c, "GET %s", key);
    bool has = reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "last") == 0;
    freeReplyObject(reply);
    redisFree(c);
    return has;
}

void await_last_words(int primary, int follower) {
    static unsigned round;
    enum { WORDS = 32 };
    char key[WORDS][32];
    round++;
    redisContext *c = client_connect(primary);
    for (unsigned i = 0; i < WORDS; i++) {
        snprintf(key[i], sizeof key[i], "word:%u:%u", round, i);
        expect_text(c, "OK", "SET %s last", key[i]);
    }
    for (unsigned i = 0; i < WORDS; i++)
        AWAIT(has_word(follower, key[i]));
    redisFree(c);
}

void await_equal(int primary, int follower) {
    AWAIT(link_is_up(follower));
    await_last_words(primary, follower);
    dataset_assert_equal("primary", primary, "follower", follower, EXPIRY_EXACT);
}

unsigned full_resyncs(const struct pool *replica) {
    return log_lines(replica->dir, "Full resync from master");
}
