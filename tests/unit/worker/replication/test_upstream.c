/* test_upstream.c - the link to a primary that says every wrong thing: it fails with a clear word, keeps
 * nothing of it, and tries again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <ev.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "worker/replication/upstream_private.h"

#define ID     "0123456789abcdef0123456789abcdef01234567"
#define SHAKEN "+PONG\r\n+OK\r\n+OK\r\n"

struct link {
    struct ev_loop *loop;
    struct config *config;
    struct upstream *upstream;
    char dir[64];
    int listener, fd;
    unsigned snapshots, commands, continued, probes;
    unsigned others;    /* times that the primary was not what it had been */
    unsigned ahead;     /* keys that were announced */
    bool numbered;      /* the keys are k0, k1, ... */
    unsigned refuse_at; /* this command, counted from 1; 0: none */
    char last[64];
};

static void on_snapshot(void *arg, const char *file) {
    ((struct link *)arg)->snapshots++;
}
static void on_continued(void *arg) {
    ((struct link *)arg)->continued++;
}
static void on_probed(void *arg, uint32_t workers, uint32_t worker_port) {
    ((struct link *)arg)->probes++;
}
static void on_another(void *arg, uint32_t workers, uint32_t worker_port) {
    assert_int_equal(workers == 0 ? 0 : 6400, worker_port);
    ((struct link *)arg)->others++;
}
static bool on_command(void *arg, uint32_t argc, const struct bytes *argv, struct bytes raw) {
    struct link *l = arg;
    if (l->refuse_at == l->commands + 1)
        return false;
    l->commands++;
    snprintf(l->last, sizeof l->last, "%.*s", (int)argv[argc - 1].len, argv[argc - 1].ptr);
    return true;
}

/* Announced in their order, before the first of them is offered. */
static void on_ahead(void *arg, const struct bytes *keys, uint32_t count) {
    struct link *l = arg;
    char key[8];
    assert_in_range(count, 2, UPSTREAM_AHEAD);
    for (uint32_t i = 0; l->numbered && i < count; i++) {
        snprintf(key, sizeof key, "k%u", l->commands + i);
        assert_true(bytes_equal(keys[i], bytes_of_text(key)));
    }
    l->ahead += count;
}

static struct upstream_view view(struct link *l) {
    struct upstream_view v;
    upstream_view(l->upstream, &v);
    return v;
}

static void turn(struct link *l) {
    ev_run(l->loop, EVRUN_NOWAIT);
    poll(NULL, 0, 1);
}

#define TURN_UNTIL(l, condition)                                                                   \
    for (uint64_t until_ms_ = clock_mono_ms() + 20000; !(condition); turn(l))                      \
        if (clock_mono_ms() > until_ms_)                                                           \
            fail_msg("never: %s (%s: %s)", #condition, upstream_state_name(view(l).state),         \
                     view(l).trouble);

static void begin(struct link *l, bool probe, const char *host) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    *l = (struct link){.loop = ev_loop_new(EVBACKEND_EPOLL), .config = config_create(), .fd = -1};
    strcpy(l->dir, "/tmp/remuda-upstream-XXXXXX");
    assert_non_null(mkdtemp(l->dir));
    log_set_level(LOG_WARNING + 1);
    l->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(l->listener, (void *)&address, sizeof address), 0);
    assert_int_equal(listen(l->listener, 5), 0);
    assert_int_equal(getsockname(l->listener, (void *)&address, &len), 0);
    struct upstream_hooks hooks = {.arg = l,
                                   .snapshot = on_snapshot,
                                   .continued = on_continued,
                                   .command = on_command,
                                   .ahead = on_ahead,
                                   .probed = on_probed,
                                   .is_another = on_another};
    struct upstream_where where = {.host = host,
                                   .port = ntohs(address.sin_port),
                                   .own_port = 1,
                                   .dir = l->dir,
                                   .tag = "test",
                                   .probe = probe};
    l->upstream = upstream_create(l->loop, l->config, &where, &hooks);
}

