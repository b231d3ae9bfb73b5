/* hash_handler.h - what the handlers of hash commands (cmd_hash*.c) share. */
#ifndef REMUDA_COMMAND_HASH_HANDLER_H
#define REMUDA_COMMAND_HASH_HANDLER_H
#include "worker/command/handler.h"
#include "worker/types/hash.h"

struct hash_limits hash_limits_of(const struct command_ctx *ctx);
/* HPEXPIREAT key at_ms FIELDS count field ... */
void hash_log_expiry(struct command_ctx *ctx, int64_t at_ms, uint32_t count,
                     const struct bytes *fields);

#endif
