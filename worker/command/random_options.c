/* random_options.c - see random_options.h. */
#include "worker/command/random_options.h"

#include <limits.h>

bool random_options_parse(struct command_ctx *ctx, const char *word,
                          struct random_options *options_r) {
    if (!handler_i64_negatable(ctx, 2, &options_r->count))
        return false;
    options_r->with_word = ctx->argc > 3;
    if (ctx->argc > 4 || (options_r->with_word && !handler_arg_is(ctx, 3, word))) {
        reply_error(&ctx->reply, reply_err_syntax);
        return false;
    }
    if (options_r->with_word &&
        (options_r->count < -LLONG_MAX / 2 || options_r->count > LLONG_MAX / 2)) {
        reply_error(&ctx->reply, "ERR value is out of range");
        return false;
    }
    return true;
}

bool random_repeating_ok(struct reply *reply, size_t mark, uint64_t count, const char *elements) {
    enum { COUNT_MAX = 4 << 20, BYTES_MAX = 1 << 30 };
    if (count <= COUNT_MAX && reply->out->len - mark <= BYTES_MAX)
        return true;
    reply->out->len = mark;
    reply_error_format(reply,
                       "ERR value is out of range, a reply may repeat %s up to %d times "
                       "or %d bytes",
                       elements, COUNT_MAX, BYTES_MAX);
    return false;
}
