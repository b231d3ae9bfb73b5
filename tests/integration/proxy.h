/* proxy.h - a bad network for tests: ports of one loopback address are forwarded to the same ports of 127.0.0.1,
 * by a thread, and what passes is cut, slowed down or stopped.
 *
 *   follower  ->  127.0.0.2:PORT .. PORT+n  ->  127.0.0.1:PORT .. PORT+n  primary, bound to 127.0.0.1 only
 *
 * So a follower that is told of further ports by the primary meets the same network there. Every rule is in
 * force at once, for connections that are open, too. Bytes are counted from the primary to the follower. */
#ifndef REMUDA_TESTS_PROXY_H
#define REMUDA_TESTS_PROXY_H
#include <stdbool.h>
#include <stdint.h>

#define PROXY_HOST "127.0.0.2"

struct proxy;

/* Fails the running test if a port cannot be had. */
struct proxy *proxy_start(int first_port, unsigned ports);
void proxy_end(struct proxy **proxy);

/* Cut each connection after 1 to `most` bytes, drawn from the seed, one half of them with a reset.
 * most = 0: no more. */
void proxy_cut_within(struct proxy *proxy, uint64_t seed, uint64_t most);
/* Cut all connections now. */
void proxy_cut(struct proxy *proxy);
/* So many bytes a second over all connections; 0: as fast as it goes. */
void proxy_throttle(struct proxy *proxy, uint64_t bytes_per_s);
/* Of each connection pass so many bytes more, and then nothing in either direction, without closing it.
 * PROXY_ALL: go on. */
#define PROXY_ALL UINT64_MAX
void proxy_stall_after(struct proxy *proxy, uint64_t bytes);

/* Connections cut so far by the rules above, and those that stand still now. */
unsigned proxy_cuts(struct proxy *proxy);
unsigned proxy_stalled(struct proxy *proxy);
/* Bytes that have passed. */
uint64_t proxy_passed(struct proxy *proxy);

#endif
