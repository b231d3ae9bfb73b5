/* cmd_string.c - commands on plain strings: set, get, count, grow.
 *
 * Values are stored as value_string() would have them (a canonical integer as INT), but a string
 * that was changed in place stays RAW, as OBJECT ENCODING of a real server tells. */
#include "worker/command/handler.h"
#include "worker/command/string_options.h"

#include <math.h>

/* Reply with the value of a string key, or null. */
static void reply_value(struct command_ctx *ctx, const struct keyref *ref) {
    char digits[BYTES_I64_MAX];
    if (keyref_found(ref))
        reply_bulk(&ctx->reply, handler_string(ref, digits));
    else
        reply_null(&ctx->reply);
}

/* ---- SET and its like ---- */

static void log_set(struct command_ctx *ctx, const struct string_options *options) {
    if (options->given & STRING_TIMES)
        handler_log_set(ctx, ctx->argv[1], ctx->argv[2], SET_LOG_EXPIRY, options->at_ms);
    else if (options->given & STRING_KEEPTTL)
        handler_log_set(ctx, ctx->argv[1], ctx->argv[2], SET_LOG_KEEPTTL, 0);
    else if (options->given)
        handler_log_set(ctx, ctx->argv[1], ctx->argv[2], SET_LOG_PLAIN, 0);
}

void cmd_set(struct command_ctx *ctx) {
    struct string_options options;
    struct keyref ref;
    if (!string_options_parse(ctx, 3, STRING_OPTIONS_SET, &options) ||
        !string_options_time(ctx, &options))
        return;
    bool get = options.given & STRING_GET;
    ctx_find(ctx, ctx->argv[1], get ? KEY_READ : KEY_WRITE, &ref);
    if (get) {
        if (!handler_check_type(ctx, &ref, VALUE_STRING))
            return;
        reply_value(ctx, &ref);
    }
    if (options.given & (keyref_found(&ref) ? STRING_NX : STRING_XX)) {
        if (!get)
            reply_null(&ctx->reply);
        return;
    }
    struct value value = value_string(ctx->argv[2]);
    if (options.given & STRING_KEEPTTL)
        keyspace_store(&ref, &value);
    else
        handler_overwrite(&ref, &value);
    if (options.given & STRING_TIMES)
        keyspace_set_expire(&ref, options.at_ms);
    ctx->dirty++;
    log_set(ctx, &options);
    if (!get)
        reply_ok(&ctx->reply);
}

void cmd_setnx(struct command_ctx *ctx) {
    struct keyref ref;
    if (ctx_find(ctx, ctx->argv[1], KEY_WRITE, &ref)) {
        reply_integer(&ctx->reply, 0);
        return;
    }
    struct value value = value_string(ctx->argv[2]);
    keyspace_store(&ref, &value);
    ctx->dirty++;
    reply_integer(&ctx->reply, 1);
}

static void set_with_expiry(struct command_ctx *ctx, enum handler_unit unit) {
    int64_t at_ms;
    struct keyref ref;
    if (!handler_expire_argument(ctx, 2, unit, true, &at_ms))
        return;
    ctx_find(ctx, ctx->argv[1], KEY_WRITE, &ref);
    struct value value = value_string(ctx->argv[3]);
    keyspace_store(&ref, &value);
    keyspace_set_expire(&ref, at_ms);
    ctx->dirty++;
    handler_log_set(ctx, ctx->argv[1], ctx->argv[3], SET_LOG_EXPIRY, at_ms);
    reply_ok(&ctx->reply);
}

void cmd_setex(struct command_ctx *ctx) {
    set_with_expiry(ctx, UNIT_SECONDS);
}

void cmd_psetex(struct command_ctx *ctx) {
    set_with_expiry(ctx, UNIT_MILLISECONDS);
}

static bool pairs_ok(struct command_ctx *ctx) {
    if (ctx->argc % 2 == 1)
        return true;
    reply_error_format(&ctx->reply, "ERR wrong number of arguments for '%s' command",
                       ctx->cmd->name);
    return false;
}