/* The link comes (again), and the primary says all this at once. */
static void say(struct link *l, const char *text, size_t len) {
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    struct pollfd p = {.fd = l->listener, .events = POLLIN};
    for (uint64_t until_ms = clock_mono_ms() + 40000; poll(&p, 1, 1) == 0;) {
        assert_true(clock_mono_ms() < until_ms);
        upstream_cron(l->upstream);
        turn(l);
    }
    l->fd = accept(l->listener, NULL, NULL);
    assert_int_equal(send(l->fd, text, len, MSG_NOSIGNAL), len);
}

static void end(struct link *l) {
    char command[100];
    upstream_free(&l->upstream);
    close(l->fd);
    close(l->listener);
    ev_loop_destroy(l->loop);
    config_free(&l->config);
    snprintf(command, sizeof command, "rm -r %s", l->dir);
    assert_int_equal(system(command), 0);
}

/* No file of a sync may be left behind. */
static void expect_no_file(struct link *l) {
    char path[100];
    snprintf(path, sizeof path, "%s/temp-sync-test.rdb", l->dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void expect_failure(const char *said, const char *trouble) {
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, "", 0);
    say(&l, said, strlen(said));
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    if (strstr(view(&l).trouble, trouble) == NULL)
        fail_msg("'%s' gave '%s', not '%s'", said, view(&l).trouble, trouble);
    assert_int_equal(l.snapshots + l.commands + l.continued, 0);
    assert_string_equal(upstream_id(l.upstream), "");
    expect_no_file(&l);
    end(&l);
}

static void test_wrong_words(void **state) {
    char *endless = malloc(3001);
    memset(endless, 'x', 3000);
    endless[3000] = '\0';
    expect_failure(endless, "a line without end");
    free(endless);
    expect_failure("-ERR no\r\n", "PING was answered with '-ERR no'");
    expect_failure("$5\r\n", "PING was answered");
    expect_failure(SHAKEN "+CONTINUE\r\n", "PSYNC was answered with '+CONTINUE'");
    expect_failure(SHAKEN "+CONTINUE " ID "\r\n", "PSYNC was answered");
    expect_failure(SHAKEN "-LOADING wait\r\n", "PSYNC was answered with '-LOADING wait'");
    expect_failure(SHAKEN "+FULLRESYNC\r\n", "PSYNC was answered");
    expect_failure(SHAKEN "+FULLRESYNC short 5\r\n", "PSYNC was answered");
    expect_failure(SHAKEN "+FULLRESYNC " ID "\r\n", "PSYNC was answered");
    expect_failure(SHAKEN "+FULLRESYNC " ID " -1\r\n", "PSYNC was answered");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 18446744073709551615\r\n", "PSYNC was answered");
    expect_failure(SHAKEN "+FULLRESYNC 0123456789abcdef0123456789abcdef0123456\x1b 1\r\n",
                   "PSYNC was answered");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 7\r\n$-5\r\n", "the snapshot's length");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 7\r\n$0\r\n", "the snapshot's length");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 7\r\n$1152921504606846976\r\nREDIS",
                   "cannot write the snapshot: it has 1152921504606846976 bytes");
    expect_failure(SHAKEN "\x01\xff\r\n", "PSYNC was answered with '?"
                                          "?'");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 7\r\n$EOF:\r\n", "the snapshot's length");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 7\r\n$EOF:" ID "1\r\n", "the snapshot's length");
    expect_failure(SHAKEN "+FULLRESYNC " ID " 7\r\n$eof:" ID "\r\n", "the snapshot's length");
}

/* ---- a snapshot that a mark ends ---- */
#define MARK    "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd"
#define TO_MARK SHAKEN "+FULLRESYNC " ID " 7\r\n$EOF:" MARK "\r\n"

static void send_all(struct link *l, const char *text, size_t len) {
    assert_int_equal(send(l->fd, text, len, MSG_NOSIGNAL), len);
}

