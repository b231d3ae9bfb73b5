/* scan_options.h - cursor and options of SCAN, HSCAN and their like. */
#ifndef REMUDA_COMMAND_SCAN_OPTIONS_H
#define REMUDA_COMMAND_SCAN_OPTIONS_H
#include "worker/command/handler.h"

struct scan_options {
    bool has_pattern;
    struct bytes pattern;
    uint64_t count;
    bool has_type;
    struct bytes type; /* a name; one that is unknown matches nothing */
};

/* Argument `index` as a cursor. */
bool scan_cursor_parse(struct command_ctx *ctx, uint32_t index, uint64_t *cursor_r);
/* Arguments from `first` to the end; TYPE is for SCAN only. */
bool scan_options_parse(struct command_ctx *ctx, uint32_t first, bool with_type,
                        struct scan_options *options_r);
static inline bool scan_options_match(const struct scan_options *options, struct bytes text) {
    return !options->has_pattern || bytes_glob(options->pattern, text, false);
}
/* The whole reply: the next cursor, and what was found, as so many elements in RESP form. */
void scan_reply(struct command_ctx *ctx, uint64_t cursor, size_t elements, struct bytes found);

#endif
