/* 30_files: the files of a shard are Redis's. A redis-server started on them has the shard's data,
 * redis-check-rdb and redis-check-aof find nothing wrong, the log can be piped into a redis-server; and
 * a pool started on the files of a redis-server has its data. */
#include "tests/interop/dataset.h"
#include <sys/stat.h>

enum { KEYS = 3000 };

static struct pool *start_pool(unsigned workers, const char *appendonly, const char *appendfsync) {
    struct pool_options options = {
        .workers = workers,
        .options = {"--save", "", "--appendonly", appendonly, "--appendfsync", appendfsync}};
    return pool_start(&options);
}

static void succeed(const char *format, const char *path) {
    int code;
    char *command = NULL;
    assert_true(asprintf(&command, format, path) > 0);
    char *output = run_shell(&code, "%s 2>&1", command);
    if (code != 0)
        fail_msg("%s ended with %d:\n%s", command, code, output);
    free(output);
    free(command);
}

static bool exists(const char *directory, const char *name) {
    char path[256];
    struct stat found;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return stat(path, &found) == 0;
}

/* The real programs that check files, on all there are in a shard's folder. */
static void check_files(const char *directory) {
    assert_true(exists(directory, "dump.rdb") || exists(directory, "appendonlydir"));
    if (exists(directory, "dump.rdb"))
        succeed("redis-check-rdb %s/dump.rdb", directory);
    if (exists(directory, "appendonlydir"))
        succeed("redis-check-aof %s/appendonlydir/appendonly.aof.manifest", directory);
}

/* The data of all shards, each loaded by a redis-server of its own, together in `target`. */
static void collect_shards(const struct pool *pool, const char *appendonly, int target) {
    for (unsigned shard = 0; shard < pool->workers; shard++) {
        char directory[128];
        const char *options[] = {"--appendonly", appendonly, NULL};
        snprintf(directory, sizeof(directory), "%s/shard-%04u", pool->data, shard);
        check_files(directory);
        struct oracle *oracle = oracle_start(directory, options);
        redisContext *from = client_connect(oracle->port), *to = client_connect(target);
        AWAIT(strcmp(info_field(from, "persistence", "loading"), "0") == 0);
        for (unsigned db = 0; db < 16; db++) {
            expect_text(from, "OK", "SELECT %d", (int)db);
            expect_text(to, "OK", "SELECT %d", (int)db);
            redisReply *keys = expect_reply(from, "KEYS *");
            for (size_t i = 0; i < keys->elements; i++) {
                const redisReply *key = keys->element[i];
                redisReply *dump = expect_reply(from, "DUMP %b", key->str, key->len);
                int64_t at_ms = ask_integer(from, "PEXPIRETIME %b", key->str, key->len);
                expect_text(to, "OK", "RESTORE %b %lld %b ABSTTL", key->str, key->len,
                            (long long)(at_ms < 0 ? 0 : at_ms), dump->str, dump->len);
                freeReplyObject(dump);
            }
            freeReplyObject(keys);
        }
        redisFree(from);
        redisFree(to);
        oracle_end(&oracle);
    }
}

/* What a pool of three held when it stopped is what redis-servers find in its folders. */
static void pool_to_redis(const char *appendonly, const char *appendfsync, bool rewrite) {
    struct pool *pool = start_pool(3, appendonly, appendfsync);
    struct oracle *whole = oracle_start(NULL, NULL);
    uint64_t seed = random_seed();
    dataset_fill(pool->port, seed, KEYS);
    dataset_fill(whole->port, seed, KEYS);
    redisContext *c = pool_connect(pool);
    if (rewrite) {
        freeReplyObject(expect_reply(c, "BGREWRITEAOF"));
        for (unsigned shard = 0; shard < pool->workers; shard++) {
            char base[160];
            snprintf(base, sizeof(base), "shard-%04u/appendonlydir/appendonly.aof.2.base.rdb",
                     shard);
            AWAIT(exists(pool->data, base));
        }
        expect_text(c, "OK", "SET after:rewrite yes");
        redisContext *other = client_connect(whole->port);
        expect_text(other, "OK", "SET after:rewrite yes");
        redisFree(other);
    }
    if (strcmp(appendonly, "no") == 0)
        expect_text(c, "OK", "SAVE");
    redisFree(c);
    dataset_assert_equal("pool", pool->port, "redis-server", whole->port, EXPIRY_EXACT);
    assert_int_equal(pool_stop(pool), 0);
    struct oracle *collected = oracle_start(NULL, NULL);
    collect_shards(pool, appendonly, collected->port);
    dataset_assert_equal("shards", collected->port, "redis-server", whole->port, EXPIRY_EXACT);
    oracle_end(&collected);
    oracle_end(&whole);
    pool_end(&pool);
}