static void expect_file(struct link *l, const char *expected) {
    char path[100], content[400] = "";
    snprintf(path, sizeof path, "%s/temp-sync-test.rdb", l->dir);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    content[fread(content, 1, sizeof content - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(content, expected);
}

/* The mark cut in two at each of its bytes, behind what looks like its beginning; the stream follows at once. */
static void test_mark(void **state) {
    static const char file[] = "bytes aaaaaaaaaabbbbbbbbbbccccccccccddddddddd and aaaaaaaaaaa";
    static const char rest[] = MARK "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n";
    for (size_t cut = 0; cut <= sizeof MARK - 1; cut++) {
        struct link l;
        begin(&l, false, "127.0.0.1");
        upstream_start(l.upstream, "", 0);
        say(&l, TO_MARK, strlen(TO_MARK));
        send_all(&l, file, sizeof file - 1);
        send_all(&l, rest, cut);
        TURN_UNTIL(&l, view(&l).sync_done_bytes == sizeof file - 1 + cut || l.snapshots == 1);
        assert_int_equal(l.snapshots, cut == sizeof MARK - 1);
        send_all(&l, rest + cut, sizeof rest - 1 - cut);
        TURN_UNTIL(&l, l.snapshots == 1);
        assert_int_equal(view(&l).sync_done_bytes, sizeof file - 1);
        assert_int_equal(view(&l).sync_total_bytes, 0);
        expect_file(&l, file);
        upstream_loaded(l.upstream);
        TURN_UNTIL(&l, l.commands == 1);
        assert_int_equal(upstream_offset(l.upstream), 7 + 27);
        end(&l);
    }
}

/* The connection ends within the snapshot: nothing is left of it. */
static void expect_given_up(struct link *l) {
    shutdown(l->fd, SHUT_RDWR);
    TURN_UNTIL(l, view(l).state == UPSTREAM_WAITING);
    assert_int_equal(l->snapshots, 0);
    assert_string_equal(upstream_id(l->upstream), "");
    expect_no_file(l);
    end(l);
}

static void test_no_mark(void **state) {
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, "", 0);
    say(&l, TO_MARK "aaaaaaaaaabbbbbbbbbbccccccccccddddddddd", strlen(TO_MARK) + sizeof MARK - 2);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_TRANSFER);
    expect_given_up(&l);
}

/* It never ends, and the disk does. */
static void test_endless_file(void **state) {
    struct rlimit before, small = {1 << 20, RLIM_INFINITY};
    struct link l;
    char *much = calloc(1, 65536);
    begin(&l, false, "127.0.0.1");
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    upstream_start(l.upstream, "", 0);
    say(&l, TO_MARK, strlen(TO_MARK));
    while (view(&l).state != UPSTREAM_WAITING) {
        (void)!send(l.fd, much, 65536, MSG_NOSIGNAL | MSG_DONTWAIT);
        turn(&l);
        assert_true(view(&l).sync_done_bytes <= 1 << 20);
    }
    setrlimit(RLIMIT_FSIZE, &before);
    assert_string_equal(view(&l).trouble, "cannot write the snapshot: File too large");
    assert_string_equal(upstream_id(l.upstream), "");
    expect_no_file(&l);
    free(much);
    end(&l);
}

static void test_cut_file(void **state) {
    static const char said[] = SHAKEN "\n\n+FULLRESYNC " ID " 7\r\n\n$100\r\nonly so much";
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, "", 0);
    say(&l, said, sizeof said - 1);
    TURN_UNTIL(&l, view(&l).sync_done_bytes == 12);
    expect_given_up(&l);
}

