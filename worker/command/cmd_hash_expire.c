/* cmd_hash_expire.c - HEXPIRE and its like: fields of a hash that expire, as in Redis 7.4.
 *
 * All become HPEXPIREAT in the log, which says when and not how long; a field given a time that is past
 * goes at once and is logged as HDEL. Fields whose time has come are removed by the keyspace. */
#include "worker/command/hash_handler.h"

#include "shared/base/mem.h"

enum reply_code { NO_FIELD = -2, NO_EXPIRY = -1, NOT_MET = 0, DONE = 1, DELETED = 2 };

/* ---- FIELDS numfields field ... ---- */

struct field_list {
    uint32_t first, count; /* arguments */
};

/* The rest of the arguments from `index` on; `count_error`: the answer to a bad number. */
static bool parse_fields(struct command_ctx *ctx, uint32_t index, const char *count_error,
                         struct field_list *fields_r) {
    int64_t count;
    if (index + 1 >= ctx->argc || !handler_arg_is(ctx, index, "FIELDS")) {
        reply_error(&ctx->reply,
                    "ERR Mandatory argument FIELDS is missing or not at the right position");
        return false;
    }
    if (!handler_i64_least(ctx, index + 1, 1, count_error, &count))
        return false;
    *fields_r = (struct field_list){index + 2, ctx->argc - index - 2};
    if (count == (int64_t)fields_r->count)
        return true;
    reply_error(&ctx->reply, "ERR The `numfields` parameter must match the number of arguments");
    return false;
}

static bool has_field(const struct value *hash, struct bytes field) {
    char digits[BYTES_I64_MAX];
    struct bytes value;
    return hash_get(hash, field, digits, &value);
}

static void reply_no_fields(struct command_ctx *ctx, uint32_t count) {
    reply_array(&ctx->reply, count);
    for (uint32_t i = 0; i < count; i++)
        reply_integer(&ctx->reply, NO_FIELD);
}

/* ---- setting ---- */

void hash_log_expiry(struct command_ctx *ctx, int64_t at_ms, uint32_t count,
                     const struct bytes *fields) {
    char time[BYTES_I64_MAX], number[BYTES_I64_MAX];
    struct bytes *argv = mem_alloc((5 + (size_t)count) * sizeof(*argv));
    argv[0] = BYTES_LITERAL("HPEXPIREAT");
    argv[1] = ctx->argv[1];
    argv[2] = bytes_of(time, bytes_from_i64(time, at_ms));
    argv[3] = BYTES_LITERAL("FIELDS");
    argv[4] = bytes_of(number, bytes_from_i64(number, count));
    memcpy(argv + 5, fields, count * sizeof(*argv));
    propagate_instead(ctx, 5 + count, argv);
    mem_free(argv);
}

static void log_deletions(struct command_ctx *ctx, uint32_t count, const struct bytes *fields) {
    struct bytes *argv = mem_alloc((2 + (size_t)count) * sizeof(*argv));
    argv[0] = BYTES_LITERAL("HDEL");
    argv[1] = ctx->argv[1];
    memcpy(argv + 2, fields, count * sizeof(*argv));
    propagate_instead(ctx, 2 + count, argv);
    mem_free(argv);
}

enum condition { ALWAYS, IF_NONE, IF_ANY, IF_LATER, IF_EARLIER };

/* A field without an expiry counts as one that expires never. */
static bool is_met(enum condition condition, int64_t now_at, int64_t at_ms) {
    bool none = now_at == HASH_NO_EXPIRY;
    switch (condition) {
    case IF_NONE: return none;
    case IF_ANY: return !none;
    case IF_LATER: return !none && at_ms > now_at;
    case IF_EARLIER: return none || at_ms < now_at;
    default: return true;
    }
}

struct expiry_change {
    enum condition condition;
    int64_t at_ms;
    struct field_list fields;
    struct hash_limits limits;
    struct bytes *changed, *deleted; /* fields, for the log */
    uint32_t changed_count, deleted_count;
};

static enum reply_code change_one(struct command_ctx *ctx, struct expiry_change *c,
                                  struct value *hash, struct bytes field) {
    if (!has_field(hash, field))
        return NO_FIELD;
    if (!is_met(c->condition, hash_field_expiry(hash, field), c->at_ms))
        return NOT_MET;
    if (handler_expire_is_past(ctx, c->at_ms)) {
        hash_delete(hash, field);
        c->deleted[c->deleted_count++] = field;
        return DELETED;
    }
    hash_set_field_expiry(hash, field, c->at_ms, &c->limits);
    c->changed[c->changed_count++] = field;
    return DONE;
}

static void change_fields(struct command_ctx *ctx, struct expiry_change *c, struct keyref *ref) {
    struct value hash = keyref_value(ref);
    uint32_t count = c->fields.count;
    c->limits = hash_limits_of(ctx);
    c->changed = mem_alloc(2 * (size_t)count * sizeof(*c->changed));
    c->deleted = c->changed + count;
    reply_array(&ctx->reply, count);
    for (uint32_t i = 0; i < count; i++)
        reply_integer(&ctx->reply, change_one(ctx, c, &hash, ctx->argv[c->fields.first + i]));
    ctx->dirty += c->changed_count + c->deleted_count;
    if (hash_count(&hash) == 0)
        keyspace_delete(ref, false);
    else if (ctx->dirty > 0)
        keyspace_store(ref, &hash);
    if (c->changed_count > 0)
        hash_log_expiry(ctx, c->at_ms, c->changed_count, c->changed);
    if (c->deleted_count > 0)
        log_deletions(ctx, c->deleted_count, c->deleted);
    mem_free(c->changed);
}

