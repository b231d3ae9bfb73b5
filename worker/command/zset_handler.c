/* zset_handler.c - see zset_handler.h. */
#include "worker/command/zset_handler.h"

struct zset_limits zset_limits_of(const struct command_ctx *ctx) {
    const struct config *config = ctx_config(ctx);
    return (struct zset_limits){.packed_entries = (uint64_t)config->zset_max_listpack_entries,
                                .packed_bytes = (uint64_t)config->zset_max_listpack_value};
}

bool zset_find(struct command_ctx *ctx, uint32_t index, struct value *zset_r, bool *found_r) {
    struct keyref ref;
    if (!handler_find(ctx, index, KEY_READ, VALUE_ZSET, &ref))
        return false;
    *found_r = keyref_found(&ref);
    if (*found_r)
        *zset_r = keyref_value(&ref);
    return true;
}

void zset_store_rest(struct keyref *ref, const struct value *zset) {
    if (zset_count(zset) == 0)
        keyspace_delete(ref, false);
    else
        keyspace_store(ref, zset);
}

void zset_store_built(struct command_ctx *ctx, uint32_t index, struct zset_builder *b) {
    struct keyref ref;
    uint64_t count = zset_builder_count(b);
    ctx_find(ctx, ctx->argv[index], KEY_WRITE, &ref);
    if (count > 0) {
        struct zset_limits limits = zset_limits_of(ctx);
        struct value zset = zset_builder_finish(b, &limits);
        handler_overwrite(&ref, &zset);
        ctx->dirty++;
    } else if (keyref_found(&ref)) {
        keyspace_delete(&ref, false);
        ctx->dirty++;
    }
    zset_builder_free(b);
    reply_integer(&ctx->reply, (int64_t)count);
}

void zset_reply_header(struct command_ctx *ctx, uint64_t members, bool with_scores) {
    reply_array(&ctx->reply, with_scores && ctx->reply.version == 2 ? members * 2 : members);
}

void zset_reply_member(struct command_ctx *ctx, struct bytes member, double score,
                       bool with_scores) {
    if (with_scores && ctx->reply.version > 2)
        reply_array(&ctx->reply, 2);
    reply_bulk(&ctx->reply, member);
    if (with_scores)
        reply_double(&ctx->reply, score);
}
