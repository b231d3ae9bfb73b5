/* commands.c - the table of commands.def, lookup by name, positions of keys.
 *
 * Names are found through an open hash table of row numbers, built once before main(). A
 * subcommand is entered under its own word with its container as the seed, so that "CLIENT ID" is
 * found from argv without joining the words. Nothing is allocated, nothing can fail. */
#include "worker/command/server_private.h"

#include "shared/base/panic.h"

#include <strings.h>

#define COMMAND(name, handler, arity, flags, span, first, last, step, numkeys_at, group, since,    \
                complexity, summary, syntax, categories)                                           \
    {name,       handler, arity, flags,      span,    first,  last,      step,                     \
     numkeys_at, group,   since, complexity, summary, syntax, categories},
const struct command command_rows[] = {
#include "worker/command/commands.def"
};
#undef COMMAND

enum {
    ROW_COUNT = sizeof(command_rows) / sizeof(command_rows[0]),
    SLOTS = 2048,
    NAME_MAX_BYTES = 64,
    NO_ROW = UINT16_MAX
};
_Static_assert(ROW_COUNT < SLOTS / 2, "the lookup table must stay at most half full");
const uint32_t command_count = ROW_COUNT;

/* The word a row is found by: its name, or what follows the '|' of a subcommand's. */
static struct {
    const char *word;
    uint16_t word_len, container;
    struct bytes keys_word; /* that the keys stand behind */
} words[ROW_COUNT];
static uint16_t slots[SLOTS];

/* FNV-1a with case folded (bit 5 is set in other characters too: harmless for a hash). */
static uint32_t hash_word(uint32_t container, const char *word, size_t len) {
    uint32_t hash = 2166136261u ^ (container * 2654435761u);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ ((unsigned char)word[i] | 0x20u)) * 16777619u;
    return hash ^ (hash >> 15);
}

static bool word_equal(const char *lower, const char *word, size_t len) {
    for (size_t i = 0; i < len; i++) {
        char c = word[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + ('a' - 'A'));
        if (c != lower[i])
            return false;
    }
    return true;
}

static uint16_t find(uint32_t container, struct bytes word) {
    if (word.len > NAME_MAX_BYTES)
        return NO_ROW;
    for (uint32_t at = hash_word(container, word.ptr, word.len);; at++) {
        uint16_t row = slots[at % SLOTS];
        if (row == NO_ROW)
            return NO_ROW;
        if (words[row].word_len == word.len && words[row].container == container &&
            word_equal(words[row].word, word.ptr, word.len))
            return row;
    }
}

/* The token of the key argument of a syntax: of TOKEN@key:key or TOKEN@{key:key ...}. */
static struct bytes token_of_key(const char *syntax) {
    const char *at = strstr(syntax, ":key");
    ASSERT(at != NULL);
    while (at > syntax && *at != '@')
        at--;
    const char *end = at;
    while (at > syntax && strchr(" [{<|", at[-1]) == NULL)
        at--;
    ASSERT(at < end);
    return bytes_of(at, (size_t)(end - at));
}

__attribute__((constructor)) static void build_lookup(void) {
    memset(slots, 0xff, sizeof(slots));
    uint16_t container = NO_ROW;
    for (uint16_t row = 0; row < ROW_COUNT; row++) {
        const char *name = command_rows[row].name, *bar = strchr(name, '|');
        if (bar == NULL)
            container = row;
        words[row].word = bar ? bar + 1 : name;
        words[row].word_len = (uint16_t)strlen(words[row].word);
        words[row].container = bar ? container : NO_ROW;
        if (command_rows[row].numkeys_at < 0)
            words[row].keys_word = token_of_key(command_rows[row].syntax);
        ASSERT(words[row].word_len <= NAME_MAX_BYTES);
        ASSERT(find(words[row].container, bytes_of_text(words[row].word)) == NO_ROW);
        uint32_t at = hash_word(words[row].container, words[row].word, words[row].word_len);
        while (slots[at % SLOTS] != NO_ROW)
            at++;
        slots[at % SLOTS] = row;
    }
}

