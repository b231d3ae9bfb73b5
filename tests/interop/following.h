/* following.h - what tests of replication say to a primary and its follower, and await. */
#ifndef REMUDA_TESTS_FOLLOWING_H
#define REMUDA_TESTS_FOLLOWING_H
#include "tests/interop/dataset.h"

#include <pthread.h>
#include <stdatomic.h>

/* A number of INFO replication. */
int64_t offset_of(int port, const char *field);
bool link_is_up(int port);
/* The follower has all that the primary has said so far. */
void await_caught_up(int primary, int follower);
/* REPLICAOF, and its end, which also shows that the follower takes writes then. */
void follow(int follower, const char *host, int port);
void stop_following(int follower);
/* Changes of all types in two databases, other keys in every round. */
void say_more(int port, unsigned round, unsigned count);
/* So many more keys, of bytes that do not get smaller, that a snapshot takes a moment. Thousands only. */
void fill_much(int port, unsigned keys, unsigned value_bytes);
/* Before the sync, during it, and while the stream runs. The follower is told to follow primary_port. */
void fill_and_follow(int primary, int follower, int primary_port, uint64_t seed);

/* How many lines of DIR/log, a pool's or a redis-server's, have this text (without '). */
unsigned log_lines(const char *dir, const char *text);

/* Says changes of all types in the background, a tenth of them in transactions, some over several shards. */
struct writer {
    pthread_t thread;
    int port;
    uint64_t random;
    atomic_bool stop;
    atomic_uint said;
};
void writer_begin(struct writer *w, int port, uint64_t seed);
/* Wait until it has said so many more. */
void writer_more(struct writer *w, unsigned more);
void writer_end(struct writer *w);

/* Does the key hold "last"? */
bool has_word(int port, const char *key);
/* Say so many last words that every shard has said one, in database 0: who has all of them has what was said
 * before. */
void await_last_words(int primary, int follower);
/* The link is up, the last words are there, all data are equal. */
void await_equal(int primary, int follower);
/* Snapshots its links have begun with over all its starts, as its log says. */
unsigned full_resyncs(const struct pool *replica);

#endif
