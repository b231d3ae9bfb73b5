/* cmd_connection.c - PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET: a client and its connection. */
#include "worker/command/server_private.h"

#include "shared/base/mem.h"

static const char wrong_password[] =
    "WRONGPASS invalid username-password pair or user is disabled.";

void cmd_ping(struct command_ctx *ctx) {
    if (ctx->argc > 2)
        reply_error(&ctx->reply, "ERR wrong number of arguments for 'ping' command");
    else if (ctx->argc == 2)
        reply_bulk(&ctx->reply, ctx->argv[1]);
    else
        reply_status(&ctx->reply, "PONG");
}

void cmd_echo(struct command_ctx *ctx) {
    reply_bulk(&ctx->reply, ctx->argv[1]);
}

void cmd_quit(struct command_ctx *ctx) {
    ctx->session->close_after_reply = true;
    reply_ok(&ctx->reply);
}

void cmd_monitor(struct command_ctx *ctx) {
    if (ctx->session->monitor)
        return; /* as in Redis: it hears of others' commands, and not of this one */
    ctx->session->monitor = true;
    ctx->env->monitor(ctx->env->upper, ctx, true);
    reply_ok(&ctx->reply);
}

void cmd_reset(struct command_ctx *ctx) {
    if (ctx->session->monitor)
        ctx->env->monitor(ctx->env->upper, ctx, false);
    ctx->session->monitor = false;
    session_reset(ctx->session, ctx_password(ctx)[0] != '\0');
    ctx->reply.version = ctx->session->resp;
    reply_status(&ctx->reply, "RESET");
}

bool ctx_int_argument(struct command_ctx *ctx, struct bytes text, int32_t *value_r) {
    int64_t value;
    if (!bytes_to_i64(text, &value)) {
        reply_error(&ctx->reply, reply_err_not_integer);
        return false;
    }
    if (value < INT32_MIN || value > INT32_MAX) {
        reply_error_format(&ctx->reply, "ERR value is out of range, value must between %d and %d",
                           INT32_MIN, INT32_MAX);
        return false;
    }
    *value_r = (int32_t)value;
    return true;
}

void cmd_select(struct command_ctx *ctx) {
    int32_t db;
    if (!ctx_int_argument(ctx, ctx->argv[1], &db))
        return;
    if (ctx_is_node(ctx) && db != 0) {
        reply_error(&ctx->reply, "ERR SELECT is not allowed in cluster mode");
    } else if (db < 0 || (uint32_t)db >= keyspace_databases(ctx->ks)) {
        reply_error(&ctx->reply, "ERR DB index is out of range");
    } else {
        ctx->session->db = (uint32_t)db;
        reply_ok(&ctx->reply);
    }
}

/* ---- passwords ---- */

/* Looks at every byte of the longer text whatever the outcome, so that the time taken tells an
 * attacker nothing about the password. */
static bool equal_in_constant_time(struct bytes given, struct bytes wanted) {
    size_t longer = given.len > wanted.len ? given.len : wanted.len;
    volatile unsigned char difference = given.len != wanted.len;
    for (size_t i = 0; i < longer; i++) {
        unsigned char a = i < given.len ? (unsigned char)given.ptr[i] : 0;
        unsigned char b = i < wanted.len ? (unsigned char)wanted.ptr[i] : 0;
        difference = (unsigned char)(difference | (a ^ b));
    }
    return difference == 0;
}

/* There is one user, "default", who needs no password if none is set. */
static bool login(struct command_ctx *ctx, struct bytes user, struct bytes password) {
    struct bytes wanted = bytes_of_text(ctx_password(ctx));
    bool right = wanted.len == 0 || equal_in_constant_time(password, wanted);
    if (!right || !bytes_equal(user, BYTES_LITERAL("default"))) {
        reply_error(&ctx->reply, wrong_password);
        return false;
    }
    ctx->session->authenticated = true;
    return true;
}

