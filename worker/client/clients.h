/* clients.h - the connections of a worker: accept, take over, read, write, limits, close.
 *
 * A client costs no buffer while it is idle: input is read into one buffer of the worker's and only
 * what is left over is kept; replies leave at the end of the turn that made them. A client that may
 * not begin another command (too many in flight, a ring is full, the shard is locked) is not read. */
#ifndef REMUDA_CLIENT_CLIENTS_H
#define REMUDA_CLIENT_CLIENTS_H
#include "worker/route/router.h"

struct ev_loop;
struct clients;

/* listeners: how many inherited listening sockets of this worker's own port. All arguments outlive
 * the object. Nothing is accepted before clients_open(). */
struct clients *clients_create(struct ev_loop *loop, struct command_env *env, struct router *router,
                               uint32_t listeners);
void clients_free(struct clients **clients);

/* Begin to accept on our own port, and (when this shard serves) to take over clients. */
void clients_open(struct clients *clients);
void clients_open_handover(struct clients *clients);
/* Orderly stop: accept no more; and again, if the stop was refused. */
void clients_close_listeners(struct clients *clients);
void clients_reopen(struct clients *clients);

/* Clients that may go on: their waiting input is run. */
void clients_turn_begin(struct clients *clients);
/* Before sleeping: is there a client that may go on, or a reply that may leave? Sending may make room
 * in a ring and so set clients going: ask after the rings were flushed. */
bool clients_waiting(const struct clients *clients);
/* After the log was written: send replies, as far as the write path allows. */
void clients_turn_end(struct clients *clients);
/* The log was synced: replies that waited may leave. */
void clients_synced(struct clients *clients);
void clients_cron(struct clients *clients); /* ten times a second */
void clients_refresh_status(struct clients *clients);
/* CLIENT KILL. own: the session that asks. */
void clients_kill(struct clients *clients, struct session *session, bool own);
/* Give a client of the public port to another worker, where `pending` is run first as if it had sent it;
 * what it has sent behind the command that runs now is dropped. False: not now, it stays. */
bool clients_hand_over(struct clients *clients, struct session *session, uint32_t shard,
                       struct bytes pending);
/* Both ends of a connected socket, as CLIENT LIST shows them; "?:0" if it has none any more. */
enum { SOCKET_TEXT_BYTES = 64 };
void clients_socket_text(int fd, char peer_r[SOCKET_TEXT_BYTES], char local_r[SOCKET_TEXT_BYTES]);
/* No reply is waiting to leave. */
bool clients_drained(const struct clients *clients);

#endif
