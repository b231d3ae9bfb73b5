/* test_persist.c - the whole object on real files: start, log, rewrite, snapshots, stop, restart. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MANIFEST "appendonlydir/appendonly.aof.manifest"

static struct shard *create_logged(const char *appendfsync) {
    struct shard *s = shard_create();
    shard_configure(s, "appendonly", "yes");
    shard_configure(s, "appendfsync", appendfsync);
    return s;
}
static void must_open(struct shard *s) {
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
}
static struct shard *open_logged(const char *appendfsync) {
    struct shard *s = create_logged(appendfsync);
    must_open(s);
    return s;
}

/* Close as a kill leaves it, open again, compare. */
static void crash_and_compare(struct shard *s) {
    char *before = shard_digest(s->ks);
    shard_crash(s);
    must_open(s);
    shard_expect_digest(s, before);
    free(before);
}

/* A manifest's last line, its checksum, is looked at elsewhere. */
static void expect_file(struct shard *s, const char *name, const char *want) {
    struct buf file = shard_read_file(s, name);
    assert_true(file.len >= strlen(want));
    if (file.len > strlen(want))
        assert_memory_equal(file.data + strlen(want), "#crc64 ", 7);
    assert_memory_equal(file.data, want, strlen(want));
    buf_free(&file);
}

/* ---- the log ---- */
static void written_commands_survive(void **state) {
    struct shard *s = open_logged("everysec");
    expect_file(s, MANIFEST,
                "file appendonly.aof.1.base.rdb seq 1 type b\n"
                "file appendonly.aof.1.incr.aof seq 1 type i\n");
    shard_run(s, "SET a 1");
    shard_run(s, "INCR a");
    shard_turn(s);
    shard_run(s, "SELECT 7");
    shard_run(s, "HSET h f v");
    shard_run(s, "SET e x PX 100000000");
    shard_turn(s);
    crash_and_compare(s);
    shard_expect(s, "INCR a", ":3\r\n");
    shard_turn(s);
    crash_and_compare(s);
    /* What was not written by a turn is lost with the process. */
    shard_run(s, "SET lost 1");
    shard_crash(s);
    must_open(s);
    shard_expect(s, "EXISTS lost", ":0\r\n");
    shard_free(&s);
}

static void batches_end_in_checksums_over_restarts(void **state) {
    struct shard *s = open_logged("no");
    for (int i = 0; i < 3; i++) {
        shard_run(s, "INCR a");
        shard_turn(s);
        crash_and_compare(s);
    }
    struct buf file = shard_read_file(s, "appendonlydir/appendonly.aof.1.incr.aof");
    uint64_t crc;
    assert_true(file.len > AOF_CHECKSUM_BYTES);
    assert_true(aof_checksum_at(file.data + file.len - AOF_CHECKSUM_BYTES, &crc));
    /* One flipped bit anywhere in the first batch and the start is refused, by name and offset. */
    file.data[30] ^= 1;
    shard_write_file(s, "appendonlydir/appendonly.aof.1.incr.aof", buf_bytes(&file));
    shard_crash(s);
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "appendonly.aof.1.incr.aof: at byte "));
    buf_free(&file);
    shard_free(&s);
}

static void a_stop_leaves_everything_synced(void **state) {
    struct shard *s = open_logged("no");
    struct write_path path;
    shard_run(s, "SET a 1");
    assert_int_equal(persist_stop(s->persist, 0, s->error, sizeof s->error), 0);
    persist_write_path(s->persist, &path);
    assert_true(path.executed > 0);
    assert_int_equal(path.synced, path.executed);
    crash_and_compare(s);
    shard_free(&s);
}

