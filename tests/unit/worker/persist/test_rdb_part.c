/* test_rdb_part.c - RDB files written key by key, and keys handed out one by one. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/persist/rdb_private.h"
#include "worker/types/hash.h"

static struct rdb_saved saved;

static struct shard *open_shard(void) {
    struct shard *s = shard_create();
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    return s;
}

static struct rdb_part *begin(struct shard *s) {
    struct rdb_part *part = rdb_part_begin(s->dir, "part.rdb", s->config, s->error, 512);
    if (part == NULL)
        fail_msg("%s", s->error);
    return part;
}

static int put(struct shard *s, struct rdb_part *part, uint32_t db, const char *key,
               const char *text) {
    struct value value = value_string(bytes_of_text(text));
    struct rdb_entry entry = {.db = db,
                              .key = bytes_of_text(key),
                              .value = &value,
                              .expire_ms = KEY_NO_EXPIRY,
                              .idle_ms = -1,
                              .frequency = -1};
    return rdb_part_put(part, &entry, s->error, sizeof s->error);
}

static int load(struct shard *s, const struct rdb_load_job *job, struct rdb_loaded *loaded) {
    char path[512];
    shard_path(s, "part.rdb", path);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    int result = rdb_load_fd(fd, saved.bytes, job, loaded, s->error, sizeof s->error);
    close(fd);
    return result;
}

static bool temp_left(struct shard *s) {
    char name[64];
    snprintf(name, sizeof name, "temp-%d.rdb", (int)getpid());
    return shard_file_exists(s, name);
}

/* Databases may take turns; a real server loads it too (tests/interop). */
static void keys_of_several_databases_take_turns(void **state) {
    struct shard *s = open_shard();
    struct rdb_part *part = begin(s);
    assert_int_equal(put(s, part, 0, "a", "0"), 0);
    assert_int_equal(put(s, part, 5, "a", "5"), 0);
    assert_int_equal(put(s, part, 0, "b", "00"), 0);
    assert_int_equal(put(s, part, 5, "b", "55"), 0);
    assert_int_equal(rdb_part_keys(part), 4);
    assert_int_equal(rdb_part_commit(&part, true, &saved, s->error, 512), 0);
    assert_null(part);
    assert_int_equal(saved.keys, 4);
    struct rdb_load_job job = {.ks = s->ks, .config = s->config};
    struct rdb_loaded loaded;
    assert_int_equal(load(s, &job, &loaded), 0);
    assert_int_equal(loaded.keys, 4);
    assert_int_equal(saved.version, 10);
    assert_int_equal(loaded.version, 10);
    assert_true(loaded.checksum);
    shard_expect(s, "MGET a b", "*2\r\n$1\r\n0\r\n$2\r\n00\r\n");
    shard_run(s, "SELECT 5");
    shard_expect(s, "MGET a b", "*2\r\n$1\r\n5\r\n$2\r\n55\r\n");
    assert_false(temp_left(s));
    shard_free(&s);
}

static void abort_leaves_nothing(void **state) {
    struct shard *s = open_shard();
    struct rdb_part *part = begin(s);
    assert_int_equal(put(s, part, 0, "a", "0"), 0);
    assert_true(temp_left(s));
    rdb_part_abort(&part);
    assert_null(part);
    assert_false(temp_left(s));
    assert_false(shard_file_exists(s, "part.rdb"));
    rdb_part_abort(&part); /* nothing */
    shard_free(&s);
}

static void what_is_there_is_replaced_only_if_told(void **state) {
    struct shard *s = open_shard();
    shard_write_file(s, "part.rdb", BYTES_LITERAL("precious"));
    struct rdb_part *part = begin(s);
    assert_int_equal(rdb_part_commit(&part, false, &saved, s->error, 512), -1);
    assert_non_null(strstr(s->error, "part.rdb: File exists"));
    struct buf there = shard_read_file(s, "part.rdb");
    assert_int_equal(there.len, 8);
    buf_free(&there);
    assert_false(temp_left(s));
    part = begin(s);
    assert_int_equal(rdb_part_commit(&part, true, &saved, s->error, 512), 0);
    there = shard_read_file(s, "part.rdb");
    assert_int_equal(there.len, saved.bytes);
    buf_free(&there);
    shard_free(&s);
}

/* No room: told at once or at the end, and nothing is left. */
static void a_write_that_fails_is_told(void **state) {
    static char big[300000];
    struct shard *s = open_shard();
    struct rlimit before, small = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &before);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    uint32_t noise = 1;
    for (size_t i = 0; i < sizeof big - 1; i++) {
        noise = noise * 1664525 + 1013904223;
        big[i] = (char)('!' + (noise >> 24) % 90); /* nothing that compresses */
    }
    struct rdb_part *part = begin(s);
    setrlimit(RLIMIT_FSIZE, &small);
    int result = put(s, part, 0, "big", big);
    int again = put(s, part, 0, "small", "1");
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(result, -1);
    assert_int_equal(again, -1);
    assert_non_null(strstr(s->error, "part.rdb: File too large (after 1000 bytes)"));
    assert_int_equal(rdb_part_commit(&part, true, &saved, s->error, 512), -1);
    assert_non_null(strstr(s->error, "File too large"));
    assert_false(temp_left(s));
    assert_false(shard_file_exists(s, "part.rdb"));
    shard_free(&s);
}

