/* command_keys.c - key specifications: where the keys of a row begin, how many there are, and what
 * is done to them, in the form of COMMAND INFO.
 *
 * A row gives one range of positions, or the place of a count; its syntax names the key arguments
 * and says what is done to each. */
#include "worker/command/server_private.h"

static bool ends_type(char c) {
    return c == '\0' || strchr(" ]}|>.=", c) != NULL;
}

/* Is the ':' at `colon` that of an option's argument, TOKEN@name:type? */
static bool follows_token(const char *syntax, const char *colon) {
    while (colon > syntax && strchr(" [<{|", colon[-1]) == NULL)
        if (*--colon == '@')
            return true;
    return false;
}

/* The flags of a key argument, of which `at` is the end of its type; "" if it gives none. */
static struct bytes flags_after(const char *at) {
    return *at == '=' ? bytes_of(at + 1, strcspn(at + 1, " ]}|>.")) : BYTES_LITERAL("");
}

/* The n-th key argument of a syntax, options left out; false if there is none. */
static bool nth_key_argument(const char *syntax, uint32_t n, struct bytes *flags_r) {
    for (const char *at = strstr(syntax, ":key"); at != NULL; at = strstr(at, ":key")) {
        const char *colon = at;
        at += strlen(":key");
        if (!ends_type(*at) || follows_token(syntax, colon) || n-- > 0)
            continue;
        *flags_r = flags_after(at);
        return true;
    }
    return false;
}

/* ---- options: a word, and what follows it ---- */

struct option {
    struct bytes token;
    uint32_t arguments; /* that follow the token */
    bool is_key;        /* the one argument is a key */
    struct bytes flags; /* of the key */
};

/* The next option of a syntax from *at on; false if there is none. */
static bool option_next(const char *syntax, const char **at, struct option *o) {
    const char *sign = strchr(*at, '@');
    if (sign == NULL)
        return false;
    const char *start = sign, *argument = sign + 1;
    while (start > syntax && strchr(" [<{|@", start[-1]) == NULL)
        start--;
    *o = (struct option){.token = bytes_of(start, (size_t)(sign - start))};
    if (*argument == '{') {
        for (; *argument != '}' && *argument != '\0'; argument++)
            o->arguments += *argument == ':';
    } else {
        argument += strcspn(argument, ":=@ ]}|>.");
        o->arguments = *argument == ':';
        o->is_key =
            strncmp(argument, ":key", strlen(":key")) == 0 && ends_type(argument[strlen(":key")]);
        if (o->is_key)
            o->flags = flags_after(argument + strlen(":key"));
    }
    *at = argument;
    return true;
}

static bool option_by_name(const struct command *c, struct bytes word, struct option *o) {
    char name[32];
    for (const char *at = c->syntax; option_next(c->syntax, &at, o);) {
        if (o->token.len != word.len || o->token.len >= sizeof(name))
            continue;
        memcpy(name, o->token.ptr, o->token.len);
        name[o->token.len] = '\0';
        if (bytes_equal_nocase(word, name))
            return true;
    }
    return false;
}

/* Options stand after all that must be given, which is what the arity counts. */
static uint32_t first_option(const struct command *c) {
    return (uint32_t)(c->arity < 0 ? -c->arity : c->arity);
}

int32_t command_option_keys(const struct command *c, const struct bytes *argv, uint32_t argc,
                            void (*key)(void *arg, uint32_t index), void *arg) {
    struct option option;
    int32_t found = 0;
    for (uint32_t i = first_option(c); i + 1 < argc; i++) {
        if (!option_by_name(c, argv[i], &option))
            continue;
        if (option.is_key) {
            key(arg, i + 1);
            found++;
        }
        i += option.arguments;
    }
    return found;
}

/* Specifications of the keys that options name. */
static uint32_t option_specs(const struct command *c, uint32_t count, struct key_spec *specs) {
    struct option option;
    bool derived = c->span == SPAN_DERIVED;
    if (derived)
        specs[count++] = (struct key_spec){.unknown = true, .flags = BYTES_LITERAL("RO,access")};
    for (const char *at = c->syntax; count < KEY_SPECS_MAX && option_next(c->syntax, &at, &option);)
        if (option.is_key)
            specs[count++] = (struct key_spec){.index = (int32_t)first_option(c),
                                               .word = option.token,
                                               .unknown = derived,
                                               .step = 1,
                                               .flags = option.flags};
    return count;
}

