/* zset_handler.h - what the handlers of sorted set commands (cmd_zset*.c) share. As in handler.h, a
 * function that returns bool and gets the ctx has written the error reply when it returns false. */
#ifndef REMUDA_COMMAND_ZSET_HANDLER_H
#define REMUDA_COMMAND_ZSET_HANDLER_H
#include "worker/command/handler.h"
#include "worker/types/zset.h"

struct zset_limits zset_limits_of(const struct command_ctx *ctx);
/* Argument `index` as a sorted set for reading; *found_r false if the key is absent. */
bool zset_find(struct command_ctx *ctx, uint32_t index, struct value *zset_r, bool *found_r);
/* Put back a set that has been made smaller; an empty one is no key. */
void zset_store_rest(struct keyref *ref, const struct value *zset);
/* The reply of STORE commands: what was built becomes the key of argument `index`, whatever it held;
 * nothing built deletes it. Frees the builder. */
void zset_store_built(struct command_ctx *ctx, uint32_t index, struct zset_builder *b);

/* Pairs: two elements each in RESP2, an array each in RESP3. */
void zset_reply_header(struct command_ctx *ctx, uint64_t members, bool with_scores);
void zset_reply_member(struct command_ctx *ctx, struct bytes member, double score,
                       bool with_scores);

#endif
