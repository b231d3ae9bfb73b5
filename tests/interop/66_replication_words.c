/* 66_replication_words: what is said between a primary and its replicas, and what both tell of it, held against
 * a real redis-server: REPLCONF and its errors, the greetings of PSYNC and SYNC, INFO, ROLE, CLIENT LIST. Pools
 * of one worker, whose public port is the shard's. */
#include "tests/interop/following.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { THEIRS, OURS, SIDES };
static const char *const sides[SIDES] = {"redis-server", "pool"};

struct pair {
    struct oracle *redis;
    struct pool *pool;
    int port[SIDES];
};

static struct pair begin(const char *const *options) {
    oracle_needed();
    struct pool_options ours = {.workers = 1, .options = {"--save", ""}};
    for (unsigned i = 0; options && options[i]; i++)
        ours.options[2 + i] = options[i];
    struct pair pair = {.redis = oracle_start(NULL, options), .pool = pool_start(&ours)};
    pair.port[THEIRS] = pair.redis->port;
    pair.port[OURS] = pair.pool->port;
    return pair;
}
static void end(struct pair *pair) {
    oracle_end(&pair->redis);
    pool_end(&pair->pool);
}

/* ---- texts, made alike where they must differ ---- */
static bool is_hex(const char *text, unsigned len) {
    for (unsigned i = 0; i < len; i++)
        if (!isxdigit((unsigned char)text[i]))
            return false;
    return !isxdigit((unsigned char)text[len]);
}

/* Ids become <id>. */
static void hide_ids(char *text) {
    static const char zeros[] = "0000000000000000000000000000000000000000";
    for (char *at = text; *at; at++)
        if (is_hex(at, 40) && memcmp(at, zeros, 40) != 0) {
            memcpy(at, "<id>", 4);
            memmove(at + 4, at + 40, strlen(at + 40) + 1);
        }
}

/* The number behind each `name` becomes #; one below zero stays. */
static void hide_number(char *text, const char *name) {
    for (char *at = text; (at = strstr(at, name)) != NULL;) {
        at += strlen(name);
        size_t digits = strspn(at, "0123456789");
        if (digits == 0)
            continue;
        *at = '#';
        memmove(at + 1, at + digits, strlen(at + digits) + 1);
    }
}

static void assert_same(char *const said[SIDES], const char *what) {
    if (strcmp(said[THEIRS], said[OURS]) != 0)
        fail_msg("%s:\n-- %s\n%s\n-- %s\n%s", what, sides[THEIRS], said[THEIRS], sides[OURS],
                 said[OURS]);
}

static char *info(int port, const char *section) {
    static const char *const moving[] = {
        "offset=",  "lag=",         "repl_offset:",       "first_byte_offset:",
        "histlen:", "seconds_ago:", "down_since_seconds:"};
    redisContext *c = client_connect(port);
    redisReply *reply = expect_reply(c, "INFO %s", section);
    char *text = strdup(reply->str);
    hide_ids(text);
    for (unsigned i = 0; i < sizeof moving / sizeof *moving; i++)
        hide_number(text, moving[i]);
    freeReplyObject(reply);
    redisFree(c);
    return text;
}

static char *role(int port) {
    int fd = raw_connect(port);
    raw_send_text(fd, "ROLE\r\n");
    char *text = raw_read_replies(fd, 1).data;
    hide_number(text, "master\r\n:");
    hide_number(text, "connected\r\n:");
    close(fd);
    return text;
}

static char *info_replication(int port) {
    return info(port, "replication");
}

static void compare(const struct pair *pair, char *(*tell)(int port), const char *what) {
    char *said[SIDES] = {tell(pair->port[THEIRS]), tell(pair->port[OURS])};
    assert_same(said, what);
    free(said[THEIRS]);
    free(said[OURS]);
}

static bool info_has(int port, const char *text) {
    char *all = info(port, "replication");
    bool has = strstr(all, text) != NULL;
    free(all);
    return has;
}
static void await_info(const struct pair *pair, const char *text) {
    for (unsigned i = 0; i < SIDES; i++)
        AWAIT(info_has(pair->port[i], text));
}

