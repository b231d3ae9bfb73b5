/* 75_dashboard.c - the page, drawn by a real browser from a pool that runs. */
#include "tests/integration/pool_fixture.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

static void browser_needed(void) {
    int code;
    free(run_shell(&code, "command -v chromium"));
    if (code == 0)
        return;
    print_message("skipped, chromium is not installed\n");
    skip();
}

/* The browser's own profile is in the pool's directory, and goes with it. Freed by the caller. */
static char *browse(const struct pool *pool, const char *more) {
    int code;
    char *text = run_shell(
        &code,
        "timeout -k 5 90 chromium --headless --no-sandbox --disable-gpu --disable-dev-shm-usage "
        "--no-first-run --disable-extensions --disable-background-networking --disable-sync "
        "--user-data-dir='%s/browser' --virtual-time-budget=6000 --timeout=30000 %s "
        "http://127.0.0.1:%d/ 2>'%s/browser.log'",
        pool->dir, more, pool->status_port, pool->dir);
    if (code != 0)
        fail_msg("chromium ended with %d", code);
    return text;
}

static void expect_shown(const char *page, const char *words) {
    if (!strstr(page, words))
        fail_msg("the page does not show: %s\n%.3000s", words,
                 strstr(page, "<main") ? strstr(page, "<main") : page);
}

/* Nothing from elsewhere, and no script but its own. */
static void test_self_contained(void **state) {
    struct pool *pool = pool_start(NULL);
    struct http_reply page = http_get(pool->status_port, "/");
    assert_int_equal(page.status, 200);
    assert_non_null(strstr(page.head, "Content-Security-Policy: default-src 'none'"));
    assert_non_null(strstr(page.head, "text/html"));
    static const char *const outside[] = {"src=", "@import", "url(", "//cdn", "https://"};
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++) {
        if (strstr(page.body, outside[i]))
            fail_msg("the page contains %s", outside[i]);
    }
    assert_null(strstr(page.body, "@NONCE@"));
    assert_non_null(strstr(page.body, "name=\"viewport\""));
    http_free(&page);
    pool_end(&pool);
}

static void test_shows_the_pool(void **state) {
    browser_needed();
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}});
    redisContext *c = pool_connect(pool);
    for (unsigned k = 0; k < 1234; k++)
        expect_text(c, "OK", "SET k%u v", k);
    AWAIT(pool_number(pool, "pool.keys") == 1234);
    char *page = browse(pool, "--dump-dom");
    expect_shown(page, "Shard 0");
    expect_shown(page, "Shard 2");
    assert_null(strstr(page, "Shard 3"));
    expect_shown(page, "1,234");
    expect_shown(page, "serving");
    expect_shown(page, "over 3 shards");
    expect_shown(page, "On disk");
    assert_null(strstr(page, "Asking the pool"));
    free(page);
    redisFree(c);
    pool_end(&pool);
}

static void test_shows_what_is_wrong(void **state) {
    browser_needed();
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true,
        .options = {"--restart-delay-min", "600000", "--restart-delay-max", "600000"}});
    assert_int_equal(kill(pool_worker_pid(pool, 1), SIGKILL), 0);
    AWAIT(strcmp(pool_text(pool, "workers.1.state"), "waiting") == 0);
    char *page = browse(pool, "--dump-dom");
    expect_shown(page, "waiting to restart");
    expect_shown(page, "killed by SIGKILL");
    free(page);
    assert_int_equal(pool_stop(pool), 1);
    pool_end(&pool);
}

static void test_shows_what_waits(void **state) {
    browser_needed();
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--snapshot-memory-percent", "1000000000"}});
    redisContext *c = pool_connect(pool);
    expect_text(c, "Background saving started", "BGSAVE");
    AWAIT(strcmp(pool_text(pool, "workers.1.fork_wait.reason"), "memory") == 0);
    char *page = browse(pool, "--dump-dom");
    expect_shown(page, "A save waits for memory");
    expect_shown(page, " may be needed, ");
    expect_shown(page, "under way, 0 changes since the last");
    free(page);
    redisFree(c);
    pool_end(&pool);
}

/* ---- replication ---- */
static void follow(redisContext *c, int port) {
    expect_text(c, "OK", "REPLICAOF 127.0.0.1 %d", port);
}

