/* cmd_set.c - commands on one set, or on two.
 *
 * A change takes the value out of its key, changes it, and stores it again: a packed set is copied
 * both ways, a table stays where it is. A set without members is no key. What SPOP takes is logged as
 * SREM, or as DEL if it took all. */
#include "worker/command/cmd_set_private.h"
#include "worker/command/random_options.h"
#include "worker/command/scan_options.h"

struct set_limits set_limits_of(const struct command_ctx *ctx) {
    const struct config *config = ctx_config(ctx);
    return (struct set_limits){
        .intset_entries = (uint64_t)config->set_max_intset_entries,
        .packed_entries = (uint64_t)config->set_max_listpack_entries,
        .packed_bytes = (uint64_t)config->set_max_listpack_value,
    };
}

/* ---- shared by those that read ---- */

/* A set for reading; *found_r false if the key is absent. False: wrong type. */
static bool find_set(struct command_ctx *ctx, struct value *set_r, bool *found_r) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_READ, VALUE_SET, &ref))
        return false;
    *found_r = keyref_found(&ref);
    if (*found_r)
        *set_r = keyref_value(&ref);
    return true;
}

void cmd_scard(struct command_ctx *ctx) {
    struct value set;
    bool found;
    if (find_set(ctx, &set, &found))
        reply_integer(&ctx->reply, found ? (int64_t)set_count(&set) : 0);
}

void cmd_sismember(struct command_ctx *ctx) {
    struct value set;
    bool found;
    if (find_set(ctx, &set, &found))
        reply_integer(&ctx->reply, found && set_has(&set, ctx->argv[2]));
}

void cmd_smismember(struct command_ctx *ctx) {
    struct value set;
    bool found;
    if (!find_set(ctx, &set, &found))
        return;
    reply_array(&ctx->reply, ctx->argc - 2);
    for (uint32_t i = 2; i < ctx->argc; i++)
        reply_integer(&ctx->reply, found && set_has(&set, ctx->argv[i]));
}

void set_reply_members(struct command_ctx *ctx, const struct value *set) {
    struct set_iterator it;
    struct bytes member;
    reply_set(&ctx->reply, set_count(set));
    set_iterate(set, &it);
    while (set_next(&it, &member))
        reply_bulk(&ctx->reply, member);
}

void cmd_smembers(struct command_ctx *ctx) {
    struct value set;
    bool found;
    if (!find_set(ctx, &set, &found))
        return;
    if (found)
        set_reply_members(ctx, &set);
    else
        reply_set(&ctx->reply, 0);
}

/* ---- SSCAN ---- */

struct collector {
    const struct scan_options *options;
    struct reply found;
    size_t members;
};

static void collect(void *arg, struct bytes member) {
    struct collector *c = arg;
    if (!scan_options_match(c->options, member))
        return;
    reply_bulk(&c->found, member);
    c->members++;
}

void cmd_sscan(struct command_ctx *ctx) {
    struct scan_options options;
    struct value set;
    uint64_t cursor;
    bool found;
    if (!scan_cursor_parse(ctx, 2, &cursor) || !find_set(ctx, &set, &found))
        return;
    if (!found) {
        scan_reply(ctx, 0, 0, BYTES_LITERAL(""));
        return;
    }
    if (!scan_options_parse(ctx, 3, false, &options))
        return;
    struct buf out = {0};
    struct collector c = {.options = &options, .found = {.out = &out, .version = 2}};
    cursor = set_scan(&set, cursor, options.count, collect, &c);
    scan_reply(ctx, cursor, c.members, buf_bytes(&out));
    buf_free(&out);
}

/* ---- SRANDMEMBER ---- */

static void write_member(void *arg, struct bytes member) {
    struct reply *reply = arg;
    reply_bulk(reply, member);
}