/* ---- REPLCONF and its like ---- */
/* Everything that is answered before ECHO is. */
static char *answer(int fd, const char *line) {
    raw_send_text(fd, line);
    raw_send_text(fd, "\r\nECHO <end>\r\n");
    struct octets said = raw_read_replies(fd, 1);
    while (said.len > 0 && strstr(said.data, "<end>") == NULL) {
        struct octets more = raw_read_replies(fd, 1);
        if (more.len == 0)
            break;
        said.data = realloc(said.data, said.len + more.len + 1);
        memcpy(said.data + said.len, more.data, more.len + 1);
        said.len += more.len;
        free(more.data);
    }
    return said.data;
}

static const char *const lines[] = {
    "REPLCONF",
    "REPLCONF listening-port",
    "REPLCONF listening-port x",
    "REPLCONF listening-port \"\"",
    "REPLCONF listening-port -1",
    "REPLCONF listening-port 99999",
    "REPLCONF listening-port 9223372036854775808",
    "REPLCONF LISTENING-PORT 7000 capa eof",
    "REPLCONF ip-address 10.0.0.1",
    "REPLCONF ip-address \"\"",
    "REPLCONF capa eof capa psync2",
    "REPLCONF capa nonsense",
    "REPLCONF capa eof ip-address",
    "REPLCONF rdb-only",
    "REPLCONF rdb-only 1",
    "REPLCONF rdb-only 0",
    "REPLCONF rdb-only 2",
    "REPLCONF rdb-only -1",
    "REPLCONF rdb-only yes",
    "REPLCONF rdb-filter-only nonsense",
    "REPLCONF rdb-filter-only",
    "REPLCONF ack",
    "REPLCONF ack 1",
    "REPLCONF ack nonsense",
    "REPLCONF capa eof ack 1",
    "REPLCONF getack",
    "REPLCONF getack *",
    "REPLCONF nonsense 1",
    "REPLCONF nonsense",
    "REPLCONF version 7.2",
    "REPLCONF listening-port 1 nonsense 2",
    "PSYNC",
    "PSYNC ?",
    "PSYNC ? x",
    "PSYNC ? 9223372036854775808",
    "SYNC x",
    "ROLE x",
    "REPLICAOF x",
    "REPLICAOF a b",
    "REPLICAOF 127.0.0.1 99999",
    "REPLICAOF 127.0.0.1 -1",
    "REPLICAOF NO ONE",
    "SLAVEOF NO ONE",
    "CONFIG SET repl-diskless-sync maybe",
    "CONFIG SET repl-diskless-sync-delay -1",
    "CONFIG SET repl-diskless-sync-max-replicas x",
    "CONFIG GET repl-diskless-load",
};

static void test_words(void **state) {
    struct pair pair = begin(NULL);
    int fd[SIDES] = {raw_connect(pair.port[THEIRS]), raw_connect(pair.port[OURS])};
    char text[400] = "REPLCONF ip-address ";
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        char *said[SIDES] = {answer(fd[THEIRS], lines[i]), answer(fd[OURS], lines[i])};
        assert_same(said, lines[i]);
        free(said[THEIRS]);
        free(said[OURS]);
    }
    for (unsigned len = 254; len < 258; len++) {
        memset(text + 20, 'a', len);
        text[20 + len] = '\0';
        char *said[SIDES] = {answer(fd[THEIRS], text), answer(fd[OURS], text)};
        assert_same(said, text);
        free(said[THEIRS]);
        free(said[OURS]);
    }
    for (unsigned i = 0; i < SIDES; i++)
        close(fd[i]);
    redisContext *c = pool_connect(pair.pool);
    expect_error(c, "ERR CONFIG SET failed (possibly related to argument 'repl-diskless-load')",
                 "CONFIG SET repl-diskless-load swapdb");
    redisFree(c);
    end(&pair);
}

/* ---- a replica that we play ---- */
/* Reads on until `enough` of what has come. */
static void read_until(int fd, struct octets *got, bool (*enough)(const struct octets *got)) {
    while (!enough(got)) {
        got->data = realloc(got->data, got->len + 65537);
        ssize_t n = recv(fd, got->data + got->len, 65536, 0);
        if (n <= 0)
            fail_msg("the connection ended, or nothing came: %s", strerror(errno));
        got->len += (size_t)n;
        got->data[got->len] = '\0';
    }
}

