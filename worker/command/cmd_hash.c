/* cmd_hash.c - commands on hashes.
 *
 * A change takes the value out of its key, changes it, and stores it again: a packed hash is copied
 * both ways, a table stays where it is. A hash without fields is no key. */
#include "worker/command/hash_handler.h"
#include "worker/command/random_options.h"
#include "worker/command/scan_options.h"

#include <math.h>

/* ---- shared by those that read ---- */

/* A hash for reading; *found_r false if the key is absent. False: wrong type. */
static bool find_hash(struct command_ctx *ctx, struct value *hash_r, bool *found_r) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_READ, VALUE_HASH, &ref))
        return false;
    *found_r = keyref_found(&ref);
    if (*found_r)
        *hash_r = keyref_value(&ref);
    return true;
}

static void reply_field(struct command_ctx *ctx, const struct value *hash, bool found,
                        struct bytes field) {
    char digits[BYTES_I64_MAX];
    struct bytes value;
    if (found && hash_get(hash, field, digits, &value))
        reply_bulk(&ctx->reply, value);
    else
        reply_null(&ctx->reply);
}

void cmd_hget(struct command_ctx *ctx) {
    struct value hash;
    bool found;
    if (find_hash(ctx, &hash, &found))
        reply_field(ctx, &hash, found, ctx->argv[2]);
}

void cmd_hmget(struct command_ctx *ctx) {
    struct value hash;
    bool found;
    if (!find_hash(ctx, &hash, &found))
        return;
    reply_array(&ctx->reply, ctx->argc - 2);
    for (uint32_t i = 2; i < ctx->argc; i++)
        reply_field(ctx, &hash, found, ctx->argv[i]);
}

void cmd_hexists(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct value hash;
    struct bytes value;
    bool found;
    if (find_hash(ctx, &hash, &found))
        reply_integer(&ctx->reply, found && hash_get(&hash, ctx->argv[2], digits, &value));
}

void cmd_hstrlen(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct value hash;
    struct bytes value;
    bool found;
    if (!find_hash(ctx, &hash, &found))
        return;
    if (!found || !hash_get(&hash, ctx->argv[2], digits, &value))
        value.len = 0;
    reply_integer(&ctx->reply, (int64_t)value.len);
}

void cmd_hlen(struct command_ctx *ctx) {
    struct value hash;
    bool found;
    if (find_hash(ctx, &hash, &found))
        reply_integer(&ctx->reply, found ? (int64_t)hash_count(&hash) : 0);
}

enum { SHOW_FIELDS = 1, SHOW_VALUES = 2 };

static void reply_pairs(struct command_ctx *ctx, const struct value *hash, uint32_t show) {
    struct hash_iterator it;
    struct bytes field, value;
    hash_iterate(hash, &it);
    while (hash_next(&it, &field, &value)) {
        if (show & SHOW_FIELDS)
            reply_bulk(&ctx->reply, field);
        if (show & SHOW_VALUES)
            reply_bulk(&ctx->reply, value);
    }
}

static void reply_all(struct command_ctx *ctx, uint32_t show) {
    struct value hash;
    bool found;
    if (!find_hash(ctx, &hash, &found))
        return;
    uint64_t count = found ? hash_count(&hash) : 0;
    if (show == (SHOW_FIELDS | SHOW_VALUES))
        reply_map(&ctx->reply, count);
    else
        reply_array(&ctx->reply, count);
    if (found)
        reply_pairs(ctx, &hash, show);
}

void cmd_hgetall(struct command_ctx *ctx) {
    reply_all(ctx, SHOW_FIELDS | SHOW_VALUES);
}

void cmd_hkeys(struct command_ctx *ctx) {
    reply_all(ctx, SHOW_FIELDS);
}

void cmd_hvals(struct command_ctx *ctx) {
    reply_all(ctx, SHOW_VALUES);
}

/* ---- shared by those that write ---- */

/* A hash for changing; an empty new one if the key is absent. False: wrong type. */
static bool open_hash(struct command_ctx *ctx, struct keyref *ref_r, struct value *hash_r) {
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_HASH, ref_r))
        return false;
    *hash_r = keyref_found(ref_r) ? keyref_value(ref_r) : hash_create();
    return true;
}

struct hash_limits hash_limits_of(const struct command_ctx *ctx) {
    const struct config *config = ctx_config(ctx);
    return (struct hash_limits){
        .packed_entries = (uint64_t)config->hash_max_listpack_entries,
        .packed_bytes = (uint64_t)config->hash_max_listpack_value,
    };
}