/* ---- a real server and our log ---- */
static void redis_loads_our_log_and_we_load_its(void **state) {
    struct shard *s = open_logged("everysec");
    struct oracle o;
    for (int i = 0; i < 5; i++) {
        shard_run(s, "INCR counter");
        shard_run(s, "SELECT 3");
        shard_run(s, "HSET h f1 v1 f2 2");
        shard_run(s, "SELECT 0");
        shard_turn(s);
    }
    shard_close(s);
    int status = oracle_check("redis-check-aof", s, MANIFEST);
    assert_true(status == 0 || status == -1);
    if (oracle_start(&o, s, true)) {
        assert_string_equal(oracle_ask(&o, "GET counter"), "5");
        assert_string_equal(oracle_ask(&o, "-n 3 HGET h f2"), "2");
        assert_string_equal(oracle_ask(&o, "INCR counter"), "6");
        oracle_stop(&o);
        must_open(s);
        shard_expect(s, "INCR counter", ":7\r\n");
        shard_turn(s);
        crash_and_compare(s);
        shard_expect(s, "GET counter", "$1\r\n7\r\n");
        shard_crash(s);
        assert_int_equal(oracle_check("redis-check-aof", s, MANIFEST), 0);
    }
    shard_free(&s);
}

static void a_real_log_is_loaded(void **state) {
    static const char *const files[] = {"appendonly.aof.2.base.rdb", "appendonly.aof.2.incr.aof",
                                        "appendonly.aof.manifest"};
    struct shard *s = create_logged("everysec");
    char from[128], to[128], dir[512];
    shard_path(s, "appendonlydir", dir);
    assert_int_equal(mkdir(dir, 0755), 0);
    for (size_t i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "redis-7.0-aof/%s", files[i]);
        snprintf(to, sizeof to, "appendonlydir/%s", files[i]);
        shard_copy_fixture(s, from, to);
    }
    must_open(s);
    shard_expect(s, "GET base", "$1\r\n1\r\n");
    shard_expect(s, "GET in", "$11\r\ntransaction\r\n");
    shard_expect(s, "HGET small n64", "$20\r\n-9223372036854775808\r\n");
    shard_expect(s, "STRLEN lzf", ":2003\r\n");
    shard_expect(s, "SELECT 3", "+OK\r\n");
    shard_expect(s, "GET three", "$1\r\n3\r\n");
    shard_run(s, "SET more x");
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

/* ---- first starts ---- */
static void a_snapshot_becomes_the_first_base(void **state) {
    struct shard *s = create_logged("everysec");
    shard_copy_fixture(s, "redis-7.0.rdb", "dump.rdb");
    must_open(s);
    shard_expect(s, "GET words", "$19\r\nthe quick brown fox\r\n");
    char path[512];
    shard_path(s, "dump.rdb", path);
    assert_int_equal(unlink(path), 0);
    crash_and_compare(s);
    shard_free(&s);
}

static void a_single_file_becomes_the_base(void **state) {
    struct shard *s = create_logged("everysec");
    shard_copy_fixture(s, "redis-6-single.aof", "appendonly.aof");
    must_open(s);
    assert_false(shard_file_exists(s, "appendonly.aof"));
    expect_file(s, MANIFEST,
                "file appendonly.aof seq 1 type b\n"
                "file appendonly.aof.1.incr.aof seq 1 type i\n");
    shard_expect(s, "GET preamble", "$3\r\nyes\r\n");
    shard_expect(s, "SELECT 2", "+OK\r\n");
    shard_expect(s, "GET tail", "$3\r\nyes\r\n");
    shard_run(s, "SET more 1");
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

static void a_take_in_that_was_cut_off_is_repeated(void **state) {
    struct shard *s = create_logged("everysec");
    char dir[512], from[512], to[512];
    shard_copy_fixture(s, "redis-6-single.aof", "appendonly.aof");
    shard_path(s, "appendonlydir", dir);
    shard_path(s, "appendonly.aof", from);
    shard_path(s, "appendonlydir/appendonly.aof", to);
    assert_int_equal(mkdir(dir, 0755), 0);
    assert_int_equal(link(from, to), 0);
    must_open(s);
    shard_expect(s, "GET preamble", "$3\r\nyes\r\n");
    shard_crash(s);
    /* Two different files under that name: which one is the log is not ours to guess. */
    shard_path(s, MANIFEST, dir);
    assert_int_equal(unlink(dir), 0);
    shard_copy_fixture(s, "redis-6-single.aof", "appendonly.aof");
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "which is the log?"));
    shard_free(&s);
}

