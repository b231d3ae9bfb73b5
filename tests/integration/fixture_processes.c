/* fixture_processes.c - programs, ports and directories for tests, and the real redis-server. */
#include "tests/integration/fixture_private.h"
#include "tests/integration/pool_fixture.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

/* ---- programs ---- */

static _Noreturn void become(const char *const *argv, const char *const *environment,
                             const char *output, pid_t parent) {
    int log = open(output, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int null = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (log < 0 || null < 0 || getppid() != parent)
        _exit(126);
    dup2(null, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    close_range(3, ~0U, 0);
    setsid(); /* a Ctrl-C is the test program's alone */
    for (; environment && *environment; environment++)
        putenv((char *)(uintptr_t)*environment);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    fprintf(stderr, "cannot run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t fixture_spawn(const char *const *argv, const char *const *environment, const char *output) {
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        become(argv, environment, output, parent);
    return pid;
}

char *run_shell(int *code_r, const char *format, ...) {
    enum { OUTPUT_MAX = 1 << 20 };
    char *command = NULL, *output = calloc(1, OUTPUT_MAX + 1);
    va_list arguments;
    va_start(arguments, format);
    assert_true(vasprintf(&command, format, arguments) > 0);
    va_end(arguments);
    assert_non_null(output);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t len = fread(output, 1, OUTPUT_MAX, pipe);
    char waste[4096];
    while (fread(waste, 1, sizeof(waste), pipe) > 0)
        ;
    output[len] = 0;
    int status = pclose(pipe);
    *code_r = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    free(command);
    return output;
}

char *run_remuda(int expected, const char *format, ...) {
    int code;
    char *words = NULL;
    va_list arguments;
    va_start(arguments, format);
    assert_true(vasprintf(&words, format, arguments) > 0);
    va_end(arguments);
    char *said = run_shell(&code, "'%s/remuda' %s 2>&1", pool_build(), words);
    if (code != expected)
        fail_msg("remuda %s ended with %d:\n%s", words, code, said);
    free(words);
    return said;
}

void expect_said(const char *said, const char *words) {
    if (!strstr(said, words))
        fail_msg("'%s' is not in: %s", words, said);
}

bool path_exists(const char *format, ...) {
    char path[512];
    struct stat found;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path, sizeof(path), format, arguments);
    va_end(arguments);
    return lstat(path, &found) == 0;
}

void fixture_print_tail(const char *path, unsigned lines) {
    int code;
    char *text = run_shell(&code, "tail -n %u '%s' 2>&1", lines, path);
    fputs(text, stderr); /* cmocka cuts what it prints */
    free(text);
}

bool process_gone(pid_t pid) {
    char path[64], line[512] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return true;
    size_t len = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    line[len] = 0;
    const char *after = strrchr(line, ')');
    return !after || after[2] == 'Z' || after[2] == 'X';
}

bool process_stopped(pid_t pid) {
    int code;
    free(run_shell(&code, "! grep -h '^State:' /proc/%d/task/*/status | grep -qv 'T (stopped)'",
                   (int)pid));
    return code == 0;
}

/* ---- directories and ports ---- */

void make_directory(char path_r[64]) {
    const char *base = getenv("TMPDIR");
    snprintf(path_r, 64, "%.40s/remuda-test-XXXXXX", base && strlen(base) <= 40 ? base : "/tmp");
    assert_non_null(mkdtemp(path_r));
}

void remove_directory(const char *path) {
    int code;
    free(run_shell(&code, "rm -rf -- '%s'", path));
    assert_int_equal(code, 0);
}

static bool port_free(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_ANY)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    bool is_free = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return is_free;
}

/* An abstract socket of that name can be bound by one process at a time, and goes with it. */
static int lock_block(int first) {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "remuda-test-ports-%d", first);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
    if (bind(fd, (struct sockaddr *)&name, bytes) == 0)
        return fd;
    close(fd);
    return -1;
}

