/* parse.c - see parse.h. Limits and error texts are those of Redis 7.
 *
 *   *2\r\n $3\r\n GET\r\n $1\r\n k\r\n       multibulk: one pass, argv points into the buffer
 *   GET "a b"\r\n                            inline: only quoted arguments are copied
 *
 * As in Redis a length line ends at CR and whatever byte follows it, and the two bytes behind an
 * argument are not looked at. The common length line (digits, CR, LF, all there) never leaves
 * parse_arguments(); everything else about length lines is in read_length_line(). */
#include "worker/resp/parse.h"

#include "shared/base/mem.h"

#include <ctype.h>
#include <stdio.h>

enum { ARGV_FIRST = 16, ARGV_STEP_MAX = 1024, ARGV_KEEP = 1024, FAST_DIGITS = 9 };

#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

void resp_parser_init(struct resp_parser *parser) {
    *parser = (struct resp_parser){.bulk_max = 512 * 1024 * 1024, .bulk_len = -1};
}

void resp_parser_free(struct resp_parser *parser) {
    mem_free(parser->argv);
    mem_free(parser->inline_scratch);
    resp_parser_init(parser);
}

void resp_parser_trim(struct resp_parser *parser) {
    mem_free(parser->inline_scratch);
    parser->inline_scratch = NULL;
    if (parser->pos == 0 && parser->argv_cap > ARGV_KEEP) {
        mem_free(parser->argv);
        parser->argv = NULL;
        parser->argv_cap = 0;
        parser->argc = 0;
    }
}

size_t resp_parser_need(const struct resp_parser *parser) {
    return parser->bulk_len >= 0 ? parser->pos + (size_t)parser->bulk_len + 2 : 0;
}

static enum resp_result fail(struct resp_parser *parser, const char *what) {
    snprintf(parser->error_text, sizeof parser->error_text, "Protocol error: %s", what);
    parser->error = parser->error_text;
    return RESP_PROTOCOL_ERROR;
}

/* A whole command: the next call begins a new one. */
static enum resp_result finish(struct resp_parser *parser, uint32_t argc, size_t bytes,
                               size_t *consumed_r) {
    parser->argc = argc;
    parser->pos = 0;
    parser->args_done = 0;
    parser->bulk_len = -1;
    parser->multibulk = false;
    *consumed_r = bytes;
    return RESP_COMMAND;
}

static void argv_reserve(struct resp_parser *parser, uint32_t count) {
    if (count <= parser->argv_cap)
        return;
    parser->argv = mem_realloc(parser->argv, (size_t)count * sizeof *parser->argv);
    parser->argv_cap = count;
}

/* One more than there is room for. What a client announces is not believed: room grows with the
 * arguments that have come. */
static void argv_grow(struct resp_parser *parser) {
    uint64_t twice = (uint64_t)parser->argv_cap * 2;
    if (twice < ARGV_FIRST)
        twice = ARGV_FIRST;
    argv_reserve(parser, twice < RESP_ARGS_MAX ? (uint32_t)twice : RESP_ARGS_MAX);
}

/* ---- multibulk ---- */

/* The common case of a length line: 1 to 9 digits, CR and one more byte. Returns what follows it, or
 * NULL for read_length_line() to look closer. */
static inline const char *fast_length_line(const char *p, const char *end, int64_t *value_r) {
    const char *first = p, *stop = end - p > FAST_DIGITS ? p + FAST_DIGITS : end;
    uint32_t value = 0, digit;
    for (; p < stop && (digit = (uint32_t)(unsigned char)*p - '0') <= 9; p++)
        value = value * 10 + digit;
    if (UNLIKELY(p == first || end - p < 2 || *p != '\r' || (*first == '0' && p - first > 1)))
        return NULL;
    *value_r = value;
    return p + 2;
}

enum line_result { LINE_OK, LINE_MORE, LINE_TOO_LONG, LINE_BAD };

/* Any length line, p at the byte behind its type. *next_r gets what follows the line. */
static enum line_result read_length_line(const char *p, const char *end, int64_t *value_r,
                                         const char **next_r) {
    const char *cr = memchr(p, '\r', (size_t)(end - p));
    if ((cr ? cr : end) - p + 1 > RESP_INLINE_MAX)
        return LINE_TOO_LONG;
    if (cr == NULL || end - cr < 2)
        return LINE_MORE;
    *next_r = cr + 2;
    return bytes_to_i64(bytes_of(p, (size_t)(cr - p)), value_r) ? LINE_OK : LINE_BAD;
}

