/* 85_tools.c - what works on files while no pool runs: import, export, check; and the keys dealt anew when
 * `workers` has changed. */
#include "tests/interop/dataset.h"
#include <signal.h>
#include <sys/stat.h>

static const char *const FIXTURE = "tests/fixtures/redis-7.0.rdb";
static char directory[64];

static int setup(void **state) {
    make_directory(directory);
    return 0;
}

static int cleanup(void **state) {
    pools_cleanup(state);
    remove_directory(directory);
    return 0;
}

/* A pool whose directory is not there yet. */
static struct pool *pool_of(unsigned workers, const char *appendonly) {
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = workers, .options = {"--save", "", "--appendonly", appendonly}});
    assert_int_equal(pool_stop(pool), 0);
    remove_directory(pool->data);
    return pool;
}

/* ---- import ---- */

static void expect_fixture(struct pool *pool) {
    redisContext *c = pool_connect(pool);
    expect_integer(c, 14, "DBSIZE");
    expect_text(c, "-2147483648", "GET int32");
    expect_text(c, "the quick brown fox", "GET words");
    expect_integer(c, 4102444800000, "PEXPIRETIME expires");
    expect_text(c, "-9223372036854775808", "HGET small n64");
    expect_integer(c, 9, "HLEN large");
    expect_text(c, "OK", "SELECT 5");
    expect_integer(c, 2, "DBSIZE");
    expect_integer(c, 4102444800123, "PEXPIRETIME h");
    redisFree(c);
}

static void test_import_a_snapshot(void **state) {
    struct pool *pool = pool_of(3, "no");
    char *said = run_remuda(0, "import %s --dir %s --workers 3", FIXTURE, pool->data);
    expect_said(said, "import: 0 %, 0 keys");
    expect_said(said, "import: 100 %, 16 keys");
    expect_said(said, ": 16 keys\n");
    expect_said(said, "shard-0002: 4 keys");
    expect_said(said, "database 0: 14 keys");
    expect_said(said, "database 5: 2 keys");
    expect_said(said, "skipped: 1 keys whose time was over");
    free(said);
    assert_false(path_exists("%s/incoming", pool->data));
    assert_false(path_exists("%s/outgoing", pool->data));
    pool_start_again(pool);
    expect_fixture(pool);
    pool_end(&pool);
}

static void test_import_into_a_pool_with_logs(void **state) {
    struct pool *pool = pool_of(2, "yes");
    free(run_remuda(0, "import tests/fixtures/redis-7.0-aof --dir %s --workers 2", pool->data));
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    expect_text(c, "1", "GET base");
    expect_text(c, "transaction", "GET in");
    expect_text(c, "OK", "SELECT 3");
    expect_text(c, "3", "GET three");
    redisFree(c);
    pool_end(&pool);
}

struct refused {
    const char *make, *words; /* shell commands that make $D/source */
};

static const struct refused refused[] = {
    {"true", "cannot read"},
    {"mkdir $D/source", "holds neither"},
    {"printf 'REDIS0013' >$D/source", "RDB version 13"},
    {"printf 'hello' >$D/source", "at byte 0"},
    {"head -c 500 tests/fixtures/redis-7.0.rdb >$D/source", "at byte"},
    {"cp tests/fixtures/redis-7.0.rdb $D/source && printf x >>$D/source", "1 bytes follow the end"},
    {"cp tests/fixtures/redis-7.0.rdb $D/source && "
     "printf '\\377' | dd of=$D/source bs=1 seek=600 conv=notrunc",
     "at byte"},
    {"cp -r tests/fixtures/redis-7.0-aof $D/source && rm $D/source/*.base.rdb",
     "the manifest names it, but it does not exist"},
    {"cp -r tests/fixtures/redis-7.0-aof $D/source && cp $D/source/*.manifest $D/source/x.manifest",
     "two manifests"},
    {"printf '*1\\r\\n$7\\r\\nNOTHING\\r\\n' >$D/source", "unknown command 'NOTHING'"},
    {"printf '*2\\r\\n$6\\r\\nSELECT\\r\\n$2\\r\\n16\\r\\n' >$D/source", "SELECT"},
};

