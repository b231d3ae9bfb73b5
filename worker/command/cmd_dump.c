/* cmd_dump.c - DUMP and RESTORE: a value out of and back into a key in a real server's serialized
 * form. The payload is hostile input; worker/persist/rdb_value.c checks it. */
#include "worker/command/handler.h"
#include "worker/persist/rdb_value.h"

void cmd_dump(struct command_ctx *ctx) {
    struct keyref ref;
    struct buf payload = {0};
    if (!ctx_find(ctx, ctx->argv[1], KEY_READ, &ref)) {
        reply_null(&ctx->reply);
        return;
    }
    struct value value = keyref_value(&ref);
    rdb_dump(&payload, &value);
    reply_bulk(&ctx->reply, buf_bytes(&payload));
    buf_free(&payload);
}

/* ---- RESTORE ---- */

enum { NOT_GIVEN = -1, FREQUENCY_MAX = 255 };

struct restore_options {
    bool replace, absolute;
    int64_t idle_seconds, frequency; /* NOT_GIVEN: not given; never both */
    int64_t ttl;
};

/* A number from 0 to max behind IDLETIME or FREQ. */
static bool parse_number(struct command_ctx *ctx, uint32_t index, int64_t max, const char *error,
                         int64_t *number_r) {
    if (!handler_i64(ctx, index, number_r))
        return false;
    if (*number_r >= 0 && *number_r <= max)
        return true;
    reply_error(&ctx->reply, error);
    return false;
}

static bool parse_words(struct command_ctx *ctx, struct restore_options *options) {
    for (uint32_t i = 4; i < ctx->argc; i++) {
        bool has_value = i + 1 < ctx->argc;
        if (handler_arg_is(ctx, i, "REPLACE")) {
            options->replace = true;
        } else if (handler_arg_is(ctx, i, "ABSTTL")) {
            options->absolute = true;
        } else if (handler_arg_is(ctx, i, "IDLETIME") && has_value &&
                   options->frequency == NOT_GIVEN) {
            if (!parse_number(ctx, ++i, INT64_MAX, "ERR Invalid IDLETIME value, must be >= 0",
                              &options->idle_seconds))
                return false;
        } else if (handler_arg_is(ctx, i, "FREQ") && has_value &&
                   options->idle_seconds == NOT_GIVEN) {
            if (!parse_number(ctx, ++i, FREQUENCY_MAX,
                              "ERR Invalid FREQ value, must be >= 0 and <= 255",
                              &options->frequency))
                return false;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    return true;
}

/* The time to live, and whether the key may be made at all. */
static bool parse_target(struct command_ctx *ctx, struct restore_options *options) {
    struct keyref ref;
    if (!options->replace && ctx_find(ctx, ctx->argv[1], KEY_PEEK, &ref)) {
        reply_error(&ctx->reply, "BUSYKEY Target key name already exists.");
        return false;
    }
    if (!handler_i64(ctx, 2, &options->ttl))
        return false;
    bool relative = options->ttl > 0 && !options->absolute;
    if (options->ttl >= 0 && handler_expire_at(options->ttl, UNIT_MILLISECONDS, relative,
                                               ctx_now_ms(ctx), &options->ttl))
        return true;
    reply_error(&ctx->reply, "ERR Invalid TTL value, must be >= 0");
    return false;
}

static bool read_payload(struct command_ctx *ctx, struct value *value_r) {
    char error[256];
    int result = rdb_restore(ctx->argv[3], ctx_config(ctx), value_r, error, sizeof(error));
    if (result == RDB_RESTORE_BAD_PAYLOAD)
        reply_error(&ctx->reply, "ERR DUMP payload version or checksum are wrong");
    else if (result != 0)
        reply_error(&ctx->reply, "ERR Bad data format");
    return result == 0;
}

/* Logged with the time as it came out, so that loading the log later gives the same one. */
static void log_restore(struct command_ctx *ctx, const struct restore_options *options) {
    char digits[BYTES_I64_MAX];
    if (options->ttl == 0 || options->absolute)
        return;
    struct bytes ttl = bytes_of(digits, bytes_from_i64(digits, options->ttl));
    handler_log(ctx, BYTES_LITERAL("RESTORE"), ctx->argv[1], ttl, ctx->argv[3],
                BYTES_LITERAL("ABSTTL"), BYTES_LITERAL("REPLACE"));
}

/* A value that would be gone at once leaves nothing behind, not even the key it replaces. */
static void restore_past(struct command_ctx *ctx, struct keyref *ref, struct value *value) {
    value_free(value);
    if (keyref_found(ref))
        handler_expire_now(ctx, ref);
}

static void restore(struct command_ctx *ctx, const struct restore_options *options,
                    struct value *value) {
    struct keyref ref;
    ctx_find(ctx, ctx->argv[1], KEY_PEEK, &ref);
    if (options->ttl != 0 && handler_expire_is_past(ctx, options->ttl)) {
        restore_past(ctx, &ref, value);
        return;
    }
    handler_overwrite(&ref, value);
    if (options->ttl != 0)
        keyspace_set_expire(&ref, options->ttl);
    if (options->idle_seconds != NOT_GIVEN || options->frequency != NOT_GIVEN) {
        int64_t idle_ms;
        if (options->idle_seconds == NOT_GIVEN)
            idle_ms = NOT_GIVEN;
        else if (__builtin_mul_overflow(options->idle_seconds, 1000, &idle_ms))
            idle_ms = INT64_MAX;
        keyspace_set_access(&ref, idle_ms, (int32_t)options->frequency);
    }
    ctx->dirty++;
    log_restore(ctx, options);
}

void cmd_restore(struct command_ctx *ctx) {
    struct restore_options options = {.idle_seconds = NOT_GIVEN, .frequency = NOT_GIVEN};
    struct value value;
    if (!parse_words(ctx, &options) || !parse_target(ctx, &options) || !read_payload(ctx, &value))
        return;
    restore(ctx, &options, &value);
    reply_ok(&ctx->reply);
}
