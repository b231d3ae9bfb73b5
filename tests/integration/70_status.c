/* 70_status.c - what the pool says of itself over HTTP, in good times and bad. */
#include "tests/integration/pool_fixture.h"
#include "shared/ipc/inherit.h"
#include "shared/ipc/status_page.h"
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

/* ---- /status ---- */

enum kind { TEXT, NUMBER, REAL, FLAG, OBJECT, ARRAY };

struct field {
    const char *path;
    enum kind kind;
};

static const struct field pool_fields[] = {
    {"id", TEXT},
    {"run_id", TEXT},
    {"version", TEXT},
    {"state", TEXT},
    {"workers", NUMBER},
    {"workers_up", NUMBER},
    {"uptime_seconds", NUMBER},
    {"ports", OBJECT},
    {"clients", NUMBER},
    {"max_clients", NUMBER},
    {"keys", NUMBER},
    {"memory", OBJECT},
    {"ops_per_second", NUMBER},
    {"relayed_share", REAL},
};
static const struct field process_fields[] = {
    {"state", TEXT},
    {"trouble", TEXT},
    {"pid", NUMBER},
    {"generation", NUMBER},
    {"uptime_seconds", NUMBER},
    {"restarts", NUMBER},
    {"last_exit", TEXT},
    {"note", TEXT},
    {"metrics", OBJECT},
    {"heartbeat_age_ms", NUMBER},
};
static const struct field worker_fields[] = {
    {"index", NUMBER},      {"slots", OBJECT},          {"port", NUMBER},
    {"clients", NUMBER},    {"keys", NUMBER},           {"databases", ARRAY},
    {"memory", OBJECT},     {"ops_per_second", NUMBER}, {"relayed_share", REAL},
    {"write_path", OBJECT}, {"persistence", OBJECT},    {"node_id", TEXT},
};
#define CHECK_FIELDS(object, table) check_fields(object, table, sizeof(table) / sizeof((table)[0]))

static bool is_kind(const json_t *value, enum kind kind) {
    switch (kind) {
    case TEXT: return json_is_string(value);
    case NUMBER: return json_is_integer(value);
    case REAL: return json_is_number(value);
    case FLAG: return json_is_boolean(value);
    case OBJECT: return json_is_object(value) && json_object_size(value) > 0;
    case ARRAY: return json_is_array(value);
    }
    return false;
}

static void check_fields(const json_t *object, const struct field *table, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!is_kind(json_object_get(object, table[i].path), table[i].kind))
            fail_msg("/status: %s is missing or of another type", table[i].path);
    }
}

static void test_shape(void **state) {
    struct pool *pool = pool_start(NULL);
    json_t *status = pool_status(pool), *worker;
    size_t i;
    int64_t slots = 0;
    CHECK_FIELDS(json_object_get(status, "pool"), pool_fields);
    CHECK_FIELDS(json_object_get(status, "supervisor"), process_fields);
    CHECK_FIELDS(json_object_get(status, "front"), process_fields);
    json_t *workers = json_object_get(status, "workers");
    assert_int_equal(json_array_size(workers), 3);
    json_array_foreach(workers, i, worker) {
        CHECK_FIELDS(worker, process_fields);
        CHECK_FIELDS(worker, worker_fields);
        assert_int_equal(json_integer_value(json_object_get(worker, "index")), i);
        slots += json_integer_value(json_object_get(json_object_get(worker, "slots"), "count"));
    }
    assert_int_equal(slots, 16384);
    json_decref(status);
    assert_string_equal(pool_text(pool, "pool.version"), REMUDA_VERSION);
    assert_int_equal(pool_number(pool, "supervisor.pid"), pool->pid);
    assert_int_equal(pool_number(pool, "pool.ports.public"), pool->port);
    pool_end(&pool);
}

static void test_figures(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){.options = {"--appendonly", "yes"}});
    redisContext *c = pool_connect(pool);
    for (unsigned i = 0; i < 3; i++) {
        for (unsigned k = 0; k < 5 + i; k++)
            expect_text(c, "OK", "SET %s v", pool_key(pool, i, k));
    }
    expect_text(c, "OK", "SELECT 2");
    expect_text(c, "OK", "SET %s v EX 1000", pool_key(pool, 1, 0));
    AWAIT(pool_number(pool, "pool.keys") == 19);
    assert_int_equal(pool_number(pool, "workers.0.keys"), 5);
    assert_int_equal(pool_number(pool, "workers.1.keys"), 7);
    assert_int_equal(pool_number(pool, "workers.1.databases.1.db"), 2);
    assert_int_equal(pool_number(pool, "workers.1.databases.1.expires"), 1);
    assert_int_equal(pool_number(pool, "pool.clients"), 1);
    int64_t processed = 0, relayed = 0;
    for (unsigned i = 0; i < 3; i++) {
        AWAIT(pool_number(pool, "workers.%u.write_path.synced", i) > 0 &&
              pool_number(pool, "workers.%u.write_path.synced", i) ==
                  pool_number(pool, "workers.%u.write_path.executed", i));
        assert_int_equal(pool_number(pool, "workers.%u.persistence.aof_enabled", i), 1);
        processed += pool_number(pool, "workers.%u.metrics.commands_processed", i);
        relayed += pool_number(pool, "workers.%u.metrics.commands_relayed", i);
    }
    assert_int_equal(processed, 20);
    assert_true(relayed >= 11 && relayed <= 14);
    redisFree(c);
    AWAIT(pool_number(pool, "pool.clients") == 0);
    pool_end(&pool);
}