static void a_log_without_manifest_is_not_taken_for_none(void **state) {
    struct shard *s = open_logged("everysec");
    char path[512];
    shard_run(s, "SET a 1");
    shard_turn(s);
    shard_crash(s);
    shard_path(s, MANIFEST, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "appendonly.aof.1.incr.aof but no manifest"));
    /* As a first start leaves it that was cut off before its manifest. */
    shard_write_file(s, "appendonlydir/appendonly.aof.1.incr.aof", (struct bytes){0});
    must_open(s);
    assert_true(shard_file_exists(s, "quarantine/appendonly.aof.1.base.rdb.at-0"));
    expect_file(s, MANIFEST,
                "file appendonly.aof.1.base.rdb seq 1 type b\n"
                "file appendonly.aof.1.incr.aof seq 1 type i\n");
    shard_run(s, "SET a 2");
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

static void leftovers_are_removed(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    shard_turn(s);
    shard_crash(s);
    shard_write_file(s, "temp-bg-1.rdb", BYTES_LITERAL("x"));
    shard_write_file(s, "appendonlydir/temp-rewriteaof-1.rdb", BYTES_LITERAL("x"));
    shard_write_file(s, "appendonlydir/old.aof", BYTES_LITERAL("x"));
    shard_write_file(s, MANIFEST,
                     BYTES_LITERAL("file appendonly.aof.1.base.rdb seq 1 type b\n"
                                   "file old.aof seq 1 type h\n"
                                   "file appendonly.aof.1.incr.aof seq 1 type i\n"));
    must_open(s);
    shard_expect(s, "GET a", "$1\r\n1\r\n");
    assert_false(shard_file_exists(s, "temp-bg-1.rdb"));
    assert_false(shard_file_exists(s, "appendonlydir/temp-rewriteaof-1.rdb"));
    assert_false(shard_file_exists(s, "appendonlydir/old.aof"));
    expect_file(s, MANIFEST,
                "file appendonly.aof.1.base.rdb seq 1 type b\n"
                "file appendonly.aof.1.incr.aof seq 1 type i\n");
    shard_free(&s);
}

/* ---- damage ---- */
static void a_cut_tail_goes_to_quarantine(void **state) {
    struct shard *s = open_logged("everysec");
    static const char name[] = "appendonlydir/appendonly.aof.1.incr.aof";
    shard_run(s, "SET a 1");
    shard_turn(s);
    char *whole = shard_digest(s->ks);
    struct buf before = shard_read_file(s, name);
    shard_crash(s);
    struct buf cut = {0};
    buf_append_bytes(&cut, buf_bytes(&before));
    buf_append_text(&cut, "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$100\r\nhalf");
    shard_write_file(s, name, buf_bytes(&cut));

    shard_configure(s, "aof-load-truncated", "no");
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "aof-load-truncated is no"));
    struct buf untouched = shard_read_file(s, name);
    assert_int_equal(untouched.len, cut.len);
    assert_false(shard_file_exists(s, "quarantine"));

    shard_configure(s, "aof-load-truncated", "yes");
    must_open(s);
    shard_expect_digest(s, whole);
    struct buf after = shard_read_file(s, name);
    assert_int_equal(after.len, before.len);
    char kept[128];
    snprintf(kept, sizeof kept, "quarantine/appendonly.aof.1.incr.aof.at-%zu", before.len);
    expect_file(s, kept, "*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$100\r\nhalf");
    shard_run(s, "SET b 2");
    shard_turn(s);
    crash_and_compare(s);
    /* The same place again: the first tail is not overwritten. */
    shard_crash(s);
    shard_write_file(s, name, buf_bytes(&cut));
    must_open(s);
    strcat(kept, "-2");
    assert_true(shard_file_exists(s, kept));
    free(whole);
    buf_free(&before);
    buf_free(&cut);
    buf_free(&untouched);
    buf_free(&after);
    shard_free(&s);
}