/* A whole snapshot, then a stream: a transaction counts when its end is there. */
static void test_stream_and_transaction(void **state) {
    static const char said[] = SHAKEN "+FULLRESYNC " ID " 7\r\n$4\r\nfile"
                                      "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n"
                                      "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$5\r\nwhole\r\n";
    static const char rest[] = "*1\r\n$4\r\nEXEC\r\n";
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, "", 0);
    say(&l, said, sizeof said - 1);
    TURN_UNTIL(&l, l.snapshots == 1);
    assert_string_equal(upstream_id(l.upstream), ""); /* not before it is loaded */
    upstream_loaded(l.upstream);
    TURN_UNTIL(&l, l.commands == 1);
    assert_string_equal(l.last, "b");
    assert_string_equal(upstream_id(l.upstream), ID);
    assert_int_equal(upstream_offset(l.upstream), 7 + 27);
    assert_int_equal(send(l.fd, rest, sizeof rest - 1, 0), sizeof rest - 1);
    TURN_UNTIL(&l, l.commands == 4);
    uint64_t whole = upstream_offset(l.upstream);
    /* A transaction that is cut is as if it had not begun, and the link goes on where it stood. */
    assert_int_equal(send(l.fd, "*1\r\n$5\r\nMULTI\r\n", 15, 0), 15);
    assert_int_equal(send(l.fd, "*2\r\n$4\r\nINCR\r\n$3\r\ncut\r\n", 24, 0), 24);
    TURN_UNTIL(&l, view(&l).last_heard_s == 0);
    shutdown(l.fd, SHUT_RDWR);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_int_equal(l.commands, 4);
    assert_int_equal(upstream_offset(l.upstream), whole);
    say(&l, SHAKEN "+CONTINUE\r\n", strlen(SHAKEN "+CONTINUE\r\n"));
    TURN_UNTIL(&l, l.continued == 1 && upstream_is_up(l.upstream));
    /* Nonsense in the stream: what is here cannot be trusted to go on. */
    assert_int_equal(send(l.fd, "*1\r\n$-7\r\n", 9, 0), 9);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_string_equal(upstream_id(l.upstream), "");
    end(&l);
}

/* Held it offers nothing more, knows where it stands, and loses that if the data are lost: also while the link
 * is down already. */
static void test_held(void **state) {
    static const char said[] = SHAKEN "+CONTINUE\r\n"
                                      "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n";
    static const char more[] = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nc\r\n";
    struct rdb_origin place;
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, ID, 7);
    say(&l, said, sizeof said - 1);
    TURN_UNTIL(&l, l.commands == 1);
    upstream_hold(l.upstream, true);
    send_all(&l, more, sizeof more - 1);
    for (unsigned i = 0; i < 20; i++)
        turn(&l);
    upstream_go_on(l.upstream);
    assert_int_equal(l.commands, 1);
    assert_true(upstream_place(l.upstream, &place));
    assert_string_equal(place.id, ID);
    assert_int_equal(place.offset, 7 + 27);
    upstream_hold(l.upstream, false);
    TURN_UNTIL(&l, l.commands == 2);
    shutdown(l.fd, SHUT_RDWR);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_true(upstream_place(l.upstream, &place));
    assert_int_equal(place.offset, 7 + 27 + 27);
    upstream_fail(l.upstream, true, "a shard is gone");
    assert_false(upstream_place(l.upstream, &place));
    end(&l);
}

/* It has offered MULTI and one command of a transaction that has come whole, and the next was refused. */
static void begin_within_transaction(struct link *l, const char *said, size_t len) {
    begin(l, false, "127.0.0.1");
    l->refuse_at = 3;
    upstream_start(l->upstream, ID, 7);
    say(l, said, len);
    TURN_UNTIL(l, l->commands == 2);
}

/* In the middle of a transaction, whose rest is taken all the same. */
static void test_held_in_a_transaction(void **state) {
    static const char said[] =
        SHAKEN "+CONTINUE\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"
               "*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n*1\r\n$4\r\nEXEC\r\n*2\r\n$4\r\nINCR\r\n$1\r\nc\r\n";
    struct rdb_origin place;
    struct link l;
    begin_within_transaction(&l, said, sizeof said - 1);
    upstream_hold(l.upstream, true);
    assert_false(upstream_place(l.upstream, &place));
    l.refuse_at = 0;
    upstream_go_on(l.upstream);
    assert_int_equal(l.commands, 4);
    assert_true(upstream_place(l.upstream, &place));
    assert_int_equal(place.offset, 7 + 15 + 21 + 21 + 14);
    end(&l);
}

