/* 58_snapshot.c - consistent cuts of a real pool: nothing torn under transfers between shards, whatever
 * is killed meanwhile; the operator's `remuda snapshot` and `remuda restore`. */
#include "tests/integration/load.h"
#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <time.h>

enum { MOVERS = 4, COINS = 40, SHARDS = 3, CUTS = 5 };

/* ---- transfers ----
 *
 * Each mover moves coins between lists on different shards (one command, atomic), renames a token from
 * shard to shard, and counts: first on shard 1, and when that is answered on shard 0. In any cut all
 * coins and tokens are there, once, and no count of shard 0 is ahead of shard 1's. */
struct mover {
    int port;
    unsigned number, place, seed;
    char coins[SHARDS][40], token[SHARDS][40], counter[2][40];
    _Atomic bool *stop;
    _Atomic uint64_t moves;
    char strange[200];
    pthread_t thread;
};

static struct mover movers[MOVERS];
static _Atomic bool stop_moving;

static bool say(struct mover *m, redisContext **c, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    redisReply *reply = redisvCommand(*c, format, arguments);
    va_end(arguments);
    bool good = reply && reply->type != REDIS_REPLY_ERROR;
    if (!good && !m->strange[0])
        snprintf(m->strange, sizeof(m->strange), "%s: %s", format, reply ? reply->str : "lost");
    if (reply)
        freeReplyObject(reply);
    return good;
}

static void *move_on(void *arg) {
    struct mover *m = arg;
    redisContext *c = client_try_connect(m->port);
    while (c && !atomic_load(m->stop) && !m->strange[0]) {
        unsigned from = (unsigned)rand_r(&m->seed) % SHARDS, to = (from + 1) % SHARDS;
        unsigned place = (m->place + 1 + (unsigned)rand_r(&m->seed) % (SHARDS - 1)) % SHARDS;
        if (say(m, &c, "LMOVE %s %s LEFT RIGHT", m->coins[from], m->coins[to]) &&
            say(m, &c, "RENAME %s %s", m->token[m->place], m->token[place]) &&
            say(m, &c, "INCR %s", m->counter[1]) && say(m, &c, "INCR %s", m->counter[0]))
            m->place = place;
        atomic_fetch_add(&m->moves, 1);
    }
    if (c)
        redisFree(c);
    return NULL;
}

static void start_moving(const struct pool *pool) {
    redisContext *c = pool_connect(pool);
    atomic_store(&stop_moving, false);
    for (unsigned i = 0; i < MOVERS; i++) {
        struct mover *m = &movers[i];
        memset(m, 0, sizeof(*m));
        m->port = pool->port;
        m->number = i;
        m->seed = i + 1;
        m->stop = &stop_moving;
        for (unsigned s = 0; s < SHARDS; s++) {
            snprintf(m->coins[s], sizeof(m->coins[s]), "%s", pool_key(pool, s, 10 + i));
            snprintf(m->token[s], sizeof(m->token[s]), "%s", pool_key(pool, s, 20 + i));
        }
        for (unsigned s = 0; s < 2; s++)
            snprintf(m->counter[s], sizeof(m->counter[s]), "%s", pool_key(pool, s, 30 + i));
        for (unsigned coin = 0; coin < COINS; coin++)
            freeReplyObject(expect_reply(c, "RPUSH %s coin-%u", m->coins[coin % SHARDS], coin));
        expect_text(c, "OK", "SET %s %u", m->token[0], i);
        expect_text(c, "OK", "MSET %s 0 %s 0", m->counter[0], m->counter[1]);
    }
    redisFree(c);
    for (unsigned i = 0; i < MOVERS; i++)
        assert_int_equal(pthread_create(&movers[i].thread, NULL, move_on, &movers[i]), 0);
}

static void await_moves(uint64_t more) {
    for (unsigned i = 0; i < MOVERS; i++) {
        uint64_t from = atomic_load(&movers[i].moves);
        AWAIT(atomic_load(&movers[i].moves) >= from + more || movers[i].strange[0]);
    }
}

static void stop_moves(void) {
    atomic_store(&stop_moving, true);
    for (unsigned i = 0; i < MOVERS; i++)
        pthread_join(movers[i].thread, NULL);
    for (unsigned i = 0; i < MOVERS; i++) {
        if (movers[i].strange[0])
            fail_msg("mover %u: %s", i, movers[i].strange);
    }
}