void cmd_auth(struct command_ctx *ctx) {
    for (uint32_t i = 1; i < ctx->argc; i++)
        ctx_hide(ctx, i);
    if (ctx->argc > 3) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    if (ctx->argc == 2 && ctx_password(ctx)[0] == '\0') {
        reply_error(&ctx->reply,
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?");
        return;
    }
    struct bytes user = ctx->argc == 3 ? ctx->argv[1] : BYTES_LITERAL("default");
    if (login(ctx, user, ctx->argv[ctx->argc - 1]))
        reply_ok(&ctx->reply);
}

/* ---- HELLO ---- */

struct hello {
    int64_t version; /* 0: not given */
    const struct bytes *user, *password, *name;
};

bool client_text_valid(struct bytes text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '!' || text.ptr[i] > '~')
            return false;
    return true;
}

void session_set_text(char **text, struct bytes value) {
    mem_free(*text);
    *text = value.len > 0 ? mem_strndup(value.ptr, value.len) : NULL;
}

static bool hello_parse_options(struct command_ctx *ctx, struct hello *hello) {
    for (uint32_t i = 2; i < ctx->argc; i++) {
        uint32_t more = ctx->argc - 1 - i;
        if (bytes_equal_nocase(ctx->argv[i], "AUTH") && more >= 2) {
            hello->user = &ctx->argv[i + 1];
            hello->password = &ctx->argv[i + 2];
            ctx_hide(ctx, i + 1);
            ctx_hide(ctx, i + 2);
            i += 2;
        } else if (bytes_equal_nocase(ctx->argv[i], "SETNAME") && more >= 1) {
            hello->name = &ctx->argv[++i];
            if (!client_text_valid(*hello->name)) {
                reply_error(&ctx->reply, "ERR Client names cannot contain spaces, newlines or "
                                         "special characters.");
                return false;
            }
        } else {
            reply_error_format(&ctx->reply, "ERR Syntax error in HELLO option '%.*s'",
                               SHOWN(ctx->argv[i]));
            return false;
        }
    }
    return true;
}

static bool hello_parse(struct command_ctx *ctx, struct hello *hello) {
    if (ctx->argc < 2)
        return true;
    if (!bytes_to_i64(ctx->argv[1], &hello->version)) {
        reply_error(&ctx->reply, "ERR Protocol version is not an integer or out of range");
        return false;
    }
    if (hello->version < 2 || hello->version > 3) {
        reply_error(&ctx->reply, "NOPROTO unsupported protocol version");
        return false;
    }
    return hello_parse_options(ctx, hello);
}

static void hello_reply(struct command_ctx *ctx) {
    struct reply *r = &ctx->reply;
    const struct {
        const char *name, *text;
        int64_t number;
    } fields[] = {
        {"server", "redis", 0},
        {"version", REDIS_COMPAT_VERSION, 0},
        {"proto", NULL, ctx->session->resp},
        {"id", NULL, (int64_t)ctx->session->id},
        {"mode", ctx_is_node(ctx) ? "cluster" : "standalone", 0},
        {"role", "master", 0},
    };
    enum { FIELDS = sizeof(fields) / sizeof(fields[0]) };
    reply_map(r, FIELDS + 1);
    for (size_t i = 0; i < FIELDS; i++) {
        reply_bulk_text(r, fields[i].name);
        if (fields[i].text != NULL)
            reply_bulk_text(r, fields[i].text);
        else
            reply_integer(r, fields[i].number);
    }
    reply_bulk_text(r, "modules");
    reply_array(r, 0);
}

void cmd_hello(struct command_ctx *ctx) {
    struct hello hello = {0};
    if (!hello_parse(ctx, &hello))
        return;
    if (hello.user != NULL && !login(ctx, *hello.user, *hello.password))
        return;
    if (ctx_needs_auth(ctx)) {
        reply_error(&ctx->reply,
                    "NOAUTH HELLO must be called with the client already authenticated, otherwise "
                    "the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the "
                    "client and select the RESP protocol version at the same time");
        return;
    }
    if (hello.name != NULL)
        session_set_text(&ctx->session->name, *hello.name);
    if (hello.version != 0)
        ctx->session->resp = ctx->reply.version = (uint8_t)hello.version;
    hello_reply(ctx);
}
