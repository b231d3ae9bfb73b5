/* 92_power_cut.c - the power goes while clients write: an ext4 in a file is shut down so that what had
 * not reached its journal or its blocks is lost, the pool is killed, the disk comes back.
 *
 *     always        nothing that was acknowledged is missing
 *     everysec      what is missing was acknowledged within the last second, and the time of a sync
 *     RDB only      the last good snapshot is there, whole
 *
 * What counts is what was acknowledged before the ioctl that cuts the power was called. While it runs
 * ext4 now and then says 0 to one last fdatasync whose commit it has just called off (any program that
 * does nothing but write and fdatasync sees that, in about one cut of thirty); a machine without power
 * says nothing to anybody.
 *
 * Half of the cuts come while the log is rewritten or a snapshot is taken. A few cuts of each; REMUDA_CUTS=n
 * makes n of each, SEED=n the same again. Needs root and a loop device, else it is skipped. */
#include "tests/integration/disk.h"
#include "tests/integration/shard_files.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

enum {
    WRITERS = 4,
    SHARDS = 2,
    ACKS_MAX = 200000, /* of a key, in one round */
    CUTS_USUAL = 4,
    FILLED_KEYS = 4000,
    DISK_MB = 256,
    SYNC_EVERY_US = 1100000, /* a second, seen ten times a second */
    SYNC_TAKES_US = 400000   /* at most, here: more is a failure only if it adds up to this */
};

/* ---- writers who note when each write was acknowledged ---- */

struct book {
    char key[40];
    int64_t base;         /* the counter before this round */
    _Atomic int64_t acks; /* of this round */
    uint64_t at_us[ACKS_MAX];
    int64_t snapshot; /* what the last good snapshot must have */
};
struct writer {
    pthread_t thread;
    int port;
    struct book book[SHARDS];
};
static struct writer writers[WRITERS];
static atomic_bool stop;
static struct disk disk;
static struct pool *pool;

/* An increment; false if the connection broke or the server refuses. */
static bool write_once(redisContext *c, struct book *book) {
    redisReply *reply = redisCommand(c, "INCR %s", book->key);
    bool good = reply && reply->type == REDIS_REPLY_INTEGER;
    if (good)
        book->at_us[book->acks] = clock_mono_us();
    if (good)
        atomic_fetch_add(&book->acks, 1);
    freeReplyObject(reply);
    return good;
}

static void *write_on(void *arg) {
    struct writer *w = arg;
    redisContext *c = client_try_connect(w->port);
    for (bool good = c != NULL; good && !atomic_load(&stop) && w->book[0].acks < ACKS_MAX;) {
        for (unsigned i = 0; i < SHARDS && good; i++)
            good = write_once(c, &w->book[i]);
    }
    if (c)
        redisFree(c);
    return NULL;
}

static void start_writers(void) {
    atomic_store(&stop, false);
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < WRITERS; i++) {
        struct writer *w = &writers[i];
        w->port = pool->port;
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            struct book *book = &w->book[shard];
            snprintf(book->key, sizeof(book->key), "%s", pool_key(pool, shard, 1000 + i));
            book->base = ask_integer(c, "INCRBY %s 0", book->key);
            book->acks = 0;
            book->snapshot = 0;
        }
        assert_int_equal(pthread_create(&w->thread, NULL, write_on, w), 0);
    }
    redisFree(c);
}

static void join_writers(void) {
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        if (writers[i].thread)
            pthread_join(writers[i].thread, NULL);
        writers[i].thread = 0;
    }
}

/* ---- the pool on its disk ---- */

static uint64_t random_state;
static unsigned draw(unsigned limit) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(random_state >> 33) % limit;
}

static void seed(void) {
    const char *given = getenv("SEED");
    random_state = given ? strtoull(given, NULL, 10) : clock_mono_us();
    print_message("SEED=%llu\n", (unsigned long long)random_state);
}

static unsigned cuts_wanted(void) {
    const char *given = getenv("REMUDA_CUTS");
    return given ? (unsigned)strtoul(given, NULL, 10) : CUTS_USUAL;
}