static void set_pairs(struct command_ctx *ctx) {
    for (uint32_t i = 1; i < ctx->argc; i += 2) {
        struct keyref ref;
        struct value value = value_string(ctx->argv[i + 1]);
        ctx_find(ctx, ctx->argv[i], KEY_WRITE, &ref);
        handler_overwrite(&ref, &value);
        ctx->dirty++;
    }
}

void cmd_mset(struct command_ctx *ctx) {
    if (!pairs_ok(ctx))
        return;
    set_pairs(ctx);
    reply_ok(&ctx->reply);
}

void cmd_msetnx(struct command_ctx *ctx) {
    struct keyref ref;
    if (!pairs_ok(ctx))
        return;
    for (uint32_t i = 1; i < ctx->argc; i += 2) {
        if (ctx_find(ctx, ctx->argv[i], KEY_WRITE, &ref)) {
            reply_integer(&ctx->reply, 0);
            return;
        }
    }
    set_pairs(ctx);
    reply_integer(&ctx->reply, 1);
}

/* ---- GET and its like ---- */

void cmd_get(struct command_ctx *ctx) {
    struct keyref ref;
    if (handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        reply_value(ctx, &ref);
}

void cmd_mget(struct command_ctx *ctx) {
    reply_array(&ctx->reply, ctx->argc - 1);
    for (uint32_t i = 1; i < ctx->argc; i++) {
        struct keyref ref;
        if (ctx_find(ctx, ctx->argv[i], KEY_READ, &ref) && keyref_value(&ref).type != VALUE_STRING)
            reply_null(&ctx->reply);
        else
            reply_value(ctx, &ref);
    }
}

void cmd_getset(struct command_ctx *ctx) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    reply_value(ctx, &ref);
    struct value value = value_string(ctx->argv[2]);
    handler_overwrite(&ref, &value);
    ctx->dirty++;
    handler_log_set(ctx, ctx->argv[1], ctx->argv[2], SET_LOG_PLAIN, 0);
}

void cmd_getdel(struct command_ctx *ctx) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    reply_value(ctx, &ref);
    if (!keyspace_delete(&ref, false))
        return;
    ctx->dirty++;
    handler_log(ctx, BYTES_LITERAL("DEL"), ctx->argv[1]);
}

/* Give the key the expiry asked for, or take its own away. */
static void getex_expiry(struct command_ctx *ctx, struct keyref *ref,
                         const struct string_options *options) {
    if (options->given & STRING_TIMES) {
        if (handler_expire_is_past(ctx, options->at_ms)) {
            handler_expire_now(ctx, ref);
            return;
        }
        keyspace_set_expire(ref, options->at_ms);
        ctx->dirty++;
        handler_log_expiry(ctx, ctx->argv[1], options->at_ms);
    } else if ((options->given & STRING_PERSIST) && keyref_expire_ms(ref) != KEY_NO_EXPIRY) {
        keyspace_set_expire(ref, KEY_NO_EXPIRY);
        ctx->dirty++;
        handler_log(ctx, BYTES_LITERAL("PERSIST"), ctx->argv[1]);
    }
}

void cmd_getex(struct command_ctx *ctx) {
    struct string_options options;
    struct keyref ref;
    if (!string_options_parse(ctx, 2, STRING_OPTIONS_GETEX, &options) ||
        !handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    if (!keyref_found(&ref)) {
        reply_null(&ctx->reply);
        return;
    }
    if (!string_options_time(ctx, &options))
        return;
    reply_value(ctx, &ref);
    getex_expiry(ctx, &ref, &options);
}

/* ---- parts of a string ---- */

void cmd_strlen(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct keyref ref;
    if (handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        reply_integer(&ctx->reply,
                      keyref_found(&ref) ? (int64_t)handler_string(&ref, digits).len : 0);
}

void cmd_getrange(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    int64_t start, end;
    struct keyref ref;
    if (!handler_i64(ctx, 2, &start) || !handler_i64(ctx, 3, &end) ||
        !handler_find(ctx, 1, KEY_READ, VALUE_STRING, &ref))
        return;
    struct bytes text = keyref_found(&ref) ? handler_string(&ref, digits) : BYTES_LITERAL("");
    if (!handler_range_backward(start, end) && handler_range(&start, &end, (int64_t)text.len))
        text = bytes_of(text.ptr + start, (size_t)(end - start + 1));
    else
        text.len = 0;
    reply_bulk(&ctx->reply, text);
}

void cmd_append(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct bytes more = ctx->argv[2];
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_STRING, &ref))
        return;
    size_t len = more.len;
    if (!keyref_found(&ref)) {
        struct value value = value_string(more);
        keyspace_store(&ref, &value);
    } else {
        size_t old = handler_string(&ref, digits).len;
        len += old;
        if (!handler_length_ok(ctx, len))
            return;
        char *text = keyspace_string_resize(&ref, len);
        if (more.len > 0)
            memcpy(text + old, more.ptr, more.len);
        keyspace_touch_changed(&ref);
    }
    ctx->dirty++;
    reply_integer(&ctx->reply, (int64_t)len);
}

