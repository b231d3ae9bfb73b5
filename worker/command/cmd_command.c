/* cmd_command.c - COMMAND: the table of commands.def, told to clients. */
#include "worker/command/server_private.h"

/* A flag of a row and the word for it. */
struct flag_name {
    uint32_t flag;
    const char *name;
};
/* In the order in which they are printed. */
static const struct flag_name command_flag_names[] = {
    {CMD_WRITE, "write"},
    {CMD_READONLY, "readonly"},
    {CMD_DENYOOM, "denyoom"},
    {CMD_ADMIN, "admin"},
    {CMD_PUBSUB, "pubsub"},
    {CMD_NOSCRIPT, "noscript"},
    {CMD_BLOCKING, "blocking"},
    {CMD_LOADING, "loading"},
    {CMD_STALE, "stale"},
    {CMD_SKIP_MONITOR, "skip_monitor"},
    {CMD_SKIP_SLOWLOG, "skip_slowlog"},
    {CMD_FAST, "fast"},
    {CMD_NO_AUTH, "no_auth"},
    {CMD_NO_MANDATORY_KEYS, "no_mandatory_keys"},
    {CMD_NO_ASYNC_LOADING, "no_async_loading"},
    {CMD_NO_MULTI, "no_multi"},
    {CMD_MOVABLEKEYS, "movablekeys"},
    {CMD_ALLOW_BUSY, "allow_busy"},
};

/* ACL categories in the order in which they are printed, and what puts a row in one: a flag it has,
 * the group it is of, or its own list. */
static const struct {
    const char *name;
    uint32_t flag;
    const char *group;
} categories[] = {
    {"keyspace", 0, "generic"},
    {"read", CMD_READONLY, NULL},
    {"write", CMD_WRITE, NULL},
    {"set", 0, "set"},
    {"sortedset", 0, "sorted-set"},
    {"list", 0, "list"},
    {"hash", 0, "hash"},
    {"string", 0, "string"},
    {"bitmap", 0, "bitmap"},
    {"hyperloglog", 0, "hyperloglog"},
    {"geo", 0, "geo"},
    {"stream", 0, "stream"},
    {"pubsub", CMD_PUBSUB, "pubsub"},
    {"admin", CMD_ADMIN, NULL},
    {"fast", CMD_FAST, NULL},
    {"slow", 0, NULL},
    {"blocking", CMD_BLOCKING, NULL},
    {"dangerous", CMD_ADMIN, NULL},
    {"connection", 0, "connection"},
    {"transaction", 0, "transactions"},
    {"scripting", 0, "scripting"},
};
enum { CATEGORIES = sizeof(categories) / sizeof(categories[0]) };

static bool word_in(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = strstr(list, word); at != NULL; at = strstr(at + 1, word))
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

/* A container is in no category of its group: its subcommands are. Nor is a row that says "no-x". */
static bool in_category(const struct command *c, size_t category) {
    const char *name = categories[category].name, *group = categories[category].group;
    char refusal[32] = "no-";
    strncpy(refusal + 3, name, sizeof(refusal) - 4);
    if (word_in(c->categories, refusal))
        return false;
    if (categories[category].flag & c->flags)
        return true;
    if (strcmp(name, "slow") == 0 && !(c->flags & CMD_FAST))
        return true;
    if (group != NULL && !(c->flags & CMD_CONTAINER) && strcmp(group, c->group) == 0)
        return true;
    return word_in(c->categories, name);
}

/* ---- INFO ---- */

static void reply_flags(struct reply *r, const struct command *c) {
    size_t mark = reply_mark(r), count = 0;
    for (size_t i = 0; i < sizeof(command_flag_names) / sizeof(command_flag_names[0]); i++) {
        if (!(c->flags & command_flag_names[i].flag))
            continue;
        reply_status(r, command_flag_names[i].name);
        count++;
    }
    reply_close_set(r, mark, count);
}

static void reply_categories(struct reply *r, const struct command *c) {
    char name[32] = "@";
    size_t mark = reply_mark(r), count = 0;
    for (size_t i = 0; i < CATEGORIES; i++) {
        if (!in_category(c, i))
            continue;
        strncpy(name + 1, categories[i].name, sizeof(name) - 2);
        reply_status(r, name);
        count++;
    }
    reply_close_set(r, mark, count);
}

/* `name`, then a map of `type` and `spec`, whose pairs follow. */
static void reply_search(struct reply *r, const char *name, const char *type, size_t pairs) {
    reply_bulk_text(r, name);
    reply_map(r, 2);
    reply_bulk_text(r, "type");
    reply_bulk_text(r, type);
    reply_bulk_text(r, "spec");
    reply_map(r, pairs);
}

static void reply_pair(struct reply *r, const char *name, int64_t value) {
    reply_bulk_text(r, name);
    reply_integer(r, value);
}