/* Nothing is left of it, and a pool starts empty. */
static void test_import_refuses_damage(void **state) {
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        int code;
        free(run_shell(&code, "export D=%s; rm -rf $D/*; %s 2>&1", directory, refused[i].make));
        assert_int_equal(code, 0);
        char *said =
            run_remuda(1, "import %s/source --dir %s/data --workers 2", directory, directory);
        expect_said(said, refused[i].words);
        expect_said(said, "/source");
        free(said);
        said = run_shell(&code, "ls -A %s/data", directory);
        assert_string_equal(said, "");
        free(said);
    }
}

static void test_import_refuses_a_pool(void **state) {
    struct pool *pool = pool_start(NULL);
    char *said = run_remuda(1, "import %s --dir %s", FIXTURE, pool->data);
    expect_said(said, "in use by another pool");
    free(said);
    assert_int_equal(pool_stop(pool), 0);
    said = run_remuda(1, "import %s --dir %s", FIXTURE, pool->data);
    expect_said(said, "holds a pool already");
    free(said);
    int code;
    free(run_shell(&code, "rm %s/pool.json", pool->data));
    said = run_remuda(1, "import %s --dir %s", FIXTURE, pool->data);
    expect_said(said, "holds a pool already");
    free(said);
    pool_end(&pool);
}

/* ---- another number of workers ---- */

static void deal_anew(struct pool *pool, unsigned workers, const char *expected) {
    assert_int_equal(pool_stop(pool), 0);
    pool->workers = workers;
    pool_start_again(pool);
    char *now = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    if (strcmp(now, expected) != 0)
        fail_msg("the data differs with %u workers", workers);
    free(now);
}

static void redistribute(const char *appendonly) {
    static const unsigned workers[] = {1, 2, 3, 1, 4, 3};
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = 2, .options = {"--save", "3600 1", "--appendonly", appendonly}});
    dataset_fill(pool->port, random_seed(), 600);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    for (size_t i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        deal_anew(pool, workers[i], before);
        assert_false(path_exists("%s/incoming", pool->data));
        assert_false(path_exists("%s/outgoing", pool->data));
        assert_false(path_exists("%s/quarantine", pool->data));
        assert_false(path_exists("%s/shard-%04u", pool->data, workers[i]));
    }
    free(before);
    pool_end(&pool);
}

static void test_redistribute_snapshots(void **state) {
    redistribute("no");
}

static void test_redistribute_logs(void **state) {
    redistribute("yes");
}

/* A log that was switched off counts as long as no snapshot has made up for it, and so does one that
 * nobody asks for any more. */
static void test_redistribute_logs_not_asked_for(void **state) {
    struct pool *pool = pool_start(
        &(struct pool_options){.workers = 2, .options = {"--save", "", "--appendonly", "yes"}});
    dataset_fill(pool->port, random_seed(), 300);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET appendonly no");
    for (unsigned i = 0; i < 2; i++)
        AWAIT(path_exists("%s/shard-%04u/appendonlydir.retired", pool->data, i));
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    free(run_remuda(0, "check %s", pool->data));
    free(run_remuda(0, "export %s/all.rdb --dir %s", directory, pool->data));
    char *said = run_remuda(0, "check %s/all.rdb", directory);
    expect_said(said, " 300 keys");
    free(said);
    pool->workers = 3;
    pool_start_again(pool);
    deal_anew(pool, 2, before); /* appendonly is yes again, so there are logs */
    pool->options.options[3] = "no";
    deal_anew(pool, 3, before);
    assert_false(path_exists("%s/shard-0000/appendonlydir", pool->data));
    assert_true(
        path_exists("%s/quarantine/redistributed-1/shard-0000/dump.rdb.beside-a-log", pool->data));
    free(before);
    pool_end(&pool);
}