static bool set_field(struct command_ctx *ctx, struct value *hash, struct bytes field,
                      struct bytes value) {
    struct hash_limits limits = hash_limits_of(ctx);
    ctx->dirty++;
    return hash_set(hash, field, value, &limits);
}

/* A number that changes is the same field: it goes when it was to go. */
static void change_field(struct command_ctx *ctx, struct value *hash, struct bytes field,
                         struct bytes value) {
    struct hash_limits limits = hash_limits_of(ctx);
    ctx->dirty++;
    hash_set_keeping(hash, field, value, &limits);
}

static bool pairs_ok(struct command_ctx *ctx) {
    if (ctx->argc % 2 == 0)
        return true;
    reply_error_format(&ctx->reply, "ERR wrong number of arguments for '%s' command",
                       ctx->cmd->name);
    return false;
}

/* Set all pairs of the arguments; false after an error. */
static bool set_pairs(struct command_ctx *ctx, int64_t *new_r) {
    struct keyref ref;
    struct value hash;
    if (!pairs_ok(ctx) || !open_hash(ctx, &ref, &hash))
        return false;
    *new_r = 0;
    for (uint32_t i = 2; i < ctx->argc; i += 2)
        *new_r += set_field(ctx, &hash, ctx->argv[i], ctx->argv[i + 1]);
    keyspace_store(&ref, &hash);
    return true;
}

void cmd_hset(struct command_ctx *ctx) {
    int64_t new;
    if (set_pairs(ctx, &new))
        reply_integer(&ctx->reply, new);
}

void cmd_hmset(struct command_ctx *ctx) {
    int64_t new;
    if (set_pairs(ctx, &new))
        reply_ok(&ctx->reply);
}

void cmd_hsetnx(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct keyref ref;
    struct value hash;
    struct bytes value;
    if (!open_hash(ctx, &ref, &hash))
        return;
    bool new = !hash_get(&hash, ctx->argv[2], digits, &value);
    if (new) {
        set_field(ctx, &hash, ctx->argv[2], ctx->argv[3]);
        keyspace_store(&ref, &hash);
    }
    reply_integer(&ctx->reply, new);
}

void cmd_hdel(struct command_ctx *ctx) {
    struct keyref ref;
    struct value hash;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_HASH, &ref))
        return;
    if (keyref_found(&ref)) {
        hash = keyref_value(&ref);
        for (uint32_t i = 2; i < ctx->argc && hash_count(&hash) > 0; i++)
            ctx->dirty += hash_delete(&hash, ctx->argv[i]);
        if (hash_count(&hash) == 0)
            keyspace_delete(&ref, false);
        else if (ctx->dirty > 0)
            keyspace_store(&ref, &hash);
    }
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

/* ---- numbers ---- */

