/* cmd_set_private.h - what the handlers of set commands share. */
#ifndef REMUDA_COMMAND_SET_PRIVATE_H
#define REMUDA_COMMAND_SET_PRIVATE_H
#include "worker/command/handler.h"
#include "worker/types/set.h"

struct set_limits set_limits_of(const struct command_ctx *ctx);
/* All members, as a set. */
void set_reply_members(struct command_ctx *ctx, const struct value *set);

#endif
