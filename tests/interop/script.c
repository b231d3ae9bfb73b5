/* script.c - see the header. */
#include "tests/interop/script.h"
#include "tests/integration/pool_fixture.h"
#include <ctype.h>

enum { SCRIPT_LINE_MAX = 65536, EACH_DEPTH_MAX = 6 };

/* Lines before %each is unrolled, and what is being unrolled. */
struct reader {
    struct script *script;
    struct script_line *lines;
    size_t count;
    struct {
        char name[32], *value;
    } bound[EACH_DEPTH_MAX];
    unsigned depth;
};

static _Noreturn void wrong(const struct script *script, unsigned number, const char *what) {
    fail_msg("%s:%u: %s", script->path, number, what);
    abort();
}

static void append_line(struct script_line **lines, size_t *count, unsigned number, char *text) {
    if ((*count & (*count - 1)) == 0) {
        *lines = realloc(*lines, (*count ? *count * 2 : 1) * sizeof(**lines));
        assert_non_null(*lines);
    }
    (*lines)[(*count)++] = (struct script_line){number, text};
}

static void read_lines(struct reader *reader) {
    FILE *file = fopen(reader->script->path, "r");
    if (!file)
        fail_msg("cannot read %s", reader->script->path);
    char *line = NULL;
    size_t room = 0;
    unsigned number = 0;
    for (ssize_t len; (len = getline(&line, &room, file)) >= 0;) {
        number++;
        while (len > 0 && isspace((unsigned char)line[len - 1]))
            line[--len] = 0;
        if (len > 0 && line[0] != '#')
            append_line(&reader->lines, &reader->count, number, strdup(line));
    }
    free(line);
    fclose(file);
}

/* ---- %each ---- */

/* What stands between a brace and its fellow; NULL without one. */
static char *next_braced(const char **at) {
    const char *begin = *at + 1;
    unsigned depth = 0;
    do {
        if (**at == 0)
            return NULL;
        depth += **at == '{';
        depth -= **at == '}';
        (*at)++;
    } while (depth > 0);
    return strndup(begin, (size_t)(*at - begin) - 1);
}

/* The next word as it is written, quotes and all; NULL at the end of the line. */
static char *next_written(const char **at) {
    while (isspace((unsigned char)**at))
        (*at)++;
    const char *begin = *at;
    bool quoted = false;
    if (*begin == '{')
        return next_braced(at);
    for (; **at && (quoted || !isspace((unsigned char)**at)); (*at)++) {
        if (**at == '\\' && (*at)[1])
            (*at)++;
        else if (**at == '"')
            quoted = !quoted;
    }
    return *at == begin ? NULL : strndup(begin, (size_t)(*at - begin));
}

static char *substitute(const struct reader *reader, const struct script_line *line) {
    char *out = malloc(SCRIPT_LINE_MAX);
    size_t len = 0;
    assert_non_null(out);
    for (const char *from = line->text; *from;) {
        const char *insert = NULL;
        size_t skip = 1;
        for (unsigned i = 0; *from == '<' && i < reader->depth; i++) {
            size_t name = strlen(reader->bound[i].name);
            if (strncmp(from + 1, reader->bound[i].name, name) == 0 && from[name + 1] == '>') {
                insert = reader->bound[i].value;
                skip = name + 2;
            }
        }
        size_t more = insert ? strlen(insert) : 1;
        if (len + more >= SCRIPT_LINE_MAX)
            wrong(reader->script, line->number, "the line is too long");
        memcpy(out + len, insert ? insert : from, more);
        len += more;
        from += skip;
    }
    out[len] = 0;
    return out;
}

static bool is_directive(const struct script_line *line, const char *name) {
    size_t len = strlen(name);
    return strncmp(line->text, name, len) == 0 &&
           (line->text[len] == 0 || isspace((unsigned char)line->text[len]));
}

static size_t end_of_each(const struct reader *reader, size_t at) {
    unsigned depth = 0;
    for (size_t i = at; i < reader->count; i++) {
        depth += is_directive(&reader->lines[i], "%each");
        depth -= is_directive(&reader->lines[i], "%end");
        if (depth == 0)
            return i;
    }
    wrong(reader->script, reader->lines[at].number, "%each without %end");
}

static void unroll(struct reader *reader, size_t from, size_t to);