/* ---- /metrics ---- */

static bool metric_named(const char *name, size_t len) {
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        const char *row = metric_rows[i].name;
        size_t row_len = strlen(row);
        bool counter = metric_rows[i].kind == METRIC_COUNTER;
        if (len == 7 + row_len + (counter ? 6 : 0) && memcmp(name + 7, row, row_len) == 0)
            return true;
    }
    return false;
}

/* name{label="value",...} number */
static void check_sample(const char *line) {
    const char *at = line;
    assert_memory_equal(line, "remuda_", 7);
    while (isalnum((unsigned char)*at) || *at == '_')
        at++;
    if (*at == '{') {
        at = strchr(at, '}');
        assert_non_null(at);
        at++;
    }
    assert_int_equal(*at, ' ');
    char *end;
    strtod(at + 1, &end);
    if (end == at + 1 || *end)
        fail_msg("no number: %s", line);
}

static void test_metrics(void **state) {
    struct pool *pool = pool_start(NULL);
    struct http_reply reply = http_get(pool->status_port, "/metrics");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "text/plain"));
    unsigned samples = 0, types = 0, known = 0;
    char *rest = NULL, last_type[128] = "";
    assert_int_equal(reply.body[reply.body_len - 1], '\n');
    for (char *line = strtok_r(reply.body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "# HELP ", 7) == 0)
            continue;
        if (strncmp(line, "# TYPE ", 7) == 0) {
            size_t len = strcspn(line + 7, " ");
            snprintf(last_type, sizeof(last_type), "%.*s", (int)len, line + 7);
            known += metric_named(line + 7, len);
            types++;
            continue;
        }
        check_sample(line);
        /* All samples of a metric stand together under its type. */
        if (strncmp(line, last_type, strlen(last_type)) != 0)
            fail_msg("%s stands under %s", line, last_type);
        samples++;
    }
    assert_int_equal(known, METRIC_COUNT);
    assert_true(types > METRIC_COUNT && samples > types);
    http_free(&reply);
    pool_end(&pool);
}

/* ---- health ---- */

static int status_of(const struct pool *pool, const char *path) {
    struct http_reply reply = http_get(pool->status_port, path);
    int status = reply.status;
    http_free(&reply);
    return status;
}

static void test_health_while_a_shard_is_down(void **state) {
    struct pool *pool = pool_start(&(struct pool_options){
        .deaths = true,
        .options = {"--restart-delay-min", "600000", "--restart-delay-max", "600000"}});
    assert_int_equal(status_of(pool, "/readyz"), 200);
    assert_int_equal(status_of(pool, "/healthz"), 200);
    assert_int_equal(kill(pool_worker_pid(pool, 1), SIGKILL), 0);
    AWAIT(status_of(pool, "/readyz") == 503);
    struct http_reply reply = http_get(pool->status_port, "/readyz");
    assert_string_equal(reply.body, "shard 1 is waiting\n");
    http_free(&reply);
    assert_int_equal(status_of(pool, "/healthz"), 200);
    assert_string_equal(pool_text(pool, "workers.1.last_exit"), "killed by SIGKILL");
    assert_true(pool_number(pool, "workers.1.restart_at") > clock_wall_ms());
    assert_int_equal(pool_number(pool, "pool.workers_up"), 2);
    assert_int_equal(pool_stop(pool), 1);
    pool_end(&pool);
}

/* No worker is asked for what it says, so none can hold an answer up. */
static void test_answers_while_a_worker_hangs(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.options = {"--heartbeat-timeout", "600000"}});
    pid_t pids[3];
    for (unsigned i = 0; i < 3; i++) {
        pids[i] = pool_worker_pid(pool, i);
        assert_int_equal(kill(pids[i], SIGSTOP), 0);
    }
    static const char *const paths[] = {"/status", "/metrics", "/healthz", "/", "/readyz"};
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(status_of(pool, paths[i]), 200);
    AWAIT(pool_number(pool, "workers.1.heartbeat_age_ms") > 1000);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kill(pids[i], SIGCONT), 0);
    AWAIT(pool_number(pool, "workers.1.heartbeat_age_ms") < 1000);
    pool_end(&pool);
}

/* ---- what is not answered ---- */

static void expect_http(struct pool *pool, int status, const char *request) {
    struct http_reply reply = http_raw(pool->status_port, request);
    if (reply.status != status)
        fail_msg("%d instead of %d for %.200s", reply.status, status, request);
    http_free(&reply);
}

