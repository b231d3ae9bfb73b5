/* string_options.h - the options of SET and GETEX, which share their words and their rules. */
#ifndef REMUDA_COMMAND_STRING_OPTIONS_H
#define REMUDA_COMMAND_STRING_OPTIONS_H
#include "worker/command/handler.h"

enum string_option {
    STRING_NX = 1 << 0,
    STRING_XX = 1 << 1,
    STRING_GET = 1 << 2,
    STRING_KEEPTTL = 1 << 3,
    STRING_PERSIST = 1 << 4,
    STRING_EX = 1 << 5,
    STRING_PX = 1 << 6,
    STRING_EXAT = 1 << 7,
    STRING_PXAT = 1 << 8,
    STRING_TIMES = STRING_EX | STRING_PX | STRING_EXAT | STRING_PXAT
};
enum {
    STRING_OPTIONS_SET = STRING_NX | STRING_XX | STRING_GET | STRING_KEEPTTL | STRING_TIMES,
    STRING_OPTIONS_GETEX = STRING_PERSIST | STRING_TIMES
};

struct string_options {
    uint32_t given;      /* enum string_option */
    uint32_t time_index; /* argument of the one of STRING_TIMES that is given */
    int64_t at_ms;       /* the time, absolute; 0 before string_options_time() */
};

/* Words from index `first` to the end; `allowed` is one of the sets above. */
bool string_options_parse(struct command_ctx *ctx, uint32_t first, uint32_t allowed,
                          struct string_options *options_r);
/* The number behind EX, PX, EXAT or PXAT, if one was given: a step of its own, since SET looks at it
 * before the key and GETEX only when there is a key. */
bool string_options_time(struct command_ctx *ctx, struct string_options *options);

#endif
