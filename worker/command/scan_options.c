/* scan_options.c - see scan_options.h. */
#include "worker/command/scan_options.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

enum { SCAN_COUNT_DEFAULT = 10 };

/* A cursor is read as leniently as strtoul() does, since clients have come to rely on it. */
bool scan_cursor_parse(struct command_ctx *ctx, uint32_t index, uint64_t *cursor_r) {
    enum { CURSOR_TEXT_MAX = 40 };
    char text[CURSOR_TEXT_MAX + 1];
    struct bytes arg = ctx->argv[index];
    bool ok = arg.len <= CURSOR_TEXT_MAX && (arg.len == 0 || !isspace((unsigned char)arg.ptr[0]));
    if (ok && arg.len > 0) {
        char *end;
        memcpy(text, arg.ptr, arg.len);
        text[arg.len] = '\0';
        errno = 0;
        *cursor_r = strtoull(text, &end, 10);
        ok = end == text + arg.len && errno == 0;
    } else if (ok) {
        *cursor_r = 0;
    }
    if (!ok)
        reply_error(&ctx->reply, "ERR invalid cursor");
    return ok;
}

static bool parse_count(struct command_ctx *ctx, uint32_t index, uint64_t *count_r) {
    int64_t count;
    if (!handler_i64(ctx, index, &count))
        return false;
    if (count < 1) {
        reply_error(&ctx->reply, reply_err_syntax);
        return false;
    }
    *count_r = (uint64_t)count;
    return true;
}

bool scan_options_parse(struct command_ctx *ctx, uint32_t first, bool with_type,
                        struct scan_options *options_r) {
    *options_r = (struct scan_options){.count = SCAN_COUNT_DEFAULT};
    for (uint32_t i = first; i < ctx->argc; i += 2) {
        bool has_value = i + 1 < ctx->argc;
        if (has_value && handler_arg_is(ctx, i, "COUNT")) {
            if (!parse_count(ctx, i + 1, &options_r->count))
                return false;
        } else if (has_value && handler_arg_is(ctx, i, "MATCH")) {
            options_r->pattern = ctx->argv[i + 1];
            options_r->has_pattern = !bytes_equal(options_r->pattern, BYTES_LITERAL("*"));
        } else if (has_value && with_type && handler_arg_is(ctx, i, "TYPE")) {
            options_r->type = ctx->argv[i + 1];
            options_r->has_type = true;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    return true;
}

void scan_reply(struct command_ctx *ctx, uint64_t cursor, size_t elements, struct bytes found) {
    char digits[BYTES_I64_MAX];
    size_t len = 0;
    do {
        digits[sizeof(digits) - ++len] = (char)('0' + cursor % 10);
        cursor /= 10;
    } while (cursor > 0);
    reply_array(&ctx->reply, 2);
    reply_bulk(&ctx->reply, bytes_of(digits + sizeof(digits) - len, len));
    reply_array(&ctx->reply, elements);
    reply_raw(&ctx->reply, found);
}
