/* route_fixture.h - a pool in one process: N routers over one shared segment, each with a keyspace of
 * its own, and clients that talk RESP to any of them. Loop turns are run by hand, so that a test
 * decides who goes when, and what is lost. */
#ifndef REMUDA_TESTS_ROUTE_FIXTURE_H
#define REMUDA_TESTS_ROUTE_FIXTURE_H
#include "worker/route/router_private.h"

enum { ROUTE_SHARDS_MAX = 4 };

struct pool_fixture;
struct route_shard {
    struct config *config;
    struct keyspace *ks;
    struct command_env env;
    struct list sessions, primaries;
    struct router *router;
    uint32_t generation;
    bool down;
    /* What it was asked to mark for a cut, and what it did. */
    uint64_t marked_kind, marked_cut, marked_try, marks;
    const char *refuse_mark; /* NULL: it marks */
    void (*on_mark)(struct route_shard *shard);
    /* The end of a barrier that it ran. */
    uint64_t ended_cut, ended_try, ends;
    char cut_error[200]; /* "" if it was good */
    struct pool_fixture *pool;
};

struct pool_fixture {
    struct segment segment;
    uint32_t shards;
    struct route_shard shard[ROUTE_SHARDS_MAX];
    int bells[ROUTE_SHARDS_MAX];
    uint64_t last_client_id;
};

struct route_client {
    struct pool_fixture *pool;
    uint32_t at; /* shard whose client it is */
    struct session session;
    struct pipeline pipeline;
    char *text; /* of the last wait, NUL-terminated */
};

struct pool_fixture *pool_create(uint32_t shards, uint32_t ring_bytes);
void pool_free(struct pool_fixture **pool);
void pool_configure(struct pool_fixture *pool, const char *name, const char *value);
/* One turn of one shard; of all, `times` times. */
void pool_turn(struct pool_fixture *pool, uint32_t shard);
void pool_turns(struct pool_fixture *pool, uint32_t times);
/* The process of a shard dies with all it held in memory; the others are told, or not yet. */
void pool_kill(struct pool_fixture *pool, uint32_t shard);
void pool_tell_down(struct pool_fixture *pool, uint32_t shard);
/* A new generation with an empty keyspace. */
void pool_revive(struct pool_fixture *pool, uint32_t shard);

struct route_client *client_create(struct pool_fixture *pool, uint32_t at, enum session_port port);
void client_free(struct route_client **client);
/* Offer one inline command; false if it may not begin now. */
bool client_send(struct route_client *client, const char *inline_command);
/* All replies so far, as text; they are taken out. */
const char *client_take(struct route_client *client);
/* Send, run turns until nothing is in flight, take. */
const char *client_ask(struct route_client *client, const char *inline_command);
/* A key that shard `shard` owns: prefix and the first number that fits. */
void key_of_shard(const struct pool_fixture *pool, uint32_t shard, const char *prefix, char *key_r,
                  size_t bytes);

#endif
