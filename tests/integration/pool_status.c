/* pool_status.c - what a pool says of itself over HTTP, and waiting for its processes. */
#include "tests/integration/pool_fixture.h"
#include <errno.h>
#include <signal.h>

json_t *pool_status_try(const struct pool *pool) {
    struct http_reply reply = http_get(pool->status_port, "/status");
    json_error_t error;
    json_t *status = NULL;
    if (reply.status == 200 && reply.body) {
        status = json_loadb(reply.body, reply.body_len, 0, &error);
        if (!status)
            fail_msg("/status is not JSON: %s, line %d", error.text, error.line);
    }
    http_free(&reply);
    return status;
}

json_t *pool_status(const struct pool *pool) {
    json_t *status = pool_status_try(pool);
    if (!status)
        fail_msg("/status does not answer on port %d", pool->status_port);
    return status;
}

/* Borrowed, or NULL. */
static const json_t *find(const json_t *value, char *path) {
    for (char *rest = NULL, *name = strtok_r(path, ".", &rest); name && value;
         name = strtok_r(NULL, ".", &rest))
        value = json_is_array(value) ? json_array_get(value, (size_t)strtoul(name, NULL, 10))
                                     : json_object_get(value, name);
    return value;
}

int64_t pool_number(const struct pool *pool, const char *format, ...) {
    char path[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    json_t *status = pool_status_try(pool);
    const json_t *value = find(status, path);
    int64_t number = json_is_integer(value) ? (int64_t)json_integer_value(value) : -1;
    if (json_is_boolean(value))
        number = json_is_true(value);
    json_decref(status);
    return number;
}

int64_t pool_sum(const struct pool *pool, const char *metric) {
    int64_t sum = 0;
    for (unsigned i = 0; i < pool->workers; i++) {
        int64_t value = pool_number(pool, "workers.%u.metrics.%s", i, metric);
        assert_true(value > -1);
        sum += value;
    }
    return sum;
}

const char *pool_text(const struct pool *pool, const char *format, ...) {
    static char text[512];
    char path[128];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    json_t *status = pool_status_try(pool);
    const json_t *value = find(status, path);
    snprintf(text, sizeof(text), "%s", json_is_string(value) ? json_string_value(value) : "");
    json_decref(status);
    return text;
}

pid_t pool_worker_pid(const struct pool *pool, unsigned worker) {
    return (pid_t)pool_number(pool, "workers.%u.pid", worker);
}

pid_t pool_front_pid(const struct pool *pool) {
    return (pid_t)pool_number(pool, "front.pid");
}

/* First the pid: then the state is that process's, or of one after it. */
void pool_await_worker(struct pool *pool, unsigned worker, pid_t not_this) {
    pid_t pid;
    AWAIT((pid = pool_worker_pid(pool, worker)) > 0 && pid != not_this &&
          strcmp(pool_text(pool, "workers.%u.state", worker), "up") == 0);
}

void pool_kill_worker(struct pool *pool, unsigned worker, int signal_number) {
    pid_t pid = pool_worker_pid(pool, worker);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, signal_number), 0);
    pool_await_worker(pool, worker, pid);
}

/* From the supervisor's children rather than from /status: the front may be down. */
unsigned pool_pids(const struct pool *pool, pid_t pids_r[POOL_WORKERS_MAX + 2]) {
    char path[64];
    unsigned count = 0;
    long pid;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pool->pid, (int)pool->pid);
    FILE *file = fopen(path, "r");
    while (file && count < POOL_WORKERS_MAX + 2 && fscanf(file, "%ld", &pid) == 1)
        pids_r[count++] = (pid_t)pid;
    if (file)
        fclose(file);
    return count;
}