static struct bytes flags_of(const struct command *c, uint32_t argument) {
    struct bytes flags;
    if (nth_key_argument(c->syntax, argument, &flags) && flags.len > 0)
        return flags;
    return (c->flags & CMD_WRITE) ? BYTES_LITERAL("RW,access,update") : BYTES_LITERAL("RO,access");
}

/* Key arguments are numbered as they stand in the syntax, and each belongs to a specification: one of
 * its own, or that of its neighbour if the same is done to both. */
uint32_t command_key_spec_of(const struct command *c, uint32_t argument) {
    uint32_t spec = 0;
    for (uint32_t i = 1; i <= argument; i++)
        spec += !bytes_equal(flags_of(c, i), flags_of(c, i - 1));
    return spec;
}

static uint32_t named_arguments(const struct command *c) {
    struct bytes flags;
    uint32_t count = 0;
    while (count < KEY_SPECS_MAX && nth_key_argument(c->syntax, count, &flags))
        count++;
    return count > 0 ? count : 1;
}

/* Specifications of the keys at fixed positions. The last takes what is left of the range. */
static uint32_t range_specs(const struct command *c, uint32_t arguments, struct key_spec *specs) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < arguments; i++) {
        if (i > 0 && command_key_spec_of(c, i) == command_key_spec_of(c, i - 1)) {
            specs[count - 1].last += c->key_step;
            continue;
        }
        specs[count++] = (struct key_spec){.index = c->first_key + (int32_t)i * c->key_step,
                                           .step = c->key_step,
                                           .flags = flags_of(c, i)};
    }
    struct key_spec *rest = &specs[count - 1];
    rest->last = c->last_key < 0 ? c->last_key : c->last_key - rest->index;
    return count;
}

uint32_t command_key_specs(const struct command *c, struct key_spec specs[KEY_SPECS_MAX]) {
    if (c->numkeys_at < 0) {
        specs[0] = (struct key_spec){.index = -c->numkeys_at,
                                     .word = command_keys_word(c),
                                     .limit = 2,
                                     .last = -1,
                                     .step = 1,
                                     .flags = flags_of(c, 0)};
        return 1;
    }
    bool counted = c->numkeys_at > 0;
    uint32_t arguments = named_arguments(c), count = 0;
    if (c->first_key > 0)
        count = range_specs(c, counted && arguments > 1 ? arguments - 1 : arguments, specs);
    if (counted)
        specs[count++] = (struct key_spec){.index = c->numkeys_at,
                                           .counted = true,
                                           .step = 1,
                                           .flags = flags_of(c, arguments - 1)};
    if (command_has_option_keys(c))
        count = option_specs(c, count, specs);
    return count;
}

struct bytes command_key_flags(const struct command *c, uint32_t argc, uint32_t position) {
    struct key_spec specs[KEY_SPECS_MAX];
    uint32_t count = command_key_specs(c, specs);
    for (uint32_t i = count; i-- > 0;)
        if ((int64_t)position >= specs[i].index && (!specs[i].unknown || specs[i].word.len > 0))
            return specs[i].flags;
    return flags_of(c, 0);
}

void reply_words_as_set(struct reply *r, struct bytes list, char separator) {
    size_t mark = reply_mark(r), count = 0;
    while (list.len > 0) {
        const char *end = memchr(list.ptr, separator, list.len);
        size_t len = end != NULL ? (size_t)(end - list.ptr) : list.len;
        char word[32];
        if (len > 0 && len < sizeof(word)) {
            memcpy(word, list.ptr, len);
            word[len] = '\0';
            reply_status(r, word);
            count++;
        }
        size_t used = end != NULL ? len + 1 : len;
        list = bytes_of(list.ptr + used, list.len - used);
    }
    reply_close_set(r, mark, count);
}