/* Something for a snapshot to write. */
static void fill(void) {
    char value[101] = "";
    memset(value, 'v', sizeof(value) - 1);
    redisContext *c = pool_connect(pool);
    for (int i = 0; i < FILLED_KEYS; i++)
        redisAppendCommand(c, "SET filled:%d %s%d", i, value, i);
    for (int i = 0; i < FILLED_KEYS; i++) {
        void *reply;
        assert_int_equal(redisGetReply(c, &reply), REDIS_OK);
        freeReplyObject(reply);
    }
    redisFree(c);
}

static void start_on_disk(const char *appendonly, const char *appendfsync) {
    static char data[80];
    seed();
    disk_make_ext4(&disk, DISK_MB);
    snprintf(data, sizeof(data), "%.70s/data", disk.path);
    pool =
        pool_start(&(struct pool_options){.workers = SHARDS,
                                          .deaths = true,
                                          .options = {"--dir", data, "--save", "", "--appendonly",
                                                      appendonly, "--appendfsync", appendfsync}});
    snprintf(pool->data, sizeof(pool->data), "%s", data);
    fill();
}

static uint64_t cut_power(void) {
    pid_t pids[POOL_WORKERS_MAX + 2];
    unsigned count = pool_pids(pool, pids);
    uint64_t at_us = clock_mono_us();
    disk_power_off(&disk);
    pool_signal(pool, SIGKILL);
    for (unsigned i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    pool_await_exit(pool);
    for (unsigned i = 0; i < count; i++)
        AWAIT(process_gone(pids[i]));
    join_writers();
    return at_us;
}

/* ---- what is there afterwards ---- */

struct losses {
    unsigned cuts, with_loss;
    uint64_t acknowledged, lost, longest_us;
    uint64_t lost_in_cut; /* acknowledged while the ioctl ran */
};

static void check_book(redisContext *c, const struct book *book, uint64_t cut_us,
                       struct losses *losses) {
    int64_t value = ask_integer(c, "INCRBY %s 0", book->key) - book->base, acks = book->acks;
    losses->acknowledged += (uint64_t)acks;
    if (value < book->snapshot || value > acks + 1)
        fail_msg("%s is %lld; %lld acknowledged, %lld in a snapshot", book->key, (long long)value,
                 (long long)acks, (long long)book->snapshot);
    if (value >= acks)
        return;
    int64_t before_cut = value;
    while (before_cut < acks && book->at_us[before_cut] < cut_us)
        before_cut++;
    losses->lost += (uint64_t)(before_cut - value);
    losses->lost_in_cut += (uint64_t)(acks - before_cut);
    if (before_cut > value && cut_us - book->at_us[value] > losses->longest_us)
        losses->longest_us = cut_us - book->at_us[value];
}

static void come_back(uint64_t cut_us, struct losses *losses) {
    disk_power_on(&disk);
    pool_start_again(pool);
    redisContext *c = pool_connect(pool);
    uint64_t before = losses->lost;
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned shard = 0; shard < SHARDS; shard++)
            check_book(c, &writers[i].book[shard], cut_us, losses);
    }
    losses->cuts++;
    losses->with_loss += losses->lost > before;
    redisFree(c);
}

static void expect_filled(void) {
    redisContext *c = pool_connect(pool);
    expect_integer(c, FILLED_KEYS + WRITERS * SHARDS, "DBSIZE");
    expect_integer(c, 104, "STRLEN filled:%d", FILLED_KEYS - 1);
    redisFree(c);
}

static void print_losses(const char *what, const struct losses *losses) {
    print_message(
        "%s: %u cuts, %llu writes acknowledged, %llu lost in %u of the cuts, the oldest of them "
        "acknowledged %.3f s before; %llu more acknowledged during a cut\n",
        what, losses->cuts, (unsigned long long)losses->acknowledged,
        (unsigned long long)losses->lost, losses->with_loss, (double)losses->longest_us / 1e6,
        (unsigned long long)losses->lost_in_cut);
}

