/* test_rdb_file.c - whole snapshots: ours read back, a real server's read, ours read by a real server,
 * damage found. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "shared/base/crc.h"

static struct shard *open_shard(void) {
    struct shard *s = shard_create();
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    return s;
}

static void fill(struct shard *s) {
    char line[1024], text[700];
    shard_run(s, "SET empty \"\"");
    shard_run(s,
              "MSET int8 -128 int16 32767 int32 -2147483648 int64 9223372036854775807 zeros 007");
    shard_run(s, "SET binary \"\\x00\\xff\\r\\n$\"");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    snprintf(line, sizeof line, "SET long %s", text);
    shard_run(s, line);
    shard_run(s, "SET expires later PXAT 4102444800000");
    shard_run(s, "HSET small f v number 12 negative -1 big -9223372036854775808");
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "HSET large field%d %d", i, i * 7919);
        shard_run(s, line);
    }
    shard_run(s, "SELECT 5");
    shard_run(s, "SET five 5");
    shard_run(s, "HSET h f v");
    shard_run(s, "PEXPIREAT h 4102444800123");
    shard_run(s, "SELECT 0");
}

static void save_and_load_give_the_same(void **state) {
    struct shard *s = open_shard();
    fill(s);
    char *before = shard_digest(s->ks);
    shard_expect(s, "SAVE", "+OK\r\n");
    shard_crash(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect_digest(s, before);
    free(before);
    shard_free(&s);
}

static void access_times_survive(const char *policy, const char *ask, const char *want) {
    struct shard *s = shard_create();
    struct keyref ref;
    shard_configure(s, "maxmemory-policy", policy);
    assert_int_equal(shard_open(s), 0);
    shard_run(s, "SET k v");
    assert_true(keyspace_find(s->ks, 0, BYTES_LITERAL("k"), KEY_PEEK, &ref));
    keyspace_set_access(&ref, 5000000, 77);
    shard_expect(s, ask, want);
    shard_run(s, "SAVE");
    shard_crash(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect(s, ask, want);
    shard_free(&s);
}
static void idle_times_survive(void **state) {
    access_times_survive("allkeys-lru", "OBJECT IDLETIME k", ":5000\r\n");
}
static void frequencies_survive(void **state) {
    access_times_survive("allkeys-lfu", "OBJECT FREQ k", ":77\r\n");
}

static void expired_keys_are_dropped(void **state) {
    struct shard *s = open_shard();
    shard_run(s, "SET gone soon PX 1");
    shard_run(s, "SET stays here");
    shard_run(s, "SAVE");
    int64_t until = clock_wall_ms() + 2;
    while (clock_wall_ms() < until)
        continue;
    shard_crash(s);
    assert_int_equal(shard_open(s), 0);
    assert_int_equal(keyspace_count(s->ks, 0), 1);
    assert_int_equal(s->persist->snapshots.expired_on_load, 1);
    shard_free(&s);
}

static void checksum_may_be_off(void **state) {
    struct shard *s = shard_create();
    shard_configure(s, "rdbchecksum", "no");
    assert_int_equal(shard_open(s), 0);
    fill(s);
    char *before = shard_digest(s->ks);
    shard_run(s, "SAVE");
    struct buf file = shard_read_file(s, "dump.rdb");
    assert_memory_equal(file.data + file.len - 8, "\0\0\0\0\0\0\0\0", 8);
    buf_free(&file);
    shard_crash(s);
    assert_int_equal(shard_open(s), 0);
    shard_expect_digest(s, before);
    free(before);
    shard_free(&s);
}

/* ---- a real server's files ---- */
static void expect_real_content(struct shard *s) {
    shard_expect(s, "SELECT 0", "+OK\r\n");
    shard_expect(s, "GET empty", "$0\r\n\r\n");
    shard_expect(s, "MGET int8 int16 int32 int64 zeros",
                 "*5\r\n$4\r\n-128\r\n$5\r\n32767\r\n$11\r\n-2147483648\r\n$19\r\n"
                 "9223372036854775807\r\n$3\r\n007\r\n");
    shard_expect(s, "OBJECT ENCODING int64", "$3\r\nint\r\n");
    shard_expect(s, "GETRANGE binary 1 4", "$4\r\n\xff\r\n$\r\n");
    shard_expect(s, "STRLEN lzf", ":2003\r\n");
    shard_expect(s, "GETRANGE lzf 1998 -1", "$5\r\n\x00\x00");
    shard_expect(s, "STRLEN long", ":792\r\n");
    shard_expect(s, "GETRANGE long 298 303", "$6\r\nxx1234\r\n");
    shard_expect(s, "PEXPIRETIME expires", ":4102444800000\r\n");
    shard_expect(s, "EXISTS gone", ":0\r\n");
    shard_expect(s, "HMGET small n13 n24 n64 negative field",
                 "*5\r\n$5\r\n-4096\r\n$7\r\n8388607\r\n$20\r\n-9223372036854775808\r\n$2\r\n-1\r\n"
                 "$5\r\nvalue\r\n");
    shard_expect(s, "HGET text bb", "$0\r\n\r\n");
    shard_expect(s, "HLEN large", ":9\r\n");
    shard_expect(s, "HGET large f9", "$1\r\n9\r\n");
    shard_expect(s, "SELECT 5", "+OK\r\n");
    shard_expect(s, "GET five", "$1\r\n5\r\n");
    shard_expect(s, "PEXPIRETIME h", ":4102444800123\r\n");
    shard_expect(s, "SELECT 0", "+OK\r\n");
}

