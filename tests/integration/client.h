/* client.h - what tests say to a server, and what they expect back.
 *
 * Through hiredis where the meaning counts, through a raw socket where the bytes count. Whatever goes
 * wrong fails the running test and shows the command. */
#ifndef REMUDA_TESTS_CLIENT_H
#define REMUDA_TESTS_CLIENT_H
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENT_WAIT_S = 60 };

/* Connect, with CLIENT_WAIT_S as limit for every reply. NULL in err's stead if it cannot. */
redisContext *client_connect(int port);
redisContext *client_try_connect(int port);

/* Send a command and expect that reply. Formats are hiredis's: %s, %b, %d. */
void expect_text(redisContext *c, const char *expected, const char *format, ...);
void expect_integer(redisContext *c, int64_t expected, const char *format, ...);
void expect_nil(redisContext *c, const char *format, ...);
/* An error that begins so. */
void expect_error(redisContext *c, const char *beginning, const char *format, ...);
/* Any reply but an error; freed by the caller. */
redisReply *expect_reply(redisContext *c, const char *format, ...);
int64_t ask_integer(redisContext *c, const char *format, ...);
/* Any reply, or NULL if the connection broke; *c is then freed and nulled. */
redisReply *ask(redisContext **c, const char *format, ...);
/* A field of INFO as text, "" if there is none. Good until the next call. */
const char *info_field(redisContext *c, const char *section, const char *field);
/* The element after `name` in a flat array of texts, "" if there is none. */
const char *reply_field(const redisReply *array, const char *name);

/* ---- bytes ---- */
struct octets {
    char *data; /* ended by a 0 that is not counted */
    size_t len;
};
int raw_connect(int port);
void raw_send(int fd, const void *data, size_t len);
void raw_send_text(int fd, const char *text);
/* Append what comes until `replies` whole replies are there; fewer if the other side closed. */
struct octets raw_read_replies(int fd, unsigned replies);
/* Has the other side closed the connection (now, or within the limit)? Reads what is left. */
bool raw_closed_within(int fd, double seconds);
/* Whole length of the RESP value at the beginning, 0 if it is not all there; aborts on nonsense. */
size_t resp_length(const char *data, size_t len);
/* argv as a RESP array. */
struct octets resp_command(unsigned argc, const char *const *argv, const size_t *lengths);

/* ---- HTTP ---- */
struct http_reply {
    int status;
    char *head, *body; /* both within head's allocation; freed with http_free() */
    size_t body_len;
};
/* Send these bytes, read to the end. status 0: no answer. */
struct http_reply http_raw(int port, const char *request);
struct http_reply http_get(int port, const char *path);
void http_free(struct http_reply *reply);

#endif
