/* 94_disk_faults.c - a disk that is full, that fails a write, a sync or a rename, a limit on files, a fork
 * that is refused: in the log, its rewrite and its manifest, BGSAVE and SAVE of shard 1 of three.
 *
 * Each fault is a row. Under it the shard refuses writes with Redis's words, or goes on, as the row says; it
 * gives reads all the time; /status says why; the other shards do not notice. Without it all is well by
 * itself or with the next attempt, and after a kill -9 everything acknowledged is there. A file whose sync
 * failed is never synced again. */
#include "tests/integration/disk.h"
#include "tests/integration/shard_files.h"
#include "tests/integration/strace.h"
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

enum { KEYS = 10, BIG_BYTES = 20000, PATH_BYTES = 300 };

enum target { IN_LOG, IN_REWRITE, IN_BGSAVE, IN_SAVE };
enum effect { LOG_REFUSES, SNAPSHOT_REFUSES, GOES_ON };

static const struct fault {
    const char *name;
    enum target target;
    const char *appendfsync;   /* NULL: no log */
    const char *calls, *error; /* for strace, which makes them fail so; NULL: */
    bool limit;                /* a limit on the size of files if set, else a full disk */
    const char *file;          /* calls on this one only: %d is the worker's pid */
    enum effect effect;
    int number; /* what the messages say */
} faults[] = {
#define LOG    "appendonlydir/appendonly.aof.1.incr.aof"
#define NEXT   "appendonlydir/appendonly.aof.2.incr.aof"
#define BASE   "appendonlydir/temp-rewriteaof-%d.rdb"
#define NAMES  "appendonlydir/temp-appendonly.aof.manifest"
#define BGSAVE "temp-bg-%d.rdb"
#define SAVE   "temp-%d.rdb"
#define SYNCS  "fsync,fdatasync"
    {"log, write, always", IN_LOG, "always", "write", "EIO", false, LOG, LOG_REFUSES, EIO},
    {"log, write, everysec", IN_LOG, "everysec", "write", "EIO", false, LOG, LOG_REFUSES, EIO},
    {"log, write, no", IN_LOG, "no", "write", "ENOSPC", false, LOG, LOG_REFUSES, ENOSPC},
    {"log, short writes, always", IN_LOG, "always", NULL, NULL, true, NULL, LOG_REFUSES, EFBIG},
    {"log, short writes, everysec", IN_LOG, "everysec", NULL, NULL, true, NULL, LOG_REFUSES, EFBIG},
    {"log, disk full, always", IN_LOG, "always", NULL, NULL, false, NULL, LOG_REFUSES, ENOSPC},
    {"log, disk full, everysec", IN_LOG, "everysec", NULL, NULL, false, NULL, LOG_REFUSES, ENOSPC},
    {"log, sync, always", IN_LOG, "always", SYNCS, "EIO", false, NULL, LOG_REFUSES, EIO},
    {"log, sync, everysec", IN_LOG, "everysec", SYNCS, "EIO", false, NULL, LOG_REFUSES, EIO},
    {"log, sync without room", IN_LOG, "always", SYNCS, "ENOSPC", false, NULL, LOG_REFUSES, ENOSPC},
    {"rewrite, sync of the old file, no", IN_REWRITE, "no", SYNCS, "EIO", false, NULL, LOG_REFUSES,
     EIO},
    {"rewrite, write", IN_REWRITE, "everysec", "write", "ENOSPC", false, BASE, GOES_ON, ENOSPC},
    {"rewrite, sync", IN_REWRITE, "always", "fsync", "EIO", false, BASE, GOES_ON, EIO},
    {"rewrite, fork", IN_REWRITE, "everysec", "clone", "EAGAIN", false, NULL, GOES_ON, EAGAIN},
    {"rewrite, rename", IN_REWRITE, "everysec", "rename", "EIO", false, NULL, GOES_ON, EIO},
    {"rewrite, new increment", IN_REWRITE, "everysec", "openat", "EMFILE", false, NEXT, GOES_ON,
     EMFILE},
    {"manifest, write", IN_REWRITE, "everysec", "write", "ENOSPC", false, NAMES, GOES_ON, ENOSPC},
    {"manifest, sync", IN_REWRITE, "always", "fsync", "EIO", false, NAMES, GOES_ON, EIO},
    {"manifest, rename", IN_REWRITE, "everysec", "renameat", "EIO", false, NULL, GOES_ON, EIO},
    {"rewrite, sync of the folder, new increment", IN_REWRITE, "everysec", "fsync", "EIO:when=1",
     false, "appendonlydir", GOES_ON, EIO},
    {"manifest, last step, after its rename", IN_REWRITE, "everysec", "fsync", "EIO:when=2", false,
     "appendonlydir", GOES_ON, EIO},
    {"rewrite, sync of the folder, base", IN_REWRITE, "everysec", "fsync", "EIO:when=3", false,
     "appendonlydir", GOES_ON, EIO},
    {"manifest of the commit, last step", IN_REWRITE, "everysec", "fsync", "EIO:when=4", false,
     "appendonlydir", GOES_ON, EIO},
    {"BGSAVE, write", IN_BGSAVE, NULL, "write", "EIO", false, BGSAVE, SNAPSHOT_REFUSES, EIO},
    {"BGSAVE, sync", IN_BGSAVE, NULL, "fsync", "EIO", false, NULL, SNAPSHOT_REFUSES, EIO},
    {"BGSAVE, rename", IN_BGSAVE, NULL, "renameat", "EIO", false, NULL, SNAPSHOT_REFUSES, EIO},
    {"BGSAVE, fork", IN_BGSAVE, NULL, "clone", "EAGAIN", false, NULL, SNAPSHOT_REFUSES, EAGAIN},
    {"BGSAVE, disk full", IN_BGSAVE, NULL, NULL, NULL, false, NULL, SNAPSHOT_REFUSES, ENOSPC},
    {"BGSAVE, limit", IN_BGSAVE, NULL, NULL, NULL, true, NULL, SNAPSHOT_REFUSES, EFBIG},
    {"SAVE, write", IN_SAVE, NULL, "write", "EIO", false, SAVE, SNAPSHOT_REFUSES, EIO},
    {"SAVE, sync", IN_SAVE, NULL, "fsync", "EIO", false, NULL, SNAPSHOT_REFUSES, EIO},
    {"SAVE, rename", IN_SAVE, NULL, "renameat", "EIO", false, NULL, SNAPSHOT_REFUSES, EIO},
    {"SAVE, disk full", IN_SAVE, NULL, NULL, NULL, false, NULL, SNAPSHOT_REFUSES, ENOSPC},
};
enum { FAULTS = sizeof(faults) / sizeof(faults[0]) };

