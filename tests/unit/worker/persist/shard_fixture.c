/* shard_fixture.c - see shard_fixture.h. */
#include "tests/unit/worker/persist/shard_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/resp/parse.h"
#include "worker/types/hash.h"

enum { AWAIT_MS = 10000 };

struct shard *shard_create(void) {
    struct shard *s = mem_calloc(1, sizeof *s);
    strcpy(s->dir, "/tmp/remuda-persist-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    if (getenv("LOUD") == NULL)
        log_set_level(LOG_WARNING + 1);
    s->loop = ev_loop_new(EVBACKEND_EPOLL);
    s->config = config_create();
    s->status = aligned_alloc(4096, sizeof *s->status);
    memset(s->status, 0, sizeof *s->status);
    shard_configure(s, "save", "");
    session_init(&s->session, SESSION_INTERNAL);
    s->session.authenticated = true;
    return s;
}

void shard_configure(struct shard *s, const char *name, const char *value) {
    char error[CONFIG_ERROR_BYTES];
    const struct option_row *row = option_find(bytes_of_text(name));
    assert_non_null(row);
    if (config_set(s->config, row, bytes_of_text(value), error) != 0)
        fail_msg("%s %s: %s", name, value, error);
}

/* ---- commands ---- */
static uint32_t run(struct shard *s, uint32_t argc, const struct bytes *argv) {
    const struct command *cmd = command_lookup(argv, argc, NULL);
    buf_clear(&s->reply);
    if (cmd == NULL || cmd->handler == NULL || !command_arity_ok(cmd, argc)) {
        buf_append_text(&s->reply, "-ERR no such command");
        return 1;
    }
    struct command_ctx ctx = {.ks = s->ks,
                              .session = &s->session,
                              .env = &s->env,
                              .cmd = cmd,
                              .argv = argv,
                              .argc = argc,
                              .reply = {.out = &s->reply, .version = 2}};
    execute(&ctx);
    return ctx.reply.errors;
}

const char *shard_run(struct shard *s, const char *text) {
    struct resp_parser parser;
    struct buf line = {0};
    size_t used;
    buf_append_text(&line, text);
    buf_append_text(&line, "\r\n");
    resp_parser_init(&parser);
    parser.bulk_max = 1 << 30;
    assert_int_equal(resp_parse(&parser, line.data, line.len, &used), RESP_COMMAND);
    run(s, parser.argc, parser.argv);
    resp_parser_free(&parser);
    buf_free(&line);
    *buf_reserve(&s->reply, 1) = '\0';
    return s->reply.data;
}

void shard_expect(struct shard *s, const char *text, const char *reply) {
    assert_string_equal(shard_run(s, text), reply);
}

/* ---- hooks ---- */
static int on_apply(void *arg, uint32_t argc, const struct bytes *argv, char *error_r,
                    size_t error_bytes) {
    struct shard *s = arg;
    if (run(s, argc, argv) == 0)
        return 0;
    snprintf(error_r, error_bytes, "%.*s", (int)s->reply.len, s->reply.data);
    return -1;
}
static void on_synced(void *arg) {
    ((struct shard *)arg)->synced_calls++;
}
static void on_progress(void *arg) {
    ((struct shard *)arg)->progress_calls++;
}
static void on_fork_want(void *arg, uint64_t id, uint64_t expected_bytes, enum fork_urgency urgency,
                         const char *what) {
    struct shard *s = arg;
    s->urgency = urgency;
    s->wish = id;
    if (!s->withhold_turns)
        persist_fork_granted(s->persist, id);
}
static void on_fork_done(void *arg, uint64_t id) {
    struct shard *s = arg;
    assert_int_equal(id, s->wish);
    s->turns_given_back++;
}
static void on_log_began(void *arg) {
    struct shard *s = arg;
    if (s->persist != NULL)
        propagate_to(s->propagate, persist_aof(s->persist));
}
static void on_cut_prepared(void *arg, uint64_t cut, uint64_t try, const char *error) {
    struct shard *s = arg;
    s->prepared_cut = cut;
    s->prepared_try = try;
    snprintf(s->cut_error, sizeof s->cut_error, "%s", error);
}
static void on_cut_linked(void *arg, uint64_t cut, uint64_t try, struct bytes report) {
    struct shard *s = arg;
    s->linked_cut = cut;
    s->linked_try = try;
    snprintf(s->cut_report, sizeof s->cut_report, "%.*s", (int)report.len, report.ptr);
}
static void on_removed(void *arg, uint32_t db, struct bytes key) {
    struct shard *s = arg;
    if (s->propagate != NULL)
        propagate_delete(s->propagate, db, key);
}

/* ---- life ---- */
static void close_all(struct shard *s) {
    persist_free(&s->persist);
    propagate_free(&s->propagate);
    keyspace_free(&s->ks);
    s->env.persist = NULL;
    s->env.propagate = NULL;
}

int shard_open(struct shard *s) {
    static const uint64_t seed[2] = {11, 22};
    struct keyspace_hooks ks_hooks = {.arg = s, .expired = on_removed, .evicted = on_removed};
    struct persist_hooks hooks = {.arg = s,
                                  .synced = on_synced,
                                  .fork_want = on_fork_want,
                                  .fork_done = on_fork_done,
                                  .apply = on_apply,
                                  .log_began = on_log_began,
                                  .cut_prepared = on_cut_prepared,
                                  .cut_linked = on_cut_linked,
                                  .progress = on_progress};
    s->ks = keyspace_create((uint32_t)s->config->databases, seed, &ks_hooks);
    keyspace_configure(s->ks, s->config);
    keyspace_set_now(s->ks, clock_wall_ms());
    s->session.db = 0;
    s->env = (struct command_env){.config = s->config, .status = s->status};
    s->persist = persist_create(s->loop, s->dir, s->config, s->ks, s->status, &hooks, s->error,
                                sizeof s->error);
    assert_non_null(s->persist);
    s->env.persist = s->persist;
    if (persist_load(s->persist, s->error, sizeof s->error) != 0) {
        close_all(s);
        return -1;
    }
    s->propagate = propagate_create(persist_aof(s->persist), NULL);
    s->env.propagate = s->propagate;
    s->session.db = 0;
    return 0;
}

void shard_crash(struct shard *s) {
    close_all(s);
}

void shard_close(struct shard *s) {
    if (persist_stop(s->persist, 0, s->error, sizeof s->error) != 0)
        fail_msg("cannot stop: %s", s->error);
    close_all(s);
}

void shard_free(struct shard **s) {
    struct shard *it = *s;
    char command[128];
    snapshot_child_begins = NULL;
    if (it->persist != NULL)
        close_all(it);
    session_free(&it->session);
    config_free(&it->config);
    buf_free(&it->reply);
    free(it->status);
    ev_loop_destroy(it->loop);
    snprintf(command, sizeof command, "rm -rf %s", it->dir);
    assert_int_equal(system(command), 0);
    mem_free(it);
    *s = NULL;
}

void shard_turn(struct shard *s) {
    persist_turn_end(s->persist);
    ev_run(s->loop, EVRUN_NOWAIT);
}

static void on_tick(struct ev_loop *loop, ev_timer *timer, int events) {
}

void shard_await(struct shard *s, bool (*condition)(struct shard *s), const char *what) {
    uint64_t until_ms = clock_mono_ms() + AWAIT_MS;
    ev_timer tick;
    ev_timer_init(&tick, on_tick, 0.01, 0.01);
    ev_timer_start(s->loop, &tick);
    while (!condition(s)) {
        if (clock_mono_ms() > until_ms)
            fail_msg("waited in vain for: %s", what);
        persist_turn_end(s->persist);
        ev_run(s->loop, EVRUN_ONCE);
        persist_cron(s->persist);
    }
    ev_timer_stop(s->loop, &tick);
}

bool shard_all_synced(struct shard *s) {
    struct write_path path;
    persist_write_path(s->persist, &path);
    return path.synced == path.executed;
}
bool shard_no_child(struct shard *s) {
    return !persist_child_busy(s->persist);
}

/* ---- children ---- */
static void stop_here(void) {
    raise(SIGSTOP);
}
void shard_stop_children(struct shard *s) {
    snapshot_child_begins = stop_here;
}
void shard_await_stopped_child(struct shard *s) {
    int status;
    assert_true(snapshot_child_alive(&s->persist->child));
    assert_int_equal(waitpid(s->persist->child.pid, &status, WUNTRACED), s->persist->child.pid);
    assert_true(WIFSTOPPED(status));
}
void shard_let_children_go(struct shard *s) {
    snapshot_child_begins = NULL;
    if (s->persist != NULL && snapshot_child_alive(&s->persist->child))
        kill(s->persist->child.pid, SIGCONT);
}

/* ---- digest ---- */
struct lines {
    char **line;
    size_t count;
    uint32_t db;
};

static void put_text(struct buf *out, struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] > ' ' && text.ptr[i] < 127)
            buf_append(out, text.ptr + i, 1);
        else
            buf_printf(out, "\\x%02x", (unsigned char)text.ptr[i]);
    buf_append_text(out, " ");
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void put_hash(struct buf *out, const struct value *value) {
    struct lines pairs = {0};
    struct hash_iterator it;
    struct bytes field, content;
    pairs.line = calloc(hash_count(value) + 1, sizeof *pairs.line);
    hash_iterate(value, &it);
    while (hash_next(&it, &field, &content)) {
        struct buf pair = {0};
        put_text(&pair, field);
        put_text(&pair, content);
        buf_append(&pair, "", 1);
        pairs.line[pairs.count++] = strdup(pair.data);
        buf_free(&pair);
    }
    qsort(pairs.line, pairs.count, sizeof *pairs.line, by_text);
    for (size_t i = 0; i < pairs.count; i++) {
        buf_append_text(out, pairs.line[i]);
        free(pairs.line[i]);
    }
    free(pairs.line);
}

