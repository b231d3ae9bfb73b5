/* cmd_client.c - CLIENT: what a connection may say about itself, and look at or end the others.
 *
 * A handler sees the clients of its own worker only; LIST and KILL run on every shard of the pool
 * and their replies are merged. */
#include "worker/command/blocked.h"
#include "worker/command/server_private.h"

#include "shared/base/clock.h"
#include "worker/replication/primary.h"

static void reply_bad_text(struct command_ctx *ctx, const char *what) {
    reply_error_format(&ctx->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                       what);
}

void cmd_client_id(struct command_ctx *ctx) {
    reply_integer(&ctx->reply, (int64_t)ctx->session->id);
}

void cmd_client_getname(struct command_ctx *ctx) {
    if (ctx->session->name != NULL)
        reply_bulk_text(&ctx->reply, ctx->session->name);
    else
        reply_null(&ctx->reply);
}

void cmd_client_setname(struct command_ctx *ctx) {
    if (!client_text_valid(ctx->argv[2])) {
        reply_bad_text(ctx, "Client names");
        return;
    }
    session_set_text(&ctx->session->name, ctx->argv[2]);
    reply_ok(&ctx->reply);
}

void cmd_client_setinfo(struct command_ctx *ctx) {
    struct bytes what = ctx->argv[2];
    char **text;
    if (bytes_equal_nocase(what, "lib-name")) {
        text = &ctx->session->lib_name;
    } else if (bytes_equal_nocase(what, "lib-ver")) {
        text = &ctx->session->lib_version;
    } else {
        reply_error_format(&ctx->reply, "ERR Unrecognized option '%.*s'", SHOWN(what));
        return;
    }
    if (!client_text_valid(ctx->argv[3])) {
        char name[16];
        memcpy(name, what.ptr, what.len);
        name[what.len] = '\0';
        reply_bad_text(ctx, name);
        return;
    }
    session_set_text(text, ctx->argv[3]);
    reply_ok(&ctx->reply);
}

static void reply_text(struct command_ctx *ctx, struct buf *text) {
    reply_verbatim(&ctx->reply, "txt", buf_bytes(text));
    buf_free(text);
}

void cmd_client_info(struct command_ctx *ctx) {
    struct buf text = {0};
    session_describe(ctx->session, &text);
    reply_text(ctx, &text);
}

void cmd_client_reply(struct command_ctx *ctx) {
    struct session *s = ctx->session;
    if (bytes_equal_nocase(ctx->argv[2], "on")) {
        s->reply_mode = SESSION_REPLY_ON;
        reply_ok(&ctx->reply);
    } else if (bytes_equal_nocase(ctx->argv[2], "off")) {
        s->reply_mode = SESSION_REPLY_OFF;
    } else if (bytes_equal_nocase(ctx->argv[2], "skip")) {
        if (s->reply_mode != SESSION_REPLY_OFF)
            s->reply_mode = SESSION_REPLY_SKIP_NEXT;
    } else {
        reply_error(&ctx->reply, reply_err_syntax);
    }
}

static void set_switch(struct command_ctx *ctx, bool *value) {
    if (bytes_equal_nocase(ctx->argv[2], "on")) {
        *value = true;
        reply_ok(&ctx->reply);
    } else if (bytes_equal_nocase(ctx->argv[2], "off")) {
        *value = false;
        reply_ok(&ctx->reply);
    } else {
        reply_error(&ctx->reply, reply_err_syntax);
    }
}

void cmd_client_no_evict(struct command_ctx *ctx) {
    set_switch(ctx, &ctx->session->no_evict);
}

void cmd_client_no_touch(struct command_ctx *ctx) {
    set_switch(ctx, &ctx->session->no_touch);
}

/* ---- LIST and KILL choose sessions by a filter ---- */

enum client_type { CLIENT_ANY = -1, CLIENT_NORMAL, CLIENT_REPLICA, CLIENT_PUBSUB, CLIENT_MASTER };
struct filter {
    enum client_type type;
    uint64_t id;       /* 0: any */
    int64_t max_age_s; /* 0: any */
    const struct bytes *peer, *local;
    bool skip_me;
    bool default_user; /* not who says what a primary says */
};