static struct strace strace;
static struct disk disk;
static struct pool *pool;
static bool taken;                     /* the patient's write */
static redisContext *client, *patient; /* one that is never kept waiting, one that may be */

/* ---- the fault ---- */

static bool by_strace(const struct fault *f) {
    return f->calls != NULL;
}
static bool full_disk(const struct fault *f) {
    return !f->calls && !f->limit;
}

static const char *filler(void) {
    static char path[100];
    snprintf(path, sizeof(path), "%s/filler", disk.path);
    return path;
}

/* Shard 1 moves to a small disk of its own. */
static void move_to_small_disk(void) {
    int code;
    assert_int_equal(pool_stop(pool), 0);
    disk_make_tmpfs(&disk, "8m");
    free(run_shell(&code, "rm -rf %2$s/shard-0001 && ln -s %1$s %2$s/shard-0001", disk.path,
                   pool->data));
    assert_int_equal(code, 0);
    pool_start_again(pool);
}

static void limit_files(rlim_t bytes) {
    struct rlimit limit = {bytes, RLIM_INFINITY};
    assert_int_equal(prlimit(pool_worker_pid(pool, 1), RLIMIT_FSIZE, &limit, NULL), 0);
}

static void begin_fault(const struct fault *f) {
    char path[PATH_BYTES], name[100], inject[100];
    int code;
    pid_t worker = pool_worker_pid(pool, 1);
    if (by_strace(f)) {
        snprintf(name, sizeof(name), f->file ? f->file : "", (int)worker); /* NOLINT: a row's */
        snprintf(path, sizeof(path), "%s", shard_file(pool, 1, name));
        snprintf(inject, sizeof(inject), "%s:error=%s", f->calls, f->error);
        strace_attach(&strace, pool, worker, f->calls, inject, f->file ? path : NULL);
    } else if (f->limit) {
        limit_files(f->target == IN_LOG ? (rlim_t)file_size(shard_file(pool, 1, LOG)) + 100 : 100);
    } else {
        free(run_shell(&code, "cat /dev/zero >%s 2>/dev/null", filler()));
    }
}

