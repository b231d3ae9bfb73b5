/* 35_rdiff_backup: snapshots of a pool under load, backed up by the real rdiff-backup twelve times.
 * Each increment, restored, is the snapshot byte for byte, and a pool starts from it; a real
 * redis-server loads a shard of one. */
#include "tests/integration/load.h"
#include "tests/interop/dataset.h"
#include <time.h>

enum { BACKUPS = 12, KEYS = 2000, SHARDS = 2 };

static char *must_run(const char *format, ...) {
    char command[1200];
    int code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    char *output = run_shell(&code, "%s 2>&1", command);
    if (code != 0)
        fail_msg("%s: exit code %d: %s", command, code, output);
    return output;
}

static bool installed(const char *program) {
    int code;
    free(run_shell(&code, "command -v %s", program));
    if (code != 0)
        print_message("skipped, %s is not installed\n", program);
    return code == 0;
}

/* Every file with its path and content, every folder. */
static char *digest_of(const char *folder) {
    return must_run("cd '%s' && find . -type d | LC_ALL=C sort && "
                    "find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum",
                    folder);
}

static void expect_digest(const char *folder, const char *digest, const char *what) {
    char *now = digest_of(folder);
    if (strcmp(now, digest) != 0)
        fail_msg("%s, %s differs:\n%s\nwas\n%s", what, folder, now, digest);
    free(now);
}

static void take(redisContext *c, char path_r[256]) {
    redisReply *reply = expect_reply(c, "REMUDA SNAPSHOT");
    snprintf(path_r, 256, "%s", reply->str);
    freeReplyObject(reply);
}

/* Start a pool from a restored snapshot: how many writes of the load to shard 0 does it know? */
static int64_t writes_in(const char *snapshot, const char *data, const struct load *load) {
    int64_t sum = 0;
    free(must_run("%s/remuda restore '%s' --dir '%s'", pool_build(), snapshot, data));
    struct pool_options options = {.workers = SHARDS,
                                   .options = {"--dir", data, "--appendonly", "yes", "--save", ""}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < load->writers; i++)
        sum += ask_integer(c, "INCRBY %s 0", load->writer[i].books[0].key);
    redisFree(c);
    pool_end(&pool);
    return sum;
}

static void a_real_server_loads_a_shard(const char *snapshot, const char *dir) {
    char shard[256], path[300];
    snprintf(shard, sizeof(shard), "%s/one-shard", dir);
    free(must_run("cp -r '%s/shard-0001' '%s'", snapshot, shard));
    snprintf(path, sizeof(path), "%s/snapshot.json", snapshot);
    json_t *json = json_load_file(path, 0, NULL);
    assert_non_null(json);
    int64_t keys = json_integer_value(
        json_object_get(json_array_get(json_object_get(json, "shards"), 1), "keys"));
    json_decref(json);
    const char *options[] = {"--appendonly", "yes", NULL};
    struct oracle *oracle = oracle_start(shard, options);
    redisContext *c = client_connect(oracle->port);
    int64_t there = 0;
    for (int db = 0; db < 16; db++) {
        expect_text(c, "OK", "SELECT %d", db);
        there += ask_integer(c, "DBSIZE");
    }
    redisFree(c);
    oracle_end(&oracle);
    assert_true(keys > 100);
    assert_int_equal(there, keys);
}

static void test_rdiff_backup_under_load(void **state) {
    if (!installed("rdiff-backup"))
        skip();
    /* Small enough a limit that bases change between the backups too. */
    struct pool_options options = {
        .workers = SHARDS,
        .options = {"--appendonly", "yes", "--save", "", "--auto-aof-rewrite-min-size", "512kb"}};
    struct pool *pool = pool_start(&options);
    redisContext *c = pool_connect(pool);
    char snapshot[BACKUPS][256], backup[128], *digest[BACKUPS];
    int64_t before[BACKUPS], after[BACKUPS];
    dataset_fill(pool->port, random_seed(), KEYS);
    struct load load;
    load_start(&load, pool, pool->port, 3);
    snprintf(backup, sizeof(backup), "%s/backup", pool->dir);
    for (unsigned i = 0; i < BACKUPS; i++) {
        load_await(&load, 0, 50);
        before[i] = (int64_t)atomic_load(&load.acknowledged[0]);
        take(c, snapshot[i]);
        after[i] = (int64_t)atomic_load(&load.acknowledged[0]);
        digest[i] = digest_of(snapshot[i]);
        free(must_run("rdiff-backup backup '%s' '%s'", snapshot[i], backup));
        time_t ended = time(NULL);
        AWAIT(time(NULL) > ended); /* it names increments by the second */
    }
    load_stop(&load);
    load_check(&load, pool);
    free(must_run("rdiff-backup verify '%s'", backup));
    for (unsigned i = 0; i < BACKUPS; i++) {
        char restored[128], data[128], what[64];
        snprintf(restored, sizeof(restored), "%s/restored-%u", pool->dir, i);
        snprintf(data, sizeof(data), "%s/data-%u", pool->dir, i);
        snprintf(what, sizeof(what), "backup %u", i);
        expect_digest(snapshot[i], digest[i], "the snapshot itself");
        free(
            must_run("rdiff-backup restore --at %uB '%s' '%s'", BACKUPS - 1 - i, backup, restored));
        expect_digest(restored, digest[i], what);
        /* At least what was acknowledged before the snapshot was asked for; at most what was when it
         * was answered, and a write of each writer whose answer was on its way. */
        int64_t writes = writes_in(restored, data, &load);
        if (writes < before[i] || writes > after[i] + load.writers)
            fail_msg("backup %u: %lld writes, not %lld to %lld", i, (long long)writes,
                     (long long)before[i], (long long)after[i]);
    }
    a_real_server_loads_a_shard(snapshot[BACKUPS - 1], pool->dir);
    for (unsigned i = 0; i < BACKUPS; i++)
        free(digest[i]);
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rdiff_backup_under_load, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
