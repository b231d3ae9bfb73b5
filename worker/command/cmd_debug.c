/* cmd_debug.c - DEBUG: for tests, and only with enable-debug-command.
 *
 * What holds a worker up (SLEEP, RELOAD) keeps its heartbeat going: the supervisor is to see a
 * worker that was told to wait, not one that hangs. */
#include "worker/command/server_private.h"

#include "shared/base/clock.h"
#include "shared/base/log.h"
#include "shared/base/mem.h"
#include "worker/persist/persist.h"
#include "worker/persist/rdb_value.h"

#include <stdio.h>
#include <time.h>

enum { ERROR_TEXT_BYTES = 1024, HEARTBEAT_US = 100000, LRU_CLOCK_BITS = 24 };

void cmd_debug_error(struct command_ctx *ctx) {
    char *text = mem_strndup(ctx->argv[2].ptr, ctx->argv[2].len);
    reply_error(&ctx->reply, text);
    mem_free(text);
}

void cmd_debug_log(struct command_ctx *ctx) {
    log_warning("DEBUG LOG: %.*s", SHOWN(ctx->argv[2]));
    reply_ok(&ctx->reply);
}

void cmd_debug_segfault(struct command_ctx *ctx) {
    ctx->env->crash(ctx->env->upper, "segfault");
}

void cmd_debug_panic(struct command_ctx *ctx) {
    ctx->env->crash(ctx->env->upper, "panic");
}

/* Seconds with decimals; what is no number counts as 0, as with strtod. */
void cmd_debug_sleep(struct command_ctx *ctx) {
    double seconds = 0;
    if (!bytes_to_double(ctx->argv[2], &seconds) || seconds < 0)
        seconds = 0;
    if (seconds > 3600)
        seconds = 3600;
    uint64_t end_us = clock_mono_us() + (uint64_t)(seconds * 1e6);
    for (uint64_t now_us = clock_mono_us(); now_us < end_us; now_us = clock_mono_us()) {
        uint64_t left_us = end_us - now_us;
        uint64_t slice_us = left_us < HEARTBEAT_US ? left_us : HEARTBEAT_US;
        struct timespec slice = {.tv_nsec = (long)slice_us * 1000};
        nanosleep(&slice, NULL);
        if (ctx->env->status != NULL)
            atomic_fetch_add(&ctx->env->status->heartbeat, 1);
    }
    reply_ok(&ctx->reply);
}

void cmd_debug_set_active_expire(struct command_ctx *ctx) {
    int64_t on = 0;
    (void)bytes_to_i64(ctx->argv[2], &on);
    ctx->env->active_expiry_paused = on == 0;
    reply_ok(&ctx->reply);
}

void cmd_debug_stringmatch_len(struct command_ctx *ctx) {
    reply_integer(&ctx->reply, bytes_glob(ctx->argv[2], ctx->argv[3], false));
}

void cmd_debug_reload(struct command_ctx *ctx) {
    char error[ERROR_TEXT_BYTES];
    if (ctx->env->persist == NULL)
        reply_error(&ctx->reply, "ERR This shard keeps no files");
    else if (persist_reload(ctx->env->persist, error, sizeof(error)) == 0)
        reply_ok(&ctx->reply);
    else
        reply_error(&ctx->reply, error);
}

void cmd_debug_object(struct command_ctx *ctx) {
    struct keyref ref;
    if (!keyspace_find(ctx->ks, ctx_db(ctx), ctx->argv[2], KEY_PEEK, &ref)) {
        reply_error(&ctx->reply, reply_err_no_key);
        return;
    }
    struct value value = keyref_value(&ref);
    struct buf rdb = {0};
    char line[256];
    rdb_value_write(&rdb, &value, ctx_config(ctx)->rdbcompression);
    uint64_t idle_s = keyref_idle_ms(&ref) / 1000;
    uint64_t lru = ((uint64_t)ctx_now_ms(ctx) / 1000 - idle_s) & ((1u << LRU_CLOCK_BITS) - 1);
    /* The type byte is not counted. */
    snprintf(line, sizeof(line),
             "Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%llu "
             "lru_seconds_idle:%llu",
             (void *)ref.entry, value_encoding_name(value.encoding), rdb.len - 1,
             (unsigned long long)lru, (unsigned long long)idle_s);
    buf_free(&rdb);
    reply_status(&ctx->reply, line);
}

