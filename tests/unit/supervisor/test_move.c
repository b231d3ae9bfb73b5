/* test_move.c - whatever a kill may leave is finished or discarded; what cannot be one is left alone. */
#include "supervisor/move.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "shared/base/log.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OLD = 2, NEW = 3 };

static char dir[64], error[512];
static struct config *config;

static int begin(void **state) {
    strcpy(dir, "/tmp/remuda-move-XXXXXX");
    log_set_level(LOG_WARNING + 1);
    config = config_create();
    return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state) {
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    config_free(&config);
    return system(command);
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[1024], whole[1200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    snprintf(whole, sizeof(whole), "set -e; cd %s; %s", dir, command);
    assert_int_equal(system(whole), 0);
}

static bool has(const char *path) {
    char whole[256];
    snprintf(whole, sizeof(whole), "%s/%s", dir, path);
    return access(whole, F_OK) == 0;
}

/* So many shards in a folder below dir, each with a dump.rdb that says whose it is. */
static void make_shards(const char *where, unsigned count, const char *whose) {
    for (unsigned i = 0; i < count; i++)
        shell("mkdir -p %s/shard-%04u; echo %s-%u >%s/shard-%04u/dump.rdb", where, i, whose, i,
              where, i);
}

static void publish_pool(uint32_t shards, bool moving, uint32_t from) {
    static struct pool_file file;
    pool_file_make(&file, shards);
    file.moving = moving;
    file.moving_from = from;
    assert_int_equal(pool_file_publish(dir, &file, error, sizeof(error)), 0);
}

static void expect_shards(unsigned count, const char *whose) {
    static struct pool_file file;
    assert_int_equal(pool_file_read(dir, &file, error, sizeof(error)), 0);
    assert_int_equal(file.shards, count);
    assert_false(file.moving);
    for (unsigned i = 0; i < count; i++)
        shell("[ \"$(cat shard-%04u/dump.rdb)\" = %s-%u ]", i, whose, i);
    shell("[ ! -e shard-%04u ] && [ ! -e incoming ] && [ ! -e outgoing ]", count);
}

static void recover(void) {
    if (move_recover(dir, config, error, sizeof(error)) != 0)
        fail_msg("%s", error);
}

/* A pool of OLD whose move to NEW is committed; nothing has moved yet. */
static void make_committed(void) {
    make_shards(".", OLD, "old");
    make_shards("incoming", NEW, "new");
    publish_pool(NEW, true, OLD);
}

static void nothing_to_do(void **state) {
    recover(); /* no pool at all */
    make_shards(".", OLD, "old");
    publish_pool(OLD, false, 0);
    recover();
    expect_shards(OLD, "old");
}

static void before_the_commit_it_is_nothing(void **state) {
    static struct pool_file file;
    make_shards(".", OLD, "old");
    publish_pool(OLD, false, 0);
    make_shards("incoming", NEW, "new");
    assert_int_equal(pool_file_read(dir, &file, error, sizeof(error)), 0);
    assert_non_null(strstr(move_pending(dir, &file), "before its commit"));
    recover();
    expect_shards(OLD, "old");
    assert_null(move_pending(dir, &file));
}

static void commit_puts_it_in_force(void **state) {
    static struct pool_file next;
    char incoming[MOVE_PATH_BYTES];
    make_shards(".", OLD, "old");
    publish_pool(OLD, false, 0);
    make_shards("incoming", 1, "stale");
    assert_int_equal(move_prepare(dir, incoming, error, sizeof(error)), 0);
    assert_false(has("incoming/shard-0000"));
    make_shards("incoming", NEW, "new");
    pool_file_make(&next, NEW);
    assert_int_equal(move_commit(dir, OLD, &next, config, error, sizeof(error)), 0);
    assert_false(next.moving);
    expect_shards(NEW, "new");
}

static void nothing_incomplete_is_committed(void **state) {
    static struct pool_file next;
    make_shards(".", OLD, "old");
    publish_pool(OLD, false, 0);
    make_shards("incoming", NEW - 1, "new");
    pool_file_make(&next, NEW);
    assert_int_equal(move_commit(dir, OLD, &next, config, error, sizeof(error)), -1);
    assert_non_null(strstr(error, "shard-0002"));
    recover();
    expect_shards(OLD, "old");
}

/* After the commit: the old ones go out one by one, then the new ones come in one by one. */
static void after_the_commit_it_is_finished(void **state) {
    for (unsigned out = 0; out <= OLD; out++) {
        for (unsigned in = 0; in <= (out == OLD ? NEW : 0); in++) {
            shell("rm -rf -- * ");
            make_committed();
            shell("mkdir -p outgoing");
            for (unsigned i = 0; i < out; i++)
                shell("mv shard-%04u outgoing/", i);
            for (unsigned i = 0; i < in; i++)
                shell("mv incoming/shard-%04u .", i);
            recover();
            expect_shards(NEW, "new");
            recover();
            expect_shards(NEW, "new");
        }
    }
}

static void only_the_old_ones_are_left(void **state) {
    make_shards(".", NEW, "new");
    make_shards("outgoing", OLD, "old");
    publish_pool(NEW, false, 0);
    recover();
    expect_shards(NEW, "new");
    assert_false(has("quarantine"));
}

/* Twice, so that the second needs another name. */
static void what_is_no_file_of_a_shard_is_kept(void **state) {
    for (unsigned i = 1; i <= 2; i++) {
        make_shards(".", 1, "new");
        make_shards("outgoing", OLD, "old");
        shell("mkdir -p outgoing/shard-0001/appendonlydir outgoing/shard-0001/quarantine; "
              "cd outgoing/shard-0001; touch appendonlydir/appendonly.aof.1.incr.aof "
              "appendonlydir/appendonly.aof.manifest appendonlydir/mine quarantine/tail");
        config->appendonly = i == 1;
        publish_pool(1, false, 0);
        recover();
        expect_shards(1, "new");
        shell("cd quarantine/redistributed-%u && [ ! -e shard-0000 ] && cd shard-0001 && "
              "[ -e quarantine/tail ] && [ \"$(ls appendonlydir)\" = mine ]",
              i);
    }
    shell("[ ! -e quarantine/redistributed-1/shard-0001/dump.rdb ]");
    shell("[ -e quarantine/redistributed-2/shard-0001/dump.rdb.beside-a-log ]");
}

/* ---- what no kill leaves: said, and left as it is ---- */

static void expect_refusal(const char *words) {
    char command[256];
    snprintf(command, sizeof(command), "find . | sort >/tmp/%s.before", dir + 5);
    shell("%s", command);
    assert_int_equal(move_recover(dir, config, error, sizeof(error)), -1);
    if (!strstr(error, words))
        fail_msg("'%s' is not in: %s", words, error);
    shell("find . | sort | cmp - /tmp/%s.before; rm /tmp/%s.before", dir + 5, dir + 5);
}

static void a_new_folder_is_missing(void **state) {
    make_committed();
    shell("rm -r incoming/shard-0001");
    expect_refusal("shard-0001 is neither in ");
}

static void the_pool_file_is_missing(void **state) {
    make_shards("outgoing", OLD, "old");
    make_shards("incoming", NEW, "new");
    expect_refusal("no pool.json");
}

static void the_pool_file_is_damaged(void **state) {
    make_shards("incoming", NEW, "new");
    shell("echo '{}' >pool.json");
    expect_refusal("not usable");
}

/* ---- an import ---- */

static void an_import_can_be_undone(void **state) {
    for (unsigned in = 0; in <= NEW; in++) {
        shell("rm -rf -- *");
        make_shards("incoming", NEW, "new");
        publish_pool(NEW, true, 0);
        for (unsigned i = 0; i < in; i++)
            shell("mv incoming/shard-%04u .", i);
        assert_int_equal(move_undo_import(dir, error, sizeof(error)), 0);
        shell("[ -z \"$(ls -A)\" ]");
    }
}

static void anything_else_is_not_undone(void **state) {
    assert_int_equal(move_undo_import(dir, error, sizeof(error)), 0);
    make_shards(".", OLD, "old");
    publish_pool(OLD, false, 0);
    assert_int_equal(move_undo_import(dir, error, sizeof(error)), 0);
    expect_shards(OLD, "old");
    shell("rm -rf -- *");
    make_committed();
    assert_int_equal(move_undo_import(dir, error, sizeof(error)), 0);
    recover();
    expect_shards(NEW, "new");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_to_do, begin, end),
        cmocka_unit_test_setup_teardown(before_the_commit_it_is_nothing, begin, end),
        cmocka_unit_test_setup_teardown(commit_puts_it_in_force, begin, end),
        cmocka_unit_test_setup_teardown(nothing_incomplete_is_committed, begin, end),
        cmocka_unit_test_setup_teardown(after_the_commit_it_is_finished, begin, end),
        cmocka_unit_test_setup_teardown(only_the_old_ones_are_left, begin, end),
        cmocka_unit_test_setup_teardown(what_is_no_file_of_a_shard_is_kept, begin, end),
        cmocka_unit_test_setup_teardown(a_new_folder_is_missing, begin, end),
        cmocka_unit_test_setup_teardown(the_pool_file_is_missing, begin, end),
        cmocka_unit_test_setup_teardown(the_pool_file_is_damaged, begin, end),
        cmocka_unit_test_setup_teardown(an_import_can_be_undone, begin, end),
        cmocka_unit_test_setup_teardown(anything_else_is_not_undone, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
