/* 80_command_line.c - the operator's side: arguments, files, signals to a service manager, install. */
#include "tests/integration/pool_fixture.h"
#include <errno.h>
#include <hiredis/hiredis.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

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

/* ---- --check ---- */

struct bad {
    const char *ini, *line, *words[3];
};

static const struct bad bad[] = {
    {"[limits]\nmaxmemry = 1\n", ":2: ", {"maxmemry", "maxmemory"}},
    {"[limits]\n\n\nmaxmemory = lots\n", ":4: ", {"maxmemory", "memory value"}},
    {"[pool]\nworkers = 0\n", ":2: ", {"workers", "128"}},
    {"[pool]\nworkers = 2\nworkers = 3\n", ":3: ", {"workers"}},
    {"[persistence]\nappendfsync = sometimes\n", ":2: ", {"appendfsync", "everysec", "always"}},
    {"[network]\nmaxmemory = 1\n", ":2: ", {"maxmemory", "limits"}},
    {"[nowhere]\nport = 1\n", ":", {"nowhere"}},
    {"[network]\nport 6379\n", ":2: ", {0}},
    {"[network]\nport = 65536\n", ":2: ", {"port", "65535"}},
    {"[security]\nprotected-mode = perhaps\n", ":2: ", {"protected-mode", "'yes' or 'no'"}},
    {"[persistence]\nsave = 60\n", ":2: ", {"save"}},
    {"[network]\nport = 7000\n\n[status]\nstatus-port = 7000\n", ":5: ", {"port", "both"}},
    {"[network]\nport = 8379\n", ":2: ", {"status-port", "both"}},
    {"[supervision]\nrestart-delay-min = 40000\n", ":2: ", {"restart-delay-max"}},
};

static void test_check_refuses(void **state) {
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int code;
        char path[128];
        snprintf(path, sizeof(path), "%s/pool.ini", directory);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(bad[i].ini, file);
        fclose(file);
        char *said = run_shell(&code, "'%s/remuda' --check '%s' 2>&1", pool_build(), path);
        if (code != 1)
            fail_msg("exit code %d for %s", code, bad[i].ini);
        expect_said(said, path);
        expect_said(said, bad[i].line);
        for (unsigned w = 0; w < 3 && bad[i].words[w]; w++)
            expect_said(said, bad[i].words[w]);
        free(said);
    }
}

static void test_check_accepts(void **state) {
    int code;
    free(run_shell(&code, "'%s/remuda' --check pool.ini", pool_build()));
    assert_int_equal(code, 0);
    free(run_shell(&code, "'%s/remuda' --check pool.ini --port 7000 --save 60 1 30 10",
                   pool_build()));
    assert_int_equal(code, 0);
    free(run_shell(&code, "'%s/remuda' --check '%s/absent.ini' 2>/dev/null", pool_build(),
                   directory));
    assert_int_equal(code, 1);
    free(run_shell(&code, "'%s/remuda' --check 2>/dev/null", pool_build()));
    assert_int_equal(code, 2);
}

static void test_options_are_the_shipped_file(void **state) {
    int code;
    free(run_shell(&code, "'%s/remuda' --options | cmp - pool.ini", pool_build()));
    assert_int_equal(code, 0);
}

static void test_unknown_option(void **state) {
    static const struct {
        const char *arguments, *words[2];
    } rows[] = {
        {"--prot 7000", {"prot", "port"}},
        {"--port", {"port"}},
        {"--port x", {"port"}},
        {"--workers 200", {"workers", "128"}},
        {"pool.ini 7000", {"7000"}},
        {"--version now", {"--version"}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int code;
        char *said = run_shell(&code, "'%s/remuda' %s --dir '%s/x' 2>&1", pool_build(),
                               rows[i].arguments, directory);
        if (code == 0)
            fail_msg("accepted: %s", rows[i].arguments);
        for (unsigned w = 0; w < 2 && rows[i].words[w]; w++)
            expect_said(said, rows[i].words[w]);
        free(said);
    }
    int code;
    char *said = run_shell(&code, "'%s/remuda' --version", pool_build());
    assert_int_equal(code, 0);
    assert_int_equal(strncmp(said, "Remuda ", 7), 0);
    free(said);
    said = run_shell(&code, "'%s/remuda' --help", pool_build());
    assert_int_equal(code, 0);
    expect_said(said, "--check");
    free(said);
}

static void test_port_taken(void **state) {
    static const char *const options[] = {"--port", "--status-port", "--worker-port-base"};
    struct pool *pool = pool_start(NULL);
    int lock, free_port = ports_claim(&lock);
    for (unsigned i = 0; i < 3; i++) {
        int code, ports[3] = {free_port, free_port + 1, free_port + 2};
        char number[16];
        ports[i] = pool->port;
        char *said = run_shell(&code,
                               "'%s/remuda' --dir '%s/d' --workers 1 --port %d --status-port %d "
                               "--worker-port-base %d 2>&1",
                               pool_build(), directory, ports[0], ports[1], ports[2]);
        assert_int_equal(code, 1);
        snprintf(number, sizeof(number), "%d", pool->port);
        expect_said(said, number);
        expect_said(said, options[i] + 2);
        expect_said(said, "in use");
        free(said);
    }
    close(lock);
    pool_end(&pool);
}

static void test_many_words(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .options = {"--save", "900 1 300 10", "--maxmemory", "100mb", "--bind", "127.0.0.1 -::1"}});
    redisContext *c = pool_connect(pool);
    redisReply *reply = expect_reply(c, "CONFIG GET save");
    assert_string_equal(reply_field(reply, "save"), "900 1 300 10");
    freeReplyObject(reply);
    redisFree(c);
    pool_end(&pool);
}

