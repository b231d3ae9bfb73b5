/* parse.h - bytes of a client -> arguments of a command. Buffers only, no sockets.
 *
 * Arguments are slices of the caller's buffer: nothing is copied. A command that comes in many
 * pieces is not parsed again from its start: the parser remembers, as offsets from the command's
 * first byte, so the caller may move the buffer between calls. */
#ifndef REMUDA_RESP_PARSE_H
#define REMUDA_RESP_PARSE_H
#include "shared/base/bytes.h"
#include <stdbool.h>

enum resp_result { RESP_COMMAND, RESP_MORE, RESP_PROTOCOL_ERROR };

enum {
    RESP_INLINE_MAX = 64 * 1024,    /* longest inline request and longest length line */
    RESP_ARGS_MAX = INT32_MAX,      /* arguments of one command, as in Redis 7; what bounds their
                                       memory is client-query-buffer-limit */
    RESP_UNAUTHENTICATED_ARGS = 10, /* limits before AUTH, as Redis has them */
    RESP_UNAUTHENTICATED_BULK = 16384
};

struct resp_parser {
    uint64_t bulk_max;    /* proto-max-bulk-len; set by the caller */
    bool unauthenticated; /* set by the caller */
    uint32_t argc;        /* after RESP_COMMAND; 0 is an empty command: skip it */
    struct bytes *argv;   /* after RESP_COMMAND; valid while the buffer is not touched */
    const char *error;    /* after RESP_PROTOCOL_ERROR: "Protocol error: ..." without "-ERR " */
    /* private */
    uint32_t argv_cap, args_expected, args_done;
    int64_t bulk_len; /* of the argument being read, -1 if its length line has not come */
    size_t pos;       /* parsed so far, from the command's first byte */
    uintptr_t base;   /* where the command began when argv's first args_done were stored */
    bool multibulk;
    char *inline_scratch; /* unquoted inline arguments */
    char error_text[64];
};

void resp_parser_init(struct resp_parser *parser);
void resp_parser_free(struct resp_parser *parser);
/* data[0..len) starts at a command's first byte. RESP_COMMAND: *consumed_r bytes make it up; the
 * next call starts after them. RESP_MORE: call again with the same bytes and more behind them;
 * *consumed_r is 0. */
enum resp_result resp_parse(struct resp_parser *parser, const char *data, size_t len,
                            size_t *consumed_r);
/* While RESP_MORE: bytes that the command needs at least, counted from its first byte (for sizing
 * the read of a big argument), or 0 if unknown. */
size_t resp_parser_need(const struct resp_parser *parser);
/* Give back memory a huge command left behind. */
void resp_parser_trim(struct resp_parser *parser);

#endif