static void every_named_file_must_be_whole(void **state) {
    struct shard *s = open_logged("everysec");
    char path[512];
    shard_run(s, "SET a 1");
    shard_turn(s);
    shard_crash(s);
    struct buf incr = shard_read_file(s, "appendonlydir/appendonly.aof.1.incr.aof");
    struct buf base = shard_read_file(s, "appendonlydir/appendonly.aof.1.base.rdb");
    /* A cut increment that is not the last one. */
    shard_write_file(s, MANIFEST,
                     BYTES_LITERAL("file appendonly.aof.1.base.rdb seq 1 type b\n"
                                   "file appendonly.aof.1.incr.aof seq 1 type i\n"
                                   "file appendonly.aof.2.incr.aof seq 2 type i\n"));
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "appendonly.aof.2.incr.aof: the manifest names it"));
    shard_write_file(s, "appendonlydir/appendonly.aof.2.incr.aof",
                     BYTES_LITERAL("*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"));
    shard_write_file(s, "appendonlydir/appendonly.aof.1.incr.aof", bytes_of(incr.data, 40));
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "1.incr.aof: at byte 23: the file is cut short"));
    /* Unless the later ones are empty. */
    shard_write_file(s, "appendonlydir/appendonly.aof.2.incr.aof", (struct bytes){0});
    must_open(s);
    shard_expect(s, "EXISTS a", ":0\r\n");
    shard_run(s, "SET a 5");
    shard_turn(s);
    crash_and_compare(s);
    shard_crash(s);
    /* A base without bytes. */
    shard_write_file(s, "appendonlydir/appendonly.aof.1.base.rdb", (struct bytes){0});
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "1.base.rdb: the base of the log is empty"));
    /* A cut base. */
    shard_write_file(s, "appendonlydir/appendonly.aof.1.base.rdb",
                     bytes_of(base.data, base.len - 1));
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "1.base.rdb: at byte "));
    shard_path(s, "appendonlydir/appendonly.aof.1.base.rdb", path);
    unlink(path);
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "does not exist"));
    shard_write_file(s, MANIFEST, BYTES_LITERAL("nonsense\n"));
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "appendonly.aof.manifest: manifest line 1: "));
    buf_free(&incr);
    buf_free(&base);
    shard_free(&s);
}

/* Whole batches that are missing at the end of an increment which is not the last. */
static void an_increment_knows_the_one_before(void **state) {
    struct shard *s = open_logged("everysec");
    static const char first[] = "appendonlydir/appendonly.aof.1.incr.aof";
    shard_run(s, "SET a 1");
    shard_turn(s);
    struct buf less = shard_read_file(s, first);
    shard_run(s, "INCR a");
    shard_turn(s);
    shard_run(s, "BGREWRITEAOF");
    kill(s->persist->child.pid, SIGKILL);
    shard_await(s, shard_no_child, "the child's end");
    shard_run(s, "INCR a");
    shard_turn(s);
    shard_crash(s);
    struct buf whole = shard_read_file(s, first);
    assert_true(less.len < whole.len);
    shard_write_file(s, first, buf_bytes(&less));
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "2.incr.aof: it does not follow the increment before it"));
    shard_write_file(s, first, buf_bytes(&whole));
    must_open(s);
    shard_expect(s, "GET a", "$1\r\n3\r\n");
    crash_and_compare(s);
    buf_free(&less);
    buf_free(&whole);
    shard_free(&s);
}

