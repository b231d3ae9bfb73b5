/* sort_keys.h - the keys that SORT reads besides those it names: each element put into the patterns of
 * BY and GET. Whoever runs it over several shards must bring them first. */
#ifndef REMUDA_COMMAND_SORT_KEYS_H
#define REMUDA_COMMAND_SORT_KEYS_H
#include "worker/command/command.h"

/* Is there such a pattern? false also if the arguments make no sense: the handler says so. */
bool sort_derives_keys(const struct command_ctx *ctx);
/* Calls key() for each; some may come more than once. The sorted key must be in ctx->ks. The bytes are
 * borrowed for the call. */
void sort_derived_keys(struct command_ctx *ctx, void (*key)(void *arg, struct bytes key),
                       void *arg);

#endif