/* pubsub matches none: there are no such clients here. */
static bool parse_type(struct command_ctx *ctx, struct bytes text, enum client_type *type_r) {
    static const struct {
        const char *word;
        enum client_type type;
    } words[] = {{"normal", CLIENT_NORMAL},
                 {"slave", CLIENT_REPLICA},
                 {"replica", CLIENT_REPLICA},
                 {"pubsub", CLIENT_PUBSUB},
                 {"master", CLIENT_MASTER}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!bytes_equal_nocase(text, words[i].word))
            continue;
        *type_r = words[i].type;
        return true;
    }
    reply_error_format(&ctx->reply, "ERR Unknown client type '%.*s'", SHOWN(text));
    return false;
}

static bool matches(const struct filter *f, const struct session *s) {
    enum client_type type = s->upstream                       ? CLIENT_MASTER
                            : replica_is_attached(s->replica) ? CLIENT_REPLICA
                                                              : CLIENT_NORMAL;
    if ((f->type != CLIENT_ANY && f->type != type) || (f->default_user && s->upstream))
        return false;
    if (f->id != 0 && f->id != s->id)
        return false;
    if (f->peer != NULL && !bytes_equal(*f->peer, bytes_of_text(s->peer)))
        return false;
    if (f->local != NULL && !bytes_equal(*f->local, bytes_of_text(s->local)))
        return false;
    return f->max_age_s == 0 || (clock_wall_ms() - s->created_wall_ms) / 1000 >= f->max_age_s;
}

static bool id_listed(struct command_ctx *ctx, uint32_t first, uint64_t id) {
    for (uint32_t i = first; i < ctx->argc; i++) {
        int64_t wanted;
        if (bytes_to_i64(ctx->argv[i], &wanted) && (uint64_t)wanted == id)
            return true;
    }
    return false;
}

static bool ids_valid(struct command_ctx *ctx, uint32_t first) {
    int64_t id;
    for (uint32_t i = first; i < ctx->argc; i++) {
        if (bytes_to_i64(ctx->argv[i], &id))
            continue;
        reply_error(&ctx->reply, "ERR Invalid client ID");
        return false;
    }
    return true;
}

void cmd_client_list(struct command_ctx *ctx) {
    struct filter filter = {.type = CLIENT_ANY};
    bool by_id = false;
    if (ctx->argc == 4 && bytes_equal_nocase(ctx->argv[2], "type")) {
        if (!parse_type(ctx, ctx->argv[3], &filter.type))
            return;
    } else if (ctx->argc > 3 && bytes_equal_nocase(ctx->argv[2], "id")) {
        by_id = true;
        if (!ids_valid(ctx, 3))
            return;
    } else if (ctx->argc != 2) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    struct buf text = {0};
    struct list *const lists[] = {ctx->env->primaries, ctx->env->sessions};
    for (unsigned i = 0; i < 2; i++)
        LIST_EACH(node, lists[i]) {
            const struct session *s = LIST_ENTRY(node, struct session, link);
            if (matches(&filter, s) && (!by_id || id_listed(ctx, 3, s->id)))
                session_describe(s, &text);
        }
    reply_text(ctx, &text);
}

static int64_t kill_in(struct command_ctx *ctx, const struct filter *filter, struct list *list) {
    int64_t killed = 0;
    LIST_EACH(node, list) {
        struct session *s = LIST_ENTRY(node, struct session, link);
        bool own = s == ctx->session;
        if ((own && filter->skip_me) || !matches(filter, s))
            continue;
        ctx->env->kill_session(ctx->env->upper, s, own);
        killed++;
    }
    return killed;
}

static int64_t kill_matching(struct command_ctx *ctx, const struct filter *filter) {
    return kill_in(ctx, filter, ctx->env->primaries) + kill_in(ctx, filter, ctx->env->sessions);
}

