/* pool_fixture.c - see the header. */
#include "tests/integration/pool_fixture.h"
#include "tests/integration/fixture_private.h"
#include "shared/ipc/slot_map.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static struct pool *pools; /* all that have not been ended */

const char *pool_build(void) {
    const char *build = getenv("REMUDA_BUILD");
    return build ? build : "build";
}

/* ---- starting ---- */

static void write_ini(struct pool *pool) {
    FILE *file = fopen(pool->ini, "w");
    assert_non_null(file);
    fputs(pool->options.ini, file);
    fclose(file);
}

/* The fixture's own options come first, so that the test's win. */
static unsigned arguments_of(struct pool *pool, const char **argv, char numbers[4][16]) {
    static char program[512];
    unsigned n = 0;
    snprintf(program, sizeof(program), "%s/remuda", pool_build());
    snprintf(numbers[0], sizeof(numbers[0]), "%d", pool->port);
    snprintf(numbers[1], sizeof(numbers[1]), "%d", pool->worker_port);
    snprintf(numbers[2], sizeof(numbers[2]), "%d", pool->status_port);
    snprintf(numbers[3], sizeof(numbers[3]), "%u", pool->workers);
    const char *own[] = {"--port",
                         numbers[0],
                         "--worker-port-base",
                         numbers[1],
                         "--status-port",
                         numbers[2],
                         "--workers",
                         numbers[3],
                         "--dir",
                         pool->data,
                         "--enable-debug-command",
                         "yes",
                         "--repl-diskless-sync-delay",
                         "0"};
    argv[n++] = program;
    if (pool->options.ini)
        argv[n++] = pool->ini;
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i += 2) {
        bool given = false;
        for (const char **option = pool->options.options; *option; option += 2)
            given |= strcmp(*option, own[i]) == 0;
        if (given)
            continue;
        argv[n++] = own[i];
        argv[n++] = own[i + 1];
    }
    for (const char **option = pool->options.options; *option; option++)
        argv[n++] = *option;
    argv[n] = NULL;
    return n;
}

static void spawn_pool(struct pool *pool, const char *const *wrapper) {
    const char *argv[POOL_OPTIONS_MAX + 48], *environment[9];
    char numbers[4][16], sanitizer[2][192];
    unsigned n = 0, wrapped = 0;
    for (; wrapper && wrapper[wrapped]; wrapped++)
        argv[wrapped] = wrapper[wrapped];
    arguments_of(pool, argv + wrapped, numbers);
    for (; n < 4 && pool->options.environment[n]; n++)
        environment[n] = pool->options.environment[n];
    /* A worker ends with its data in memory, under pointers that carry tags: no leak. */
    snprintf(sanitizer[0], sizeof(sanitizer[0]),
             "ASAN_OPTIONS=detect_leaks=0,log_path=%s/sanitizer", pool->dir);
    snprintf(sanitizer[1], sizeof(sanitizer[1]),
             "UBSAN_OPTIONS=print_stacktrace=1,log_path=%s/sanitizer", pool->dir);
    environment[n++] = sanitizer[0];
    environment[n++] = sanitizer[1];
    environment[n++] = "LSAN_OPTIONS=use_unaligned=1"; /* entries of keys are packed */
    environment[n] = NULL;
    pool->pid = fixture_spawn(argv, environment, pool->log);
}

static struct pool *create(const struct pool_options *options) {
    struct pool *pool = calloc(1, sizeof(*pool));
    assert_non_null(pool);
    signal(SIGPIPE, SIG_IGN); /* hiredis writes to connections that the server may have closed */
    if (options)
        pool->options = *options;
    pool->workers = pool->options.workers ? pool->options.workers : 3;
    assert_true(pool->workers <= POOL_WORKERS_MAX);
    pool->port = ports_claim(&pool->port_lock);
    pool->status_port = pool->port + 1;
    pool->worker_port = pool->port + 2;
    make_directory(pool->dir);
    snprintf(pool->data, sizeof(pool->data), "%s/data", pool->dir);
    snprintf(pool->log, sizeof(pool->log), "%s/log", pool->dir);
    snprintf(pool->ini, sizeof(pool->ini), "%s/pool.ini", pool->dir);
    if (pool->options.ini)
        write_ini(pool);
    pool->next = pools;
    pools = pool;
    return pool;
}

struct pool *pool_start(const struct pool_options *options) {
    struct pool *pool = create(options);
    pool_start_again(pool);
    return pool;
}

void pool_start_again(struct pool *pool) {
    assert_int_equal(pool->pid, 0);
    spawn_pool(pool, NULL);
    if (!pool->options.unready)
        pool_await_ready(pool);
}

