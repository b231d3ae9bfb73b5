/* client_private.h - what the files of client/ share. */
#ifndef REMUDA_CLIENT_PRIVATE_H
#define REMUDA_CLIENT_PRIVATE_H
#include "worker/client/clients.h"
#include "worker/persist/persist.h"
#include "worker/replication/primary.h"
#include "worker/resp/parse.h"

#include <ev.h>

enum {
    READ_BYTES = 64 * 1024,       /* read from one client a turn */
    READ_BIG_BYTES = 1024 * 1024, /* the same while a big argument comes in */
    REPLY_BYTES = 1024 * 1024,    /* of replies made for one client a turn, and one reply more */
    WRITE_BYTES = 1024 * 1024,    /* written to one client a turn */
    RUN_US = 20 * 1000,           /* after this long a client's commands wait for the next turn */
    KEEP_OUT_BYTES = 16 * 1024,   /* an output buffer larger than this is given back when empty */
    ACCEPTS_PER_TURN = 64,
    GATE_MARKS = 4,
    LISTENERS_MAX = 16
};

/* Output up to `end` (counted from the connection's first byte) waits for the log offset `gate`. */
struct gate_mark {
    uint64_t end, gate;
};

struct client {
    struct session session;
    struct pipeline pipeline;
    struct clients *owner;
    ev_io read_io, write_io;
    struct buf in;              /* input not yet run */
    struct resp_parser *parser; /* while a command is only partly there */
    struct list ready_link, flush_link, close_link;
    struct list chunks; /* output set aside, before pipeline.out */
    uint64_t out_start; /* position of pipeline.out[0], counted from the connection's first byte */
    uint64_t sent;      /* output up to here has left */
    uint64_t released;  /* output up to here may be sent: no gate, or passed */
    uint64_t seen;      /* output up to here has been given its gate */
    struct gate_mark marks[GATE_MARKS];
    uint32_t mark_count;
    uint32_t address_class;
    uint64_t over_soft_limit_since_ms; /* 0: it is not */
    bool ended;                        /* the client closed its side; replies may still leave */
};

struct clients {
    struct ev_loop *loop;
    struct command_env *env;
    struct router *router;
    ev_io listen_io[LISTENERS_MAX];
    uint32_t listeners;
    ev_io handover_io;
    bool open; /* we accept */
    struct list ready, flush, closing, gated;
    struct resp_parser parser; /* for all whose input is whole */
    char *read_buffer;
    uint32_t connected;
    uint64_t received, rejected, net_in, net_out, cron_turns;
};

struct client *client_of_session(struct session *session);
/* Take a socket in: limits, protected mode, registration. Owns fd from here on. NULL: it was refused. */
struct client *client_open(struct clients *clients, int fd, enum session_port port,
                           bool unix_socket, const char *peer, const char *local);
void client_close_later(struct client *c);
void client_mark_flush(struct client *c);
/* Its waiting input runs on in the next turn. */
void client_mark_ready(struct client *c);
/* client_read.c */
void client_on_readable(struct ev_loop *loop, ev_io *io, int events);
/* Run waiting input as far as allowed; restart or stop reading accordingly. */
void client_resume(struct client *c);
/* client_write.c */
void client_on_writable(struct ev_loop *loop, ev_io *io, int events);
/* Send what may leave. gate: of this turn, 0 for none. */
void client_flush(struct client *c, uint64_t gate);
size_t client_unsent(const struct client *c);
/* Free what was set aside; for closing. */
void client_drop_output(struct client *c);

#endif
