/* test_rdb_merge.c - several snapshots made one: all keys are there, the version is the highest, and a source that
 * is not what it should be makes no file that looks right. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/persist/rdb_merge.h"
#include "worker/persist/rdb_private.h"

enum { PARTS = 3, KEYS = 2000 };
static const char *const names[PARTS] = {"0.rdb", "1.rdb", "2.rdb"};

static struct shard *open_shard(void) {
    struct shard *s = shard_create();
    if (shard_open(s) != 0)
        fail_msg("%s", s->error);
    return s;
}

/* Part i has the keys i, i + PARTS, ... in databases 0 to 2; a part may be empty. */
static void write_part(struct shard *s, unsigned i, unsigned keys) {
    struct rdb_saved saved;
    struct rdb_part *part = rdb_part_begin(s->dir, names[i], s->config, s->error, 512);
    assert_non_null(part);
    for (unsigned n = i; n < keys; n += PARTS) {
        char key[32], text[200];
        snprintf(key, sizeof key, "key:%u", n);
        snprintf(text, sizeof text, "%*u", (int)(n % 150), n);
        struct value value = value_string(bytes_of_text(text));
        struct rdb_entry entry = {.db = n % 5 ? 0 : n % 3,
                                  .key = bytes_of_text(key),
                                  .value = &value,
                                  .expire_ms = n % 4 ? KEY_NO_EXPIRY : 1000000000000000 + n,
                                  .idle_ms = -1,
                                  .frequency = -1};
        assert_int_equal(rdb_part_put(part, &entry, s->error, 512), 0);
    }
    if (rdb_part_commit(&part, true, &saved, s->error, 512) != 0)
        fail_msg("%s", s->error);
}

static int merge(struct shard *s, bool stopped) {
    char path[512];
    _Atomic bool stop = stopped;
    shard_path(s, "merged.rdb", path);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    int result = rdb_merge(s->dir, names, PARTS, fd, true, &stop, s->error, sizeof s->error);
    close(fd);
    return result;
}

static void change_byte(struct shard *s, const char *name, long at, int whence) {
    char path[512];
    shard_path(s, name, path);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, whence), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    fputc(byte ^ 1, file);
    fclose(file);
}

static void assert_refused(struct shard *s, const char *why) {
    assert_int_equal(merge(s, false), -1);
    if (strstr(s->error, why) == NULL)
        fail_msg("'%s' has no '%s'", s->error, why);
}

static void test_all_keys(void **state) {
    for (unsigned keys = 0; keys <= KEYS; keys += KEYS / 2) {
        struct shard *s = open_shard();
        for (unsigned i = 0; i < PARTS; i++)
            write_part(s, i, keys);
        if (merge(s, false) != 0)
            fail_msg("%s", s->error);
        char path[512];
        shard_path(s, "merged.rdb", path);
        int fd = open(path, O_RDONLY);
        struct rdb_load_job job = {.ks = s->ks, .config = s->config};
        struct rdb_loaded loaded;
        uint64_t bytes = (uint64_t)lseek(fd, 0, SEEK_END);
        lseek(fd, 0, SEEK_SET);
        if (rdb_load_fd(fd, bytes, &job, &loaded, s->error, sizeof s->error) != 0)
            fail_msg("%s", s->error);
        close(fd);
        assert_int_equal(keyspace_count_all(s->ks), keys);
        shard_free(&s);
    }
}

static void test_bad_sources(void **state) {
    struct shard *s = open_shard();
    char path[512];
    for (unsigned i = 0; i < PARTS; i++)
        write_part(s, i, KEYS);
    change_byte(s, names[1], 2000, SEEK_SET);
    assert_refused(s, "1.rdb: its checksum is wrong");
    change_byte(s, names[1], 2000, SEEK_SET);
    assert_int_equal(merge(s, false), 0);
    change_byte(s, names[2], 0, SEEK_SET);
    assert_refused(s, "it is no snapshot of version");
    change_byte(s, names[2], 0, SEEK_SET);
    shard_path(s, names[0], path);
    assert_int_equal(truncate(path, 12), 0);
    assert_int_equal(merge(s, false), -1);
    assert_int_equal(unlink(path), 0);
    assert_refused(s, "cannot read 0.rdb: No such file");
    shard_free(&s);
}

static void test_stopped(void **state) {
    struct shard *s = open_shard();
    for (unsigned i = 0; i < PARTS; i++)
        write_part(s, i, KEYS);
    assert_int_equal(merge(s, true), -1);
    assert_non_null(strstr(s->error, "not wanted any more"));
    shard_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_bad_sources),
        cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