static void test_refusals(void **state) {
    struct pool *pool = pool_start(NULL);
    expect_http(pool, 404, "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect_http(pool, 405,
                "POST /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                "Content-Length: 0\r\n\r\n");
    expect_http(pool, 405, "DELETE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    expect_http(pool, 421,
                "GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    expect_http(pool, 421, "GET /status HTTP/1.0\r\n\r\n");
    expect_http(pool, 200, "GET /status HTTP/1.1\r\nHost: LOCALHOST\r\nConnection: close\r\n\r\n");
    expect_http(pool, 413,
                "GET /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                "Content-Length: 5\r\n\r\nhello");
    struct http_reply post =
        http_raw(pool->status_port, "PUT /status HTTP/1.1\r\nHost: localhost\r\n"
                                    "Connection: close\r\nContent-Length: 0\r\n\r\n");
    assert_non_null(strstr(post.head, "Allow: GET, HEAD"));
    http_free(&post);
    redisContext *c = pool_connect(pool);
    expect_text(c, "OK", "CONFIG SET status-hosts %s", "pool.example other.example");
    redisFree(c);
    expect_http(pool, 200,
                "GET /status HTTP/1.1\r\nHost: pool.example\r\nConnection: close\r\n\r\n");
    pool_end(&pool);
}

static void test_head(void **state) {
    struct pool *pool = pool_start(NULL);
    struct http_reply reply =
        http_raw(pool->status_port,
                 "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.head, "Content-Length: 3"));
    assert_non_null(strstr(reply.head, "X-Content-Type-Options: nosniff"));
    assert_int_equal(reply.body_len, 0);
    http_free(&reply);
    pool_end(&pool);
}

static void test_big_headers(void **state) {
    enum { BIG = 100000 };
    struct pool *pool = pool_start(NULL);
    char *request = malloc(BIG + 200);
    int len = sprintf(request, "GET /status HTTP/1.1\r\nHost: localhost\r\nX: ");
    memset(request + len, 'x', BIG);
    strcpy(request + len + BIG, "\r\n\r\n");
    struct http_reply reply = http_raw(pool->status_port, request);
    /* An answer, or a connection that is closed before all is sent; never the status. */
    assert_true(reply.status == 0 || reply.status == 431 || reply.status == 413 ||
                reply.status == 414);
    http_free(&reply);
    len = sprintf(request, "GET /");
    memset(request + len, 'x', BIG);
    strcpy(request + len + BIG, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    reply = http_raw(pool->status_port, request);
    assert_true(reply.status == 0 || reply.status == 414 || reply.status == 431);
    http_free(&reply);
    free(request);
    assert_int_equal(status_of(pool, "/status"), 200);
    assert_int_equal(pool_number(pool, "front.restarts"), 0);
    pool_end(&pool);
}

/* Many who say nothing hold neither each other nor a client of the data up, and are closed. */
static void test_slow_clients(void **state) {
    enum { SLOW = 20 };
    struct pool *pool = pool_start(NULL);
    int fds[SLOW];
    for (unsigned i = 0; i < SLOW; i++) {
        fds[i] = raw_connect(pool->status_port);
        raw_send_text(fds[i], i % 2 ? "GET /status HTTP/1.1\r\nHost: loc" : "");
    }
    assert_int_equal(status_of(pool, "/status"), 200);
    redisContext *c = pool_connect(pool);
    expect_text(c, "PONG", "PING");
    redisFree(c);
    for (unsigned i = 0; i < SLOW; i++) {
        bool closed = raw_closed_within(fds[i], 30);
        assert_true(closed);
        close(fds[i]);
    }
    pool_end(&pool);
}

static void test_no_status_port(void **state) {
    struct pool *pool =
        pool_start(&(struct pool_options){.unready = true, .options = {"--status-port", "0"}});
    redisContext *c = NULL;
    AWAIT((c = client_try_connect(pool->port)) != NULL);
    expect_text(c, "PONG", "PING");
    assert_int_equal(status_of(pool, "/healthz"), 0);
    redisFree(c);
    pool_end(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_shape, pools_cleanup),
        cmocka_unit_test_teardown(test_figures, pools_cleanup),
        cmocka_unit_test_teardown(test_metrics, pools_cleanup),
        cmocka_unit_test_teardown(test_health_while_a_shard_is_down, pools_cleanup),
        cmocka_unit_test_teardown(test_answers_while_a_worker_hangs, pools_cleanup),
        cmocka_unit_test_teardown(test_refusals, pools_cleanup),
        cmocka_unit_test_teardown(test_head, pools_cleanup),
        cmocka_unit_test_teardown(test_big_headers, pools_cleanup),
        cmocka_unit_test_teardown(test_slow_clients, pools_cleanup),
        cmocka_unit_test_teardown(test_no_status_port, pools_cleanup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