/* Would it try again so long after the last try? */
static bool tries_after(struct link *l, uint64_t ms) {
    TURN_UNTIL(l, view(l).state == UPSTREAM_WAITING);
    l->upstream->tried_ms = clock_mono_ms() - ms;
    upstream_cron(l->upstream);
    return view(l).state == UPSTREAM_CONNECTING;
}

/* Snapshots that come to nothing are asked for ever more seldom; whether there is one, each second. */
static void test_how_often(void **state) {
    static const char full[] = SHAKEN "+FULLRESYNC " ID " 7\r\n$-1\r\n",
                      wait[] = SHAKEN "-NOMASTERLINK Can't SYNC\r\n";
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, "", 0);
    for (unsigned vain = 0; vain < 6; vain++) {
        say(&l, full, sizeof full - 1);
        uint64_t due_ms = (uint64_t)1000 << vain;
        assert_false(tries_after(&l, due_ms - 500));
        assert_true(tries_after(&l, due_ms));
        say(&l, wait, sizeof wait - 1);
        assert_false(tries_after(&l, 500));
        assert_true(tries_after(&l, 1000));
    }
    end(&l);
}

static void test_looks_ahead(void **state) {
    char said[4096] = SHAKEN "+FULLRESYNC " ID " 7\r\n$4\r\nfile";
    enum { COMMANDS = 40 };
    struct link l;
    begin(&l, false, "127.0.0.1");
    l.numbered = true;
    for (unsigned i = 0; i < COMMANDS; i++)
        sprintf(said + strlen(said), "*3\r\n$3\r\nSET\r\n$%d\r\nk%u\r\n$1\r\nx\r\n", i < 10 ? 2 : 3,
                i);
    upstream_start(l.upstream, "", 0);
    say(&l, said, strlen(said));
    TURN_UNTIL(&l, l.snapshots == 1);
    upstream_loaded(l.upstream);
    TURN_UNTIL(&l, l.commands == COMMANDS);
    assert_in_range(l.ahead, 2, COMMANDS);
    end(&l);
}

/* The primary resets the connection, which shows when we write: after a second. */
static void reset(struct link *l) {
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    close(l->fd);
    l->fd = -1;
    for (uint64_t until_ms = clock_mono_ms() + 20000; view(l).trouble[0] == '\0'; turn(l)) {
        assert_true(clock_mono_ms() < until_ms);
        upstream_cron(l->upstream);
    }
}

/* What has come is loaded all the same, and the stream goes on where the snapshot ends. */
static void test_lost_while_loading(void **state) {
    static const char said[] = SHAKEN "+FULLRESYNC " ID " 7\r\n$4\r\nfile";
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, "", 0);
    say(&l, said, sizeof said - 1);
    TURN_UNTIL(&l, l.snapshots == 1);
    assert_false(upstream_snapshot_is_whole(l.upstream));
    reset(&l);
    assert_int_equal(view(&l).state, UPSTREAM_LOADING);
    upstream_cron(l.upstream);
    upstream_loaded(l.upstream);
    assert_int_equal(view(&l).state, UPSTREAM_WAITING);
    assert_string_equal(upstream_id(l.upstream), ID);
    assert_int_equal(upstream_offset(l.upstream), 7);
    say(&l, SHAKEN "+CONTINUE\r\n", strlen(SHAKEN "+CONTINUE\r\n"));
    TURN_UNTIL(&l, l.continued == 1 && upstream_is_up(l.upstream));
    end(&l);
}

/* One half of a transaction was taken when the link goes: it cannot be asked for again without the other. */
static void test_lost_within_transaction(void **state) {
    static const char said[] = SHAKEN "+CONTINUE\r\n*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\n"
                                      "a\r\n*2\r\n$4\r\nINCR\r\n$1\r\nb\r\n*1\r\n$4\r\nEXEC\r\n";
    struct link l;
    begin_within_transaction(&l, said, sizeof said - 1);
    reset(&l);
    assert_int_equal(view(&l).state, UPSTREAM_WAITING);
    assert_string_equal(upstream_id(l.upstream), "");
    end(&l);
}