static void check_sums(redisContext *c, const char *where) {
    for (unsigned i = 0; i < MOVERS; i++) {
        int64_t coins = 0, tokens = 0, counter[2];
        for (unsigned s = 0; s < SHARDS; s++) {
            coins += ask_integer(c, "LLEN %s", movers[i].coins[s]);
            tokens += ask_integer(c, "EXISTS %s", movers[i].token[s]);
        }
        for (unsigned s = 0; s < 2; s++)
            counter[s] = ask_integer(c, "INCRBY %s 0", movers[i].counter[s]);
        if (coins != COINS || tokens != 1 || counter[1] < counter[0] || counter[1] > counter[0] + 1)
            fail_msg("%s, mover %u: %lld coins, %lld tokens, counters %lld after %lld", where, i,
                     (long long)coins, (long long)tokens, (long long)counter[0],
                     (long long)counter[1]);
    }
}

/* ---- snapshots ---- */

static void take(redisContext *c, char path_r[256]) {
    redisReply *reply = expect_reply(c, "REMUDA SNAPSHOT");
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    snprintf(path_r, 256, "%s", reply->str);
    freeReplyObject(reply);
}

static void restore(const char *snapshot, const char *data) {
    int code;
    char *output =
        run_shell(&code, "%s/remuda restore '%s' --dir '%s' 2>&1", pool_build(), snapshot, data);
    if (code != 0)
        fail_msg("%s", output);
    free(output);
}

/* A pool that was restored from the snapshot. */
static struct pool *start_restored(const char *snapshot, const char *data, const char *appendonly) {
    restore(snapshot, data);
    struct pool_options options = {
        .workers = SHARDS, .options = {"--dir", data, "--appendonly", appendonly, "--save", ""}};
    return pool_start(&options);
}

static void cuts_are_whole(const char *appendonly, const char *appendfsync) {
    struct pool_options options = {
        .workers = SHARDS,
        .options = {"--appendonly", appendonly, "--appendfsync", appendfsync, "--save", ""}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    char path[CUTS][256];
    start_moving(pool);
    for (unsigned i = 0; i < CUTS; i++) {
        await_moves(5);
        take(c, path[i]);
    }
    assert_int_equal(pool_number(pool, "supervisor.metrics.cuts"), CUTS);
    print_message("barrier of the last: %lld us\n",
                  (long long)pool_number(pool, "supervisor.metrics.cut_last_pause_us"));
    await_moves(5);
    stop_moves();
    check_sums(c, "the pool itself");
    for (unsigned i = 0; i < CUTS; i++) {
        char data[128];
        snprintf(data, sizeof(data), "%s/restored-%u", pool->dir, i);
        struct pool *restored = start_restored(path[i], data, i % 2 ? "no" : "yes");
        redisContext *r = pool_connect(restored);
        check_sums(r, path[i]);
        redisFree(r);
        pool_end(&restored);
    }
    redisFree(c);
    pool_end(&pool);
}

static void test_no_cut_is_torn_with_a_log(void **state) {
    cuts_are_whole("yes", "everysec");
}
static void test_no_cut_is_torn_with_group_commit(void **state) {
    cuts_are_whole("yes", "always");
}
static void test_no_cut_is_torn_without_a_log(void **state) {
    cuts_are_whole("no", "everysec");
}

/* ---- kills ---- */

static unsigned count_files(const struct pool *pool, const char *pattern) {
    int code;
    char *output = run_shell(&code, "ls -d %s/%s 2>/dev/null | wc -l", pool->data, pattern);
    unsigned count = (unsigned)strtoul(output, NULL, 10);
    free(output);
    return count;
}

struct taker {
    int port;
    _Atomic bool stop;
    _Atomic unsigned good, bad;
    char strange[200];
    pthread_t thread;
};

static bool is_clear(const char *error) {
    static const char *const known[] = {"ERR snapshot failed: ", "ERR shard ", "LOADING ",
                                        "ERR snapshot '", "ERR the pool "};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strncmp(error, known[i], strlen(known[i])) == 0)
            return true;
    }
    return false;
}

