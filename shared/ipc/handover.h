/* handover.h - give a connected client socket to another process (SCM_RIGHTS over a SEQPACKET pair).
 *
 * The bytes the client has sent are still unread in the socket (the front only peeks), or, from a
 * worker, travel in `pending`. */
#ifndef REMUDA_IPC_HANDOVER_H
#define REMUDA_IPC_HANDOVER_H
#include <stdbool.h>
#include <stdint.h>

/* HANDOVER_FEED: no client, but the end of a link by which a worker reads this shard's stream. */
enum handover_origin { HANDOVER_PUBLIC = 1, HANDOVER_UNIX = 2, HANDOVER_FEED = 3 };

enum { HANDOVER_MAGIC = 0x52484f32, HANDOVER_ADDRESS_BYTES = 64, HANDOVER_PENDING_MAX = 4096 };

struct handover {
    uint32_t magic;
    uint32_t origin;                   /* enum handover_origin */
    uint32_t authenticated;            /* 1: it has given the password to who hands it over */
    char peer[HANDOVER_ADDRESS_BYTES]; /* "127.0.0.1:53211", "[::1]:53211" or "/path:0" */
    char local[HANDOVER_ADDRESS_BYTES];
    uint32_t pending_bytes; /* of pending: read from the socket, not yet executed */
    char pending[HANDOVER_PENDING_MAX];
};

enum handover_result { HANDOVER_OK, HANDOVER_AGAIN, HANDOVER_FAILED };

/* Send the client socket and its description (magic is filled in); client_fd stays open with the
 * caller, who closes it after HANDOVER_OK. HANDOVER_AGAIN: the receiver's queue is full.
 * HANDOVER_FAILED: errno says why (EPIPE or ECONNREFUSED: nobody can receive). */
enum handover_result handover_send(int handover_fd, int client_fd, const struct handover *what);
/* Receive one. *client_fd_r gets a non-blocking, close-on-exec socket now owned by the caller.
 * HANDOVER_AGAIN: nothing there. HANDOVER_FAILED: a malformed message, dropped (errno EPROTO; EMFILE
 * or ENFILE if descriptors ran out: the client is lost, say so in the log), or ENOTCONN: every sender
 * is gone, so nothing will come any more. */
enum handover_result handover_receive(int handover_fd, int *client_fd_r, struct handover *what_r);

#endif