/* ---- rewrite ---- */
static void a_rewrite_keeps_everything_once(void **state) {
    struct shard *s = open_logged("everysec");
    for (int i = 0; i < 100; i++)
        shard_run(s, "INCR a");
    shard_run(s, "SELECT 4");
    shard_run(s, "INCR in4");
    shard_turn(s);
    shard_run(s, "INCR in4"); /* executed, not written when the fork comes */
    shard_expect(s, "BGREWRITEAOF", "+Background append only file rewriting started\r\n");
    shard_expect(s, "BGREWRITEAOF",
                 "-ERR Background append only file rewriting already in progress\r\n");
    shard_run(s, "INCR in4"); /* while the log is held between two files */
    shard_await(s, shard_no_child, "the rewrite's end");
    assert_true(s->persist->rewrite.last_ok);
    assert_int_equal(s->turns_given_back, 1);
    shard_run(s, "INCR in4");
    shard_turn(s);
    expect_file(s, MANIFEST,
                "file appendonly.aof.2.base.rdb seq 2 type b\n"
                "file appendonly.aof.2.incr.aof seq 2 type i\n");
    assert_false(shard_file_exists(s, "appendonlydir/appendonly.aof.1.base.rdb"));
    assert_false(shard_file_exists(s, "appendonlydir/appendonly.aof.1.incr.aof"));
    crash_and_compare(s);
    shard_run(s, "SELECT 4");
    shard_expect(s, "GET in4", "$1\r\n4\r\n");
    shard_run(s, "SELECT 0");
    shard_expect(s, "GET a", "$3\r\n100\r\n");
    shard_free(&s);
}

static void crashes_in_a_rewrite_lose_nothing(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    shard_turn(s);
    for (int turns = 0; turns < 6; turns++) {
        shard_run(s, "INCR a");
        shard_turn(s);
        shard_run(s, "BGREWRITEAOF");
        for (int i = 0; i < turns; i++) {
            shard_turn(s);
            usleep(500u << turns);
        }
        crash_and_compare(s);
    }
    shard_free(&s);
}

static void a_rewrite_that_fails_leaves_the_log_as_it_is(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    shard_turn(s);
    shard_stop_children(s);
    shard_run(s, "BGREWRITEAOF");
    kill(s->persist->child.pid, SIGKILL);
    shard_let_children_go(s);
    shard_run(s, "INCR a");
    shard_await(s, shard_no_child, "the child's end");
    assert_false(s->persist->rewrite.last_ok);
    assert_null(persist_write_refusal(s->persist));
    shard_run(s, "INCR a");
    shard_turn(s);
    crash_and_compare(s);
    shard_expect(s, "GET a", "$1\r\n3\r\n");
    shard_run(s, "BGREWRITEAOF");
    shard_await(s, shard_no_child, "the second rewrite");
    assert_true(s->persist->rewrite.last_ok);
    crash_and_compare(s);
    shard_free(&s);
}

static bool rewritten(struct shard *s) {
    return s->persist->rewrite.count == 1;
}
static void a_grown_log_is_rewritten_by_itself(void **state) {
    struct shard *s = open_logged("everysec");
    shard_configure(s, "auto-aof-rewrite-min-size", "1000");
    for (int i = 0; i < 100; i++)
        shard_run(s, "INCR a");
    shard_await(s, rewritten, "the automatic rewrite");
    assert_true(s->persist->aof.total_bytes < 1000);
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

static void without_a_log_there_is_no_rewrite(void **state) {
    struct shard *s = shard_create();
    must_open(s);
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_FAILED);
    assert_null(persist_aof(s->persist));
    assert_int_equal(persist_reply_gate(s->persist), 0);
    shard_free(&s);
}

/* ---- snapshots ---- */
static void bgsave_writes_what_was_there_at_the_fork(void **state) {
    struct shard *s = shard_create();
    must_open(s);
    shard_run(s, "SET a 1");
    char *at_fork = shard_digest(s->ks);
    persist_note_write(s->persist, 0);
    shard_expect(s, "BGSAVE", "+Background saving started\r\n");
    shard_expect(s, "BGSAVE", "-ERR Background save already in progress\r\n");
    shard_expect(s, "SAVE", "-ERR Background save already in progress\r\n");
    shard_run(s, "SET b 2");
    shard_await(s, shard_no_child, "the snapshot's end");
    assert_true(s->persist->snapshots.last_ok);
    assert_int_equal(persist_dirty(s->persist), 1);
    assert_int_equal(s->persist->snapshots.count, 1);
    assert_int_equal(s->turns_given_back, 1);
    assert_true(s->persist->snapshots.last_cow_bytes > 0);
    shard_crash(s);
    must_open(s);
    shard_expect_digest(s, at_fork);
    free(at_fork);
    shard_free(&s);
}

