/* 64_hostile.c - a pool follows a primary that is broken or means harm: whatever it says, the pool stays up, keeps what
 * it has or says LOADING, never shows a part of a snapshot, and asks again, less often each time. In the end
 * the primary comes to its senses, and the pool has its data. */
#include "tests/interop/following.h"

#include <poll.h>
#include <arpa/inet.h>
#include <sys/socket.h>

#define ID   "0123456789abcdef0123456789abcdef01234567"
#define FULL "+FULLRESYNC " ID " 1000\r\n"
enum { OLD_KEYS = 100, SNAPSHOT_KEYS = 300, PORTS = 2, CONNECTIONS_MAX = 32, ASKED_MAX = 64 };

/* ---- a primary that says what it is told to ---- */

/* Listens on two ports: by itself on the first, or as a pool whose one worker has the second. Answers as a
 * primary does up to PSYNC, and then says its piece. */
struct primary {
    pthread_t thread;
    int port, port_lock, listener[PORTS], fd[CONNECTIONS_MAX];
    unsigned count;
    bool is_pool;
    pthread_mutex_t lock; /* all below */
    bool stop;
    struct octets piece; /* the answer to PSYNC */
    bool closes;         /* and then the connection */
    unsigned asked;      /* PSYNCs */
    uint64_t asked_ms[ASKED_MAX];
};

/* The follower may hang up in the middle of it. */
static void say(int fd, const char *text, size_t len) {
    ssize_t n = 1;
    for (size_t at = 0; at < len && n > 0; at += (size_t)n)
        n = send(fd, text + at, len - at, MSG_NOSIGNAL);
}

static void say_what_it_is(const struct primary *p, int fd) {
    char lines[100] = "", text[160];
    if (p->is_pool)
        snprintf(lines, sizeof lines, "pool_workers:1\r\npool_worker_port_base:%d\r\n",
                 p->port + 1);
    snprintf(text, sizeof text, "$%zu\r\n%s\r\n", strlen(lines), lines);
    say(fd, text, strlen(text));
}

static void say_piece(struct primary *p, int fd) {
    if (p->asked < ASKED_MAX)
        p->asked_ms[p->asked++] = clock_mono_ms();
    say(fd, p->piece.data, p->piece.len);
    if (p->closes)
        shutdown(fd, SHUT_RDWR);
}

/* One command comes at a time until PSYNC, and after it nothing but acknowledgements. False: it hung up. */
static bool hear(struct primary *p, int fd) {
    char said[1024];
    ssize_t n = read(fd, said, sizeof said - 1);
    if (n <= 0)
        return false;
    said[n] = 0;
    if (strstr(said, "\r\nPING\r\n"))
        say(fd, "+PONG\r\n", 7);
    else if (strstr(said, "\r\nINFO\r\n"))
        say_what_it_is(p, fd);
    else if (strstr(said, "\r\nPSYNC\r\n"))
        say_piece(p, fd);
    else if (strstr(said, "REPLCONF") && !strstr(said, "ACK"))
        say(fd, "+OK\r\n", 5);
    return true;
}

static void take_turn(struct primary *p, const struct pollfd *polls) {
    for (unsigned i = p->count; i-- > 0;) {
        if (!polls[PORTS + i].revents || hear(p, p->fd[i]))
            continue;
        close(p->fd[i]);
        p->fd[i] = p->fd[--p->count];
    }
    for (unsigned i = 0; i < PORTS; i++)
        if (polls[i].revents && p->count < CONNECTIONS_MAX)
            p->fd[p->count++] = accept(p->listener[i], NULL, NULL);
}

