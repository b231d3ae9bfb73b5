/* 93_kill_points.c - kill -9 at every system call that changes names or syncs, while a log is rewritten,
 * a snapshot is taken, a shard starts on a log with a cut end: for each such call the first, the second,
 * the third ... made by any thread or child, until the operation is through without having met it. Then
 * the shard must be back by itself with every write that was acknowledged, and no temporary file.
 *
 * A few of the points; REMUDA_KILL_POINTS=all takes all of them. An operation is a row of `operations`. */
#include "tests/integration/load.h"
#include "tests/integration/shard_files.h"
#include "tests/integration/strace.h"
#include <signal.h>

enum { FILLED_KEYS = 2000, WRITERS = 2, POINTS_MAX = 200, EXTRA_STEP = 4 };

static struct strace strace;
static struct load load;
static bool loading;

struct operation {
    const char *name, *appendonly;
    bool starts; /* the worker that counts is yet to be started */
    void (*begin)(struct pool *pool);
    const char *ended; /* the pool's log says so, as an extended regular expression */
};

/* ---- the operations ---- */

static void order(struct pool *pool, const char *command) {
    redisContext *c = pool_connect_worker(pool, 0);
    freeReplyObject(redisCommand(c, command)); /* the worker may die of it */
    redisFree(c);
}
static void begin_rewrite(struct pool *pool) {
    order(pool, "BGREWRITEAOF");
}
static void begin_snapshot(struct pool *pool) {
    order(pool, "BGSAVE");
}

/* The log's end is cut while nobody has it, and the supervisor starts the next worker. */
static void begin_start(struct pool *pool) {
    int code;
    pid_t pid = pool_worker_pid(pool, 0);
    kill(pool->pid, SIGSTOP); /* no other worker yet */
    kill(pid, SIGKILL);
    AWAIT(process_gone(pid));
    free(run_shell(
        &code,
        "f=$(ls -v %s/*.incr.aof | tail -n 1) && printf '*3\\r\\n$3\\r\\nSET\\r\\n$4\\r\\nlo' >>$f",
        shard_file(pool, 0, "appendonlydir")));
    assert_int_equal(code, 0);
    kill(pool->pid, SIGCONT);
}

static const struct operation operations[] = {
    {"rewrite", "yes", false, begin_rewrite, "Background AOF rewrite (finished|failed)"},
    {"snapshot", "yes", false, begin_snapshot, "Background saving (terminated|error)"},
    {"start", "yes", true, begin_start, "shard 0 is up"},
};

static const char *const calls[] = {"openat",    "rename",    "renameat", "unlink",
                                    "unlinkat",  "link",      "linkat",   "fsync",
                                    "fdatasync", "ftruncate", "mkdir"};
enum { CALLS = sizeof(calls) / sizeof(calls[0]) };

/* ---- one point ---- */

static unsigned count_in_log(const struct pool *pool, const char *pattern) {
    int code;
    char *text = run_shell(&code, "grep -aEc -- '%s' %s", pattern, pool->log);
    unsigned count = (unsigned)strtoul(text, NULL, 10);
    free(text);
    return count;
}

/* What the shard has is at least what was acknowledged before it is asked. */
static void expect_nothing_lost(struct pool *pool, const char *point) {
    redisContext *c = pool_connect(pool);
    int64_t acknowledged = (int64_t)atomic_load(&load.acknowledged[0]), found = 0;
    for (unsigned i = 0; i < load.writers; i++)
        found += ask_integer(c, "INCRBY %s 0", load.writer[i].books[0].key);
    if (found < acknowledged)
        fail_msg("%s: %lld of %lld acknowledged writes are there", point, (long long)found,
                 (long long)acknowledged);
    expect_integer(c, 10, "STRLEN filled:%d", FILLED_KEYS - 1);
    redisFree(c);
}

static void expect_no_leftovers(const struct pool *pool, const char *point) {
    int code;
    char *found = run_shell(&code, "find %s -name 'temp-*'", pool->data);
    if (found[0])
        fail_msg("%s left %s", point, found);
    free(found);
}