/* As many as the client asks for, though there be but one member. */
static void reply_random_repeating(struct command_ctx *ctx, const struct value *set,
                                   uint64_t count) {
    char digits[BYTES_I64_MAX];
    size_t mark = ctx->reply.out->len;
    reply_array(&ctx->reply, count);
    for (uint64_t i = 0; i < count; i++) {
        if (!random_repeating_ok(&ctx->reply, mark, count, "members"))
            return;
        reply_bulk(&ctx->reply, set_random(set, digits));
    }
}

static void random_one(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct value set;
    bool found;
    if (!find_set(ctx, &set, &found))
        return;
    if (found)
        reply_bulk(&ctx->reply, set_random(&set, digits));
    else
        reply_null(&ctx->reply);
}

static bool at_most_one_count(struct command_ctx *ctx) {
    if (ctx->argc <= 3)
        return true;
    reply_error(&ctx->reply, reply_err_syntax);
    return false;
}

void cmd_srandmember(struct command_ctx *ctx) {
    struct value set;
    int64_t count;
    bool found;
    if (ctx->argc == 2) {
        random_one(ctx);
        return;
    }
    if (!at_most_one_count(ctx) || !handler_i64_negatable(ctx, 2, &count) ||
        !find_set(ctx, &set, &found))
        return;
    if (!found || count == 0) {
        reply_array(&ctx->reply, 0);
    } else if (count < 0) {
        reply_random_repeating(ctx, &set, (uint64_t)-count);
    } else {
        uint64_t all = set_count(&set), wanted = (uint64_t)count < all ? (uint64_t)count : all;
        reply_array(&ctx->reply, wanted);
        set_random_distinct(&set, wanted, write_member, &ctx->reply);
    }
}

/* ---- add and remove ---- */

void cmd_sadd(struct command_ctx *ctx) {
    struct set_limits limits = set_limits_of(ctx);
    struct keyref ref;
    struct value set;
    uint32_t members = ctx->argc - 2;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_SET, &ref))
        return;
    if (keyref_found(&ref)) {
        set = keyref_value(&ref);
        set_expect(&set, members, &limits);
    } else {
        set = set_create_for(ctx->argv[2], members, &limits);
    }
    bool converted = keyref_found(&ref) && set.encoding != keyref_value(&ref).encoding;
    for (uint32_t i = 2; i < ctx->argc; i++)
        ctx->dirty += set_add(&set, ctx->argv[i], &limits);
    if (ctx->dirty > 0 || converted)
        keyspace_store(&ref, &set);
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

/* Store a set that members have been taken out of. */
static void store_rest(struct keyref *ref, const struct value *set) {
    if (set_count(set) == 0)
        keyspace_delete(ref, false);
    else
        keyspace_store(ref, set);
}

void cmd_srem(struct command_ctx *ctx) {
    struct keyref ref;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_SET, &ref))
        return;
    if (keyref_found(&ref)) {
        struct value set = keyref_value(&ref);
        for (uint32_t i = 2; i < ctx->argc && set_count(&set) > 0; i++)
            ctx->dirty += set_remove(&set, ctx->argv[i]);
        if (ctx->dirty > 0)
            store_rest(&ref, &set);
    }
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

/* ---- SMOVE ---- */

static void move_member(struct command_ctx *ctx, struct keyref *source, struct value *from) {
    struct set_limits limits = set_limits_of(ctx);
    struct bytes member = ctx->argv[3];
    struct keyref destination;
    store_rest(source, from);
    ctx_find(ctx, ctx->argv[2], KEY_WRITE, &destination);
    struct value to = keyref_found(&destination) ? keyref_value(&destination)
                                                 : set_create_for(member, 1, &limits);
    ctx->dirty++;
    if (set_add(&to, member, &limits)) {
        ctx->dirty++;
        keyspace_store(&destination, &to);
    }
}

void cmd_smove(struct command_ctx *ctx) {
    struct keyref source, destination;
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_SET, &source))
        return;
    if (!keyref_found(&source)) {
        reply_integer(&ctx->reply, 0);
        return;
    }
    if (!handler_find(ctx, 2, KEY_WRITE, VALUE_SET, &destination))
        return;
    struct value from = keyref_value(&source);
    if (bytes_equal(ctx->argv[1], ctx->argv[2])) {
        reply_integer(&ctx->reply, set_has(&from, ctx->argv[3]));
        return;
    }
    bool moved = set_remove(&from, ctx->argv[3]);
    if (moved)
        move_member(ctx, &source, &from);
    reply_integer(&ctx->reply, moved);
}