/* Where the snapshot begins, or NULL; *bytes_r: with its mark, or -1 while that is not there. */
static const char *find_snapshot(const struct octets *got, long *bytes_r) {
    const char *line = got->len > 0 ? memchr(got->data, '$', got->len) : NULL;
    const char *end = line ? strstr(line, "\r\n") : NULL;
    if (end == NULL)
        return NULL;
    size_t left = got->len - (size_t)(end + 2 - got->data);
    long bytes = strtol(line + 1, NULL, 10);
    if (strncmp(line, "$EOF:", 5) == 0) {
        const char *mark = memmem(end + 2, left, line + 5, 40);
        bytes = mark ? (long)(mark + 40 - (end + 2)) : -1;
    }
    *bytes_r = bytes <= (long)left ? bytes : -1;
    return end + 2;
}
static bool has_snapshot(const struct octets *got) {
    long bytes;
    return find_snapshot(got, &bytes) != NULL && bytes >= 0;
}
static bool has_line(const struct octets *got) {
    const char *plus = got->len > 0 ? strchr(got->data, '+') : NULL;
    return plus && strstr(plus, "\r\n");
}

/* What comes before the snapshot, without signs of life; how long it is is nobody's business here. */
static char *greeting(const struct octets *got, bool with_snapshot) {
    long bytes;
    const char *from = got->data + strspn(got->data, "\n"), *to = find_snapshot(got, &bytes);
    if (!with_snapshot)
        to = strstr(from, "\r\n") + 2;
    char *text = strndup(from, (size_t)(to - from));
    hide_ids(text);
    hide_number(text, "<id> ");
    hide_number(text, "$");
    return text;
}

/* Returns the connection. *greeting_r is freed by the caller. */
static int play_replica(int port, const char *options, const char *sync, char **greeting_r) {
    struct octets got = {0};
    char line[200];
    int fd = raw_connect(port);
    snprintf(line, sizeof line, "REPLCONF listening-port 7000 %s\r\n", options);
    raw_send_text(fd, line);
    free(raw_read_replies(fd, 1).data);
    snprintf(line, sizeof line, "%s\r\n", sync);
    raw_send_text(fd, line);
    bool full = strncmp(sync, "PSYNC ?", 7) == 0 || strcmp(sync, "SYNC") == 0;
    read_until(fd, &got, full ? has_snapshot : has_line);
    *greeting_r = greeting(&got, full);
    free(got.data);
    return fd;
}

static bool alone(int port) {
    return info_has(port, "connected_slaves:0");
}

static void test_greetings(void **state) {
    static const struct {
        const char *options, *sync;
    } plays[] = {
        {"capa eof capa psync2", "PSYNC ? -1"},
        {"capa psync2", "PSYNC ? -1"},
        {"capa eof", "PSYNC ? 1"},
        {"", "PSYNC ? -1"},
        {"capa eof", "SYNC"},
        {"", "SYNC"},
        {"rdb-only 1", "PSYNC ? -1"},
        {"capa eof rdb-only 1", "PSYNC ? -1"},
    };
    struct pair pair = begin(NULL);
    for (unsigned i = 0; i < sizeof plays / sizeof *plays; i++) {
        char *said[SIDES], what[100];
        int fd[SIDES];
        snprintf(what, sizeof what, "%s, %s", plays[i].options, plays[i].sync);
        for (unsigned side = 0; side < SIDES; side++)
            fd[side] = play_replica(pair.port[side], plays[i].options, plays[i].sync, &said[side]);
        assert_same(said, what);
        bool ends = strstr(plays[i].options, "rdb-only") != NULL;
        for (unsigned side = 0; side < SIDES; side++) {
            if (ends)
                assert_true(raw_closed_within(fd[side], 20));
            close(fd[side]);
            free(said[side]);
            AWAIT(alone(pair.port[side]));
        }
    }
    end(&pair);
}