/* True if anybody met the point. */
static bool try_point(struct pool *pool, const struct operation *op, const char *call, unsigned n) {
    char inject[64], point[96];
    snprintf(inject, sizeof(inject), "%s:signal=KILL:when=%u", call, n);
    snprintf(point, sizeof(point), "%s, %s %u", op->name, call, n);
    pid_t worker = pool_worker_pid(pool, 0);
    unsigned ended = count_in_log(pool, op->ended),
             died = count_in_log(pool, "shard 0 .pid .* died");
    if (op->starts)
        strace_next_start(&strace, call, inject);
    else
        strace_attach(&strace, pool, worker, call, inject, NULL);
    op->begin(pool);
    AWAIT(count_in_log(pool, op->ended) > ended ||
          count_in_log(pool, "shard 0 .pid .* died") > died + op->starts);
    bool met = count_in_log(pool, "shard 0 .pid .* died") > died + op->starts;
    if (!op->starts) {
        strace_detach(&strace);
        met = strace_count(&strace, "killed by SIGKILL") > 0;
    }
    pool_await_worker(pool, 0, op->starts ? worker : 0);
    if (pool_worker_pid(pool, 0) == worker ||
        (op->starts && !met)) /* still traced, or a child was hit */
        pool_kill_worker(pool, 0, SIGKILL);
    load_await(&load, 0, 5);
    expect_nothing_lost(pool, point);
    expect_no_leftovers(pool, point);
    return met;
}

/* ---- all points of an operation ---- */

static bool all_wanted(void) {
    const char *given = getenv("REMUDA_KILL_POINTS");
    return given && strcmp(given, "all") == 0;
}

static void fill(struct pool *pool) {
    redisContext *c = pool_connect(pool);
    for (int i = 0; i < FILLED_KEYS; i++)
        redisAppendCommand(c, "SET filled:%d %s", i, "0123456789");
    for (int i = 0; i < FILLED_KEYS; i++) {
        void *reply;
        assert_int_equal(redisGetReply(c, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
    redisFree(c);
}

/* Nothing but what the manifest names, once a rewrite has gone through. */
static void expect_only_named_files(struct pool *pool) {
    int code;
    const char *dir = shard_file(pool, 0, "appendonlydir");
    unsigned ended = count_in_log(pool, "Background AOF rewrite finished");
    order(pool, "BGREWRITEAOF");
    AWAIT(count_in_log(pool, "Background AOF rewrite finished") > ended);
    char *strange = run_shell(&code,
                              "cd %s && for f in *; do [ $f = appendonly.aof.manifest ] || "
                              "grep -q \"^file $f \" appendonly.aof.manifest || echo $f; done",
                              dir);
    if (strange[0])
        fail_msg("in no manifest: %s", strange);
    free(strange);
}

static void test_operation(const struct operation *op) {
    unsigned points = 0, met_points = 0;
    strace_needed();
    if (op->starts)
        strace_wrap(&strace);
    struct pool *pool = pool_start(&(struct pool_options){
        .workers = 1,
        .deaths = true,
        .options = {"--save", "", "--appendonly", op->appendonly, "--restart-limit", "1000",
                    "--restart-delay-min", "20", "--restart-delay-max", "200",
                    "--heartbeat-timeout", "20000", "--auto-aof-rewrite-percentage", "0"}});
    fill(pool);
    load_start(&load, pool, pool->port, WRITERS);
    loading = true;
    srand((unsigned)clock_mono_us());
    for (unsigned i = 0; i < CALLS; i++) {
        bool met = true;
        for (unsigned n = 1; met && n < POINTS_MAX;
             n += 1 + (all_wanted() ? 0 : (unsigned)rand() % EXTRA_STEP)) {
            met = try_point(pool, op, calls[i], n);
            met_points += met;
            points++;
        }
    }
    loading = false;
    load_stop(&load);
    load_check(&load, pool);
    expect_only_named_files(pool);
    print_message("%s: %u points tried, %u met; %lld writes doubtful, %lld refused, none lost\n",
                  op->name, points, met_points, (long long)load_doubtful(&load),
                  (long long)load_refused(&load));
    assert_true(met_points >= 3);
    pool_end(&pool);
    strace_unwrap(&strace);
}

static void test_rewrite(void **state) {
    test_operation(&operations[0]);
}
static void test_snapshot(void **state) {
    test_operation(&operations[1]);
}
static void test_start(void **state) {
    test_operation(&operations[2]);
}

static int cleanup(void **state) {
    strace_detach(&strace);
    if (loading)
        atomic_store(&load.stop, true);
    pools_cleanup(state);
    for (unsigned i = 0; loading && i < load.writers; i++)
        pthread_join(load.writer[i].thread, NULL);
    loading = false;
    strace_unwrap(&strace);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rewrite, cleanup),
        cmocka_unit_test_teardown(test_snapshot, cleanup),
        cmocka_unit_test_teardown(test_start, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
