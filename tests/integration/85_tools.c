/* 85_tools.c - what works on files while no pool runs: import, export, check; and the keys dealt anew when
 * `workers` has changed. Killed at every step, nothing is lost and nothing is there twice. */
#include "tests/interop/dataset.h"
#include <signal.h>
#include <sys/stat.h>

static const char *const FIXTURE = "tests/fixtures/redis-7.0.rdb";
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

static void expect_said(const char *said, const char *words) {
    if (!strstr(said, words))
        fail_msg("'%s' is not in: %s", words, said);
}

/* Run `remuda WORDS`, which must end with this code; what it said on both. Freed by the caller. */
static char *remuda(int expected, const char *format, ...) __attribute__((format(printf, 2, 3)));
static char *remuda(int expected, const char *format, ...) {
    int code;
    char *words = NULL;
    va_list arguments;
    va_start(arguments, format);
    assert_true(vasprintf(&words, format, arguments) > 0);
    va_end(arguments);
    char *said = run_shell(&code, "'%s/remuda' %s 2>&1", pool_build(), words);
    if (code != expected)
        fail_msg("remuda %s ended with %d:\n%s", words, code, said);
    free(words);
    return said;
}

static bool exists(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool exists(const char *format, ...) {
    char path[256];
    struct stat found;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    return lstat(path, &found) == 0;
}

/* A pool whose directory is not there yet. */
static struct pool *pool_of(unsigned workers, const char *appendonly) {
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = workers, .options = {"--save", "", "--appendonly", appendonly}});
    assert_int_equal(pool_stop(pool), 0);
    remove_directory(pool->data);
    return pool;
}

/* ---- import ---- */

static void expect_fixture(struct pool *pool) {
    redisContext *c = pool_connect(pool);
    expect_integer(c, 14, "DBSIZE");
    expect_text(c, "-2147483648", "GET int32");
    expect_text(c, "the quick brown fox", "GET words");
    expect_integer(c, 4102444800000, "PEXPIRETIME expires");
    expect_text(c, "-9223372036854775808", "HGET small n64");
    expect_integer(c, 9, "HLEN large");
    expect_text(c, "OK", "SELECT 5");
    expect_integer(c, 2, "DBSIZE");
    expect_integer(c, 4102444800123, "PEXPIRETIME h");
    redisFree(c);
}

static void test_import_a_snapshot(void **state) {
    struct pool *pool = pool_of(3, "no");
    char *said = remuda(0, "import %s --dir %s --workers 3", FIXTURE, pool->data);
    expect_said(said, "import: 0 %, 0 keys");
    expect_said(said, "import: 100 %, 16 keys");
    expect_said(said, ": 16 keys\n");
    expect_said(said, "shard-0002: 4 keys");
    expect_said(said, "database 0: 14 keys");
    expect_said(said, "database 5: 2 keys");
    expect_said(said, "skipped: 1 keys whose time was over");
    free(said);
    assert_false(exists("%s/incoming", pool->data));
    assert_false(exists("%s/outgoing", pool->data));
    pool_start_again(pool);
    expect_fixture(pool);
    pool_end(&pool);
}

static void test_import_into_a_pool_with_logs(void **state) {
    struct pool *pool = pool_of(2, "yes");
    free(remuda(0, "import tests/fixtures/redis-7.0-aof --dir %s --workers 2", pool->data));
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    expect_text(c, "1", "GET base");
    expect_text(c, "transaction", "GET in");
    expect_text(c, "OK", "SELECT 3");
    expect_text(c, "3", "GET three");
    redisFree(c);
    pool_end(&pool);
}

struct refused {
    const char *make, *words; /* shell commands that make $D/source */
};

static const struct refused refused[] = {
    {"true", "cannot read"},
    {"mkdir $D/source", "holds neither"},
    {"printf 'REDIS0013' >$D/source", "RDB version 13"},
    {"printf 'hello' >$D/source", "at byte 0"},
    {"head -c 500 tests/fixtures/redis-7.0.rdb >$D/source", "at byte"},
    {"cp tests/fixtures/redis-7.0.rdb $D/source && printf x >>$D/source", "1 bytes follow the end"},
    {"cp tests/fixtures/redis-7.0.rdb $D/source && "
     "printf '\\377' | dd of=$D/source bs=1 seek=600 conv=notrunc",
     "at byte"},
    {"cp -r tests/fixtures/redis-7.0-aof $D/source && rm $D/source/*.base.rdb",
     "the manifest names it, but it does not exist"},
    {"cp -r tests/fixtures/redis-7.0-aof $D/source && cp $D/source/*.manifest $D/source/x.manifest",
     "two manifests"},
    {"printf '*1\\r\\n$7\\r\\nNOTHING\\r\\n' >$D/source", "unknown command 'NOTHING'"},
    {"printf '*2\\r\\n$6\\r\\nSELECT\\r\\n$2\\r\\n16\\r\\n' >$D/source", "SELECT"},
};

/* Nothing is left of it, and a pool starts empty. */
static void test_import_refuses_damage(void **state) {
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int code;
        free(run_shell(&code, "export D=%s; rm -rf $D/*; %s 2>&1", directory, refused[i].make));
        assert_int_equal(code, 0);
        char *said = remuda(1, "import %s/source --dir %s/data --workers 2", directory, directory);
        expect_said(said, refused[i].words);
        expect_said(said, "/source");
        free(said);
        said = run_shell(&code, "ls -A %s/data", directory);
        assert_string_equal(said, "");
        free(said);
    }
}

static void test_import_refuses_a_pool(void **state) {
    struct pool *pool = pool_start(NULL);
    char *said = remuda(1, "import %s --dir %s", FIXTURE, pool->data);
    expect_said(said, "in use by another pool");
    free(said);
    assert_int_equal(pool_stop(pool), 0);
    said = remuda(1, "import %s --dir %s", FIXTURE, pool->data);
    expect_said(said, "holds a pool already");
    free(said);
    int code;
    free(run_shell(&code, "rm %s/pool.json", pool->data));
    said = remuda(1, "import %s --dir %s", FIXTURE, pool->data);
    expect_said(said, "holds a pool already");
    free(said);
    pool_end(&pool);
}

/* ---- another number of workers ---- */

static void deal_anew(struct pool *pool, unsigned workers, const char *expected) {
    assert_int_equal(pool_stop(pool), 0);
    pool->workers = workers;
    pool_start_again(pool);
    char *now = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    if (strcmp(now, expected) != 0)
        fail_msg("the data differs with %u workers", workers);
    free(now);
}

static void redistribute(const char *appendonly) {
    static const unsigned workers[] = {1, 2, 3, 1, 4, 3};
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = 2, .options = {"--save", "3600 1", "--appendonly", appendonly}});
    dataset_fill(pool->port, random_seed(), 600);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        deal_anew(pool, workers[i], before);
        assert_false(exists("%s/incoming", pool->data));
        assert_false(exists("%s/outgoing", pool->data));
        assert_false(exists("%s/quarantine", pool->data));
        assert_false(exists("%s/shard-%04u", pool->data, workers[i]));
    }
    free(before);
    pool_end(&pool);
}

static void test_redistribute_snapshots(void **state) {
    redistribute("no");
}

static void test_redistribute_logs(void **state) {
    redistribute("yes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_import_a_snapshot, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_import_into_a_pool_with_logs, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_import_refuses_damage, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_import_refuses_a_pool, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_redistribute_snapshots, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_redistribute_logs, setup, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
