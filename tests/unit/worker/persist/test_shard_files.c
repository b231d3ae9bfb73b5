/* test_shard_files.c - which files of a folder count, read without changing them; and their repair. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "worker/persist/shard_files.h"
#include "worker/persist/shard_repair.h"

static struct shard_files files;
static const char *const MANIFEST = "file appendonly.aof.1.base.rdb seq 1 type b\n"
                                    "file appendonly.aof.1.incr.aof seq 1 type i\n"
                                    "file appendonly.aof.2.incr.aof seq 2 type i\n";

static int find(struct shard *s) {
    shard_files_free(&files);
    s->error[0] = '\0';
    return shard_files_find(&files, s->dir, s->config, s->error, sizeof s->error);
}

static void write_text(struct shard *s, const char *name, const char *text) {
    shard_write_file(s, name, bytes_of_text(text));
}

static void make_folder(struct shard *s, const char *name) {
    char path[512];
    shard_path(s, name, path);
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_log(struct shard *s) {
    make_folder(s, "appendonlydir");
    write_text(s, "appendonlydir/appendonly.aof.manifest", MANIFEST);
    shard_copy_fixture(s, "redis-7.0.rdb", "appendonlydir/appendonly.aof.1.base.rdb");
    write_text(s, "appendonlydir/appendonly.aof.1.incr.aof",
               "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n");
    write_text(s, "appendonlydir/appendonly.aof.2.incr.aof", "");
}

/* A snapshot, then a single log beside it, then a log with a manifest: the last counts. */
static void the_newest_kind_counts(void **state) {
    struct shard *s = shard_create();
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_NOTHING);
    assert_int_equal(files.count, 0);
    shard_copy_fixture(s, "redis-7.0.rdb", "dump.rdb");
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_SNAPSHOT);
    assert_false(files.files[0].log);
    write_text(s, "appendonly.aof", "");
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_SINGLE_LOG);
    assert_true(files.files[0].may_be_cut);
    make_log(s);
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_LOG);
    assert_int_equal(files.count, 3);
    assert_false(files.files[0].may_be_cut);
    assert_true(files.files[1].may_be_cut); /* nothing follows it */
    assert_true(files.files[2].may_be_cut);
    write_text(s, "appendonlydir/appendonly.aof.2.incr.aof", "*1\r\n$4\r\nPING\r\n");
    assert_int_equal(find(s), 0);
    assert_false(files.files[1].may_be_cut);
    assert_true(files.bytes > 1000);
    shard_files_free(&files);
    shard_free(&s);
}

/* A log that was switched off counts while the snapshot is the one there was then. */
static void a_log_that_was_switched_off(void **state) {
    struct shard *s = shard_create();
    char command[256];
    make_log(s);
    write_text(s, "appendonlydir/snapshot", "none\n");
    snprintf(command, sizeof command, "mv %s/appendonlydir %s/appendonlydir.retired", s->dir,
             s->dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_LOG);
    shard_copy_fixture(s, "redis-7.0.rdb", "dump.rdb");
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_SNAPSHOT);
    shard_files_free(&files);
    shard_free(&s);
}

