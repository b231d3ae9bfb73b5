/* cmd_generic.c - commands on keys whatever they hold: delete, test, rename, copy, look inside.
 *
 * A ref is good only until another key is written, and looking a key up may delete it (expiry): where
 * two keys meet, the second is looked up first and the first one again, or the value is taken out. */
#include "worker/command/handler.h"

#include <limits.h>

/* ---- removing and testing ---- */

static void delete_keys(struct command_ctx *ctx, bool lazy) {
    for (uint32_t i = 1; i < ctx->argc; i++) {
        struct keyref ref;
        if (ctx_find(ctx, ctx->argv[i], KEY_PEEK, &ref) && keyspace_delete(&ref, lazy))
            ctx->dirty++;
    }
    reply_integer(&ctx->reply, (int64_t)ctx->dirty);
}

void cmd_del(struct command_ctx *ctx) {
    delete_keys(ctx, ctx_config(ctx)->lazyfree_lazy_user_del);
}

void cmd_unlink(struct command_ctx *ctx) {
    delete_keys(ctx, true);
}

static void count_keys(struct command_ctx *ctx, enum key_access access) {
    int64_t found = 0;
    for (uint32_t i = 1; i < ctx->argc; i++) {
        struct keyref ref;
        found += ctx_find(ctx, ctx->argv[i], access, &ref);
    }
    reply_integer(&ctx->reply, found);
}

void cmd_exists(struct command_ctx *ctx) {
    count_keys(ctx, KEY_NOTOUCH);
}

void cmd_touch(struct command_ctx *ctx) {
    int64_t found = 0;
    for (uint32_t i = 1; i < ctx->argc; i++) {
        struct keyref ref;
        /* Not ctx_find(): TOUCH touches even for a client that said CLIENT NO-TOUCH. */
        found += keyspace_find(ctx->ks, ctx_db(ctx), ctx->argv[i], KEY_READ, &ref);
    }
    reply_integer(&ctx->reply, found);
}

void cmd_type(struct command_ctx *ctx) {
    struct keyref ref;
    bool found = ctx_find(ctx, ctx->argv[1], KEY_NOTOUCH, &ref);
    reply_status(&ctx->reply, found ? value_type_name(keyref_value(&ref).type) : "none");
}

void cmd_randomkey(struct command_ctx *ctx) {
    struct keyref ref;
    if (keyspace_random(ctx->ks, ctx_db(ctx), &ref))
        reply_bulk(&ctx->reply, ref.key);
    else
        reply_null(&ctx->reply);
}

/* ---- moving ---- */

/* Make the key at `from` be at `to`, in place of what is there, with its expiry. */
static void move_key(struct command_ctx *ctx, struct keyref *from, uint32_t to_db,
                     struct bytes to) {
    struct keyref target;
    int64_t expire_ms;
    struct value value = keyspace_take(from, &expire_ms);
    keyspace_find(ctx->ks, to_db, to, KEY_PEEK, &target);
    keyspace_store(&target, &value);
    if (keyref_expire_ms(&target) != expire_ms)
        keyspace_set_expire(&target, expire_ms);
    ctx->dirty++;
}

/* Whether both keys are there; *from_r is good for writing, as nothing is deleted after it. */
static bool find_two(struct command_ctx *ctx, struct bytes from, uint32_t to_db, struct bytes to,
                     struct keyref *from_r, bool *to_found_r) {
    struct keyref target;
    *to_found_r = keyspace_find(ctx->ks, to_db, to, KEY_PEEK, &target);
    return ctx_find(ctx, from, KEY_WRITE, from_r);
}

static bool rename_key(struct command_ctx *ctx, bool only_new) {
    struct keyref from;
    bool to_found;
    if (!find_two(ctx, ctx->argv[1], ctx_db(ctx), ctx->argv[2], &from, &to_found)) {
        reply_error(&ctx->reply, reply_err_no_key);
        return false;
    }
    if (only_new && to_found)
        reply_integer(&ctx->reply, 0);
    else if (!bytes_equal(ctx->argv[1], ctx->argv[2]))
        move_key(ctx, &from, ctx_db(ctx), ctx->argv[2]);
    return !(only_new && to_found);
}

void cmd_rename(struct command_ctx *ctx) {
    if (rename_key(ctx, false))
        reply_ok(&ctx->reply);
}

void cmd_renamenx(struct command_ctx *ctx) {
    if (rename_key(ctx, true))
        reply_integer(&ctx->reply, 1);
}

static const char same_objects[] = "ERR source and destination objects are the same";

void cmd_move(struct command_ctx *ctx) {
    struct keyref from;
    uint32_t db;
    bool to_found;
    if (ctx->session->port == SESSION_NODE) {
        reply_error(&ctx->reply, "ERR MOVE is not allowed in cluster mode");
        return;
    }
    if (!handler_db(ctx, 2, "", &db))
        return;
    if (db == ctx_db(ctx)) {
        reply_error(&ctx->reply, same_objects);
        return;
    }
    bool moved = find_two(ctx, ctx->argv[1], db, ctx->argv[1], &from, &to_found) && !to_found;
    if (moved)
        move_key(ctx, &from, db, ctx->argv[1]);
    reply_integer(&ctx->reply, moved);
}

/* ---- COPY ---- */