static bool put_line(void *arg, const struct keyref *ref) {
    struct lines *all = arg;
    struct buf out = {0};
    struct value value = keyref_value(ref);
    char digits[BYTES_I64_MAX];
    buf_printf(&out, "%u ", all->db);
    put_text(&out, ref->key);
    buf_printf(&out, "%s ", value_encoding_name(value.encoding));
    if (value.type == VALUE_STRING)
        put_text(&out, value_string_bytes(&value, digits));
    else
        put_hash(&out, &value);
    buf_printf(&out, "%lld\n", (long long)keyref_expire_ms(ref));
    buf_append(&out, "", 1);
    all->line = realloc(all->line, (all->count + 1) * sizeof *all->line);
    all->line[all->count++] = strdup(out.data);
    buf_free(&out);
    return true;
}

char *shard_digest(const struct keyspace *ks) {
    struct lines all = {0};
    struct buf out = {0};
    for (all.db = 0; all.db < keyspace_databases(ks); all.db++)
        keyspace_each(ks, all.db, put_line, &all);
    if (all.count > 0)
        qsort(all.line, all.count, sizeof *all.line, by_text);
    for (size_t i = 0; i < all.count; i++) {
        buf_append_text(&out, all.line[i]);
        free(all.line[i]);
    }
    free(all.line);
    buf_append(&out, "", 1);
    char *text = strdup(out.data);
    buf_free(&out);
    return text;
}

