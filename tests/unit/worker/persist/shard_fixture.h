/* shard_fixture.h - a shard in a temporary folder: keyspace, configuration, loop, persistence, and
 * commands run as a worker runs them, so that what they log is what a worker would log. */
#ifndef REMUDA_TESTS_SHARD_FIXTURE_H
#define REMUDA_TESTS_SHARD_FIXTURE_H
#include "worker/command/command.h"
#include "worker/persist/persist_private.h"
#include "worker/replication/propagate.h"

struct shard {
    char dir[64];
    struct ev_loop *loop;
    struct config *config;
    struct keyspace *ks;
    struct status_page *status;
    struct persist *persist; /* NULL while closed */
    struct propagate *propagate;
    struct session session;
    struct command_env env;
    struct buf reply;
    uint64_t synced_calls, progress_calls, turns_given_back;
    uint64_t wish;             /* id of the last fork_want */
    enum fork_urgency urgency; /* of it */
    bool withhold_turns;
    /* What was told of a consistent cut, last. */
    uint64_t prepared_cut, prepared_try, linked_cut, linked_try;
    char cut_error[512], cut_report[4096];
    char error[512]; /* of the last call that failed */
};

/* Nothing is open yet. config may be changed before shard_open(). */
struct shard *shard_create(void);
/* Removes the folder. */
void shard_free(struct shard **s);
void shard_configure(struct shard *s, const char *name, const char *value);
/* Create and load. 0, or -1 with s->error; then it is closed. */
int shard_open(struct shard *s);
/* As a kill -9 leaves it: nothing is written any more. The keyspace is gone too. */
void shard_crash(struct shard *s);
/* Orderly: persist_stop, then closed. Fails the test if it is refused. */
void shard_close(struct shard *s);
/* Run an inline command; the reply, NUL-terminated. */
const char *shard_run(struct shard *s, const char *text);
/* Fails the test unless the reply is this. */
void shard_expect(struct shard *s, const char *text, const char *reply);
/* A turn of the loop: persist_turn_end, then what is pending. */
void shard_turn(struct shard *s);
/* Turn the loop until condition(s); fails the test after ten seconds. */
void shard_await(struct shard *s, bool (*condition)(struct shard *s), const char *what);
bool shard_all_synced(struct shard *s);
bool shard_no_child(struct shard *s);
/* Children forked from here on stop before they write anything; until the shard is freed. */
void shard_stop_children(struct shard *s);
/* Wait until the child that was forked has stopped. It goes on (and the later ones do not stop) with
 * shard_let_children_go(). */
void shard_await_stopped_child(struct shard *s);
void shard_let_children_go(struct shard *s);
/* Everything in the keyspace as sorted text lines, to compare two states. Free with free(). */
char *shard_digest(const struct keyspace *ks);
void shard_expect_digest(struct shard *s, const char *digest);
/* Files. */
void shard_path(const struct shard *s, const char *name, char path[512]);
struct buf shard_read_file(const struct shard *s, const char *name);
void shard_write_file(const struct shard *s, const char *name, struct bytes content);
bool shard_file_exists(const struct shard *s, const char *name);
/* Copy a file of tests/fixtures. */
void shard_copy_fixture(const struct shard *s, const char *fixture, const char *name);
struct buf fixture_file(const char *name);

/* ---- a real redis-server on this folder ---- */
/* Starts it and waits until it answers; false if none is installed (a line says so). Fails the test if
 * it does not come up. */
struct oracle {
    char socket[128];
    int pid;
};
bool oracle_start(struct oracle *o, const struct shard *s, bool appendonly);
/* Output of redis-cli with these words, without the last line end; a static buffer. */
const char *oracle_ask(struct oracle *o, const char *words);
void oracle_stop(struct oracle *o);
/* Exit status of a checker such as redis-check-rdb on a file; -1 if it is not installed. */
int oracle_check(const char *program, const struct shard *s, const char *name);

#endif