/* Argument 2 as a time, in absolute milliseconds. */
static bool parse_time(struct command_ctx *ctx, enum handler_unit unit, bool relative,
                       int64_t *at_ms_r) {
    int64_t amount;
    if (!handler_i64(ctx, 2, &amount))
        return false;
    if (amount < 0) {
        reply_error(&ctx->reply, "ERR invalid expire time, must be >= 0");
        return false;
    }
    if (handler_expire_at(amount, unit, relative, ctx_now_ms(ctx), at_ms_r) &&
        (uint64_t)*at_ms_r <= HASH_EXPIRY_MAX)
        return true;
    reply_error_format(&ctx->reply, "ERR invalid expire time in '%s' command", ctx->cmd->name);
    return false;
}

static uint32_t parse_condition(const struct command_ctx *ctx, enum condition *condition_r) {
    static const char *const words[] = {
        [IF_NONE] = "NX", [IF_ANY] = "XX", [IF_LATER] = "GT", [IF_EARLIER] = "LT"};
    for (enum condition i = IF_NONE; i <= IF_EARLIER; i++)
        if (handler_arg_is(ctx, 3, words[i])) {
            *condition_r = i;
            return 1;
        }
    return 0;
}

static void expire(struct command_ctx *ctx, enum handler_unit unit, bool relative) {
    struct expiry_change c = {0};
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_HASH, &ref) ||
        !parse_time(ctx, unit, relative, &c.at_ms))
        return;
    uint32_t fields_at = 3 + parse_condition(ctx, &c.condition);
    if (!parse_fields(ctx, fields_at, "ERR Parameter `numFields` should be greater than 0",
                      &c.fields))
        return;
    if (keyref_found(&ref))
        change_fields(ctx, &c, &ref);
    else
        reply_no_fields(ctx, c.fields.count);
}

void cmd_hexpire(struct command_ctx *ctx) {
    expire(ctx, UNIT_SECONDS, true);
}

void cmd_hpexpire(struct command_ctx *ctx) {
    expire(ctx, UNIT_MILLISECONDS, true);
}

void cmd_hexpireat(struct command_ctx *ctx) {
    expire(ctx, UNIT_SECONDS, false);
}

void cmd_hpexpireat(struct command_ctx *ctx) {
    expire(ctx, UNIT_MILLISECONDS, false);
}

/* ---- asking, removing ---- */

/* The hash of argument 1 and the fields from argument 2 on. False: something has been replied. */
static bool open_fields(struct command_ctx *ctx, enum key_access access, struct keyref *ref,
                        struct value *hash_r, struct field_list *fields_r) {
    if (!handler_find(ctx, 1, access, VALUE_HASH, ref) ||
        !parse_fields(ctx, 2, "ERR Number of fields must be a positive integer", fields_r))
        return false;
    if (!keyref_found(ref)) {
        reply_no_fields(ctx, fields_r->count);
        return false;
    }
    *hash_r = keyref_value(ref);
    return true;
}

void cmd_hpersist(struct command_ctx *ctx) {
    struct keyref ref;
    struct value hash;
    struct field_list fields;
    struct hash_limits limits = hash_limits_of(ctx);
    if (!open_fields(ctx, KEY_WRITE, &ref, &hash, &fields))
        return;
    reply_array(&ctx->reply, fields.count);
    for (uint32_t i = 0; i < fields.count; i++) {
        struct bytes field = ctx->argv[fields.first + i];
        bool there = has_field(&hash, field);
        bool timed = there && hash_field_expiry(&hash, field) != HASH_NO_EXPIRY;
        if (timed)
            hash_set_field_expiry(&hash, field, HASH_NO_EXPIRY, &limits);
        ctx->dirty += timed;
        reply_integer(&ctx->reply, !there ? NO_FIELD : timed ? DONE : NO_EXPIRY);
    }
    if (ctx->dirty > 0)
        keyspace_store(&ref, &hash);
}

/* In units of `unit_ms`, rounded up. */
static void reply_times(struct command_ctx *ctx, int64_t unit_ms, bool left) {
    struct keyref ref;
    struct value hash;
    struct field_list fields;
    if (!open_fields(ctx, KEY_READ, &ref, &hash, &fields))
        return;
    reply_array(&ctx->reply, fields.count);
    for (uint32_t i = 0; i < fields.count; i++) {
        struct bytes field = ctx->argv[fields.first + i];
        int64_t at_ms = hash_field_expiry(&hash, field);
        if (at_ms == HASH_NO_EXPIRY) {
            reply_integer(&ctx->reply, has_field(&hash, field) ? NO_EXPIRY : NO_FIELD);
            continue;
        }
        int64_t ms = left ? at_ms - ctx_now_ms(ctx) : at_ms;
        reply_integer(&ctx->reply, (ms + unit_ms - 1) / unit_ms);
    }
}

void cmd_httl(struct command_ctx *ctx) {
    reply_times(ctx, 1000, true);
}

void cmd_hpttl(struct command_ctx *ctx) {
    reply_times(ctx, 1, true);
}

void cmd_hexpiretime(struct command_ctx *ctx) {
    reply_times(ctx, 1000, false);
}

void cmd_hpexpiretime(struct command_ctx *ctx) {
    reply_times(ctx, 1, false);
}