static void end_fault(const struct fault *f) {
    if (by_strace(f))
        strace_detach(&strace);
    else if (f->limit)
        limit_files(RLIM_INFINITY);
    else
        assert_int_equal(unlink(filler()), 0);
}

/* ---- what is asked, and what becomes of it ---- */

static unsigned count_in_log(const char *text) {
    int code;
    char *found = run_shell(&code, "grep -aFc -- '%s' %s", text, pool->log);
    unsigned count = (unsigned)strtoul(found, NULL, 10);
    free(found);
    return count;
}

static void order(const char *command) {
    redisContext *c = pool_connect_worker(pool, 1);
    freeReplyObject(expect_reply(c, command));
    redisFree(c);
}

/* A write whose reply may take as long as the trouble does. */
static void write_and_go_on(void) {
    char value[BIG_BYTES + 1];
    int done = 0;
    memset(value, 'v', BIG_BYTES);
    value[BIG_BYTES] = 0;
    redisAppendCommand(patient, "SET %s %s", pool_key(pool, 1, 100), value);
    while (!done)
        assert_int_equal(redisBufferWrite(patient, &done), REDIS_OK);
}

static void run_into(const struct fault *f) {
    unsigned failed = count_in_log("Background AOF rewrite failed");
    redisContext *c;
    switch (f->target) {
    case IN_LOG: write_and_go_on(); break;
    case IN_REWRITE:
        order("BGREWRITEAOF");
        if (f->effect == GOES_ON)
            AWAIT(count_in_log("Background AOF rewrite failed") > failed);
        break;
    case IN_BGSAVE: order("BGSAVE"); break;
    case IN_SAVE:
        c = pool_connect_worker(pool, 1);
        expect_error(c, "ERR ", "SAVE");
        redisFree(c);
        break;
    }
}

static bool in_status(const char *name) {
    return pool_number(pool, "workers.1.persistence.%s", name) == 1;
}
static const char *note(void) {
    return pool_text(pool, "workers.1.note");
}

static void expect_effect(const struct fault *f) {
    char refusal[100];
    const char *key = pool_key(pool, 1, 1);
    snprintf(refusal, sizeof(refusal), "MISCONF Errors writing to the AOF file: %s",
             strerror(f->number));
    switch (f->effect) {
    case LOG_REFUSES:
        AWAIT(!in_status("aof_ok"));
        expect_error(client, refusal, "SET %s no", key);
        break;
    case SNAPSHOT_REFUSES:
        AWAIT(!in_status("snapshot_last_ok"));
        expect_error(client, "MISCONF Redis is configured to save RDB snapshots", "SET %s no", key);
        break;
    case GOES_ON: expect_text(client, "OK", "SET %s meanwhile", key); break;
    }
    AWAIT(strstr(note(), strerror(f->number)) != NULL);
    expect_text(client, "before", "GET %s", pool_key(pool, 1, 0));
    for (unsigned shard = 0; shard < 3; shard += 2)
        expect_text(client, "OK", "SET %s meanwhile", pool_key(pool, shard, 1));
}

static bool takes_writes(void) {
    redisReply *reply = redisCommand(client, "SET %s after", pool_key(pool, 1, 2));
    bool good = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return good;
}

/* By itself, or with the next attempt. */
static void expect_return(const struct fault *f) {
    unsigned finished = count_in_log("Background AOF rewrite finished");
    if (f->target == IN_BGSAVE || f->target == IN_SAVE)
        order(f->target == IN_BGSAVE ? "BGSAVE" : "SAVE");
    if (f->effect == GOES_ON) {
        order("BGREWRITEAOF");
        AWAIT(count_in_log("Background AOF rewrite finished") > finished);
    }
    AWAIT(takes_writes());
    AWAIT(note()[0] == 0);
    AWAIT(in_status("snapshot_last_ok"));
    if (f->target != IN_LOG)
        return;
    redisReply *reply;
    assert_int_equal(redisGetReply(patient, (void **)&reply), REDIS_OK);
    /* A sync of what was written before may have failed before it came. */
    taken = reply->type == REDIS_REPLY_STATUS;
    if (!taken && strncmp(reply->str, "MISCONF ", 8) != 0)
        fail_msg("%s: the write that met it was answered with %s", f->name, reply->str);
    freeReplyObject(reply);
}