static void *run(void *arg) {
    struct primary *p = arg;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct pollfd polls[PORTS + CONNECTIONS_MAX];
        unsigned n = 0;
        for (unsigned i = 0; i < PORTS; i++)
            polls[n++] = (struct pollfd){.fd = p->listener[i], .events = POLLIN};
        for (unsigned i = 0; i < p->count; i++)
            polls[n++] = (struct pollfd){.fd = p->fd[i], .events = POLLIN};
        pthread_mutex_unlock(&p->lock);
        poll(polls, n, 10);
        pthread_mutex_lock(&p->lock);
        take_turn(p, polls);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static struct primary *primary_begin(bool is_pool) {
    struct primary *p = calloc(1, sizeof *p);
    p->is_pool = is_pool;
    p->port = ports_claim(&p->port_lock);
    for (unsigned i = 0; i < PORTS; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_port = htons((uint16_t)(p->port + (int)i)),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int one = 1;
        p->listener[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(p->listener[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        assert_int_equal(bind(p->listener[i], (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(p->listener[i], CONNECTIONS_MAX), 0);
    }
    pthread_mutex_init(&p->lock, NULL);
    assert_int_equal(pthread_create(&p->thread, NULL, run, p), 0);
    return p;
}

static void primary_end(struct primary **primary) {
    struct primary *p = *primary;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    pthread_join(p->thread, NULL);
    while (p->count > 0)
        close(p->fd[--p->count]);
    for (unsigned i = 0; i < PORTS; i++)
        close(p->listener[i]);
    close(p->port_lock);
    free(p->piece.data);
    free(p);
    *primary = NULL;
}

/* What it says from now on; takes the octets over. */
static void primary_says(struct primary *p, struct octets piece, bool closes) {
    pthread_mutex_lock(&p->lock);
    free(p->piece.data);
    p->piece = piece;
    p->closes = closes;
    p->asked = 0;
    pthread_mutex_unlock(&p->lock);
}

static unsigned primary_asked(struct primary *p) {
    pthread_mutex_lock(&p->lock);
    unsigned asked = p->asked;
    pthread_mutex_unlock(&p->lock);
    return asked;
}

/* ---- what it says ---- */

/* A snapshot that a real server wrote, and how many keys of database 0 are in it. */
struct snapshot {
    struct octets bytes;
    int64_t keys;
    struct oracle *redis; /* has the data still */
};

static struct snapshot snapshot_make(void) {
    struct snapshot s = {.redis = oracle_start(NULL, NULL)};
    char path[128];
    dataset_fill(s.redis->port, random_seed(), SNAPSHOT_KEYS);
    redisContext *c = client_connect(s.redis->port);
    expect_text(c, "OK", "SAVE");
    s.keys = ask_integer(c, "DBSIZE");
    redisFree(c);
    snprintf(path, sizeof path, "%s/dump.rdb", s.redis->dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    s.bytes.data = malloc(1 << 24);
    s.bytes.len = fread(s.bytes.data, 1, 1 << 24, file);
    fclose(file);
    assert_in_range(s.bytes.len, 1000, (1 << 24) - 1);
    return s;
}

enum harm {
    WHOLE,     /* the snapshot as it is */
    NONE,      /* no snapshot at all, only text */
    HALF,      /* announced whole, but only one half of it comes */
    TRUNCATED, /* announced as the half that comes */
    FLIPPED,
    CHECKSUM,
    LONGER,
    NONSENSE, /* its end is right, the rest is not */
};

static struct octets piece_of(const struct snapshot *s, enum harm harm, const char *text,
                              size_t text_len) {
    struct octets body = {malloc(s->bytes.len + 16), s->bytes.len}, piece = {0};
    memcpy(body.data, s->bytes.data, s->bytes.len);
    memset(body.data + s->bytes.len, 'x', 16);
    size_t announced = harm == LONGER ? body.len + 10 : body.len;
    switch (harm) {
    case HALF: body.len /= 2; break;
    case TRUNCATED: announced = body.len /= 2; break;
    case FLIPPED: body.data[body.len / 2] ^= 4; break;
    case CHECKSUM: body.data[body.len - 1] ^= 1; break;
    case LONGER: body.len = announced; break;
    case NONSENSE:
        memset(body.data + body.len / 2, 'x', body.len - body.len / 2);
        memcpy(body.data + body.len - 9, "\xff\0\0\0\0\0\0\0\0", 9);
        break;
    default: break;
    }
    piece.data = malloc(body.len + text_len + 200);
    if (harm != NONE) {
        piece.len = (size_t)sprintf(piece.data, FULL "$%zu\r\n", announced);
        memcpy(piece.data + piece.len, body.data, body.len);
        piece.len += body.len;
    }
    memcpy(piece.data + piece.len, text, text_len);
    piece.len += text_len;
    free(body.data);
    return piece;
}

/* ---- somebody who looks all the time ---- */

struct watcher {
    pthread_t thread;
    int port;
    int64_t allowed[2]; /* numbers of keys that are a whole set */
    atomic_bool stop;
    char strange[200];
};

static void *watch(void *arg) {
    struct watcher *w = arg;
    redisContext *c = client_try_connect(w->port);
    while (c && !atomic_load(&w->stop) && !w->strange[0]) {
        redisReply *reply = redisCommand(c, "DBSIZE");
        if (!reply)
            snprintf(w->strange, sizeof w->strange, "no reply: %s", c->errstr);
        else if (reply->type == REDIS_REPLY_ERROR
                     ? strncmp(reply->str, "LOADING", 7) != 0
                     : reply->integer != w->allowed[0] && reply->integer != w->allowed[1])
            snprintf(w->strange, sizeof w->strange, "%lld keys, or '%s'", reply->integer,
                     reply->str ? reply->str : "");
        freeReplyObject(reply);
        usleep(300);
    }
    redisFree(c);
    return NULL;
}

static void watcher_begin(struct watcher *w, int port, int64_t old_keys, int64_t new_keys) {
    *w = (struct watcher){.port = port, .allowed = {old_keys, new_keys}};
    assert_int_equal(pthread_create(&w->thread, NULL, watch, w), 0);
}

static void watcher_end(struct watcher *w) {
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    assert_string_equal(w->strange, "");
}

/* ---- cases ---- */

#define TEXT(text) text, sizeof(text) - 1
static const struct hostile {
    enum harm harm;
    bool closes;
    const char *text; /* behind the snapshot */
    size_t text_len;
    const char *trouble; /* as the log tells it */
} before_the_data[] =
    {
        {NONE, false, TEXT("\x01\xff\0garbage\r\n"), "PSYNC was answered with"},
        {NONE, false, TEXT("-ERR no such thing\r\n"), "ERR no such thing"},
        {NONE, false, TEXT("+FULLRESYNC " ID " -1\r\n"), "PSYNC was answered with"},
        {NONE, false, TEXT("+FULLRESYNC " ID " 99999999999999999999\r\n"),
         "PSYNC was answered with"},
        {NONE, false, TEXT("+FULLRESYNC ../../../../../../etc/passwd 7\r\n"),
         "PSYNC was answered with"},
        {NONE, false, TEXT("+CONTINUE " ID "\r\n"), "PSYNC was answered with"},
        {NONE, false, TEXT(FULL "$-1\r\n"), "s length was answered"},
        {NONE, false, TEXT(FULL "$0\r\n"), "s length was answered"},
        {NONE, false, TEXT(FULL "$99999999999999999999\r\n"), "s length was answered"},
        {NONE, false, TEXT(FULL "*1\r\n$4\r\nPING\r\n"), "s length was answered"},
        {NONE, false, TEXT(FULL "$1152921504606846976\r\nREDIS0011"),
         "cannot write the snapshot: it has 1152921504606846976 bytes"},
        {HALF, true, TEXT(""), "the master closed the connection"},
        {HALF, false, TEXT(""), "nothing heard for repl-timeout"},
        {TRUNCATED, false, TEXT(""), "its snapshot is damaged"},
        {FLIPPED, false, TEXT(""), "its snapshot is damaged"},
        {CHECKSUM, false, TEXT(""), "its snapshot is damaged"},
        {LONGER, false, TEXT(""), "its snapshot is damaged"},
},
  behind_the_data[] = {
      {WHOLE, false, TEXT("*1\r\n$abc\r\n"), "Protocol error: invalid bulk length"},
      {WHOLE, false, TEXT("*-5\r\n*0\r\n*2147483648\r\n"),
       "Protocol error: invalid multibulk length"},
      {WHOLE, false, TEXT("*2\r\n$3\r\nGETxx\r\n$1\r\na\r\n"), "Protocol error: expected"},
      {WHOLE, false, TEXT("*1\r\n$4\r\nPING\r\nSET inline yes\r\n"),
       "Protocol error: the stream has an inline command"},
      {WHOLE, false, TEXT("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1099511627776\r\nxyz"),
       "nothing heard for repl-timeout"},
      {WHOLE, true, TEXT("*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$4\r\nhalf\r\n"),
       "the master closed the connection"},
};

static void follow_hostile(struct primary *p, const struct pool *pool, const struct snapshot *s,
                           const struct hostile *h) {
    unsigned told = log_lines(pool->dir, h->trouble);
    primary_says(p, piece_of(s, h->harm, h->text, h->text_len), h->closes);
    follow(pool->port, "127.0.0.1", p->port);
    AWAIT(log_lines(pool->dir, h->trouble) > told);
}

static void not_follow(const struct pool *pool, int64_t keys) {
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "REPLICAOF NO ONE");
    expect_integer(c, keys, "DBSIZE");
    redisFree(c);
}

static bool says_loading(redisContext *c) {
    redisReply *reply = redisCommand(c, "GET old:1");
    bool says = reply && reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, "LOADING", 7) == 0;
    freeReplyObject(reply);
    return says;
}

/* It asks for the snapshot that comes to nothing after 1, 2 and 4 seconds, and takes a good one. */
static void come_to_its_senses(struct primary *p, const struct pool *pool,
                               const struct snapshot *s) {
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET repl-timeout 60"); /* it never pings */
    primary_says(p, piece_of(s, CHECKSUM, "", 0), false);
    follow(pool->port, "127.0.0.1", p->port);
    AWAIT(primary_asked(p) == 3);
    assert_true(p->asked_ms[1] - p->asked_ms[0] >= 950);
    assert_true(p->asked_ms[2] - p->asked_ms[1] >= 1950);
    /* What can't be known before it is read costs what was there: until the next, it says so. */
    primary_says(p, piece_of(s, NONSENSE, "", 0), false);
    AWAIT(primary_asked(p) == 1);
    AWAIT(says_loading(c));
    primary_says(
        p,
        piece_of(s, WHOLE,
                 TEXT("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*2\r\n$4\r\nNEVR\r\n$1\r\na\r\n"
                      "*1\r\n$3\r\nGET\r\n*3\r\n$3\r\nSET\r\n$5\r\nafter\r\n$4\r\nlast\r\n")),
        false);
    AWAIT(link_is_up(pool->port) && has_word(pool->port, "after"));
    redisContext *r = client_connect(s->redis->port);
    expect_text(r, "OK", "SET after last");
    dataset_assert_equal("redis-server", s->redis->port, "pool", pool->port, EXPIRY_EXACT);
    redisFree(r);
    redisFree(c);
}

static void follow_all(bool is_pool, unsigned workers) {
    oracle_needed();
    struct snapshot s = snapshot_make();
    struct watcher w;
    struct primary *p = primary_begin(is_pool);
    struct pool *pool =
        pool_start(&(struct pool_options){.workers = workers, .options = {"--repl-timeout", "2"}});
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < OLD_KEYS; i++)
        expect_text(c, "OK", "SET old:%u %u", i, i);
    watcher_begin(&w, pool->port, OLD_KEYS, s.keys);
    for (size_t i = 0; i < sizeof before_the_data / sizeof before_the_data[0]; i++) {
        follow_hostile(p, pool, &s, &before_the_data[i]);
        expect_text(c, "1", "GET old:1");
        not_follow(pool, OLD_KEYS);
    }
    for (size_t i = 0; i < sizeof behind_the_data / sizeof behind_the_data[0]; i++) {
        follow_hostile(p, pool, &s, &behind_the_data[i]);
        not_follow(pool, s.keys);
    }
    watcher_end(&w);
    come_to_its_senses(p, pool, &s);
    redisFree(c);
    pool_end(&pool);
    primary_end(&p);
    oracle_end(&s.redis);
    free(s.bytes.data);
}

static void test_a_server(void **state) {
    follow_all(false, 2);
}
static void test_a_pool_of_the_same_size(void **state) {
    follow_all(true, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_server, pools_cleanup),
        cmocka_unit_test_teardown(test_a_pool_of_the_same_size, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
