/* load.h - writers in the background that know what they may expect afterwards.
 *
 * Each writer counts up a key of every shard and keeps a book: what was acknowledged, what may or may
 * not have run (the connection broke, or the error says so), what was refused. Whatever happens to the
 * pool meanwhile, load_check() then finds in every key at least what was acknowledged and at most
 * that and the doubtful ones: nothing is lost, nothing runs twice. */
#ifndef REMUDA_TESTS_LOAD_H
#define REMUDA_TESTS_LOAD_H
#include "tests/integration/pool_fixture.h"
#include <pthread.h>
#include <stdatomic.h>

enum { LOAD_WRITERS_MAX = 8 };

struct load_book {
    char key[40];
    int64_t acknowledged, doubtful, refused;
};

struct load_writer {
    struct load *load;
    pthread_t thread;
    struct load_book books[POOL_WORKERS_MAX];
};

struct load {
    int port;
    unsigned writers, shards;
    _Atomic bool stop;
    _Atomic uint64_t acknowledged[POOL_WORKERS_MAX]; /* of all writers, by shard */
    char strange[256]; /* the first reply that is neither a number nor a known error */
    pthread_mutex_t lock;
    struct load_writer writer[LOAD_WRITERS_MAX];
};

/* Writers come in through this port. */
void load_start(struct load *load, const struct pool *pool, int port, unsigned writers);
/* Wait until so many more writes to the shard are acknowledged. */
void load_await(struct load *load, unsigned shard, uint64_t more);
void load_stop(struct load *load);
/* Compare the books with what the pool has.. */
void load_check(struct load *load, const struct pool *pool);
/* Sums over all books. */
int64_t load_doubtful(const struct load *load);
int64_t load_refused(const struct load *load);

#endif
