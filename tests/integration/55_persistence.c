/* 55_persistence.c - what was said to be kept is kept: snapshots, the log, and both in trouble. */
#include "tests/integration/load.h"
#include "tests/integration/pool_fixture.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define LOG_ON "--appendonly", "yes"

/* ---- data ---- */

static void write_data(redisContext *c) {
    for (int i = 0; i < 300; i++) {
        expect_text(c, "OK", "SET s:%d value-%d", i, i);
        expect_integer(c, 2, "HSET h:%d a %d b %b", i, i, "\0\r\n\xff", (size_t)4);
    }
    expect_text(c, "OK", "SET lives %s EX 5000", "long");
    expect_text(c, "OK", "SET counter 9223372036854775806");
    expect_text(c, "OK", "SELECT 3");
    expect_text(c, "OK", "SET s:0 in-3");
    expect_text(c, "OK", "SELECT 0");
    expect_integer(c, 1, "DEL s:299");
}

static void check_data(redisContext *c) {
    for (int i = 0; i < 299; i++) {
        char value[32];
        snprintf(value, sizeof(value), "value-%d", i);
        expect_text(c, value, "GET s:%d", i);
        redisReply *reply = expect_reply(c, "HGET h:%d b", i);
        assert_int_equal(reply->len, 4);
        assert_memory_equal(reply->str, "\0\r\n\xff", 4);
        freeReplyObject(reply);
    }
    expect_nil(c, "GET s:299");
    int64_t ttl = ask_integer(c, "TTL lives");
    assert_true(ttl > 4000 && ttl <= 5000);
    expect_integer(c, INT64_MAX, "INCRBY counter 1");
    expect_integer(c, INT64_MAX - 1, "DECRBY counter 1");
    expect_text(c, "OK", "SELECT 3");
    expect_text(c, "in-3", "GET s:0");
    expect_integer(c, 1, "DBSIZE");
    expect_text(c, "OK", "SELECT 0");
    expect_integer(c, 601, "DBSIZE");
}

/* Kill all processes at once, start again. */
static void crash_and_start_again(struct pool *pool) {
    pool_crash(pool);
    pool_start_again(pool);
}

static void expect_data(struct pool *pool) {
    redisContext *c = pool_connect(pool);
    check_data(c);
    redisFree(c);
}

static int64_t snapshots(const struct pool *pool, unsigned worker) {
    return pool_number(pool, "workers.%u.metrics.snapshots", worker);
}

/* ---- snapshots ---- */

static void test_save(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true});
    redisContext *c = pool_connect(pool);
    write_data(c);
    expect_text(c, "OK", "SAVE");
    int64_t saved_s = ask_integer(c, "LASTSAVE");
    assert_true(saved_s <= clock_wall_ms() / 1000 && saved_s > clock_wall_ms() / 1000 - 60);
    expect_text(c, "OK", "SET too-late 1");
    redisFree(c);
    crash_and_start_again(pool);
    expect_data(pool);
    pool_end(&pool);
}

static void test_bgsave(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true});
    redisContext *c = pool_connect(pool);
    write_data(c);
    expect_text(c, "Background saving started", "BGSAVE");
    for (unsigned i = 0; i < 3; i++)
        AWAIT(snapshots(pool, i) == 1);
    AWAIT(strcmp(info_field(c, "persistence", "rdb_bgsave_in_progress"), "0") == 0);
    assert_string_equal(info_field(c, "persistence", "rdb_last_bgsave_status"), "ok");
    assert_string_equal(info_field(c, "persistence", "rdb_changes_since_last_save"), "0");
    redisFree(c);
    crash_and_start_again(pool);
    expect_data(pool);
    pool_end(&pool);
}

static void test_save_points(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.deaths = true, .options = {"--save", "1 5"}});
    redisContext *c = pool_connect(pool);
    write_data(c);
    for (unsigned i = 0; i < 3; i++)
        AWAIT(snapshots(pool, i) >= 1 && pool_number(pool, "workers.%u.metrics.dirty", i) == 0);
    redisFree(c);
    crash_and_start_again(pool);
    expect_data(pool);
    pool_end(&pool);
}