/* Shards that stay keep their ids, the pool its own; nothing that was no file of a shard is lost. */
static void test_what_stays(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = 2, .options = {"--save", ""}});
    char ids[3][64];
    redisContext *c = pool_connect_worker(pool, 0);
    for (unsigned i = 0; i < 2; i++) {
        redisContext *worker = pool_connect_worker(pool, i);
        redisReply *id = expect_reply(worker, "CLUSTER MYID");
        snprintf(ids[i], sizeof(ids[i]), "%s", id->str);
        freeReplyObject(id);
        redisFree(worker);
    }
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    int code;
    free(run_shell(&code,
                   "cd %s/shard-0001 && mkdir quarantine && echo kept >quarantine/tail && "
                   "echo mine >notes && echo half >temp-7.rdb",
                   pool->data));
    assert_int_equal(code, 0);
    pool->workers = 3;
    pool_start_again(pool);
    for (unsigned i = 0; i < 2; i++) {
        redisContext *worker = pool_connect_worker(pool, i);
        expect_text(worker, ids[i], "CLUSTER MYID");
        redisFree(worker);
    }
    assert_true(
        path_exists("%s/quarantine/redistributed-1/shard-0001/quarantine/tail", pool->data));
    assert_true(path_exists("%s/quarantine/redistributed-1/shard-0001/notes", pool->data));
    assert_false(path_exists("%s/quarantine/redistributed-1/shard-0001/temp-7.rdb", pool->data));
    assert_false(path_exists("%s/quarantine/redistributed-1/shard-0000", pool->data));
    pool_end(&pool);
}

/* Keys in a folder whose shard does not own them were seen by nobody, and still are not. */
static void test_stray_keys(void **state) {
    struct pool *pool = pool_of(2, "no");
    free(run_remuda(0, "import %s --dir %s --workers 1", FIXTURE, pool->data));
    free(run_remuda(0, "import %s --dir %s/other --workers 2", FIXTURE, directory));
    int code;
    free(run_shell(&code, "cp %s/shard-0000/dump.rdb %s/other/shard-0001/dump.rdb", pool->data,
                   directory));
    char *said = run_remuda(1, "check %s/other", directory);
    expect_said(said, "shard-0001/dump.rdb: 9 keys belong to other shards");
    free(said);
    said = run_remuda(0, "export %s/all.rdb --dir %s/other", directory, directory);
    expect_said(said, "all.rdb: 16 keys");
    expect_said(said, "skipped: 9 keys in the folder of a shard that does not own them");
    free(said);
    free(run_shell(&code, "rm -r %s && mv %s/other %s", pool->data, directory, pool->data));
    pool->workers = 3;
    pool_start_again(pool);
    expect_fixture(pool);
    said = run_remuda(0, "check %s/shard-0000/quarantine/stray-keys-of-shard-0001.rdb", pool->data);
    expect_said(said, " 9 keys");
    free(said);
    pool_end(&pool);
}

/* auto keeps what there is, whatever the machine has. */
static void test_auto_keeps_the_shards(void **state) {
    struct pool *pool = pool_of(5, "no");
    free(run_remuda(0, "import %s --dir %s --workers 5", FIXTURE, pool->data));
    for (unsigned i = 0; i < POOL_OPTIONS_MAX; i++) {
        if (!pool->options.options[i]) {
            pool->options.options[i] = "--workers";
            pool->options.options[i + 1] = "auto";
            break;
        }
    }
    pool_start_again(pool);
    expect_fixture(pool);
    assert_true(pool_log_has(pool, "workers is auto: the pool in"));
    assert_true(pool_number(pool, "workers.4.pid") > 0);
    pool_end(&pool);
}

