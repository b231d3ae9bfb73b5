/* random_options.h - count and options of HRANDFIELD, ZRANDMEMBER and their like. */
#ifndef REMUDA_COMMAND_RANDOM_OPTIONS_H
#define REMUDA_COMMAND_RANDOM_OPTIONS_H
#include "worker/command/handler.h"

struct random_options {
    int64_t count;  /* negative: so many, which may repeat */
    bool with_word; /* WITHVALUES, WITHSCORES */
};

/* Arguments from the third on: a count and perhaps the word. */
bool random_options_parse(struct command_ctx *ctx, const char *word,
                          struct random_options *options_r);
/* A reply that repeats elements as often as a client asks for could hold up the shard for as long as
 * it liked. False: `count` or the bytes written since `mark` are past the limit; they have been taken
 * back and an error that speaks of `elements` has been replied. */
bool random_repeating_ok(struct reply *reply, size_t mark, uint64_t count, const char *elements);

#endif