static void test_nothing_is_kept_when_nothing_is_asked(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--save", ""}});
    redisContext *c = pool_connect(pool);
    write_data(c);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_integer(c, 0, "DBSIZE");
    redisFree(c);
    pool_end(&pool);
}

static void test_what_a_dead_child_left_is_removed(void **state) {
    int code;
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    write_data(c);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    free(run_shell(&code, "for i in 0 1 2; do echo x >'%s'/shard-000$i/temp-bg-77.rdb; done",
                   pool->data));
    assert_int_equal(code, 0);
    pool_start_again(pool);
    expect_data(pool);
    free(run_shell(&code, "ls '%s'/shard-*/temp-* 2>/dev/null", pool->data));
    assert_int_not_equal(code, 0);
    pool_end(&pool);
}

/* ---- the log ---- */

static void test_log(void **state) {
    static const char *const policies[] = {"always", "everysec", "no"};
    for (unsigned i = 0; i < 3; i++) {
        struct pool *pool = pool_start(&(struct pool_options){
            .deaths = true, .options = {LOG_ON, "--appendfsync", policies[i], "--save", ""}});
        redisContext *c = pool_connect(pool);
        write_data(c);
        redisFree(c);
        assert_int_equal(pool_stop(pool), 0);
        pool_start_again(pool);
        expect_data(pool);
        /* What was answered has left the process under every policy. */
        crash_and_start_again(pool);
        expect_data(pool);
        pool_end(&pool);
    }
}

static void test_log_counts_more_than_the_snapshot(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true, .options = {LOG_ON}});
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "SET a old");
    expect_text(c, "OK", "SAVE");
    expect_text(c, "OK", "SET a new");
    redisFree(c);
    crash_and_start_again(pool);
    c = pool_connect(pool);
    expect_text(c, "new", "GET a");
    redisFree(c);
    pool_end(&pool);
}

/* Who turns the log on for the next start keeps what the snapshot has. */
static void test_from_snapshot_to_log(void **state) {
    struct pool *pool = pool_start(NULL);
    redisContext *c = pool_connect(pool);
    write_data(c);
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    pool->options.options[0] = "--appendonly";
    pool->options.options[1] = "yes";
    pool->options.deaths = true;
    pool_start_again(pool);
    expect_data(pool);
    crash_and_start_again(pool);
    expect_data(pool);
    pool_end(&pool);
}

static bool rewritten(const struct pool *pool, unsigned worker, unsigned base) {
    char path[256];
    snprintf(path, sizeof(path), "%s/shard-%04u/appendonlydir/appendonly.aof.%u.base.rdb",
             pool->data, worker, base);
    return access(path, F_OK) == 0 &&
           pool_number(pool, "workers.%u.metrics.aof_rewrite_in_progress", worker) == 0;
}

static void test_rewrite_under_load(void **state) {
    struct pool *pool = pool_start(
        &(struct pool_options){.deaths = true, .options = {LOG_ON, "--appendfsync", "always"}});
    static struct load load;
    redisContext *c = pool_connect(pool);
    write_data(c);
    load_start(&load, pool, pool->port, 3);
    for (unsigned round = 0; round < 3; round++) {
        redisReply *reply = expect_reply(c, "BGREWRITEAOF");
        freeReplyObject(reply);
        for (unsigned i = 0; i < 3; i++) {
            AWAIT(rewritten(pool, i, 2 + round));
            load_await(&load, i, 20);
        }
    }
    redisFree(c);
    crash_and_start_again(pool);
    load_stop(&load);
    load_check(&load, pool);
    int code;
    char *files = run_shell(&code, "ls '%s/shard-0001/appendonlydir'", pool->data);
    assert_string_equal(files, "appendonly.aof.4.base.rdb\nappendonly.aof.4.incr.aof\n"
                               "appendonly.aof.manifest\n");
    free(files);
    pool_end(&pool);
}