static void reply_key_spec(struct reply *r, const struct key_spec *spec) {
    reply_map(r, 3);
    reply_bulk_text(r, "flags");
    reply_words_as_set(r, spec->flags, ',');
    if (spec->unknown) {
        reply_search(r, "begin_search", "unknown", 0);
        reply_search(r, "find_keys", "unknown", 0);
        return;
    }
    if (spec->word.len > 0) {
        reply_search(r, "begin_search", "keyword", 2);
        reply_bulk_text(r, "keyword");
        reply_bulk(r, spec->word);
        reply_pair(r, "startfrom", spec->index);
    } else {
        reply_search(r, "begin_search", "index", 1);
        reply_pair(r, "index", spec->index);
    }
    reply_search(r, "find_keys", spec->counted ? "keynum" : "range", 3);
    if (spec->counted) {
        reply_pair(r, "keynumidx", 0);
        reply_pair(r, "firstkey", 1);
        reply_pair(r, "keystep", 1);
    } else {
        reply_pair(r, "lastkey", spec->last);
        reply_pair(r, "keystep", spec->step);
        reply_pair(r, "limit", spec->limit);
    }
}

static void reply_key_specs(struct reply *r, const struct command *c) {
    struct key_spec specs[KEY_SPECS_MAX];
    uint32_t count = command_key_specs(c, specs);
    reply_set(r, count);
    for (uint32_t i = 0; i < count; i++)
        reply_key_spec(r, &specs[i]);
}

/* Calls each(arg, row) for the subcommands of a container; returns how many there are. */
static uint32_t each_subcommand(const struct command *c,
                                void (*each)(void *arg, const struct command *sub), void *arg) {
    uint32_t count = 0;
    for (uint32_t i = command_index(c) + 1u; i < command_count; i++) {
        if (command_container(&command_rows[i]) != c)
            break;
        if (each != NULL)
            each(arg, &command_rows[i]);
        count++;
    }
    return count;
}

static void reply_info(void *arg, const struct command *c) {
    struct reply *r = arg;
    reply_array(r, 10);
    reply_bulk_text(r, c->name);
    reply_integer(r, c->arity);
    reply_flags(r, c);
    reply_integer(r, c->first_key);
    reply_integer(r, c->last_key);
    reply_integer(r, c->key_step);
    reply_categories(r, c);
    reply_set(r, 0);
    reply_key_specs(r, c);
    uint32_t subcommands = each_subcommand(c, NULL, NULL);
    if (subcommands == 0) {
        reply_set(r, 0);
        return;
    }
    reply_array(r, subcommands);
    each_subcommand(c, reply_info, r);
}

static uint32_t count_commands(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < command_count; i++)
        count += command_container(&command_rows[i]) == NULL;
    return count;
}

void cmd_command(struct command_ctx *ctx) {
    reply_array(&ctx->reply, count_commands());
    for (uint32_t i = 0; i < command_count; i++)
        if (command_container(&command_rows[i]) == NULL)
            reply_info(&ctx->reply, &command_rows[i]);
}

void cmd_command_count(struct command_ctx *ctx) {
    reply_integer(&ctx->reply, count_commands());
}

void cmd_command_info(struct command_ctx *ctx) {
    if (ctx->argc == 2) {
        cmd_command(ctx);
        return;
    }
    reply_array(&ctx->reply, ctx->argc - 2);
    for (uint32_t i = 2; i < ctx->argc; i++) {
        const struct command *c = command_by_name(ctx->argv[i]);
        if (c != NULL)
            reply_info(&ctx->reply, c);
        else
            reply_null(&ctx->reply);
    }
}

/* ---- DOCS ---- */

static void reply_docs(void *arg, const struct command *c) {
    struct reply *r = arg;
    const struct {
        const char *name, *text;
    } texts[] = {{"summary", c->summary},
                 {"since", c->since},
                 {"group", c->group},
                 {"complexity", c->complexity}};
    reply_bulk_text(r, c->name);
    size_t mark = reply_mark(r), fields = 0;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].text[0] == '\0')
            continue;
        reply_bulk_text(r, texts[i].name);
        reply_bulk_text(r, texts[i].text);
        fields++;
    }
    if (c->syntax[0] != '\0') {
        reply_bulk_text(r, "arguments");
        docs_reply_arguments(r, c);
        fields++;
    }
    uint32_t subcommands = each_subcommand(c, NULL, NULL);
    if (subcommands > 0) {
        reply_bulk_text(r, "subcommands");
        reply_map(r, subcommands);
        each_subcommand(c, reply_docs, r);
        fields++;
    }
    reply_close_map(r, mark, fields);
}