void shard_expect_digest(struct shard *s, const char *digest) {
    char *now = shard_digest(s->ks);
    assert_string_equal(now, digest);
    free(now);
}

/* ---- files ---- */
void shard_path(const struct shard *s, const char *name, char path[512]) {
    snprintf(path, 512, "%s/%s", s->dir, name);
}

static struct buf read_path(const char *path) {
    struct buf content = {0};
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail_msg("cannot open %s: %s", path, strerror(errno));
    size_t n;
    while ((n = fread(buf_reserve(&content, 65536), 1, 65536, file)) > 0)
        content.len += n;
    fclose(file);
    return content;
}

struct buf shard_read_file(const struct shard *s, const char *name) {
    char path[512];
    shard_path(s, name, path);
    return read_path(path);
}

struct buf fixture_file(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "tests/fixtures/%s", name);
    return read_path(path);
}

void shard_write_file(const struct shard *s, const char *name, struct bytes content) {
    char path[512];
    shard_path(s, name, path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    if (content.len > 0)
        assert_int_equal(write(fd, content.ptr, content.len), content.len);
    close(fd);
}

bool shard_file_exists(const struct shard *s, const char *name) {
    char path[512];
    shard_path(s, name, path);
    return access(path, F_OK) == 0;
}

void shard_copy_fixture(const struct shard *s, const char *fixture, const char *name) {
    struct buf content = fixture_file(fixture);
    shard_write_file(s, name, buf_bytes(&content));
    buf_free(&content);
}

/* ---- the real server ---- */
static bool installed(const char *program) {
    char command[128];
    snprintf(command, sizeof command, "command -v %s >/dev/null", program);
    bool there = system(command) == 0;
    if (!there)
        print_message("%s is not installed: this comparison is skipped\n", program);
    return there;
}

bool oracle_start(struct oracle *o, const struct shard *s, bool appendonly) {
    if (!installed("redis-server") || !installed("redis-cli"))
        return false;
    char log[512];
    snprintf(o->socket, sizeof o->socket, "%s/oracle.sock", s->dir);
    shard_path(s, "oracle.log", log);
    o->pid = fork();
    if (o->pid == 0) {
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", o->socket, "--dir",
               s->dir, "--save", "", "--appendonly", appendonly ? "yes" : "no", "--logfile", log,
               (char *)NULL);
        _exit(127);
    }
    uint64_t until_ms = clock_mono_ms() + AWAIT_MS;
    while (strcmp(oracle_ask(o, "PING"), "PONG") != 0) {
        if (waitpid(o->pid, NULL, WNOHANG) != 0 || clock_mono_ms() > until_ms) {
            struct buf text = shard_read_file(s, "oracle.log");
            fail_msg("redis-server does not load these files:\n%.*s", (int)text.len, text.data);
        }
        usleep(20000);
    }
    return true;
}

const char *oracle_ask(struct oracle *o, const char *words) {
    static char answer[65536];
    char command[1024];
    snprintf(command, sizeof command, "redis-cli -s %s %s 2>/dev/null", o->socket, words);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t n = fread(answer, 1, sizeof answer - 1, pipe);
    pclose(pipe);
    while (n > 0 && answer[n - 1] == '\n')
        n--;
    answer[n] = '\0';
    return answer;
}

void oracle_stop(struct oracle *o) {
    kill(o->pid, SIGTERM);
    waitpid(o->pid, NULL, 0);
}

int oracle_check(const char *program, const struct shard *s, const char *name) {
    char command[1024];
    if (!installed(program))
        return -1;
    snprintf(command, sizeof command, "cd %s && %s %s >check.log 2>&1 </dev/null", s->dir, program,
             name);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
