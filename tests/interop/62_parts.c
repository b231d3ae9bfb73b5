/* 62_parts.c - commands over several shards in the merged stream: whoever follows the public port of a pool gets
 * each MSET, DEL and UNLINK within one transaction, though no locks order them and many cross each other.
 * SEED=n has a run again. */
#include "tests/interop/following.h"

#include <sys/socket.h>

enum { WORKERS = 3, WRITERS = 4, SHARED_KEYS = 24, OWN_KEYS = 4, ROUNDS = 2000, AT_ONCE = 8 };

/* ---- the load ---- */
struct client {
    pthread_t thread;
    unsigned number;
    int port;
    uint64_t random;
    atomic_bool *stop; /* it goes on until then, and is not looked at; NULL: ROUNDS, which are */
    bool failed;
};

/* Keys that all write and delete, and those of this round. */
static int command_of(struct client *c, char *text, size_t size, unsigned round, const char *name,
                      bool values) {
    int len = snprintf(text, size, "%s", name);
    for (unsigned i = 0; i < 3 + OWN_KEYS; i++) {
        if (i < 3)
            len += snprintf(text + len, size - (size_t)len, " shared:%u",
                            random_below(&c->random, SHARED_KEYS));
        else
            len += snprintf(text + len, size - (size_t)len, " own:%u:%u:%u", c->number, round, i);
        if (values)
            len += snprintf(text + len, size - (size_t)len, " set:%u:%u", c->number, round);
    }
    return len;
}

static void *work(void *arg) {
    struct client *c = arg;
    char text[1000];
    redisContext *r = client_try_connect(c->port);
    for (unsigned round = 0; r && (c->stop ? !atomic_load(c->stop) : round < ROUNDS);
         round += AT_ONCE) {
        unsigned sent = 0;
        for (unsigned i = round; i < round + AT_ONCE; i++) {
            command_of(c, text, sizeof text, i, "MSET", true);
            redisAppendCommand(r, text);
            command_of(c, text, sizeof text, i, "MGET", false);
            redisAppendCommand(r, text);
            command_of(c, text, sizeof text, i, i % 2 ? "DEL" : "UNLINK", false);
            redisAppendCommand(r, text);
            sent += 3;
        }
        while (sent-- > 0) {
            redisReply *reply = NULL;
            c->failed |=
                redisGetReply(r, (void **)&reply) != REDIS_OK || reply->type == REDIS_REPLY_ERROR;
            freeReplyObject(reply);
        }
    }
    c->failed |= r == NULL;
    redisFree(r);
    return NULL;
}

/* ---- who reads the stream itself ---- */
struct reading {
    int fd;
    redisReader *reader;
    unsigned piece; /* what is done in one piece: a transaction, or a command that is in none */
    bool in_transaction;
    /* Where each round's keys were written, or deleted, and how many of them. */
    unsigned in[2][WRITERS][ROUNDS], count[2][WRITERS][ROUNDS];
    unsigned ends; /* words behind the load that have come */
};

static void feed(struct reading *in) {
    char bytes[64 * 1024];
    ssize_t n = recv(in->fd, bytes, sizeof bytes, 0);
    assert_true(n > 0);
    assert_int_equal(redisReaderFeed(in->reader, bytes, (size_t)n), REDIS_OK);
}