static void a_failed_snapshot_closes_the_shard_for_writes(void **state) {
    struct shard *s = shard_create();
    shard_configure(s, "save", "3600 1000000");
    must_open(s);
    shard_run(s, "SET a 1");
    shard_stop_children(s);
    shard_run(s, "BGSAVE");
    kill(s->persist->child.pid, SIGKILL);
    shard_let_children_go(s);
    shard_await(s, shard_no_child, "the child's end");
    assert_memory_equal(persist_write_refusal(s->persist), "MISCONF Redis is configured to save",
                        35);
    assert_memory_equal(shard_run(s, "SET a 2"), "-MISCONF Redis is", 17);
    assert_string_equal(s->status->note, "the last snapshot failed: killed by signal 9");
    shard_configure(s, "stop-writes-on-bgsave-error", "no");
    assert_null(persist_write_refusal(s->persist));
    shard_configure(s, "stop-writes-on-bgsave-error", "yes");
    shard_expect(s, "SAVE", "+OK\r\n");
    assert_null(persist_write_refusal(s->persist));
    assert_string_equal(s->status->note, "");
    shard_free(&s);
}

static void a_child_that_cannot_write_says_why(void **state) {
    struct shard *s = shard_create();
    must_open(s);
    shard_run(s, "SET a 1");
    /* A folder in the snapshot's place: the rename fails. */
    char path[512];
    shard_path(s, "dump.rdb", path);
    assert_int_equal(mkdir(path, 0755), 0);
    shard_run(s, "BGSAVE");
    shard_await(s, shard_no_child, "the child's end");
    assert_false(s->persist->snapshots.last_ok);
    assert_non_null(strstr(s->persist->child.error, "rename"));
    shard_free(&s);
}

static bool saved_once(struct shard *s) {
    return s->persist->snapshots.count == 1 && shard_no_child(s);
}
static void save_points_are_kept(void **state) {
    struct shard *s = shard_create();
    shard_configure(s, "save", "60 3");
    must_open(s);
    s->persist->snapshots.last_good_s -= 61;
    shard_run(s, "SET a 1");
    shard_run(s, "SET a 2");
    persist_cron(s->persist);
    assert_true(shard_no_child(s));
    shard_run(s, "SET a 3");
    shard_await(s, saved_once, "the save point");
    assert_int_equal(persist_dirty(s->persist), 0);
    /* A stop saves too, if there are save points. */
    shard_run(s, "SET a 4");
    shard_close(s);
    must_open(s);
    shard_expect(s, "GET a", "$1\r\n4\r\n");
    shard_free(&s);
}

static void turns_are_awaited_and_given_back(void **state) {
    struct shard *s = open_logged("everysec");
    s->withhold_turns = true;
    shard_expect(s, "BGSAVE", "+Background saving started\r\n");
    uint64_t wish = s->wish;
    assert_false(snapshot_child_alive(&s->persist->child));
    assert_int_equal(persist_bgsave(s->persist, false), BGSAVE_BUSY);
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_SCHEDULED);
    persist_fork_granted(s->persist, wish + 1); /* of somebody else's time */
    assert_false(snapshot_child_alive(&s->persist->child));
    persist_fork_granted(s->persist, wish);
    assert_true(snapshot_child_alive(&s->persist->child));
    s->withhold_turns = false;
    shard_await(s, rewritten, "the scheduled rewrite");
    assert_int_equal(s->turns_given_back, 2);
    s->withhold_turns = true;
    assert_int_equal(persist_bgrewriteaof(s->persist), REWRITE_STARTED);
    assert_int_equal(persist_bgsave(s->persist, false), BGSAVE_BUSY_REWRITE);
    assert_int_equal(persist_bgsave(s->persist, true), BGSAVE_SCHEDULED);
    shard_close(s); /* withdraws the wish */
    assert_int_equal(s->turns_given_back, 3);
    shard_free(&s);
}