/* ---- PROTOCOL: one value of each type ---- */

static void protocol_string(struct reply *r) {
    reply_bulk_text(r, "Hello World");
}
static void protocol_integer(struct reply *r) {
    reply_integer(r, 12345);
}
static void protocol_double(struct reply *r) {
    reply_double(r, 3.141);
}
static void protocol_big_number(struct reply *r) {
    reply_big_number(r, BYTES_LITERAL("1234567999999999999999999999999999999"));
}
static void protocol_integers(struct reply *r) {
    for (int i = 0; i < 3; i++)
        reply_integer(r, i);
}
static void protocol_array(struct reply *r) {
    reply_array(r, 3);
    protocol_integers(r);
}
static void protocol_set(struct reply *r) {
    reply_set(r, 3);
    protocol_integers(r);
}
static void protocol_map(struct reply *r) {
    reply_map(r, 3);
    for (int i = 0; i < 3; i++) {
        reply_integer(r, i);
        reply_bool(r, i == 1);
    }
}
static void protocol_attribute(struct reply *r) {
    if (r->version > 2) {
        reply_attribute(r, 1);
        reply_bulk_text(r, "key-popularity");
        reply_array(r, 2);
        reply_bulk_text(r, "key:123");
        reply_integer(r, 90);
    }
    reply_bulk_text(r, "Some real reply following the attribute");
}
static void protocol_push(struct reply *r) {
    if (r->version < 3) {
        reply_error(r, "ERR RESP2 is not supported by this command");
        return;
    }
    reply_push(r, 2);
    reply_bulk_text(r, "server-cpu-usage");
    reply_integer(r, 42);
    reply_bulk_text(r, "Some real reply following the push reply");
}
static void protocol_verbatim(struct reply *r) {
    reply_verbatim(r, "txt", BYTES_LITERAL("This is a verbatim\nstring"));
}
static void protocol_true(struct reply *r) {
    reply_bool(r, true);
}
static void protocol_false(struct reply *r) {
    reply_bool(r, false);
}

void cmd_debug_protocol(struct command_ctx *ctx) {
    static const struct {
        const char *type;
        void (*write)(struct reply *r);
    } types[] = {
        {"string", protocol_string},
        {"integer", protocol_integer},
        {"double", protocol_double},
        {"bignum", protocol_big_number},
        {"null", reply_null},
        {"array", protocol_array},
        {"set", protocol_set},
        {"map", protocol_map},
        {"attrib", protocol_attribute},
        {"push", protocol_push},
        {"verbatim", protocol_verbatim},
        {"true", protocol_true},
        {"false", protocol_false},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (!bytes_equal_nocase(ctx->argv[2], types[i].type))
            continue;
        types[i].write(&ctx->reply);
        return;
    }
    reply_error(&ctx->reply,
                "ERR Wrong protocol type name. Please use one of the following: string|integer|"
                "double|bignum|null|array|set|map|attrib|push|verbatim|true|false");
}

void cmd_debug_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "ERROR <string>",
        "    Return a Redis protocol error with <string> as message. Useful for clients",
        "    unit tests to simulate Redis errors.",
        "LOG <message>",
        "    Write <message> to the server log.",
        "OBJECT <key>",
        "    Show low level info about `key` and associated value.",
        "PANIC",
        "    Crash a worker simulating a panic.",
        "PROTOCOL <type>",
        "    Reply with a test value of the specified type. <type> can be: string,",
        "    integer, double, bignum, null, array, set, map, attrib, push, verbatim,",
        "    true, false.",
        "RELOAD",
        "    Save every shard on disk and reload it back to memory.",
        "SEGFAULT",
        "    Crash a worker with sigsegv.",
        "SET-ACTIVE-EXPIRE <0|1>",
        "    Setting it to 0 disables expiring keys in background when they are not",
        "    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the",
        "    default.",
        "SLEEP <seconds>",
        "    Stop the server for <seconds>. Decimals allowed.",
        "STRINGMATCH-LEN <pattern> <string>",
        "    Reply 1 if the string matches the pattern, else 0.",
        NULL,
    };
    reply_help(ctx, "DEBUG", lines);
}