/* Half of the time a snapshot or a rewrite is under way when the power goes. */
static void wait_for_the_moment(unsigned run_ms, const char *const commands[2]) {
    usleep((run_ms / 2 + draw(run_ms)) * 1000);
    if (draw(2) == 0)
        return;
    redisContext *c = pool_connect(pool);
    freeReplyObject(redisCommand(c, commands[draw(2)]));
    redisFree(c);
    usleep(draw(60) * 1000);
}

static void cut_with_log(const char *appendfsync, unsigned run_ms, struct losses *losses) {
    static const char *const commands[] = {"BGREWRITEAOF", "BGSAVE"};
    start_on_disk("yes", appendfsync);
    usleep(SYNC_EVERY_US + SYNC_TAKES_US); /* what was filled in is older than any loss may be */
    for (unsigned n = cuts_wanted(); n > 0; n--) {
        start_writers();
        wait_for_the_moment(run_ms, commands);
        uint64_t cut_us = cut_power();
        come_back(cut_us, losses);
        expect_filled();
    }
    print_losses(appendfsync, losses);
    pool_end(&pool);
}

static void test_always(void **state) {
    struct losses losses = {0};
    cut_with_log("always", 300, &losses);
    assert_int_equal(losses.lost, 0);
    assert_true(losses.acknowledged > 0);
}

static void test_everysec(void **state) {
    struct losses losses = {0};
    cut_with_log("everysec", 1500, &losses);
    assert_true(losses.longest_us <= SYNC_EVERY_US + SYNC_TAKES_US);
}

/* What a dead worker had written and not synced is shown by the next one: it must be safe by then. */
static void test_everysec_after_a_crash(void **state) {
    struct losses losses = {0};
    start_on_disk("yes", "everysec");
    for (unsigned n = cuts_wanted() / 2; n > 0; n--) {
        start_writers();
        usleep((100 + draw(300)) * 1000);
        join_writers();
        for (unsigned shard = 0; shard < SHARDS; shard++)
            pool_kill_worker(pool, shard, SIGKILL);
        uint64_t cut_us = cut_power();
        come_back(cut_us, &losses);
        expect_filled();
    }
    print_losses("everysec, workers killed and back", &losses);
    assert_int_equal(losses.lost, 0);
    pool_end(&pool);
}

/* ---- snapshots ---- */

static int64_t snapshots(unsigned shard) {
    return pool_number(pool, "workers.%u.metrics.snapshots", shard);
}

/* A snapshot that begins now has at least what is acknowledged now. */
static void take_snapshot(bool wait) {
    int64_t acks[WRITERS][SHARDS], taken[SHARDS];
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned shard = 0; shard < SHARDS; shard++)
            acks[i][shard] = writers[i].book[shard].acks;
    }
    for (unsigned shard = 0; shard < SHARDS; shard++)
        taken[shard] = snapshots(shard);
    redisContext *c = pool_connect(pool);
    freeReplyObject(expect_reply(c, "BGSAVE"));
    redisFree(c);
    if (!wait)
        return;
    for (unsigned shard = 0; shard < SHARDS; shard++)
        AWAIT(snapshots(shard) > taken[shard]);
    for (unsigned i = 0; i < WRITERS; i++) {
        for (unsigned shard = 0; shard < SHARDS; shard++)
            writers[i].book[shard].snapshot = acks[i][shard];
    }
}

static void test_snapshots(void **state) {
    struct losses losses = {0};
    start_on_disk("no", "everysec");
    for (unsigned n = cuts_wanted(); n > 0; n--) {
        start_writers();
        usleep((20 + draw(100)) * 1000);
        take_snapshot(true);
        usleep(draw(100) * 1000);
        if (draw(4) > 0)
            take_snapshot(false);
        usleep(draw(40) * 1000);
        uint64_t cut_us = cut_power();
        come_back(cut_us, &losses);
        expect_filled();
    }
    print_losses("snapshots alone (what came after them is lost, as agreed)", &losses);
    pool_end(&pool);
}

static int cleanup(void **state) {
    join_writers();
    pools_cleanup(state);
    disk_free(&disk);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_always, cleanup),
        cmocka_unit_test_teardown(test_everysec, cleanup),
        cmocka_unit_test_teardown(test_everysec_after_a_crash, cleanup),
        cmocka_unit_test_teardown(test_snapshots, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