/* Version 10 has no form for it, and its end tells only then that the beginning must say 12. */
static void fields_that_expire_need_a_later_version(void **state) {
    static char filler[200000];
    struct shard *s = open_shard();
    struct hash_limits limits = {.packed_entries = 10, .packed_bytes = 10};
    struct value hash = hash_create();
    assert_true(hash_set(&hash, BYTES_LITERAL("field"), BYTES_LITERAL("value"), &limits));
    hash_set_field_expiry(&hash, BYTES_LITERAL("field"), 4102444800000, &limits);
    struct rdb_entry entry = {.key = BYTES_LITERAL("hash"),
                              .value = &hash,
                              .expire_ms = KEY_NO_EXPIRY,
                              .idle_ms = -1,
                              .frequency = -1};
    struct rdb_part *part = begin(s);
    memset(filler, 'x', sizeof filler - 1);
    assert_int_equal(put(s, part, 0, "filler", filler), 0);
    assert_int_equal(rdb_part_put(part, &entry, s->error, 512), 0);
    assert_int_equal(rdb_part_commit(&part, true, &saved, s->error, 512), 0);
    assert_int_equal(saved.version, 12);
    value_free(&hash);
    struct rdb_load_job job = {.ks = s->ks, .config = s->config};
    struct rdb_loaded loaded;
    if (load(s, &job, &loaded) != 0)
        fail_msg("%s", s->error);
    assert_int_equal(loaded.version, 12);
    assert_true(loaded.checksum);
    assert_int_equal(keyspace_timed_count(s->ks, 0), 1);
    shard_free(&s);
}

/* ---- handed out one by one ---- */
struct seen {
    uint32_t count, refuse_at;
    char texts[8][64];
    int64_t idle_ms;
    int32_t frequency;
};

static int on_entry(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes) {
    struct seen *seen = arg;
    char digits[BYTES_I64_MAX];
    struct bytes value = value_string_bytes(entry->value, digits);
    if (seen->count == seen->refuse_at) {
        snprintf(error_r, error_bytes, "no more, please");
        return -1;
    }
    snprintf(seen->texts[seen->count++], 64, "%u %.*s=%.*s %lld", entry->db, (int)entry->key.len,
             entry->key.ptr, (int)value.len, value.ptr, (long long)entry->expire_ms);
    seen->idle_ms = entry->idle_ms;
    seen->frequency = entry->frequency;
    return 0;
}

static void write_two(struct shard *s, const char *second) {
    struct value value = value_integer(7);
    struct rdb_part *part = begin(s);
    struct rdb_entry entry = {.db = 3,
                              .key = BYTES_LITERAL("a"),
                              .value = &value,
                              .expire_ms = 4102444800000,
                              .idle_ms = -1,
                              .frequency = 77};
    assert_int_equal(rdb_part_put(part, &entry, s->error, 512), 0);
    entry.key = bytes_of_text(second);
    entry.expire_ms = KEY_NO_EXPIRY;
    entry.idle_ms = 60999;
    entry.frequency = -1;
    assert_int_equal(rdb_part_put(part, &entry, s->error, 512), 0);
    assert_int_equal(rdb_part_commit(&part, true, &saved, s->error, 512), 0);
}

static void keys_are_handed_out(void **state) {
    struct shard *s = open_shard();
    struct seen seen = {.refuse_at = UINT32_MAX};
    struct rdb_load_job job = {
        .ks = s->ks, .config = s->config, .entry = on_entry, .entry_arg = &seen};
    struct rdb_loaded loaded;
    write_two(s, "b");
    assert_int_equal(load(s, &job, &loaded), 0);
    assert_int_equal(seen.count, 2);
    assert_string_equal(seen.texts[0], "3 a=7 4102444800000");
    assert_string_equal(seen.texts[1], "3 b=7 -1");
    assert_int_equal(seen.idle_ms, 60000);
    assert_int_equal(seen.frequency, -1);
    assert_int_equal(loaded.keys, 2);
    shard_free(&s);
}

static void a_key_that_stands_there_twice_is_found(void **state) {
    struct shard *s = open_shard();
    struct seen seen = {.refuse_at = UINT32_MAX};
    struct rdb_load_job job = {
        .ks = s->ks, .config = s->config, .entry = on_entry, .entry_arg = &seen};
    struct rdb_loaded loaded;
    write_two(s, "a");
    assert_int_equal(load(s, &job, &loaded), -1);
    assert_non_null(strstr(s->error, "at byte "));
    assert_non_null(strstr(s->error, "a key stands there twice (key \"a\")"));
    assert_int_equal(seen.count, 1);
    shard_free(&s);
}

static void whoever_takes_the_keys_may_stop_it(void **state) {
    struct shard *s = open_shard();
    struct seen seen = {.refuse_at = 1};
    struct rdb_load_job job = {
        .ks = s->ks, .config = s->config, .entry = on_entry, .entry_arg = &seen};
    struct rdb_loaded loaded;
    write_two(s, "b");
    assert_int_equal(load(s, &job, &loaded), -1);
    assert_non_null(strstr(s->error, "no more, please"));
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_several_databases_take_turns),
        cmocka_unit_test(abort_leaves_nothing),
        cmocka_unit_test(what_is_there_is_replaced_only_if_told),
        cmocka_unit_test(a_write_that_fails_is_told),
        cmocka_unit_test(fields_that_expire_need_a_later_version),
        cmocka_unit_test(keys_are_handed_out),
        cmocka_unit_test(a_key_that_stands_there_twice_is_found),
        cmocka_unit_test(whoever_takes_the_keys_may_stop_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