/* SIGTERM while keys are dealt: the pool ends in order, and the next start has everything. */
static void test_told_to_stop(void **state) {
    static const char *const slow[] = {
        "strace",    "-D", "-f",          "-qq", "-o",
        "/dev/null", "-e", "trace=fsync", "-e",  "inject=fsync:delay_enter=300000",
        NULL};
    struct pool *pool = pool_of(2, "no");
    free(run_remuda(0, "import %s --dir %s --workers 2", FIXTURE, pool->data));
    pool->workers = 3;
    pool->options.unready = true;
    int code = -1;
    pool_begin_below(pool, slow);
    AWAIT(path_exists("%s/incoming/shard-0001", pool->data));
    pool_signal(pool, SIGTERM);
    code = pool_await_exit(pool);
    assert_int_equal(code, 0);
    assert_true(pool_log_has(pool, "Told to stop"));
    assert_false(path_exists("%s/incoming", pool->data));
    pool->options.unready = false;
    pool_start_again(pool);
    expect_fixture(pool);
    pool_end(&pool);
}

/* ---- export ---- */

static void test_export(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.workers = 3, .options = {"--save", ""}});
    dataset_fill(pool->port, random_seed(), 300);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    char *said = run_remuda(1, "export %s/all.rdb --dir %s", directory, pool->data);
    expect_said(said, "a pool runs on");
    expect_said(said, "remuda snapshot");
    free(said);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "SAVE");
    redisFree(c);
    assert_int_equal(pool_stop(pool), 0);
    said = run_remuda(0, "export %s/all.rdb --dir %s", directory, pool->data);
    expect_said(said, "export: 100 %");
    expect_said(said, " keys of 3 shards");
    expect_said(said, "database 9: ");
    free(said);
    said = run_remuda(1, "export %s/all.rdb --dir %s", directory, pool->data);
    expect_said(said, "all.rdb exists; --force replaces it");
    free(said);
    free(run_remuda(0, "export %s/all.rdb --force --dir %s", directory, pool->data));
    free(run_remuda(0, "check %s/all.rdb", directory));
    remove_directory(pool->data);
    free(run_remuda(0, "import %s/all.rdb --dir %s --workers 3", directory, pool->data));
    pool_start_again(pool);
    char *after = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    assert_int_equal(pool_stop(pool), 0);
    int code;
    free(run_shell(&code, "rm -r %s/shard-0001", pool->data));
    said = run_remuda(1, "export %s/less.rdb --dir %s", directory, pool->data);
    expect_said(said, "shard-0001: No such file");
    free(said);
    assert_false(path_exists("%s/less.rdb", directory));
    said = run_remuda(1, "export %s/none.rdb --dir %s", directory, directory);
    expect_said(said, "holds no pool");
    free(said);
    pool_end(&pool);
}

/* A snapshot's folder is exported while the pool runs, and checked with the pool when it does not. */
static void test_snapshots(void **state) {
    struct pool *pool = pool_start(
        &(struct pool_options){.workers = 3, .options = {"--save", "", "--appendonly", "yes"}});
    dataset_fill(pool->port, random_seed(), 300);
    char *before = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    free(run_remuda(0, "snapshot --as one --port %d", pool->port));
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "FLUSHALL");
    redisFree(c);
    char *said = run_remuda(0, "export %s/one.rdb --dir %s/snapshots/one", directory, pool->data);
    expect_said(said, "one.rdb: 300 keys of 3 shards");
    free(said);
    free(run_remuda(0, "check %s/snapshots/one", pool->data));
    assert_int_equal(pool_stop(pool), 0);
    said = run_remuda(0, "check %s", pool->data);
    expect_said(said, "snapshots/one/snapshot.json: ");
    expect_said(said, "snapshots/one/shard-0002/appendonlydir/appendonly.aof.1.base.rdb: ");
    free(said);
    pool->workers = 2; /* they stay as they are when the keys are dealt anew */
    pool_start_again(pool);
    assert_int_equal(pool_stop(pool), 0);
    free(run_remuda(0, "check %s", pool->data));
    int code;
    free(run_shell(&code,
                   "cd %s/snapshots/one/shard-0001/appendonlydir && "
                   "cp *.base.rdb x && printf y | dd of=x bs=1 seek=90 conv=notrunc && "
                   "mv x appendonly.aof.1.base.rdb",
                   pool->data));
    said = run_remuda(1, "check %s --fix", pool->data);
    expect_said(said, "snapshots/one/shard-0001/appendonlydir/appendonly.aof.1.base.rdb: at byte");
    free(said);
    remove_directory(pool->data);
    free(run_remuda(0, "import %s/one.rdb --dir %s --workers 3", directory, pool->data));
    pool->workers = 3;
    pool_start_again(pool);
    char *after = dataset_describe(pool->port, EXPIRY_EXACT, NULL);
    assert_string_equal(before, after);
    free(before);
    free(after);
    pool_end(&pool);
}

