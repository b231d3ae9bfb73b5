/* list_handler.h - what the handlers of list commands share. */
#ifndef REMUDA_COMMAND_LIST_HANDLER_H
#define REMUDA_COMMAND_LIST_HANDLER_H
#include "worker/command/handler.h"
#include "worker/types/list.h"

/* A list for changing that must be there; false after an error, or after absent() has replied. */
bool list_open(struct command_ctx *ctx, uint32_t index, struct keyref *ref_r, struct value *list_r,
               void (*absent)(struct command_ctx *ctx));
void list_absent_null(struct command_ctx *ctx);
void list_absent_null_array(struct command_ctx *ctx);
/* list-max-listpack-size */
int64_t list_fill_of(const struct command_ctx *ctx);
/* Store a list that elements have been taken out of: one without any is no key. */
void list_store_rest(struct command_ctx *ctx, struct keyref *ref, struct value *list);
/* `count` elements as an array, from the index `place` on. */
void list_reply_elements(struct command_ctx *ctx, const struct value *list, uint64_t place,
                         uint64_t count, bool backward);

#endif