/* One snapshot after the other. */
static void *take_on(void *arg) {
    struct taker *taker = arg;
    redisContext *c = NULL;
    while (!atomic_load(&taker->stop)) {
        if (!c)
            c = client_try_connect(taker->port);
        redisReply *reply = c ? redisCommand(c, "REMUDA SNAPSHOT KEEP 3") : NULL;
        bool good = reply && reply->type == REDIS_REPLY_STRING;
        atomic_fetch_add(good ? &taker->good : &taker->bad, 1);
        if (reply && !good && !is_clear(reply->str))
            snprintf(taker->strange, sizeof(taker->strange), "%s", reply->str);
        if (reply)
            freeReplyObject(reply);
        if (!reply && c) {
            redisFree(c);
            c = NULL;
        }
        if (!good)
            usleep(2000);
    }
    if (c)
        redisFree(c);
    return NULL;
}

static void start_taking(struct taker *taker, const struct pool *pool) {
    memset(taker, 0, sizeof(*taker));
    taker->port = pool->port;
    assert_int_equal(pthread_create(&taker->thread, NULL, take_on, taker), 0);
}

static void stop_taking(struct taker *taker) {
    atomic_store(&taker->stop, true);
    pthread_join(taker->thread, NULL);
    if (taker->strange[0])
        fail_msg("unexpected error: %s", taker->strange);
}

static void await_good(struct taker *taker, unsigned more) {
    unsigned from = atomic_load(&taker->good);
    AWAIT(atomic_load(&taker->good) >= from + more);
}

static unsigned seeded(void) {
    unsigned seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    print_message("seed %u\n", seed);
    srand(seed);
    return seed;
}

/* Shard 0 runs the barriers. */
static void test_workers_killed_while_cuts_are_taken(void **state) {
    for (int own = 0; own < 2; own++) {
        struct pool_options options = {.workers = SHARDS,
                                       .deaths = true,
                                       .options = {"--appendonly", own ? "yes" : "no",
                                                   "--restart-limit", "1000", "--save", ""}};
        struct pool *pool = pool_start(&options);
        struct taker taker;
        struct load load;
        seeded();
        if (own)
            load_start(&load, pool, pool->port, 2);
        start_taking(&taker, pool);
        for (int i = 0; i < 6; i++) {
            await_good(&taker, 1);
            usleep((unsigned)rand() % 30000); /* anywhere in the next ones */
            pool_kill_worker(pool, i % 2 ? (unsigned)rand() % SHARDS : 0, SIGKILL);
        }
        await_good(&taker, 2);
        stop_taking(&taker);
        if (own) {
            load_stop(&load);
            load_check(&load, pool);
        }
        AWAIT(pool_number(pool, "supervisor.metrics.cut_in_progress") == 0);
        assert_int_equal(count_files(pool, "snapshots/*.partial"), 0);
        assert_int_equal(count_files(pool, "snapshots/2*"), 3);
        if (!own)
            AWAIT(count_files(pool, "shard-*/snapshot-log") == 0);
        char data[128], latest[128];
        snprintf(data, sizeof(data), "%s/restored", pool->dir);
        snprintf(latest, sizeof(latest), "%s/snapshots/latest", pool->data);
        struct pool *restored = start_restored(latest, data, "yes");
        pool_end(&restored);
        pool_end(&pool);
    }
}

static void test_the_supervisor_killed_while_cuts_are_taken(void **state) {
    struct pool_options options = {
        .workers = SHARDS,
        .deaths = true,
        .options = {"--appendonly", "yes", "--appendfsync", "always", "--save", ""}};
    struct pool *pool = pool_start(&options);
    struct load load;
    seeded();
    load_start(&load, pool, pool->port, 2);
    for (int i = 0; i < 5; i++) {
        struct taker taker;
        start_taking(&taker, pool);
        await_good(&taker, 1);
        usleep((unsigned)rand() % 60000);
        pool_signal(pool, SIGKILL);
        pool_await_exit(pool);
        pool_start_again(pool);
        /* By its start all that was begun is gone, but for what the taker begins anew. */
        await_good(&taker, 1);
        stop_taking(&taker);
        AWAIT(pool_number(pool, "supervisor.metrics.cut_in_progress") == 0);
        assert_int_equal(count_files(pool, "snapshots/*.partial"), 0);
    }
    load_stop(&load);
    load_check(&load, pool);
    char data[128], latest[128];
    snprintf(data, sizeof(data), "%s/restored", pool->dir);
    snprintf(latest, sizeof(latest), "%s/snapshots/latest", pool->data);
    struct pool *restored = start_restored(latest, data, "yes");
    pool_end(&restored);
    pool_end(&pool);
}