/* Goes on from where the stream is, with the id in whatever case; from too far ahead it does not. */
static void test_partial(void **state) {
    struct pair pair = begin(NULL);
    for (unsigned how = 0; how < 5; how++) {
        char *said[SIDES], sync[100];
        for (unsigned side = 0; side < SIDES; side++) {
            redisContext *c = client_connect(pair.port[side]);
            if (how == 0) { /* so that there is a backlog */
                close(play_replica(pair.port[side], "", "PSYNC ? -1", &said[side]));
                free(said[side]);
            }
            expect_text(c, "OK", "SET key value");
            char id[41];
            snprintf(id, sizeof id, "%s", info_field(c, "replication", "master_replid"));
            for (unsigned i = 0; how == 2 && i < 40; i++)
                id[i] = (char)toupper((unsigned char)id[i]);
            long long offset = atoll(info_field(c, "replication", "master_repl_offset"));
            snprintf(sync, sizeof sync, "PSYNC %s %lld", how == 4 ? "nonsense" : id,
                     how == 3 ? 1000000 : offset + 1);
            /* Refused ones get a snapshot, whose greeting the others have not. */
            close(play_replica(pair.port[side], how == 1 ? "capa eof" : "capa psync2", sync,
                               &said[side]));
            redisFree(c);
        }
        assert_same(said, sync);
        free(said[THEIRS]);
        free(said[OURS]);
    }
    end(&pair);
}

static char *replica_flags(int port) {
    redisContext *c = client_connect(port);
    redisReply *reply = expect_reply(c, "CLIENT LIST TYPE replica");
    const char *flags = strstr(reply->str, "flags=");
    char *text = strndup(flags ? flags : "none", flags ? strcspn(flags, " ") : 4);
    freeReplyObject(reply);
    redisFree(c);
    return text;
}

static void compare_all(const struct pair *pair, const char *when) {
    compare(pair, info_replication, when);
    compare(pair, role, when);
    compare(pair, replica_flags, when);
}

/* INFO, ROLE and CLIENT LIST of a primary, in each state of a replica. */
static void test_primary_tells(void **state) {
    static const char *const slow[] = {"--repl-diskless-sync-delay", "3600", NULL};
    struct pair pair = begin(slow);
    int fd[SIDES];
    compare_all(&pair, "without replicas");
    for (unsigned side = 0; side < SIDES; side++) {
        fd[side] = raw_connect(pair.port[side]);
        raw_send_text(fd[side],
                      "REPLCONF listening-port 7000 ip-address replica.example capa eof\r\n");
        free(raw_read_replies(fd[side], 1).data);
        raw_send_text(fd[side], "PSYNC ? -1\r\n");
    }
    await_info(&pair, "state=wait_bgsave");
    compare_all(&pair, "one waits for others");
    for (unsigned side = 0; side < SIDES; side++) {
        struct octets got = {0};
        redisContext *c = client_connect(pair.port[side]);
        expect_text(c, "OK", "CONFIG SET repl-diskless-sync-delay 0");
        redisFree(c);
        read_until(fd[side], &got, has_snapshot);
        free(got.data);
    }
    await_info(&pair, "state=online");
    compare_all(&pair, "it has the snapshot");
    for (unsigned side = 0; side < SIDES; side++)
        raw_send_text(fd[side], "REPLCONF ACK 0\r\n");
    compare_all(&pair, "it has acknowledged");
    for (unsigned side = 0; side < SIDES; side++)
        close(fd[side]);
    await_info(&pair, "connected_slaves:0");
    compare_all(&pair, "it is gone");
    end(&pair);
}

/* ---- a snapshot that does not get on ---- */
static char *info_of_save(int port) {
    static const char *const fields[] = {"rdb_changes_since_last_save", "rdb_bgsave_in_progress",
                                         "rdb_last_bgsave_status", "rdb_last_bgsave_time_sec",
                                         "rdb_saves"};
    redisContext *c = client_connect(port);
    char *text = calloc(1, 1000);
    for (unsigned i = 0; i < sizeof fields / sizeof *fields; i++) {
        size_t at = strlen(text);
        snprintf(text + at, 1000 - at, "%s:%s\n", fields[i],
                 info_field(c, "persistence", fields[i]));
    }
    redisFree(c);
    return text;
}

static bool saves(int port, bool wanted) {
    redisContext *c = client_connect(port);
    bool is = strcmp(info_field(c, "persistence", "rdb_bgsave_in_progress"), "1") == 0;
    redisFree(c);
    return is == wanted;
}