void cmd_command_docs(struct command_ctx *ctx) {
    struct reply *r = &ctx->reply;
    size_t mark = reply_mark(r), count = 0;
    if (ctx->argc == 2) {
        reply_map(r, count_commands());
        for (uint32_t i = 0; i < command_count; i++)
            if (command_container(&command_rows[i]) == NULL)
                reply_docs(r, &command_rows[i]);
        return;
    }
    for (uint32_t i = 2; i < ctx->argc; i++) {
        const struct command *c = command_by_name(ctx->argv[i]);
        if (c == NULL)
            continue;
        reply_docs(r, c);
        count++;
    }
    reply_close_map(r, mark, count);
}

/* ---- LIST ---- */

enum list_filter { LIST_ALL, LIST_MODULE, LIST_CATEGORY, LIST_PATTERN };

/* There are no modules, so that filter lets nothing through. */
static bool listed(const struct command *c, enum list_filter filter, struct bytes value) {
    switch (filter) {
    case LIST_ALL: return true;
    case LIST_MODULE: return false;
    case LIST_CATEGORY:
        for (size_t i = 0; i < CATEGORIES; i++)
            if (bytes_equal_nocase(value, categories[i].name))
                return in_category(c, i);
        return false;
    case LIST_PATTERN: return bytes_glob(value, bytes_of_text(c->name), true);
    }
    return false;
}

void cmd_command_list(struct command_ctx *ctx) {
    static const char *const words[] = {
        [LIST_MODULE] = "module", [LIST_CATEGORY] = "aclcat", [LIST_PATTERN] = "pattern"};
    enum list_filter filter = LIST_ALL;
    struct bytes value = {0};
    if (ctx->argc == 5 && bytes_equal_nocase(ctx->argv[2], "filterby")) {
        value = ctx->argv[4];
        for (int i = LIST_MODULE; i <= LIST_PATTERN; i++)
            if (bytes_equal_nocase(ctx->argv[3], words[i]))
                filter = (enum list_filter)i;
    }
    if (ctx->argc != 2 && filter == LIST_ALL) {
        reply_error(&ctx->reply, reply_err_syntax);
        return;
    }
    size_t mark = reply_mark(&ctx->reply), count = 0;
    for (uint32_t i = 0; i < command_count; i++) {
        if (!listed(&command_rows[i], filter, value))
            continue;
        reply_bulk_text(&ctx->reply, command_rows[i].name);
        count++;
    }
    reply_close_array(&ctx->reply, mark, count);
}

/* ---- GETKEYS ---- */

struct key_reply {
    struct command_ctx *ctx;
    const struct command *command;
    bool with_flags;
};

static void reply_key(void *arg, uint32_t index) {
    struct key_reply *keys = arg;
    struct command_ctx *ctx = keys->ctx;
    struct reply *r = &ctx->reply;
    if (!keys->with_flags) {
        reply_bulk(r, ctx->argv[2 + index]);
        return;
    }
    reply_array(r, 2);
    reply_bulk(r, ctx->argv[2 + index]);
    reply_words_as_set(r, command_key_flags(keys->command, ctx->argc - 2, index), ',');
}

static void get_keys(struct command_ctx *ctx, bool with_flags) {
    const struct bytes *argv = ctx->argv + 2;
    uint32_t argc = ctx->argc - 2;
    const struct command *c = command_lookup(argv, argc, NULL);
    if (c == NULL) {
        reply_error(&ctx->reply, "ERR Invalid command specified");
        return;
    }
    if (c->first_key == 0 && c->numkeys_at == 0) {
        reply_error(&ctx->reply, "ERR The command has no key arguments");
        return;
    }
    if (!command_arity_ok(c, argc)) {
        reply_error(&ctx->reply, "ERR Invalid number of arguments specified for command");
        return;
    }
    int32_t count = command_key_positions(c, argv, argc, NULL, 0);
    if (count < 0) {
        reply_error(&ctx->reply, "ERR Invalid arguments specified for command");
        return;
    }
    struct key_reply keys = {ctx, c, with_flags};
    reply_array(&ctx->reply, (size_t)count);
    command_keys(c, argv, argc, reply_key, &keys);
}

void cmd_command_getkeys(struct command_ctx *ctx) {
    get_keys(ctx, false);
}

void cmd_command_getkeysandflags(struct command_ctx *ctx) {
    get_keys(ctx, true);
}

void cmd_command_help(struct command_ctx *ctx) {
    static const char *const lines[] = {
        "(no subcommand)",
        "    Return details about all Redis commands.",
        "COUNT",
        "    Return the total number of commands in this Redis server.",
        "LIST",
        "    Return a list of all commands in this Redis server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "DOCS [<command-name> ...]",
        "    Return documentation details about multiple Redis commands.",
        "    If no command names are given, documentation details for all",
        "    commands are returned.",
        "GETKEYS <full-command>",
        "    Return the keys from a full Redis command.",
        "GETKEYSANDFLAGS <full-command>",
        "    Return the keys and the access flags from a full Redis command.",
        NULL,
    };
    reply_help(ctx, "COMMAND", lines);
}
