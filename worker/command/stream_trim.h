/* stream_trim.h - the arguments of XADD and XTRIM that say what is to go. */
#ifndef REMUDA_COMMAND_STREAM_TRIM_H
#define REMUDA_COMMAND_STREAM_TRIM_H
#include "worker/command/stream_handler.h"

struct trim_options {
    bool given;
    struct stream_trim trim;
    bool no_make;  /* XADD's NOMKSTREAM */
    uint32_t next; /* XADD: the argument of the id, argc if there is none */
};
/* From argument 2 on; of XADD up to the id. As in handler.h: false, the error has been written. */
bool trim_options_parse(struct command_ctx *ctx, bool adding, struct trim_options *options_r);
/* Trim; returns how many entries went. */
uint64_t trim_options_apply(struct stream *s, const struct trim_options *options);
/* The words by which the log tells exactly what a trim has left: MAXLEN = n, or MINID = id. argv_r gets
 * three of them; text: STREAM_ID_TEXT_MAX bytes. */
void trim_options_words(const struct stream *s, const struct trim_options *options, char *text,
                        struct bytes argv_r[3]);

#endif
