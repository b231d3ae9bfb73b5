/* test_copy.c - keys dealt to files by slot: from a snapshot and from a log, strays apart. */
#include "worker/offline/offline_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/log.h"
#include "shared/base/mem.h"

static char dir[64];
static struct offline offline;

static int begin(void **state) {
    strcpy(dir, "/tmp/remuda-offline-XXXXXX");
    log_set_level(LOG_WARNING + 1);
    offline = (struct offline){.tool = "test", .logs = true, .config = config_create()};
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    config_free(&offline.config);
    return system(command);
}

/* ---- slots ---- */
static void slots_are_read(void **state) {
    struct slot_map *map = offline_slots("0,5461,10923");
    assert_non_null(map);
    assert_int_equal(map->shards, 3);
    assert_int_equal(map->owner[0], 0);
    assert_int_equal(map->owner[5460], 0);
    assert_int_equal(map->owner[5461], 1);
    assert_int_equal(map->owner[16383], 2);
    mem_free(map);
    map = offline_slots("0");
    assert_int_equal(map->shards, 1);
    assert_int_equal(map->owner[16383], 0);
    mem_free(map);
}

static void slots_that_make_no_sense(void **state) {
    static const char *const texts[] = {"",     "-",     "1",       "0,",
                                        "0,0",  "0,5,4", "0,16384", "0;100",
                                        "0,1e", "x",     "0,,1",    "0,99999999999999999999"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct slot_map *map = offline_slots(texts[i]);
        if (map != NULL)
            fail_msg("accepted: '%s'", texts[i]);
    }
}

/* ---- copying ---- */
static uint64_t copy(struct copy *c, const char *source, const struct slot_map *slots,
                     struct targets *targets) {
    struct shard_files files = {0};
    offline.keys = 0;
    *c = (struct copy){.offline = &offline,
                       .targets = targets,
                       .owners = c->owners,
                       .shard = c->shard,
                       .strays_dir = c->strays_dir};
    if (shard_files_single(&files, source, offline.error, sizeof offline.error) != 0 ||
        targets_open(targets, offline.config, dir, "dump.rdb", slots, offline.error,
                     sizeof offline.error) != 0 ||
        copy_files(c, &files) != 0 ||
        targets_commit(targets, true, offline.error, sizeof offline.error) != 0)
        fail_msg("%s", offline.error);
    shard_files_free(&files);
    return offline.keys;
}

/* Every key of the file must be of this shard. Returns how many there are. */
struct keys {
    const struct slot_map *slots;
    uint32_t shard;
};

static int on_entry(void *arg, const struct rdb_entry *entry, char *error_r, size_t error_bytes) {
    struct keys *keys = arg;
    assert_true(keys->slots == NULL || keys->slots->owner[slot_of_key(entry->key)] == keys->shard);
    return 0;
}

static uint64_t keys_in(const char *path, const struct slot_map *slots, uint32_t shard) {
    struct keys keys = {slots, shard};
    struct shard_files files = {0};
    struct shard_file_found found;
    struct shard_reader reader = {.config = offline.config,
                                  .ks = keyspace_create(16, NULL, NULL),
                                  .entry = on_entry,
                                  .arg = &keys};
    if (shard_files_single(&files, path, offline.error, sizeof offline.error) != 0 ||
        shard_file_read(&files.files[0], &reader, &found, offline.error, sizeof offline.error) != 0)
        fail_msg("%s", offline.error);
    shard_files_free(&files);
    keyspace_free(&reader.ks);
    return found.keys;
}

static uint64_t keys_of_shard(uint32_t shard, const struct slot_map *slots) {
    char path[SHARD_PATH_BYTES + 16];
    offline_shard_dir(dir, shard, path);
    strcat(path, "/dump.rdb");
    return keys_in(path, slots, shard);
}

static void deal(const char *source, uint64_t keys, uint64_t expired) {
    struct slot_map *slots = offline_slots("0,5461,10923");
    struct targets targets;
    struct copy c = {0};
    uint64_t sum = 0;
    assert_int_equal(copy(&c, source, slots, &targets), keys);
    for (uint32_t i = 0; i < 3; i++) {
        sum += targets.saved[i].keys;
        assert_int_equal(keys_of_shard(i, slots), targets.saved[i].keys);
    }
    assert_int_equal(sum, keys);
    assert_int_equal(c.expired, expired);
    targets_free(&targets);
    mem_free(slots);
}

