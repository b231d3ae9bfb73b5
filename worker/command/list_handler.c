/* list_handler.c - see list_handler.h. */
#include "worker/command/list_handler.h"

void list_reply_elements(struct command_ctx *ctx, const struct value *list, uint64_t place,
                         uint64_t count, bool backward) {
    struct list_iterator it;
    struct bytes text;
    reply_array(&ctx->reply, count);
    list_iterate(list, place, backward, &it);
    while (count-- > 0 && list_next(&it, &text))
        reply_bulk(&ctx->reply, text);
}

bool list_open(struct command_ctx *ctx, uint32_t index, struct keyref *ref_r, struct value *list_r,
               void (*absent)(struct command_ctx *ctx)) {
    if (!handler_find(ctx, index, KEY_WRITE, VALUE_LIST, ref_r))
        return false;
    if (!keyref_found(ref_r)) {
        absent(ctx);
        return false;
    }
    *list_r = keyref_value(ref_r);
    return true;
}

void list_absent_null(struct command_ctx *ctx) {
    reply_null(&ctx->reply);
}
void list_absent_null_array(struct command_ctx *ctx) {
    reply_null_array(&ctx->reply);
}
int64_t list_fill_of(const struct command_ctx *ctx) {
    return ctx_config(ctx)->list_max_listpack_size;
}

void list_store_rest(struct command_ctx *ctx, struct keyref *ref, struct value *list) {
    if (list_count(list) == 0) {
        keyspace_delete(ref, false);
        return;
    }
    list_settle(list, list_fill_of(ctx));
    keyspace_store(ref, list);
}
