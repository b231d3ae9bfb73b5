/* string_options.c - one row an option; a word twice is fine, the later one counts. */
#include "worker/command/string_options.h"

static const struct row {
    const char *word;
    uint32_t option, excludes;
} rows[] = {
    {"NX", STRING_NX, STRING_XX},
    {"XX", STRING_XX, STRING_NX},
    {"GET", STRING_GET, 0},
    {"KEEPTTL", STRING_KEEPTTL, STRING_TIMES},
    {"PERSIST", STRING_PERSIST, STRING_TIMES},
    {"EX", STRING_EX, STRING_KEEPTTL | STRING_PERSIST | (STRING_TIMES & ~STRING_EX)},
    {"PX", STRING_PX, STRING_KEEPTTL | STRING_PERSIST | (STRING_TIMES & ~STRING_PX)},
    {"EXAT", STRING_EXAT, STRING_KEEPTTL | STRING_PERSIST | (STRING_TIMES & ~STRING_EXAT)},
    {"PXAT", STRING_PXAT, STRING_KEEPTTL | STRING_PERSIST | (STRING_TIMES & ~STRING_PXAT)},
};

static const struct row *find_row(struct bytes word, uint32_t allowed) {
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if ((rows[i].option & allowed) && bytes_equal_nocase(word, rows[i].word))
            return &rows[i];
    }
    return NULL;
}

bool string_options_parse(struct command_ctx *ctx, uint32_t first, uint32_t allowed,
                          struct string_options *options_r) {
    *options_r = (struct string_options){0};
    for (uint32_t i = first; i < ctx->argc; i++) {
        const struct row *row = find_row(ctx->argv[i], allowed);
        bool takes_time = row != NULL && (row->option & STRING_TIMES);
        if (row == NULL || (options_r->given & row->excludes) ||
            (takes_time && i + 1 == ctx->argc)) {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
        options_r->given |= row->option;
        if (takes_time)
            options_r->time_index = ++i;
    }
    return true;
}

bool string_options_time(struct command_ctx *ctx, struct string_options *options) {
    if (options->time_index == 0)
        return true;
    enum handler_unit unit =
        options->given & (STRING_EX | STRING_EXAT) ? UNIT_SECONDS : UNIT_MILLISECONDS;
    bool relative = options->given & (STRING_EX | STRING_PX);
    return handler_expire_argument(ctx, options->time_index, unit, relative, &options->at_ms);
}
