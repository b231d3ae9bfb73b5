/* 33_import_export: what a real redis-server wrote becomes a pool, and a pool becomes a file that a real
 * redis-server loads: all types and encodings, databases, expiry times, idle times and frequencies. */
#include "tests/interop/dataset.h"
#include <sys/stat.h>

enum { KEYS = 1500 };

static char directory[64];

static int setup(void **state) {
    make_directory(directory);
    return 0;
}

static int cleanup(void **state) {
    pools_cleanup(state);
    remove_directory(directory);
    return 0;
}

/* Every encoding a server of 7.0 knows, small and large. */
static void fill_encodings(int port) {
    static const char *const commands[] = {
        "SET int 12345",
        "SET negative -9223372036854775808",
        "SET embstr short",
        "SETRANGE raw 3000 end",
        "SADD intset16 1 2 30000",
        "SADD intset32 1 70000 -5",
        "SADD intset64 1 4294967296",
        "SADD members a b c 1",
        "HSET listpack f v number 12 n64 -9223372036854775808",
        "RPUSH list a 1 -1 4096 70000 8388608 2147483648",
        "ZADD zset 1 a 2.5 b -inf c inf d 1e300 e",
        "XADD stream 1-1 field value other 12",
        "XADD stream 5-7 field value2",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group consumer COUNT 1 STREAMS stream >",
        NULL,
    };
    redisContext *c = client_connect(port);
    for (size_t i = 0; commands[i]; i++)
        freeReplyObject(expect_reply(c, commands[i]));
    for (int i = 0; i < 700; i++) {
        freeReplyObject(expect_reply(c, "SADD large:set m%d", i));
        freeReplyObject(expect_reply(c, "SADD large:intset %d", i * 3));
        freeReplyObject(expect_reply(c, "HSET large:hash f%d v%d", i, i));
        freeReplyObject(expect_reply(c, "ZADD large:zset %d.25 m%d", i, i));
        freeReplyObject(expect_reply(c, "RPUSH large:list element-%d-of-a-list", i));
    }
    freeReplyObject(expect_reply(c, "RPUSH large:list %b", directory, (size_t)0));
    freeReplyObject(expect_reply(c, "SET {tag}a 1"));
    freeReplyObject(expect_reply(c, "SET {tag}b 2"));
    expect_text(c, "OK", "SELECT 15");
    freeReplyObject(expect_reply(c, "SET last-database yes"));
    redisFree(c);
}

static void fill(int port) {
    dataset_fill(port, random_seed(), KEYS);
    fill_encodings(port);
}

/* What a stream has besides its entries. */
static void expect_group(int port) {
    redisContext *c = client_connect(port);
    redisReply *groups = expect_reply(c, "XINFO GROUPS stream");
    assert_int_equal(groups->elements, 1);
    assert_string_equal(groups->element[0]->element[1]->str, "group");
    assert_int_equal(groups->element[0]->element[5]->integer, 1); /* pending */
    freeReplyObject(groups);
    redisFree(c);
}

/* `remuda import SOURCE` and a pool on it, which must have what the server had. */
static struct pool *import(const char *source, unsigned workers, const char *appendonly,
                           const char *expected) {
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = workers, .options = {"--save", "", "--appendonly", appendonly}});
    assert_int_equal(pool_stop(pool), 0);
    remove_directory(pool->data);
    free(run_remuda(0, "import %s --dir %s --workers %u", source, pool->data, workers));
    free(run_remuda(0, "check %s", pool->data));
    pool_start_again(pool);
    char *now = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    assert_string_equal(expected, now);
    free(now);
    expect_group(pool->port);
    return pool;
}

/* And back: a redis-server that loads the pool's export has the same. */
static void export_and_load(struct pool *pool, const char *appendonly, const char *expected) {
    redisContext *c = pool_connect(pool);
    if (strcmp(appendonly, "no") == 0)
        expect_text(c, "OK", "SAVE");
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    free(run_remuda(0, "export %s/back/dump.rdb --dir %s", directory, pool->data));
    int code;
    char *said = run_shell(&code, "redis-check-rdb %s/back/dump.rdb 2>&1", directory);
    if (code != 0)
        fail_msg("redis-check-rdb: %s", said);
    free(said);
    char back[128];
    snprintf(back, sizeof(back), "%s/back", directory);
    struct oracle *oracle = oracle_start(back, NULL);
    char *now = dataset_describe(oracle->port, EXPIRY_EXACT, NULL);
    assert_string_equal(expected, now);
    free(now);
    expect_group(oracle->port);
    oracle_end(&oracle);
}

/* A redis-server with these options fills its folder, DIRECTORY/redis; then `source` below it is
 * imported, and exported again. */
static void there_and_back(const char *const *options, const char *finish, const char *source,
                           unsigned workers, const char *appendonly) {
    char redis[128], path[256];
    int code;
    snprintf(redis, sizeof(redis), "%s/redis", directory);
    snprintf(path, sizeof(path), "%s/%s", redis, source);
    free(run_shell(&code, "mkdir %s %s/back", redis, directory));
    struct oracle *oracle = oracle_start(redis, options);
    fill(oracle->port);
    redisContext *c = client_connect(oracle->port);
    freeReplyObject(expect_reply(c, finish));
    AWAIT(strcmp(info_field(c, "persistence", "aof_rewrite_in_progress"), "0") == 0);
    AWAIT(strcmp(info_field(c, "persistence", "aof_rewrite_scheduled"), "0") == 0);
    if (strcmp(finish, "SAVE") != 0)
        expect_integer(c, 1, "INCR behind:the-base");
    redisFree(c);
    char *expected = dataset_describe(oracle->port, EXPIRY_EXACT, NULL);
    oracle_end(&oracle);
    struct pool *pool = import(path, workers, appendonly, expected);
    export_and_load(pool, appendonly, expected);
    free(expected);
    pool_end(&pool);
}

