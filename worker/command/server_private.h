/* server_private.h - what the commands about the server itself share. Folder-private. */
#ifndef REMUDA_COMMAND_SERVER_PRIVATE_H
#define REMUDA_COMMAND_SERVER_PRIVATE_H
#include "worker/command/command.h"

/* The release whose replies and semantics are kept; what HELLO and INFO call the version. */
#define REDIS_COMPAT_VERSION "7.2.4"

/* X HELP: title line, the given lines (NULL at the end), and HELP itself. */
void reply_help(struct command_ctx *ctx, const char *container, const char *const *lines);
/* A subcommand of it that is called otherwise than it can be. */
void reply_usage(struct command_ctx *ctx, const char *container);

/* Arguments for "%.*s": the text, ended by a NUL in it as Redis's own %s would be. */
#define SHOWN(text) (int)strnlen((text).ptr, (text).len), (text).ptr

/* The client sees a Redis Cluster node, not the pool as one Redis. */
static inline bool ctx_is_node(const struct command_ctx *ctx) {
    return ctx->session->port == SESSION_NODE;
}
/* Parse an integer that must fit an int, with Redis's error texts. false: replied. */
bool ctx_int_argument(struct command_ctx *ctx, struct bytes text, int32_t *value_r);
/* requirepass, "" if there is none. */
static inline const char *ctx_password(const struct command_ctx *ctx) {
    const char *password = ctx_config(ctx)->requirepass;
    return password != NULL ? password : "";
}
/* true if a client must still AUTH before it may run ordinary commands. */
static inline bool ctx_needs_auth(const struct command_ctx *ctx) {
    return !ctx->session->authenticated && ctx_password(ctx)[0] != '\0';
}
/* Client names and the like: printable, no spaces. */
bool client_text_valid(struct bytes text);
/* Replace an owned text by a copy; "" becomes NULL. */
void session_set_text(char **text, struct bytes value);

/* ---- command_keys.c: the key specifications of a row, made from its positions and syntax ---- */
struct key_spec {
    int32_t index; /* argument where it begins: the first key, the number of keys, or the options */
    struct bytes word; /* the keys stand behind it, looked for from `index` on; empty: none */
    int32_t limit; /* how the keys end: 0 the last one is given, 2 they are half of what is left */
    bool unknown;  /* the keys follow from what other keys hold, or stand anywhere */
    bool counted;  /* argument `index` says how many keys follow it */
    int32_t last;  /* last key, counted from index; negative from the end of the arguments */
    int32_t step;
    struct bytes flags; /* words separated by commas: "RW,access,update" */
};
enum { KEY_SPECS_MAX = 4 };
/* The specification that the n-th key argument of a row's syntax belongs to. */
uint32_t command_key_spec_of(const struct command *c, uint32_t argument);
/* Returns how many were written to specs. */
uint32_t command_key_specs(const struct command *c, struct key_spec specs[KEY_SPECS_MAX]);
/* The part of command_keys() that is about options which name a key (STORE key). */
int32_t command_option_keys(const struct command *c, const struct bytes *argv, uint32_t argc,
                            void (*key)(void *arg, uint32_t index), void *arg);
static inline bool command_has_option_keys(const struct command *c) {
    return (c->flags & CMD_MOVABLEKEYS) && c->numkeys_at == 0;
}
/* The flags of the key at an argument position of a call. */
struct bytes command_key_flags(const struct command *c, uint32_t argc, uint32_t position);
/* An array or set of the words of a list separated by one character, as simple strings. */
void reply_words_as_set(struct reply *r, struct bytes list, char separator);

/* ---- cmd_replication.c ---- */
/* The lines of INFO replication for this shard, which has a primary. */
void replication_info(const struct command_ctx *ctx, struct buf *out);

/* ---- cmd_failover.c ---- */
/* segment may be NULL. / What INFO says of it. */
enum failover_progress failover_progress(const struct segment *segment);
const char *failover_state_name(const struct segment *segment);

/* ---- command_docs.c ---- */
/* The `arguments` array of COMMAND DOCS from the row's syntax. */
void docs_reply_arguments(struct reply *r, const struct command *c);

#endif