static void a_wish_says_how_urgent_it_is(void **state) {
    struct shard *s = open_logged("everysec");
    shard_configure(s, "save", "60 1");
    s->withhold_turns = true;
    s->persist->snapshots.last_good_s -= 61;
    persist_note_write(s->persist, 1);
    persist_cron(s->persist);
    assert_int_equal(s->urgency, FORK_BY_ITSELF);
    /* Writes are refused until the log is afresh: the snapshot lets it go first, and comes after. */
    aof_set_trouble(&s->persist->aof, AOF_SYNC_FAILED, EIO);
    persist_cron(s->persist);
    assert_int_equal(s->turns_given_back, 1);
    assert_int_equal(s->urgency, FORK_RESCUE);
    s->withhold_turns = false;
    persist_fork_granted(s->persist, s->wish);
    shard_await(s, saved_once, "the snapshot behind it");
    assert_int_equal(s->persist->rewrite.count, 1);
    s->withhold_turns = true;
    shard_run(s, "BGSAVE");
    assert_int_equal(s->urgency, FORK_ASKED);
    shard_free(&s);
}

static enum snapshot_end diskless_end;
static void note_diskless_end(void *arg, enum snapshot_end how) {
    diskless_end = how;
}

/* A snapshot for replicas is only as fast as they are. */
static void a_log_afresh_does_not_wait_for_replicas(void **state) {
    struct shard *s = open_logged("everysec");
    s->persist->hooks.diskless_ended = note_diskless_end;
    diskless_end = SNAPSHOT_GOOD;
    shard_stop_children(s);
    persist_diskless(s->persist);
    shard_await_stopped_child(s);
    assert_int_equal(s->persist->turn.running, FORK_DISKLESS);
    aof_set_trouble(&s->persist->aof, AOF_SYNC_FAILED, EIO);
    persist_cron(s->persist);
    assert_int_equal(diskless_end, SNAPSHOT_ABORTED);
    assert_int_equal(s->urgency, FORK_RESCUE);
    shard_let_children_go(s);
    shard_free(&s);
}

static bool heard_of_keys(struct shard *s) {
    return s->persist->child.keys > 0;
}
static void progress_is_shown_while_it_runs(void **state) {
    struct shard *s = shard_create();
    must_open(s);
    s->withhold_turns = true;
    for (int i = 0; i < 200; i++) {
        char command[64];
        snprintf(command, sizeof command, "SETRANGE k%d 1000000 x", i);
        shard_run(s, command);
    }
    shard_run(s, "BGSAVE");
    persist_refresh_status(s->persist);
    assert_int_equal(status_get(s->status, METRIC_snapshot_in_progress), 1);
    assert_int_equal(status_get(s->status, METRIC_fork_wanted), 1);
    assert_int_equal(status_get(s->status, METRIC_save_kind), 0);
    persist_fork_granted(s->persist, s->wish);
    shard_await(s, heard_of_keys, "the child's word");
    kill(s->persist->child.pid, SIGSTOP);
    shard_run(s, "SET one more");
    persist_refresh_status(s->persist);
    assert_int_equal(status_get(s->status, METRIC_fork_wanted), 0);
    assert_int_equal(status_get(s->status, METRIC_save_kind), 1);
    assert_int_equal(status_get(s->status, METRIC_save_keys_expected), 200);
    assert_true(status_get(s->status, METRIC_save_keys_done) <= 200);
    assert_true(status_get(s->status, METRIC_save_bytes_done) > 0);
    assert_true(status_get(s->status, METRIC_save_bytes_per_second) > 0);
    kill(s->persist->child.pid, SIGCONT);
    shard_await(s, saved_once, "the snapshot");
    assert_int_equal(status_get(s->status, METRIC_save_kind), 0);
    assert_int_equal(status_get(s->status, METRIC_snapshot_in_progress), 0);
    shard_free(&s);
}