static void a_snapshot_is_dealt(void **state) {
    deal("tests/fixtures/redis-7.0.rdb", 16, 1);
}

static void a_log_is_dealt(void **state) {
    deal("tests/fixtures/redis-6-single.aof", 2, 0);
}

static void all_into_one_file(void **state) {
    struct targets targets;
    struct copy c = {0};
    char path[128];
    assert_int_equal(copy(&c, "tests/fixtures/redis-7.0.rdb", NULL, &targets), 16);
    assert_int_equal(targets.db_keys[0], 14);
    assert_int_equal(targets.db_keys[5], 2);
    targets_free(&targets);
    snprintf(path, sizeof path, "%s/dump.rdb", dir);
    assert_int_equal(keys_in(path, NULL, 0), 16);
}

/* Strays are counted and left out, or kept in a file of their own. */
static void strays(const char *strays_dir, const char *source) {
    struct slot_map *owners = offline_slots("0,8192");
    struct targets targets;
    struct copy c = {.owners = owners, .shard = 1, .strays_dir = strays_dir};
    char path[256];
    copy(&c, source, NULL, &targets);
    snprintf(path, sizeof path, "%s/dump.rdb", dir);
    uint64_t own = keys_in(path, owners, 1);
    assert_int_equal(own, targets.saved[0].keys);
    assert_true(own > 0 && c.strays > 0);
    assert_int_equal(targets.db_keys[0] + targets.db_keys[5] + targets.db_keys[2], own);
    snprintf(path, sizeof path, "%s/strays/stray-keys-of-shard-0001.rdb", dir);
    if (strays_dir != NULL)
        assert_int_equal(keys_in(path, NULL, 0), c.strays);
    else
        assert_int_not_equal(access(path, F_OK), 0);
    targets_free(&targets);
    mem_free(owners);
}

static void strays_are_left_out(void **state) {
    strays(NULL, "tests/fixtures/redis-7.0.rdb");
}

static void strays_are_kept(void **state) {
    char path[128];
    snprintf(path, sizeof path, "%s/strays", dir);
    strays(path, "tests/fixtures/redis-7.0.rdb");
}

static void strays_of_a_log_are_kept(void **state) {
    char path[128];
    snprintf(path, sizeof path, "%s/strays", dir);
    strays(path, "tests/fixtures/redis-6-single.aof");
}

/* ---- room ---- */
static void no_room_is_told_beforehand(void **state) {
    struct shard_file file = {.bytes = UINT64_C(1) << 60};
    struct shard_files files = {
        .source = SHARD_SNAPSHOT, .files = &file, .count = 1, .bytes = file.bytes};
    char error[512];
    assert_int_equal(copy_check_room(&files, 1, dir, error, sizeof error), -1);
    assert_non_null(strstr(error, "not enough room in "));
    assert_non_null(strstr(error, "1099511627776 MB are needed"));
    files.source = SHARD_SINGLE_LOG; /* nobody knows what it comes down to */
    assert_int_equal(copy_check_room(&files, 1, dir, error, sizeof error), 0);
    file.bytes = 1;
    files.source = SHARD_SNAPSHOT;
    assert_int_equal(copy_check_room(&files, 1, dir, error, sizeof error), 0);
    assert_int_equal(copy_check_room(&files, 1, "/no/such/folder", error, sizeof error), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_are_read),
        cmocka_unit_test(slots_that_make_no_sense),
        cmocka_unit_test_setup_teardown(a_snapshot_is_dealt, begin, end),
        cmocka_unit_test_setup_teardown(a_log_is_dealt, begin, end),
        cmocka_unit_test_setup_teardown(all_into_one_file, begin, end),
        cmocka_unit_test_setup_teardown(strays_are_left_out, begin, end),
        cmocka_unit_test_setup_teardown(strays_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(strays_of_a_log_are_kept, begin, end),
        cmocka_unit_test_setup_teardown(no_room_is_told_beforehand, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