static void what_cannot_be_a_shard_is_refused(void **state) {
    static const struct {
        const char *file, *text, *words;
    } rows[] = {
        {"appendonlydir/appendonly.aof.manifest", "file x seq 0 type b\n", "manifest line 1"},
        {"appendonlydir/appendonly.aof.manifest", "file appendonly.aof.9.base.rdb seq 9 type b\n",
         "the manifest names it, but it does not exist"},
        {"appendonlydir/appendonly.aof.manifest", NULL, "no manifest that says how to read it"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct shard *s = shard_create();
        char path[512];
        make_log(s);
        shard_path(s, rows[i].file, path);
        if (rows[i].text != NULL)
            write_text(s, rows[i].file, rows[i].text);
        else
            assert_int_equal(remove(path), 0);
        assert_int_equal(find(s), -1);
        if (strstr(s->error, rows[i].words) == NULL)
            fail_msg("'%s' is not in: %s", rows[i].words, s->error);
        assert_non_null(strstr(s->error, s->dir));
        shard_free(&s);
    }
}

/* The base of a first start that was cut off is no log that was lost. */
static void a_first_start_that_was_cut_off(void **state) {
    struct shard *s = shard_create();
    make_folder(s, "appendonlydir");
    shard_copy_fixture(s, "redis-7.0.rdb", "appendonlydir/appendonly.aof.1.base.rdb");
    write_text(s, "appendonlydir/appendonly.aof.1.incr.aof", "");
    shard_copy_fixture(s, "redis-7.0.rdb", "dump.rdb");
    assert_int_equal(find(s), 0);
    assert_int_equal(files.source, SHARD_SNAPSHOT);
    shard_files_free(&files);
    shard_free(&s);
}

/* ---- reading ---- */
static int count_command(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                         size_t error_bytes) {
    (*(unsigned *)arg)++;
    return 0;
}

static int read_one(struct shard *s, const char *name, struct shard_file_found *found) {
    char path[512];
    unsigned commands = 0;
    struct keyspace *ks = keyspace_create(16, NULL, NULL);
    struct shard_reader reader = {
        .config = s->config, .ks = ks, .apply = count_command, .arg = &commands};
    shard_path(s, name, path);
    shard_files_free(&files);
    int result = shard_files_single(&files, path, s->error, sizeof s->error);
    if (result == 0)
        result = shard_file_read(&files.files[0], &reader, found, s->error, sizeof s->error);
    keyspace_free(&ks);
    return result;
}

static void single_files_are_told_apart(void **state) {
    struct shard *s = shard_create();
    struct shard_file_found found;
    shard_copy_fixture(s, "redis-7.0.rdb", "some.rdb");
    assert_int_equal(read_one(s, "some.rdb", &found), 0);
    assert_int_equal(files.source, SHARD_SNAPSHOT);
    assert_int_equal(found.rdb_version, 10);
    assert_true(found.rdb_checksum);
    assert_int_equal(found.keys, 16);
    assert_int_equal(found.expired, 1);
    shard_copy_fixture(s, "redis-6-single.aof", "some.aof");
    assert_int_equal(read_one(s, "some.aof", &found), 0);
    assert_int_equal(files.source, SHARD_SINGLE_LOG);
    assert_int_equal(found.keys, 1);
    assert_int_equal(found.commands, 2);
    shard_copy_fixture(s, "redis-6-single.aof", "log-by-another-name");
    assert_int_equal(read_one(s, "log-by-another-name", &found), -1);
    assert_non_null(strstr(s->error, "must be called *.aof"));
    write_text(s, "plain", "*1\r\n$4\r\nPING\r\n");
    assert_int_equal(read_one(s, "plain", &found), 0);
    assert_int_equal(found.commands, 1);
    assert_int_equal(found.rdb_version, 0);
    assert_int_equal(read_one(s, "absent", &found), -1);
    assert_non_null(strstr(s->error, "does not exist"));
    make_folder(s, "folder");
    assert_int_equal(read_one(s, "folder", &found), -1);
    assert_non_null(strstr(s->error, "no plain file"));
    shard_files_free(&files);
    shard_free(&s);
}

/* ---- repair ---- */
static void a_cut_tail_is_kept(void **state) {
    struct shard *s = shard_create();
    struct shard_file_found found;
    char kept[512];
    write_text(s, "log.aof", "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI");
    assert_int_equal(read_one(s, "log.aof", &found), 0);
    assert_int_equal(found.end, 14);
    assert_int_equal(found.cut_bytes, 10);
    assert_int_equal(shard_repair_tail(s->dir, &files.files[0], &found, kept, sizeof kept, s->error,
                                       sizeof s->error),
                     0);
    assert_string_equal(kept, "quarantine/log.aof.at-14");
    struct buf tail = shard_read_file(s, kept), log = shard_read_file(s, "log.aof");
    assert_int_equal(tail.len, 10);
    assert_memory_equal(tail.data, "*1\r\n$4\r\nPI", 10);
    assert_int_equal(log.len, 14);
    buf_free(&tail);
    buf_free(&log);
    assert_int_equal(read_one(s, "log.aof", &found), 0);
    assert_int_equal(found.cut_bytes, 0);
    shard_files_free(&files);
    shard_free(&s);
}

static void history_goes(void **state) {
    struct shard *s = shard_create();
    char dir[512];
    make_log(s);
    write_text(s, "appendonlydir/appendonly.aof.0.incr.aof", "old");
    write_text(s, "appendonlydir/appendonly.aof.manifest",
               "file appendonly.aof.1.base.rdb seq 1 type b\n"
               "file appendonly.aof.0.incr.aof seq 7 type h\n"
               "file appendonly.aof.1.incr.aof seq 1 type i\n"
               "file appendonly.aof.2.incr.aof seq 2 type i\n");
    shard_path(s, "appendonlydir", dir);
    assert_int_equal(
        shard_repair_history(dir, "appendonly.aof.manifest", s->error, sizeof s->error), 0);
    assert_false(shard_file_exists(s, "appendonlydir/appendonly.aof.0.incr.aof"));
    struct buf manifest = shard_read_file(s, "appendonlydir/appendonly.aof.manifest");
    assert_true(manifest.len > strlen(MANIFEST)); /* its checksum follows */
    assert_memory_equal(manifest.data, MANIFEST, strlen(MANIFEST));
    buf_free(&manifest);
    shard_free(&s);
}

static void what_was_not_finished_goes(void **state) {
    struct shard *s = shard_create();
    char path[512];
    make_folder(s, "temp-folder");
    write_text(s, "temp-folder/file", "x");
    write_text(s, "temp-file", "x");
    shard_path(s, "temp-folder", path);
    assert_int_equal(shard_repair_temp(path, s->error, sizeof s->error), 0);
    assert_false(shard_file_exists(s, "temp-folder"));
    shard_path(s, "temp-file", path);
    assert_int_equal(shard_repair_temp(path, s->error, sizeof s->error), 0);
    assert_false(shard_file_exists(s, "temp-file"));
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_kind_counts),
        cmocka_unit_test(a_log_that_was_switched_off),
        cmocka_unit_test(what_cannot_be_a_shard_is_refused),
        cmocka_unit_test(a_first_start_that_was_cut_off),
        cmocka_unit_test(single_files_are_told_apart),
        cmocka_unit_test(a_cut_tail_is_kept),
        cmocka_unit_test(history_goes),
        cmocka_unit_test(what_was_not_finished_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