/* One `option value` of CLIENT KILL. false: an error was replied. */
static bool kill_option(struct command_ctx *ctx, struct filter *f, struct bytes option,
                        const struct bytes *value) {
    int64_t number;
    if (bytes_equal_nocase(option, "id")) {
        if (!bytes_to_i64(*value, &number) || number < 1) {
            reply_error(&ctx->reply, "ERR client-id should be greater than 0");
            return false;
        }
        f->id = (uint64_t)number;
    } else if (bytes_equal_nocase(option, "maxage")) {
        if (!bytes_to_i64(*value, &number)) {
            reply_error(&ctx->reply, "ERR maxage is not an integer or out of range");
            return false;
        }
        if (number < 1) {
            reply_error(&ctx->reply, "ERR maxage should be greater than 0");
            return false;
        }
        f->max_age_s = number;
    } else if (bytes_equal_nocase(option, "type")) {
        return parse_type(ctx, *value, &f->type);
    } else if (bytes_equal_nocase(option, "addr")) {
        f->peer = value;
    } else if (bytes_equal_nocase(option, "laddr")) {
        f->local = value;
    } else if (bytes_equal_nocase(option, "user")) {
        if (!bytes_equal(*value, BYTES_LITERAL("default"))) {
            reply_error_format(&ctx->reply, "ERR No such user '%.*s'", SHOWN(*value));
            return false;
        }
        f->default_user = true;
    } else if (bytes_equal_nocase(option, "skipme") &&
               (bytes_equal_nocase(*value, "yes") || bytes_equal_nocase(*value, "no"))) {
        f->skip_me = bytes_equal_nocase(*value, "yes");
    } else {
        reply_error(&ctx->reply, reply_err_syntax);
        return false;
    }
    return true;
}

void cmd_client_kill(struct command_ctx *ctx) {
    struct filter filter = {.type = CLIENT_ANY, .skip_me = ctx->argc > 3};
    if (ctx->argc == 3) {
        filter.peer = &ctx->argv[2];
        if (kill_matching(ctx, &filter) > 0)
            reply_ok(&ctx->reply);
        else
            reply_error(&ctx->reply, "ERR No such client");
        return;
    }
    for (uint32_t i = 2; i < ctx->argc; i += 2) {
        if (i + 1 == ctx->argc) {
            reply_error(&ctx->reply, reply_err_syntax);
            return;
        }
        if (!kill_option(ctx, &filter, ctx->argv[i], &ctx->argv[i + 1]))
            return;
    }
    reply_integer(&ctx->reply, kill_matching(ctx, &filter));
}

void cmd_client_unblock(struct command_ctx *ctx) {
    bool with_error = false, done = false;
    int64_t id;
    if (ctx->argc == 4) {
        with_error = bytes_equal_nocase(ctx->argv[3], "error");
        if (!with_error && !bytes_equal_nocase(ctx->argv[3], "timeout")) {
            reply_error(&ctx->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
            return;
        }
    } else if (ctx->argc != 3) {
        reply_usage(ctx, "CLIENT");
        return;
    }
    if (!bytes_to_i64(ctx->argv[2], &id)) {
        reply_error(&ctx->reply, reply_err_not_integer);
        return;
    }
    LIST_EACH(node, ctx->env->sessions) {
        struct session *s = LIST_ENTRY(node, struct session, link);
        if (s->id == (uint64_t)id)
            done = ctx->env->unblock_session(ctx->env->upper, s, with_error);
    }
    reply_integer(&ctx->reply, done);
}

void cmd_client_pause(struct command_ctx *ctx) {
    int64_t timeout_ms;
    bool all = ctx->argc < 4 || bytes_equal_nocase(ctx->argv[3], "all");
    if (ctx->argc > 4) {
        reply_usage(ctx, "CLIENT");
    } else if (!all && !bytes_equal_nocase(ctx->argv[3], "write")) {
        reply_error(&ctx->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else if (block_milliseconds(ctx, 2, &timeout_ms)) {
        ctx->env->pause(ctx->env->upper, clock_mono_ms() + (uint64_t)timeout_ms, all);
        reply_ok(&ctx->reply);
    }
}

void cmd_client_unpause(struct command_ctx *ctx) {
    ctx->env->pause(ctx->env->upper, 0, false);
    reply_ok(&ctx->reply);
}

void cmd_client_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "    * MAXAGE <maxage>",
        "      Kill connections older than the specified age.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "    * ID <client-id> [<client-id> ...]",
        "      Return clients of specified ids.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "SETINFO <option> <value>",
        "    Set client meta attr. Options are:",
        "    * LIB-NAME: the client lib name.",
        "    * LIB-VER: the client lib version.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Will not touch LRU/LFU stats when this mode is on.",
        NULL,
    };
    reply_help(ctx, "CLIENT", lines);
}