/* ---- SPOP ---- */

/* What was drawn, copied: taking it out changes what it lies in. */
struct drawn {
    struct buf text;
    struct buf lengths; /* size_t each */
};

static void keep_drawn(void *arg, struct bytes member) {
    struct drawn *d = arg;
    buf_append_bytes(&d->text, member);
    buf_append(&d->lengths, &member.len, sizeof(member.len));
}

static void log_removed(struct command_ctx *ctx, uint32_t words, struct bytes *argv) {
    if (words > 2)
        propagate_instead(ctx, words, argv);
}

/* Take the members out of the set, reply each, and log them, some at a time. */
static void take_drawn(struct command_ctx *ctx, struct value *set, const struct drawn *d) {
    enum { LOGGED_AT_ONCE = 1024 };
    struct bytes argv[2 + LOGGED_AT_ONCE] = {BYTES_LITERAL("SREM"), ctx->argv[1]};
    uint32_t words = 2;
    size_t at = 0;
    for (size_t i = 0; i < d->lengths.len; i += sizeof(size_t)) {
        size_t len;
        memcpy(&len, d->lengths.data + i, sizeof(len));
        struct bytes member = bytes_of(d->text.data + at, len);
        at += len;
        reply_bulk(&ctx->reply, member);
        set_remove(set, member);
        ctx->dirty++;
        argv[words++] = member;
        if (words == 2 + LOGGED_AT_ONCE) {
            log_removed(ctx, words, argv);
            words = 2;
        }
    }
    log_removed(ctx, words, argv);
}

static void pop_all(struct command_ctx *ctx, struct keyref *ref, const struct value *set) {
    ctx->dirty += set_count(set);
    set_reply_members(ctx, set);
    keyspace_delete(ref, false);
    handler_log(ctx, BYTES_LITERAL("DEL"), ctx->argv[1]);
}

static void pop_some(struct command_ctx *ctx, struct keyref *ref, struct value *set,
                     uint64_t count) {
    struct drawn d = {0};
    set_random_distinct(set, count, keep_drawn, &d);
    take_drawn(ctx, set, &d);
    store_rest(ref, set);
    buf_free(&d.text);
    buf_free(&d.lengths);
}

static void pop_one(struct command_ctx *ctx) {
    char digits[BYTES_I64_MAX];
    struct keyref ref;
    struct drawn d = {0};
    if (!handler_find(ctx, 1, KEY_WRITE, VALUE_SET, &ref))
        return;
    if (!keyref_found(&ref)) {
        reply_null(&ctx->reply);
        return;
    }
    struct value set = keyref_value(&ref);
    keep_drawn(&d, set_random(&set, digits));
    take_drawn(ctx, &set, &d);
    store_rest(&ref, &set);
    buf_free(&d.text);
    buf_free(&d.lengths);
}

void cmd_spop(struct command_ctx *ctx) {
    struct keyref ref;
    int64_t count;
    if (ctx->argc == 2) {
        pop_one(ctx);
        return;
    }
    if (!at_most_one_count(ctx) ||
        !handler_i64_least(ctx, 2, 0, "ERR value is out of range, must be positive", &count) ||
        !handler_find(ctx, 1, KEY_WRITE, VALUE_SET, &ref))
        return;
    if (!keyref_found(&ref) || count == 0) {
        reply_set(&ctx->reply, 0);
        return;
    }
    struct value set = keyref_value(&ref);
    if ((uint64_t)count >= set_count(&set)) {
        pop_all(ctx, &ref, &set);
    } else {
        reply_set(&ctx->reply, (size_t)count);
        pop_some(ctx, &ref, &set, (uint64_t)count);
    }
}
