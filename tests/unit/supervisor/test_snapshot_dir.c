/* test_snapshot_dir.c - names, snapshot.json, the folder of snapshots on disk, and restore. */
#include "shared/base/mem.h"
#include "supervisor/restore.h"
#include "supervisor/snapshot_dir.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64], error[1024];

static int set_up(void **state) {
    strcpy(dir, "/tmp/remuda-snapshots-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state) {
    return remove_tree(dir, error, sizeof(error));
}

__attribute__((format(printf, 1, 2))) static const char *in_dir(const char *format, ...) {
    static char paths[4][512];
    static unsigned turn;
    char *path = paths[turn++ % 4];
    int len = snprintf(path, 512, "%s/", dir);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + len, 512 - (size_t)len, format, arguments);
    va_end(arguments);
    return path;
}

static bool there(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void expect_text(const char *path, const char *text) {
    size_t len;
    char *have = read_whole_file(path, 1 << 20, &len);
    assert_non_null(have);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(have, text, len);
    mem_free(have);
}

/* ---- names ---- */

static void names_are_judged(void **state) {
    static const char *const good[] = {"a", "2026-11-28", "x_y.z", "9", "latest2", "partial"};
    static const char *const bad[] = {"",       ".",         "..",        ".x",  "-x",  "a/b",
                                      "latest", "x.partial", "a b",       "a\n", "a*",  "\xc3\xa4",
                                      "a:b",    "../x",      "x/../../y", "~",   "a\\b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(snapshot_name_ok(bytes_of_text(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(snapshot_name_ok(bytes_of_text(bad[i])));
    char longest[SNAPSHOT_NAME_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    assert_true(snapshot_name_ok(bytes_of(longest, SNAPSHOT_NAME_MAX)));
    assert_false(snapshot_name_ok(bytes_of(longest, SNAPSHOT_NAME_MAX + 1)));
    assert_false(snapshot_name_ok(bytes_of("a\0b", 3)));
    char name[SNAPSHOT_NAME_MAX + 1];
    snapshot_name_of_time(1795825659238, name);
    assert_string_equal(name, "20261128T002739.238Z");
    assert_true(snapshot_name_ok(bytes_of_text(name)));
}

static void paths_lead_nowhere_else(void **state) {
    static const char *const bad[] = {"",    "x",     "/x",   "x/",   "../x",  "x/..",
                                      "./x", "a/b/c", "a//b", "x/.y", "a/b\n", "/a/b"};
    assert_true(snapshot_path_ok(BYTES_LITERAL("appendonlydir/appendonly.aof.1.base.rdb")));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(snapshot_path_ok(bytes_of_text(bad[i])));
    assert_false(snapshot_path_ok(bytes_of("a/b\0c", 5)));
}

/* ---- snapshot.json ---- */

static struct snapshot_file example(const struct pool_file *pool) {
    struct snapshot_file file = {.taken_ms = 1795825659238, .barrier_us = 298};
    file.shards = pool->shards;
    memcpy(file.pool_id, pool->pool_id, POOL_ID_BYTES);
    /* They report in any order. */
    assert_true(snapshot_file_add(&file, 1, BYTES_LITERAL("keys 5\n3 log/b.incr\n")));
    assert_true(snapshot_file_add(&file, 0, BYTES_LITERAL("keys 7\n4 log/a.base\n2 log/a 1\n")));
    return file;
}

static void the_file_is_read_as_written(void **state) {
    static struct pool_file pool;
    struct snapshot_file read;
    pool_file_make(&pool, 2);
    struct snapshot_file file = example(&pool);
    char *text = snapshot_file_text(&file);
    assert_int_equal(snapshot_file_parse(bytes_of_text(text), &read, error, sizeof(error)), 0);
    assert_string_equal(read.pool_id, pool.pool_id);
    assert_int_equal(read.taken_ms, 1795825659238);
    assert_int_equal(read.barrier_us, 298);
    assert_int_equal(read.shards, 2);
    assert_int_equal(read.keys[0], 7);
    assert_int_equal(read.keys[1], 5);
    assert_int_equal(read.count, 3);
    assert_int_equal(read.entries[0].shard, 0);
    assert_string_equal(read.entries[1].name, "log/a 1");
    assert_int_equal(read.entries[2].shard, 1);
    assert_int_equal(read.entries[2].bytes, 3);
    snapshot_file_free(&read);
    /* Cut anywhere, it is refused. */
    for (size_t len = 0; len + 1 < strlen(text); len++)
        assert_int_equal(snapshot_file_parse(bytes_of(text, len), &read, error, sizeof(error)), -1);
    free(text);
    snapshot_file_free(&file);
}

static void nonsense_is_refused(void **state) {
    static const char *const bad[] = {
        "[]",
        "{\"format\": 2}",
        "{\"format\": 1, \"pool_id\": \"x\"}",
        "{\"format\": 1, \"pool_id\": \"0123456789012345678901234567890123456789\", \"taken_ms\": "
        "1, "
        "\"barrier_us\": 1, \"shards\": []}",
        "{\"format\": 1, \"pool_id\": \"0123456789012345678901234567890123456789\", \"taken_ms\": "
        "1, "
        "\"barrier_us\": 1, \"shards\": [{\"shard\": 0, \"keys\": 1, \"files\": [{\"name\": "
        "\"../x\", \"bytes\": 1}]}]}",
        "{\"format\": 1, \"pool_id\": \"0123456789012345678901234567890123456789\", \"taken_ms\": "
        "1, "
        "\"barrier_us\": 1, \"shards\": [{\"shard\": 1, \"keys\": 1, \"files\": [{\"name\": "
        "\"a/x\", \"bytes\": 1}]}]}",
        "{\"format\": 1, \"pool_id\": \"0123456789012345678901234567890123456789\", \"taken_ms\": "
        "1, "
        "\"barrier_us\": 1, \"shards\": [{\"shard\": 0, \"keys\": 1, \"files\": [{\"name\": "
        "\"a/x\", \"bytes\": -1}]}]}",
        "{\"format\": 1, \"pool_id\": \"0123456789012345678901234567890123456789\", \"taken_ms\": "
        "1, "
        "\"barrier_us\": 1, \"shards\": [{\"shard\": 0, \"keys\": 1, \"files\": 3}]}"};
    static const char *const lines[] = {"",
                                        "keys\n",
                                        "keys x\n",
                                        "keys 1\nx a/b\n",
                                        "keys 1\n5\n",
                                        "keys 1\n5 ab\n",
                                        "keys 1\n5 a/b",
                                        "files 1\n"};
    struct snapshot_file file;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        error[0] = 0;
        assert_int_equal(snapshot_file_parse(bytes_of_text(bad[i]), &file, error, sizeof(error)),
                         -1);
        assert_true(error[0] != 0);
    }
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        file = (struct snapshot_file){0};
        assert_false(snapshot_file_add(&file, 0, bytes_of_text(lines[i])));
        snapshot_file_free(&file);
    }
}

/* ---- the folder ---- */

static void make_shards(const char *name) {
    char path[SNAPSHOT_DIR_BYTES];
    assert_int_equal(snapshot_begin(dir, name, error, sizeof(error)), 0);
    for (uint32_t i = 0; i < 2; i++) {
        snapshot_partial_path(dir, name, i, path);
        assert_int_equal(mkdir(path, 0755), 0);
        strcat(path, "/log");
        assert_int_equal(mkdir(path, 0755), 0);
    }
    write_text(in_dir("snapshots/%s.partial/shard-0000/log/a.base", name), "base");
    write_text(in_dir("snapshots/%s.partial/shard-0000/log/a 1", name), "in");
    write_text(in_dir("snapshots/%s.partial/shard-0001/log/b.incr", name), "inc");
}

static struct pool_file *pool_of_two(void) {
    static struct pool_file pool;
    if (pool.shards == 0)
        pool_file_make(&pool, 2);
    return &pool;
}

static void take_at(const char *name, int64_t taken_ms, uint32_t keep) {
    make_shards(name);
    struct snapshot_file file = example(pool_of_two());
    file.taken_ms = taken_ms;
    if (snapshot_commit(dir, name, &file, pool_of_two(), keep, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    snapshot_file_free(&file);
}

static void expect_latest(const char *name) {
    char target[100] = "";
    assert_true(readlink(in_dir("snapshots/latest"), target, sizeof(target) - 1) > 0);
    assert_string_equal(target, name);
}

static void a_snapshot_is_made(void **state) {
    struct snapshot_file file;
    struct pool_file pool;
    char path[SNAPSHOT_DIR_BYTES];
    take_at("one", 1, 0);
    expect_latest("one");
    assert_false(there(in_dir("snapshots/one.partial")));
    snapshot_path(dir, "one", path);
    assert_int_equal(snapshot_open(path, &file, &pool, error, sizeof(error)), 0);
    assert_int_equal(file.count, 3);
    snapshot_file_free(&file);
    assert_int_equal(snapshot_begin(dir, "one", error, sizeof(error)), -1);
    assert_string_equal(error, "a snapshot 'one' exists already");
    take_at("two", 2, 0);
    expect_latest("two");
}

static void the_oldest_go(void **state) {
    take_at("c", 3, 0);
    take_at("a", 1, 0);
    take_at("b", 2, 0);
    assert_int_equal(mkdir(in_dir("snapshots/mine"), 0755), 0); /* none of ours: not touched */
    take_at("d", 4, 2);
    expect_latest("d");
    assert_true(there(in_dir("snapshots/c")) && there(in_dir("snapshots/d")));
    assert_false(there(in_dir("snapshots/a")) || there(in_dir("snapshots/b")));
    assert_true(there(in_dir("snapshots/mine")));
    /* A clock that went back: the new one stays all the same. */
    take_at("e", 0, 1);
    assert_true(there(in_dir("snapshots/e")) && there(in_dir("snapshots/d")));
}

static void what_is_partial_goes(void **state) {
    assert_int_equal(snapshots_clean(dir, error, sizeof(error)), 0);
    take_at("good", 1, 0);
    make_shards("half");
    assert_int_equal(symlink("x", in_dir("snapshots/latest.partial")), 0);
    assert_int_equal(snapshots_clean(dir, error, sizeof(error)), 0);
    assert_false(there(in_dir("snapshots/half.partial")));
    assert_false(there(in_dir("snapshots/latest.partial")));
    assert_true(there(in_dir("snapshots/good/snapshot.json")));
    make_shards("half");
    assert_int_equal(snapshot_drop(dir, "half", error, sizeof(error)), 0);
    assert_false(there(in_dir("snapshots/half.partial")));
    assert_int_equal(snapshot_drop(dir, "half", error, sizeof(error)), 0);
}

static _Atomic bool linking;

/* A shard that goes on as if nobody had told it. */
static void *link_on(void *arg) {
    char path[512];
    for (unsigned i = 0; linking; i++) {
        snprintf(path, sizeof(path), "%s/snapshots/half.partial/shard-0000/log/file-%u", dir, i);
        int fd = open(path, O_CREAT | O_WRONLY, 0644);
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

static void one_that_is_still_linked_into_goes_too(void **state) {
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        linking = true;
        make_shards("half");
        assert_int_equal(pthread_create(&thread, NULL, link_on, NULL), 0);
        usleep(2000);
        if (snapshot_drop(dir, "half", error, sizeof(error)) != 0)
            fail_msg("%s", error);
        assert_false(there(in_dir("snapshots/half.partial")));
        assert_false(there(in_dir("snapshots/half.gone.partial")));
        linking = false;
        pthread_join(thread, NULL);
    }
}

/* ---- restore ---- */

static int restore_to(const char *name) {
    struct restored restored = {0};
    char snapshot[512];
    snprintf(snapshot, sizeof(snapshot), "%s", in_dir("snapshots/one"));
    int result = restore(snapshot, in_dir("%s", name), &restored, error, sizeof(error));
    if (result == 0) {
        assert_int_equal(restored.shards, 2);
        assert_int_equal(restored.keys, 12);
    }
    return result;
}

static void expect_restored(const char *name) {
    struct stat here, from;
    expect_text(in_dir("%s/shard-0000/log/a.base", name), "base");
    expect_text(in_dir("%s/shard-0000/log/a 1", name), "in");
    expect_text(in_dir("%s/shard-0001/log/b.incr", name), "inc");
    assert_true(there(in_dir("%s/pool.json", name)));
    assert_false(there(in_dir("%s/" RESTORE_MARK, name)));
    /* A copy: a pool appends to its files. */
    assert_int_equal(stat(in_dir("%s/shard-0001/log/b.incr", name), &here), 0);
    assert_int_equal(stat(in_dir("snapshots/one/shard-0001/log/b.incr"), &from), 0);
    assert_true(here.st_ino != from.st_ino);
}

static void a_snapshot_is_restored(void **state) {
    take_at("one", 1, 0);
    assert_int_equal(restore_to("new"), 0);
    expect_restored("new");
    assert_int_equal(restore_to("new"), -1);
    assert_non_null(strstr(error, "holds a pool already"));
}

/* By root, for a pool that runs as somebody else. */
static void what_is_restored_belongs_to_the_pools_user(void **state) {
    enum { SOMEBODY = 12345 };
    struct stat st;
    take_at("one", 1, 0);
    if (geteuid() != 0) {
        print_message("skipped, only root gives files away\n");
        skip();
    }
    assert_int_equal(chown(in_dir("snapshots/one"), SOMEBODY, SOMEBODY), 0);
    assert_int_equal(restore_to("new"), 0);
    static const char *const made[] = {"new", "new/shard-0001", "new/shard-0001/log",
                                       "new/shard-0001/log/b.incr"};
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        assert_int_equal(stat(in_dir("%s", made[i]), &st), 0);
        assert_int_equal(st.st_uid, SOMEBODY);
        assert_int_equal(st.st_gid, SOMEBODY);
    }
}

static void a_killed_restore_is_run_again(void **state) {
    take_at("one", 1, 0);
    assert_int_equal(mkdir(in_dir("new"), 0755), 0);
    assert_int_equal(mkdir(in_dir("new/shard-0000"), 0755), 0);
    assert_int_equal(restore_to("new"), -1);
    assert_non_null(strstr(error, "no restore has made"));
    write_text(in_dir("new/" RESTORE_MARK), "x");
    /* No pool starts there meanwhile, whatever is there or not. */
    static struct pool_file pool;
    assert_int_equal(pool_file_open(in_dir("new"), 2, &pool, error, sizeof(error)), -1);
    assert_int_equal(rmdir(in_dir("new/shard-0000")), 0);
    assert_int_equal(pool_file_open(in_dir("new"), 2, &pool, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "is of a restore that was cut off: run it again"));
    assert_int_equal(mkdir(in_dir("new/shard-0000"), 0755), 0);
    write_text(in_dir("new/shard-0000/rest"), "x");
    assert_int_equal(restore_to("new"), 0);
    assert_false(there(in_dir("new/shard-0000/rest")));
    expect_restored("new");
}

static void a_damaged_snapshot_is_refused(void **state) {
    take_at("one", 1, 0);
    write_text(in_dir("snapshots/one/shard-0001/log/b.incr"), "in");
    assert_int_equal(restore_to("new"), -1);
    assert_non_null(strstr(error, "2 bytes instead of 3"));
    assert_false(there(in_dir("new")));
    assert_int_equal(unlink(in_dir("snapshots/one/shard-0001/log/b.incr")), 0);
    assert_int_equal(restore_to("new"), -1);
    assert_non_null(strstr(error, "cannot find"));
    assert_int_equal(symlink("/etc/passwd", in_dir("snapshots/one/shard-0001/log/b.incr")), 0);
    assert_int_equal(restore_to("new"), -1);
    write_text(in_dir("snapshots/one/pool.json"), "{}");
    assert_int_equal(restore_to("new"), -1);
    assert_non_null(strstr(error, "pool.json"));
    write_text(in_dir("snapshots/one/snapshot.json"), "{");
    assert_int_equal(restore_to("new"), -1);
    assert_non_null(strstr(error, "snapshot.json is not usable"));
    assert_false(there(in_dir("new")));
}

int main(void) {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(names_are_judged),
        T(paths_lead_nowhere_else),
        T(the_file_is_read_as_written),
        T(nonsense_is_refused),
        T(a_snapshot_is_made),
        T(the_oldest_go),
        T(what_is_partial_goes),
        T(one_that_is_still_linked_into_goes_too),
        T(a_snapshot_is_restored),
        T(what_is_restored_belongs_to_the_pools_user),
        T(a_killed_restore_is_run_again),
        T(a_damaged_snapshot_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