/* The `*count` line at data[0]. */
static enum resp_result read_count(struct resp_parser *parser, const char *data, size_t len,
                                   int64_t *count_r) {
    const char *end = data + len, *next = fast_length_line(data + 1, end, count_r);
    enum line_result line = LINE_OK;
    if (UNLIKELY(next == NULL))
        line = read_length_line(data + 1, end, count_r, &next);
    if (line == LINE_MORE)
        return RESP_MORE;
    if (line == LINE_TOO_LONG)
        return fail(parser, "too big mbulk count string");
    if (line == LINE_BAD || *count_r > RESP_ARGS_MAX)
        return fail(parser, "invalid multibulk length");
    if (UNLIKELY(parser->unauthenticated) && *count_r > RESP_UNAUTHENTICATED_ARGS)
        return fail(parser, "unauthenticated multibulk length");
    parser->pos = (size_t)(next - data);
    return RESP_COMMAND;
}

/* The `$length` line of an argument in every shape that is not the common one. */
static enum resp_result read_bulk_line(struct resp_parser *parser, const char *p, const char *end,
                                       int64_t *length_r, const char **next_r) {
    if (p == end)
        return RESP_MORE;
    /* Redis waits for the line's end before it complains of its first byte. */
    enum line_result line = read_length_line(p + (*p == '$'), end, length_r, next_r);
    if (line == LINE_MORE)
        return RESP_MORE;
    if (line == LINE_TOO_LONG)
        return fail(parser, "too big bulk count string");
    if (*p != '$') {
        char what[] = "expected '$', got '?'";
        what[sizeof what - 3] = *p;
        return fail(parser, what);
    }
    if (line == LINE_BAD || *length_r < 0)
        return fail(parser, "invalid bulk length");
    return RESP_COMMAND;
}

/* Arguments stored by an earlier call point into the buffer where it was then. */
static void rebase(struct resp_parser *parser, const char *data) {
    uintptr_t moved = (uintptr_t)data - parser->base;
    for (uint32_t i = 0; moved != 0 && i < parser->args_done; i++)
        parser->argv[i].ptr = (const char *)((uintptr_t)parser->argv[i].ptr + moved);
}

/* From parser->pos on. The state is kept in locals while nothing is missing. */
static enum resp_result parse_arguments(struct resp_parser *parser, const char *data, size_t len,
                                        size_t *consumed_r) {
    const char *p = data + parser->pos, *end = data + len;
    const uint32_t expected = parser->args_expected;
    uint32_t done = parser->args_done;
    int64_t length = parser->bulk_len;
    enum resp_result result = RESP_COMMAND;

    while (done < expected) {
        if (length < 0) {
            const char *next = NULL;
            if (end - p > 1 && *p == '$')
                next = fast_length_line(p + 1, end, &length);
            if (UNLIKELY(next == NULL) &&
                (result = read_bulk_line(parser, p, end, &length, &next)) != RESP_COMMAND) {
                length = -1;
                break;
            }
            if (UNLIKELY((uint64_t)length > parser->bulk_max))
                return fail(parser, "invalid bulk length");
            if (UNLIKELY(parser->unauthenticated) && length > RESP_UNAUTHENTICATED_BULK)
                return fail(parser, "unauthenticated bulk length");
            p = next;
        }
        if (UNLIKELY((uint64_t)(end - p) < (uint64_t)length + 2)) {
            result = RESP_MORE;
            break;
        }
        if (UNLIKELY(done == parser->argv_cap))
            argv_grow(parser);
        parser->argv[done++] = bytes_of(p, (size_t)length);
        p += length + 2;
        length = -1;
    }
    if (result == RESP_COMMAND)
        return finish(parser, done, (size_t)(p - data), consumed_r);
    parser->pos = (size_t)(p - data);
    parser->args_done = done;
    parser->bulk_len = length;
    parser->base = (uintptr_t)data;
    return result;
}

static enum resp_result parse_multibulk(struct resp_parser *parser, const char *data, size_t len,
                                        size_t *consumed_r) {
    if (parser->multibulk) {
        rebase(parser, data);
        return parse_arguments(parser, data, len, consumed_r);
    }
    int64_t count;
    enum resp_result result = len > 1 ? read_count(parser, data, len, &count) : RESP_MORE;
    if (UNLIKELY(result != RESP_COMMAND))
        return result;
    if (UNLIKELY(count <= 0))
        return finish(parser, 0, parser->pos, consumed_r);
    parser->multibulk = true;
    parser->args_expected = (uint32_t)count;
    if (UNLIKELY(parser->argv_cap < count))
        argv_reserve(parser, count < ARGV_STEP_MAX ? (uint32_t)count : ARGV_STEP_MAX);
    return parse_arguments(parser, data, len, consumed_r);
}

