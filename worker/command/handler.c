/* handler.c - see handler.h. */
#include "worker/command/handler.h"

#include <limits.h>

bool handler_check_type(struct command_ctx *ctx, const struct keyref *ref, enum value_type type) {
    if (!keyref_found(ref) || keyref_value(ref).type == type)
        return true;
    reply_error(&ctx->reply, reply_err_wrong_type);
    return false;
}

bool handler_find(struct command_ctx *ctx, uint32_t index, enum key_access access,
                  enum value_type type, struct keyref *ref_r) {
    ctx_find(ctx, ctx->argv[index], access, ref_r);
    return handler_check_type(ctx, ref_r, type);
}

struct bytes handler_string(const struct keyref *ref, char *digits) {
    struct value value = keyref_value(ref);
    return value_string_bytes(&value, digits);
}

void handler_overwrite(struct keyref *ref, const struct value *value) {
    keyspace_store(ref, value);
    if (keyref_expire_ms(ref) != KEY_NO_EXPIRY)
        keyspace_set_expire(ref, KEY_NO_EXPIRY);
}

/* ---- arguments ---- */

bool handler_i64_or(struct command_ctx *ctx, uint32_t index, const char *error, int64_t *value_r) {
    if (bytes_to_i64(ctx->argv[index], value_r))
        return true;
    reply_error(&ctx->reply, error);
    return false;
}

bool handler_i64(struct command_ctx *ctx, uint32_t index, int64_t *value_r) {
    return handler_i64_or(ctx, index, reply_err_not_integer, value_r);
}

bool handler_i64_least(struct command_ctx *ctx, uint32_t index, int64_t least, const char *error,
                       int64_t *value_r) {
    if (!handler_i64_or(ctx, index, error, value_r))
        return false;
    if (*value_r >= least)
        return true;
    reply_error(&ctx->reply, error);
    return false;
}

bool handler_i64_negatable(struct command_ctx *ctx, uint32_t index, int64_t *value_r) {
    if (!handler_i64(ctx, index, value_r))
        return false;
    if (*value_r != INT64_MIN)
        return true;
    reply_error_format(&ctx->reply, "ERR value is out of range, value must between %lld and %lld",
                       -LLONG_MAX, LLONG_MAX);
    return false;
}

bool handler_long_double(struct command_ctx *ctx, uint32_t index, long double *value_r) {
    if (bytes_to_long_double(ctx->argv[index], value_r))
        return true;
    reply_error(&ctx->reply, reply_err_not_float);
    return false;
}

uint64_t handler_length_max(const struct command_ctx *ctx) {
    /* What a log holds was admitted once, perhaps under a higher limit than today's; but a log is
     * input too, so that not any length will do. */
    const uint64_t log_max = UINT64_C(512) << 20;
    uint64_t limit = (uint64_t)ctx_config(ctx)->proto_max_bulk_len;
    return ctx->session->port == SESSION_INTERNAL && limit < log_max ? log_max : limit;
}

bool handler_length_ok(struct command_ctx *ctx, uint64_t len) {
    if (len <= handler_length_max(ctx))
        return true;
    reply_error(&ctx->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return false;
}

bool handler_db(struct command_ctx *ctx, uint32_t index, const char *cluster_error,
                uint32_t *db_r) {
    int64_t db;
    if (!handler_i64(ctx, index, &db))
        return false;
    if (db < INT32_MIN || db > INT32_MAX) {
        reply_error_format(&ctx->reply, "ERR value is out of range, value must between %d and %d",
                           INT32_MIN, INT32_MAX);
        return false;
    }
    if (db < 0 || db >= keyspace_databases(ctx->ks)) {
        reply_error(&ctx->reply, "ERR DB index is out of range");
        return false;
    }
    if (ctx->session->port == SESSION_NODE && db != 0) {
        reply_error(&ctx->reply, cluster_error);
        return false;
    }
    *db_r = (uint32_t)db;
    return true;
}

bool handler_range(int64_t *start, int64_t *end, int64_t len) {
    if (*start < 0)
        *start = *start + len < 0 ? 0 : *start + len;
    if (*end < 0)
        *end = *end + len < 0 ? 0 : *end + len;
    if (*end >= len)
        *end = len - 1;
    return *start <= *end;
}

/* ---- expiry ---- */

bool handler_expire_at(int64_t amount, enum handler_unit unit, bool relative, int64_t now_ms,
                       int64_t *at_ms_r) {
    if (unit == UNIT_SECONDS && __builtin_mul_overflow(amount, 1000, &amount))
        return false;
    if (relative && __builtin_add_overflow(amount, now_ms, &amount))
        return false;
    *at_ms_r = amount;
    return true;
}

bool handler_expire_argument(struct command_ctx *ctx, uint32_t index, enum handler_unit unit,
                             bool relative, int64_t *at_ms_r) {
    int64_t amount;
    if (!handler_i64(ctx, index, &amount))
        return false;
    if (amount > 0 && handler_expire_at(amount, unit, relative, ctx_now_ms(ctx), at_ms_r))
        return true;
    reply_error_format(&ctx->reply, "ERR invalid expire time in '%s' command", ctx->cmd->name);
    return false;
}

bool handler_expire_is_past(const struct command_ctx *ctx, int64_t at_ms) {
    return at_ms <= ctx_now_ms(ctx) && !ctx->env->loading;
}

void handler_expire_now(struct command_ctx *ctx, struct keyref *ref) {
    keyspace_delete(ref, false);
    handler_log(ctx, BYTES_LITERAL("DEL"), ref->key);
    ctx->dirty++;
}

/* ---- the log ---- */

void handler_log_set(struct command_ctx *ctx, struct bytes key, struct bytes value,
                     enum handler_set_log how, int64_t at_ms) {
    char digits[BYTES_I64_MAX];
    struct bytes argv[5] = {BYTES_LITERAL("SET"), key, value};
    uint32_t argc = 3;
    if (how == SET_LOG_KEEPTTL)
        argv[argc++] = BYTES_LITERAL("KEEPTTL");
    if (how == SET_LOG_EXPIRY) {
        argv[argc++] = BYTES_LITERAL("PXAT");
        argv[argc++] = bytes_of(digits, bytes_from_i64(digits, at_ms));
    }
    propagate_instead(ctx, argc, argv);
}

void handler_log_expiry(struct command_ctx *ctx, struct bytes key, int64_t at_ms) {
    char digits[BYTES_I64_MAX];
    handler_log(ctx, BYTES_LITERAL("PEXPIREAT"), key,
                bytes_of(digits, bytes_from_i64(digits, at_ms)));
}