static void test_snapshot(void **state) {
    static const char *const options[] = {"--hash-max-listpack-entries", "8", NULL};
    oracle_needed();
    there_and_back(options, "SAVE", "dump.rdb", 3, "no");
}

static void test_snapshot_without_compression_or_checksum(void **state) {
    static const char *const options[] = {
        "--rdbcompression", "no", "--rdbchecksum", "no", "--list-max-listpack-size", "3", NULL};
    oracle_needed();
    there_and_back(options, "SAVE", "", 2, "yes");
}

static void test_log(void **state) {
    static const char *const options[] = {"--appendonly", "yes", NULL};
    oracle_needed();
    there_and_back(options, "BGREWRITEAOF", "appendonlydir", 2, "no");
}

static void test_log_of_commands_only(void **state) {
    static const char *const options[] = {"--appendonly",
                                          "yes",
                                          "--aof-use-rdb-preamble",
                                          "no",
                                          "--appenddirname",
                                          "mylogs",
                                          "--appendfilename",
                                          "my.aof",
                                          NULL};
    oracle_needed();
    there_and_back(options, "BGREWRITEAOF", "mylogs", 3, "yes");
}

static void test_folder_of_a_server(void **state) {
    static const char *const options[] = {"--appendonly", "yes", NULL};
    oracle_needed();
    there_and_back(options, "BGREWRITEAOF", "", 4, "yes");
}

/* ---- idle times and frequencies ---- */

static int64_t ask_object(int port, const char *what, const char *key) {
    redisContext *c = client_connect(port);
    int64_t number = ask_integer(c, "OBJECT %s %s", what, key);
    redisFree(c);
    return number;
}

static void keep_access(const char *policy, const char *what, const char *restore, int64_t value) {
    const char *options[] = {"--maxmemory-policy", policy, NULL};
    int code;
    free(run_shell(&code, "mkdir %s/redis %s/back", directory, directory));
    char redis[128], back[128];
    snprintf(redis, sizeof(redis), "%s/redis", directory);
    snprintf(back, sizeof(back), "%s/back", directory);
    struct oracle *oracle = oracle_start(redis, options);
    redisContext *c = client_connect(oracle->port);
    expect_text(c, "OK", "SET other 1");
    redisReply *dump = expect_reply(c, "DUMP other");
    expect_text(c, "OK", "RESTORE used 0 %b %s %d", dump->str, dump->len, restore, (int)value);
    freeReplyObject(dump);
    expect_text(c, "OK", "SAVE");
    redisFree(c);
    oracle_end(&oracle);
    /* The file is streamed, so they are kept whatever the policy of the pool will be. */
    free(run_remuda(0, "import %s --dir %s/data --workers 2", redis, directory));
    free(run_remuda(0, "export %s/dump.rdb --dir %s/data", back, directory));
    oracle = oracle_start(back, options);
    int64_t now = ask_object(oracle->port, what, "used");
    assert_true(now >= value - 5 && now <= value + 100);
    oracle_end(&oracle);
}

static void test_idle_times(void **state) {
    oracle_needed();
    keep_access("allkeys-lru", "IDLETIME", "IDLETIME", 5000);
}

static void test_frequencies(void **state) {
    oracle_needed();
    keep_access("allkeys-lfu", "FREQ", "FREQ", 99);
}

/* ---- what a pool cannot take ---- */

static void test_functions_are_skipped(void **state) {
    static const char *const options[] = {"--appendonly", "yes", NULL};
    oracle_needed();
    int code;
    char redis[128];
    snprintf(redis, sizeof(redis), "%s/redis", directory);
    free(run_shell(&code, "mkdir %s", redis));
    struct oracle *oracle = oracle_start(redis, options);
    redisContext *c = client_connect(oracle->port);
    expect_text(c, "OK", "SET key value");
    freeReplyObject(expect_reply(c, "FUNCTION LOAD %s",
                                 "#!lua name=lib\nredis.register_function('f', function() "
                                 "return 1 end)"));
    expect_text(c, "OK", "SAVE");
    redisFree(c);
    oracle_end(&oracle);
    char *said = run_remuda(0, "import %s/dump.rdb --dir %s/a --workers 2", redis, directory);
    expect_said(said, ": 1 keys");
    expect_said(said, "skipped: 1 function libraries");
    free(said);
    said = run_remuda(0, "import %s --dir %s/b --workers 2", redis, directory);
    expect_said(said, ": 1 keys");
    expect_said(said, "skipped: 1 function libraries");
    free(said);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_snapshot, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_snapshot_without_compression_or_checksum, setup,
                                        cleanup),
        cmocka_unit_test_setup_teardown(test_log, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_log_of_commands_only, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_folder_of_a_server, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_idle_times, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_frequencies, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_functions_are_skipped, setup, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
