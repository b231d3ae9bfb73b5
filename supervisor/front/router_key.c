/* router_key.c - finds the first key of a client's first commands.
 *
 * Only as many arguments are looked at as the command's row says are needed: name, a subcommand,
 * the key. The rows come from the command table by way of gen/first_key.def. Every length is
 * checked against what is there before it is believed. */
#include "supervisor/front/router_key.h"
#include "shared/base/panic.h"
#include <stdint.h>

enum {
    TABLE_SLOTS = 2048,
    NAME_MAX_BYTES = 64,
    ARGS_LOOKED_AT = 8, /* no command has its first key further back */
    ARGS_MAX = 1024 * 1024,
    BULK_MAX = 512 * 1024 * 1024,
    LENGTH_LINE_MAX = 32,
    TLS_HELLO = 0x16
};

struct row {
    const char *name;
    int first;
};
static const struct row rows[] = {
#define FIRST_KEY(name, first) {name, first},
#include "gen/first_key.def"
#undef FIRST_KEY
};
enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };
_Static_assert(ROW_COUNT * 2 < TABLE_SLOTS, "the hash table of command names needs room");

static uint16_t table[TABLE_SLOTS]; /* row + 1, open addressing; 0 = empty */

static uint32_t hash_of(const char *name, size_t len) {
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)name[i]) * 16777619u;
    return h ^ (h >> 15);
}

__attribute__((constructor)) static void table_build(void) {
    for (uint32_t i = 0; i < ROW_COUNT; i++) {
        uint32_t at = hash_of(rows[i].name, strlen(rows[i].name)) % TABLE_SLOTS;
        while (table[at])
            at = (at + 1) % TABLE_SLOTS;
        table[at] = (uint16_t)(i + 1);
    }
}

static const struct row *row_find(const char *name, size_t len) {
    for (uint32_t at = hash_of(name, len) % TABLE_SLOTS; table[at]; at = (at + 1) % TABLE_SLOTS) {
        const struct row *row = &rows[table[at] - 1];
        if (strlen(row->name) == len && memcmp(row->name, name, len) == 0)
            return row;
    }
    return NULL;
}

/* Lower-cased copy behind what is in the buffer already; 0 if there is no room. */
static size_t name_append(char *name, size_t used, struct bytes word) {
    if (word.len > NAME_MAX_BYTES - used)
        return 0;
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];
        name[used + i] = c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
    }
    return used + word.len;
}

/* Which argument is the first key, 0 = none. A subcommand's row wins over its container's; what is
 * in no table is taken to have its key where nearly all commands have it. */
static int key_position(const struct bytes *argv, uint32_t argc) {
    char name[NAME_MAX_BYTES + 1];
    size_t len = name_append(name, 0, argv[0]);
    const struct row *row = len ? row_find(name, len) : NULL;
    if (!row)
        return 1;
    if (row->first == 0 && argc > 1) {
        name[len] = '|';
        size_t whole = len < NAME_MAX_BYTES ? name_append(name, len + 1, argv[1]) : 0;
        const struct row *sub = whole ? row_find(name, whole) : NULL;
        if (sub)
            row = sub;
    }
    return row->first;
}

/* One command, as far as it is there. */
struct look {
    struct bytes argv[ARGS_LOOKED_AT];
    uint32_t seen; /* arguments in argv */
    uint32_t argc; /* arguments the command has */
    size_t bytes;  /* length of the command if whole */
    bool whole;
};

/* "<digits>\r\n" at *at. 1 parsed, 0 not all there, -1 malformed. */
static int length_line(const char *data, size_t len, size_t *at, int64_t max, int64_t *value_r) {
    int64_t value = 0;
    size_t i = *at;
    for (; i < len && data[i] >= '0' && data[i] <= '9'; i++) {
        value = value * 10 + (data[i] - '0');
        if (value > max || i - *at > LENGTH_LINE_MAX)
            return -1;
    }
    if (i == len)
        return 0;
    if (i == *at || data[i] != '\r')
        return -1;
    if (i + 1 == len)
        return 0;
    *at = i + 2;
    *value_r = value;
    return 1;
}

/* Returns false if this is no well-formed multibulk; what is missing shows in seen and whole. */
static bool look_multibulk(const char *data, size_t len, struct look *look) {
    size_t at = 1;
    int64_t count = 0, bulk = 0;
    if (len > 2 && data[1] == '-') { /* "*-1" is an empty command */
        at = 2;
    }
    int parsed = length_line(data, len, &at, ARGS_MAX, &count);
    if (parsed <= 0)
        return parsed == 0;
    look->argc = data[1] == '-' ? 0 : (uint32_t)count;
    for (uint32_t i = 0; i < look->argc; i++) {
        if (at >= len)
            return true;
        if (data[at] != '$')
            return false;
        at++;
        parsed = length_line(data, len, &at, BULK_MAX, &bulk);
        if (parsed <= 0)
            return parsed == 0;
        if ((size_t)bulk + 2 > len - at)
            return true;
        if (i < ARGS_LOOKED_AT)
            look->argv[look->seen++] = bytes_of(data + at, (size_t)bulk);
        at += (size_t)bulk + 2;
    }
    look->bytes = at;
    look->whole = true;
    return true;
}

/* A word of an inline command. Quotes around a whole word are taken off; escapes are not read. */
static bool inline_word(const char *line, size_t len, size_t *at, struct bytes *word_r) {
    size_t start = *at, i = start;
    char quote = line[i] == '"' || line[i] == '\'' ? line[i] : 0;
    if (quote)
        start = ++i;
    for (; i < len && (quote ? line[i] != quote : line[i] != ' ' && line[i] != '\t'); i++)
        if (line[i] == '\\' || (!quote && (line[i] == '"' || line[i] == '\'')))
            return false;
    if (quote && i == len)
        return false;
    *word_r = bytes_of(line + start, i - start);
    *at = quote ? i + 1 : i;
    return true;
}

static bool look_inline(const char *data, size_t len, struct look *look) {
    const char *newline = memchr(data, '\n', len);
    if (!newline)
        return true;
    size_t end = (size_t)(newline - data), at = 0;
    look->bytes = end + 1;
    look->whole = true;
    if (end && data[end - 1] == '\r')
        end--;
    while (look->seen < ARGS_LOOKED_AT) {
        while (at < end && (data[at] == ' ' || data[at] == '\t'))
            at++;
        if (at == end)
            break;
        if (!inline_word(data, end, &at, &look->argv[look->seen]))
            return false;
        look->seen++;
    }
    look->argc = look->seen;
    return true;
}

enum router_key_result router_first_key(const char *data, size_t len, struct bytes *key_r) {
    size_t at = 0;
    bool any = false;
    for (int i = 0; i < ROUTER_COMMANDS_MAX && at < len; i++) {
        struct look look = {.seen = 0};
        const char *from = data + at;
        if (from[0] == TLS_HELLO)
            return ROUTER_OPAQUE;
        if (!(from[0] == '*' ? look_multibulk : look_inline)(from, len - at, &look))
            return any ? ROUTER_NO_KEY : ROUTER_OPAQUE;
        if (look.seen) {
            int position = key_position(look.argv, look.seen);
            if (position > 0 && position < (int)look.seen) {
                *key_r = look.argv[position];
                return ROUTER_KEY;
            }
        }
        if (!look.whole)
            break;
        any |= look.argc > 0;
        at += look.bytes;
        if (at == len && any)
            return ROUTER_NO_KEY;
    }
    if (any)
        return ROUTER_NO_KEY;
    return len >= ROUTER_PEEK_BYTES ? ROUTER_OPAQUE : ROUTER_INCOMPLETE;
}
