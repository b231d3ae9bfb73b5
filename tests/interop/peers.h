/* peers.h - the servers that are held side by side: a real redis-server, a pool of one worker and a
 * pool of three. What is said to one is said to all, on raw sockets, so that bytes can be compared. */
#ifndef REMUDA_TESTS_PEERS_H
#define REMUDA_TESTS_PEERS_H
#include "tests/integration/pool_fixture.h"

enum { ORACLE, POOL_OF_1, POOL_OF_3, PEERS, PEER_CONNECTIONS = 8 };

struct peers {
    struct oracle *oracle;
    struct pool *pools[PEERS]; /* none at ORACLE */
    int port[PEERS];
    /* The connections of every peer; -1: closed. */
    int fd[PEERS][PEER_CONNECTIONS];
};
extern const char *const peer_names[PEERS];

/* Start all three, without persistence, DEBUG allowed. Skips the test without a redis-server. */
struct peers *peers_start(void);
void peers_end(struct peers **peers);

/* Close all connections, open connection 0 anew, speak this version of RESP, empty all databases. */
void peers_reset(struct peers *peers, unsigned resp);
/* Open a connection, if it is not. */
void peers_open(struct peers *peers, unsigned connection);
void peers_close(struct peers *peers, unsigned connection);
/* Send to one peer and read so many replies. The reply is freed by the caller. */
struct octets peer_ask(struct peers *peers, unsigned peer, unsigned connection,
                       const struct octets *request, unsigned replies);

/* Bytes as a text that shows all of them; at most `max` of them. Freed by the caller. */
char *octets_show(const char *data, size_t len, size_t max);

#endif