/* ---- check ---- */

struct damage {
    const char *make, *found, *fixed; /* fixed NULL: --fix can do nothing about it */
};

/* Shell commands in the folder of a pool of two with logs and snapshots; L is a shard's log folder. */
static const struct damage damages[] = {
    {"printf '*3\r\n$3\r\nSET' >>$L/appendonly.aof.1.incr.aof",
     "cut short: 11 bytes from byte 0 on are no whole command", "the end is kept in"},
    {"touch $L/temp-1.rdb shard-0001/temp-2.rdb", "left behind by a process that is gone",
     "temp-2.rdb: deleted"},
    {"mkdir shard-0000/temp-appendonlydir shard-0000/snapshot-log && touch "
     "shard-0000/snapshot-log/x",
     "snapshot-log: left behind", "temp-appendonlydir: deleted"},
    {"cp $L/appendonly.aof.1.base.rdb $L/appendonly.aof.7.base.rdb", "no manifest names it",
     "quarantine/appendonly.aof.7.base.rdb.at-0"},
    {"cp $L/appendonly.aof.1.base.rdb $L/appendonly.aof.0.base.rdb && "
     "sed -i -e '1i file appendonly.aof.0.base.rdb seq 1 type h' -e '/^#crc64/d' "
     "$L/appendonly.aof.manifest",
     "1 files are history", "its history is gone"},
    {"mkdir incoming incoming/shard-0000", "was cut off before its commit", "that is settled"},
    {"printf x | dd of=shard-0001/dump.rdb bs=1 seek=40 conv=notrunc",
     "shard-0001/dump.rdb: at byte", NULL},
    {"printf x | dd of=$L/appendonly.aof.1.base.rdb bs=1 seek=200 conv=notrunc",
     "appendonly.aof.1.base.rdb: at byte", NULL},
    {"printf '*1\r\n$4\r\nOOPS\r\n*1\r\n$4\r\nPING\r\n' >>$L/appendonly.aof.1.incr.aof",
     "incr.aof: at byte 0: command 'OOPS' was refused", NULL},
    {"rm $L/appendonly.aof.1.base.rdb", "the manifest names it, but it does not exist", NULL},
    {"rm $L/appendonly.aof.manifest", "0 manifests", NULL},
    {"echo nonsense >$L/appendonly.aof.manifest", "manifest line 1", NULL},
    {"rm -r shard-0001", "shard-0001: No such file", NULL},
    {"cp -r shard-0001 shard-0002", "no shard of this pool has this folder", NULL},
    {"rm pool.json", "there is no pool.json", NULL},
    {"mv pool.json restore-unfinished", "A restore was cut off: run it again", NULL},
    {"echo {} >pool.json", "pool.json is not usable", NULL},
};