static void test_inline_command(void **state) {
    static const char said[] = SHAKEN "+CONTINUE\r\n\r\n*1\r\n$4\r\nPING\r\nSET a b\r\n";
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, ID, 7);
    say(&l, said, sizeof said - 1);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_int_equal(l.commands, 1);
    assert_non_null(strstr(view(&l).trouble, "inline"));
    end(&l);
}

/* An argument is announced that no memory holds: nothing is taken for what has not come. */
static void test_huge_announcement(void **state) {
    static const char said[] =
        SHAKEN "+CONTINUE\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1099511627776\r\nxyz";
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_start(l.upstream, ID, 7);
    say(&l, said, sizeof said - 1);
    TURN_UNTIL(&l, l.continued == 1);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(send(l.fd, "more", 4, MSG_NOSIGNAL), 4);
        turn(&l);
    }
    assert_int_equal(l.commands, 0);
    assert_true(upstream_is_up(l.upstream));
    end(&l);
}

static void test_endless_transaction(void **state) {
    static const char one[] = "*2\r\n$4\r\nINCR\r\n$1\r\na\r\n";
    struct link l;
    begin(&l, false, "127.0.0.1");
    l.config->client_query_buffer_limit = 1000;
    upstream_start(l.upstream, ID, 7);
    static const char said[] = SHAKEN "+CONTINUE\r\n*1\r\n$5\r\nMULTI\r\n";
    say(&l, said, sizeof said - 1);
    for (unsigned i = 0; i < 100 && view(&l).state != UPSTREAM_WAITING; i++) {
        (void)!send(l.fd, one, sizeof one - 1, MSG_NOSIGNAL);
        turn(&l);
    }
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_non_null(strstr(view(&l).trouble, "client-query-buffer-limit"));
    assert_int_equal(l.commands, 0);
    end(&l);
}

/* The primary is asked before each synchronization whether it is what it was. */
static void test_another_size(void **state) {
#define TOLD(workers)                                                                              \
    "+PONG\r\n+OK\r\n$44\r\npool_workers:" workers "\r\npool_worker_port_base:6400\r\n\r\n+OK\r\n"
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_check(l.upstream, 2, 6400);
    upstream_start(l.upstream, ID, 7);
    say(&l, TOLD("2") "+CONTINUE\r\n", strlen(TOLD("2") "+CONTINUE\r\n"));
    TURN_UNTIL(&l, l.continued == 1);
    shutdown(l.fd, SHUT_RDWR);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    say(&l, TOLD("3"), strlen(TOLD("3")));
    TURN_UNTIL(&l, strstr(view(&l).trouble, "3 workers now, not 2") != NULL);
    assert_int_equal(view(&l).state, UPSTREAM_WAITING);
    assert_int_equal(l.others, 1);
    assert_string_equal(upstream_id(l.upstream), ID);
    upstream_check(l.upstream, 3, 6401);
    say(&l, TOLD("3"), strlen(TOLD("3")));
    TURN_UNTIL(&l, l.others == 2);
    upstream_check(l.upstream, 2, 6400);
    static const char refused[] = "+PONG\r\n+OK\r\n-NOPERM no INFO\r\n";
    say(&l, refused, strlen(refused));
    TURN_UNTIL(&l, strstr(view(&l).trouble, "0 workers now, not 2") != NULL);
    end(&l);
}

static int open_to_shard(void *arg) {
    struct link *l = arg;
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(getsockname(l->listener, (void *)&address, &len), 0);
    assert_int_equal(connect(fd, (void *)&address, len), 0);
    return fd;
}

/* A shard of our own says that the snapshot has to be made, then that it lies in our folder. No other primary
 * may say so. */