int ports_claim(int *lock_r) {
    enum { FIRST = 17000, BLOCKS = 700 }; /* below the ports the kernel gives to connections */
    static unsigned turn;
    if (turn == 0)
        turn = (unsigned)getpid();
    for (unsigned tries = 0; tries < BLOCKS; tries++) {
        int first = FIRST + (int)(turn++ % BLOCKS) * PORT_BLOCK, used = 0;
        *lock_r = lock_block(first);
        if (*lock_r < 0)
            continue;
        for (int i = 0; i < PORT_BLOCK; i++)
            used += !port_free(first + i);
        if (used == 0)
            return first;
        close(*lock_r);
    }
    fail_msg("no free block of ports");
    return -1;
}

/* ---- a real redis-server ---- */

static struct oracle *oracles[4];

void oracle_needed(void) {
    int code;
    free(run_shell(&code, "command -v redis-server redis-cli"));
    if (code == 0)
        return;
    print_message("skipped, redis-server is not installed\n");
    skip();
}

static bool oracle_answers(struct oracle *oracle) {
    int status;
    if (waitpid(oracle->pid, &status, WNOHANG) == oracle->pid) {
        oracle->pid = 0;
        fail_msg("redis-server ended at its start with status %#x", status);
    }
    redisContext *c = client_try_connect(oracle->port);
    redisReply *reply = c ? redisCommand(c, "PING") : NULL;
    bool answers = reply && reply->type == REDIS_REPLY_STATUS;
    if (reply)
        freeReplyObject(reply);
    if (c)
        redisFree(c);
    return answers;
}

static void launch(struct oracle *oracle, const char *dir, const char *const *options) {
    char port[16], log[128];
    snprintf(port, sizeof(port), "%d", oracle->port);
    snprintf(log, sizeof(log), "%s/log", oracle->dir);
    const char *argv[40] = {"redis-server",
                            "--port",
                            port,
                            "--save",
                            "",
                            "--dir",
                            dir ? dir : oracle->dir,
                            "--enable-debug-command",
                            "yes",
                            "--repl-diskless-sync-delay",
                            "0"};
    for (unsigned n = 11; options && *options && n < 39; n++)
        argv[n] = *options++;
    oracle->pid = fixture_spawn(argv, NULL, log);
    AWAIT(oracle_answers(oracle));
}

struct oracle *oracle_start(const char *dir, const char *const *options) {
    struct oracle *oracle = calloc(1, sizeof(*oracle));
    assert_non_null(oracle);
    unsigned slot = 0;
    while (oracles[slot])
        assert_true(++slot < 4);
    oracles[slot] = oracle;
    oracle->port = ports_claim(&oracle->port_lock);
    make_directory(oracle->dir);
    launch(oracle, dir, options);
    return oracle;
}

void oracle_stop(struct oracle *oracle) {
    redisContext *c = client_connect(oracle->port);
    freeReplyObject(redisCommand(c, "SHUTDOWN SAVE"));
    redisFree(c);
    assert_int_equal(waitpid(oracle->pid, NULL, 0), oracle->pid);
    oracle->pid = 0;
}

void oracle_start_again(struct oracle *oracle) {
    launch(oracle, NULL, NULL);
}

static void end(struct oracle **oracle) {
    if ((*oracle)->pid > 0) {
        kill((*oracle)->pid, SIGKILL);
        waitpid((*oracle)->pid, NULL, 0);
    }
    close((*oracle)->port_lock);
    remove_directory((*oracle)->dir);
    free(*oracle);
    *oracle = NULL;
}

void oracle_end(struct oracle **oracle) {
    for (unsigned i = 0; i < 4; i++) {
        if (oracles[i] == *oracle)
            oracles[i] = NULL;
    }
    end(oracle);
}

void oracles_cleanup(void) {
    for (unsigned i = 0; i < 4; i++) {
        char log[128];
        if (!oracles[i])
            continue;
        snprintf(log, sizeof(log), "%s/log", oracles[i]->dir);
        print_error("---- log of redis-server\n");
        fixture_print_tail(log, 40);
        end(&oracles[i]);
    }
}