static void test_rdb_loads_in_redis(void **state) {
    oracle_needed();
    pool_to_redis("no", "no", false);
}

static void test_aof_always_loads_in_redis(void **state) {
    oracle_needed();
    pool_to_redis("yes", "always", false);
}

static void test_aof_everysec_loads_in_redis(void **state) {
    oracle_needed();
    pool_to_redis("yes", "everysec", true);
}

static void test_aof_no_loads_in_redis(void **state) {
    oracle_needed();
    pool_to_redis("yes", "no", true);
}

/* The log holds nothing but commands of clients. */
static void test_aof_can_be_piped(void **state) {
    oracle_needed();
    struct pool *pool = start_pool(2, "yes", "everysec");
    struct oracle *target = oracle_start(NULL, NULL);
    dataset_fill(pool->port, random_seed(), KEYS);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    assert_int_equal(pool_stop(pool), 0);
    for (unsigned shard = 0; shard < 2; shard++) {
        int code;
        char *output = run_shell(&code,
                                 "cat %s/shard-%04u/appendonlydir/*.incr.aof | "
                                 "redis-cli -p %d --pipe 2>&1",
                                 pool->data, shard, target->port);
        if (code != 0 || !strstr(output, "errors: 0"))
            fail_msg("redis-cli --pipe: %s", output);
        free(output);
    }
    char *after = dataset_describe(target->port, EXPIRY_EXACT, NULL);
    assert_true(strcmp(before, after) == 0);
    free(before);
    free(after);
    oracle_end(&target);
    pool_end(&pool);
}

/* A redis-server's files under a pool of one worker. */
static void redis_to_pool(const char *appendonly, const char *preamble, const char *finish) {
    char directory[64], shard[128];
    make_directory(directory);
    const char *options[] = {"--appendonly", appendonly, "--aof-use-rdb-preamble", preamble, NULL};
    struct oracle *oracle = oracle_start(directory, options);
    struct pool *pool = start_pool(1, appendonly, "everysec");
    dataset_fill(oracle->port, random_seed(), KEYS);
    redisContext *c = client_connect(oracle->port);
    freeReplyObject(expect_reply(c, finish));
    AWAIT(strcmp(info_field(c, "persistence", "aof_rewrite_in_progress"), "0") == 0);
    expect_integer(c, 1, "INCR after:%s", "finish");
    if (strcmp(appendonly, "no") == 0)
        expect_text(c, "OK", "SAVE");
    redisFree(c);
    char *before = dataset_describe(oracle->port, EXPIRY_EXACT, NULL);
    oracle_end(&oracle);
    assert_int_equal(pool_stop(pool), 0);
    snprintf(shard, sizeof(shard), "%s/shard-0000", pool->data);
    int code;
    free(run_shell(&code, "rm -rf %s/* && cp -r %s/* %s/", shard, directory, shard));
    assert_int_equal(code, 0);
    pool_start_again(pool);
    char *after = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    assert_true(strcmp(before, after) == 0);
    free(before);
    free(after);
    remove_directory(directory);
    pool_end(&pool);
}

static void test_dump_of_redis(void **state) {
    oracle_needed();
    redis_to_pool("no", "yes", "SAVE");
}

static void test_aof_of_redis(void **state) {
    oracle_needed();
    redis_to_pool("yes", "yes", "BGREWRITEAOF");
}

static void test_aof_of_redis_without_preamble(void **state) {
    oracle_needed();
    redis_to_pool("yes", "no", "BGREWRITEAOF");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rdb_loads_in_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_aof_always_loads_in_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_aof_everysec_loads_in_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_aof_no_loads_in_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_aof_can_be_piped, pools_cleanup),
        cmocka_unit_test_teardown(test_dump_of_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_aof_of_redis, pools_cleanup),
        cmocka_unit_test_teardown(test_aof_of_redis_without_preamble, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