/* ---- damage ---- */

/* The open increment of a shard. */
static void log_file(const struct pool *pool, unsigned worker, char path_r[256]) {
    snprintf(path_r, 256, "%s/shard-%04u/appendonlydir/appendonly.aof.1.incr.aof", pool->data,
             worker);
}

static off_t size_of(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* A pool that has stopped, with `keys` keys on each shard. */
static struct pool *stopped_pool(const char *const *options) {
    struct pool_options start = {.deaths = true, .options = {LOG_ON, "--save", ""}};
    for (unsigned i = 0; options && options[i]; i++)
        start.options[4 + i] = options[i];
    struct pool *pool = pool_start(&start);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 10; k++)
            expect_text(c, "OK", "SET %s value%u", pool_key(pool, i, k), k);
    }
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    return pool;
}

/* The tail that was cut is kept; all before it is there. */
static void test_cut_tail(void **state) {
    char path[256], quarantined[256];
    int code;
    struct pool *pool = stopped_pool(NULL);
    log_file(pool, 1, path);
    off_t whole = size_of(path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$9\r\nhalf-a-v", file);
    fclose(file);
    off_t cut_bytes = size_of(path) - whole;
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    expect_integer(c, 30, "DBSIZE");
    expect_text(c, "value9", "GET %s", pool_key(pool, 1, 9));
    expect_text(c, "OK", "SET %s later", pool_key(pool, 1, 9));
    redisFree(c);
    assert_true(pool_log_has(pool, "was cut short: "));
    snprintf(quarantined, sizeof(quarantined),
             "cat '%s'/shard-0001/quarantine/* | wc -c | tr -d ' \\n'", pool->data);
    char *bytes = run_shell(&code, "%s", quarantined);
    assert_int_equal(strtol(bytes, NULL, 10), cut_bytes);
    free(bytes);
    crash_and_start_again(pool);
    c = pool_connect(pool);
    expect_text(c, "later", "GET %s", pool_key(pool, 1, 9));
    redisFree(c);
    pool_end(&pool);
}

/* Any cut is survived, and costs no more than what lies behind it. */
static void test_cut_anywhere(void **state) {
    char path[256];
    struct pool *pool = stopped_pool(NULL);
    log_file(pool, 2, path);
    off_t whole = size_of(path);
    for (unsigned round = 1; round <= 4; round++) {
        assert_int_equal(truncate(path, whole * (5 - round) / 5), 0);
        pool_start_again(pool);
        redisContext *c = pool_connect(pool);
        int64_t keys = ask_integer(c, "DBSIZE");
        if (keys >= 30 || keys < 20)
            fail_msg("%lld keys after cut %u", (long long)keys, round);
        unsigned there = 0;
        for (unsigned k = 0; k < 10; k++)
            there += ask_integer(c, "EXISTS %s", pool_key(pool, 2, k)) == 1;
        for (unsigned k = 0; k < there; k++)
            expect_integer(c, 1, "EXISTS %s", pool_key(pool, 2, k));
        redisFree(c);
        assert_int_equal(pool_stop(pool), 0);
    }
    pool_end(&pool);
}

/* Shard 1 cannot be started, and says why; the others serve; its files are left alone. */
static void expect_shard_1_failed(struct pool *pool, const char *why) {
    pool->options.unready = true;
    pool_start_again(pool);
    AWAIT(strcmp(pool_text(pool, "workers.1.state"), "failed") == 0 &&
          strcmp(pool_text(pool, "workers.0.state"), "up") == 0 &&
          strcmp(pool_text(pool, "workers.2.state"), "up") == 0);
    const char *said = pool_text(pool, "workers.1.last_exit");
    if (!strstr(said, why))
        fail_msg("last_exit is %s", said);
    redisContext *c = pool_connect(pool);
    expect_text(c, "value3", "GET %s", pool_key(pool, 0, 3));
    expect_text(c, "OK", "SET %s new", pool_key(pool, 2, 3));
    expect_error(c, "ERR shard 1 ", "GET %s", pool_key(pool, 1, 3));
    redisFree(c);
    assert_int_equal(pool_stop(pool), 1);
    pool->options.unready = false;
}

static void test_cut_tail_may_be_refused(void **state) {
    static const char *const options[] = {"--aof-load-truncated", "no", NULL};
    char path[256];
    struct pool *pool = stopped_pool(options);
    log_file(pool, 1, path);
    assert_int_equal(truncate(path, size_of(path) - 3), 0);
    off_t left = size_of(path);
    expect_shard_1_failed(pool, "could not load its files");
    assert_int_equal(size_of(path), left);
    pool_end(&pool);
}

static void flip_byte(const char *path, off_t at) {
    char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* A value with a flipped bit is no syntax error: the checksum tells. */
static void test_flipped_bit_in_the_log(void **state) {
    char path[256], *text;
    int code;
    struct pool *pool = stopped_pool(NULL);
    log_file(pool, 1, path);
    text = run_shell(&code, "cat '%s'", path);
    char *value = strstr(text, "value4");
    assert_non_null(value);
    flip_byte(path, value - text);
    expect_shard_1_failed(pool, "could not load its files");
    flip_byte(path, value - text);
    free(text);
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    expect_text(c, "value4", "GET %s", pool_key(pool, 1, 4));
    redisFree(c);
    pool_end(&pool);
}

static void test_missing_file_of_the_log(void **state) {
    char path[256], away[272];
    struct pool *pool = stopped_pool(NULL);
    log_file(pool, 1, path);
    snprintf(away, sizeof(away), "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    expect_shard_1_failed(pool, "could not load its files");
    assert_int_equal(rename(away, path), 0);
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    expect_integer(c, 30, "DBSIZE");
    redisFree(c);
    pool_end(&pool);
}

static void test_damaged_snapshot(void **state) {
    char path[256];
    struct pool *pool = pool_start(&(struct pool_options){.deaths = true});
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 10; k++)
            expect_text(c, "OK", "SET %s value%u", pool_key(pool, i, k), k);
    }
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    snprintf(path, sizeof(path), "%s/shard-0001/dump.rdb", pool->data);
    flip_byte(path, size_of(path) - 20);
    expect_shard_1_failed(pool, "could not load its files");
    flip_byte(path, size_of(path) - 20);
    pool_start_again(pool);
    c = pool_connect(pool);
    expect_integer(c, 30, "DBSIZE");
    redisFree(c);
    pool_end(&pool);
}

/* ---- no room on the disk ---- */

enum { DISK_MB = 4 };
static char mounted[160]; /* "": nothing */

/* A small disk of its own under shard 1, nearly full already with a file to be removed later. */
static void mount_small_disk(const struct pool *pool, char where_r[160]) {
    char options[32], command[256];
    int code;
    snprintf(where_r, 160, "%s/shard-0001", pool->data);
    snprintf(options, sizeof(options), "size=%dm", DISK_MB);
    if (mount("tmpfs", where_r, "tmpfs", 0, options) != 0) {
        print_message("skipped, a small disk cannot be mounted: %s\n", strerror(errno));
        skip();
    }
    snprintf(mounted, sizeof(mounted), "%s", where_r);
    snprintf(command, sizeof(command), "head -c %d /dev/zero >'%s/filler'", 3 << 20, where_r);
    free(run_shell(&code, "%s", command));
    assert_int_equal(code, 0);
}

static void make_room(const char *where) {
    char path[200];
    snprintf(path, sizeof(path), "%s/filler", where);
    assert_int_equal(unlink(path), 0);
}

/* The pool stops once to have its directories, and goes on with shard 1's on the small disk. */
static struct pool *pool_on_small_disk(const char *const *options, char where_r[160]) {
    struct pool_options start = {.deaths = true};
    for (unsigned i = 0; options[i]; i++)
        start.options[i] = options[i];
    struct pool *pool = pool_start(&start);
    assert_int_equal(pool_stop(pool), 0);
    int code;
    free(run_shell(&code, "rm -rf '%s'/shard-0001/*", pool->data));
    mount_small_disk(pool, where_r);
    pool_start_again(pool);
    return pool;
}

/* Before the directories are removed. */
static int small_disk_cleanup(void **state) {
    if (mounted[0])
        umount2(mounted, MNT_DETACH);
    mounted[0] = 0;
    return pools_cleanup(state);
}

static void end_on_small_disk(struct pool **pool, const char *where) {
    assert_int_equal(pool_stop(*pool), 0);
    assert_int_equal(umount2(where, MNT_DETACH), 0);
    mounted[0] = 0;
    pool_end(pool);
}

/* Write to shard 1 until it refuses. Returns how many were taken. */
static unsigned write_until_refused(redisContext *c, const struct pool *pool) {
    char value[20001];
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    for (unsigned i = 0; i < 1000; i++) {
        redisReply *reply = redisCommand(c, "SET {%s}%u %s", pool_key(pool, 1, 0), i, value);
        assert_non_null(reply);
        bool refused = reply->type == REDIS_REPLY_ERROR;
        if (refused && strncmp(reply->str, "MISCONF ", 8) != 0)
            fail_msg("write %u: %s", i, reply->str);
        freeReplyObject(reply);
        if (refused)
            return i;
    }
    fail_msg("a disk of %d MB took 20 MB", DISK_MB);
    return 0;
}

static bool takes_writes(redisContext *c, const char *key) {
    redisReply *reply = redisCommand(c, "SET %s 1", key);
    bool taken = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return taken;
}

static void test_disk_full_log(void **state) {
    static const char *const options[] = {
        LOG_ON, "--appendfsync", "everysec", "--save", "", "--auto-aof-rewrite-percentage", "0",
        NULL};
    char where[160];
    struct pool *pool = pool_on_small_disk(options, where);
    redisContext *c = pool_connect(pool);
    unsigned taken = write_until_refused(c, pool);
    assert_true(taken > 20);
    expect_integer(c, 20000, "STRLEN {%s}%u", pool_key(pool, 1, 0), taken - 1);
    expect_error(c, "MISCONF Errors writing to the AOF file: No space left on device", "DEL {%s}0",
                 pool_key(pool, 1, 0));
    expect_text(c, "OK", "SET %s 1", pool_key(pool, 0, 0));
    expect_text(c, "OK", "SET %s 1", pool_key(pool, 2, 0));
    AWAIT(pool_number(pool, "workers.1.persistence.aof_ok") == 0);
    AWAIT(strstr(pool_text(pool, "workers.1.note"), "No space left on device") != NULL);
    assert_string_equal(info_field(c, "persistence", "aof_last_write_status"), "err");
    make_room(where);
    AWAIT(takes_writes(c, pool_key(pool, 1, 1)));
    AWAIT(pool_number(pool, "workers.1.persistence.aof_ok") == 1);
    assert_string_equal(pool_text(pool, "workers.1.note"), "");
    redisFree(c);
    crash_and_start_again(pool);
    c = pool_connect(pool);
    for (unsigned i = 0; i < taken; i++)
        expect_integer(c, 20000, "STRLEN {%s}%u", pool_key(pool, 1, 0), i);
    expect_text(c, "1", "GET %s", pool_key(pool, 1, 1));
    redisFree(c);
    end_on_small_disk(&pool, where);
}

static void test_disk_full_snapshot(void **state) {
    static const char *const options[] = {"--save", "100000 1", NULL};
    char where[160], value[100001];
    struct pool *pool = pool_on_small_disk(options, where);
    redisContext *c = pool_connect(pool);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    expect_text(c, "OK", "CONFIG SET rdbcompression no");
    for (unsigned i = 0; i < 20; i++)
        expect_text(c, "OK", "SET {%s}%u %s", pool_key(pool, 1, 0), i, value);
    freeReplyObject(expect_reply(c, "BGSAVE"));
    AWAIT(pool_number(pool, "workers.1.persistence.snapshot_last_ok") == 0);
    expect_error(c, "MISCONF Redis is configured to save RDB snapshots", "SET {%s}0 1",
                 pool_key(pool, 1, 0));
    expect_integer(c, 100000, "STRLEN {%s}7", pool_key(pool, 1, 0));
    expect_text(c, "OK", "SET %s 1", pool_key(pool, 0, 0));
    expect_text(c, "OK", "SET %s 1", pool_key(pool, 2, 0));
    assert_string_equal(info_field(c, "persistence", "rdb_last_bgsave_status"), "err");
    make_room(where);
    AWAIT(snapshots(pool, 0) >= 1 && snapshots(pool, 2) >= 1);
    freeReplyObject(expect_reply(c, "BGSAVE SCHEDULE"));
    AWAIT(pool_number(pool, "workers.1.persistence.snapshot_last_ok") == 1);
    AWAIT(takes_writes(c, pool_key(pool, 1, 1)));
    redisFree(c);
    end_on_small_disk(&pool, where);
}

/* A pool that cannot save does not stop for a polite signal; a second one soon after insists. */
static void test_disk_full_stop(void **state) {
    static const char *const options[] = {"--save", "100000 1", NULL};
    char where[160], value[100001];
    struct pool *pool = pool_on_small_disk(options, where);
    redisContext *c = pool_connect(pool);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    expect_text(c, "OK", "CONFIG SET rdbcompression no");
    for (unsigned i = 0; i < 20; i++)
        expect_text(c, "OK", "SET {%s}%u %s", pool_key(pool, 1, 0), i, value);
    redisFree(c);
    pool_signal(pool, SIGTERM);
    AWAIT(pool_log_has(pool, "shard 1 refuses to stop: "));
    pool_await_ready(pool);
    c = pool_connect(pool);
    expect_integer(c, 100000, "STRLEN {%s}7", pool_key(pool, 1, 0));
    redisFree(c);
    pool_signal(pool, SIGTERM);
    assert_int_equal(pool_await_exit(pool), 0);
    pool_start_again(pool);
    end_on_small_disk(&pool, where);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_save, pools_cleanup),
        cmocka_unit_test_teardown(test_bgsave, pools_cleanup),
        cmocka_unit_test_teardown(test_save_points, pools_cleanup),
        cmocka_unit_test_teardown(test_nothing_is_kept_when_nothing_is_asked, pools_cleanup),
        cmocka_unit_test_teardown(test_what_a_dead_child_left_is_removed, pools_cleanup),
        cmocka_unit_test_teardown(test_log, pools_cleanup),
        cmocka_unit_test_teardown(test_log_counts_more_than_the_snapshot, pools_cleanup),
        cmocka_unit_test_teardown(test_from_snapshot_to_log, pools_cleanup),
        cmocka_unit_test_teardown(test_rewrite_under_load, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_tail, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_anywhere, pools_cleanup),
        cmocka_unit_test_teardown(test_cut_tail_may_be_refused, pools_cleanup),
        cmocka_unit_test_teardown(test_flipped_bit_in_the_log, pools_cleanup),
        cmocka_unit_test_teardown(test_missing_file_of_the_log, pools_cleanup),
        cmocka_unit_test_teardown(test_damaged_snapshot, pools_cleanup),
        cmocka_unit_test_teardown(test_disk_full_log, small_disk_cleanup),
        cmocka_unit_test_teardown(test_disk_full_snapshot, small_disk_cleanup),
        cmocka_unit_test_teardown(test_disk_full_stop, small_disk_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
