/* 75_dashboard.c - the page, drawn by a real browser from a pool that runs. */
#include "tests/integration/pool_fixture.h"
#include <signal.h>

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
        cmocka_unit_test_teardown(test_picture, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