static void test_shows_replication(void **state) {
    browser_needed();
    struct pool *primary = pool_start(&(struct pool_options){.workers = 2});
    struct pool *replica = pool_start(&(struct pool_options){.workers = 2});
    redisContext *c = pool_connect(primary), *r = pool_connect(replica);
    char words[128];
    char *page = browse(primary, "--dump-dom");
    expect_shown(page, "id=\"replication\" class=\"hidden\"");
    free(page);
    follow(r, primary->port);
    AWAIT(pool_number(replica, "pool.replication.links_up") == 2);
    for (unsigned k = 0; k < 100; k++)
        expect_text(c, "OK", "SET k%u v", k);
    AWAIT(pool_number(primary, "workers.1.replication.replicas.0.behind_bytes") == 0 &&
          pool_number(primary, "workers.1.replication.replicas.0.offset") > 100);
    assert_int_equal(pool_number(primary, "workers.0.replication.full_syncs"), 1);
    redisReply *info = redisCommand(c, "INFO replication");
    snprintf(words, sizeof(words),
             "shard1_replica0:ip=127.0.0.1,port=%d,public_port=%d,state=online,offset=",
             replica->worker_port + 1, replica->port);
    assert_non_null(strstr(info->str, words));
    assert_non_null(strstr(info->str, "shard0_replication:offset="));
    freeReplyObject(info);
    page = browse(primary, "--dump-dom");
    expect_shown(page, "a primary, followed by 2 links");
    snprintf(words, sizeof(words), "127.0.0.1:%d", replica->worker_port + 1);
    expect_shown(page, words);
    expect_shown(page, "online");
    free(page);
    page = browse(replica, "--dump-dom");
    snprintf(words, sizeof(words), "a replica of 127.0.0.1 %d, 2 of 2 links up", primary->port);
    expect_shown(page, words);
    expect_shown(page, "connected");
    expect_shown(page, "1 full, 0 partial");
    free(page);
    redisFree(c);
    redisFree(r);
    pool_end(&replica);
    pool_end(&primary);
}

/* A primary that answers as a Redis does, and stops within its snapshot. */
struct slow_primary {
    pthread_t thread;
    int listener, port;
};

static void *serve_slowly(void *arg) {
    struct slow_primary *p = arg;
    char line[512];
    int fd;
    while ((fd = accept(p->listener, NULL, NULL)) >= 0) {
        FILE *in = fdopen(fd, "r");
        while (fgets(line, sizeof(line), in)) {
            if (strncasecmp(line, "PSYNC\r", 6) == 0)
                dprintf(fd, "+FULLRESYNC %040d 1000\r\n$4000000\r\n%01000000d", 7, 0);
            else if (strncasecmp(line, "INFO", 4) == 0)
                dprintf(fd, "$0\r\n\r\n");
            else if (strncasecmp(line, "PING", 4) == 0)
                dprintf(fd, "+PONG\r\n");
            else if (strncasecmp(line, "REPLCONF", 8) == 0)
                dprintf(fd, "+OK\r\n");
        }
        fclose(in);
    }
    return NULL;
}

static void slow_primary_start(struct slow_primary *p) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&address, &len), 0);
    p->port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&p->thread, NULL, serve_slowly, p), 0);
}

static void test_shows_a_full_sync(void **state) {
    browser_needed();
    struct slow_primary slow;
    slow_primary_start(&slow);
    struct pool *replica = pool_start(&(struct pool_options){.workers = 2});
    redisContext *r = pool_connect(replica);
    follow(r, slow.port);
    AWAIT(pool_number(replica, "workers.0.replication.primaries.0.sync.bytes_done") == 1000000);
    char *page = browse(replica, "--dump-dom");
    expect_shown(page, "receiving the snapshot");
    expect_shown(page, "of 3.8 MB · 25 %");
    expect_shown(page, "aria-valuenow=\"25\"");
    free(page);
    follow(r, 1); /* nobody is there */
    AWAIT(strstr(pool_text(replica, "workers.0.replication.primaries.0.trouble"), "refused"));
    page = browse(replica, "--dump-dom");
    expect_shown(page, "Connection refused");
    free(page);
    shutdown(slow.listener, SHUT_RDWR);
    pthread_join(slow.thread, NULL);
    close(slow.listener);
    redisFree(r);
    pool_end(&replica);
}

/* Width and height of a PNG stand in its first chunk. */
static unsigned png_number(const unsigned char *at) {
    return (unsigned)at[0] << 24 | (unsigned)at[1] << 16 | (unsigned)at[2] << 8 | at[3];
}

static void test_picture(void **state) {
    browser_needed();
    static const unsigned widths[] = {1280, 500};
    struct pool *pool = pool_start(NULL);
    for (unsigned i = 0; i < 2; i++) {
        char options[256], path[128];
        unsigned char head[24];
        snprintf(path, sizeof(path), "%s/page.png", pool->dir);
        snprintf(options, sizeof(options),
                 "--hide-scrollbars --window-size=%u,900 --screenshot='%s'", widths[i], path);
        free(browse(pool, options));
        FILE *file = fopen(path, "rb");
        assert_non_null(file);
        assert_int_equal(fread(head, 1, sizeof(head), file), sizeof(head));
        fseek(file, 0, SEEK_END);
        /* An empty page packs to a few kilobytes. */
        assert_true(ftell(file) > 15000);
        fclose(file);
        assert_memory_equal(head + 1, "PNG", 3);
        assert_int_equal(png_number(head + 16), widths[i]);
    }
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_self_contained, pools_cleanup),
        cmocka_unit_test_teardown(test_shows_the_pool, pools_cleanup),
        cmocka_unit_test_teardown(test_shows_what_is_wrong, pools_cleanup),
        cmocka_unit_test_teardown(test_shows_what_waits, pools_cleanup),
        cmocka_unit_test_teardown(test_shows_replication, pools_cleanup),
        cmocka_unit_test_teardown(test_shows_a_full_sync, pools_cleanup),
        cmocka_unit_test_teardown(test_picture, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
