/* 45_damage: files that a disk, a crash or a hand has spoilt. A log cut anywhere loads with exactly the
 * commands before the cut and keeps the tail; any flipped bit is found; files that do not belong together
 * are refused by name, while the other shards serve and nothing on the disk is touched. The same cuts and
 * flips are put before a redis-server, whose figures are printed and decide nothing. (Flips in a log that
 * a stock redis-server wrote cannot be found by anybody: it has no checksums.)
 *
 * Every bit of small files is tried in unit tests; here it is samples, with real pools. REMUDA_DAMAGE=n
 * takes n times as many, SEED=n the same ones again. */
#include "tests/integration/fixture_private.h"
#include "tests/integration/shard_files.h"
#include "tests/interop/dataset.h"
#include <signal.h>
#include <sys/wait.h>

enum { SHARDS = 8, SEQUENCE = 60, ROUNDS_OF_CUTS = 6, ROUNDS_OF_FLIPS = 4, PATH_BYTES = 256 };

#define BASE     "appendonlydir/appendonly.aof.2.base.rdb"
#define INCR     "appendonlydir/appendonly.aof.2.incr.aof"
#define MANIFEST "appendonlydir/appendonly.aof.manifest"
#define DUMP     "dump.rdb"

static unsigned rounds(unsigned usual) {
    const char *factor = getenv("REMUDA_DAMAGE");
    unsigned times = factor ? (unsigned)strtoul(factor, NULL, 10) : 1;
    return usual * (times > 0 ? times : 1);
}

/* ---- the data ---- */

static void run(redisContext *c, const char *format, const char *tag, int number) {
    redisReply *reply = redisCommand(c, format, tag, number);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", format, reply ? reply->str : c->errstr);
    freeReplyObject(reply);
}

/* All types, packed and not, on one shard. */
static void fill_shard(redisContext *c, const char *tag) {
    run(c, "SET {%s}:text value-%d", tag, 1);
    run(c, "SET {%s}:number %d", tag, 123456);
    run(c, "SET {%s}:long aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa%d",
        tag, 7);
    run(c, "SET {%s}:expires later-%d PXAT 33000000000000", tag, 1);
    for (int i = 0; i < 8; i++) {
        run(c, "HSET {%s}:hash field:%d value", tag, i);
        run(c, "RPUSH {%s}:list element:%d", tag, i);
        run(c, "SADD {%s}:integers %d", tag, i * 1000);
        run(c, "SADD {%s}:set member:%d", tag, i);
        run(c, "ZADD {%s}:zset 1.5 member:%d", tag, i);
    }
    for (int i = 0; i < 140; i++) {
        run(c, "SADD {%s}:big-set %d:is:a:member", tag, i);
        run(c, "ZADD {%s}:big-zset 3 %d:is:a:member", tag, i);
    }
    run(c,
        "HSET {%s}:big-hash %d xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        tag, 1);
}

static const char *tag_of(const struct pool *pool, unsigned shard) {
    return pool_key(pool, shard, 1);
}

static bool rewritten(const struct pool *pool, unsigned shard) {
    return access(shard_file(pool, shard, BASE), F_OK) == 0 &&
           pool_number(pool, "workers.%u.metrics.aof_rewrite_in_progress", shard) == 0;
}

/* A pool that has stopped, with data in base, increment and dump.rdb of every shard. */
static struct pool *pool_with_files(unsigned shards) {
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = shards,
        .deaths = true,
        .options = {"--save", "", "--appendonly", "yes", "--appendfsync", "everysec"}});
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < shards; i++)
        fill_shard(c, tag_of(pool, i));
    freeReplyObject(expect_reply(c, "BGREWRITEAOF"));
    for (unsigned i = 0; i < shards; i++)
        AWAIT(rewritten(pool, i));
    for (unsigned i = 0; i < shards; i++) {
        for (int n = 0; n < SEQUENCE; n++)
            run(c, "RPUSH {%s}:sequence %d", tag_of(pool, i), n);
    }
    expect_text(c, "OK", "SAVE");
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    files_keep(pool);
    return pool;
}