static void unroll_each(struct reader *reader, size_t at, size_t end) {
    const struct script_line *line = &reader->lines[at];
    char *text = substitute(reader, line);
    const char *rest = text + strlen("%each");
    char *name = next_written(&rest);
    if (!name || strlen(name) >= sizeof(reader->bound[0].name) || reader->depth == EACH_DEPTH_MAX)
        wrong(reader->script, line->number, "%each NAME WORD ...");
    unsigned depth = reader->depth++;
    snprintf(reader->bound[depth].name, sizeof(reader->bound[depth].name), "%s", name);
    for (char *value; (value = next_written(&rest)); free(value)) {
        reader->bound[depth].value = value;
        unroll(reader, at + 1, end);
    }
    reader->depth--;
    free(name);
    free(text);
}

static void unroll(struct reader *reader, size_t from, size_t to) {
    for (size_t i = from; i < to; i++) {
        const struct script_line *line = &reader->lines[i];
        if (is_directive(line, "%each")) {
            size_t end = end_of_each(reader, i);
            unroll_each(reader, i, end);
            i = end;
        } else if (is_directive(line, "%end")) {
            wrong(reader->script, line->number, "%end without %each");
        } else {
            append_line(&reader->script->lines, &reader->script->count, line->number,
                        substitute(reader, line));
        }
    }
}

static void free_lines(struct script_line *lines, size_t count) {
    for (size_t i = 0; i < count; i++)
        free(lines[i].text);
    free(lines);
}

struct script *script_read(const char *path) {
    struct script *script = calloc(1, sizeof(*script));
    assert_non_null(script);
    script->path = strdup(path);
    struct reader reader = {.script = script};
    read_lines(&reader);
    unroll(&reader, 0, reader.count);
    free_lines(reader.lines, reader.count);
    return script;
}

void script_free(struct script **script) {
    free_lines((*script)->lines, (*script)->count);
    free((*script)->path);
    free(*script);
    *script = NULL;
}

/* ---- words ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character behind a backslash within double quotes. */
static char unescape(const char **at) {
    static const char names[] = "nrtab", values[] = "\n\r\t\a\b";
    const char *from = *at;
    if (from[0] == 'x' && hex_digit(from[1]) >= 0 && hex_digit(from[2]) >= 0) {
        *at += 3;
        return (char)(hex_digit(from[1]) * 16 + hex_digit(from[2]));
    }
    (*at)++;
    const char *name = strchr(names, *from);
    return name ? values[name - names] : *from;
}

/* %rep(COUNT,TEXT) as a whole word. */
static bool repeated(const char *text, size_t len, struct octets *word_r) {
    char *comma;
    if (len < 8 || strncmp(text, "%rep(", 5) != 0 || text[len - 1] != ')')
        return false;
    unsigned long count = strtoul(text + 5, &comma, 10);
    size_t unit = (size_t)(text + len - 1 - (comma + 1));
    if (*comma != ',' || count > (64UL << 20) / (unit ? unit : 1))
        return false;
    *word_r = (struct octets){malloc(count * unit + 1), count * unit};
    assert_non_null(word_r->data);
    for (size_t i = 0; i < count; i++)
        memcpy(word_r->data + i * unit, comma + 1, unit);
    word_r->data[count * unit] = 0;
    return true;
}

static bool split_quoted(const char **at, struct octets *word) {
    char quote = *(*at)++;
    while (**at && **at != quote) {
        char c = *(*at)++;
        if (c == '\\' && quote == '"')
            c = unescape(at);
        else if (c == '\\' && **at == '\'')
            c = *(*at)++;
        word->data[word->len++] = c;
    }
    if (**at != quote)
        return false;
    (*at)++;
    return **at == 0 || isspace((unsigned char)**at);
}

struct words words_split(const struct script *script, const struct script_line *line) {
    struct words words = {0};
    const char *at = line->text;
    size_t rest = strlen(at);
    words.word = calloc(rest / 2 + 1, sizeof(*words.word));
    assert_non_null(words.word);
    for (;;) {
        while (isspace((unsigned char)*at))
            at++;
        if (*at == 0)
            return words;
        struct octets *word = &words.word[words.count++];
        if (*at == '"' || *at == '\'') {
            word->data = malloc(strlen(at) + 1);
            if (!split_quoted(&at, word))
                wrong(script, line->number, "unbalanced quotes");
            word->data[word->len] = 0;
            continue;
        }
        const char *begin = at;
        while (*at && !isspace((unsigned char)*at))
            at++;
        if (!repeated(begin, (size_t)(at - begin), word))
            *word = (struct octets){strndup(begin, (size_t)(at - begin)), (size_t)(at - begin)};
    }
}

void words_free(struct words *words) {
    for (unsigned i = 0; i < words->count; i++)
        free(words->word[i].data);
    free(words->word);
    *words = (struct words){0};
}
