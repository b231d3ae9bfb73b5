/* failover_pair.h - two pools that change places, and clients that count what was acknowledged to them. */
#ifndef REMUDA_TESTS_FAILOVER_PAIR_H
#define REMUDA_TESTS_FAILOVER_PAIR_H
#include "tests/integration/pool_fixture.h"

enum { PAIR_WORKERS = 3 };

/* pool[1] follows pool[0], by REPLICAOF. No heartbeat kills what a test has stopped. */
void pair_start(struct pool *pool[2]);
void pair_end(struct pool *pool[2]);
/* REPLICAOF, and wait until it has everything, and logs it. */
void pair_follow(struct pool *replica, struct pool *primary);
/* This pool is a replica and its links are up. / So many workers have all their replicas online. */
bool pair_link_is_up(const struct pool *pool);
bool pair_has_replicas(const struct pool *pool);
bool pair_role_is(const struct pool *pool, const char *role);
bool pair_failover_is(const struct pool *pool, const char *state);

/* Clients that count up, over broken connections, until they are refused as the pool is no primary. */
void counters_start(const struct pool *primary);
/* Wait for the end of them. */
void counters_join(void);
/* Or let them end now. */
void counters_stop(void);
/* All that was acknowledged is here, and with `exactly` nothing else; forget it. */
void counters_check(const struct pool *pool, bool exactly);

#endif
