/* handler_fixture.h - a keyspace, a configuration and a session, and one call that runs a command
 * text through admit() and execute() and gives the reply as it would go over the wire. */
#ifndef REMUDA_TESTS_HANDLER_FIXTURE_H
#define REMUDA_TESTS_HANDLER_FIXTURE_H
#include "worker/command/blocked.h"

struct fixture {
    struct keyspace *ks;
    struct config *config;
    struct list sessions, primaries;
    struct session session;
    struct command_env env;
    struct buf reply;  /* of the last command */
    struct buf logged; /* what the last command would log, words by spaces, commands by " | " */
    uint64_t dirty;    /* of the last command */
    int64_t now_ms;
    uint64_t
        may_wait_as; /* a command may block, and waits in env.blocked under this token; 0: none */
};

enum { FIXTURE_NOW_MS = 1700000000 };

struct fixture *fixture_create(void);
void fixture_free(struct fixture **f);
/* Move the clock that expiry is judged by. */
void fixture_advance(struct fixture *f, int64_t ms);
/* CONFIG SET without the pool: panics on a bad value. */
void fixture_configure(struct fixture *f, const char *name, const char *value);
/* Run arguments; the reply is in f->reply. */
void fixture_run(struct fixture *f, uint32_t argc, const struct bytes *argv);
/* Run an inline command ("SET k \"a b\"") and return the reply, ended by NUL. */
const char *fixture_inline(struct fixture *f, const char *text);

/* Fails the test with both texts if the reply of `text` is not `want`, bytes as on the wire. */
void expect_at(struct fixture *f, const char *text, const char *want, const char *file, int line);
/* The same for what the last command would log; "" for nothing. */
void expect_log_at(struct fixture *f, const char *want, const char *file, int line);
#define REPLY_OK     "+OK\r\n"
#define REPLY_NIL    "$-1\r\n"
#define REPLY_ZERO   ":0\r\n"
#define REPLY_ONE    ":1\r\n"
#define REPLY_TYPE   "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define REPLY_INT    "-ERR value is not an integer or out of range\r\n"
#define REPLY_SYNTAX "-ERR syntax error\r\n"

/* A test with a fixture of its own in *state. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);
#define FIXTURE_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

#define expect(f, text, want) expect_at(f, text, want, __FILE__, __LINE__)
#define expect_log(f, want)   expect_log_at(f, want, __FILE__, __LINE__)

#endif