void cmd_setrange(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct bytes part = ctx->argv[3];
    int64_t offset;
    struct keyref ref;
    if (!handler_i64(ctx, 2, &offset))
        return;
    if (offset < 0) {
        reply_error(&ctx->reply, "ERR offset is out of range");
        return;
    }
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_STRING, &ref))
        return;
    size_t len = keyref_found(&ref) ? handler_string(&ref, digits).len : 0;
    if (part.len > 0) {
        uint64_t end = (uint64_t)offset + part.len;
        if (!handler_length_ok(ctx, end))
            return;
        len = end > len ? end : len;
        memcpy(keyspace_string_resize(&ref, len) + offset, part.ptr, part.len);
        keyspace_touch_changed(&ref);
        ctx->dirty++;
    }
    reply_integer(&ctx->reply, (int64_t)len);
}

/* ---- numbers ---- */

static void increment(struct command_ctx *ctx, int64_t by) {
    char digits[BYTES_I64_MAX];
    int64_t number = 0;
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_STRING, &ref))
        return;
    if (keyref_found(&ref)) {
        struct value old = keyref_value(&ref);
        if (old.encoding == ENCODING_INT) {
            number = old.number;
        } else if (!bytes_to_i64(value_string_bytes(&old, digits), &number)) {
            reply_error(&ctx->reply, reply_err_not_integer);
            return;
        }
    }
    if (__builtin_add_overflow(number, by, &number)) {
        reply_error(&ctx->reply, reply_err_overflow);
        return;
    }
    struct value value = value_integer(number);
    keyspace_store(&ref, &value);
    ctx->dirty++;
    reply_integer(&ctx->reply, number);
}

void cmd_incr(struct command_ctx *ctx) {
    increment(ctx, 1);
}

void cmd_decr(struct command_ctx *ctx) {
    increment(ctx, -1);
}

void cmd_incrby(struct command_ctx *ctx) {
    int64_t by;
    if (handler_i64(ctx, 2, &by))
        increment(ctx, by);
}

void cmd_decrby(struct command_ctx *ctx) {
    int64_t by;
    if (!handler_i64(ctx, 2, &by))
        return;
    if (by == INT64_MIN)
        reply_error(&ctx->reply, "ERR decrement would overflow");
    else
        increment(ctx, -by);
}

void cmd_incrbyfloat(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX], text[BYTES_LONG_DOUBLE_MAX];
    long double by, number = 0;
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_STRING, &ref))
        return;
    if (keyref_found(&ref) && !bytes_to_long_double(handler_string(&ref, digits), &number)) {
        reply_error(&ctx->reply, reply_err_not_float);
        return;
    }
    if (!handler_long_double(ctx, 2, &by))
        return;
    number += by;
    if (!isfinite(number)) {
        reply_error(&ctx->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    struct value value = {.type = VALUE_STRING, .encoding = ENCODING_EMBSTR};
    value.packed = bytes_of(text, bytes_from_long_double(text, number));
    if (value.packed.len > STRING_EMBSTR_MAX)
        value.encoding = ENCODING_RAW;
    keyspace_store(&ref, &value);
    ctx->dirty++;
    handler_log_set(ctx, ctx->argv[1], value.packed, SET_LOG_KEEPTTL, 0);
    reply_bulk(&ctx->reply, value.packed);
}