/* The kept files again, to be loaded from the log or, without one, from dump.rdb. */
static void put_back(struct pool *pool, const char *appendonly) {
    int code;
    files_put_back(pool);
    pool_set_option(pool, "--appendonly", appendonly);
    if (strcmp(appendonly, "no") != 0)
        return;
    free(run_shell(&code, "rm -r %s/shard-*/appendonlydir", pool->data));
    assert_int_equal(code, 0);
}

static void stop_with_damage(struct pool *pool, uint32_t failed) {
    assert_int_equal(pool_stop(pool), failed ? 1 : 0);
}

/* ---- a redis-server on the files of one shard ---- */

enum verdict { REFUSED, SAME, WRONG, CRASHED };
struct verdicts {
    unsigned count[CRASHED + 1];
};

static void print_verdicts(const char *who, const char *what, const struct verdicts *v) {
    print_message("%-12s %s: %u refused, %u loaded right, %u silently wrong, %u crashed\n", who,
                  what, v->count[REFUSED], v->count[SAME], v->count[WRONG], v->count[CRASHED]);
}

struct stock {
    pid_t pid;
    int port, lock, status;
    char dir[64];
};

/* Does it serve? If it does not by its end, pid is 0. */
static bool stock_serves(struct stock *s) {
    if (waitpid(s->pid, &s->status, WNOHANG) == s->pid) {
        s->pid = 0;
        return true;
    }
    redisContext *c = client_try_connect(s->port);
    redisReply *reply = c ? redisCommand(c, "PING") : NULL;
    bool serves = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (c)
        redisFree(c);
    return serves;
}

static void stock_start(struct stock *s, const char *appendonly) {
    char port[16];
    const char *argv[] = {"redis-server", "--port",   NULL,        "--save",    "",  "--dir", NULL,
                          "--appendonly", appendonly, "--logfile", "/dev/null", NULL};
    char *log = NULL;
    int code;
    snprintf(port, sizeof(port), "%d", s->port);
    argv[2] = port;
    argv[6] = s->dir;
    free(run_shell(&code, "rm -f %s/log", s->dir));
    assert_true(asprintf(&log, "%s/log", s->dir) > 0);
    s->pid = fixture_spawn(argv, NULL, log);
    free(log);
    AWAIT(stock_serves(s));
}

static void stock_end(struct stock *s) {
    if (s->pid > 0) {
        kill(s->pid, SIGKILL);
        waitpid(s->pid, NULL, 0);
    }
    s->pid = 0;
}

/* What a redis-server makes of the kept files of a shard, spoilt by this. */
static enum verdict ask_stock(struct stock *s, const struct pool *pool, unsigned shard,
                              const char *appendonly, const char *name, int64_t bit,
                              const char *expected) {
    char path[PATH_BYTES];
    int code;
    free(run_shell(&code, "rm -rf %1$s && cp -a %2$s/kept/shard-%3$04u %1$s", s->dir, pool->dir,
                   shard));
    assert_int_equal(code, 0);
    snprintf(path, sizeof(path), "%s/%s", s->dir, name);
    file_flip_bit(path, bit);
    stock_start(s, appendonly);
    enum verdict verdict = WIFSIGNALED(s->status) ? CRASHED : REFUSED;
    if (s->pid > 0) {
        char *found = dataset_describe(s->port, EXPIRY_EXACT, NULL);
        verdict = strcmp(found, expected) == 0 ? SAME : WRONG;
        free(found);
    }
    stock_end(s);
    return verdict;
}

/* ---- flipped bits ---- */

static const struct flipped_file {
    const char *name, *appendonly, *label;
    bool framing; /* bits around the last checksum mean nothing */
} flipped_files[] = {{INCR, "yes", "increment", true},
                     {BASE, "yes", "base", false},
                     {DUMP, "no", "dump.rdb", false},
                     {MANIFEST, "yes", "manifest", true}};
enum { FLIPPED_FILES = 4 };