/* ---- the service manager ---- */

struct manager {
    int fd;
    char path[100], environment[128];
};

static void manager_open(struct manager *m) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_sec = POOL_WAIT_S};
    snprintf(m->path, sizeof(m->path), "%s/notify", directory);
    snprintf(m->environment, sizeof(m->environment), "NOTIFY_SOCKET=%s", m->path);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", m->path);
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(m->fd, (struct sockaddr *)&name, sizeof(name)), 0);
    setsockopt(m->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
}

/* Read what the pool says until it says these words at the beginning of a line. */
static void manager_await(struct manager *m, const char *words) {
    char text[1024], *at;
    for (;;) {
        ssize_t got = recv(m->fd, text, sizeof(text) - 1, 0);
        if (got <= 0)
            fail_msg("the service manager is not told %s", words);
        text[got] = 0;
        if ((at = strstr(text, words)) && (at == text || at[-1] == '\n'))
            return;
    }
}

static void test_notify(void **state) {
    struct manager m;
    manager_open(&m);
    struct pool *pool =
        pool_start(&(struct pool_options){.ini = "[limits]\nmaxmemory = 0\n",
                                          .environment = {m.environment, "WATCHDOG_USEC=400000"}});
    manager_await(&m, "READY=1");
    manager_await(&m, "WATCHDOG=1");
    manager_await(&m, "WATCHDOG=1");
    pool_signal(pool, SIGHUP);
    manager_await(&m, "RELOADING=1");
    manager_await(&m, "READY=1");
    assert_int_equal(pool_stop(pool), 0);
    manager_await(&m, "STOPPING=1");
    pool_end(&pool);
    close(m.fd);
}

/* ---- files of the operator ---- */

static void test_pidfile(void **state) {
    char path[128];
    int code;
    snprintf(path, sizeof(path), "%s/pid", directory);
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--pidfile", path}});
    char *text = run_shell(&code, "cat '%s'", path);
    assert_int_equal(strtol(text, NULL, 10), pool->pid);
    free(text);
    pool_end(&pool);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_unix_socket(void **state) {
    char path[100];
    struct stat st;
    snprintf(path, sizeof(path), "%s/socket", directory);
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--unixsocket", path, "--unixsocketperm",
                                                      "700", "--port", "0", "--requirepass", ""}});
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0700);
    redisContext *c = redisConnectUnix(path);
    assert_true(c && !c->err);
    for (unsigned i = 0; i < 3; i++)
        expect_text(c, "OK", "SET %s %u", pool_key(pool, i, 0), i);
    expect_text(c, "2", "GET %s", pool_key(pool, 2, 0));
    redisReply *reply = expect_reply(c, "CLIENT INFO");
    assert_non_null(strstr(reply->str, path));
    freeReplyObject(reply);
    redisFree(c);
    pool_end(&pool);
    assert_int_not_equal(access(path, F_OK), 0);
}

static bool has_line(const char *path, const char *words) {
    int code;
    free(run_shell(&code, "grep -q '%s' '%s'", words, path));
    return code == 0;
}

static void test_log_file_is_opened_again(void **state) {
    char path[128], old[144];
    snprintf(path, sizeof(path), "%s/remuda.log", directory);
    snprintf(old, sizeof(old), "%s.1", path);
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--logfile", path}});
    AWAIT(has_line(path, "Ready to accept connections"));
    assert_int_equal(rename(path, old), 0);
    pool_signal(pool, SIGHUP);
    AWAIT(access(path, F_OK) == 0);
    assert_int_equal(pool_stop(pool), 0);
    assert_true(has_line(path, "The pool has stopped"));
    assert_false(has_line(old, "The pool has stopped"));
    pool_end(&pool);
}

