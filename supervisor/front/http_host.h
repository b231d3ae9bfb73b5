/* http_host.h - whose Host headers are answered. Pure.
 *
 * A page of another site can point a name of its own at our address (DNS rebinding) and then read
 * what we answer; it cannot make the browser send a Host that is ours. */
#ifndef REMUDA_HTTP_HOST_H
#define REMUDA_HTTP_HOST_H
#include <stdbool.h>

/* host: the Host header, "name", "name:port" or "[v6]:port". local: the address the connection came
 * in on ("127.0.0.1", "::1"; NULL if unknown). hosts: more names, by spaces; "*" allows all.
 * True for those, localhost and both loopback addresses; false too if host is malformed or NULL. */
bool http_host_allowed(const char *host, const char *local, const char *hosts);

#endif