static void describe_shards(struct pool *pool, char *described_r[SHARDS], uint32_t failed) {
    for (unsigned i = 0; i < pool->workers; i++)
        described_r[i] = failed & 1U << i
                             ? NULL
                             : dataset_describe(pool->worker_port + (int)i, EXPIRY_EXACT, NULL);
}

/* One flip in the file of every shard, all at once. */
static void flip_round(struct pool *pool, const struct flipped_file *file,
                       char *const expected[SHARDS], uint64_t *random, struct verdicts *v) {
    int64_t bit[SHARDS];
    char *found[SHARDS];
    put_back(pool, file->appendonly);
    for (unsigned i = 0; i < SHARDS; i++) {
        const char *path = shard_file(pool, i, file->name);
        bit[i] = (int64_t)random_below(random, (unsigned)file_size(path) * 8);
        file_flip_bit(path, bit[i]);
    }
    uint32_t failed = start_with_damage(pool);
    describe_shards(pool, found, failed);
    for (unsigned i = 0; i < SHARDS; i++) {
        enum verdict verdict = !found[i]                            ? REFUSED
                               : strcmp(found[i], expected[i]) == 0 ? SAME
                                                                    : WRONG;
        v->count[verdict]++;
        if (verdict == WRONG)
            fail_msg("bit %lld of %s was not seen", (long long)bit[i],
                     shard_file(pool, i, file->name));
        if (!found[i] &&
            !strstr(pool_text(pool, "workers.%u.last_exit", i),
                    strrchr(file->name, '/') ? strrchr(file->name, '/') + 1 : file->name))
            fail_msg("the file is not named: %s", pool_text(pool, "workers.%u.last_exit", i));
        free(found[i]);
    }
    stop_with_damage(pool, failed);
}

static void test_flipped_bits(void **state) {
    uint64_t seed = random_seed(), random = seed;
    struct pool *pool = pool_with_files(SHARDS);
    char *expected[SHARDS];
    pool_start_again(pool);
    describe_shards(pool, expected, 0);
    assert_int_equal(pool_stop(pool), 0);
    for (unsigned f = 0; f < FLIPPED_FILES; f++) {
        struct verdicts v = {0};
        unsigned count =
            f == 0 ? rounds(ROUNDS_OF_FLIPS) * 2 : rounds(ROUNDS_OF_FLIPS) / (f == 3 ? 2 : 1);
        for (unsigned i = 0; i < count; i++)
            flip_round(pool, &flipped_files[f], expected, &random, &v);
        print_verdicts("remuda", flipped_files[f].label, &v);
        assert_true(v.count[SAME] == 0 || flipped_files[f].framing);
    }
    for (unsigned i = 0; i < SHARDS; i++)
        free(expected[i]);
    pool_end(&pool);
}

static void test_flipped_bits_in_redis(void **state) {
    oracle_needed();
    uint64_t seed = random_seed(), random = seed;
    struct pool *pool = pool_with_files(1);
    struct stock stock = {0};
    stock.port = ports_claim(&stock.lock);
    pool_start_again(pool);
    char *expected = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    assert_int_equal(pool_stop(pool), 0);
    make_directory(stock.dir);
    for (unsigned f = 0; f < FLIPPED_FILES; f++) {
        struct verdicts v = {0};
        const struct flipped_file *file = &flipped_files[f];
        int64_t bits = file_size(shard_file(pool, 0, file->name)) * 8;
        for (unsigned i = 0; i < rounds(ROUNDS_OF_FLIPS) * SHARDS; i++) {
            int64_t bit = (int64_t)random_below(&random, (unsigned)bits);
            v.count[ask_stock(&stock, pool, 0, file->appendonly, file->name, bit, expected)]++;
        }
        print_verdicts("redis-server", file->label, &v);
    }
    free(expected);
    close(stock.lock);
    remove_directory(stock.dir);
    pool_end(&pool);
}

/* ---- cuts ---- */

