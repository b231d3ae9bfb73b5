/* client_fixture.h - a worker's clients over socket pairs: shard 0 of a pool of two in one process, with
 * a real log, a loop, and clients; shard 1 just serves. Turns are run by hand, in the worker's order.
 * Syncs of the log can be held back. */
#ifndef REMUDA_TESTS_CLIENT_FIXTURE_H
#define REMUDA_TESTS_CLIENT_FIXTURE_H
#include "tests/unit/worker/route/route_fixture.h"
#include "worker/client/client_private.h"

struct client_world {
    struct pool_fixture *pool;
    struct ev_loop *loop;
    struct persist *persist;
    struct propagate *propagate;
    struct clients *clients;
    char dir[64];
    char here[32], there[32]; /* a key of shard 0, one of shard 1 */
};

struct client_world *world_create(void);
void world_free(struct client_world **world);
void world_turn(struct client_world *w);
/* Syncs wait until they are let go again. */
void world_hold_syncs(bool hold);
/* A new client; returns the other end of its connection. */
int world_connect(struct client_world *w);
/* The newest client's innards. */
struct client *world_newest(struct client_world *w);
/* Send bytes, turning while the socket is full. */
void world_say(struct client_world *w, int fd, const char *data, size_t len);
/* Turn until exactly these bytes have come; fails the test if others come or none for seconds. */
void world_expect(struct client_world *w, int fd, const char *data, size_t len);
/* Turn until the connection is closed by the worker, dropping what comes. */
void world_expect_end(struct client_world *w, int fd);
/* Some turns pass and nothing comes. */
void world_expect_silence(struct client_world *w, int fd);

#endif