static char *save_refused(int port) {
    int fd = raw_connect(port);
    raw_send_text(fd, "BGSAVE\r\nBGSAVE SCHEDULE\r\nSAVE\r\n");
    char *text = raw_read_replies(fd, 3).data;
    close(fd);
    return text;
}

static void test_slow_replica(void **state) {
    static const char *const plain[] = {"--rdbcompression", "no", NULL};
    struct pair pair = begin(plain);
    int fd[SIDES], room = 4096;
    compare(&pair, info_of_save, "before");
    for (unsigned side = 0; side < SIDES; side++) {
        redisContext *c = client_connect(pair.port[side]);
        for (unsigned i = 0; i < 200; i++)
            freeReplyObject(expect_reply(c, "SETRANGE key:%u 199999 x", i));
        redisFree(c);
        fd[side] = raw_connect(pair.port[side]);
        setsockopt(fd[side], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
        raw_send_text(fd[side], "REPLCONF capa eof\r\n");
        free(raw_read_replies(fd[side], 1).data);
        raw_send_text(fd[side], "PSYNC ? -1\r\n");
        AWAIT(saves(pair.port[side], true));
    }
    compare(&pair, info_of_save, "while it reads nothing");
    compare_all(&pair, "while it reads nothing");
    compare(&pair, save_refused, "while it reads nothing");
    for (unsigned side = 0; side < SIDES; side++) {
        redisContext *c = client_connect(pair.port[side]);
        expect_text(c, "OK", "FLUSHALL");
        AWAIT(saves(pair.port[side], false));
        AWAIT(alone(pair.port[side]));
        redisFree(c);
        close(fd[side]);
    }
    compare_all(&pair, "flushed");
    char *ours = info_of_save(pair.port[OURS]);
    assert_non_null(strstr(ours, "rdb_last_bgsave_status:ok\n"));
    assert_non_null(strstr(ours, "rdb_saves:0\n"));
    free(ours);
    end(&pair);
}

/* ---- a primary that we play ---- */
static int open_listener(int *port_r) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port_r = ntohs(address.sin_port);
    return fd;
}

/* The answer to one command. INFO pool says that we are a pool of one worker, which has the same port: it is
 * followed as redis follows redis. */
static void answer_replica(int fd, int port, const char *word) {
    char pool[100], reply[150];
    if (strcasecmp(word, "INFO") != 0) {
        raw_send_text(fd, strcasecmp(word, "PING") == 0 ? "+PONG\r\n" : "+OK\r\n");
        return;
    }
    snprintf(pool, sizeof pool, "pool_workers:1\r\npool_worker_port_base:%d\r\n", port);
    snprintf(reply, sizeof reply, "$%zu\r\n%s\r\n", strlen(pool), pool);
    raw_send_text(fd, reply);
}

/* Answers until PSYNC comes; *said_r: what REPLCONF said up to there, but our option, which pools tell pools. Returns the connection, or -1 if it was one
 * that only asked. */
static int shake_hands(int listener, int port, char **said_r) {
    int fd = accept(listener, NULL, NULL);
    redisReader *reader = redisReaderCreate();
    char bytes[4096], *said = calloc(1, 4096);
    bool psync = false;
    ssize_t n;
    assert_true(fd >= 0);
    while (!psync && (n = recv(fd, bytes, sizeof bytes, 0)) > 0) {
        redisReply *reply;
        redisReaderFeed(reader, bytes, (size_t)n);
        while (redisReaderGetReply(reader, (void **)&reply) == REDIS_OK && reply != NULL) {
            const char *word = reply->element[0]->str;
            bool tells = strcasecmp(word, "REPLCONF") == 0 &&
                         strcmp(reply->element[1]->str, "public-port") != 0;
            for (size_t i = 0; tells && i < reply->elements; i++)
                strcat(strcat(said, reply->element[i]->str), i + 1 < reply->elements ? " " : "\n");
            psync = strcasecmp(word, "PSYNC") == 0;
            if (!psync)
                answer_replica(fd, port, word);
            freeReplyObject(reply);
        }
    }
    redisReaderFree(reader);
    *said_r = said;
    if (psync)
        return fd;
    free(said);
    close(fd);
    return -1;
}