/* ---- inline ---- */

static int hex_digit(char c) {
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* p at a backslash inside double quotes, with a byte behind it. Writes what it means; returns the
 * bytes it takes. */
static size_t unescape(const char *p, const char *end, char *out) {
    static const char letters[] = "nrtba", meanings[] = "\n\r\t\b\a";
    if (end - p >= 4 && p[1] == 'x' && isxdigit((unsigned char)p[2]) &&
        isxdigit((unsigned char)p[3])) {
        *out = (char)(hex_digit(p[2]) * 16 + hex_digit(p[3]));
        return 4;
    }
    const char *letter = memchr(letters, p[1], sizeof letters - 1);
    *out = letter ? meanings[letter - letters] : p[1];
    return 2;
}

/* p behind an opening quote. Appends the text to *out; returns what follows the closing quote, or
 * NULL if there is none or something is glued to it. */
static const char *read_quoted(const char *p, const char *end, char quote, char **out) {
    while (p < end && *p != quote) {
        if (quote == '"' && *p == '\\' && end - p >= 2) {
            p += unescape(p, end, (*out)++);
        } else if (quote == '\'' && *p == '\\' && end - p >= 2 && p[1] == '\'') {
            *(*out)++ = '\'';
            p += 2;
        } else {
            *(*out)++ = *p++;
        }
    }
    if (p == end || (p + 1 < end && !isspace((unsigned char)p[1])))
        return NULL;
    return p + 1;
}

static bool ends_word(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* One argument that holds a quote, into *out. Returns what follows it, or NULL. */
static const char *read_word_quoted(const char *p, const char *end, char **out) {
    while (p < end && !ends_word(*p)) {
        if (*p == '"' || *p == '\'')
            return read_quoted(p + 1, end, *p, out);
        *(*out)++ = *p++;
    }
    return p;
}

static const char *skip_space(const char *p, const char *end) {
    while (p < end && isspace((unsigned char)*p))
        p++;
    return p;
}

/* The arguments of a line without its end. Returns how many, or -1 if quotes do not fit. */
static int64_t split_inline(struct resp_parser *parser, const char *p, const char *end) {
    char *out = NULL; /* in inline_scratch, which the unquoted line fits into */
    uint32_t argc = 0;
    for (p = skip_space(p, end); p < end; p = skip_space(p, end)) {
        const char *start = p;
        while (p < end && !ends_word(*p) && *p != '"' && *p != '\'')
            p++;
        struct bytes word = bytes_of(start, (size_t)(p - start));
        if (p < end && !ends_word(*p)) {
            if (out == NULL) {
                parser->inline_scratch = mem_realloc(parser->inline_scratch, (size_t)(end - start));
                out = parser->inline_scratch;
            }
            word.ptr = out;
            if ((p = read_word_quoted(start, end, &out)) == NULL)
                return -1;
            word.len = (size_t)(out - word.ptr);
        }
        if (argc == parser->argv_cap)
            argv_grow(parser);
        parser->argv[argc++] = word;
    }
    return argc;
}

static enum resp_result parse_inline(struct resp_parser *parser, const char *data, size_t len,
                                     size_t *consumed_r) {
    const char *newline = memchr(data + parser->pos, '\n', len - parser->pos);
    size_t line_len = newline ? (size_t)(newline - data) : len;
    if (line_len > RESP_INLINE_MAX)
        return fail(parser, "too big inline request");
    if (newline == NULL) {
        parser->pos = len;
        return RESP_MORE;
    }
    int64_t argc = split_inline(parser, data, newline);
    if (argc < 0)
        return fail(parser, "unbalanced quotes in request");
    return finish(parser, (uint32_t)argc, line_len + 1, consumed_r);
}

enum resp_result resp_parse(struct resp_parser *parser, const char *data, size_t len,
                            size_t *consumed_r) {
    *consumed_r = 0;
    if (UNLIKELY(len == 0))
        return RESP_MORE;
    if (UNLIKELY(data[0] != '*'))
        return parse_inline(parser, data, len, consumed_r);
    return parse_multibulk(parser, data, len, consumed_r);
}