static void test_file_is_here(void **state) {
    struct link l;
    begin(&l, false, "127.0.0.1");
    upstream_free(&l.upstream);
    struct upstream_hooks hooks = {.arg = &l,
                                   .snapshot = on_snapshot,
                                   .continued = on_continued,
                                   .command = on_command,
                                   .open = open_to_shard};
    struct upstream_where where = {.host = "shard", .dir = l.dir, .tag = "test"};
    l.upstream = upstream_create(l.loop, l.config, &where, &hooks);
    upstream_start(l.upstream, "", 0);
    say(&l, SHAKEN, sizeof SHAKEN - 1);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_HANDSHAKE);
    assert_false(view(&l).awaits_snapshot);
    assert_int_equal(send(l.fd, "\n", 1, 0), 1);
    TURN_UNTIL(&l, view(&l).awaits_snapshot);
    static const char rest[] = "+FULLRESYNC " ID " 5\r\n$HERE\r\n*1\r\n$4\r\nPING\r\n";
    send_all(&l, rest, sizeof rest - 1);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_LOADING);
    assert_false(view(&l).awaits_snapshot);
    assert_int_equal(l.snapshots, 1);
    assert_int_equal(l.commands, 0);
    upstream_loaded(l.upstream);
    TURN_UNTIL(&l, l.commands == 1);
    assert_int_equal(view(&l).offset, 5 + 14);
    end(&l);
    expect_failure(SHAKEN "+FULLRESYNC " ID " 5\r\n$HERE\r\n",
                   "the snapshot's length was answered");
}

static void test_silence(void **state) {
    struct link l;
    begin(&l, false, "127.0.0.1");
    l.config->repl_timeout = 1;
    upstream_start(l.upstream, "", 0);
    say(&l, "+PONG\r\n", 7);
    for (uint64_t until_ms = clock_mono_ms() + 20000;
         view(&l).state != UPSTREAM_WAITING && clock_mono_ms() < until_ms; turn(&l))
        upstream_cron(l.upstream);
    assert_string_equal(view(&l).trouble, "nothing heard for repl-timeout");
    end(&l);
}

static void test_names_and_probes(void **state) {
    static const char alone[] = "+PONG\r\n+OK\r\n$0\r\n\r\n";
    static const char impossible[] =
        "+PONG\r\n+OK\r\n$54\r\npool_workers:65000\r\npool_worker_port_base:6400\r\nxxxxxx\r\n\r\n";
    struct link l;
    begin(&l, true, "localhost"); /* a name: perhaps of several addresses, of which one listens */
    upstream_start(l.upstream, "", 0);
    say(&l, impossible, sizeof impossible - 1);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_non_null(strstr(view(&l).trouble, "of a size that cannot be"));
    say(&l, alone, sizeof alone - 1);
    TURN_UNTIL(&l, l.probes == 1);
    end(&l);
    begin(&l, false, "no-such-host.invalid");
    upstream_start(l.upstream, "", 0);
    TURN_UNTIL(&l, view(&l).state == UPSTREAM_WAITING);
    assert_true(strlen(view(&l).trouble) > 0);
    end(&l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_words),
        cmocka_unit_test(test_mark),
        cmocka_unit_test(test_no_mark),
        cmocka_unit_test(test_endless_file),
        cmocka_unit_test(test_cut_file),
        cmocka_unit_test(test_stream_and_transaction),
        cmocka_unit_test(test_held),
        cmocka_unit_test(test_how_often),
        cmocka_unit_test(test_held_in_a_transaction),
        cmocka_unit_test(test_looks_ahead),
        cmocka_unit_test(test_lost_while_loading),
        cmocka_unit_test(test_lost_within_transaction),
        cmocka_unit_test(test_inline_command),
        cmocka_unit_test(test_huge_announcement),
        cmocka_unit_test(test_endless_transaction),
        cmocka_unit_test(test_another_size),
        cmocka_unit_test(test_file_is_here),
        cmocka_unit_test(test_silence),
        cmocka_unit_test(test_names_and_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
