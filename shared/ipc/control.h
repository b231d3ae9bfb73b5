/* control.h - messages between the supervisor and a child: orders down, reports up.
 *
 * SEQPACKET: one message, one packet. Each carries the generation of the child it is to or from;
 * a stale one is dropped by the receiver. A supervisor tolerates any garbage from a child (the
 * message is dropped and counted); it never waits for one. */
#ifndef REMUDA_IPC_CONTROL_H
#define REMUDA_IPC_CONTROL_H
#include "shared/base/bytes.h"
#include <stdint.h>

enum { CONTROL_MAGIC = 0x52435431, CONTROL_BODY_MAX = 64 * 1024 };

/* CONTROL(type, direction, meaning). `id` matches an answer to its request. */
#define CONTROL_TYPES(X)                                                                           \
    /* down */                                                                                     \
    X(ORDER_STOP, "finish writes, save if number=1 (or save points and number=0), sync, exit; "    \
                  "number=2: do not save")                                                         \
    X(ORDER_CONFIG, "apply the `name value` lines in body; number = new revision; answer "         \
                    "REPORT_CONFIG_APPLIED")                                                       \
    X(ORDER_FORK, "your turn to fork (number = id of the REPORT_FORK_WANT)")                       \
    X(ORDER_PEER_DOWN, "process `number` of generation `id` is gone")                              \
    X(ORDER_PEER_UP, "process `number` serves with generation `id`")                               \
    X(ORDER_ANSWER, "answer to a REPORT_REQUEST_*: body is empty for OK or the error text; with "  \
                    "number=1 it is the text of a good reply")                                     \
    X(ORDER_REOPEN_LOG, "open the log file again")                                                 \
    X(ORDER_CUT_PREPARE, "cut `id`, try `number`: be ready to end the log's increment; body is "   \
                         "the folder for the shard's files; answer REPORT_CUT_PREPARED")           \
    X(ORDER_CUT_LOCK, "cut `id`, try `number`: lock all shards, let each mark its cut, unlock "    \
                      "them; answer REPORT_CUT_LOCKED")                                            \
    X(ORDER_CUT_END, "cut `id` is over")                                                           \
    X(ORDER_SETTLE, "number=1: links take no more of their streams; answer REPORT_SETTLED when "   \
                    "all they took has been run. number=0: they go on")                            \
    X(ORDER_RESUME, "body: what the worker reported at the last stop behind its seal, if its "     \
                    "links may go on from there; empty: they may not")                             \
    X(ORDER_PRIMARY_IS, "the pool at `HOST PORT` in body has `id` workers now, from port "         \
                        "`number` on (0 and 0: it is a server by itself): follow it as that")      \
    /* up */                                                                                       \
    X(REPORT_LOADING, "reading files")                                                             \
    X(REPORT_READY, "serves from now on; body: the seal its files ended with, or empty")           \
    X(REPORT_CONFIG_APPLIED, "body is empty, or says what could not be applied")                   \
    X(REPORT_FORK_WANT, "would like to fork; number = expected bytes, body: a digit, how urgent "  \
                        "(enum fork_urgency), and what for")                                       \
    X(REPORT_FORK_WANT_ALL,                                                                        \
      "the same for every shard at one moment: no other child is to be at work")                   \
    X(REPORT_FORK_DONE, "the child ended, or the wish is withdrawn; id = that of the wish")        \
    X(REPORT_REQUEST_CONFIG, "CONFIG SET of the `name value` lines in body, all or nothing")       \
    X(REPORT_REQUEST_REWRITE, "CONFIG REWRITE")                                                    \
    X(REPORT_REQUEST_SHUTDOWN, "SHUTDOWN of the pool; number as in ORDER_STOP")                    \
    X(REPORT_REQUEST_SNAPSHOT, "a cut of the whole pool; body is its name or empty; number: 1 + "  \
                               "how many snapshots to keep, 0: as configured")                     \
    X(REPORT_CUT_PREPARED, "cut `id`, try `number`: body is empty or the error")                   \
    X(REPORT_CUT_LOCKED, "cut `id`, try `number`: body is the error, or \"+\" and how many "       \
                         "microseconds it took")                                                   \
    X(REPORT_CUT_LINKED, "cut `id`, try `number`: body is \"-\" and the error, or the shard's "    \
                         "`keys N` and `BYTES NAME` lines")                                        \
    X(REPORT_PRIMARY_IS, "as in ORDER_PRIMARY_IS: the primary is not what it was")                 \
    X(REPORT_SETTLED, "as ordered")                                                                \
    X(REPORT_SEALED, "stopped, all is in the files; body: the seal they end with, a newline, "     \
                     "where the links stand. Not sent if they do not know")                        \
    X(REPORT_STOP_REFUSED, "will not stop as ordered, because its save failed; body says why")     \
    X(REPORT_FAILED, "cannot go on; body says why (before exiting with an inherit_exit code)")
enum control_type {
    CONTROL_NONE,
#define X(type, meaning) CONTROL_##type,
    CONTROL_TYPES(X)
#undef X
        CONTROL_TYPE_COUNT
};
const char *control_type_name(enum control_type type);

struct control_header {
    uint32_t magic;
    uint32_t type;
    uint32_t generation;
    uint32_t body_bytes;
    uint64_t id;
    uint64_t number;
};

/* Whose turn to fork comes first. */
enum fork_urgency {
    FORK_BY_ITSELF, /* a save point, a log that has grown */
    FORK_ASKED,     /* by an operator's command */
    FORK_RESCUE,    /* no write is taken until it is done: a log afresh after a failed sync */
    FORK_URGENCIES
};

enum control_result { CONTROL_OK, CONTROL_AGAIN, CONTROL_CLOSED, CONTROL_BAD };

/* Send without blocking. CONTROL_AGAIN: the peer does not read; CONTROL_CLOSED: it is gone;
 * CONTROL_BAD: the body is longer than CONTROL_BODY_MAX, nothing was sent. */
enum control_result control_send(int fd, enum control_type type, uint32_t generation, uint64_t id,
                                 uint64_t number, struct bytes body);
/* Receive one without blocking; body (CONTROL_BODY_MAX + 1 bytes) gets the text, NUL-terminated.
 * CONTROL_BAD: garbage, dropped. Header fields are checked: magic, type range, length. A packet
 * of no bytes cannot be told from the end and is CONTROL_CLOSED. */
enum control_result control_receive(int fd, struct control_header *header_r, char *body);

#endif