const struct command *command_lookup(const struct bytes *argv, uint32_t argc,
                                     const struct command **container_r) {
    if (container_r != NULL)
        *container_r = NULL;
    uint16_t row = find(NO_ROW, argv[0]);
    if (row == NO_ROW)
        return NULL;
    if (!(command_rows[row].flags & CMD_CONTAINER) || argc < 2)
        return &command_rows[row];
    uint16_t sub = find(row, argv[1]);
    if (sub != NO_ROW)
        return &command_rows[sub];
    if (container_r != NULL)
        *container_r = &command_rows[row];
    return NULL;
}

const struct command *command_by_name(struct bytes name) {
    const char *bar = name.len > 0 ? memchr(name.ptr, '|', name.len) : NULL;
    if (bar == NULL) {
        uint16_t row = find(NO_ROW, name);
        return row == NO_ROW ? NULL : &command_rows[row];
    }
    uint16_t container = find(NO_ROW, bytes_of(name.ptr, (size_t)(bar - name.ptr)));
    if (container == NO_ROW)
        return NULL;
    uint16_t row = find(container, bytes_of(bar + 1, (size_t)(name.ptr + name.len - bar - 1)));
    return row == NO_ROW ? NULL : &command_rows[row];
}

const struct command *command_container(const struct command *c) {
    uint16_t row = words[command_index(c)].container;
    return row == NO_ROW ? NULL : &command_rows[row];
}

bool command_arity_ok(const struct command *c, uint32_t argc) {
    return c->arity >= 0 ? argc == (uint32_t)c->arity : argc >= (uint32_t)-c->arity;
}

struct bytes command_keys_word(const struct command *c) {
    return words[command_index(c)].keys_word;
}

/* Keys behind the row's word: half of what follows it. */
static int32_t keys_behind_word(const struct command *c, const struct bytes *argv, uint32_t argc,
                                void (*key)(void *arg, uint32_t index), void *arg) {
    struct bytes word = command_keys_word(c);
    for (uint32_t at = (uint32_t)-c->numkeys_at; at < argc; at++) {
        if (argv[at].len != word.len || strncasecmp(argv[at].ptr, word.ptr, word.len) != 0)
            continue;
        uint32_t keys = (argc - at - 1) / 2;
        for (uint32_t i = 1; i <= keys; i++)
            key(arg, at + i);
        return keys > 0 ? (int32_t)keys : -1;
    }
    return -1;
}

int32_t command_keys(const struct command *c, const struct bytes *argv, uint32_t argc,
                     void (*key)(void *arg, uint32_t index), void *arg) {
    int32_t found = 0;
    if (c->first_key > 0) {
        int64_t last = c->last_key >= 0 ? c->last_key : (int64_t)argc + c->last_key;
        if (last >= (int64_t)argc)
            return -1;
        for (int64_t i = c->first_key; i <= last; i += c->key_step, found++)
            key(arg, (uint32_t)i);
    }
    if (c->numkeys_at < 0)
        return keys_behind_word(c, argv, argc, key, arg);
    if (c->numkeys_at > 0) {
        int64_t count;
        uint32_t at = (uint32_t)c->numkeys_at;
        if (at >= argc || !bytes_to_i64(argv[at], &count) || count < 1 || count >= argc - at)
            return -1;
        for (int64_t i = 1; i <= count; i++, found++)
            key(arg, at + (uint32_t)i);
    }
    if (command_has_option_keys(c))
        found += command_option_keys(c, argv, argc, key, arg);
    return found;
}

struct position_list {
    uint32_t *positions;
    uint32_t count, max;
};

static void add_position(void *arg, uint32_t index) {
    struct position_list *list = arg;
    if (list->count < list->max)
        list->positions[list->count++] = index;
}

int32_t command_key_positions(const struct command *c, const struct bytes *argv, uint32_t argc,
                              uint32_t *positions, uint32_t max) {
    struct position_list list = {positions, 0, max};
    return command_keys(c, argv, argc, add_position, &list);
}
