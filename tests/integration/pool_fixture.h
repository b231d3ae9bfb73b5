/* pool_fixture.h - real pools for tests: started on free ports in a directory of their own, watched,
 * killed and stopped.
 *
 * Every failure fails the running test. pool_end() is the good end: it fails if the pool did not stop
 * in order, if a process died that the test did not kill, or if a sanitizer found something. What a
 * failed test leaves behind is killed by pools_cleanup(), which then prints the pool's log; make it
 * the teardown of every test that starts pools. Pools die with the test program whatever happens. */
#ifndef REMUDA_TESTS_POOL_FIXTURE_H
#define REMUDA_TESTS_POOL_FIXTURE_H
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "shared/base/clock.h"
#include "tests/integration/client.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum { POOL_WAIT_S = 60, POOL_OPTIONS_MAX = 48, POOL_WORKERS_MAX = 16 };

/* Wait until the condition holds, looking every few milliseconds; fail the test after so long. */
#define AWAIT_WITHIN(seconds, condition)                                                           \
    do {                                                                                           \
        uint64_t await_until_ms_ = clock_mono_ms() + (uint64_t)((seconds)*1000);                   \
        while (!(condition)) {                                                                     \
            if (clock_mono_ms() > await_until_ms_)                                                 \
                fail_msg("not within %g s: %s", (double)(seconds), #condition);                    \
            usleep(5000);                                                                          \
        }                                                                                          \
    } while (0)
#define AWAIT(condition) AWAIT_WITHIN(POOL_WAIT_S, condition)

struct pool_options {
    unsigned workers;                      /* 0: 3 */
    const char *options[POOL_OPTIONS_MAX]; /* "--name", "value", ...; they win over the fixture's */
    const char *ini;                       /* text of a pool.ini to start with; NULL: none */
    const char *environment[4];            /* "NAME=value" */
    bool deaths;  /* processes of the pool are killed or crash: no reason for pool_end() to fail */
    bool unready; /* do not wait until it is ready */
};

struct pool {
    struct pool *next;
    struct pool_options options;
    unsigned workers;
    pid_t pid;                          /* supervisor; 0: not running */
    int port, status_port, worker_port; /* worker i: worker_port + i */
    int port_lock;
    char dir[64];  /* everything of this pool; removed by pool_end() */
    char data[80]; /* DIR/data */
    char log[80];  /* DIR/log: what it said on stdout and stderr, over all starts */
    char ini[80];  /* DIR/pool.ini, if there is one */
};

/* The build that is tested: $REMUDA_BUILD, else build. The path may be relative to the top. */
const char *pool_build(void);

/* Start a pool and wait until all its shards serve. NULL: the defaults. */
struct pool *pool_start(const struct pool_options *options);
/* Start it again, on the same directory and ports. */
void pool_start_again(struct pool *pool);
void pool_await_ready(struct pool *pool);
/* Start it again below another program, such as strace -D, that does not change its pid; wait for
 * nothing. */
void pool_begin_below(struct pool *pool, const char *const *wrapper);
/* The same, until it came up: true; or ended: false, with its exit code or minus the signal. */
bool pool_start_below(struct pool *pool, const char *const *wrapper, int *code_r);
/* Kill all processes at once, as a power cut would, and wait until they are gone. */
void pool_crash(struct pool *pool);
/* Kill the supervisor, wait until the others have ended by themselves, and start the pool again. */
void pool_kill_supervisor(struct pool *pool);
/* Send a signal to the supervisor; wait for its end: the exit code, or minus the signal. */
void pool_signal(struct pool *pool, int signal_number);
int pool_await_exit(struct pool *pool);
/* SIGTERM, and the exit code. */
int pool_stop(struct pool *pool);
/* Stop it if it runs (which must be in order), check what is said above, free all. */
void pool_end(struct pool **pool);

/* Teardown of a test. Always 0. */
int pools_cleanup(void **state);

/* /status as JSON, to be released by the caller. NULL if the front does not answer (now). */
json_t *pool_status_try(const struct pool *pool);
json_t *pool_status(const struct pool *pool);
/* An integer or text of /status by path, such as "workers.1.pid" or "front.state". Integer: -1 and
 * text: "" if it is not there or the front does not answer. The text is good until the next call. */
int64_t pool_number(const struct pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
const char *pool_text(const struct pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A metric of all workers together; every worker must have it. */
int64_t pool_sum(const struct pool *pool, const char *metric);

pid_t pool_worker_pid(const struct pool *pool, unsigned worker);
pid_t pool_front_pid(const struct pool *pool);
/* Kill a process of the pool; wait until a new one has taken its place and serves. */
void pool_kill_worker(struct pool *pool, unsigned worker, int signal_number);
void pool_await_worker(struct pool *pool, unsigned worker, pid_t not_this);

/* Is the process gone (or a zombie)? */
bool process_gone(pid_t pid);
/* Does SIGSTOP have it, with all its threads? Before that, the kernel does not count it as stopped. */
bool process_stopped(pid_t pid);
/* Pids of all processes of the pool, and how many. */
unsigned pool_pids(const struct pool *pool, pid_t pids_r[POOL_WORKERS_MAX + 2]);

/* Does the log of the pool contain this text? */
bool pool_log_has(const struct pool *pool, const char *text);

/* The nth key that this worker owns, with a prefix so that tests can tell theirs. Good until 16
 * calls later. */
const char *pool_key(const struct pool *pool, unsigned worker, unsigned n);
unsigned pool_owner(const struct pool *pool, const char *key);

/* Clients, with timeouts so that no test hangs. */
redisContext *pool_connect(const struct pool *pool);
redisContext *pool_connect_worker(const struct pool *pool, unsigned worker);

/* A block of free TCP ports, kept from other test programs as long as *lock_r is open. */
enum { PORT_BLOCK = 20 };
int ports_claim(int *lock_r);

/* ---- a real redis-server ---- */
struct oracle {
    pid_t pid;
    int port, port_lock;
    char dir[64];
};
/* Is redis-server installed? If not, the test is skipped with a line that says so. */
void oracle_needed(void);
/* Start it with these further arguments, on a directory (NULL: a temporary one). */
struct oracle *oracle_start(const char *dir, const char *const *options);
/* An orderly end that saves; and again, on its own directory and port, without further arguments. */
void oracle_stop(struct oracle *oracle);
void oracle_start_again(struct oracle *oracle);
void oracle_end(struct oracle **oracle);

/* ---- programs ---- */
/* Run `sh -c command`; its output (at most 1 MB), its exit code. Freed by the caller. */
char *run_shell(int *code_r, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Run `remuda WORDS` of the build, which must end with this code; what it said on both. Freed by the
 * caller. */
char *run_remuda(int expected, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* These words must be in it. */
void expect_said(const char *said, const char *words);
bool path_exists(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Directory of its own for a test; removed by the caller. */
void make_directory(char path_r[64]);
void remove_directory(const char *path);

#endif