/* Where the last whole command before the cut ends, and how many of them add to the sequence. */
static int64_t whole_commands(const struct octets *log, int64_t cut, int64_t *pushed_r) {
    int64_t at = 0;
    *pushed_r = 0;
    for (;;) {
        size_t used = resp_length(log->data + at, (size_t)(cut - at));
        if (used == 0)
            return at;
        *pushed_r += strncmp(log->data + at, "*3\r\n$5\r\nRPUSH\r\n", 15) == 0;
        at += (int64_t)used;
    }
}

struct cut {
    int64_t at, end, pushed;
};

static int64_t quarantined_bytes(const struct pool *pool, unsigned shard) {
    int code;
    char *text =
        run_shell(&code, "cat %s/* 2>/dev/null | wc -c", shard_file(pool, shard, "quarantine"));
    int64_t bytes = strtoll(text, NULL, 10);
    free(text);
    return bytes;
}

/* Exactly what was before the cut, in order; the tail is in quarantine, and the file is whole again. */
static void check_cut_shard(struct pool *pool, redisContext *c, unsigned shard,
                            const struct cut *cut) {
    const char *tag = tag_of(pool, shard);
    redisReply *all = expect_reply(c, "LRANGE {%s}:sequence 0 -1", tag);
    if ((int64_t)all->elements != cut->pushed)
        fail_msg("cut at %lld: %zu elements, not %lld", (long long)cut->at, all->elements,
                 (long long)cut->pushed);
    for (size_t i = 0; i < all->elements; i++)
        assert_int_equal(strtoull(all->element[i]->str, NULL, 10), i);
    freeReplyObject(all);
    expect_integer(c, 140, "SCARD {%s}:big-set", tag);
    assert_int_equal(quarantined_bytes(pool, shard), cut->at - cut->end);
    assert_int_equal(file_size(shard_file(pool, shard, INCR)), cut->end);
}

static void test_cuts(void **state) {
    uint64_t seed = random_seed(), random = seed;
    struct pool *pool = pool_with_files(SHARDS);
    unsigned cuts = rounds(ROUNDS_OF_CUTS);
    for (unsigned round = 0; round < cuts; round++) {
        struct cut cut[SHARDS];
        files_put_back(pool);
        for (unsigned i = 0; i < SHARDS; i++) {
            const char *path = shard_file(pool, i, INCR);
            struct octets log = file_read(path);
            cut[i].at = (int64_t)random_below(&random, (unsigned)log.len + 1);
            cut[i].end = whole_commands(&log, cut[i].at, &cut[i].pushed);
            assert_int_equal(truncate(path, cut[i].at), 0);
            free(log.data);
        }
        pool_start_again(pool);
        redisContext *c = pool_connect(pool);
        for (unsigned i = 0; i < SHARDS; i++)
            check_cut_shard(pool, c, i, &cut[i]);
        redisFree(c);
        assert_int_equal(pool_stop(pool), 0);
    }
    print_message("remuda       cuts: %u loaded, all exactly to the cut, all tails kept\n",
                  cuts * SHARDS);
    pool_end(&pool);
}

/* What a redis-server has after the same cut: as many elements, fewer, or it does not start. */
static void test_cuts_in_redis(void **state) {
    oracle_needed();
    uint64_t seed = random_seed(), random = seed;
    struct pool *pool = pool_with_files(1);
    struct stock stock = {0};
    stock.port = ports_claim(&stock.lock);
    struct octets log = file_read(shard_file(pool, 0, INCR));
    unsigned exact = 0, other = 0, refused = 0, cuts = rounds(ROUNDS_OF_CUTS) * SHARDS;
    make_directory(stock.dir);
    for (unsigned i = 0; i < cuts; i++) {
        char path[PATH_BYTES];
        int code;
        int64_t pushed, cut = (int64_t)random_below(&random, (unsigned)log.len + 1);
        whole_commands(&log, cut, &pushed);
        free(run_shell(&code, "rm -rf %1$s && cp -a %2$s/kept/shard-0000 %1$s", stock.dir,
                       pool->dir));
        snprintf(path, sizeof(path), "%s/%s", stock.dir, INCR);
        assert_int_equal(truncate(path, cut), 0);
        stock_start(&stock, "yes");
        if (stock.pid > 0) {
            redisContext *c = client_connect(stock.port);
            bool right = ask_integer(c, "LLEN {%s}:sequence", tag_of(pool, 0)) == pushed;
            exact += right;
            other += !right;
            redisFree(c);
        } else {
            refused++;
        }
        stock_end(&stock);
    }
    print_message("redis-server cuts: %u loaded exactly to the cut, %u otherwise, %u refused; no "
                  "tail is kept\n",
                  exact, other, refused);
    free(log.data);
    close(stock.lock);
    remove_directory(stock.dir);
    pool_end(&pool);
}