static void real_snapshots_are_loaded(void **state) {
    static const char *const files[] = {"redis-7.0.rdb", "redis-7.0-lru.rdb", "redis-7.0-lfu.rdb"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct shard *s = shard_create();
        shard_copy_fixture(s, files[i], "dump.rdb");
        if (shard_open(s) != 0)
            fail_msg("%s", s->error);
        expect_real_content(s);
        shard_free(&s);
    }
}

static void other_types_are_named(void **state) {
    struct shard *s = shard_create();
    shard_write_file(s, "dump.rdb", BYTES_LITERAL("REDIS0010\x07\x05thing\x00\xff"));
    assert_int_equal(shard_open(s), -1);
    assert_non_null(strstr(s->error, "dump.rdb: at byte "));
    assert_non_null(strstr(s->error, "values of type module value are not"));
    assert_non_null(strstr(s->error, "(key \"thing\")"));
    shard_free(&s);
}

static void our_snapshot_is_loaded_by_redis(void **state) {
    struct shard *s = open_shard();
    struct oracle o;
    fill(s);
    shard_run(s, "SAVE");
    int status = oracle_check("redis-check-rdb", s, "dump.rdb");
    assert_true(status == 0 || status == -1);
    if (oracle_start(&o, s, false)) {
        assert_string_equal(oracle_ask(&o, "DBSIZE"), "11");
        assert_string_equal(oracle_ask(&o, "MGET int8 int16 int32 int64 zeros"),
                            "-128\n32767\n-2147483648\n9223372036854775807\n007");
        assert_string_equal(oracle_ask(&o, "STRLEN long"), "699");
        assert_string_equal(oracle_ask(&o, "STRLEN binary"), "5");
        assert_string_equal(oracle_ask(&o, "PEXPIRETIME expires"), "4102444800000");
        assert_string_equal(oracle_ask(&o, "HLEN large"), "300");
        assert_string_equal(oracle_ask(&o, "HGET large field299"), "2367781");
        assert_string_equal(oracle_ask(&o, "HGET small big"), "-9223372036854775808");
        assert_string_equal(oracle_ask(&o, "OBJECT ENCODING small"), "listpack");
        assert_string_equal(oracle_ask(&o, "-n 5 PEXPIRETIME h"), "4102444800123");
        oracle_stop(&o);
    }
    shard_free(&s);
}

/* ---- damage ---- */
static int load_bytes(struct shard *s, struct bytes content) {
    shard_write_file(s, "dump.rdb", content);
    int result = shard_open(s);
    if (result == 0)
        shard_crash(s);
    return result;
}

static struct rdb_origin found;

static void expect_origin(const char *id, const char *offset, bool is_good) {
    struct shard *s = shard_create();
    char content[200], error[256];
    int len =
        snprintf(content, sizeof content, "REDIS0003\xfa%crepl-offset%c%s\xfa%crepl-id%c%s\xff", 11,
                 (int)strlen(offset), offset, 7, (int)strlen(id), id);
    shard_write_file(s, "dump.rdb", bytes_of(content, (size_t)len));
    char path[512];
    shard_path(s, "dump.rdb", path);
    int fd = open(path, O_RDONLY);
    struct rdb_loaded loaded;
    struct rdb_load_job job = {.ks = NULL, .config = s->config};
    assert_int_equal(rdb_load_fd(fd, (uint64_t)len, &job, &loaded, error, sizeof error), 0);
    close(fd);
    found = loaded.origin;
    assert_string_equal(found.id, is_good ? id : "");
    shard_free(&s);
}