static int exit_code(int status) {
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static bool answers_ready(const struct pool *pool) {
    struct http_reply reply = http_get(pool->status_port, "/readyz");
    bool ready = reply.status == 200;
    http_free(&reply);
    return ready;
}

static bool is_ready(struct pool *pool) {
    int status = 0;
    if (waitpid(pool->pid, &status, WNOHANG) == pool->pid) {
        pool->pid = 0;
        fail_msg("the pool ended at its start with status %#x", status);
    }
    return answers_ready(pool);
}

void pool_await_ready(struct pool *pool) {
    AWAIT(is_ready(pool));
}

static bool has_ended(struct pool *pool, int *code_r) {
    int status = 0;
    if (waitpid(pool->pid, &status, WNOHANG) != pool->pid)
        return false;
    pool->pid = 0;
    *code_r = exit_code(status);
    return true;
}

void pool_begin_below(struct pool *pool, const char *const *wrapper) {
    assert_int_equal(pool->pid, 0);
    spawn_pool(pool, wrapper);
}

bool pool_start_below(struct pool *pool, const char *const *wrapper, int *code_r) {
    pool_begin_below(pool, wrapper);
    AWAIT(has_ended(pool, code_r) || answers_ready(pool));
    return pool->pid != 0;
}

/* ---- ending ---- */

void pool_signal(struct pool *pool, int signal_number) {
    assert_true(pool->pid > 0);
    assert_int_equal(kill(pool->pid, signal_number), 0);
}

int pool_await_exit(struct pool *pool) {
    int status = 0;
    AWAIT(waitpid(pool->pid, &status, WNOHANG) == pool->pid);
    pool->pid = 0;
    return exit_code(status);
}

void pool_crash(struct pool *pool) {
    pid_t pids[POOL_WORKERS_MAX + 2];
    unsigned count = pool_pids(pool, pids);
    pool_signal(pool, SIGKILL);
    for (unsigned i = 0; i < count; i++)
        kill(pids[i], SIGKILL);
    assert_int_equal(pool_await_exit(pool), -SIGKILL);
    for (unsigned i = 0; i < count; i++)
        AWAIT(process_gone(pids[i]));
}

void pool_kill_supervisor(struct pool *pool) {
    pid_t pids[POOL_WORKERS_MAX + 2];
    unsigned count = pool_pids(pool, pids);
    pool_signal(pool, SIGKILL);
    assert_int_equal(pool_await_exit(pool), -SIGKILL);
    for (unsigned i = 0; i < count; i++)
        AWAIT_WITHIN(10, process_gone(pids[i]));
    pool_start_again(pool);
}

int pool_stop(struct pool *pool) {
    pool_signal(pool, SIGTERM);
    return pool_await_exit(pool);
}

static unsigned sanitizer_reports(const struct pool *pool) {
    unsigned found = 0;
    DIR *directory = opendir(pool->dir);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        char path[400];
        if (strncmp(entry->d_name, "sanitizer", 9) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", pool->dir, entry->d_name);
        fixture_print_tail(path, 100);
        found++;
    }
    if (directory)
        closedir(directory);
    /* UBSan writes to stderr whatever it is told. */
    if (pool_log_has(pool, "runtime error: ") || pool_log_has(pool, "ERROR: AddressSanitizer")) {
        fixture_print_tail(pool->log, 100);
        found++;
    }
    return found;
}

static void forget(struct pool *pool) {
    struct pool **at = &pools;
    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
    close(pool->port_lock);
    remove_directory(pool->dir);
    free(pool);
}

static int64_t deaths(const struct pool *pool) {
    int64_t sum = pool_number(pool, "front.restarts");
    for (unsigned i = 0; i < pool->workers; i++)
        sum += pool_number(pool, "workers.%u.restarts", i);
    return sum;
}

void pool_end(struct pool **pool) {
    struct pool *p = *pool;
    bool http = true;
    for (const char **option = p->options.options; *option; option += 2)
        http &= strcmp(*option, "--status-port") != 0;
    if (p->pid != 0) {
        if (!p->options.deaths && http)
            assert_int_equal(deaths(p), 0);
        assert_int_equal(pool_stop(p), 0);
    }
    assert_int_equal(sanitizer_reports(p), 0);
    forget(p);
    *pool = NULL;
}

int pools_cleanup(void **state) {
    while (pools) {
        struct pool *pool = pools;
        pid_t pids[POOL_WORKERS_MAX + 2];
        unsigned count = pool->pid ? pool_pids(pool, pids) : 0;
        for (unsigned i = 0; i < count; i++)
            kill(pids[i], SIGKILL);
        if (pool->pid > 0) {
            kill(pool->pid, SIGKILL);
            waitpid(pool->pid, NULL, 0);
        }
        print_error("---- log of the pool in %s\n", pool->dir);
        fixture_print_tail(pool->log, 80);
        sanitizer_reports(pool);
        forget(pool);
    }
    oracles_cleanup();
    return 0;
}

/* ---- its keys ---- */

static unsigned shard_of_slot(const struct pool *pool, unsigned slot) {
    static _Thread_local struct slot_map map; /* as in pool_key() */
    if (map.shards != pool->workers)
        slot_map_deal(&map, pool->workers);
    return map.owner[slot];
}

unsigned pool_owner(const struct pool *pool, const char *key) {
    return shard_of_slot(pool, slot_of_key(bytes_of_text(key)));
}

const char *pool_key(const struct pool *pool, unsigned worker, unsigned n) {
    static _Thread_local char keys[16][40]; /* tests call it from threads, too */
    static _Thread_local unsigned next;
    char *key = keys[next++ % 16];
    for (unsigned i = 0;; i++) {
        snprintf(key, sizeof(keys[0]), "key:%u:%u", n, i);
        if (pool_owner(pool, key) == worker)
            return key;
    }
}

redisContext *pool_connect(const struct pool *pool) {
    return client_connect(pool->port);
}

redisContext *pool_connect_worker(const struct pool *pool, unsigned worker) {
    return client_connect(pool->worker_port + (int)worker);
}

bool pool_log_has(const struct pool *pool, const char *text) {
    int code;
    char *found = run_shell(&code, "grep -aFc -- '%s' %s", text, pool->log);
    free(found);
    return code == 0;
}