/* ---- files that do not belong together ---- */

static void copy_from_shard_0(const struct pool *pool, const char *name) {
    int code;
    free(run_shell(&code, "cp %s %s", shard_file(pool, 0, name), shard_file(pool, 1, name)));
    assert_int_equal(code, 0);
}

static void empty_base(const struct pool *pool) {
    assert_int_equal(truncate(shard_file(pool, 1, BASE), 0), 0);
}
static void missing_base(const struct pool *pool) {
    assert_int_equal(unlink(shard_file(pool, 1, BASE)), 0);
}
static void missing_incr(const struct pool *pool) {
    assert_int_equal(unlink(shard_file(pool, 1, INCR)), 0);
}
static void lost_line(const struct pool *pool) {
    struct octets text = file_read(shard_file(pool, 1, MANIFEST));
    file_write(shard_file(pool, 1, MANIFEST), strchr(text.data, '\n') + 1);
    free(text.data);
}
static void hole(const struct pool *pool) {
    file_write(shard_file(pool, 1, MANIFEST), "file appendonly.aof.2.base.rdb seq 2 type b\n"
                                              "file appendonly.aof.2.incr.aof seq 2 type i\n"
                                              "file appendonly.aof.4.incr.aof seq 4 type i\n");
    file_write(shard_file(pool, 1, "appendonlydir/appendonly.aof.4.incr.aof"), "");
}
static void named_twice(const struct pool *pool) {
    file_write(shard_file(pool, 1, MANIFEST), "file appendonly.aof.2.base.rdb seq 2 type b\n"
                                              "file appendonly.aof.2.incr.aof seq 2 type i\n"
                                              "file appendonly.aof.2.incr.aof seq 3 type i\n");
}
static void manifest_gone(const struct pool *pool) {
    assert_int_equal(unlink(shard_file(pool, 1, MANIFEST)), 0);
}
static void cut_base(const struct pool *pool) {
    const char *path = shard_file(pool, 1, BASE);
    assert_int_equal(truncate(path, file_size(path) / 2), 0);
}
static void cut_dump(const struct pool *pool) {
    const char *path = shard_file(pool, 1, DUMP);
    assert_int_equal(truncate(path, file_size(path) / 2), 0);
}
static void empty_dump(const struct pool *pool) {
    assert_int_equal(truncate(shard_file(pool, 1, DUMP), 0), 0);
}
static void foreign_incr(const struct pool *pool) {
    copy_from_shard_0(pool, INCR);
}
static void foreign_base(const struct pool *pool) {
    copy_from_shard_0(pool, BASE);
}
static void foreign_dump(const struct pool *pool) {
    copy_from_shard_0(pool, DUMP);
}

static const struct misfit {
    void (*make)(const struct pool *pool);
    const char *appendonly, *file, *words;
} misfits[] = {
    {empty_base, "yes", "appendonly.aof.2.base.rdb", "the base of the log is empty"},
    {missing_base, "yes", "appendonly.aof.2.base.rdb", "does not exist"},
    {cut_base, "yes", "appendonly.aof.2.base.rdb", "at byte "},
    {missing_incr, "yes", "appendonly.aof.2.incr.aof", "does not exist"},
    {lost_line, "yes", "appendonly.aof.manifest", "wrong checksum"},
    {hole, "yes", "appendonly.aof.manifest", "increments are missing between"},
    {named_twice, "yes", "appendonly.aof.manifest", "is named twice"},
    {manifest_gone, "yes", "appendonlydir", "no manifest that says how to read it"},
    {foreign_incr, "yes", "appendonly.aof.2.incr.aof", "is not this shard's"},
    {foreign_base, "yes", "appendonly.aof.2.base.rdb", "is not this shard's"},
    {cut_dump, "no", "dump.rdb", "at byte "},
    {empty_dump, "no", "dump.rdb", "at byte 0"},
    {foreign_dump, "no", "dump.rdb", "is not this shard's"},
};