/* The log begins and ends, is rewritten, the pool stops in order: all of it while cuts are taken. */
static void test_everything_else_while_cuts_are_taken(void **state) {
    struct pool_options options = {.workers = SHARDS, .options = {"--save", ""}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    struct taker taker;
    struct load load;
    load_start(&load, pool, pool->port, 2);
    start_taking(&taker, pool);
    for (int i = 0; i < 10; i++) {
        expect_text(c, "OK", "CONFIG SET appendonly %s", i % 2 ? "no" : "yes");
        freeReplyObject(redisCommand(c, "BGREWRITEAOF"));
        freeReplyObject(redisCommand(c, "BGSAVE"));
        await_good(&taker, 1);
    }
    expect_text(c, "OK", "CONFIG SET appendonly yes");
    AWAIT(count_files(pool, "shard-*/appendonlydir/*.manifest") == SHARDS);
    await_good(&taker, 1);
    load_stop(&load);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0); /* with one under way, as like as not */
    stop_taking(&taker);
    pool_start_again(pool);
    assert_int_equal(count_files(pool, "snapshots/*.partial"), 0);
    load_check(&load, pool);
    char data[128], latest[128];
    snprintf(data, sizeof(data), "%s/restored", pool->dir);
    snprintf(latest, sizeof(latest), "%s/snapshots/latest", pool->data);
    struct pool *restored = start_restored(latest, data, "no");
    pool_end(&restored);
    pool_end(&pool);
}

/* ---- errors ---- */