static void a_stop_ends_children(void **state) {
    struct shard *s = open_logged("always");
    shard_run(s, "SET a 1");
    shard_turn(s);
    shard_run(s, "BGREWRITEAOF");
    shard_run(s, "INCR a");
    shard_close(s);
    must_open(s);
    shard_expect(s, "GET a", "$1\r\n2\r\n");
    shard_run(s, "BGSAVE");
    shard_run(s, "INCR a");
    shard_close(s);
    must_open(s);
    shard_expect(s, "GET a", "$1\r\n3\r\n");
    shard_free(&s);
}

static void reload_gives_the_same(void **state) {
    struct shard *s = open_logged("everysec");
    shard_run(s, "SET a 1");
    shard_run(s, "HSET h f v");
    char *before = shard_digest(s->ks);
    assert_int_equal(persist_reload(s->persist, s->error, sizeof s->error), 0);
    shard_expect_digest(s, before);
    free(before);
    shard_run(s, "INCR a");
    shard_turn(s);
    crash_and_compare(s);
    shard_free(&s);
}

static void info_has_redis_fields(void **state) {
    struct shard *s = open_logged("everysec");
    persist_refresh_status(s->persist);
    const char *info = shard_run(s, "INFO persistence");
    static const char *const fields[] = {"rdb_changes_since_last_save:0\r\n",
                                         "rdb_bgsave_in_progress:0\r\n",
                                         "rdb_last_bgsave_status:ok\r\n",
                                         "rdb_last_bgsave_time_sec:-1\r\n",
                                         "aof_enabled:1\r\n",
                                         "aof_last_write_status:ok\r\n",
                                         "aof_buffer_length:0\r\n",
                                         "aof_delayed_fsync:0\r\n"};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (strstr(info, fields[i]) == NULL)
            fail_msg("no %s in:\n%s", fields[i], info);
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_commands_survive),
        cmocka_unit_test(batches_end_in_checksums_over_restarts),
        cmocka_unit_test(a_stop_leaves_everything_synced),
        cmocka_unit_test(redis_loads_our_log_and_we_load_its),
        cmocka_unit_test(a_real_log_is_loaded),
        cmocka_unit_test(a_snapshot_becomes_the_first_base),
        cmocka_unit_test(a_single_file_becomes_the_base),
        cmocka_unit_test(a_take_in_that_was_cut_off_is_repeated),
        cmocka_unit_test(a_log_without_manifest_is_not_taken_for_none),
        cmocka_unit_test(leftovers_are_removed),
        cmocka_unit_test(a_cut_tail_goes_to_quarantine),
        cmocka_unit_test(every_named_file_must_be_whole),
        cmocka_unit_test(an_increment_knows_the_one_before),
        cmocka_unit_test(a_rewrite_keeps_everything_once),
        cmocka_unit_test(crashes_in_a_rewrite_lose_nothing),
        cmocka_unit_test(a_rewrite_that_fails_leaves_the_log_as_it_is),
        cmocka_unit_test(a_grown_log_is_rewritten_by_itself),
        cmocka_unit_test(without_a_log_there_is_no_rewrite),
        cmocka_unit_test(bgsave_writes_what_was_there_at_the_fork),
        cmocka_unit_test(a_failed_snapshot_closes_the_shard_for_writes),
        cmocka_unit_test(a_child_that_cannot_write_says_why),
        cmocka_unit_test(save_points_are_kept),
        cmocka_unit_test(turns_are_awaited_and_given_back),
        cmocka_unit_test(a_wish_says_how_urgent_it_is),
        cmocka_unit_test(a_log_afresh_does_not_wait_for_replicas),
        cmocka_unit_test(progress_is_shown_while_it_runs),
        cmocka_unit_test(a_stop_ends_children),
        cmocka_unit_test(reload_gives_the_same),
        cmocka_unit_test(info_has_redis_fields),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
