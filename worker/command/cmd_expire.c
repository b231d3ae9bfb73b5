/* cmd_expire.c - giving keys a time to live, asking for it, taking it away.
 *
 * Inside, every expiry is absolute, in milliseconds; so is what is logged, whatever the client gave. */
#include "worker/command/handler.h"

enum { EXPIRE_NX = 1 << 0, EXPIRE_XX = 1 << 1, EXPIRE_GT = 1 << 2, EXPIRE_LT = 1 << 3 };

static const struct {
    const char *word;
    uint32_t condition;
} conditions[] = {{"NX", EXPIRE_NX}, {"XX", EXPIRE_XX}, {"GT", EXPIRE_GT}, {"LT", EXPIRE_LT}};

static uint32_t condition_of(struct bytes word) {
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        if (bytes_equal_nocase(word, conditions[i].word))
            return conditions[i].condition;
    }
    return 0;
}

static bool parse_conditions(struct command_ctx *ctx, uint32_t *given_r) {
    uint32_t given = 0;
    for (uint32_t i = 3; i < ctx->argc; i++) {
        uint32_t condition = condition_of(ctx->argv[i]);
        if (condition == 0) {
            reply_error_format(&ctx->reply, "ERR Unsupported option %.*s", (int)ctx->argv[i].len,
                               ctx->argv[i].ptr);
            return false;
        }
        given |= condition;
    }
    *given_r = given;
    const char *error = NULL;
    if ((given & EXPIRE_NX) && (given & ~(uint32_t)EXPIRE_NX))
        error = "ERR NX and XX, GT or LT options at the same time are not compatible";
    else if ((given & EXPIRE_GT) && (given & EXPIRE_LT))
        error = "ERR GT and LT options at the same time are not compatible";
    if (error != NULL)
        reply_error(&ctx->reply, error);
    return error == NULL;
}

/* A key without an expiry lives longer than any other. */
static bool conditions_hold(uint32_t given, int64_t old_ms, int64_t new_ms) {
    bool had_none = old_ms == KEY_NO_EXPIRY;
    if ((given & EXPIRE_NX) && !had_none)
        return false;
    if ((given & EXPIRE_XX) && had_none)
        return false;
    if ((given & EXPIRE_GT) && (had_none || new_ms <= old_ms))
        return false;
    return !((given & EXPIRE_LT) && !had_none && new_ms >= old_ms);
}

static void expire(struct command_ctx *ctx, enum handler_unit unit, bool relative) {
    uint32_t given;
    int64_t amount, at_ms;
    struct keyref ref;
    if (!parse_conditions(ctx, &given) || !handler_i64(ctx, 2, &amount))
        return;
    if (!handler_expire_at(amount, unit, relative, ctx_now_ms(ctx), &at_ms)) {
        reply_error_format(&ctx->reply, "ERR invalid expire time in '%s' command", ctx->cmd->name);
        return;
    }
    if (!ctx_find(ctx, ctx->argv[1], KEY_WRITE, &ref) ||
        !conditions_hold(given, keyref_expire_ms(&ref), at_ms)) {
        reply_integer(&ctx->reply, 0);
        return;
    }
    if (handler_expire_is_past(ctx, at_ms)) {
        handler_expire_now(ctx, &ref);
    } else {
        keyspace_set_expire(&ref, at_ms < 0 ? 0 : at_ms);
        ctx->dirty++;
        handler_log_expiry(ctx, ctx->argv[1], at_ms);
    }
    reply_integer(&ctx->reply, 1);
}

void cmd_expire(struct command_ctx *ctx) {
    expire(ctx, UNIT_SECONDS, true);
}

void cmd_pexpire(struct command_ctx *ctx) {
    expire(ctx, UNIT_MILLISECONDS, true);
}

void cmd_expireat(struct command_ctx *ctx) {
    expire(ctx, UNIT_SECONDS, false);
}

void cmd_pexpireat(struct command_ctx *ctx) {
    expire(ctx, UNIT_MILLISECONDS, false);
}

void cmd_persist(struct command_ctx *ctx) {
    struct keyref ref;
    bool had =
        ctx_find(ctx, ctx->argv[1], KEY_WRITE, &ref) && keyref_expire_ms(&ref) != KEY_NO_EXPIRY;
    if (had) {
        keyspace_set_expire(&ref, KEY_NO_EXPIRY);
        ctx->dirty++;
    }
    reply_integer(&ctx->reply, had);
}

/* ---- asking ---- */

enum { TTL_NO_KEY = -2, TTL_NO_EXPIRY = -1 };

/* Reply with the expiry counted from `from_ms`, rounded to the unit. */
static void reply_expiry(struct command_ctx *ctx, enum handler_unit unit, int64_t from_ms) {
    struct keyref ref;
    if (!ctx_find(ctx, ctx->argv[1], KEY_NOTOUCH, &ref)) {
        reply_integer(&ctx->reply, TTL_NO_KEY);
        return;
    }
    int64_t at_ms = keyref_expire_ms(&ref);
    if (at_ms == KEY_NO_EXPIRY) {
        reply_integer(&ctx->reply, TTL_NO_EXPIRY);
        return;
    }
    int64_t left_ms = at_ms < from_ms ? 0 : at_ms - from_ms;
    int64_t seconds = left_ms / 1000 + (left_ms % 1000 >= 500);
    reply_integer(&ctx->reply, unit == UNIT_SECONDS ? seconds : left_ms);
}

void cmd_ttl(struct command_ctx *ctx) {
    reply_expiry(ctx, UNIT_SECONDS, ctx_now_ms(ctx));
}

void cmd_pttl(struct command_ctx *ctx) {
    reply_expiry(ctx, UNIT_MILLISECONDS, ctx_now_ms(ctx));
}

void cmd_expiretime(struct command_ctx *ctx) {
    reply_expiry(ctx, UNIT_SECONDS, 0);
}

void cmd_pexpiretime(struct command_ctx *ctx) {
    reply_expiry(ctx, UNIT_MILLISECONDS, 0);
}