static bool parse_copy(struct command_ctx *ctx, uint32_t *db_r, bool *replace_r) {
    *db_r = ctx_db(ctx);
    *replace_r = false;
    for (uint32_t i = 3; i < ctx->argc; i++) {
        if (handler_arg_is(ctx, i, "REPLACE")) {
            *replace_r = true;
        } else if (handler_arg_is(ctx, i, "DB") && i + 1 < ctx->argc) {
            if (!handler_db(ctx, ++i,
                            "ERR Copying to another database is not allowed in cluster mode", db_r))
                return false;
        } else {
            reply_error(&ctx->reply, reply_err_syntax);
            return false;
        }
    }
    return true;
}

/* A deep copy that outlives the writing of other keys. */
static struct value detached_copy(const struct keyref *ref) {
    struct value value = keyref_value(ref);
    if (!value_is_packed(value.encoding))
        return value_copy(&value);
    struct buf *scratch = value_scratch();
    buf_clear(scratch);
    buf_append_bytes(scratch, value.packed);
    value.packed = buf_bytes(scratch);
    return value;
}

static void copy_key(struct command_ctx *ctx, const struct keyref *from, uint32_t to_db) {
    struct keyref target;
    int64_t expire_ms = keyref_expire_ms(from);
    struct value value = detached_copy(from);
    keyspace_find(ctx->ks, to_db, ctx->argv[2], KEY_PEEK, &target);
    keyspace_store(&target, &value);
    if (keyref_expire_ms(&target) != expire_ms)
        keyspace_set_expire(&target, expire_ms);
    ctx->dirty++;
}

void cmd_copy(struct command_ctx *ctx) {
    struct keyref from;
    uint32_t db;
    bool replace, to_found;
    if (!parse_copy(ctx, &db, &replace))
        return;
    if (db == ctx_db(ctx) && bytes_equal(ctx->argv[1], ctx->argv[2])) {
        reply_error(&ctx->reply, same_objects);
        return;
    }
    bool copied =
        find_two(ctx, ctx->argv[1], db, ctx->argv[2], &from, &to_found) && (replace || !to_found);
    if (copied)
        copy_key(ctx, &from, db);
    reply_integer(&ctx->reply, copied);
}

/* ---- OBJECT ---- */

/* False: absent, null has been replied. Looking does not count as use. */
static bool object_find(struct command_ctx *ctx, struct keyref *ref_r) {
    if (ctx_find(ctx, ctx->argv[2], KEY_NOTOUCH, ref_r))
        return true;
    reply_null(&ctx->reply);
    return false;
}

static bool policy_is_lfu(const struct command_ctx *ctx) {
    int policy = ctx_config(ctx)->maxmemory_policy;
    return policy == MAXMEMORY_VOLATILE_LFU || policy == MAXMEMORY_ALLKEYS_LFU;
}

static bool policy_is_lru(const struct command_ctx *ctx) {
    int policy = ctx_config(ctx)->maxmemory_policy;
    return policy == MAXMEMORY_VOLATILE_LRU || policy == MAXMEMORY_ALLKEYS_LRU;
}

void cmd_object_encoding(struct command_ctx *ctx) {
    struct keyref ref;
    if (object_find(ctx, &ref))
        reply_bulk_text(&ctx->reply, value_encoding_name(keyref_value(&ref).encoding));
}

void cmd_object_freq(struct command_ctx *ctx) {
    struct keyref ref;
    if (!object_find(ctx, &ref))
        return;
    if (policy_is_lfu(ctx))
        reply_integer(&ctx->reply, keyref_frequency(&ref));
    else
        reply_error(&ctx->reply,
                    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. "
                    "Please note that when switching between policies at runtime LRU and LFU data "
                    "will take some time to adjust.");
}

void cmd_object_idletime(struct command_ctx *ctx) {
    struct keyref ref;
    if (!object_find(ctx, &ref))
        return;
    if (!policy_is_lfu(ctx))
        reply_integer(&ctx->reply, (int64_t)(keyref_idle_ms(&ref) / 1000));
    else
        reply_error(&ctx->reply,
                    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note "
                    "that when switching between policies at runtime LRU and LFU data will take "
                    "some time to adjust.");
}

/* Redis shares the objects of small integers unless each needs an access time of its own, and
 * gives a shared object the largest count there is. Values are never shared here; clients that look
 * are told what they expect. */
void cmd_object_refcount(struct command_ctx *ctx) {
    enum { SHARED_INTEGERS = 10000 };
    struct keyref ref;
    if (!object_find(ctx, &ref))
        return;
    struct value value = keyref_value(&ref);
    bool can_share =
        ctx_config(ctx)->maxmemory == 0 || (!policy_is_lru(ctx) && !policy_is_lfu(ctx));
    bool shared = can_share && value.encoding == ENCODING_INT && value.number >= 0 &&
                  value.number < SHARED_INTEGERS;
    reply_integer(&ctx->reply, shared ? INT_MAX : 1);
}

void cmd_object_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "ENCODING <key>",
        "    Return the kind of internal representation used in order to store the value",
        "    associated with a <key>.",
        "FREQ <key>",
        "    Return the access frequency index of the <key>. The returned integer is",
        "    proportional to the logarithm of the recent access frequency of the key.",
        "IDLETIME <key>",
        "    Return the idle time of the <key>, that is the approximated number of",
        "    seconds elapsed since the last access to the key.",
        "REFCOUNT <key>",
        "    Return the number of references of the value associated with the specified",
        "    <key>.",
        "HELP",
        "    Prints this help.",
    };
    size_t count = sizeof(lines) / sizeof(lines[0]);
    reply_array(&ctx->reply, count);
    for (size_t i = 0; i < count; i++)
        reply_status(&ctx->reply, lines[i]);
}