static void a_place_that_makes_no_sense_is_none(void **state) {
    static const char id[] = "0123456789abcdef0123456789abcdef01234567";
    expect_origin(id, "17", true);
    assert_int_equal(found.offset, 17);
    expect_origin(id, "4611686018427387903", true);
    expect_origin(id, "4611686018427387904", false);
    expect_origin(id, "18446744073709551615", false);
    expect_origin("0123", "17", false);
    expect_origin("0123456789abcdef0123456789abcdef0123\r\n67", "17", false);
}

/* Replicas that go on in the stream have the key: it has to be deleted for them. */
static void a_stream_keeps_expired_keys(void **state) {
    static const char place[] = "\xfa\x07repl-id\x28"
                                "0123456789abcdef0123456789abcdef01234567"
                                "\xfa\x0brepl-offset\x01"
                                "7";
    static const char key[] = "\xfc\x01\0\0\0\0\0\0\0\0\x04gone\x04soon\xff\0\0\0\0\0\0\0\0";
    for (unsigned with_place = 0; with_place < 2; with_place++) {
        struct shard *s = shard_create();
        struct buf file = {0};
        buf_append_text(&file, "REDIS0010");
        buf_append(&file, place, with_place ? sizeof place - 1 : 0);
        buf_append(&file, key, sizeof key - 1);
        shard_write_file(s, "dump.rdb", buf_bytes(&file));
        assert_int_equal(shard_open(s), 0);
        assert_int_equal(keyspace_count(s->ks, 0), with_place);
        assert_int_equal(s->persist->snapshots.expired_on_load, !with_place);
        buf_free(&file);
        shard_free(&s);
    }
}

/* With the bytes of a value that a flipped length has let out. */
static void an_end_before_the_end_is_found(void **state) {
    static const char text[] = "REDIS0010\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0"
                               "\x00\x01l\x01v\xff\0\0\0\0\0\0\0\0";
    struct shard *s = shard_create();
    assert_int_equal(load_bytes(s, bytes_of(text, sizeof text - 1)), -1);
    assert_non_null(strstr(s->error, "bytes behind its end"));
    assert_int_equal(load_bytes(s, bytes_of(text, 23)), 0);
    shard_free(&s);
}

