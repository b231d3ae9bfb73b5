/* session.h - what a shard knows of a client, without its socket. The client layer owns the socket
 * and embeds a session; relayed commands run with a session made from the frame. */
#ifndef REMUDA_COMMAND_SESSION_H
#define REMUDA_COMMAND_SESSION_H
#include "shared/base/buf.h"
#include "shared/base/list.h"
#include <stdbool.h>
#include <stdint.h>

enum session_port {
    SESSION_PUBLIC,  /* came through the front: the whole pool as one Redis */
    SESSION_NODE,    /* came to the worker's own port: a Redis Cluster node */
    SESSION_RELAYED, /* runs a command for another worker's client */
    SESSION_INTERNAL /* log replay, gather, tests */
};
enum session_reply_mode {
    SESSION_REPLY_ON,
    SESSION_REPLY_OFF,
    SESSION_REPLY_SKIP_NEXT,
    SESSION_REPLY_SKIP
};

struct replica;

struct session {
    struct list link; /* in the worker's registry */
    uint64_t id;      /* CLIENT ID, unique in the pool */
    enum session_port port;
    uint8_t resp; /* 2 or 3 */
    uint32_t db;
    /* SESSION_RELAYED: for whose call it runs, the shard and the token of the client's worker. */
    uint32_t of_peer;
    uint64_t of_token;
    bool authenticated;
    bool readonly_mode; /* READONLY on a node port */
    bool asking;
    bool of_feed; /* the pool's own merged stream reads this shard's */
    /* Says what the primary says: accepted already, and nothing may refuse it. */
    bool upstream;
    bool no_evict, no_touch;
    bool monitor;           /* is told of the commands of others */
    bool close_after_reply; /* QUIT, protocol errors */
    bool close_now;         /* CLIENT KILL of another */
    bool unix_socket;
    bool local_peer; /* loopback or Unix socket */
    enum session_reply_mode reply_mode;
    char *name, *lib_name, *lib_version; /* owned; NULL or "" if not set */
    char peer[64], local[64];
    int fd; /* for CLIENT LIST only */
    int64_t created_wall_ms;
    uint64_t last_active_mono_ms;
    const struct command *last_command;
    struct replica *replica; /* the connection is one's; NULL: it is not. Owned */
    uint64_t blocked_token;  /* of its call that waits in a blocking command; 0: none */
    /* Kept up to date by the client layer for CLIENT LIST. */
    uint64_t query_bytes, query_free_bytes, args_bytes, reply_bytes, memory_bytes;
    uint64_t net_in_bytes, net_out_bytes, commands;
};

void session_init(struct session *s, enum session_port port);
void session_free(struct session *s); /* the texts it owns; and out of the registry */
/* What RESET does: database 0, RESP2, no name, reply mode on, authenticated only if no password. */
void session_reset(struct session *s, bool needs_password);
/* One line of CLIENT LIST / INFO, Redis 7.2's fields, ending in LF. */
void session_describe(const struct session *s, struct buf *out);

#endif