/* Of the files of the log: none was synced again after it had failed. */
static void expect_no_second_sync(const struct fault *f) {
    int code;
    if (!by_strace(f) || strcmp(f->calls, SYNCS) != 0)
        return;
    assert_true(strace_count(&strace, "incr.aof>.*INJECTED") > 0);
    char *again =
        run_shell(&code,
                  "grep -aoE 'f(data)?sync.[0-9]+<[^>]*incr.aof>' %s | sed 's/.*<//' | sort | "
                  "uniq -d",
                  strace.log);
    if (again[0])
        fail_msg("synced again after a failure: %s", again);
    free(again);
}

static void expect_data_after_crash(const struct fault *f, bool crash_at_once) {
    pid_t pids[POOL_WORKERS_MAX + 2];
    unsigned count = pool_pids(pool, pids);
    pool_signal(pool, SIGKILL);
    for (unsigned i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    assert_int_equal(pool_await_exit(pool), -SIGKILL);
    for (unsigned i = 0; i < count; i++)
        AWAIT(process_gone(pids[i]));
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    for (unsigned k = 0; k < KEYS; k++)
        expect_integer(c, 1, "EXISTS %s", pool_key(pool, 1, k));
    if (f->appendfsync) { /* else the last snapshot is older */
        expect_text(c, crash_at_once ? "before" : "after", "GET %s", pool_key(pool, 1, 2));
        expect_text(c, f->effect == GOES_ON ? "meanwhile" : "before", "GET %s",
                    pool_key(pool, 1, 1));
        expect_text(c, "meanwhile", "GET %s", pool_key(pool, 2, 1));
    }
    if (f->target == IN_LOG && taken)
        expect_integer(c, BIG_BYTES, "STRLEN %s", pool_key(pool, 1, 100));
    redisFree(c);
}

static void try_fault(const struct fault *f, bool crash_at_once) {
    print_message("%s%s\n", f->name, crash_at_once ? ", and a crash" : "");
    pool = pool_start(&(struct pool_options){
        .deaths = true,
        .options = {"--appendonly", f->appendfsync ? "yes" : "no", "--appendfsync",
                    f->appendfsync ? f->appendfsync : "no", "--save",
                    f->appendfsync ? "" : "100000 100000", "--heartbeat-timeout", "20000",
                    "--auto-aof-rewrite-percentage", "0"}});
    if (full_disk(f))
        move_to_small_disk();
    client = pool_connect(pool);
    patient = pool_connect(pool);
    for (unsigned shard = 0; shard < 3; shard++) {
        for (unsigned k = 0; k < KEYS; k++)
            expect_text(client, "OK", "SET %s before", pool_key(pool, shard, k));
    }
    if (!f->appendfsync)
        expect_text(client, "OK", "SAVE");
    begin_fault(f);
    run_into(f);
    expect_effect(f);
    end_fault(f);
    if (!crash_at_once)
        expect_return(f);
    expect_no_second_sync(f);
    redisFree(client);
    redisFree(patient);
    expect_data_after_crash(f, crash_at_once);
    assert_int_equal(pool_stop(pool), 0);
    pool_end(&pool);
    disk_free(&disk);
}

static bool wanted(const struct fault *f) {
    const char *only = getenv("FAULT");
    return !only || strstr(f->name, only);
}

static void try_faults(bool strace_rows) {
    for (const struct fault *f = faults; f < faults + FAULTS; f++) {
        if (by_strace(f) != strace_rows || !wanted(f))
            continue;
        try_fault(f, false);
        if (f->effect == GOES_ON)
            try_fault(f, true);
    }
}

static void test_disk_and_limit(void **state) {
    try_faults(false);
}

static void test_failing_calls(void **state) {
    strace_needed();
    try_faults(true);
}

static int cleanup(void **state) {
    strace_detach(&strace);
    pools_cleanup(state);
    disk_free(&disk);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_disk_and_limit, cleanup),
        cmocka_unit_test_teardown(test_failing_calls, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