void cmd_hincrby(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    int64_t by, number = 0;
    struct keyref ref;
    struct value hash;
    struct bytes value;
    if (!handler_i64(ctx, 3, &by) || !open_hash(ctx, &ref, &hash))
        return;
    if (hash_get(&hash, ctx->argv[2], digits, &value) && !bytes_to_i64(value, &number)) {
        reply_error(&ctx->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(number, by, &number)) {
        reply_error(&ctx->reply, reply_err_overflow);
        return;
    }
    change_field(ctx, &hash, ctx->argv[2], bytes_of(digits, bytes_from_i64(digits, number)));
    keyspace_store(&ref, &hash);
    reply_integer(&ctx->reply, number);
}

/* The increment, the sum with the field's value; false after an error. */
static bool float_sum(struct command_ctx *ctx, const struct value *hash, long double by,
                      long double *sum_r) {
    char digits[BYTES_I64_MAX];
    struct bytes value;
    *sum_r = 0;
    if (hash_get(hash, ctx->argv[2], digits, &value) && !bytes_to_long_double(value, sum_r)) {
        reply_error(&ctx->reply, "ERR hash value is not a float");
        return false;
    }
    *sum_r += by;
    if (isfinite(*sum_r))
        return true;
    reply_error(&ctx->reply, "ERR increment would produce NaN or Infinity");
    return false;
}

void cmd_hincrbyfloat(struct command_ctx *ctx) {
    char text[BYTES_LONG_DOUBLE_MAX];
    long double by, sum;
    struct keyref ref;
    struct value hash;
    if (!handler_long_double(ctx, 3, &by))
        return;
    if (!isfinite(by)) {
        reply_error(&ctx->reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!open_hash(ctx, &ref, &hash) || !float_sum(ctx, &hash, by, &sum))
        return;
    struct bytes value = bytes_of(text, bytes_from_long_double(text, sum));
    change_field(ctx, &hash, ctx->argv[2], value);
    keyspace_store(&ref, &hash);
    /* The sum is logged, not the sum to be made: rounding must not depend on who makes it. */
    handler_log(ctx, BYTES_LITERAL("HSET"), ctx->argv[1], ctx->argv[2], value);
    int64_t at_ms = hash_field_expiry(&hash, ctx->argv[2]);
    if (at_ms != HASH_NO_EXPIRY)
        hash_log_expiry(ctx, at_ms, 1, &ctx->argv[2]);
    reply_bulk(&ctx->reply, value);
}

/* ---- HSCAN ---- */

struct collector {
    const struct scan_options *options;
    struct reply found;
    size_t pairs;
};

static void collect(void *arg, struct bytes field, struct bytes value) {
    struct collector *c = arg;
    if (!scan_options_match(c->options, field))
        return;
    reply_bulk(&c->found, field);
    reply_bulk(&c->found, value);
    c->pairs++;
}

void cmd_hscan(struct command_ctx *ctx) {
    struct scan_options options;
    struct value hash;
    uint64_t cursor;
    bool found;
    if (!scan_cursor_parse(ctx, 2, &cursor) || !find_hash(ctx, &hash, &found))
        return;
    if (!found) {
        scan_reply(ctx, 0, 0, BYTES_LITERAL(""));
        return;
    }
    if (!scan_options_parse(ctx, 3, false, &options))
        return;
    struct buf out = {0};
    struct collector c = {.options = &options, .found = {.out = &out, .version = 2}};
    cursor = hash_scan(&hash, cursor, options.count, collect, &c);
    scan_reply(ctx, cursor, c.pairs * 2, buf_bytes(&out));
    buf_free(&out);
}

/* ---- HRANDFIELD ---- */

struct random_writer {
    struct reply *reply;
    bool with_values;
};

/* In RESP3 a field with its value is an array of its own. */
static void write_random(void *arg, struct bytes field, struct bytes value) {
    struct random_writer *w = arg;
    if (w->with_values && w->reply->version > 2)
        reply_array(w->reply, 2);
    reply_bulk(w->reply, field);
    if (w->with_values)
        reply_bulk(w->reply, value);
}

static void write_random_header(const struct random_writer *w, uint64_t pairs) {
    reply_array(w->reply, w->with_values && w->reply->version == 2 ? pairs * 2 : pairs);
}

/* As many as the client asks for, though there be but one field. */
static void reply_random_repeating(const struct value *hash, uint64_t count,
                                   struct random_writer *w) {
    char digits[2 * BYTES_I64_MAX];
    struct bytes field, value;
    size_t mark = w->reply->out->len;
    write_random_header(w, count);
    for (uint64_t i = 0; i < count; i++) {
        if (!random_repeating_ok(w->reply, mark, count, "fields"))
            return;
        hash_random(hash, digits, &field, &value);
        write_random(w, field, value);
    }
}

static void random_one(struct command_ctx *ctx) {
    char digits[2 * BYTES_I64_MAX];
    struct value hash;
    struct bytes field, value;
    bool found;
    if (!find_hash(ctx, &hash, &found))
        return;
    if (!found) {
        reply_null(&ctx->reply);
        return;
    }
    hash_random(&hash, digits, &field, &value);
    reply_bulk(&ctx->reply, field);
}

void cmd_hrandfield(struct command_ctx *ctx) {
    struct random_writer w = {.reply = &ctx->reply};
    struct random_options options;
    struct value hash;
    bool found;
    if (ctx->argc == 2) {
        random_one(ctx);
        return;
    }
    if (!random_options_parse(ctx, "WITHVALUES", &options) || !find_hash(ctx, &hash, &found))
        return;
    int64_t count = options.count;
    w.with_values = options.with_word;
    if (!found || count == 0) {
        reply_array(&ctx->reply, 0);
    } else if (count < 0) {
        reply_random_repeating(&hash, (uint64_t)-count, &w);
    } else {
        uint64_t all = hash_count(&hash), wanted = (uint64_t)count < all ? (uint64_t)count : all;
        write_random_header(&w, wanted);
        hash_random_distinct(&hash, wanted, write_random, &w);
    }
}