#define ID   "0123456789abcdef0123456789abcdef01234567"
#define MARK "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd"

static void send_both(const int fd[SIDES], const char *data, size_t len) {
    for (unsigned side = 0; side < SIDES; side++)
        raw_send(fd[side], data, len);
}

static char *sync_refused(int port) {
    int fd = raw_connect(port);
    raw_send_text(fd, "SYNC\r\nPSYNC ? -1\r\n");
    char *text = raw_read_replies(fd, 2).data;
    close(fd);
    return text;
}

/* Each gets its own connection to the same port. */
static void take_both(const struct pair *pair, int listener, int port, int fd[SIDES]) {
    char *said[SIDES];
    for (unsigned side = 0; side < SIDES; side++) {
        redisContext *c = client_connect(pair->port[side]);
        expect_text(c, "OK", "REPLICAOF 127.0.0.1 %d", port);
        redisFree(c);
        do
            fd[side] = shake_hands(listener, port, &said[side]);
        while (fd[side] < 0);
    }
    assert_same(said, "handshake");
    free(said[THEIRS]);
    free(said[OURS]);
}

/* What CLIENT LIST says of the link to the primary, without what differs by chance, and the fields of later
 * versions. */
static char *link_line(int port) {
    static const char *const numbers[] = {
        " laddr=127.0.0.1:", " fd=",      " age=", " idle=",     " qbuf-free=", " rbs=", " rbp=",
        " argv-mem=",        " tot-mem=", "id=",   " multi-mem="};
    redisContext *c = client_connect(port);
    redisReply *reply = expect_reply(c, "CLIENT LIST TYPE master");
    char *text = strdup(reply->str), *later = strstr(text, " lib-name=");
    if (later)
        strcpy(later, "\n");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        hide_number(text, numbers[i]);
    freeReplyObject(reply);
    redisFree(c);
    return text;
}

static void test_replica_tells(void **state) {
    static const char *const options[] = {"--replica-announce-ip",
                                          "replica.example",
                                          "--replica-announce-port",
                                          "7001",
                                          "--replica-priority",
                                          "7",
                                          "--replica-announced",
                                          "no",
                                          "--replica-read-only",
                                          "no",
                                          NULL};
    static const char full[] = "+FULLRESYNC " ID " 100\r\n$EOF:" MARK "\r\nREDIS0010";
    static const char rest[] = "\xff\0\0\0\0\0\0\0\0" MARK;
    static const char stream[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$4\r\nlast\r\n";
    struct pair pair = begin(options);
    int port, fd[SIDES], listener = open_listener(&port);
    take_both(&pair, listener, port, fd);
    compare(&pair, info_replication, "before the first sync");
    compare(&pair, sync_refused, "before the first sync");
    send_both(fd, full, sizeof full - 1);
    await_info(&pair, "master_sync_read_bytes:9\r\n");
    compare(&pair, info_replication, "a snapshot comes in");
    compare(&pair, role, "a snapshot comes in");
    send_both(fd, rest, sizeof rest - 1);
    await_info(&pair, "master_link_status:up");
    send_both(fd, stream, sizeof stream - 1);
    for (unsigned side = 0; side < SIDES; side++)
        AWAIT(has_word(pair.port[side], "a"));
    compare(&pair, info_replication, "the stream comes in");
    compare(&pair, role, "the stream comes in");
    compare(&pair, link_line, "the stream comes in");
    for (unsigned side = 0; side < SIDES; side++)
        close(fd[side]);
    await_info(&pair, "master_link_status:down");
    compare(&pair, info_replication, "the link is lost");
    compare(&pair, sync_refused, "the link is lost");
    compare(&pair, link_line, "the link is lost");
    close(listener);
    end(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_words, pools_cleanup),
        cmocka_unit_test_teardown(test_greetings, pools_cleanup),
        cmocka_unit_test_teardown(test_partial, pools_cleanup),
        cmocka_unit_test_teardown(test_primary_tells, pools_cleanup),
        cmocka_unit_test_teardown(test_slow_replica, pools_cleanup),
        cmocka_unit_test_teardown(test_replica_tells, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