/* ---- without root's rights ---- */

static uid_t owner_of(const char *format, ...) {
    char path[200];
    struct stat st;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    if (stat(path, &st) != 0)
        fail_msg("%s: %s", path, strerror(errno));
    return st.st_uid;
}

static void test_user(void **state) {
    const struct passwd *nobody = getpwnam("nobody");
    if (geteuid() != 0 || !nobody) {
        print_message("skipped, only root can become another user\n");
        skip();
    }
    char path[128];
    snprintf(path, sizeof(path), "%s/log", directory);
    assert_int_equal(chmod(directory, 0755), 0);
    struct pool *pool = pool_start(&(struct pool_options){
        .unready = true, .options = {"--user", "nobody", "--logfile", path}});
    assert_int_equal(chmod(pool->dir, 0755), 0); /* or nobody cannot reach its data */
    AWAIT(pool->pid != 0);
    pool_await_ready(pool);
    uid_t uid = nobody->pw_uid;
    assert_int_equal(owner_of("/proc/%d", (int)pool->pid), uid);
    assert_int_equal(owner_of("/proc/%d", (int)pool_front_pid(pool)), uid);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(owner_of("/proc/%d", (int)pool_worker_pid(pool, i)), uid);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "SET a 1");
    expect_text(c, "OK", "SAVE");
    redisFree(c);
    assert_int_equal(owner_of("%s/shard-0000/dump.rdb", pool->data), uid);
    assert_int_equal(owner_of("%s", path), uid);
    pool_end(&pool);
}

static void test_unknown_user(void **state) {
    int code;
    char *said = run_shell(&code, "'%s/remuda' --user no-such-user --dir '%s/d' 2>&1", pool_build(),
                           directory);
    assert_int_equal(code, 1);
    expect_said(said, geteuid() == 0 ? "no-such-user" : "user");
    free(said);
}

/* ---- install ---- */

static void test_install(void **state) {
    static const char *const files[] = {"/opt/r/bin/remuda", "/opt/r/bin/remuda-worker",
                                        "/opt/r/etc/remuda/pool.ini",
                                        "/opt/r/lib/systemd/system/remuda.service"};
    /* -o build: what is tested is there, and must not be built again meanwhile. */
    int code;
    char *said =
        run_shell(&code, "make -s -o build install BUILD='%s' PREFIX=/opt/r DESTDIR='%s' 2>&1",
                  pool_build(), directory);
    if (code != 0)
        fail_msg("make install: %s", said);
    free(said);
    for (unsigned i = 0; i < 4; i++) {
        char path[200];
        snprintf(path, sizeof(path), "%s%s", directory, files[i]);
        assert_int_equal(access(path, i < 2 ? X_OK : R_OK), 0);
    }
    free(run_shell(&code,
                   "grep -q '^ExecStart=/opt/r/bin/remuda /opt/r/etc/remuda/pool.ini$' '%s%s'",
                   directory, files[3]));
    assert_int_equal(code, 0);
    free(run_shell(&code, "grep -q '@PREFIX@' '%s%s'", directory, files[3]));
    assert_int_not_equal(code, 0);
    /* What is installed runs from there. */
    free(run_shell(&code, "'%s/opt/r/bin/remuda' --check '%s/opt/r/etc/remuda/pool.ini'", directory,
                   directory));
    assert_int_equal(code, 0);
    /* The operator's file is not overwritten, and stays. */
    free(run_shell(
        &code,
        "cd '%s' && echo '# mine' >opt/r/etc/remuda/pool.ini && cd - >/dev/null && "
        "make -s -o build install BUILD='%s' PREFIX=/opt/r DESTDIR='%s' && make -s uninstall "
        "PREFIX=/opt/r DESTDIR='%s' && grep -q '# mine' '%s/opt/r/etc/remuda/pool.ini'",
        directory, pool_build(), directory, directory, directory));
    assert_int_equal(code, 0);
    for (unsigned i = 0; i < 4; i++) {
        char path[200];
        snprintf(path, sizeof(path), "%s%s", directory, files[i]);
        if (i != 2)
            assert_int_not_equal(access(path, F_OK), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_check_refuses, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_check_accepts, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_options_are_the_shipped_file, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_unknown_option, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_port_taken, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_many_words, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_notify, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_pidfile, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_unix_socket, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_log_file_is_opened_again, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_user, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_unknown_user, setup, cleanup),
        cmocka_unit_test_setup_teardown(test_install, setup, cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