static void test_one_at_a_time(void **state) {
    struct pool_options options = {.workers = SHARDS,
                                   .options = {"--heartbeat-timeout", "60000", "--save", ""}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect_worker(pool, 0), *d = pool_connect_worker(pool, 0);
    pid_t stopped = pool_worker_pid(pool, 1);
    kill(stopped, SIGSTOP); /* so that it is not prepared */
    assert_int_equal(redisAppendCommand(c, "REMUDA SNAPSHOT first"), REDIS_OK);
    int done = 0;
    while (!done)
        assert_int_equal(redisBufferWrite(c, &done), REDIS_OK);
    AWAIT(pool_number(pool, "supervisor.metrics.cut_in_progress") == 1);
    expect_error(d, "ERR snapshot 'first' is being taken already", "REMUDA SNAPSHOT second");
    expect_text(d, "PONG", "PING");
    kill(stopped, SIGCONT);
    redisReply *reply = NULL;
    assert_int_equal(redisGetReply(c, (void **)&reply), REDIS_OK);
    assert_int_equal(reply->type, REDIS_REPLY_STRING);
    assert_non_null(strstr(reply->str, "/snapshots/first"));
    freeReplyObject(reply);
    freeReplyObject(expect_reply(d, "REMUDA SNAPSHOT second"));
    expect_error(d, "ERR snapshot failed: a snapshot 'second' exists already",
                 "REMUDA SNAPSHOT second");
    expect_error(d, "ERR invalid snapshot name", "REMUDA SNAPSHOT ../x");
    expect_error(d, "ERR invalid snapshot name", "REMUDA SNAPSHOT latest");
    expect_error(d, "ERR invalid snapshot name", "REMUDA SNAPSHOT x.partial");
    expect_error(d, "ERR syntax error", "REMUDA SNAPSHOT a b");
    expect_error(d, "ERR KEEP must be", "REMUDA SNAPSHOT KEEP 0");
    expect_error(d, "ERR value is not an integer", "REMUDA SNAPSHOT KEEP x");
    expect_error(d, "ERR syntax error", "REMUDA SNAPSHOT a KEEP");
    expect_error(d, "ERR unknown subcommand 'x'", "REMUDA x");
    redisFree(c);
    redisFree(d);
    pool_end(&pool);
}

/* Where the folder should be is a file: the disk refuses, the pool goes on. */
static void test_a_disk_that_refuses(void **state) {
    struct pool_options options = {.workers = SHARDS,
                                   .options = {"--appendonly", "yes", "--save", ""}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    char path[128];
    snprintf(path, sizeof(path), "%s/snapshots", pool->data);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    for (int i = 0; i < 2; i++) {
        expect_error(c, "ERR snapshot failed: cannot make ", "REMUDA SNAPSHOT one");
        expect_text(c, "OK", "SET a %d", i);
    }
    assert_int_equal(pool_number(pool, "supervisor.metrics.cut_last_ok"), 0);
    assert_int_equal(pool_number(pool, "supervisor.metrics.cut_in_progress"), 0);
    assert_int_equal(unlink(path), 0);
    freeReplyObject(expect_reply(c, "REMUDA SNAPSHOT one"));
    assert_int_equal(pool_number(pool, "supervisor.metrics.cut_last_ok"), 1);
    assert_true(pool_number(pool, "supervisor.metrics.cut_last_time_seconds") > 1000000000);
    redisFree(c);
    pool_end(&pool);
}

static char small_disk[64]; /* "": none is mounted */

static int unmount_small_disk(void **state) {
    pools_cleanup(state);
    if (small_disk[0]) {
        umount2(small_disk, MNT_DETACH);
        remove_directory(small_disk);
    }
    small_disk[0] = 0;
    return 0;
}

static void test_a_disk_that_is_full(void **state) {
    make_directory(small_disk);
    if (mount("tmpfs", small_disk, "tmpfs", 0, "size=3m") != 0) {
        print_message("skipped, a small disk cannot be mounted: %s\n", strerror(errno));
        skip();
    }
    struct pool_options options = {
        .workers = SHARDS,
        .options = {"--dir", small_disk, "--save", "", "--rdbcompression", "no"}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    freeReplyObject(expect_reply(c, "REMUDA SNAPSHOT before"));
    expect_text(c, "OK", "SET %s small", pool_key(pool, 0, 1));
    expect_integer(c, 4 << 20, "SETRANGE %s %d x", pool_key(pool, 1, 1), (4 << 20) - 1);
    for (int i = 0; i < 2; i++) {
        redisReply *reply = redisCommand(c, "REMUDA SNAPSHOT full");
        assert_int_equal(reply->type, REDIS_REPLY_ERROR);
        if (!strstr(reply->str, "shard 1: ") || !strstr(reply->str, "No space left on device"))
            fail_msg("%s", reply->str);
        freeReplyObject(reply);
        expect_text(c, "OK", "SET %s %d", pool_key(pool, 1, 2), i);
    }
    expect_integer(c, 1, "DEL %s", pool_key(pool, 1, 1));
    freeReplyObject(expect_reply(c, "REMUDA SNAPSHOT full"));
    redisFree(c);
    pool_end(&pool);
}

/* ---- the command line ---- */

static char *remuda(int *code_r, const char *format, ...) {
    char arguments[600];
    va_list list;
    va_start(list, format);
    vsnprintf(arguments, sizeof(arguments), format, list);
    va_end(list);
    return run_shell(code_r, "%s/remuda %s 2>&1", pool_build(), arguments);
}

#define EXPECT_OUTPUT(code, text, ...)                                                             \
    do {                                                                                           \
        int code_;                                                                                 \
        char *output_ = remuda(&code_, __VA_ARGS__);                                               \
        if (code_ != (code) || !strstr(output_, text))                                             \
            fail_msg("exit code %d: %s", code_, output_);                                          \
        free(output_);                                                                             \
    } while (0)

static void test_the_command_line(void **state) {
    struct pool_options options = {
        .workers = SHARDS,
        .ini = "[security]\nrequirepass = secret\n[persistence]\nsnapshot-keep = 2\n"};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "AUTH secret");
    expect_text(c, "OK", "MSET a 1 b 2 c 3 d 4");
    EXPECT_OUTPUT(0, "/data/snapshots/one\n", "snapshot %s --port %d --as one", pool->ini,
                  pool->port);
    EXPECT_OUTPUT(0, "/data/snapshots/2", "snapshot %s --port %d", pool->ini, pool->port);
    EXPECT_OUTPUT(0, "/data/snapshots/three\n", "snapshot %s --as three --port %d", pool->ini,
                  pool->port);
    assert_int_equal(count_files(pool, "snapshots/one"), 0); /* snapshot-keep */
    assert_int_equal(count_files(pool, "snapshots/three"), 1);
    EXPECT_OUTPUT(0, "/four", "snapshot %s --port %d --as four --keep 1", pool->ini, pool->port);
    assert_int_equal(count_files(pool, "snapshots/three"), 0);
    EXPECT_OUTPUT(1, "remuda: ERR invalid snapshot name", "snapshot %s --port %d --as .x",
                  pool->ini, pool->port);
    EXPECT_OUTPUT(1, "remuda: NOAUTH", "snapshot --port %d", pool->port);
    EXPECT_OUTPUT(1, "remuda: WRONGPASS", "snapshot --port %d --requirepass wrong", pool->port);
    EXPECT_OUTPUT(1, "cannot connect to port", "snapshot --port %d", pool->port + PORT_BLOCK - 1);
    EXPECT_OUTPUT(1, "nosuch", "snapshot --nosuch x");
    EXPECT_OUTPUT(2, "--as needs a name", "snapshot --as");
    EXPECT_OUTPUT(0, "remuda snapshot [pool.ini]", "--help");
    redisFree(c);

    char data[128];
    snprintf(data, sizeof(data), "%s/new", pool->dir);
    EXPECT_OUTPUT(2, "remuda restore SNAPSHOT_DIR --dir DATA", "restore %s/snapshots/four",
                  pool->data);
    EXPECT_OUTPUT(2, "remuda restore SNAPSHOT_DIR --dir DATA", "restore --dir %s", data);
    EXPECT_OUTPUT(1, "snapshot.json", "restore %s/snapshots/none --dir %s", pool->data, data);
    EXPECT_OUTPUT(1, "in use by another pool", "restore %s/snapshots/four --dir %s", pool->data,
                  pool->data);
    EXPECT_OUTPUT(0, "holds a pool of 3 shards with 4 keys now",
                  "restore %s/snapshots/latest --dir %s", pool->data, data);
    EXPECT_OUTPUT(1, "holds a pool already", "restore %s/snapshots/latest --dir %s", pool->data,
                  data);
    pool_end(&pool);
}

static void test_by_unix_socket(void **state) {
    char dir[64], path[128];
    make_directory(dir);
    snprintf(path, sizeof(path), "%s/socket", dir);
    struct pool_options options = {.workers = 2, .options = {"--unixsocket", path}};
    struct pool *pool = pool_start(&options);
    EXPECT_OUTPUT(0, "/data/snapshots/one\n", "snapshot --port 0 --unixsocket %s --as one", path);
    EXPECT_OUTPUT(1, "neither a port nor a unixsocket", "snapshot --port 0");
    EXPECT_OUTPUT(1, "cannot connect to /nowhere", "snapshot --unixsocket /nowhere");
    pool_end(&pool);
    remove_directory(dir);
}

/* Killed at any moment: never a pool that is not whole, and run again it is finished. */
static void test_restore_killed(void **state) {
    struct pool_options options = {.workers = SHARDS, .options = {"--save", ""}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    char path[256], data[128];
    int code;
    expect_text(c, "OK", "DEBUG SET-ACTIVE-EXPIRE 1");
    for (unsigned i = 0; i < 300; i++)
        freeReplyObject(expect_reply(c, "SETRANGE key-%u 20000 x", i));
    take(c, path);
    redisFree(c);
    seeded();
    snprintf(data, sizeof(data), "%s/new", pool->dir);
    for (unsigned i = 0; i < 12; i++) {
        free(run_shell(&code, "timeout -s KILL 0.%03d %s/remuda restore %s --dir %s 2>&1",
                       1 + rand() % 15, pool_build(), path, data));
        char *there = run_shell(&code, "ls %s 2>/dev/null", data);
        if (strstr(there, "pool.json"))
            free(run_shell(&code, "rm -rf %s", data));
        free(there);
    }
    struct pool *restored = start_restored(path, data, "yes");
    c = pool_connect(restored);
    expect_integer(c, 300, "DBSIZE");
    redisFree(c);
    pool_end(&restored);
    pool_end(&pool);
}

int main(void) {
#define T(f) cmocka_unit_test_teardown(f, pools_cleanup)
    const struct CMUnitTest tests[] = {
        T(test_no_cut_is_torn_with_a_log),
        T(test_no_cut_is_torn_with_group_commit),
        T(test_no_cut_is_torn_without_a_log),
        T(test_workers_killed_while_cuts_are_taken),
        T(test_the_supervisor_killed_while_cuts_are_taken),
        T(test_everything_else_while_cuts_are_taken),
        T(test_one_at_a_time),
        T(test_a_disk_that_refuses),
        cmocka_unit_test_teardown(test_a_disk_that_is_full, unmount_small_disk),
        T(test_the_command_line),
        T(test_by_unix_socket),
        T(test_restore_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