/* What --fix does not repair it leaves as it is. */
static void test_check(void **state) {
    struct pool *pool = pool_of(2, "yes");
    free(run_remuda(0, "import %s --dir %s --workers 2", FIXTURE, pool->data));
    pool_start_again(pool);
    expect_fixture(pool);
    assert_int_equal(pool_stop(pool), 0);
    char *said = run_remuda(0, "check %s", pool->data);
    expect_said(said, "shard-0001/dump.rdb: ");
    expect_said(said, "RDB version 10, 7 keys, checksum verified");
    expect_said(said, "appendonly.aof.manifest: manifest of 2 files");
    expect_said(said, "All is well");
    free(said);
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        int code;
        const struct damage *damage = &damages[i];
        free(run_shell(&code,
                       "set -e; rm -rf %s/d; cp -a %s %s/d; cd %s/d; "
                       "L=shard-0000/appendonlydir; %s 2>&1",
                       directory, pool->data, directory, directory, damage->make));
        assert_int_equal(code, 0);
        char *sum = run_shell(&code, "cd %s/d; find . -type f | sort | xargs cksum", directory);
        said = run_remuda(1, "check %s/d", directory);
        expect_said(said, damage->found);
        expect_said(said, "PROBLEM");
        free(said);
        char *again = run_shell(&code, "cd %s/d; find . -type f | sort | xargs cksum", directory);
        assert_string_equal(sum, again);
        free(again);
        said = run_remuda(damage->fixed ? 0 : 1, "check %s/d --fix", directory);
        if (damage->fixed) {
            expect_said(said, damage->fixed);
            free(run_remuda(0, "check %s/d", directory));
        } else {
            again = run_shell(&code, "cd %s/d; find . -type f | sort | xargs cksum", directory);
            assert_string_equal(sum, again);
            free(again);
        }
        free(said);
        free(sum);
    }
    pool_end(&pool);
}

static void test_check_while_a_pool_runs(void **state) {
    struct pool *pool = pool_start(NULL);
    char *said = run_remuda(1, "check %s", pool->data);
    expect_said(said, "a pool runs on");
    free(said);
    pool_end(&pool);
}

/* Of a real server, and single files. */
static void test_check_others(void **state) {
    char *said = run_remuda(0, "check tests/fixtures/redis-7.0-aof");
    expect_said(said, "log of 24 commands, no checksums");
    free(said);
    said = run_remuda(0, "check tests/fixtures/redis-6-single.aof");
    expect_said(said, "1 keys, checksum verified, then log of 2 commands");
    free(said);
    said = run_remuda(1, "check %s/absent", directory);
    expect_said(said, "does not exist");
    free(said);
    said = run_remuda(1, "check %s", directory);
    expect_said(said, "nothing is in it");
    free(said);
    int code;
    free(run_shell(&code, "head -c 150 tests/fixtures/redis-6-single.aof >%s/cut.aof", directory));
    said = run_remuda(0, "check %s/cut.aof --fix", directory);
    expect_said(said, "quarantine/cut.aof.at-");
    free(said);
    free(run_remuda(0, "check %s/cut.aof", directory));
}

static void test_usage(void **state) {
    static const char *const tools[] = {"import", "export", "check"};
    for (unsigned i = 0; i < 3; i++) {
        char *said = run_remuda(2, "%s", tools[i]);
        expect_said(said, "usage: remuda ");
        free(said);
        said = run_remuda(1, "%s x --no-such-option 1", tools[i]);
        expect_said(said, "unknown option");
        free(said);
    }
    int code;
    char *said = run_shell(&code, "'%s/remuda-worker' check x - look 2>&1", pool_build());
    assert_int_equal(code, 70);
    expect_said(said, "is started by remuda");
    free(said);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_import_a_snapshot, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_import_into_a_pool_with_logs, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_import_refuses_damage, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_import_refuses_a_pool, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_redistribute_snapshots, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_redistribute_logs, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_redistribute_logs_not_asked_for, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_what_stays, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_stray_keys, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_auto_keeps_the_shards, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_told_to_stop, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_export, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_snapshots, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_check, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_check_while_a_pool_runs, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_check_others, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_usage, setup, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
