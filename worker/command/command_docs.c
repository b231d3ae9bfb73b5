/* command_docs.c - the syntax notation of commands.def, turned into COMMAND DOCS's `arguments`.
 *
 *   argument = [ '[' ] [ TOKEN '@' ] ( name ':' type | '<' a '|' b '>' name | '{' a ' ' b '}' name
 *              | name ) [ '...' [ 'T' ] ] [ ']' ]
 *
 * The notation is ours, so a mistake in it is a bug and ends the process (a unit test walks every
 * row). */
#include "worker/command/server_private.h"

#include "shared/base/panic.h"

struct argument {
    struct bytes token, name, type; /* token: len 0 if there is none */
    struct bytes inside;            /* of oneof and block */
    char separator;                 /* between the arguments inside */
    bool optional, multiple, token_too;
};

/* The text up to the bracket that closes the one at *at; *at moves past it. */
static struct bytes bracketed(const char **at) {
    const char *start = ++*at;
    for (int depth = 1;; (*at)++) {
        ASSERT(**at != '\0');
        if (strchr("[<{", **at) != NULL)
            depth++;
        else if (strchr("]>}", **at) != NULL && --depth == 0)
            return bytes_of(start, (size_t)((*at)++ - start));
    }
}

static struct bytes word(const char **at) {
    const char *start = *at;
    *at += **at == '='; /* a token of its own where a word begins */
    while (**at != '\0' && strchr("@:=<>{}[]| ", **at) == NULL && strncmp(*at, "...", 3) != 0)
        (*at)++;
    ASSERT(*at > start);
    return bytes_of(start, (size_t)(*at - start));
}

static void parse_primary(const char **at, struct argument *a) {
    if (**at == '<' || **at == '{') {
        bool oneof = **at == '<';
        a->type = oneof ? BYTES_LITERAL("oneof") : BYTES_LITERAL("block");
        a->separator = oneof ? '|' : ' ';
        a->inside = bracketed(at);
        a->name = word(at);
        return;
    }
    a->name = word(at);
    if (**at == '@') {
        ++*at;
        a->token = a->name;
        a->type = BYTES_LITERAL("pure-token");
        parse_primary(at, a);
    } else if (**at == ':') {
        ++*at;
        a->type = word(at);
        if (**at == '=')
            *at += strcspn(*at, " ]}|>.");
    }
}

/* The next argument of a list; false at its end. */
static bool next_argument(const char **at, const char *end, char separator, struct argument *a) {
    *a = (struct argument){0};
    if (*at >= end)
        return false;
    if (**at == '[') {
        struct bytes inside = bracketed(at);
        const char *inner = inside.ptr;
        ASSERT(next_argument(&inner, inside.ptr + inside.len, separator, a));
        a->optional = true;
    } else {
        parse_primary(at, a);
    }
    if (strncmp(*at, "...", 3) == 0) {
        a->multiple = true;
        *at += 3;
        a->token_too = **at == 'T';
        *at += a->token_too;
    }
    ASSERT(a->type.len > 0);
    if (*at < end)
        ASSERT(**at == separator);
    if (*at < end)
        ++*at;
    return true;
}

/* Where the arguments go, and how many of them were keys. */
struct docs {
    struct reply *reply;
    const struct command *command;
    uint32_t keys;
};
static void reply_list(struct docs *docs, struct bytes list, char separator);

static void reply_field(struct reply *r, const char *name, struct bytes value) {
    reply_bulk_text(r, name);
    reply_bulk(r, value);
}

static void reply_argument(struct docs *docs, const struct argument *a) {
    struct reply *r = docs->reply;
    size_t mark = reply_mark(r), fields = 2;
    reply_field(r, "name", a->name);
    reply_field(r, "type", a->type);
    if (a->inside.len == 0) {
        reply_field(r, "display_text", a->name);
        fields++;
    }
    if (bytes_equal(a->type, BYTES_LITERAL("key"))) {
        reply_bulk_text(r, "key_spec_index");
        reply_integer(r, command_key_spec_of(docs->command, docs->keys++));
        fields++;
    }
    if (a->token.len > 0) {
        reply_field(r, "token", a->token);
        fields++;
    }
    if (a->optional || a->multiple) {
        reply_bulk_text(r, "flags");
        reply_set(r, (size_t)a->optional + a->multiple + a->token_too);
        if (a->optional)
            reply_status(r, "optional");
        if (a->multiple)
            reply_status(r, "multiple");
        if (a->token_too)
            reply_status(r, "multiple_token");
        fields++;
    }
    if (a->inside.len > 0) {
        reply_bulk_text(r, "arguments");
        reply_list(docs, a->inside, a->separator);
        fields++;
    }
    reply_close_map(r, mark, fields);
}

static void reply_list(struct docs *docs, struct bytes list, char separator) {
    const char *at = list.ptr;
    struct argument argument;
    size_t mark = reply_mark(docs->reply), count = 0;
    while (next_argument(&at, list.ptr + list.len, separator, &argument)) {
        reply_argument(docs, &argument);
        count++;
    }
    reply_close_array(docs->reply, mark, count);
}

void docs_reply_arguments(struct reply *r, const struct command *c) {
    struct docs docs = {.reply = r, .command = c};
    reply_list(&docs, bytes_of_text(c->syntax), ' ');
}
