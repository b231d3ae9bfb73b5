/* 66_replica_disk.c - a replica whose disk is full or refuses: while a snapshot comes in, when it is to be
 * loaded, while the stream runs. The primary does not notice, the old data are shown as they were until the
 * new ones are whole, nothing of the stream is lost, and with room again all goes on without help. */
#include "tests/interop/following.h"
#include "tests/integration/disk.h"

enum { OLD_KEYS = 200 };

static struct disk disk;

static int cleanup(void **state) {
    pools_cleanup(state);
    disk_free(&disk);
    return 0;
}

static struct pool *start_on_disk(const char *size, unsigned workers, const char *appendonly) {
    static char data[100];
    disk_make_tmpfs(&disk, size);
    snprintf(data, sizeof(data), "%s/data", disk.path);
    return pool_start(&(struct pool_options){
        .workers = workers, .options = {"--dir", data, "--appendonly", appendonly, "--save", ""}});
}

static void fill_disk(void) {
    int code;
    free(run_shell(&code, "cat /dev/zero >%s/filler 2>/dev/null", disk.path));
}
static void empty_disk(void) {
    int code;
    free(run_shell(&code, "rm %s/filler", disk.path));
    assert_int_equal(code, 0);
}

static void say_old(int port) {
    redisContext *c = client_connect(port);
    for (int i = 0; i < OLD_KEYS; i++)
        expect_text(c, "OK", "SET old:%d %d", i, i);
    redisFree(c);
}

/* Nothing of the new, all of the old. */
static void assert_unchanged(int port, const char *before) {
    char *now = dataset_describe(port, EXPIRY_EXACT, NULL);
    if (strcmp(before, now) != 0)
        fail_msg("what was there before is not what is shown now:\n%.2000s", now);
    free(now);
}

/* links: how many snapshots come in. */
static void full_during_the_snapshot(int primary, unsigned links) {
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *replica = start_on_disk("12m", 2, "no");
    say_old(replica->port);
    char *before = dataset_describe(replica->port, EXPIRY_EXACT, NULL);
    dataset_fill(primary, seed, 300);
    fill_much(primary, 4000, 10000);
    writer_begin(&w, primary, seed);
    follow(replica->port, "127.0.0.1", primary);
    for (unsigned i = 1; i <= 2; i++) {
        AWAIT(log_lines(replica->dir, "Full resync from master") >= i * links);
        assert_unchanged(replica->port, before);
        writer_more(&w, 100);
    }
    assert_true(pool_log_has(replica, "cannot write the snapshot: No space left on device"));
    disk_resize(&disk, "300m");
    AWAIT(link_is_up(replica->port));
    writer_more(&w, 100);
    writer_end(&w);
    await_equal(primary, replica->port);
    assert_in_range(full_resyncs(replica), 2 * links, 8 * links); /* later and later */
    free(before);
    pool_end(&replica);
    disk_free(&disk);
}

static void test_full_during_the_snapshot_of_a_pool(void **state) {
    struct pool *primary = pool_start(&(struct pool_options){.workers = 2});
    full_during_the_snapshot(primary->port, 2);
    pool_end(&primary);
}
static void test_full_during_the_snapshot_of_redis(void **state) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, NULL);
    full_during_the_snapshot(redis->port, 1);
    oracle_end(&redis);
}

/* The log cannot be written. What the primary says is done all the same, over several shards, too. */
static void full_during_the_stream(int primary) {
    static struct writer w; /* outlives a failed test */
    uint64_t seed = random_seed();
    struct pool *replica = start_on_disk("40m", 2, "yes");
    dataset_fill(primary, seed, 300);
    follow(replica->port, "127.0.0.1", primary);
    AWAIT(link_is_up(replica->port));
    unsigned before = full_resyncs(replica);
    fill_disk();
    writer_begin(&w, primary, seed);
    AWAIT(pool_log_has(replica, "No space left on device"));
    writer_more(&w, 500);
    await_last_words(primary, replica->port);
    empty_disk();
    writer_more(&w, 100);
    writer_end(&w);
    await_equal(primary, replica->port);
    assert_int_equal(full_resyncs(replica), before);
    /* What it has is on its disk again. */
    redisContext *c = pool_connect(replica);
    AWAIT(strcmp(info_field(c, "persistence", "aof_last_write_status"), "ok") == 0);
    redisFree(c);
    stop_following(replica->port);
    char *whole = dataset_describe(replica->port, EXPIRY_EXACT, NULL);
    assert_int_equal(pool_stop(replica), 0);
    pool_start_again(replica);
    assert_unchanged(replica->port, whole);
    free(whole);
    pool_end(&replica);
    disk_free(&disk);
}

static void test_full_during_the_stream_of_a_pool(void **state) {
    struct pool *primary = pool_start(&(struct pool_options){.workers = 2});
    full_during_the_stream(primary->port);
    pool_end(&primary);
}
static void test_full_during_the_stream_of_redis(void **state) {
    oracle_needed();
    struct oracle *redis = oracle_start(NULL, NULL);
    full_during_the_stream(redis->port);
    oracle_end(&redis);
}

/* Without the mark a death would show what was loaded in part: so it is not begun. */
static void mark_refused(unsigned primary_workers) {
    int code;
    struct pool *primary = pool_start(&(struct pool_options){.workers = primary_workers});
    struct pool *replica = pool_start(&(struct pool_options){.workers = 2});
    say_old(replica->port);
    char *before = dataset_describe(replica->port, EXPIRY_EXACT, NULL);
    say_more(primary->port, 1, 200);
    free(run_shell(&code, "for i in 0 1; do ln -s none/none %s/shard-000$i/sync-in-progress; done",
                   replica->data));
    follow(replica->port, "127.0.0.1", primary->port);
    AWAIT(pool_log_has(replica, "cannot make"));
    assert_unchanged(replica->port, before);
    free(run_shell(&code, "rm %s/shard-000?/sync-in-progress", replica->data));
    await_equal(primary->port, replica->port);
    free(before);
    pool_end(&replica);
    pool_end(&primary);
}

static void test_no_mark_no_load(void **state) {
    mark_refused(2);
}
static void test_no_mark_no_load_of_a_pool(void **state) {
    mark_refused(1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_full_during_the_snapshot_of_a_pool, cleanup),
        cmocka_unit_test_teardown(test_full_during_the_snapshot_of_redis, cleanup),
        cmocka_unit_test_teardown(test_full_during_the_stream_of_a_pool, cleanup),
        cmocka_unit_test_teardown(test_full_during_the_stream_of_redis, cleanup),
        cmocka_unit_test_teardown(test_no_mark_no_load, cleanup),
        cmocka_unit_test_teardown(test_no_mark_no_load_of_a_pool, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