static struct buf small_snapshot(struct shard *s) {
    assert_int_equal(shard_open(s), 0);
    shard_run(s, "SET key value PXAT 4102444800000");
    shard_run(s, "SET number 12345");
    shard_run(s, "SET lzf aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    shard_run(s, "HSET hash f v g 1");
    shard_run(s, "RPUSH list a b 3");
    shard_run(s, "SADD set a b");
    shard_run(s, "SADD integers 1 70000");
    shard_run(s, "ZADD zset 1.5 a -inf b");
    shard_run(s, "XADD stream 1-1 f v");
    shard_run(s, "XGROUP CREATE stream group 0");
    shard_run(s, "SAVE");
    shard_crash(s);
    return shard_read_file(s, "dump.rdb");
}

static void every_truncation_is_refused(void **state) {
    struct shard *s = shard_create();
    struct buf file = small_snapshot(s);
    assert_int_equal(load_bytes(s, buf_bytes(&file)), 0);
    for (size_t len = 0; len < file.len; len++)
        if (load_bytes(s, bytes_of(file.data, len)) == 0)
            fail_msg("%zu of %zu bytes were taken for a snapshot", len, file.len);
    buf_free(&file);
    shard_free(&s);
}

static void every_flipped_bit_is_found(void **state) {
    struct shard *s = shard_create();
    struct buf file = small_snapshot(s);
    for (size_t bit = 0; bit < file.len * 8; bit++) {
        file.data[bit / 8] ^= (char)(1 << bit % 8);
        if (load_bytes(s, buf_bytes(&file)) == 0)
            fail_msg("bit %zu of byte %zu is different and nobody saw", bit % 8, bit / 8);
        file.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    buf_free(&file);
    shard_free(&s);
}

/* ---- what versions and modules put in between ---- */
static int load_crafted(const char *body, size_t len, struct shard *s) {
    struct buf file = {0};
    buf_append(&file, body, len);
    uint64_t crc = crc64(0, file.data, file.len);
    buf_append(&file, &crc, 8);
    shard_write_file(s, "dump.rdb", buf_bytes(&file));
    buf_free(&file);
    return shard_open(s);
}
#define LOAD_CRAFTED(body, s) load_crafted(body, sizeof(body) - 1, s)

static void module_data_and_newer_opcodes_are_passed_over(void **state) {
    struct shard *s = shard_create();
    int result = LOAD_CRAFTED("REDIS0012"
                              "\xfa\x03"
                              "abc"
                              "\xc0\x01"
                              "\xf7\x81\x01\x02\x03\x04\x05\x06\x07\x08" /* module aux */
                              "\x02\x02"
                              "\x01\x05"
                              "\x03"
                              "1234"
                              "\x04"
                              "12345678"
                              "\x05\x02hi"
                              "\x00"
                              "\xfe\x00\xf4\x01\x02\x03\xfb\x80\xff\xff\xff\xff\x00"
                              "\xfd\x00\x00\x00\x70\x00\x01k\x01v"
                              "\xff",
                              s);
    if (result != 0)
        fail_msg("%s", s->error);
    shard_expect(s, "GET k", "$1\r\nv\r\n");
    shard_expect(s, "EXPIRETIME k", ":1879048192\r\n");
    shard_free(&s);
}

static void nonsense_is_refused_with_its_place(void **state) {
    struct shard *s = shard_create();
    assert_int_equal(LOAD_CRAFTED("REDIS0013\xff", s), -1);
    assert_non_null(strstr(s->error, "RDB version 13 cannot be read"));
    assert_int_equal(LOAD_CRAFTED("REDIX0010\xff", s), -1);
    assert_non_null(strstr(s->error, "no RDB file"));
    assert_int_equal(LOAD_CRAFTED("REDIS0010\xfe\x10\xff", s), -1);
    assert_non_null(strstr(s->error, "database 16 is beyond the 16 configured"));
    assert_int_equal(LOAD_CRAFTED("REDIS0010\x00\x01k\x01v\x00\x01k\x01w\xff", s), -1);
    assert_non_null(strstr(s->error, "stands there twice (key \"k\")"));
    assert_int_equal(LOAD_CRAFTED("REDIS0010\x63\x01k\x01v\xff", s), -1);
    assert_non_null(strstr(s->error, "at byte 10: 0x63 is neither"));
    shard_free(&s);
}

static void a_file_of_redis_1_has_no_checksum(void **state) {
    struct shard *s = shard_create();
    shard_write_file(s, "dump.rdb", BYTES_LITERAL("REDIS0001\xfe\x00\x00\x01k\x01v\xff"));
    assert_int_equal(shard_open(s), 0);
    shard_expect(s, "GET k", "$1\r\nv\r\n");
    shard_free(&s);
}

/* ---- failing disks ---- */
static void a_full_disk_leaves_the_old_snapshot(void **state) {
    struct shard *s = open_shard();
    char error[256], path[512], link[600];
    shard_run(s, "SET k v");
    shard_run(s, "SAVE");
    struct buf before = shard_read_file(s, "dump.rdb");
    int fd = open("/dev/full", O_WRONLY);
    struct rdb_save_job job = {.ks = s->ks, .config = s->config};
    struct rdb_saved saved;
    assert_int_equal(rdb_save_fd(fd, &job, &saved, error, sizeof error), -1);
    assert_non_null(strstr(error, "No space left on device"));
    close(fd);
    /* The folder gone: SAVE fails with a text, and the snapshot counts as failed. */
    shard_path(s, "", path);
    path[strlen(path) - 1] = '\0';
    snprintf(link, sizeof link, "%s.away", path);
    assert_int_equal(rename(path, link), 0);
    assert_memory_equal(shard_run(s, "SAVE"), "-ERR ", 5);
    assert_int_equal(rename(link, path), 0);
    struct buf after = shard_read_file(s, "dump.rdb");
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, after.len);
    buf_free(&before);
    buf_free(&after);
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(save_and_load_give_the_same),
        cmocka_unit_test(idle_times_survive),
        cmocka_unit_test(frequencies_survive),
        cmocka_unit_test(expired_keys_are_dropped),
        cmocka_unit_test(checksum_may_be_off),
        cmocka_unit_test(real_snapshots_are_loaded),
        cmocka_unit_test(other_types_are_named),
        cmocka_unit_test(our_snapshot_is_loaded_by_redis),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(every_flipped_bit_is_found),
        cmocka_unit_test(a_place_that_makes_no_sense_is_none),
        cmocka_unit_test(a_stream_keeps_expired_keys),
        cmocka_unit_test(an_end_before_the_end_is_found),
        cmocka_unit_test(module_data_and_newer_opcodes_are_passed_over),
        cmocka_unit_test(nonsense_is_refused_with_its_place),
        cmocka_unit_test(a_file_of_redis_1_has_no_checksum),
        cmocka_unit_test(a_full_disk_leaves_the_old_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