/* Shard 1 says which file is wrong, and why; the others serve; the files are as they were. */
static void expect_refusal(struct pool *pool, const struct misfit *misfit) {
    char shard_1[PATH_BYTES];
    put_back(pool, misfit->appendonly);
    misfit->make(pool);
    snprintf(shard_1, sizeof(shard_1), "%s/shard-0001", pool->data);
    char *before = files_digest(shard_1);
    uint32_t failed = start_with_damage(pool);
    const char *said = pool_text(pool, "workers.1.last_exit");
    if (failed != 1U << 1 || !strstr(said, misfit->file) || !strstr(said, misfit->words))
        fail_msg("'%s', '%s' expected of shard 1; failed are %#x: %s", misfit->file, misfit->words,
                 failed, said);
    redisContext *c = pool_connect(pool);
    for (unsigned shard = 0; shard < 3; shard += 2) {
        expect_integer(c, SEQUENCE, "LLEN {%s}:sequence", tag_of(pool, shard));
        expect_text(c, "OK", "SET {%s}:new 1", tag_of(pool, shard));
    }
    expect_error(c, "ERR shard 1 ", "GET {%s}:text", tag_of(pool, 1));
    redisFree(c);
    stop_with_damage(pool, failed);
    char *after = files_digest(shard_1);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_misfits(void **state) {
    struct pool *pool = pool_with_files(3);
    for (size_t i = 0; i < sizeof(misfits) / sizeof(misfits[0]); i++)
        expect_refusal(pool, &misfits[i]);
    put_back(pool, "yes");
    pool_start_again(pool);
    pool_end(&pool);
}

/* The second pool ends with a message, the first one does not notice; so does one whose pool.json is
 * spoilt. */
static void test_whole_pools(void **state) {
    struct pool *pool = pool_with_files(2);
    pool_start_again(pool);
    char *second = NULL, *before = files_digest(pool->data);
    int code, lock, port = ports_claim(&lock);
    second = run_shell(
        &code,
        "timeout -s KILL 60 %s/remuda --dir %s --port %d --worker-port-base %d --status-port 0 "
        "--workers 2 --appendonly yes 2>&1",
        pool_build(), pool->data, port, port + 2);
    close(lock);
    if (code == 0 || code >= 128 || !strstr(second, pool->data))
        fail_msg("a second pool ended with %d: %s", code, second);
    free(second);
    char *after = files_digest(pool->data);
    assert_string_equal(before, after);
    redisContext *c = pool_connect(pool);
    expect_integer(c, SEQUENCE, "LLEN {%s}:sequence", tag_of(pool, 1));
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    free(after);
    files_put_back(pool);
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/pool.json", pool->data);
    file_flip_bit(path, 8 * 40 + 1);
    pool->options.unready = true;
    pool_start_again(pool);
    assert_true(pool_await_exit(pool) > 0);
    assert_true(pool_log_has(pool, "pool.json is not usable: "));
    file_flip_bit(path, 8 * 40 + 1);
    after = files_digest(pool->data);
    assert_string_equal(before, after);
    free(before);
    free(after);
    pool->options.unready = false;
    pool_start_again(pool);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_flipped_bits, pools_cleanup),
        cmocka_unit_test_teardown(test_flipped_bits_in_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_cuts, pools_cleanup),
        cmocka_unit_test_teardown(test_cuts_in_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_misfits, pools_cleanup),
        cmocka_unit_test_teardown(test_whole_pools, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