static void read_line(int fd, char *line, size_t size) {
    size_t len = 0;
    while (len + 1 < size && recv(fd, line + len, 1, 0) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
}

/* PSYNC, and past the snapshot. */
static void follow_raw(struct reading *in, int port) {
    char line[200] = "";
    in->fd = raw_connect(port);
    in->reader = redisReaderCreate();
    raw_send_text(in->fd, "PSYNC ? -1\r\n");
    while (line[0] != '$')
        read_line(in->fd, line, sizeof line);
    for (size_t left = strtoul(line + 1, NULL, 10); left > 0;) {
        char bytes[4096];
        ssize_t n = recv(in->fd, bytes, left < sizeof bytes ? left : sizeof bytes, 0);
        assert_true(n > 0);
        left -= (size_t)n;
    }
}

static void note_keys(struct reading *in, const redisReply *command, bool deletes) {
    for (size_t i = 1; i < command->elements; i += deletes ? 1 : 2) {
        unsigned client, round, key;
        if (sscanf(command->element[i]->str, "own:%u:%u:%u", &client, &round, &key) != 3 ||
            client >= WRITERS)
            continue;
        unsigned *where = &in->in[deletes][client][round];
        if (in->count[deletes][client][round]++ > 0 && *where != in->piece)
            fail_msg("the %s of client %u, round %u, is in pieces %u and %u",
                     deletes ? "DEL" : "MSET", client, round, *where, in->piece);
        *where = in->piece;
    }
}

static void read_command(struct reading *in, const redisReply *command) {
    const char *name = command->element[0]->str;
    in->piece += !in->in_transaction;
    if (strcasecmp(name, "multi") == 0)
        in->in_transaction = true;
    else if (strcasecmp(name, "exec") == 0)
        in->in_transaction = false;
    else if (strcasecmp(name, "mset") == 0)
        note_keys(in, command, false);
    else if (strcasecmp(name, "del") == 0 || strcasecmp(name, "unlink") == 0)
        note_keys(in, command, true);
    else if (strcasecmp(name, "set") == 0)
        in->ends += strcmp(command->element[2]->str, "end") == 0;
}

static void read_all(struct reading *in) {
    while (in->ends < WORKERS) {
        redisReply *command = NULL;
        assert_int_equal(redisReaderGetReply(in->reader, (void **)&command), REDIS_OK);
        if (command == NULL)
            feed(in);
        else
            read_command(in, command);
        freeReplyObject(command);
    }
}

static void check_all_are_whole(const struct reading *in) {
    for (unsigned c = 0; c < WRITERS; c++)
        for (unsigned round = 0; round < ROUNDS; round++) {
            assert_int_equal(in->count[0][c][round], OWN_KEYS);
            assert_int_equal(in->count[1][c][round], OWN_KEYS);
        }
}

static void begin_clients(struct client *clients, unsigned count, unsigned first, int port,
                          uint64_t seed, atomic_bool *stop) {
    for (unsigned i = 0; i < count; i++) {
        clients[i] = (struct client){
            .number = first + i, .port = port, .random = seed + first + i, .stop = stop};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, work, &clients[i]), 0);
    }
}

static void end_clients(struct client *clients, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        pthread_join(clients[i].thread, NULL);
        assert_false(clients[i].failed);
    }
}

/* others: clients that are at work before anybody follows, while commands of which one part is in the snapshot, and
 * another is not, are on their way. */
static void check(unsigned others) {
    oracle_needed();
    uint64_t seed = random_seed();
    static struct client clients[WRITERS], before[WRITERS]; /* they outlive a test that fails */
    static atomic_bool stop;
    struct reading *in = calloc(1, sizeof *in);
    struct pool *pool = pool_start(&(struct pool_options){.workers = WORKERS});
    struct oracle *redis = oracle_start(NULL, (const char *const[]){"--save", "", NULL});
    redisContext *c = pool_connect(pool);
    atomic_store(&stop, false);
    begin_clients(before, others, WRITERS, pool->port, seed, &stop);
    follow(redis->port, "127.0.0.1", pool->port);
    AWAIT(link_is_up(redis->port));
    follow_raw(in, pool->port);
    begin_clients(clients, WRITERS, 0, pool->port, seed, NULL);
    end_clients(clients, WRITERS);
    atomic_store(&stop, true);
    end_clients(before, others);
    for (unsigned i = 0; i < WORKERS; i++)
        expect_text(c, "OK", "SET %s end", pool_key(pool, i, 0));
    read_all(in);
    check_all_are_whole(in);
    await_equal(pool->port, redis->port);
    redisReaderFree(in->reader);
    close(in->fd);
    free(in);
    redisFree(c);
    oracle_end(&redis);
    pool_end(&pool);
}

static void test_whole(void **state) {
    check(0);
}
static void test_whole_behind_a_snapshot_under_load(void **state) {
    check(2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_whole, pools_cleanup),
        cmocka_unit_test_teardown(test_whole_behind_a_snapshot_under_load, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
